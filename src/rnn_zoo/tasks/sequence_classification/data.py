"""Labelled texts: `label<TAB>text` lines, CSV, JSON lines or data sets -> what a classifier trains on.

In memory an example is `{"text": ..., "label": ...}`; what its label is depends on the kind of problem:

- `single_label_classification`: a string;
- `multi_label_classification`: a list of strings, which may be empty; in a file they stand between commas, or each has
  a column of 0 and 1;
- `regression`: a number, or a list of numbers, all of one length; in a file they stand between commas (but where fields
  stand between semicolons, which is where a comma is that of a decimal number).

Lines of fastText hold labels as `__label__x` among their words.

Sizes: `N` texts, `T` tokens of one, `K` labels.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from ...data.columns import (
    LABEL_NAMES,
    SHOWN_NAME,
    TEXT_NAMES,
    column_name,
    is_header,
    is_name,
    is_number,
    same_columns,
)
from ...data.fasttext import FASTTEXT, is_fasttext
from ...data.formats import LINE_END, UTF_8, lines_of, read_text
from ...data.held_out import same_text, with_held_out
from ...data.hub_data import class_names, hub_splits
from ...data.json_lines import objects_of, text_of
from ...data.keys import DataArguments
from ...data.sources import read_source
from ...data.splits import ENDINGS_OF_SPLITS, files_beside, split_files
from ...data.tables import DECIMAL_COMMA, SEMICOLONS, SHOWN, kind_of, table_of
from ...errors import UserError, Warn, warn_user
from ...models.keys_classifier import MULTI, REGRESSION, SINGLE, ProblemType
from ...models.tokenization_words import WordCharacterTokenizer, words_of
from ...ranges import check_ranges
from .keys import ClassificationArguments
from .locale_names import named_languages

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedTokenizerBase

Label = str | list[str] | float | list[float]
EXTENSIONS = ("tsv", "csv", "jsonl", "txt")
ROW_NAMES = ("", "id", "idx", "index", "nr", "no", "row", "unnamed: 0")  # of columns that number rows
YES, NO = {"1", "1.0", "true", "yes"}, {"0", "0.0", "false", "no", ""}
EMBEDDED_LABELLED = {"sentiment_sample": Path(__file__).with_name("samples") / "sentiment_sample.tsv"}
NAMED_LANGUAGES = "cldr_languages"
TOO_FEW = "{} texts are too few for the shares held out"
READ = ("input_ids", "character_ids")  # what a model may read of a text
BATCH_TEXTS = 1000  # a backend token costs about 100 bytes: texts in work, not all of them, set the memory
MANY_LABELS = 20  # training texts from which a label for every second one is no class any more


class LabelledText(TypedDict):
    """A text as it stands in the data, and its label or labels."""

    text: str
    label: Any  # a Label; see the head of this module


@dataclass(frozen=True)
class ClassificationData:
    """The texts of each split, and the labels of a classifier that is trained on them.

    Args:
        splits: `train` and `validation`, `test` where there is one; or the one split that was wanted and is there.
        labels: those in `train`, in the order of their ids, or those that the data set itself declares; of a regression
            a name for each number.
    """

    splits: dict[str, list[LabelledText]]
    labels: list[str]


def check_arguments(args: ClassificationArguments) -> None:
    """What no type can say, before anything is read.

    Raises:
        UserError: for a greatest length below 1, or weights of classes where there are none.
    """
    check_ranges(args)
    if args.balance_classes and args.problem_type != SINGLE:
        raise UserError(f"balance_classes: needs problem_type={SINGLE}, not {args.problem_type}")


@dataclass(frozen=True)
class Columns:
    """Where texts and labels stand in a row of fields.

    Args:
        text, label: both places, from 0.
        width: fields that every row has.
        header: those of the first row if it only names the columns, else empty.
    """

    text: int
    label: int
    width: int
    header: list[str]


def columns_of(rows: Sequence[Sequence[str]], source: str, args: ClassificationArguments) -> Columns:
    """The columns of a file, from its rows.

    The first one is a header if a name was told, or if it has known names (see `is_header`). Otherwise texts stand in
    the second of two columns and labels in the first.

    Raises:
        UserError: for a column that is not there, that is both, or that the header names twice, and where it is not
            clear which they are.
    """
    first = rows[0]
    told = {"label_column": args.label_column, "document_column": args.document_column}
    known = {"label_column": LABEL_NAMES, "document_column": TEXT_NAMES}
    lower = [name.strip().lower() for name in first]
    is_named = any(name is not None and not is_number(name) for name in told.values())
    header = [name.strip() for name in first] if is_named or is_header(rows) else []
    # Without a header a told name is looked for in the first text, which may be long.
    shown = ", ".join(name if len(name) <= SHOWN_NAME else f"{name[: SHOWN_NAME - 1]}…" for name in header)
    found: dict[str, int] = {}
    for option, name in told.items():
        if name is not None and is_number(name):
            if not -len(first) <= int(name) < len(first):
                raise UserError(f"{option}={name}: {source} has {len(first)} columns, from 0 to {len(first) - 1}")
            found[option] = int(name) % len(first)
        elif name is not None:
            if name not in header:
                raise UserError(f"{option}={name!r}: the first row of {source} has the columns {shown}")
            found[option] = header.index(name)
        elif fits := [name for name in known[option] if header and name in lower]:
            found[option] = lower.index(fits[0])
    for n, (option, other) in enumerate(zip(told, reversed(told), strict=True)):
        if option not in found:
            if len(first) != 2:
                names = f"the columns {shown}" if header else f"{len(first)} columns and no header"
                raise UserError(f"{option}: not given, and {source} has {names}")
            found[option] = 1 - found[other] if other in found else n
    for n in found.values():
        if header and lower.count(lower[n]) > 1:
            raise UserError(f"{source}: the header names the column {header[n]!r} {lower.count(lower[n])} times")
    label, text = found["label_column"], found["document_column"]
    if text == label:
        raise UserError(f"label_column, document_column: both are column {text} of {source}")
    return Columns(text, label, len(first), header)


def read_labelled(
    path: Path | str, args: ClassificationArguments, warn: Warn = warn_user, encoding: str = UTF_8
) -> list[LabelledText]:
    """The texts of a file: `label<TAB>text` lines, or CSV, or JSON lines, by its name, or lines of fastText; each may
    be gzipped.

    An empty text is kept; how many there are goes into one warning.

    Raises:
        UserError: for a file that cannot be read, unknown columns, a row that lacks one, or no label; the sentence
            names file and line.
    """
    path = Path(path)
    kind, text = kind_of(path), read_text(path, encoding)
    if kind in ("jsonl", "json"):
        found = list(read_json_lines(text, str(path), args, warn))
    elif kind != "csv" and is_fasttext(text):
        found = list(read_fasttext(text, str(path), args))
    else:
        found = read_rows(*table_of(text, kind, str(path)), str(path), args, warn)
    return as_labelled(found, f"{path}:", str(path), args.problem_type, warn)


def read_fasttext(text: str, source: str, args: ClassificationArguments) -> Iterator[tuple[int, Any, Any]]:
    """Number, text and labels of each line that is not empty.

    Raises:
        UserError: for several labels where there may be one.
    """
    for number, line in enumerate(lines_of(text), 1):
        if not line.strip():
            continue
        labels = FASTTEXT.findall(line)
        if args.problem_type == MULTI:
            yield number, FASTTEXT.sub("", line).strip(), labels
            continue
        if len(labels) > 1:
            raise UserError(
                f"{source}:{number}: {len(labels)} labels ({', '.join(labels)[:SHOWN]}); one is expected, any number "
                f"with --problem_type {MULTI}"
            )
        yield number, FASTTEXT.sub("", line).strip(), labels[0] if labels else None


def read_rows(
    rows: Sequence[tuple[int, list[str]]], between: str, source: str, args: ClassificationArguments, warn: Warn
) -> list[tuple[int, Any, Any]]:
    """Number, text and label of each row after the header.

    Raises:
        UserError: for unknown columns, another number of fields than in the first row, or a second header.
    """
    rows = [(number, fields) for number, fields in rows if fields != [""]]
    if not rows:
        return []
    number, first = rows[0]
    if len(first) < 2:
        raise UserError(
            f"{source}:{number}: no label: {len(first)} column between {between}, label and text are expected: "
            f"{first[0][:SHOWN]!r}"
        )
    names = [name.strip() for name in first]
    if args.problem_type == MULTI and (
        several := label_columns(names, [dict(zip(names, fields, strict=False)) for _, fields in rows[1:]], args)
    ):
        place = names.index(column_of_texts(names, several, source, args, warn))
        labels = [(name, names.index(name)) for name in several]
        return [
            (number, fields[place], labels_in({name: fields[n] for name, n in labels}, f"{source}:{number}"))
            for number, fields in same_columns(rows, names, source, between)
        ]
    columns = columns_of([fields for _, fields in rows], source, args)
    found = [
        (number, fields[columns.text], fields[columns.label])
        for number, fields in same_columns(rows, columns.header, source, between)
    ]
    if args.problem_type == REGRESSION and between == SEMICOLONS:
        decimal = [number for number, _, label in found if DECIMAL_COMMA.search(label)]
        found = [(number, text, DECIMAL_COMMA.sub(".", label)) for number, text, label in found]
        if decimal:
            warn(f"{source}:{decimal[0]}: a comma in a number, here and below, is read as that of a decimal number")
    guessed = args.label_column is None and args.document_column is None
    named = {name.lower() for name in columns.header}
    if guessed and named and not (named.intersection(TEXT_NAMES) and named.intersection(LABEL_NAMES)):
        warn(
            f"{source}:{number}: taken for a header: texts are column {columns.header[columns.text]!r}, labels column "
            f"{columns.header[columns.label]!r}"
        )
    elif guessed and not named and args.problem_type == SINGLE and looks_like_header(first, [row[2] for row in found]):
        warn(
            f"{source}:{number}: {first[0]!r} is a label of this row alone; if it is a header, give "
            f"--label_column {first[columns.label]} --document_column {first[columns.text]}"
        )
    return found


def label_columns(names: Sequence[str], rows: Sequence[dict[str, Any]], args: ClassificationArguments) -> list[str]:
    """The columns that each say of one label whether a text has it, by their names; empty if there are none.

    They are those that `label_column` names, between commas; or, where that is not told and no column is known to hold
    labels, all that hold 0 and 1 (or true and false) alone, in several rows and both in one column at least.
    """
    told = args.label_column
    if told is not None:
        several = [name.strip() for name in told.split(",")]
        return several if len(several) > 1 and told not in names and all(name in names for name in several) else []
    if not rows or len(set(names)) < len(names) or any(name.lower() in LABEL_NAMES for name in names):
        return []
    others = [name for name in names if name != args.document_column and name.lower() not in ROW_NAMES]
    values = {name: {sign_of(row.get(name)) for row in rows} for name in others}
    found = [name for name, seen in values.items() if seen <= {True, False} and sign_of(name) is None]
    return found if any(values[name] != {False} for name in found) else []


def sign_of(value: Any) -> bool | None:
    """What a cell says of its label: `1` that the text has it, `0` or nothing that it has not; `None` if neither."""
    lower = "" if value is None else str(value).strip().lower()
    return True if lower in YES else False if lower in NO else None


def labels_in(values: dict[str, Any], place: str) -> list[str]:
    """The labels whose columns say that a text has them.

    Raises:
        UserError: for a cell that is neither 0 nor 1.
    """
    for name, value in values.items():
        if sign_of(value) is None:
            raise UserError(f"{place}: {name} is {str(value)[:SHOWN]!r}, must be 0 or 1")
    return [name for name, value in values.items() if sign_of(value)]


def column_of_texts(
    names: Sequence[str], labels: Sequence[str], source: str, args: ClassificationArguments, warn: Warn
) -> str:
    """The column of texts beside a column for each label.

    Raises:
        UserError: if it is not clear.
    """
    told = args.document_column
    if told is not None and is_number(told) and -len(names) <= int(told) < len(names):
        told = names[int(told)]
    if told is not None:
        return column_name(names, source, "document_column", told, TEXT_NAMES)
    rest = [name for name in names if name not in labels]
    known = [name for name in TEXT_NAMES for other in (name, f"{name}_text") if other in map(str.lower, rest)]
    fitting = [name for name in rest if name.lower() in (known[0], f"{known[0]}_text")] if known else rest
    if len(fitting) != 1:
        raise UserError(f"document_column: not given, and {source} has the columns {', '.join(names)}")
    shown = ", ".join(labels[:6]) + (f" and {len(labels) - 6} more" if len(labels) > 6 else "")
    warn(f"{source}: labels are its columns of 0 and 1 ({shown}), texts column {fitting[0]!r}")
    return fitting[0]


def looks_like_header(first: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether a first row may be one of unknown names: two words, and a label that no other row has, as others do."""
    counts = Counter(labels)
    alone = [label for label, count in counts.items() if count == 1]
    return len(counts) > 2 and alone == [labels[0]] and all(is_name(field) and " " not in field for field in first)


