"""The least that a tagger of words has to beat: each word gets the label that it has most often in training."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from .entities import label_scores
from .tags import Sentence

NAME = "most frequent label of each word"


def measure_frequent_label(splits: Mapping[str, Sequence[Sentence]]) -> dict[str, Any]:
    """Counts the labels of each word in `train`, and measures what they say on all other splits.

    A word is looked up as it stands. One that is not in `train` gets the label that is most frequent among the words
    that are there once; of labels that are equally frequent the first in train counts.

    Args:
        splits: sentences whose tags are labels of words; `train` holds a word.

    Returns:
        `name`, and `splits`: for each split but `train` what `label_scores` gives.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence in splits["train"]:
        for token, tag in zip(sentence["tokens"], sentence["tags"], strict=True):
            counts[token][tag] += 1
    best = {token: tags.most_common(1)[0][0] for token, tags in counts.items()}
    once = Counter(best[token] for token, tags in counts.items() if tags.total() == 1)
    unknown = (once or Counter(best.values())).most_common(1)[0][0]
    scores = {
        name: label_scores(
            [[best.get(token, unknown) for token in sentence["tokens"]] for sentence in part],
            [sentence["tags"] for sentence in part],
        )
        for name, part in splits.items()
        if name != "train"
    }
    return {"name": NAME, "splits": scores}
