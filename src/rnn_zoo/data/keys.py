"""The keys of a recipe that say where the data comes from, and how its texts become tokens."""

from dataclasses import dataclass, field
from typing import Annotated

from ..models.ranges import SHARE, Range
from .formats import UTF_8


@dataclass
class DataArguments:
    """Where the data comes from, and which of its words have ids: for every task."""

    embedded_data: str | None = field(
        default=None,
        metadata={
            "help": "Data that needs no network: python_stdlib, python_docs (causal_lm), ner_sample "
            "(token_classification), sentiment_sample, cldr_languages (sequence_classification), dates, cldr_names "
            "(translation)."
        },
    )
    dataset_name: str | None = field(
        default=None, metadata={"help": "Dataset on the Hugging Face Hub, used where no local files are given."}
    )
    dataset_config_name: str | None = field(default=None, metadata={"help": "Its configuration."})
    dataset_revision: str | None = field(default=None, metadata={"help": "Its revision (branch, tag or commit)."})
    data_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder of local files instead: train, valid(ation) and test files, or one file that is split."
        },
    )
    file_extension: str = field(
        default="txt", metadata={"help": "Extension of the local files; each may also be gzipped (.gz)."}
    )
    encoding: str = field(
        default=UTF_8,
        metadata={"help": "Encoding of the local files, as utf-8, latin-1, cp1252, utf-16 (any that Python knows)."},
    )
    validation_fraction: Annotated[float, SHARE] = field(
        default=0.1, metadata={"help": "Share held out for validation where the data has no such split, in (0, 1)."}
    )
    test_fraction: Annotated[float, SHARE] = field(
        default=0.0, metadata={"help": "Share held out for testing where the data has no such split, in [0, 1)."}
    )
    tokenizer_type: str = field(default="char", metadata={"help": "char, word, wordpunct, bpe or unigram."})
    unicode_normalization: str = field(
        default="NFC", metadata={"help": "NFC, or none to keep every code point as it stands (all but word)."}
    )
    min_frequency: Annotated[int, Range(1)] = field(
        default=1, metadata={"help": "A character or word that is rarer in the training text becomes <unk>."}
    )
    max_vocab_size: Annotated[int | None, Range(1)] = field(
        default=None, metadata={"help": "Greatest size of the vocabulary (all but char)."}
    )

    fold_case: bool = field(default=False, metadata={"help": "Read texts in lower case (wordpunct, bpe, unigram)."})
    clean_markup: bool = field(
        default=False,
        metadata={
            "help": "Read HTML as its reader sees it: no tags, entities as characters (wordpunct, bpe, unigram)."
        },
    )

    @property
    def source(self) -> str:
        """What a message calls the data."""
        return self.data_dir or self.dataset_name or self.embedded_data or "no data"
