"""The gated recurrent unit as it was first written."""

import torch
from torch import nn
from torch.nn import functional as F

from .cells_gated import GatedCell
from .recurrent_cell import blended
from .recurrent_weight import RecurrentWeight


class ChoGruCell(GatedCell):
    """The gated recurrent unit with the reset gate before the product (Cho et al. 2014, "Learning Phrase
    Representations using RNN Encoder-Decoder for Statistical Machine Translation", section 2.3).

    r_t = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)
    z_t = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)
    n_t = tanh(W_in x_t + b_in + W_hn (r_t ⊙ h_{t-1}) + b_hn)
    h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}, y_t = h_t

    The parameters are those of `torch.nn.GRU`, which differs in n_t alone: there r_t multiplies the product and b_hn.
    It is the GRU of Keras with `reset_after=False`, whose one bias is b_i + b_h.
    """

    num_gates = 3
    bias_ih: nn.Parameter
    bias_hh: nn.Parameter

    def weight_shapes(self):
        shapes = super().weight_shapes()
        bias = shapes.pop("bias")
        return shapes | {"bias_ih": bias, "bias_hh": bias}

    def project(self, x):
        return F.linear(x, self.weight_ih, self.bias_ih + self.bias_hh)

    def sequence_weights(self, rows=1):
        """Those of the gates, and those of n, whose product waits for r."""
        (W,) = super().sequence_weights(rows)
        sizes = [2 * self.hidden_size, self.hidden_size]
        return tuple(RecurrentWeight(part, W.keep) for part in W.weight.split(sizes))

    def recur(self, z, state, weights):
        (h,), (W, W_n) = state, weights
        z, n = z.split([2 * self.hidden_size, self.hidden_size], -1)
        r, z = torch.sigmoid(z + W(h)).chunk(2, -1)
        h = blended(torch.tanh(n + W_n(r * h)), h, z)
        return h, (h,)
