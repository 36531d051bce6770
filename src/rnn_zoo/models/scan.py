"""Cells that are a linear recurrence of single numbers: h_t = a_t ⊙ h_{t-1} + b_t, where a_t, b_t wait for no state.

Sizes: `B` batch, `T` time, `H` hidden, `P` what `project` gives. Inside a scan time comes first, so that the numbers of
a step lie side by side.
"""

from typing import Any

import torch
from torch import nn
from transformers import initialization as init

from .recurrent_cell import RecurrentCell, State
from .scan_triton import refusal_of, triton_gradients, triton_scan

# In chunks a scan of 4096 steps of 64 numbers takes a thirtieth of the time, one of 256 steps of 512 numbers a third;
# with four times as many numbers it gains nothing, and under 64 steps neither.
FEW_NUMBERS = 512
FEW_STEPS = 64
ONE_PIECE = 1 << 15  # numbers; torch begins to share an operation between cores above it


class ScannedCell(RecurrentCell):
    """A cell whose first state h follows h_t = a_t ⊙ h_{t-1} + b_t.

    A subclass has `project`, `coefficients` and `init_weights`; and `output`, where y_t is not h_t. One with more
    states than h says by `project_all` how they are had for all steps at once, and by `recur` for one.
    """

    kind = "scanned"
    zoneout_states = ()

    def coefficients(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`z (..., P)` of `project` -> a and b, each `(..., H)`; z is never of half precision."""
        raise NotImplementedError

    def output(self, z: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """`z (..., P)` of `project`, `h (..., H)` -> `y (..., H)`; `h` itself by default."""
        return h

    def recur(self, z, state, weights):
        (h,) = state
        a, b = self.coefficients(widened(z))
        new = a * h + b
        return self.output(z, new).to(z.dtype), (new.to(h.dtype),)

    def init_input(
        self,
        weight: nn.Parameter,
        bias: nn.Parameter | None = None,
        forget_gate_bias: float = 0.0,
        bound: float | None = None,
    ) -> None:
        """Weights of the input `(P, D)` uniform in ±`bound` [±1/√H]; biases 0, and the first H, those of the forget
        gate, `forget_gate_bias`."""
        bound = self.hidden_size**-0.5 if bound is None else bound
        init.uniform_(weight, -bound, bound)
        if bias is not None:
            init.zeros_(bias)
            if not getattr(bias, "_is_hf_initialized", False):
                bias.data[: self.hidden_size] = forget_gate_bias

    def project_all(self, x: torch.Tensor, others: State, real: torch.Tensor | None) -> tuple[torch.Tensor, State]:
        """`x (T, B, D)`, the states but h before the first step, `real (T, B)` -> `z (T, B, P)`, those states after the
        last step."""
        return self.project(x), others

    def states(self, z: torch.Tensor, h: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
        """`z (T, B, P)`, h before the first step, `real (T, B)` -> all h_t, `(T, B, H)`."""
        a, b = self.coefficients(widened(z))
        if real is not None:
            a, b = a.masked_fill(~real[..., None], 1), b.masked_fill(~real[..., None], 0)
        return scan_over_time(a, b, h)

    def all_outputs(self, z: torch.Tensor, h: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """`z (T, B, P)`, all h_t `(T, B, H)`, h before the first step -> `y (T, B, H)`."""
        return self.output(z, h)

    def sequence(self, x, state, mask):
        """The plain loop with everything but a multiplication and an addition taken out of it."""
        x, real = x.transpose(0, 1), None if mask is None else mask.t()
        if real is not None:
            x = x.masked_fill(~real[..., None], 0)  # not even an infinity under the mask counts
        z, others = self.project_all(x, state[1:], real)
        h = self.states(z, state[0], real)
        y = self.all_outputs(z, h, state[0]).to(z.dtype)
        if real is not None:
            y = y.masked_fill(~real[..., None], 0)
        return y.transpose(0, 1), (h[-1].to(state[0].dtype, copy=True), *others)


def widened(z: torch.Tensor) -> torch.Tensor:
    """In single precision, if it is of half: a factor near 1, to the power of T, needs more digits."""
    return z.float() if z.dtype in (torch.bfloat16, torch.float16) else z


def linear_scan(a: torch.Tensor, b: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """h_t = a_t ⊙ h_{t-1} + b_t for at least one step.

    Args:
        a, b: `(B, T, H)`.
        h: `(B, H)`, before the first step.

    Returns:
        All h_t, `(B, T, H)`.
    """
    return scan_over_time(a.transpose(0, 1), b.transpose(0, 1), h).transpose(0, 1)


def linear_loop(a: torch.Tensor, b: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """The plain reference of `linear_scan`."""
    states = []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states, 1)


def scan_over_time(a: torch.Tensor, b: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """`linear_scan` of `a (T, B, H)`, `b (T, B, H)`, `h (B, H)` -> all h_t, `(T, B, H)`; real or complex numbers."""
    if torch.compiler.is_compiling():
        return linear_loop(a.transpose(0, 1), b.transpose(0, 1), h).transpose(0, 1)
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), h.dtype)
    given = [s.to(dtype).contiguous() for s in (a, b, h)]
    if refusal_of(given[0]):
        given = [widened(s) for s in given]
    return LinearScan.apply(*given).to(dtype)


class LinearScan(torch.autograd.Function):
    """On a GPU the kernels of `scan_triton.py`; where these cannot be had (`scan_triton.refusal_of` says why) one
    operation a step, in place: on a CPU less work than a parallel scan, which does some T log T of them."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """`a (T, B, H)`, `b (T, B, H)`, `h (B, H)` -> all h_t `(T, B, H)`."""
        states = forward_scan(a, b, h)
        ctx.save_for_backward(a, h, states)
        return states

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor):
        """The gradient of h_t is what comes from above, and a_{t+1} times that of h_{t+1}: a scan from the end."""
        a, h, states = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative will be asked for
            b_grad = reverse_scan(a, grad)
            a_grad = b_grad * torch.cat([h[None], states[:-1]]).conj()
        elif not refusal_of(a):
            a_grad, b_grad = triton_gradients(a, h, states, grad)
        else:
            a_grad, b_grad = torch.empty_like(a), backward_scan(a, grad)
            torch.mul(b_grad[0], h.conj(), out=a_grad[0])
            torch.mul(b_grad[1:], states[:-1].conj(), out=a_grad[1:])
        return a_grad, b_grad, a[0].conj() * b_grad[0]


def reverse_scan(a: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
    """`a (T, B, H)`, the gradients of all h_t from above `(T, B, H)` -> the whole gradients of all h_t, which have a
    gradient themselves if one is asked for."""
    if not torch.is_grad_enabled():
        return backward_scan(a, grad)
    following = torch.cat([torch.zeros_like(a[:1]), a[1:].flip(0)]).conj().resolve_conj()
    return LinearScan.apply(following, grad.flip(0), torch.zeros_like(a[0])).flip(0)


def forward_scan(a: torch.Tensor, b: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """All h_t, without gradients."""
    if not refusal_of(a):
        return triton_scan(a, b, h)
    if pays_in_chunks(a):
        return chunked_scan(a, b, h)
    states = torch.empty_like(b)
    for a_t, b_t, after in zip(a.unbind(), b.unbind(), states.unbind(), strict=True):
        h = torch.addcmul(b_t, a_t, h, out=after)
    return states


def backward_scan(a: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
    """`a (T, B, H)`, the gradients of all h_t from above `(T, B, H)` -> `reverse_scan`, without gradients."""
    if pays_in_chunks(a):
        following = torch.cat([torch.zeros_like(a[:1]), a[1:].flip(0)]).conj()
        return chunked_scan(following, grad.flip(0), torch.zeros_like(a[0])).flip(0)
    whole = torch.empty_like(a)
    after = whole[-1].copy_(grad[-1])
    factors, above, places = a.conj().unbind(), grad.unbind(), whole.unbind()
    for t in range(len(a) - 2, -1, -1):
        after = torch.addcmul(above[t], factors[t + 1], after, out=places[t])
    return whole


def pays_in_chunks(a: torch.Tensor) -> bool:
    """Whether a step `(B, H)` of `a (T, B, H)` has so few numbers that to begin it takes longer than to compute it."""
    return len(a) >= FEW_STEPS and a[0].numel() <= FEW_NUMBERS and a.device.type == "cpu"


def chunked_scan(a: torch.Tensor, b: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """`forward_scan` in some 3 √T operations instead of T, on more numbers each: all chunks of the sequence side by
    side from a state of 0, then the states between them, then what these add.

    Within a chunk h_t = local_t + product_t ⊙ (the state before the chunk), and product_t = a_t ⊙ … ⊙ a_first.
    """
    T, numbers = len(a), a[0].numel()
    length = max(round(T**0.5), -(-T * numbers // ONE_PIECE))
    missing = -T % length
    if missing:
        a, b = (torch.cat([s, s.new_zeros(missing, *s.shape[1:])]) for s in (a, b))
    a, b = (s.unflatten(0, (-1, length)) for s in (a, b))  # (chunks, length, B, H)
    local, product = torch.empty_like(b), torch.empty_like(a)
    steps = list(zip(a.unbind(1), b.unbind(1), local.unbind(1), product.unbind(1), strict=True))
    (a_t, b_t, sums, factors), *others = steps
    sums.copy_(b_t), factors.copy_(a_t)
    for a_t, b_t, next_sums, next_factors in others:
        sums = torch.addcmul(b_t, a_t, sums, out=next_sums)
        factors = torch.mul(a_t, factors, out=next_factors)
    ends = forward_scan(factors, sums, h)  # (chunks, B, H), the states after each
    before = torch.cat([h[None], ends[:-1]])
    return local.addcmul_(product, before[:, None]).flatten(0, 1)[:T]
