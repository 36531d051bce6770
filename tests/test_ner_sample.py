"""The sample of named entities: legal, cut as raw text is, and large enough in each script, language and type."""

import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

import rnn_zoo
from rnn_zoo.tasks.token_classification.conll import format_conll, read_conll
from rnn_zoo.tasks.token_classification.iob import entities, illegal
from rnn_zoo.tokenizers import build_word_character_tokenizer

PATH = Path(rnn_zoo.__file__).parent / "tasks" / "token_classification" / "samples" / "ner_sample.conll"
TYPES = {"PER", "LOC", "ORG"}
# Sentences that each language has at least, and the share of the whole that it may have.
LEAST = {"en": 160, "hi": 110, "mr": 110, "ne": 110}
SHARES = {"en": (0.25, 0.4), "hi": (0.18, 0.3), "mr": (0.18, 0.3), "ne": (0.18, 0.3)}
DEVANAGARI = re.compile(r"[\u0900-\u0963\u0970-\u097f]")  # letters and signs; the danda and digits are between
LATIN = re.compile(r"[A-Za-z]")


@pytest.fixture(scope="module")
def text() -> str:
    return PATH.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sentences() -> list:
    """What the file is read as; a warning of the reader fails every test."""
    warnings: list[str] = []
    found = read_conll(PATH, warn=warnings.append)
    assert not warnings
    return found


@pytest.fixture(scope="module")
def languages(text, sentences) -> list[str]:
    """The language of each sentence, from the comment before it."""
    found = re.findall(r"^# lang = (\w+)\n(?=[^#\n])", text, re.MULTILINE)
    assert len(found) == len(sentences)
    return found


def test_the_file_is_what_the_writer_writes(text, sentences):
    """Without its comments: so the tags are IOB2 as they stand, and nothing was mended while reading."""
    head, _, rest = text.partition("\n\n")
    assert all(line.startswith("#") and len(line) <= 120 for line in head.split("\n"))
    assert re.sub(r"^#.*\n", "", rest, flags=re.MULTILINE) == format_conll(sentences)
    assert "\r" not in text
    assert unicodedata.is_normalized("NFC", text)  # the tokenizer looks words up so


def test_tags(sentences):
    types = Counter()
    for sentence in sentences:
        assert not illegal(sentence["tags"], "iob2"), sentence
        types.update(type_ for type_, _, _ in entities(sentence["tags"]))
    assert types.keys() == TYPES
    assert min(types.values()) >= 100
    without = sum(not entities(sentence["tags"]) for sentence in sentences)
    assert 0.08 <= without / len(sentences) <= 0.2


def test_every_language_has_every_type(sentences, languages):
    types = Counter(
        (language, type_)
        for language, sentence in zip(languages, sentences, strict=True)
        for type_, _, _ in entities(sentence["tags"])
    )
    assert types.keys() == {(language, type_) for language in LEAST for type_ in TYPES}
    assert min(types.values()) >= 40


def test_no_sentence_stands_twice(sentences):
    """A sentence in training and in what is held out would make the tagger look better than it is."""
    counts = Counter(" ".join(sentence["tokens"]) for sentence in sentences)
    assert [words for words, count in counts.items() if count > 1] == []


def test_tokens_are_what_raw_text_is_cut_into(sentences):
    tokenizer = build_word_character_tokenizer(sentence["tokens"] for sentence in sentences)
    cut = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str
    for sentence in sentences:
        assert [token for token, _ in cut(" ".join(sentence["tokens"]))] == sentence["tokens"]


def test_lengths(sentences):
    lengths = [len(sentence["tokens"]) for sentence in sentences]
    assert min(lengths) >= 4
    assert max(lengths) <= 30
    assert sum(length >= 12 for length in lengths) >= 100


def test_languages_and_scripts(sentences, languages):
    counts = Counter(languages)
    assert counts.keys() == LEAST.keys()
    for language, count in counts.items():
        assert count >= LEAST[language]
        low, high = SHARES[language]
        assert low <= count / len(sentences) <= high
    for language, sentence in zip(languages, sentences, strict=True):
        words = " ".join(sentence["tokens"])
        own, other = (LATIN, DEVANAGARI) if language == "en" else (DEVANAGARI, LATIN)
        assert own.search(words), words
        assert not other.search(words), words


def test_the_head_counts_right(text, sentences, languages):
    counts = {code: int(count) for count, code in re.findall(r"(\d+) \w+ \((\w\w)\)", text.split("\n")[0])}
    assert counts == Counter(languages)
    assert f" {len(sentences)} sentences" in text.split("\n")[0]


def test_languages_are_mixed(languages):
    """A part cut out anywhere holds all of them."""
    for start in range(len(languages) - 11):
        assert set(languages[start : start + 12]) == LEAST.keys()
