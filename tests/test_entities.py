"""Entities in tags: the schemes, their conversions, and the metric, against a plain count as conlleval does it."""

import json
import random
import socket
import sys
from itertools import product

import evaluate
import numpy as np
import pytest
import torch

from rnn_zoo.tasks.token_classification import entities as metric
from rnn_zoo.tasks.token_classification.entities import best_labels, entity_metrics, entity_scores, label_scores
from rnn_zoo.tasks.token_classification.frequent_label import measure_frequent_label
from rnn_zoo.tasks.token_classification.iob import (
    SCHEMES,
    convert,
    entities,
    entity_types,
    illegal,
    is_tag,
    label_list,
    parse,
    write_tags,
)
from rnn_zoo.tasks.token_classification.tags import scheme_survey

O, BX, IX, BY, IY = "O", "B-X", "I-X", "B-Y", "I-Y"
ALL_TAGS = ["O", *(f"{letter}-{kind}" for letter in "BIES" for kind in "XY")]


# ---- conlleval, by its own rules: word by word, comparing each tag with the one before ----
def splits(tag: str) -> tuple[str, str]:
    letter, _, kind = tag.partition("-")
    return letter, kind


def ends(before: str, tag: str) -> bool:
    """Whether an entity ends between two words."""
    (a, kind_a), (b, kind_b) = splits(before), splits(tag)
    return a in "ES" or (a in "BI" and b in "BSO") or (a != "O" and kind_a != kind_b)


def starts(before: str, tag: str) -> bool:
    (a, kind_a), (b, kind_b) = splits(before), splits(tag)
    return b in "BS" or (b in "IE" and a in "EOS") or (b != "O" and kind_a != kind_b)


def conlleval(predictions, references) -> dict:
    """Counts `(right, predicted, true)` of each type, as the script of the shared task does."""
    counts: dict[str, list[int]] = {}
    right_tags = total = 0
    for predicted, true in zip(predictions, references, strict=True):
        both_open, kind_open = False, ""
        before_p = before_t = "O"
        for p, t in [*zip(predicted, true, strict=True), ("O", "O")]:
            if both_open:
                if ends(before_t, t) and ends(before_p, p):
                    counts[kind_open][0] += 1
                    both_open = False
                elif ends(before_t, t) != ends(before_p, p) or splits(t)[1] != splits(p)[1]:
                    both_open = False
            if starts(before_t, t) and starts(before_p, p) and splits(t)[1] == splits(p)[1]:
                both_open, kind_open = True, splits(t)[1]
                counts.setdefault(kind_open, [0, 0, 0])
            for place, begins, tag in ((1, starts(before_p, p), p), (2, starts(before_t, t), t)):
                if begins:
                    counts.setdefault(splits(tag)[1], [0, 0, 0])[place] += 1
            before_p, before_t = p, t
        right_tags += sum(p == t for p, t in zip(predicted, true, strict=True))
        total += len(true)

    def shares(right, predicted, true):
        precision, recall = right / predicted if predicted else 0.0, right / true if true else 0.0
        return precision, recall, 2 * precision * recall / (precision + recall) if right else 0.0

    overall = shares(*(sum(row[place] for row in counts.values()) for place in range(3)))
    scores: dict = dict(zip(("overall_precision", "overall_recall", "overall_f1"), overall, strict=True))
    scores["overall_accuracy"] = right_tags / total if total else 0.0
    for kind, row in counts.items():
        scores[kind] = dict(zip(("precision", "recall", "f1"), shares(*row), strict=True)) | {"number": row[2]}
    return scores


def flat(scores: dict) -> dict:
    return {
        (name, inner): number
        for name, value in scores.items()
        for inner, number in (value.items() if isinstance(value, dict) else [("", value)])
    }


