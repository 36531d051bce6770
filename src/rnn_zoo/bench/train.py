"""Training: forward and backward pass over whole rows."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from ..models.cells import CELLS
from .pairs import Comparison, Sizes, with_gradients

# torch's module of the same recurrence; every cell is compared with its LSTM too.
MODULES = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN}
# How many times as fast as which module a cell should be on a CPU at H = 512.
PROMISED = {
    ("lstm", "nn.LSTM"): 0.97,
    ("gru", "nn.GRU"): 1.15,
    ("rnn_tanh", "nn.RNN"): 1.15,
    ("peephole_lstm", "nn.LSTM"): 0.65,
    ("cifg_lstm", "nn.LSTM"): 0.65,
    ("layer_norm_lstm", "nn.LSTM"): 0.65,
    ("min_gru", "nn.LSTM"): 2.5,
    ("min_lstm", "nn.LSTM"): 1.8,
}


def comparisons(sizes: Sizes) -> Iterator[Comparison]:
    x = torch.randn(sizes.batch, sizes.length, sizes.input_size, device=sizes.device, requires_grad=True)

    def trained(module: nn.Module):
        return with_gradients(partial(summed, module, x), [x, *module.parameters()])

    for name in sizes.cells:
        cell = CELLS[name](sizes.input_size, sizes.hidden).to(sizes.device)
        for kind in dict.fromkeys([MODULES.get(name, nn.LSTM), nn.LSTM]):
            module = kind(sizes.input_size, sizes.hidden, batch_first=True).to(sizes.device)
            base = f"nn.{kind.__name__}"
            yield Comparison(
                f"training, {name}",
                {base: trained(module), name: trained(cell)},
                base,
                sizes.batch * sizes.length,
                promised=sizes.promised(name, PROMISED.get((name, base))),
            )
    for name in sizes.cells[:1]:
        yield memory(name, sizes)


def memory(name: str, sizes: Sizes) -> Comparison:
    """Rows of 1, 2 and 4 times the length: the memory of a training step grows in proportion."""
    cell = CELLS[name](sizes.input_size, sizes.hidden).to(sizes.device)
    ways = {}
    for times in (1, 2, 4):
        x = torch.randn(sizes.batch, times * sizes.length, sizes.input_size, device=sizes.device)
        ways[f"{times * sizes.length} steps"] = with_gradients(partial(summed, cell, x), list(cell.parameters()))
    return Comparison(
        f"training, {name}: longer rows", ways, f"{sizes.length} steps", 1, "rows", memory=True, is_pictured=False
    )


def summed(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return module(x)[0].sum()
