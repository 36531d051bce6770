"""The LSTM whose units are ordered by how long they remember."""

from typing import ClassVar

import torch

from .cells_gated import GatedCell


class OnLstmCell(GatedCell):
    """The ordered neurons LSTM (Shen et al. 2019, "Ordered Neurons: Integrating Tree Structures into Recurrent Neural
    Networks", section 4).

    i, f, g, o as in an LSTM, and of each chunk of units two master gates:
    f̃_t = cumax(W_if̃ x_t + W_hf̃ h_{t-1} + b_f̃), ĩ_t = 1 - cumax(W_iĩ x_t + W_hĩ h_{t-1} + b_ĩ)
    ω_t = f̃_t ⊙ ĩ_t
    f̂_t = f_t ⊙ ω_t + (f̃_t - ω_t), î_t = i_t ⊙ ω_t + (ĩ_t - ω_t)
    c_t = f̂_t ⊙ c_{t-1} + î_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t), y_t = h_t

    cumax(x) is the cumulative sum of softmax(x). A chunk is as many units as the largest divisor of H that is at most
    `chunk_size` and leaves two chunks; with one alone, f̃ would be 1 and ĩ 0. The rows of the weights are those of i, f,
    g, o, f̃, ĩ.
    """

    state_names = ("h", "c")
    num_gates = 4
    forget_gate = 1
    chunk_size: ClassVar[int] = 10

    @property
    def chunks(self) -> int:
        """How many chunks of units there are."""
        H = self.hidden_size
        return next((H // size for size in range(self.chunk_size, 0, -1) if H % size == 0 and size < H), 1)

    def weight_shapes(self):
        D, H, rows = self.input_size, self.hidden_size, 4 * self.hidden_size + 2 * self.chunks
        return {"weight_ih": (rows, D), "weight_hh": (rows, H), "bias": (rows,)}

    def recur(self, z, state, weights):
        (h, c), (W,) = state, weights
        H, chunks = self.hidden_size, self.chunks
        gates, masters = (z + W(h)).split([4 * H, 2 * chunks], -1)
        i, f, g, o = gates.chunk(4, -1)
        levels = torch.softmax(masters.unflatten(-1, (2, chunks)), -1).cumsum(-1)
        levels = levels[..., None].expand(-1, -1, -1, H // chunks).flatten(2)  # (B, 2, H)
        master_f, master_i = levels[:, 0], 1 - levels[:, 1]
        both = master_f * master_i
        f = torch.sigmoid(f) * both + (master_f - both)
        i = torch.sigmoid(i) * both + (master_i - both)
        c = f * c + i * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)
