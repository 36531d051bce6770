"""What a head computes outside of Python: graphs of plain tensors, with names for all that goes in and comes out.

Sizes: `B` batch, `T` tokens, `S` source tokens, `W` characters of a word.

A state is one tensor for each layer and each of the cell's states: it goes in as `past.0.h`, `past.0.c`, … and comes
out as `present.0.h`, `present.0.c`, …; zeros begin a text.
"""

from dataclasses import dataclass

import torch
from torch import nn

from ..models.cells import CELLS
from ..models.modeling_rnn import RnnPreTrainedModel
from ..models.recurrent_state import RecurrentState

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


class Scores(nn.Module):
    """A text -> the logits of a tagger or a classifier."""

    def __init__(self, model: RnnPreTrainedModel):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, character_ids=None):
        letters = {} if character_ids is None else {"character_ids": character_ids}
        return (self.model(input_ids, attention_mask=attention_mask, use_cache=False, **letters).logits,)
