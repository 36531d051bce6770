"""A Keras model: `.keras` (layers and weights), `.weights.h5` (weights alone) or the older `.h5` -> what it computes.

The files are read as what they are, a zip of JSON and HDF5: Keras is not imported and nothing in them is run.
"""

import io
import json
import lzma
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..checkpoint_checks import shortened
from ..errors import UserError, one_line
from ..models.keys_classifier import MULTI, SINGLE
from .limits import check_bytes, packed_sizes, size_of
from .original import CAUSAL_LM, GATES, SEQUENCES, TOKENS, Cell, Layer, Linear, Original, output_size
from .roles import Choices, Parts, labels_of, named, no_counterpart, one_hot, shape

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MAGIC = b"\x89HDF\r\n\x1a\n"
DEEPEST, MOST_ITEMS = 32, 100_000  # groups in groups, and groups and tensors in all, of an HDF5 file
KERAS_TENSOR = "__keras_tensor__"  # the class of what a layer is called with
MOST_PACKED = 2000  # how many times as large as on the disk a tensor may be

# Classes with weights, and what their groups in the HDF5 file are called.
GROUPS = {
    "Embedding": "embedding",
    "LSTM": "lstm",
    "GRU": "gru",
    "SimpleRNN": "simple_rnn",
    "Bidirectional": "bidirectional",
    "Dense": "dense",
    "TimeDistributed": "time_distributed",
}
RECURRENT = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}  # classes, and their gates
POOLINGS = {"GlobalAveragePooling1D": "mean", "GlobalMaxPooling1D": "max"}
# What changes nothing outside of training.
PASSED = {"InputLayer", "Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise", "AlphaDropout"}
PASSED |= {"ActivityRegularization", "Identity"}
ACTIVATIONS = {"ReLU": "relu", "Softmax": "softmax"}  # layers that are one, beside `Activation`
SUPPORTED = (
    "Embedding, LSTM, GRU, SimpleRNN, Bidirectional, GlobalAveragePooling1D, GlobalMaxPooling1D, Dense, "
    "TimeDistributed(Dense), Activation, dropout and noise"
)


# ---- files ----
def is_keras_zip(path: Path) -> bool:
    return CONFIG in packed_sizes(path)


