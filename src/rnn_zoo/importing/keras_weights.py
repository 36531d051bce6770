"""The weights of Keras's layers in torch's layout; and those of a file that holds nothing else -> parts."""

import re

import torch

from .original import GATES, Cell, Linear
from .roles import Choices, Parts, named, shape


def variables(tensors: dict[str, torch.Tensor], group: str) -> list[torch.Tensor]:
    """Those of a layer, in Keras's order."""
    found: list[torch.Tensor] = []
    while (name := f"{group}/vars/{len(found)}") in tensors:
        found.append(tensors[name])
    return found


def cell_of(values: list[torch.Tensor], gates: int) -> Cell | str:
    """`kernel (D, G·H)`, `recurrent_kernel (H, G·H)`, and a bias if there is one -> torch's layout; or what is wrong.

    Keras has the gates of the LSTM in the order i, f, c, o, which is torch's i, f, g, o; those of the GRU as z, r, h,
    which are torch's z, r, n and stand there as r, z, n. A GRU with `reset_after` has both biases, `(2, 3·H)`; all
    others have one, `(G·H)`.
    """
    if not 2 <= len(values) <= 3 or any(value.dim() != 2 for value in values[:2]):
        return f"{len(values)} variables of the shapes {', '.join(map(shape, values)) or 'none'}"
    kernel, recurrent = values[:2]
    H = recurrent.shape[0]
    bias = values[2] if len(values) == 3 else torch.zeros(gates * H)
    allowed = [(gates * H,), (2, gates * H)] if gates == 3 else [(gates * H,)]
    if recurrent.shape[1] != gates * H or kernel.shape[1] != gates * H or tuple(bias.shape) not in allowed:
        return f"variables of the shapes {', '.join(map(shape, values))}"
    both = bias if bias.dim() == 2 else torch.stack([bias, torch.zeros_like(bias)])
    order = torch.arange(gates * H)
    if gates == 3:
        order = torch.cat([order[H : 2 * H], order[:H], order[2 * H :]])
    return Cell(kernel.t()[order].contiguous(), recurrent.t()[order].contiguous(), *both[:, order])


def cell_type_of(values: list[torch.Tensor], gates: int) -> str:
    """The cell with these weights and so many gates. A GRU with one bias has `reset_after=False`; without any, its
    weights do not show it."""
    return "cho_gru" if gates == 3 and len(values) == 3 and values[2].dim() == 1 else GATES[gates]


def linear_of(values: list[torch.Tensor]) -> Linear | str:
    """`kernel (inputs, outputs)`, and a bias if there is one; or what is wrong."""
    if not 1 <= len(values) <= 2 or values[0].dim() != 2 or any(v.shape != values[0].shape[1:] for v in values[1:]):
        return f"{len(values)} variables of the shapes {', '.join(map(shape, values)) or 'none'}"
    return Linear(values[0].t().contiguous(), values[1] if len(values) == 2 else torch.zeros(values[0].shape[1]))


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts `lstm`, `lstm_1`, ..., `lstm_10` in this order."""
    pieces = re.split(r"(\d{1,9})", name)
    return [(int(piece), piece) if piece.isdecimal() else (0, piece) for piece in pieces]


def parts_of_weights(tensors: dict[str, torch.Tensor], choices: Choices, source: str) -> Parts:
    """The weights of a `.weights.h5` -> parts. Names are the places in the file, as `layers/lstm_1`."""
    parts = Parts(source)
    groups = sorted({name.rpartition("/vars/")[0] for name in tensors}, key=natural)
    directions: dict[str, dict[str, Cell]] = {}
    for group in groups:
        layer = group.removesuffix("/cell")
        place, _, way = layer.rpartition("/")
        module = place if way in ("forward_layer", "backward_layer") else layer
        if any(named(module, ignored) for ignored in choices.ignored):
            continue
        values = variables(tensors, group)
        if group != layer:
            parts.recurs = True
            H = values[1].shape[0] if len(values) > 1 and values[1].dim() == 2 else 0
            gates = values[1].shape[1] // H if H else 0
            cell = cell_of(values, gates) if gates in GATES else f"{len(values)} variables"
            if isinstance(cell, str):
                parts.faults.append(f"{layer}: {cell}")
            elif parts.cell_type not in ("", kind := cell_type_of(values, gates)):
                parts.faults.append(f"{layer}: a {kind} beside a {parts.cell_type}")
            else:
                parts.cell_type = kind
                directions.setdefault(module, {})[way if module == place else "forward_layer"] = cell
            continue
        parts.order.append(module.removesuffix("/layer"))
        linear = linear_of(values)
        if len(values) == 1 and values[0].dim() == 2:
            is_dense = "dense" in module.lower()
            parts.tables[parts.order[-1]] = values[0].t().contiguous() if is_dense else values[0]
        elif isinstance(linear, str):
            parts.faults.append(f"{module}: {linear}")
        else:
            parts.linears[parts.order[-1]] = linear
    for module, cells in directions.items():
        if not {"forward_layer"} <= {*cells}:
            parts.faults.append(f"missing {module}/forward_layer")
        parts.rnns[module] = [[cells[way] for way in ("forward_layer", "backward_layer") if way in cells]]
    return parts
