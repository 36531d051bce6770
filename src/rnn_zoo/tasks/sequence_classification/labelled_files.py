"""Labelled texts in files and data sets: `label<TAB>text` lines, CSV, JSON lines, lines of fastText -> examples.

Several labels of a text stand between commas, or each has a column of 0 and 1; so do several numbers stand between
commas (but where fields stand between semicolons, which is where a comma is that of a decimal number). Lines of
fastText hold labels as `__label__x` among their words.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...data.columns import (
    LABEL_NAMES,
    SHOWN_NAME,
    TEXT_NAMES,
    column_name,
    is_header,
    is_name,
    is_number,
    place_of_number,
    same_columns,
)
from ...data.fasttext import FASTTEXT, is_fasttext
from ...data.formats import LINE_END, UTF_8, FileText, each_line, read_text
from ...data.hub_data import class_names
from ...data.json_lines import objects_of, text_of
from ...data.stored_rows import are_large, blocks_of, dictionaries, store_rows
from ...data.tables import DECIMAL_COMMA, SEMICOLONS, SHOWN, each_row, kind_of, peeked
from ...errors import UserError, Warn, warn_user
from ...models.keys_classifier import MULTI, REGRESSION, SINGLE
from ..several import new_names
from .keys import ClassificationArguments
from .labels import Label, LabelledText, label_of

if TYPE_CHECKING:
    import datasets

ROW_NAMES = ("", "id", "idx", "index", "nr", "no", "row", "unnamed: 0")  # of columns that number rows
YES, NO = {"1", "1.0", "true", "yes"}, {"0", "0.0", "false", "no", ""}


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
            found[option] = place_of_number(name, option, len(first), source)
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
) -> Sequence[LabelledText]:
    """The texts of a file: `label<TAB>text` lines, or CSV, or JSON lines, by its name, or lines of fastText; each may
    be gzipped.

    An empty text is kept; how many there are goes into one warning.

    Raises:
        UserError: for a file that cannot be read, unknown columns, a row that lacks one, or no label; the sentence
            names file and line.
    """
    path = Path(path)
    if not are_large(path):
        return list(each_labelled(read_text(path, encoding), path, args, warn))
    import pyarrow

    label = pyarrow.string() if args.problem_type == SINGLE else pyarrow.list_(pyarrow.string())
    if args.problem_type == REGRESSION:
        label = pyarrow.list_(pyarrow.float64())
    schema = pyarrow.schema({"text": pyarrow.string(), "label": label})

    def read(warn: Warn) -> Iterator[pyarrow.Table]:
        found = each_labelled(FileText(path, encoding), path, args, warn)
        return blocks_of(map(itemgetter("text", "label"), map(as_stored, found)), schema)

    keys = (encoding, args.problem_type, args.document_column, args.label_column, args.rename_labels)
    rows_of = as_read if args.problem_type == REGRESSION else dictionaries
    return store_rows([path], keys, read, schema, warn, rows_of)


def as_stored(row: LabelledText) -> dict[str, Any]:
    """A number is stored as a list of one."""
    return {**row, "label": [row["label"]]} if isinstance(row["label"], float) else {**row}


def as_read(columns: dict[str, list]) -> list[LabelledText]:
    """The rows of a regression, as they were before they were stored."""
    numbers = (label[0] if len(label) == 1 else label for label in columns["label"])
    return [{"text": text, "label": label} for text, label in zip(columns["text"], numbers, strict=True)]


def each_labelled(
    text: str | FileText, path: Path, args: ClassificationArguments, warn: Warn
) -> Iterator[LabelledText]:
    """The texts of a file, one after the other; see `read_labelled`."""
    kind = kind_of(path)
    if kind in ("jsonl", "json"):
        found = read_json_lines(text, str(path), args, warn)
    elif kind != "csv" and is_fasttext(text):
        found = read_fasttext(text, str(path), args)
    else:
        found = read_rows(text, str(path), args, warn)
    return as_labelled(found, f"{path}:", str(path), args, warn)


def read_fasttext(text: str | FileText, source: str, args: ClassificationArguments) -> Iterator[tuple[int, Any, Any]]:
    """Number, text and labels of each line that is not empty.

    Raises:
        UserError: for several labels where there may be one.
    """
    for number, line in enumerate(each_line(text), 1):
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
    text: str | FileText, source: str, args: ClassificationArguments, warn: Warn
) -> Iterator[tuple[int, Any, Any]]:
    """Number, text and label of each row after the header.

    Raises:
        UserError: for unknown columns, another number of fields than in the first row, or a second header.
    """
    every_row, between = each_row(text, kind_of(source), source)
    head, rows = peeked(((number, fields) for number, fields in every_row if fields != [""]), text)
    if not head:
        return
    number, first = head[0]
    if len(first) < 2:
        raise UserError(
            f"{source}:{number}: no label: {len(first)} column between {between}, label and text are expected: "
            f"{first[0][:SHOWN]!r}"
        )
    names = [name.strip() for name in first]
    if args.problem_type == MULTI and (
        several := label_columns(names, [dict(zip(names, fields, strict=False)) for _, fields in head[1:]], args)
    ):
        place = names.index(column_of_texts(names, several, source, args, warn))
        labels = [(name, names.index(name)) for name in several]
        for number, fields in same_columns(rows, names, source, between):
            found = labels_in({name: fields[n] for name, n in labels}, f"{source}:{number}")
            yield number, fields[place], found
        return
    columns = columns_of([fields for _, fields in head], source, args)
    decimal: list[int] = []  # the first row with the comma of a decimal number
    counts: Counter[str] = Counter()

    def each() -> Iterator[tuple[int, str, str]]:
        for n, fields in same_columns(rows, columns.header, source, between):
            label = fields[columns.label]
            if args.problem_type == REGRESSION and between == SEMICOLONS and DECIMAL_COMMA.search(label):
                decimal.extend([n] * (not decimal))
                label = DECIMAL_COMMA.sub(".", label)
            if args.problem_type == SINGLE:
                counts[label] += 1
            yield n, fields[columns.text], label

    made = list(each()) if isinstance(text, str) else []  # so that what is seen is said before a label is refused
    yield from () if isinstance(text, str) else each()
    if decimal:
        warn(f"{source}:{decimal[0]}: a comma in a number, here and below, is read as that of a decimal number")
    guessed = args.label_column is None and args.document_column is None
    named = {name.lower() for name in columns.header}
    if guessed and named and not (named.intersection(TEXT_NAMES) and named.intersection(LABEL_NAMES)):
        warn(
            f"{source}:{number}: taken for a header: texts are column {columns.header[columns.text]!r}, labels column "
            f"{columns.header[columns.label]!r}"
        )
    elif guessed and not named and args.problem_type == SINGLE and looks_like_header(first, counts):
        warn(
            f"{source}:{number}: {first[0]!r} is a label of this row alone; if it is a header, give "
            f"--label_column {first[columns.label]} --document_column {first[columns.text]}"
        )
    yield from made


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


def looks_like_header(first: Sequence[str], counts: Counter[str]) -> bool:
    """Whether a first row may be one of unknown names: two words, and a label that no other row has, as others do.

    Args:
        first: row.
        counts: of the labels of all rows, in the order in which they first come.
    """
    alone = [label for label, count in counts.items() if count == 1]
    return (
        len(counts) > 2
        and alone == [next(iter(counts))]
        and all(is_name(field) and " " not in field for field in first)
    )


def read_json_lines(
    text: str | FileText, source: str, args: ClassificationArguments, warn: Warn
) -> Iterator[tuple[int, Any, Any]]:
    """Number, text and label of each line that is not empty.

    Raises:
        UserError: for a line that is no JSON object, or lacks a column.
    """
    names: tuple[str, str] | None = None
    head, rows = peeked(objects_of(text, source), text)
    keys = list(head[0][2]) if head else []
    if args.problem_type == MULTI and (several := label_columns(keys, [row for _, _, row in head], args)):
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
    rows: Iterable[tuple[int, Any, Any]], before: str, source: str, args: ClassificationArguments, warn: Warn
) -> Iterator[LabelledText]:
    """Numbers, texts and labels of rows -> examples.

    Args:
        rows: of one file or split.
        before: what stands before a row's number in a message.
        source: what a message calls all of them.
        args: say what a label is, and which get other names.
        warn: is told how many texts are empty.

    Raises:
        UserError: for a text that is no string, no label, or one that is none of this kind of problem.
    """
    problem_type, names = args.problem_type, new_names("rename_labels", args.rename_labels)
    total, empty = 0, []
    width: int | None = None
    odd: tuple[int, int] | None = None  # the first row of another width than the first, and that
    for number, text, label in rows:
        if not isinstance(text, str | None):
            raise UserError(f"{before}{number}: the text is of type {type(text).__name__}, must be a string")
        try:
            made = renamed(label_of(label, problem_type), names)
        except ValueError as error:
            raise UserError(f"{before}{number}: {error}: {str(text)[:SHOWN]!r}") from error
        if not (text or "").strip():
            empty.append(number)
        if problem_type == REGRESSION:
            numbers = len(made) if isinstance(made, list) else 1
            width = numbers if width is None else width
            if numbers != width and odd is None:
                odd = number, numbers
        total += 1
        yield {"text": text or "", "label": made}
    if empty:
        warn(f"{source}: {len(empty):,} of {total:,} texts are empty, the first at {before}{empty[0]}")
    if odd is not None:
        raise UserError(f"{before}{odd[0]}: {odd[1]} numbers, before there were {width}")


def renamed(label: Label, names: Mapping[str, str]) -> Label:
    """A label, or several, with the new `names` that some have; numbers stay as they are."""
    if isinstance(label, str):
        return names.get(label, label)
    if names and isinstance(label, list):
        new: Any = list(dict.fromkeys(names.get(one, one) if isinstance(one, str) else one for one in label))
        return new
    return label


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
    return list(as_labelled(found, f"{source}, row ", source, args, warn))


def named(id: Any, names: Sequence[str]) -> Any:
    """The name of an id of a `ClassLabel`; one that has no name is no label."""
    if not isinstance(id, int):
        return id
    return names[id] if 0 <= id < len(names) else None


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
