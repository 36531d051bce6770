"""Where the data of a task comes from: a folder, the Hub, or this package."""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import UserError, first_line
from ..tokenizers import TOKENIZER_BUILDERS
from .formats import check_encoding, shown_path
from .keys import DataArguments

if TYPE_CHECKING:
    import datasets

T = TypeVar("T")

SPLITS = ("train", "validation", "test")
Warn = Callable[[str], None]
# The names a split's file may have.
FILE_STEMS = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
INNER_STEMS = FILE_STEMS | {
    "validation": (*FILE_STEMS["validation"], "testa", "devel", "development"),
    "test": ("test", "testb"),
}
ENDINGS_OF_SPLITS = ("train", "valid", "dev", "test", "testa", "testb")  # eng.train, cooking.valid
NAMED_TEST = re.compile(r"test(?![a-z])", re.IGNORECASE)  # test2016, test_2016_flickr


def warn_user(message: str) -> None:
    """Shows a message as a warning of Python."""
    warnings.warn(message, stacklevel=3)


def files_in(folder: Path, extensions: Sequence[str]) -> list[Path]:
    """The files of a folder with one of the extensions, gzipped or not, by name.

    Raises:
        UserError: if there is no such folder.
    """
    endings = tuple(f".{extension}{packed}" for extension in extensions for packed in ("", ".gz"))
    return [path for path in all_files(folder) if path.name.endswith(endings)]


def all_files(folder: Path) -> list[Path]:
    """The files of a folder, by name.

    Raises:
        UserError: if there is no such folder, or it cannot be read.
    """
    try:
        if not folder.is_dir():
            raise UserError(f"data_dir={shown_path(folder)!r}: no such folder")
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:  # also for names that are too long for the file system
        raise UserError(f"data_dir={shown_path(folder)!r}: {error.strerror or error}") from error


def names_in(folder: Path) -> str:
    """What is in a folder, for a message."""
    names = sorted(path.name for path in folder.iterdir())
    return (", ".join(names[:8]) + (f" and {len(names) - 8:,} more" if len(names) > 8 else "")) or "nothing"


def choose_splits(names: Sequence[str], source: str, wanted: str, only: str | None = None) -> dict[str, str]:
    """Which file name is train, which valid (or validation, val, dev) and which test; an only one counts as train.

    A name like test2016 counts as test where it is the only such name, and there is no plain test. Where none of
    several names is train, the names of splits count also between points, hyphens and underscores (ptb.train.txt,
    eng.testa, en_ewt-ud-dev.conllu), if each of them is there once.

    Args:
        names: of files, with or without their extensions.
        source: what a message calls the place where they are.
        wanted: what a message says was expected there.
        only: the one split that is needed; names without train then need not have more.

    Raises:
        UserError: if there is no train, or several names are one split.
    """
    found: dict[str, str] = {}
    for split, stems in FILE_STEMS.items():
        fitting = [name for name in names if name.split(".")[0] in stems]
        if len(fitting) > 1:
            raise UserError(f"{source}: {' and '.join(fitting)} are both {split}: leave one")
        if fitting:
            found[split] = fitting[0]
    tests = [name for name in names if NAMED_TEST.match(name)]
    if "test" not in found and len(tests) == 1:
        found["test"] = tests[0]
    if "train" not in found and len(names) > 1:
        inner = splits_in_names(names)
        found |= inner if "train" in inner or (only in inner and only not in found) else {}
    if "train" not in found and only in found:
        return {only: found[only]}
    if "train" not in found:
        if len(names) != 1:
            raise UserError(f"{source}: expected {wanted}, found {', '.join(names) or 'none'}")
        found = {"train": names[0]}
    return found


def splits_in_names(names: Sequence[str]) -> dict[str, str]:
    """The splits that names have as one of their parts (`INNER_STEMS`), each that is there once."""
    found: dict[str, str] = {}
    for split, stems in INNER_STEMS.items():
        fitting = [name for name in names if any(part in stems for part in re.split(r"[-_.]", name.lower()))]
        if len(fitting) == 1:
            found[split] = fitting[0]
    return found if len(set(found.values())) == len(found) else {}


def split_files(
    folder: Path, extensions: Sequence[str], only: str | None = None, wanted: str | None = None
) -> dict[str, Path]:
    """The file of each split in a folder, by its name (see `choose_splits`).

    Args:
        folder: where they are.
        extensions: which they may have; each file may also be gzipped.
        only: the one split that is needed; a folder without train then need not have more.
        wanted: what a message says was looked for.

    Raises:
        UserError: if there is no such folder, no such file, or several for one split.
    """
    names = [path.name for path in files_in(folder, extensions)]
    wanted = wanted or f"train.{extensions[0]} or a single file (.{', .'.join(extensions)})"
    if not names:
        raise UserError(f"{folder}: expected {wanted}, found {names_in(folder)}")
    return {split: folder / name for split, name in choose_splits(names, str(folder), wanted, only).items()}


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
        return read_folder(Path(data.data_dir))
    if data.embedded_data:
        if data.embedded_data not in embedded:
            raise UserError(f"embedded_data={data.embedded_data!r}: unknown (choose from {', '.join(embedded)})")
        return embedded[data.embedded_data]()
    if data.dataset_name:
        return read_hub()
    raise UserError("no data: give --data_dir FOLDER, --dataset_name NAME or --embedded_data NAME")


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


def tokenizer_options(data: DataArguments) -> dict[str, Any]:
    """What the recipe asks of `TOKENIZER_BUILDERS[data.tokenizer_type]`, as its keyword arguments.

    Raises:
        UserError: for an unknown `tokenizer_type`, or an option that it does not have.
    """
    kind = data.tokenizer_type
    if kind not in TOKENIZER_BUILDERS:
        raise UserError(f"tokenizer_type={kind!r}: unknown (choose from {', '.join(TOKENIZER_BUILDERS)})")
    known = inspect.signature(TOKENIZER_BUILDERS[kind]).parameters
    options: dict[str, Any] = {}
    if "unicode_normalization" in known:
        options["unicode_normalization"] = data.unicode_normalization
    if "min_frequency" in known:
        options["min_frequency"] = data.min_frequency
    elif data.min_frequency != 1:
        raise UserError(f"min_frequency={data.min_frequency}: a {kind} tokenizer has no such limit; use max_vocab_size")
    if data.max_vocab_size is not None:
        size = next((name for name in ("vocab_size", "max_vocab_size") if name in known), None)
        if size is None:
            raise UserError(
                f"max_vocab_size: a {kind} tokenizer has as many tokens as there are characters; use min_frequency"
            )
        options[size] = data.max_vocab_size
    for name in ("fold_case", "clean_markup"):
        if name in known:
            options[name] = getattr(data, name)
        elif getattr(data, name):
            having = [
                other for other, build in TOKENIZER_BUILDERS.items() if name in inspect.signature(build).parameters
            ]
            raise UserError(f"{name}: a {kind} tokenizer has no such option; {', '.join(having)} have")
    return options
