"""The LSTM with exponential gates."""

import math
from typing import ClassVar

import torch
from torch.nn import functional as F

from .cells_gated import GatedCell
from .recurrent_weight import BlockDiagonalWeight


class SlstmCell(GatedCell):
    """The scalar LSTM of the xLSTM (Beck et al. 2024, "xLSTM: Extended Long Short-Term Memory", section 2.2).

    z_t = tanh(W_z x_t + R_z h_{t-1} + b_z), o_t = σ(W_o x_t + R_o h_{t-1} + b_o)
    ĩ_t, f̃_t of the same form; i_t = exp(ĩ_t), f_t = σ(f̃_t)
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ z_t, n_t = f_t ⊙ n_{t-1} + i_t
    h_t = o_t ⊙ c_t / n_t, y_t = h_t

    So that exp does not overflow, c and n are kept divided by exp(m_t), where m_t = max(log f_t + m_{t-1}, log i_t), or
    log i_t alone before the first step, when n is 0. So n_t is at least 1, and 1 stands for it if a state that was
    given makes it less. The paper also allows f_t = exp(f̃_t), and normalizes h_t in the block around the cell.

    The R are block-diagonal, one block for each head: `weight_hh (heads, 4·H/heads, H/heads)`. There are as many heads
    as the largest divisor of H that is at most `most_heads`. The gates stand in the order i, f, z, o.
    """

    state_names = ("h", "c", "n", "m")
    zoneout_states = ("h",)  # c, n and m belong together
    num_gates = 4
    forget_gate = 1
    most_heads: ClassVar[int] = 4

    @property
    def heads(self) -> int:
        return next(heads for heads in range(self.most_heads, 0, -1) if self.hidden_size % heads == 0)

    def weight_shapes(self):
        size = self.hidden_size // self.heads
        return super().weight_shapes() | {"weight_hh": (self.heads, 4 * size, size)}

    def sequence_weights(self, rows=1):
        return tuple(BlockDiagonalWeight(W.weight, W.keep) for W in super().sequence_weights(rows))

    def recur(self, z, state, weights):
        (h, c, n, m), (W,) = state, weights
        inner = W(h).unflatten(-1, (4, -1)).permute(1, 2, 0, 3).flatten(2)  # (B, 4, H)
        i, f, z, o = (z.unflatten(-1, (4, -1)) + inner).unbind(1)
        f = (F.logsigmoid(f) + m).masked_fill(n == 0, -math.inf)
        m = torch.maximum(f, i)
        f, i = torch.exp(f - m), torch.exp(i - m)
        c = f * c + i * torch.tanh(z)
        n = f * n + i
        h = torch.sigmoid(o) * c / n.clamp(min=1)
        return h, (h, c, n, m)
