"""Translations: the metric against sacrebleu's own functions and counts by hand; without a network."""

import json
import runpy
import socket
import sys

import evaluate
import numpy as np
import pytest
import sacrebleu
from transformers import EvalPrediction

from rnn_zoo.tasks.translation import translations as metric
from rnn_zoo.tasks.translation.translations import translation_metrics, translation_scores
from rnn_zoo.tokenizers import build_char_tokenizer

FOUND = ["The house is small.", "He said: “no”", "a b c d e f"]
TRUE = ["The house is very small.", "he said: “no”", "a b c d e f"]
PAD, BOS, EOS = 0, 1, 2


def test_scores_are_those_of_sacrebleu():
    scores = translation_scores(FOUND, TRUE)
    assert scores["bleu"] == sacrebleu.corpus_bleu(FOUND, [TRUE]).score
    assert scores["bleu_lowercased"] == sacrebleu.corpus_bleu(FOUND, [TRUE], lowercase=True).score
    assert scores["chrf"] == sacrebleu.corpus_chrf(FOUND, [TRUE]).score
    assert scores["bleu"] < scores["bleu_lowercased"] < 100
    assert scores["exact_match"] == 1 / 3
    assert scores["bleu_signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert scores["chrf_signature"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
    json.dumps(scores)


def test_bleu_by_hand():
    """Five of five words, four of four pairs and so on are right, but two words are missing: the brevity penalty."""
    scores = translation_scores(["a b c d e"], ["a b c d e f g"])
    assert scores["bleu"] == pytest.approx(100 * np.exp(1 - 7 / 5))


def test_the_same_texts_have_the_highest_scores():
    assert translation_scores(TRUE, TRUE) | {"bleu_signature": "", "chrf_signature": ""} == {
        **{"bleu": 100.0, "bleu_lowercased": 100.0, "chrf": 100.0, "exact_match": 1.0},
        **{"bleu_signature": "", "chrf_signature": ""},
    }


def test_an_empty_translation_is_a_bad_one():
    scores = translation_scores(["", " "], ["a b", "c d"])
    assert [scores[name] for name in ("bleu", "bleu_lowercased", "chrf", "exact_match")] == [0, 0, 0, 0]


def test_several_references_not_always_as_many():
    references = [["a c", " a b c d e \n"], ["q r s t u"]]
    scores = translation_scores(["a b c d e", "q r s t x"], references)
    assert scores["exact_match"] == 0.5
    assert (
        scores["bleu"]
        == sacrebleu.corpus_bleu(["a b c d e", "q r s t x"], [["a c", "q r s t u"], [" a b c d e \n", None]]).score
    )
    assert scores["bleu_signature"].startswith("nrefs:var|")
    assert translation_scores(FOUND, [[text] for text in TRUE]) == translation_scores(FOUND, TRUE)


def test_only_intl_separates_the_danda():
    """A word that differs by its punctuation alone is another word to 13a."""
    found, true = ["वह आज घर जा रहा है।"], ["वह आज घर जा रहा है ।"]
    assert translation_scores(found, true)["bleu"] < 90
    scores = translation_scores(found, true, "intl")
    assert scores["bleu"] == 100
    assert "|tok:intl|" in scores["bleu_signature"]


def test_an_unknown_tokenisation_is_refused():
    with pytest.raises(ValueError, match=r"tokenize='13b': unknown \(choose from 13a, char, .*zh\)"):
        translation_scores(FOUND, TRUE, "13b")


def test_a_tokenisation_without_its_package_is_named(monkeypatch):
    from sacrebleu.tokenizers import tokenizer_ja_mecab

    monkeypatch.setattr(tokenizer_ja_mecab, "MeCab", None)
    with pytest.raises(ImportError, match=r"^tokenize='ja-mecab': .* pip install sacrebleu\[ja\]$"):
        translation_scores(FOUND, TRUE, "ja-mecab")


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([], [], "no predictions"),
        (["a"], ["a", "b"], "1 predictions for 2 references: must be as many"),
        (["a", "b"], ["a", " "], r"sentence 1: its references are \[' '\]"),
        (["a"], [[]], r"sentence 0: its references are \[\]"),
        (["a"], [["b", ""]], "sentence 0: its references"),
        (["a"], [None], "sentence 0: its references"),
        ([None], ["a"], "prediction 0: must be a text, not None"),
        ("abc", ["a", "b", "c"], "predictions: must be a list of texts, not the string 'abc'"),
        (["a", "b", "c"], "abc", "references: must be a list of texts"),
    ],
)
def test_what_cannot_be_scored_is_refused(predictions, references, message):
    with pytest.raises(ValueError, match=message):
        translation_scores(predictions, references)


