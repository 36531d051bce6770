"""How entities are written as tags: IOB2 outside, any of three schemes inside a CRF.

Sizes: `B` batch, `T` time, `K` tags inside, `S` states inside, `L` labels outside.

Outside, labels are always IOB2 (Sang and Veenstra 1999, section 2): `B-X` begins an entity of type X, `I-X` continues
it, `O` is no entity. Inside a CRF the same entities may be written as

- `iob2`: as outside;
- `iob1` (Ramshaw and Marcus 1995): `I-X` also begins an entity, `B-X` only one that follows at once another of its
  type;
- `iobes` (Ratinov and Roth 2009, there BILOU): `B-X` begins, `I-X` continues and `E-X` ends an entity of several words,
  `S-X` is one of a single word.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import torch

from .host_and_device import is_seen, numbers_on
from .keys_tagger import SCHEMES

IGNORED = -100  # stands where the mask is 0
_IOB = re.compile(r"([BI])(-(?P<type>.*))?", re.DOTALL)


@dataclass(frozen=True)
class TagState:
    """A tag with one meaning outside, and what may stand beside it.

    Args:
        name: the tag.
        type: the entity's type, `None` where there is no entity.
        label: what it is outside.
        joins: whether it continues the entity of the word before.
        open: whether the word after must (`True`) or must not (`False`) continue the entity; `None`: either.
        same: whether the word before must (`True`) or must not (`False`) be of the same type; `None`: either.
    """

    name: str
    type: str | None
    label: int
    joins: bool = False
    open: bool | None = None
    same: bool | None = None

    def may_follow(self, before: "TagState | None") -> bool:
        """Whether this state may stand after `before`; `None` is the beginning of the sentence."""
        same = before is not None and self.type is not None and before.type == self.type
        return self.same in (None, same) and (before is None or before.open in (None, self.joins))


def are_iob(labels: Iterable[str]) -> bool:
    """Whether every label is `O`, `B`, `I`, `B-…` or `I-…`."""
    return all(label == "O" or _IOB.fullmatch(label) for label in labels)


def are_placeholders(labels: Iterable[str]) -> bool:
    """Whether the labels are those that a configuration has as long as nobody has named them: `LABEL_0`, ..."""
    return all(label == f"LABEL_{n}" for n, label in enumerate(labels))


class TagScheme:
    """IOB2 labels and what they are inside a CRF: tags, what may follow what, and both conversions.

    Args:
        labels: the `L` labels outside, in the order of their ids: `O`, `B-X`, `I-X`, any of them, in any order (also
            `B` and `I` alone, where there is one type). With `name=None` any names at all, such as parts of speech.
        name: `"iob1"`, `"iob2"`, `"iobes"`, or `None`: tags are the labels and everything is legal.

    A type without `I-X` has entities of one word only. A type without `B-X` cannot tell two neighbours apart: its `I-X`
    may stand anywhere, and is the type's one tag in every scheme.

    A CRF decodes over *states*. They are the tags, but for IOB1: its `I-X` is `B-X` or `I-X` outside, depending on the
    word before, and so is two states with the same scores. Each state is one label outside.

    Attributes:
        tags: the `K` names inside. IOB2 keeps the ids of `labels`.
        state_tag, state_label: for each of the `S` states its tag and its label.
        legal: `(S + 1, S + 1)` [from, to], whether a state may follow a state; the last row is the beginning, the last
            column the end of a sentence (and the corner is true: a sentence may be empty).
        tag_legal: `(K + 1, K + 1)`, the same for tags.

    Raises:
        ValueError: for an unknown `name`, no labels, a label that is there twice, or one that is not IOB.
    """

    def __init__(self, labels: Sequence[str], name: str | None = None):
        self.labels = tuple(labels)
        self.name = name
        if name is not None and name not in SCHEMES:
            raise ValueError(f"tag scheme {name!r}: unknown (choose from {', '.join(SCHEMES)}, None)")
        if not self.labels:
            raise ValueError("labels=[]: a tag scheme needs at least one label")
        for n, label in enumerate(self.labels):
            if label in self.labels[:n]:
                raise ValueError(f"label {label!r} has two ids, {self.labels.index(label)} and {n}: one is allowed")
            if name is not None and not are_iob([label]):
                raise ValueError(
                    f"label {label!r} (id {n}) is not IOB: allowed are O, B-…, I-…; use scheme None for other labels"
                )
        states = self._states()
        self.tags = tuple(dict.fromkeys(state.name for state in states))
        self.state_tag = tuple(self.tags.index(state.name) for state in states)
        self.state_label = tuple(state.label for state in states)
        self._types = tuple(dict.fromkeys(state.type for state in states))  # None is that of O
        self._state_type = tuple(self._types.index(state.type) for state in states)
        begin = [[state.may_follow(None) for state in states] + [True]]
        self.legal = [
            [after.may_follow(before) for after in states] + [before.open is not True] for before in states
        ] + begin
        K, boundary = len(self.tags), len(states)
        tag = (*self.state_tag, K)
        self.tag_legal = [[False] * (K + 1) for _ in range(K + 1)]
        for i in range(boundary + 1):
            for j in range(boundary + 1):
                self.tag_legal[tag[i]][tag[j]] |= self.legal[i][j]

    def __repr__(self) -> str:
        return f"TagScheme({list(self.labels)}, {self.name!r})"

    @property
    def tag_states(self) -> list[list[int]]:
        """For each tag its states."""
        return [[s for s, tag in enumerate(self.state_tag) if tag == k] for k in range(len(self.tags))]

    @property
    def label_states(self) -> list[list[int]]:
        """For each label its states."""
        return [[s for s, label in enumerate(self.state_label) if label == k] for k in range(len(self.labels))]

    @property
    def mixing_steps(self) -> int | None:
        """The least number of steps in which every state can reach every other; `None` if 8 are not enough."""
        S = len(self.state_tag)
        following = [{after for after in range(S) if row[after]} for row in self.legal[:S]]  # of each state
        reached = following
        for steps in range(1, 9):  # 3 are enough wherever there is an O
            if all(len(states) == S for states in reached):
                return steps
            reached = [set().union(*(following[state] for state in states)) for states in reached]
        return None

    def to_tags(self, labels: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Labels outside -> tags inside.

        An `I-X` that no word of type X precedes begins an entity, as conlleval reads it: tags are legal always.

        Args:
            labels: `(B, T)` ids.
            mask: `(B, T)`, 1 on the words that count; the others may stand anywhere and are as if they were not there.

        Returns:
            `(B, T)` ids of tags, -100 where the mask is 0.

        Raises:
            ValueError: for an id outside of `labels` where the mask is 1.
        """
        mask = torch.ones_like(labels, dtype=torch.bool) if mask is None else mask.bool()
        check_ids("labels", labels, mask, len(self.labels))
        if self.name is None:
            return labels.masked_fill(~mask, IGNORED)
        device, ids = labels.device, labels.long().masked_fill(~mask, 0)
        label_type, label_begins, tag_of = self._label_tables()
        kind = numbers_on(device, label_type, torch.long)[ids].masked_fill(~mask, -1)  # (B, T)
        before, after = neighbours(mask)
        same = kind == at(kind, before, -1)
        joins = same & ~numbers_on(device, label_begins, torch.bool)[ids]
        stays_open = at(joins, after, False)
        index = ((kind.clamp(min=0) * 2 + joins) * 2 + stays_open) * 2 + same
        return numbers_on(device, tag_of, torch.long)[index].masked_fill(~mask, IGNORED)

    def to_labels(self, tags: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Tags inside -> labels outside: the inverse of `to_tags`, with the same shapes, fill and errors."""
        mask = torch.ones_like(tags, dtype=torch.bool) if mask is None else mask.bool()
        check_ids("tags", tags, mask, len(self.tags))
        if self.name is None:
            return tags.masked_fill(~mask, IGNORED)
        ids = tags.long().masked_fill(~mask, 0)
        tag_type, label_of = self._tag_tables()
        kind = numbers_on(tags.device, tag_type, torch.long)[ids].masked_fill(~mask, -1)  # (B, T)
        same = kind == at(kind, neighbours(mask)[0], -1)
        return numbers_on(tags.device, label_of, torch.long)[ids * 2 + same].masked_fill(~mask, IGNORED)

    def _states(self) -> list[TagState]:
        if self.name is None:
            return [TagState(label, None, n) for n, label in enumerate(self.labels)]
        states: list[TagState] = []
        done = set()
        for n, label in enumerate(self.labels):
            suffix = label[1:]
            if label == "O":
                states.append(TagState(label, None, n, open=False))
            elif self.name == "iob2":
                continues = label[0] == "I" and "B" + suffix in self.labels
                states.append(TagState(label, suffix, n, same=True if continues else None))
            elif suffix not in done:
                done.add(suffix)
                states += self._entity(suffix)
        return states

    def _entity(self, suffix: str) -> list[TagState]:
        """The states of one type in IOB1 or IOBES."""
        begin, inside = (self.labels.index(p + suffix) if p + suffix in self.labels else None for p in "BI")
        if begin is None:
            assert inside is not None
            return [TagState("I" + suffix, suffix, inside, open=False if self.name == "iobes" else None)]
        if self.name == "iob1":
            first = TagState("I" + suffix, suffix, begin, same=False)
            next_one = TagState("B" + suffix, suffix, begin, same=True)
            return [first, next_one, *([] if inside is None else [TagState("I" + suffix, suffix, inside, same=True)])]
        single = TagState("S" + suffix, suffix, begin, open=False)
        if inside is None:
            return [single]
        return [
            TagState("B" + suffix, suffix, begin, open=True),
            TagState("I" + suffix, suffix, inside, joins=True, open=True, same=True),
            TagState("E" + suffix, suffix, inside, joins=True, open=False, same=True),
            single,
        ]

    def _label_tables(self) -> tuple[list[int], list[bool], list[int]]:
        """For each label its type and whether it is `B-X`; the tag for (type, joins, stays open, same type before)."""
        tags: list[dict[str, int]] = [{} for _ in self._types]  # of each type, by their letters
        label_type = [0] * len(self.labels)
        for kind, tag, label in zip(self._state_type, self.state_tag, self.state_label, strict=True):
            tags[kind][self.tags[tag][0]] = tag
            label_type[label] = kind
        tag_of = [self._tag(of_type, *case) for of_type in tags for case in product((False, True), repeat=3)]
        return label_type, [label[0] == "B" for label in self.labels], tag_of

    def _tag(self, tags: dict[str, int], joins: bool, stays_open: bool, same: bool) -> int:
        if len(tags) == 1:
            return next(iter(tags.values()))
        if self.name == "iob1":
            return tags["B" if same and not joins else "I"]
        if self.name == "iob2":
            return tags["I" if joins else "B"]
        return tags[("I" if stays_open else "E") if joins else ("B" if stays_open else "S")]

    def _tag_tables(self) -> tuple[list[int], list[int]]:
        """For each tag its type; the label for (tag, same type before)."""
        states = self._states()
        tag_type, label_of = [], []
        for own in self.tag_states:
            tag_type.append(self._state_type[own[0]])
            for same in (False, True):
                fitting = [s for s in own if states[s].same in (None, same)] or own
                label_of.append(self.state_label[fitting[0]])
        return tag_type, label_of


def neighbours(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`mask (B, T)` -> the place of the nearest true step before each step, and after it, `(B, T)`; -1 for none."""
    T = mask.shape[1]
    steps = torch.arange(T, device=mask.device)

    def before(mask: torch.Tensor) -> torch.Tensor:
        seen = torch.where(mask, steps, -1).cummax(1).values
        return torch.cat([torch.full_like(seen[:, :1], -1), seen[:, :-1]], 1)

    after = before(mask.flip(1)).flip(1)
    return before(mask), torch.where(after < 0, -1, T - 1 - after)


def at(x: torch.Tensor, index: torch.Tensor, default: int | bool) -> torch.Tensor:
    """`x (B, T)`, `index (B, T)` -> `x[b, index[b, t]]`, or `default` where the index is -1."""
    return torch.where(index < 0, default, x.gather(1, index.clamp(min=0)))


def check_ids(name: str, ids: torch.Tensor, mask: torch.Tensor | None, size: int) -> None:
    """Raises `ValueError` unless `ids (B, T)` are in [0, size) where the mask is 1; see `is_seen`."""
    if mask is not None and mask.shape != ids.shape:
        raise ValueError(f"mask {tuple(mask.shape)} and {name} {tuple(ids.shape)}: their shapes must be the same")
    if torch.compiler.is_compiling():  # a graph cannot depend on values
        return
    wrong = (ids < 0) | (ids >= size)
    if mask is not None:
        wrong &= mask.bool()
    needed = f"outside of 0 to {size - 1}, where the mask is 1"
    if is_seen(wrong, f"{name}: {needed}"):
        found = ids[wrong].unique().tolist()
        raise ValueError(f"{name} {', '.join(map(str, found[:5]))}: {needed}")
