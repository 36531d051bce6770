"""The cells: all keep the contract (`cell_contract.py`); one of each kind is looked at more closely, and the fused ones
are torch's own modules."""

import pytest
import torch
from cell_contract import (
    MASK,
    B,
    CellContract,
    D,
    H,
    both_kernels,
    build,
    close,
    close_all,
    inputs,
    weighted,
    with_or_without_state,
)
from conftest import ONE_OF_EACH_KIND, T
from test_new_cell import NEW_CELLS
from torch import nn

from rnn_zoo import CELLS
from rnn_zoo.models import device_kernels
from rnn_zoo.models.cells_fused import FusedCell

FUSED = [name for name, cell in CELLS.items() if issubclass(cell, FusedCell)]
TORCH_MODULES = {"rnn_tanh": nn.RNN, "rnn_relu": nn.RNN} | {
    name: getattr(nn, name.upper()) for name in CELLS if hasattr(nn, name.upper())
}

every_kind = pytest.mark.parametrize("name", [*ONE_OF_EACH_KIND, *NEW_CELLS])
every_fused_cell = pytest.mark.parametrize("name", FUSED)


@pytest.fixture(autouse=True)
def new_cells(monkeypatch):
    for name, cell in NEW_CELLS.items():
        monkeypatch.setitem(CELLS, name, cell)


@pytest.mark.parametrize("cell_type", CELLS)
class TestContract(CellContract):
    pass


def by_steps(cell, x, state):
    """The paper's recurrence, one step after the other."""
    state = cell.initial_state(x) if state is None else state
    outputs = []
    for t in range(x.shape[1]):
        y, state = cell.step(x[:, t], state)
        outputs.append(y)
    return torch.stack(outputs, 1), state


@every_kind
@both_kernels
@with_or_without_state
def test_sequence_is_loop_over_steps(name, dtype, given):
    cell = build(name, dtype)
    x, state = inputs(cell, given=given)
    leaves = [x, *(state or ()), *cell.parameters()]
    y, last = cell(x, state)
    y_loop, last_loop = by_steps(cell, x, state)
    close(y, y_loop)
    for got, expected in zip(last, last_loop, strict=True):
        close(got, expected)
    got = torch.autograd.grad(weighted([y, *last]), leaves)
    expected = torch.autograd.grad(weighted([y_loop, *last_loop]), leaves)
    for a, b in zip(got, expected, strict=True):
        close(a, b)


@pytest.mark.parametrize("name", [name for name in CELLS if name in TORCH_MODULES])
def test_cell_is_torch_module_with_the_same_weights(name):
    cell = build(name)
    options = {"nonlinearity": name.removeprefix("rnn_")} if name.startswith("rnn_") else {}
    module = TORCH_MODULES[name](D, H, batch_first=True, **options).double()
    for parameter, weight in cell.named_parameters():
        getattr(module, f"{parameter}_l0").data.copy_(weight.data)
    x, state = inputs(cell)
    y, last = cell(x, state)
    begin = tuple(s[None] for s in state)
    y_torch, end = module(x, begin if len(begin) > 1 else begin[0])
    last_torch = [s[0] for s in (end if isinstance(end, tuple) else (end,))]
    for got, expected in zip([y, *last], [y_torch, *last_torch], strict=True):
        close(got, expected)
    names = [parameter for parameter, _ in cell.named_parameters()]
    got = torch.autograd.grad(weighted([y, *last]), [x, *state, *cell.parameters()])
    expected = torch.autograd.grad(
        weighted([y_torch, *last_torch]), [x, *state, *(getattr(module, f"{n}_l0") for n in names)]
    )
    for a, b in zip(got, expected, strict=True):
        close(a, b)


@every_kind
def test_full_mask_is_no_mask(name):
    cell = build(name)
    x, state = inputs(cell)
    for a, b in zip(cell(x, state, torch.ones(B, T)), cell(x, state), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@every_kind
@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])
def test_no_steps_return_the_state(name, masked):
    cell = build(name)
    x, state = inputs(cell)
    y, last = cell(x[:, :0], state, torch.ones(B, 0, dtype=torch.bool) if masked else None)
    assert y.shape == (B, 0, H)
    for got, expected in zip(last, state, strict=True):
        assert torch.equal(got, expected)


@every_fused_cell
def test_weight_dropout_drops_recurrent_weights_once_a_call(name):
    cell = build(name, recurrent_weight_dropout=0.5)
    x, state = inputs(cell)
    weights = dict(cell.named_parameters())
    y, last = cell(x, state)
    grads = dict(zip(weights, torch.autograd.grad(weighted([y, *last]), weights.values()), strict=True))
    kept = grads["weight_hh"] != 0  # of the entries dropped, the gradient is exactly 0
    if name == "rnn_relu":  # a unit that is never positive has no gradient either
        assert 0.05 < kept.double().mean() < 0.7
    else:
        assert 0.3 < kept.double().mean() < 0.7
        assert all(grads[other].ne(0).all() for other in weights if other != "weight_hh")
    reference = build(name)
    reference.load_state_dict(cell.state_dict())
    reference.weight_hh.data *= kept / 0.5
    if name != "rnn_relu":
        close(y, by_steps(reference, x, state)[0])


