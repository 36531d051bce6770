"""A language model one token at a time, for generation on a CPU.

Sizes: `B` batch, `H` hidden, `V` vocabulary.
"""

import torch
from torch import nn

from .recurrent_cell import RecurrentCell
from .recurrent_stack import RecurrentLayer, RecurrentStack
from .recurrent_state import RecurrentState

# Tokens whose rows are kept; a character model meets no more, a word model's commonest words are most of its text.
MAX_ROWS = 4096


class StepDecoder:
    """Scores of the next token from one token and the state: `RnnForCausalLM.forward` without what a sequence needs.

    At batch 1 the first layer's input projection of each token is computed when it is first met and kept: embedding
    times W_ih as a table that fills as the text does. The table knows nothing of later changes of the weights, so a
    decoder serves one run of generation; the next makes a new one.

    Args:
        model: an `RnnForCausalLM` for which `suits(model)` is true.
    """

    def __init__(self, model):
        self.model = model
        self.embed_tokens = model.model.embed_tokens
        self.stack = model.model.stack
        self.first_layer = self.stack.layers[0]
        self.rows: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

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
        return not any(m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m) for m in passed_by)

    def __call__(self, tokens: torch.Tensor, state: RecurrentState) -> tuple[torch.Tensor, RecurrentState]:
        """`tokens (B)` and the state before them -> scores `(B, V)` of what follows, and the state after them."""
        x, z = self.input_of(tokens)
        y, layers = self.stack.step(x, state.layers, z)
        return self.model.scores(y), RecurrentState(layers)

    def input_of(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The first layer's input `(B, E)` and its projection."""
        token = int(tokens) if len(tokens) == 1 else None
        if token in self.rows:
            return self.rows[token]
        x = self.embed_tokens(tokens)
        row = x, self.first_layer.project(x)
        if token is not None and len(self.rows) < MAX_ROWS:
            self.rows[token] = row
        return row
