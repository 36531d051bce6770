"""What a run shows while it trains, and what it pushes."""

import copy
import re
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from transformers import ProgressCallback, Trainer, TrainerCallback
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

# Logged name -> how a person reads it, in this order.
SHOWN = {
    "loss": "loss {:.4f}",
    "eval_loss": "validation {:.4f} nats",
    "bits_per_character": "{:.3f} bits/char",
    "eval_bits_per_character": "{:.3f} bits/char",
    "perplexity": "ppl {:.2f}",
    "eval_perplexity": "ppl {:.2f}",
    "eval_f1": "F1 {:.2%}",
    "eval_accuracy": "accuracy {:.2%}",
    "eval_bleu": "BLEU {:.2f}",
    "eval_exact_match": "{:.2%} exact",
    "learning_rate": "lr {:.2g}",
    "grad_norm": "grad {:.2f}",
    "clipped": "clipped {:.0%}",
}


def shown(value: float, form: str) -> str:
    """A number in its form, but one of a training that fails not in all its digits."""
    return form.format(value) if abs(value) < 1e9 else re.sub(r"\.\d+f}", ".4g}", form).format(value)


class ReadableLines(TrainerCallback):
    """One short line for each report instead of a dictionary, without a progress bar.

    With a loss stand how fast the steps since the last one were, without evaluations and checkpoints between them, and
    how long the rest takes, with them, if it goes on as it did so far.

    Args:
        work: how much one step trains on.
        unit: of what, as "rows".
    """

    def __init__(self, work: int = 1, unit: str = "steps"):
        super().__init__()
        self.work, self.unit = work, unit
        self._begin_at(0)  # for evaluations without a training

    def on_train_begin(self, args, state, control, **kwargs):
        super().on_train_begin(args, state, control, **kwargs)
        self._begin_at(state.global_step)

    def _begin_at(self, step: int) -> None:
        self._begun = self._reported = (time.monotonic(), step)
        self._apart = 0.0  # seconds since the last report that were no steps
        self._stepped = time.monotonic()

    def on_step_end(self, args, state, control, **kwargs):
        super().on_step_end(args, state, control, **kwargs)
        self._stepped = time.monotonic()

    def on_evaluate(self, args, state, control, **kwargs):
        super().on_evaluate(args, state, control, **kwargs)
        self._leave_out()

    def on_save(self, args, state, control, **kwargs):
        super().on_save(args, state, control, **kwargs)
        self._leave_out()

    def _leave_out(self) -> None:
        """The time since the last step."""
        now = time.monotonic()
        self._apart += now - self._stepped
        self._stepped = now

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero or not logs:
            return
        named = {name: value for name, value in logs.items() if name != "clipped" or value > 0}
        parts = [shown(float(named[name]), form) for name, form in SHOWN.items() if name in named]
        if "loss" in logs:
            parts += self._speed(state)
        if parts:
            width = len(str(state.max_steps))
            self.show(f"step {state.global_step:>{width}}/{state.max_steps}  {'  '.join(parts)}")

    def _speed(self, state) -> list[str]:
        """How fast it goes and how long it takes still; nothing where no step was done."""
        now, step = time.monotonic(), state.global_step
        (then, last), (begun, first) = self._reported, self._begun
        seconds = now - then - self._apart
        self._reported, self._apart = (now, step), 0.0
        if step == last or seconds <= 0:
            return []
        left = (state.max_steps - step) * (now - begun) / (step - first)
        parts = [f"{self.work * (step - last) / seconds:,.0f} {self.unit}/s"]
        return [*parts, f"{timedelta(seconds=round(left))} left"] if step < state.max_steps else parts

    def show(self, line: str) -> None:
        print(line, flush=True)


class ReadableProgress(ReadableLines, ProgressCallback):
    """These lines above Trainer's progress bar."""

    def show(self, line: str) -> None:
        if self.training_bar is not None:
            self.training_bar.write(line)
        else:
            super().show(line)


class KeepGenerationConfig(TrainerCallback):
    """Puts a model's generation configuration back, where `Trainer` has written the tokenizer's special tokens into it.

    A model of one long stream begins after a line end and stops nowhere, whatever <bos> and <eos> its tokenizer has.
    """

    def __init__(self, generation_config):
        self.generation_config = copy.deepcopy(generation_config)

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        model.generation_config = self.generation_config


class PushWhole(TrainerCallback):
    """Makes each push of a plain `Trainer` one that others can open (see `complete_push`).

    An earlier push is waited for: it reads, in a thread of its own, the very files that are now written.
    """

    def __init__(self, trainer: Trainer):
        self.trainer = trainer

    def on_push_begin(self, args, state, control, **kwargs):
        self.trainer._finish_current_push()
        out = Path(args.output_dir)
        complete_push(out / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}", out)


def complete_push(checkpoint: Path, out: Path) -> None:
    """What others need of a push, and what they must not get.

    `Trainer` copies weights and configuration of a checkpoint to where it pushes from, but not the code that the
    configuration names, and adds a pickle of the settings; the Hub keeps out what .gitignore names.
    """
    for module in checkpoint.glob("*.py"):
        shutil.copy(module, out)
    (out / ".gitignore").write_text(f"{TRAINING_ARGS_NAME}\n", encoding="utf-8")  # wherever it lies


class OnTrainBegin(TrainerCallback):
    """Calls a function when training begins, after `Trainer` has looked at its settings."""

    def __init__(self, function: Callable[[], None]):
        self.function = function

    def on_train_begin(self, args, state, control, **kwargs):
        self.function()
