"""Accuracy, F1 and correlations of classified texts: a metric for `evaluate`, by scikit-learn.

Runs without a network::

    evaluate.load("src/rnn_zoo/tasks/sequence_classification/classifications.py").compute(
        predictions=[0, 1, 1], references=[0, 1, 0]
    )

It stands alone, as `evaluate` copies the file. Sizes: `N` texts, `K` labels, or numbers of a regression.
"""

from collections.abc import Callable, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, matthews_corrcoef

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
PROBLEM_TYPES = (SINGLE, MULTI, REGRESSION)

DESCRIPTION = "Accuracy, F1 and Matthews correlation of classified texts, or errors and correlations; by scikit-learn."
INPUTS = (
    "predictions, references: for each text the id of its label; for multi_label_classification 0 or 1 for each label; "
    "for regression a number, or a list of numbers."
)


class Classifications(evaluate.Metric):
    """The metric for `evaluate`; `compute(predictions=..., references=...)` gives what `classification_scores` does."""

    def _info(self):
        number = datasets.Value(
            "float64"
        )  # evaluate would cut numbers of a regression to an integer type without a word
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=[
                datasets.Features({"predictions": kind, "references": kind})
                for kind in (number, datasets.Sequence(number))
            ],
        )

    def _compute(self, predictions, references, problem_type=SINGLE):
        return classification_scores(predictions, references, problem_type)


def classification_scores(predictions, references, problem_type: str = SINGLE) -> dict[str, float]:
    """The scores of classified texts.

    Args:
        predictions, references: of a single-label problem ids `(N)`; of a multi-label one 0 or 1, `(N, K)`; of a
            regression numbers, `(N)` or `(N, K)`.
        problem_type: the one of `transformers`.

    Returns:
        - single label: `accuracy`, `macro_f1` (the mean over the labels that are there or predicted), both in [0, 1],
          and `matthews_correlation` (Matthews 1975; of several classes Gorodkin 2004), in [-1, 1];
        - multi-label: `accuracy`, the share of texts whose labels are all right, `micro_f1` and `macro_f1` (the
          mean over all `K`), in [0, 1];
        - regression: `mse`, `mae`, the mean squared and absolute errors, and `pearson`, `spearman`, correlations in
          [-1, 1]; means over the `K` numbers.

        What is undefined, as the F1 of a label that is nowhere or a correlation with a constant, is 0.

    Raises:
        ValueError: for an unknown `problem_type`, no prediction, not as many predictions as references, or what is no
            label of this kind of problem.
    """
    if problem_type not in PROBLEM_TYPES:
        raise ValueError(f"problem_type={problem_type!r}: unknown (choose from {', '.join(PROBLEM_TYPES)})")
    found, true = np.asarray(predictions), np.asarray(references)
    if found.shape != true.shape:
        raise ValueError(f"predictions of shape {found.shape} for references of shape {true.shape}: must be the same")
    if not len(found):
        raise ValueError("no predictions: there must be at least one")
    if problem_type == REGRESSION:
        return _regression_scores(
            found.reshape(len(found), -1).astype(float), true.reshape(len(true), -1).astype(float)
        )
    found, true = _whole("predictions", found), _whole("references", true)
    dimensions = 1 if problem_type == SINGLE else 2
    if found.ndim != dimensions:
        wanted = "(N) ids" if problem_type == SINGLE else "(N, K), 0 or 1 for each label"
        raise ValueError(f"predictions of shape {found.shape}: {problem_type} has {wanted}")
    if problem_type == SINGLE:
        return {
            "accuracy": float(accuracy_score(true, found)),
            "macro_f1": float(f1_score(true, found, average="macro", zero_division=0)),
            "matthews_correlation": float(matthews_corrcoef(true, found)),
        }
    for name, ids in (("predictions", found), ("references", true)):
        if not np.isin(ids, (0, 1)).all():
            raise ValueError(f"{name}: {ids[~np.isin(ids, (0, 1))][0]} is among them; all must be 0 or 1")
    # By hand, as scikit-learn takes a single column for classes, and averages over those.
    hits, told, meant = (counts.sum(0).astype(float) for counts in (found & true, found, true))
    each = np.divide(2 * hits, told + meant, out=np.zeros_like(hits), where=told + meant > 0)
    total = told.sum() + meant.sum()
    return {
        "accuracy": float((found == true).all(1).mean()),
        "micro_f1": float(2 * hits.sum() / total) if total else 0.0,
        "macro_f1": float(each.mean()),
    }


