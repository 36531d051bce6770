"""What is exported of a classifier: one graph."""

from ...models.modeling_sequence_classification import RnnForSequenceClassification
from ..graph import Graph, Output, Scores, text_inputs


def graphs(model: RnnForSequenceClassification, word_length: int) -> list[Graph]:
    scores = Output("logits", "`(batch, labels)`, scores of the labels, or the numbers of a regression")
    return [Graph("model", Scores(model), text_inputs(model.config, word_length), [scores])]
