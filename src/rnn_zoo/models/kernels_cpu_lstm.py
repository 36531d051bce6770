"""LSTMs that torch has no kernel for, over whole sequences on a CPU: forward, and backpropagation through time, written
by hand.

Sizes: `B` batch, `T` time, `H` hidden, `G` gates, `P` what `project` gives.

As in `kernels_cpu.py`, a step is its products and a few operations in place, what its backward multiplies the gradients
with is computed for all steps at once, the gradient of a matrix is one product, and all is laid out `(T, features, B)`.
"""

import copy
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import torch

from .kernels_cpu import (
    FEW_STEPS,
    as_rows,
    by_reference,
    frozen_rows,
    grads_of_outputs,
    is_followed,
    is_known_on_cpu,
    padded_steps,
)
from .recurrent_weight import RecurrentWeight

if TYPE_CHECKING:
    from .recurrent_cell import RecurrentCell, State


class LstmKernel:
    """Gates i, f, g, o, one below the other in the first rows of z:

    c_t = f ⊙ c_{t-1} + i ⊙ g, h_t = o ⊙ tanh(c_t).

    A subclass changes what its cell does otherwise; `W` are the cell's `recurrent_weights`, `extra` its parameters
    `names`, both in that order.
    """

    gates = 4
    names: tuple[str, ...] = ()  # of the parameters that `recur` reads itself

    def open(self, memory: "Memory", t: int) -> None:
        """Adds to the gates what they have of h_{t-1}."""
        memory.gates_of[t].addmm_(memory.W[0], memory.h_of[t])

    def cell(self, memory: "Memory", t: int) -> None:
        """Pre-activations of the gates -> c_t, tanh(c_t), h_t."""
        i, f, g, o = memory.each_gate[t]
        c, new, tanh = memory.c_of[t], memory.c_of[t + 1], memory.tanh_of[t]
        self.look_before(memory, i, f, c)
        memory.forgetting[t].sigmoid_()
        torch.mul(f, c, out=new).addcmul_(i, g.tanh_())
        self.look_after(memory, o, new)
        torch.mul(o.sigmoid_(), torch.tanh(new, out=tanh), out=memory.h_of[t + 1])

    def look_before(self, memory: "Memory", i: torch.Tensor, f: torch.Tensor, c: torch.Tensor) -> None:
        """Adds to i and f what they have of c_{t-1}."""

    def look_after(self, memory: "Memory", o: torch.Tensor, c: torch.Tensor) -> None:
        """Adds to o what it has of c_t."""

    def factors(self, memory: "Memory") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the gradients are multiplied with.

        Returns:
            In place of the gates ∂h_t/∂o and for the others ∂c_t/∂(their pre-activations), `(T, G·H, B)`; ∂h_t/∂c_t and
            ∂c_t/∂c_{t-1}, `(T, H, B)`.
        """
        i, f, g, o = memory.blocks()
        of_c = memory.tanh.square().neg_().add_(1).mul_(o)
        to_i, to_f = (1 - i).mul_(i).mul_(g), (1 - f).mul_(f).mul_(memory.c[:-1])
        to_g, to_o = g.square().neg_().add_(1).mul_(i), (1 - o).mul_(o).mul_(memory.tanh)
        return torch.cat([to_i, to_f, to_g, to_o], 1), of_c, f

    def back(self, memory: "Memory", t: int, grads: torch.Tensor, before: torch.Tensor) -> None:
        """Adds to the gradient of h_{t-1} what it has from the gates' `grads (P, B)`."""
        before.addmm_(memory.transposed[0], grads)

    def weight_grads(self, memory: "Memory", rows: torch.Tensor, grads: torch.Tensor) -> list[torch.Tensor]:
        """The gradients of `W` and of `extra`.

        Args:
            memory: of the sequence.
            rows: the gradient of z, `(B·T, P)`.
            grads: the same as `(T, P, B)`.
        """
        return [rows.t() @ as_rows(memory.h[:-1])]


class CoupledKernel(LstmKernel):
    """Gates f, g, o, with 1 - f for i."""

    gates = 3

    def cell(self, memory, t):
        f, g, o = memory.each_gate[t]
        new, tanh = memory.c_of[t + 1], memory.tanh_of[t]
        torch.lerp(g.tanh_(), memory.c_of[t], f.sigmoid_(), out=new)
        torch.mul(o.sigmoid_(), torch.tanh(new, out=tanh), out=memory.h_of[t + 1])

    def factors(self, memory):
        f, g, o = memory.blocks()
        of_c = memory.tanh.square().neg_().add_(1).mul_(o)
        to_f, to_g = (1 - f).mul_(f).mul_(memory.c[:-1] - g), g.square().neg_().add_(1).mul_(1 - f)
        to_o = (1 - o).mul_(o).mul_(memory.tanh)
        return torch.cat([to_f, to_g, to_o], 1), of_c, f


