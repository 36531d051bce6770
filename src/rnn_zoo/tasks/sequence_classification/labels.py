"""Labels of texts: what they are for each kind of problem, their order, their ids, their weights.

In memory an example is `{"text": ..., "label": ...}`; what its label is depends on the kind of problem:

- `single_label_classification`: a string;
- `multi_label_classification`: a list of strings, which may be empty;
- `regression`: a number, or a list of numbers, all of one length.

Sizes: `N` texts, `K` labels.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from ...errors import UserError, Warn
from ...models.keys_classifier import MULTI, REGRESSION, SINGLE, ProblemType
from ...tokenizers.vocabulary import counted

MANY_LABELS = 20  # training texts from which a label for every second one is no class any more
Label = str | list[str] | float | list[float]


class LabelledText(TypedDict):
    """A text as it stands in the data, and its label or labels."""

    text: str
    label: Any  # a Label; see the head of this module


def name_of(value: Any) -> str:
    """The name of one label: a number's is how it is written."""
    if value is None or value != value:  # also the NaN of pandas
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if not isinstance(value, str | int):
        raise ValueError(f"label {value!r} is of type {type(value).__name__}, must be a string or a number")
    return str(value).strip()


def label_of(value: Any, problem_type: ProblemType) -> Label:
    """What a file or data set has as a label -> the label as this module has it.

    Raises:
        ValueError: if it is none of this kind of problem.
    """
    if problem_type == SINGLE:
        label = name_of(value)
        if not label:
            raise ValueError("no label")
        return label
    if problem_type == MULTI:
        parts = value if isinstance(value, list) else str("" if value is None else name_of(value)).split(",")
        return list(dict.fromkeys(name for part in parts if (name := name_of(part))))
    values = value if isinstance(value, list) else str(value).split(",")
    numbers = []
    for part in values:
        try:
            numbers.append(float(part))
        except (TypeError, ValueError):
            numbers.append(math.nan)
        if not math.isfinite(numbers[-1]):
            raise ValueError(f"label {part!r} is no number")
    if not numbers:
        raise ValueError("no label")
    return numbers if len(numbers) > 1 else numbers[0]


def label_counts(rows: Iterable[LabelledText]) -> Counter[str]:
    """How many texts each label has."""

    def count(piece: Iterable[LabelledText]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for row in piece:
            counts.update(row["label"] if isinstance(row["label"], list) else [row["label"]])
        return counts

    return counted(rows, "labels", count)


def sort_labels(labels: Iterable[str]) -> list[str]:
    """Labels in the order of their ids: by value if all are whole or decimal numbers, else by code points."""
    labels = list(labels)
    if all(re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", label) for label in labels):
        return sorted(labels, key=lambda label: (float(label), label))
    return sorted(labels)


def labels_of(rows: Sequence[LabelledText], problem_type: ProblemType) -> list[str]:
    """The labels there are, in order (see `sort_labels`); of a regression a name for each number."""
    if problem_type != REGRESSION:
        return sort_labels(label_counts(rows))
    label = rows[0]["label"]
    return [f"score_{n}" for n in range(len(label))] if isinstance(label, list) else ["score"]


def label_ids(
    rows: Iterable[LabelledText], labels: Sequence[str], problem_type: ProblemType
) -> list[int] | list[list[float]]:
    """What a model takes as `labels`: ids `(N)`; of several labels 0 or 1 for each, of a regression numbers, `(N, K)`.

    Raises:
        UserError: for a label that is not among `labels`.
    """
    ids = {label: n for n, label in enumerate(labels)}
    found: list[Any] = []
    for row in rows:
        label = row["label"]
        if problem_type == REGRESSION:
            found.append([float(value) for value in (label if isinstance(label, list) else [label])])
            continue
        names = label if isinstance(label, list) else [label]
        if unknown := [name for name in names if name not in ids]:
            raise UserError(f"label {unknown[0]!r}: unknown (choose from {listed(labels)})")
        if problem_type == SINGLE:
            found.append(ids[label])
        else:
            found.append([float(name in names) for name in labels])
    return found


def class_weights(rows: Sequence[LabelledText], labels: Sequence[str]) -> list[float]:
    """The weight `n / (K n_k)` of each label, as scikit-learn's "balanced" has it; 0 for one without a text."""
    counts = label_counts(rows)
    return [len(rows) / (len(labels) * counts[label]) if counts[label] else 0.0 for label in labels]


def label_group(row: LabelledText) -> Any:
    """The label of a text, or all that it has, so that each part may have the same share of these; of numbers none."""
    label = row["label"]
    group = tuple(sorted(label)) if isinstance(label, list) else label
    return group if isinstance(group, str | tuple) else None


def check_labels(
    splits: Mapping[str, Sequence[LabelledText]],
    labels: Sequence[str],
    source: str,
    problem_type: ProblemType,
    warn: Warn,
) -> None:
    """Refuses labels that cannot be learned; a label that another part lacks is a warning.

    Raises:
        UserError: if `train` has one label only, or another part has one that `train` lacks, or as many numbers as it
            has not.
    """
    if problem_type == REGRESSION:
        for name, rows in splits.items():
            if (width := len(labels_of(rows, problem_type))) != len(labels):
                raise UserError(f"{source}: labels of {width} numbers in the {name} part, of {len(labels)} in train")
        return
    counts = {name: label_counts(rows) for name, rows in splits.items()}
    known = counts["train"]
    if len(known) < (2 if problem_type == SINGLE else 1):
        only = f"has only the label {next(iter(known))!r}" if known else "has no label"
        raise UserError(f"{source}: the train part {only}; there must be two to tell apart")
    N = len(splits["train"])
    if problem_type == SINGLE and N > MANY_LABELS and len(known) > N / 2:
        warn(
            f"{source}: {len(known):,} different labels for {N:,} training texts; the first is {next(iter(known))!r}: "
            "is label_column the right one?"
        )
    if lacking := [label for label in labels if label not in known]:
        warn(f"{source}: the train part has no text of {listed(lacking)}")
    for name in ("validation", "test"):
        if name not in counts:
            continue
        if unseen := unseen_labels(splits[name], list(known)):
            raise UserError(f"{source}: the {name} part has labels that the train part lacks: {unseen}")
        if lacking := [label for label in labels if label in known and label not in counts[name]]:
            warn(f"{source}: the {name} part has no text of {listed(lacking)}")


def listed(labels: Sequence[str]) -> str:
    """Labels for a message: the first ones by name."""
    some = ", ".join(map(repr, labels[:8]))
    return some if len(labels) <= 8 else f"{some} and {len(labels) - 8:,} more"


def unseen_labels(rows: Iterable[LabelledText], labels: Sequence[str]) -> str:
    """The labels that are not among `labels`, with the number of their texts: `"'mixed' (3)"`; empty if none."""
    counts = label_counts(rows)
    unseen = sort_labels(counts.keys() - set(labels))
    some = ", ".join(f"{label!r} ({counts[label]:,})" for label in unseen[:8])
    return some if len(unseen) <= 8 else f"{some} and {len(unseen) - 8:,} more"
