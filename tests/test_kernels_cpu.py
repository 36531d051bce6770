"""The kernels for GRU and simple RNN on a CPU: what the contract of cells does not ask of them."""

import pytest
import torch
from cell_contract import MASK, B, build, close_all, plain_loop, weighted
from torch.utils._python_dispatch import TorchDispatchMode

from rnn_zoo import CELLS
from rnn_zoo.models import cells_fused, kernels_cpu

pytestmark = pytest.mark.parametrize("name", [name for name in CELLS if getattr(CELLS[name], "cpu_kernel", None)])
with_or_without_mask = pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
STEPS = 9  # enough for the kernels to be taken without a mask


def given(name, masked=True):
    """A cell, x, state and mask, with steps that are masked on the left, on the right and between."""
    cell = build(name)
    x = torch.randn(B, STEPS, cell.input_size, dtype=torch.float64, requires_grad=True)
    h = torch.randn(B, cell.hidden_size, dtype=torch.float64, requires_grad=True)
    mask = torch.nn.functional.pad(MASK, (1, STEPS - MASK.shape[1] - 1), value=True) if masked else None
    return cell, x, h, mask


@pytest.fixture(autouse=True)
def taken(monkeypatch):
    """The kernels that were run: what is compared here must be theirs."""
    found = []

    def seen(recurrence, *arguments):
        found.append(recurrence)
        return kernels_cpu.run_on_cpu(recurrence, *arguments)

    monkeypatch.setattr(cells_fused, "run_on_cpu", seen)
    yield found
    assert found


@with_or_without_mask
def test_gradients_are_those_of_the_loop_again_and_a_second_time(name, masked, taken):
    """Twice through one graph, then the second derivative."""
    cell, x, h, mask = given(name, masked)
    leaves, results = [x, h, *cell.parameters()], []
    for way in (cell, lambda *arguments: plain_loop(cell, *arguments)):
        y, (last,) = way(x, (h,), mask)
        once = torch.autograd.grad(weighted([y]), leaves, retain_graph=True)
        again = torch.autograd.grad(weighted([last]), leaves, retain_graph=True)
        twice = torch.autograd.grad(weighted([y, last]), leaves, create_graph=True)
        penalty = weighted([grad.square() for grad in twice])
        second = torch.autograd.grad(penalty, leaves)
        results.append([y, last, *once, *again, *twice, *second])
    close_all(*results)
    assert taken == [cell.cpu_kernel]


@pytest.mark.parametrize("leaf", ["x", "h", "weight_ih", "weight_hh", "bias_ih", "bias_hh"])
def test_a_leaf_that_alone_is_trained_has_its_gradient_and_no_other_is_computed(name, leaf):
    cell, x, h, mask = given(name)
    named = {"x": x, "h": h, **dict(cell.named_parameters())}
    whole = torch.autograd.grad(weighted(cell(x, (h,), mask)[0:1]), list(named.values()))
    expected = dict(zip(named, whole, strict=True))[leaf]
    for other, tensor in named.items():
        tensor.requires_grad_(other == leaf)
    y, _ = cell(x, (h,), mask)
    products = Products()
    with products:
        weighted([y]).backward()
    torch.testing.assert_close(named[leaf].grad, expected, rtol=1e-12, atol=1e-12)
    assert all((tensor.grad is None) == (other != leaf) for other, tensor in named.items())
    assert products.number == (leaf in ("x", "weight_ih", "weight_hh"))


class Products(TorchDispatchMode):
    """Counts products of all steps at once, the only ones that add to nothing."""

    number = 0

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        self.number += operation is torch.ops.aten.mm.default
        return operation(*arguments, **(options or {}))


def test_what_does_not_follow_a_function_of_autograd_takes_torchs_kernel(name, taken):
    """`torch.func` and forward-mode derivatives still know the cell."""
    cell, x, _, _ = given(name)
    weights = {key: value.detach() for key, value in cell.named_parameters()}

    def loss(weights, x):
        return torch.func.functional_call(cell, weights, (x[None],))[0].sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, x.detach())
    _, tangent = torch.func.jvp(lambda x: cell(x)[0].sum(), (x.detach(),), (torch.ones_like(x),))
    assert not taken
    grads = torch.autograd.grad(cell(x)[0].sum(), [x, *cell.parameters()])
    close_all([tangent, *(grad.sum(0) for grad in each.values())], [grads[0].sum(), *grads[1:]])
