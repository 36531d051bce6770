"""A model of another framework as plain tensors: what it computes, by torch's own modules, and as a model of ours.

Sizes: `B` batch, `T` time, `V` vocabulary, `E` embedding, `D` input, `H` hidden, `G` gates, `K` outputs of the head.
"""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from ..checkpoint_checks import sentences
from ..errors import UserError
from ..models.configuration_rnn import RnnConfig
from ..models.keys_classifier import MULTI
from ..models.modeling_rnn import RnnPreTrainedModel
from ..tasks import TASKS
from .limits import check_bytes
from .options import CAUSAL_LM, POOLED, SEQUENCES


class ResetBeforeGru(nn.GRU):
    """The GRU of Keras with `reset_after=False`, which torch does not have: the reset gate before the product."""

    def forward(self, x: torch.Tensor):  # type: ignore[override]
        """`(B, T, D)` -> `(B, T, directions·H)`, the last states `(layers·directions, B, H)`."""
        directions, ends = 2 if self.bidirectional else 1, []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(directions):
                weight_ih, weight_hh, bias_ih, bias_hh = self.all_weights[layer * directions + direction]
                R_r, R_z, R_n = weight_hh.t().chunk(3, 1)
                projected = F.linear(x, weight_ih, bias_ih + bias_hh)
                h, states = x.new_zeros(len(x), self.hidden_size), []
                for step in (projected.flip(1) if direction else projected).unbind(1):
                    r, z, n = step.chunk(3, -1)
                    r, z = torch.sigmoid(r + h @ R_r), torch.sigmoid(z + h @ R_z)
                    h = z * h + (1 - z) * torch.tanh(n + (r * h) @ R_n)
                    states.append(h)
                outputs.append(torch.stack(states[::-1] if direction else states, 1))
                ends.append(h)
            x = torch.cat(outputs, -1)
        return x, torch.stack(ends)


# What each cell is in torch.
MODULES: dict[str, Any] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "cho_gru": ResetBeforeGru,
    "rnn_tanh": nn.RNN,
    "rnn_relu": nn.RNN,
}
GATES = {4: "lstm", 3: "gru", 1: "rnn_tanh"}  # the cell with so many; `rnn_relu` has the same weights as `rnn_tanh`
NEVER = -1e4  # score of a token that the original does not have: its probability is 0 in every dtype


class Cell(NamedTuple):
    """One layer and direction in torch's layout: `(G·H, D)`, `(G·H, H)`, `(G·H)`, `(G·H)`."""

    weight_ih: torch.Tensor
    weight_hh: torch.Tensor
    bias_ih: torch.Tensor
    bias_hh: torch.Tensor

    @property
    def hidden_size(self) -> int:
        return self.weight_hh.shape[1]

    @property
    def gates(self) -> int:
        return self.weight_hh.shape[0] // self.hidden_size


class Linear(NamedTuple):
    """`(outputs, inputs)`, `(outputs)`."""

    weight: torch.Tensor
    bias: torch.Tensor


class Transitions(NamedTuple):
    """The scores of a linear-chain CRF: `(K, K)` [from, to], of the first tag `(K)`, of the last `(K)`."""

    transitions: torch.Tensor
    start: torch.Tensor
    end: torch.Tensor


Layer = list[Cell]  # forward, and perhaps backward


def output_size(layer: Layer) -> int:
    return len(layer) * layer[0].hidden_size


