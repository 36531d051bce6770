"""Data sets on the Hugging Face Hub: their splits, and the names that ids in them have."""

from typing import TYPE_CHECKING, Any

from ..errors import UserError, first_line
from .keys import DataArguments
from .splits import SPLITS

if TYPE_CHECKING:
    import datasets


def hub_splits(data: DataArguments) -> "dict[str, datasets.Dataset]":
    """The splits of a Hub data set that it has of train, validation and test.

    Raises:
        UserError: if it cannot be fetched, or has no train.
    """
    import datasets

    place = (data.dataset_name, data.dataset_config_name)
    try:
        names = split_names(data)
        splits = {
            name: datasets.load_dataset(*place, revision=data.dataset_revision, split=name)
            for name in SPLITS
            if name in names
        }
    except Exception as error:
        raise not_fetched(str(data.dataset_name), error) from error
    if "train" not in splits:
        raise no_train(str(data.dataset_name), names)
    return splits


def split_names(data: DataArguments) -> list[str]:
    """The names of the splits of a Hub dataset: the first that is asked of the Hub, and asked again where it fails."""
    import datasets

    from ..hub import patiently

    assert data.dataset_name is not None
    place = (data.dataset_name, data.dataset_config_name)
    return patiently(lambda: datasets.get_dataset_split_names(*place, revision=data.dataset_revision))


def not_fetched(dataset_name: str, error: Exception) -> UserError:
    """The sentence for any error of a Hub dataset: `datasets` raises many kinds for one thing."""
    return UserError(
        f"the dataset {dataset_name!r} could not be fetched from the Hugging Face Hub ({first_line(error)}); without a "
        "network give local files with --data_dir FOLDER"
    )


def no_train(dataset_name: str, names: list[str]) -> UserError:
    return UserError(f"the dataset {dataset_name!r} has no split named train, only {', '.join(names)}")


def class_names(rows: "datasets.Dataset", column: str) -> list[str]:
    """The names of the `ClassLabel` of a column, or of its lists; empty if it has none."""
    feature: Any = rows.features[column]
    return list(getattr(getattr(feature, "feature", feature), "names", None) or [])
