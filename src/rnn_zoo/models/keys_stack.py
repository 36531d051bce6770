"""The keys of a recurrent stack (`recurrent_stack.py`): its layers, its cells, what it drops out.

The five dropouts are those of the AWD-LSTM (Merity, Keskar, Socher 2017); each is a share in [0, 1) and works in
training only.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from .keys import KeyGroup, key
from .ranges import LAYERS, SHARE, Range


def cell_types() -> Iterable[str]:
    from .cells import CELLS  # needs torch

    return CELLS


@dataclass(repr=False)
class StackKeys(KeyGroup):
    """What every stack has, that of a decoder too."""

    hidden_size: int = key(
        512, "Features of the hidden state of each layer and direction.", within=Range(1), shapes_weights=True
    )
    num_hidden_layers: int = key(1, "Number of recurrent layers.", within=LAYERS, shapes_weights=True)
    cell_type: str = key(
        "lstm", "The recurrence, one of the names in `rnn_zoo.CELLS`.", choices=cell_types, shapes_weights=True
    )
    residual: bool = key(
        False,
        "Whether a layer's input is added to its output, wherever the two have the same size.",
        shapes_weights=True,
    )
    layer_norm: bool = key(
        False,
        "Whether each layer's input and the stack's output are normalized (Ba, Kiros, Hinton 2016, outside the cell).",
        shapes_weights=True,
    )
    layer_norm_eps: float = key(
        1e-5, "Added to the variance in the layer normalization.", within=Range(0, above=True), shapes_weights=True
    )
    input_dropout: float | int = key(
        0.0,
        "Share of the features dropped between the embedding and the first layer, one mask for all steps of a row.",
        within=SHARE,
        on_resume="applies",
    )
    hidden_dropout: float | int = key(
        0.0,
        "Share of the features dropped between two layers, one mask for all steps of a row.",
        within=SHARE,
        on_resume="applies",
    )
    output_dropout: float | int = key(
        0.0,
        "Share of the features dropped after the last layer, one mask for all steps of a row.",
        within=SHARE,
        on_resume="applies",
    )
    recurrent_weight_dropout: float | int = key(
        0.0,
        "Share of the hidden-to-hidden weights dropped, one mask for a whole call (DropConnect).",
        within=SHARE,
        on_resume="applies",
    )
    recurrent_dropout: float | int = key(
        0.0,
        "Share of the features of h dropped before they meet a hidden-to-hidden matrix, one mask for all steps of a "
        "row (Gal and Ghahramani 2016). Slower: no kernel of torch knows it.",
        within=SHARE,
        on_resume="applies",
    )
    hidden_zoneout: float | int = key(
        0.0,
        "Share of the units of h that a step leaves as they were (Zoneout; Krueger et al. 2017); outside training h is "
        "the expectation of it. Slower: no kernel of torch knows it.",
        within=SHARE,
        shapes_weights=True,
    )
    memory_zoneout: float | int = key(
        0.0,
        "Share of the units of the memory c that a step leaves as they were; as `hidden_zoneout`.",
        within=SHARE,
        shapes_weights=True,
    )
    forget_gate_bias: float | int = key(
        1.0,
        "Initial bias of the forget gate, for cells that have one (Jozefowicz et al. 2015).",
        within=Range(),
    )
    recurrent_init: str = key(
        "orthogonal",
        'Initial hidden-to-hidden weights: `"orthogonal"` for each gate or `"uniform"` in ±1/√hidden_size.',
        choices=("orthogonal", "uniform"),
    )
    use_cache: bool = key(True, "Whether the final state is returned outside training.", given_by="model")

    def validate_shares(self) -> None:
        from .cells import CELLS
        from .recurrent_cell import SHARES

        cell = CELLS.get(self.cell_type)
        if cell is not None and (refusal := cell.refusal_of({name: getattr(self, name) for name in SHARES})):
            raise ValueError(refusal)


@dataclass(repr=False)
class DirectionKeys(KeyGroup):
    """Which way a stack reads that is no decoder's."""

    bidirectional: bool = key(
        False,
        "Whether each layer also reads from the end and concatenates both directions. Not for language models.",
        shapes_weights=True,
    )
    reads_backward: bool = key(
        False,
        "Whether each layer reads from the end of a text to its beginning, and so the outputs at a token know what "
        "follows it. A language model then gives the scores of the token before.",
        shapes_weights=True,
    )

    def validate_directions(self) -> None:
        if self.bidirectional and self.reads_backward:
            raise ValueError("reads_backward: a bidirectional model reads in both directions already")
