"""The minimal gated recurrent unit, a scan.

Sizes: `D` input, `H` hidden.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .scan import ScannedCell


class MinGruCell(ScannedCell):
    """The minimal gated recurrent unit (Feng, Tung, Ahmed, Bengio, Hajimirsadeghi 2024, "Were RNNs All We Needed?",
    section 3.1): a GRU whose gate and candidate do not see the state.

    z_t = σ(W_z x_t + b_z)
    h̃_t = W_h x_t + b_h
    h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ h̃_t, y_t = h_t

    This is the plain form. The paper's code computes in logarithms, for which h̃_t has to be positive; here no logarithm
    is taken, and h̃_t may have any sign.
    """

    def __init__(self, input_size: int, hidden_size: int, **shares: float):
        super().__init__(input_size, hidden_size, **shares)
        self.weight_ih = nn.Parameter(torch.empty(2 * hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.empty(2 * hidden_size))
        self.init_weights(forget_gate_bias=0.0, recurrent_init="uniform")

    def project(self, x):
        return F.linear(x, self.weight_ih, self.bias_ih)

    def coefficients(self, z):
        z, h = z.chunk(2, -1)
        return torch.sigmoid(-z), torch.sigmoid(z) * h

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """Weights uniform in ±1/√H, biases 0."""
        self.init_input(self.weight_ih, self.bias_ih)
