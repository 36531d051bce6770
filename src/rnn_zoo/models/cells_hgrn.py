"""The hierarchically gated recurrent unit, a scan.

Sizes: `D` input, `H` hidden.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .scan import ScannedCell


class HgrnCell(ScannedCell):
    """The recurrence of the hierarchically gated recurrent network (Qin, Yang, Zhong 2023, "Hierarchically Gated
    Recurrent Neural Network for Sequence Modeling", section 3): no unit forgets faster than its bound allows.

    μ_t = σ(W_f x_t + b_f)
    λ_t = γ + (1 - γ) ⊙ μ_t
    c_t = SiLU(W_c x_t + b_c)
    g_t = σ(W_g x_t + b_g)
    h_t = λ_t ⊙ h_{t-1} + (1 - λ_t) ⊙ c_t
    y_t = g_t ⊙ h_t

    In the paper the bounds γ rise from layer to layer, from 0 in the first one: a softmax over the layers, summed up.
    A cell knows no other layer, so here each learns bounds of its own, γ = σ(`lower_bound`), which begin at 1/2. The
    state is real; the paper's turns by a learnt angle as well. The norm and the matrix that follow in the paper's block
    are left to the stack.
    """

    def __init__(self, input_size: int, hidden_size: int, **shares: float):
        super().__init__(input_size, hidden_size, **shares)
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size))  # f, c, g
        self.bias_ih = nn.Parameter(torch.empty(3 * hidden_size))
        self.lower_bound = nn.Parameter(torch.empty(hidden_size))
        self.init_weights(forget_gate_bias=0.0, recurrent_init="uniform")

    def project(self, x):
        return F.linear(x, self.weight_ih, self.bias_ih)

    def coefficients(self, z):
        f, c, _ = z.chunk(3, -1)
        forgets = torch.sigmoid(-self.lower_bound) * torch.sigmoid(-f)  # (1 - γ) (1 - μ) = 1 - λ
        return 1 - forgets, forgets * F.silu(c)

    def output(self, z, h):
        return torch.sigmoid(z.chunk(3, -1)[2]) * h

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """Weights uniform in ±1/√H, biases and bounds 0, the bias of the forget gate `forget_gate_bias`."""
        self.init_input(self.weight_ih, self.bias_ih, forget_gate_bias)
        init.zeros_(self.lower_bound)
