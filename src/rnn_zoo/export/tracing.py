"""A graph -> a program of `torch.export` whose batch and lengths are free.

Sizes: `N` numbers of an axis, `F` tables, `S` numbers of a table.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..tasks.graph import BATCH, LENGTH, SOURCE, Graph

TRACED = {BATCH: 3, LENGTH: 5, SOURCE: 6}  # sizes that are traced: all differ, none is 1
aten = torch.ops.aten


class Positional(nn.Module):
    """A module whose arguments have no names."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, *inputs):
        return self.module(*inputs)


def trace(graph: Graph) -> torch.export.ExportedProgram:
    """The program of a graph, without the places in files and modules where its operators come from."""
    axes = {name: torch.export.Dim(name) for name in TRACED}
    free = tuple({n: axes[axis] for n, axis in enumerate(one.shape) if isinstance(axis, str)} for one in graph.inputs)
    module = Positional(copy.deepcopy(graph.module)).eval()
    module.requires_grad_(False)  # for a gradient, torch's scan would give out sizes as well, and ONNX has no such scan
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of torch's own export code
        program = torch.export.export(module, graph.sample(**TRACED), dynamic_shapes=(free,))
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            for key in ("stack_trace", "nn_module_stack", "source_fn_stack"):
                node.meta.pop(key, None)
    return program


# ---- operators that ONNX lacks, by others ----
def sort_stable(x: torch.Tensor, *, stable: bool = True, dim: int = -1, descending: bool = False):
    """`sort` of small integers or truth values, by `topk` over numbers that all differ."""
    size = x.shape[dim]
    steps = torch.arange(size, device=x.device).view(-1, *[1] * (x.dim() - 1 - dim % x.dim()))
    key = x.long() * size + (-steps if descending else steps)
    place = key.topk(size, dim, largest=descending).indices
    return x.gather(dim, place), place


def argsort_stable(x: torch.Tensor, *, stable: bool = True, dim: int = -1, descending: bool = False) -> torch.Tensor:
    return sort_stable(x, dim=dim, descending=descending)[1]


def cummax(x: torch.Tensor, dim: int):
    """The greatest number so far, by a scan; where it stands is not told."""
    from torch._higher_order_ops.scan import scan

    def step(most: torch.Tensor, x: torch.Tensor):
        most = torch.maximum(most, x)
        return most, most.clone()

    x = x.movedim(dim, 0)
    values = scan(step, x[0].clone(), x, dim=0)[1].movedim(0, dim)
    return values, torch.zeros_like(values, dtype=torch.long)


def searchsorted(table: torch.Tensor, x: torch.Tensor, **options: Any) -> torch.Tensor:
    """How many numbers of each rising `table (F, S)` are less than `x (F, N)`, by halving what is left."""
    if any(value for name, value in options.items() if name != "side") or options.get("side", "left") != "left":
        raise NotImplementedError(f"searchsorted with {options}")
    size = table.shape[-1]
    less = torch.zeros_like(x, dtype=torch.long)
    for bit in reversed(range(size.bit_length())):
        more = less + (1 << bit)
        fits = (more <= size) & (table.gather(-1, (more - 1).clamp(max=size - 1)) < x)
        less = torch.where(fits, more, less)
    return less


def isin(x: torch.Tensor, members: torch.Tensor, **options: Any) -> torch.Tensor:
    """Which numbers of `x` are among a few."""
    found = (x[..., None] == members).any(-1)
    return ~found if options.get("invert") else found


DECOMPOSITIONS: dict[Any, Callable] = {
    aten.sort.stable: sort_stable,
    aten.argsort.stable: argsort_stable,
    aten.cummax.default: cummax,
    aten.searchsorted.Tensor: searchsorted,
    aten.isin.Tensor_Tensor: isin,
}
