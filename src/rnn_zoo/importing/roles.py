"""Which part of a model each tensor is: the weights of a file -> embedding, recurrent layers, linear layers.

A file of weights does not say how its parts are put together. What names and shapes leave open is asked for.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from ..errors import UserError, shortened
from ..models.keys_classifier import REGRESSION, SINGLE
from .limits import check_bytes
from .options import CAUSAL_LM, IMPORTED, POOLED, SEQUENCES, TOKENS
from .original import Layer, Linear, Original, Transitions, output_size

EMBEDDING_NAME = re.compile(r"emb|encoder|lookup|wte|vectors", re.IGNORECASE)
NAMED = 50  # tensors in a message
EMBEDDING, RNN, DENSE, HEAD = "embedding", "rnn", "dense", "head"


@dataclass
class Choices:
    """What a user says of a model, where its file does not; `None`: nothing.

    Args:
        task: one of `IMPORTED`.
        cell_type: `"rnn_tanh"` or `"rnn_relu"`, `"gru"` or `"cho_gru"`, which have the same weights.
        pooling: of a classifier, `"last"`, `"mean"`, `"max"` or `"concat"`.
        problem_type: of a classifier.
        num_labels: 2 for a model whose only output is the log-odds of the second of two labels.
        one_hot: whether the recurrence reads one-hot vectors and there is no embedding.
        embedding, rnn, dense, head: names of modules, whole or their ends behind a point.
        ignored: names of modules or tensors that are left out.
    """

    task: str | None = None
    cell_type: str | None = None
    pooling: str | None = None
    problem_type: str | None = None
    num_labels: int | None = None
    one_hot: bool = False
    embedding: str | None = None
    rnn: list[str] = field(default_factory=list)
    dense: str | None = None
    head: str | None = None
    ignored: list[str] = field(default_factory=list)


@dataclass
class Parts:
    """What a file holds, by the names of its modules, in its order.

    Args:
        source: what a sentence calls the file.
        rnns: of each the layers.
        cell_type: of all of them.
        linears: matrices `(outputs, inputs)` with a bias.
        tables: matrices without one: embeddings, or linear layers without bias.
        biases: vectors alone, as a linear layer's whose matrix is the embedding's.
        crfs: the scores of CRFs.
        order: the names of `linears`, `tables` and `biases` as they stand in the file.
        recurs: whether there is anything recurrent, with a counterpart or without.
        faults: tensors without a counterpart, each as a sentence names it.
        notes: what was taken for granted, a sentence each.
    """

    source: str
    rnns: dict[str, list[Layer]] = field(default_factory=dict)
    cell_type: str = ""
    linears: dict[str, Linear] = field(default_factory=dict)
    tables: dict[str, torch.Tensor] = field(default_factory=dict)
    biases: dict[str, torch.Tensor] = field(default_factory=dict)
    crfs: dict[str, Transitions] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    recurs: bool = False
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def tensors(self) -> list[torch.Tensor]:
        """Those that have a counterpart."""
        cells = [tensor for layers in self.rnns.values() for layer in layers for cell in layer for tensor in cell]
        linears = [tensor for linear in self.linears.values() for tensor in linear]
        return [*cells, *linears, *self.tables.values(), *self.biases.values()]


def shape(tensor: torch.Tensor) -> str:
    return f"({', '.join(str(size) for size in tensor.shape)})"


def named(name: str, wanted: str) -> bool:
    """Whether `wanted` is the name, or its end behind a point or a slash."""
    return name == wanted or name.endswith((f".{wanted}", f"/{wanted}"))


def pick(parts: Parts, among: Iterable[str], role: str, wanted: str) -> str:
    """The one module that `wanted` names.

    Raises:
        UserError: if there is none, or several.
    """
    among = list(among)
    found = [name for name in among if name == wanted] or [name for name in among if named(name, wanted)]
    if len(found) != 1:
        problem = "names several of them" if found else "there is no such one"
        raise UserError(f"{role}={wanted!r}: {problem} in {parts.source} (it has {', '.join(among) or 'none'})")
    return found[0]


def original_of(parts: Parts, choices: Choices) -> Original:
    """The model that the parts make.

    Raises:
        UserError: with all tensors that have no place in it, or with what has to be said about it.
    """
    source, faults = parts.source, list(parts.faults)
    if not parts.recurs:
        raise UserError(f"{source}: holds no recurrent layer (LSTM, GRU or RNN)")
    notes = list(parts.notes)
    chosen = [pick(parts, parts.rnns, RNN, name) for name in choices.rnn] or list(parts.rnns)
    faults += [f"{name}: recurrent, but not chosen" for name in parts.rnns if name not in chosen]
    if faults:  # shapes behind a fault are not worth a guess
        raise UserError(no_counterpart(source, faults))
    layers = [layer for name in chosen for layer in parts.rnns[name]]
    if len(chosen) > 1:
        notes.append(f"{' -> '.join(chosen)}: taken for layers one after the other, as their sizes fit")
    width = layers[0][0].weight_ih.shape[1]
    for before, layer in pairwise(layers):
        if layer[0].weight_ih.shape[1] != output_size(before):
            raise UserError(
                f"{source}: {', '.join(chosen)}: a layer of {output_size(before)} features is followed by one that "
                f"reads {layer[0].weight_ih.shape[1]}; say which belong to the model, in order, with --rnn"
            )
    cell_type = cell_type_of(parts, choices, notes)
    output = output_size(layers[-1])

    linears, tables, biases = dict(parts.linears), dict(parts.tables), dict(parts.biases)
    embedding = take_embedding(parts, choices, tables, width)
    # A matrix without bias that is no embedding is a linear layer.
    linears |= {name: Linear(table, torch.zeros(len(table))) for name, table in tables.items()}
    candidates = {name: linears[name] for name in parts.order if name in linears}
    tied = False
    if not candidates and embedding is not None and len(biases) == 1:
        (bias,) = biases.values()
        if len(bias) == len(embedding) and embedding.shape[1] == output:
            candidates, tied = {next(iter(biases)): Linear(embedding, bias)}, True
            notes.append(f"{next(iter(biases))}: has a bias only, so its matrix is the embedding's (tied)")
            biases = {}
    dense, head = take_linears(parts, choices, candidates, notes)
    faults += [f"surplus {name} {shape(linear.weight)}" for name, linear in candidates.items()]
    faults += [f"surplus {name}.bias {shape(bias)}" for name, bias in biases.items()]
    if head is None:
        faults.append("missing a linear layer behind the recurrence (weight and bias)")
    if faults or head is None:
        raise UserError(no_counterpart(source, faults))
    if embedding is None:
        embedding = one_hot(width, parts.tensors(), source)
    first = head if dense is None else dense
    K = head.weight.shape[0]
    if dense is not None and not follows(dense, head):
        raise UserError(
            f"{source}: the hidden linear layer has {dense.weight.shape[0]} outputs, and the last one reads "
            f"{head.weight.shape[1]}; say which is which with --dense and --head"
        )
    times, rest = divmod(first.weight.shape[1], output)
    if rest or times not in (1, 3):
        raise UserError(
            f"{source}: the linear layer reads {first.weight.shape[1]} features, but the recurrence gives {output} "
            f"(or {3 * output} with the pooling concat)"
        )
    one_direction = all(len(layer) == 1 for layer in layers)
    scores_tokens = len(embedding) == K and one_direction and times == 1 and dense is None
    crf = crf_of(parts, K)
    if crf is not None and choices.task not in (None, TOKENS):
        raise UserError(f"task={choices.task!r}: {source} holds a CRF ({next(iter(parts.crfs))}), as taggers do")
    task = TOKENS if crf is not None else task_of(source, choices, scores_tokens, times)
    if task != SEQUENCES:
        if times == 3 or dense is not None:
            what = "a hidden linear layer" if dense is not None else f"{3 * output} pooled features"
            raise UserError(f"task={task!r}: {source} has {what}, which only {SEQUENCES} has")
        if choices.pooling is not None:
            raise UserError(f"pooling={choices.pooling!r}: is for --task {SEQUENCES}")
    if task == CAUSAL_LM and len(embedding) != K:
        raise UserError(f"task={task!r}: {source} scores {K} tokens, but its embedding has {len(embedding)}")
    if task == CAUSAL_LM and not one_direction:
        raise UserError(f"task={task!r}: {source} reads in both directions, so it would read what it is to predict")
    problem_type, binary = labels_of(source, choices, task, K)
    if crf is not None and binary:
        raise UserError(f"{source}: a CRF over one tag, which is always the same")
    tied = task == CAUSAL_LM and (tied or torch.equal(embedding, head.weight))
    return Original(
        task=task,
        cell_type=cell_type,
        embedding=embedding,
        layers=layers,
        head=head,
        dense=dense,
        pooling=pooling_of(source, choices, times) if task == SEQUENCES else "last",
        problem_type=problem_type,
        binary=binary,
        tied=tied,
        crf=crf,
        notes=notes,
    )


def crf_of(parts: Parts, outputs: int) -> Transitions | None:
    """The CRF over so many outputs; `None` if there is none.

    Raises:
        UserError: if there are several, or it has another number of tags.
    """
    if not parts.crfs:
        return None
    (name, crf), *others = parts.crfs.items()
    if others:
        raise UserError(
            f"{parts.source}: holds several CRFs ({', '.join(parts.crfs)}); leave out all but one: --ignore"
        )
    if len(crf.start) != outputs:
        raise UserError(
            f"{parts.source}: {name or 'its CRF'} has {len(crf.start)} tags, but the linear layer gives {outputs} "
            "scores"
        )
    return crf


def no_counterpart(source: str, faults: list[str]) -> str:
    rest = len(faults) - NAMED
    more = f"; and {rest} more" if rest > 0 else ""
    return f"{source}: {len(faults)} without a counterpart: {'; '.join(map(shortened, faults[:NAMED]))}{more}"


def one_hot(width: int, tensors: Iterable[torch.Tensor], source: object) -> torch.Tensor:
    """The embedding `(width, width)` that one-hot vectors are.

    Raises:
        UserError: if it is much larger than the tensors of the file.
    """
    check_bytes(f"{source}: one-hot vectors of {width} tokens have", 4 * width**2, sum(t.nbytes for t in tensors))
    return torch.eye(width)


def cell_type_of(parts: Parts, choices: Choices, notes: list[str]) -> str:
    given, found = choices.cell_type, parts.cell_type
    if given == "cho_gru" and found == "gru":  # of the same shapes
        return given
    if found != "rnn_tanh":
        if given not in (None, found):
            raise UserError(f"cell_type={given!r}: the weights of {parts.source} are those of {found!r}")
        return found
    if given is None:
        notes.append("rnn_tanh: the weights do not show whether it is tanh or ReLU (--cell-type rnn_relu)")
    elif given not in ("rnn_tanh", "rnn_relu"):
        raise UserError(f"cell_type={given!r}: the weights of {parts.source} are those of rnn_tanh or rnn_relu")
    return given or found


def take_embedding(
    parts: Parts,
    choices: Choices,
    tables: dict[str, torch.Tensor],
    width: int,
) -> torch.Tensor | None:
    """Takes the embedding out of `tables`; `None` for one-hot vectors.

    Args:
        width: features that the first layer reads.
    """
    if choices.one_hot:
        if choices.embedding is not None:
            raise UserError("one_hot: give it, or an embedding, not both")
        return None
    if choices.embedding is not None:
        name = pick(parts, tables, EMBEDDING, choices.embedding)
        if tables[name].shape[1] != width:
            raise UserError(
                f"embedding={choices.embedding!r}: has vectors of {tables[name].shape[1]} features, but the recurrence "
                f"reads {width}"
            )
        return tables.pop(name)
    fit = [name for name, table in tables.items() if table.shape[1] == width]
    if choices.head is not None:
        fit = [name for name in fit if not named(name, choices.head)]
    if len(fit) > 1:
        called = [name for name in fit if EMBEDDING_NAME.search(name)]
        fit = called if len(called) == 1 else fit
    if len(fit) > 1:
        raise UserError(f"{parts.source}: which is the embedding, {' or '.join(fit)}? Say so with --embedding NAME")
    if not fit:
        other = [f"{name} {shape(table)}" for name, table in tables.items() if EMBEDDING_NAME.search(name)]
        found = f" ({', '.join(other)} does not)" if other else ""
        raise UserError(
            f"{parts.source}: holds no embedding with vectors of {width} features, as the recurrence reads{found}; if "
            "its inputs are one-hot vectors, add --one-hot"
        )
    return tables.pop(fit[0])


def take_linears(
    parts: Parts, choices: Choices, candidates: dict[str, Linear], notes: list[str]
) -> tuple[Linear | None, Linear | None]:
    """Takes the last linear layer out of `candidates`, and the hidden one before it; `None` where there is none."""
    if not candidates:
        return None, None
    names = list(candidates)
    if choices.head is not None:
        last = pick(parts, names, HEAD, choices.head)
    else:
        last = names[-1]
        if len(names) == 2 and not follows(*candidates.values()) and follows(*list(candidates.values())[::-1]):
            last = names[0]  # safetensors do not keep the order
    head = candidates.pop(last)
    hidden = [name for name, linear in candidates.items() if follows(linear, head)]
    if choices.dense is not None:
        hidden = [pick(parts, candidates, DENSE, choices.dense)]
    if len(hidden) != 1 or (choices.dense is None and len(candidates) > 1):
        return None, head
    notes.append(f"{hidden[0]} -> {last}: taken to have ReLU in between, which the weights do not show")
    return candidates.pop(hidden[0]), head


def follows(first: Linear, second: Linear) -> bool:
    return first.weight.shape[0] == second.weight.shape[1]


def task_of(source: str, choices: Choices, like_a_language_model: bool, times: int) -> str:
    if choices.task is not None:
        return choices.task
    if like_a_language_model:  # as many scores as tokens
        return CAUSAL_LM
    if times == 3:
        return SEQUENCES
    raise UserError(f"task: the weights of {source} do not show it; say --task {' or '.join(IMPORTED)}")


def pooling_of(source: str, choices: Choices, times: int) -> str:
    allowed = [name for name, number in POOLED.items() if number == times]
    if choices.pooling is None and len(allowed) > 1:
        raise UserError(
            f"pooling: the weights of {source} do not show how it makes one vector of all states; say --pooling "
            f"{', '.join(allowed[:-1])} or {allowed[-1]}"
        )
    given = choices.pooling or allowed[0]
    if given not in allowed:
        raise UserError(f"pooling={given!r}: the linear layer of {source} reads what {' or '.join(allowed)} gives")
    return given


def labels_of(source: str, choices: Choices, task: str, outputs: int) -> tuple[str | None, bool]:
    """The kind of labels, and whether the only output is the log-odds of the second of two."""
    given = choices.problem_type
    if task == CAUSAL_LM:
        for name, value in (("problem_type", given), ("labels", choices.num_labels)):
            if value is not None:
                raise UserError(f"{name}: is for classifiers and taggers, and {source} is a language model")
        return None, False
    if task != SEQUENCES and given not in (None, SINGLE):
        raise UserError(f"problem_type={given!r}: a tagger has one label a word")
    binary = outputs == 1 and (choices.num_labels == 2 or given == SINGLE or task != SEQUENCES)
    if outputs == 1 and not binary and given is None:
        raise UserError(
            f"problem_type: {source} gives one number a text; say --problem-type {REGRESSION}, or {SINGLE} if it is "
            "the score (before the sigmoid) of the second of two labels"
        )
    if choices.num_labels not in (None, 2 if binary else outputs):
        raise UserError(f"labels: there are {choices.num_labels}, but {source} has {outputs} outputs")
    return (given or SINGLE) if task == SEQUENCES else None, binary
