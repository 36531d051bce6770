"""Tagged sentences, and the labels that their tags are.

In memory a sentence is `{"tokens": [...], "tags": [...]}`, strings, the tags in IOB2 whatever they came in; or as they
came where they are no entities, as parts of speech.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypedDict

from ...errors import UserError, Warn
from .iob import (
    ALLOWED,
    IO,
    NO_ENTITIES,
    convert,
    detect_scheme,
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
    sentences: list[Sentence],
    told: str | None,
    place: Callable[[int, int], str],
    source: str,
    warn: Warn,
    prose: bool = False,
) -> tuple[list[Sentence], str | None]:
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
    counts = Counter(tag for sentence in sentences for tag in sentence["tags"])
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
        return [{"tokens": s["tokens"], "tags": from_io(s["tags"])} for s in sentences], kind
    for s, sentence in enumerate(sentences):
        for n, (token, tag) in enumerate(zip(sentence["tokens"], sentence["tags"], strict=True)):
            if not is_tag(tag):
                shown = f"{token} {tag}"[:80]
                raise UserError(f"{place(s, n)}: tag {tag[:SHOWN]!r} is not IOB, allowed are {ALLOWED}: {shown!r}")
    return to_iob2(sentences, told, place, source, warn), None


def to_iob2(
    sentences: list[Sentence], scheme: str | None, place: Callable[[int, int], str], source: str, warn: Warn
) -> list[Sentence]:
    """The same sentences in IOB2; `place` says where tag `t` of sentence `s` stands, for the warning."""
    found = scheme or detect_scheme(sentence["tags"] for sentence in sentences)
    mistakes = [(s, t) for s, sentence in enumerate(sentences) for t in illegal(sentence["tags"], found)]
    if mistakes:
        s, t = mistakes[0]
        total = sum(len(sentence["tags"]) for sentence in sentences)
        warn(
            f"{source}: {len(mistakes):,} of {total:,} tags cannot stand where they do in {found}, as an I- without "
            f"its B-; read as conlleval does, the first is {sentences[s]['tags'][t]!r} at {place(s, t)}"
        )
    return [{"tokens": s["tokens"], "tags": convert(s["tags"], "iob2")} for s in sentences]


def labels_of(sentences: Iterable[Sentence]) -> list[str]:
    """The IOB2 labels of all types there are: `O`, then `B-X`, `I-X` of each type, by code points."""
    return label_list(type_ for sentence in sentences for type_, _, _ in entities(sentence["tags"]))


def unseen_types(sentences: Iterable[Sentence], labels: Iterable[str]) -> str:
    """The types that `labels` lack, with the number of their entities: `"EVENT (3), LAW (1)"`; empty if none."""
    counts = Counter(type_ for sentence in sentences for type_, _, _ in entities(sentence["tags"]))
    unseen = sorted(counts.keys() - entity_types(labels))
    return ", ".join(f"{type_ or 'without a name'} ({counts[type_]:,})" for type_ in unseen)


def words_labels(sentences: Iterable[Sentence]) -> list[str]:
    """The labels there are where they are no entities, by code points."""
    return sorted({tag for sentence in sentences for tag in sentence["tags"]})


def unseen_labels(sentences: Iterable[Sentence], labels: Iterable[str]) -> str:
    """The labels of words that `labels` lack, with their number: `"X (3), SYM (1)"`; empty if none."""
    counts = Counter(tag for sentence in sentences for tag in sentence["tags"])
    return ", ".join(f"{tag} ({counts[tag]:,})" for tag in sorted(counts.keys() - set(labels)))
