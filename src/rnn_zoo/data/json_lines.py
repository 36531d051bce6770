"""JSON lines: an object on each line of a file."""

import json
from collections.abc import Iterator
from typing import Any

from ..errors import UserError
from .formats import FileText, each_line
from .tables import SHOWN


def objects_of(text: str | FileText, source: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Each line that is not blank: its number from 1, as it stands, and the JSON object that it is.

    Raises:
        UserError: for a line that is no JSON object.
    """
    for number, line in enumerate(each_line(text), 1):
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
