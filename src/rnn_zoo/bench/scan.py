"""The scan of scanned cells: h_t = a_t ⊙ h_{t-1} + b_t, forward and backward."""

from collections.abc import Iterator

import torch

from ..models.scan import linear_loop, linear_scan
from .pairs import Comparison, Sizes, with_gradients


def comparisons(sizes: Sizes) -> Iterator[Comparison]:
    shapes = [(sizes.batch, sizes.length, sizes.hidden), (1, 16 * sizes.length, max(1, sizes.hidden // 8))]
    for B, T, H in shapes:
        a = torch.rand(B, T, H, device=sizes.device, requires_grad=True)
        b = torch.randn(B, T, H, device=sizes.device, requires_grad=True)
        h = torch.randn(B, H, device=sizes.device, requires_grad=True)
        copies = [torch.empty_like(a) for _ in range(3)]

        def move(a=a, copies=copies) -> None:
            """The numbers that the two passes must read and write: 3 T forward, 5 T backward."""
            for n in range(4):
                copies[n % 3].copy_(a.detach())

        yield Comparison(
            f"scan, B = {B}, T = {T}, H = {H}",
            {
                "plain loop": with_gradients(lambda a=a, b=b, h=h: linear_loop(a, b, h).sum(), [a, b, h]),  # type: ignore[misc]
                "scan": with_gradients(lambda a=a, b=b, h=h: linear_scan(a, b, h).sum(), [a, b, h]),  # type: ignore[misc]
                "its numbers, copied": move,
            },
            "plain loop",
            B * T,
        )
