"""Words that are read by their characters as well: what a recipe says of that, for taggers and classifiers."""

from dataclasses import dataclass, field
from typing import Annotated

from ..models.ranges import Range


@dataclass
class SpellingArguments:
    """Whether words are read by their characters, and how much of each (taggers and classifiers)."""

    read_characters: bool | None = field(
        default=None,
        metadata={
            "help": "Read each word by its characters as well (character_encoder and its sizes, affix_length); taggers "
            "do unless told otherwise, classifiers only if told."
        },
    )
    max_word_length: Annotated[int, Range(1)] = field(
        default=20, metadata={"help": "Characters read of a word; of a longer one its beginning and its end."}
    )
    min_affix_words: Annotated[int, Range(1)] = field(
        default=3,
        metadata={"help": "An affix or shape of fewer different training words is read as unknown (affix_length)."},
    )
