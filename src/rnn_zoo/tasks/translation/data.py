"""Pairs of sentences: parallel files, columns of a data set or locale data -> rows that a translator trains on.

In memory an example is a `Pair(source, target, group)` of strings, as they stand in the data.

Sizes: `N` pairs, `S` and `T` tokens of a source and of a target.
"""

import math
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import datasets
from transformers import PreTrainedTokenizerBase

from ...data.columns import TEXT_NAMES
from ...data.formats import UTF_8, lines_of, read_text
from ...data.held_out import same_text, with_held_out
from ...data.hub_data import hub_splits
from ...data.json_lines import objects_of, text_of
from ...data.keys import DataArguments
from ...data.sources import read_source
from ...data.splits import all_files, choose_splits, files_in, names_in, split_files, splits_in_names
from ...data.tables import SHOWN, TABLES, kind_of, table_of
from ...data.tokenizer_options import tokenizer_options
from ...errors import UserError, Warn, warn_user
from ...tokenizers import TOKENIZER_BUILDERS, build_pair_tokenizer, for_translation
from .keys import TranslationArguments
from .locale_pairs import EMBEDDED_PAIRS, Pair
from .pair_columns import by_names, pair_columns, source_column

SIDE_NAMES = (("src", "tgt"), ("source", "target"))  # what the two files of a pair are called, if not by languages
TRANSLATION_COLUMN = "translation"  # of Hub data sets: a dict of sentences by language
WORD_TOKENIZERS = ("word", "wordpunct")  # their texts come back without words that they do not know
OTHER_TABLES = ("csv", "jsonl")  # read where there is no .tsv
TOO_FEW = "too few different sources ({}) for the shares held out"
BATCH_TEXTS = 10_000  # a backend token costs about 100 bytes: texts in work, not all of them, set the memory


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


# ---- where pairs come from ----
def load_pairs(
    data: DataArguments, args: TranslationArguments, warn: Warn = warn_user, only: str | None = None
) -> dict[str, list[Pair]]:
    """The pairs of each split; what the data does not hold out itself is drawn at random, always the same.

    A pair with an empty side is left out of `train`, and counted in a warning; other splits keep it. What is held out
    shares no source with the rest of `train`.

    `only` names the one split that is needed: a folder without a train file may hold just that.

    Raises:
        UserError: for missing, empty or broken files, files that are not parallel, unknown columns, or a Hub that
            cannot be reached.
    """
    if args.source_lang is not None and args.source_lang == args.target_lang:
        raise UserError(f"source_lang={args.source_lang!r}, target_lang={args.target_lang!r}: must differ")
    splits = read_source(
        data,
        EMBEDDED_PAIRS,
        lambda folder: read_folder(folder, data, args, warn, only),
        lambda: {
            name: read_dataset(rows, args, f"{data.dataset_name} ({name})") for name, rows in hub_splits(data).items()
        },
    )
    if "train" in splits:
        splits["train"] = without_empty(splits["train"], data.source, warn)
    for name, pairs in splits.items():
        if not pairs:
            raise UserError(f"{data.source}: the {name} part holds no pair of sentences")
    if "train" not in splits:
        return splits
    # A source with all its targets: no source is in two parts of train, though a target may be.
    return with_held_out(splits, data, lambda pair: same_text(pair.source), warn, TOO_FEW, in_order=True)


def read_folder(
    folder: Path, data: DataArguments, args: TranslationArguments, warn: Warn, only: str | None = None
) -> dict[str, list[Pair]]:
    """The pairs of a folder: of its files `train.<source_lang>` and `train.<target_lang>`, or of pairs of files with
    other names that say as much (see `named_otherwise`); else of `train.tsv`, else of `train.csv` or `train.jsonl`.

    Raises:
        UserError: for files that are missing, broken or not parallel.
    """
    files = parallel_files(folder, args, only) or named_otherwise(folder, data, args, only, warn)
    if files:
        return {name: read_parallel(*paths, data.encoding) for name, paths in files.items()}
    extensions = list(dict.fromkeys(("tsv", data.file_extension)))
    if not files_in(folder, extensions) and files_in(folder, OTHER_TABLES):
        extensions = list(OTHER_TABLES)
    languages = args.source_lang and args.target_lang
    wanted = f"train.{args.source_lang} and train.{args.target_lang}" if languages else "train.tsv"
    wanted += ", or train.tsv" if languages else ", or --source_lang and --target_lang, which are endings of its files"
    chosen = split_files(folder, extensions, only, wanted)
    try:
        return {name: read_pairs(path, args, warn, data.encoding) for name, path in chosen.items()}
    except UserError as error:
        if languages and not any(kind_of(path) in TABLES for path in chosen.values()):  # .txt, perhaps no table at all
            raise UserError(f"{error}; {folder}: expected {wanted}, found {names_in(folder)}") from error
        raise


