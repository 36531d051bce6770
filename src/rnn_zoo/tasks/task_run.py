"""What a run has to know of a task: its data, its tokenizer, its model, its trainer, its numbers.

Each task has a subclass, which its `Task` names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from transformers import PreTrainedTokenizerBase

from ..errors import UserError
from ..models.modeling_causal_lm import RnnForCausalLM
from ..models.modeling_rnn import RnnPreTrainedModel
from ..training.parts import Part
from ..training.run_trainer import RunTrainer
from ..training.transfer import load_encoder, load_language_model
from .task import Task

if TYPE_CHECKING:
    from ..recipe.recipe import Recipe

Say = Callable[..., None]  # takes a line, and a style
Splits = dict[str, Any]  # of each split the raw data, or what is made of it


class TaskRun:
    """A task with the settings of one recipe.

    Args:
        recipe: read and checked.
        warn: shows a warning.
        say: shows a line.

    Attributes:
        task: what is said of it without a recipe.
        output: the folder in which `finish` leaves pictures.
        place: the folder in which they are when the run has ended.
    """

    task: Task
    output: Path
    place: Path

    def __init__(self, recipe: Recipe, warn: Say, say: Say):
        self.recipe = recipe
        self.warn = warn
        self.say = say

    @property
    def args(self) -> Any:
        """The settings of `arguments`."""
        return self.recipe.task_arguments

    @cached_property
    def language_model(self) -> tuple[RnnForCausalLM, PreTrainedTokenizerBase] | None:
        """The one that the recipe begins with, and its tokenizer."""
        name = self.recipe.transfer.language_model
        return load_language_model(name) if name else None

    def begin_with_language_model(self, model: RnnPreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        """Gives a new model the weights of the language model, where there is one; if the tokenizer is another, says
        how many of its words it knows."""
        if self.language_model is None:
            return
        taken = load_encoder(model, tokenizer, *self.language_model)
        if tokenizer is not self.language_model[1]:
            name = self.recipe.transfer.language_model
            self.say(f"language model {name}: has an embedding for {taken:,} of {len(tokenizer):,} words")

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Refuses what no type can say, before anything is read or written.

        Raises:
            UserError: for the first such setting.
        """

    @classmethod
    def words_of_usage(cls, config: dict[str, Any]) -> dict[str, str]:
        """What stands in the task's `usage` for names that depend on the model, whose configuration is `config`."""
        return {}

    @classmethod
    def loss_unit(cls, recipe: Recipe) -> str:
        """What its loss is counted in."""
        return "nats"

    @property
    def trainer_class(self) -> type[RunTrainer]:
        """The class of its trainer."""
        return RunTrainer

    def parts(self) -> list[Part]:
        """New parts for one training: what goes on in it beside its steps."""
        return []

    def load_data(self, only: str | None = None) -> Splits:
        """The raw data of each split; of `only` one where no more is needed."""
        raise NotImplementedError

    def build_tokenizer(self, data: Splits) -> PreTrainedTokenizerBase:
        """A new tokenizer, its vocabulary from the training data alone."""
        raise NotImplementedError

    def build_model(self, data: Splits, tokenizer: PreTrainedTokenizerBase) -> RnnPreTrainedModel:
        """A new model for the tokenizer's vocabulary."""
        raise NotImplementedError

    def adopt(self, model: RnnPreTrainedModel, data: Splits) -> None:
        """Takes from a trained model what it has decided, before it is measured on other data."""

    def build_trainer(
        self, model: RnnPreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Splits
    ) -> tuple[RunTrainer, Splits]:
        """The trainer, and the rows or the stream of each split; without train it can only evaluate."""
        raise NotImplementedError

    @property
    def checked_by_trainer(self) -> frozenset[str]:
        """Keys whose change the task's trainer itself refuses when a run goes on."""
        return frozenset()

    def check_resume(self, saved: dict[str, Any], config, checkpoint: str) -> None:
        """Refuses to go on with a checkpoint (`saved` is its configuration) in a run that differs from its own.

        Raises:
            UserError: for other labels; a task without any has those of the library, which are always the same.
        """
        known = saved.get("id2label") or type(config)().id2label  # which a file leaves out
        before, labels = list(known.values()), list(config.id2label.values())
        if before != labels:
            raise UserError(
                f"the data has the labels {', '.join(labels)}, but {checkpoint} was trained with {', '.join(before)}: "
                "resume with the data of the first run"
            )

    def describe(self, data: Splits) -> str:
        """One line on the size of the data."""
        raise NotImplementedError

    def describe_model(self, config: Any) -> str:
        """What a model is made of, in a few words."""
        directions = "bidirectional " if config.bidirectional else ""
        return f"{config.num_hidden_layers} x {config.hidden_size} {directions}{config.cell_type}"

    def speed(self, datasets: Splits, steps: int, seconds: float) -> dict[str, float]:
        """What training did in a second."""
        return {}

    def measure(self, trainer: RunTrainer, datasets: Splits, name: str, **options) -> dict[str, Any]:
        """What `Trainer.evaluate` measures on a split, under names without the split's prefix.

        Raises:
            Diverged: if the loss is not finite.
        """
        measured = trainer.evaluate(datasets[name], metric_key_prefix=name, **options)
        if not math.isfinite(loss := measured.get(f"{name}_loss", 0.0)):
            raise trainer.diverged(f"the loss on the {name} data is {loss}")
        return {key.removeprefix(f"{name}_"): value for key, value in measured.items() if key != "epoch"}

    def result(self, measured: dict[str, Any]) -> str:
        """The numbers of a split that a person wants to see first."""
        raise NotImplementedError

    def require_baseline(self) -> None:
        """Finds out, before hours of training, whether the recipe's `baseline` could run.

        Raises:
            UserError: if something is missing for it.
        """

    def baseline(self, data: Splits) -> dict[str, Any]:
        """What the recipe's `baseline` gives on the same splits: its `name`, and `splits` with the same numbers."""
        raise NotImplementedError

    def finish(self, model: RnnPreTrainedModel, tokenizer, data: Splits, console: Console) -> dict[str, Any]:
        """Shows what the model can do; what it returns becomes part of the metrics."""
        return {}

    def next_command(self, output_dir: str) -> str:
        """A sentence with a command that uses the model."""
        raise NotImplementedError


def from_tokenizer(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What a tokenizer decides in the configuration of any model."""
    names = ("pad_token_id", "bos_token_id", "eos_token_id", "unk_token_id")
    return {"vocab_size": len(tokenizer), **{name: getattr(tokenizer, name) for name in names}}
