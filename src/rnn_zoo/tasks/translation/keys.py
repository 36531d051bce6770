"""The keys of a recipe that only translators have."""

from dataclasses import dataclass
from typing import Literal

from ...models.keys import key
from ...models.ranges import Range


@dataclass
class TranslationArguments:
    """Which two languages are read, whether they share a vocabulary, and what is done with long sentences."""

    source_lang: str | None = key(
        None,
        "What is translated: the ending of its files (train.en), the key in the dataset's column "
        "translation, or the name of a column; not needed for .tsv files and embedded data.",
    )
    target_lang: str | None = key(
        None,
        "What it is translated into, named likewise.",
    )
    separate_vocabularies: bool = key(
        False,
        "Vocabularies of their own for sources and targets, as for transliteration.",
    )
    max_source_length: int = key(
        128,
        "Tokens of a source that are read, <eos> included.",
        within=Range(2),
    )
    max_target_length: int = key(
        128,
        "Tokens of a target that is trained on, <eos> included; longer ones are cut.",
        within=Range(2),
    )
    long_source: Literal["truncate", "error"] = key(
        "truncate",
        "What becomes of a longer source: it is cut, with a warning, or refused.",
    )
    num_beams: int = key(
        1,
        "Beams of the checkpoint's own search, by which it is measured; 1 is greedy.",
        within=Range(1),
        on_resume="free",
    )
    length_penalty: float = key(
        1.0,
        "Above 0 longer translations are preferred (num_beams above 1).",
        within=Range(),
        on_resume="free",
    )
    bleu_tokenize: str = key(
        "13a",
        "How sacrebleu finds words: 13a, intl (Indic scripts), zh, ja-mecab, char ...",
        on_resume="free",
    )
    answer_check: Literal["none", "iso_date"] = key(
        "none",
        "iso_date: `rnn-zoo translate` says of an answer that is no date of the calendar (2025-02-31).",
        on_resume="free",
    )
