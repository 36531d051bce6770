"""Tokenizers of characters."""

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from ..models.tokenization_rnn import NEVER, RnnTokenizer, end_token
from .normalization import text_normalizer
from .streams import cut_at_line_ends
from .vocabulary import SPECIAL_TOKENS, check_at_least, check_found, counted, rnn_tokenizer, vocabulary_of


def build_char_tokenizer(
    texts: Iterable[str], *, unicode_normalization: str | None = "NFC", min_frequency: int = 1
) -> RnnTokenizer:
    """Builds a tokenizer with one token for each Unicode code point: letters, combining signs, blanks, parts of emoji.

    With `unicode_normalization="NFC"` (Unicode Standard Annex 15), `decode(encode(text))` is the NFC form of `text`;
    with `None` it is `text` itself, to the byte. NFC makes "é" one character however it was typed, and takes some
    Devanagari letters apart (U+0958 becomes U+0915 U+093C). A character not in the vocabulary becomes one `<unk>`.

    The ids are those of the special tokens, then the characters by code point.

    Args:
        texts: Pieces of text, cut anywhere; they are counted as if joined.
        unicode_normalization: `"NFC"`, or `None` (also the string `"none"`) to leave texts as they are.
        min_frequency: How often a character has to occur to be in the vocabulary; at least 1.

    Raises:
        ValueError: if there is no text, no character is frequent enough, or an argument is out of its range.
    """
    check_at_least("min_frequency", min_frequency, 1)
    normalizer = text_normalizer(unicode_normalization)

    def count(texts: Iterable[str]) -> Counter[str]:
        counts: Counter[str] = Counter()
        ascii_counts = np.zeros(128, np.int64)
        # Whole lines, because a combining sign at the head of a piece would compose with the end of the piece before.
        for piece in cut_at_line_ends(texts):
            if piece.isascii():
                ascii_counts += np.bincount(np.frombuffer(piece.encode(), np.uint8), minlength=128)
            else:
                counts.update(normalizer.normalize_str(piece) if normalizer else piece)
        counts.update({chr(code): int(ascii_counts[code]) for code in ascii_counts.nonzero()[0]})
        return counts

    counts = counted(texts, f"characters-{unicode_normalization}", count)
    characters = sorted(character for character, count in counts.items() if count >= min_frequency)
    check_found("character", counts, characters, min_frequency)

    return rnn_tokenizer(char_backend(vocabulary_of(characters), normalizer))


def char_backend(
    vocabulary: dict[str, int],
    normalizer: normalizers.Normalizer | None,
    special_tokens: dict[str, str] = SPECIAL_TOKENS,
) -> Tokenizer:
    # BPE without merges is the backend's fastest way to single characters: no regular expression, no piece for each.
    # A piece that is in the vocabulary is its token: so shall be the end token, but not a text that is the name of one.
    unk, eos = special_tokens["unk_token"], special_tokens["eos_token"]
    backend = Tokenizer(models.BPE(vocabulary, [], unk_token=unk, fuse_unk=False, ignore_merges=True))
    if normalizer:
        backend.normalizer = normalizer
    names = [token for token in vocabulary if len(token) > 1]
    cut = [rf"{re.escape(name[0])}(?={re.escape(name[1:])}(?:{re.escape(eos)})?\z)" for name in names]
    pieces = Regex(rf"{end_token(eos)}|\A(?:{'|'.join(cut) or NEVER})")
    backend.pre_tokenizer = pre_tokenizers.Split(pieces, "isolated")
    backend.decoder = decoders.Fuse()
    return backend