@every_kind
@pytest.mark.parametrize("units", [False, True], ids=["no units", "units of this CPU"])
def test_bf16_autocast_runs_on_a_cpu(name, units, monkeypatch):
    monkeypatch.setattr(device_kernels, "BF16_UNITS", units and device_kernels.BF16_UNITS)
    cell = build(name, torch.float32)
    x, state = inputs(cell)
    with torch.autocast("cpu", torch.bfloat16):
        y, last = cell(x.to(torch.bfloat16), state, MASK)
        grads = torch.autograd.grad(weighted([y, *last]), [x, *state, *cell.parameters()])
        with torch.no_grad():
            y_step, last_step = cell(x[:, :1].to(torch.bfloat16), state)
    assert all(t.isfinite().all() for t in [y, *last, *grads, y_step, *last_step])
    torch.testing.assert_close(y, cell(x, state, MASK)[0], rtol=0.05, atol=0.05, check_dtype=False)
    torch.testing.assert_close(y_step, cell(x[:, :1], state)[0], rtol=0.05, atol=0.05, check_dtype=False)


@every_fused_cell
def test_orthogonal_init_is_orthogonal_for_each_gate(name):
    cell = build(name)
    cell.init_weights(forget_gate_bias=1.0, recurrent_init="orthogonal")
    for gate in cell.weight_hh.detach().split(H):
        close(gate @ gate.T, torch.eye(H, dtype=torch.float64))


@every_fused_cell
def test_uniform_init_fills_its_bound(name):
    cell = build(name)
    cell.init_weights(forget_gate_bias=1.0, recurrent_init="uniform")
    for weight in (cell.weight_ih, cell.weight_hh):
        largest = weight.abs().max().item()
        assert 0.8 * H**-0.5 < largest <= H**-0.5


@every_fused_cell
@pytest.mark.parametrize("recurrent_init", ["orthogonal", "uniform"])
def test_biases_begin_at_zero_but_for_the_forget_gate(name, recurrent_init):
    cell = build(name)
    cell.init_weights(forget_gate_bias=1.5, recurrent_init=recurrent_init)
    expected = torch.zeros_like(cell.bias_ih)
    if name == "lstm":
        expected[H : 2 * H] = 1.5
    assert torch.equal(cell.bias_ih, expected)
    assert cell.bias_hh.eq(0).all()


def test_zoneout_keeps_units_or_expects_to():
    """Other units of h and c at each step in training; their expectation otherwise. With weights of 0 what an LSTM
    computes is known: c halves, h is half its tanh."""
    cell = CELLS["lstm"](D, 1000, hidden_zoneout=0.2, memory_zoneout=0.6).double()
    for parameter in cell.parameters():
        nn.init.zeros_(parameter)
    x, (h, c) = torch.randn(1, 2, D).double(), torch.randn(2, 1, 1000).double().unbind()
    with torch.no_grad():
        y, (first_h, first_c) = cell(x[:, :1], (h, c))
        _, (second_h, second_c) = cell(x[:, 1:], (first_h, first_c))
        _, (expected_h, expected_c) = cell.eval()(x[:, :1], (h, c))
    close(y[:, 0], first_h)
    for first, second, old, share in ((first_h, second_h, h, 0.2), (first_c, second_c, c, 0.6)):
        kept = first.eq(old)
        assert abs(kept.double().mean() - share) < 0.06
        assert not torch.equal(kept, second.eq(first))
    close(expected_c, 0.6 * c + 0.4 * c / 2)
    close(expected_h, 0.2 * h + 0.8 * torch.tanh(c / 2) / 2)


def test_recurrent_dropout_drops_the_same_features_at_all_steps():
    """With a matrix that hands each feature on as it is, what is dropped stays 0."""
    cell = CELLS["rnn_relu"](H, H, recurrent_dropout=0.5).double()
    for name, parameter in cell.named_parameters():
        nn.init.eye_(parameter) if name == "weight_hh" else nn.init.zeros_(parameter)
    y, _ = cell(torch.zeros(B, T, H).double(), (torch.ones(B, H).double(),))
    kept = y[:, 0] != 0
    assert 0.2 < kept.double().mean() < 0.8
    assert all(torch.equal(y[:, t], 2.0 ** (t + 1) * kept) for t in range(T))


def test_the_gradient_of_a_matrix_is_that_of_its_steps():
    """Also after a backward pass to other leaves, twice through the same steps, and the second derivative."""
    cell = build("gru")
    x, state = inputs(cell)
    weights = [weight.for_many_steps() for weight in cell.sequence_weights(B)]
    results = []
    for way in (cell.sequence_weights(B), weights):
        h = state
        for t in range(T):
            y, h = cell.recur(cell.project(x[:, t]), h, way)
        torch.autograd.grad(y.sum(), [x], retain_graph=True)
        once = torch.autograd.grad(weighted([y]), [cell.weight_hh, x], retain_graph=True)
        again = torch.autograd.grad(weighted([y]), [cell.weight_hh], retain_graph=True)
        twice = torch.autograd.grad(weighted([y]), [cell.weight_hh, x], create_graph=True)
        results.append([*once, *again, *twice, *torch.autograd.grad(weighted(twice), [cell.weight_hh, x])])
    close_all(*results)
