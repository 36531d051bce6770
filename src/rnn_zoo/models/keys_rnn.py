"""The keys of a model with one recurrent stack: of its parts, and what these ask of each other."""

from dataclasses import dataclass
from itertools import pairwise

from .keys_classifier import ClassifierKeys
from .keys_embedding import EmbeddingKeys
from .keys_output import OutputKeys
from .keys_spelling import SpellingKeys
from .keys_stack import DirectionKeys, StackKeys
from .keys_tagger import TaggerKeys


@dataclass(repr=False)
class RnnKeys(ClassifierKeys, TaggerKeys, SpellingKeys, OutputKeys, DirectionKeys, EmbeddingKeys, StackKeys):
    """Of every head, in one: a checkpoint of one opens as another."""

    def validate_backprop_length(self) -> None:
        if self.backprop_length and (self.bidirectional or self.hierarchical):
            other = "bidirectional" if self.bidirectional else "hierarchical"
            raise ValueError(f"backprop_length={self.backprop_length}: not for {other} models, which need a whole text")

    def validate_adaptive_softmax_cutoffs(self) -> None:
        cutoffs = self.adaptive_softmax_cutoffs
        if cutoffs is None:
            return
        rising = all(low < high for low, high in pairwise([0, *cutoffs, self.vocab_size]))
        if not cutoffs or not rising:
            raise ValueError(
                f"adaptive_softmax_cutoffs={cutoffs}: needed are rising ids between 1 and {self.vocab_size - 1}, the "
                f"last one of vocab_size={self.vocab_size}"
            )
        if self.hidden_size < 4 ** len(cutoffs):
            raise ValueError(
                f"adaptive_softmax_cutoffs={cutoffs}: needs hidden_size of at least {4 ** len(cutoffs)}, given is "
                f"{self.hidden_size}: each band has a fourth of the features of the one before"
            )
        if self.tie_word_embeddings:
            raise ValueError(
                "adaptive_softmax_cutoffs: its output matrices have other sizes; use tie_word_embeddings=False"
            )
