"""What keeps a model of few examples from learning them by heart, beside the dropouts of its configuration: adversarial
training, and averaged weights.

Sizes: `B` rows, `T` time, `D` features of the stack's input.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.utils.checkpoint import get_device_states, set_device_states

from ..errors import UserError
from .parts import Part

AVERAGES_FILE = "averaged_weights.safetensors"
State = tuple[torch.Tensor, tuple[Any, Any]]  # of the random numbers: the CPU's, and devices with theirs


def check_pieces(backprop_length: int | None) -> None:
    """Raises `UserError` for a model that reads a text in pieces, each of which has vectors of its own."""
    if backprop_length:
        raise UserError("adversarial_epsilon: does not go with backprop_length, which reads a text in pieces")


class AdversarialTraining(Part):
    """Trains also on each text's word vectors moved where that raises the loss most: the loss is the mean of both, with
    the same dropout in both (see `adversarial_perturbation`).

    Args:
        epsilon: length of the perturbation, as a share of that of the vectors.
    """

    key = "adversarial_epsilon"

    def __init__(self, epsilon: float):
        self.epsilon = epsilon

    def join(self, trainer):
        super().join(trainer)
        check_pieces(getattr(trainer.model.config, "backprop_length", None))

    def loss(self, compute, model, inputs):
        if not model.training:
            return compute(model, inputs)
        whole = self.trainer.accelerator.unwrap_model(model)
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
            plain, outputs = compute(whole, dict(inputs))
        ((x, mask),) = seen
        scaler = self.trainer.accelerator.scaler  # without it, small gradients are 0 in half precision
        (gradient,) = torch.autograd.grad(plain if scaler is None else scaler.scale(plain), x, retain_graph=True)
        moved = adversarial_perturbation(x.detach(), gradient, mask, self.epsilon)
        set_random_state(numbers)
        with hooked(stack, lambda module, arguments: (arguments[0] + moved.to(arguments[0].dtype), *arguments[1:])):
            adversarial, _ = compute(model, dict(inputs))
        return (plain + adversarial) / 2, outputs


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
        `(B, T, D)`; 0 for a row whose gradient is 0, or not finite, as that of a scaled loss may be: its step is then
        left out.
    """
    if mask is not None:
        x, gradient = (t.masked_fill(~mask[..., None].bool(), 0) for t in (x, gradient))
    length, steepness = (t.float().flatten(1).norm(dim=1)[:, None, None] for t in (x, gradient))  # (B, 1, 1)
    moved = epsilon * length * gradient / steepness.clamp(min=torch.finfo(torch.float32).tiny)
    return moved.masked_fill(~steepness.isfinite(), 0)


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


class AveragedWeights(Part):
    """A moving average of a model's weights, which is what evaluations measure, and which takes their place when
    training ends (Polyak and Juditsky 1992; in the exponential form of Kingma and Ba 2015, "Adam", section 7.2,
    corrected for its beginning as theirs is).

    After step t: avg_t = avg_{t-1} + (1 - β) / (1 - β^t) (θ_t - avg_{t-1})

    Args:
        decay: β, in [0, 1).

    Attributes:
        weights: the model's parameters, and its statistics of batches, by name.
        averages: of them.
    """

    key = "weight_averaging"

    def __init__(self, decay: float):
        self.decay = decay
        self.weights: dict[str, torch.Tensor] = {}
        self.averages: dict[str, torch.Tensor] = {}

    def join(self, trainer):
        super().join(trainer)
        self.weights = dict(trainer.model.named_parameters())
        buffers = trainer.model.named_buffers()
        self.weights |= {name: buffer for name, buffer in buffers if buffer.is_floating_point()}

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
    def measured(self) -> Iterator[None]:
        """The averages stand in the model, and afterwards its own weights again."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def save(self, folder):
        if self.trainer.args.should_save:
            folder.mkdir(parents=True, exist_ok=True)
            save_file({name: average.cpu() for name, average in self.averages.items()}, folder / AVERAGES_FILE)

    def load(self, folder):
        path = folder / AVERAGES_FILE
        if not path.is_file():
            raise UserError(f"weight_averaging: {path} is missing, so the run that is resumed averaged no weights")
        device = next(iter(self.weights.values())).device
        self.averages = load_file(path, device=str(device))
