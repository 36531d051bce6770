"""Which columns of a table hold sources and targets: by a header, or by what stands in them.

Files of pairs come as `source<TAB>target`, with a header or without, with a number before each sentence (Tatoeba's own
download), or with an attribution behind (manythings.org).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from ...data.cldr import require_babel
from ...data.columns import TEXT_NAMES, is_name, is_number
from ...data.tables import SHOWN
from ...errors import UserError

SOURCE, TARGET = "source", "target"
SIDES = {
    SOURCE: {"source", "src", "input", "original"},
    TARGET: {"target", "tgt", "trg", "output", "translation", "reference"},
}
ANY_TEXT = {*TEXT_NAMES, "sentences", "texts", "string", "sent", "lang", "language"}  # say nothing of the side
NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")
ATTRIBUTION = re.compile(r"CC[- ]BY|tatoeba|https?://", re.IGNORECASE)
NUMBERS = "id"  # names a column of numbers, or Indonesian
FEW = 3  # rows from which it is told by the rows below what a first row is, or a column


class PairColumns(NamedTuple):
    """Where the two sides of a pair stand in a row of fields.

    Args:
        source, target: both places, from 0.
        header: those of the first row if it only names the columns, else empty.
        note: what a user should know of how they were found; empty where that is `source<TAB>target` as ever.
    """

    source: int
    target: int
    header: list[str]
    note: str = ""


@lru_cache(maxsize=4096)
def language_of(name: str) -> str | None:
    """The language that a code or an English name means: `"de"` for `de`, `deu`, `ger` and `German`, `"de_at"` for
    `de-AT`; `None` if none."""
    require_babel()
    from babel.core import Locale, get_global

    names = Locale.parse("en").languages
    code, *rest = re.split(r"[-_]", name.strip().lower())
    code = get_global("language_aliases").get(code, code)
    if code in names and all(re.fullmatch(r"[a-z]{2,4}|[0-9]{3}", part) for part in rest):
        return "_".join([code, *rest])
    return next((code for code, known in names.items() if known.lower() == name.strip().lower()), None)


def own_name(language: str) -> str | None:
    """What a language calls itself, in lower case: `"deutsch"` for `de`."""
    from babel.core import Locale, UnknownLocaleError

    try:
        return (Locale.parse(language).get_language_name() or "").lower() or None
    except UnknownLocaleError:  # a language of which no more than the name is known
        return None


def side_of(name: str) -> str | None:
    """What the name of a column says: `SOURCE`, `TARGET`, a language (see `language_of`), or nothing."""
    if not is_name(name):
        return None
    lower = name.strip().lower()
    parts = [part for part in re.split(r"[\W_]+", lower) if part not in ANY_TEXT]
    for side, known in SIDES.items():
        if known.intersection(parts):
            return side
    return language_of(lower) or (language_of(parts[0]) if len(parts) == 1 else None)


def place_of_side(names: Sequence[str], told: str | None, side: str, others: bool = True) -> int | None:
    """The column that a header names as one side: as told, by the told language, or (`others`) as source or target."""
    lower = [name.strip().lower() for name in names]
    found = [side_of(name) for name in names]
    ways = [[n for n, name in enumerate(lower) if told is not None and name == told.strip().lower()]]
    if told is not None and (language := language_of(told)):
        ways.append([n for n, known in enumerate(found) if known == language])
        base = language.split("_")[0]
        ways.append([n for n, known in enumerate(found) if known and known.split("_")[0] == base])
        ways.append([n for n, name in enumerate(lower) if name == own_name(base)])
    if others:
        ways.append([n for n, known in enumerate(found) if known == side])
    return next((way[0] for way in ways if len(way) == 1), None)


def by_names(names: Sequence[str], source_lang: str | None, target_lang: str | None) -> tuple[int, int] | None:
    """The columns of source and target by their names, or `None` if these do not say both."""
    source = place_of_side(names, source_lang, SOURCE)
    target = place_of_side(names, target_lang, TARGET)
    sides = [side_of(name) for name in names]
    languages = [n for n, side in enumerate(sides) if side not in (None, SOURCE, TARGET)]
    if len(languages) > 2:
        languages = [n for n in languages if names[n].strip().lower() != NUMBERS]
    if len(languages) == 2 and sides[languages[0]] != sides[languages[1]]:
        # One language told: the other one is the other side. None told: as they follow one another.
        if source is None and target in languages and source_lang is None:
            source = next(n for n in languages if n != target)
        elif target is None and source in languages and target_lang is None:
            target = next(n for n in languages if n != source)
        elif source is None and target is None and source_lang is None and target_lang is None:
            source, target = languages
    # One side named so, and one other name that may be the other side.
    if source is None and target is not None and sides[target] == TARGET:
        texts = [n for n, name in enumerate(names) if name.strip().lower() in ANY_TEXT]
        others = texts if source_lang is not None or len(texts) == 1 else languages
        source = others[0] if len(others) == 1 else None
    elif target is None and source is not None and sides[source] == SOURCE and target_lang is None:
        target = languages[0] if len(languages) == 1 else None
    return None if source is None or target is None or source == target else (source, target)


def pair_columns(
    rows: Sequence[Sequence[str]], source: str, source_lang: str | None = None, target_lang: str | None = None
) -> PairColumns:
    """The columns of a table of pairs, from its rows, of which there is one or more.

    A first row that names both sides is a header: by the languages told, as `source` and `target` or the like, or by
    two languages. Without names the columns are found by what stands in them (see `by_content`).

    Raises:
        UserError: for a header without a told language, or where it is not clear which columns they are.
    """
    first = [field.strip() for field in rows[0]]
    names = without_numbers(rows)
    found = by_names(names, source_lang, target_lang)
    # Codes that stand before each sentence are no header.
    again = bool(found) and len(rows) > 1 and rows[1] != rows[0] and all(rows[0][n] in rows[1] for n in found or ())
    if found and not again:
        sides = f"source is {first[found[0]]!r}, target {first[found[1]]!r}"
        return PairColumns(*found, first, f"{source}: the first line names the columns: {sides}")
    if len(first) == 2 and "" in names and names != first:
        raise UserError(f"{source}: the columns {', '.join(first)} are no pairs: {NUMBERS} holds numbers")
    note = "" if again else check_other_header(names, source, source_lang, target_lang)
    return PairColumns(0, 1, [], note) if len(first) == 2 else by_content(rows, source)


def without_numbers(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first row, where `id` over a column of numbers is no name of a language."""
    names = [field.strip() for field in rows[0]]
    below = [[row[n].strip() for row in rows[1:] if n < len(row)] for n in range(len(names))]
    return ["" if name.lower() == NUMBERS and are_numbers(below[n]) else name for n, name in enumerate(names)]


