"""A checkpoint -> a folder with its graphs, its tokenizer and a page on how they are used."""

import copy
import json
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from ..checkpoint_files import CODE_KEYS, json_text, read_json
from ..errors import UserError
from ..export_options import FORMATS, OPSET, OPSETS, RUNTIME
from ..folders import listing, refused_writes, require_place, whole_folder
from ..models.modeling_rnn import RnnPreTrainedModel
from ..models.recurrent_cell import RecurrentCell
from ..models.tokenization_rnn import RnnTokenizer
from ..tasks import TASKS
from ..tasks.graph import BATCH, LENGTH, SOURCE, Graph
from ..tasks.task import Task
from .onnx_cells import OPERATORS
from .onnx_graphs import NEEDED, require, run_onnx, session, write_onnx
from .programs import run_program, write_program
from .usage import usage

MARK = "export.json"  # what a folder of ours holds, and only such a folder is ever overwritten
TOLERANCE = 1e-4  # absolute and relative, between torch and another runtime
CHECKED = ({BATCH: 1, LENGTH: 1, SOURCE: 1}, {BATCH: 4, LENGTH: 9, SOURCE: 7}, {BATCH: 2, LENGTH: 16, SOURCE: 12})


@dataclass
class Exported:
    """What an export has written.

    Args:
        folder: where.
        files: the graphs in it.
        difference: the greatest difference from torch on random batches; `None` if it could not be measured.
    """

    folder: Path
    files: list[str]
    difference: float | None


def export(
    model: RnnPreTrainedModel,
    tokenizer: Any,
    folder: Path,
    format: str = "onnx",
    *,
    opset: int | None = None,
    int8: bool = False,
    overwrite: bool = False,
    source: dict[str, str] | None = None,
) -> Exported:
    """Writes a model with a head for another runtime, all or nothing, and compares the two on random batches.

    Args:
        model: in float32; it is not changed.
        tokenizer: its own.
        folder: that is not there yet.
        format: `onnx`, or `torch` for programs of `torch.export`.
        opset: version of ONNX's operators [20].
        int8: whether weights are stored as integers of eight bits, for ONNX.
        overwrite: whether `folder` may be an earlier export, which is then replaced.
        source: what is known of where the model comes from, as `{"checkpoint": "you/model", "commit": "…"}`.

    Raises:
        UserError: for an unknown format or opset, a model without a head, a cell without an export path, a package
            that is missing, or a folder that is there.
        RuntimeError: if the other runtime computes something else; nothing is then written.
    """
    check(model, folder, format, opset, int8, overwrite)
    opset = OPSET if opset is None else opset
    metadata = metadata_of(model, format, opset, int8, source or {})
    model = copy.deepcopy(model).eval()
    graphs = graphs_of(model, getattr(tokenizer, "max_word_length", 0))
    with refused_writes(), whole_folder(folder) as part:
        for graph in graphs:
            path = part / f"{graph.name}{FORMATS[format]}"
            if format == "onnx":
                write_onnx(graph, path, opset, metadata, int8)
            else:
                write_program(graph, path, metadata)
        difference = greatest_difference(graphs, part, format, exact=not int8)
        without_code(tokenizer).save_pretrained(part)
        save_config(model, part / "config.json")
        about = {
            "metadata": metadata,
            "graphs": {
                graph.name + FORMATS[format]: {
                    "inputs": [asdict(one) for one in graph.inputs],
                    "outputs": [asdict(one) for one in graph.outputs],
                }
                for graph in graphs
            },
            "greatest_difference": difference,
        }
        about["files"] = sorted({path.name for path in part.iterdir()} | {"README.md"})
        (part / MARK).write_text(json_text(about, indent=2) + "\n", encoding="utf-8")
        page = usage(folder.name, graphs, metadata, difference, code=any(part.glob("*.py")))
        (part / "README.md").write_text(page, encoding="utf-8")
    return Exported(folder, [graph.name + FORMATS[format] for graph in graphs], difference)


def graphs_of(model: RnnPreTrainedModel, word_length: int = 20) -> list[Graph]:
    """The graphs of a model.

    Args:
        model: one with a head.
        word_length: `W` of the `character_ids` that its tokenizer gives, for a model that reads them.
    """
    task = task_of_model(model)
    assert task is not None
    return task.graphs_of(model, word_length)


def task_of_model(model: RnnPreTrainedModel) -> Task | None:
    """The task whose head a model is."""
    return next((task for task in TASKS.values() if task.model_class is type(model)), None)


def without_code(tokenizer: Any) -> Any:
    """The tokenizer as it is saved for a runtime that knows no `rnn_zoo`: one whose ids the library's own class gives
    as well opens there without code that somebody would have to trust."""
    if type(tokenizer) is not RnnTokenizer:
        return tokenizer
    plain = copy.copy(tokenizer)
    plain._auto_class = None
    plain.init_kwargs = {key: value for key, value in plain.init_kwargs.items() if key != "auto_map"}
    return plain


