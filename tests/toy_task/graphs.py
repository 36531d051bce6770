"""What is exported of it."""

from rnn_zoo.tasks.graph import Graph, Output, Scores, text_inputs


def graphs(model, word_length):
    inputs = text_inputs(model.config, word_length)
    return [Graph("model", Scores(model), inputs, [Output("logits", "`(batch, 2)`, no and yes")])]
