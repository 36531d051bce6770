"""Texts -> the ids that a classifier reads."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ...data.stored_rows import StoredRows, encoded_rows, ids_of, key_of_tokenizer, over_pieces
from ...errors import Warn
from ...models.tokenization_words import WordCharacterTokenizer, words_of
from .labels import LabelledText

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedTokenizerBase

LENGTH = "length"  # a column: the ids of a text before it is cut
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


def texts_of(rows: Sequence[LabelledText]) -> Sequence[str]:
    """The texts of examples, in memory or not; in any order."""
    return rows.in_order_of_file().texts("text") if isinstance(rows, StoredRows) else [row["text"] for row in rows]


def distinct_words(texts: Sequence[str], tokenizer: WordCharacterTokenizer) -> set[str]:
    """The words of texts, each once, as the tokenizer cuts and spells them."""

    def words(piece: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(piece), BATCH_TEXTS):
            batch = list(piece[start : start + BATCH_TEXTS])
            for encoding, text in zip(tokenizer(batch).encodings, batch, strict=True):
                found.update(words_of(encoding, text))
        return found

    return set().union(*(found for _, found in over_pieces(texts, words, "looking for words")))


def encoded_texts(
    rows: StoredRows,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int | None,
    labels_of: Callable[[list[LabelledText]], list],
    key: Any,
    warn: Warn,
    source_name: str,
) -> "datasets.Dataset":
    """What `encode_texts` gives of stored texts, with `attention_mask` and `labels`.

    Args:
        rows: of one split.
        tokenizer, max_length, warn, source_name: as for `encode_texts`.
        labels_of: gives of examples what a model takes as `labels`.
        key: all that these depend on.
    """

    def encode(piece: list[LabelledText]) -> dict[str, list]:
        texts = [row["text"] for row in piece]
        if isinstance(tokenizer, WordCharacterTokenizer):
            found = encode_texts(texts, tokenizer)
            columns = {name: [row[name] for row in found] for name in found[0]}
        else:
            columns = {"input_ids": ids_of(tokenizer, texts)}
        lengths = [len(ids) for ids in columns["input_ids"]]
        columns = {name: [values[:max_length] for values in column] for name, column in columns.items()}
        mask = [[1] * len(ids) for ids in columns["input_ids"]]
        return {**columns, "attention_mask": mask, "labels": labels_of(piece), LENGTH: lengths}

    encoded, beside = encoded_rows(rows, (*key_of_tokenizer(tokenizer), max_length, key), encode, [LENGTH])
    if max_length is not None and (long := int((beside[LENGTH] > max_length).sum())):
        warn(
            f"{source_name}: {long:,} of {len(rows):,} texts have more than max_text_length={max_length} tokens "
            "and are cut"
        )
    return encoded
