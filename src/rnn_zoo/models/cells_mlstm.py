"""The LSTM with a matrix memory, in its recurrent form.

Sizes: `B` batch, `D` input, `H` hidden, `N` heads, `d` = H / N.
"""

import math
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .recurrent_cell import RecurrentCell
from .scan import widened


class MlstmCell(RecurrentCell):
    """mLSTM (Beck et al. 2024, "xLSTM: Extended Long Short-Term Memory", section 2.3): each head keeps pairs of a
    key and a value in a matrix, and asks it by a query.

    q_t = W_q x_t + b_q, k_t = (W_k x_t + b_k) / √d, v_t = W_v x_t + b_v    (each head)
    ĩ_t = w_i x_t + b_i, f̃_t = w_f x_t + b_f                                (a number a head)
    m_t = max(log σ(f̃_t) + m_{t-1}, ĩ_t)
    i_t = exp(ĩ_t - m_t), f_t = exp(log σ(f̃_t) + m_{t-1} - m_t)
    C_t = f_t C_{t-1} + i_t v_t k_tᵀ
    n_t = f_t n_{t-1} + i_t k_t
    h_t = σ(W_o x_t + b_o) ⊙ C_t q_t / max(|n_tᵀ q_t|, exp(-m_t)), y_t = h_t

    m keeps the exponentials within range and changes nothing else. The paper leaves σ or exp for the forget gate; this
    is σ. There are `num_heads` heads, or as many as divide H too. The block around it in the paper (projections up and
    down, convolution, norm, skip connection) is left out.
    """

    state_names = ("C", "n", "m")
    zoneout_states = ()
    num_heads: ClassVar[int] = 4

    def __init__(self, input_size: int, hidden_size: int, **shares: float):
        super().__init__(input_size, hidden_size, **shares)
        self.heads = math.gcd(self.num_heads, hidden_size)
        rows = 4 * hidden_size + 2 * self.heads
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))  # f, i, o, q, k, v
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.init_weights(forget_gate_bias=0.0, recurrent_init="uniform")

    def state_shapes(self):
        N, d = self.heads, self.hidden_size // self.heads
        return (N, d, d), (N, d), (N,)

    def project(self, x):
        return F.linear(x, self.weight_ih, self.bias_ih)

    def recur(self, z, state, weights):
        C, n, m = (widened(s) for s in state)
        N, H = self.heads, self.hidden_size
        f, i, o, *others = widened(z).split([N, N, H, H, H, H], -1)
        q, k, v = (s.unflatten(-1, (N, -1)) for s in others)  # (B, N, d)
        k = k * (H // N) ** -0.5
        f = F.logsigmoid(f) + m
        m = torch.maximum(f, i)
        f, i = torch.exp(f - m)[..., None], torch.exp(i - m)[..., None]
        C = f[..., None] * C + v[..., :, None] * (i * k)[..., None, :]
        n = f * n + i * k
        scale = torch.maximum((n * q).sum(-1).abs(), torch.exp(-m))[..., None]
        h = torch.sigmoid(o) * (torch.matmul(C, q[..., None])[..., 0] / scale).flatten(-2)
        new = (s.to(old.dtype) for s, old in zip((C, n, m), state, strict=True))
        return h.to(z.dtype), tuple(new)

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """Weights uniform in ±1/√H, biases 0, those of the forget gates `forget_gate_bias`."""
        bound = self.hidden_size**-0.5
        init.uniform_(self.weight_ih, -bound, bound)
        init.zeros_(self.bias_ih)
        if not getattr(self.bias_ih, "_is_hf_initialized", False):
            self.bias_ih.data[: self.heads] = forget_gate_bias
