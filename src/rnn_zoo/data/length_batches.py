"""Batches of rows of nearly one length, so that little is padding.

Sizes: `N` rows.
"""

import random
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler

BATCH_TOKENS = 1 << 14  # texts of thousands of words would not fit into memory a hundred at a time


class LengthSampler(Sampler[int]):
    """An order of rows in which each `batch_size` neighbours are of nearly one length.

    Rows are shuffled, sorted by length, cut into batches, and the batches shuffled. The rows that would be an
    incomplete batch, others in each epoch, are left out: so however many processes share a batch, they see the same
    rows. The order depends on nothing but the seed and the epoch: training that is resumed sees the same batches.

    Args:
        lengths: `(N)`, numbers, or tuples of which the first counts most.
        batch_size: rows of one optimizer step: those of a device × processes × accumulation steps.
        seed: any integer.

    Attributes:
        epoch: which order comes next. There is no `set_epoch`, which a loader would call with a count of its own: after
            resuming it begins again.
    """

    def __init__(self, lengths: Sequence[Any] | np.ndarray, batch_size: int, seed: int = 0):
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: must be at least 1")
        values = np.asarray(lengths)
        self.lengths = values if values.ndim == 2 else values[:, None]  # (N, numbers of a row)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        N = len(self.lengths)
        return N - N % self.batch_size if self.batch_size < N else N

    def __iter__(self) -> Iterator[int]:
        chance = random.Random(f"{self.seed} {self.epoch}")
        mixed = array("q", range(len(self.lengths)))
        chance.shuffle(mixed)
        order = np.array(mixed[: len(self)])
        order = order[np.lexsort(self.lengths[order].T[::-1])]  # which leaves equal ones as they are
        starts = array("q", range(0, len(order), self.batch_size))
        chance.shuffle(starts)
        return (row for start in starts for row in order[start : start + self.batch_size].tolist())


def longest_first(lengths: Sequence[int] | np.ndarray) -> list[int]:
    """The rows by falling length: for evaluation, where the largest batch then comes first."""
    return np.argsort(-np.asarray(lengths), kind="stable").tolist()


def batches_by_length(order: Sequence[int], lengths: Sequence[int], batch_size: int) -> Iterator[Sequence[int]]:
    """Rows in `order`, by falling length, in parts of at most `batch_size` rows and about `BATCH_TOKENS` tokens."""
    start = 0
    while start < len(order):
        rows = min(batch_size, max(1, BATCH_TOKENS // max(lengths[order[start]], 1)))
        yield order[start : start + rows]
        start += rows
