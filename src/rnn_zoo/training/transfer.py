"""Fine-tuning of a model that begins with a language model's weights, as ULMFiT does it (Howard and Ruder 2018,
"Universal Language Model Fine-tuning for Text Classification", sections 3.2 and 3.3).

Layers are counted from the top: the head, the layers of the stack from the last to the first, the embeddings.
"""

import math
import re
from functools import partial
from typing import Any

import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainingArguments,
)

from ..checkpoints import load_checkpoint, place_of
from ..errors import UserError
from ..language_model_weights import init_from_language_model
from ..models.keys import keys_of
from ..models.keys_embedding import EmbeddingKeys
from ..models.keys_stack import DirectionKeys, StackKeys
from ..models.modeling_causal_lm import RnnForCausalLM
from ..models.modeling_rnn import RnnPreTrainedModel
from ..ranges import check_ranges
from .keys import TransferArguments
from .regularization import RegularizedTrainer

# What a language model has decided for a model that goes on from it; it is itself never bidirectional.
OF_THE_STACK = tuple(
    name
    for group in (StackKeys, EmbeddingKeys, DirectionKeys)
    for name, one in keys_of(group).items()
    if one.shapes_weights and one.given_by == "recipe" and one.heads is None and name != "bidirectional"
)
CUT = {"slanted_triangular": 0.1, "one_cycle": 0.3}  # share of the steps in which the rate rises
LOWEST = {"slanted_triangular": 1 / 32, "one_cycle": 1 / 25}  # of the highest rate, at the beginning
BETA1 = 0.85, 0.95  # AdamW's first beta falls while the rate rises, and back
# AdamW's betas for the weights of n-grams. With the usual 0.999 the one gradient of a rare n-gram moves its weight for
# many steps, five times as far as this does: rare ones are then learnt by heart.
OF_NGRAMS = 0.9, 0.9


def check_transfer(args: TransferArguments, training: TrainingArguments) -> None:
    """What no type can say.

    Raises:
        UserError: for the first such setting.
    """
    check_ranges(args)
    if args.lr_schedule != "none" and training.lr_scheduler_type != "linear":
        raise UserError(f"lr_schedule={args.lr_schedule!r}: stands in place of lr_scheduler_type; give one of them")
    if args.gradual_unfreezing and training.gradient_checkpointing:
        raise UserError("gradual_unfreezing: does not go with gradient_checkpointing")


def load_language_model(name: str) -> tuple[RnnForCausalLM, PreTrainedTokenizerBase]:
    """A language model of ours and its tokenizer, from a folder or the Hub.

    Raises:
        UserError: if there is none.
    """
    try:
        return load_checkpoint(place_of(name), RnnForCausalLM, "language model")
    except UserError as error:
        raise UserError(f"language_model={name!r}: {error}") from error


def of_language_model(recipe, language_model: RnnForCausalLM) -> dict[str, Any]:
    """What a language model decides in the configuration of a model that goes on from it.

    Raises:
        UserError: if the recipe has set one of these keys to something else.
    """
    decided = {key: getattr(language_model.config, key) for key in OF_THE_STACK}
    if recipe.model["bidirectional"]:
        del decided["reads_backward"]  # it becomes one of the two directions
    for key, value in decided.items():
        if key in recipe.values and recipe.model[key] != value:
            raise UserError(
                f"{key}={recipe.model[key]!r}: the language model {recipe.transfer.language_model} has {value!r}; "
                "leave the key out"
            )
    return decided


def load_encoder(
    model: RnnPreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    language_model: RnnForCausalLM,
    its_tokenizer: PreTrainedTokenizerBase,
) -> int:
    """Gives a model the weights of a language model: all of them where it reads forward as well and has the same words,
    else what `init_from_language_model` can.

    Returns:
        How many tokens have the language model's embedding.

    Raises:
        UserError: if the two do not fit.
    """
    same = tokenizer.get_vocab() == its_tokenizer.get_vocab()
    if same and not model.config.bidirectional and model.base_model.characters is None:
        model.base_model.load_state_dict(language_model.base_model.state_dict())
        return model.config.vocab_size
    try:
        return init_from_language_model(model, language_model, None if same else (tokenizer, its_tokenizer))
    except ValueError as error:
        raise UserError(f"language_model: {error}") from error


