"""What a device asks for, simulated on a CPU: weights are moved into one piece of memory as on a GPU, by a `set_()`."""

import copy
import importlib.util
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
import torch
from torch import nn

from rnn_zoo import CELLS
from rnn_zoo.models import device_kernels
from rnn_zoo.models.cells_fused import FusedCell

SIMULATED = """
import torch
from rnn_zoo.models import device_kernels
from rnn_zoo.models.cells_fused import FusedCell

moved = []

def flatten(cell, weights):
    chunk = torch.cat([w.detach().reshape(-1) for w in weights])
    for w, part in zip(weights, chunk.split([w.numel() for w in weights])):
        w.set_(part.view_as(w))
    moved.append(weights)

device_kernels.is_on_gpu = lambda weight: True
torch.backends.cudnn.is_acceptable = lambda weight: True
FusedCell.flatten = flatten
"""

SHARDED = f"""{SIMULATED}
import copy, sys
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from rnn_zoo import CELLS

rank, store, guarded = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "guarded"
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{{store}}", rank=rank, world_size=2)
try:
    if not guarded:
        device_kernels.is_nobody_elses = lambda weight: True
    torch.manual_seed(0)
    plain = CELLS["lstm"](6, 8)
    x = torch.randn(3, 7, 6)
    sharded = copy.deepcopy(plain)
    fully_shard(sharded, mesh=init_device_mesh("cpu", (2,)))
    optimizers = [torch.optim.SGD(cell.parameters(), lr=1.0) for cell in (plain, sharded)]
    for _ in range(3):
        outputs = [cell(x)[0] for cell in (plain, sharded)]
        for y, optimizer in zip(outputs, optimizers, strict=True):
            y.square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    same = torch.allclose(*outputs, atol=1e-5)
    assert same == guarded, f"same outputs: {{same}}, guarded: {{guarded}}"
    assert bool(moved) != guarded
finally:
    dist.destroy_process_group()
"""


@pytest.fixture
def moved(monkeypatch):
    """The weights that were moved, as if the cells were on a GPU."""
    names = {}
    for owner, name in ((device_kernels, "is_on_gpu"), (torch.backends.cudnn, "is_acceptable"), (FusedCell, "flatten")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back after the test
    exec(SIMULATED, names)
    return names["moved"]


def pieces(cell):
    return len({p.untyped_storage().data_ptr() for p in cell.parameters()})


def test_a_cells_own_weights_are_moved_once(moved):
    cell, x = CELLS["lstm"](5, 8), torch.randn(3, 7, 5)
    before = {name: value.clone() for name, value in cell.state_dict().items()}
    y = cell(x)[0]
    assert (len(moved), pieces(cell)) == (1, 1)
    assert all(torch.equal(value, before[name]) for name, value in cell.state_dict().items())
    y.sum().backward()
    torch.optim.SGD(cell.parameters(), lr=0.1).step()
    assert not torch.allclose(cell(x)[0], y)
    assert len(moved) == 1


def test_weights_in_the_memory_of_others_stay_there(moved):
    cell, x = CELLS["gru"](5, 8), torch.randn(3, 7, 5)
    expected = cell.eval()(x)[0]
    moved.clear()
    buffers = []
    for name, parameter in list(cell.named_parameters()):
        buffers.append(torch.cat([parameter.detach().reshape(-1), torch.zeros(3)]))  # of a manager, with room for more
        setattr(cell, name, nn.Parameter(buffers[-1][: parameter.numel()].view_as(parameter)))
    torch.testing.assert_close(cell(x)[0], expected)
    for buffer in buffers:
        buffer.mul_(0.5)
    assert not torch.allclose(cell(x)[0], expected)
    assert not moved


def test_dropped_weights_are_joined(moved):
    cell, x = CELLS["lstm"](5, 8, recurrent_weight_dropout=0.5), torch.randn(3, 7, 5)
    cell(x)[0].sum().backward()
    assert not moved
    assert all(p.grad.ne(0).any() for p in cell.parameters())


@pytest.mark.parametrize("cell_type", [name for name, cell in CELLS.items() if issubclass(cell, FusedCell)])
def test_masked_calls_read_weights_in_one_piece(moved, cell_type, monkeypatch):
    """As cuDNN would copy those of an LSTM, which are widened for the mask, with a warning at each call."""
    cell, x = CELLS[cell_type](5, 8, recurrent_weight_dropout=0.2), torch.randn(3, 7, 5)
    mask = torch.tensor([[1] * 7, [0, 0, 1, 1, 1, 1, 1], [1, 0, 1, 1, 0, 0, 0]], dtype=torch.bool)
    kernel, found = type(cell).kernel, []

    def seen(self, x, state, weights):
        found.append([w.data_ptr() for w in weights])
        found.append([weights[0].data_ptr() + 4 * sum(w.numel() for w in weights[:n]) for n in range(4)])
        assert all(s.is_contiguous() for s in map(device_kernels.initial, state))
        return kernel(self, x, state, weights)

    monkeypatch.setattr(type(cell), "kernel", seen)
    for training in (True, False):
        cell.train(training)(x, tuple(torch.randn(8, 3).t() for _ in cell.state_names), mask)
    assert len(found) == 4
    assert found[::2] == found[1::2]


def test_a_second_thread_waits_until_the_weights_are_moved(moved, monkeypatch):
    cell, x = CELLS["lstm"](5, 8), torch.randn(3, 7, 5)
    expected, flatten, begun, go_on = cell(x)[0], FusedCell.flatten, threading.Event(), threading.Event()
    cell = copy.deepcopy(cell).requires_grad_(False)
    for name, weight in list(cell.named_parameters()):  # the copy lies in one piece, too
        setattr(cell, name, nn.Parameter(weight.clone()))
    moved.clear()

    def slowly(self, weights):
        first = weights[0]
        first.data = torch.zeros_like(first)  # half moved
        begun.set()
        assert go_on.wait(60)
        first.data = expected_weight
        flatten(self, weights)

    expected_weight = cell.weight_ih.detach().clone()
    monkeypatch.setattr(FusedCell, "flatten", slowly)
    with ThreadPoolExecutor(2) as threads:
        results = [threads.submit(cell, x)]
        assert begun.wait(60)
        results.append(threads.submit(cell, x))
        assert not wait(results[1:], timeout=0.2).done
        go_on.set()
        for result in results:
            torch.testing.assert_close(result.result()[0], expected)
    assert len(moved) == 1


@pytest.mark.slow
@pytest.mark.parametrize("guard", ["guarded", "unguarded"])
def test_sharded_weights_are_read_as_they_are(tmp_path, guard):
    """Two processes with FSDP2, which keeps one object for each whole weight and fills it anew: moved away from the
    memory that is filled, it would be read as it was at first, which the unguarded run shows."""
    if importlib.util.find_spec("torch.distributed.fsdp") is None or not torch.distributed.is_gloo_available():
        pytest.skip("this build of torch has no gloo or no FSDP")
    command = [sys.executable, "-c", SHARDED]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "store"), guard],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()[-3000:]
