"""GRU and simple RNN over whole sequences on a CPU, for which torch has no fused kernel: forward, and backpropagation
through time, written by hand.

Sizes: `B` batch, `T` time, `D` input, `H` hidden, `G` gates.

torch runs these cells as a loop of operations that autograd follows: it keeps each result, and adds to the gradients of
the weights at each step. Here

- the input's product is one for all steps, and so is the gradient of each weight;
- a step is one product and a few operations in place, on memory that is there before the loop;
- what a step's backward multiplies the gradient with is computed for all steps at once, before the loop;
- all is laid out `(T, features, B)`: each gate is one piece of memory, and the product `(G·H, H) (H, B)` is the faster
  way round for the few rows of a batch;
- a masked step is a gate that stays shut, so no row has to be moved.
"""

from collections.abc import Callable
from typing import Any

import torch

from .device_kernels import is_on_cpu

Reference = Callable[..., tuple[torch.Tensor, torch.Tensor]]


class Recurrence:
    """The steps of one kind of cell between the products: `P (T, R, B)` holds all blocks of H features of a step.

    The input's product is added to the first `G·H` of the R features, the product with h to the last `G·H`.
    """

    def blocks(self) -> int:
        """How many blocks of H features a step has, `R = blocks · H`."""
        raise NotImplementedError

    def input_bias(self, bias_ih: torch.Tensor, bias_hh: torch.Tensor) -> torch.Tensor:
        """What is added to the first `G·H` features of all steps."""
        raise NotImplementedError

    def steps(self, P, states, weight, bias, mask) -> None:
        """Runs all steps in place.

        Args:
            P: `(T, R, B)`, in whose first `G·H` features the input's product and bias are.
            states: `(T + 1, H, B)`, the first of them given.
            weight: `(G·H, H)`; bias: `(G·H)`, those of the hidden-to-hidden product.
            mask: `(T, B)` or `None`.
        """
        raise NotImplementedError

    def factors(self, P, states, mask) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        """What the gradient of h_t is multiplied with to be that of the R features, `(T, R, B)`, and that of h_{t-1}
        apart from the product: T times `(H, B)`, `(B)`, or `None` for 0."""
        raise NotImplementedError


class GruRecurrence(Recurrence):
    """Blocks n, r, z and W_hn h + b_hn: the first three are the input's gates, the last three those of h.

    A masked step has z = 1: then h_t = (1 - z) ⊙ n + z ⊙ h_{t-1} is h_{t-1} to the bit, and the gradients of all gates
    are 0.
    """

    def blocks(self):
        return 4

    def input_bias(self, bias_ih, bias_hh):
        b_r, b_z, b_n = bias_ih.chunk(3)
        c_r, c_z, _ = bias_hh.chunk(3)  # the reset gate multiplies the last
        return torch.cat([b_n, b_r + c_r, b_z + c_z])

    def steps(self, P, states, weight, bias, mask):
        H = states.shape[1]
        P[:, 3 * H :] = bias[2 * H :, None]
        if mask is not None:
            P[:, 2 * H : 3 * H].masked_fill_(~mask[:, None], float("inf"))
        n_of, r_of, z_of, hn_of = (block.unbind() for block in P.split(H, 1))
        products, gates, h_of = P[:, H:].unbind(), P[:, H : 3 * H].unbind(), states.unbind()
        for t in range(len(P)):
            products[t].addmm_(weight, h_of[t])
            gates[t].sigmoid_()
            n = n_of[t].addcmul_(r_of[t], hn_of[t]).tanh_()
            torch.lerp(n, h_of[t], z_of[t], out=h_of[t + 1])

    def factors(self, P, states, mask):
        H = states.shape[1]
        n, r, z, hn = P.split(H, 1)
        factors = torch.empty_like(P)
        to_n, to_r, to_z, to_hn = factors.split(H, 1)
        keep = 1 - z
        torch.mul(n, n, out=to_n).neg_().add_(1).mul_(keep)
        torch.mul(to_n, r, out=to_hn)
        torch.sub(1, r, out=to_r).mul_(hn).mul_(to_hn)
        torch.sub(states[:-1], n, out=to_z).mul_(z).mul_(keep)
        return factors, list(z.unbind())


class SimpleRecurrence(Recurrence):
    """One block, which is h_t itself.

    Args:
        activation_: in place.
        derivative: by the activation's result.
    """

    def __init__(self, activation_: Callable, derivative: Callable):
        self.activation_ = activation_
        self.derivative = derivative

    def blocks(self):
        return 1

    def input_bias(self, bias_ih, bias_hh):
        return bias_ih + bias_hh

    def steps(self, P, states, weight, bias, mask):
        activation_, padded, h_of = self.activation_, padded_steps(mask, len(P)), states.unbind()
        for t in range(len(P)):
            h = activation_(h_of[t + 1].addmm_(weight, h_of[t]))
            if padded[t]:
                torch.where(mask[t], h, h_of[t], out=h)

    def factors(self, P, states, mask):
        factors: torch.Tensor = self.derivative(P)
        if mask is None:
            return factors, [None] * len(P)
        factors.masked_fill_(~mask[:, None], 0)
        return factors, frozen_rows(mask, len(P), P.dtype)


