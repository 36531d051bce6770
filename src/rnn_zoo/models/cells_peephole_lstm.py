"""The LSTM whose gates see its memory."""

import torch
from torch import nn

from .cells_gated import GatedCell
from .kernels_cpu_lstm import PeepholeKernel


class PeepholeLstmCell(GatedCell):
    """The LSTM with peepholes (Gers and Schmidhuber 2000, "Recurrent nets that time and count").

    i_t = σ(W_ii x_t + W_hi h_{t-1} + p_i ⊙ c_{t-1} + b_i)
    f_t = σ(W_if x_t + W_hf h_{t-1} + p_f ⊙ c_{t-1} + b_f)
    g_t = tanh(W_ig x_t + W_hg h_{t-1} + b_g)
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
    o_t = σ(W_io x_t + W_ho h_{t-1} + p_o ⊙ c_t + b_o)
    h_t = o_t ⊙ tanh(c_t), y_t = h_t

    Each unit has one memory, which its own gates alone see; with p_i, p_f, p_o of 0 it is torch's LSTM.
    """

    state_names = ("h", "c")
    lstm_kernel = PeepholeKernel()
    num_gates = 4
    forget_gate = 1
    peepholes: nn.Parameter

    def weight_shapes(self):
        return super().weight_shapes() | {"peepholes": (3, self.hidden_size)}  # p_i, p_f, p_o

    def recur(self, z, state, weights):
        (h, c), (W,) = state, weights
        p_i, p_f, p_o = self.peepholes.unbind()
        i, f, g, o = (z + W(h)).chunk(4, -1)
        i, f, g = torch.sigmoid(i + p_i * c), torch.sigmoid(f + p_f * c), torch.tanh(g)
        c = f * c + i * g
        h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
        return h, (h, c)
