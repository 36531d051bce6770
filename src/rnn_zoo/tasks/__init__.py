"""The registry of tasks. A new task is one folder and one line here."""

from importlib import import_module
from typing import TYPE_CHECKING

from .task import Task

if TYPE_CHECKING:  # for those who read the types of the public names
    from .causal_lm.generation import GenerationStream as GenerationStream
    from .sequence_classification.classifier import Classifier as Classifier
    from .token_classification.tagger import Tagger as Tagger
    from .translation.translator import Translator as Translator

TASKS: dict[str, Task] = {}  # by name, as the key `task` of a recipe has it


def register(package: str) -> Task:
    """Makes a task known by the package that holds its `TASK`; until then nothing of rnn_zoo knows it.

    Raises:
        ValueError: for the name or the command of a task of another package.
    """
    task: Task = import_module(package).TASK
    for known in TASKS.values():
        if known.package != task.package and (known.name == task.name or known.command == task.command):
            raise ValueError(f"{package}: {known.package} has a task {known.name!r} with the command {known.command!r}")
    TASKS[task.name] = task
    return task


for _name in ("causal_lm", "token_classification", "sequence_classification", "translation"):
    register(f"{__name__}.{_name}")