def named_otherwise(
    folder: Path, data: DataArguments, args: TranslationArguments, only: str | None, warn: Warn
) -> dict[str, tuple[Path, Path]]:
    """The two files of each split where their names hold the language elsewhere than at the end: `train.en.txt` and
    `train.de.txt`, `en.txt` and `de.txt`, `src-train.txt` and `tgt-train.txt`; empty if it is not clear which they are.

    Names are cut at points, hyphens and underscores. Each file of a pair has one of the two languages, once, or
    `src` and `tgt` (`source` and `target`), and all else in common.
    """
    told = [(args.source_lang, args.target_lang)] if args.source_lang and args.target_lang else []
    endings = {"txt", data.file_extension.lower()}
    for source_lang, target_lang in (*told, *SIDE_NAMES):
        sides: tuple[dict[str, list[Path]], dict[str, list[Path]]] = ({}, {})
        for path in all_files(folder):
            parts = re.split(r"[-_.]", path.name.removesuffix(".gz"))
            lower = [part.lower() for part in parts]
            counts = [lower.count(language.lower()) for language in (source_lang, target_lang)]
            if lower[-1] not in endings or sorted(counts) != [0, 1]:
                continue
            language = (source_lang, target_lang)[counts.index(1)].lower()
            rest = ".".join(part for part in lower if part != language)
            sides[counts.index(1)].setdefault(rest, []).append(path)
        if sides[0].keys() != sides[1].keys() or any(len(paths) > 1 for side in sides for paths in side.values()):
            continue
        bases = sorted(sides[0])
        chosen = {"train": bases[0]} if len(bases) == 1 else splits_in_names(bases)
        if "train" not in chosen and only not in chosen:
            continue
        files = {split: (sides[0][base][0], sides[1][base][0]) for split, base in chosen.items()}
        one, other = files.get("train") or files[str(only)]
        warn(f"{folder}: sources are {one.name}, targets {other.name}")
        return files
    return {}


def parallel_files(folder: Path, args: TranslationArguments, only: str | None = None) -> dict[str, tuple[Path, Path]]:
    """The two files of each split, `train.en` and `train.de`, each perhaps gzipped; empty if there are none at all.

    Raises:
        UserError: if there is no such folder, several files for one split, or one without its partner.
    """
    if args.source_lang is None or args.target_lang is None:
        files_in(folder, [])
        return {}
    sides: list[dict[str, Path]] = []  # for each language its files, by what their names have in common
    for language in (args.source_lang, args.target_lang):
        files: dict[str, Path] = {}
        for path in files_in(folder, [language]):
            base = path.name.removesuffix(".gz").removesuffix(f".{language}")
            if base in files:
                raise UserError(f"{folder}: {files[base].name} and {path.name} are both {base}: leave one")
            files[base] = path
        sides.append(files)
    sources, targets = sides
    bases = sorted(sources.keys() | targets.keys())
    if not bases:
        return {}
    wanted = f"train.{args.source_lang} and train.{args.target_lang}, or a single pair of files"
    chosen = choose_splits(bases, str(folder), wanted, only)
    for base in chosen.values():
        for language, files, others in ((args.source_lang, sources, targets), (args.target_lang, targets, sources)):
            if base not in files:
                raise UserError(f"{folder / base}.{language}: no such file, and {others[base]} needs it beside it")
    return {split: (sources[base], targets[base]) for split, base in chosen.items()}


