"""Batches that hold rows of nearly one length, as a part of a training."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler, SequentialSampler
from transformers import TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler

from ..data.length_batches import LengthSampler
from .arguments import rows_a_step
from .parts import Part


def lengths_of(rows: Any) -> np.ndarray:
    """Of each row the number of its tokens, `(N)`."""
    return lengths_in(rows, "input_ids")


def lengths_of_pairs(rows: Any) -> np.ndarray:
    """Of each row first the number of tokens of its target, and then of its source, `(N, 2)`."""
    return np.stack([lengths_in(rows, "labels"), lengths_in(rows, "input_ids")], axis=-1)


def lengths_in(rows: Any, column: str) -> np.ndarray:
    """The lengths of the lists of a column, `(N)`: of a `datasets.Dataset` without reading them."""
    import datasets
    import pyarrow.compute

    if not isinstance(rows, datasets.Dataset):
        return np.array([len(values) for values in rows[column]], dtype=np.int64)
    lengths = pyarrow.compute.list_value_length(rows.data.column(column)).to_numpy()
    return lengths if rows._indices is None else lengths[rows._indices.column(0).to_numpy()]


def seed_of_rows(args: TrainingArguments) -> int:
    """By which the order of the rows is drawn."""
    return args.seed if args.data_seed is None else args.data_seed


class SeededOrder(LengthGroupedSampler):
    """The order of `group_by_length`, drawn from seed and epoch: the library draws it from the random numbers of a
    process, which are others in each process, and others again when a run goes on.

    Args:
        sampler: the library's.
        batch_size: rows of one optimizer step, of which the lengths are nearly alike.
        seed: any integer.

    Attributes:
        epoch: which order comes next.
    """

    def __init__(self, sampler: LengthGroupedSampler, batch_size: int, seed: int):
        super().__init__(batch_size, lengths=sampler.lengths)
        self.seed = seed
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        self.generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return super().__iter__()


class LengthBatches(Part):
    """Whole batches of rows of nearly one length are shuffled, so that little is computed for padding.

    The rows of an optimizer step are the same however many processes share it, and a resumed run goes on in the same
    order. A `train_sampling_strategy` other than the default is left to `Trainer`. Evaluations keep the order of the
    rows, in which metrics have their references, and which `group_by_length` would change.

    Args:
        lengths: gives of the rows what those of one batch have nearly alike.

    Attributes:
        sampler: the order of the training rows; `None` where it is left to `Trainer`.
    """

    key = "train_sampling_strategy"

    def __init__(self, lengths: Callable[[Any], Sequence | np.ndarray] = lengths_of):
        self.lengths = lengths
        self.sampler: LengthSampler | None = None

    def join(self, trainer):
        super().join(trainer)
        args, rows = trainer.args, trainer.train_dataset
        if rows is not None and args.train_sampling_strategy == "random":
            self.sampler = LengthSampler(self.lengths(rows), rows_a_step(args), seed_of_rows(args))

    def train_sampler(self) -> Sampler | None:
        return self.sampler

    def eval_sampler(self, rows):
        return SequentialSampler(rows)

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Also in the middle of a run."""
        if self.sampler is not None:
            self.sampler.epoch = int(state.epoch or 0)
