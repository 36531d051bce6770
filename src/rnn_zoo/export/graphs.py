"""What each head computes outside of Python: graphs of plain tensors, with names for all that goes in and comes out.

Sizes: `B` batch, `T` tokens, `S` source tokens, `W` characters of a word.

A state is one tensor for each layer and each of the cell's states: it goes in as `past.0.h`, `past.0.c`, … and comes
out as `present.0.h`, `present.0.c`, …; zeros begin a text.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ..models.cells import CELLS
from ..models.modeling_causal_lm import RnnForCausalLM
from ..models.modeling_rnn import RnnPreTrainedModel
from ..models.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration
from ..models.modeling_sequence_classification import RnnForSequenceClassification
from ..models.modeling_token_classification import RnnForTokenClassification
from ..models.recurrent_state import DecoderState, RecurrentState

FORMATS = {"onnx": ".onnx", "torch": ".pt2"}  # what graphs are written as, and the suffix of each
BATCH, LENGTH, SOURCE = "batch", "length", "source_length"
Sizes = dict[str, int]  # of each free axis
IDS, MASK, LETTERS, REAL = "ids", "mask", "letters", "real"


@dataclass(frozen=True)
class Input:
    """One input of a graph.

    Args:
        name: as runtimes ask for it.
        kind: `ids` below `below`, a `mask`, `letters` (ids with 0 behind the last of a word), or `real` numbers.
        shape: an axis that is free has a name.
        meaning: half a sentence.
        below: the number of ids.
    """

    name: str
    kind: str
    shape: tuple[int | str, ...]
    meaning: str
    below: int = 2

    def sample(self, sizes: Sizes) -> torch.Tensor:
        """Random values, with about a quarter of a mask 0."""
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in self.shape]
        if self.kind == REAL:
            return torch.rand(shape) * 2 - 1
        if self.kind == MASK:
            return (torch.rand(shape) < 0.75).long()
        ids = torch.randint(self.below, shape)
        if self.kind == LETTERS:
            lengths = torch.randint(shape[-1] + 1, shape[:-1])
            ids = ids.clamp(min=1) * (torch.arange(shape[-1]) < lengths[..., None])
        return ids


@dataclass(frozen=True)
class Output:
    """One output of a graph: its name and half a sentence."""

    name: str
    meaning: str


@dataclass
class Graph:
    """A part of a model that is exported by itself.

    Args:
        name: of its file, without the suffix.
        module: takes the inputs in order, and returns the outputs in order.
    """

    name: str
    module: nn.Module
    inputs: list[Input]
    outputs: list[Output]

    def sample(self, **sizes: int) -> tuple[torch.Tensor, ...]:
        """Random values for all inputs."""
        return tuple(one.sample(sizes) for one in self.inputs)


def states_of(shapes: list[list[list[tuple[int, ...]]]], cell_type: str) -> tuple[list[Input], list[Output]]:
    """The state of layers that read forward, as inputs and as outputs; `shapes` of each layer, direction and state."""
    named = [
        (f"{n}.{name}", shape, f"state {name} of layer {n}")
        for n, layer in enumerate(shapes)
        for name, shape in zip(CELLS[cell_type].state_names, layer[0], strict=True)
    ]
    return (
        [Input(f"past.{name}", REAL, (BATCH, *shape), f"{what} before the tokens") for name, shape, what in named],
        [Output(f"present.{name}", f"{what} after them") for name, _, what in named],
    )


def layers_of(tensors: tuple[torch.Tensor, ...], shapes: list[list[list[tuple[int, ...]]]]):
    """Flat states -> those of each layer."""
    rest = iter(tensors)
    return tuple(tuple(tuple(next(rest) for _ in direction) for direction in layer) for layer in shapes)


def flat(state: RecurrentState) -> list[torch.Tensor]:
    """The inverse of `layers_of`."""
    return [s for layer in state.layers for direction in layer for s in direction]


def text_inputs(config, word_length: int) -> list[Input]:
    """Those of every head that reads one text."""
    inputs = [
        Input("input_ids", IDS, (BATCH, LENGTH), "tokens", config.vocab_size),
        Input("attention_mask", MASK, (BATCH, LENGTH), "1 on real tokens, 0 on padding, which may stand anywhere"),
    ]
    if (letters := config.character_vocab_size) is not None:
        inputs.append(
            Input(
                "character_ids", LETTERS, (BATCH, LENGTH, word_length), "letters of each word, padded with 0", letters
            )
        )
    return inputs


class LanguageModel(nn.Module):
    """Tokens and a state -> scores of the next token at each position, and the new state."""

    def __init__(self, model: RnnForCausalLM):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, *past):
        state = RecurrentState(layers_of(past, self.model.model.state_shapes))
        outputs = self.model(input_ids, attention_mask=attention_mask, cache_params=state, use_cache=True)
        return outputs.logits, *flat(outputs.cache_params)


class Scores(nn.Module):
    """A text -> the logits of a tagger or a classifier."""

    def __init__(self, model: RnnPreTrainedModel):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, character_ids=None):
        letters = {} if character_ids is None else {"character_ids": character_ids}
        return (self.model(input_ids, attention_mask=attention_mask, use_cache=False, **letters).logits,)


class Encoder(nn.Module):
    """A source -> its states, and the decoder's first state."""

    def __init__(self, model: RnnSeq2SeqForConditionalGeneration):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        values = self.model.model.encode(input_ids, attention_mask)[0]
        state = self.model.model.decoder.start(values, attention_mask.bool())
        return values, *flat(state), *(s for s in (state.feed, state.keys) if s is not None)


