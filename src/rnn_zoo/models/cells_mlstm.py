"""The LSTM with a matrix memory.

Sizes: `B` batch, `T` time, `D` input, `H` hidden, `N` heads, `d` = H / N.
"""

import math
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .recurrent_cell import RecurrentCell, State
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
    h_t = σ(W_o x_t + b_o) ⊙ α ⊙ norm(C_t q_t / max(|n_tᵀ q_t|, exp(-m_t))), y_t = h_t

    m keeps the exponentials within range and changes nothing else. The paper leaves σ or exp for the forget gate; this
    is σ. There are `num_heads` heads, or as many as divide H too. The norm divides each head by the root of its mean
    square (RMSNorm; Zhang and Sennrich 2019): q, k and v are multiplied, and without it small inputs leave nothing. The
    paper has a group norm there, which leaves nothing of a head of one number. The rest of the block around the cell in
    the paper (projections up and down, convolution, skip connection) is left out.

    A sequence is run in chunks of `chunk` steps. Within one, F_t being the sum of log σ(f̃) up to t,

    m_t = max(F_t + m_0, max_{s ≤ t} F_t - F_s + ĩ_s)
    C_t q_t = exp(F_t + m_0 - m_t) C_0 q_t + Σ_{s ≤ t} exp(F_t - F_s + ĩ_s - m_t) (k_sᵀ q_t) v_s

    so that no matrix but the last is ever written down; n_tᵀ q_t is the same sum without v_s.
    """

    kind = "scanned"
    state_names = ("C", "n", "m")
    zoneout_states = ()
    num_heads: ClassVar[int] = 4
    chunk: ClassVar[int] = 64
    eps: ClassVar[float] = 1e-4  # added to the mean square; less would blow up the rounding of small outputs

    def __init__(self, input_size: int, hidden_size: int, **shares: float):
        super().__init__(input_size, hidden_size, **shares)
        self.heads = math.gcd(self.num_heads, hidden_size)
        rows = 4 * hidden_size + 2 * self.heads
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))  # f, i, o, q, k, v
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.norm = nn.Parameter(torch.empty(hidden_size))  # α
        self.init_weights(forget_gate_bias=0.0, recurrent_init="uniform")

    def state_shapes(self):
        N, d = self.heads, self.hidden_size // self.heads
        return (N, d, d), (N, d), (N,)

    def project(self, x):
        return F.linear(x, self.weight_ih, self.bias_ih)

    def recur(self, z, state, weights):
        C, n, m = (widened(s) for s in state)
        f, i, o, q, k, v = self.parts(z)
        f = f + m
        m = torch.maximum(f, i)
        f, i = torch.exp(f - m)[..., None], torch.exp(i - m)[..., None]
        C = f[..., None] * C + v[..., :, None] * (i * k)[..., None, :]
        n = f * n + i * k
        scale = torch.maximum((n * q).sum(-1).abs(), torch.exp(-m))[..., None]
        h = o * self.normalized(torch.matmul(C, q[..., None])[..., 0] / scale)
        new = (s.to(old.dtype) for s, old in zip((C, n, m), state, strict=True))
        return h.to(z.dtype), tuple(new)

    def normalized(self, h: torch.Tensor) -> torch.Tensor:
        """`h (..., N, d)` -> α ⊙ norm(h), `(..., H)`."""
        return (h * (h.square().mean(-1, keepdim=True) + self.eps).rsqrt()).flatten(-2) * self.norm

    def parts(self, z: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """`z (..., P)` -> log σ(f̃), ĩ `(..., N)`, σ of the output gate `(..., H)`, q, k, v `(..., N, d)`."""
        N, H = self.heads, self.hidden_size
        f, i, o, *others = widened(z).split([N, N, H, H, H, H], -1)
        q, k, v = (s.unflatten(-1, (N, -1)) for s in others)
        return F.logsigmoid(f), i, torch.sigmoid(o), q, k * (H // N) ** -0.5, v

    def sequence(self, x, state, mask):
        """The plain loop, a chunk of steps at a time."""
        if mask is not None:
            x = x.masked_fill(~mask[..., None], 0)  # not even an infinity under the mask counts
        z = self.project(x)
        f, i, o, q, k, v = self.parts(z)
        if mask is not None:  # nothing is forgotten, and nothing added
            f, i = f.masked_fill(~mask[..., None], 0), i.masked_fill(~mask[..., None], -float("inf"))
        now: State = tuple(widened(s) for s in state)
        outputs = []
        for parts in zip(*(s.transpose(1, 2).split(self.chunk, 2) for s in (f, i, q, k, v)), strict=True):
            h, now = self.run_chunk(now, *parts)
            outputs.append(h)
        y = (o * self.normalized(torch.cat(outputs, 2).transpose(1, 2))).to(z.dtype)
        y = y if mask is None else y.masked_fill(~mask[..., None], 0)
        return y, tuple(s.to(old.dtype) for s, old in zip(now, state, strict=True))

    @staticmethod
    def run_chunk(state: State, f, i, q, k, v) -> tuple[torch.Tensor, State]:
        """log σ(f̃), ĩ `(B, N, T)`, q, k, v `(B, N, T, d)` -> `h (B, N, T, d)` before the output gate, new state."""
        C, n, m = state
        total = f.cumsum(-1)  # F
        later = torch.ones(f.shape[-1], f.shape[-1], dtype=torch.bool, device=f.device).triu(1)
        weight = (total[..., :, None] - total[..., None, :] + i[..., None, :]).masked_fill(later, -float("inf"))
        carried = total + m[..., None]
        m = torch.maximum(carried, weight.amax(-1))  # (B, N, T)
        weight, carried = torch.exp(weight - m[..., None]), torch.exp(carried - m)[..., None]
        score = weight * (q @ k.transpose(-1, -2))  # (B, N, T, T)
        sums = carried * (q @ C.transpose(-1, -2)) + score @ v
        norm = carried[..., 0] * (q @ n[..., None])[..., 0] + score.sum(-1)
        h = sums / torch.maximum(norm.abs(), torch.exp(-m))[..., None]
        last, left = weight[..., -1, :, None] * k, carried[..., -1, :]  # (B, N, T, d), (B, N, 1)
        return h, (left[..., None] * C + v.transpose(-1, -2) @ last, left * n + last.sum(2), m[..., -1].clone())

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """Weights uniform in ±1/√H, α 1, biases 0, those of the forget gates `forget_gate_bias`."""
        init.ones_(self.norm)
        bound = self.hidden_size**-0.5
        init.uniform_(self.weight_ih, -bound, bound)
        init.zeros_(self.bias_ih)
        if not getattr(self.bias_ih, "_is_hf_initialized", False):
            self.bias_ih.data[: self.heads] = forget_gate_bias
