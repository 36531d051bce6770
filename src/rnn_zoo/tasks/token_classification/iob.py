"""Entities written as tags: IOB1, IOB2 and IOBES, on lists of strings.

- `iob1` (Ramshaw and Marcus 1995): `I-X` is a word of an entity of type X; `B-X` only begins one that follows at once
  another of its type;
- `iob2` (Sang and Veenstra 1999): `B-X` begins an entity, `I-X` continues it;
- `iobes` (Ratinov and Roth 2009, there BILOU): `B-X` begins, `I-X` continues and `E-X` ends an entity of several words,
  `S-X` is one of a single word. The letters `L` and `U` are read as `E` and `S`, `M` and `W` of BMES as `I` and `S`.

`O` is no entity. `B` and `I` alone are tags of the one type `""`. All schemes are read by one rule, that of conlleval,
which gives every sequence of tags a meaning and a legal one its own; so any of them turns into any other without loss.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

SCHEMES = ("iob1", "iob2", "iobes")
IO, NO_ENTITIES = "io", "none"  # data without B- and I-: types of entities, or labels of words
ALLOWED = "O, B-TYPE, I-TYPE (and E-, S-, or L-, U-, M- of IOBES, BILOU and BMES)"
_TAG = re.compile(r"O|([BIESLUMW])(?:-(.+))?", re.DOTALL)
_LETTERS = {"L": "E", "U": "S", "M": "I", "W": "S"}

Entity = tuple[str, int, int]  # type, first word, word after the last


@lru_cache(maxsize=1 << 12)
def is_tag(tag: str) -> bool:
    """Whether `tag` is `O`, or one of the letters B, I, E, S, L, U, M, W, alone or with a type after a hyphen."""
    return _TAG.fullmatch(tag) is not None


@lru_cache(maxsize=1 << 12)
def parse(tag: str) -> tuple[str, str]:
    """`"B-PER"` -> `("B", "PER")`, `"O"` -> `("O", "")`, `"U-PER"` -> `("S", "PER")`.

    Raises:
        ValueError: if it is no tag of any scheme.
    """
    match = _TAG.fullmatch(tag)
    if match is None:
        raise ValueError(f"tag {tag!r} is not IOB: allowed are {ALLOWED}")
    letter = match[1] or "O"
    return _LETTERS.get(letter, letter), match[2] or ""


def entities(tags: Iterable[str]) -> list[Entity]:
    """The entities `(type, start, end)` of one sentence as conlleval reads them, `end` exclusive, in order.

    An entity begins at `B-X` or `S-X`, and at `I-X` or `E-X` where no open entity of type X precedes; it ends before
    the next one, before `O`, and after `E-X` or `S-X`.

    Raises:
        ValueError: for what is no tag.
    """
    found: list[Entity] = []
    kind, start = None, 0  # of the open entity
    n = -1
    for n, tag in enumerate(tags):
        letter, type_ = parse(tag)
        joins = letter in "IE" and kind == type_
        if kind is not None and not joins:
            found.append((kind, start, n))
            kind = None
        if letter != "O" and not joins:
            kind, start = type_, n
        if letter in "ES":
            found.append((type_, start, n + 1))
            kind = None
    if kind is not None:
        found.append((kind, start, n + 1))
    return found


def plain_kind(tags: Iterable[str]) -> str | None:
    """What the distinct tags of a whole file are that has no B- or I-: `IO`, `NO_ENTITIES`, or `None` if it has some.

    Types without a letter beside `O` are `IO`: neighbours of one type are one entity. Without an `O`, as of parts of
    speech, each is a label of its word.
    """
    tags = set(tags)
    if all(map(is_tag, tags)) or any(tag[1:2] == "-" and is_tag(tag) for tag in tags):
        return None
    return IO if "O" in tags else NO_ENTITIES


def from_io(tags: Sequence[str]) -> list[str]:
    """Types without a letter -> IOB2: neighbours of one type are one entity."""
    return [tag if tag == "O" else f"{'I' if n and tags[n - 1] == tag else 'B'}-{tag}" for n, tag in enumerate(tags)]


def write_tags(found: Iterable[Entity], length: int, scheme: str = "iob2") -> list[str]:
    """Entities in order, none over another -> the tags of a sentence of `length` words: the inverse of `entities`.

    Raises:
        ValueError: for an unknown scheme, or entities out of order or outside of the sentence.
    """
    _check_scheme(scheme)
    tags = ["O"] * length
    type_before, last_end = None, 0
    for type_, start, end in found:
        if not last_end <= start < end <= length:
            raise ValueError(f"entity {(type_, start, end)}: must lie in {last_end} to {length}, with start < end")
        letters = ["B"] + ["I"] * (end - start - 1)
        if scheme == "iob1" and not (type_ == type_before and start == last_end):
            letters[0] = "I"
        if scheme == "iobes":
            letters[-1] = "E" if len(letters) > 1 else "S"
        tags[start:end] = [f"{letter}-{type_}" if type_ else letter for letter in letters]
        type_before, last_end = type_, end
    return tags


def convert(tags: Sequence[str], scheme: str) -> list[str]:
    """Tags of any scheme -> the same entities in `scheme`; always legal there.

    Raises:
        ValueError: for an unknown scheme or what is no tag.
    """
    return write_tags(entities(tags), len(tags), scheme)


def illegal(tags: Sequence[str], scheme: str) -> list[int]:
    """The places whose tag `scheme` would not write there, given what conlleval reads; empty for a legal sentence.

    Raises:
        ValueError: for an unknown scheme or what is no tag.
    """
    return _differences(tags, entities(tags), scheme)


def label_list(types: Iterable[str]) -> list[str]:
    """Entity types -> IOB2 labels: `O`, then `B-X`, `I-X` of each type, by code points; both for every type."""
    return ["O", *(f"{letter}-{type_}" if type_ else letter for type_ in sorted(set(types)) for letter in "BI")]


def entity_types(labels: Iterable[str]) -> list[str]:
    """Labels of any scheme -> the types of their entities, each once, in the order of the labels.

    Raises:
        ValueError: for what is no tag.
    """
    return list(dict.fromkeys(type_ for letter, type_ in map(parse, labels) if letter != "O"))


def _differences(tags: Sequence[str], found: list[Entity], scheme: str) -> list[int]:
    """Where `tags` are not what `scheme` writes for the entities `found` in them."""
    return [
        n
        for n, (tag, written) in enumerate(zip(tags, write_tags(found, len(tags), scheme), strict=True))
        if tag != written and parse(tag) != parse(written)
    ]


def _check_scheme(scheme: str) -> None:
    if scheme not in SCHEMES:
        raise ValueError(f"tag scheme {scheme!r}: unknown (choose from {', '.join(SCHEMES)})")