def padded_steps(mask: torch.Tensor | None, steps: int) -> list[bool]:
    """Which of the steps are masked in any row, `mask (T, B)`."""
    return [False] * steps if mask is None else (~mask.all(1)).tolist()


def frozen_rows(mask: torch.Tensor | None, steps: int, dtype: torch.dtype) -> list[torch.Tensor | None]:
    """Of each step 1 for the rows that are masked, `(B)`, or `None` where none is; `mask (T, B)`."""
    if mask is None:
        return [None] * steps
    rows = (~mask).to(dtype).unbind()
    return [row if padded else None for row, padded in zip(rows, padded_steps(mask, steps), strict=True)]


def as_rows(values: torch.Tensor) -> torch.Tensor:
    """`(T, H, B)` -> `(B·T, H)`."""
    T, H, B = values.shape
    return values.reshape(T * H, B).t().contiguous().view(B * T, H)  # of two axes: torch copies such in blocks


GRU = GruRecurrence()
RNN_TANH = SimpleRecurrence(torch.tanh_, lambda h: (h * h).neg_().add_(1))
RNN_RELU = SimpleRecurrence(torch.relu_, lambda h: (h > 0).to(h.dtype))


# Fewer unmasked steps than this are trained faster by torch: 4 steps of B = 16, D = H = 256 at 0.91 (simple RNN) and
# 0.99 (GRU) of its speed here, 16 steps of B = 64 at 1.0 and 1.1; one thread of an AMD EPYC, nothing between measured.
FEW_STEPS = 8


def is_faster_on_cpu(inputs: list[torch.Tensor], mask: torch.Tensor | None) -> bool:
    """Whether the kernels here are faster than torch's for `inputs`, `x (B, T, D)` first, and know what they are given.

    Without gradients and mask they are not: 0.95 to 1.03 of torch's speed for a GRU, 0.93 to 1.02 for a simple RNN
    (B = 16, D = H = 512; B = 32, D = H = 128; B = 1, D = H = 512; T = 64), with a mask 1.01 to 1.13 and 1.13 to 1.27.
    """
    if mask is None and (inputs[0].shape[1] < FEW_STEPS or not is_followed(inputs)):
        return False
    return is_known_on_cpu(inputs)


def is_followed(tensors: list[torch.Tensor]) -> bool:
    """Whether a gradient may be asked for."""
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


def is_known_on_cpu(tensors: list[torch.Tensor]) -> bool:
    """Whether the kernels here know what they would be given: plain tensors of one dtype on a CPU, and nothing that
    follows operations otherwise than autograd does (compiler, tracing, `torch.func`, forward-mode derivatives)."""
    dtype = tensors[0].dtype
    return (
        dtype in (torch.float32, torch.float64)
        and all(type(t) in PLAIN and is_on_cpu(t) and t.dtype == dtype for t in tensors)
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._len_torch_dispatch_stack()
        and torch.autograd.forward_ad._current_level < 0
    )


PLAIN = (torch.Tensor, torch.nn.Parameter)


def run_on_cpu(recurrence: Recurrence, reference: Reference, x, h, weights, mask) -> tuple[torch.Tensor, torch.Tensor]:
    """A whole sequence of at least one step.

    Args:
        recurrence: `GRU`, `RNN_TANH` or `RNN_RELU`.
        reference: `x, h, weights, mask` -> what is returned here, by operations with second derivatives.
        x: `(B, T, D)`; h: `(B, H)`.
        weights: `weight_ih (G·H, D)`, `weight_hh (G·H, H)`, `bias_ih (G·H)`, `bias_hh (G·H)`.
        mask: `(B, T)` of truth values, or `None`.

    Returns:
        `y (B, T, H)`, 0 where the mask is, and the last h `(B, H)`.
    """
    if is_followed([x, h, *weights]):
        return Sequence.apply(recurrence, reference, mask, x, h, *weights)
    return forward(recurrence, mask, x, h, *weights)[:2]


def forward(recurrence: Recurrence, mask, x, h, weight_ih, weight_hh, bias_ih, bias_hh):
    """`run_on_cpu` without gradients -> y, the last h, and what the backward pass needs: x `time_first`, P, all h."""
    B, T, _ = x.shape
    GH, H = weight_hh.shape
    states = x.new_empty(T + 1, H, B)
    states[0] = h.t()
    P = states[1:] if recurrence.blocks() == 1 else x.new_empty(T, recurrence.blocks() * H, B)
    rows = time_first(x, mask)
    bias = recurrence.input_bias(bias_ih, bias_hh)
    P[:, :GH] = torch.addmm(bias[:, None], rolled(weight_ih, H), rows.t()).view(GH, T, B).transpose(0, 1)
    steps_mask = None if mask is None else mask.t().contiguous()
    recurrence.steps(P, states, weight_hh, bias_hh, steps_mask)
    y = as_rows(states[1:]).view(B, T, H)
    if mask is not None:
        y.masked_fill_(~mask[..., None], 0)
    return y, states[-1].t().contiguous(), rows, P, states


