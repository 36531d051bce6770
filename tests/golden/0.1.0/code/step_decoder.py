"""A language model one token at a time, for generation on a CPU.

Sizes: `B` batch, `E` embedding, `H` hidden, `V` vocabulary, `P` the first layer's input projection.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from .recurrent_cell import RecurrentCell
from .recurrent_stack import RecurrentLayer, RecurrentStack, StackStep
from .recurrent_state import RecurrentState

MAX_ROWS = 4096  # of the table; a larger vocabulary is projected token by token


class StepDecoder:
    """Scores of the next token from one token and the state: `RnnForCausalLM.forward` without what a sequence needs.

    As soon as it has met as many tokens as the vocabulary has, it keeps the first layer's input projection of them all
    (embedding times W_ih, `(V, P)`), so that the rest of the text only looks it up. The table is dropped when one of
    the weights in it is moved, replaced or changed in place; only changes through `Parameter.data` go unnoticed.

    Args:
        model: an `RnnForCausalLM` for which `suits(model)` is true.
    """

    def __init__(self, model):
        self.model = model
        self.step = StackStep(model.model.stack)
        self.tokens_met = 0
        self.table: tuple[torch.Tensor, torch.Tensor] | None = None
        self.table_of: list[tuple[int, int]] = []

    @staticmethod
    def suits(model) -> bool:
        """Whether the short cut computes what `forward` would.

        Not on a GPU, where cuDNN's step is the short one; not under autocast, in training or in a compiled model; and
        not where something stands around a module whose `forward` is passed by: a hook, an adapter, a shard.
        """
        base = model.model
        if model.training or torch.is_autocast_enabled("cpu") or model._compiled_call_impl is not None:
            return False
        if any(p.device.type != "cpu" for p in model.parameters()) or type(base.stack) is not RecurrentStack:
            return False
        passed_by: list[nn.Module] = [base, base.stack]
        for layer in base.stack.layers:
            if type(layer) is not RecurrentLayer or not isinstance(layer.cells[0], RecurrentCell):
                return False
            passed_by += [layer, layer.cells[0]]
        return not any(
            m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m) or parametrize.is_parametrized(m)
            for m in passed_by
        )

    def __call__(self, tokens: torch.Tensor, state: RecurrentState) -> tuple[torch.Tensor, RecurrentState]:
        """`tokens (B)` and the state before them -> scores `(B, V)` of what follows, and the state after them."""
        x, z = self.input_of(tokens)
        y, layers = self.step(x, state.layers, z)
        return self.model.scores(y), RecurrentState(layers)

    def input_of(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The first layer's input `(B, E)` and its projection `(B, P)`."""
        embed_tokens, size = self.model.model.embed_tokens, self.model.config.vocab_size
        if self.table is not None and self.table_of != self.weights():
            self.table = None
        if self.table is None:
            self.tokens_met += len(tokens)
            if size > min(self.tokens_met, MAX_ROWS):
                x = embed_tokens(tokens)
                return x, self.step.project(x)
            rows = embed_tokens(torch.arange(size))
            self.table, self.table_of = (rows, self.step.project(rows)), self.weights()
        return F.embedding(tokens, self.table[0]), F.embedding(tokens, self.table[1])

    def weights(self) -> list[tuple[int, int]]:
        """What tells that the weights in the table are still those they were: where they lie, and how often written."""
        cell, norm, _ = self.step.layers[0]
        weights = [self.model.model.embed_tokens.weight, *cell._parameters.values()]
        if norm is not None:
            weights += norm._parameters.values()
        return [(w.data_ptr(), 0 if w.is_inference() else w._version) for w in weights]