# ---- layers ----
def depth_of(name: str, model: PreTrainedModel) -> int:
    """How deep a parameter stands: 0 the head, 1 the last layer, and so on; the embeddings deepest."""
    layers = model.config.num_hidden_layers
    prefix = f"{model.base_model_prefix}."
    if not name.startswith(prefix):
        return 0
    if match := re.match(rf"{prefix}stack\.layers\.(\d+)\.", name):
        return layers - int(match[1])
    return 1 if name.startswith(f"{prefix}stack.") else layers + 1


class TransferTrainer(RegularizedTrainer):
    """A `RegularizedTrainer` with a learning rate for each layer and for direct connections, gradual unfreezing, and
    the schedules of ULMFiT and one-cycle.

    Args:
        transfer: `None` makes it a plain `RegularizedTrainer`.
    """

    def __init__(self, model=None, args=None, *others, transfer: TransferArguments | None = None, **kwargs):
        self.transfer = transfer or TransferArguments()
        if self.transfer.gradual_unfreezing and args is not None:
            # Frozen layers have no gradient, which several processes must know of each other.
            args.ddp_find_unused_parameters = True
        super().__init__(model, args, *others, **kwargs)
        if self.transfer.gradual_unfreezing:
            self.add_callback(GradualUnfreezing())

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        fresh = self.optimizer is None
        optimizer = super().create_optimizer(model)
        decay = self.transfer.layer_lr_decay
        if fresh and decay < 1:
            depth = {p: depth_of(name, self.model) for name, p in self.model.named_parameters()}
            deepest = max(depth.values())
            optimizer.param_groups[:] = [
                {**group, "params": params, "lr": group["lr"] * decay**n}
                for n in range(deepest + 1)
                for group in optimizer.param_groups
                if (params := [p for p in group["params"] if depth[p] == n])
            ]
        direct = getattr(self.model, "direct", None)
        if fresh and direct is not None:
            apart = set(direct.parameters())
            for group in optimizer.param_groups:
                group["params"] = [p for p in group["params"] if p not in apart]
            rate = self.transfer.direct_learning_rate or self.args.learning_rate
            optimizer.add_param_group({"params": list(apart), "lr": rate, "betas": OF_NGRAMS, "weight_decay": 0.0})
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None):
        kind = self.transfer.lr_schedule
        if kind == "none" or getattr(self, "lr_scheduler", None) is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        optimizer = optimizer or self.optimizer
        assert optimizer is not None  # Trainer makes it first
        rising = self.args.get_warmup_steps(num_training_steps) or round(CUT[kind] * num_training_steps)
        schedule: torch.optim.lr_scheduler.LRScheduler
        if kind == "slanted_triangular":
            shape = partial(slanted_triangle, rising=rising, steps=num_training_steps)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)
        else:
            low, high = BETA1
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=[group["lr"] for group in optimizer.param_groups],
                total_steps=num_training_steps + 1,  # Trainer takes a step after the last one too
                pct_start=rising / (num_training_steps + 1),
                div_factor=1 / LOWEST[kind],
                base_momentum=low,
                max_momentum=high,
            )
        self.lr_scheduler = schedule
        self._created_lr_scheduler = True
        return schedule


def slanted_triangle(step: int, rising: int, steps: int) -> float:
    """The share of the highest rate at a step: from a 32nd to 1 in `rising` steps, then back (equation 3, ratio 32)."""
    lowest = LOWEST["slanted_triangular"]
    share = step / max(rising, 1) if step < rising else (steps - step) / max(steps - rising, 1)
    return lowest + (1 - lowest) * max(share, 0.0)


class GradualUnfreezing(TrainerCallback):
    """Freezes all but the head, and from the second epoch on all but the head and one layer, two layers, and so on."""

    def on_epoch_begin(self, args, state, control, model=None, **kwargs):
        whole = getattr(model, "module", model)  # inside DistributedDataParallel
        for name, parameter in whole.named_parameters():
            parameter.requires_grad_(depth_of(name, whole) <= math.floor((state.epoch or 0) + 1e-6))

    def on_train_end(self, args, state, control, model=None, **kwargs):
        model.requires_grad_(True)
