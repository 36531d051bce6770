"""The keys of what stands below the stack: tokens and their vectors."""

from dataclasses import dataclass

from .keys import KeyGroup, key
from .ranges import SHARE, Range


@dataclass(repr=False)
class EmbeddingKeys(KeyGroup):
    """Which ids there are, and the vector of each."""

    vocab_size: int = key(
        256,
        "Number of token ids, of the source if the target has others.",
        within=Range(1),
        shapes_weights=True,
        given_by="tokenizer",
    )
    embedding_size: int | None = key(
        None, "Features of a token's vector. `None` means `hidden_size`.", within=Range(1), shapes_weights=True
    )
    embedding_dropout: float | int = key(
        0.0, "Share of the vocabulary whose vectors are zero for a whole batch.", within=SHARE, on_resume="applies"
    )
    word_dropout: float | int = key(
        0.0,
        "Share of the words that are replaced by `unk_token_id` in training, so that the unknown word is learnt; its "
        "spelling stays.",
        within=SHARE,
        on_resume="applies",
    )
    tie_word_embeddings: bool = key(
        False,
        "Whether the output layer shares the embedding's matrix (Press and Wolf 2017); where the stack's output and "
        "`embedding_size` differ, a linear projection stands between them.",
        shapes_weights=True,
        heads=("RnnForCausalLM", "RnnSeq2SeqForConditionalGeneration"),
    )
    initializer_range: float | int = key(
        0.1, "Standard deviation of the initial embedding and output matrices.", within=Range(0)
    )
    pad_token_id: int | None = key(None, "Id of the padding token.", given_by="tokenizer")
    bos_token_id: int | None = key(None, "Id of the token that begins a text.", given_by="tokenizer")
    eos_token_id: int | list[int] | None = key(None, "Id of the token that ends a text.", given_by="tokenizer")
    unk_token_id: int | None = key(None, "Id of the unknown word.", given_by="tokenizer")

    def validate_word_dropout(self) -> None:
        if self.word_dropout and self.unk_token_id is None:
            raise ValueError(
                f"word_dropout={self.word_dropout}: needs unk_token_id, the word that takes the others' place"
            )
