"""Going on with a run: from which checkpoint, and with which settings.

A setting that differs from the first run's either applies from here on, which `metrics.json` and the card then say, or
is refused by its name: nothing is ignored.
"""

import dataclasses
import enum
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..checkpoint_files import read_json
from ..data.document_stream import Documents
from ..data.long_text import LongText
from ..data.stored_rows import content_of
from ..errors import UserError
from ..recipe.recipe import Recipe
from ..recipe.schema import keys
from ..tasks.task_run import Splits, TaskRun
from ..training.arguments import rows_a_step
from ..training.run_folder import RunFolder, step_of
from ..training.whole_checkpoints import other_weights, problem_of, read_run_state

ROWS = ("per_device_train_batch_size", "gradient_accumulation_steps")  # only what they make together counts

AUTO = "auto"  # of `resume_from_checkpoint`: go on where there is something to go on with, else begin


# ---- from which checkpoint ----
def names_last(wanted: str | bool) -> bool:
    """Whether a value of `resume_from_checkpoint` means the last checkpoint."""
    return wanted in (True, "true", "True", "last", AUTO)


def find_checkpoint(wanted: str | bool, folder: RunFolder, warn: Callable[[str], None]) -> Path:
    """The checkpoint to go on from: the one that is named, or the newest whole one of a run.

    Args:
        wanted: a folder, or `"last"`.
        folder: of the run.
        warn: shows which checkpoints are passed over, and why.

    Raises:
        UserError: if there is none, or the one that is named is not whole.
    """
    if not names_last(wanted):
        named = Path(str(wanted))
        if not (named / "trainer_state.json").exists():
            raise UserError(
                f"resume_from_checkpoint={str(wanted)!r}: no training checkpoint there (trainer_state.json is missing)"
            )
        if problem := problem_of(named):
            raise UserError(f"resume_from_checkpoint={str(wanted)!r}: {problem}")
        return named
    passed: list[str] = []
    for checkpoint in folder.checkpoints():
        problem = problem_of(checkpoint)
        if problem is None:
            for message in passed:
                warn(f"{message}; going on from {checkpoint}")
            return checkpoint
        passed.append(f"{checkpoint}: {problem}")
    said = f": {'; '.join(passed)}" if passed else ""
    kind = "whole checkpoint" if passed else "checkpoint"
    raise UserError(f"output_dir={str(folder.path)!r} holds no {kind} to resume from{said}")


def set_aside_later(folder: RunFolder, checkpoint: Path, warn: Callable[[str], None]) -> None:
    """Gives the checkpoints of later steps another name, so that none is taken for one of the run that goes on."""
    if checkpoint.parent.resolve() != folder.path.resolve():
        return
    # The run writes them anew from here on, also where it has not written them itself.
    folder.add(*(path.name for path in folder.unlisted_checkpoints() if step_of(path) >= step_of(checkpoint)))
    for later in folder.checkpoints():
        if step_of(later) > step_of(checkpoint):
            name = f"abandoned-{later.name}"
            folder.require_ours([name])
            folder.discard(name)
            folder.add(name)
            later.rename(folder.path / name)
            folder.note(files=[known for known in folder.files if known != later.name])
            warn(f"{later} is kept as {name}: the run goes on from an earlier step")


# ---- with which settings ----
def settings_of(recipe: Recipe, config: Any) -> dict[str, Any]:
    """The value of every key that means something to the recipe's task, as JSON has it; of the model's keys that in its
    configuration, where none is left open."""
    groups = (recipe.run, recipe.data, recipe.transfer, recipe.regularization, recipe.spelling, recipe.task_arguments)
    values = {name: value for group in groups for name, value in vars(group).items()}
    values |= {name: getattr(config, name) for name in recipe.model}
    training = recipe.training
    values |= {f.name: getattr(training, f.name) for f in dataclasses.fields(training) if f.init}
    free = {name for name, one in keys().items() if one.on_resume == "free"}
    return {name: plain(value) for name, value in values.items() if name not in free}