# ---- reading ----
@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([], []),
        ([O, O], []),
        ([BX], [("X", 0, 1)]),
        ([O, IX, IX, O], [("X", 1, 3)]),  # I- after O begins one
        ([IX, BX, IX], [("X", 0, 1), ("X", 1, 3)]),  # IOB1
        ([BX, IY, IY], [("X", 0, 1), ("Y", 1, 3)]),  # the type changes inside
        ([BX, BX, IX], [("X", 0, 1), ("X", 1, 3)]),  # neighbours
        ([IX, IY, IX], [("X", 0, 1), ("Y", 1, 2), ("X", 2, 3)]),
        (["B-X", "I-X", "E-X", "S-X", "S-Y"], [("X", 0, 3), ("X", 3, 4), ("Y", 4, 5)]),
        (["B-X", "L-X", "U-X"], [("X", 0, 2), ("X", 2, 3)]),
        (["E-X", "E-X", "I-X", "E-Y"], [("X", 0, 1), ("X", 1, 2), ("X", 2, 3), ("Y", 3, 4)]),
        (["S-X", "I-X", "E-X"], [("X", 0, 1), ("X", 1, 3)]),
        (["B", "I", "O", "I"], [("", 0, 2), ("", 3, 4)]),
        (["B-a-b", "I-a-b", "I-a"], [("a-b", 0, 2), ("a", 2, 3)]),
    ],
)
def test_entities_of_one_sentence(tags, expected):
    assert entities(tags) == expected


def test_entities_are_those_of_conlleval_for_every_sequence():
    for length in range(1, 5):
        for tags in product(ALL_TAGS, repeat=length):
            padded = ["O", *tags, "O"]
            begun = [n for n in range(length) if starts(padded[n], padded[n + 1])]
            ended = [n for n in range(1, length + 1) if ends(padded[n], padded[n + 1])]
            found = [(splits(tags[start])[1], start, end) for start, end in zip(begun, ended, strict=True)]
            assert entities(tags) == found, tags


@pytest.mark.parametrize("tag", ["O", "B", "I", "B-PER", "I-creative-work", "S-x y", "U-1", "L-व्यक्ति", "E--"])
def test_what_is_a_tag(tag):
    assert is_tag(tag)
    assert parse(tag)[0] in "OBIES"


@pytest.mark.parametrize("tag", ["", "o", "0", "PER", "B-", "b-PER", "BNEP", "B_PER", "X-PER", "O-PER", " O", "PER-B"])
def test_what_is_no_tag(tag):
    assert not is_tag(tag)
    with pytest.raises(ValueError, match="is not IOB: allowed are O, B-TYPE, I-TYPE"):
        entities([tag])


# ---- conversion ----
SENTENCE = {
    "iob1": ["I-X", "B-X", "I-X", "I-Y", "O", "I-Y", "I-Y", "I-Y"],
    "iob2": ["B-X", "B-X", "I-X", "B-Y", "O", "B-Y", "I-Y", "I-Y"],
    "iobes": ["S-X", "B-X", "E-X", "S-Y", "O", "B-Y", "I-Y", "E-Y"],
}


@pytest.mark.parametrize(("source", "target"), list(product(SCHEMES, repeat=2)))
def test_conversion(source, target):
    assert convert(SENTENCE[source], target) == SENTENCE[target]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_conversion_is_lossless_and_legal_for_every_sequence_of_entities(scheme):
    for length in range(1, 6):
        for tags in product([O, BX, IX, BY, IY], repeat=length):
            if not illegal(tags, "iob2"):
                written = convert(tags, scheme)
                assert not illegal(written, scheme)
                assert entities(written) == entities(tags)
                assert convert(written, "iob2") == list(tags)
                assert write_tags(entities(tags), length, scheme) == written


@pytest.mark.parametrize(
    ("tags", "scheme", "places"),
    [
        ([O, IX, IX], "iob2", [1]),
        ([BX, IY], "iob2", [1]),
        ([BX, IX, IX, O], "iob2", []),
        ([O, BX, IX], "iob1", [1]),
        ([IX, BX, IX], "iob1", []),
        ([BX, IX], "iobes", [1]),
        (["B-X", O, "E-X", "S-X"], "iobes", [0, 2]),
        (["B-X", "L-X", "U-X"], "iobes", []),
        ([], "iob1", []),
    ],
)
def test_places_that_are_illegal(tags, scheme, places):
    assert illegal(tags, scheme) == places


