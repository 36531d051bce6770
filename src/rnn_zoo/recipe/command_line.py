"""The keys of a recipe as flags, and what of a recipe is wrong at first sight. Read without torch."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..ranges import number_of
from .file import read_values
from .library_keys import LIBRARY_KEYS
from .schema import keys, own_fields, unknown_key


def as_arguments(key: str, values: list[str]) -> list[str]:
    return [f"--{key}={values[0]}"] if len(values) == 1 else [f"--{key}", *values]


def flag_values(flags: list[str], switches: Collection[str]) -> dict[str, list[str]]:
    """Key -> values of each flag: `--key value`, `--key=value`, `--switch`, `--no_switch`; hyphens are underscores.

    `--resume_from_checkpoint` without a value means the last checkpoint.

    Raises:
        UserError: for a key that no recipe has.
    """
    found: dict[str, list[str]] = {}
    known = keys()
    place = 0
    while place < len(flags):
        name, has_value, value = flags[place].partition("=")
        if not name.startswith("--"):
            raise UserError(f"unexpected argument {flags[place]!r}; flags are --key value")
        key = name.removeprefix("--").replace("-", "_")
        place += 1
        values = [value] if has_value else []
        while not has_value and place < len(flags) and not flags[place].startswith("--"):
            values.append(flags[place])
            place += 1
        if key not in known and key.removeprefix("no_") in switches and not values:
            key, values = key.removeprefix("no_"), ["false"]
        if key not in known:
            raise UserError(unknown_key(key))
        if not values and key in switches:
            values = ["true"]
        if not values and key == "resume_from_checkpoint":
            values = ["last"]
        found[key] = values
    return found


def look_ahead(path: Path, flags: list[str]) -> None:
    """Refuses, before libraries are loaded, what `read_recipe` refuses behind them, in the same words: keys that there
    are not, and words where a number is expected.

    Raises:
        UserError: with file and line, or the flag.
    """
    fields = own_fields()
    types = {name: f.type for name, f in fields.items()} | {name: one.type for name, one in LIBRARY_KEYS.items()}
    for name, (line, values) in read_values(path).items():
        if name in types and (refusal := no_number(name, values, types[name])):
            raise UserError(f"{path}, line {line}: {refusal}")
    # Which keys of the library are true or false is not known here: each may be.
    switches = LIBRARY_KEYS.keys() | {name for name, f in fields.items() if f.type in (bool, bool | None)}
    for name, values in flag_values(flags, switches).items():
        if refusal := no_number(name, values, types[name]):
            raise UserError(refusal)


def no_number(name: str, values: list[str], kind: Any) -> str | None:
    """The sentence, as argparse words it, for the first value that is none of the numbers that a type asks for. Where
    it asks for one, what follows the first is refused for another reason."""
    number = number_of(kind)
    if number is None:
        return None
    for value in values if number.is_list else values[:1]:
        try:
            number.kind(value)
        except ValueError:
            spellings = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
            return f"{'/'.join(spellings)}: invalid {number.kind.__name__} value: {value!r}"
    return None
