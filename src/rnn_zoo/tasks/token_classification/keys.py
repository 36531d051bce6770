"""The keys of a recipe that only taggers have."""

from dataclasses import dataclass

from ...models.keys import key
from ...models.ranges import Range
from .iob import IO, NO_ENTITIES, SCHEMES

DATA_SCHEMES = (*SCHEMES, IO, NO_ENTITIES)
EXTENSIONS = ("txt", "conll", "tsv", "iob", "bio", "conllup", "conllu")


@dataclass
class TaggingArguments:
    """Which columns hold words and tags, how the tags are written, and how a word becomes ids."""

    token_column: str | None = key(
        None,
        "Column of words: a number from 0, or a name; found by its name, else the first.",
        on_resume="free",
    )
    tag_column: str | None = key(
        None,
        "Column of tags: a number from 0, -1 the last, or a name; found by its name, else the last.",
        on_resume="free",
    )
    data_tag_scheme: str | None = key(
        None,
        "How tags are written: iob1, iob2, iobes (BILOU and BMES as well), io (types without B- or I-, "
        "whose neighbours are one entity), none (labels of words that are no entities, as parts of speech, "
        "measured by accuracy); seen from the data if not told.",
        choices=DATA_SCHEMES,
        on_resume="free",
    )
    rename_tags: list[str] | None = key(
        None,
        "Types of entities, or labels of words, that are read as others, as person=PER product=O; O is no entity.",
        on_resume="free",
    )
    lowercase: bool = key(
        True,
        "Look words up without their case; their characters keep it.",
    )
    digits_to_zero: bool = key(
        True,
        "Look words up with every digit as 0.",
    )
    rare_word_dropout: float = key(
        0.0,
        "alpha: in training a word seen n times becomes <unk> with the chance alpha / (alpha + n).",
        within=Range(0),
    )
    word_vectors: str | None = key(
        None,
        "File of pretrained word vectors to begin with (GloVe, fastText .vec, word2vec, safetensors); "
        "embedding_size is theirs.",
        on_resume="free",
    )
    tokenizer_name: str | None = key(
        None,
        "A fast tokenizer of words or pieces, from a folder or the Hub, instead of a new one.",
    )
