"""The keys of a classifier (`modeling_sequence_classification.py`, `pooling.py`, `direct_ngrams.py`)."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

from .keys import KeyGroup, key, one_of
from .ranges import SHARE, Range

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
SINGLE, MULTI, REGRESSION = PROBLEM_TYPES = list(get_args(ProblemType))
of_classifier = partial(key, heads=("RnnForSequenceClassification",))


def poolings() -> Iterable[str]:
    from .pooling import POOLINGS  # needs torch

    return POOLINGS


@dataclass(repr=False)
class ClassifierKeys(KeyGroup):
    """How all states of a text become one vector, and that its labels."""

    if TYPE_CHECKING:
        problem_type: ProblemType | None = None  # the library's own field

    pooling: str = of_classifier(
        "concat",
        'How a classifier makes one vector of all states: `"last"`, `"mean"`, `"max"`, `"concat"` (these three), '
        '`"attention"` (a weighted mean), `"self_attentive"` (several of them).',
        choices=poolings,
        shapes_weights=True,
    )
    pooling_attention_size: int | None = of_classifier(
        None,
        "Features that an attentive pooling compares in. `None` means as many as a state has.",
        within=Range(1),
        shapes_weights=True,
    )
    attention_hops: int = of_classifier(
        4, 'Weighted means of `"self_attentive"`.', within=Range(1), shapes_weights=True
    )
    attention_penalty: float | int = of_classifier(
        0.0,
        "What is added to a text's loss in training, times this, where its hops look at the same words (Lin et al. "
        '2017, equation 8); for `"self_attentive"`, of a hierarchical model that of the sentences.',
        within=Range(0),
    )
    hierarchical: bool = of_classifier(
        False,
        "Whether a classifier reads each sentence on its own, and then the sentences (Yang et al. 2016, HAN).",
        shapes_weights=True,
    )
    sentence_end_token_ids: list[int] | None = of_classifier(
        None,
        "Ids of the tokens that end a sentence, for `hierarchical`.",
        given_by="tokenizer",
    )
    backprop_length: int | None = of_classifier(
        None,
        "Tokens of a text through which a classifier's gradient flows at once; longer texts are read in such pieces in "
        "training, whose memory then stays small. For one direction. `None`: the whole text.",
        within=Range(1),
    )
    classifier_hidden_size: int | None = of_classifier(
        None,
        "Features of a hidden layer between the pooled vector and a classifier's labels. `None`: there is none.",
        within=Range(1),
        shapes_weights=True,
    )
    classifier_dropout: float | int = of_classifier(
        0.0,
        "Share of the features dropped before each layer of a classifier's head.",
        within=SHARE,
        on_resume="applies",
    )
    classifier_batch_norm: bool = of_classifier(
        False,
        "Whether what goes into each layer of a classifier's head is normalized over the batch. A batch in parts "
        "(gradient accumulation, several processes) is then normalized part by part.",
        shapes_weights=True,
    )
    direct_ngram_order: int = of_classifier(
        0,
        "Longest run of tokens that a classifier also scores by itself, beside the recurrent network: 1 for single "
        "ones, 2 for pairs too, and so on. 0: there are no such direct connections (Mikolov et al. 2011, RNNME).",
        within=Range(0),
        shapes_weights=True,
    )
    direct_ngram_size: int = of_classifier(
        262_144,
        "Rows of their weights; runs of tokens are hashed into them.",
        within=Range(1),
        shapes_weights=True,
    )
    class_weights: list[float | int] | None = of_classifier(
        None,
        "What each label's loss counts in a classifier; for several labels a text, that of the texts that have it.",
        given_by="data",
    )
    label_smoothing: float | int = of_classifier(
        0.0,
        "Share of a label's probability that is spread over all labels in a classifier's training (Szegedy et al. "
        "2016, section 7).",
        within=SHARE,
        on_resume="applies",
    )

    def validate_classifier(self) -> None:
        if self.attention_penalty and self.pooling != "self_attentive":
            raise ValueError(f"attention_penalty={self.attention_penalty}: needs pooling='self_attentive'")
        if self.class_weights is not None and not all(0 <= weight < float("inf") for weight in self.class_weights):
            raise ValueError(f"class_weights={self.class_weights}: each must be finite and at least 0")
        if self.problem_type is not None:
            one_of("problem_type", self.problem_type, PROBLEM_TYPES)
        if self.problem_type == REGRESSION:
            for name in ("class_weights", "label_smoothing"):
                if getattr(self, name):
                    raise ValueError(f"{name}={getattr(self, name)}: has no meaning for a regression")
