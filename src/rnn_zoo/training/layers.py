"""Layers that learn at rates of their own, or begin to learn later, as parts of a training.

Layers are counted from the top: the head, the layers of the stack from the last to the first, the embeddings (Howard
and Ruder 2018, "Universal Language Model Fine-tuning for Text Classification", section 3.3).
"""

import math
import re

from transformers import PreTrainedModel

from .parts import Part

# AdamW's betas for the weights of n-grams. With the usual 0.999 the one gradient of a rare n-gram moves its weight for
# many steps, five times as far as this does: rare ones are then learnt by heart.
OF_NGRAMS = 0.9, 0.9


def depth_of(name: str, model: PreTrainedModel) -> int:
    """How deep a parameter stands: 0 the head, 1 the last layer, and so on; the embeddings deepest."""
    layers = model.config.num_hidden_layers
    prefix = f"{model.base_model_prefix}."
    if not name.startswith(prefix):
        return 0
    if match := re.match(rf"{prefix}stack\.layers\.(\d+)\.", name):
        return layers - int(match[1])
    return 1 if name.startswith(f"{prefix}stack.") else layers + 1


class LayerRates(Part):
    """The learning rate of a layer is that of the layer above times `decay`, the head's being `learning_rate`.

    Args:
        decay: in (0, 1].
    """

    key = "layer_lr_decay"

    def __init__(self, decay: float):
        self.decay = decay

    def arrange_groups(self, optimizer):
        model = self.trainer.model
        depth = {p: depth_of(name, model) for name, p in model.named_parameters()}
        optimizer.param_groups[:] = [
            {**group, "params": params, "lr": group["lr"] * self.decay**n}
            for n in range(max(depth.values()) + 1)
            for group in optimizer.param_groups
            if (params := [p for p in group["params"] if depth[p] == n])
        ]


class DirectRate(Part):
    """Direct connections from n-grams learn without weight decay, with betas and a rate of their own.

    Args:
        rate: `learning_rate` if `None`.
    """

    key = "direct_learning_rate"

    def __init__(self, rate: float | None = None):
        self.rate = rate

    def arrange_groups(self, optimizer):
        direct = getattr(self.trainer.model, "direct", None)
        if direct is None:
            return
        apart = set(direct.parameters())
        for group in optimizer.param_groups:
            group["params"] = [p for p in group["params"] if p not in apart]
        rate = self.rate or self.trainer.args.learning_rate
        optimizer.add_param_group({"params": list(apart), "lr": rate, "betas": OF_NGRAMS, "weight_decay": 0.0})


class GradualUnfreezing(Part):
    """Freezes all but the head, and from the second epoch on all but the head and one layer, two layers, and so on."""

    key = "gradual_unfreezing"

    def arrange(self, args):
        # Frozen layers have no gradient, which several processes must know of each other.
        args.ddp_find_unused_parameters = True

    def on_epoch_begin(self, args, state, control, model=None, **kwargs):
        whole = getattr(model, "module", model)  # inside DistributedDataParallel
        for name, parameter in whole.named_parameters():
            parameter.requires_grad_(depth_of(name, whole) <= math.floor((state.epoch or 0) + 1e-6))

    def on_train_end(self, args, state, control, model=None, **kwargs):
        model.requires_grad_(True)
