"""The contract of a recurrent cell.

Sizes: `B` batch, `T` time, `D` input, `H` hidden.

All tensors are batch-first::

    cell(x: (B, T, D), state: tuple of (B, ...) or None, mask: (B, T) bool or None) -> (y: (B, T, H), state)
    cell.project(x: (..., D)) -> z: (..., P)
    cell.sequence_weights() -> weights, a tuple
    cell.recur(z: (B, P), state, weights) -> (y: (B, H), state)

- `state` is always a tuple, in the order of `state_names`; `None` means the initial one.
- Where `mask` is 0 the state is frozen and `y` is 0. Masked steps may stand anywhere: left, right or in between.
- `recur(project(x), state, weights)` is one step of the recurrence as the paper writes it: `project` what does not wait
  for the state and so can be had for all steps at once, or once for each word of the vocabulary; `recur` the rest.
  `weights` are the hidden-to-hidden matrices, in the order of `recurrent_weights`, each to be called: `W(h)` is h Wᵀ.

A new recurrence is one subclass in a file of its own with `project`, `recur` and `init_weights`, and one line in
`cells.py`. That makes it a *looped* cell: `RecurrentCell` runs it step by step. Other kinds run the same faster, by a
`sequence` of their own: a *fused* cell is one call of a fused kernel (`cells_fused.py`), a *scanned* one is a linear
recurrence (`scan.py`; of matrices `cells_mlstm.py`). Nobody above a cell ever asks which cell it is.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from .dropout import drop_weight
from .recurrent_weight import RecurrentWeight

State = tuple[torch.Tensor, ...]
Weights = tuple[RecurrentWeight, ...]


class RecurrentCell(nn.Module):
    """What all cells share, and the plain way to run one: a loop over its steps.

    Args:
        input_size: `D`, features of `x`.
        hidden_size: `H`, features of `y`.
        recurrent_weight_dropout: share of the hidden-to-hidden weights dropped in training (DropConnect; Wan et al.
            2013), one mask a call.
        recurrent_dropout: share of the features of h dropped in training before they meet a hidden-to-hidden matrix,
            one mask for all steps of a row (Gal and Ghahramani 2016, equation 7).
        hidden_zoneout: share of the units of h that stay in training what they were before a step, other units at each
            step; otherwise h becomes its expectation (Zoneout; Krueger et al. 2017, section 3.2).
        memory_zoneout: the same of the memory c.

    All shares are in [0, 1).

    Raises:
        ValueError: for one of these shares and a cell that has nothing to be dropped or kept.
    """

    kind: ClassVar[str] = "looped"
    state_names: ClassVar[tuple[str, ...]] = ("h",)  # of a looped cell the first is y
    recurrent_weights: ClassVar[tuple[str, ...]] = ()  # the hidden-to-hidden matrices, by their names
    zoneout_states: ClassVar[tuple[str, ...]] = ("h", "c")  # those of `state_names` that zoneout may keep

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        recurrent_weight_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        hidden_zoneout: float = 0.0,
        memory_zoneout: float = 0.0,
    ):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.recurrent_weight_dropout = recurrent_weight_dropout
        self.recurrent_dropout = recurrent_dropout
        self.hidden_zoneout = hidden_zoneout
        self.memory_zoneout = memory_zoneout
        if refusal := self.refusal_of(self.shares()):
            raise ValueError(refusal)

    @property
    def zones_out(self) -> bool:
        """Whether a step is more than `recur`, in training and out of it."""
        return bool(self.hidden_zoneout or self.memory_zoneout)

    def shares(self) -> dict[str, float]:
        """What is dropped or kept, by name."""
        return {name: getattr(self, name) for name in SHARES}

    @classmethod
    def refusal_of(cls, shares: Mapping[str, float]) -> str | None:
        """The sentence for the first share of something that this cell does not have."""
        kept = {*cls.zoneout_states} & {*cls.state_names}
        lacks = {
            "recurrent_weight_dropout": None if cls.recurrent_weights else "no hidden-to-hidden weights",
            "recurrent_dropout": None if cls.recurrent_weights else "no hidden-to-hidden weights",
            "hidden_zoneout": None if "h" in kept else "no state h that can stay as it was",
            "memory_zoneout": None if "c" in kept else "no memory c that can stay as it was",
        }
        for name, share in shares.items():
            if share and lacks[name]:
                return f"{name}={share}: {cls.__name__} has {lacks[name]}; needed is 0"
        return None

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each of `state_names`, without the batch."""
        return tuple((self.hidden_size,) for _ in self.state_names)

    def initial_state(self, x: torch.Tensor) -> State:
        """Zeros for each of `state_names`, `(B, *shape)`, on the device and in the dtype of `x`."""
        return tuple(x.new_zeros(x.shape[0], *shape) for shape in self.state_shapes())

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """What a step computes from its input alone: `x (..., D)` -> `z (..., P)`; `x` itself by default."""
        return x

    def sequence_weights(self, rows: int = 1) -> Weights:
        """What `recur` is given at every step of one sequence of `rows` rows: the `recurrent_weights`, in training
        without what `recurrent_weight_dropout` and `recurrent_dropout` drop."""
        if not self.training or not (self.recurrent_weight_dropout or self.recurrent_dropout):
            return tuple(RecurrentWeight(getattr(self, name)) for name in self.recurrent_weights)
        weights = [getattr(self, name) for name in self.recurrent_weights]
        dropped = [drop_weight(w, self.recurrent_weight_dropout, True) for w in weights]
        ones = weights[0].new_ones(rows, self.hidden_size)
        keep = F.dropout(ones, self.recurrent_dropout) if self.recurrent_dropout else None
        return tuple(RecurrentWeight(w, keep) for w in dropped)

    def recur(self, z: torch.Tensor, state: State, weights: Weights) -> tuple[torch.Tensor, State]:
        """The rest of the step: `z (B, P)` of `project`, `state` each `(B, ...)`, what `sequence_weights` gives
        -> `y (B, H)`, new state."""
        raise NotImplementedError

    def advance(self, z: torch.Tensor, state: State, weights: Weights) -> tuple[torch.Tensor, State]:
        """`recur`, with zoneout."""
        y, new = self.recur(z, state, weights)
        if self.zones_out:
            shares = {"h": self.hidden_zoneout, "c": self.memory_zoneout}
            named = zip(self.state_names, new, state, strict=True)
            new = tuple(zoned_out(n, old, shares.get(name, 0.0), self.training) for name, n, old in named)
            y = new[0]
        return y, new

    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """A sequence of one step: `x (B, D)`, `state` -> `y (B, H)`, new state."""
        return self.advance(self.project(x), state, self.sequence_weights(len(x)))

    def steps(self) -> "CellSteps":
        """The way to take many single steps in evaluation, on a CPU and not under autocast."""
        return CellSteps(self)

    def forward(self, x: torch.Tensor, state: State | None = None, mask: torch.Tensor | None = None):
        """See the module's contract."""
        state = self.initial_state(x) if state is None else state
        mask = None if mask is None else mask.bool()
        if torch.compiler.is_exporting():
            if self.training and any(self.shares().values()):
                raise ValueError("what is dropped in training is not exported: call model.eval() first")
            return self.scan(x, state, mask)
        if 0 in x.shape[:2]:  # the kernels refuse what is empty; gradients are 0, and not missing
            nothing = sum(tensor[:0].sum() for tensor in (x, *state, *self.parameters()))
            return x.new_zeros(*x.shape[:2], self.hidden_size) + nothing, state
        return self.sequence(x, state, mask)

    def sequence(self, x: torch.Tensor, state: State, mask: torch.Tensor | None) -> tuple[torch.Tensor, State]:
        """`forward` for at least one step, `mask (B, T)` of truth values: the plain loop, to which every faster way is
        equal."""
        if mask is not None:
            x = x.masked_fill(~mask[..., None], 0)  # not even an infinity under the mask counts
        return self.loop(self.project(x), state, self.sequence_weights(len(x)), mask)

    def loop(self, z: torch.Tensor, state: State, weights: Weights, mask: torch.Tensor | None):
        """`plain_loop`, or what a cell has that is faster."""
        return self.plain_loop(z, state, weights, mask)

    def plain_loop(self, z: torch.Tensor, state: State, weights: Weights, mask: torch.Tensor | None):
        """`advance`, step by step: `z (B, T, P)` of `project`, `sequence_weights` -> `y (B, T, H)`, state."""
        weights = tuple(weight.for_many_steps() for weight in weights)
        outputs = []
        for t, z_t in enumerate(z.unbind(1)):
            y, new = self.advance(z_t, state, weights)
            if mask is not None:
                y, new = y.masked_fill(~mask[:, t, None], 0), frozen(mask[:, t], new, state)
            outputs.append(y)
            state = new
        return torch.stack(outputs, 1), state

    def scan(self, x: torch.Tensor, state: State, mask: torch.Tensor | None) -> tuple[torch.Tensor, State]:
        """The plain loop as one `scan` operator: slow, but what `torch.export` keeps for every length from 1. What is
        faster would be exported for the traced length only."""
        from torch._higher_order_ops.scan import scan

        real = x.new_ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
        weights = tuple(weight.by_itself() for weight in self.sequence_weights())

        def step(state: State, inputs: tuple[torch.Tensor, torch.Tensor]) -> tuple[State, torch.Tensor]:
            z, real = inputs  # (B, P), (B, 1)
            y, new = self.advance(z, state, weights)
            return frozen(real[:, 0], new, state), torch.where(real, y, 0)

        # Clones, also of parts of a weight: the operator refuses what shares memory with another input.
        z, real = self.project(x).transpose(0, 1), real.transpose(0, 1)[..., None]
        state, y = scan(step, tuple(s.clone() for s in state), (z, real), dim=0)
        return y.transpose(0, 1), tuple(state)

    def weights_of_narrower(self, narrow: "RecurrentCell", first: int) -> State:
        """For each parameter its value with which this cell computes what another of its kind with fewer inputs does.

        Args:
            narrow: the other.
            first: the place of its first input among those of this cell; what the others say does not count.

        Raises:
            ValueError: for a parameter of which it is not clear where the inputs stand.
        """
        D, fewer, values = self.input_size, narrow.input_size, []
        for name, weight in self.named_parameters():
            theirs, value = narrow.get_parameter(name).to(weight), weight.clone()
            if theirs.shape != weight.shape:
                sizes = list(enumerate(zip(theirs.shape, weight.shape, strict=True)))
                fits = [axis for axis, (their, own) in reversed(sizes) if their != own and their * D == own * fewer]
                if len(fits) != 1 or len(sizes) < 2:
                    raise ValueError(f"{type(self).__name__}: {name} of a cell with fewer inputs cannot be taken over")
                axis = fits[0]
                place = value.zero_().unflatten(axis, (-1, D)).narrow(axis + 1, first, fewer)
                theirs = theirs.unflatten(axis, (-1, fewer))
            else:
                place = value
            place.copy_(theirs)
            values.append(value)
        return tuple(values)

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """Fills the parameters that no checkpoint has filled."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        shares = "".join(f", {name}={share}" for name, share in self.shares().items() if share)
        return f"{self.input_size}, {self.hidden_size}{shares}"


class CellSteps:
    """Many single steps of one cell in evaluation, without gradients: `project` and `advance`, or what a cell has that
    computes the same to the bit, faster.

    Args:
        cell: a `RecurrentCell`; its weights may change between two steps.
    """

    def __init__(self, cell: RecurrentCell):
        self.cell = cell

    def advance(self, z: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """`z = project(x)`, `(B, P)`, and `state` -> `y (B, H)`, new state."""
        return self.cell.advance(z, state, self.cell.sequence_weights())

    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """`x (B, D)`, `state` -> `y (B, H)`, new state."""
        return self.advance(self.cell.project(x), state)


SHARES = ("recurrent_weight_dropout", "recurrent_dropout", "hidden_zoneout", "memory_zoneout")


def zoned_out(new: torch.Tensor, old: torch.Tensor, share: float, training: bool) -> torch.Tensor:
    """`new (B, ...)`, but for `share` of its numbers, which stay the `old` ones; the expectation of it if not in
    training."""
    if not share:
        return new
    if not training:
        return blended(new, old, share)
    return torch.where(torch.rand_like(new, requires_grad=False) < share, old, new)


def blended(start: torch.Tensor, end: torch.Tensor, share: torch.Tensor | float) -> torch.Tensor:
    """(1 - share) ⊙ start + share ⊙ end; autocast may have given them different precisions."""
    dtype = torch.promote_types(start.dtype, end.dtype)
    if isinstance(share, torch.Tensor):
        share = share.to(dtype)
    return torch.lerp(start.to(dtype), end.to(dtype), share)


def frozen(real: torch.Tensor, new: State, old: State) -> State:
    """The new state of the rows where `real (B)` is true, the old one of the others."""
    pairs = zip(new, old, strict=True)
    return tuple(torch.where(real.view(-1, *[1] * (n.dim() - 1)), n, o) for n, o in pairs)