def check_other_header(first: Sequence[str], source: str, source_lang: str | None, target_lang: str | None) -> str:
    """What is to be said of a first row that may be a header, though it does not name both sides.

    Raises:
        UserError: if it certainly is: if it is of names of languages, one of them told and the other not there, or if
            it names more than two sides.
    """
    shown = ", ".join(first)[:SHOWN]
    sides = [side_of(field) for field in first]
    told = [("source_lang", source_lang), ("target_lang", target_lang)]
    there = [lang is not None and place_of_side(first, lang, "", others=False) is not None for _, lang in told]
    if None not in sides and len(set(sides)) > 1 and any(there):
        name, lang = told[there.index(False)]
        raise UserError(f"{name}={lang!r}: {source} has the columns {shown}")
    if not all(is_name(field) for field in first if field):
        return ""
    if len(first) > 2 and len(set(sides) - {None}) > 1:
        raise UserError(f"source_lang, target_lang: needed to choose from the columns of {source}: {shown}")
    at_place = any(
        place_of_side([field], lang, "", others=False) == 0 for field, (_, lang) in zip(first, told, strict=False)
    )
    return f"{source}: the first line is read as a pair, not as a header: {shown}" if at_place else ""


def by_content(rows: Sequence[Sequence[str]], source: str) -> PairColumns:
    """The columns of three or more: the only two, or else the first two, that hold sentences.

    A first row of words over a column of numbers is a header.

    Raises:
        UserError: where it is not clear.
    """
    first = [field.strip() for field in rows[0]]
    width, shown = len(first), ", ".join(first)[:SHOWN]
    is_header = all(is_name(field) and not NUMBER.fullmatch(field) for field in first if field) and any(
        are_numbers([row[n].strip() for row in rows[1:] if n < len(row)]) for n in range(width)
    )
    below = rows[1:] if is_header else rows
    columns = [[row[n].strip() for row in below if n < len(row)] for n in range(width)]
    said = [n for n, column in enumerate(columns) if any(v and not ATTRIBUTION.search(v) for v in column)]
    texts = [n for n in said if not is_filler(columns[n])]
    if len(said) == 2:
        chosen = said
    elif texts[:2] == [0, 1]:
        chosen = [0, 1]
    else:
        chosen = [n for n in texts if len(set(columns[n])) > 1 or len(texts) == 2]
    if len(chosen) != 2:
        raise UserError(
            f"{source}: {width} columns, and it is not clear which are source and target: name these two source and "
            f"target in a first line, or leave out the others; it begins with {shown!r}"
        )
    note = f"{source}: source and target are its columns {chosen[0]} and {chosen[1]}, counted from 0, of {width}"
    if is_header:
        note += f"; the first line is taken for a header ({shown})"
    elif chosen == [0, 1]:
        note = ""
    return PairColumns(chosen[0], chosen[1], first if is_header else [], note)


