"""The kernels on a CPU for LSTMs that torch has none for: equal to the plain loop, which test_cells.py tests.

Sequences there are shorter than those that the kernels are taken for.
"""

import pytest
import torch
from cell_contract import MASK, B, build, close_all, weighted

from rnn_zoo import CELLS
from rnn_zoo.models import cells_gated, kernels_cpu_lstm

STEPS = 9
NAMES = [
    name for name, cell in CELLS.items() if isinstance(getattr(cell, "lstm_kernel", None), kernels_cpu_lstm.LstmKernel)
]
pytestmark = pytest.mark.parametrize("name", NAMES)


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
def test_outputs_and_gradients_are_those_of_the_loop_again_and_a_second_time(name, masked, monkeypatch):
    """Twice through one graph, then the second derivative."""
    cell = build(name)
    x = torch.randn(B, STEPS, cell.input_size, dtype=torch.float64, requires_grad=True)
    state = tuple(torch.randn(B, cell.hidden_size, dtype=torch.float64, requires_grad=True) for _ in cell.state_names)
    mask = torch.nn.functional.pad(MASK, (1, STEPS - MASK.shape[1] - 1), value=True) if masked else None
    leaves, results, taken = [x, *state, *cell.parameters()], [], []

    def seen(*arguments):
        taken.append(kernels_cpu_lstm.run_lstm_on_cpu(*arguments))
        return taken[-1]

    monkeypatch.setattr(cells_gated, "run_lstm_on_cpu", seen)
    for kernel in (cell.lstm_kernel, None):
        cell.lstm_kernel = kernel
        y, last = cell(x, state, mask)
        once = torch.autograd.grad(weighted([y]), leaves, retain_graph=True)
        again = torch.autograd.grad(weighted(last), leaves, retain_graph=True)
        twice = torch.autograd.grad(weighted([y, *last]), leaves, create_graph=True)
        second = torch.autograd.grad(weighted([grad.square() for grad in twice]), leaves)
        results.append([y, *last, *once, *again, *twice, *second])
    close_all(*results)
    assert len(taken) == 1
    assert taken[0] is not None


def test_dropped_weights_and_a_sequence_without_gradients_are_those_of_the_loop(name):
    cell = build(name, recurrent_weight_dropout=0.5).train()
    x = torch.randn(B, STEPS, cell.input_size, dtype=torch.float64)
    kernel, results = cell.lstm_kernel, []
    for cell.lstm_kernel in (kernel, None):
        torch.manual_seed(0)
        y, last = cell(x)
        grads = torch.autograd.grad(weighted([y]), [cell.weight_ih, cell.weight_hh])
        with torch.no_grad():
            torch.manual_seed(0)
            without, _ = cell(x)
        results.append([y, *last, *grads, without])
    close_all(*results)
