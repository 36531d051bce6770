"""The files of a Space of the Hugging Face Hub that shows checkpoints.

A Space is whole in itself: the page (`app.py`), the checkpoints, `rnn_zoo` as it is here, and what they need of a
package registry, in the versions that are here. So it runs whether or not this version of `rnn_zoo` was ever released,
and goes on as it was pushed; it fetches nothing when it starts.
"""

import importlib.metadata
import importlib.util
import shutil
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from packaging.requirements import Requirement

from .. import zoo
from ..checkpoint_files import files_for_others
from ..checkpoints import RECIPE_FILE, place_of
from ..errors import UserError
from ..hub import FETCHED, fetch
from ..recipe.recipe import read_recipe
from .needed import require_gradio

PACKAGE = Path(__file__).resolve().parent.parent
APP, CHECKPOINTS = "app.py", "checkpoints"
NOT_COPIED = {"__pycache__", "recipes"}

TEXT = """\
# {title}

{names}, small recurrent models that answer on a processor. Made by `rnn-zoo push --space`; `app.py` shows the same page
on your machine: `pip install -r requirements.txt`, then `python app.py`.
"""


def write_space(checkpoints: Sequence[str], folder: Path, title: str) -> list[str]:
    """Writes the files of a Space into an empty folder; returns their paths in it.

    Args:
        checkpoints: folders, names of those that ship, or of models on the Hub.
        folder: where to.
        title: what the Hub shows.

    Raises:
        UserError: for what is no checkpoint, two of one name, or without gradio.
        HubError: if the Hub or the way to it fails.
    """
    require_gradio()
    models: list[str] = []
    licenses: set[str | None] = set()
    for checkpoint in checkpoints:
        place = place_of(checkpoint)
        to = folder / CHECKPOINTS / Path(place).resolve().name
        if to.exists():
            raise UserError(f"{checkpoint}: is the second checkpoint of the name {to.name}")
        to.mkdir(parents=True)
        if isinstance(place, Path):
            copy_checkpoint(place, to)
        else:
            models.append(place)
            with TemporaryDirectory() as temporary:  # the cache holds links
                copy_checkpoint(Path(shutil.copytree(fetch(place), temporary, dirs_exist_ok=True)), to)
        licenses.add(license_of(to))
    shutil.copyfile(Path(__file__).with_name(APP), folder / APP)
    for path in sorted(PACKAGE.rglob("*")):
        parts = path.relative_to(PACKAGE).parts
        shipped = parts[0] == zoo.FOLDER.name and len(parts) > 2
        if path.is_file() and not shipped and not NOT_COPIED & {*parts} and not path.name.startswith("."):
            copy = folder / PACKAGE.name / Path(*parts)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements()), encoding="utf-8")
    names = sorted(path.name for path in (folder / CHECKPOINTS).iterdir())
    about = {
        "title": title,
        "sdk": "gradio",
        "sdk_version": importlib.metadata.version("gradio"),
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "app_file": APP,
        "license": next(iter(licenses)) if len(licenses) == 1 else None,
        "models": models,
        "tags": ["rnn_zoo"],
    }
    head = yaml.safe_dump({key: value for key, value in about.items() if value}, sort_keys=False, allow_unicode=True)
    text = f"---\n{head}---\n\n{TEXT.format(title=title, names=', '.join(names))}"
    (folder / "README.md").write_text(text, encoding="utf-8")
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def copy_checkpoint(folder: Path, to: Path) -> None:
    """Copies what a command would fetch of a checkpoint, were it on the Hub."""
    for name in files_for_others(folder, code=False)[0]:
        if any(fnmatch(name, pattern) for pattern in FETCHED):
            shutil.copyfile(folder / name, to / name)


def license_of(folder: Path) -> str | None:
    """The licence of a checkpoint, if its recipe is there and names one."""
    recipe = folder / RECIPE_FILE
    return read_recipe(recipe, of_checkpoint=True).card.license if recipe.is_file() else None


def requirements() -> list[str]:
    """What `rnn_zoo` and the page need, in the versions that are installed here."""
    needed = [Requirement(line) for line in importlib.metadata.requires("rnn-zoo") or []]
    names = [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in (*names, "gradio")]
