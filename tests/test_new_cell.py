"""A new cell is one class and one line of the registry: two that are written here keep the contract of all cells."""

import pytest
import torch
from cell_contract import CellContract, weighted
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from rnn_zoo import CELLS
from rnn_zoo.models.recurrent_cell import RecurrentCell
from rnn_zoo.models.scan import ScannedCell, linear_loop, linear_scan


class DecayCell(ScannedCell):
    """Each unit forgets by a share of its own, whatever it reads:

    h_t = σ(λ) ⊙ h_{t-1} + W x_t, y_t = h_t
    """

    def __init__(self, input_size, hidden_size, **shares):
        super().__init__(input_size, hidden_size, **shares)
        self.weight = nn.Parameter(torch.empty(hidden_size, input_size))
        self.decay = nn.Parameter(torch.empty(hidden_size))
        self.init_weights(0.0, "uniform")

    def project(self, x):
        return F.linear(x, self.weight)

    def coefficients(self, z):
        return torch.sigmoid(self.decay).expand_as(z), z

    def init_weights(self, forget_gate_bias, recurrent_init):
        self.init_input(self.weight, self.decay, forget_gate_bias)


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


NEW_CELLS = {"decay": DecayCell, "peephole": PeepholeCell}


@pytest.mark.parametrize("cell_type", NEW_CELLS)
class TestNewCell(CellContract):
    @pytest.fixture(autouse=True)
    def registered(self, cell_type, monkeypatch):
        monkeypatch.setitem(CELLS, cell_type, NEW_CELLS[cell_type])


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=["real", "complex"])
@pytest.mark.parametrize("steps", [1, 7, 150], ids=["one step", "by steps", "in chunks"])
def test_a_scan_is_its_plain_loop(steps, dtype):
    """Also its first and second derivatives, and without gradients to some."""
    a, b, h = leaves = [torch.randn(3, *time, 4, dtype=dtype).requires_grad_() for time in ((steps,), (steps,), ())]
    a.data.div_(a.data.abs().clamp(min=1))
    results = []
    for way in (linear_scan, linear_loop):
        y = way(a, b, h)
        once = torch.autograd.grad(
            weighted([torch.view_as_real(y)] if y.is_complex() else [y]), leaves, retain_graph=True
        )
        grads = torch.autograd.grad(y.abs().square().sum(), leaves, create_graph=True)
        twice = torch.autograd.grad(sum(grad.abs().square().sum() for grad in grads), leaves)
        results.append([way(a.detach(), b, h), y, *once, *grads, *twice])
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
