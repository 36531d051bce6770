"""The kernels of `scan_triton.py` where there is no GPU: Triton's interpreter runs them in numpy; and why they are not
taken. On a GPU: `test_gpu.py`."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from rnn_zoo.models import scan_triton

INTERPRETED = """
import torch
from cell_contract import weighted
from rnn_zoo.models import scan
scan.refusal_of = lambda x: None
for B, T, H in [(1, 1, 1), (3, 7, 5), (2, 64, 16), (3, 130, 40)]:
    leaves = [torch.rand(B, T, H), torch.randn(B, T, H), torch.randn(B, H)]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    results = []
    for way in (scan.linear_scan, scan.linear_loop):
        y = way(*leaves)
        once = torch.autograd.grad(weighted([y]), leaves, retain_graph=True)
        grads = torch.autograd.grad(y.square().sum(), leaves, create_graph=True)
        results.append([y, *once, *grads, *torch.autograd.grad(weighted(grads), leaves)])
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
"""


@pytest.mark.ci
@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
def test_the_kernels_are_the_plain_loop():
    """Also their first and second derivatives, for sizes that no block divides."""
    variables = os.environ | {"TRITON_INTERPRET": "1"}
    command = [sys.executable, "-c", INTERPRETED]
    done = subprocess.run(command, cwd=Path(__file__).parent, env=variables, capture_output=True, text=True)
    assert not done.returncode, done.stderr


@pytest.mark.parametrize(
    ("device", "dtype", "installed", "reason"),
    [
        ("cpu", torch.float32, True, "need a GPU"),
        ("cuda", torch.float32, False, "triton is not installed"),
        ("cuda", torch.float64, True, "torch.float64"),
        ("cuda", torch.complex64, True, "torch.complex64"),
        ("cuda", torch.float32, True, None),
        ("cuda", torch.bfloat16, True, None),
    ],
)
def test_why_the_plain_way_is_taken_is_told(device, dtype, installed, reason, monkeypatch):
    monkeypatch.setattr(scan_triton, "triton", object() if installed else None)
    x = type("Tensor", (), {"is_cuda": device == "cuda", "device": device, "dtype": dtype})
    found = scan_triton.refusal_of(x)
    assert found is None if reason is None else reason in found
