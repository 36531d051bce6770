"""The file of a recipe: where it is, and what is written in it. Read without torch."""

from difflib import get_close_matches
from pathlib import Path

from ..errors import UserError
from ..yaml_files import read_entries
from .schema import keys, unknown_key


def recipe_folders() -> list[Path]:
    """Where recipes are looked for: inside the installed package, or beside the sources."""
    here = Path(__file__).resolve()
    return [folder for folder in (here.parents[1] / "recipes", here.parents[3] / "recipes") if folder.is_dir()]


def recipe_files() -> dict[str, Path]:
    """The recipes by name."""
    return {path.stem: path for folder in reversed(recipe_folders()) for path in sorted(folder.glob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """The file of a recipe, by its name or its path.

    Raises:
        UserError: with the nearest names.
    """
    files = recipe_files()
    if name in files:
        return files[name]
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise UserError(f"{name}: no such file")
    nearest = get_close_matches(name, files, n=3, cutoff=0.4)
    guess = f"did you mean {' or '.join(nearest)}? " if nearest else ""
    raise UserError(
        f"recipe {name!r}: unknown; {guess}(`rnn-zoo list --recipes` shows all; a file of your own ends in .yaml)"
    )


def read_values(path: Path) -> dict[str, tuple[int, list[str]]]:
    """Key -> (line, values as written). Scalars are not interpreted: `1e-3` means what it means as a flag.

    Raises:
        UserError: for an unknown key, a list without values, and as `read_entries` does.
    """
    values: dict[str, tuple[int, list[str]]] = {}
    known = keys()
    for key, (line, written, is_list) in read_entries(path).items():
        where = f"{path}, line {line}"
        if key not in known:
            raise UserError(f"{where}: {unknown_key(key)}")
        if is_list and not written:
            raise UserError(f"{where}: {key}: an empty list says nothing: leave the key out")
        for value in written if len(written) > 1 else []:
            if value.startswith("-") and not is_numeric(value):
                raise UserError(f"{where}: {key}: {value!r} in a list would be taken for a flag")
        if written:
            values[key] = (line, written)
    return values


def is_numeric(text: str) -> bool:
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
