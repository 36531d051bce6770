"""What is tested: every registered model class with every cell, in each direction it can read."""

from typing import Any, NamedTuple

from transformers import PreTrainedModel
from transformers.models.auto import modeling_auto

import rnn_zoo

# All others are tested in both directions.
FORWARD_ONLY = {"RnnForCausalLM"}
# What a class is tested with besides its defaults.
VARIANTS: dict[str, list[dict[str, Any]]] = {"RnnForTokenClassification": [{"use_crf": True}]}


class Case(NamedTuple):
    """One model class in one shape."""

    model_class: type[PreTrainedModel]
    auto_classes: list[type]
    overrides: dict[str, Any]

    @property
    def name(self) -> str:
        direction = "_bidirectional" if self.overrides["bidirectional"] else ""
        variant = "".join(f"_{name}" for name in self.overrides if name not in ("cell_type", "bidirectional"))
        return f"{self.model_class.__name__}_{self.overrides['cell_type']}{direction}{variant}"


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
    return [
        Case(model_class, auto_classes, {"cell_type": cell_type, "bidirectional": bidirectional, **variant})
        for model_class, auto_classes in registered().items()
        for variant in [{}, *VARIANTS.get(model_class.__name__, [])]
        for cell_type in rnn_zoo.CELLS
        for bidirectional in (False, True)
        if not (bidirectional and model_class.__name__ in FORWARD_ONLY)
    ]
