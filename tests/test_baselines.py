"""Baselines that a run trains beside our model: the features of the CRF, what it learns, what it reports and leaves."""

import copy
import json
import random
import sys
import tempfile
import unicodedata

import numpy as np
import pytest

from rnn_zoo.errors import UserError
from rnn_zoo.tasks.token_classification import crfsuite
from rnn_zoo.tasks.token_classification.crfsuite import load_crfsuite, train_crfsuite, word_features, word_shape
from rnn_zoo.tasks.token_classification.entities import entity_metrics

TOKENS = ["EU", "rejects", "German", "call", "1996"]
SENTENCES = [
    {"tokens": ["EU", "rejects", "German", "call", "."], "tags": ["B-ORG", "O", "B-MISC", "O", "O"]},
    {"tokens": ["Peter", "Blackburn"], "tags": ["B-PER", "I-PER"]},
    {"tokens": ["नेपाल", "राष्ट्र", "बैंक", "काठमाडौं"], "tags": ["B-ORG", "I-ORG", "I-ORG", "B-LOC"]},
    {"tokens": ["it", "rained", "in", "1996"], "tags": ["O", "O", "O", "O"]},
]
WORDS = ["EU", "Peter", "in", "a:b", "\\", "", "\x00", "1996", "नेपाल", "é", "e\u0301", "😀", "iPhone", "."]


@pytest.fixture
def trainable():
    pytest.importorskip("pycrfsuite", reason="training needs python-crfsuite, which rnn-zoo does not depend on")


def named(row: list[str], name: str) -> list[str]:
    return [feature.removeprefix(f"{name}=") for feature in row if feature.startswith(f"{name}=")]


def splits_of(train, **others) -> dict:
    return {"train": train, **others}


# ---- features ----
@pytest.mark.parametrize(
    ("word", "shape"),
    [
        ("", ""),
        ("Peter", "Xx"),
        ("EU", "X"),
        ("McCain-12", "XxXx-d"),
        ("1,000.5", "d,d.d"),
        ("--...", "-."),
        ("ǅ", "X"),
        ("नमस्ते", "c"),
        ("क्\u200dष", "c"),  # a joiner
        ("१४-तास", "d-c"),
        ("東京B", "cX"),
        ("x²", "xd"),
        ("\u0301", ""),
    ],
)
def test_shape(word, shape):
    assert word_shape(word) == shape


@pytest.mark.parametrize("word", ["Élan", "naïve", "क़लम", "Å"])
def test_shape_does_not_depend_on_how_a_letter_is_composed(word):
    forms = [unicodedata.normalize(form, word) for form in ("NFC", "NFD")]
    assert word_shape(forms[0]) == word_shape(forms[1])


def test_all_features_of_a_word():
    assert sorted(word_features(TOKENS)[2]) == sorted(
        [
            "bias",
            *("w[-2]=eu", "w[-1]=rejects", "w[0]=german", "w[1]=call", "w[2]=1996"),
            *("shape[-1]=x", "shape[0]=Xx", "shape[1]=x"),
            *("prefix=g", "prefix=ge", "prefix=ger", "prefix=germ"),
            *("suffix=n", "suffix=an", "suffix=man", "suffix=rman"),
            "title",
        ]
    )


def test_the_window_ends_at_the_borders():
    rows = word_features(TOKENS)
    for t, row in enumerate(rows):
        words = {f"w[{n - t}]={TOKENS[n].lower()}" for n in range(5) if abs(n - t) <= 2}
        shapes = {f"shape[{n - t}]={word_shape(TOKENS[n])}" for n in range(5) if abs(n - t) <= 1}
        assert {feature for feature in row if feature.startswith("w[")} == words
        assert {feature for feature in row if feature.startswith("shape[")} == shapes
        assert ("bos" in row, "eos" in row) == (t == 0, t == 4)
    assert {"bos", "eos"} <= set(word_features(["alone"])[0])
    assert word_features([]) == []