def read_parallel(source: Path, target: Path, encoding: str = UTF_8) -> list[Pair]:
    """The pairs of two files with a sentence a line, each beside that of the same number in the other file.

    Raises:
        UserError: if one has more lines; the sentence names the place where they probably part.
    """
    sources, targets = (lines_of(read_text(path, encoding)) for path in (source, target))
    if len(sources) != len(targets):
        number = parting_line(sources, targets)
        shown = [repr(lines[number - 1][:40]) if number <= len(lines) else "its end" for lines in (sources, targets)]
        raise UserError(
            f"{source} has {len(sources):,} lines, {target} has {len(targets):,}: they must be as many; by the lengths "
            f"of the lines they part at line {number:,} ({shown[0]}, {shown[1]})"
        )
    before = f"{source}:"
    return [PlacedPair(*pair, before, n) for n, pair in enumerate(zip(sources, targets, strict=True), 1)]


def parting_line(first: Sequence[str], second: Sequence[str]) -> int:
    """The line, from 1, from which two texts are probably out of step; one past the shorter's end if it lacks the rest.

    With `d` lines more in one, each line number is a place where these `d` may stand: before it the lines are compared
    as they stand, after it `d` apart. The place is the one where the logarithms of the ratios of their lengths, less
    that of the whole texts, are least in sum.
    """
    if len(first) > len(second):
        first, second = second, first
    usual = math.log((sum(map(len, second)) + 1) / (sum(map(len, first)) + 1))
    extra = len(second) - len(first)

    def costs(shift: int) -> Iterator[float]:
        for n, line in enumerate(first):
            yield abs(math.log((len(second[n + shift]) + 1) / (len(line) + 1)) - usual)

    before = [0.0, *accumulate(costs(0))]
    after = [0.0, *accumulate(costs(extra))]
    # Rounded, so that among places that are as good the last is taken: where lengths tell nothing, that is the end.
    return min(range(len(first) + 1), key=lambda n: (round(before[n] + after[-1] - after[n], 6), -n)) + 1


def read_pairs(path: Path, args: TranslationArguments, warn: Warn = warn_user, encoding: str = UTF_8) -> list[Pair]:
    """The pairs of a table: `source<TAB>target` lines, CSV or JSON lines, by its name.

    Which columns they are says a header, or what stands in them (see `pair_columns`); others are not read, and empty
    lines are skipped. What was found is told as a warning, unless it is the first two columns without a header. JSON
    lines may have the two languages in an object named `translation`. What is null is empty.

    Raises:
        UserError: for columns that are not clear, or a row that lacks one.
    """
    kind, source, text = kind_of(path), str(path), read_text(path, encoding)
    before = f"{path}:"
    if kind in ("jsonl", "json"):
        return pairs_of_objects(list(objects_of(text, source)), args, source)
    table, between = table_of(text, kind, source)
    rows = [(number, fields) for number, fields in table if len(fields) > 1 or fields[0].strip()]
    if not rows:
        return []
    columns = None
    pairs: list[Pair] = []
    for number, fields in rows:
        if len(fields) < 2:
            lacks = "no tab, source<TAB>target is" if kind != "csv" else f"1 column between {between}, two are"
            raise UserError(f"{before}{number}: {lacks} expected: {fields[0][:SHOWN]!r}")
        if columns is None:
            wide = [fields for _, fields in rows if len(fields) > 1]
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
        pairs.append(PlacedPair(fields[columns.source], fields[columns.target], before, number))
    return pairs


def pairs_of_objects(
    rows: Sequence[tuple[int, str, dict[str, Any]]], args: TranslationArguments, source: str
) -> list[Pair]:
    """As `read_pairs`, of JSON lines."""
    if not rows:
        return []
    names = list(sides_of(rows[0][2]))
    found = by_names(names, args.source_lang, args.target_lang)
    if found is None:
        raise UserError(f"source_lang, target_lang: needed to choose from the columns of {source}: {', '.join(names)}")
    pairs: list[Pair] = []
    for number, line, row in rows:
        one, other = (text_of(sides_of(row), names[place], f"{source}:{number}", line) for place in found)
        pairs.append(PlacedPair(one, other, f"{source}:", number))
    return pairs


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


def read_dataset(rows: datasets.Dataset, args: TranslationArguments, source: str = "the dataset") -> list[Pair]:
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


def without_empty(pairs: list[Pair], source: str, warn: Warn) -> list[Pair]:
    """The pairs of which both sides say something; the number of the others goes into a warning."""
    empty = [n for n, pair in enumerate(pairs) if not (pair.source.strip() and pair.target.strip())]
    if not empty:
        return pairs
    warn(
        f"{source}: {len(empty):,} of {len(pairs):,} training pairs have an empty side and are left out, the first at "
        f"{place_of(pairs, empty[0], source)}"
    )
    left_out = set(empty)
    return [pair for n, pair in enumerate(pairs) if n not in left_out]


