"""A hidden-to-hidden matrix while one sequence is run, and its gradient as one product for all steps.

Sizes: `B` batch, `T` time, `H` hidden, `P` rows of the matrix (`G·H` with `G` gates).

Autograd would add T products `(P, B) (B, H)` to the gradient of the matrix, each of them bound by the memory that it
reads and writes, and not by arithmetic. Here each step only notes its two factors, and all are multiplied at once:

    ∂L/∂W = Σ_t g_tᵀ h_{t-1} = [g_1 … g_T]ᵀ [h_0 … h_{T-1}]
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init


class RecurrentWeight:
    """W of one sequence, to be called at each of its steps: `W(h) = h Wᵀ`, `(B, H)` -> `(B, P)`.

    Args:
        weight: `(P, H)`.
        keep: `(B, H)`, 0 for the features of h that are dropped at all steps of a row; `None`: all are kept.
    """

    __slots__ = ("keep", "product", "weight")

    def __init__(self, weight: torch.Tensor, keep: torch.Tensor | None = None):
        self.weight = weight
        self.keep = keep
        self.product: Any = F.linear

    def __call__(self, h: torch.Tensor) -> torch.Tensor:
        return self.product(self.kept(h), self.weight)

    def kept(self, h: torch.Tensor) -> torch.Tensor:
        """The features of h that are not dropped."""
        return h if self.keep is None else h * self.keep

    def by_itself(self) -> "RecurrentWeight":
        """The same, sharing no memory with another part of one parameter."""
        return self if isinstance(self.weight, nn.Parameter) else type(self)(self.weight.clone(), self.keep)

    def for_many_steps(self) -> "RecurrentWeight":
        """The same, so that the gradient of W is one product for all steps; where that can be had."""
        weight = self.weight
        if not (torch.is_grad_enabled() and weight.requires_grad) or torch.compiler.is_compiling():
            return self
        if torch.is_autocast_enabled(weight.device.type):
            weight = weight.to(torch.get_autocast_dtype(weight.device.type))
        many, factors = type(self)(weight, self.keep), Factors()
        token = WeightGradient.apply(weight, factors)
        many.product = lambda h, weight: StepProduct.apply(h.to(weight.dtype), weight, token, factors)
        return many


class BlockDiagonalWeight(RecurrentWeight):
    """W of `N` blocks, each of which sees `H/N` features of h: `W(h)` is `(B, H)` -> `(N, B, P)`.

    Args:
        weight: `(N, P, H/N)`.
        keep: `(B, H)`.
    """

    __slots__ = ()

    def __init__(self, weight: torch.Tensor, keep: torch.Tensor | None = None):
        super().__init__(weight, keep)
        self.product = products_of_blocks

    def kept(self, h: torch.Tensor) -> torch.Tensor:
        blocks = self.weight.shape[0]
        return super().kept(h).unflatten(-1, (blocks, -1)).transpose(0, 1)  # (N, B, H/N)


def products_of_blocks(h: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`h (N, B, H/N)`, `weight (N, P, H/N)` -> `(N, B, P)`."""
    return torch.bmm(h, weight.transpose(1, 2))


class Factors(list):
    """Of each product of the sequence whose gradient was computed: in which backward pass, g and h."""


class WeightGradient(torch.autograd.Function):
    """A token that all products of a sequence depend on: so its backward runs after all of theirs."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, factors: Factors) -> torch.Tensor:
        ctx.factors = factors
        return weight.new_zeros(())

    @staticmethod
    def backward(ctx: Any, _):
        this = torch._C._current_graph_task_id()  # what an earlier pass to other leaves has left does not count
        pairs = [(g, h) for task, g, h in ctx.factors if task == this]
        ctx.factors.clear()
        if not pairs:
            return None, None
        grads, inputs = zip(*pairs, strict=True)
        return torch.cat(grads, -2).mT @ torch.cat(inputs, -2), None


class StepProduct(torch.autograd.Function):
    """`h (B, H)`, `weight (P, H)` -> h Wᵀ, `(B, P)`; or all three with an axis for blocks in front."""

    @staticmethod
    def forward(ctx: Any, h: torch.Tensor, weight: torch.Tensor, token: torch.Tensor, factors: Factors):
        ctx.save_for_backward(h, weight)
        ctx.factors = factors
        return h @ weight.mT

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor):
        h, weight = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative will be asked for
            return grad @ weight, grad.mT @ h, None, None
        ctx.factors.append((torch._C._current_graph_task_id(), grad, h))
        return grad @ weight, None, grad.new_zeros(()), None


def fill_recurrent(weight: torch.Tensor, bound: float, recurrent_init: str) -> None:
    """Fills a hidden-to-hidden matrix that no checkpoint has filled.

    Args:
        weight: `(P, H)`, or `(N, P, H)` in blocks.
        bound: of the `uniform` weights.
        recurrent_init: `orthogonal`, a square of its own for each `H` rows (Saxe et al. 2014), or `uniform`.
    """
    if recurrent_init == "uniform":
        init.uniform_(weight, -bound, bound)
    elif not getattr(weight, "_is_hf_initialized", False) and not weight.is_meta:
        # A slice of a loaded parameter does not know that it was loaded: ask the whole one first.
        for square in weight.data.flatten(0, -2).split(weight.shape[-1]):
            nn.init.orthogonal_(square)
