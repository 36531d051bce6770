"""The looped cells against something independent: a cell that they contain, or the equations number by number."""

import math

import numpy as np
import pytest
import torch
from cell_contract import MASK, D, H, build, close_all, inputs, with_gradients
from torch import nn

from rnn_zoo import CELLS
from rnn_zoo.models.cells_mogrifier_lstm import MogrifierLstmCell
from rnn_zoo.models.cells_on_lstm import OnLstmCell
from rnn_zoo.models.cells_slstm import SlstmCell

HIDDEN_SIZES = pytest.mark.parametrize("size", [H, 7])


def lstm_of(cell):
    """An LSTM with the weights of `cell` that it has as well."""
    lstm = CELLS["lstm"](cell.input_size, cell.hidden_size).double()
    rows = 4 * cell.hidden_size
    lstm.weight_ih.data.copy_(cell.weight_ih.data[:rows])
    lstm.weight_hh.data.copy_(cell.weight_hh.data[:rows])
    lstm.bias_ih.data.copy_(cell.bias.data[:rows])
    nn.init.zeros_(lstm.bias_hh)
    return lstm


def results_of(cell, x, state):
    y, last = cell(x, state, MASK)
    return [y, *last, *torch.autograd.grad(y.sum() + sum(s.sum() for s in last), [x, *state])]


def test_without_peepholes_it_is_an_lstm():
    cell = build("peephole_lstm")
    nn.init.zeros_(cell.peepholes)
    x, state = inputs(cell)
    close_all(results_of(cell, x, state), results_of(lstm_of(cell), x, state))


def test_without_rounds_it_is_an_lstm():
    class NoRounds(MogrifierLstmCell):
        rounds = 0

    cell = NoRounds(D, H).double()
    x, state = inputs(cell)
    close_all(results_of(cell, x, state), results_of(lstm_of(cell), x, state))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def arrays(cell, *names):
    return [cell.get_parameter(name).detach().numpy() for name in names]


def one_step(name, size=H):
    """A cell, an input and a state for one row, and the next state by the cell; all as arrays."""
    cell = CELLS[name](D, size).double()
    for parameter in cell.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    x, state = torch.randn(1, D).double(), tuple(torch.randn(1, size).double() for _ in cell.state_names)
    with torch.no_grad():
        _, new = cell.step(x, state)
    return cell, x[0].numpy(), [s[0].numpy() for s in state], [s[0].numpy() for s in new]


