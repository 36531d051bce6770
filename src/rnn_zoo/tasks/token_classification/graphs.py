"""What is exported of a tagger: one graph, with the CRF inside."""

from ...models.modeling_token_classification import RnnForTokenClassification
from ..graph import Graph, Output, Scores, text_inputs


def graphs(model: RnnForTokenClassification, word_length: int) -> list[Graph]:
    scores = "`(batch, length, labels)`, scores of the labels"
    if model.crf is not None:
        scores += ", max-marginals: the argmax at each word is the best legal sequence as a whole (Viterbi)"
    return [Graph("model", Scores(model), text_inputs(model.config, word_length), [Output("logits", scores)])]
