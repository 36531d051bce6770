"""Minimal pairs: sentences of which one word, or its denial, makes a good opinion a bad one."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from ...unseen import Unseen
from .classifier import Classifier

FILE = Path(__file__).with_name("samples") / "contrast_pairs.tsv"
POSITIVE, NEGATIVE = "positive", "negative"  # labels of a classifier that can be asked
MOST_UNSEEN = 0.2  # of a language's texts: with more a classifier does not know the language


class ContrastPair(NamedTuple):
    """One sentence twice, as `samples/contrast_pairs.tsv` explains.

    Args:
        positive: with a good opinion.
        negative: with a bad one.
        lang: `en`, `hi`, `mr` or `ne`.
        kind: what makes the difference: `negation`, `contrast` or `word`.
    """

    positive: str
    negative: str
    lang: str
    kind: str


class Score(NamedTuple):
    """Of the pairs of a language: their number, and the shares of right sentences and of pairs with both right."""

    pairs: int
    sentences: float
    both: float


def contrast_pairs() -> list[ContrastPair]:
    """All pairs, in the order of the file."""
    lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [ContrastPair(*line.split("\t")) for line in lines[1:]]


def score_contrast_pairs(classifier: Classifier) -> dict[str, Score]:
    """Of each language that the classifier knows its `Score`; of none where its labels are not `POSITIVE`, `NEGATIVE`
    and perhaps others."""
    if not {POSITIVE, NEGATIVE} <= set(classifier.labels):
        return {}
    by_language = defaultdict(list)
    for pair in contrast_pairs():
        by_language[pair.lang].append(pair)
    unseen, found = Unseen(classifier.model, classifier.tokenizer), {}
    for lang, pairs in by_language.items():
        texts = [text for pair in pairs for text in (pair.positive, pair.negative)]
        if unseen.share(texts) > MOST_UNSEEN:
            continue
        said = [one.labels for one in classifier.classify(texts)]
        right = [label == [(POSITIVE, NEGATIVE)[n % 2]] for n, label in enumerate(said)]
        both = [first and second for first, second in zip(right[::2], right[1::2], strict=True)]
        found[lang] = Score(len(pairs), sum(right) / len(right), sum(both) / len(both))
    return found