def test_evaluate_loads_the_file_without_a_network(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    for name in [name for name in sys.modules if name.split(".")[0] == "evaluate_modules"]:
        monkeypatch.delitem(sys.modules, name)
    loaded = evaluate.load(metric.__file__, cache_dir=str(tmp_path))
    assert str(tmp_path) in sys.modules[type(loaded).__module__].__file__
    assert loaded.compute(predictions=FOUND, references=TRUE) == translation_scores(FOUND, TRUE)
    several = [[text, "another"] for text in TRUE]
    scores = loaded.compute(predictions=FOUND, references=several, tokenize="intl")
    assert scores == translation_scores(FOUND, several, "intl")


def test_sacrebleu_is_not_needed_to_import(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    module = runpy.run_path(metric.__file__)
    with pytest.raises(ImportError, match="sacrebleu"):
        module["translation_scores"](FOUND, TRUE)


# ---- for Trainer ----
GERMAN = ["Das Haus.", "Ja", "15. März"]


@pytest.fixture
def tokenizer():
    return build_char_tokenizer([*GERMAN, "Nein"])


def generated(tokenizer, texts, fill=-100) -> np.ndarray:
    """What `generate` gives and Trainer collects: the first id, the text, its end, padding."""
    rows = [[BOS, *tokenizer(text)["input_ids"], EOS, PAD] for text in texts]
    width = max(map(len, rows)) + 1
    return np.array([row + [fill] * (width - len(row)) for row in rows])


@pytest.mark.parametrize("fill", [-100, PAD])
def test_generated_ids_are_scored_against_the_texts(tokenizer, fill):
    texts = ["Das Haus.", "Nein", ""]
    ids = generated(tokenizer, texts, fill)
    compute = translation_metrics(tokenizer, GERMAN, groups=["a", "b", "a"], lengths=True)
    numbers = compute(EvalPrediction(predictions=ids, label_ids=np.zeros_like(ids)))
    expected = translation_scores(texts, GERMAN)
    assert numbers == {name: value for name, value in expected.items() if "signature" not in name} | {
        "exact_match_a": 0.5,
        "exact_match_b": 0.0,
        "generated_length": (9 + 4 + 0) / 3,
    }
    assert compute(((ids, None), None)) == numbers
    assert all(type(value) is float for value in numbers.values())


def test_a_text_the_tokenizer_cannot_say_is_no_match(tokenizer):
    """The labels, decoded, would be 'J' as well."""
    references = ["Jö"]
    ids = generated(tokenizer, references)
    numbers = translation_metrics(tokenizer, references)((ids, ids))
    assert numbers["exact_match"] == 0
    assert set(numbers) == {"bleu", "bleu_lowercased", "chrf", "exact_match"}


def test_wrong_arguments_of_the_trainers_metric_are_named(tokenizer):
    with pytest.raises(ValueError, match="1 groups for 3 references: must be as many"):
        translation_metrics(tokenizer, GERMAN, groups=["a"])
    with pytest.raises(ValueError, match="no predictions"):
        translation_metrics(tokenizer, [])
    compute = translation_metrics(tokenizer, GERMAN)
    with pytest.raises(ValueError, match="2 predictions for 3 references"):
        compute((generated(tokenizer, GERMAN[:2]), None))
    with pytest.raises(ValueError, match=r"predictions of shape \(3, 4, 9\), float64: must be generated ids"):
        compute((np.zeros((3, 4, 9)), None))
