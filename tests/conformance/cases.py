"""What is tested: every registered model class with a cell of each kind, in each direction it can read."""

import itertools
from typing import Any, NamedTuple

from transformers import PreTrainedModel
from transformers.models.auto import modeling_auto

import rnn_zoo

# Of each kind the cell with the most states, as in `tests/conftest.py`: promises of cells are tested of all there.
CELLS = {cell.kind: name for name, cell in sorted(rnn_zoo.CELLS.items(), key=lambda item: len(item[1].state_names))}
# All others are tested in both directions.
FORWARD_ONLY = {"RnnForCausalLM"}
# The field that says so, by type of configuration; the encoder's, where there are two sides.
DIRECTION = {"rnn_zoo": "bidirectional", "rnn_zoo_seq2seq": "encoder_bidirectional"}
# With each kind of attention and each order of the decoder's parts. What a variant sets is not varied any further.
SEQ2SEQ: list[dict[str, Any]] = [
    {"encoder_bidirectional": True, "attention": "bahdanau", "input_feeding": True},
    {"encoder_bidirectional": True, "attention_layer": 1, "input_feeding": True, "tie_word_embeddings": True},
    {"cell_type": "lstm", "encoder_bidirectional": True, "attention_layer": 1, "layer_norm": True, "residual": True},
    {"cell_type": "gru", "encoder_bidirectional": True, "attention": "none", "bridge": "mean"},
    {"cell_type": "gru", "encoder_bidirectional": False, "attention": "luong_dot", "attention_scaled": True},
    {"cell_type": "lstm", "encoder_bidirectional": True, "attention": "luong_concat", "bridge": "none"},
    {"cell_type": "gru", "encoder_bidirectional": True, "share_encoder_decoder_embeddings": False},
]
# What a class is tested with besides its defaults.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "RnnForTokenClassification": [{"use_crf": True}],
    "RnnForSequenceClassification": [{"pooling": "self_attentive"}],
    "RnnSeq2SeqModel": SEQ2SEQ,
    "RnnSeq2SeqForConditionalGeneration": SEQ2SEQ,
}


class Case(NamedTuple):
    """One model class in one shape."""

    model_class: type[PreTrainedModel]
    auto_classes: list[type]
    overrides: dict[str, Any]

    @property
    def name(self) -> str:
        direction = DIRECTION[self.model_class.config_class.model_type]
        parts = [self.model_class.__name__, self.overrides["cell_type"]]
        parts += ["bidirectional"] if self.overrides[direction] else []
        for name, value in self.overrides.items():
            if name not in ("cell_type", direction):
                parts += [name] if value is True else [name, str(value)]
        return "_".join(parts)


def registered() -> dict[type[PreTrainedModel], list[type]]:
    """Our model classes, each with the Auto classes that it is registered with."""
    found: dict[type[PreTrainedModel], list[type]] = {}
    for auto_class in vars(modeling_auto).values():
        # Private, but there is no other way to ask an Auto class what was added to it.
        mapping = getattr(auto_class, "_model_mapping", None) if isinstance(auto_class, type) else None
        for model_class in getattr(mapping, "_extra_content", {}).values():
            if model_class.__module__.startswith("rnn_zoo."):
                found.setdefault(model_class, []).append(auto_class)
    return found


def cases() -> list[Case]:
    found = []
    for model_class, auto_classes in registered().items():
        directions = [False] if model_class.__name__ in FORWARD_ONLY else [False, True]
        shapes = {"cell_type": list(CELLS.values()), DIRECTION[model_class.config_class.model_type]: directions}
        for variant in [{}, *VARIANTS.get(model_class.__name__, [])]:
            varied = {name: [variant[name]] if name in variant else values for name, values in shapes.items()}
            for values in itertools.product(*varied.values()):
                found.append(Case(model_class, auto_classes, {**dict(zip(varied, values, strict=True)), **variant}))
    return found
