"""A PyTorch `state_dict` -> its parts.

A pickle is read by `torch.load(weights_only=True)` alone, which makes tensors and plain containers and runs nothing.
"""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..errors import UserError, one_line
from ..models.modeling_rnn import RnnPreTrainedModel
from .limits import check_bytes, packed_sizes, size_of
from .original import GATES, Cell, Layer, Linear, Transitions
from .roles import Choices, Parts, named, original_of, shape

RECURRENT = re.compile(
    r"(?:(?P<module>.*)\.)?(?P<kind>weight|bias)_(?P<which>ih|hh|hr)(?:_l(?P<layer>\d+)(?P<back>_reverse)?)?"
)
# What weight dropout of fastai and awd-lstm-lm keeps beside a matrix that it masks anew at each step.
RAW = re.compile(r"(?P<weight>(?:.*\.)?weight_(?:ih|hh)_l\d+(?:_reverse)?)_raw")
COPIES = ("encoder_dp.emb.weight", "encoder_with_dropout.embed.weight")  # of `encoder.weight`, in models of fastai
# The scores of a CRF as pytorch-crf and AllenNLP call them, and as the package TorchCRF does: from a tag, to a tag.
CRF_NAMES = (
    ("transitions", "start_transitions", "end_transitions"),
    ("trans_matrix", "start_trans", "end_trans"),
)
NEVER = -1000.0  # a score below is one of "cannot be": others write -10,000
HELD = ("state_dict", "model_state_dict", "model", "net", "weights")  # where checkpoints of training keep the weights
WAY_OUT = 'where the code of the model is, save its tensors alone: torch.save(model.state_dict(), "weights.pt")'


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file: safetensors, or what `torch.save(model.state_dict())` has written, also inside of a
    training's checkpoint.

    Raises:
        UserError: if there is no such file, or it is neither.
    """
    held_bytes = size_of(path)
    try:
        if path.suffix == ".safetensors":
            return plain_tensors(load_file(path), path, held_bytes)
        check_bytes(f"{path}: unpacks to", sum(packed_sizes(path).values()), held_bytes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            held = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except SafetensorError as error:
        raise UserError(f"{path}: not a safetensors file: {one_line(error)}") from error
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        needs = f"it asks for {refused[1]}" if refused else "it is no pickle of tensors"
        raise UserError(
            f"{path}: only tensors are read (torch.load with weights_only=True), as a pickle can run code, and {needs}"
            f"; {WAY_OUT}"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # torch.load raises what its parsers raise: EOFError, RuntimeError, KeyError, ...
        raise UserError(f"{path}: is no file that torch.save has written whole; {WAY_OUT}") from error
    return plain_tensors(tensors_in(held, path), path, held_bytes)


def plain_tensors(tensors: dict[str, torch.Tensor], source: object, held: int) -> dict[str, torch.Tensor]:
    """The same tensors, if they are plain ones, and not much more than the file holds.

    Args:
        tensors: by name.
        source: what a sentence calls the file.
        held: its bytes on the disk.

    Raises:
        UserError: for a tensor that is sparse, quantized, on no device, or a view of fewer numbers.
    """
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta or tensor.is_nested:
            raise UserError(f"{source}: {name} is no plain tensor of numbers (sparse, quantized or without data)")
        if tensor.is_complex():
            raise UserError(f"{source}: {name} holds complex numbers")
    check_bytes(f"{source}: its tensors have", sum(4 * tensor.numel() for tensor in tensors.values()), held)
    return tensors


def is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in value.items())
    )


def tensors_in(held: Any, source: object) -> dict[str, torch.Tensor]:
    """The state dict that something loaded is, or holds.

    Raises:
        UserError: if there is none, or several and none by a usual name.
    """
    if is_state_dict(held):
        return dict(held)
    found = {}
    if isinstance(held, Mapping):
        found = {str(name): dict(value) for name, value in held.items() if is_state_dict(value)}
    usual = [name for name in HELD if name in found]
    names = usual[:1] or list(found)
    if len(names) == 1:
        return found[names[0]]
    what = f"holds several state_dicts ({', '.join(names)})" if names else f"holds no state_dict but {kind_of(held)}"
    raise UserError(f"{source}: {what}; {WAY_OUT}")


def kind_of(held: Any) -> str:
    keys = f" with {', '.join(str(key) for key in list(held)[:5])}" if isinstance(held, Mapping) and held else ""
    return f"a {type(held).__name__}{keys}"


def parts_of_state_dict(tensors: Mapping[str, torch.Tensor], choices: Choices, source: str = "the state_dict") -> Parts:
    """Tensors by name -> parts. Prefixes (`module.`, `model.`) are part of a module's name and do not matter."""
    parts = Parts(source)
    recurrent: dict[str, dict[str, torch.Tensor]] = {}
    others: dict[str, dict[str, torch.Tensor]] = {}
    scores: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in unmasked(tensors).items():
        module, _, last = name.rpartition(".")
        if any(named(name, ignored) or named(module, ignored) for ignored in choices.ignored):
            continue
        if RECURRENT.fullmatch(name):
            recurrent.setdefault(module, {})[last] = as_float(tensor)
        elif any(last in names for names in CRF_NAMES) and tensor.is_floating_point():
            scores.setdefault(module, {})[last] = as_float(tensor)
        elif last in ("weight", "bias") and tensor.is_floating_point():
            others.setdefault(module, {})[last] = as_float(tensor)
        else:
            parts.faults.append(f"surplus {name} {shape(tensor)}")
    parts.order = list(others)
    for module, found in others.items():
        dimensions = {name: tensor.dim() for name, tensor in found.items()}
        if dimensions == {"weight": 2, "bias": 1} and len(found["bias"]) == len(found["weight"]):
            parts.linears[module] = Linear(**found)
        elif dimensions == {"weight": 2}:
            parts.tables[module] = found["weight"]
        elif dimensions == {"bias": 1}:
            parts.biases[module] = found["bias"]
        else:
            parts.faults += [f"surplus {f'{module}.{last}'.lstrip('.')} {shape(t)}" for last, t in found.items()]
    for module, found in recurrent.items():
        add_rnn(parts, module, found)
    for module, found in scores.items():
        add_crf(parts, module, found)
    return parts


