"""What is held out of train where the data has no validation split: cut from the end of a stream, or rows drawn."""

import random
import unicodedata
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from math import ceil
from typing import TypeVar

from ..errors import UserError, Warn, warn_user
from .keys import DataArguments
from .long_text import Text
from .splits import SPLITS

T = TypeVar("T")
MOST = 2  # times its share of the rows that a part may hold, where some rows are repeated often


def same_text(text: str) -> str:
    """What texts have in common that are equal to a reader: NFC, white space as single blanks, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def shares_held_out(splits: Collection[str], args: DataArguments) -> dict[str, float]:
    """The shares of train that become the splits which the data lacks; none if it has a validation split.

    Raises:
        UserError: if there would be no validation split, or a share is out of its range.
    """
    fractions = {"validation": args.validation_fraction, "test": args.test_fraction}
    missing = {name: share for name, share in fractions.items() if name not in splits and share > 0}
    if "validation" not in splits and "validation" not in missing:
        raise UserError("validation_fraction=0: the data has no validation split of its own, so some must be held out")
    if "validation" in splits:
        missing = {}
    if min(fractions.values()) < 0 or not sum(missing.values()) < 1:
        raise UserError(
            f"validation_fraction={args.validation_fraction}, test_fraction={args.test_fraction}: each must be in "
            "[0, 1), their sum below 1"
        )
    return missing


def cut_off(stream: Text, shares: Mapping[str, float]) -> dict[str, Text]:
    """Cuts what is held out (see `shares_held_out`) from the end of a stream, the last share first; train is the rest.

    What the stream repeats may stand on both sides of a cut.
    """
    total = len(stream)
    parts: dict[str, Text] = {}
    for name in reversed(list(shares)):
        cut = len(stream) - round(shares[name] * total)
        parts[name], stream = stream[cut:], stream[:cut]
    return parts | {"train": stream}


def hold_out(
    rows: Sequence[T],
    shares: Mapping[str, float],
    key: Callable[[T], Hashable],
    warn: Warn = warn_user,
    too_few: str = "{} different rows are too few for the shares held out",
    stratum: Callable[[T], Hashable] = lambda row: None,
    in_order: bool = False,
) -> dict[str, list[T]]:
    """Draws what is held out (see `shares_held_out`) from rows, always the same; train is the rest.

    Rows of one key are all in one part. A part has its share of the different rows, but one at least, and leaves one
    for each other part; of those that are repeated so often that it would have more than `MOST` times its share of all
    rows, it takes none. Where there are fewer different rows than parts, no such split exists: that is said, and each
    row goes by itself.

    Args:
        rows: of train.
        shares: by name; without any, rows are only mixed.
        key: what rows have in common that must not be separated.
        warn: is told where equal rows had to be.
        too_few: what a message says of rows that are fewer than the parts; {} is the number of different ones.
        stratum: of the first row of a key. Each part has the same share of each stratum; what is the only one of its
            stratum stays in train.
        in_order: whether the rows of a part keep their order; otherwise they are mixed.

    Raises:
        UserError: if a part would be empty.
    """
    keys: list[Hashable] = [key(row) if shares else n for n, row in enumerate(rows)]
    different = len(set(keys))
    if shares and len(rows) <= len(shares):
        lacking = list(shares)[max(len(rows) - 1, 0)]
        raise UserError(f"the {lacking} part is empty: {too_few.format(different)}")
    if shares and different <= len(shares):
        warn(f"train has {len(rows)} rows but only {different} different: the parts held out of it hold the same rows")
        keys = list(range(len(rows)))
    alike: dict[Hashable, list[int]] = {}
    for n, name in enumerate(keys):
        alike.setdefault(name, []).append(n)
    groups = in_even_strata(list(alike.values()), lambda group: stratum(rows[group[0]]))
    total, drawn = len(groups), {}
    for left, name in zip(range(len(shares), 0, -1), reversed(list(shares)), strict=True):
        number = min(max(round(shares[name] * total), 1), len(groups) - left)
        drawn[name], groups = taken(groups, number, ceil(MOST * shares[name] * len(rows)))
    parts = {name: [n for group in part for n in group] for name, part in (drawn | {"train": groups}).items()}
    return {name: [rows[n] for n in (sorted(part) if in_order else part)] for name, part in parts.items()}


def in_even_strata(groups: list[list[int]], stratum: Callable[[list[int]], Hashable]) -> list[list[int]]:
    """Groups in random order, always the same, so that any piece of it has the same share of each stratum; the only
    group of a stratum stands in the middle."""
    chance = random.Random(0)
    strata: dict[Hashable, list[list[int]]] = {}
    for group in groups:
        strata.setdefault(stratum(group), []).append(group)
    places: list[tuple[float, float, list[int]]] = []
    for members in strata.values():
        chance.shuffle(members)
        places += [((n + 0.5) / len(members), chance.random(), group) for n, group in enumerate(members)]
    return [group for _, _, group in sorted(places)]


def taken(groups: list[list[int]], number: int, room: int) -> tuple[list[list[int]], list[list[int]]]:
    """The last `number` groups that have no more than `room` rows in all, but one at least: the smallest, where none
    fits; and the others. Both keep their order."""
    chosen: set[int] = set()
    for place in reversed(range(len(groups))):
        if len(chosen) < number and len(groups[place]) <= room:
            chosen.add(place)
            room -= len(groups[place])
    chosen = chosen or {min(range(len(groups)), key=lambda place: len(groups[place]))}
    return [g for n, g in enumerate(groups) if n in chosen], [g for n, g in enumerate(groups) if n not in chosen]


def with_held_out(
    splits: Mapping[str, list[T]],
    data: DataArguments,
    key: Callable[[T], Hashable],
    warn: Warn,
    too_few: str,
    stratum: Callable[[T], Hashable] = lambda row: None,
    in_order: bool = False,
) -> dict[str, list[T]]:
    """The splits of some data, with those that it lacks held out of train; see `hold_out`.

    Where none is, train keeps its order.
    """
    found, missing = dict(splits), shares_held_out(splits, data)
    if missing:
        found |= hold_out(found["train"], missing, key, warn, too_few, stratum, in_order)
    return {name: found[name] for name in SPLITS if name in found}
