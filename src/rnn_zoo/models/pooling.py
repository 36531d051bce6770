"""Pooling: from the states of all steps of a text to one vector.

Sizes: `B` batch, `T` time, `C` features of a state, `A` features that attention compares in, `R` hops of attention.

All kinds share the contract::

    vector, weights = pooling(y: (B, T, C), mask: (B, T) or None)     # (B, size), (B, R, T) or None

Where the mask is 0 nothing counts, whatever stands there; a row without real steps has the vector 0. A new kind is one
subclass and one line in `POOLINGS`.
"""

import torch
from torch import nn

from .attention import Projection


class Pooling(nn.Module):
    """What all kinds share.

    Args:
        config: with `output_size`, which is `C`, `bidirectional` and `reads_backward`.

    Attributes:
        size: features of the vector.
        hops: `R`, how many weights each step has; 0 for a kind without attention.
    """

    hops = 0

    def __init__(self, config):
        super().__init__()
        self.size: int = config.output_size

    def forward(self, y: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See the module's contract."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return str(self.size)


class LastPooling(Pooling):
    """What each direction knows when it has read all: the forward one at the last real step, the backward one, whose
    features are the second half of a bidirectional state, at the first."""

    def __init__(self, config):
        super().__init__(config)
        # Of a state, how many features know what is before it: the others know what follows.
        self.forward_size: int = 0 if config.reads_backward else self.size // (2 if config.bidirectional else 1)

    def forward(self, y, mask):
        if y.shape[1] == 0:
            return y.sum(1), None
        steps = torch.arange(y.shape[1], device=y.device)
        real = torch.ones_like(y[..., 0], dtype=torch.bool) if mask is None else mask.bool()
        last = torch.where(real, steps, -1).amax(1)  # (B)
        rows = torch.arange(y.shape[0], device=y.device)  # `len` would pin an exported program to one batch size
        ends = y[rows, last.clamp(min=0)]
        if self.forward_size < self.size:
            first = real.to(torch.uint8).argmax(1)
            begins = y[rows, first]
            ends = torch.cat([ends[:, : self.forward_size], begins[:, self.forward_size :]], -1)
        return ends.masked_fill((last < 0)[:, None], 0), None


class MeanPooling(Pooling):
    """The mean over the real steps."""

    def forward(self, y, mask):
        if mask is None:
            return y.sum(1) / max(y.shape[1], 1), None
        real = mask.bool()[..., None]  # (B, T, 1)
        return y.masked_fill(~real, 0).sum(1) / real.sum(1).clamp(min=1), None


class MaxPooling(Pooling):
    """The greatest value of each feature over the real steps."""

    def forward(self, y, mask):
        if y.shape[1] == 0:
            return y.sum(1), None
        if mask is None:
            return y.amax(1), None
        real = mask.bool()
        most = y.masked_fill(~real[..., None], torch.finfo(y.dtype).min).amax(1)
        return most.masked_fill(~real.any(1, keepdim=True), 0), None


class ConcatPooling(Pooling):
    """The last state, the mean and the maximum side by side (Howard and Ruder 2018, ULMFiT, section 3.3)."""

    def __init__(self, config):
        super().__init__(config)
        self.kinds = nn.ModuleList([LastPooling(config), MeanPooling(config), MaxPooling(config)])
        self.size = 3 * config.output_size

    def forward(self, y, mask):
        return torch.cat([kind(y, mask)[0] for kind in self.kinds], -1), None


class SelfAttentivePooling(Pooling):
    """`R` weighted means side by side, each hop with weights of its own (Lin et al. 2017, equations 5 to 7).

    A = softmax_t(W_2 tanh(W_1 y_t + b)), vector = [A_1 y; ...; A_R y]

    The paper has no bias.

    Args:
        config: also with `pooling_attention_size` (`A`; `None` means `C`) and `attention_hops` (`R`).
    """

    def __init__(self, config):
        super().__init__(config)
        self.hops = self.number_of_hops(config)
        features = config.pooling_attention_size or config.output_size
        self.key_projection = Projection(config.output_size, features)
        self.scores = Projection(features, self.hops, bias=False)
        self.size = self.hops * config.output_size

    @staticmethod
    def number_of_hops(config) -> int:
        return config.attention_hops

    def forward(self, y, mask):
        if mask is not None:  # before anything is computed of it, or a NaN would reach the gradients
            y = y.masked_fill(~mask.bool()[..., None], 0)
        scores = self.scores(torch.tanh(self.key_projection(y))).transpose(1, 2)  # (B, R, T)
        if mask is None:
            weights = scores.softmax(-1)
        else:
            real = mask.bool()[:, None]  # (B, 1, T)
            weights = scores.masked_fill(~real, torch.finfo(scores.dtype).min).softmax(-1) * real.to(scores.dtype)
        return (weights @ y).flatten(1), weights


class AttentionPooling(SelfAttentivePooling):
    """The mean weighted by additive attention to a learnt query (Yang et al. 2016, HAN, equations 5 to 7): one hop."""

    @staticmethod
    def number_of_hops(config) -> int:
        return 1


def hop_penalty(weights: torch.Tensor) -> torch.Tensor:
    """‖A Aᵀ - I‖² of each row, which is small where the hops look at different steps (Lin et al. 2017, equation 8).

    Args:
        weights: A, `(B, R, T)`.

    Returns:
        `(B)`.
    """
    product = weights @ weights.transpose(1, 2)
    return (product - torch.eye(weights.shape[1], dtype=weights.dtype, device=weights.device)).square().sum((1, 2))


POOLINGS: dict[str, type[Pooling]] = {
    "last": LastPooling,
    "mean": MeanPooling,
    "max": MaxPooling,
    "concat": ConcatPooling,
    "attention": AttentionPooling,
    "self_attentive": SelfAttentivePooling,
}