class PeepholeKernel(LstmKernel):
    """i and f see c_{t-1}, o sees c_t, each through a vector of `peepholes (3, H)`."""

    names = ("peepholes",)

    def look_before(self, memory, i, f, c):
        p_i, p_f, _ = memory.columns[0]
        i.addcmul_(p_i, c)
        f.addcmul_(p_f, c)

    def look_after(self, memory, o, c):
        o.addcmul_(memory.columns[0][2], c)

    def factors(self, memory):
        factors, of_c, f = super().factors(memory)
        to_i, to_f, _, to_o = factors.chunk(4, 1)
        p_i, p_f, p_o = memory.columns[0]
        return factors, of_c.addcmul_(p_o, to_o), torch.addcmul(f, p_i, to_i).addcmul_(p_f, to_f)

    def weight_grads(self, memory, rows, grads):
        of_i, of_f, _, of_o = grads.chunk(4, 1)
        seen = (of_i, memory.c[:-1]), (of_f, memory.c[:-1]), (of_o, memory.c[1:])
        return [*super().weight_grads(memory, rows, grads), torch.stack([(g * c).sum((0, 2)) for g, c in seen])]


class MultiplicativeKernel(LstmKernel):
    """The gates see m_t = z_m ⊙ (W_m h_{t-1}), where z_m are the last H rows of z."""

    def open(self, memory, t):
        q = torch.mm(memory.W[1], memory.h_of[t], out=memory.q_of[t])
        memory.gates_of[t].addmm_(memory.W[0], q * memory.after_of[t])

    def back(self, memory, t, grads, before):
        H = len(before)
        of_m = torch.mm(memory.transposed[0], grads[: 4 * H])
        torch.mul(of_m, memory.q_of[t], out=grads[4 * H :])
        before.addmm_(memory.transposed[1], torch.mul(of_m, memory.after_of[t], out=memory.q_grad_of[t]))

    def weight_grads(self, memory, rows, grads):
        H = memory.h.shape[1]
        m = memory.q * memory.P[:, 4 * H :]
        of_gates = rows[:, : 4 * H].t() @ as_rows(m)
        return [of_gates, as_rows(memory.q_grad).t() @ as_rows(memory.h[:-1])]


class Memory:
    """What is kept of one sequence.

    Args:
        kernel: the cell's.
        z: `(B, T, P)`.
        state: h and c, `(B, H)`.
        W: the hidden-to-hidden matrices.
        extra: the kernel's parameters, each `(n, H)`.
    """

    def __init__(self, kernel: LstmKernel, z: torch.Tensor, state: "State", W, extra):
        (B, T, P), H = z.shape, state[0].shape[1]
        self.W = W
        self.columns = [[one[:, None] for one in p.unbind()] for p in extra]
        self.P = z.new_empty(T, P, B)  # gates, and what else is in z
        self.h, self.c, self.tanh = z.new_empty(T + 1, H, B), z.new_empty(T + 1, H, B), z.new_empty(T, H, B)
        self.h[0], self.c[0] = state[0].t(), state[1].t()
        rows = kernel.gates * H
        self.h_of, self.c_of, self.tanh_of = self.h.unbind(), self.c.unbind(), self.tanh.unbind()
        self.P_of, self.gates_of = self.P.unbind(), self.P[:, :rows].unbind()
        self.after_of, self.forgetting = self.P[:, rows:].unbind(), self.P[:, : 2 * H].unbind()
        self.each_gate = list(zip(*(gate.unbind() for gate in self.P[:, :rows].split(H, 1)), strict=True))
        self.rows = rows
        self.transposed: list[torch.Tensor] = []  # W, for the backward pass
        # Of a second matrix its product with h, and the gradient of that.
        self.q, self.q_grad = (z.new_empty(T if len(W) > 1 else 0, H, B) for _ in range(2))
        self.q_of, self.q_grad_of = self.q.unbind(), self.q_grad.unbind()

    def blocks(self) -> tuple[torch.Tensor, ...]:
        """Each gate of all steps, `(T, H, B)`."""
        return self.P[:, : self.rows].split(self.h.shape[1], 1)


def run_lstm_on_cpu(cell: "RecurrentCell", kernel: LstmKernel, z, state, weights, mask):
    """A whole sequence with gradients, or `None` where the plain loop has to run it.

    Args:
        cell: whose `loop` it is, and which gives second derivatives.
        kernel: the cell's.
        z: `(B, T, P)`, of `project`.
        state: h and c.
        weights: of `sequence_weights`.
        mask: `(B, T)` of truth values, or `None`.

    Returns:
        What `cell.loop` does.
    """
    if z.shape[1] < FEW_STEPS or any(w.keep is not None for w in weights):
        return None
    if not cell._parameters.keys() >= {*kernel.names}:  # parametrized: `recur` would not read what it is given
        return None
    tensors = [z, *state, *(w.weight for w in weights), *(cell._parameters[name] for name in kernel.names)]
    if not (is_followed(tensors) and is_known_on_cpu(tensors)):
        return None
    y, h, c = LstmSequence.apply(cell, kernel, len(weights), mask, *tensors)
    return y, (h, c)


