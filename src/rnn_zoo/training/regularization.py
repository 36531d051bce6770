"""What keeps a model of few examples from learning them by heart, beside the dropouts of its configuration: adversarial
training, and averaged weights.

Sizes: `B` rows, `T` time, `D` features of the stack's input.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.utils.checkpoint import get_device_states, set_device_states
from transformers import TrainerCallback, TrainingArguments

from ..errors import UserError
from ..ranges import check_ranges
from .keys import RegularizationArguments
from .whole_checkpoints import WholeCheckpointTrainer

AVERAGES_FILE = "averaged_weights.safetensors"
State = tuple[torch.Tensor, tuple[Any, Any]]  # of the random numbers: the CPU's, and devices with theirs


def check_regularization(
    args: RegularizationArguments, training: TrainingArguments, backprop_length: int | None
) -> None:
    """What no type can say.

    Args:
        backprop_length: of the model.

    Raises:
        UserError: for the first such setting.
    """
    check_ranges(args)
    if args.weight_averaging and training.load_best_model_at_end:
        raise UserError(
            "weight_averaging: does not go with load_best_model_at_end, which would bring back weights that are not "
            "averaged"
        )
    if args.adversarial_epsilon and backprop_length:
        raise UserError("adversarial_epsilon: does not go with backprop_length, which reads a text in pieces")


class RegularizedTrainer(WholeCheckpointTrainer):
    """A `Trainer` with adversarial training and averaged weights.

    Args:
        regularization: `None` makes it a plain `Trainer`.

    Raises:
        UserError: (a `ValueError`) for settings out of their range, or that do not go together.
    """

    def __init__(self, model=None, args=None, *others, regularization: RegularizationArguments | None = None, **kwargs):
        super().__init__(model, args, *others, **kwargs)
        regularization = regularization or RegularizationArguments()
        check_regularization(regularization, self.args, getattr(self.model.config, "backprop_length", None))
        self.adversarial_epsilon = regularization.adversarial_epsilon
        self.averages: AveragedWeights | None = None
        if regularization.weight_averaging:
            if self.is_fsdp_enabled or self.is_deepspeed_enabled:
                raise UserError("weight_averaging: needs the whole weights in each process (no FSDP, no DeepSpeed)")
            self.averages = AveragedWeights(self.model, regularization.weight_averaging)
            self.add_callback(self.averages)

    # ---- adversarial training ----
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The mean of the loss and of that of the moved vectors, with the same dropout in both."""
        if not (self.adversarial_epsilon and model.training):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        whole = self.accelerator.unwrap_model(model)
        stack = whole.base_model.stack
        seen: list[tuple[torch.Tensor, torch.Tensor | None]] = []

        def see(module, arguments):
            x, *others = arguments
            if not x.requires_grad:  # of frozen embeddings
                x = x.detach().requires_grad_()
            seen.append((x, others[1]))
            return x, *others

        numbers = random_state(inputs)
        with hooked(stack, see):  # not through what gathers gradients over processes: that is for one pass a step
            plain, outputs = super().compute_loss(whole, dict(inputs), True, num_items_in_batch)
        ((x, mask),) = seen
        (gradient,) = torch.autograd.grad(plain, x, retain_graph=True)
        moved = adversarial_perturbation(x.detach(), gradient, mask, self.adversarial_epsilon)
        set_random_state(numbers)
        with hooked(stack, lambda module, arguments: (arguments[0] + moved.to(arguments[0].dtype), *arguments[1:])):
            adversarial = super().compute_loss(model, dict(inputs), False, num_items_in_batch)
        loss = (plain + adversarial) / 2
        return (loss, outputs) if return_outputs else loss

    # ---- averaged weights ----
    def evaluation_loop(self, *args, **kwargs):
        if self.averages is None or not self.is_in_train:
            return super().evaluation_loop(*args, **kwargs)
        with self.averages.in_place():
            return super().evaluation_loop(*args, **kwargs)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.averages is not None and self.args.should_save:
            self.averages.save(Path(output_dir) / AVERAGES_FILE)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if self.averages is not None and checkpoint is not None:
            self.averages.load(Path(checkpoint) / AVERAGES_FILE)


