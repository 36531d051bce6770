"""The builders by name, as the key `tokenizer_type` of a recipe has them."""

from collections.abc import Callable

from ..models.tokenization_rnn import RnnTokenizer
from .bpe import build_bpe_tokenizer
from .characters import build_char_tokenizer
from .unigram import build_unigram_tokenizer
from .wordpunct import build_wordpunct_tokenizer
from .words import build_word_tokenizer

TOKENIZER_BUILDERS: dict[str, Callable[..., RnnTokenizer]] = {
    "char": build_char_tokenizer,
    "word": build_word_tokenizer,
    "wordpunct": build_wordpunct_tokenizer,
    "bpe": build_bpe_tokenizer,
    "unigram": build_unigram_tokenizer,
}
