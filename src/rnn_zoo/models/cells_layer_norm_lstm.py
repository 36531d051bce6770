"""The LSTM with layer normalization inside."""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .cells_gated import GatedCell


class LayerNormLstmCell(GatedCell):
    """The LSTM with layer normalization (Ba, Kiros, Hinton 2016, "Layer Normalization", supplementary material).

    (i, f, g, o) = LN(W_ih x_t) ⊙ α_x + LN(W_hh h_{t-1}) ⊙ α_h + b
    c_t = σ(f) ⊙ c_{t-1} + σ(i) ⊙ tanh(g)
    h_t = σ(o) ⊙ tanh(LN(c_t) ⊙ α_c + β_c), y_t = h_t

    LN takes the mean from its features and divides by their standard deviation: the 4·H of all gates together, the H of
    c. The paper adds a bias of its own to each product; here b is the sum of all three.
    """

    state_names = ("h", "c")
    num_gates = 4
    forget_gate = 1
    norm_x: nn.Parameter
    norm_h: nn.Parameter
    norm_c: nn.Parameter
    bias_c: nn.Parameter

    def weight_shapes(self):
        H = self.hidden_size
        return super().weight_shapes() | {"norm_x": (4 * H,), "norm_h": (4 * H,), "norm_c": (H,), "bias_c": (H,)}

    def project(self, x):
        return F.layer_norm(F.linear(x, self.weight_ih), self.norm_x.shape, self.norm_x, self.bias)

    def recur(self, z, state, weights):
        (h, c), (W,) = state, weights
        i, f, g, o = (z + F.layer_norm(W(h), self.norm_h.shape, self.norm_h)).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(F.layer_norm(c, self.norm_c.shape, self.norm_c, self.bias_c))
        return h, (h, c)

    def init_weights(self, forget_gate_bias, recurrent_init):
        """As the other cells; all α begin at 1."""
        super().init_weights(forget_gate_bias, recurrent_init)
        for norm in (self.norm_x, self.norm_h, self.norm_c):
            init.ones_(norm)
