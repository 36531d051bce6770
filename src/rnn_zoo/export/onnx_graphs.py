"""Graphs -> files of ONNX, their weights in eight bits if wanted, and what onnxruntime makes of them."""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..export_options import RUNTIME
from ..tasks.graph import Graph
from .onnx_cells import use_operators
from .tracing import DECOMPOSITIONS, trace

NEEDED = ("onnx", "onnxscript")
INSTALL = 'pip install "rnn-zoo[onnx]"'


def require(*packages: str) -> None:
    """Raises `UserError` unless all are installed."""
    if missing := [name for name in packages if find_spec(name) is None]:
        raise UserError(f"{', '.join(missing)}: not installed, which an export to ONNX needs: {INSTALL}")


@contextmanager
def quiet(*names: str) -> Iterator[None]:
    """Loggers that say only what went wrong."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def write_onnx(graph: Graph, path: Path, opset: int, metadata: dict[str, str], int8: bool = False) -> None:
    """Writes a graph to a file.

    Args:
        path: of the file.
        opset: version of ONNX's operators, one of `OPSETS`.
        metadata: what the file says of itself.
        int8: whether the weights of matrix products, recurrent cells and convolutions are stored, and multiplied, as
            integers of eight bits; the scales of what they are multiplied with are found at each call.
    """
    import onnx

    graph = copy.deepcopy(graph)
    use_operators(graph.module)
    with quiet("torch.onnx", "onnxscript", "onnx_ir"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own code
        program = trace(graph).run_decompositions(DECOMPOSITIONS)
        result = torch.onnx.export(
            program,
            input_names=[one.name for one in graph.inputs],
            output_names=[one.name for one in graph.outputs],
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert result is not None  # without a file's name it returns the graph
    model = result.model_proto
    tidy(model, graph)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    if int8:
        quantize(path)


def tidy(model: Any, graph: Graph) -> None:
    """Names the free axes, and drops what the exporter notes about where each node comes from (paths of this machine
    among it)."""
    names = {}
    for one, value in zip(graph.inputs, model.graph.input, strict=True):
        for axis, dim in zip(one.shape, value.type.tensor_type.shape.dim, strict=True):
            if isinstance(axis, str):
                names[dim.dim_param] = axis

    def visit(part: Any) -> None:
        del part.metadata_props[:]
        for value in [*part.input, *part.output, *part.value_info] if hasattr(part, "initializer") else part.value_info:
            del value.metadata_props[:]
            for dim in value.type.tensor_type.shape.dim:
                if dim.HasField("dim_param"):
                    dim.dim_param = names.get(dim.dim_param, dim.dim_param)
        for node in part.node:
            del node.metadata_props[:]
            node.doc_string = ""
            for attribute in node.attribute:
                for inner in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
                    visit(inner)

    visit(model.graph)
    for function in model.functions:
        visit(function)


def quantize(path: Path) -> None:
    """Writes the weights of a file as integers of eight bits."""
    require(RUNTIME)
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.disable(logging.WARNING)  # it advises on the root logger
    try:
        quantize_dynamic(path, path, weight_type=QuantType.QInt8)
    finally:
        logging.disable(logging.NOTSET)


def session(path: Path, threads: int | None = None) -> Any:
    """A file in onnxruntime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = options.inter_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_onnx(runtime: Any, graph: Graph, inputs: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    """The outputs of a graph in onnxruntime."""
    named = {one.name: tensor.numpy() for one, tensor in zip(graph.inputs, inputs, strict=True)}
    return [torch.from_numpy(array) for array in runtime.run([one.name for one in graph.outputs], named)]