def test_bilou_is_written_as_iobes():
    assert convert(["B-X", "I-X", "L-X", "U-Y"], "iobes") == ["B-X", "I-X", "E-X", "S-Y"]


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        ([], "iob2"),
        ([[O, O]], "iob2"),
        ([[IX, O]], "iob1"),
        ([[O], [BX, IX], [BX]], "iob2"),
        ([[BX, IX], [BX], [IX]], "iob2"),  # one mistake in three
        ([[IX, IX, BX], [IX], [BX]], "iob1"),
        ([["S-X"], ["B-X", "E-X"]], "iobes"),
        ([["U-X"], ["B-X", "L-X"]], "iobes"),
        ([["B-X", "E-X"], ["S-X"], [BX]], "iobes"),
    ],
)
def test_the_scheme_of_a_file(sentences, scheme):
    mistakes = scheme_survey([{"tokens": tags, "tags": tags} for tags in sentences], None)["mistakes"]
    assert min(mistakes, key=mistakes.__getitem__) == scheme


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"tag scheme 'bio': unknown \(choose from iob1, iob2, iobes\)"):
        convert([O], "bio")
    for found in ([("X", 0, 3)], [("X", 1, 1)], [("X", 0, 2), ("Y", 1, 2)]):
        with pytest.raises(ValueError, match="must lie in"):
            write_tags(found, 2)


def test_labels_have_both_tags_of_each_type_in_one_order():
    assert label_list(["b", "a", "b", "C"]) == ["O", "B-C", "I-C", "B-a", "I-a", "B-b", "I-b"]
    assert label_list([""]) == ["O", "B", "I"]


def test_types_of_labels_keep_their_order():
    assert entity_types(["O", "B-b", "I-b", "S-a-c", "U-b", "I", "L"]) == ["b", "a-c", ""]
    assert entity_types(["O"]) == []
    with pytest.raises(ValueError, match="tag 'NOUN' is not IOB"):
        entity_types(["O", "NOUN"])