def read_json_lines(
    text: str, source: str, args: ClassificationArguments, warn: Warn
) -> Iterator[tuple[int, Any, Any]]:
    """Number, text and label of each line that is not empty.

    Raises:
        UserError: for a line that is no JSON object, or lacks a column.
    """
    names: tuple[str, str] | None = None
    rows = list(objects_of(text, source))
    keys = list(rows[0][2]) if rows else []
    if args.problem_type == MULTI and (several := label_columns(keys, [row for _, _, row in rows], args)):
        name = column_of_texts(keys, several, source, args, warn)
        for number, line, row in rows:
            texts = text_of(row, name, f"{source}:{number}", line)
            yield number, texts, labels_in({label: row.get(label) for label in several}, f"{source}:{number}")
        return
    for number, line, row in rows:
        names = names or column_names(list(row), source, args)
        for name in names:
            if name not in row:
                raise UserError(f"{source}:{number}: no {name!r} in it: {line[:SHOWN]!r}")
        yield number, row[names[0]], row[names[1]]


def column_names(columns: Sequence[str], source: str, args: ClassificationArguments) -> tuple[str, str]:
    """The names of the columns of texts and of labels, where all columns have names."""
    return (
        column_name(columns, source, "document_column", args.document_column, TEXT_NAMES),
        column_name(columns, source, "label_column", args.label_column, LABEL_NAMES),
    )


