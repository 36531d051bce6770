"""The keys of a recipe as flags, and what of a recipe is wrong at first sight. Read without torch."""

import types
import typing
from pathlib import Path
from typing import Any

from ..errors import UserError
from .file import read_values
from .schema import keys, own_fields, unknown_key


def as_arguments(key: str, values: list[str]) -> list[str]:
    return [f"--{key}={values[0]}"] if len(values) == 1 else [f"--{key}", *values]


def flag_values(flags: list[str], switches: set[str]) -> dict[str, list[str]]:
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
    """Refuses, before libraries are loaded, what `read_recipe` refuses behind them: keys that there are not, and words
    where a number of ours is expected.

    Raises:
        UserError: with file and line, or the flag.
    """
    for name, (line, values) in read_values(path).items():
        if refusal := no_number(name, values):
            raise UserError(f"{path}, line {line}: {refusal}")
    for name, values in flag_values(flags, set(keys())).items():
        if refusal := no_number(name, values):
            raise UserError(refusal)


def no_number(name: str, values: list[str]) -> str | None:
    """The sentence, as argparse words it, for the first value that is no number where one of our keys is one."""
    known = own_fields()
    number = number_of(known[name].type) if name in known else None
    if number is None:
        return None
    for value in values:
        try:
            number(value)
        except ValueError:
            return f"--{name}: invalid {number.__name__} value: {value!r}"
    return None


def number_of(kind: Any) -> type[int] | type[float] | None:
    """`int` or `float`, where a value of a type is one; `None` for other types."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated or origin is list:
        return number_of(typing.get_args(kind)[0])
    kinds = {kind}
    if origin in (types.UnionType, typing.Union):
        kinds = set(typing.get_args(kind)) - {types.NoneType}
    return float if float in kinds and kinds <= {int, float} else int if kinds == {int} else None
