"""A training that diverges stops at its first loss or gradient that is not finite, before it changes the weights.

Without that, `Trainer` shows such a loss as 0, trains on, and puts weights without a meaning in the place of good ones.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.trainer_utils import get_last_checkpoint

from ..checkpoint_files import all_finite
from ..errors import Diverged
from .watching import Clipping

SHOWN_LAYERS = 8
# In half precision a gradient that overflows is no fault: the step is left out and the scale of the loss is halved.
# It begins with 2^16, so that after so many steps in a row the gradient overflows without any scale too.
MOST_OVERFLOWS = 20
# Where the library alone can say the norm of all gradients.
SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.XLA, DistributedType.MEGATRON_LM)


class FiniteTrainer(Trainer):
    """A `Trainer` that raises `Diverged` instead of going on with what is not finite.

    Looked at are, before each step of the optimizer, the loss of the step, over all processes, and the norm of its
    gradient, which `Trainer` computes anyhow; the loss of an evaluation in between; and the weights before they are
    saved. The weights then are those of the last good step, and checkpoints on the disk are left alone.

    It costs one wait for the device each step, in place of the two for each batch with which `Trainer` looks for losses
    that it hides, and with several processes one exchange of three numbers each step. So it is known without another
    wait in which steps the gradient was clipped, of which `clipped` in the log says the share.

    Attributes:
        clipping: how often the gradient was clipped.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.args.logging_nan_inf_filter = False  # which hides such losses, in training and in evaluations
        self._loss_of_step: torch.Tensor | None = None
        self._overflows = 0
        self.clipping = Clipping()
        self._has_trained = False
        self.agreed_stop = 0  # why all processes stop after this step; 0: they do not
        self._checkpoints: list[str] = []  # of this training, the newest last
        self._measured: Any = None  # the part of the data that was asked for last

    def train(self, resume_from_checkpoint: str | bool | None = None, *args, **kwargs):
        self._loss_of_step, self._overflows, self._checkpoints = None, 0, []
        self.clipping = Clipping()
        self._has_trained = True
        begun_with = resume_from_checkpoint
        if begun_with is True:
            begun_with = get_last_checkpoint(str(self.args.output_dir))
        if begun_with:
            self._checkpoints.append(str(begun_with))
        try:
            return super().train(resume_from_checkpoint, *args, **kwargs)
        except Diverged:
            self.is_in_train = False
            self.callback_handler.on_train_end(self.args, self.state, self.control)  # which tidy up
            raise

    # ---- what is measured: all rows of the part that is asked for ----
    def get_eval_dataloader(self, eval_dataset=None) -> DataLoader:
        """As `Trainer`'s, which with persistent workers gives the loader of the first part for every later one, too."""
        if eval_dataset is not self._measured:
            self._measured = eval_dataset
            getattr(self, "_eval_dataloaders", {}).pop("eval", None)
        with self._all_rows():
            return super().get_eval_dataloader(eval_dataset)

    def get_test_dataloader(self, test_dataset) -> DataLoader:
        with self._all_rows():
            return super().get_test_dataloader(test_dataset)

    @contextmanager
    def _all_rows(self) -> Iterator[None]:
        """`dataloader_drop_last` is for training: a metric sees its whole part."""
        drops, self.args.dataloader_drop_last = self.args.dataloader_drop_last, False
        try:
            yield
        finally:
            self.args.dataloader_drop_last = drops

    # ---- a step ----
    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._loss_of_step = loss if self._loss_of_step is None else self._loss_of_step + loss
        return loss

    def _clip_grad_norm(self, model):
        """Looks at the gradient before clipping: by a norm that is not finite all of it becomes 0 or NaN."""
        if self.accelerator.distributed_type in SHARDED:
            norm = super()._clip_grad_norm(model)
            self._note_clipping(self._require_finite_step(norm, clipped=True))
            return norm
        norm, parameters = self._unclipped_norm(model)
        self._note_clipping(self._require_finite_step(norm))
        torch.nn.utils.clip_grads_with_norm_(parameters, self.args.max_grad_norm, norm)
        return norm

    def _note_clipping(self, norm: float | None) -> None:
        if norm is not None and math.isfinite(norm):  # else the library does not tell it, or the step is left out
            self.clipping.note(norm > self.args.max_grad_norm)

    def _get_grad_norm(self, model, grad_norm=None):
        if grad_norm is not None:
            return super()._get_grad_norm(model, grad_norm)
        if self.accelerator.distributed_type in SHARDED:
            norm = super()._get_grad_norm(model)
        else:
            norm, _ = self._unclipped_norm(model)
        self._require_finite_step(norm)
        return norm

    def _unclipped_norm(self, model) -> tuple[torch.Tensor, list[torch.nn.Parameter]]:
        """The norm as `torch.nn.utils.clip_grad_norm_` computes it, and whose gradients it is of."""
        self.accelerator.unscale_gradients()
        parameters = [p for p in model.parameters() if p.grad is not None]
        return torch.nn.utils.get_total_norm([p.grad for p in parameters]), parameters

    def asks_to_stop(self) -> int:
        """Why this process wants to stop after this step: a number above 0; 0 if it does not."""
        return 0

    def agreed(self, number: int) -> int:
        """The greatest of the numbers that the processes give."""
        if self.args.world_size == 1:
            return number
        return int(self.accelerator.gather(torch.tensor([float(number)], device=self.args.device)).max().item())

    def _require_finite_step(self, norm: Any, clipped: bool = False) -> float | None:
        """Lets a gradient that is not finite pass only where a scaled loss explains it; the step is then left out.

        With the same message the processes agree whether they stop after this step.

        Args:
            norm: of the gradient; `None` where the library does not tell it.
            clipped: whether the gradients have been changed by it.

        Returns:
            The norm.

        Raises:
            Diverged: in all processes, where one has a loss or a gradient that is not finite.
        """
        loss, self._loss_of_step = self._loss_of_step, None
        assert loss is not None  # there was a batch
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        is_told = norm is not None
        numbers = (loss, 0.0 if norm is None else norm, float(self.asks_to_stop()))
        seen = torch.stack([torch.as_tensor(number).to(loss.device, torch.float) for number in numbers])
        if self.args.world_size > 1:
            seen = self.accelerator.gather(seen[None])  # so that all processes stop, or none
        losses, norms, stops = zip(*seen.reshape(-1, 3).tolist(), strict=True)
        self.agreed_stop = int(max(stops))
        bad_loss = next((one for one in losses if not math.isfinite(one)), None)
        finite = all(map(math.isfinite, norms))
        self._overflows = 0 if finite else self._overflows + 1
        may_overflow = getattr(self.accelerator, "scaler", None) is not None and self._overflows <= MOST_OVERFLOWS
        if bad_loss is None and (finite or may_overflow):
            return norms[0] if is_told else None
        shown = sum(losses) / len(losses) if bad_loss is None else bad_loss
        step = self.state.global_step + 1
        what = f"in step {step} the loss is {shown:.6g} and the norm of the gradient {norms[0]:.6g}"
        if not finite and self._overflows > MOST_OVERFLOWS:
            what += f", as in the {MOST_OVERFLOWS} steps before"
        raise self.diverged(what, step, None if clipped else layer_norms(self.model))

    # ---- evaluations and checkpoints ----
    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        for name, value in logs.items():
            if self.is_in_train and name.endswith("loss") and not math.isfinite(value):
                raise self.diverged(f"after step {self.state.global_step} {name} is {value}")
        if self.is_in_train and "loss" in logs and (share := self.clipping.report()) is not None:
            logs["clipped"] = share
        super().log(logs, *args, **kwargs)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """
        Raises:
            Diverged: if a weight is not finite; nothing is written.
        """
        if not self.is_fsdp_enabled:  # whose are in pieces
            self.require_finite_weights(self.model.state_dict())
        super().save_model(output_dir, _internal_call)

    def require_finite_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Raises `Diverged` if a weight is not finite."""
        for name, weight in weights.items():
            if not all_finite(weight):
                raise self.diverged(
                    f"after step {self.state.global_step} the weights {name!r} have values that are not finite"
                )

    # ---- the sentence ----
    def diverged(self, what: str, step: int | None = None, norms: Mapping[str, float] | None = None) -> Diverged:
        """What is raised.

        Args:
            what: is not finite, and where.
            step: the number of the step [the last one].
            norms: of the gradient, by layer.
        """
        if not self._has_trained:
            return Diverged(f"{what}: the training of the model has diverged")
        kept = next((folder for folder in reversed(self._checkpoints) if Path(folder).is_dir()), None)
        lines = [f"the training diverged: {what}"]
        if self.is_in_train:
            lines[0] += f" (learning rate {self._get_learning_rate():.6g})"
        if norms:
            lines += ["norm of the gradient by layer, the worst first:", *table_of(norms)]
        last = f"the last checkpoint is {kept}" if kept else "there is no checkpoint of an earlier step"
        lines.append(f"none of that was saved; {last}")
        limit = self.args.max_grad_norm
        clip = f"a lower max_grad_norm (it is {limit:g})" if limit else "max_grad_norm=1, which limits the gradient"
        half = ", or bf16 in place of fp16" if self.args.fp16 else ""
        lines.append(f"try a lower learning_rate (it is {self.args.learning_rate:g}), or {clip}{half}")
        return Diverged("\n  ".join(lines), self.state.global_step if step is None else step, kept)


def layer_norms(model: torch.nn.Module) -> dict[str, float]:
    """The norm of the gradient of each module that has weights of its own."""
    squares: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            layer = name.rpartition(".")[0] or name
            norm = torch.linalg.vector_norm(parameter.grad.cpu().double()).item()  # float32 overflows early
            squares[layer] = squares.get(layer, 0.0) + norm * norm
    return {layer: math.sqrt(square) for layer, square in squares.items()}


def table_of(norms: Mapping[str, float]) -> list[str]:
    """Lines with the worst layers: first those that are not finite, then the greatest."""
    order = sorted(norms, key=lambda layer: -norms[layer] if math.isfinite(norms[layer]) else -math.inf)
    lines = [f"{norms[layer]:>12.4g}  {layer}" for layer in order[:SHOWN_LAYERS]]
    if len(order) > SHOWN_LAYERS:
        lines.append(f"{'':>12}  ({len(order) - SHOWN_LAYERS} more)")
    return lines