def source_column(
    rows: Sequence[Sequence[str]], source: str, told: str | None, source_lang: str | None, target_lang: str | None
) -> tuple[int, list[str]]:
    """The column of the sources alone, in a table with targets or without; and the header, empty if there is none.

    Args:
        rows: of fields, one or more.
        source: what a message calls them.
        told: the column's name, language, or number from 0; it must be there.
        source_lang: language or column that training was told, which counts where the table has it.
        target_lang: likewise.

    Raises:
        UserError: for a told column that is not there, or where it is not clear which it is.
    """
    first = [field.strip() for field in rows[0]]
    width, names = len(first), without_numbers(rows)
    place = place_of_side(first, told or source_lang, SOURCE, others=told is None)
    if told is not None:
        if place is None and is_number(told) and -width <= int(told) < width:
            named = by_names(names, source_lang, target_lang) or by_names(names, None, None)
            return int(told) % width, first if named else []
        if place is None:
            raise UserError(f"source_lang={told!r}: the first row of {source} has the columns {', '.join(first)}")
        return place, first
    if found := by_names(names, source_lang, target_lang) or by_names(names, None, None):
        return found[0], first
    if place is None:
        texts = [n for n, field in enumerate(first) if field.lower() in ANY_TEXT]
        place = texts[0] if len(texts) == 1 else None
        if names != first and sum(map(bool, names)) == 1:
            return next(n for n, name in enumerate(names) if name), first
    again = any(row[n].strip() == field for row in rows[1:] for n, field in enumerate(first) if n < len(row))
    if place is not None and not again and all(is_name(field) for field in first if field):
        return place, first
    if width == 1:
        return 0, []
    columns = pair_columns(rows, source, source_lang, target_lang)
    return columns.source, columns.header


def are_numbers(values: Sequence[str]) -> bool:
    """Whether a column holds numbers and nothing else, empty fields apart."""
    filled = [value for value in values if value]
    return bool(filled) and all(map(NUMBER.fullmatch, filled))


def is_filler(values: Sequence[str]) -> bool:
    """Whether a column holds no sentences, but numbers, or the codes of one or two languages."""
    distinct = set(values)
    codes = len(values) >= FEW and len(distinct) < 3 and all(v[:1].islower() and language_of(v) for v in distinct)
    return are_numbers(values) or codes