def check(model: RnnPreTrainedModel, folder: Path, format: str, opset: int | None, int8: bool, overwrite: bool) -> None:
    """Raises `UserError` for what `export` cannot do."""
    if format not in FORMATS:
        nearest = get_close_matches(format, FORMATS, n=1)
        guess = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise UserError(f"format={format!r}: unknown; {guess}(choose from {', '.join(FORMATS)})")
    if format != "onnx" and (opset is not None or int8):
        given = "int8" if opset is None else f"opset={opset}"
        raise UserError(f"{given}: is for the format onnx, not for {format}")
    if opset is not None and opset not in OPSETS:
        raise UserError(f"opset={opset}: must be between {OPSETS[0]} and {OPSETS[-1]}")
    if task_of_model(model) is None:
        heads = ", ".join(task.head_name for task in TASKS.values())
        raise UserError(f"{type(model).__name__}: has no head that is exported (those of {heads} are)")
    if (dtype := next(model.parameters()).dtype) != torch.float32:
        raise UserError(f"the model is {dtype}: load it in torch.float32 to export it")
    for module in model.modules():
        if isinstance(module, RecurrentCell) and not has_path(module, format):
            raise UserError(
                f"cell_type={model.config.cell_type!r}: has no export path: {type(module).__name__} has no step "
                "(project, recur), and no operator of ONNX is known for it"
            )
    if format == "onnx":
        require(*NEEDED, *([RUNTIME] if int8 else []))
    require_place(folder, "output")
    if folder.is_file():
        raise UserError(f"{folder}: is a file")
    if folder.exists() and any(folder.iterdir()):
        if not overwrite:
            raise UserError(f"{folder}: is there already; name another folder, or --overwrite an earlier export")
        if not (folder / MARK).is_file():
            raise UserError(f"{folder}: holds something else than an export ({MARK} is missing), and is left as it is")
        others = {path.name for path in folder.iterdir()} - {MARK, *read_json(folder / MARK).get("files", [])}
        if others:
            raise UserError(f"{folder}: holds more than an export ({listing(others)}), and is left as it is")


def has_path(cell: RecurrentCell, format: str) -> bool:
    """Whether a cell can be a graph: by its step, or as an operator."""
    by_step = type(cell).recur is not RecurrentCell.recur or type(cell).scan is not RecurrentCell.scan
    return by_step or (format == "onnx" and type(cell) in OPERATORS)


def metadata_of(
    model: RnnPreTrainedModel, format: str, opset: int, int8: bool, source: dict[str, str]
) -> dict[str, str]:
    """What a file says of itself, strings only."""
    from .. import __version__

    config = model.config
    metadata = {
        "rnn_zoo": __version__,
        "torch": str(torch.__version__),
        "architecture": type(model).__name__,
        "cell_type": config.cell_type,
        "weights": "int8" if int8 else "float32",
        **source,
    }
    if format == "onnx":
        metadata["opset"] = str(opset)
    if hasattr(config, "id2label") and type(model).__name__.endswith("Classification"):
        metadata["id2label"] = json.dumps({str(n): label for n, label in config.id2label.items()}, ensure_ascii=False)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "unk_token_id", "decoder_start_token_id"):
        if getattr(config, name, None) is not None:
            metadata[name] = json.dumps(getattr(config, name))
    return metadata


def greatest_difference(graphs: list[Graph], folder: Path, format: str, exact: bool) -> float | None:
    """The greatest difference from torch on random batches of several sizes; `None` without onnxruntime.

    Raises:
        RuntimeError: with `exact`, if one is beyond what rounding explains.
    """
    if format == "onnx" and find_spec(RUNTIME) is None:
        return None
    greatest = 0.0
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for graph in graphs:
            path = folder / f"{graph.name}{FORMATS[format]}"
            runtime = session(path) if format == "onnx" else run_program(path)
            for sizes in CHECKED:
                inputs = graph.sample(**sizes)
                expected = graph.module(*inputs)
                found = run_onnx(runtime, graph, inputs) if format == "onnx" else runtime(*inputs)
                for one, a, b in zip(graph.outputs, found, expected, strict=True):
                    greatest = max(greatest, difference_of(a, b))
                    if exact and not torch.allclose(a, b, TOLERANCE, TOLERANCE):
                        raise RuntimeError(f"{path.name}: {one.name} differs from torch by {difference_of(a, b):.1e}")
    return greatest


def difference_of(a: torch.Tensor, b: torch.Tensor) -> float:
    """The greatest absolute difference, 0 for what is empty."""
    return float((a.double() - b.double()).abs().max()) if a.numel() else 0.0


def save_config(model: RnnPreTrainedModel, path: Path) -> None:
    """Writes the configuration, without the names of code that is not beside it."""
    config = {name: value for name, value in model.config.to_diff_dict().items() if name not in CODE_KEYS}
    path.write_text(json_text(config, indent=2) + "\n", encoding="utf-8")
