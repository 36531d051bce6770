"""Pairs of sentences in files and data sets.

In memory an example is a `Pair(source, target, group)` of strings, as they stand in the data.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...data.columns import TEXT_NAMES
from ...data.formats import UTF_8, FileText, read_text
from ...data.json_lines import objects_of, text_of
from ...data.parallel_files import each_of_both, lines_of_both
from ...data.stored_rows import StoredRows, are_large, blocks_of, store_rows
from ...data.tables import SHOWN, each_row, kind_of, peeked, table_of
from ...errors import UserError, Warn, warn_user
from .keys import TranslationArguments
from .locale_pairs import Pair
from .pair_columns import by_names, pair_columns, source_column

if TYPE_CHECKING:
    import datasets


class PlacedPair(Pair):
    """A pair, of no group, that knows where it stands: `place` is a file and its line, or a data set and its row."""

    def __new__(cls, source: str, target: str, before: str, number: int):
        pair = super().__new__(cls, source, target, "")
        pair.before, pair.number = before, number  # apart, because a string for each pair would be larger
        return pair

    before: str
    number: int

    @property
    def place(self) -> str:
        return f"{self.before}{self.number}"


TRANSLATION_COLUMN = "translation"  # of Hub data sets: a dict of sentences by language


def stored_pairs(
    files: Sequence[Path], keys: Sequence[Any], read: Callable[[Warn], Iterable[tuple[str, str, int]]], warn: Warn
) -> StoredRows:
    """The pairs of large files.

    Args:
        files: of which they are read; in the first they have their numbers.
        keys: all else that shapes them.
        read: gives source, target and number of each; it is told where warnings go.
        warn: is told what `read` has said.
    """
    import pyarrow

    text, before = pyarrow.string(), f"{files[0]}:"
    schema = pyarrow.schema({"source": text, "target": text, "number": pyarrow.int64()})

    def rows_of(columns: dict[str, list]) -> list[Pair]:
        return [PlacedPair(one, other, before, number) for one, other, number in zip(*columns.values(), strict=True)]

    return store_rows(files, keys, lambda warn: blocks_of(read(warn), schema), schema, warn, rows_of)


def read_parallel(source: Path, target: Path, encoding: str = UTF_8) -> Sequence[Pair]:
    """The pairs of two files with a sentence a line (see `lines_of_both`)."""
    if are_large(source, target):
        found = partial(each_of_both, source, target, encoding)
        return stored_pairs(
            [source, target],
            [encoding],
            lambda warn: ((*pair, number) for number, pair in enumerate(found(), 1)),
            warn_user,
        )
    before = f"{source}:"
    return [PlacedPair(*pair, before, n) for n, pair in enumerate(lines_of_both(source, target, encoding), 1)]


def read_pairs(path: Path, args: TranslationArguments, warn: Warn = warn_user, encoding: str = UTF_8) -> Sequence[Pair]:
    """The pairs of a table: `source<TAB>target` lines, CSV or JSON lines, by its name.

    Which columns they are says a header, or what stands in them (see `pair_columns`); others are not read, and empty
    lines are skipped. What was found is told as a warning, unless it is the first two columns without a header. JSON
    lines may have the two languages in an object named `translation`. What is null is empty.

    Raises:
        UserError: for columns that are not clear, or a row that lacks one.
    """
    if are_large(path):

        def read(warn: Warn) -> Iterator[tuple[str, str, int]]:
            found = each_pair(FileText(path, encoding), path, args, warn)
            return ((pair.source, pair.target, pair.number) for pair in found)

        return stored_pairs([path], [encoding, args.source_lang, args.target_lang], read, warn)
    return list(each_pair(read_text(path, encoding), path, args, warn))


def each_pair(text: str | FileText, path: Path, args: TranslationArguments, warn: Warn) -> Iterator[PlacedPair]:
    """As `read_pairs`, one after the other."""
    kind, source, before = kind_of(path), str(path), f"{path}:"
    if kind in ("jsonl", "json"):
        yield from pairs_of_objects(objects_of(text, source), args, source)
        return
    every_row, between = each_row(text, kind, source)
    kept = ((number, fields) for number, fields in every_row if len(fields) > 1 or fields[0].strip())
    head, rows = peeked(kept, text)
    columns = None
    for number, fields in rows:
        if len(fields) < 2:
            lacks = "no tab, source<TAB>target is" if kind != "csv" else f"1 column between {between}, two are"
            raise UserError(f"{before}{number}: {lacks} expected: {fields[0][:SHOWN]!r}")
        if columns is None:
            wide = [fields for _, fields in head if len(fields) > 1]
            columns = pair_columns(wide, source, args.source_lang, args.target_lang)
            if columns.note:
                warn(columns.note)
            if columns.header:
                continue
        if columns.header and [field.strip() for field in fields] == columns.header:
            raise UserError(f"{before}{number}: the header stands here again: {', '.join(columns.header)}")
        places = (columns.source, columns.target)
        if max(places) >= len(fields):
            raise UserError(
                f"{before}{number}: {len(fields)} columns between {between}, {max(places) + 1} or more are expected: "
                f"{' '.join(fields)[:SHOWN]!r}"
            )
        yield PlacedPair(fields[columns.source], fields[columns.target], before, number)


def pairs_of_objects(
    rows: Iterable[tuple[int, str, dict[str, Any]]], args: TranslationArguments, source: str
) -> Iterator[PlacedPair]:
    """As `each_pair`, of JSON lines."""
    names: list[str] = []
    found: tuple[int, int] | None = None
    for number, line, row in rows:
        if found is None:
            names = list(sides_of(row))
            found = by_names(names, args.source_lang, args.target_lang)
        if found is None:
            raise UserError(
                f"source_lang, target_lang: needed to choose from the columns of {source}: {', '.join(names)}"
            )
        one, other = (text_of(sides_of(row), names[place], f"{source}:{number}", line) for place in found)
        yield PlacedPair(one, other, f"{source}:", number)


def sides_of(row: dict[str, Any]) -> dict[str, Any]:
    """What a JSON object has by language: its object `translation`, or all of it but a number named `id`."""
    nested = row.get(TRANSLATION_COLUMN)
    sides = nested if isinstance(nested, dict) else row
    return {name: value for name, value in sides.items() if name != "id" or not isinstance(value, int)}


def read_sources(
    path: Path | str,
    told: str | None = None,
    source_lang: str | None = None,
    target_lang: str | None = None,
    encoding: str = UTF_8,
) -> tuple[list[str], str]:
    """The sources of a table alone, with targets or without, in the order of its rows; an empty one stays.

    Args:
        path: a file with tabs, CSV or JSON lines, by its name; each may be gzipped.
        told: the column: its name, its language, or its number from 0; `None`: to be found.
        source_lang: language or column that training was told, which counts where the file has it.
        target_lang: likewise.
        encoding: of the file.

    Returns:
        The sources, and which column they are, for a message; empty if there is no row.

    Raises:
        UserError: for a file that cannot be read, a column that is not there or not clear, a row that lacks it, or a
            text that is no string; the sentence names the line.
    """
    path = Path(path)
    kind, source, text = kind_of(path), str(path), read_text(path, encoding)
    if kind in ("jsonl", "json"):
        objects = list(objects_of(text, source))
        if not objects:
            return [], ""
        names = list(sides_of(objects[0][2]))
        name = source_name(names, source, told, source_lang, target_lang)
        texts = [text_of(sides_of(row), name, f"{source}:{number}", line) for number, line, row in objects]
        return texts, f"column {name!r}"
    rows = table_of(text, kind, source).rows
    if not rows:
        return [], ""
    place, header = source_column([fields for _, fields in rows], source, told, source_lang, target_lang)
    texts = []
    for number, fields in rows[1 if header else 0 :]:
        if place >= len(fields):
            raise UserError(f"{source}:{number}: no column {place} in {' '.join(fields)[:SHOWN]!r}")
        texts.append(fields[place])
    return texts, f"column {header[place]!r}" if header else f"column {place}, counted from 0; there is no header"


def source_name(
    names: Sequence[str], source: str, told: str | None, source_lang: str | None, target_lang: str | None
) -> str:
    """The key of the sources in JSON lines; see `read_sources`."""
    if told is not None and told in names:
        return told
    found = by_names(names, source_lang, target_lang) if told is None else by_names(names, told, None)
    if found is not None:
        return names[found[0]]
    likely = [name for name in (source_lang or "", *TEXT_NAMES) if name in names] or list(names)[: len(names) == 1]
    if told is not None or not likely:
        given = f"source_lang={told!r}" if told is not None else "source_lang: not given"
        raise UserError(f"{given}, and {source} has the columns {', '.join(names)}")
    return likely[0]


def read_dataset(rows: "datasets.Dataset", args: TranslationArguments, source: str = "the dataset") -> list[Pair]:
    """The pairs of a data set with a column `translation` of dicts by language, or with a column for each language.

    A missing sentence (null) is an empty one.

    Raises:
        UserError: for languages that are not there, or a sentence that is not a string; the sentence names the row,
            from 0.
    """
    sides = {"source_lang": args.source_lang, "target_lang": args.target_lang}
    feature: Any = rows.features.get(TRANSLATION_COLUMN)
    nested = TRANSLATION_COLUMN in rows.column_names and TRANSLATION_COLUMN not in sides.values()
    if nested:
        known = list(feature if isinstance(feature, dict) else getattr(feature, "languages", []))
    else:
        known = rows.column_names
    for option, name in sides.items():
        if name not in known:
            given = f"{option}={name!r}" if name is not None else f"{option}: not given"
            kind = "languages" if nested else "columns"
            raise UserError(f"{given}; {source} has the {kind} {', '.join(map(str, known))}")
    pairs: list[Pair] = []
    before = f"{source}, row "
    columns = [TRANSLATION_COLUMN] if nested else [str(name) for name in sides.values()]
    for number, row in enumerate(rows.select_columns(columns)):
        values = row[TRANSLATION_COLUMN] if nested else row
        texts = [(values or {}).get(name) for name in sides.values()]
        for name, text in zip(sides.values(), texts, strict=True):
            if text is not None and not isinstance(text, str):
                raise UserError(f"{before}{number}: {name} is of type {type(text).__name__}, must be a string")
        pairs.append(PlacedPair(texts[0] or "", texts[1] or "", before, number))
    return pairs


def place_of(pairs: Sequence[Pair], n: int, source: str) -> str:
    """Where the pair with the index `n` stands: file and line, data set and row, or its number, from 1."""
    pair = pairs[n]
    return pair.place if isinstance(pair, PlacedPair) else f"{source}, pair {n + 1}"
