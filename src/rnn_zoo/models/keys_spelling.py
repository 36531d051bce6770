"""The keys of words that are read by their characters as well (`character_encoder.py`)."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from .keys import KeyGroup, key
from .ranges import Range

of_spelling = partial(key, shapes_weights=True, heads=("RnnForTokenClassification", "RnnForSequenceClassification"))


def character_encoders() -> Iterable[str]:
    from .character_encoder import CHARACTER_ENCODERS  # needs torch

    return CHARACTER_ENCODERS


@dataclass(repr=False)
class SpellingKeys(KeyGroup):
    """How the characters of a word become a vector beside its own."""

    character_vocab_size: int | None = of_spelling(
        None,
        "Number of character ids, if words are also read by their spelling (`character_ids`); `None`: they are not.",
        within=Range(1),
        given_by="tokenizer",
    )
    character_encoder: str = of_spelling(
        "cnn",
        'How a word\'s characters become a vector: `"cnn"` (convolution and maximum) or `"rnn"` (both last states).',
        choices=character_encoders,
    )
    character_embedding_size: int = of_spelling(30, "Features of a character's vector.", within=Range(1))
    character_hidden_size: int = of_spelling(
        50,
        'Features of the vector that a word\'s spelling adds to its embedding; even for `"rnn"`.',
        within=Range(1),
    )
    character_kernel_size: int = of_spelling(3, 'Characters that a filter of `"cnn"` sees at once.', within=Range(1))
    affix_length: int = of_spelling(
        0,
        "Longest prefix and suffix of a word, in characters, with a vector of its own beside that of the characters; "
        "above 0 the word's shape has one too. For words that are read by their spelling.",
        within=Range(0),
    )
    affix_embedding_size: int = of_spelling(15, "Features of each of these vectors.", within=Range(1))
    affix_vocab_size: int = of_spelling(
        4096, "Greatest number of affixes of one length that have a vector.", within=Range(1)
    )

    @property
    def spelling_size(self) -> int:
        """Features of a word's spelling; 0 if it is not read."""
        if self.character_vocab_size is None:
            return 0
        affixes = (2 * self.affix_length + 1) * self.affix_embedding_size if self.affix_length else 0
        return self.character_hidden_size + affixes

    def validate_spelling(self) -> None:
        if self.affix_length and self.character_vocab_size is None:
            raise ValueError(
                f"affix_length={self.affix_length}: needs character_vocab_size, as affixes are of words that are spelt"
            )
        if self.character_encoder == "rnn" and self.character_hidden_size % 2:
            raise ValueError(
                f"character_hidden_size={self.character_hidden_size}: must be even, half for each direction"
            )
