"""The scanned cells and mLSTM against something independent: the library's own modules with copied weights, or the
equations of the papers in numpy."""

import numpy as np
import pytest
import torch
from cell_contract import MASK, B, D, H, build, close, close_all, inputs, plain_loop, with_gradients
from conftest import T
from torch.nn import functional as F
from transformers.models.recurrent_gemma.modeling_recurrent_gemma import RecurrentGemmaRglru
from transformers.models.xlstm import modeling_xlstm

from rnn_zoo import CELLS


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numbers(name):
    """A cell, x `(B, T, D)`, its states, what it computes, and its parameters; all but the cell in numpy."""
    cell = build(name)
    x, state = inputs(cell)
    with torch.no_grad():
        y, last = cell(x, state)
    parameters = {key: parameter.detach().numpy() for key, parameter in cell.named_parameters()}
    given = [s.detach().numpy() for s in state]
    return cell, x.detach().numpy(), given, [y.numpy(), *(s.numpy() for s in last)], parameters


def gates(x, p, count):
    """W x + b of each gate."""
    return np.split(x @ p["weight_ih"].T + p["bias_ih"], count, -1)


def equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_min_gru():
    _, x, (h,), found, p = numbers("min_gru")
    z, candidate = gates(x, p, 2)
    y = []
    for t in range(T):
        h = (1 - sigmoid(z[:, t])) * h + sigmoid(z[:, t]) * candidate[:, t]
        y.append(h)
    equal(found, [np.stack(y, 1), h])


def test_min_lstm():
    _, x, (h,), found, p = numbers("min_lstm")
    f, i, candidate = gates(x, p, 3)
    f, i = sigmoid(f), sigmoid(i)
    y = []
    for t in range(T):
        h = (f[:, t] * h + i[:, t] * candidate[:, t]) / (f[:, t] + i[:, t])
        y.append(h)
    equal(found, [np.stack(y, 1), h])


def test_gates_of_a_min_lstm_that_are_shut_divide_nothing_by_nothing():
    cell = build("min_lstm", torch.float32)
    cell.bias_ih.data[: 2 * H] = -200
    x, state = inputs(cell)
    y, _ = cell(x, state)
    assert y.isfinite().all()
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(y.sum(), [x, *cell.parameters()]))


def test_qrnn_is_a_convolution_and_a_pooling():
    cell = build("qrnn")
    x, (c, before) = inputs(cell)
    kernel = torch.stack([cell.weight_before, cell.weight_ih], -1)  # (3·H, D, 2)
    padded = torch.cat([before[:, None], x], 1).transpose(1, 2)
    f, z, o = F.conv1d(padded, kernel, cell.bias_ih).transpose(1, 2).chunk(3, -1)
    y, (last_c, last_x) = cell(x, (c, before))
    for t in range(T):
        c = torch.sigmoid(f[:, t]) * c + (1 - torch.sigmoid(f[:, t])) * torch.tanh(z[:, t])
        close(y[:, t], torch.sigmoid(o[:, t]) * c)
    close_all([last_c, last_x], [c, x[:, -1]])


