"""The layers of a Keras model as its configuration has them: their order, and where each has its weights."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..errors import UserError

KERAS_TENSOR = "__keras_tensor__"  # the class of what a layer is called with

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
