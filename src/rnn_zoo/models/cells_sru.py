"""The simple recurrent unit: each number of its memory waits for itself alone.

Sizes: `B` batch, `T` time, `D` input, `H` hidden.
"""

from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .scan import ScannedCell, reverse_scan, widened


class SruCell(ScannedCell):
    """The simple recurrent unit (Lei, Zhang, Wang, Dai, Artzi 2018, "Simple Recurrent Units for Highly Parallelizable
    Recurrence", section 3).

    f_t = σ(W_f x_t + v_f ⊙ c_{t-1} + b_f)
    c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ (W x_t)
    r_t = σ(W_r x_t + v_r ⊙ c_{t-1} + b_r)
    h_t = r_t ⊙ c_t + (1 - r_t) ⊙ α x_t, y_t = h_t

    Where D and H differ, a fourth matrix stands before the last x_t. α is √3, as in the paper for biases b_r of 0.

    c_t is not linear in c_{t-1}, so its steps are taken one by one; but their gradients are a linear scan:
    ∂c_t/∂c_{t-1} = f_t + (c_{t-1} - W x_t) ⊙ f_t ⊙ (1 - f_t) ⊙ v_f.
    """

    state_names = ("c",)
    alpha: ClassVar[float] = 3**0.5

    def __init__(self, input_size: int, hidden_size: int, **shares: float):
        super().__init__(input_size, hidden_size, **shares)
        matrices = 3 if input_size == hidden_size else 4
        self.weight_ih = nn.Parameter(torch.empty(matrices * hidden_size, input_size))  # f, r, W, that of the last x_t
        self.bias_ih = nn.Parameter(torch.empty(2 * hidden_size))
        self.weight_c = nn.Parameter(torch.empty(2, hidden_size))  # v
        self.init_weights(forget_gate_bias=0.0, recurrent_init="uniform")

    def project(self, x):
        z = F.linear(x, self.weight_ih, F.pad(self.bias_ih, (0, len(self.weight_ih) - len(self.bias_ih))))
        return z if self.input_size != self.hidden_size else torch.cat([z, x.to(z.dtype)], -1)

    def recur(self, z, state, weights):
        (c,) = state
        f, _, x, _ = widened(z).chunk(4, -1)
        new = torch.lerp(x, c.to(x.dtype), torch.sigmoid(f + self.weight_c[0] * c))
        return self.highway(z, c, new), (new.to(c.dtype),)

    def highway(self, z: torch.Tensor, before: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """`z (..., 4·H)`, the memory before a step and after it, `(..., H)` -> `y (..., H)`."""
        _, r, _, x = widened(z).chunk(4, -1)
        return torch.lerp(self.alpha * x, c, torch.sigmoid(r + self.weight_c[1] * before)).to(z.dtype)

    def states(self, z, h, real):
        f, _, x, _ = widened(z).chunk(4, -1)
        if real is not None:
            f = f.masked_fill(~real[..., None], float("inf"))  # nothing is forgotten
        h, v = h.to(x.dtype), self.weight_c[0].to(x.dtype)
        if not torch.compiler.is_compiling():
            return SelfGatedMemory.apply(f, x, v, h)
        states = []
        for f_t, x_t in zip(f.unbind(), x.unbind(), strict=True):
            h = torch.lerp(x_t, h, torch.sigmoid(f_t + v * h))
            states.append(h)
        return torch.stack(states)

    def all_outputs(self, z, h, before):
        return self.highway(z, torch.cat([before[None].to(h.dtype), h[:-1]]), h)

    def weights_of_narrower(self, narrow, first):
        """Where only this cell has the fourth matrix, it hands on the inputs of the other."""
        if len(narrow.get_parameter("weight_ih")) == len(self.weight_ih):
            return super().weights_of_narrower(narrow, first)
        weight = torch.zeros_like(self.weight_ih)
        weight[: 3 * self.hidden_size, first : first + narrow.input_size] = narrow.get_parameter("weight_ih")
        weight[3 * self.hidden_size :, first : first + narrow.input_size].fill_diagonal_(1)
        return weight, narrow.get_parameter("bias_ih"), narrow.get_parameter("weight_c")

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """Weights uniform in ±√(3/D), as in the paper, v in ±√(3/2), as in its code; biases 0, that of the forget gate
        `forget_gate_bias`."""
        self.init_input(self.weight_ih, self.bias_ih, forget_gate_bias, bound=(3 / self.input_size) ** 0.5)
        init.uniform_(self.weight_c, -(1.5**0.5), 1.5**0.5)


class SelfGatedMemory(torch.autograd.Function):
    """c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ x_t with f_t = σ(z_t + v ⊙ c_{t-1}), for all steps."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, x: torch.Tensor, v: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """`z (T, B, H)`, `x (T, B, H)`, `v (H)`, `c (B, H)` -> all c_t `(T, B, H)`."""
        states, before = torch.empty_like(x, memory_format=torch.contiguous_format), c
        for z_t, x_t, after in zip(z.unbind(), x.unbind(), states.unbind(), strict=True):
            before = torch.lerp(x_t, before, torch.addcmul(z_t, v, before).sigmoid_(), out=after)
        ctx.save_for_backward(z, x, v, c, states)
        return states

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor):
        z, x, v, c, states = ctx.saved_tensors
        before = torch.cat([c[None], states[:-1]])
        f = torch.sigmoid(z + v * before)
        slope = (before - x) * f * (1 - f)  # of c_t, by the pre-activation of f_t
        a = f + slope * v
        c_grad = reverse_scan(a, grad)
        z_grad = c_grad * slope
        return z_grad, c_grad * (1 - f), (z_grad * before).sum((0, 1)), a[0] * c_grad[0]
