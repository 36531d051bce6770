"""The bag of words beside classifiers: its words, what it learns, and that it is scikit-learn's own pipeline."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from rnn_zoo.errors import UserError
from rnn_zoo.tasks.sequence_classification.tfidf import KINDS, features_of, load_sklearn, train_tfidf

MULTI, REGRESSION = "multi_label_classification", "regression"
GOOD = ["a fine film", "fine, really fine!", "I loved the fine songs", "सुंदर कथा", "loved it"]
BAD = ["a dull film", "dull and long!", "I hated the dull songs", "कंटाळवाणी कथा", "hated it"]
TRAIN = [{"text": text, "label": "good"} for text in GOOD] + [{"text": text, "label": "bad"} for text in BAD]
TEST = [
    {"text": "fine songs", "label": "good"},
    {"text": "a dull story", "label": "bad"},
    {"text": "", "label": "bad"},
    {"text": "loved the film", "label": "good"},
]

every_kind = pytest.mark.parametrize("kind", KINDS)


def splits(train=TRAIN, **others):
    return {"train": train, **others}


@every_kind
def test_it_is_the_pipeline_that_its_name_says(kind):
    found = train_tfidf(splits(test=TEST), ["bad", "good"], baseline=kind)
    options = {"analyzer": "char", "ngram_range": (2, 5)} if kind == "tfidf_characters" else {"ngram_range": (1, 2)}
    if kind == "tfidf":
        options["token_pattern"] = r"[^\W_]+(?:[\u0900-\u0903\u093a-\u094d]+[^\W_]*)*|[^\w\s]"  # enough for these texts
    plain = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, **options), LogisticRegression(C=10, max_iter=1000, random_state=0)
    )
    plain.fit([row["text"] for row in TRAIN], [row["label"] for row in TRAIN])
    said = plain.predict([row["text"] for row in TEST])
    accuracy = np.mean([one == row["label"] for one, row in zip(said, TEST, strict=True)])
    assert found["splits"]["test"]["accuracy"] == pytest.approx(accuracy)
    assert set(found["splits"]) == set(found["texts_per_second"]) == {"test"}
    assert "C 10" in found["name"]
    assert ("characters" in found["name"]) == (kind == "tfidf_characters")
    again = train_tfidf(splits(test=TEST), ["bad", "good"], baseline=kind)
    assert again["splits"] == found["splits"]


def test_words_are_whole_in_devanagari_and_signs_count():
    words = features_of("tfidf")
    words.fit(["क्रिकेटपटूंनी जिंकला! FINE"])
    assert set(words.vocabulary_) >= {"क्रिकेटपटूंनी", "जिंकला", "!", "fine", "जिंकला !"}
    assert len(words.vocabulary_) == 4 + 3


def test_markup_is_no_word():
    texts = ["a <br /> b &amp; c"]
    assert "br" in features_of("tfidf").fit(texts).vocabulary_
    assert set(features_of("tfidf", clean_markup=True).fit(texts).vocabulary_) >= {"a", "b", "&", "c"}
    assert "br" not in features_of("tfidf", clean_markup=True).fit(texts).vocabulary_


def test_several_labels_are_problems_of_their_own():
    rows = [{"text": row["text"], "label": [row["label"]]} for row in TRAIN]
    rows.append({"text": "fine and dull", "label": ["good", "bad"]})
    found = train_tfidf(splits(rows, validation=rows), problem_type=MULTI)["splits"]["validation"]
    assert set(found) == {"accuracy", "micro_f1", "macro_f1"}
    assert found["micro_f1"] > 0.9


@pytest.mark.parametrize(
    ("train", "options", "message"),
    [
        ([], {}, "the train part holds no text"),
        (TRAIN[:5], {}, "all texts of the train part have one label"),
        ([{"text": "", "label": "a"}, {"text": " ", "label": "b"}], {}, "holds nothing to learn from"),
        (TRAIN, {"baseline": "bow"}, "baseline='bow': unknown"),
        (TRAIN, {"problem_type": REGRESSION}, "has nothing for problem_type=regression"),
    ],
)
def test_what_cannot_be_learnt_is_one_sentence(train, options, message):
    with pytest.raises(UserError, match=message):
        train_tfidf(splits(train), **options)


def test_a_missing_package_is_one_sentence(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UserError, match=r"the package scikit-learn is missing.*--baseline none"):
        load_sklearn()
