"""Cells that are a linear recurrence of single numbers: h_t = a_t ⊙ h_{t-1} + b_t, where no a_t, b_t waits for a state.

Sizes: `B` batch, `T` time, `H` hidden, `P` what `project` gives.
"""

from typing import Any

import torch

from .recurrent_cell import RecurrentCell


class ScannedCell(RecurrentCell):
    """A cell with one state h that follows h_t = a_t ⊙ h_{t-1} + b_t.

    A subclass has `project`, `coefficients` and `init_weights`; and `output`, where y_t is not h_t.
    """

    kind = "scanned"
    zoneout_states = ()

    def coefficients(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`z (..., P)` of `project` -> a and b, each `(..., H)`."""
        raise NotImplementedError

    def output(self, z: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """`z (..., P)` of `project`, `h (..., H)` -> `y (..., H)`; `h` itself by default."""
        return h

    def recur(self, z, state, weights):
        (h,) = state
        a, b = self.coefficients(z)
        h = a * h + b
        return self.output(z, h), (h,)

    def sequence(self, x, state, mask):
        """The plain loop with everything but a multiplication and an addition taken out of it."""
        if mask is not None:
            x = x.masked_fill(~mask[..., None], 0)  # not even an infinity under the mask counts
        z = self.project(x)
        a, b = self.coefficients(z)
        if mask is not None:
            a, b = a.masked_fill(~mask[..., None], 1), b.masked_fill(~mask[..., None], 0)
        h = linear_scan(a, b, state[0])
        y = self.output(z, h)
        return y if mask is None else y.masked_fill(~mask[..., None], 0), (h[:, -1].clone(),)


def linear_scan(a: torch.Tensor, b: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """h_t = a_t ⊙ h_{t-1} + b_t for at least one step.

    Args:
        a, b: `(B, T, H)`.
        h: `(B, H)`, before the first step.

    Returns:
        All h_t, `(B, T, H)`.
    """
    if torch.compiler.is_compiling():
        return linear_loop(a, b, h)
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), h.dtype)
    a, b = (s.to(dtype).transpose(0, 1).contiguous() for s in (a, b))  # (T, B, H)
    return LinearScan.apply(a, b, h.to(dtype)).transpose(0, 1)


def linear_loop(a: torch.Tensor, b: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """The plain reference of `linear_scan`."""
    states = []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states, 1)


class LinearScan(torch.autograd.Function):
    """One operation a step, in place: on a CPU less work than a parallel scan, which does some T log T of them."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """`a (T, B, H)`, `b (T, B, H)`, `h (B, H)` -> all h_t `(T, B, H)`."""
        states = torch.empty_like(b)
        before = h
        for a_t, b_t, after in zip(a.unbind(), b.unbind(), states.unbind(), strict=True):
            before = torch.addcmul(b_t, a_t, before, out=after)
        ctx.save_for_backward(a, h, states)
        return states

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor):
        """The gradient of h_t is what comes from above, and a_{t+1} times that of h_{t+1}: a scan from the end."""
        a, h, states = ctx.saved_tensors
        following = torch.cat([torch.zeros_like(a[:1]), a[1:].flip(0)])
        b_grad = LinearScan.apply(following, grad.flip(0), torch.zeros_like(h)).flip(0)
        return b_grad * torch.cat([h[None], states[:-1]]), b_grad, a[0] * b_grad[0]
