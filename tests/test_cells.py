"""Every cell of the registry keeps the contract: the fast path is the plain loop, and padding never leaks.

Float64 takes torch's plain kernels and float32 the fused ones (oneDNN, for the LSTM), so what is promised for a
sequence is tested in both.
"""

import pytest
import torch
from conftest import T
from torch import nn

from rnn_zoo.models import cells_fused
from rnn_zoo.models.cells import CELLS
from rnn_zoo.models.cells_fused import FusedCell

B, D, H = 7, 5, 8
FUSED = [name for name, cell in CELLS.items() if issubclass(cell, FusedCell)]
TORCH_MODULES = {"rnn_tanh": nn.RNN, "rnn_relu": nn.RNN} | {
    name: getattr(nn, name.upper()) for name in CELLS if hasattr(nn, name.upper())
}

MASK = torch.tensor(
    [
        [1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 1, 1, 1, 1],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 0, 1, 1, 0, 0, 1],
        [0, 1, 1, 0, 0, 1, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ],
    dtype=torch.bool,
)

every_cell = pytest.mark.parametrize("name", CELLS)
every_fused_cell = pytest.mark.parametrize("name", FUSED)
both_kernels = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
with_or_without_state = pytest.mark.parametrize("given", [True, False], ids=["state", "zeros"])


def close(actual, expected):
    tolerance = 1e-12 if expected.dtype == torch.float64 else 2e-5
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def build(name, dtype=torch.float64, **options):
    """A cell whose parameters, biases too, are all different from 0."""
    cell = CELLS[name](D, H, **options).to(dtype)
    for parameter in cell.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    return cell


def inputs(cell, rows=B, given=True):
    """`x (B, T, D)` and a state of numbers, or none."""
    dtype = next(cell.parameters()).dtype
    x = torch.randn(rows, T, D, dtype=dtype, requires_grad=True)
    names = cell.state_names if given else ()
    return x, tuple(torch.randn(rows, H, dtype=dtype).mul(0.5).requires_grad_() for _ in names) or None


def weighted(tensors, seed=1):
    """A scalar to which every element contributes with a weight of its own."""
    generator = torch.Generator().manual_seed(seed)
    return sum((t * torch.randn(t.shape, generator=generator).to(t.dtype)).sum() for t in tensors)


def by_steps(cell, x, state):
    """The reference: the paper's recurrence, one step after the other."""
    state = cell.initial_state(x) if state is None else state
    outputs = []
    for t in range(x.shape[1]):
        y, state = cell.step(x[:, t], state)
        outputs.append(y)
    return torch.stack(outputs, 1), state


@every_cell
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


@every_cell
@both_kernels
def test_sequence_without_gradients_is_loop_over_steps(name, dtype):
    cell = build(name, dtype)
    x, state = inputs(cell)
    with torch.no_grad():
        y, last = cell(x, state)
        y_loop, last_loop = by_steps(cell, x, state)
    for got, expected in zip([y, *last], [y_loop, *last_loop], strict=True):
        close(got, expected)


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


@every_cell
@both_kernels
@with_or_without_state
def test_masked_row_is_the_same_row_alone(name, dtype, given):
    cell = build(name, dtype)
    x, state = inputs(cell, given=given)
    y, last = cell(x, state, MASK)
    for b, real in enumerate(MASK):
        y_alone, last_alone = cell(x[b : b + 1, real], None if state is None else tuple(s[b : b + 1] for s in state))
        close(y[b, real], y_alone[0])
        for got, expected in zip(last, last_alone, strict=True):
            close(got[b], expected[0])
    assert y[~MASK].eq(0).all()


@every_cell
@both_kernels
@with_or_without_state
def test_gradients_of_masked_rows_are_those_of_the_rows_alone(name, dtype, given):
    cell = build(name, dtype)
    x, state = inputs(cell, given=given)
    leaves = [x, *(state or ()), *cell.parameters()]
    y, last = cell(x, state, MASK)
    got = torch.autograd.grad(weighted([y, *last]), leaves)

    ys, lasts = torch.zeros_like(y), [[] for _ in last]
    for b, real in enumerate(MASK):
        y_alone, last_alone = cell(x[b : b + 1, real], None if state is None else tuple(s[b : b + 1] for s in state))
        ys[b, real] = y_alone[0]
        for rows, row in zip(lasts, last_alone, strict=True):
            rows.append(row)
    expected = torch.autograd.grad(weighted([ys, *(torch.cat(rows) for rows in lasts)]), leaves)
    for a, b in zip(got, expected, strict=True):
        close(a, b)
    assert got[0][~MASK].eq(0).all()
    assert got[0][MASK].ne(0).any()


