"""What cells with gates share that torch has no kernel for: parameters, and how they begin.

Sizes: `B` batch, `D` input, `H` hidden, `G` gates.
"""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .kernels_cpu_lstm import LstmKernel, run_lstm_on_cpu
from .recurrent_cell import RecurrentCell
from .recurrent_weight import fill_recurrent


class GatedCell(RecurrentCell):
    """A looped cell whose gates stand one below the other in `weight_ih (G·H, D)`, `weight_hh (G·H, H)`, `bias (G·H)`.

    A subclass has `num_gates` and `recur`; `weight_shapes`, if it has other parameters.
    """

    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh",)
    num_gates: ClassVar[int]
    forget_gate: ClassVar[int | None] = None  # its place among the gates
    lstm_kernel: ClassVar[LstmKernel | None] = None  # runs whole sequences on a CPU, with gradients
    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
    bias: nn.Parameter

    def __init__(self, input_size: int, hidden_size: int, **shares: float):
        super().__init__(input_size, hidden_size, **shares)
        for name, shape in self.weight_shapes().items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        self.init_weights(forget_gate_bias=0.0, recurrent_init="uniform")

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter, by its name."""
        rows = self.num_gates * self.hidden_size
        return {"weight_ih": (rows, self.input_size), "weight_hh": (rows, self.hidden_size), "bias": (rows,)}

    def project(self, x):
        """W_ih x + b, for all gates: `(..., D)` -> `(..., G·H)`."""
        return F.linear(x, self.weight_ih, self.bias)

    def loop(self, z, state, weights, mask):
        """By the cell's kernel where it has one that knows what it is given."""
        if self.lstm_kernel is not None and not self.zones_out:
            found = run_lstm_on_cpu(self, self.lstm_kernel, z, state, weights, mask)
            if found is not None:
                return found
        return super().loop(z, state, weights, mask)

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """`recurrent_weights` as `fill_recurrent` says; biases 0, but `forget_gate_bias` for a forget gate; all else
        uniform in ±1/√H."""
        H, bound = self.hidden_size, self.hidden_size**-0.5
        for name, parameter in self.named_parameters():
            if name.startswith("bias"):
                init.zeros_(parameter)
            elif name in self.recurrent_weights:
                fill_recurrent(parameter, bound, recurrent_init)
            else:
                init.uniform_(parameter, -bound, bound)
        if self.forget_gate is not None and not getattr(self.bias, "_is_hf_initialized", False):
            self.bias.data[self.forget_gate * H : (self.forget_gate + 1) * H] = forget_gate_bias