# ---- the metric ----
CASES = {
    "all right": ([[BX, IX, O]], [[BX, IX, O]]),
    "I- after O": ([[O, IX, IX]], [[O, BX, IX]]),
    "type changes inside": ([[BX, IY, IY]], [[BX, IX, IY]]),
    "neighbours": ([[BX, BX, IX]], [[BX, IX, IX]]),
    "half": ([[BX, O]], [[BX, IX]]),
    "wrong type": ([[BX, IX]], [[BY, IY]]),
    "at the border of sentences": ([[O, BX], [IX, O]], [[O, BX], [BX, O]]),
    "nothing predicted": ([[O, O]], [[BX, O]]),
    "nothing to find": ([[BX, O]], [[O, O]]),
    "no entity at all": ([[O], [O]], [[O], [O]]),
    "empty sentence": ([[], [BX]], [[], [BX]]),
    "no sentence": ([], []),
    "type never seen": ([[BX, "B-EVENT"]], [[BX, "B-LAW"]]),
    "schemes": ([["S-X", "B-Y", "E-Y"]], [["S-X", "B-Y", "E-Y"]]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_metric_is_conlleval(case):
    predictions, references = CASES[case]
    assert flat(entity_scores(predictions, references)) == pytest.approx(flat(conlleval(predictions, references)))


@pytest.mark.parametrize("tags", [[O, BX, IX, BY, IY], ALL_TAGS], ids=["BIO", "BIOES"])
def test_the_metric_is_conlleval_on_random_sentences(tags):
    """Most of them illegal in any scheme; many tags agree, so that counts are not all zero."""
    chance = random.Random(0)
    for _ in range(150):
        references = [chance.choices(tags, k=chance.randrange(1, 12)) for _ in range(chance.randrange(1, 6))]
        predictions = [[tag if chance.random() < 0.8 else chance.choice(tags) for tag in row] for row in references]
        scores = entity_scores(predictions, references)
        assert flat(scores) == pytest.approx(flat(conlleval(predictions, references)))


def test_a_known_score():
    scores = entity_scores([[O, O, BX, IX, IX, IX], [BY, IY, O]], [[O, O, O, BX, IX, IX], [BY, IY, O]])
    assert scores == {
        "X": {"precision": 0, "recall": 0, "f1": 0, "number": 1},
        "Y": {"precision": 1, "recall": 1, "f1": 1, "number": 1},
        "overall_precision": 0.5,
        "overall_recall": 0.5,
        "overall_f1": 0.5,
        "overall_accuracy": 7 / 9,
    }
    json.dumps(scores)


def test_different_lengths_are_refused():
    with pytest.raises(ValueError, match="1 predicted sentences for 2"):
        entity_scores([[O]], [[O], [O]])
    with pytest.raises(ValueError, match="sentence 1: 1 predicted tags for 2"):
        entity_scores([[O], [O]], [[O], [O, O]])


def test_evaluate_loads_the_file_without_a_network(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    for name in [name for name in sys.modules if name.split(".")[0] == "evaluate_modules"]:
        monkeypatch.delitem(sys.modules, name)
    loaded = evaluate.load(metric.__file__, cache_dir=str(tmp_path))
    predictions, references = [[BX, IX, O], [O]], [[BX, IX, O], [BY]]
    scores = loaded.compute(predictions=predictions, references=references)
    assert str(tmp_path) in sys.modules[type(loaded).__module__].__file__
    assert scores == entity_scores(predictions, references)
    assert scores["overall_f1"] == pytest.approx(2 / 3)


# ---- for Trainer ----
LABELS = [O, BX, IX, BY, IY]


def padded(rows: list[list[int]], fill: int = -100) -> np.ndarray:
    return np.array([row + [fill] * (4 - len(row)) for row in rows])


def test_logits_and_ids_give_the_same_numbers():
    label_ids = padded([[1, 2, 0], [-100, 3, -100, 4]])  # -100: padding, special tokens, later pieces of a word
    best = padded([[1, 2, 3], [0, 3, 1, 4]], fill=0)
    logits = np.where(np.arange(5) == best[..., None], 1.0, -1.0)
    logits[0, 3] = -100  # what Trainer pads logits with
    expected = {
        **{"precision": 2 / 3, "recall": 1.0, "f1": 0.8, "accuracy": 4 / 5},
        **{"precision_X": 1.0, "recall_X": 1.0, "f1_X": 1.0, "number_X": 1},
        **{"precision_Y": 0.5, "recall_Y": 1.0, "f1_Y": 2 / 3, "number_Y": 1},
    }
    compute = entity_metrics(LABELS)
    assert compute((logits, label_ids)) == pytest.approx(expected)
    assert compute((best, label_ids)) == pytest.approx(expected)
    assert compute(((logits, None), label_ids)) == pytest.approx(expected)
    assert torch.equal(best_labels(torch.tensor(logits))[label_ids != -100], torch.tensor(best[label_ids != -100]))
    assert torch.equal(best_labels((torch.tensor(logits), None)), best_labels(torch.tensor(logits)))


def test_a_type_the_model_lacks_counts_as_missed():
    references = [[BX, IX, O], ["B-LAW"]]
    label_ids = padded([[1, 2, 0], [0]])  # B-LAW has no id
    scores = entity_metrics(LABELS, references)((padded([[1, 2, 0], [0]], 0), label_ids))
    assert scores["recall"] == 0.5
    assert scores["number_LAW"] == 1
    assert entity_metrics(LABELS)((padded([[1, 2, 0], [0]], 0), label_ids))["recall"] == 1.0
    with pytest.raises(ValueError, match="sentence 1: 1 predicted tags for 2"):
        entity_metrics(LABELS, [references[0], [O, O]])((padded([[1, 2, 0], [0]], 0), label_ids))


# ---- labels of words ----
def test_scores_of_words_by_hand():
    told, found = [["DET", "NOUN"], ["NOUN", "VERB"]], [["DET", "VERB"], ["NOUN", "NOUN"]]
    expected = {"token_accuracy": 0.5, "accuracy": 0.5}
    for label, numbers in {"DET": (1.0, 1.0, 1.0, 1), "NOUN": (0.5, 0.5, 0.5, 2), "VERB": (0.0, 0.0, 0.0, 1)}.items():
        expected |= dict(
            zip((f"{name}_{label}" for name in ("precision", "recall", "f1", "number")), numbers, strict=True)
        )
    assert label_scores(found, told) == expected
    assert label_scores([["X"]], [["DET"]])["f1_DET"] == 0.0
    assert label_scores([], []) == {"token_accuracy": 0.0, "accuracy": 0.0}


def test_the_most_frequent_label_of_each_word():
    def sentence(text):
        pairs = [pair.split("/") for pair in text.split()]
        return {"tokens": [word for word, _ in pairs], "tags": [tag for _, tag in pairs]}

    train = [sentence("the/DET run/NOUN"), sentence("they/PRON run/VERB"), sentence("run/VERB Pune/PROPN Goa/PROPN")]
    found = measure_frequent_label({"train": train, "test": [sentence("the/DET run/VERB run/NOUN Agra/PROPN it/PRON")]})
    assert found["splits"].keys() == {"test"}
    assert found["splits"]["test"]["token_accuracy"] == 3 / 5
    assert found["splits"]["test"]["recall_PROPN"] == 1.0  # most words that are there once are of this label
