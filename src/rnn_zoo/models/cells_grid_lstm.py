"""The LSTM that has a memory along its depth as well."""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from .cells_gated import GatedCell
from .recurrent_weight import RecurrentWeight


class GridLstmCell(GatedCell):
    """The two-dimensional Grid LSTM, time by depth (Kalchbrenner, Danihelka, Graves 2015, "Grid Long Short-Term
    Memory", section 3), with weights of their own at each depth.

    (d_0, e_0) = W_x x_t + b_x; for l = 1 … L:
    both dimensions see the same: a = U_l h_{l,t-1} + V_l d_{l-1} + b_l, four gates for each
    (h_{l,t}, c_{l,t}) = LSTM(a of time, c_{l,t-1}), (d_l, e_l) = LSTM(a of depth, e_{l-1})
    y_t = d_L

    where LSTM((i, f, g, o), c) is c' = σ(f) ⊙ c + σ(i) ⊙ tanh(g), h' = σ(o) ⊙ tanh(c'). h and c are the states along
    time, d and e those along depth, which begin anew at each step.

    `depth` is L; h and c are `(L, H)` for each row. A second layer of a stack is given d_L alone, not e_L.
    """

    state_names = ("h", "c")
    zoneout_states = ()  # y is no state
    recurrent_weights = ("weight_hh", "weight_dh")
    num_gates = 8
    depth: ClassVar[int] = 2
    weight_dh: nn.Parameter
    bias_x: nn.Parameter

    def weight_shapes(self):
        D, H, rows = self.input_size, self.hidden_size, self.depth * 8 * self.hidden_size
        return {
            "weight_ih": (2 * H, D),
            "bias_x": (2 * H,),
            "weight_hh": (rows, H),
            "weight_dh": (rows, H),
            "bias": (rows,),
        }

    def state_shapes(self):
        return ((self.depth, self.hidden_size),) * 2

    def project(self, x):
        return F.linear(x, self.weight_ih, self.bias_x)

    def sequence_weights(self, rows=1):
        """U and V of each l in turn."""
        parts = [
            [RecurrentWeight(p, W.keep) for p in W.weight.chunk(self.depth)] for W in super().sequence_weights(rows)
        ]
        return tuple(W for pair in zip(*parts, strict=True) for W in pair)

    def recur(self, z, state, weights):
        d, e = z.chunk(2, -1)
        after: list[tuple[torch.Tensor, torch.Tensor]] = []
        layers = zip(
            weights[::2], weights[1::2], self.bias.chunk(self.depth), *(s.unbind(1) for s in state), strict=True
        )
        for U, V, bias, h, c in layers:
            of_time, of_depth = (U(h) + V(d) + bias).chunk(2, -1)
            after.append(lstm(of_time, c))
            d, e = lstm(of_depth, e)
        h, c = (torch.stack(parts, 1) for parts in zip(*after, strict=True))
        return d, (h, c)

    def init_weights(self, forget_gate_bias, recurrent_init):
        super().init_weights(forget_gate_bias, recurrent_init)
        if not getattr(self.bias, "_is_hf_initialized", False):
            self.bias.data.view(self.depth, 2, 4, -1)[:, :, 1] = forget_gate_bias


def lstm(gates: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`gates (B, 4·H)`, `c (B, H)` -> h and c of one step."""
    i, f, g, o = gates.chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c
