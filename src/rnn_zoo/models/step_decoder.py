"""A language model one token at a time, for generation on a CPU.

Sizes: `B` batch, `E` embedding, `H` hidden, `V` vocabulary, `P` the first layer's input projection.
"""

import copy
from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from .packed_weight import PackedWeight
from .recurrent_cell import CellSteps, RecurrentCell
from .recurrent_stack import RecurrentStack, StackStep, has_plain_layers, is_hindered, parts_passed_by
from .recurrent_state import RecurrentState
from .recurrent_weight import RecurrentWeight

MAX_ROWS = 4096  # of the table; a larger vocabulary is projected token by token
PART = 1 << 12  # bytes of a weight that are looked at in one step


class KeptWeight:
    """A weight as it was, to be asked at each step whether it still is.

    A tensor counts what is written to it, but not what fused optimizers, `Parameter.data` and numpy write. So its bytes
    are compared as well, part by part: those parts that are asked for, or the parts in turn. A change of the whole
    weight is seen at once, one of single numbers that torch has not counted when its part is looked at.

    Args:
        weight: for which `can_be_kept` is true.
        size: bytes of a part; `None`: `PART`.
    """

    def __init__(self, weight: torch.Tensor, size: int | None = None):
        size = PART if size is None else size
        self.weight = weight
        self.place = weight.data_ptr(), weight._version
        self.size = size
        self.bytes = bytes_of(weight)  # what they are now
        self.kept = [self.bytes[start : start + size].tobytes() for start in range(0, len(self.bytes), size)]
        self.turn = 0

    @staticmethod
    def can_be_kept(weight: torch.Tensor) -> bool:
        """Whether it is an ordinary tensor in one piece of memory."""
        return type(weight) in (torch.Tensor, nn.Parameter) and weight.is_contiguous() and weight.device.type == "cpu"

    def is_same(self, parts: list[int] | None = None) -> bool:
        """Whether it is where it was, torch has counted no change, and these parts are what they were; without `parts`
        the one whose turn it is."""
        if (self.weight.data_ptr(), self.weight._version) != self.place:
            return False
        if parts is None:
            parts = [self.turn]
            self.turn = (self.turn + 1) % len(self.kept)
        for part in parts:
            start = part * self.size
            if self.bytes[start : start + self.size].tobytes() != self.kept[part]:
                return False
        return True


def bytes_of(weight: torch.Tensor):
    """The memory of a tensor, as an array of numpy."""
    return weight.detach().flatten().view(torch.uint8).numpy()