class LstmSequence(torch.autograd.Function):
    """`run_lstm_on_cpu`."""

    @staticmethod
    def forward(ctx: Any, cell, kernel: LstmKernel, matrices: int, mask, z, h, c, *weights):
        W, extra = weights[:matrices], weights[matrices:]
        memory = Memory(kernel, z, (h, c), W, extra)
        mask_of = None if mask is None else mask.t().contiguous()
        padded = padded_steps(mask_of, z.shape[1])
        for t, z_t in enumerate(z.unbind(1)):
            memory.P_of[t].copy_(z_t.t())
            kernel.open(memory, t)
            kernel.cell(memory, t)
            if padded[t] and mask_of is not None:
                for s in (memory.h_of, memory.c_of):
                    torch.where(mask_of[t], s[t + 1], s[t], out=s[t + 1])
        ctx.set_materialize_grads(False)
        ctx.cell, ctx.kernel, ctx.matrices, ctx.memory = cell, kernel, matrices, memory
        ctx.save_for_backward(mask, z, h, c, *weights)
        y = as_rows(memory.h[1:]).view(*z.shape[:2], -1)
        if mask is not None:
            y.masked_fill_(~mask[..., None], 0)
        return y, memory.h_of[-1].t().contiguous(), memory.c_of[-1].t().contiguous()

    @staticmethod
    def backward(ctx: Any, *grads):
        mask, *inputs = ctx.saved_tensors
        needed = ctx.needs_input_grad[4:]
        with torch.autocast("cpu", enabled=False):
            if torch.is_grad_enabled():  # a second derivative will be asked for
                reference = partial(plain_loop, ctx.cell, ctx.kernel, ctx.matrices, mask)
                return None, None, None, None, *by_reference(reference, inputs, needed, grads)
            return None, None, None, None, *backward(ctx.kernel, ctx.memory, mask, inputs[0], needed, *grads)


def backward(kernel: LstmKernel, memory: Memory, mask, z, needed, y_grad, h_grad, c_grad) -> list[torch.Tensor | None]:
    """The gradients of z, h, c, the matrices and the other parameters; `None` for those that are not `needed`."""
    B, T, P = z.shape
    H = memory.h.shape[1]
    memory.transposed = [w.t().contiguous() for w in memory.W]
    h_grads = grads_of_outputs(memory.h, mask, y_grad, h_grad)
    of_c = z.new_zeros(H, B) if c_grad is None else c_grad.t().clone(memory_format=torch.contiguous_format)
    factors, h_to_c, c_to_c = kernel.factors(memory)
    mask_of = None if mask is None else mask.t().contiguous()
    if mask_of is not None:
        frozen = ~mask_of[:, None]
        factors, h_to_c = factors.masked_fill(frozen, 0), h_to_c.masked_fill(frozen, 0)
        c_to_c = c_to_c.masked_fill(frozen, 1)
    frozen_of = frozen_rows(mask_of, T, z.dtype)
    grads = factors if memory.rows == P else torch.cat([factors, factors.new_empty(T, P - memory.rows, B)], 1)
    last = memory.rows - H
    to_c, to_o = grads[:, :last].unflatten(1, (-1, H)).unbind(), grads[:, last : memory.rows].unbind()
    h_grad_of, grad_of, h_to_c_of, c_to_c_of = h_grads.unbind(), grads.unbind(), h_to_c.unbind(), c_to_c.unbind()
    z_grad = torch.empty_like(z)
    z_grad_of = z_grad.unbind(1)
    for t in reversed(range(T)):
        of_h, before, frozen_t = h_grad_of[t + 1], h_grad_of[t], frozen_of[t]
        of_c.addcmul_(of_h, h_to_c_of[t])
        to_c[t].mul_(of_c)
        to_o[t].mul_(of_h)
        if frozen_t is not None:
            before.addcmul_(of_h, frozen_t)
        kernel.back(memory, t, grad_of[t], before)
        of_c.mul_(c_to_c_of[t])
        z_grad_of[t].copy_(grad_of[t].t())
    found = [z_grad, h_grads[0].t().contiguous(), of_c.t().contiguous()]
    if any(needed[3:]):
        found += kernel.weight_grads(memory, z_grad.view(B * T, P), grads)
    return [grad if wanted else None for grad, wanted in zip_longest(found, needed)]


def plain_loop(cell: "RecurrentCell", kernel: LstmKernel, matrices: int, mask, z, h, c, *weights):
    """The same sequence by operations with second derivatives -> y, h, c."""
    twin = copy.copy(cell)
    twin._parameters = cell._parameters | dict(zip(kernel.names, weights[matrices:], strict=True))
    y, state = twin.plain_loop(z, (h, c), tuple(map(RecurrentWeight, weights[:matrices])), mask)
    return y, *state