def same(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


def lstm_unit(i, f, g, o, c):
    c = sigmoid(f) * c + sigmoid(i) * math.tanh(g)
    return sigmoid(o) * math.tanh(c), c


@pytest.mark.parametrize("name", ["peephole_lstm", "cifg_lstm", "layer_norm_lstm", "multiplicative_lstm"])
def test_an_lstm_with_something_else_is_the_equations(name):
    cell, x, (h, c), new = one_step(name)
    W, R, b = arrays(cell, "weight_ih", "weight_hh", "bias")
    units = []
    for n in range(H):
        rows = [n, H + n, 2 * H + n, 3 * H + n]
        if name == "peephole_lstm":
            i, f, g, o = (W[r] @ x + R[r] @ h + b[r] for r in rows)
            p_i, p_f, p_o = arrays(cell, "peepholes")[0][:, n]
            _, after = lstm_unit(i + p_i * c[n], f + p_f * c[n], g, 0, c[n])
            units.append(lstm_unit(i + p_i * c[n], f + p_f * c[n], g, o + p_o * after, c[n]))
        if name == "cifg_lstm":
            f, g, o = (W[r] @ x + R[r] @ h + b[r] for r in rows[:3])
            units.append(lstm_unit(-f, f, g, o, c[n]))  # σ(-f) is 1 - σ(f)
        if name == "layer_norm_lstm":
            norm_x, norm_h = arrays(cell, "norm_x", "norm_h")
            a, r = W @ x, R @ h
            a, r = ((v - v.mean()) / math.sqrt(v.var() + 1e-5) for v in (a, r))
            units.append(lstm_unit(*(norm_x[k] * a[k] + norm_h[k] * r[k] + b[k] for k in rows), c[n]))
        if name == "multiplicative_lstm":
            (W_m,) = arrays(cell, "weight_mh")
            m = np.array([(W[4 * H + k] @ x + b[4 * H + k]) * (W_m[k] @ h) for k in range(H)])
            units.append(lstm_unit(*(W[r] @ x + R[r] @ m + b[r] for r in rows), c[n]))
    expected_h, expected_c = np.array(units).T
    if name == "layer_norm_lstm":
        norm_c, bias_c = arrays(cell, "norm_c", "bias_c")
        o = 3 * H + np.arange(H)
        gate = 1 / (1 + np.exp(-(norm_x[o] * a[o] + norm_h[o] * r[o] + b[o])))
        standard = (expected_c - expected_c.mean()) / math.sqrt(expected_c.var() + 1e-5)
        expected_h = gate * np.tanh(norm_c * standard + bias_c)
    same(new[0], expected_h)
    same(new[1], expected_c)


def test_a_mogrifier_is_the_equations():
    cell, x, (h, c), new = one_step("mogrifier_lstm")
    W, R, b, Q, S = arrays(cell, "weight_ih", "weight_hh", "bias", "weight_q", "weight_r")
    for n in (0, 1, 2):  # Q1, R2, Q3, R4, Q5
        x = np.array([2 * sigmoid(Q[n * D + k] @ h) * x[k] for k in range(D)])
        if n < 2:
            h = np.array([2 * sigmoid(S[n * H + k] @ x) * h[k] for k in range(H)])
    i, f, g, o = np.split(W @ x + R @ h + b, 4)
    expected = np.array([lstm_unit(*unit) for unit in zip(i, f, g, o, c, strict=True)]).T
    same(new[0], expected[0])
    same(new[1], expected[1])


def test_gated_units_are_the_equations():
    cell, x, (h,), (new,) = one_step("cho_gru")
    W, R, b_i, b_h = arrays(cell, "weight_ih", "weight_hh", "bias_ih", "bias_hh")
    r, z = np.split(1 / (1 + np.exp(-(W @ x + b_i + R @ h + b_h)[: 2 * H])), 2)
    for n in range(H):
        k = 2 * H + n
        candidate = math.tanh(W[k] @ x + b_i[k] + R[k] @ (r * h) + b_h[k])
        same(new[n], (1 - z[n]) * candidate + z[n] * h[n])
    cell, x, (h,), (new,) = one_step("mgu")
    W, R, b = arrays(cell, "weight_ih", "weight_hh", "bias")
    f = np.array([sigmoid(W[n] @ x + R[n] @ h + b[n]) for n in range(H)])
    for n in range(H):
        k = H + n
        same(new[n], (1 - f[n]) * h[n] + f[n] * math.tanh(W[k] @ x + R[k] @ (f * h) + b[k]))


def test_an_independent_unit_is_the_equation():
    cell, x, (h,), (new,) = one_step("indrnn")
    W, u, b = arrays(cell, "weight_ih", "weight_u", "bias")
    same(new, [max(0.0, W[n] @ x + u[n] * h[n] + b[n]) for n in range(H)])


def test_a_highway_is_the_equations():
    cell, x, (s,), (new,) = one_step("rhn")
    W, R, b = arrays(cell, "weight_ih", "weight_hh", "bias")
    for layer in range(cell.depth):
        begin = 2 * H * layer
        a = (W @ x if layer == 0 else 0) + R[begin : begin + 2 * H] @ s + b[begin : begin + 2 * H]
        s = np.array([math.tanh(a[n]) * sigmoid(a[H + n]) + s[n] * (1 - sigmoid(a[H + n])) for n in range(H)])
    same(new, s)


@HIDDEN_SIZES
def test_ordered_neurons_are_the_equations(size):
    cell, x, (h, c), new = one_step("on_lstm", size)
    W, R, b = arrays(cell, "weight_ih", "weight_hh", "bias")
    a, chunks = W @ x + R @ h + b, {8: 2, 7: 7}[size]
    master_f, master_i = np.exp(a[4 * size : 4 * size + chunks]), np.exp(a[4 * size + chunks :])
    for n in range(size):
        level = n // (size // chunks) + 1
        f_m, i_m = master_f[:level].sum() / master_f.sum(), 1 - master_i[:level].sum() / master_i.sum()
        i, f, g, o = (a[gate * size + n] for gate in range(4))
        f, i = sigmoid(f) * f_m * i_m + f_m - f_m * i_m, sigmoid(i) * f_m * i_m + i_m - f_m * i_m
        after = f * c[n] + i * math.tanh(g)
        same(new[1][n], after)
        same(new[0][n], sigmoid(o) * math.tanh(after))


@pytest.mark.parametrize(("size", "chunks"), [(1, 1), (2, 2), (7, 7), (8, 2), (30, 3), (512, 64)])
def test_every_size_has_chunks(size, chunks):
    assert OnLstmCell(3, size).chunks == chunks


@HIDDEN_SIZES
def test_exponential_gates_are_the_equations_without_a_stabilizer(size):
    """Over some steps from the initial state; the paper's c and n are exp(m) times those that are kept."""
    cell = SlstmCell(D, size).double()
    for parameter in cell.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    x = torch.randn(1, 4, D).double()
    with torch.no_grad():
        y, (_, last_c, last_n, last_m) = cell(x)
    W, R, b = arrays(cell, "weight_ih", "weight_hh", "bias")
    heads, per_head = R.shape[0], size // R.shape[0]
    assert heads == {8: 4, 7: 1}[size]
    h, c, n = np.zeros(size), np.zeros(size), np.zeros(size)
    for t in range(4):
        before = h.copy()
        for k in range(size):
            head, place = divmod(k, per_head)
            seen = before[head * per_head : (head + 1) * per_head]
            rows = [gate * size + k for gate in range(4)]
            inner = [R[head, gate * per_head + place] @ seen for gate in range(4)]
            i, f, z, o = (W[r] @ x[0, t].numpy() + b[r] + own for r, own in zip(rows, inner, strict=True))
            c[k] = sigmoid(f) * c[k] + math.exp(i) * math.tanh(z)
            n[k] = sigmoid(f) * n[k] + math.exp(i)
            h[k] = sigmoid(o) * c[k] / n[k]
        same(y[0, t].numpy(), h)
    same((last_c * last_m.exp())[0].numpy(), c)
    same((last_n * last_m.exp())[0].numpy(), n)


def test_exponential_gates_do_not_overflow():
    cell = build("slstm", torch.float32)
    cell.bias.data[:H] = torch.linspace(-1e4, 1e4, H)  # exp of it is 0 or infinite
    x, _ = inputs(cell, given=False)
    assert all(t.isfinite().all() for t in with_gradients(cell, x, None, cell(x)))


def test_a_grid_is_the_equations():
    cell = build("grid_lstm")
    x, state = torch.randn(1, D).double(), tuple(torch.randn(1, *shape).double() for shape in cell.state_shapes())
    with torch.no_grad():
        y, new = cell.step(x, state)
    W, b_x, U, V, b = arrays(cell, "weight_ih", "bias_x", "weight_hh", "weight_dh", "bias")
    d, e = np.split(W @ x[0].numpy() + b_x, 2)
    for layer in range(cell.depth):
        h, c = (s[0, layer].numpy() for s in state)
        rows = slice(8 * H * layer, 8 * H * (layer + 1))
        gates = np.split(U[rows] @ h + V[rows] @ d + b[rows], 8)
        h, c = np.array([lstm_unit(*unit) for unit in zip(*gates[:4], c, strict=True)]).T
        d, e = np.array([lstm_unit(*unit) for unit in zip(*gates[4:], e, strict=True)]).T
        same(new[0][0, layer].numpy(), h)
        same(new[1][0, layer].numpy(), c)
    same(y[0].numpy(), d)