@every_cell
@both_kernels
def test_what_stands_at_masked_steps_does_not_count(name, dtype):
    cell = build(name, dtype)
    x, state = inputs(cell)
    garbage = torch.where(MASK[..., None], x, 1e3 * torch.randn_like(x)).detach().requires_grad_()
    results = []
    for values in (x, garbage):
        y, last = cell(values, state, MASK)
        grads = torch.autograd.grad(weighted([y, *last]), [values, *state, *cell.parameters()])
        results.append([y, *last, *grads])
    for a, b in zip(*results, strict=True):
        assert b.isfinite().all()
        close(b, a)


@every_cell
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_not_even_infinity_at_masked_steps_counts(name, value):
    cell = build(name)
    x, state = inputs(cell)
    garbage = torch.where(MASK[..., None], x, value).detach().requires_grad_()
    results = []
    for values in (x, garbage):
        y, last = cell(values, state, MASK)
        results.append([y, *last, *torch.autograd.grad(weighted([y, *last]), [values, *state, *cell.parameters()])])
    for a, b in zip(*results, strict=True):
        close(b, a)


@every_cell
def test_full_mask_is_no_mask(name):
    cell = build(name)
    x, state = inputs(cell)
    for a, b in zip(cell(x, state, torch.ones(B, T)), cell(x, state), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@every_cell
@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])
def test_no_steps_return_the_state(name, masked):
    cell = build(name)
    x, state = inputs(cell)
    y, last = cell(x[:, :0], state, torch.ones(B, 0, dtype=torch.bool) if masked else None)
    assert y.shape == (B, 0, H)
    for got, expected in zip(last, state, strict=True):
        assert torch.equal(got, expected)


@every_cell
@both_kernels
def test_one_step_without_gradients_is_the_sequence(name, dtype):
    cell = build(name, dtype)
    x, state = inputs(cell)
    y, last = cell(x[:, :1], state)
    with torch.no_grad():
        y_step, last_step = cell(x[:, :1], state)
    assert y_step.shape == (B, 1, H)
    for got, expected in zip([y_step, *last_step], [y, *last], strict=True):
        close(got, expected)


@every_cell
def test_halves_with_the_state_carried_are_the_whole(name):
    cell = build(name)
    x, state = inputs(cell)
    y, last = cell(x, state)
    first, middle = cell(x[:, :3], state)
    second, end = cell(x[:, 3:], middle)
    close(torch.cat([first, second], 1), y)
    for got, expected in zip(end, last, strict=True):
        close(got, expected)


@every_fused_cell
def test_weight_dropout_is_for_training_only(name):
    cell, plain = build(name, recurrent_weight_dropout=0.5), build(name)
    plain.load_state_dict(cell.state_dict())
    x, state = inputs(cell)
    expected = plain(x, state)[0]
    assert torch.equal(cell.eval()(x, state)[0], expected)
    dropped = cell.train()(x, state)[0]
    assert not torch.allclose(dropped, expected)
    assert not torch.allclose(cell(x, state)[0], dropped)  # a new mask at each call


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


@every_cell
@pytest.mark.parametrize("units", [False, True], ids=["no units", "units of this CPU"])
def test_bf16_autocast_runs_on_a_cpu(name, units, monkeypatch):
    monkeypatch.setattr(cells_fused, "BF16_UNITS", units and cells_fused.BF16_UNITS)
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


@every_cell
@pytest.mark.parametrize("recurrent_init", ["orthogonal", "uniform"])
def test_a_loaded_parameter_is_not_initialized_again(name, recurrent_init):
    names = [parameter for parameter, _ in build(name).named_parameters()]
    for loaded in names:
        cell = build(name)
        cell.get_parameter(loaded)._is_hf_initialized = True
        before = {key: value.clone() for key, value in cell.state_dict().items()}
        cell.init_weights(forget_gate_bias=1.0, recurrent_init=recurrent_init)
        same = [key for key, value in cell.state_dict().items() if torch.equal(value, before[key])]
        assert same == [loaded]
