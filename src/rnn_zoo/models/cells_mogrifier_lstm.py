"""The LSTM whose input and state gate each other before they meet."""

from typing import ClassVar

import torch
from torch import nn

from .cells_gated import GatedCell
from .recurrent_weight import RecurrentWeight


class MogrifierLstmCell(GatedCell):
    """The Mogrifier LSTM (Melis, Kočiský, Blunsom 2020, "Mogrifier LSTM", section 2), with full matrices.

    x^{-1} = x_t, h^0 = h_{t-1}; for i = 1 … r:
    x^i = 2 σ(Q^i h^{i-1}) ⊙ x^{i-2} for odd i
    h^i = 2 σ(R^i x^{i-1}) ⊙ h^{i-2} for even i
    (i, f, g, o) = W_ih x + W_hh h + b of the last x and h
    c_t = σ(f) ⊙ c_{t-1} + σ(i) ⊙ tanh(g)
    h_t = σ(o) ⊙ tanh(c_t), y_t = h_t

    `rounds` is r; with 0 of them it is an LSTM. `weight_q` and `weight_r` hold all Q^i and R^i, one below the other.
    The paper's Q and R may be products of two smaller matrices. x waits for the state: nothing is projected ahead.
    """

    state_names = ("h", "c")
    num_gates = 4
    forget_gate = 1
    rounds: ClassVar[int] = 5
    weight_q: nn.Parameter
    weight_r: nn.Parameter

    def weight_shapes(self):
        D, H, odd, even = self.input_size, self.hidden_size, (self.rounds + 1) // 2, self.rounds // 2
        return super().weight_shapes() | {"weight_q": (odd * D, H), "weight_r": (even * H, D)}

    def project(self, x):
        return x

    def sequence_weights(self, rows=1):
        """W_hh, W_ih, and Q^i and R^i in turn."""
        (W,) = super().sequence_weights(rows)
        Q = [RecurrentWeight(q, W.keep) for q in self.weight_q.split(self.input_size)]
        R = [RecurrentWeight(r) for r in self.weight_r.split(self.hidden_size)]
        turns = (Q[n // 2] if n % 2 == 0 else R[n // 2] for n in range(self.rounds))
        return W, RecurrentWeight(self.weight_ih), *turns

    def recur(self, x, state, weights):
        (h, c), (W, W_x, *turns) = state, weights
        for n, turn in enumerate(turns):
            if n % 2 == 0:
                x = 2 * torch.sigmoid(turn(h)) * x
            else:
                h = 2 * torch.sigmoid(turn(x)) * h
        i, f, g, o = (W_x(x) + W(h) + self.bias).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)
