"""Pairs -> a tokenizer for them, and the rows that a translator trains on.

Sizes: `S` and `T` tokens of a source and of a target.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from transformers import PreTrainedTokenizerBase

from ...data.keys import DataArguments
from ...data.stored_rows import BothTexts, StoredRows, encoded_rows, ids_of, key_of_tokenizer
from ...data.tokenizer_options import tokenizer_options
from ...errors import UserError, Warn, warn_user
from ...tokenizers.builders import TOKENIZER_BUILDERS
from ...tokenizers.language_pairs import build_pair_tokenizer, for_translation
from .keys import TranslationArguments
from .locale_pairs import Pair
from .pairs import place_of

if TYPE_CHECKING:
    import datasets

WORD_TOKENIZERS = ("word", "wordpunct")  # their texts come back without words that they do not know
BATCH_TEXTS = 10_000  # a backend token costs about 100 bytes: texts in work, not all of them, set the memory


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
    sources: Sequence[str]
    targets: Sequence[str]
    if isinstance(pairs, StoredRows):
        sources, targets = pairs.texts("source", end), pairs.texts("target", end)
        both: Iterable[str] = BothTexts(sources, targets)
    else:
        sources, targets = [f"{pair.source}{end}" for pair in pairs], [f"{pair.target}{end}" for pair in pairs]
        both = chain(sources, targets)
    try:
        if args.separate_vocabularies:
            return build_pair_tokenizer(sources, targets, data.tokenizer_type, **options)
        return for_translation(TOKENIZER_BUILDERS[data.tokenizer_type](both, **options))
    except ValueError as error:
        raise UserError(str(error)) from error


def rows_of_pairs(
    pairs: Sequence[Pair],
    tokenizer: PreTrainedTokenizerBase,
    args: TranslationArguments,
    warn: Warn = warn_user,
    source_name: str = "the data",
) -> "datasets.Dataset":
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
    if isinstance(pairs, StoredRows):
        return encoded_pairs(pairs, tokenizer, args, warn, source_name)
    columns: dict[str, list[list[int]]] = {}
    for column, option, limit, texts in (
        ("input_ids", "max_source_length", args.max_source_length, [pair.source for pair in pairs]),
        ("labels", "max_target_length", args.max_target_length, [pair.target for pair in pairs]),
    ):
        require_limit(option, limit)
        rows = encode(texts, tokenizer, as_target=column == "labels")
        say_what_is_long(pairs, column, np.array([len(row) for row in rows]), args, warn, source_name)
        columns[column] = [shortened(row, limit) for row in rows]
    import datasets

    return datasets.Dataset.from_dict(columns)


def require_limit(option: str, limit: int) -> None:
    if limit < 2:
        raise UserError(f"{option}={limit}: must be at least 2, a token and <eos>")


def say_what_is_long(
    pairs: Sequence[Pair], column: str, lengths: np.ndarray, args: TranslationArguments, warn: Warn, source_name: str
) -> None:
    """Warns of what is cut, or refuses it; see `rows_of_pairs`.

    Args:
        pairs: of one split.
        column: `input_ids` of sources, or `labels`.
        lengths: tokens of each.
        args, warn, source_name: as for `rows_of_pairs`.
    """
    is_source = column == "input_ids"
    option, kind = ("max_source_length", "sources") if is_source else ("max_target_length", "targets")
    limit = getattr(args, option)
    long = (lengths > limit).nonzero()[0]
    if not len(long):
        return
    first = int(long[0])
    place = place_of(pairs, first, source_name)
    if is_source and args.long_source == "error":
        raise UserError(
            f"{place}: {lengths[first]:,} tokens, {option}={limit} are allowed: {pairs[first].source[:80]!r}"
        )
    warn(
        f"{source_name}: {len(long):,} of {len(lengths):,} {kind} have more than {option}={limit} tokens and are "
        f"cut, the first at {place}"
    )


def encoded_pairs(
    pairs: StoredRows, tokenizer: PreTrainedTokenizerBase, args: TranslationArguments, warn: Warn, source_name: str
) -> "datasets.Dataset":
    """As `rows_of_pairs`, of stored pairs."""
    require_limit("max_source_length", args.max_source_length)
    require_limit("max_target_length", args.max_target_length)
    source, target = getattr(tokenizer, "source", tokenizer), getattr(tokenizer, "target", tokenizer)

    def encode_piece(piece: list[Pair]) -> dict[str, list]:
        sources = ids_of(source, [pair.source for pair in piece])
        targets = ids_of(target, [pair.target for pair in piece])
        return {
            "input_ids": [shortened(row, args.max_source_length) for row in sources],
            "labels": [shortened(row, args.max_target_length) for row in targets],
            "input_ids_length": list(map(len, sources)),
            "labels_length": list(map(len, targets)),
        }

    key = (*key_of_tokenizer(tokenizer), args.max_source_length, args.max_target_length)
    rows, beside = encoded_rows(pairs, key, encode_piece, ["input_ids_length", "labels_length"])
    for column in ("input_ids", "labels"):
        say_what_is_long(pairs, column, beside[f"{column}_length"], args, warn, source_name)
    return rows


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
