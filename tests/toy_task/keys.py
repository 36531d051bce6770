"""The keys of a recipe that only this task has."""

from dataclasses import dataclass

from rnn_zoo.models.keys import key
from rnn_zoo.models.ranges import Range


@dataclass
class PalindromeArguments:
    """How long a text may be."""

    longest_text: int = key(20, "Longer texts are left out, in characters.", within=Range(1))
