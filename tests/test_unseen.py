"""What of given texts a model has never seen: by the kind of its tokenizer, and in one note."""

from types import SimpleNamespace

import pytest

from rnn_zoo.tokenizers import (
    build_bpe_tokenizer,
    build_char_tokenizer,
    build_unigram_tokenizer,
    build_word_character_tokenizer,
    build_word_tokenizer,
    build_wordpunct_tokenizer,
    with_spelling,
)
from rnn_zoo.unseen import NAMED, Unseen

TRAINED_ON = ["Sita lives in Nepal", "नेपाल é"]


def model(reads_spelling: bool = False):
    return SimpleNamespace(base_model=SimpleNamespace(characters=object() if reads_spelling else None))


def note(tokenizer, *texts: str, reads_spelling: bool = False) -> str | None:
    unseen = Unseen(model(reads_spelling), tokenizer)
    for text in texts:
        unseen.look_at([text])
    assert Unseen(model(), tokenizer).note() is None  # of no text
    return unseen.note()


BYTES = [
    build_bpe_tokenizer(TRAINED_ON * 9, vocab_size=400, unicode_normalization="NFC"),
    build_unigram_tokenizer(TRAINED_ON * 9, vocab_size=400, unicode_normalization="NFC"),
]


@pytest.mark.parametrize(
    ("tokenizer", "texts", "expected"),
    [
        (build_char_tokenizer(TRAINED_ON), ["Sita", "☃ x", "", "x☃"], "never saw '☃', 'x': read as <unk>"),
        (build_char_tokenizer(TRAINED_ON), ["Sita", "e\u0301 il"], None),
        (build_word_tokenizer(TRAINED_ON), ["Gita lives <unk> in", "Q"], "never saw 'Gita', 'Q': read as <unk>"),
        (build_wordpunct_tokenizer(TRAINED_ON, fold_case=True), ["SITA, ☃"], "never saw ',', '☃': read as <unk>"),
        *(
            (tokenizer, ["Gita e\u0301 ~ल", "日l日"], "has no piece with '日': read as single bytes")
            for tokenizer in BYTES
        ),
        *((tokenizer, ["Gita\t\x00 नल"], None) for tokenizer in BYTES),
    ],
)
def test_what_was_never_seen(tokenizer, texts, expected):
    assert note(tokenizer, *texts) == (expected and f"the model {expected}")


def test_a_new_word_of_known_characters_is_no_surprise():
    """Where the model reads the characters."""
    tagger = build_word_character_tokenizer([text.split() for text in TRAINED_ON])
    for tokenizer in (tagger, with_spelling(build_wordpunct_tokenizer(TRAINED_ON), TRAINED_ON)):
        assert note(tokenizer, "Sita Neta", reads_spelling=True) is None
        assert note(tokenizer, "Sita Neta") == "the model never saw 'Neta': read as <unk>"
        found = note(tokenizer, "Sita Neta 日本 ite日", reads_spelling=True)
        assert found == "the model never saw '日', '本': read as unknown characters"


def test_given_words_are_looked_at_as_they_stand():
    sentences = [["Sita", "in New York", "日"], [], ["Nepal"]]
    tagger = build_word_character_tokenizer([text.split() for text in TRAINED_ON])
    for tokenizer, reads, expected in (
        (tagger, False, "'in New York', '日'"),
        (tagger, True, "'w', 'Y', 'o', 'r', 'k', '日'"),
        (BYTES[0], False, "'日'"),
    ):
        unseen = Unseen(model(reads), tokenizer)
        unseen.look_at_words(sentences)
        unseen.look_at_words([])
        assert f" {expected}: read as " in unseen.note()


def test_a_note_is_short():
    found = note(build_word_tokenizer(TRAINED_ON), " ".join(f"x{n}" for n in range(2000)), "y" * 999)
    assert found.startswith("the model never saw 'x0', 'x1', ")
    assert found.endswith(f"'x{NAMED - 1}' and {2001 - NAMED:,} more: read as <unk>")
    assert len(note(build_word_tokenizer(TRAINED_ON), "y" * 999)) < 100


def test_the_share_of_a_text_that_was_never_seen():
    """A classifier of English is not asked in Nepali, whatever its tokenizer."""
    words = build_wordpunct_tokenizer(TRAINED_ON[:1])
    tokenizers = [words, with_spelling(words, TRAINED_ON[:1]), build_bpe_tokenizer(TRAINED_ON[:1] * 9, vocab_size=300)]
    for tokenizer in tokenizers:
        unseen = Unseen(model(reads_spelling=hasattr(tokenizer, "spell")), tokenizer)
        assert (unseen.share(TRAINED_ON[:1]), unseen.share(["नेपाल सीता"]), unseen.share([])) == (0, 1, 0)
