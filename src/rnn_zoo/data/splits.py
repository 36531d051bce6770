"""Which file of a folder is which part of the data, by its name."""

import re
from collections.abc import Sequence
from os.path import isfile
from pathlib import Path

from ..errors import UserError
from .formats import shown_path

SPLITS = ("train", "validation", "test")
# The names a split's file may have.
FILE_STEMS = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
INNER_STEMS = FILE_STEMS | {
    "validation": (*FILE_STEMS["validation"], "testa", "devel", "development"),
    "test": ("test", "testb"),
}
ENDINGS_OF_SPLITS = ("train", "valid", "dev", "test", "testa", "testb")  # eng.train, cooking.valid
NAMED_TEST = re.compile(r"test(?![a-z])", re.IGNORECASE)  # test2016, test_2016_flickr


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


def files_beside(folder: Path, train_file: str, extensions: Sequence[str], only: str | None = None) -> dict[str, Path]:
    """The files that go with a train file: `movie_valid.tsv` beside `movie_train.tsv`, else plain `valid.tsv`.

    Raises:
        UserError: if it is not there, though needed, or several files are one split.
    """
    paths = files_in(folder, extensions)
    train = folder / train_file
    found: dict[str, Path] = {}
    if isfile(train):  # also for names that no file can have
        found["train"] = train
    elif only in (None, "train"):
        raise UserError(
            f"train_file={train_file!r}: {folder} has {', '.join(path.name for path in paths) or 'no such file'}"
        )
    stem = train_file.split(".")[0]
    for split in ("validation", "test"):
        alike = [stem.replace("train", name) for name in FILE_STEMS[split]] if "train" in stem else []
        for stems in (alike, FILE_STEMS[split]):
            fitting = [path for path in paths if path.name.split(".")[0] in stems and path != train]
            if len(fitting) > 1:
                names = " and ".join(path.name for path in fitting)
                raise UserError(f"{folder}: {names} are both {split}: leave one")
            if fitting:
                found[split] = fitting[0]
                break
    if "train" not in found and only not in found:
        raise UserError(f"train_file={train_file!r}: {folder} has no {only} file that goes with it")
    return found if "train" in found else {str(only): found[str(only)]}
