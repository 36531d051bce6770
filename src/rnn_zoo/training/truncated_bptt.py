"""Truncated back-propagation through time in `transformers.Trainer`.

Williams and Peng 1990, "An Efficient Gradient-Based Algorithm for On-Line Training of Recurrent Network Trajectories":
the text is read in chunks; the state goes on from chunk to chunk, the gradient stops at their border.

Sizes: `B` rows of a batch, `T` steps of a chunk.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader, SequentialSampler
from transformers import TrainingArguments
from transformers.trainer_utils import EvalLoopOutput

from ..data.token_stream import LaneDataset, TokenStream
from ..errors import UserError
from ..models.recurrent_state import RecurrentState
from .run_trainer import APART, RunTrainer
from .watching import counted


@dataclass(frozen=True)
class LaneLayout:
    """How the lanes of a stream are shared.

    Batch after batch has `per_device_train_batch_size` lanes that follow each other, and goes to process after process,
    in turn for each micro-batch of a step. So row `b` of micro-batch `m` in process `p` is the global lane
    `(m · processes + p) · per_device_train_batch_size + b`.
    """

    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    processes: int
    bptt_length: int

    @property
    def groups(self) -> int:
        """Batches of a step, over all processes."""
        return self.processes * self.gradient_accumulation_steps

    @property
    def lanes(self) -> int:
        """Of a step, over all processes."""
        return self.per_device_train_batch_size * self.groups

    def lanes_of(self, micro_batch: int, process: int) -> range:
        """The global lanes of a batch."""
        group = micro_batch * self.processes + process
        return range(group * self.per_device_train_batch_size, (group + 1) * self.per_device_train_batch_size)

    def place_of(self, lane: int) -> tuple[int, int, int]:
        """Micro-batch, process and row of a global lane."""
        group, row = divmod(lane, self.per_device_train_batch_size)
        return *divmod(group, self.processes), row

    def __str__(self) -> str:
        return (
            f"{self.lanes} lanes ({counted(self.processes)} x per_device_train_batch_size="
            f"{self.per_device_train_batch_size} x gradient_accumulation_steps={self.gradient_accumulation_steps})"
        )


class CarriedStates:
    """The states of a checkpoint, which each process has written for its own lanes, by global lane: however the lanes
    are shared when the run goes on.

    Args:
        checkpoint: a folder.
        layout: of the run that goes on.

    Raises:
        UserError: if they are not there, or are those of other lanes.
    """

    def __init__(self, checkpoint: str, layout: LaneLayout):
        first = state_file(checkpoint, 0)
        if not first.is_file():
            raise UserError(
                f"{checkpoint} holds no {first.name}: another trainer has written it, so the carried state is unknown"
            )
        with safe_open(first, "pt") as file:
            metadata = file.metadata() or {}
        try:
            written = LaneLayout(**{name: int(size) for name, size in metadata.items()})
        except (TypeError, ValueError):
            raise UserError(f"{first}: does not say of which lanes it is: it is damaged") from None
        if written.bptt_length != layout.bptt_length:
            raise UserError(
                f"bptt_length={layout.bptt_length}, but {checkpoint} was trained with {written.bptt_length}: resume "
                "with the same lanes, cut as they were"
            )
        if written.lanes != layout.lanes:
            raise UserError(
                f"this run has {layout}, but {checkpoint} was trained with {written}: resume with the same lanes "
                "in all; they may be shared in another way"
            )
        self.checkpoint, self.layout, self.written = checkpoint, layout, written
        self._read: dict[int, dict[str, torch.Tensor]] = {}  # of each process that wrote

    def state(self, micro_batch: int, process: int) -> RecurrentState | None:
        """Of a batch of the run that goes on; `None` if its lanes have not begun.

        Raises:
            UserError: if a file is missing, or lacks lanes that others have.
        """
        parts: dict[tuple[int, int], list[int]] = {}  # the rows of each batch that was written, in order
        for lane in self.layout.lanes_of(micro_batch, process):
            its_micro_batch, its_process, row = self.written.place_of(lane)
            parts.setdefault((its_micro_batch, its_process), []).append(row)
        found = [self._batch(*place) for place in parts]
        if not any(found):
            return None
        if len({frozenset(tensors) for tensors in found}) > 1:
            raise UserError(f"{self.checkpoint}: the carried state of some lanes is missing")
        rows = [torch.tensor(rows) for rows in parts.values()]
        names = found[0]
        return RecurrentState.from_dict(
            {name: torch.cat([part[name][own] for part, own in zip(found, rows, strict=True)]) for name in names}
        )

    def _batch(self, micro_batch: int, process: int) -> dict[str, torch.Tensor]:
        """What was written of a batch."""
        if process not in self._read:
            path = state_file(self.checkpoint, process)
            if not path.is_file():
                raise UserError(f"{path} is missing: {self.written.processes} processes have written the checkpoint")
            self._read[process] = load_file(path)
        prefix = f"{micro_batch}/"
        tensors = self._read[process].items()
        return {name.removeprefix(prefix): tensor for name, tensor in tensors if name.startswith(prefix)}


def state_file(folder: str, process: int) -> Path:
    """Where a process writes the states of its lanes."""
    return Path(folder) / f"carried_state-{process}.safetensors"


class TruncatedBpttTrainer(RunTrainer):
    """A `Trainer` that reads one long stream in contiguous lanes and carries the state from step to step.

    The number of lanes is `per_device_train_batch_size x processes x gradient_accumulation_steps`: however a global
    batch is split, it is the same lanes and the same gradient. Each process and each micro-batch keeps the state of
    its own lanes; it is detached between steps, zero where a lane begins, and saved with each checkpoint, so that a
    resumed run equals one that never stopped, also where the same lanes are shared in another way. Evaluation carries
    the state over the whole stream as well, scores every token once, and reports nats (`eval_loss`), perplexity, and
    bits per character where the characters are known.

    Args:
        model: a causal language model that takes and returns `cache_params`.
        args: as for `Trainer`.
        train_dataset: the text to train on.
        eval_dataset: the text to evaluate on, or several by name.
        bptt_length: steps of a chunk, `T`.
        state_reset_probability: chance, for each lane and step, that its state begins with zeros, in [0, 1). Lanes are
            long and begin seldom; a model that is used from a zero state has to meet it more often than that.
        kwargs: as for `RunTrainer`.

    Raises:
        UserError: (a `ValueError`) for settings that would break the carried state or the loss in silence.
        Diverged: by `train`, at the first loss or gradient that is not finite; see `FiniteTrainer`.
    """

    key = "bptt_length"

    def __init__(
        self,
        model=None,
        args: TrainingArguments | None = None,
        train_dataset: TokenStream | None = None,
        eval_dataset: TokenStream | dict[str, TokenStream] | None = None,
        *,
        bptt_length: int = 64,
        state_reset_probability: float = 0.0,
        **kwargs,
    ):
        super().__init__(model, args, train_dataset=train_dataset, eval_dataset=eval_dataset, **kwargs)
        self.model.config.use_cache = True  # Trainer switches it off, for caches that grow
        if not 0 <= state_reset_probability < 1:
            raise UserError(f"state_reset_probability={state_reset_probability}: must be in [0, 1)")
        self.bptt_length = bptt_length
        self.state_reset_probability = state_reset_probability
        self._states: list[RecurrentState | None] = []
        self._micro_batch = 0

    # ---- data: contiguous lanes ----
    def _lane_loader(self, stream: TokenStream, batch_size: int, groups: int) -> DataLoader:
        """Batches of `batch_size` lanes, in turn for each of `groups` lane groups, the processes' included."""
        from_end = getattr(self.model.config, "reads_backward", False)
        dataset = LaneDataset(stream, batch_size * groups, self.bptt_length, from_end)
        loader = DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=SequentialSampler(dataset),
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory and self.args.device.type != "cpu",
            persistent_workers=self.args.dataloader_persistent_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor,
        )
        return self.accelerator.prepare(loader)

    def get_train_dataloader(self) -> DataLoader:
        if self.train_dataset is None:
            raise UserError("training needs a train_dataset")
        self._states = [None] * self.args.gradient_accumulation_steps
        self._micro_batch = 0
        return self._lane_loader(self.train_dataset, self._train_batch_size, self._layout().groups)

    def get_eval_dataloader(self, eval_dataset: str | TokenStream | None = None) -> DataLoader:
        stream = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(stream, str):
            stream = self.eval_dataset[stream]
        if stream is None:
            raise UserError("evaluation needs an eval_dataset")
        return self._lane_loader(stream, self.args.eval_batch_size, self.args.world_size)

    def get_test_dataloader(self, test_dataset: TokenStream) -> DataLoader:
        return self.get_eval_dataloader(test_dataset)

    # ---- training: carried state ----
    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._micro_batch = (self._micro_batch + 1) % len(self._states)
        return loss

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        inputs = dict(inputs)
        lane_start = inputs.pop("lane_start")
        state = self._states[self._micro_batch]
        if state is not None:
            if self.state_reset_probability:
                lane_start = lane_start | self._chosen_lanes(len(lane_start)).to(lane_start.device)
            state = state.reset(lane_start)
        loss, outputs = super().compute_loss(
            model,
            {**inputs, "cache_params": state, "use_cache": True},
            return_outputs=True,
            num_items_in_batch=num_items_in_batch,
        )
        self._states[self._micro_batch] = outputs["cache_params"].detach()
        return (loss, outputs) if return_outputs else loss

    def _chosen_lanes(self, lanes: int) -> torch.Tensor:
        """Which of this process's lanes begin with zeros: drawn for all lanes, so that a lane is chosen or not however
        many processes share the lanes."""
        args = self.args
        chance = torch.Generator().manual_seed(args.seed + APART * (self.state.global_step + 1))
        drawn = torch.rand(args.gradient_accumulation_steps, args.world_size, lanes, generator=chance)
        return drawn[self._micro_batch, args.process_index] < self.state_reset_probability

    # ---- checkpoints: the carried state beside the optimizer's ----
    def _layout(self) -> LaneLayout:
        args = self.args
        return LaneLayout(self._train_batch_size, args.gradient_accumulation_steps, args.world_size, self.bptt_length)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        tensors = {
            f"{slot}/{name}": tensor.cpu()
            for slot, state in enumerate(self._states)
            if state is not None
            for name, tensor in state.to_dict().items()
        }
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        metadata = {name: str(size) for name, size in asdict(self._layout()).items()}
        save_file(tensors, state_file(output_dir, self.args.process_index), metadata=metadata)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        kept = CarriedStates(checkpoint, self._layout())
        for slot in range(len(self._states)):
            if (state := kept.state(slot, self.args.process_index)) is not None:
                self._states[slot] = state.to(self.args.device)

    # ---- evaluation: every token once, with carried state ----
    def evaluation_loop(
        self, dataloader, description, prediction_loss_only=None, ignore_keys=None, metric_key_prefix="eval"
    ) -> EvalLoopOutput:
        """Negative log-likelihood over the whole stream, the state carried from chunk to chunk in each lane."""
        with self.measured_by_parts():
            return self._evaluate_stream(dataloader, metric_key_prefix)

    def _evaluate_stream(self, dataloader, metric_key_prefix: str) -> EvalLoopOutput:
        model = self._wrap_model(self.model, training=False)
        if len(self.accelerator._models) == 0 and model is self.model:
            model = self.accelerator.prepare_model(model, evaluation_mode=True)
        if not self.is_in_train and (self.args.fp16_full_eval or self.args.bf16_full_eval):
            model = model.to(torch.float16 if self.args.fp16_full_eval else torch.bfloat16)
        model.eval()
        self.callback_handler.eval_dataloader = dataloader

        nats, targets = [], []
        state = None
        for inputs in dataloader:
            inputs = self._prepare_inputs(inputs)
            inputs.pop("lane_start")
            with torch.no_grad(), self.compute_loss_context_manager():
                outputs = model(**inputs, cache_params=state, use_cache=True, num_items_in_batch=1)
            state = outputs["cache_params"]
            nats.append(outputs["loss"].float())
            targets.append((inputs["shift_labels"] != -100).sum())
            self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        sums = torch.stack([torch.stack(nats).cpu().double().sum(), torch.stack(targets).cpu().double().sum()])
        sums = self.accelerator.gather(sums.to(self.args.device)[None]).sum(0)  # over the processes
        loss, num_targets = (sums[0] / sums[1]).item(), int(sums[1].item())

        dataset = dataloader.dataset
        metrics = {"loss": loss, **likelihood_measures(loss, dataset.stream)}
        metrics |= {"tokens": num_targets, "lanes": dataset.lanes}
        return EvalLoopOutput(
            predictions=None,
            label_ids=None,
            metrics={f"{metric_key_prefix}_{name}": value for name, value in metrics.items()},
            num_samples=num_targets,
        )

    # ---- reports ----
    @property
    def work_of_a_step(self) -> tuple[int, str]:
        return self._layout().lanes * self.bptt_length, "tokens"

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self.train_dataset is not None:
            logs |= likelihood_measures(logs["loss"], self.train_dataset)
        super().log(logs, start_time)


def perplexity_of(loss: float) -> float:
    """exp(loss), from nats a token; of a loss above 700, where it would overflow, exp(700)."""
    return math.exp(min(loss, 700.0))


def likelihood_measures(loss: float, stream: TokenStream) -> dict[str, float]:
    """Perplexity `exp(loss)` and bits per character `loss / ln 2 · tokens / characters`, from nats a token."""
    measures = {"perplexity": perplexity_of(loss)}
    if stream.tokens_per_character is not None:
        measures["bits_per_character"] = loss / math.log(2) * stream.tokens_per_character
    return measures