@dataclass
class Original:
    """Embedding -> recurrent layers -> one or two linear layers.

    Args:
        task: one of `IMPORTED`.
        cell_type: of all layers, a key of `MODULES`.
        embedding: `(V, E)`.
        layers: of any sizes that fit; with one direction or both.
        head: the last linear layer.
        dense: a linear layer before it, with ReLU in between; for texts.
        pooling: a key of `POOLED`; for texts.
        problem_type: of a classifier, as in its configuration.
        binary: whether the head's only output is the log-odds of the second of two labels.
        tied: whether the head's weight is the embedding's.
        crf: of a tagger, the scores of a CRF over what the head gives.
        pad_token_id: what the original masks by itself.
        notes: what was taken for granted, a sentence each.
    """

    task: str
    cell_type: str
    embedding: torch.Tensor
    layers: list[Layer]
    head: Linear
    dense: Linear | None = None
    pooling: str = "last"
    problem_type: str | None = None
    binary: bool = False
    tied: bool = False
    crf: Transitions | None = None
    pad_token_id: int | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def vocab_size(self) -> int:
        return self.embedding.shape[0]

    @property
    def num_labels(self) -> int:
        return 2 if self.binary else self.head.weight.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        cells = [tensor for layer in self.layers for cell in layer for tensor in cell]
        return sum(t.nbytes for t in (self.embedding, *cells, *self.head, *(self.dense or ())))

    @torch.no_grad()
    def logits(self, input_ids: torch.Tensor) -> torch.Tensor:
        """What torch's own modules make of these tensors: `(B, T)` -> `(B, T, K)`, of texts `(B, K)`.

        With a CRF: the score of the best sequence through each tag less that of the best of all.
        """
        x, ends = F.embedding(input_ids, self.embedding), torch.empty(0)
        for layer in self.layers:
            module = MODULES[self.cell_type](
                x.shape[-1],
                layer[0].hidden_size,
                batch_first=True,
                bidirectional=len(layer) == 2,
                **({"nonlinearity": self.cell_type.removeprefix("rnn_")} if MODULES[self.cell_type] is nn.RNN else {}),
            )
            for cell, suffix in zip(layer, ("_l0", "_l0_reverse"), strict=False):
                module.load_state_dict({f"{name}{suffix}": tensor for name, tensor in cell._asdict().items()}, False)
            x, state = module(x)
            ends = torch.cat(list(state[0] if isinstance(state, tuple) else state), -1)  # (B, directions·H)
        if self.task == SEQUENCES:
            pooled = {"last": ends, "mean": x.mean(1), "max": x.amax(1)}
            x = torch.cat(list(pooled.values()), -1) if self.pooling == "concat" else pooled[self.pooling]
        if self.dense is not None:
            x = F.relu(F.linear(x, *self.dense))
        x = F.linear(x, *self.head)
        if self.crf is not None:
            return best_through(x, self.crf)
        return F.pad(x, (1, 0)) if self.binary else x  # softmax of (0, z) = (1 - σ(z), σ(z))

    def with_tokens(self, number: int) -> "Original":
        """The same with so many more tokens, which it reads as a vector of zeros and never writes."""
        embedding = F.pad(self.embedding, (0, 0, 0, number))
        head = self.head
        if self.task == CAUSAL_LM:
            head = Linear(F.pad(head.weight, (0, 0, 0, number)), F.pad(head.bias, (0, number), value=NEVER))
        return replace(self, embedding=embedding, head=head)

    def config(self, **values) -> RnnConfig:
        """The configuration of `model()`; `values` are further ones."""
        if self.task != CAUSAL_LM:
            values = {
                "num_labels": self.num_labels,
                "problem_type": self.problem_type,
                "pooling": self.pooling,
                "use_crf": self.crf is not None,
            } | values
            if self.crf is not None:
                values["tag_scheme"] = None  # what the original may write, ours may
        hidden_size = max(layer[0].hidden_size for layer in self.layers)
        return RnnConfig(
            vocab_size=self.vocab_size,
            embedding_size=self.embedding.shape[1],
            hidden_size=hidden_size,
            num_hidden_layers=len(self.layers),
            cell_type=self.cell_type,
            bidirectional=any(len(layer) == 2 for layer in self.layers),
            classifier_hidden_size=None if self.dense is None else self.dense.weight.shape[0],
            tie_word_embeddings=self.tied and hidden_size == self.embedding.shape[1],
            **{"pad_token_id": self.pad_token_id} | values,
        )

    def model(self, **values) -> RnnPreTrainedModel:
        """A model of ours with the same outputs, in evaluation; `values` are further ones of its configuration.

        All its layers have one size and read in as many directions as the widest of the original: units that a layer
        did not have get no weights, and so stay 0 (for each of these cells a step from 0 with pre-activations 0 ends
        in 0).

        Raises:
            UserError: for what no model of ours can be.
        """
        with sentences("no model of rnn_zoo can be that"):
            config = self.config(**values)
        try:
            with torch.device("meta"):
                size = sum(tensor.nbytes for tensor in TASKS[self.task].model_class(config).state_dict().values())
            check_bytes("a model of rnn_zoo, whose layers have one size, has", size, self.nbytes)
            model = TASKS[self.task].model_class(config)
        except UserError:
            raise
        except ValueError as error:
            raise UserError(str(error)) from error
        tensors = model.state_dict()
        H, directions = model.config.hidden_size, 2 if model.config.bidirectional else 1
        tensors["model.embed_tokens.weight"] = self.embedding
        columns = torch.arange(self.embedding.shape[1])  # where in our input each feature of the original stands
        width = self.embedding.shape[1]
        for n, layer in enumerate(self.layers):
            h = layer[0].hidden_size
            for d in range(directions):
                prefix = f"model.stack.layers.{n}.cells.{d}."
                cell = layer[d] if d < len(layer) else Cell(*(torch.zeros_like(tensor) for tensor in layer[0]))
                rows = (torch.arange(cell.gates)[:, None] * H + torch.arange(h)).flatten()
                tensors[f"{prefix}weight_ih"] = spread(cell.weight_ih, (cell.gates * H, width), rows, columns)
                tensors[f"{prefix}weight_hh"] = spread(cell.weight_hh, (cell.gates * H, H), rows, torch.arange(h))
                tensors[f"{prefix}bias_ih"] = spread(cell.bias_ih, (cell.gates * H,), rows)
                tensors[f"{prefix}bias_hh"] = spread(cell.bias_hh, (cell.gates * H,), rows)
            columns = torch.cat([torch.arange(h) + d * H for d in range(len(layer))])
            width = directions * H
        if self.task == SEQUENCES:
            times = POOLED[self.pooling]
            columns = torch.cat([columns + n * width for n in range(times)])
            width *= times
        linears = {"lm_head" if self.task == CAUSAL_LM else "classifier": self.head}
        if self.binary:  # a first output that is always 0
            weight, bias = self.head
            linears["classifier"] = Linear(F.pad(weight, (0, 0, 1, 0)), F.pad(bias, (1, 0)))
        if self.dense is not None:
            linears = {"dense": self.dense, **linears}
        for n, (name, (weight, bias)) in enumerate(linears.items()):
            if n == 0:
                weight = spread(weight, (len(weight), width), torch.arange(len(weight)), columns)
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = weight, bias
        if self.crf is not None:
            tensors |= {f"crf.{name}": scores for name, scores in self.crf._asdict().items()}
        model.load_state_dict(tensors)
        return model.eval()

    def describe(self) -> str:
        """What was found, on a line."""
        sizes = ", ".join(
            f"{layer[0].hidden_size}{' in both directions' if len(layer) == 2 else ''}" for layer in self.layers
        )
        parts = [
            f"{self.cell_type} {sizes}{', CRF' if self.crf is not None else ''}",
            f"{self.vocab_size:,} tokens x {self.embedding.shape[1]}",
        ]
        if self.task != CAUSAL_LM:
            kind = (
                "labels, any of them" if self.problem_type == MULTI else "labels" if self.num_labels > 1 else "number"
            )
            parts.append(f"{self.num_labels} {kind}")
        if self.task == SEQUENCES:
            parts.append(f"pooling {self.pooling}")
        return f"{self.task}: {', '.join(parts)}"


def spread(tensor: torch.Tensor, sizes: tuple[int, ...], *places: torch.Tensor) -> torch.Tensor:
    """Zeros of the shape `sizes`, with `tensor` at the given places of each dimension."""
    zeros = torch.zeros(sizes)
    zeros[torch.meshgrid(*places, indexing="ij")] = tensor
    return zeros


def best_through(emissions: torch.Tensor, crf: Transitions) -> torch.Tensor:
    """The score of the best sequence of tags through each tag of each step, less that of the best of all.

    Args:
        emissions: `(B, T, K)`; the result is of the same shape.
        crf: its scores.
    """
    x = emissions.double()
    transitions, start, end = (scores.double() for scores in crf)
    before, after = [start.expand_as(x[:, 0])], [end.expand_as(x[:, 0])]
    for t in range(1, x.shape[1]):
        before.append(((before[-1] + x[:, t - 1])[:, :, None] + transitions).amax(1))
        after.append(((after[-1] + x[:, -t])[:, None, :] + transitions).amax(2))
    total = torch.stack(before, 1) + x + torch.stack(after[::-1], 1)
    return (total - total.amax(-1, keepdim=True)).to(emissions.dtype)