def unmasked(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors where weight dropout (Merity et al. 2018) has hidden none.

    What it calls `weight_hh_l0_raw` is the weight. A `weight_hh_l0` beside it, in the module or in the one that is
    wrapped as `module`, is a copy of it that was masked for the last step of training.
    """
    found = {name: tensor for name, tensor in tensors.items() if not RAW.fullmatch(name)}
    for name, tensor in tensors.items():
        if match := RAW.fullmatch(name):
            module, _, last = match["weight"].rpartition(".")
            inner = f"{module}.module".lstrip(".")
            wrapped = any(other.rpartition(".")[0] == inner for other in tensors)
            found.pop(match["weight"], None)
            found[f"{inner}.{last}" if wrapped else match["weight"]] = tensor
    for name in list(found):
        if copy := next((copy for copy in COPIES if named(name, copy)), None):
            whole = found.get(f"{name.removesuffix(copy)}encoder.weight")
            if whole is not None and torch.equal(whole, found[name]):
                del found[name]
    return found


def add_crf(parts: Parts, module: str, found: dict[str, torch.Tensor]) -> None:
    """Adds the scores of a CRF; what is wrong with them goes to the faults.

    A square of transitions alone is that of a CRF whose first and last tags are tags among the others, as in PyTorch's
    own tutorial `[to, from]` or, the other way round, in NCRF++: nothing leads to the first, nothing from the last.
    """
    prefix = f"{module}." if module else ""
    names = next((names for names in CRF_NAMES if names[0] in found), None)
    if names is None:
        parts.faults += [f"surplus {prefix}{name} {shape(scores)}" for name, scores in found.items()]
        return
    square = found[names[0]]
    K = len(square)
    if square.dim() != 2 or square.shape[1] != K:
        parts.faults.append(f"{prefix}{names[0]} {shape(square)}: must be a square, from tag to tag")
    elif set(found) == set(names):
        wrong = [name for name in names[1:] if tuple(found[name].shape) != (K,)]
        parts.faults += [f"{prefix}{name} {shape(found[name])}: must be ({K})" for name in wrong]
        if not wrong:
            parts.crfs[module] = Transitions(*(found[name] for name in names))
    elif set(found) == {names[0]} and (ends := closed(square)) is not None:
        first, last = ends
        if first < last:  # the tag before which nothing stands is a row: [to, from]
            square = square.t()
        else:
            first, last = last, first
        parts.crfs[module] = Transitions(square.contiguous(), square[first].clone(), square[:, last].clone())
        parts.notes.append(
            f"{prefix}{names[0]}: the tags {first} and {last} are taken for the beginning and the end of a sentence, "
            "as nothing leads to the first or from the last"
        )
    else:
        parts.faults += [f"missing {prefix}{name}" for name in names if name not in found]
        parts.faults += [
            f"surplus {prefix}{name} {shape(scores)}" for name, scores in found.items() if name not in names
        ]


def closed(square: torch.Tensor) -> tuple[int, int] | None:
    """The one row and the one column of a square whose scores all say "cannot be"; `None` without such a pair."""
    never = square <= NEVER
    rows, columns = never.all(1).nonzero().flatten().tolist(), never.all(0).nonzero().flatten().tolist()
    return (rows[0], columns[0]) if len(rows) == len(columns) == 1 and rows != columns else None


def model_of_state_dict(tensors: Mapping[str, torch.Tensor], **choices) -> RnnPreTrainedModel:
    """A model of ours with the outputs of the model whose `state_dict()` this is; `choices` are those of `Choices`.

    Raises:
        UserError: as `original_of`, and for what no model of ours can be.
    """
    chosen = Choices(**choices)
    return original_of(parts_of_state_dict(tensors, chosen), chosen).model()


def as_float(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", torch.float32)


def add_rnn(parts: Parts, module: str, found: dict[str, torch.Tensor]) -> None:
    """Adds a module `nn.LSTM`, `nn.GRU`, `nn.RNN`, or a cell of them; what is wrong with it goes to the faults."""
    parts.recurs = True
    prefix = f"{module}." if module else ""
    keys = {name: RECURRENT.fullmatch(name) for name in found}
    if projected := [name for name, key in keys.items() if key and key["which"] == "hr"]:
        parts.faults += [f"{prefix}{name} {shape(found[name])}: an LSTM with proj_size" for name in projected]
        return
    is_cell = any(key and key["layer"] is None for key in keys.values())
    number = 1 if is_cell else 1 + max(int(key["layer"][:9]) for key in keys.values() if key)
    number = min(number, len(found))  # of names with absurd numbers the missing ones are not all listed
    ends = [""] if not any(key and key["back"] for key in keys.values()) else ["", "_reverse"]
    biases = any(name.startswith("bias") for name in found)
    names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if biases else [])]
    suffixes = [[("" if is_cell else f"_l{n}") + end for end in ends] for n in range(number)]
    expected = [name + suffix for layer in suffixes for suffix in layer for name in names]
    missing = [name for name in expected if name not in found]
    parts.faults += [f"missing {prefix}{name}" for name in missing]
    parts.faults += [f"surplus {prefix}{name} {shape(found[name])}" for name in found if name not in expected]
    first = found.get(f"weight_hh{suffixes[0][0]}")
    if first is None:
        return
    H = first.shape[1] if first.dim() == 2 else 0
    gates, rest = divmod(first.shape[0], H) if H else (0, 1)
    if rest or gates not in GATES:
        parts.faults.append(
            f"{prefix}weight_hh{suffixes[0][0]} {shape(first)}: has neither 4 x (LSTM), 3 x (GRU) nor 1 x (RNN) as "
            "many rows as columns"
        )
        return
    given = found.get(f"weight_ih{suffixes[0][0]}")
    width = given.shape[1] if given is not None and given.dim() == 2 else None
    before = len(parts.faults)
    for layer in suffixes:
        for suffix in layer:
            needed: dict[str, tuple] = {"weight_ih": (gates * H, width), "weight_hh": (gates * H, H)}
            needed |= dict.fromkeys(("bias_ih", "bias_hh"), (gates * H,))
            for name in names:
                tensor = found.get(name + suffix)
                if tensor is None or (name == "weight_ih" and width is None and tensor.shape[:1] == (gates * H,)):
                    continue
                if tuple(tensor.shape) != needed[name]:
                    sizes = ", ".join(str(size) for size in needed[name])
                    parts.faults.append(f"{prefix}{name}{suffix} {shape(tensor)}: must be ({sizes})")
        width = len(ends) * H
    if missing or len(parts.faults) > before:
        return
    if parts.cell_type and parts.cell_type != GATES[gates]:
        parts.faults.append(f"{module}: a {GATES[gates]} beside a {parts.cell_type}: all layers have one kind of cell")
        return
    parts.cell_type = GATES[gates]
    zeros = torch.zeros(gates * H)
    layers: list[Layer] = [
        [Cell(*(found.get(name + suffix, zeros) for name in Cell._fields)) for suffix in layer] for layer in suffixes
    ]
    parts.rnns[module] = layers