def as_labelled(
    rows: Sequence[tuple[int, Any, Any]], before: str, source: str, problem_type: ProblemType, warn: Warn
) -> list[LabelledText]:
    """Numbers, texts and labels of rows -> examples.

    Args:
        rows: of one file or split.
        before: what stands before a row's number in a message.
        source: what a message calls all of them.
        problem_type: says what a label is.
        warn: is told how many texts are empty.

    Raises:
        UserError: for a text that is no string, no label, or one that is none of this kind of problem.
    """
    found: list[LabelledText] = []
    empty = []
    for number, text, label in rows:
        if not isinstance(text, str | None):
            raise UserError(f"{before}{number}: the text is of type {type(text).__name__}, must be a string")
        try:
            found.append({"text": text or "", "label": label_of(label, problem_type)})
        except ValueError as error:
            raise UserError(f"{before}{number}: {error}: {str(text)[:SHOWN]!r}") from error
        if not (text or "").strip():
            empty.append(number)
    if empty:
        warn(f"{source}: {len(empty):,} of {len(rows):,} texts are empty, the first at {before}{empty[0]}")
    if problem_type == REGRESSION:
        widths = [len(row["label"]) if isinstance(row["label"], list) else 1 for row in found]
        if odd := next((n for n, width in enumerate(widths) if width != widths[0]), None):
            raise UserError(f"{before}{rows[odd][0]}: {widths[odd]} numbers, before there were {widths[0]}")
    return found


