"""What tokenizers of byte-level pieces have in common: the words they cut, as bytes, and their training."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from ..models.given_texts import each_checked
from ..models.tokenization_rnn import end_token
from .normalization import text_normalizer
from .streams import cut_at_line_ends
from .vocabulary import SPECIAL_TOKENS

LEAST_BYTE_VOCABULARY = len(SPECIAL_TOKENS) + 256

# GPT-2's pieces, with two changes. A combining sign stays with its letter (GPT-2's pattern cuts Devanagari at every
# vowel sign), joiners too. A line end closes its piece, with the blanks before it.
BYTE_PIECE = (
    r"['\x{2019}](?:s|t|re|ve|m|ll|d)(?![\p{L}\p{M}])"
    r"| ?[\p{L}\p{M}\x{200C}\x{200D}]+"
    r"| ?\p{N}+"
    r"| ?[^\s\p{L}\p{M}\p{N}\x{200C}\x{200D}]+"
    r"|[^\S\n]*\n"
    r"|[^\S\n]+(?!\S)"
    r"|[^\S\n]+"
)


def byte_backend(model: models.Model, normalizer: normalizers.Normalizer | None) -> Tokenizer:
    """A backend that gives its model the bytes of one word at a time."""
    backend = Tokenizer(model)
    if normalizer:
        backend.normalizer = normalizer
    backend.pre_tokenizer = byte_pieces()
    backend.decoder = decoders.ByteLevel()
    return backend


def byte_pieces(eos: str | None = None) -> pre_tokenizers.PreTokenizer:
    """The cut into words, as bytes; with `eos` that token at the end of a text is a piece, too."""
    pattern = BYTE_PIECE
    if eos is not None:
        signs = r"[^\s\p{L}\p{M}\p{N}\x{200C}\x{200D}]"
        pattern = f"{end_token(eos)}|{pattern.replace(f'{signs}+', f'(?:(?!{end_token(eos)}){signs})+')}"
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def reading_end_token(
    backend: Tokenizer, unicode_normalization: str | None, fold_case: bool, clean_markup: bool
) -> Tokenizer:
    """A trained byte-level backend that reads the end token at the end of a text; training has no such token."""
    eos = SPECIAL_TOKENS["eos_token"]
    if clean_markup:
        backend.normalizer = text_normalizer(unicode_normalization, fold_case, clean_markup, eos)
    backend.pre_tokenizer = byte_pieces(eos)
    return backend


def byte_options(vocab_size: int) -> dict[str, Any]:
    """What trainers of byte-level models have in common: all 256 bytes are in the vocabulary."""
    return {
        "vocab_size": vocab_size,
        "special_tokens": list(SPECIAL_TOKENS.values()),
        "initial_alphabet": sorted(pre_tokenizers.ByteLevel.alphabet()),
        "show_progress": False,
    }


def lines_of(texts: Iterable[str]) -> Iterator[str]:
    """Pieces of whole lines of each text.

    Raises:
        ValueError: if there is no character in them, or what `cut_at_line_ends` refuses.
    """
    pieces = (piece for text in each_checked(texts) for piece in cut_at_line_ends([text]))
    first = next(pieces, None)
    if first is None:
        raise ValueError("texts: no character in them; give at least one text that is not empty")
    return chain([first], pieces)
