"""The minimal LSTM, a scan.

Sizes: `D` input, `H` hidden.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .scan import ScannedCell


class MinLstmCell(ScannedCell):
    """The minimal LSTM (Feng, Tung, Ahmed, Bengio, Hajimirsadeghi 2024, "Were RNNs All We Needed?", section 3.2): gates
    and candidate do not see the state, and what is kept and what is added sum to 1.

    f_t = σ(W_f x_t + b_f)
    i_t = σ(W_i x_t + b_i)
    h̃_t = W_h x_t + b_h
    f'_t = f_t / (f_t + i_t), i'_t = i_t / (f_t + i_t)
    h_t = f'_t ⊙ h_{t-1} + i'_t ⊙ h̃_t, y_t = h_t

    f'_t is computed as σ(log f_t - log i_t), so that gates near 0 do not divide 0 by 0. The paper's code computes the
    whole in logarithms, for which h̃_t has to be positive; here it may have any sign.
    """

    def __init__(self, input_size: int, hidden_size: int, **shares: float):
        super().__init__(input_size, hidden_size, **shares)
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.empty(3 * hidden_size))
        self.init_weights(forget_gate_bias=0.0, recurrent_init="uniform")

    def project(self, x):
        return F.linear(x, self.weight_ih, self.bias_ih)

    def coefficients(self, z):
        f, i, h = z.chunk(3, -1)
        kept = F.logsigmoid(f) - F.logsigmoid(i)
        return torch.sigmoid(kept), torch.sigmoid(-kept) * h

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """Weights uniform in ±1/√H, biases 0, that of the forget gate `forget_gate_bias`."""
        self.init_input(self.weight_ih, self.bias_ih, forget_gate_bias)
