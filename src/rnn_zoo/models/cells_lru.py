"""The linear recurrent unit, a scan of complex numbers.

Sizes: `B` batch, `T` time, `D` input, `H` hidden.
"""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .scan import ScannedCell, widened


class LruCell(ScannedCell):
    """The linear recurrent unit (Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu, De 2023, "Resurrecting Recurrent
    Neural Networks for Long Sequences", section 3): H complex numbers that turn and shrink, the same way at each step.

    λ = exp(-exp(ν) + i exp(θ))
    h_t = λ ⊙ h_{t-1} + exp(γ) ⊙ (B x_t)
    y_t = Re(C h_t) + D x_t

    λ, B, C and h are complex; in states and parameters a complex number is a pair of real ones, so that every format
    can hold it. D is a matrix here, as x and y may differ in size; the paper's is diagonal.
    """

    least: ClassVar[float] = 0.0  # |λ| at the beginning, and the largest angle: the defaults of the paper's appendix A
    largest: ClassVar[float] = 1.0
    angle: ClassVar[float] = 6.28

    def __init__(self, input_size: int, hidden_size: int, **shares: float):
        super().__init__(input_size, hidden_size, **shares)
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size))  # Re B, Im B, D
        self.weight_out = nn.Parameter(torch.empty(hidden_size, hidden_size, 2))  # Re C, -Im C
        self.nu = nn.Parameter(torch.empty(hidden_size))
        self.theta = nn.Parameter(torch.empty(hidden_size))
        self.gamma = nn.Parameter(torch.empty(hidden_size))
        self.init_weights(forget_gate_bias=0.0, recurrent_init="uniform")

    def state_shapes(self):
        return ((self.hidden_size, 2),)

    def project(self, x):
        return F.linear(x, self.weight_ih)

    def parts(self, z: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """`z (..., 3·H)` -> real and imaginary parts of λ `(H)` and of exp(γ) ⊙ (B x) `(..., H)`."""
        size, turn = torch.exp(-torch.exp(self.nu)), torch.exp(self.theta)
        scale = torch.exp(self.gamma)
        real, imaginary, _ = z.chunk(3, -1)
        return size * torch.cos(turn), size * torch.sin(turn), scale * real, scale * imaginary

    def coefficients(self, z):
        a_real, a_imaginary, b_real, b_imaginary = self.parts(z)
        b = torch.complex(b_real, b_imaginary)
        return torch.complex(a_real, a_imaginary).expand_as(b), b

    def recur(self, z, state, weights):
        (h,) = state
        a_real, a_imaginary, b_real, b_imaginary = self.parts(widened(z))
        real, imaginary = h.unbind(-1)
        new_real = a_real * real - a_imaginary * imaginary + b_real
        new = torch.stack([new_real, a_real * imaginary + a_imaginary * real + b_imaginary], -1)
        return self.output(z, new).to(z.dtype), (new.to(h.dtype),)

    def states(self, z, h, real):
        return torch.view_as_real(super().states(z, torch.view_as_complex(widened(h).contiguous()), real))

    def output(self, z, h):
        return F.linear(h.flatten(-2), self.weight_out.flatten(1)) + z.chunk(3, -1)[2]

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """As in the paper's appendix A: |λ|² and the angle uniform, B and C normal of the size that keeps the size of
        their inputs, exp(γ) = √(1 - |λ|²). D is uniform in ±1/√H. There is no forget gate."""
        H = self.hidden_size
        if not getattr(self.weight_ih, "_is_hf_initialized", False):
            nn.init.normal_(self.weight_ih.data[: 2 * H], std=(2 * self.input_size) ** -0.5)
            nn.init.uniform_(self.weight_ih.data[2 * H :], -(H**-0.5), H**-0.5)
        init.normal_(self.weight_out, std=H**-0.5)
        size = torch.empty_like(self.nu.data).uniform_(self.least**2, self.largest**2).clamp(1e-6, 1 - 1e-6)  # |λ|²
        for parameter, value in (
            (self.nu, torch.log(-0.5 * torch.log(size))),
            (self.theta, torch.log(torch.empty_like(size).uniform_(1e-6, 1) * self.angle)),
            (self.gamma, 0.5 * torch.log(1 - size)),
        ):
            if not getattr(parameter, "_is_hf_initialized", False):
                parameter.data = value
