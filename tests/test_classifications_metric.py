"""The metric of classifiers against scikit-learn, what is undefined, what is refused, and through `evaluate`."""

import math

import evaluate
import numpy as np
import pytest
import torch
from sklearn import metrics

from rnn_zoo.tasks.sequence_classification import classifications
from rnn_zoo.tasks.sequence_classification.classifications import (
    MULTI,
    REGRESSION,
    SINGLE,
    classification_metrics,
    classification_scores,
    confusion_matrix_of,
    predicted_labels,
)

K = 4


@pytest.mark.parametrize("seed", range(5))
def test_single_labels_are_scored_as_by_scikit_learn(seed):
    random = np.random.default_rng(seed)
    true, found = random.integers(K, size=(2, 30))
    found[:10] = true[:10]
    assert classification_scores(found.tolist(), true.tolist()) == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(true, found),
            "macro_f1": metrics.f1_score(true, found, average="macro"),
            "matthews_correlation": metrics.matthews_corrcoef(true, found),
        }
    )


def test_matthews_of_two_classes_by_its_definition():
    true, found = [1] * 6 + [0] * 4, [1, 1, 1, 1, 0, 0, 1, 0, 0, 0]
    tp, fn, fp, tn = 4, 2, 1, 3
    by_hand = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert classification_scores(found, true)["matthews_correlation"] == pytest.approx(by_hand)


def test_what_is_undefined_is_zero():
    assert classification_scores([0, 0], [0, 0]) == {"accuracy": 1, "macro_f1": 1, "matthews_correlation": 0}
    never = classification_scores([0, 0, 0], [0, 1, 2])  # two labels are never predicted
    assert never == pytest.approx({"accuracy": 1 / 3, "macro_f1": 0.5 / 3, "matthews_correlation": 0})
    constant = classification_scores([1.0, 1.0], [0.5, 2.0], REGRESSION)
    assert constant == pytest.approx({"mse": 0.625, "mae": 0.75, "pearson": 0, "spearman": 0})
    assert classification_scores([[0, 0]], [[0, 0]], MULTI) == {"accuracy": 1, "micro_f1": 0, "macro_f1": 0}


@pytest.mark.parametrize("labels", [1, 3])
def test_several_labels(labels):
    random = np.random.default_rng(labels)
    true, found = random.integers(2, size=(2, 25, labels))
    scores = classification_scores(found, true, MULTI)
    assert scores["accuracy"] == pytest.approx((true == found).all(1).mean())
    each = [metrics.f1_score(true[:, n], found[:, n]) for n in range(labels)]
    assert scores["macro_f1"] == pytest.approx(np.mean(each))
    assert scores["micro_f1"] == pytest.approx(metrics.f1_score(true.ravel(), found.ravel()))


def test_regression_by_hand():
    scores = classification_scores([1, 2, 3, 10], [1, 3, 4, 5], REGRESSION)
    assert scores["mse"] == pytest.approx((0 + 1 + 1 + 25) / 4)
    assert scores["mae"] == pytest.approx(7 / 4)
    assert scores["pearson"] == pytest.approx(np.corrcoef([1, 2, 3, 10], [1, 3, 4, 5])[0, 1])
    assert scores["spearman"] == pytest.approx(1)
    ties = classification_scores([1, 1, 2], [1, 2, 3], REGRESSION)["spearman"]
    assert ties == pytest.approx(np.corrcoef([1.5, 1.5, 3], [1, 2, 3])[0, 1])
    two = classification_scores([[1, 4], [2, 3]], [[1, 3], [2, 4]], REGRESSION)
    assert two["pearson"] == pytest.approx(0)  # 1 and -1


@pytest.mark.parametrize(
    ("found", "true", "kind", "message"),
    [
        ([0], [0], "single", "problem_type='single': unknown"),
        ([], [], SINGLE, "no predictions"),
        ([0, 1], [0], SINGLE, r"shape \(2,\) for references of shape \(1,\)"),
        ([0.5], [0], SINGLE, "predictions: must be ids of labels, whole numbers"),
        ([0], [float("nan")], SINGLE, "references: must be ids"),
        (["a"], ["a"], SINGLE, "must be ids of labels, as numbers"),
        ([[0]], [[0]], SINGLE, r"single_label_classification has \(N\) ids"),
        ([0], [0], MULTI, r"has \(N, K\)"),
        ([[2, 0]], [[1, 0]], MULTI, "predictions: 2 is among them"),
        ([float("inf")], [0], REGRESSION, "predictions: all must be finite"),
    ],
)
def test_what_is_refused(found, true, kind, message):
    with pytest.raises(ValueError, match=message):
        classification_scores(found, true, kind)


def test_confusion_has_rows_of_true_labels_and_those_that_never_occur():
    assert confusion_matrix_of([0, 1, 1, 0], [0, 1, 0, 0], 3) == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_predicted_labels():
    logits = torch.tensor([[0.1, 2.0, -1.0], [3.0, 0.0, 0.5]])
    assert predicted_labels((logits, "states")).tolist() == [1, 0]
    assert predicted_labels(logits, MULTI).tolist() == [[1, 1, 0], [1, 0, 1]]
    assert predicted_labels(logits, REGRESSION).tolist() == logits.tolist()


def test_compute_metrics_of_a_trainer():
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    compute = classification_metrics(["no", "yes"])
    assert compute((logits, np.array([0, 1, 1])))["accuracy"] == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match=r"logits of shape \(3, 2\) for 3 labels"):
        classification_metrics(["a", "b", "c"])((logits, np.array([0, 1, 1])))
    numbers = classification_metrics(["stars"], REGRESSION)
    assert numbers((np.array([1.0, 2.0]), np.array([1.0, 4.0])))["mse"] == pytest.approx(2)


@pytest.mark.parametrize(
    ("found", "true", "kind"),
    [
        ([0, 1, 1], [0, 1, 0], SINGLE),
        ([[0, 1], [1, 1]], [[0, 1], [1, 0]], MULTI),
        ([0.25, 1.5], [0.0, 2.0], REGRESSION),
    ],
)
def test_evaluate_loads_the_file(found, true, kind, tmp_path):
    metric = evaluate.load(classifications.__file__, cache_dir=str(tmp_path))
    computed = metric.compute(predictions=found, references=true, problem_type=kind)
    assert computed == pytest.approx(classification_scores(found, true, kind))


def test_names_stand_for_the_same_as_in_the_configuration():
    from rnn_zoo.models import keys_classifier

    assert list(classifications.PROBLEM_TYPES) == keys_classifier.PROBLEM_TYPES
