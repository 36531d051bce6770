"""Tables in plain files, which several tasks read: fields between tabs (`.tsv`), CSV, or JSON lines."""

import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import UserError
from .formats import lines_of

TEXT_NAMES = ("text", "sentence", "content", "review", "question", "document", "tweet", "comment", "phrase")
LABEL_NAMES = (
    "label",
    "labels",
    "class",
    "category",
    "sentiment",
    "target",
    "score",
    "rating",
    "stars",
    "coarse_label",
)
TABLES = ("tsv", "csv", "jsonl", "json")
BETWEEN = {"tsv": "tabs", "csv": "commas"}  # what stands between two fields, for a message
SHOWN = 80  # characters of a bad line in a message
# What may be the name of a column: a few words without the signs of a sentence.
NAME = re.compile(r"[\w#.:/()-]+( [\w#.:/()-]+){0,3}")
LONGEST_NAME = 40


def kind_of(path: Path | str) -> str:
    """The extension of a file in lower case, that of gzip aside: `"tsv"` of `a.TSV.gz`; empty without one."""
    return Path(Path(path).name.lower().removesuffix(".gz")).suffix.removeprefix(".")


def table_rows(text: str, kind: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file, or of one with tabs; see both below."""
    return rows_of_csv(text, source) if kind == "csv" else rows_of_tsv(text)


def rows_of_tsv(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each line that is not empty, by number from 1, and its fields; quotes mean nothing.

    Lines at the head that begin with # and have no tab are comments. In a text without any tab each line is a row of
    one field, also an empty one.
    """
    one_column = "\t" not in text
    at_head = True
    for number, line in enumerate(lines_of(text), 1):
        if not one_column and (not line or (at_head and line.startswith("#") and "\t" not in line)):
            continue
        at_head = False
        yield number, line.split("\t")


def rows_of_csv(text: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, by the number of its last line, and its fields; texts may stand between quotes.

    Where there is one column an empty row is an empty field.

    Raises:
        UserError: for quotes that do not end.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        with any_field_size():
            rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UserError(f"{source}:{reader.line_num}: not readable as CSV: {error}") from error
    one_column = all(len(row) < 2 for _, row in rows)
    yield from ((number, row or [""]) for number, row in rows if row or one_column)


@contextmanager
def any_field_size() -> Iterator[None]:
    """Lets csv read texts of more than its 131,072 characters."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def objects_of(text: str, source: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Each line that is not blank: its number from 1, as it stands, and the JSON object that it is.

    Raises:
        UserError: for a line that is no JSON object.
    """
    for number, line in enumerate(lines_of(text), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{source}:{number}: not readable as JSON: {error}: {line[:SHOWN]!r}") from error
        if not isinstance(row, dict):
            raise UserError(f"{source}:{number}: an object is expected on each line: {line[:SHOWN]!r}")
        yield number, line, row


def text_of(row: dict[str, Any], name: str, place: str, line: str) -> str:
    """A text of a JSON object; null is empty.

    Raises:
        UserError: if it is not there, or is no string.
    """
    if name not in row:
        raise UserError(f"{place}: no {name!r} in it: {line[:SHOWN]!r}")
    if not isinstance(row[name], str | None):
        raise UserError(f"{place}: {name!r} is of type {type(row[name]).__name__}, must be a string")
    return row[name] or ""


def is_number(name: str) -> bool:
    """Whether a column is told by its number, and not by a name."""
    return re.fullmatch(r"-?[0-9]+", name) is not None


def is_name(field: str) -> bool:
    """Whether a field may be the name of a column, as a sentence is not."""
    return len(field) <= LONGEST_NAME and NAME.fullmatch(field.strip()) is not None


def is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first of some rows names the columns of texts and labels.

    It does if it has a known name for both. If it has one of them, all its fields must look like names, and none may
    stand again in its column: a label such as `question` would. A single column is named by a name of texts.
    """
    first = [field.strip() for field in rows[0]]
    lower = [field.lower() for field in first]
    text, label = (any(name in lower for name in names) for names in (TEXT_NAMES, LABEL_NAMES))
    if len(first) == 1 or (text and label):
        return text
    if not (text or label) or len(rows) < 2 or not all(map(is_name, first)):
        return False
    return not any(row[n].strip() == field for row in rows[1:] for n, field in enumerate(first) if n < len(row))
