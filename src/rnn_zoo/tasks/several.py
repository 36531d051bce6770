"""Several folders of data as one, and what they name differently made one."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.splits import SPLITS
from ..errors import UserError
from .scores import part_of_folder


def joined(folders: Sequence[str], read: Callable[[str], Mapping[str, Sequence[Any]]]) -> dict[str, Sequence[Any]]:
    """The splits of several folders as those of one; and, of all but train, what each folder has, by its last name.

    Args:
        folders: two at least.
        read: a folder -> its splits.

    Raises:
        UserError: for two folders of one last name.
    """
    names = [Path(folder).resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise UserError(f"data_dir: the folders {', '.join(folders)} must differ in their last names")
    found = {name: read(folder) for name, folder in zip(names, folders, strict=True)}
    splits: dict[str, Sequence[Any]] = {}
    for split in SPLITS:
        parts = {name: one[split] for name, one in found.items() if split in one}
        if parts:
            splits[split] = [row for part in parts.values() for row in part]
        if split != "train":
            splits |= {part_of_folder(split, name): part for name, part in parts.items()}
    return splits


def new_names(key: str, given: Sequence[str] | None) -> dict[str, str]:
    """`["person=PER"]` of the recipe's `key` -> `{"person": "PER"}`.

    Raises:
        UserError: for what has no `=`, or no name on one of its sides, or an old name given twice.
    """
    names: dict[str, str] = {}
    for one in given or ():
        old, _, new = one.partition("=")
        if not old or not new or old in names:
            why = "has a new name already" if old in names else "must be OLD=NEW"
            raise UserError(f"{key}={one!r}: {why}")
        names[old] = new
    return names