@pytest.mark.parametrize(
    ("word", "prefixes", "suffixes"),
    [
        ("", [], []),
        ("A", ["a"], ["a"]),
        ("to", ["t", "to"], ["o", "to"]),
        ("ring", ["r", "ri", "rin", "ring"], ["g", "ng", "ing", "ring"]),
        ("rings", ["r", "ri", "rin", "ring"], ["s", "gs", "ngs", "ings"]),
        ("में", ["म", "मे", "में"], ["ं", "ें", "में"]),
    ],
)
def test_affixes(word, prefixes, suffixes):
    row = word_features([word])[0]
    assert named(row, "prefix") == prefixes
    assert named(row, "suffix") == suffixes


@pytest.mark.parametrize(
    ("word", "expected"),
    [("Peter", {"title"}), ("EU", {"upper"}), ("१९९६", {"digit"}), ("A", {"title", "upper"}), ("iPhone", set())],
)
def test_tests_of_a_word(word, expected):
    assert {"title", "upper", "digit"} & set(word_features([word])[0]) == expected


def test_no_feature_stands_twice():
    for row in word_features([*TOKENS, "aaaa", "a", "a"]):
        assert len(row) == len(set(row))


def test_features_depend_on_the_sentence_alone():
    chance = random.Random(0)
    sentences = [chance.choices(WORDS, k=chance.randrange(1, 9)) for _ in range(60)]
    alone = [word_features(tokens) for tokens in sentences]
    expected = copy.deepcopy(alone)
    for row in alone[0]:
        row.clear()  # what a caller does to its lists reaches no other sentence
    for n in chance.sample(range(60), 60):
        assert word_features(sentences[n]) == expected[n]


def test_a_word_reaches_two_places_to_each_side_and_no_further():
    for changed in range(7):
        tokens = [f"word{t}" for t in range(7)]
        before = word_features(tokens)
        tokens[changed] = "Ü-1"
        after = word_features(tokens)
        assert [t for t in range(7) if before[t] != after[t]] == [t for t in range(7) if abs(t - changed) <= 2]


# ---- training ----
@pytest.mark.usefixtures("trainable")
def test_it_learns_a_few_sentences_by_heart():
    heard = []
    result = train_crfsuite(
        splits_of(SENTENCES, validation=SENTENCES, test=SENTENCES[:2]), lambda *args: heard.append(args)
    )
    assert list(result) == ["name", "train_seconds", "splits", "sentences_per_second"]
    assert result["name"].startswith("python-crfsuite ")
    assert result["train_seconds"] > 0
    assert list(result["splits"]) == list(result["sentences_per_second"]) == ["validation", "test"]
    for scores in result["splits"].values():
        assert scores["precision"] == scores["recall"] == scores["f1"] == scores["accuracy"] == 1.0
    assert result["splits"]["validation"]["f1_LOC"] == result["splits"]["validation"]["number_LOC"] == 1
    assert "f1_LOC" not in result["splits"]["test"]
    assert all(speed > 0 for speed in result["sentences_per_second"].values())
    assert heard == [(n, crfsuite.PARAMETERS["max_iterations"]) for n in range(1, len(heard) + 1)]
    assert heard
    json.dumps(result)


@pytest.mark.usefixtures("trainable")
def test_scores_have_the_names_and_values_of_our_own_model():
    """On a sentence with an entity it finds, one whose type it cannot know, and one it takes for no entity."""
    mixed = [{"tokens": ["EU", "Peter", "Blackburn", "."], "tags": ["B-ORG", "B-LAW", "I-LAW", "B-MISC"]}]
    scores = train_crfsuite(splits_of(SENTENCES, validation=mixed))["splits"]["validation"]
    labels = sorted({tag for sentence in [*SENTENCES, *mixed] for tag in sentence["tags"]})
    tags = [labels.index(tag) for tag in ("B-ORG", "B-PER", "I-PER", "O")]
    true = [labels.index(tag) for tag in mixed[0]["tags"]]
    assert scores == pytest.approx(entity_metrics(labels)((np.array([tags]), np.array([true]))))
    assert scores["number_LAW"] == 1
    assert scores["recall"] == pytest.approx(1 / 3)


