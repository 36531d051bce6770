"""Weights of lower precision for single steps on a CPU: fewer bytes to be read for each token.

Sizes: `B` batch, `D` features of the input, `P` rows of a matrix.

Measured for the three matrices (2048, 512) of a token (AMD EPYC with AVX2, on one thread and on two, the least time):
float32 410 and 202 µs, float16 216 and 179, int8 244 and 152. bfloat16 takes 643 and 340 where the processor has no
instructions for it: it is no choice here.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

PRECISIONS = ("float32", "float16", "int8")
BLOCK = 64  # the kernel for int8 wants whole blocks of rows and of features


def refusal_of(precision: str) -> str | None:
    """The sentence for a precision that this processor has no kernel for."""
    if precision == "float16" and "fbgemm" not in torch.backends.quantized.supported_engines:
        return "weights='float16': no kernel for it (FBGEMM) on this processor; use float32 or int8"
    return None


def packed(weight: torch.Tensor, precision: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The product with a weight of lower precision: `x (B, D)` -> x Wᵀ, `(B, P)`, both float32.

    float16: the numbers of W rounded, products in float32 (FBGEMM). int8: 127 steps on each side of 0 for a row of W,
    up to its largest number; x and the product are rounded to bfloat16.

    Args:
        weight: `(P, D)`, float32.
        precision: `float16` or `int8`.
    """
    weight = weight.detach()
    if precision == "float16":
        packed_weight = torch.ops.quantized.linear_prepack_fp16(weight, None)
        return lambda x: torch.ops.quantized.linear_dynamic_fp16(x, packed_weight)
    P, D = weight.shape
    scales = (weight.abs().amax(1) / 127).bfloat16()
    steps = weight / scales.float().clamp(min=torch.finfo(torch.float32).tiny)[:, None]
    more = -D % BLOCK, -P % BLOCK
    rounded = F.pad(steps.round().clamp(-127, 127).to(torch.int8), (0, more[0], 0, more[1]))
    scales = F.pad(scales, (0, more[1]))

    def product(x: torch.Tensor) -> torch.Tensor:
        x = x.bfloat16()
        y = torch._weight_int8pack_mm(F.pad(x, (0, more[0])) if more[0] else x.contiguous(), rounded, scales)
        return y[:, :P].float()

    return product


class PackedWeight(torch.Tensor):
    """A weight `(P, D)` whose product, `F.linear`, is one of lower precision, as are its pieces'; all else reads
    the weight itself, whose memory it shares."""

    precision: str
    product: Callable[[torch.Tensor], torch.Tensor] | None
    pieces: dict[Any, Any]

    @classmethod
    def of(cls, weight: torch.Tensor, precision: str) -> "PackedWeight":
        """`weight (P, D)`, packed as soon as it is multiplied."""
        own = weight.detach().as_subclass(cls)
        own.precision, own.product, own.pieces = precision, None, {}
        return own

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), options=None):
        options = options or {}
        with torch._C.DisableTorchFunctionSubclass():
            if function is F.linear and len(arguments) > 1 and isinstance(arguments[1], cls):
                return arguments[1].times(*arguments[:1], *arguments[2:], **options)
            if function in PIECES and isinstance(arguments[0], cls):
                key = function, repr(arguments[1:]), repr(options)
                if key not in arguments[0].pieces:
                    arguments[0].pieces[key] = wrapped(function(*arguments, **options), arguments[0].precision)
                return arguments[0].pieces[key]
            return function(*arguments, **options)

    def times(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """x Wᵀ + bias: `(..., D)` -> `(..., P)`."""
        if self.product is None:
            self.product = packed(self.as_subclass(torch.Tensor), self.precision)
        y = self.product(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], -1)
        return y if bias is None else y + bias

    def product_with(self, h: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """As `RecurrentWeight.product`."""
        return self.times(h)


PIECES = (torch.Tensor.chunk, torch.chunk, torch.Tensor.split, torch.split, torch.Tensor.__getitem__)


def wrapped(pieces: Any, precision: str) -> Any:
    """Pieces of a weight, each packed by itself."""
    if isinstance(pieces, torch.Tensor):
        return PackedWeight.of(pieces, precision) if pieces.dim() == 2 else pieces
    return type(pieces)(wrapped(piece, precision) for piece in pieces)