def label_of(value: Any, problem_type: ProblemType) -> Label:
    """What a file or data set has as a label -> the label as this module has it.

    Raises:
        ValueError: if it is none of this kind of problem.
    """
    if problem_type == SINGLE:
        label = name_of(value)
        if not label:
            raise ValueError("no label")
        return label
    if problem_type == MULTI:
        parts = value if isinstance(value, list) else str("" if value is None else name_of(value)).split(",")
        return list(dict.fromkeys(name for part in parts if (name := name_of(part))))
    values = value if isinstance(value, list) else str(value).split(",")
    numbers = []
    for part in values:
        try:
            numbers.append(float(part))
        except (TypeError, ValueError):
            numbers.append(math.nan)
        if not math.isfinite(numbers[-1]):
            raise ValueError(f"label {part!r} is no number")
    if not numbers:
        raise ValueError("no label")
    return numbers if len(numbers) > 1 else numbers[0]


def name_of(value: Any) -> str:
    """The name of one label: a number's is how it is written."""
    if value is None or value != value:  # also the NaN of pandas
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if not isinstance(value, str | int):
        raise ValueError(f"label {value!r} is of type {type(value).__name__}, must be a string or a number")
    return str(value).strip()


def format_texts(rows: Iterable[LabelledText]) -> str:
    """Examples as `label<TAB>text` lines.

    Raises:
        ValueError: for a text or label that holds a tab or a line end, or a label of several that holds a comma.
    """
    lines = []
    for row in rows:
        labels = row["label"] if isinstance(row["label"], list) else [row["label"]]
        names = [name if isinstance(name, str) else repr(name) for name in labels]
        if len(names) > 1 and any("," in name for name in names):
            raise ValueError(f"labels {names}: no comma can stand in one of several")
        for part in (row["text"], *names):
            if "\t" in part or LINE_END.search(part):
                raise ValueError(f"{part[:SHOWN]!r}: no tab or line end can stand in columns")
        lines.append(f"{','.join(names)}\t{row['text']}\n")
    return "".join(lines)