def time_first(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """`x (B, T, D)` -> `(T·B, D)`, 0 under the mask: not even an infinity there counts."""
    x = x if mask is None else x.masked_fill(~mask[..., None], 0)
    return x.transpose(0, 1).reshape(-1, x.shape[-1])


def rolled(gates: torch.Tensor, H: int) -> torch.Tensor:
    """`(G·H, ...)` with the last gate first: of torch's r, z, n the order of `GruRecurrence`."""
    return gates if len(gates) == H else gates.roll(H, 0)


class Sequence(torch.autograd.Function):
    """`run_on_cpu`, with gradients."""

    @staticmethod
    def forward(ctx: Any, recurrence: Recurrence, reference: Reference, mask, x, h, *weights):
        y, last, *kept = forward(recurrence, mask, x, h, *weights)
        ctx.set_materialize_grads(False)
        ctx.recurrence, ctx.reference = recurrence, reference
        ctx.save_for_backward(mask, x, h, *weights, *kept)
        return y, last

    @staticmethod
    def backward(ctx: Any, *grads):
        mask, *inputs, rows, P, states = ctx.saved_tensors
        needed = ctx.needs_input_grad[3:]
        with torch.autocast("cpu", enabled=False):
            if torch.is_grad_enabled():  # a second derivative will be asked for
                found = by_reference(lambda x, h, *w: ctx.reference(x, h, w, mask), inputs, needed, grads)
                return None, None, None, *found
            return None, None, None, *backward(ctx.recurrence, mask, inputs, needed, rows, P, states, *grads)


def backward(recurrence: Recurrence, mask, inputs, needed, rows, P, states, y_grad, last_grad):
    """The gradients of `inputs`, `None` for those that are not `needed`."""
    x, _, weight_ih, weight_hh, *_ = inputs
    B, T, D = x.shape
    GH, H = weight_hh.shape
    h_grads = grads_of_outputs(states, mask, y_grad, last_grad)
    steps_mask = None if mask is None else mask.t().contiguous()
    grads, carried = recurrence.factors(P, states, steps_mask)
    transposed = weight_hh.t().contiguous()
    h_grad_of, grad_of, product_grad_of = h_grads.unbind(), grads.unbind(), grads[:, -GH:].unbind()
    for t in reversed(range(T)):
        h_grad, before, kept = h_grad_of[t + 1], h_grad_of[t], carried[t]
        grad_of[t].view(-1, H, B).mul_(h_grad)
        if t or needed[1]:
            if kept is not None:
                before.addcmul_(h_grad, kept)
            before.addmm_(transposed, product_grad_of[t])
    x_grad = weight_ih_grad = weight_hh_grad = bias_ih_grad = bias_hh_grad = None
    if needed[0] or any(needed[2:]):
        columns = grads.transpose(0, 1).reshape(-1, T * B)
        of_input, of_product = columns[:GH], columns[-GH:]
        if needed[0]:
            x_grad = (of_input.t() @ rolled(weight_ih, H)).view(T, B, D).transpose(0, 1)
        if needed[2]:
            weight_ih_grad = rolled_back(of_input @ rows, H)
        if needed[3]:
            weight_hh_grad = of_product @ states[:-1].transpose(0, 1).reshape(H, T * B).t()
        if needed[4]:
            bias_ih_grad = rolled_back(of_input.sum(1), H)
        if needed[5]:
            bias_hh_grad = of_product.sum(1)
    h_first_grad = h_grads[0].t().contiguous() if needed[1] else None
    return x_grad, h_first_grad, weight_ih_grad, weight_hh_grad, bias_ih_grad, bias_hh_grad


def grads_of_outputs(states, mask, y_grad, last_grad) -> torch.Tensor:
    """What the gradient of all h, like `states (T + 1, H, B)`, has from those of y `(B, T, H)` and of the last h."""
    H, B = states.shape[1:]
    T = len(states) - 1
    h_grads = torch.zeros_like(states)
    if y_grad is not None:
        y_grad = y_grad if mask is None else y_grad.masked_fill(~mask[..., None], 0)
        h_grads[1:].view(T * H, B).copy_(y_grad.reshape(B, T * H).t())
    if last_grad is not None:
        h_grads[-1] += last_grad.t()
    return h_grads


def rolled_back(gates: torch.Tensor, H: int) -> torch.Tensor:
    """The inverse of `rolled`."""
    return gates if len(gates) == H else gates.roll(-H, 0)


def by_reference(reference: Callable[..., tuple[torch.Tensor, ...]], inputs, needed, grads):
    """The gradients of `inputs`, with a graph of their own; `grads` are those of `reference(*inputs)`."""
    inputs = [t.view_as(t) for t in inputs]  # so that none depends on another
    outputs = reference(*inputs)
    given = [n for n, grad in enumerate(grads) if grad is not None]
    results, grads = [outputs[n] for n in given], [grads[n] for n in given]
    wanted = [t for t, n in zip(inputs, needed, strict=True) if n]
    found = iter(torch.autograd.grad(results, wanted, grads, create_graph=True, allow_unused=True))
    return [next(found) if n else None for n in needed]
