"""Tagged sentences, and the labels that their tags are.

In memory a sentence is `{"tokens": [...], "tags": [...]}`, strings, the tags in IOB2 whatever they came in; or as they
came where they are no entities, as parts of speech.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict

from ...data.kept import fingerprint_of
from ...data.stored_rows import StoredRows, over_pieces, remembered, stored_again
from ...errors import UserError, Warn
from ...tokenizers.vocabulary import counted
from .iob import (
    ALLOWED,
    IO,
    NO_ENTITIES,
    convert,
    entities,
    entity_types,
    from_io,
    illegal,
    is_tag,
    label_list,
    plain_kind,
)
from .keys import DATA_SCHEMES

MANY_LABELS = 100  # from which a tag for every second word is no tag any more
SHOWN = 40  # characters of a tag in a message


class Sentence(TypedDict):
    """As many tags, in IOB2, as tokens."""

    tokens: list[str]
    tags: list[str]


def as_tagged(
    sentences: Sequence[Sentence],
    told: str | None,
    place: Callable[[int, int], str],
    source: str,
    warn: Warn,
    prose: bool = False,
) -> tuple[Sequence[Sentence], str | None]:
    """The same sentences in IOB2, or as they are where their tags are no entities; and which of both (`plain_kind`).

    Args:
        sentences: with tags as they came.
        told: how these are written, a value of `data_tag_scheme`; `None`: as it seems.
        place: says where tag `t` of sentence `s` stands.
        source: what a message calls all of them.
        warn: is told what was seen.
        prose: whether tags that are not told must be those of entities, as it may be no data of a tagger at all.

    Raises:
        UserError: for a tag that is not IOB, as it must be.
    """
    if told is not None and told not in DATA_SCHEMES:
        raise UserError(f"data_tag_scheme={told!r}: unknown (choose from {', '.join(DATA_SCHEMES)})")
    counts = tag_counts(sentences)
    kind = told if told in (IO, NO_ENTITIES) else None
    if told is None and not prose:
        kind = plain_kind(counts)
    shown = ", ".join(tag[:SHOWN] for tag, _ in counts.most_common(3))
    if kind == NO_ENTITIES:
        if told is None:
            warn(
                f"{source}: the tags ({shown}) have no B- or I-: each is taken for the label of its word, no entity; "
                "--data_tag_scheme none says so"
            )
        if len(counts) > MANY_LABELS and len(counts) > sum(counts.values()) / 2:
            warn(f"{source}: {len(counts):,} different tags for {sum(counts.values()):,} words: is tag_column right?")
        return sentences, kind
    if kind == IO:
        if told is None:
            warn(
                f"{source}: the tags ({shown}) have no B- or I-: neighbours of one type are taken for one entity; "
                "--data_tag_scheme io says so, none that they are labels of words"
            )
        return with_tags(sentences, from_io, kind), kind
    if not all(map(is_tag, counts)):
        for s, sentence in enumerate(sentences):
            for n, (token, tag) in enumerate(zip(sentence["tokens"], sentence["tags"], strict=True)):
                if not is_tag(tag):
                    shown = f"{token} {tag}"[:80]
                    raise UserError(f"{place(s, n)}: tag {tag[:SHOWN]!r} is not IOB, allowed are {ALLOWED}: {shown!r}")
    return to_iob2(sentences, told, place, source, warn), None


def with_tags(
    sentences: Sequence[Sentence], change: Callable[[Sequence[str]], list[str]], name: str
) -> Sequence[Sentence]:
    """The same sentences with other tags; `name` is that of the change."""
    if isinstance(sentences, StoredRows):
        return stored_again(sentences, name, lambda sentence: (sentence["tokens"], change(sentence["tags"])))
    return [{"tokens": s["tokens"], "tags": change(s["tags"])} for s in sentences]


def renamed(sentences: Sequence[Sentence], names: Mapping[str, str], are_entities: bool) -> Sequence[Sentence]:
    """The same sentences with other types of entities, or other labels of words; an entity named `O` is none.

    Args:
        sentences: with tags as `as_tagged` gives them.
        names: the new name by the old one.
        are_entities: whether the tags are those of entities.
    """

    def change(tag: str) -> str:
        if not are_entities:
            return names.get(tag, tag)
        if tag == "O":
            return tag
        new = names.get(tag[2:], tag[2:])
        return "O" if new == "O" else f"{tag[0]}-{new}" if new else tag[0]

    if not names:
        return sentences
    kept = f"renamed-{fingerprint_of(are_entities, sorted(names.items()))}"
    return with_tags(sentences, lambda tags: [change(tag) for tag in tags], kept)


def to_iob2(
    sentences: Sequence[Sentence], scheme: str | None, place: Callable[[int, int], str], source: str, warn: Warn
) -> Sequence[Sentence]:
    """The same sentences in IOB2; `place` says where tag `t` of sentence `s` stands, for the warning."""
    survey = remembered(sentences, f"schemes-{scheme}", lambda: scheme_survey(sentences, scheme))
    found = scheme or min(survey["mistakes"], key=survey["mistakes"].__getitem__)
    if number := survey["mistakes"][found]:
        s, t = survey["first"][found]
        warn(
            f"{source}: {number:,} of {survey['total']:,} tags cannot stand where they do in {found}, as an I- without "
            f"its B-; read as conlleval does, the first is {sentences[s]['tags'][t]!r} at {place(s, t)}"
        )
    if survey["is_iob2"]:
        return sentences
    return with_tags(sentences, lambda tags: convert(tags, "iob2"), "iob2")


def scheme_survey(sentences: Sequence[Sentence], scheme: str | None) -> dict[str, Any]:
    """How well the tags of all sentences fit a scheme, or each, in the order in which ties are broken.

    Returns:
        - `mistakes`: by scheme how many tags it would not write where they stand;
        - `first`: the places of the first, as sentence and tag;
        - `total`: how many tags there are;
        - `is_iob2`: whether the tags are those that IOB2 has for their entities.
    """
    schemes = [scheme] if scheme else ["iob2", "iob1", "iobes"]

    def survey(piece: Sequence[Sentence]) -> dict[str, Any]:
        mistakes, total, is_iob2 = dict.fromkeys(schemes, 0), 0, True
        first: dict[str, tuple[int, int]] = {}
        known: dict[tuple[str, ...], tuple[dict[str, list[int]], bool]] = {}  # sentences of the same tags are many
        for s, sentence in enumerate(piece):
            tags = tuple(sentence["tags"])
            if tags not in known:
                known[tags] = {one: illegal(tags, one) for one in schemes}, convert(tags, "iob2") == list(tags)
            wrong, is_same = known[tags]
            for one, places in wrong.items():
                if places:
                    mistakes[one] += len(places)
                    first.setdefault(one, (s, places[0]))
            total += len(tags)
            is_iob2 = is_iob2 and is_same
        return {"mistakes": mistakes, "first": first, "total": total, "is_iob2": is_iob2}

    whole: dict[str, Any] = {"mistakes": dict.fromkeys(schemes, 0), "first": {}, "total": 0, "is_iob2": True}
    for start, part in over_pieces(sentences, survey, "reading tags"):
        for one in schemes:
            whole["mistakes"][one] += part["mistakes"][one]
        for one, (s, t) in part["first"].items():
            whole["first"].setdefault(one, (start + s, t))
        whole["total"] += part["total"]
        whole["is_iob2"] = whole["is_iob2"] and part["is_iob2"]
    return whole


def tag_counts(sentences: Iterable[Sentence]) -> Counter[str]:
    """How often each tag stands in some sentences, in the order in which they first come."""

    def count(piece: Iterable[Sentence]) -> Counter[str]:
        return Counter(tag for sentence in piece for tag in sentence["tags"])

    return counted(sentences, "tags", count)


def type_counts(sentences: Iterable[Sentence]) -> Counter[str]:
    """How many entities of each type there are in some sentences."""

    def count(piece: Iterable[Sentence]) -> Counter[str]:
        same = Counter(tuple(sentence["tags"]) for sentence in piece)
        counts: Counter[str] = Counter()
        for tags, times in same.items():
            for type_, _, _ in entities(tags):
                counts[type_] += times
        return counts

    return counted(sentences, "types", count)


def labels_of(sentences: Iterable[Sentence]) -> list[str]:
    """The IOB2 labels of all types there are: `O`, then `B-X`, `I-X` of each type, by code points."""
    return label_list(type_counts(sentences))


def unseen_types(sentences: Iterable[Sentence], labels: Iterable[str]) -> str:
    """The types that `labels` lack, with the number of their entities: `"EVENT (3), LAW (1)"`; empty if none."""
    counts = type_counts(sentences)
    unseen = sorted(counts.keys() - entity_types(labels))
    return ", ".join(f"{type_ or 'without a name'} ({counts[type_]:,})" for type_ in unseen)


def words_labels(sentences: Iterable[Sentence]) -> list[str]:
    """The labels there are where they are no entities, by code points."""
    return sorted(tag_counts(sentences))


def unseen_labels(sentences: Iterable[Sentence], labels: Iterable[str]) -> str:
    """The labels of words that `labels` lack, with their number: `"X (3), SYM (1)"`; empty if none."""
    counts = tag_counts(sentences)
    return ", ".join(f"{tag} ({counts[tag]:,})" for tag in sorted(counts.keys() - set(labels)))
