"""The builders by name, as the key `tokenizer_type` of a recipe has them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ..models.tokenization_rnn import RnnTokenizer
from .bpe import build_bpe_tokenizer
from .characters import build_char_tokenizer, char_tokenizer_of, count_characters
from .unigram import build_unigram_tokenizer
from .wordpunct import build_wordpunct_tokenizer, count_words_and_signs, wordpunct_tokenizer_of
from .words import build_word_tokenizer, count_words, word_tokenizer_of

TOKENIZER_BUILDERS: dict[str, Callable[..., RnnTokenizer]] = {
    "char": build_char_tokenizer,
    "word": build_word_tokenizer,
    "wordpunct": build_wordpunct_tokenizer,
    "bpe": build_bpe_tokenizer,
    "unigram": build_unigram_tokenizer,
}


@dataclass(frozen=True)
class Counted:
    """A builder that only counts, so that several processes can share the counting.

    Args:
        count: texts, and those of the builder's options that it takes, -> counts, which add up over texts.
        build: counts, and the builder's options, -> the tokenizer.
    """

    count: Callable[..., Counter[str]]
    build: Callable[..., RnnTokenizer]


COUNTED = {
    "char": Counted(count_characters, char_tokenizer_of),
    "word": Counted(count_words, word_tokenizer_of),
    "wordpunct": Counted(count_words_and_signs, wordpunct_tokenizer_of),
}
