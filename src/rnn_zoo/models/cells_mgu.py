"""The gated recurrent unit with one gate."""

import torch

from .cells_gated import GatedCell
from .recurrent_cell import blended
from .recurrent_weight import RecurrentWeight


class MguCell(GatedCell):
    """The minimal gated unit (Zhou et al. 2016, "Minimal Gated Unit for Recurrent Neural Networks").

    f_t = σ(W_if x_t + W_hf h_{t-1} + b_f)
    n_t = tanh(W_in x_t + W_hn (f_t ⊙ h_{t-1}) + b_n)
    h_t = (1 - f_t) ⊙ h_{t-1} + f_t ⊙ n_t, y_t = h_t

    The paper calls f_t a forget gate; it is a GRU's reset gate and its update gate at once, and forgets where it is 1,
    which is the other way round than in an LSTM. So its bias begins at 0, as a GRU's.
    """

    num_gates = 2

    def sequence_weights(self, rows=1):
        """Those of f, and those of n, whose product waits for f."""
        (W,) = super().sequence_weights(rows)
        return tuple(RecurrentWeight(part, W.keep) for part in W.weight.chunk(2))

    def recur(self, z, state, weights):
        (h,), (W_f, W_n) = state, weights
        f, n = z.chunk(2, -1)
        f = torch.sigmoid(f + W_f(h))
        h = blended(h, torch.tanh(n + W_n(f * h)), f)
        return h, (h,)
