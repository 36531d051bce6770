"""The texts of a table alone, with other columns or without."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from .columns import LABEL_NAMES, SHOWN_NAME, TEXT_NAMES, column_name, is_header, is_number, same_columns
from .fasttext import FASTTEXT, WITHOUT_LABELS, is_fasttext
from .formats import UTF_8, lines_of, read_text
from .json_lines import objects_of, text_of
from .tables import SHOWN, kind_of, table_of


def read_texts(
    path: Path | str,
    told: str | None = None,
    usual: str | None = None,
    option: str = "document_column",
    encoding: str = UTF_8,
) -> tuple[list[str], str]:
    """The texts of a table alone, labelled or not, in the order of its rows; an empty text stays.

    Texts stand where `read_labelled` finds them. Without labels they stand in the only column, which a known name may
    head, or in that of a known name.

    Args:
        path: a file with tabs, CSV or JSON lines, by its name; each may be gzipped.
        told: the column, a number from 0 or a name; `None`: to be found.
        usual: the column that training was told, which counts where the file has it.
        option: what a message calls `told`.
        encoding: of the file.

    Returns:
        The texts, and which column they are, for a message; empty if there is no row.

    Raises:
        UserError: for a file that cannot be read, a column that is not there or not clear, a row of other columns, or
            a text that is no string; the sentence names the line.
    """
    path = Path(path)
    kind, source, text = kind_of(path), str(path), read_text(path, encoding)
    if kind in ("jsonl", "json"):
        return texts_of_objects(list(objects_of(text, source)), source, told, usual, option)
    if kind != "csv" and is_fasttext(text):
        return [FASTTEXT.sub("", line).strip() for line in lines_of(text) if line.strip()], WITHOUT_LABELS
    rows, between = table_of(text, kind, source)
    if not rows:
        return [], ""
    place, header = text_column([fields for _, fields in rows], source, between, told, usual, option)
    texts = [fields[place] for _, fields in same_columns(rows, header, source, between)]
    return texts, f"column {header[place]!r}" if header else f"column {place}, counted from 0; there is no header"


def text_column(
    rows: Sequence[Sequence[str]], source: str, between: str, told: str | None, usual: str | None, option: str
) -> tuple[int, list[str]]:
    """The place of the texts in rows of fields, and the header, empty if there is none; see `read_texts`."""
    first = [field.strip() for field in rows[0]]
    lower = [field.lower() for field in first]
    width = len(first)
    if width == 1 and any(set(lower[0].split(sign)) & {*TEXT_NAMES} for sign in ",;|\t" if sign in lower[0]):
        raise UserError(f"{source}: {between} are expected between columns, and there are none in {first[0][:SHOWN]!r}")
    if told is None and usual is not None:
        fits = width > 1 and is_number(usual) and -width <= int(usual) < width
        told = usual if fits or usual in first else None
    if told is not None and not is_number(told):
        if told not in first:
            shown = ", ".join(name[:SHOWN_NAME] for name in first)
            raise UserError(f"{option}={told!r}: the first row of {source} has the columns {shown}")
        if first.count(told) > 1:
            raise UserError(f"{source}: the header names the column {told!r} {first.count(told)} times")
        return first.index(told), first
    header = first if is_header(rows) else []
    if told is not None:
        if not -width <= int(told) < width:
            raise UserError(f"{option}={told}: {source} has {width} columns, from 0 to {width - 1}")
        return int(told) % width, header
    if header:
        if named := [name for name in TEXT_NAMES if name in lower]:
            if lower.count(named[0]) > 1:
                raise UserError(f"{source}: the header names the column {named[0]!r} {lower.count(named[0])} times")
            return lower.index(named[0]), header
        others = [n for n in range(width) if lower[n] not in LABEL_NAMES]
        if width == 2 and others:
            return others[0], header
    elif width <= 2:
        return width - 1, header
    have = f"the columns {', '.join(name[:SHOWN_NAME] for name in header)}" if header else f"{width} columns, no header"
    raise UserError(f"{option}: not given, and {source} has {have}")


def texts_of_objects(
    rows: Sequence[tuple[int, str, dict[str, Any]]], source: str, told: str | None, usual: str | None, option: str
) -> tuple[list[str], str]:
    """As `read_texts`, of JSON lines: a text that is null is empty."""
    if not rows:
        return [], ""
    keys = list(rows[0][2])
    if told is None and usual in keys:
        told = usual
    name = column_name(keys, source, option, told, TEXT_NAMES)
    return [text_of(row, name, f"{source}:{number}", line) for number, line, row in rows], f"column {name!r}"
