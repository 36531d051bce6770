"""Where the data of a task comes from: a folder, the Hub, or this package."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from ..errors import UserError
from .formats import check_encoding
from .keys import DataArguments
from .splits import split_files

T = TypeVar("T")


def read_splits(
    data: DataArguments,
    extensions: Sequence[str],
    embedded: Mapping[str, Callable[[], T]],
    read_file: Callable[[Path], T],
    read_hub: Callable[[], dict[str, T]],
    only: str | None = None,
) -> dict[str, T]:
    """The raw data of each split that there is: of local files before embedded data before a Hub dataset.

    Args:
        data: says where it is.
        extensions: of local files.
        embedded: what gives embedded data, by its name; all of it is train.
        read_file: reads a local file.
        read_hub: reads the splits of the Hub dataset.
        only: the one split that is needed; see `split_files`.

    Raises:
        UserError: if `data` names none, or one that is not there.
    """

    def read_folder(folder: Path) -> dict[str, T]:
        return {name: read_file(path) for name, path in split_files(folder, extensions, only).items()}

    def as_train(give: Callable[[], T]) -> dict[str, T]:
        return {"train": give()}

    whole = {name: partial(as_train, give) for name, give in embedded.items()}
    return read_source(data, whole, read_folder, read_hub)


def read_source(
    data: DataArguments,
    embedded: Mapping[str, Callable[[], dict[str, T]]],
    read_folder: Callable[[Path], dict[str, T]],
    read_hub: Callable[[], dict[str, T]],
) -> dict[str, T]:
    """As `read_splits`, where a split is more than one file, or embedded data has splits of its own.

    Raises:
        UserError: if `data` names none, or one that is not there, or no encoding.
    """
    check_encoding(data.encoding)
    if data.data_dir:
        return read_folder(data.folder)
    if data.embedded_data:
        if data.embedded_data not in embedded:
            raise UserError(f"embedded_data={data.embedded_data!r}: unknown (choose from {', '.join(embedded)})")
        return embedded[data.embedded_data]()
    if data.dataset_name:
        return read_hub()
    raise UserError("no data: give --data_dir FOLDER, --dataset_name NAME or --embedded_data NAME")
