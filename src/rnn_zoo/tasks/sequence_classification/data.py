"""Where the labelled texts of a classifier come from, and how they are parted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ...data.held_out import same_text, with_held_out
from ...data.hub_data import class_names, hub_splits
from ...data.keys import DataArguments
from ...data.sources import read_source
from ...data.splits import ENDINGS_OF_SPLITS, files_beside, split_files
from ...errors import UserError, Warn, warn_user
from ...models.keys_classifier import REGRESSION, SINGLE
from ...ranges import check_ranges
from ..several import joined, new_names
from .keys import ClassificationArguments
from .labelled_files import column_names, read_dataset, read_labelled
from .labels import LabelledText, check_labels, label_group, labels_of
from .locale_names import named_languages

EXTENSIONS = ("tsv", "csv", "jsonl", "txt")
EMBEDDED_LABELLED = {"sentiment_sample": Path(__file__).with_name("samples") / "sentiment_sample.tsv"}
NAMED_LANGUAGES = "cldr_languages"
TOO_FEW = "{} texts are too few for the shares held out"


@dataclass(frozen=True)
class ClassificationData:
    """The texts of each split, and the labels of a classifier that is trained on them.

    Args:
        splits: `train` and `validation`, `test` where there is one; or the one split that was wanted and is there.
        labels: those in `train`, in the order of their ids, or those that the data set itself declares; of a regression
            a name for each number.
    """

    splits: dict[str, Sequence[LabelledText]]
    labels: list[str]


def check_arguments(args: ClassificationArguments) -> None:
    """What no type can say, before anything is read.

    Raises:
        UserError: for a greatest length below 1, or weights of classes where there are none.
    """
    check_ranges(args)
    new_names("rename_labels", args.rename_labels)
    if args.balance_classes and args.problem_type != SINGLE:
        raise UserError(f"balance_classes: needs problem_type={SINGLE}, not {args.problem_type}")


def load_labelled(
    data: DataArguments, args: ClassificationArguments, warn: Warn = warn_user, only: str | None = None
) -> ClassificationData:
    """The texts of each split; what the data does not hold out itself is drawn at random, always the same.

    `only` names the one split that is needed: a folder without a train file may hold just that.

    Raises:
        UserError: for missing, empty or broken files, columns or labels, labels that train lacks, one label only, or a
            Hub that cannot be reached.
    """
    check_arguments(args)
    names = new_names("rename_labels", args.rename_labels)
    declared: list[str] = []

    def read_hub() -> dict[str, Sequence[LabelledText]]:
        found: dict[str, Sequence[LabelledText]] = {}
        for name, rows in hub_splits(data).items():
            source = f"{data.dataset_name} ({name})"
            texts = read_dataset(rows, args, source, warn)
            if name == "train":
                known = class_names(rows, column_names(rows.column_names, source, args)[1])
                declared.extend(dict.fromkeys(names.get(label, label) for label in known))
            if texts is None:
                if name == "train":
                    raise UserError(f"{source}: its texts have no labels")
                warn(f"{source}: its texts have no labels; left out")
            else:
                found[name] = texts
        return found

    def read(path: Path) -> Sequence[LabelledText]:
        return read_labelled(path, args, warn, data.encoding)

    def read_folder(folder: Path) -> dict[str, Sequence[LabelledText]]:
        extensions = tuple(dict.fromkeys((data.file_extension, *EXTENSIONS, *ENDINGS_OF_SPLITS)))
        files = (
            split_files(folder, extensions, only)
            if args.train_file is None
            else files_beside(folder, args.train_file, extensions, only)
        )
        return {name: read(path) for name, path in files.items()}

    def whole(path: Path) -> dict[str, Sequence[LabelledText]]:
        return {"train": read_labelled(path, args, warn)}

    embedded: dict[str, Any] = {name: partial(whole, path) for name, path in EMBEDDED_LABELLED.items()}
    embedded[NAMED_LANGUAGES] = read_named_languages

    def read_one(data: DataArguments) -> dict[str, Sequence[LabelledText]]:
        splits = read_source(data, embedded, read_folder, read_hub)
        for name, rows in splits.items():
            if not rows:
                raise UserError(f"{data.source}: the {name} part holds no text")
        return splits

    def held_out(splits: dict[str, Sequence[LabelledText]], data: DataArguments) -> dict[str, Sequence[LabelledText]]:
        return with_held_out(splits, data, lambda row: same_text(row["text"]), warn, TOO_FEW, label_group)

    def read_folder_of_several(folder: str) -> dict[str, Sequence[LabelledText]]:
        alone = replace(data, data_dir=[folder])
        splits = read_one(alone)
        return held_out(splits, alone) if "train" in splits else splits

    folders = data.data_dir or []
    splits = joined(folders, read_folder_of_several) if len(folders) > 1 else read_one(data)
    if "train" not in splits:
        return ClassificationData(splits, labels_of(splits[str(only)], args.problem_type))
    labels = declared if declared and args.problem_type != REGRESSION else labels_of(splits["train"], args.problem_type)
    check_labels(splits, labels, data.source, args.problem_type, warn)
    return ClassificationData(splits if len(folders) > 1 else held_out(splits, data), labels)


def read_named_languages() -> dict[str, Sequence[LabelledText]]:
    """Names of the CLDR, labelled with their languages; see `locale_names`."""
    return {
        split: [{"text": name, "label": language} for name, language in pairs]
        for split, pairs in named_languages().items()
    }


def documents(data: DataArguments, column: str | None = None, only: str | None = None) -> dict[str, list[str]]:
    """The texts of labelled data without their labels; `column` is theirs, where a file does not show it.

    Raises:
        UserError: as `load_labelled` does.
    """
    splits = load_labelled(data, ClassificationArguments(document_column=column), only=only).splits
    return {name: [row["text"] for row in rows] for name, rows in splits.items()}
