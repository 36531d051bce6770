"""A new cell is one class and one line of the registry: two that are written here keep the contract of all cells."""

import pytest
import torch
from cell_contract import CellContract, close_all, weighted
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from rnn_zoo import CELLS
from rnn_zoo.models.recurrent_cell import RecurrentCell
from rnn_zoo.models.scan import ScannedCell, linear_loop, linear_scan


class MinGruCell(ScannedCell):
    """The minimal gated recurrent unit (Feng et al. 2024, "Were RNNs All We Needed?", section 3.1).

    z_t = σ(W_z x_t + b_z)
    h̃_t = W_h x_t + b_h
    h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ h̃_t, y_t = h_t
    """

    def __init__(self, input_size, hidden_size, **shares):
        super().__init__(input_size, hidden_size, **shares)
        self.weight = nn.Parameter(torch.empty(2 * hidden_size, input_size))
        self.bias = nn.Parameter(torch.empty(2 * hidden_size))
        self.init_weights(0.0, "uniform")

    def project(self, x):
        return F.linear(x, self.weight, self.bias)

    def coefficients(self, z):
        z, h = z.chunk(2, -1)
        z = torch.sigmoid(z)
        return 1 - z, z * h

    def init_weights(self, forget_gate_bias, recurrent_init):
        bound = self.hidden_size**-0.5
        init.uniform_(self.weight, -bound, bound)
        init.zeros_(self.bias)


class PeepholeCell(RecurrentCell):
    """An LSTM without an output gate whose other gates see the memory, through a matrix of their own:

    i_t, f_t = σ(W_x x_t + W_h h_{t-1} + W_c c_{t-1} + b)
    c_t = f_t ⊙ c_{t-1} + i_t, y_t = h_t = tanh(c_t)
    """

    state_names = ("h", "c")
    recurrent_weights = ("weight_h", "weight_c")

    def __init__(self, input_size, hidden_size, **shares):
        super().__init__(input_size, hidden_size, **shares)
        self.weight_x = nn.Parameter(torch.empty(2 * hidden_size, input_size))
        self.weight_h = nn.Parameter(torch.empty(2 * hidden_size, hidden_size))
        self.weight_c = nn.Parameter(torch.empty(2 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(2 * hidden_size))
        self.init_weights(0.0, "uniform")

    def project(self, x):
        return F.linear(x, self.weight_x, self.bias)

    def recur(self, z, state, weights):
        (h, c), (W_h, W_c) = state, weights
        i, f = torch.sigmoid(z + W_h(h) + W_c(c)).chunk(2, -1)
        c = f * c + i
        h = torch.tanh(c)
        return h, (h, c)

    def init_weights(self, forget_gate_bias, recurrent_init):
        for parameter in self.parameters():
            init.uniform_(parameter, -0.5, 0.5)


NEW_CELLS = {"min_gru": MinGruCell, "peephole": PeepholeCell}


@pytest.mark.parametrize("cell_type", NEW_CELLS)
class TestNewCell(CellContract):
    @pytest.fixture(autouse=True)
    def registered(self, cell_type, monkeypatch):
        monkeypatch.setitem(CELLS, cell_type, NEW_CELLS[cell_type])


def test_a_scan_is_its_plain_loop():
    """Also its first and second derivatives."""
    a, b, h = leaves = [torch.randn(3, *steps, 4).double().requires_grad_() for steps in ((7,), (7,), ())]
    results = []
    for way in (linear_scan, linear_loop):
        y = way(a, b, h)
        grads = torch.autograd.grad(weighted([y]), leaves, create_graph=True)
        results.append([y, *grads, *torch.autograd.grad(weighted(grads), leaves)])
    close_all(*results)
