"""The keys of a recipe that only taggers have."""

from dataclasses import dataclass, field
from typing import Annotated

from ...models.ranges import Range


@dataclass
class TaggingArguments:
    """Which columns hold words and tags, how the tags are written, and how a word becomes ids."""

    token_column: str | None = field(
        default=None,
        metadata={"help": "Column of words: a number from 0, or a name; found by its name, else the first."},
    )
    tag_column: str | None = field(
        default=None,
        metadata={"help": "Column of tags: a number from 0, -1 the last, or a name; found by its name, else the last."},
    )
    data_tag_scheme: str | None = field(
        default=None,
        metadata={
            "help": "How tags are written: iob1, iob2, iobes (BILOU and BMES as well), io (types without B- or I-, "
            "whose neighbours are one entity), none (labels of words that are no entities, as parts of speech, "
            "measured by accuracy); seen from the data if not told."
        },
    )
    lowercase: bool = field(
        default=True, metadata={"help": "Look words up without their case; their characters keep it."}
    )
    digits_to_zero: bool = field(default=True, metadata={"help": "Look words up with every digit as 0."})
    rare_word_dropout: Annotated[float, Range(0)] = field(
        default=0.0,
        metadata={"help": "alpha: in training a word seen n times becomes <unk> with the chance alpha / (alpha + n)."},
    )
    word_vectors: str | None = field(
        default=None,
        metadata={
            "help": "File of pretrained word vectors to begin with (GloVe, fastText .vec, word2vec, safetensors); "
            "embedding_size is theirs."
        },
    )
    tokenizer_name: str | None = field(
        default=None,
        metadata={"help": "A fast tokenizer of words or pieces, from a folder or the Hub, instead of a new one."},
    )