def plain(value: Any) -> Any:
    """A setting as JSON has it."""
    if isinstance(value, enum.Enum):
        return value.value
    return json.loads(json.dumps(value, default=str))


def fingerprints(data: Splits) -> dict[str, str]:
    """A hash of what each split of the data holds."""

    def of(part: Any) -> str:
        if isinstance(part, LongText | Documents):
            return part.fingerprint
        return content_of([part] if isinstance(part, str) else part)

    return {name: of(part) for name, part in data.items()}


def kept_of(recipe: Recipe, data: Splits, config: Any) -> dict[str, Any]:
    """What each checkpoint keeps for the run that goes on from it.

    Args:
        recipe: of the run.
        data: of each split.
        config: of the model.
    """
    return {
        "settings": settings_of(recipe, config),
        "rows_a_step": rows_a_step(recipe.training),
        "processes": recipe.training.world_size,
        "data": fingerprints(data),
        "changes": [],
    }


def check_settings(task: TaskRun, checkpoint: Path, kept: dict[str, Any], config: Any) -> None:
    """Refuses settings and data that are not those of the first run, but for those that apply from here on, which are
    noted in `kept["changes"]`.

    Args:
        task: of the run that goes on.
        checkpoint: whole.
        kept: of the run that goes on; see `kept_of`.
        config: of its model.

    Raises:
        UserError: by the first name.
    """
    before = read_run_state(checkpoint)
    task.check_resume(read_json(checkpoint / "config.json"), config, str(checkpoint))
    if "settings" not in before:
        raise UserError(f"{checkpoint}: was written by another trainer, so the settings of its run are unknown")
    step = read_json(checkpoint / "trainer_state.json")["global_step"]
    changes = list(before["changes"])
    old, new = before["settings"], kept["settings"]
    for name in new:
        if name not in old or old[name] == new[name] or name in task.checked_by_trainer:
            continue
        if name in ROWS:
            if before["rows_a_step"] == kept["rows_a_step"]:
                continue
            raise UserError(
                f"{name}={new[name]!r}: makes {kept['rows_a_step']} rows a step, but {checkpoint} was trained with "
                f"{before['rows_a_step']}: resume with the flags of the first run"
            )
        if not may_change(name, old):
            raise UserError(
                f"{name}={new[name]!r}, but {checkpoint} was trained with {old[name]!r}: resume with the flags of the "
                "first run"
            )
        changes.append({"step": step, "key": name, "before": old[name], "after": new[name]})
    if refusal := other_weights(checkpoint, config):  # also by a key that an older version has not kept
        raise UserError(refusal)
    if before["rows_a_step"] != kept["rows_a_step"] and not set(ROWS) & task.checked_by_trainer:
        raise UserError(
            f"{kept['processes']} processes make {kept['rows_a_step']} rows a step, but {checkpoint} was trained with "
            f"{before['rows_a_step']}: change per_device_train_batch_size or gradient_accumulation_steps with them"
        )
    for name in {**before["data"], **kept["data"]}:
        if before["data"].get(name) != kept["data"].get(name):
            raise UserError(
                f"{task.recipe.data.source} ({name}): is not the data that {checkpoint} was trained with: resume with "
                "the data of the first run"
            )
    if before["processes"] != kept["processes"]:
        task.warn(
            f"{checkpoint} was written by {before['processes']} processes, and {kept['processes']} go on: what is "
            "drawn at random, as for dropout, is not what it would have been"
        )
    kept["changes"] = changes


def may_change(name: str, old: dict[str, Any]) -> bool:
    """Whether a setting applies from a checkpoint on, for a run that has begun with the settings `old`."""
    if name == "learning_rate" and old["lr_scheduler_type"] in ("reduce_lr_on_plateau", "greedy"):
        return False  # which have set it themselves
    if name in ("learning_rate", "max_steps", "num_train_epochs") and old["lr_schedule"] == "one_cycle":
        return False  # whose shape is fixed when it begins
    return name in keys() and keys()[name].on_resume == "applies"
