"""The keys of what scores the next token of a language model (`output_loss.py`)."""

from dataclasses import dataclass

from .keys import KeyGroup, key
from .ranges import Range


@dataclass(repr=False)
class OutputKeys(KeyGroup):
    """How a large vocabulary is scored."""

    adaptive_softmax_cutoffs: list[int] | None = key(
        None,
        "First id of each band of rarer words in an adaptive softmax (Grave et al. 2017), which trains a large "
        "vocabulary several times as fast; its ids must be sorted by how frequent their words are, as those of a word "
        "vocabulary are. `None`: one softmax over all words.",
        within=Range(1),
        shapes_weights=True,
        heads=("RnnForCausalLM",),
    )
