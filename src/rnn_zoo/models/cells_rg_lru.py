"""The real-gated linear recurrent unit of Griffin, a scan.

Sizes: `D` input, `H` hidden, `K` blocks.
"""

import math
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .scan import ScannedCell


class RgLruCell(ScannedCell):
    """The real-gated linear recurrent unit (De, Smith et al. 2024, "Griffin: Mixing Gated Linear Recurrences with Local
    Attention for Efficient Language Models", section 2.4).

    u_t = W_u x_t + b_u
    i_t = σ(W_x u_t + b_x)
    r_t = σ(W_a u_t + b_a)
    a_t = σ(Λ)^(c r_t), c = 8
    h_t = a_t ⊙ h_{t-1} + √(1 - a_t²) ⊙ (i_t ⊙ u_t), y_t = h_t

    W_x and W_a are block-diagonal, as in RecurrentGemma, whose `recurrent_param` is -Λ here: `num_blocks` blocks, or
    as many as divide H too. W_u is the linear layer before the unit; the short convolution between the two in Griffin
    is left out. RecurrentGemma takes 1 for √(1 - a_t²) at the first step of a text; here all steps are equal, as in
    the paper.
    """

    num_blocks: ClassVar[int] = 8
    c: ClassVar[float] = 8.0
    least: ClassVar[float] = 1e-12  # of 1 - a²: its root has no slope at 0

    def __init__(self, input_size: int, hidden_size: int, **shares: float):
        super().__init__(input_size, hidden_size, **shares)
        blocks = math.gcd(self.num_blocks, hidden_size)
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.empty(hidden_size))
        self.weight_gates = nn.Parameter(torch.empty(2, blocks, hidden_size // blocks, hidden_size // blocks))  # i, r
        self.bias_gates = nn.Parameter(torch.empty(2, hidden_size))
        self.decay = nn.Parameter(torch.empty(hidden_size))  # Λ
        self.init_weights(forget_gate_bias=0.0, recurrent_init="uniform")

    def project(self, x):
        u = F.linear(x, self.weight_ih, self.bias_ih)
        blocks = self.weight_gates.shape[1]
        gates = torch.einsum("...kd,gkde->...gke", u.unflatten(-1, (blocks, -1)), self.weight_gates)
        return torch.cat([(gates.flatten(-2) + self.bias_gates).flatten(-2), u], -1)

    def coefficients(self, z):
        i, r, u = z.chunk(3, -1)
        log_a = self.c * torch.sigmoid(r) * F.logsigmoid(self.decay)
        rest = -torch.expm1(2 * log_a)  # 1 - a²
        return torch.exp(log_a), rest.clamp(min=self.least).sqrt() * torch.sigmoid(i) * u

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """W_u uniform in ±1/√H, the gates in ± one over the root of a block's size; biases 0; σ(Λ)^c uniform between
        0.9 and 0.999, as in the paper. There is no forget gate of its own."""
        self.init_input(self.weight_ih, self.bias_ih)
        bound = self.weight_gates.shape[-1] ** -0.5
        init.uniform_(self.weight_gates, -bound, bound)
        init.zeros_(self.bias_gates)
        if not getattr(self.decay, "_is_hf_initialized", False):
            a = torch.empty_like(self.decay.data).uniform_(0.9, 0.999) ** (1 / self.c)
            self.decay.data = torch.logit(a)
