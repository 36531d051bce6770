"""Graphs -> programs of `torch.export`, which plain torch runs; every cell is a `scan` in them."""

import json
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import torch

from ..tasks.graph import Graph
from .tracing import trace

METADATA = "metadata.json"  # beside the program in its file


def write_program(graph: Graph, path: Path, metadata: dict[str, str]) -> None:
    """Writes a graph to a file that `torch.export.load` reads."""
    about = metadata | {
        "inputs": [one.name for one in graph.inputs],
        "outputs": [one.name for one in graph.outputs],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own code
        program = BytesIO()  # torch's own writer of files ends the whole process on a full disk
        torch.export.save(trace(graph), program, extra_files={METADATA: json.dumps(about, ensure_ascii=False)})
    path.write_bytes(program.getbuffer())


def run_program(path: Path) -> Callable:
    """A file as a function of the inputs, in order."""
    return torch.export.load(path).module()
