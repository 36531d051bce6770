"""The tasks by name, as the key `task` of a recipe has it."""

from pathlib import Path

from ..checkpoint_files import CONFIG, missing, read_json
from ..errors import UserError
from .causal_lm.training import CausalLm
from .sequence_classification.training import SequenceClassification
from .task import Task
from .token_classification.training import TokenClassification
from .translation.training import Translation

TASKS: dict[str, type[Task]] = {
    "causal_lm": CausalLm,
    "token_classification": TokenClassification,
    "sequence_classification": SequenceClassification,
    "translation": Translation,
}


def task_of(folder: Path, name: object) -> tuple[str | None, str | None]:
    """The key of the task whose head a checkpoint holds, and the class of that head; `None` where there is none.

    Args:
        folder: of the checkpoint.
        name: what a sentence calls it.

    Raises:
        UserError: if there is no checkpoint.
    """
    if problem := missing(folder / CONFIG):
        raise UserError(f"{name}: no model there ({CONFIG} {problem})")
    heads = read_json(folder / CONFIG).get("architectures")
    head = str(heads[0]) if isinstance(heads, list) and heads else None
    return next((key for key, task in TASKS.items() if task.model_class.__name__ == head), None), head
