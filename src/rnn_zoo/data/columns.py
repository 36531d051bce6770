"""Which column of a table holds what: by the name or number that was told, a known name, or a header."""

import re
from collections.abc import Iterable, Iterator, Sequence

from ..errors import UserError
from .tables import SHOWN

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
# What may be the name of a column: a few words without the signs of a sentence.
NAME = re.compile(r"[\w#.:/()-]+( [\w#.:/()-]+){0,3}")
LONGEST_NAME = 40
SHOWN_NAME = 40  # characters of a column's name in a message


def is_number(name: str) -> bool:
    """Whether a column is told by its number, and not by a name."""
    return re.fullmatch(r"-?[0-9]{1,9}", name) is not None


def place_of_number(told: str, option: str, width: int, source: str) -> int:
    """The place, from 0, of a column told by its number; a negative one counts from the end.

    Raises:
        UserError: if there are fewer columns.
    """
    if not -width <= int(told) < width:
        raise UserError(f"{option}={told}: {source} has {width} columns, from 0 to {width - 1}")
    return int(told) % width


def require_once(names: Sequence[str], name: str, source: str) -> None:
    """Raises `UserError` if a header has a name several times."""
    if names.count(name) > 1:
        raise UserError(f"{source}: the header names the column {name!r} {names.count(name)} times")


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


def column_name(columns: Sequence[str], source: str, option: str, told: str | None, known: Sequence[str]) -> str:
    """The name of one column: the one told, or the first known one that there is."""
    name = told if told is not None else next((name for name in known if name in columns), None)
    if name is None or name not in columns:
        wanted = f"={told!r}" if told is not None else f": not given, and none is named {known[0]}"
        raise UserError(f"{option}{wanted}; {source} has the columns {', '.join(columns)}")
    return name


def same_columns(
    rows: Iterable[tuple[int, list[str]]], header: Sequence[str], source: str, between: str
) -> Iterator[tuple[int, list[str]]]:
    """The rows after the header, which all have as many columns as the first.

    Raises:
        UserError: for a row that has not, or is the header again.
    """
    width: int | None = None
    for number, fields in rows:
        if width is None:
            width = len(fields)
            if header:
                continue
        if len(fields) != width:
            raise UserError(
                f"{source}:{number}: {len(fields)} column{'s' * (len(fields) != 1)} between {between}, "
                f"{width} {'is' if width == 1 else 'are'} expected: {' '.join(fields)[:SHOWN]!r}"
            )
        if width > 1 and header and [name.strip() for name in fields] == header:
            raise UserError(f"{source}:{number}: the header stands here again: {', '.join(header)}")
        yield number, fields