def confusion_matrix_of(predictions, references, num_labels: int) -> list[list[int]]:
    """How often each label was taken for each: rows are the true ones, columns the predicted ones, `(K, K)`.

    It is no part of `classification_scores`, because a Trainer logs numbers only.

    Args:
        predictions, references: ids `(N)` in [0, num_labels).
        num_labels: `K`.
    """
    found, true = _whole("predictions", np.asarray(predictions)), _whole("references", np.asarray(references))
    return confusion_matrix(true, found, labels=list(range(num_labels))).tolist()


def predicted_labels(logits, problem_type: str = SINGLE) -> np.ndarray:
    """Logits `(N, K)`, an array or a tensor, or a tuple that begins with them -> what a model says of each text.

    Ids `(N)`, the likeliest; of a multi-label problem 0 or 1, `(N, K)`, 1 where the chance is above a half; of a
    regression the numbers themselves.
    """
    logits = np.asarray(logits[0] if isinstance(logits, tuple) else logits)
    if problem_type == SINGLE:
        return logits.argmax(-1)
    return (logits > 0).astype(int) if problem_type == MULTI else logits


def classification_metrics(labels: Sequence[str], problem_type: str = SINGLE) -> Callable[[Any], dict[str, float]]:
    """Makes the `compute_metrics` of a Trainer.

    Args:
        labels: the `K` names of the labels, in the order of their ids.
        problem_type: the one of `transformers`.

    Returns:
        A function of `(logits (N, K), labels)`, the labels as the model takes them: `(N)`, or `(N, K)` of a multi-label
        problem or a regression. It gives what `classification_scores` does, and raises `ValueError` where the logits
        are not of `K` labels.
    """
    K = len(labels)

    def compute_metrics(prediction) -> dict[str, float]:
        logits, true = (np.asarray(part[0] if isinstance(part, tuple) else part) for part in prediction)
        logits = logits[:, None] if logits.ndim == 1 and problem_type == REGRESSION else logits
        if logits.ndim != 2 or logits.shape[1] != K:
            raise ValueError(f"logits of shape {logits.shape} for {K} labels: must be (N, {K})")
        if problem_type != SINGLE:
            true = true.reshape(logits.shape)
        return classification_scores(predicted_labels(logits, problem_type), true, problem_type)

    return compute_metrics


def _regression_scores(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """The scores of numbers, `(N, K)`."""
    bad = [name for name, values in (("predictions", found), ("references", true)) if not np.isfinite(values).all()]
    if bad:
        raise ValueError(f"{bad[0]}: all must be finite numbers")
    pairs = list(zip(found.T, true.T, strict=True))
    return {
        "mse": float(((found - true) ** 2).mean()),
        "mae": float(np.abs(found - true).mean()),
        "pearson": float(np.mean([_correlation(*pair) for pair in pairs])),
        "spearman": float(np.mean([_correlation(*map(_ranks, pair)) for pair in pairs])),
    }


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    spread = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / spread) if spread > 0 else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """The place of each value in their order, from 1; equal ones share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[inverse]


def _whole(name: str, values: np.ndarray) -> np.ndarray:
    """Labels as integers, also those that `evaluate` or a model has as floats; `ValueError` for others."""
    try:
        numbers = values.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: must be ids of labels, as numbers") from error
    if not (np.isfinite(numbers).all() and (numbers == numbers.round()).all()):
        raise ValueError(f"{name}: must be ids of labels, whole numbers")
    return numbers.astype(int)
