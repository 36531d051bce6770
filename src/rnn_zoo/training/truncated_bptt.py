"""Truncated back-propagation through time in `transformers.Trainer`.

Williams and Peng 1990, "An Efficient Gradient-Based Algorithm for On-Line Training of Recurrent Network Trajectories":
the text is read in chunks; the state goes on from chunk to chunk, the gradient stops at their border.

Sizes: `B` rows of a batch, `T` steps of a chunk.
"""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader, SequentialSampler
from transformers import TrainingArguments
from transformers.trainer_utils import EvalLoopOutput

from ..data.document_stream import DocumentStream
from ..data.token_stream import LaneDataset, TokenStream
from ..errors import UserError
from ..models.recurrent_state import RecurrentState
from .lanes import CarriedStates, LaneLayout, state_file
from .run_trainer import APART, RunTrainer
from .streamed_lanes import StreamedLanes


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
        train_dataset: the text to train on, or documents that are read as they come.
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
        train_dataset: TokenStream | DocumentStream | None = None,
        eval_dataset: TokenStream | dict[str, TokenStream] | None = None,
        *,
        bptt_length: int = 64,
        state_reset_probability: float = 0.0,
        **kwargs,
    ):
        require_streams("train_dataset", train_dataset, TokenStream, DocumentStream)
        for text in eval_dataset.values() if isinstance(eval_dataset, dict) else [eval_dataset]:
            require_streams("eval_dataset", text, TokenStream)
        super().__init__(model, args, train_dataset=train_dataset, eval_dataset=eval_dataset, **kwargs)
        self.model.config.use_cache = True  # Trainer switches it off, for caches that grow
        if not 0 <= state_reset_probability < 1:
            raise UserError(f"state_reset_probability={state_reset_probability}: must be in [0, 1)")
        self.bptt_length = bptt_length
        self.state_reset_probability = state_reset_probability
        self._states: list[RecurrentState | None] = []
        self._micro_batch = 0
        self._streamed: StreamedLanes | None = None
        if isinstance(self.train_dataset, DocumentStream):
            self._streamed = StreamedLanes(self.train_dataset, bptt_length)
            self.add_part(self._streamed)

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
        if self._streamed is not None:
            return self._streamed.loader(self._layout())
        return self._lane_loader(self.train_dataset, self._train_batch_size, self._layout().groups)

    def _run_epoch(self, **kwargs):
        if self._streamed is not None:
            self._streamed.batches.behind = kwargs["steps_trained_in_current_epoch"]
        return super()._run_epoch(**kwargs)

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
                chosen = self._chosen_lanes(len(lane_start))
                if lane_start.device.type == "cuda":  # a copy from other memory would wait for the GPU
                    chosen = chosen.pin_memory()
                lane_start = lane_start | chosen.to(lane_start.device, non_blocking=True)
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


def require_streams(name: str, given: Any, *kinds: type) -> None:
    """Raises `UserError` for a data set of rows."""
    if given is not None and not isinstance(given, kinds):
        raise UserError(
            f"{name}: truncated back-propagation reads one stream of tokens in lanes "
            f"({' or '.join(kind.__name__ for kind in kinds)}), no {type(given).__name__}; rows are for "
            "transformers.Trainer"
        )


def perplexity_of(loss: float) -> float:
    """exp(loss), from nats a token; of a loss above 700, where it would overflow, exp(700)."""
    return math.exp(min(loss, 700.0))


def likelihood_measures(loss: float, stream: TokenStream | DocumentStream) -> dict[str, float]:
    """Perplexity `exp(loss)` and bits per character `loss / ln 2 · tokens / characters`, from nats a token."""
    measures = {"perplexity": perplexity_of(loss)}
    if stream.tokens_per_character is not None:
        measures["bits_per_character"] = loss / math.log(2) * stream.tokens_per_character
    return measures
