"""The layers of a Keras model and their weights -> what they compute; or all that has no counterpart."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from ..errors import UserError, one_line, shortened
from ..models.keys_classifier import MULTI, SINGLE
from .keras_file import CONFIG
from .keras_graph import chain_of, title
from .keras_weights import cell_of, linear_of, variables
from .options import CAUSAL_LM, SEQUENCES, TOKENS
from .original import Layer, Linear, Original, output_size
from .roles import Choices, labels_of, no_counterpart, one_hot, shape

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
            values = variables(self.tensors, f"{layer['group']}{way}/cell")
            cell = cell_of(values, RECURRENT[one["class_name"]])
            if isinstance(cell, str):
                self.faults.append(f"{title(layer)}: {cell}")
            elif (
                cell.hidden_size != one["config"]["units"]
                or bool(one["config"]["use_bias"]) != (len(values) == 3)
                or (len(values) == 3 and (values[2].dim() == 2) != (cell_type(one) == "gru"))
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
    if layer["class_name"] == "GRU" and not layer["config"].get("reset_after", True):
        return "cho_gru"
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
    for name, read, default, values in allowed:
        given = read(config.get(name, default))
        if given not in values:
            found.append(f"{name}={given!r} (only {' or '.join(map(repr, values))})")
    return found