def is_hdf5(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_zip(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The configuration of a `.keras` file and its weights.

    Raises:
        UserError: if it is damaged or not one of Keras 3.
    """
    try:
        sizes = packed_sizes(path)
        check_bytes(f"{path}: unpacks to", sizes[CONFIG] + sizes[WEIGHTS], size_of(path))
        with zipfile.ZipFile(path) as file:
            config, weights = json.loads(file.read(CONFIG)), file.read(WEIGHTS)
    except KeyError as error:
        raise UserError(f"{path}: holds no {WEIGHTS}; save the model with model.save() of Keras 3") from error
    except UserError:
        raise
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise UserError(f"{path}: is damaged: {one_line(error)}") from error
    except (OSError, RuntimeError, NotImplementedError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: is damaged, or no file of Keras: {one_line(error)}") from error
    return config, read_hdf5(io.BytesIO(weights), f"{path}, {WEIGHTS}", size_of(path))


@contextmanager
def opened_hdf5(file: Any, source: object, held: int) -> Iterator[Any]:
    """An HDF5 file to read from.

    Raises:
        UserError: if it is damaged, or its tensors are much larger than what it holds on the disk, `held` bytes.
    """
    try:
        import h5py
    except ImportError as error:
        raise UserError(f'{source}: reading Keras needs h5py: pip install "rnn-zoo[keras]"') from error
    try:
        with h5py.File(file, "r") as opened:
            tensors = [item for _, item in items_of(opened, source) if getattr(item, "size", None)]
            claimed = sum(4 * item.size for item in tensors if is_held(item))
            check_bytes(f"{source}: its tensors have", claimed, held)
            yield opened
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{source}: is damaged, or no HDF5 file: {one_line(error)}") from error


def is_held(item: Any) -> bool:
    """Whether the numbers of a dataset can be in the file at all."""
    return bool(item.nbytes <= MOST_PACKED * item.id.get_storage_size())


def tensor_of(item: Any, name: str, source: object) -> torch.Tensor:
    """The numbers of a dataset of an HDF5 file.

    Raises:
        UserError: if they are elsewhere, or not there, or are no floating-point numbers.
    """
    if item.external or item.is_virtual:
        raise UserError(f"{source}: the data of {name} are in another file, which is not read")
    if item.shape is None:
        raise UserError(f"{source}: {name} holds no numbers")
    if not is_held(item):
        raise UserError(f"{source}: {name} claims {item.nbytes:,} bytes, which the file does not hold")
    if item.dtype.kind != "f":
        raise UserError(f"{source}: {name} holds {item.dtype}, not floating-point numbers (quantized?)")
    return torch.from_numpy(item[()].astype("float32"))


def read_hdf5(file: Any, source: object, held: int) -> dict[str, torch.Tensor]:
    """The weights of an HDF5 file by their places in it, but those of an optimizer and of random numbers.

    Links to other places are not followed, and no tensor is read whose data are elsewhere, or are not there.

    Args:
        file: a path, or an open file.
        source: what a sentence calls it.
        held: its bytes on the disk.

    Raises:
        UserError: if it is damaged, or holds something else than numbers.
    """
    tensors: dict[str, torch.Tensor] = {}

    def visit(name: str, item: Any) -> None:
        places = name.split("/")
        if hasattr(item, "dtype") and places[0] != "optimizer" and "seed_generator" not in places:
            tensors[name] = tensor_of(item, name, source)

    with opened_hdf5(file, source, held) as opened:
        if "layer_names" in opened.attrs:
            return older_weights(opened, source)
        for name, item in items_of(opened, source):
            visit(name, item)
    if any(name.startswith("_layer_checkpoint_dependencies") for name in tensors):
        raise UserError(f"{source}: was written by Keras 2; open it there and save it anew with Keras 3")
    return tensors


def items_of(file: Any, source: object) -> Iterator[tuple[str, Any]]:
    """What is in an HDF5 file, by its places; links are not followed, and what has several names has one.

    Raises:
        UserError: if it is deeper or more than models are.
    """
    import h5py

    seen = {h5py.h5o.get_info(file.id).addr}
    waiting = [("", file)]
    while waiting:
        place, group = waiting.pop()
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                continue
            name, item = f"{place}{key}", group[key]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if name.count("/") > DEEPEST or len(seen) > MOST_ITEMS:
                raise UserError(
                    f"{source}: holds more than {MOST_ITEMS:,} groups and tensors, or groups deeper than {DEEPEST}"
                )
            yield name, item
            if isinstance(item, h5py.Group):
                waiting.append((f"{name}/", item))


# ---- the older HDF5 format ----
def read_older(file: Any, source: object, held: int) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
    """The configuration and the weights of a whole model in a `.h5` of Keras 2 or 3, both as a `.keras` file has them;
    `None` for a file of weights alone.

    Raises:
        UserError: if it is damaged, or of Keras 1.
    """
    with opened_hdf5(file, source, held) as opened:
        if "model_config" not in opened.attrs:
            return None
        version = attribute(opened, "keras_version")
        if version.startswith("1."):
            raise UserError(f"{source}: was written by Keras {version}; open it in Keras 2 and save it anew")
        try:
            config = json.loads(attribute(opened, "model_config"))
            layers = as_in_keras_3(config)
            number_groups(layers)
            weights = inside(opened, "model_weights", source)
            tensors: dict[str, torch.Tensor] = {}
            if len({layer["config"]["name"] for layer in layers}) < len(layers):
                raise UserError(f"{source}: several of its layers have one name")
            for layer in layers:
                group = layer["group"] + ("/layer" if layer["class_name"] == "TimeDistributed" else "")
                name = layer["config"]["name"]
                if name in weights:
                    tensors |= older_layer(inside(weights, name, source), group, source)
        except (KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            raise UserError(f"{source}: holds no model of Keras 2 or 3 ({type(error).__name__}: {error})") from error
    return config, tensors


def older_weights(opened: Any, source: object) -> dict[str, torch.Tensor]:
    """The tensors of a file of weights alone in the older format, under names as in a `.weights.h5`."""
    tensors: dict[str, torch.Tensor] = {}
    for name in names_in(opened, "layer_names"):
        tensors |= older_layer(inside(opened, name, source), f"layers/{name}", source)
    return tensors


def older_layer(group: Any, place: str, source: object) -> dict[str, torch.Tensor]:
    """The weights of one layer, which the older format has by name: `lstm/lstm_cell/kernel:0`."""
    ways: dict[str, list[str]] = {"": names_in(group, "weight_names")}
    names = ways[""]
    if len(set(names)) < len(names):
        raise UserError(f"{source}: {group.name} names a tensor twice")
    if all(any(f"{way}_" in name for name in names) for way in ("forward", "backward")):
        half = len(names) // 2  # a Bidirectional has those of its forward layer first
        ways = {"/forward_layer": names[:half], "/backward_layer": names[half:]}
    tensors: dict[str, torch.Tensor] = {}
    for way, those in ways.items():
        cell = "/cell" if any("recurrent_kernel" in name for name in those) else ""
        those = [name for name in those if "seed_generator" not in name]
        for n, name in enumerate(those):
            tensors[f"{place}{way}{cell}/vars/{n}"] = tensor_of(inside(group, name, source), name, source)
    return tensors


def inside(group: Any, name: str, source: object) -> Any:
    """What lies at a place in a group; no links are followed."""
    for part in name.split("/"):
        if type(group.get(part, getlink=True)).__name__ != "HardLink":
            raise UserError(f"{source}: {name} is not in the file, or a link, which is not followed")
        group = group[part]
    return group


def names_in(group: Any, name: str) -> list[str]:
    """A list of names that Keras keeps as an attribute, in several where it is long."""
    several = takewhile(group.attrs.__contains__, (f"{name}{n}" for n in count()))
    parts = [name] if name in group.attrs else several
    return [text if isinstance(text, str) else text.decode("utf-8") for part in parts for text in group.attrs[part]]


def attribute(group: Any, name: str) -> str:
    """A text that is kept as an attribute; empty if there is none."""
    value = group.attrs.get(name, "")
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def as_in_keras_3(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Changes the configuration of a whole model to what Keras 3 would have written; returns its layers.

    Keras 2 has the layers of a Sequential model in a list of their own or in a dictionary, calls as lists of names, and
    leaves out what was the default: that a GRU resets before the product, and that one direction is the other's mirror.
    """
    if isinstance(config["config"], list):
        config["config"] = {"layers": config["config"]}
    layers = config["config"]["layers"]
    for layer in layers:
        own = layer["config"]
        if "name" not in own:
            own["name"] = layer["name"]
        one = own.get("layer", layer)
        if one["class_name"] == "GRU":
            one["config"].setdefault("reset_after", False)
        if layer["class_name"] == "Bidirectional" and not own.get("backward_layer"):
            inner = {**one["config"], "go_backwards": not one["config"].get("go_backwards", False)}
            own["backward_layer"] = {**one, "config": inner}
        if layer["class_name"] == "Embedding":
            own.setdefault("mask_zero", False)
        nodes = layer.get("inbound_nodes", [])
        layer["inbound_nodes"] = [node_of_calls(node) if isinstance(node, list) else node for node in nodes]
    return layers


def node_of_calls(calls: list[Any]) -> dict[str, Any]:
    """The outputs that a layer is called with, as `[name, 0, 0, {}]` -> as Keras 3 writes it."""
    calls = [calls] if calls and isinstance(calls[0], str) else calls
    return {"args": [{"class_name": KERAS_TENSOR, "config": {"keras_history": call}} for call in calls], "kwargs": {}}


# ---- weights of a layer ----
def variables(tensors: dict[str, torch.Tensor], group: str) -> list[torch.Tensor]:
    """Those of a layer, in Keras's order."""
    found: list[torch.Tensor] = []
    while (name := f"{group}/vars/{len(found)}") in tensors:
        found.append(tensors[name])
    return found


def cell_of(values: list[torch.Tensor], gates: int) -> Cell | str:
    """`kernel (D, G·H)`, `recurrent_kernel (H, G·H)`, and a bias if there is one -> torch's layout; or what is wrong.

    Keras has the gates of the LSTM in the order i, f, c, o, which is torch's i, f, g, o; those of the GRU as z, r, h,
    which are torch's z, r, n and stand there as r, z, n. A GRU with `reset_after` has both biases, `(2, 3·H)`; it is
    torch's. Without, its bias is `(3·H)`, and the reset gate multiplies the state before the product.
    """
    if not 2 <= len(values) <= 3 or any(value.dim() != 2 for value in values[:2]):
        return f"{len(values)} variables of the shapes {', '.join(map(shape, values)) or 'none'}"
    kernel, recurrent = values[:2]
    H = recurrent.shape[0]
    bias = values[2] if len(values) == 3 else torch.zeros((2, gates * H) if gates == 3 else (gates * H,))
    if gates == 3 and bias.dim() == 1:
        return "a GRU with reset_after=False, which torch's and ours are not"
    wanted = (2, gates * H) if gates == 3 else (gates * H,)
    if recurrent.shape[1] != gates * H or kernel.shape[1] != gates * H or tuple(bias.shape) != wanted:
        return f"variables of the shapes {', '.join(map(shape, values))}"
    both = bias if gates == 3 else torch.stack([bias, torch.zeros_like(bias)])
    order = torch.arange(gates * H)
    if gates == 3:
        order = torch.cat([order[H : 2 * H], order[:H], order[2 * H :]])
    return Cell(kernel.t()[order].contiguous(), recurrent.t()[order].contiguous(), *both[:, order])


def linear_of(values: list[torch.Tensor]) -> Linear | str:
    """`kernel (inputs, outputs)`, and a bias if there is one; or what is wrong."""
    if not 1 <= len(values) <= 2 or values[0].dim() != 2 or any(v.shape != values[0].shape[1:] for v in values[1:]):
        return f"{len(values)} variables of the shapes {', '.join(map(shape, values)) or 'none'}"
    return Linear(values[0].t().contiguous(), values[1] if len(values) == 2 else torch.zeros(values[0].shape[1]))


# ---- weights alone ----
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
            elif parts.cell_type not in ("", GATES[gates]):
                parts.faults.append(f"{layer}: a {GATES[gates]} beside a {parts.cell_type}")
            else:
                parts.cell_type = GATES[gates]
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


# ---- a whole model ----
def original_of_model(
    config: dict[str, Any], tensors: dict[str, torch.Tensor], choices: Choices, source: str
) -> Original:
    """A Sequential or Functional model, a chain of layers -> what it computes.

    Raises:
        UserError: with all layers that have no counterpart and what about them.
    """
    for name in ("cell_type", "pooling", "rnn", "embedding", "dense", "head", "ignored"):
        if getattr(choices, name):
            raise UserError(f"{name}: {source} says by itself what its layers are")
    try:
        reader = Reader(tensors)
        for layer in chain_of(config, source):
            reader.read(layer)
    except (KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{source}: {CONFIG} is not that of a Keras 3 model ({type(error).__name__}: {shortened(one_line(error))})"
        ) from error
    return reader.original(choices, source)


def chain_of(config: dict[str, Any], source: str) -> list[dict[str, Any]]:
    """The layers in the order in which they are called, each with its `group` in the HDF5 file.

    Raises:
        UserError: if it is another kind of model, or its layers are no chain.
    """
    kind = config["class_name"]
    if kind not in ("Sequential", "Functional", "Model"):
        raise UserError(f"{source}: is a {kind}; only Sequential and Functional models say what they compute")
    layers = config["config"]["layers"]
    number_groups(layers)
    if kind == "Sequential":
        return layers
    after: dict[str, list[dict[str, Any]]] = {}
    first: list[dict[str, Any]] = []
    for layer in layers:
        sources = [name for node in layer["inbound_nodes"] for name in inputs_of(node)]
        if len(sources) > 1:
            raise UserError(
                f"{source}: {title(layer)} is called with {', '.join(sources)}; only a chain has a counterpart"
            )
        (after.setdefault(sources[0], []) if sources else first).append(layer)
    outputs = config["config"]["output_layers"]
    outputs = outputs if isinstance(outputs[0], list) else [outputs]
    for ends, noun in ((first, "inputs"), (outputs, "outputs")):
        if len(ends) != 1:
            raise UserError(f"{source}: has {len(ends)} {noun}; only a chain of layers has a counterpart")
    chain = first
    while following := after.get(chain[-1]["config"]["name"], []):
        if len(following) > 1 or len(chain) > len(layers):
            names = ", ".join(title(layer) for layer in following)
            raise UserError(f"{source}: {title(chain[-1])} goes to {names}; only a chain of layers has a counterpart")
        chain.append(following[0])
    return chain


def number_groups(layers: Sequence[dict[str, Any]]) -> None:
    """Says of each layer which `group` of the HDF5 file holds its weights."""
    seen: Counter[str] = Counter()
    for layer in layers:
        name = layer["class_name"]
        number = seen[name]
        seen[name] += 1
        layer["group"] = f"layers/{GROUPS.get(name, name)}" + (f"_{number}" if number else "")


def inputs_of(node: dict[str, Any]) -> list[str]:
    """The names of the layers whose outputs a call is given."""
    found: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("class_name") == KERAS_TENSOR:
                found.append(value["config"]["keras_history"][0])
            else:
                look(list(value.values()))
        elif isinstance(value, list):
            for one in value:
                look(one)

    look([node["args"], node["kwargs"]])
    return found


def title(layer: dict[str, Any]) -> str:
    name = layer["config"].get("name", "")
    return f"{layer['class_name']} {name!r}" if name else layer["class_name"]


class Dense(NamedTuple):
    name: str
    linear: Linear
    activation: str


class Reader:
    """Takes one layer after the other, and collects what has no counterpart."""

    def __init__(self, tensors: dict[str, torch.Tensor]):
        self.tensors = tensors
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.embedding: torch.Tensor | None = None
        self.mask_zero = False
        self.cell_type = ""
        self.layers: list[Layer] = []
        self.recurs = False  # whether a recurrent layer has come, with a counterpart or without
        self.pooling: str | None = None
        self.each_state = True  # whether what comes now is still one vector a token
        self.denses: list[Dense] = []

    def read(self, layer: dict[str, Any]) -> None:
        kind, config = layer["class_name"], layer["config"]
        before = len(self.faults)
        if kind in PASSED:
            return
        if kind == "Embedding":
            self.read_embedding(layer)
        elif kind in RECURRENT or (kind == "Bidirectional" and config["layer"]["class_name"] in RECURRENT):
            self.read_recurrent(layer)
        elif kind in POOLINGS and self.layers and self.each_state and not self.denses:
            self.pooling, self.each_state = POOLINGS[kind], False
            if config.get("data_format", "channels_last") != "channels_last" or config.get("keepdims"):
                self.faults.append(f"{title(layer)}: data_format or keepdims")
        elif kind == "Dense" or (kind == "TimeDistributed" and config["layer"]["class_name"] == "Dense"):
            self.read_dense(layer)
        elif (kind in ACTIVATIONS or kind == "Activation") and self.denses and self.denses[-1].activation == "linear":
            activation = ACTIVATIONS.get(kind) or name_of(config["activation"])
            self.denses[-1] = self.denses[-1]._replace(activation=activation)
            if kind in ACTIVATIONS and any(config.get(n) for n in ("max_value", "negative_slope", "threshold")):
                self.faults.append(f"{title(layer)}: with max_value, negative_slope or threshold")
        else:
            self.faults.append(f"{title(layer)} (supported here: {SUPPORTED})")
        if len(self.faults) == before and kind != "InputLayer" and config.get("quantization_config"):
            self.faults.append(f"{title(layer)}: quantized")

    def read_embedding(self, layer: dict[str, Any]) -> None:
        config, values = layer["config"], variables(self.tensors, layer["group"])
        wanted = (config["input_dim"], config["output_dim"])
        if self.embedding is not None or self.layers:
            self.faults.append(f"{title(layer)}: a second embedding, or one behind the recurrence")
        elif len(values) != 1 or tuple(values[0].shape) != wanted:
            self.faults.append(f"{title(layer)}: has the shapes {', '.join(map(shape, values))}, not {wanted}")
        else:
            self.embedding, self.mask_zero = values[0], bool(config["mask_zero"])

    def read_recurrent(self, layer: dict[str, Any]) -> None:
        kind, config = layer["class_name"], layer["config"]
        ways = {"": layer}
        if kind == "Bidirectional":
            ways = {
                "/forward_layer": config["layer"],
                "/backward_layer": config.get("backward_layer") or config["layer"],
            }
            if config["merge_mode"] != "concat":
                self.faults.append(f"{title(layer)}: merge_mode={config['merge_mode']!r} (only 'concat')")
        self.recurs = True
        cells: Layer = []
        before = len(self.faults)
        if self.denses or not self.each_state:
            self.faults.append(f"{title(layer)}: comes after a Dense, a pooling, or a layer without return_sequences")
        for way, one in ways.items():
            if found := peculiar(one, backward=way == "/backward_layer"):
                self.faults += [f"{title(layer)}: {what}" for what in found]
                continue
            cell = cell_of(variables(self.tensors, f"{layer['group']}{way}/cell"), RECURRENT[one["class_name"]])
            if isinstance(cell, str):
                self.faults.append(f"{title(layer)}: {cell}")
            elif cell.hidden_size != one["config"]["units"] or bool(one["config"]["use_bias"]) == (
                f"{layer['group']}{way}/cell/vars/2" not in self.tensors
            ):
                self.faults.append(f"{title(layer)}: its weights are not those of its configuration")
            else:
                cells.append(cell)
        if len(self.faults) > before:
            return
        kinds = {cell_type(one) for one in ways.values()}
        if len({cell.hidden_size for cell in cells}) > 1 or len(kinds) > 1:
            self.faults.append(f"{title(layer)}: its two directions are not alike")
        elif self.cell_type not in ("", *kinds):
            self.faults.append(
                f"{title(layer)}: {kinds.pop()} after {self.cell_type} (all layers have one kind of cell)"
            )
            return
        self.cell_type = kinds.pop()
        one = next(iter(ways.values()))["config"]
        if one["stateful"]:
            self.notes.append(
                f"{title(layer)} is stateful: ours begins each call with zeros, unless it is given cache_params"
            )
        self.each_state = one["return_sequences"]
        self.layers.append(cells)

    def read_dense(self, layer: dict[str, Any]) -> None:
        group, dense = layer["group"], layer
        if layer["class_name"] == "TimeDistributed":
            group, dense = f"{group}/layer", layer["config"]["layer"]
        linear = linear_of(variables(self.tensors, group))
        if not self.recurs:
            self.faults.append(f"{title(layer)}: before the recurrence")
        elif isinstance(linear, str):
            self.faults.append(f"{title(layer)}: {linear}")
        elif linear.weight.shape[0] != dense["config"]["units"]:
            self.faults.append(f"{title(layer)}: its weights are not those of its configuration")
        else:
            self.denses.append(Dense(title(layer), linear, name_of(dense["config"]["activation"])))

    def original(self, choices: Choices, source: str) -> Original:
        """What was read, as a whole.

        Raises:
            UserError: with all that has no counterpart.
        """
        if faults := [*self.faults, *self.unlike_ours()] or self.misfits():
            raise UserError(no_counterpart(source, faults))
        if self.embedding is None:
            if not choices.one_hot:
                raise UserError(f"{source}: has no Embedding; if its inputs are one-hot vectors, add --one-hot")
            self.embedding = one_hot(self.layers[0][0].weight_ih.shape[1], self.tensors.values(), source)
        elif choices.one_hot:
            raise UserError(f"one_hot: {source} has an Embedding")
        *hidden, (name, head, activation) = self.denses
        K = len(head.weight)
        task = self.task(choices, source, K)
        if activation == "softmax" and K == 1:
            raise UserError(no_counterpart(source, [f"{name}: a softmax over one output, which is always 1"]))
        if activation == "sigmoid" and (task == CAUSAL_LM or (task == TOKENS and K > 1)):
            raise UserError(no_counterpart(source, [f"{name}: a sigmoid for each of {K} outputs at a token"]))
        kind = {"softmax": SINGLE, "sigmoid": SINGLE if K == 1 else MULTI}.get(activation, choices.problem_type)
        if choices.problem_type not in (None, kind):
            raise UserError(f"problem_type={choices.problem_type!r}: {source} ends in a {activation}, which is {kind}")
        problem_type, binary = None, False
        if task != CAUSAL_LM or choices.problem_type or choices.num_labels:
            problem_type, binary = labels_of(source, replace(choices, problem_type=kind), task, K)
        return Original(
            task=task,
            cell_type=self.cell_type,
            embedding=self.embedding,
            layers=self.layers,
            head=head,
            dense=hidden[0].linear if hidden else None,
            pooling=self.pooling or "last",
            problem_type=problem_type,
            binary=binary,
            pad_token_id=0 if self.mask_zero else None,
            notes=self.notes,
        )

    def unlike_ours(self) -> list[str]:
        """What is missing or too much in the model as a whole."""
        if not self.denses or not self.recurs:
            return [] if self.faults else [f"no {'Dense' if self.recurs else 'recurrent'} layer"]
        *hidden, last = self.denses
        found = [
            f"{dense.name}: activation={dense.activation!r} in a hidden layer (only 'relu')"
            for dense in hidden
            if dense.activation != "relu"
        ]
        if len(hidden) > 1:
            found.append(f"{', '.join(dense.name for dense in hidden)}: more than one hidden Dense layer")
        if hidden and self.each_state and not self.faults:
            found.append(f"{hidden[0].name}: a hidden Dense layer at each token")
        if last.activation not in ("linear", "softmax", "sigmoid"):
            found.append(f"{last.name}: activation={last.activation!r} (only 'linear', 'softmax' or 'sigmoid')")
        return found

    def misfits(self) -> list[str]:
        """Layers that do not read what the one before gives, which Keras would not have written."""
        found = []
        size = None if self.embedding is None else self.embedding.shape[1]
        for n, layer in enumerate(self.layers):
            if any(cell.weight_ih.shape[1] != (size or layer[0].weight_ih.shape[1]) for cell in layer):
                found.append(f"recurrent layer {n + 1}: does not read {size} features")
            size = output_size(layer)
        for name, linear, _ in self.denses:
            if linear.weight.shape[1] != size:
                found.append(f"{name}: does not read {size} features")
            size = linear.weight.shape[0]
        return found

    def task(self, choices: Choices, source: str, outputs: int) -> str:
        """What was asked for, if it fits; or what the layers say."""
        assert self.embedding is not None
        forward = all(len(layer) == 1 for layer in self.layers)
        plain = forward and len(self.denses) == 1 and self.pooling is None
        fits = {
            CAUSAL_LM: plain and outputs == len(self.embedding),
            TOKENS: self.each_state,
            SEQUENCES: not self.each_state,
        }
        task = choices.task or next(name for name, fit in fits.items() if fit)
        if not fits[task]:
            allowed = [name for name, fit in fits.items() if fit]
            raise UserError(f"task={task!r}: the layers of {source} are those of {' or '.join(allowed)}")
        if task == CAUSAL_LM and not self.each_state:
            self.notes.append(f"{source} scores the token behind a whole text; ours does so at each of its tokens")
        return task


def name_of(activation: Any) -> str:
    """The name of an activation in a configuration; `linear` for none."""
    if activation is None:
        return "linear"
    if isinstance(activation, str):
        return activation
    return str(activation.get("config") if isinstance(activation.get("config"), str) else activation["class_name"])


def cell_type(layer: dict[str, Any]) -> str:
    if layer["class_name"] == "SimpleRNN":
        return f"rnn_{name_of(layer['config']['activation'])}"
    return layer["class_name"].lower()


def peculiar(layer: dict[str, Any], backward: bool) -> list[str]:
    """What of a recurrent layer has no counterpart.

    Args:
        layer: of a class in `RECURRENT`.
        backward: whether it is the second direction of a Bidirectional.
    """
    kind, config = layer["class_name"], layer["config"]
    if kind not in RECURRENT:
        return [f"a {kind} as its second direction"]
    found: list[str] = []
    allowed: list[tuple[str, Callable[[Any], Any], Any, tuple]] = [
        ("activation", name_of, "tanh", ("tanh", "relu") if kind == "SimpleRNN" else ("tanh",)),
        ("return_state", bool, False, (False,)),
        ("go_backwards", bool, False, (backward,)),
    ]
    if kind != "SimpleRNN":
        allowed.append(("recurrent_activation", name_of, "sigmoid", ("sigmoid",)))
    if kind == "GRU":
        allowed.append(("reset_after", bool, True, (True,)))
    for name, read, default, values in allowed:
        given = read(config.get(name, default))
        if given not in values:
            found.append(f"{name}={given!r} (only {' or '.join(map(repr, values))})")
    return found
