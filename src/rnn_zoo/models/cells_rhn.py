"""The recurrent network with several layers in a step."""

from typing import ClassVar

import torch
from torch.nn import functional as F

from .cells_gated import GatedCell
from .recurrent_cell import blended
from .recurrent_weight import RecurrentWeight


class RhnCell(GatedCell):
    """The recurrent highway network (Zilly et al. 2017, "Recurrent Highway Networks", section 4), with the carry gate
    coupled to the transform gate.

    s_0 = h_{t-1}; for l = 1 … L:
    g_l = tanh(W_g x_t [l = 1] + R_gl s_{l-1} + b_gl)
    t_l = σ(W_t x_t [l = 1] + R_tl s_{l-1} + b_tl)
    s_l = g_l ⊙ t_l + s_{l-1} ⊙ (1 - t_l)
    h_t = s_L, y_t = h_t

    `weight_hh (L·2·H, H)` and `bias (L·2·H)` hold those of all l; `depth` is L, 10 in the paper's language models.
    1 - t_l is what forgets: all b_tl begin at -forget_gate_bias (the paper: below 0, so that much is carried).
    """

    num_gates = 2
    depth: ClassVar[int] = 10

    def weight_shapes(self):
        H, rows = self.hidden_size, 2 * self.depth * self.hidden_size
        return super().weight_shapes() | {"weight_hh": (rows, H), "bias": (rows,)}

    def project(self, x):
        return F.linear(x, self.weight_ih, self.bias[: 2 * self.hidden_size])

    def sequence_weights(self, rows=1):
        """Those of each l."""
        (W,) = super().sequence_weights(rows)
        return tuple(RecurrentWeight(part, W.keep) for part in W.weight.chunk(self.depth))

    def recur(self, z, state, weights):
        (s,), biases = state, self.bias.chunk(self.depth)
        for n, W in enumerate(weights):
            g, t = ((z if n == 0 else biases[n]) + W(s)).chunk(2, -1)
            s = blended(s, torch.tanh(g), torch.sigmoid(t))
        return s, (s,)

    def init_weights(self, forget_gate_bias, recurrent_init):
        super().init_weights(forget_gate_bias, recurrent_init)
        if not getattr(self.bias, "_is_hf_initialized", False):
            self.bias.data.view(self.depth, 2, -1)[:, 1] = -forget_gate_bias
