"""The scan h_t = a_t ⊙ h_{t-1} + b_t on a GPU, in Triton: each tensor is read or written once.

Sizes: `T` time, `N` numbers of a step (`B·H`, of all rows).

A program has some numbers, side by side in memory, for all steps. It takes `STEPS` of them at a time, so that many
loads are on their way at once; these are joined in parallel, and what comes before them is added after that:

    (a, b) then (a', b') is (a' a, a' b + b')

It computes in float32. `scan.py` has the plain reference, and chooses.
"""

from typing import Any

import torch

try:
    import triton
    import triton.language as tl
except ImportError:  # where torch has no GPU
    triton = None

STEPS = 64
NUMBERS = 32
WARPS = 4


def refusal_of(x: torch.Tensor) -> str | None:
    """Why a scan of tensors like this one takes the plain way, in a sentence; `None` if it takes the kernels."""
    if not x.is_cuda:
        return f"the tensors are on {x.device}, and the kernels need a GPU"
    if triton is None:
        return "triton is not installed, in which the kernels are written"
    if x.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"the tensors are {x.dtype}, and the kernels compute in float32"
    return None


def triton_scan(a: torch.Tensor, b: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """`a (T, B, H)`, `b (T, B, H)`, `h (B, H)`, all of one dtype and contiguous -> all h_t `(T, B, H)`."""
    states = torch.empty_like(b)
    launch(scan_kernel, a, b, h, states)
    return states


def triton_gradients(a: torch.Tensor, h: torch.Tensor, states: torch.Tensor, grad: torch.Tensor):
    """What `triton_scan` was given and gave, the gradient of that `(T, B, H)` -> the gradients of a and b."""
    a_grad, b_grad = torch.empty_like(a), torch.empty_like(a)
    launch(gradient_kernel, a, h, states, grad.contiguous(), a_grad, b_grad)
    return a_grad, b_grad


def launch(kernel: Any, a: torch.Tensor, *others: torch.Tensor) -> None:
    T, N = len(a), a[0].numel()
    with torch.cuda.device_of(a):
        kernel[(triton.cdiv(N, NUMBERS),)](a, *others, T, N, STEPS=STEPS, NUMBERS=NUMBERS, num_warps=WARPS)


if triton is not None:

    @triton.jit
    def joined(a, b, next_a, next_b):
        return next_a * a, next_a * b + next_b

    @triton.jit
    def scan_kernel(a, b, h, states, T, N, STEPS: tl.constexpr, NUMBERS: tl.constexpr):
        n = tl.program_id(0) * NUMBERS + tl.arange(0, NUMBERS)
        step = tl.arange(0, STEPS)
        before = tl.load(h + n, n < N, 0.0).to(tl.float32)
        for start in range(0, T, STEPS):
            t = start + step
            there = (t < T)[:, None] & (n < N)[None, :]
            place = t.to(tl.int64)[:, None] * N + n[None, :]
            a_t = tl.load(a + place, there, 1.0).to(tl.float32)
            b_t = tl.load(b + place, there, 0.0).to(tl.float32)
            factor, added = tl.associative_scan((a_t, b_t), 0, joined)
            h_t = factor * before[None, :] + added
            tl.store(states + place, h_t, there)
            before = tl.sum(tl.where(step[:, None] == STEPS - 1, h_t, 0.0), 0)

    @triton.jit
    def gradient_kernel(a, h, states, grad, a_grad, b_grad, T, N, STEPS: tl.constexpr, NUMBERS: tl.constexpr):
        n = tl.program_id(0) * NUMBERS + tl.arange(0, NUMBERS)
        step = tl.arange(0, STEPS)
        first = tl.load(h + n, n < N, 0.0).to(tl.float32)
        after = tl.zeros((NUMBERS,), tl.float32)
        for start in range(0, T, STEPS):
            t = T - 1 - start - step  # from the end
            there = (t >= 0)[:, None] & (n < N)[None, :]
            place = t.to(tl.int64)[:, None] * N + n[None, :]
            next_a = tl.load(a + place + N, there & (t < T - 1)[:, None], 1.0).to(tl.float32)
            above = tl.load(grad + place, there, 0.0).to(tl.float32)
            h_before = tl.load(states + place - N, there & (t > 0)[:, None], 0.0).to(tl.float32)
            h_before = tl.where((t == 0)[:, None], first[None, :], h_before)
            factor, added = tl.associative_scan((next_a, above), 0, joined)
            whole = factor * after[None, :] + added
            tl.store(b_grad + place, whole, there)
            tl.store(a_grad + place, whole * h_before, there)
            after = tl.sum(tl.where(step[:, None] == STEPS - 1, whole, 0.0), 0)
