"""The quasi-recurrent network, a scan over a convolution.

Sizes: `B` batch, `T` time, `D` input, `H` hidden.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .scan import ScannedCell


class QrnnCell(ScannedCell):
    """The quasi-recurrent network (Bradbury, Merity, Xiong, Socher 2017), section 2, with fo-pooling and a window of
    two steps: a convolution over time, and a memory without a hidden-to-hidden matrix.

    f_t = σ(W_f x_t + U_f x_{t-1} + b_f)
    z_t = tanh(W_z x_t + U_z x_{t-1} + b_z)
    o_t = σ(W_o x_t + U_o x_{t-1} + b_o)
    c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ z_t
    h_t = o_t ⊙ c_t, y_t = h_t

    The states are c and the previous input x_{t-1}, zeros before the first step; masked steps are not there, so it is
    the previous real one. The biases are ours.
    """

    state_names = ("c", "x")

    def __init__(self, input_size: int, hidden_size: int, **shares: float):
        super().__init__(input_size, hidden_size, **shares)
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size))  # W: f, z, o
        self.weight_before = nn.Parameter(torch.empty(3 * hidden_size, input_size))  # U
        self.bias_ih = nn.Parameter(torch.empty(3 * hidden_size))
        self.init_weights(forget_gate_bias=0.0, recurrent_init="uniform")

    def state_shapes(self):
        return (self.hidden_size,), (self.input_size,)

    def project(self, x):
        return torch.cat([F.linear(x, self.weight_ih, self.bias_ih), x], -1)

    def recur(self, z, state, weights):
        c, before = state
        z, x = z.split([3 * self.hidden_size, self.input_size], -1)
        y, (c,) = super().recur(z + F.linear(before, self.weight_before), (c,), weights)
        return y, (c, x.to(before.dtype))

    def project_all(self, x, others, real):
        given = torch.cat([others[0][None].to(x.dtype), x])  # (T + 1, B, D)
        before, last = given[:-1], given[-1]
        if real is not None:  # where in `given` the newest real input stands
            place = torch.arange(1, len(given), device=x.device)[:, None].where(real, 0).cummax(0).values  # (T, B)
            place = torch.cat([torch.zeros_like(place[:1]), place])
            before = given.gather(0, place[:-1, :, None].expand_as(x))
            last = given.gather(0, place[-1:, :, None].expand(1, *last.shape))[0]
        z = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(before, self.weight_before)
        return z, (last.to(others[0].dtype, copy=True),)

    def coefficients(self, z):
        f, z, _ = z.chunk(3, -1)
        return torch.sigmoid(f), torch.sigmoid(-f) * torch.tanh(z)

    def output(self, z, h):
        return torch.sigmoid(z.chunk(3, -1)[2]) * h

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """Weights uniform in ±1/√H, biases 0, that of the forget gate `forget_gate_bias`."""
        self.init_input(self.weight_ih, self.bias_ih, forget_gate_bias)
        self.init_input(self.weight_before)