def load_texts(
    data: DataArguments, args: ClassificationArguments, warn: Warn = warn_user, only: str | None = None
) -> ClassificationData:
    """The texts of each split; what the data does not hold out itself is drawn at random, always the same.

    `only` names the one split that is needed: a folder without a train file may hold just that.

    Raises:
        UserError: for missing, empty or broken files, columns or labels, labels that train lacks, one label only, or a
            Hub that cannot be reached.
    """
    check_arguments(args)
    declared: list[str] = []

    def read_hub() -> dict[str, list[LabelledText]]:
        found = {}
        for name, rows in hub_splits(data).items():
            source = f"{data.dataset_name} ({name})"
            texts = read_dataset(rows, args, source, warn)
            if name == "train":
                declared.extend(class_names(rows, column_names(rows.column_names, source, args)[1]))
            if texts is None:
                if name == "train":
                    raise UserError(f"{source}: its texts have no labels")
                warn(f"{source}: its texts have no labels; left out")
            else:
                found[name] = texts
        return found

    def read(path: Path) -> list[LabelledText]:
        return read_labelled(path, args, warn, data.encoding)

    def read_folder(folder: Path) -> dict[str, list[LabelledText]]:
        extensions = tuple(dict.fromkeys((data.file_extension, *EXTENSIONS, *ENDINGS_OF_SPLITS)))
        files = (
            split_files(folder, extensions, only)
            if args.train_file is None
            else files_beside(folder, args.train_file, extensions, only)
        )
        return {name: read(path) for name, path in files.items()}

    def whole(path: Path) -> dict[str, list[LabelledText]]:
        return {"train": read_labelled(path, args, warn)}

    embedded: dict[str, Any] = {name: partial(whole, path) for name, path in EMBEDDED_LABELLED.items()}
    embedded[NAMED_LANGUAGES] = read_named_languages
    splits = read_source(data, embedded, read_folder, read_hub)
    for name, rows in splits.items():
        if not rows:
            raise UserError(f"{data.source}: the {name} part holds no text")
    if "train" not in splits:
        return ClassificationData(splits, labels_of(splits[str(only)], args.problem_type))
    labels = declared if declared and args.problem_type != REGRESSION else labels_of(splits["train"], args.problem_type)
    check_labels(splits, labels, data.source, args.problem_type, warn)
    splits = with_held_out(splits, data, lambda row: same_text(row["text"]), warn, TOO_FEW, label_group)
    return ClassificationData(splits, labels)


