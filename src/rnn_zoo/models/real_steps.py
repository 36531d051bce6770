"""The real steps of each row to its front, and back: for what knows only rows that begin with them.

Sizes: `B` batch, `T` time, `D` features.
"""

import torch


class RealSteps:
    """Moves the real steps of each row to its front, in their order, and back.

    Args:
        mask: `(B, T)`, 1 on the real steps, wherever they stand; `None` for all of them.
    """

    def __init__(self, mask: torch.Tensor | None):
        self.mask = None if mask is None else mask.bool()
        self.lengths: torch.Tensor | None = None  # (B), how many there are
        if self.mask is not None:
            self.lengths = self.mask.sum(1)
            self.order = self.mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)  # (B, T)

    def to_front(self, x: torch.Tensor) -> torch.Tensor:
        """`x (B, T)` or `(B, T, D)` with the real steps first and zeros after them: not even an infinity under the mask
        counts."""
        if self.mask is None:
            return x
        return gather_time(x.masked_fill(~like(self.mask, x), 0), self.order)

    def back(self, x: torch.Tensor, fill: float = 0) -> torch.Tensor:
        """`x (B, T)` or `(B, T, D)`, whose real steps come first, with them in their places and `fill` elsewhere."""
        if self.mask is None:
            return x
        rank = (self.mask.cumsum(1) - 1).clamp(min=0)  # (B, T)
        return gather_time(x, rank).masked_fill(~like(self.mask, x), fill)


def like(mask: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """`mask (B, T)` with as many axes as `x (B, T)` or `(B, T, D)`."""
    return mask if x.dim() == 2 else mask[..., None]


def gather_time(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """`x (B, T)` or `(B, T, D)`, `index (B, N)` -> `x[b, index[b, n]]`, `(B, N)` or `(B, N, D)`."""
    return x.gather(1, index if x.dim() == 2 else index[..., None].expand(-1, -1, x.shape[-1]))


def is_real(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """`x (B, T, …)` -> which steps are among the first `lengths (B)` of their row, `(B, T)`."""
    return torch.arange(x.shape[1], device=x.device) < lengths[:, None]


def at_end(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """`x (B, T)` or `(B, T, D)` at each row's last real step, `(B)` or `(B, D)`; at the first for a row without any."""
    if lengths is None:
        return x[:, -1]
    return gather_time(x, (lengths - 1).clamp(min=0)[:, None]).squeeze(1)


def reverse(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """`x (B, T, D)` with each row's real steps, which come first, in reversed order."""
    if lengths is None:
        return x.flip(1)
    return gather_time(x, (lengths[:, None] - 1 - torch.arange(x.shape[1], device=x.device)).clamp(min=0))
