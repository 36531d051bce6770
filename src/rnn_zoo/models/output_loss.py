"""Large vocabularies: the loss of the next token without the scores of all tokens at once, the adaptive softmax.

Sizes: `N` positions, `H` hidden, `V` vocabulary.
"""

from typing import NoReturn

import torch
from torch import nn
from torch.nn import functional as F

from .modeling_rnn import outside
from .recurrent_stack import is_hindered

IGNORED = -100  # a label that does not count
# A chunk's scores stay in memory that is used again: measured on two CPU cores with H = 400, V = 33,278, this size has
# the speed of the plain way, half of it 0.9 of that.
POSITIONS = 256
# Below it the scores are small, and the plain way is as good.
LARGE = 10_000


class AdaptiveOutput(nn.Module):
    """The output layer of the adaptive softmax (Grave et al. 2017, "Efficient softmax approximation for GPUs"): each
    band of rarer words has a score of its own among the frequent ones, and its words share features, `DIVISOR` times
    fewer from band to band.

    Args:
        in_features: `H`.
        out_features: `V`, ids sorted by how frequent their words are.
        cutoffs: the first id of each band.
    """

    DIVISOR = 4.0

    def __init__(self, in_features: int, out_features: int, cutoffs: list[int]):
        super().__init__()
        self.out_features = out_features
        self.bands = nn.AdaptiveLogSoftmaxWithLoss(in_features, out_features, cutoffs, self.DIVISOR)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """`(..., H)` -> log-probabilities of all tokens, `(..., V)`."""
        return self.bands.log_prob(hidden.flatten(0, -2)).unflatten(0, hidden.shape[:-1])

    def sum_of_nats(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """As the function of this name; only bands in which there is a target are computed."""
        counts = targets != IGNORED
        return -self.bands(hidden[counts], targets[counts]).output.sum()


def sum_of_nats(hidden: torch.Tensor, output: nn.Module, targets: torch.Tensor) -> torch.Tensor:
    """-Σ log softmax(W h + b)[target], in chunks of positions where torch can (from 2.12 on).

    Args:
        hidden: `(N, H)`.
        output: of W and b: a linear layer `H` -> `V`, or an `AdaptiveOutput`.
        targets: `(N)`, -100 where none counts.

    Raises:
        IndexError, RuntimeError: for targets outside the vocabulary; `refuse_targets` makes a sentence of it.
    """
    if isinstance(output, AdaptiveOutput):
        return output.sum_of_nats(hidden, targets)
    if not isinstance(output, nn.Linear) or not in_chunks(output):
        return F.cross_entropy(output(hidden).float(), targets, ignore_index=IGNORED, reduction="sum")
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=POSITIONS, acc_policy="compact")
    return F.linear_cross_entropy(
        hidden,
        output.weight,
        targets,
        linear_bias=output.bias,
        reduction="sum",
        ignore_index=IGNORED,
        options=options,
    )


def in_chunks(output: nn.Linear) -> bool:
    """Whether the layer is nothing but its two parameters, in full precision, and torch knows the way."""
    if not hasattr(torch.nn, "LinearCrossEntropyOptions") or type(output) is not nn.Linear or is_hindered(output):
        return False
    weight = output.weight
    if torch.compiler.is_compiling() or torch.is_autocast_enabled(weight.device.type):
        return False
    return type(weight) is nn.Parameter and weight.dtype == torch.float32


def refuse_targets(error: Exception, targets: torch.Tensor, size: int) -> NoReturn:
    """Raises `IndexError` for the first of `targets (B, T)` outside a vocabulary of `size`, or `error` again."""
    known = targets.masked_fill(targets == IGNORED, 0)
    if not ((known < 0) | (known >= size)).any():
        raise error
    raise IndexError(outside("labels", known, size)) from error
