"""Tokenizers with the ids of somebody else's vocabulary."""

import re
import string

from tokenizers import Regex, normalizers

from ..models.keys import one_of
from ..models.tokenization_rnn import RnnTokenizer
from ..units import UNITS
from .characters import char_backend
from .vocabulary import rnn_tokenizer
from .wordpunct import wordpunct_backend
from .words import word_backend


def tokenizer_of_vocabulary(
    vocabulary: dict[str, int], unit: str, special_tokens: dict[str, str], *, line_ends: bool, fold_case: bool = False
) -> RnnTokenizer:
    """A tokenizer with the ids of somebody else's vocabulary.

    Args:
        vocabulary: of each token its id, special tokens included.
        unit: how texts are cut: `"char"`, `"word"` and `"wordpunct"` as by the builders, texts as they are; `"keras"`
            as by Keras's `TextVectorization`: in lower case, without ASCII punctuation, at white space.
        special_tokens: the four of `SPECIAL_TOKENS`, each by its name in the vocabulary.
        line_ends: whether a line end is the token that ends a text, for `"word"`.
        fold_case: whether texts are read in lower case.

    Raises:
        ValueError: for an unknown unit.
    """
    one_of("unit", unit, UNITS)
    steps: list[normalizers.Normalizer] = [normalizers.Lowercase()] if fold_case or unit == "keras" else []
    if unit == "char":
        backend = char_backend(vocabulary, steps[0] if steps else None, special_tokens)
    elif unit == "wordpunct":
        backend = wordpunct_backend(vocabulary, steps[0] if steps else None, special_tokens)
    else:
        if unit == "keras":
            steps.append(normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""))
        backend = word_backend(vocabulary, special_tokens, line_ends, steps)
    return rnn_tokenizer(backend, special_tokens)