def read_named_languages() -> dict[str, list[LabelledText]]:
    """Names of the CLDR, labelled with their languages; see `locale_names`."""
    return {
        split: [{"text": name, "label": language} for name, language in pairs]
        for split, pairs in named_languages().items()
    }


def read_dataset(
    rows: "datasets.Dataset", args: ClassificationArguments, source: str = "the dataset", warn: Warn = warn_user
) -> list[LabelledText] | None:
    """The texts of a data set with a column of strings and one of labels: `ClassLabel` ids, strings or numbers.

    Returns:
        `None` if no text has a label: they are all `None`, or -1 as in the test parts of GLUE.

    Raises:
        UserError: for missing columns, a text that is no string, or what is no label; the sentence names the row,
            from 0.
    """
    text_column, label_column = column_names(rows.column_names, source, args)
    names = class_names(rows, label_column)
    found: list[tuple[int, Any, Any]] = []
    unlabelled = 0
    for number, row in enumerate(rows.select_columns([text_column, label_column])):
        label = row[label_column]
        unlabelled += label is None or (label == -1 and bool(names))
        if names and args.problem_type != REGRESSION:
            label = [named(id, names) for id in label] if isinstance(label, list) else named(label, names)
        found.append((number, row[text_column], label))
    if found and unlabelled == len(found):
        return None
    return as_labelled(found, f"{source}, row ", source, args.problem_type, warn)


def named(id: Any, names: Sequence[str]) -> Any:
    """The name of an id of a `ClassLabel`; one that has no name is no label."""
    if not isinstance(id, int):
        return id
    return names[id] if 0 <= id < len(names) else None


def check_labels(
    splits: dict[str, list[LabelledText]], labels: Sequence[str], source: str, problem_type: ProblemType, warn: Warn
) -> None:
    """Refuses labels that cannot be learned; a label that another part lacks is a warning.

    Raises:
        UserError: if `train` has one label only, or another part has one that `train` lacks, or as many numbers as it
            has not.
    """
    if problem_type == REGRESSION:
        for name, rows in splits.items():
            if (width := len(labels_of(rows, problem_type))) != len(labels):
                raise UserError(f"{source}: labels of {width} numbers in the {name} part, of {len(labels)} in train")
        return
    counts = {name: label_counts(rows) for name, rows in splits.items()}
    known = counts["train"]
    if len(known) < (2 if problem_type == SINGLE else 1):
        only = f"has only the label {next(iter(known))!r}" if known else "has no label"
        raise UserError(f"{source}: the train part {only}; there must be two to tell apart")
    N = len(splits["train"])
    if problem_type == SINGLE and N > MANY_LABELS and len(known) > N / 2:
        warn(
            f"{source}: {len(known):,} different labels for {N:,} training texts; the first is {next(iter(known))!r}: "
            "is label_column the right one?"
        )
    if lacking := [label for label in labels if label not in known]:
        warn(f"{source}: the train part has no text of {listed(lacking)}")
    for name in ("validation", "test"):
        if name not in counts:
            continue
        if unseen := unseen_labels(splits[name], list(known)):
            raise UserError(f"{source}: the {name} part has labels that the train part lacks: {unseen}")
        if lacking := [label for label in labels if label in known and label not in counts[name]]:
            warn(f"{source}: the {name} part has no text of {listed(lacking)}")


def listed(labels: Sequence[str]) -> str:
    """Labels for a message: the first ones by name."""
    some = ", ".join(map(repr, labels[:8]))
    return some if len(labels) <= 8 else f"{some} and {len(labels) - 8:,} more"


def unseen_labels(rows: Iterable[LabelledText], labels: Sequence[str]) -> str:
    """The labels that are not among `labels`, with the number of their texts: `"'mixed' (3)"`; empty if none."""
    counts = label_counts(rows)
    unseen = sort_labels(counts.keys() - set(labels))
    some = ", ".join(f"{label!r} ({counts[label]:,})" for label in unseen[:8])
    return some if len(unseen) <= 8 else f"{some} and {len(unseen) - 8:,} more"


def label_group(row: LabelledText) -> Any:
    """The label of a text, or all that it has, so that each part may have the same share of these; of numbers none."""
    label = row["label"]
    group = tuple(sorted(label)) if isinstance(label, list) else label
    return group if isinstance(group, str | tuple) else None