class StepDecoder:
    """Scores of the next token from one token and the state: `RnnForCausalLM.forward` without what a sequence needs.

    As soon as it has met as many tokens as the vocabulary has, it keeps the first layer's input projection of them all
    (embedding times W_ih, `(V, P)`), so that the rest of the text only looks it up. The table is dropped when one of
    the weights in it is moved, replaced or changed, as `KeptWeight` tells; of the embedding the rows that are read
    count, all of them.

    Args:
        model: an `RnnForCausalLM` for which `suits(model)` is true.
        precision: of the weights, one of `PRECISIONS`: other than `float32` they are packed at the first token, and
            anew when one is replaced or torch has counted a change of it. What is kept in the table, what is no
            product with a matrix and what is in blocks stays float32.
    """

    def __init__(self, model, precision: str = "float32"):
        self.model = model
        self.precision = precision
        self.places: list[tuple[int, int]] = []  # of the weights that are packed, and how often they were changed
        self.step = StackStep(model.model.stack, steps=RecurrentCell.steps)
        self.scores = model.scores
        self.passed_by = passed_by(model)
        self.tokens_met = 0
        self.table: tuple[torch.Tensor, torch.Tensor] | None = None
        self.kept: list[KeptWeight] = []  # the weights in the table, the embedding first

    @staticmethod
    def suits(model) -> bool:
        """Whether the short cut computes what `forward` would.

        Not on a GPU, where cuDNN's step is the short one; not under autocast, in training or in a compiled model; and
        not where something stands around a module whose `forward` is passed by: a hook, an adapter, a shard.
        """
        base = model.model
        if type(base.stack) is not RecurrentStack or type(base.embed_tokens) is not nn.Embedding:
            return False
        if not has_plain_layers(base.stack):
            return False
        modules = passed_by(model)
        if any(p.device.type != "cpu" or p.is_inference() for p in model.parameters()):
            return False
        return not any(parametrize.is_parametrized(m) for m in modules) and unhindered(model, modules)

    def still_suits(self) -> bool:
        """Whether `suits` still holds, asked between two steps: for what hooks, modes and adapters may have changed."""
        cells = zip(self.model.model.stack.layers, self.step.layers, strict=True)
        same = all(layer.cells._modules["0"] is cell for layer, (cell, _, _) in cells)
        return same and type(self.model.model.embed_tokens) is nn.Embedding and unhindered(self.model, self.passed_by)

    def __call__(self, tokens: torch.Tensor, state: RecurrentState) -> tuple[torch.Tensor, RecurrentState]:
        """`tokens (B)` and the state before them -> scores `(B, V)` of what follows, and the state after them."""
        if self.precision != "float32":
            self.pack()
        x, z = self.input_of(tokens)
        y, layers = self.step(x, state.layers, z)
        return self.scores(y), RecurrentState(layers)

    def pack(self) -> None:
        """Packs the weights anew, if they are not those that were packed."""
        places = [(weight.data_ptr(), weight._version) for weight in self.model.parameters()]
        if places == self.places:
            return
        self.places = places
        self.step = StackStep(self.model.model.stack, steps=partial(PackedSteps, precision=self.precision))
        head, projection = self.model.lm_head, self.model.output_projection
        plain = [type(one) in (nn.Linear, nn.Identity) and not is_hindered(one) for one in (head, projection)]
        self.scores = self.model.scores
        if type(head) is nn.Linear and all(plain):
            head, projection = packed_twin(head, self.precision), packed_twin(projection, self.precision)
            self.scores = lambda y: head(projection(y))

    def input_of(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The first layer's input `(B, E)` and its projection `(B, P)`."""
        embed_tokens = self.model.model.embed_tokens
        size = embed_tokens.num_embeddings
        if self.table is not None and self.is_stale(tokens):
            self.table = None
        if self.table is None:
            self.tokens_met += len(tokens)
            weights = self.weights()
            if size > min(self.tokens_met, MAX_ROWS) or not all(map(KeptWeight.can_be_kept, weights)):
                x = embed_tokens(tokens)
                return x, self.project(x)
            rows = embed_tokens(torch.arange(size))
            self.table = rows, self.step.project(rows)
            rows_of, *others = weights
            self.kept = [KeptWeight(rows_of, rows_of[0].nbytes), *map(KeptWeight, others)]
        return F.embedding(tokens, self.table[0]), F.embedding(tokens, self.table[1])

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """The first layer's projection of `x (B, E)`: of lower precision where a table will never take its place."""
        steps, (_, norm, _) = self.step.steps[0], self.step.layers[0]
        if not isinstance(steps, PackedSteps) or self.model.model.embed_tokens.num_embeddings <= MAX_ROWS:
            return self.step.project(x)
        return steps.cell.project(x if norm is None else norm(x))

    def weights(self) -> list[torch.Tensor]:
        """The weights that a table is made of, the embedding first."""
        cell, norm, _ = self.step.layers[0]
        norms = () if norm is None else norm._parameters.values()
        return [self.model.model.embed_tokens.weight, *cell._parameters.values(), *norms]  # type: ignore[list-item]

    def is_stale(self, tokens: torch.Tensor) -> bool:
        """Whether a weight in the table was replaced, or what is looked at now has changed."""
        parts: list[int] | None = tokens.tolist()  # of the embedding a part is a row
        for kept, weight in zip(self.kept, self.weights(), strict=True):
            if kept.weight is not weight or not kept.is_same(parts):
                return True
            parts = None
        return False


class PackedSteps(CellSteps):
    """Steps of a cell whose products are of lower precision.

    Args:
        cell: of a model in float32, in evaluation.
        precision: `float16` or `int8`.
    """

    def __init__(self, cell: RecurrentCell, precision: str):
        super().__init__(packed_twin(cell, precision))
        self.recurrent_weights = self.cell.sequence_weights()
        for weight in every_weight(self.recurrent_weights):
            if weight.product is F.linear and isinstance(weight.weight, PackedWeight):
                weight.product = weight.weight.product_with

    def advance(self, z, state):
        return self.cell.advance(z, state, self.recurrent_weights)


def packed_twin(module: nn.Module, precision: str):
    """The same module with its matrices packed; it shares all else, and the module does not change."""
    twin = copy.copy(module)
    twin._parameters = {
        name: PackedWeight.of(weight, precision) if weight is not None and weight.dim() == 2 else weight  # type: ignore[misc]
        for name, weight in module._parameters.items()
    }
    return twin


def every_weight(weights: Iterable) -> Iterator[RecurrentWeight]:
    """Those of `sequence_weights`, whatever lists and tuples they stand in."""
    for one in weights:
        if isinstance(one, RecurrentWeight):
            yield one
        elif isinstance(one, (list, tuple)):
            yield from every_weight(one)


def passed_by(model) -> list[nn.Module]:
    """The modules whose `forward` the short cut does not call, or not for each token."""
    base = model.model
    return [base, base.embed_tokens, base.stack, *parts_passed_by(base.stack)]


def unhindered(model, modules: list[nn.Module]) -> bool:
    """Whether nothing but their own `forward` would happen in `modules`, in evaluation and in full precision."""
    if model.training or model._compiled_call_impl is not None or torch.is_autocast_enabled("cpu"):
        return False
    if "forward" in vars(model):  # a compiled one, for instance; the model's hooks do run, it is called as ever
        return False
    return not any(map(is_hindered, modules))
