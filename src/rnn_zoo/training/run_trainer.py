"""The trainer of a run: it stops where numbers cease to be finite, writes checkpoints that are whole, goes on from one
as if it had never stopped, and asks its parts for all that is particular."""

import copy
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Any, ClassVar

import torch
from accelerate.utils import gather_object
from torch.utils.data import Sampler
from transformers import Seq2SeqTrainer, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import ExportableState
from transformers.trainer_pt_utils import BatchRebalanceSampler, LengthGroupedSampler, nested_gather
from transformers.trainer_utils import HubStrategy, IntervalStrategy

from ..errors import RunError, UserError
from ..folders import refused_writes, remove
from ..models.output_loss import IGNORED
from .arguments import rows_a_step, rows_of_an_epoch
from .callbacks import complete_push
from .divergence import FiniteTrainer
from .order_of_rows import SeededOrder, seed_of_rows
from .parts import Part
from .run_folder import RunFolder, why_not_written
from .together import require_together
from .watching import Clipping, peak_memory, told_processes
from .whole_checkpoints import other_weights, problem_of, read_run_state, write_run_state

APART = 1_000_003  # between the seeds of processes


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
        self._model_class = type(self.model)
        measures_only = self.train_dataset is None
        require_together(type(self), () if measures_only else parts, self.args)
        self.parts: list[Part] = []
        for part in parts:
            self.add_part(part)
        self.kept: dict[str, Any] = {}
        self.seconds = 0.0
        self.keep_last_state = False
        self.last_state: str | None = None
        self._order: Any = None  # of the training rows
        self._began: float | None = None
        self._caught_up = False

    @property
    def folder(self) -> RunFolder:
        """The output folder."""
        return RunFolder(self.args.output_dir)

    # ---- what the parts do ----
    def add_part(self, part: Part) -> None:
        """Puts a part at the end of the list; of its own settings it may change none any more."""
        part.join(self)
        self.parts.append(part)
        self.add_callback(part)

    def asks_to_stop(self) -> int:
        return max((part.asks_to_stop() for part in self.parts), default=0)

    def _get_train_sampler(self, train_dataset=None) -> Sampler | None:
        chosen = first(part.train_sampler() for part in self.parts)
        if chosen is None:
            chosen = super()._get_train_sampler(train_dataset)
        if isinstance(chosen, LengthGroupedSampler):
            chosen = SeededOrder(chosen, rows_a_step(self.args), seed_of_rows(self.args))
        self._order = chosen
        return chosen

    def _get_eval_sampler(self, eval_dataset) -> Sampler | None:
        if eval_dataset is None:
            return None
        chosen = first(part.eval_sampler(eval_dataset) for part in self.parts)
        return super()._get_eval_sampler(eval_dataset) if chosen is None else chosen

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        def compute(parts, model, inputs):
            if parts:
                return parts[-1].loss(partial(compute, parts[:-1]), model, inputs)
            if model.training and getattr(self.accelerator.unwrap_model(model), "can_skip_logits", bool)():
                inputs = inputs | {"skip_logits": True}
            return super(RunTrainer, self).compute_loss(model, inputs, True, num_items_in_batch)

        if not model.training:  # the mean of the batch: see `prediction_step`
            num_items_in_batch = None
        loss, outputs = compute(self.parts, model, inputs)
        return (loss, outputs) if return_outputs else loss

    # ---- the loss of an evaluation: by targets, however they are batched and shared ----
    def prediction_step(self, model, inputs, *args, **kwargs):
        """As `Trainer` does, and notes the sum of the losses of the batch, and of how many targets it is the sum."""
        inputs = self._prepare_inputs(inputs)
        loss, outputs, labels = super().prediction_step(model, inputs, *args, **kwargs)
        if loss is not None:
            self._note_loss(model, inputs, loss)
        return loss, outputs, labels

    def _note_loss(self, model, inputs: dict[str, Any], loss: torch.Tensor) -> None:
        """
        Args:
            model: wrapped for several devices.
            inputs: of a batch, with its labels.
            loss: the mean over its targets.
        """
        rows, all_rows = self._rows_that_count(len(inputs["labels"]))
        if not all_rows:  # others fill up the last batch, for which another process has them
            inputs = {name: value[: max(rows, 1)] for name, value in inputs.items()}
            with torch.no_grad(), self.compute_loss_context_manager():
                loss = self.compute_loss(model, dict(inputs))  # which may take the labels out
        count = count_targets(self.accelerator.unwrap_model(model), inputs) * (rows > 0)
        self._loss_sums.append(torch.stack([loss.detach().float() * count, count.float()]))

    def _rows_that_count(self, rows: int) -> tuple[int, bool]:
        """How many of the rows of this process's batch are not there for a second time; and whether no process has any
        that are."""
        state = self.accelerator.gradient_state
        if self.args.world_size == 1 or not state.end_of_dataloader or state.remainder <= 0:
            return rows, True
        return min(max(state.remainder - rows * self.args.process_index, 0), rows), False

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

    def evaluation_loop(
        self, dataloader, description, prediction_loss_only=None, ignore_keys=None, metric_key_prefix="eval"
    ):
        self._loss_sums: list[torch.Tensor] = []
        with self.measured_by_parts():
            output = super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )
        if self._loss_sums:
            sums = torch.stack(self._loss_sums).cpu().double().sum(0)
            if self.args.world_size > 1:
                sums = self.accelerator.gather(sums.to(self.args.device)[None]).sum(0)
            output.metrics[f"{metric_key_prefix}_loss"] = (sums[0] / sums[1].clamp(min=1)).item()
        return output

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
            RunError: in all processes, if one cannot write its files, as on a full disk.
        """
        name = f"checkpoint-{self.state.global_step}"
        staged = self.folder.writing / name
        with self._written_by_all(staged):
            if self.args.should_save:
                self.folder.stage(name)
        self.store_flos()
        with self._written_by_all(staged):
            self._write_checkpoint(staged)
        with self._written_by_all(staged):
            if self.args.should_save:
                write_run_state(staged, self.kept | {"progress": self._progress()})
                self.folder.place(staged)
        self._checkpoints.append(str(self.folder.path / name))
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(self.folder.path / name))
        if self.args.should_save and self.args.save_total_limit:
            self._keep(self.args.save_total_limit)

    @contextmanager
    def _written_by_all(self, staged: Path) -> Iterator[None]:
        """Around a part of the writing of a checkpoint, at whose end the processes wait for each other and know whether
        all have succeeded. One that fails while weights in pieces are written ends without that, as the others may wait
        for its pieces.

        Args:
            staged: where it is written; removed when one has failed.

        Raises:
            RunError: in all processes, with the sentence of the first that has failed.
        """
        failed: OSError | None = None
        try:
            with refused_writes():
                yield
        except OSError as error:
            failed = error
        why = "" if failed is None else why_not_written(self.folder.path / staged.name, failed)
        if failed is None or not self.is_in_pieces:
            why = first(one or None for one in self._told_by_all(why)) or ""
        if not why:
            return
        if self.args.should_save:
            remove(staged)
        raise RunError(f"{why}. {self._what_is_left()}") from failed

    def _told_by_all(self, sentence: str) -> list[str]:
        """What each process says, in their order; nothing if it has nothing to say."""
        if self.args.world_size == 1:
            return [sentence]
        if not self.agreed(len(sentence) > 0):
            return []
        return gather_object([sentence])

    @property
    def is_in_pieces(self) -> bool:
        """Whether each process has only a part of the weights, so that the model cannot be used as it is."""
        return self.is_fsdp_enabled or self.is_deepspeed_enabled

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As `Trainer` does, but the weights are always in one file that others load, also where those by which the run
        goes on are in pieces (`SHARDED_STATE_DICT`); for all processes.

        Raises:
            Diverged: if a weight is not finite; nothing is written.
        """
        if not self.is_fsdp_enabled:
            return super().save_model(output_dir, _internal_call)
        weights = self.accelerator.get_state_dict(self.model)  # all of them in the main process
        self.require_finite_weights(weights)
        self._save(output_dir, state_dict=weights)
        if self.args.push_to_hub and not _internal_call:
            self.push_to_hub(commit_message="Model save", revision=self.args.hub_revision)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """As `Trainer` does, but where weights are in pieces by a model that has them whole: the class of the one in
        pieces is made by torch, so that other code would be saved with it, and tied weights twice."""
        if not self.is_fsdp_enabled or state_dict is None:
            return super()._save(output_dir, state_dict)
        if not self.args.should_save:
            return
        with torch.random.fork_rng(devices=[]):
            whole = self._model_class(copy.deepcopy(self.model.config))
        whole.load_state_dict(state_dict)
        if whole.can_generate():
            whole.generation_config = self.model.generation_config
        in_pieces: Any = self.model
        self.model: Any = whole
        try:
            super()._save(output_dir)
        finally:
            self.model = in_pieces

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

    def _progress(self) -> dict[str, Any]:
        """What adds up over the stretches of a run, at this step."""
        return {
            "seconds": self._seconds_so_far(),
            "total_loss": self._total_loss_scalar,
            "pending_loss": self._pending,
            "last_logged": self._globalstep_last_logged,
            "clipping": asdict(self.clipping),
        }

    def most_memory(self) -> int:
        """Of the process that has taken most, in bytes; asked by all processes. See `peak_memory`."""
        own = peak_memory(self.args.device)
        if self.args.world_size == 1:
            return own
        return int(self.accelerator.gather(torch.tensor([own], device=self.args.device)).max().item())

    @property
    def work_of_a_step(self) -> tuple[int, str]:
        """How much one optimizer step trains on, over all processes, and of what."""
        return rows_a_step(self.args), "rows"

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
        if self._resumed is not None:
            self._require_same_epoch(self._resumed)
        self._note_best()
        return place

    def _require_same_epoch(self, checkpoint: Path) -> None:
        """Refuses processes that share the rows of a step in another way, where an epoch then has other rows.

        Raises:
            UserError: with the number of processes and the batch by which the run can go on.
        """
        before, args = read_run_state(checkpoint), self.args
        settings = before.get("settings", {})
        name = "per_device_train_batch_size"
        if self._order is None or isinstance(self._order, BatchRebalanceSampler) or name not in settings:
            return
        shares = [(settings[name], before["processes"]), (args.train_batch_size, args.world_size)]
        then, now = (rows_of_an_epoch(len(self._order), *share, args.dataloader_drop_last) for share in shares)
        if then != now:
            (batch, processes), _ = shares
            raise UserError(
                f"{name}={args.train_batch_size} on {told_processes(args.world_size)}: an epoch has {now:,} rows, but "
                f"{then:,} for {checkpoint}, as several processes fill up the last batches: resume with {name}={batch} "
                f"on {told_processes(processes)}"
            )

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

    def _run_epoch(self, *, epoch, resume_from_checkpoint=None, **kwargs):
        if self._began is None:
            self._begin_stretch()
        if hasattr(self._order, "epoch"):  # which accelerate does not tell it, where it goes on in an epoch
            self._order.epoch = epoch
        if self.state.global_step >= self.state.max_steps:
            self._load_rng_state(resume_from_checkpoint)
            self.control.should_training_stop = True
            return
        super()._run_epoch(epoch=epoch, resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def _begin_stretch(self) -> None:
        """Takes up the sums where the checkpoint has left them."""
        self._began = time.monotonic()
        if self.args.world_size > 1:  # each drops other things; a checkpoint brings back what it has drawn so far
            torch.manual_seed(self.args.seed + APART * self.args.process_index + self.state.global_step)
        self._caught_up = self._resumed is None
        progress = {} if self._resumed is None else read_run_state(self._resumed).get("progress", {})
        if progress:
            self.seconds = progress["seconds"]
            self._total_loss_scalar = progress["total_loss"]
            self._tr_loss += progress["pending_loss"]
            self._globalstep_last_logged = progress["last_logged"]
            self.clipping = Clipping(**progress.get("clipping", {}))
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


def count_targets(model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
    """Of how many targets the loss of a batch is the mean: labels that are not -100, or as numbers not NaN; of a
    language model those of the next tokens."""
    labels = inputs["shift_labels"] if "shift_labels" in inputs else inputs["labels"]
    if "shift_labels" not in inputs and isinstance(next_of := getattr(model, "next_of", None), MethodType):
        labels = next_of(labels, IGNORED)
    return (~labels.isnan() if labels.is_floating_point() else labels != IGNORED).sum()


def first(found: Iterable[Any]) -> Any:
    """The first that is not `None`; `None` if there is none."""
    return next((one for one in found if one is not None), None)
