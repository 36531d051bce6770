"""The registry of tasks. A new task is one folder and one line here."""

from importlib import import_module

from .task import Task

TASKS: dict[str, Task] = {}  # by name, as the key `task` of a recipe has it


def register(package: str) -> Task:
    """Makes a task known by the package that holds its `TASK`; until then nothing of rnn_zoo knows it."""
    task: Task = import_module(package).TASK
    TASKS[task.name] = task
    return task


for _name in ("causal_lm", "token_classification", "sequence_classification", "translation"):
    register(f"{__name__}.{_name}")
