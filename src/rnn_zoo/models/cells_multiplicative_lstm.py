"""The LSTM whose hidden-to-hidden weights are other ones for each input."""

import torch
from torch import nn

from .cells_gated import GatedCell
from .kernels_cpu_lstm import MultiplicativeKernel


class MultiplicativeLstmCell(GatedCell):
    """The multiplicative LSTM (Krause et al. 2016, "Multiplicative LSTM for sequence modelling"), in the form of the
    "sentiment neuron" (Radford, Jozefowicz, Sutskever 2017, "Learning to Generate Reviews and Discovering Sentiment").

    m_t = (W_mx x_t) ⊙ (W_mh h_{t-1})
    i_t = σ(W_ii x_t + W_hi m_t + b_i)
    f_t = σ(W_if x_t + W_hf m_t + b_f)
    g_t = tanh(W_ig x_t + W_hg m_t + b_g)
    o_t = σ(W_io x_t + W_ho m_t + b_o)
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t), y_t = h_t

    W_mx and a bias of m's input are the last rows of `weight_ih` and `bias`, so that m_t is not 0 where x_t is.
    """

    state_names = ("h", "c")
    lstm_kernel = MultiplicativeKernel()
    recurrent_weights = ("weight_hh", "weight_mh")
    num_gates = 4
    forget_gate = 1
    weight_mh: nn.Parameter

    def weight_shapes(self):
        D, H = self.input_size, self.hidden_size
        return super().weight_shapes() | {"weight_ih": (5 * H, D), "bias": (5 * H,), "weight_mh": (H, H)}

    def recur(self, z, state, weights):
        (h, c), (W, W_m) = state, weights
        z, m = z.split([4 * self.hidden_size, self.hidden_size], -1)
        i, f, g, o = (z + W(m * W_m(h))).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)
