"""The keys of a model with one recurrent stack: of its parts, and what these ask of each other."""

from dataclasses import dataclass

from .keys_classifier import ClassifierKeys
from .keys_embedding import EmbeddingKeys
from .keys_spelling import SpellingKeys
from .keys_stack import DirectionKeys, StackKeys
from .keys_tagger import TaggerKeys


@dataclass(repr=False)
class RnnKeys(ClassifierKeys, TaggerKeys, SpellingKeys, DirectionKeys, EmbeddingKeys, StackKeys):
    """Of every head, in one: a checkpoint of one opens as another."""

    def validate_backprop_length(self) -> None:
        if self.backprop_length and (self.bidirectional or self.hierarchical):
            other = "bidirectional" if self.bidirectional else "hierarchical"
            raise ValueError(f"backprop_length={self.backprop_length}: not for {other} models, which need a whole text")
