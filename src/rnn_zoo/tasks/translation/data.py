"""Where the pairs of a translator come from: parallel files, tables, data sets or locale data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...data.held_out import same_text, with_held_out
from ...data.hub_data import hub_splits
from ...data.keys import DataArguments
from ...data.parallel_files import named_otherwise, parallel_files
from ...data.sources import read_source
from ...data.splits import files_in, names_in, split_files
from ...data.stored_rows import over_pieces, remembered, selected
from ...data.tables import TABLES, kind_of
from ...errors import UserError, Warn, warn_user
from .keys import TranslationArguments
from .locale_pairs import EMBEDDED_PAIRS, Pair
from .pairs import place_of, read_dataset, read_pairs, read_parallel

OTHER_TABLES = ("csv", "jsonl")  # read where there is no .tsv
TOO_FEW = "too few different sources ({}) for the shares held out"


def load_pairs(
    data: DataArguments, args: TranslationArguments, warn: Warn = warn_user, only: str | None = None
) -> dict[str, Sequence[Pair]]:
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
    embedded: dict[str, Any] = {**EMBEDDED_PAIRS}
    splits: dict[str, Sequence[Pair]] = read_source(
        data,
        embedded,
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
) -> dict[str, Sequence[Pair]]:
    """The pairs of a folder: of its files `train.<source_lang>` and `train.<target_lang>`, or of pairs of files with
    other names that say as much (see `named_otherwise`); else of `train.tsv`, else of `train.csv` or `train.jsonl`.

    Raises:
        UserError: for files that are missing, broken or not parallel.
    """
    told = (args.source_lang, args.target_lang)
    files = parallel_files(folder, told, only) or named_otherwise(folder, told, data.file_extension, only, warn)
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


def without_empty(pairs: Sequence[Pair], source: str, warn: Warn) -> Sequence[Pair]:
    """The pairs of which both sides say something; the number of the others goes into a warning."""

    def places(piece: Sequence[Pair]) -> list[int]:
        return [n for n, pair in enumerate(piece) if not (pair.source.strip() and pair.target.strip())]

    def compute() -> list[int]:
        return [start + n for start, found in over_pieces(pairs, places, "looking for empty sides") for n in found]

    empty = remembered(pairs, "empty", compute)
    if not empty:
        return pairs
    warn(
        f"{source}: {len(empty):,} of {len(pairs):,} training pairs have an empty side and are left out, the first at "
        f"{place_of(pairs, empty[0], source)}"
    )
    return selected(pairs, np.delete(np.arange(len(pairs)), empty))