def place_of(pairs: Sequence[Pair], n: int, source: str) -> str:
    """Where the pair with the index `n` stands: file and line, data set and row, or its number, from 1."""
    pair = pairs[n]
    return pair.place if isinstance(pair, PlacedPair) else f"{source}, pair {n + 1}"


# ---- tokenizers and rows ----
def build_tokenizer(pairs: Sequence[Pair], data: DataArguments, args: TranslationArguments) -> PreTrainedTokenizerBase:
    """The tokenizer that the recipe asks for, of the training pairs: one for both sides, or a `PairTokenizer`.

    Raises:
        UserError: for an unknown tokenizer, one of words, or an option out of its range.
    """
    if data.tokenizer_type in WORD_TOKENIZERS:
        raise UserError(
            f"tokenizer_type={data.tokenizer_type!r}: a translator could not write a word it has not seen; choose bpe, "
            "unigram or char"
        )
    options = tokenizer_options(data)
    # Each text a line of its own for char, which counts texts as if joined: a combining sign at the head of one must
    # not compose with the end of the text before.
    end = "\n" if data.tokenizer_type == "char" else ""
    sources, targets = [f"{pair.source}{end}" for pair in pairs], [f"{pair.target}{end}" for pair in pairs]
    try:
        if args.separate_vocabularies:
            return build_pair_tokenizer(sources, targets, data.tokenizer_type, **options)
        return for_translation(TOKENIZER_BUILDERS[data.tokenizer_type](chain(sources, targets), **options))
    except ValueError as error:
        raise UserError(str(error)) from error


def rows_of_pairs(
    pairs: Sequence[Pair],
    tokenizer: PreTrainedTokenizerBase,
    args: TranslationArguments,
    warn: Warn = warn_user,
    source_name: str = "the data",
) -> datasets.Dataset:
    """A row for each pair: `input_ids (S,)` and `labels (T,)`, both ending in `<eos>`; an empty side is `<eos>` alone.

    Args:
        pairs: of one split.
        tokenizer: one whose texts end in `<eos>`, as `build_tokenizer` gives.
        args: its `max_source_length` and `max_target_length` are the greatest `S` and `T`.
        warn: is told how many sources, and how many targets, were cut.
        source_name: what a message calls the data where pairs do not know their place.

    Raises:
        UserError: for a greatest length below 2, or a longer source where `long_source` says error.
    """
    columns: dict[str, list[list[int]]] = {}
    for column, option, limit, texts in (
        ("input_ids", "max_source_length", args.max_source_length, [pair.source for pair in pairs]),
        ("labels", "max_target_length", args.max_target_length, [pair.target for pair in pairs]),
    ):
        if limit < 2:
            raise UserError(f"{option}={limit}: must be at least 2, a token and <eos>")
        rows = encode(texts, tokenizer, as_target=column == "labels")
        long = [n for n, row in enumerate(rows) if len(row) > limit]
        if long:
            kind = "sources" if column == "input_ids" else "targets"
            place = place_of(pairs, long[0], source_name)
            if column == "input_ids" and args.long_source == "error":
                raise UserError(
                    f"{place}: {len(rows[long[0]]):,} tokens, {option}={limit} are allowed: {texts[long[0]][:80]!r}"
                )
            warn(
                f"{source_name}: {len(long):,} of {len(rows):,} {kind} have more than {option}={limit} tokens and are "
                f"cut, the first at {place}"
            )
        columns[column] = [shortened(row, limit) for row in rows]
    return datasets.Dataset.from_dict(columns)


def shortened(row: list[int], limit: int) -> list[int]:
    """A row of ids that is not longer than `limit`; its last one, `<eos>`, stays."""
    return row if len(row) <= limit else [*row[: limit - 1], row[-1]]


def encode(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, as_target: bool = False) -> list[list[int]]:
    """The ids of each text, of any length, `<eos>` included."""
    rows: list[list[int]] = []
    for start in range(0, len(texts), BATCH_TEXTS):
        batch = list(texts[start : start + BATCH_TEXTS])
        encoded = tokenizer(**{"text_target" if as_target else "text": batch}, return_attention_mask=False)
        rows.extend(encoded["input_ids"])
    return rows
