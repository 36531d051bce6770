"""Precision, recall and F1 of entities, as conlleval counts them: a metric for `evaluate`, by seqeval.

An entity is found where type, first and last word are all right. Runs without a network::

    evaluate.load("src/rnn_zoo/tasks/token_classification/entities.py").compute(
        predictions=[["B-PER", "I-PER", "O"]], references=[["B-PER", "I-PER", "O"]]
    )

It stands alone, as `evaluate` copies the file. Sizes: `N` sentences, `T` time, `K` labels.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import datasets
import evaluate
import numpy as np
from seqeval.metrics import accuracy_score, classification_report

IGNORED = -100

DESCRIPTION = "Precision, recall and F1 of entities, per type and overall, as conlleval counts them; by seqeval."
INPUTS = "predictions, references: for each sentence the list of its tags, in IOB1, IOB2 or IOBES."


class Entities(evaluate.Metric):
    """The metric for `evaluate`; `compute(predictions=..., references=...)` gives what `entity_scores` does."""

    def _info(self):
        tags = datasets.Sequence(datasets.Value("string"))
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features({"predictions": tags, "references": tags}),
        )

    def _compute(self, predictions, references):
        return entity_scores(predictions, references)


def entity_scores(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> dict:
    """The scores of tagged sentences.

    Args:
        predictions, references: for each sentence its tags, in any scheme that conlleval reads.

    Returns:
        `overall_precision`, `overall_recall`, `overall_f1` over all entities, `overall_accuracy` of the tags, each in
        [0, 1] and 0 where undefined; and for each type `{"precision", "recall", "f1", "number"}`, `number` being how
        many there are in `references`.

    Raises:
        ValueError: if there are not as many predictions as references, sentences or tags.
    """
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predicted sentences for {len(references)}: must be as many")
    for n, (found, told) in enumerate(zip(predictions, references, strict=True)):
        if len(found) != len(told):
            raise ValueError(f"sentence {n}: {len(found)} predicted tags for {len(told)}: must be as many")
    # The empty sentence at the end keeps the lists nested, which is how seqeval tells sentences from tags.
    true: list[list[str]] = [*map(list, references), []]
    predicted: list[list[str]] = [*map(list, predictions), []]
    has_entities = any(tag != "O" for tags in (*true, *predicted) for tag in tags)
    report = classification_report(true, predicted, output_dict=True, zero_division=0) if has_entities else {}
    overall = report.pop("micro avg", {"precision": 0.0, "recall": 0.0, "f1-score": 0.0})
    scores: dict = {
        type_: {
            "precision": float(row["precision"]),
            "recall": float(row["recall"]),
            "f1": float(row["f1-score"]),
            "number": int(row["support"]),
        }
        for type_, row in report.items()
        if type_ not in ("macro avg", "weighted avg")
    }
    for name, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
        scores[f"overall_{name}"] = float(overall[key])
    scores["overall_accuracy"] = float(accuracy_score(true, predicted)) if any(true) else 0.0
    return scores


def flat_scores(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """What `entity_scores` gives, under the names of a Trainer's metrics: `f1`, for each type `f1_PER` and so on."""
    scores = entity_scores(predictions, references)
    flat = {name: scores.pop(f"overall_{name}") for name in ("precision", "recall", "f1", "accuracy")}
    return flat | {f"{name}_{type_}": value for type_, row in scores.items() for name, value in row.items()}


def label_scores(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """The scores of words whose labels are no entities.

    Returns:
        `token_accuracy`, the share of words that have the right label, in [0, 1], and the same as `accuracy`; and for
        each label of `references`, as NOUN, `precision_NOUN`, `recall_NOUN`, which is the accuracy of its words,
        `f1_NOUN`, 0 where undefined, and `number_NOUN`, how many there are.

    Raises:
        ValueError: as `entity_scores`.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    for found, told in zip(predictions, references, strict=True):
        pairs.update(zip(found, told, strict=True))
    guessed, there = Counter[str](), Counter[str]()
    for (one, other), number in pairs.items():
        guessed[one] += number
        there[other] += number
    right = {label: pairs[label, label] for label in sorted(there)}
    share = sum(right.values()) / pairs.total() if pairs else 0.0
    scores = {"token_accuracy": share, "accuracy": share}
    for label, number in right.items():
        scores[f"precision_{label}"] = number / guessed[label] if guessed[label] else 0.0
        scores[f"recall_{label}"] = number / there[label]
        scores[f"f1_{label}"] = 2 * number / (guessed[label] + there[label])
        scores[f"number_{label}"] = there[label]
    return scores


def best_labels(logits, labels=None):
    """`logits (N, T, K)`, or a tuple that begins with them -> ids `(N, T)`, for `preprocess_logits_for_metrics`.

    Trainer keeps what this gives for a whole split: `K` times less than the logits.
    """
    return (logits[0] if isinstance(logits, tuple) else logits).argmax(-1)


def entity_metrics(
    labels: Sequence[str],
    references: Sequence[Sequence[str]] | None = None,
    words: Sequence[Sequence[int]] | None = None,
    are_entities: bool = True,
) -> Callable[[tuple], dict[str, float]]:
    """Makes the `compute_metrics` of a Trainer.

    Args:
        labels: the `K` names of the labels, in the order of their ids.
        references: the true tags of each sentence, in the order of the rows. They take the place of the label ids,
            which cannot say a type that the model has no label for: its entities count as missed.
        words: which of the labelled steps of each row begin a word, counted from 0; `None`: all do.
        are_entities: whether the labels are those of entities; otherwise words are counted (`label_scores`).

    Returns:
        A function of `(logits (N, T, K) or ids (N, T), label ids (N, T))`. Steps whose label is -100 are left out. It
        gives `precision`, `recall`, `f1`, `accuracy`, in [0, 1], and the same for each type as `f1_PER` and so on, with
        `number_PER`, the entities that there are. It raises `ValueError` where `references` are not as many as the
        labelled steps.
    """
    names = np.array(labels, dtype=object)

    def compute_metrics(prediction) -> dict[str, float]:
        predicted, true = prediction
        predicted = predicted[0] if isinstance(predicted, tuple) else predicted
        true = true[0] if isinstance(true, tuple) else true
        if predicted.ndim == 3:
            predicted = predicted.argmax(-1)
        steps = [mask.nonzero()[0] for mask in true != IGNORED]
        if words is not None:
            steps = [row[list(chosen)] for row, chosen in zip(steps, words, strict=True)]
        found = [names[ids[row]].tolist() for ids, row in zip(predicted, steps, strict=True)]
        told = references
        if told is None:
            told = [names[ids[row]].tolist() for ids, row in zip(true, steps, strict=True)]
        return flat_scores(found, told) if are_entities else label_scores(found, told)

    return compute_metrics