class Decoder(nn.Module):
    """Target tokens, the state before them and the source -> scores of the next token, attention, the new state."""

    def __init__(self, model: RnnSeq2SeqForConditionalGeneration):
        super().__init__()
        self.model = model

    def forward(self, input_ids, encoder_attention_mask, encoder_hidden_states, *past):
        shapes = self.model.model.state_shapes
        feeds, attends = self.model.config.input_feeding, self.model.config.attention != "none"
        rest = list(past)
        keys = rest.pop() if attends else None
        feed = rest.pop() if feeds else None
        outputs = self.model(
            decoder_input_ids=input_ids,
            encoder_outputs=(encoder_hidden_states,),
            attention_mask=encoder_attention_mask,
            cache_params=DecoderState(layers_of(tuple(rest), shapes), feed, keys),
            use_cache=True,
            output_attentions=attends,
        )
        state = outputs.cache_params
        weights = [outputs.cross_attentions[0][:, 0]] if attends else []
        return outputs.logits, *weights, *flat(state), *([state.feed] if feeds else [])


def language_model(model: RnnForCausalLM, word_length: int) -> list[Graph]:
    past, present = states_of(model.model.state_shapes, model.config.cell_type)
    scores = "`(batch, length, vocabulary)`, scores of the next token"
    inputs = [*text_inputs(model.config, word_length), *past]
    return [Graph("model", LanguageModel(model), inputs, [Output("logits", scores), *present])]


def tagger(model: RnnForTokenClassification, word_length: int) -> list[Graph]:
    scores = "`(batch, length, labels)`, scores of the labels"
    if model.crf is not None:
        scores += ", max-marginals: the argmax at each word is the best legal sequence as a whole (Viterbi)"
    return [Graph("model", Scores(model), text_inputs(model.config, word_length), [Output("logits", scores)])]


def classifier(model: RnnForSequenceClassification, word_length: int) -> list[Graph]:
    scores = Output("logits", "`(batch, labels)`, scores of the labels, or the numbers of a regression")
    return [Graph("model", Scores(model), text_inputs(model.config, word_length), [scores])]


def translator(model: RnnSeq2SeqForConditionalGeneration, word_length: int) -> list[Graph]:
    config, decoder = model.config, model.model.decoder
    assert config.decoder_cell_type is not None  # the configuration has filled it in
    past, present = states_of(model.model.state_shapes, config.decoder_cell_type)
    values = Input(
        "encoder_hidden_states", REAL, (BATCH, SOURCE, decoder.value_size), "what the encoder has made of the source"
    )
    if config.input_feeding:
        size = decoder.readout.out_features
        past.append(Input("past.feed", REAL, (BATCH, size), "what the output layer read last"))
        present.append(Output("present.feed", "what it has read now"))
    keys = []
    if decoder.attention is not None:
        size = decoder.attention.keys(torch.zeros(1, 1, decoder.value_size)).shape[-1]
        keys = [Input("encoder_keys", REAL, (BATCH, SOURCE, size), "what attention compares of the source")]
    source = [
        Input("input_ids", IDS, (BATCH, SOURCE), "tokens of the source", config.vocab_size),
        Input("attention_mask", MASK, (BATCH, SOURCE), "1 on real tokens, 0 on padding, which may stand anywhere"),
    ]
    target = Input(
        "input_ids", IDS, (BATCH, LENGTH), "tokens of the target", model.model.target_embeddings.num_embeddings
    )
    source_mask = Input("encoder_attention_mask", MASK, (BATCH, SOURCE), "the encoder's attention_mask")
    scores = Output("logits", "`(batch, length, vocabulary)`, scores of the next token")
    weights = Output("cross_attention", "`(batch, length, source_length)`, how much of each source token was taken")
    first = [Output(one.name, one.meaning) for one in (values, *past, *keys)]
    return [
        Graph("encoder_model", Encoder(model), source, first),
        Graph(
            "decoder_model",
            Decoder(model),
            [target, source_mask, values, *past, *keys],
            [scores, *([weights] if keys else []), *present],
        ),
    ]


# What is exported of each head. A new head is one function and one line.
HEADS: dict[type[RnnPreTrainedModel], Callable[..., list[Graph]]] = {
    RnnForCausalLM: language_model,
    RnnForTokenClassification: tagger,
    RnnForSequenceClassification: classifier,
    RnnSeq2SeqForConditionalGeneration: translator,
}


def graphs_of(model: RnnPreTrainedModel, word_length: int = 20) -> list[Graph]:
    """The graphs of a model.

    Args:
        model: one with a head.
        word_length: `W` of the `character_ids` that its tokenizer gives, for a model that reads them.
    """
    return HEADS[type(model)](model, word_length)
