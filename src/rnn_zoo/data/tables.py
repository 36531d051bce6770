"""Tables in plain files, which several tasks read: fields between tabs (`.tsv`), CSV, or JSON lines."""

import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

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
TABS, COMMAS, SEMICOLONS = "tabs", "commas", "semicolons"  # what stands between two fields, for a message
LOOKED_AT = 1000  # rows of a CSV file by which its separator is known
DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")
SHOWN = 80  # characters of a bad line in a message
# What may be the name of a column: a few words without the signs of a sentence.
NAME = re.compile(r"[\w#.:/()-]+( [\w#.:/()-]+){0,3}")
LONGEST_NAME = 40


def kind_of(path: Path | str) -> str:
    """The extension of a file in lower case, that of gzip aside: `"tsv"` of `a.TSV.gz`; empty without one."""
    return Path(Path(path).name.lower().removesuffix(".gz")).suffix.removeprefix(".")


class Table(NamedTuple):
    """The rows of a table, by their numbers.

    Args:
        rows: of fields.
        between: what stands between two of these, for a message.
    """

    rows: list[tuple[int, list[str]]]
    between: str


def table_of(text: str, kind: str, source: str) -> Table:
    """The rows of a CSV file, with commas or semicolons, or of one with tabs; see below."""
    if kind != "csv":
        return Table(list(rows_of_tsv(text)), TABS)
    semicolons = has_semicolons(text)
    rows = rows_of_csv(text, source, ";" if semicolons else ",")
    return Table(list(rows), SEMICOLONS if semicolons else COMMAS)


def has_semicolons(text: str) -> bool:
    """Whether semicolons stand between the fields of a CSV file, as where commas are those of decimal numbers.

    They do if with them all rows have the same number of fields, two or more, and with commas they have not; or if they
    have, but each comma stands between two digits.
    """
    if ";" not in text:
        return False
    by_semicolon, by_comma = (first_rows(text, sign) for sign in ";,")
    if by_semicolon is None or not are_even(by_semicolon):
        return False
    if by_comma is None or not are_even(by_comma):
        return len(by_semicolon) > 1 or by_comma is None
    fields = [field for row in by_semicolon for field in row]
    return all("," not in DECIMAL_COMMA.sub("", field) for field in fields)


def first_rows(text: str, separator: str) -> list[list[str]] | None:
    """The first rows of a CSV file with this separator that are not empty; `None` if it is none."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    try:
        with any_field_size():
            return [row for row in islice(reader, LOOKED_AT) if row]
    except csv.Error:
        return None


def are_even(rows: list[list[str]]) -> bool:
    """Whether all rows have one number of fields, two or more."""
    widths = {len(row) for row in rows}
    return len(widths) == 1 and min(widths) > 1


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


def rows_of_csv(text: str, source: str, separator: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, by the number of its last line, and its fields; texts may stand between quotes.

    Where there is one column an empty row is an empty field.

    Raises:
        UserError: for quotes that do not end.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
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
            if "\\ud" in line or "\\uD" in line:
                json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"{source}:{number}: holds half a character (a lone surrogate, \\ud800 to \\udfff): {line[:SHOWN]!r}"
            ) from error
        except (ValueError, RecursionError) as error:
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
    return re.fullmatch(r"-?[0-9]{1,9}", name) is not None


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
