"""Texts -> the ids that a classifier reads."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import Warn
from ...models.tokenization_words import WordCharacterTokenizer, words_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

READ = ("input_ids", "character_ids")  # what a model may read of a text
BATCH_TEXTS = 1000  # a backend token costs about 100 bytes: texts in work, not all of them, set the memory


def encode_texts(
    texts: Sequence[str],
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int | None = None,
    warn: Warn | None = None,
    source_name: str = "the data",
) -> list[dict[str, list]]:
    """`input_ids` of each text as `tokenizer(text)` gives them, and `character_ids` where the tokenizer spells; a text
    of which the tokenizer leaves nothing has none.

    A special token spelled out in a text is text to the tokenizers of this package, which are saved so; an end token at
    the very end is that token.

    Args:
        texts: of one split.
        tokenizer: any.
        max_length: the most ids of a text; a longer one keeps its beginning. `None`: all.
        warn: is told how many were cut.
        source_name: what that warning calls the texts.
    """
    rows: list[dict[str, list]] = []
    for start in range(0, len(texts), BATCH_TEXTS):
        encoded = tokenizer(list(texts[start : start + BATCH_TEXTS]), return_attention_mask=False)
        names = [name for name in READ if name in encoded]
        rows.extend(dict(zip(names, row, strict=True)) for row in zip(*(encoded[name] for name in names), strict=True))
    if max_length is not None:
        long = sum(len(row["input_ids"]) > max_length for row in rows)
        rows = [{name: values[:max_length] for name, values in row.items()} for row in rows]
        if long and warn is not None:
            warn(
                f"{source_name}: {long:,} of {len(rows):,} texts have more than max_text_length={max_length} tokens "
                "and are cut"
            )
    return rows


def distinct_words(texts: Sequence[str], tokenizer: WordCharacterTokenizer) -> set[str]:
    """The words of texts, each once, as the tokenizer cuts and spells them."""
    found: set[str] = set()
    for start in range(0, len(texts), BATCH_TEXTS):
        batch = list(texts[start : start + BATCH_TEXTS])
        for encoding, text in zip(tokenizer(batch).encodings, batch, strict=True):
            found.update(words_of(encoding, text))
    return found
