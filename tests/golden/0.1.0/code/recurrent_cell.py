"""The contract of a recurrent cell.

Sizes: `B` batch, `T` time, `D` input, `H` hidden.

All tensors are batch-first::

    cell(x: (B, T, D), state: tuple of (B, ...) or None, mask: (B, T) bool or None) -> (y: (B, T, H), state)
    cell.project(x: (..., D)) -> z: (..., P)
    cell.recur(z: (B, P), state) -> (y: (B, H), state)

- `state` is always a tuple, in the order of `state_names`; `None` means zeros.
- Where `mask` is 0 the state is frozen and `y` is 0. Masked steps may stand anywhere: left, right or in between.
- `recur(project(x), state)` is one step of the recurrence as the paper writes it: `project` what does not wait for the
  state and so can be had for all steps at once, or once for each word of the vocabulary; `recur` the rest. `forward`
  may compute the same by any faster way.

Nobody above a cell ever asks which cell it is. A new recurrence is one subclass in a file of its own and one line in
`cells.py`.
"""

from typing import ClassVar

import torch
from torch import nn

State = tuple[torch.Tensor, ...]


class RecurrentCell(nn.Module):
    """What all cells share: sizes, the names of the states, a zero state.

    Args:
        input_size: `D`, features of `x`.
        hidden_size: `H`, features of `y`.
        recurrent_weight_dropout: share of the hidden-to-hidden weights dropped in training, in [0, 1).
    """

    state_names: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(self, input_size: int, hidden_size: int, recurrent_weight_dropout: float = 0.0):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.recurrent_weight_dropout = recurrent_weight_dropout

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each of `state_names`, without the batch."""
        return tuple((self.hidden_size,) for _ in self.state_names)

    def initial_state(self, x: torch.Tensor) -> State:
        """Zeros for each of `state_names`, `(B, *shape)`, on the device and in the dtype of `x`."""
        return tuple(x.new_zeros(x.shape[0], *shape) for shape in self.state_shapes())

    def forward(self, x: torch.Tensor, state: State | None = None, mask: torch.Tensor | None = None):
        raise NotImplementedError

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """What a step computes from its input alone: `x (..., D)` -> `z (..., P)`; `x` itself by default."""
        return x

    def recur(self, z: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """The rest of the step: `z (B, P)` of `project`, `state` each `(B, ...)` -> `y (B, H)`, new state."""
        raise NotImplementedError

    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """One step: `x (B, D)`, `state` -> `y (B, H)`, new state."""
        return self.recur(self.project(x), state)

    def scan(self, x: torch.Tensor, state: State | None = None, mask: torch.Tensor | None = None):
        """`forward` as one `scan` operator over `recur`: slow, but what `torch.export` keeps for every length from 1.

        The fused kernels would be exported for the traced length only.
        """
        from torch._higher_order_ops.scan import scan

        state = self.initial_state(x) if state is None else state
        real = x.new_ones(x.shape[:2], dtype=torch.bool) if mask is None else mask.bool()

        def step(state: State, inputs: tuple[torch.Tensor, torch.Tensor]) -> tuple[State, torch.Tensor]:
            z, real = inputs  # (B, P), (B, 1)
            y, new = self.recur(z, state)
            frozen = (torch.where(real.view(-1, *[1] * (s.dim() - 1)), n, s) for n, s in zip(new, state, strict=True))
            return tuple(frozen), torch.where(real, y, 0)

        # Clones: the operator refuses a carry that shares memory with an input.
        z, real = self.project(x).transpose(0, 1), real.transpose(0, 1)[..., None]
        state, y = scan(step, tuple(s.clone() for s in state), (z, real), dim=0)
        return y.transpose(0, 1), tuple(state)

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """Fills the parameters that no checkpoint has filled."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        dropped = f", recurrent_weight_dropout={self.recurrent_weight_dropout}" if self.recurrent_weight_dropout else ""
        return f"{self.input_size}, {self.hidden_size}{dropped}"