def label_counts(rows: Iterable[LabelledText]) -> Counter[str]:
    """How many texts each label has."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(row["label"] if isinstance(row["label"], list) else [row["label"]])
    return counts


def sort_labels(labels: Iterable[str]) -> list[str]:
    """Labels in the order of their ids: by value if all are whole or decimal numbers, else by code points."""
    labels = list(labels)
    if all(re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", label) for label in labels):
        return sorted(labels, key=lambda label: (float(label), label))
    return sorted(labels)


def labels_of(rows: Sequence[LabelledText], problem_type: ProblemType) -> list[str]:
    """The labels there are, in order (see `sort_labels`); of a regression a name for each number."""
    if problem_type != REGRESSION:
        return sort_labels(label_counts(rows))
    label = rows[0]["label"]
    return [f"score_{n}" for n in range(len(label))] if isinstance(label, list) else ["score"]


def label_ids(
    rows: Iterable[LabelledText], labels: Sequence[str], problem_type: ProblemType
) -> list[int] | list[list[float]]:
    """What a model takes as `labels`: ids `(N)`; of several labels 0 or 1 for each, of a regression numbers, `(N, K)`.

    Raises:
        UserError: for a label that is not among `labels`.
    """
    ids = {label: n for n, label in enumerate(labels)}
    found: list[Any] = []
    for row in rows:
        label = row["label"]
        if problem_type == REGRESSION:
            found.append([float(value) for value in (label if isinstance(label, list) else [label])])
            continue
        names = label if isinstance(label, list) else [label]
        if unknown := [name for name in names if name not in ids]:
            raise UserError(f"label {unknown[0]!r}: unknown (choose from {listed(labels)})")
        if problem_type == SINGLE:
            found.append(ids[label])
        else:
            found.append([float(name in names) for name in labels])
    return found


def class_weights(rows: Sequence[LabelledText], labels: Sequence[str]) -> list[float]:
    """The weight `n / (K n_k)` of each label, as scikit-learn's "balanced" has it; 0 for one without a text."""
    counts = label_counts(rows)
    return [len(rows) / (len(labels) * counts[label]) if counts[label] else 0.0 for label in labels]


def encode_texts(
    texts: Sequence[str],
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int | None = None,
    warn: Warn | None = None,
    source_name: str = "the data",
) -> list[dict[str, list]]:
    """`input_ids` of each text as `tokenizer(text)` gives them, and `character_ids` where the tokenizer spells; a text
    of which the tokenizer leaves nothing has none.

    A special token spelled out in a text is text to the tokenizers of this package, which are saved so; an end token at
    the very end is that token.

    Args:
        texts: of one split.
        tokenizer: any.
        max_length: the most ids of a text; a longer one keeps its beginning. `None`: all.
        warn: is told how many were cut.
        source_name: what that warning calls the texts.
    """
    rows: list[dict[str, list]] = []
    for start in range(0, len(texts), BATCH_TEXTS):
        encoded = tokenizer(list(texts[start : start + BATCH_TEXTS]), return_attention_mask=False)
        names = [name for name in READ if name in encoded]
        rows.extend(dict(zip(names, row, strict=True)) for row in zip(*(encoded[name] for name in names), strict=True))
    if max_length is not None:
        long = sum(len(row["input_ids"]) > max_length for row in rows)
        rows = [{name: values[:max_length] for name, values in row.items()} for row in rows]
        if long and warn is not None:
            warn(
                f"{source_name}: {long:,} of {len(rows):,} texts have more than max_text_length={max_length} tokens "
                "and are cut"
            )
    return rows


def distinct_words(texts: Sequence[str], tokenizer: WordCharacterTokenizer) -> set[str]:
    """The words of texts, each once, as the tokenizer cuts and spells them."""
    found: set[str] = set()
    for start in range(0, len(texts), BATCH_TEXTS):
        batch = list(texts[start : start + BATCH_TEXTS])
        for encoding, text in zip(tokenizer(batch).encodings, batch, strict=True):
            found.update(words_of(encoding, text))
    return found
