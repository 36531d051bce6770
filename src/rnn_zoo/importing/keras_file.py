"""The files of Keras: `.keras` (layers and weights), `.weights.h5` (weights) and the older `.h5` -> what they hold.

They are read as what they are, a zip of JSON and HDF5: Keras is not imported and nothing in them is run.
"""

import io
import json
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError, one_line
from .hdf5 import attribute, inside, items_of, names_in, opened_hdf5, tensor_of
from .keras_graph import as_in_keras_3, number_groups
from .limits import check_bytes, packed_sizes, size_of

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MAGIC = b"\x89HDF\r\n\x1a\n"


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
