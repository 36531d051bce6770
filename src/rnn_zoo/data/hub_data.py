"""Data sets on the Hugging Face Hub: their splits, and the names that ids in them have."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import UserError, first_line
from .keys import DataArguments
from .splits import SPLITS

if TYPE_CHECKING:
    import datasets

T = TypeVar("T")


def hub_splits(data: DataArguments) -> "dict[str, datasets.Dataset]":
    """The splits of a Hub data set that it has of train, validation and test; see `read_hub`."""
    return read_hub(data, lambda name, rows: rows)


def read_hub(
    data: DataArguments, read: Callable[[str, Any], T], is_streamed: Callable[[str], bool] = lambda name: False
) -> dict[str, T]:
    """What is read of each split of a Hub data set that it has of train, validation and test.

    Args:
        data: says which data set.
        read: is given a split's name, and its rows.
        is_streamed: of which splits, by name, no more rows are fetched than are read.

    Raises:
        UserError: if it cannot be fetched, or has no train.
    """
    import datasets

    from ..hub import patiently

    place, revision = (str(data.dataset_name), data.dataset_config_name), data.dataset_revision
    try:
        # What is asked of the Hub first is asked again where it fails.
        names = patiently(lambda: datasets.get_dataset_split_names(*place, revision=revision))
        found = {
            name: read(name, datasets.load_dataset(*place, revision=revision, split=name, streaming=is_streamed(name)))
            for name in SPLITS
            if name in names
        }
    except UserError:
        raise
    except Exception as error:  # `datasets` raises many kinds for one thing
        raise UserError(
            f"the dataset {data.dataset_name!r} could not be fetched from the Hugging Face Hub ({first_line(error)}); "
            "without a network give local files with --data_dir FOLDER"
        ) from error
    if "train" not in found:
        raise UserError(f"the dataset {data.dataset_name!r} has no split named train, only {', '.join(names)}")
    return found


def class_names(rows: "datasets.Dataset", column: str) -> list[str]:
    """The names of the `ClassLabel` of a column, or of its lists; empty if it has none."""
    feature: Any = rows.features[column]
    return list(getattr(getattr(feature, "feature", feature), "names", None) or [])
