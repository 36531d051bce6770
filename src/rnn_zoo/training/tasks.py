"""The tasks by name, as the key `task` of a recipe has it."""

from .causal_lm import CausalLm
from .sequence_classification import SequenceClassification
from .task import Task
from .token_classification import TokenClassification
from .translation import Translation

TASKS: dict[str, type[Task]] = {
    "causal_lm": CausalLm,
    "token_classification": TokenClassification,
    "sequence_classification": SequenceClassification,
    "translation": Translation,
}
