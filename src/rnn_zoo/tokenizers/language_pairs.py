"""Tokenizers of translators: texts that end in `<eos>`, one vocabulary for both sides or two."""

import copy
from collections.abc import Iterable

from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from ..models.keys import one_of
from ..models.tokenization_pairs import PairTokenizer
from ..models.tokenization_rnn import without_end_token
from .builders import TOKENIZER_BUILDERS


def for_translation(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """A copy of a tokenizer of this package that suits an encoder-decoder, for source and target alike.

    `tokenizer(text)` and `tokenizer(text_target=text)` end in `<eos>`, as Marian's and T5's do, unless told
    `add_special_tokens=False`; so a literal `<eos>` is text, also at the end; padding is on the right.
    """
    tokenizer = copy.deepcopy(tokenizer)
    eos = tokenizer.eos_token
    tokenizer._tokenizer = without_end_token(tokenizer.backend_tokenizer, eos)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {eos}", pair=f"$A $B {eos}", special_tokens=[(eos, tokenizer.eos_token_id)]
    )
    tokenizer.padding_side = "right"
    return tokenizer


def build_pair_tokenizer(
    source_texts: Iterable[str], target_texts: Iterable[str], builder: str = "char", **options
) -> PairTokenizer:
    """Builds a tokenizer whose sources and targets have vocabularies of their own, as for transliteration.

    Both sides end in `<eos>` and are padded on the right (see `for_translation`).

    Args:
        source_texts, target_texts: what each vocabulary is made from.
        builder: a name in `TOKENIZER_BUILDERS`, for both sides.
        options: of that builder, for both sides.

    Raises:
        ValueError: for an unknown builder, or what the builder refuses; the sentence names the side.
    """
    one_of("builder", builder, list(TOKENIZER_BUILDERS))
    sides = []
    for side, texts in (("source", source_texts), ("target", target_texts)):
        try:
            sides.append(for_translation(TOKENIZER_BUILDERS[builder](texts, **options)))
        except ValueError as error:
            raise ValueError(f"{side} side: {error}") from error
    return PairTokenizer.of(*sides)
