"""The keys of a recipe that only translators have."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from ...models.ranges import Range


@dataclass
class TranslationArguments:
    """Which two languages are read, whether they share a vocabulary, and what is done with long sentences."""

    source_lang: str | None = field(
        default=None,
        metadata={
            "help": "What is translated: the ending of its files (train.en), the key in the dataset's column "
            "translation, or the name of a column; not needed for .tsv files and embedded data."
        },
    )
    target_lang: str | None = field(default=None, metadata={"help": "What it is translated into, named likewise."})
    separate_vocabularies: bool = field(
        default=False, metadata={"help": "Vocabularies of their own for sources and targets, as for transliteration."}
    )
    max_source_length: Annotated[int, Range(2)] = field(
        default=128, metadata={"help": "Tokens of a source that are read, <eos> included."}
    )
    max_target_length: Annotated[int, Range(2)] = field(
        default=128, metadata={"help": "Tokens of a target that is trained on, <eos> included; longer ones are cut."}
    )
    long_source: Literal["truncate", "error"] = field(
        default="truncate", metadata={"help": "What becomes of a longer source: it is cut, with a warning, or refused."}
    )
    num_beams: Annotated[int, Range(1)] = field(
        default=1, metadata={"help": "Beams of the checkpoint's own search, by which it is measured; 1 is greedy."}
    )
    length_penalty: Annotated[float, Range()] = field(
        default=1.0, metadata={"help": "Above 0 longer translations are preferred (num_beams above 1)."}
    )
    bleu_tokenize: str = field(
        default="13a", metadata={"help": "How sacrebleu finds words: 13a, intl (Indic scripts), zh, ja-mecab, char ..."}
    )
