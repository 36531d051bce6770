"""The trainer of a run: it stops where numbers cease to be finite, writes checkpoints that are whole, goes on from one
as if it had never stopped, and asks its parts for all that is particular."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.utils.data import Sampler
from transformers import Seq2SeqTrainer, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import ExportableState
from transformers.trainer_pt_utils import nested_gather
from transformers.trainer_utils import HubStrategy, IntervalStrategy

from ..errors import RunError, UserError
from ..folders import refused_writes, remove
from .callbacks import complete_push
from .divergence import FiniteTrainer
from .parts import Part
from .run_folder import RunFolder, why_not_written
from .together import require_together
from .whole_checkpoints import other_weights, problem_of, read_run_state, write_run_state


class RunTrainer(FiniteTrainer):
    """A `Trainer` of a run: it has parts, its checkpoints are whole or not there, and from one it goes on as if it had
    never stopped.

    - It stops at the first loss, gradient or weight that is not finite (`FiniteTrainer`).
    - A checkpoint is renamed to `checkpoint-N` when all of it is on the disk. `save_total_limit` counts and removes
      only what trainers of this class have written.
    - Seconds and losses of all stretches of a run add up.
    - A run that is resumed at its end trains no further step. An evaluation that was due when it stopped is done first.

    Args:
        model: as for `Trainer`.
        args: as for `Trainer`.
        parts: what goes on beside the steps; they are asked in this order.
        others: as for `Trainer`.
        kwargs: as for `Trainer`.

    Attributes:
        parts: its parts.
        kept: what each checkpoint keeps for the run that goes on from it (see `resume.py`).
        seconds: time spent in training, over all stretches.
        keep_last_state: whether the last state becomes a checkpoint also where the strategy asks for none.
        last_state: the name of that checkpoint, or `None`.

    Raises:
        UserError: (a `ValueError`) for a part that does not go with another setting, or with how the devices are used
            (see `together.py`).
    """

    key: ClassVar[str | None] = None  # where it is of another kind, its row in the table of `together.py`

    def __init__(
        self, model=None, args: TrainingArguments | None = None, *others, parts: Sequence[Part] = (), **kwargs
    ):
        if args is not None:
            for part in parts:
                part.arrange(args)
        super().__init__(model, args, *others, **kwargs)
        measures_only = self.train_dataset is None
        require_together(type(self), () if measures_only else parts, self.args)
        self.parts = list(parts)
        for part in self.parts:
            part.join(self)
            self.add_callback(part)
        self.kept: dict[str, Any] = {}
        self.seconds = 0.0
        self.keep_last_state = False
        self.last_state: str | None = None
        self._began: float | None = None
        self._caught_up = False

    @property
    def folder(self) -> RunFolder:
        """The output folder."""
        return RunFolder(self.args.output_dir)

    # ---- what the parts do ----
    def _get_train_sampler(self, train_dataset=None) -> Sampler | None:
        chosen = first(part.train_sampler() for part in self.parts)
        return super()._get_train_sampler(train_dataset) if chosen is None else chosen

    def _get_eval_sampler(self, eval_dataset) -> Sampler | None:
        if eval_dataset is None:
            return None
        chosen = first(part.eval_sampler(eval_dataset) for part in self.parts)
        return super()._get_eval_sampler(eval_dataset) if chosen is None else chosen

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        def compute(parts, model, inputs):
            if parts:
                return parts[-1].loss(partial(compute, parts[:-1]), model, inputs)
            return super(RunTrainer, self).compute_loss(model, inputs, True, num_items_in_batch)

        loss, outputs = compute(self.parts, model, inputs)
        return (loss, outputs) if return_outputs else loss

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        fresh = self.optimizer is None
        optimizer = super().create_optimizer(model)
        for part in self.parts if fresh else ():
            part.arrange_groups(optimizer)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None):
        if getattr(self, "lr_scheduler", None) is None:
            given = optimizer or self.optimizer
            chosen = first(part.schedule(given, num_training_steps) for part in self.parts)
            if chosen is not None:
                self.lr_scheduler, self._created_lr_scheduler = chosen, True
        return super().create_scheduler(num_training_steps, optimizer)

    def evaluation_loop(self, *args, **kwargs):
        with self.measured_by_parts():
            return super().evaluation_loop(*args, **kwargs)

    @contextmanager
    def measured_by_parts(self) -> Iterator[None]:
        """Around an evaluation."""
        with ExitStack() as around:
            for part in self.parts if self.is_in_train else ():
                around.enter_context(part.measured())
            yield

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        for part in self.parts:
            part.save(Path(output_dir))

    # ---- writing ----
    def _save_checkpoint(self, model, trial) -> None:
        """As `Trainer` does, but under another name, and renamed when it is whole.

        Raises:
            RunError: if it cannot be written, as on a full disk.
        """
        name = f"checkpoint-{self.state.global_step}"
        staged = self.folder.writing / name
        if self.args.should_save:
            self.folder.stage(name)
        self.accelerator.wait_for_everyone()
        self.store_flos()
        try:
            with refused_writes():
                self._write_checkpoint(staged)
                self.accelerator.wait_for_everyone()
                if self.args.should_save:
                    write_run_state(staged, self.kept | {"progress": self._progress()})
                    self.folder.place(staged)
        except OSError as error:
            remove(staged)
            raise RunError(f"{why_not_written(self.folder.path / name, error)}. {self._what_is_left()}") from error
        self.accelerator.wait_for_everyone()
        self._checkpoints.append(str(self.folder.path / name))
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(self.folder.path / name))
        if self.args.should_save and self.args.save_total_limit:
            self._keep(self.args.save_total_limit)

    def _write_checkpoint(self, staged: Path) -> None:
        self._pending = nested_gather(self._tr_loss, self.args.parallel_mode).mean().item()
        self.save_model(str(staged), _internal_call=True)
        if not self.args.save_only_model:
            self._save_optimizer_and_scheduler(str(staged))
            self._save_scaler(str(staged))
            self._save_rng_state(str(staged))
        if not self.args.should_save:
            return
        self._note_best()
        if self.state.best_global_step == self.state.global_step:  # this one, which is not yet there
            self.state.best_model_checkpoint = str(self.folder.path / staged.name)
        for callback in [*self.callback_handler.callbacks, self.control]:
            if isinstance(callback, ExportableState):
                self.state.stateful_callbacks[type(callback).__name__] = callback.state()
        self.state.save_to_json(str(staged / TRAINER_STATE_NAME))

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """As `Trainer` does, but from a folder of its own, and so that others can open it; see `complete_push`."""
        args, earlier = self.args, self.push_in_progress
        if not self.is_world_process_zero() or args.hub_strategy == HubStrategy.END:
            return
        if earlier is not None and not earlier.is_done() and not args.hub_always_push:
            return
        self._finish_current_push()  # which reads, in a thread of its own, what is now written
        staged = self.folder.stage("push")
        complete_push(Path(checkpoint_folder), staged)
        place, args.output_dir = args.output_dir, str(staged)
        try:
            super()._push_from_checkpoint(checkpoint_folder)
        finally:
            args.output_dir = place

    def _progress(self) -> dict[str, float]:
        """What adds up over the stretches of a run, at this step."""
        return {
            "seconds": self._seconds_so_far(),
            "total_loss": self._total_loss_scalar,
            "pending_loss": self._pending,
            "last_logged": self._globalstep_last_logged,
        }

    def _seconds_so_far(self) -> float:
        return self.seconds + (0.0 if self._began is None else time.monotonic() - self._began)

    def _what_is_left(self) -> str:
        whole = next((path for path in self.folder.checkpoints() if problem_of(path) is None), None)
        return "No checkpoint is whole" if whole is None else f"The last whole checkpoint is {whole}"

    def _keep(self, limit: int) -> None:
        """Removes the earliest of our checkpoints, so that `limit` are left; the best and the last always are."""
        written = [path for path in reversed(self.folder.checkpoints()) if path.name in self.folder.files]
        kept = {written[-1].name} if written else set()
        if self.state.best_model_checkpoint is not None:
            kept.add(Path(self.state.best_model_checkpoint).name)
        surplus = len(written) - max(limit, len(kept))
        for path in [path for path in written if path.name not in kept][: max(surplus, 0)]:
            self.folder.discard(path.name)

    # ---- going on ----
    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        """As `Trainer` does, but not weights that would fit and mean something else, as those of the other direction.

        Raises:
            UserError: for the first key of the architecture that differs.
        """
        if refusal := other_weights(Path(resume_from_checkpoint), getattr(self.model, "config", None)):
            raise UserError(refusal)
        super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _init_training_state(
        self, max_steps, num_update_steps_per_epoch, num_train_epochs, resume_from_checkpoint, trial
    ):
        place = super()._init_training_state(
            max_steps, num_update_steps_per_epoch, num_train_epochs, resume_from_checkpoint, trial
        )
        self._resumed = None if resume_from_checkpoint is None else Path(resume_from_checkpoint)
        self._note_best()
        return place

    def _load_optimizer_and_scheduler(self, checkpoint) -> None:
        """As `Trainer` does, but learning rates and weight decays are this run's, not those of the one that has written
        the checkpoint. The schedule keeps its place: the rate is the same share of the new highest one as of the old.
        """
        fresh = [{name: value for name, value in group.items() if name != "params"} for group in self._groups()]
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        schedule = self.lr_scheduler
        for number, (group, wanted) in enumerate(zip(self._groups(), fresh, strict=True)):
            group["weight_decay"] = wanted["weight_decay"]
            now = wanted.get("initial_lr", wanted["lr"])
            if now != group.get("initial_lr") and isinstance(schedule, torch.optim.lr_scheduler.LambdaLR):
                share = schedule.lr_lambdas[number](schedule.last_epoch)
                group["initial_lr"] = schedule.base_lrs[number] = now
                group["lr"] = schedule._last_lr[number] = now * share
        for part in self.parts:
            part.load(Path(checkpoint))

    def _groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups

    def _run_epoch(self, *, resume_from_checkpoint=None, **kwargs):
        if self._began is None:
            self._begin_stretch()
        if self.state.global_step >= self.state.max_steps:
            self._load_rng_state(resume_from_checkpoint)
            self.control.should_training_stop = True
            return
        super()._run_epoch(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def _begin_stretch(self) -> None:
        """Takes up the sums where the checkpoint has left them."""
        self._began = time.monotonic()
        self._caught_up = self._resumed is None
        progress = {} if self._resumed is None else read_run_state(self._resumed).get("progress", {})
        if progress:
            self.seconds = progress["seconds"]
            self._total_loss_scalar = progress["total_loss"]
            self._tr_loss += progress["pending_loss"]
            self._globalstep_last_logged = progress["last_logged"]
            self._initial_global_step = 0  # the mean loss is that of all steps

    def _load_rng_state(self, checkpoint) -> None:
        """As `Trainer` does. Then what was due at the step of the checkpoint, and is not in its history, is done, as by
        a run that never stopped, before it goes on: an evaluation draws random numbers too."""
        super()._load_rng_state(checkpoint)
        if checkpoint is None or self._caught_up:
            return
        self._caught_up = True
        done = {name for row in self.state.log_history if row["step"] == self.state.global_step for name in row}
        self.control.should_log = (
            self._is_due(self.args.logging_strategy, self.state.logging_steps) and "loss" not in done
        )
        self.control.should_evaluate = self._is_due(
            self.args.eval_strategy, self.state.eval_steps, self.args.eval_delay, at_end=True
        ) and not any(name.startswith("eval_") for name in done)
        self._maybe_log_save_evaluate(self._tr_loss, None, self.model, None, self.state.epoch, None, time.time())
        self._note_best()

    def _is_due(self, strategy, every: float, delay: float = 0, *, at_end: bool = False) -> bool:
        """Whether what a strategy asks for was due when the checkpoint was written."""
        step, epoch = self.state.global_step, self.state.epoch or 0.0
        ended = step >= self.state.max_steps
        if strategy == IntervalStrategy.STEPS:
            return step >= delay and (step % every == 0 or (ended and at_end))
        return strategy == IntervalStrategy.EPOCH and epoch >= delay and (ended or float(epoch).is_integer())

    def _note_best(self) -> None:
        """Where the best checkpoint is, also where the folder has got another name since, or it was found late."""
        best = self.state.best_global_step
        if best and (place := self.folder.path / f"checkpoint-{best}").is_dir():
            self.state.best_model_checkpoint = str(place)

    def _finalize_training(self, trial, num_train_samples, start_time):
        """As `Trainer` does, which would remove folders that it has not written."""
        name = f"checkpoint-{self.state.global_step}"
        if self.keep_last_state and not (self.folder.path / name).is_dir():
            self.last_state = name
            self._save_checkpoint(self.model_wrapped, trial)
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            output = super()._finalize_training(trial, num_train_samples, start_time)
        finally:
            self.args.save_total_limit = limit
        self.seconds, self._began = self._seconds_so_far(), None
        return output


class GeneratingTrainer(RunTrainer, Seq2SeqTrainer):
    """A `RunTrainer` that can measure what a model writes (`predict_with_generate`).

    Evaluations see each row once, however many processes share them: `Seq2SeqTrainer.evaluate` asks for a plain gather,
    which keeps the rows that fill up the last batch.
    """

    key = "predict_with_generate"

    def evaluation_loop(self, *args, **kwargs):
        self.gather_function = self.accelerator.gather_for_metrics
        return super().evaluation_loop(*args, **kwargs)


def first(found: Iterable[Any]) -> Any:
    """The first that is not `None`; `None` if there is none."""
    return next((one for one in found if one is not None), None)