@pytest.mark.usefixtures("trainable")
def test_training_again_gives_the_same_scores():
    splits = splits_of(SENTENCES[:3], validation=SENTENCES)
    kept = copy.deepcopy(splits)
    results = [train_crfsuite(splits)["splits"] for _ in range(2)]
    assert results[0] == results[1]
    assert splits == kept


@pytest.mark.usefixtures("trainable")
def test_nothing_is_printed_and_no_file_is_left(tmp_path, monkeypatch, capfd):
    folder = tmp_path / "é नेपाल"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    during = []
    train_crfsuite(splits_of(SENTENCES, validation=SENTENCES), lambda *_: during.append(len(list(folder.iterdir()))))
    assert set(during) == {1}
    assert not list(folder.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("trainable")
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_progress_raises_ends_the_training_and_leaves_no_file(tmp_path, monkeypatch, error):
    def stop(done, most):
        if done == 2:
            raise error("enough")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(error, match="enough"):
        train_crfsuite(splits_of(SENTENCES), stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("trainable")
@pytest.mark.parametrize("train", [None, [], [{"tokens": [], "tags": []}]], ids=["missing", "empty", "without words"])
def test_no_training_data_is_said_so(train):
    splits = {"validation": SENTENCES} if train is None else splits_of(train, validation=SENTENCES)
    with pytest.raises(UserError, match="the train part holds no sentence"):
        train_crfsuite(splits)


@pytest.mark.usefixtures("trainable")
def test_as_many_tags_as_tokens():
    with pytest.raises(ValueError, match="train, sentence 1: 1 tags for 2 tokens"):
        train_crfsuite(splits_of([SENTENCES[0], {"tokens": ["a", "b"], "tags": ["O"]}]))


@pytest.mark.usefixtures("trainable")
def test_odd_data():
    """Sentences without words, a split without sentences, a single label, words that are signs of some format."""
    empty = {"tokens": [], "tags": []}
    odd = {"tokens": WORDS, "tags": ["O"] * len(WORDS)}
    result = train_crfsuite(splits_of([odd, empty], validation=[empty, odd, *SENTENCES], test=[], more=[empty]))
    scores = result["splits"]["validation"]
    assert (scores["recall"], scores["number_PER"]) == (0.0, 1)
    assert scores["accuracy"] == pytest.approx(1 - 8 / (len(WORDS) + 15))
    assert result["splits"]["test"]["f1"] == result["sentences_per_second"]["test"] == 0.0
    assert result["splits"]["more"]["f1"] == 0.0


@pytest.mark.usefixtures("trainable")
def test_labels_come_back_as_they_were():
    types = ["creative-work", "व्यक्ति", "a:b", "x y"]
    sentences = [{"tokens": [f"word{n}", "और"], "tags": [f"B-{type_}", "O"]} for n, type_ in enumerate(types)]
    scores = train_crfsuite(splits_of(sentences, validation=sentences))["splits"]["validation"]
    assert {type_: scores[f"f1_{type_}"] for type_ in types} == dict.fromkeys(types, 1.0)
    nameless = [{"tokens": ["Peter", "Blackburn"], "tags": ["B", "I"]}]
    assert train_crfsuite(splits_of(nameless, validation=nameless))["splits"]["validation"]["f1"] == 1.0


# ---- without the package ----
def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycrfsuite", None)
    for call in (load_crfsuite, lambda: train_crfsuite(splits_of(SENTENCES, validation=SENTENCES))):
        with pytest.raises(UserError) as caught:
            call()
        message = str(caught.value)
        assert "\n" not in message
        assert all(
            part in message for part in ("python-crfsuite", "pip install 'rnn-zoo[baselines]'", "--baseline none")
        )


def test_the_features_need_no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycrfsuite", None)
    assert "pycrfsuite" not in vars(crfsuite)
    assert len(word_features(TOKENS)) == 5
