"""Where the data of a task comes from: a folder, the Hub, or this package; and what is held out of it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ..errors import UserError, first_line

T = TypeVar("T")

SPLITS = ("train", "validation", "test")
# The names a split's file may have.
FILE_STEMS = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


@dataclass
class DataArguments:
    """Where the data comes from, and which of its words have ids: for every task."""

    embedded_data: str | None = field(
        default=None,
        metadata={
            "help": "Data that needs no network: python_stdlib, python_docs (causal_lm), ner_sample "
            "(token_classification)."
        },
    )
    dataset_name: str | None = field(
        default=None, metadata={"help": "Dataset on the Hugging Face Hub, used where no local files are given."}
    )
    dataset_config_name: str | None = field(default=None, metadata={"help": "Its configuration."})
    dataset_revision: str | None = field(default=None, metadata={"help": "Its revision (branch, tag or commit)."})
    data_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder of local files instead: train, valid(ation) and test files, or one file that is split."
        },
    )
    file_extension: str = field(
        default="txt", metadata={"help": "Extension of the local files; each may also be gzipped (.gz)."}
    )
    validation_fraction: float = field(
        default=0.1, metadata={"help": "Share held out for validation where the data has no such split, in (0, 1)."}
    )
    test_fraction: float = field(
        default=0.0, metadata={"help": "Share held out for testing where the data has no such split, in [0, 1)."}
    )
    min_frequency: int = field(
        default=1, metadata={"help": "A character or word that is rarer in the training text becomes <unk>."}
    )
    max_vocab_size: int | None = field(
        default=None, metadata={"help": "Greatest size of the vocabulary (words and bpe)."}
    )

    @property
    def source(self) -> str:
        """What a message calls the data."""
        return self.data_dir or self.dataset_name or self.embedded_data or "no data"


def split_files(folder: Path, extensions: Sequence[str], only: str | None = None) -> dict[str, Path]:
    """The file of each split in a folder: train, valid (or validation, val, dev) and test, or the only file as train.

    Args:
        folder: where they are.
        extensions: which they may have; each file may also be gzipped.
        only: the one split that is needed; a folder without train then need not have more.

    Raises:
        UserError: if there is no such folder, no such file, or several for one split.
    """
    if not folder.is_dir():
        raise UserError(f"data_dir={str(folder)!r}: no such folder")
    endings = tuple(f".{extension}{packed}" for extension in extensions for packed in ("", ".gz"))
    files = sorted(path for path in folder.iterdir() if path.name.endswith(endings) and path.is_file())
    found: dict[str, Path] = {}
    for name, stems in FILE_STEMS.items():
        fitting = [path for path in files if path.name.split(".")[0] in stems]
        if len(fitting) > 1:
            raise UserError(f"{folder}: {' and '.join(path.name for path in fitting)} are both {name}: leave one")
        if fitting:
            found[name] = fitting[0]
    if "train" not in found and only in found:
        return {only: found[only]}
    if "train" not in found:
        if len(files) != 1:
            names = ", ".join(path.name for path in files) or "none"
            raise UserError(
                f"{folder}: expected train.{extensions[0]} or a single file (.{', .'.join(extensions)}), found {names}"
            )
        found = {"train": files[0]}
    return found


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
    if data.data_dir:
        return {name: read_file(path) for name, path in split_files(Path(data.data_dir), extensions, only).items()}
    if data.embedded_data:
        if data.embedded_data not in embedded:
            raise UserError(f"embedded_data={data.embedded_data!r}: unknown (choose from {', '.join(embedded)})")
        return {"train": embedded[data.embedded_data]()}
    if data.dataset_name:
        return read_hub()
    raise UserError("no data: give --data_dir FOLDER, --dataset_name NAME or --embedded_data NAME")


def not_fetched(dataset_name: str, error: Exception) -> UserError:
    """The sentence for any error of a Hub dataset: `datasets` raises many kinds for one thing."""
    return UserError(
        f"the dataset {dataset_name!r} could not be fetched from the Hugging Face Hub ({first_line(error)}); without a "
        "network give local files with --data_dir FOLDER"
    )


def no_train(dataset_name: str, names: list[str]) -> UserError:
    return UserError(f"the dataset {dataset_name!r} has no split named train, only {', '.join(names)}")


def shares_held_out(splits: Collection[str], args: DataArguments) -> dict[str, float]:
    """The shares of train that become the splits which the data lacks; none if it has a validation split.

    Raises:
        UserError: if there would be no validation split, or a share is out of its range.
    """
    fractions = {"validation": args.validation_fraction, "test": args.test_fraction}
    missing = {name: share for name, share in fractions.items() if name not in splits and share > 0}
    if "validation" not in splits and "validation" not in missing:
        raise UserError("validation_fraction=0: the data has no validation split of its own, so some must be held out")
    if "validation" in splits:
        missing = {}
    if min(fractions.values()) < 0 or not sum(missing.values()) < 1:
        raise UserError(
            f"validation_fraction={args.validation_fraction}, test_fraction={args.test_fraction}: each must be in "
            "[0, 1), their sum below 1"
        )
    return missing


Part = TypeVar("Part", str, list)


def cut_off(train: Part, shares: Mapping[str, float]) -> dict[str, Part]:
    """Cuts what is held out (see `shares_held_out`) from the end of train, the last share first; train is the rest."""
    total, parts = len(train), {}
    for name in reversed(list(shares)):
        cut = len(train) - round(shares[name] * total)
        parts[name], train = train[cut:], train[:cut]
    return parts | {"train": train}
