"""What is held out of train where the data has no validation split: cut from the end of a stream, or rows drawn."""

import hashlib
import random
import unicodedata
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from math import ceil
from typing import Any, TypeVar

import numpy as np

from ..errors import UserError, Warn, warn_user
from .kept import fingerprint_of
from .keys import DataArguments
from .long_text import Text
from .splits import SPLITS
from .stored_rows import StoredRows, over_pieces, remembered_arrays, selected

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
    stratum: Callable[[T], Hashable] | None = None,
    in_order: bool = False,
) -> dict[str, Any]:
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

    Returns:
        The rows of each part: lists, or stored rows of stored ones.

    Raises:
        UserError: if a part would be empty.
    """
    if isinstance(rows, StoredRows):

        def draw() -> dict[str, Any]:
            said: list[str] = []
            return places_held_out(rows, shares, key, said.append, too_few, stratum, in_order) | {
                "said": np.array(said)
            }

        places = remembered_arrays(rows, f"held_out-{fingerprint_of(sorted(shares.items()), in_order)}", draw)
        for sentence in places.pop("said").tolist():
            warn(sentence)
    else:
        places = places_held_out(rows, shares, key, warn, too_few, stratum, in_order)
    return {name: selected(rows, part) for name, part in places.items()}


def places_held_out(
    rows: Sequence[T],
    shares: Mapping[str, float],
    key: Callable[[T], Hashable],
    warn: Warn,
    too_few: str,
    stratum: Callable[[T], Hashable] | None,
    in_order: bool,
) -> dict[str, np.ndarray]:
    """The indices of the rows of each part; see `hold_out`."""
    N = len(rows)
    numbers, strata = numbered(rows, key if shares else None, stratum)
    different = int(numbers.max(initial=-1)) + 1
    if shares and len(shares) >= N:
        lacking = list(shares)[max(N - 1, 0)]
        raise UserError(f"the {lacking} part is empty: {too_few.format(different)}")
    if shares and different <= len(shares):
        warn(f"train has {N} rows but only {different} different: the parts held out of it hold the same rows")
        numbers = np.arange(N)
    sizes = np.bincount(numbers)
    by_group = np.argsort(numbers, kind="stable")  # the rows of each group, in their order
    begins = np.cumsum(sizes) - sizes
    groups = in_even_strata(strata[by_group[begins]])
    total, drawn = len(groups), {}
    for left, name in zip(range(len(shares), 0, -1), reversed(list(shares)), strict=True):
        number = min(max(round(shares[name] * total), 1), len(groups) - left)
        drawn[name], groups = taken(groups, number, ceil(MOST * shares[name] * N), sizes)
    parts = {}
    for name, part in (drawn | {"train": groups}).items():
        lengths = sizes[part]
        firsts = np.repeat(begins[part] - (np.cumsum(lengths) - lengths), lengths)
        places = by_group[firsts + np.arange(lengths.sum())]
        parts[name] = np.sort(places) if in_order else places
    return parts


def numbered(
    rows: Sequence[T], key: Callable[[T], Hashable] | None, stratum: Callable[[T], Hashable] | None
) -> tuple[np.ndarray, np.ndarray]:
    """For each row the number of its key, and that of its stratum, both `(N)`; numbers count from 0 as they first come.
    Without a key each row has its own, without strata all have one."""
    if not isinstance(rows, StoredRows):
        keys = np.arange(len(rows)) if key is None else numbers_of(map(key, rows), len(rows))
        return keys, np.zeros(len(rows), int) if stratum is None else numbers_of(map(stratum, rows), len(rows))

    def work(piece: list) -> tuple[bytes, list]:
        digests = (
            (hashlib.blake2b(repr(key(row)).encode("utf-8", "surrogatepass"), digest_size=16) for row in piece)
            if key
            else ()
        )
        return b"".join(one.digest() for one in digests), [stratum(row) for row in piece] if stratum else []

    parts: list[bytes] = []
    known: dict[Hashable, int] = {}
    strata: list[int] = []
    for _, (digests, found) in over_pieces(rows, work, "comparing rows"):
        parts.append(digests)
        strata.extend(known.setdefault(one, len(known)) for one in found)
    numbers = np.arange(len(rows))
    if key is not None:
        _, first, inverse = np.unique(
            np.frombuffer(b"".join(parts), dtype="V16"), return_index=True, return_inverse=True
        )
        rank = np.empty(len(first), dtype=np.int64)
        rank[np.argsort(first)] = np.arange(len(first))
        numbers = rank[inverse]
    return numbers, np.array(strata) if stratum else np.zeros(len(rows), int)


def numbers_of(values: Iterable[Hashable], length: int) -> np.ndarray:
    known: dict[Hashable, int] = {}
    return np.fromiter((known.setdefault(value, len(known)) for value in values), int, length)


def in_even_strata(strata: np.ndarray) -> np.ndarray:
    """Groups in random order, always the same, so that any piece of it has the same share of each stratum; the only
    group of a stratum stands in the middle.

    Args:
        strata: of each group the number of its stratum.
    """
    chance = random.Random(0)
    strata = numbers_of(strata.tolist(), len(strata))
    by_stratum = np.argsort(strata, kind="stable")
    members, places, others = [], [], []
    for part in np.split(by_stratum, np.cumsum(np.bincount(strata))[:-1]) if len(strata) else ():
        mixed = part.tolist()
        chance.shuffle(mixed)
        members += mixed
        places.append((np.arange(len(mixed)) + 0.5) / len(mixed))
        others += [chance.random() for _ in mixed]
    if not members:
        return np.zeros(0, int)
    return np.array(members)[np.lexsort((np.array(others), np.concatenate(places)))]


def taken(groups: np.ndarray, number: int, room: int, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The last `number` groups that have no more than `room` rows in all, but one at least: the smallest, where none
    fits; and the others. Both keep their order."""
    chosen = np.zeros(len(groups), bool)
    count = 0
    for place in reversed(range(len(groups))):
        if count == number:
            break
        if (size := sizes[groups[place]]) <= room:
            chosen[place] = True
            room, count = room - size, count + 1
    if not count:
        chosen[sizes[groups].argmin()] = True
    return groups[chosen], groups[~chosen]


def with_held_out(
    splits: Mapping[str, Sequence[T]],
    data: DataArguments,
    key: Callable[[T], Hashable],
    warn: Warn,
    too_few: str,
    stratum: Callable[[T], Hashable] | None = None,
    in_order: bool = False,
) -> dict[str, Any]:
    """The splits of some data, with those that it lacks held out of train; see `hold_out`.

    Where none is, train keeps its order.
    """
    found, missing = dict(splits), shares_held_out(splits, data)
    if missing:
        found |= hold_out(found["train"], missing, key, warn, too_few, stratum, in_order)
    return {name: found[name] for name in SPLITS if name in found}
