"""The LSTM with one gate for what is forgotten and what is written."""

import torch

from .cells_gated import GatedCell
from .kernels_cpu_lstm import CoupledKernel
from .recurrent_cell import blended


class CifgLstmCell(GatedCell):
    """The LSTM with coupled input and forget gates (Greff et al. 2017, "LSTM: A Search Space Odyssey").

    f_t = σ(W_if x_t + W_hf h_{t-1} + b_f)
    g_t = tanh(W_ig x_t + W_hg h_{t-1} + b_g)
    o_t = σ(W_io x_t + W_ho h_{t-1} + b_o)
    c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ g_t
    h_t = o_t ⊙ tanh(c_t), y_t = h_t

    The paper computes the input gate and takes f_t = 1 - i_t, which is the same with other signs; its LSTMs also have
    peepholes.
    """

    state_names = ("h", "c")
    lstm_kernel = CoupledKernel()
    num_gates = 3
    forget_gate = 0

    def recur(self, z, state, weights):
        (h, c), (W,) = state, weights
        f, g, o = (z + W(h)).chunk(3, -1)
        c = blended(torch.tanh(g), c, torch.sigmoid(f))
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)
