"""Checkpoints of ours: where they are, and what they hold. Where there is none is found without torch."""

from pathlib import Path
from typing import Any

from . import zoo
from .checkpoint_files import CONFIG, missing, require_config, require_finite
from .errors import UserError, shortened
from .yaml_files import read_entries

RECIPE_FILE = "recipe.yaml"
METRICS_FILE = "metrics.json"
RUNS = "runs"  # the folder in which runs leave their checkpoints, if they are told no other


def place_of(checkpoint: str) -> Path | str:
    """A folder, that of a checkpoint of the zoo by its name, or what can only be a name on the Hub; what would stand in
    `runs` is not looked for there."""
    path = Path(checkpoint)
    try:
        is_there = path.exists()
    except OSError as error:
        raise UserError(f"{shortened(checkpoint)}: is no path: {error.strerror}") from error
    if "\0" in checkpoint:
        raise UserError(f"{shortened(checkpoint)!r}: is no path: it holds the character NUL")
    if not is_there and checkpoint in zoo.names():
        return zoo.path(checkpoint)
    return path if is_there or checkpoint[:1] in "./" or path.parts[:1] == (RUNS,) else checkpoint


def folder_of(checkpoint: Path | str, revision: str | None = None, noun: str = "model") -> Path:
    """The folder with the files of a checkpoint, fetched from the Hub if it is a name there; see `load_checkpoint`."""
    if isinstance(checkpoint, str):
        checkpoint = place_of(checkpoint)
    if isinstance(checkpoint, str):
        from .hub import fetch

        return fetch(checkpoint, revision, noun)
    if revision is not None:
        raise UserError(f"revision={revision!r}: is for a model on the Hub, and {checkpoint} is a folder")
    return checkpoint


def load_checkpoint(
    checkpoint: Path | str, model_class: Any, noun: str, revision: str | None = None
) -> tuple[Any, Any]:
    """A model of ours, in evaluation, and its tokenizer, from a folder or the Hub.

    Only safetensors are read, and no code of the checkpoint is run.

    Args:
        checkpoint: see `place_of`.
        model_class: the head that it must have.
        noun: what a sentence calls such a model.
        revision: branch, tag or commit of a model on the Hub [`main`].

    Raises:
        UserError: if there is none, or what the folder holds is damaged or does not fit; see `checkpoint_checks`.
        HubError: if the Hub or the way to it fails.
    """
    from .checkpoint_checks import (
        check_fit,
        check_weights,
        checked_config,
        checked_generation,
        open_tokenizer,
        sentences,
    )

    folder = folder_of(checkpoint, revision, noun)
    config = checked_config(folder, checkpoint)
    held = (config.architectures or [None])[0]  # another head would be left out unsaid
    if held != model_class.__name__:
        raise UserError(f"{checkpoint}: holds {f'a {held}' if held else 'no head'}, not a recurrent {noun}")
    check_weights(model_class, config, folder, checkpoint)
    checked_generation(folder, config, checkpoint)
    require_finite(folder, checkpoint)
    tokenizer = open_tokenizer(folder, checkpoint)
    check_fit(tokenizer, config, checkpoint)
    with sentences(f"{checkpoint}: no {noun} could be loaded"):
        model = model_class.from_pretrained(folder, config=config, use_safetensors=True, trust_remote_code=False)
    return model.eval(), tokenizer


def recipe_of(folder: Path, checkpoint: Path | str) -> Path:
    """The file of a checkpoint's recipe.

    Raises:
        UserError: if there is none; `checkpoint` is what the sentence calls it.
    """
    if not (folder / RECIPE_FILE).is_file():
        raise UserError(f"{checkpoint}: holds no {RECIPE_FILE}, so its data is unknown")
    return folder / RECIPE_FILE


def require_parts(folder: Path) -> None:
    """Raises `UserError` if a folder lacks a file of which a card is made."""
    for name in (METRICS_FILE, RECIPE_FILE, CONFIG):
        if problem := missing(folder / name):
            verb = "holds no" if problem == "is missing" else "holds no file"
            raise UserError(f"{folder}: {verb} {name}, from which a card is made; rnn-zoo train leaves it")


def look_for(checkpoint: str, revision: str | None = None) -> Path | str:
    """As `place_of`, for a command that is about to load a model: a folder without one is refused before libraries are
    loaded for it.

    Raises:
        UserError: for such a folder, or a revision of one.
    """
    place = place_of(checkpoint)
    if isinstance(place, Path):
        require_config(folder_of(place, revision), place)
    return place


def recipe_value(checkpoint: Path | str, key: str, revision: str | None = None) -> str | None:
    """What the recipe of a checkpoint says of a key; `None` if nothing, or without a recipe.

    Raises:
        UserError: if the recipe is not readable.
        HubError: if the Hub or the way to it fails.
    """
    file = folder_of(checkpoint, revision) / RECIPE_FILE
    if not file.is_file():
        return None
    entry = read_entries(file).get(key)
    return entry.values[0] if entry is not None and entry.values else None