def test_sru():
    """With the matrix before the last x_t, and without it where sizes are equal."""
    for size in (D, H):
        cell = CELLS["sru"](size, H).double()
        for parameter in cell.parameters():
            torch.nn.init.uniform_(parameter, -0.5, 0.5)
        p = {name: parameter.detach().numpy() for name, parameter in cell.named_parameters()}
        x, c = torch.randn(B, T, size).double(), torch.randn(B, H).double()
        y, last = cell(x, (c,))
        x, c = x.numpy(), c.numpy()
        W_f, W_r, W, *skip = np.split(p["weight_ih"], len(p["weight_ih"]) // H)
        (b_f, b_r), (v_f, v_r) = np.split(p["bias_ih"], 2), p["weight_c"]
        for t in range(T):
            now = x[:, t]
            f, r = sigmoid(now @ W_f.T + v_f * c + b_f), sigmoid(now @ W_r.T + v_r * c + b_r)
            c = f * c + (1 - f) * (now @ W.T)
            carried = now @ skip[0].T if skip else now
            equal([y[:, t].detach().numpy()], [r * c + (1 - r) * 3**0.5 * carried])
        equal([last[0].detach().numpy()], [c])


def test_sru_has_second_derivatives():
    cell = CELLS["sru"](2, 2).double()
    x, c = torch.randn(2, 3, 2).double().requires_grad_(), torch.randn(2, 2).double().requires_grad_()
    torch.autograd.gradgradcheck(lambda x, c, *_: cell(x, (c,))[0], (x, c, *cell.parameters()), fast_mode=True)


def test_hgrn():
    _, x, (h,), found, p = numbers("hgrn")
    f, c, g = gates(x, p, 3)
    bound = sigmoid(p["lower_bound"])
    y = []
    for t in range(T):
        kept = bound + (1 - bound) * sigmoid(f[:, t])
        h = kept * h + (1 - kept) * c[:, t] * sigmoid(c[:, t])
        y.append(sigmoid(g[:, t]) * h)
        assert (kept > bound).all()
    equal(found, [np.stack(y, 1), h])


def test_rg_lru_is_that_of_recurrent_gemma():
    """Its unit, after our linear layer; it keeps its state in single precision."""
    cell = build("rg_lru")
    x, (h,) = inputs(cell)
    blocks = cell.weight_gates.shape[1]
    config = type("Config", (), {"num_attention_heads": blocks, "lru_width": H})
    unit = RecurrentGemmaRglru(config).double()
    unit.recurrent_param.data = -cell.decay.data
    for place, name in enumerate(("input", "recurrent")):
        getattr(unit, f"{name}_gate_weight").data = cell.weight_gates.data[place]
        getattr(unit, f"{name}_gate_bias").data = cell.bias_gates.data[place].view(blocks, -1)
    unit.recurrent_states = h.detach()
    places = torch.arange(1, T + 1).expand(B, T)  # at 0 it would begin anew
    expected = unit(F.linear(x, cell.weight_ih, cell.bias_ih), places)
    torch.testing.assert_close(cell(x, (h,))[0], expected.double(), rtol=1e-5, atol=1e-5)


def test_rg_lru_takes_any_hidden_size():
    for size, blocks in ((1, 1), (6, 2), (7, 1), (12, 4), (16, 8)):
        cell = CELLS["rg_lru"](D, size)
        assert cell.weight_gates.shape == (2, blocks, size // blocks, size // blocks)
        assert cell(torch.randn(2, 3, D))[0].shape == (2, 3, size)
        a = torch.sigmoid(cell.decay) ** cell.c
        assert a.min() > 0.8999
        assert a.max() < 0.9991


@pytest.mark.parametrize("name", ["min_lstm", "qrnn", "sru", "hgrn", "mlstm"])
def test_forget_gates_begin_at_their_bias(name):
    cell = build(name)
    cell.init_weights(forget_gate_bias=1.5, recurrent_init="uniform")
    size = cell.heads if name == "mlstm" else H
    assert cell.bias_ih[:size].eq(1.5).all()
    assert cell.bias_ih[size:].eq(0).all()


def test_lru():
    """Its closed form: y_t is what all earlier inputs left, turned and shrunk as often as they are old."""
    _, x, (h,), (y, last), p = numbers("lru")
    B_real, B_imaginary, direct = np.split(p["weight_ih"], 3)
    C = p["weight_out"][..., 0] - 1j * p["weight_out"][..., 1]
    turn = np.exp(-np.exp(p["nu"]) + 1j * np.exp(p["theta"]))
    u = np.exp(p["gamma"]) * (x @ (B_real + 1j * B_imaginary).T)
    begin = h[..., 0] + 1j * h[..., 1]
    for t in range(T):
        now = turn ** (t + 1) * begin + sum(turn ** (t - k) * u[:, k] for k in range(t + 1))
        equal([y[:, t]], [(now @ C.T).real + x[:, t] @ direct.T])
    equal([last], [np.stack([now.real, now.imag], -1)])


def test_a_new_lru_keeps_what_it_reads_in_size():
    cell = CELLS["lru"](400, 400)
    h = cell(torch.randn(4, 300, 400))[1][0]
    assert 0.8 < h.square().sum(-1).mean() < 1.25


def test_chunks_of_an_mlstm_are_its_plain_loop():
    """More steps than a chunk has, in single precision too, where large gradients are rounded."""
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-4)):
        cell = build("mlstm", dtype)
        cell.chunk = 3
        x, state = inputs(cell)
        got = with_gradients(cell, x, state, cell(x, state, MASK))
        expected = with_gradients(cell, x, state, plain_loop(cell, x, state, MASK))
        for one, other in zip(got, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_mlstm_is_that_of_the_library():
    """Its recurrent form, for the heads, before the norm. There the query is divided by √d, here the key, and so the
    memory is too; its axes are swapped."""
    cell = build("mlstm")
    x, (C, n, m) = inputs(cell)
    N, d = cell.heads, H // cell.heads
    f, i, o, *others = cell.project(x).split([N, N, H, H, H, H], -1)
    q, k, v = (s.unflatten(-1, (N, d)) for s in others)
    y, last = cell(x, (C, n, m))
    theirs = C.transpose(2, 3) * d**0.5, n * d**0.5, m[..., None]
    for t in range(T):
        now = (q[:, t], k[:, t], v[:, t], i[:, t, :, None], f[:, t, :, None])
        h, theirs = modeling_xlstm.mlstm_recurrent_step_native(*now, *theirs, eps=0.0, dtype_state=torch.float64)
        close(y[:, t], torch.sigmoid(o[:, t]) * cell.normalized(h))
    close_all(last, (theirs[0].transpose(2, 3) / d**0.5, theirs[1] / d**0.5, theirs[2][..., 0]))