def adversarial_perturbation(
    x: torch.Tensor, gradient: torch.Tensor, mask: torch.Tensor | None, epsilon: float
) -> torch.Tensor:
    """r = ε ‖x‖ g / ‖g‖ for each row, the direction in which its loss grows fastest (Miyato, Dai, Goodfellow 2017,
    "Adversarial Training Methods for Semi-Supervised Text Classification", equation 5).

    The paper scales the word vectors to mean 0 and variance 1, so that they cannot outgrow a perturbation of fixed
    length; here its length goes with theirs instead. At the paper's sizes (400 words of 256 features) its ε of 5 is
    0.016 here.

    Args:
        x: `(B, T, D)`, the word vectors.
        gradient: `(B, T, D)`, of the loss.
        mask: `(B, T)`, true on real words, or `None`; others are left where they are.
        epsilon: at least 0.

    Returns:
        `(B, T, D)`; 0 for a row whose gradient is 0.
    """
    if mask is not None:
        x, gradient = (t.masked_fill(~mask[..., None].bool(), 0) for t in (x, gradient))
    length, steepness = (t.float().flatten(1).norm(dim=1)[:, None, None] for t in (x, gradient))  # (B, 1, 1)
    return epsilon * length * gradient / steepness.clamp(min=torch.finfo(torch.float32).tiny)


@contextmanager
def hooked(module: torch.nn.Module, hook) -> Iterator[None]:
    """Calls `hook` with the arguments of each forward pass of `module`, which it may change."""
    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def random_state(inputs: dict[str, Any]) -> State:
    """That of the CPU's random numbers, and of the devices on which the inputs are."""
    return torch.get_rng_state(), get_device_states(*inputs.values())


def set_random_state(state: State) -> None:
    """Goes back to what `random_state` has returned."""
    cpu, (devices, states) = state
    torch.set_rng_state(cpu)
    set_device_states(devices, states)


class AveragedWeights(TrainerCallback):
    """A moving average of a model's weights, which takes their place when training ends (Polyak and Juditsky 1992;
    in the exponential form of Kingma and Ba 2015, "Adam", section 7.2, corrected for its beginning as theirs is).

    After step t: avg_t = avg_{t-1} + (1 - β) / (1 - β^t) (θ_t - avg_{t-1})

    Args:
        model: whose parameters are averaged, and its statistics of batches.
        decay: β, in [0, 1).
    """

    def __init__(self, model: torch.nn.Module, decay: float):
        self.decay = decay
        self.weights: dict[str, torch.Tensor] = dict(model.named_parameters())
        self.weights |= {name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()}
        self.averages: dict[str, torch.Tensor] = {}

    def on_train_begin(self, args, state, control, **kwargs):
        if state.global_step == 0:
            self.averages = {name: weight.detach().clone() for name, weight in self.weights.items()}

    @torch.no_grad()
    def on_step_end(self, args, state, control, **kwargs):
        share = (1 - self.decay) / (1 - self.decay**state.global_step)
        for name, weight in self.weights.items():
            self.averages[name].lerp_(weight, share)

    def on_train_end(self, args, state, control, **kwargs):
        self._exchange()
        self.averages = {}

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, weight in self.weights.items():
            weight_now = weight.detach().clone()
            weight.copy_(self.averages[name])
            self.averages[name] = weight_now

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The averages stand in the model, and afterwards its own weights again."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: average.cpu() for name, average in self.averages.items()}, path)

    def load(self, path: Path) -> None:
        """
        Raises:
            UserError: if the file is missing.
        """
        if not path.is_file():
            raise UserError(f"weight_averaging: {path} is missing, so the run that is resumed averaged no weights")
        device = next(iter(self.weights.values())).device
        self.averages = load_file(path, device=str(device))
