"""Tables in plain files: fields between tabs (`.tsv`), or CSV with commas or semicolons."""

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from ..errors import UserError
from .formats import FileText, each_line

T = TypeVar("T")
TABLES = ("tsv", "csv", "jsonl", "json")
TABS, COMMAS, SEMICOLONS = "tabs", "commas", "semicolons"  # what stands between two fields, for a message
LOOKED_AT = 1000  # rows of a CSV file by which its separator is known
DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")
HEAD = 10_000  # rows of a large file by which it is known what they hold
SHOWN = 80  # characters of a bad line in a message


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
    rows, between = each_row(text, kind, source)
    return Table(list(rows), between)


def each_row(text: str | FileText, kind: str, source: str) -> tuple[Iterator[tuple[int, list[str]]], str]:
    """As `table_of`, row by row."""
    if kind != "csv":
        return rows_of_tsv(text), TABS
    semicolons = has_semicolons(text)
    return rows_of_csv(text, source, ";" if semicolons else ","), SEMICOLONS if semicolons else COMMAS


def peeked(rows: Iterable[T], text: str | FileText) -> tuple[list[T], Iterator[T]]:
    """The rows of a text by which it is known what they hold, and all rows: of a large file the first ones."""
    rest = iter(rows)
    first = list(islice(rest, HEAD if isinstance(text, FileText) else None))
    return first, chain(first, rest)


def lines_for_csv(text: str | FileText) -> Iterator[str]:
    return io.StringIO(text, newline="") if isinstance(text, str) else text.lines_with_ends()


def has_semicolons(text: str | FileText) -> bool:
    """Whether semicolons stand between the fields of a CSV file, as where commas are those of decimal numbers.

    They do if with them all rows have the same number of fields, two or more, and with commas they have not; or if they
    have, but each comma stands between two digits.
    """
    if isinstance(text, str) and ";" not in text:
        return False
    by_semicolon, by_comma = (first_rows(text, sign) for sign in ";,")
    if by_semicolon is None or not are_even(by_semicolon):
        return False
    if by_comma is None or not are_even(by_comma):
        return len(by_semicolon) > 1 or by_comma is None
    fields = [field for row in by_semicolon for field in row]
    return all("," not in DECIMAL_COMMA.sub("", field) for field in fields)


def first_rows(text: str | FileText, separator: str) -> list[list[str]] | None:
    """The first rows of a CSV file with this separator that are not empty; `None` if it is none."""
    reader = csv.reader(lines_for_csv(text), strict=True, delimiter=separator)
    try:
        with any_field_size():
            return [row for row in islice(reader, LOOKED_AT) if row]
    except csv.Error:
        return None


def are_even(rows: list[list[str]]) -> bool:
    """Whether all rows have one number of fields, two or more."""
    widths = {len(row) for row in rows}
    return len(widths) == 1 and min(widths) > 1


def rows_of_tsv(text: str | FileText) -> Iterator[tuple[int, list[str]]]:
    """Each line that is not empty, by number from 1, and its fields; quotes mean nothing.

    Lines at the head that begin with # and have no tab are comments. In a text without any tab each line is a row of
    one field, also an empty one.
    """
    one_column = "\t" not in text if isinstance(text, str) else not any("\t" in line for line in text)
    at_head = True
    for number, line in enumerate(each_line(text), 1):
        if not one_column and (not line or (at_head and line.startswith("#") and "\t" not in line)):
            continue
        at_head = False
        yield number, line.split("\t")


def rows_of_csv(text: str | FileText, source: str, separator: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, by the number of its last line, and its fields; texts may stand between quotes.

    Where there is one column an empty row is an empty field.

    Raises:
        UserError: for quotes that do not end.
    """
    reader = csv.reader(lines_for_csv(text), strict=True, delimiter=separator)
    try:
        with any_field_size():
            first, rows = peeked(((reader.line_num, row) for row in reader), text)
            one_column = all(len(row) < 2 for _, row in first)
            yield from ((number, row or [""]) for number, row in rows if row or one_column)
    except csv.Error as error:
        raise UserError(f"{source}:{reader.line_num}: not readable as CSV: {error}") from error


@contextmanager
def any_field_size() -> Iterator[None]:
    """Lets csv read texts of more than its 131,072 characters."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
