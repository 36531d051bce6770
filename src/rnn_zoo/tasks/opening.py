"""From a checkpoint to its task, and to a model of that task."""

from pathlib import Path

from ..checkpoint_files import CONFIG, read_json, require_config
from ..checkpoints import load_checkpoint
from . import TASKS
from .task import Task


def task_of(folder: Path, name: object) -> tuple[Task | None, str | None]:
    """The task whose head a checkpoint holds, and the class of that head; `None` where there is none.

    Args:
        folder: of the checkpoint.
        name: what a sentence calls it.

    Raises:
        UserError: if there is no checkpoint.
    """
    require_config(folder, name)
    heads = read_json(folder / CONFIG).get("architectures")
    head = str(heads[0]) if isinstance(heads, list) and heads else None
    return next((task for task in TASKS.values() if task.head_name == head), None), head


def load(checkpoint: Path | str, task: str, revision: str | None = None):
    """A model of ours for a task, and its tokenizer, from a folder or the Hub.

    Raises:
        UserError: if there is none.
        HubError: if the Hub or the way to it fails.
    """
    kind = TASKS[task]
    return load_checkpoint(checkpoint, kind.model_class, kind.noun, revision)
