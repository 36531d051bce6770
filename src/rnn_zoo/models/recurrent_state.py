"""The state of a recurrent model between two calls: what it remembers of all text so far, in a fixed size.

Sizes: `B` batch, `H` hidden, `L` layers.
"""

from collections.abc import Callable, Mapping

import torch
from torch.utils import _pytree

# One layer's state: a tuple for each direction, in it one (B, H) tensor for each of the cell's `state_names`.
LayerState = tuple[tuple[torch.Tensor, ...], ...]


class RecurrentState:
    """The states of all layers, as `forward` returns them in `cache_params` and takes them back.

    It is a value: no method but `reorder_cache` (the interface of beam search) changes it in place, so that a state
    once kept can be gone on from as often as one likes.

    Args:
        layers: for each layer, for each direction (forward, then backward), the cell's tensors, each `(B, H)`.
    """

    # Asked by `generate`: there is no static buffer to compile for, and no token can be taken back.
    is_compileable = False
    is_croppable = False

    def __init__(self, layers: tuple[LayerState, ...]):
        self.layers = tuple(layers)

    @property
    def batch_size(self) -> int:
        return self.layers[0][0][0].shape[0]

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "RecurrentState":
        """A new state with `function` applied to every tensor."""
        return RecurrentState(
            tuple(tuple(tuple(function(s) for s in direction) for direction in layer) for layer in self.layers)
        )

    def detach(self) -> "RecurrentState":
        """The same values, cut from the graph: the border of truncated back-propagation."""
        return self.map(torch.Tensor.detach)

    def to(self, *args, **kwargs) -> "RecurrentState":
        """As `Tensor.to`, for every tensor."""
        return self.map(lambda s: s.to(*args, **kwargs))

    def reset(self, rows: torch.Tensor) -> "RecurrentState":
        """Zeros for the rows of the batch where `rows` `(B)` is true, without a synchronisation with the device."""
        return self.map(lambda s: s.masked_fill(rows.view(-1, *[1] * (s.dim() - 1)), 0))

    def index_select(self, rows: torch.Tensor) -> "RecurrentState":
        """The state of the rows `rows` (integers `(N)`) of the batch, repeated as often as they are named."""
        return self.map(lambda s: s.index_select(0, rows.to(s.device)))

    def __getitem__(self, row: int) -> "RecurrentState":
        """The state of one row, as a batch of one; pipelines take their batches apart with it."""
        row = range(self.batch_size)[row]  # an IndexError beyond the end, so that iteration ends
        return self.map(lambda s: s[row : row + 1])

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Puts row `beam_idx[i]` in place i; called by `generate` between the steps of a beam search."""
        self.layers = self.index_select(beam_idx).layers

    def to_dict(self) -> dict[str, torch.Tensor]:
        """Flat and named, for safetensors: `layers.{layer}.{direction}.{i}` -> `(B, H)`."""
        return {
            f"layers.{n}.{d}.{i}": s.contiguous()
            for n, layer in enumerate(self.layers)
            for d, direction in enumerate(layer)
            for i, s in enumerate(direction)
        }

    @classmethod
    def from_dict(cls, tensors: Mapping[str, torch.Tensor]) -> "RecurrentState":
        """The inverse of `to_dict`; other keys, or none at all, raise `ValueError`."""
        if not tensors:
            raise ValueError("no tensors: an empty file or dictionary is no recurrent state")
        nested: dict[int, dict[int, dict[int, torch.Tensor]]] = {}
        for name, tensor in tensors.items():
            prefix, *numbers = name.split(".")
            if prefix != "layers" or len(numbers) != 3 or not all(n.isdigit() for n in numbers):
                raise ValueError(f"{name!r} is not part of a recurrent state; expected names like 'layers.0.0.0'")
            n, d, i = map(int, numbers)
            nested.setdefault(n, {}).setdefault(d, {})[i] = tensor
        return cls(
            tuple(
                tuple(tuple(states[i] for i in sorted(states)) for _, states in sorted(directions.items()))
                for _, directions in sorted(nested.items())
            )
        )

    def __repr__(self) -> str:
        shapes = [[[tuple(s.shape) for s in direction] for direction in layer] for layer in self.layers]
        return f"RecurrentState({shapes})"


class DecoderState(RecurrentState):
    """The state of a decoder that attends to a source: that of its layers, what it has read out last, and the source.

    Args:
        layers: as `RecurrentState`.
        feed: `(B, E)`, what the output layer has read last, where the next step reads it too.
        keys: `(B, S, A)`, what attention compares of the source, computed once.
    """

    def __init__(self, layers: tuple[LayerState, ...], feed: torch.Tensor | None = None, keys=None):
        super().__init__(layers)
        self.feed = feed
        self.keys = keys

    def map(self, function):
        feed, keys = (None if s is None else function(s) for s in (self.feed, self.keys))
        return DecoderState(super().map(function).layers, feed, keys)

    def reorder_cache(self, beam_idx):
        self.__dict__.update(vars(self.index_select(beam_idx)))

    def to_dict(self):
        """As `RecurrentState`, with `feed` and `keys`."""
        others = {"feed": self.feed, "keys": self.keys}
        return super().to_dict() | {name: s.contiguous() for name, s in others.items() if s is not None}

    @classmethod
    def from_dict(cls, tensors):
        layers = {name: tensor for name, tensor in tensors.items() if name not in ("feed", "keys")}
        return cls(RecurrentState.from_dict(layers).layers, tensors.get("feed"), tensors.get("keys"))


# They hold tensors only, so `torch.load` may read them.
torch.serialization.add_safe_globals([RecurrentState, DecoderState])

# torch.export, torch.compile and torch.func see through the state.
_pytree.register_pytree_node(
    RecurrentState,
    lambda state: ([state.layers], None),
    lambda children, _: RecurrentState(*children),
    flatten_with_keys_fn=lambda state: ([(_pytree.GetAttrKey("layers"), state.layers)], None),
    serialized_type_name=f"{__name__}.RecurrentState",
)
_pytree.register_pytree_node(
    DecoderState,
    lambda state: ([state.layers, state.feed, state.keys], None),
    lambda children, _: DecoderState(*children),
    flatten_with_keys_fn=lambda state: (
        [(_pytree.GetAttrKey(name), getattr(state, name)) for name in ("layers", "feed", "keys")],
        None,
    ),
    serialized_type_name=f"{__name__}.DecoderState",
)
