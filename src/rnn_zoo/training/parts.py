"""What a part of a training is: something that goes on beside its plain steps, and that a task puts on a list."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainingArguments

if TYPE_CHECKING:
    from .run_trainer import RunTrainer

# Takes a model and a batch; returns the loss and the model's outputs.
Compute = Callable[[torch.nn.Module, dict[str, Any]], tuple[torch.Tensor, Any]]


class Part(TrainerCallback):
    """One thing that a training does beside its plain steps: an order of rows, groups of the optimizer, a schedule, a
    regularizer.

    A part is a callback, so it can act at every event of a `Trainer`; the methods here are what a callback cannot do.
    Each does nothing by default. A `RunTrainer` asks its parts in the order of their list.

    Attributes:
        key: the key of a recipe that asks for it, by which sentences and the table of `together.py` name it; `None` for
            what goes with everything.
        trainer: the one that it is a part of.
    """

    key: ClassVar[str | None] = None
    trainer: RunTrainer

    def arrange(self, args: TrainingArguments) -> None:
        """Changes settings that `Trainer` reads when it is made."""

    def join(self, trainer: RunTrainer) -> None:
        """Belongs to a trainer from here on, whose model and settings are there, and which has prepared nothing yet."""
        self.trainer = trainer

    # ---- rows ----
    def train_sampler(self) -> Sampler | None:
        """The order of the training rows; `None`: that of another part, or of `Trainer`."""
        return None

    def eval_sampler(self, rows: Any) -> Sampler | None:
        """The order of rows that are measured; `None`: as above."""
        return None

    # ---- a step ----
    def loss(self, compute: Compute, model: torch.nn.Module, inputs: dict[str, Any]) -> tuple[torch.Tensor, Any]:
        """The loss of a batch, and the model's outputs.

        Args:
            compute: what they are without this part.
            model: wrapped for several devices.
            inputs: of the model, with its labels.
        """
        return compute(model, inputs)

    def asks_to_stop(self) -> int:
        """Why this process wants the training to stop after this step: a number above 0, of which the greatest counts
        for all; 0 if it does not."""
        return 0

    def arrange_groups(self, optimizer: torch.optim.Optimizer) -> None:
        """Changes the groups of parameters of an optimizer that is new."""

    def schedule(self, optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler | None:
        """The learning rates of a training of so many steps; `None`: as another part or `Trainer` has them."""
        return None

    # ---- evaluations and checkpoints ----
    def measured(self) -> AbstractContextManager:
        """Around an evaluation while the training goes on."""
        return nullcontext()

    def save(self, folder: Path) -> None:
        """Writes what a run needs to go on, in every process."""

    def load(self, folder: Path) -> None:
        """Reads what `save` has written, before the run goes on.

        Raises:
            UserError: if it is not there.
        """
