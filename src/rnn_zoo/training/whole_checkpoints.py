"""Checkpoints that are whole: written under another name, renamed when all of them is on the disk, checked before a run
goes on from one.

`run_state.json` is written last. It has the size and the hash of each other file, and what `Trainer` does not keep: how
long the run has trained, its losses so far, the settings and the data it has.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import TrainerState

from ..checkpoint_files import CONFIG, NUMBER, RUN_STATE, SHARE, check_form, read_json
from ..errors import UserError, one_line
from ..folders import write_whole
from ..models.keys import other_architecture

# What is read of the two files by which a run goes on; see `check_form`.
RUN_STATE_FORM = {
    "files": {"*": {"size": int, "sha256": str}},
    "settings?": {},
    "rows_a_step?": int,
    "processes?": int,
    "data?": {"*": str},
    "changes?": [{"key": str, "step": int, "before": object, "after": object}],
    "progress?": {
        **dict.fromkeys(("seconds", "total_loss", "pending_loss", "last_logged"), NUMBER),
        "clipping?": dict.fromkeys(("steps?", "clipped?", "new_steps?", "new_clipped?"), int),
    },
}
TRAINER_STATE_FORM = {
    **{"global_step": int, "max_steps": int, "num_train_epochs": NUMBER, "epoch": SHARE, "log_history": [{}]},
    **{"best_metric?": SHARE, "best_global_step?": int | None, "best_model_checkpoint?": str | None},
    **{"stateful_callbacks?": {}, "total_flos?": NUMBER, "train_batch_size?": int | None},
}


# ---- is it whole? ----
def other_weights(checkpoint: Path, config: Any) -> str | None:
    """The sentence for a checkpoint whose weights were trained with another architecture; otherwise `None`.

    Args:
        checkpoint: a folder, which may hold no configuration, as that of an adapter.
        config: of the model that goes on.
    """
    file = checkpoint / CONFIG
    known = dataclasses.is_dataclass(config) and file.is_file()
    if not known or (found := other_architecture(read_json(file), config)) is None:
        return None
    name, before, now = found
    return f"{name}={now!r}, but {checkpoint} was trained with {before!r}: resume with the flags of the first run"


def write_run_state(checkpoint: Path, state: dict[str, Any]) -> None:
    """Writes `run_state.json`, the last file of a checkpoint."""
    files = {
        path.relative_to(checkpoint).as_posix(): {"size": path.stat().st_size, "sha256": hash_of(path)}
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file()
    }
    write_whole(checkpoint / RUN_STATE, json.dumps({**state, "files": files}, indent=2, ensure_ascii=False) + "\n")


def read_run_state(checkpoint: Path) -> dict[str, Any]:
    """What `write_run_state` has written; nothing where another trainer has written the checkpoint."""
    path = checkpoint / RUN_STATE
    if not path.is_file():
        return {}
    state = read_json(path)
    check_form(state, RUN_STATE_FORM, f"{path}: ")
    return state


def problem_of(checkpoint: Path) -> str | None:
    """What is missing or damaged in a checkpoint, so that no run can go on from it; `None` if it is whole."""
    if not (checkpoint / RUN_STATE).is_file():
        return f"{RUN_STATE} is missing, which is written last"
    try:
        files = read_run_state(checkpoint)["files"]
        for name, known in files.items():
            path = checkpoint / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != known["size"]:
                return f"{name} is damaged: it has {path.stat().st_size:,} bytes of {known['size']:,}"
            if hash_of(path) != known["sha256"]:
                return f"{name} is damaged: it is not what was written"
        if TRAINER_STATE_NAME not in files:
            return f"{RUN_STATE} does not list {TRAINER_STATE_NAME}"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    except (UserError, KeyError, TypeError, AttributeError):
        return f"{RUN_STATE} is damaged"
    try:
        check_form(read_json(checkpoint / TRAINER_STATE_NAME), TRAINER_STATE_FORM, f"{TRAINER_STATE_NAME}: ")
        TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    except (UserError, TypeError, ValueError) as error:  # of a key that the library does not know
        return f"{TRAINER_STATE_NAME} is damaged: {one_line(error)}"
    if not any(name.startswith(("optimizer", "pytorch_model_fsdp")) or "/" in name for name in files):
        return "it holds weights only (save_only_model)"
    return None


def hash_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
