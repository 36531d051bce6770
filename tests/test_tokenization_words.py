"""The tokenizer that spells its words: words as given or as cut, characters from the text, padding, files."""

import json
import pickle

import pytest
import torch
from command_line import without_package
from conftest import EOS, PAD, UNK
from datasets.fingerprint import Hasher
from tokenizers import Tokenizer
from transformers import AutoTokenizer, DataCollatorForTokenClassification

from rnn_zoo.models.tokenization_words import WordCharacterTokenizer
from rnn_zoo.tokenizers import (
    TOKENIZER_BUILDERS,
    build_pair_tokenizer,
    build_word_character_tokenizer,
    build_word_tokenizer,
    build_wordpunct_tokenizer,
    with_spelling,
)

SENTENCES = [
    ["EU", "rejects", "German", "call", "in", "1996", "."],
    ["नेपाल", "को", "राजधानी", "काठमाडौं", "।"],
    ["the", "EU", "'s", "<pad>"],
]


@pytest.fixture
def tokenizer():
    return build_word_character_tokenizer(SENTENCES, max_word_length=6)


def spelling(tokenizer, ids):
    """The characters behind a row of character ids; unknown ones as ?."""
    known = dict(enumerate(tokenizer.characters, tokenizer.FIRST))
    return "".join(known.get(int(i), "?") for i in ids if i != tokenizer.PADDING)


def words(tokenizer, text):
    return [text[start:end] for start, end in tokenizer(text, return_offsets_mapping=True)["offset_mapping"]]


@pytest.mark.parametrize("kind", ["pt", "np"])
def test_texts_without_words_keep_the_size_of_a_word(kind):
    tokenizer = build_word_character_tokenizer([["a", "b"]], max_word_length=5)
    assert tuple(tokenizer("", return_tensors=kind)["character_ids"].shape) == (1, 1, 5)
    assert tuple(tokenizer(["", " \n"], return_tensors=kind, padding=True)["character_ids"].shape) == (2, 1, 5)
    rows = tokenizer(["", " \n"])
    assert tuple(tokenizer.pad(rows, return_tensors=kind)["character_ids"].shape) == (2, 1, 5)
    assert tokenizer.pad(rows)["character_ids"] == [[], []]
    assert tokenizer("")["character_ids"] == []


def test_given_words_stay_whole_and_are_spelled(tokenizer):
    given = ["EU", "rejects", "e-mail", "a b", "\u200b", "😀", "<pad>", "<unk>", "<eos>", "<pad>s"]
    encoded = tokenizer(given, is_split_into_words=True)
    assert encoded.word_ids() == list(range(len(given)))
    assert not {PAD, EOS} & set(encoded["input_ids"])  # a word that looks like a special token is only a word
    for word, row in zip(given, encoded["character_ids"], strict=True):
        assert len(row) == 6
        if len(word) <= 6:
            assert spelling(tokenizer, row) == "".join(c if c in tokenizer.characters else "?" for c in word)


def test_a_long_word_keeps_its_beginning_and_its_end(tokenizer):
    (row,) = tokenizer(["callintheacall"], is_split_into_words=True)["character_ids"]
    assert spelling(tokenizer, row) == "cal" + "all"


def test_words_are_looked_up_without_case_and_digits_and_spelled_with_them(tokenizer):
    encoded = tokenizer("eu EU 1996 2007 German", return_tensors="pt")
    ids = encoded["input_ids"][0].tolist()
    assert ids[0] == ids[1] != UNK
    assert ids[2] == ids[3] != UNK
    shown = [spelling(tokenizer, row) for row in encoded["character_ids"][0]]
    assert shown == ["e?", "EU", "1996", "????", "German"]
    cased = build_word_character_tokenizer(SENTENCES, lowercase=False, digits_to_zero=False)
    assert cased("eu 2007")["input_ids"] == [UNK, UNK]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EU rejects the U.S. call's.", ["EU", "rejects", "the", "U.S.", "call", "'s", "."]),
        ("1,000.5 on 1996-08-22, 3/4!!!", ["1,000.5", "on", "1996-08-22", ",", "3/4", "!!!"]),
        ("Franco-German (AT&T) O'Brien", ["Franco-German", "(", "AT&T", ")", "O'Brien"]),
        ("didn't CAN\u2019T don'ts", ["did", "n't", "CA", "N\u2019T", "don", "'ts"]),
        ("https://x.org/a?b=1. a@b.com @me #tag", ["https://x.org/a?b=1", ".", "a@b.com", "@me", "#tag"]),
        ("नेपालको राजधानी काठमाडौं हो। १२,३४५", ["नेपालको", "राजधानी", "काठमाडौं", "हो", "।", "१२,३४५"]),
        ("x\u200by \x00 e\u0301t\u00e9 😀", ["x", "y", "e\u0301t\u00e9", "😀"]),
        ("", []),
        (" \n\t ", []),
        ("<pad>", ["<", "pad", ">"]),
    ],
)
def test_raw_text_is_cut_into_words_at_the_right_places(tokenizer, text, expected):
    assert words(tokenizer, text) == expected


def test_a_batch_is_its_rows_padded(tokenizer):
    texts = ["EU rejects", "call", ""]
    for side in ("right", "left"):
        batch = tokenizer(texts, padding=True, padding_side=side, return_tensors="pt")
        assert batch["character_ids"].shape == (3, 2, 6)
        for n, text in enumerate(texts):
            alone, real = tokenizer(text), batch["attention_mask"][n].bool()
            assert batch["input_ids"][n, real].tolist() == alone["input_ids"]
            assert batch["character_ids"][n, real].tolist() == alone["character_ids"]
            assert batch["character_ids"][n, ~real].eq(0).all()


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_stock_collator_pads_spelling_and_labels(tokenizer, side):
    tokenizer.padding_side = side
    rows = [tokenizer(s, is_split_into_words=True) | {"labels": [1] * len(s)} for s in SENTENCES]
    batch = DataCollatorForTokenClassification(tokenizer)([dict(row) for row in rows])
    assert batch["character_ids"].shape == (3, 7, 6)
    for n, row in enumerate(rows):
        real = batch["attention_mask"][n].bool()
        assert batch["character_ids"][n, real].tolist() == row["character_ids"]
        assert batch["labels"][n, ~real].eq(-100).all()


def test_overflowing_pieces_are_spelled_as_well(tokenizer):
    encoded = tokenizer("EU rejects German call", max_length=2, truncation=True, return_overflowing_tokens=True)
    shown = [[spelling(tokenizer, row) for row in piece] for piece in encoded["character_ids"]]
    assert shown == [["EU", "rejcts"], ["German", "call"]]


def test_files_bring_the_same_tokenizer_back(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["tokenizer_class"] == "WordCharacterTokenizer"
    back = AutoTokenizer.from_pretrained(tmp_path)
    assert type(back) is WordCharacterTokenizer
    assert back.character_vocab_size == tokenizer.character_vocab_size == 2 + len(set("".join(map("".join, SENTENCES))))
    for sentence in SENTENCES:
        for options in ({"is_split_into_words": True}, {}):
            text = sentence if options else " ".join(sentence)
            assert dict(back(text, **options)) == dict(tokenizer(text, **options))


def test_the_vocabulary_depends_on_the_sentences_alone():
    one, other = build_word_character_tokenizer(SENTENCES), build_word_character_tokenizer(SENTENCES[::-1])
    assert one.get_vocab() == other.get_vocab()
    assert one.characters == other.characters
    assert isinstance(one.backend_tokenizer, Tokenizer)
    small = build_word_character_tokenizer(SENTENCES, max_vocab_size=6)
    assert len(small) == 6
    assert small("EU")["input_ids"] != [UNK]  # the most frequent word


@pytest.mark.parametrize(
    ("options", "words_of_message"),
    [
        ({"sentences": []}, "no word"),
        ({"sentences": ["EU"]}, "must be a list of texts"),
        ({"min_frequency": 9}, "min_frequency=9"),
        ({"max_word_length": 0}, "max_word_length=0"),
        ({"max_vocab_size": 4}, "max_vocab_size=4"),
    ],
)
def test_mistakes(options, words_of_message):
    with pytest.raises(ValueError, match=words_of_message):
        build_word_character_tokenizer(**{"sentences": SENTENCES} | options)


PAIRS = [("EU rejects", "the call ."), ("x y", ""), ("call", "e\u0301")]


@pytest.mark.parametrize("split", [False, True])
def test_the_words_of_two_texts_follow_each_other(tokenizer, split):
    pairs = [tuple(text.split() for text in pair) for pair in PAIRS] if split else PAIRS
    options = {"is_split_into_words": split}
    expected = [[tokenizer(text, **options) for text in pair] for pair in pairs]
    for found in (tokenizer(pairs, **options), tokenizer(*map(list, zip(*pairs, strict=True)), **options)):
        for key in found:
            assert found[key] == [one[key] + other[key] for one, other in expected]
    assert dict(tokenizer(*pairs[0], **options)) == {key: rows[0] for key, rows in found.items()}
    padded = tokenizer([list(pair) for pair in pairs], padding=True, return_tensors="pt", **options)
    assert padded["character_ids"].shape == (3, 5, 6)


def test_a_final_sign_that_nfc_composes_belongs_to_its_word():
    given = ["Rene\u0301", "\u0939\u0930\u094d\u0937\u0935\u0930\u093c", "\u0130stanbul", "So\u0323\u0302"]
    tokenizer = build_word_character_tokenizer([given])
    text = "(" + "), (".join(given) + ")"
    encoded = tokenizer(text, return_offsets_mapping=True)
    shown = [text[start:end] for start, end in encoded["offset_mapping"]]
    at = [n for n, word in enumerate(shown) if word not in "(),"]
    assert [shown[n] for n in at] == given
    assert [spelling(tokenizer, encoded["character_ids"][n]) for n in at] == given
    alone = tokenizer(given, is_split_into_words=True, return_offsets_mapping=True)
    assert alone["offset_mapping"] == [(0, len(word)) for word in given]
    assert [spelling(tokenizer, ids) for ids in alone["character_ids"]] == given
    assert UNK not in alone["input_ids"]
    assert encoded.char_to_token(len(given[0])) == 1  # the sign


ADDED = [["zorro", "EU"], ["Zorro"], ["zorroland"], ["New", "New York", "call"], ["e\u0301lan"], ["<tag>", "the"]]


@pytest.mark.parametrize("used", [False, True])
def test_added_words_have_their_ids_however_a_text_is_given(tokenizer, tmp_path, used):
    """Before any use and after; as whole words alone, in any case where the tokenizer folds it."""
    if used:
        tokenizer(["EU"], is_split_into_words=True)
        tokenizer("EU")
    assert tokenizer.add_tokens(["zorro", "New York", "\u00e9lan"]) == 3
    tokenizer.add_special_tokens({"additional_special_tokens": ["<tag>"]})
    zorro, york, elan, tag = range(len(tokenizer) - 4, len(tokenizer))
    tokenizer.save_pretrained(tmp_path)
    for found in (tokenizer, AutoTokenizer.from_pretrained(tmp_path), pickle.loads(pickle.dumps(tokenizer))):
        ids = [found(words, is_split_into_words=True)["input_ids"] for words in ADDED]
        assert [row[0] for row in ids] == [zorro, zorro, UNK, UNK, elan, UNK]
        assert ids[3][1] == york
        assert tag not in ids[5]  # special: in a text it is a word
        assert [found(" ".join(words))["input_ids"] for words in ADDED[:3]] == ids[:3]
        assert found("e\u0301lan")["input_ids"] == [elan]
        assert found([["New York"]], is_split_into_words=True).tokens() == ["New York"]


def test_use_leaves_no_trace(tokenizer):
    """The fingerprint, by which `datasets` finds what it has computed, is that of a tokenizer without use."""
    pairs = build_pair_tokenizer(["a b"], ["c"])
    for unused in (tokenizer, build_word_tokenizer(["a b"]), pairs):
        before = Hasher.hash(unused)
        for options in ({}, {"padding": True, "truncation": True, "max_length": 2, "return_tensors": "pt"}):
            unused(["EU rejects", "e\u0301 call"], **options)
        unused(["EU", "rejects"], is_split_into_words=True)
        if unused is pairs:
            unused(["a", "a b"], text_target=["c", "c c"], padding=True)
        assert Hasher.hash(unused) == before


def test_an_end_token_is_no_word_of_a_tagged_text(tokenizer):
    row = tokenizer("EU rejects<eos>", return_special_tokens_mask=True)
    assert row["input_ids"][2:] == [EOS]
    assert row["special_tokens_mask"] == [0, 0, 1]


IN_PROCESSES = """
from datasets import Dataset
from datasets.fingerprint import Hasher
from transformers import AutoTokenizer
import json


def read(tokenizer):
    rows = Dataset.from_dict({"words": [["EU", "calls"]] * 20})
    return rows.map(lambda row: tokenizer(row["words"], is_split_into_words=True), num_proc=2)


tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=True)
assert type(tokenizer).__module__.startswith("transformers_modules."), type(tokenizer)
before = Hasher.hash(tokenizer)
tokenizer("EU e\\u0301")
rows = read(tokenizer)
assert Hasher.hash(tokenizer) == before
print("FOUND", json.dumps([rows["input_ids"][19], rows["character_ids"][19]]))
"""


@pytest.mark.ci
def test_code_of_a_checkpoint_goes_to_other_processes(tokenizer, tmp_path):
    """Pickled by value: it must hold no lock."""
    WordCharacterTokenizer.register_for_auto_class("AutoTokenizer")
    tokenizer.save_pretrained(tmp_path / "own")
    expected = tokenizer(["EU", "calls"], is_split_into_words=True)
    found = without_package(tmp_path, IN_PROCESSES, tmp_path / "own")
    assert found == [expected["input_ids"], expected["character_ids"]]


def test_no_tensor_is_of_another_type(tokenizer):
    encoded = tokenizer(["EU rejects", ""], padding=True, return_tensors="pt")
    assert all(t.dtype == torch.long for t in encoded.values())


# ---- other tokenizers of words that spell ----
TEXTS = ["The CAFE\u0301, don't!\nक\u094dया है? 👍🏽", "", "so <b>fine</b> &amp; <eos> x\x00y", "unheard-of"]
WORDS = {
    "word": lambda: build_word_tokenizer(TEXTS[:3]),
    "wordpunct": lambda: build_wordpunct_tokenizer(TEXTS[:3], fold_case=True),
    "markup": lambda: build_wordpunct_tokenizer(TEXTS[:3], clean_markup=True),
}


@pytest.mark.parametrize("kind", WORDS)
def test_a_tokenizer_of_words_spells_them_as_they_stand_in_the_text(kind, tmp_path):
    plain = WORDS[kind]()
    before = plain.backend_tokenizer.to_str()
    spelt = with_spelling(plain, TEXTS[:3], max_word_length=7)
    assert spelt.characters == "".join(sorted(set("".join(TEXTS[:3])) - {" ", "\n"}))
    spelt.save_pretrained(tmp_path)
    for tokenizer in (spelt, AutoTokenizer.from_pretrained(tmp_path)):
        for text in TEXTS:
            encoded = tokenizer(text, return_offsets_mapping=True)
            assert encoded["input_ids"] == plain(text)["input_ids"]
            shown = [text[start:end] for start, end in encoded["offset_mapping"]]
            cut = [word if len(word) <= 7 else word[:4] + word[-3:] for word in shown]
            known = set(tokenizer.characters)
            expected = ["".join(c if c in known else "?" for c in word) for word in cut]
            assert [spelling(tokenizer, ids) for ids in encoded["character_ids"]] == expected
    assert plain.backend_tokenizer.to_str() == before


def test_pieces_and_characters_have_no_spelling():
    for kind in ("char", "bpe", "unigram"):
        tokenizer = TOKENIZER_BUILDERS[kind](["a b c. " * 20])
        with pytest.raises(ValueError, match="its tokens are no words"):
            with_spelling(tokenizer, TEXTS)
    with pytest.raises(ValueError, match="max_word_length=0"):
        with_spelling(WORDS["word"](), TEXTS, max_word_length=0)
    with pytest.raises(ValueError, match="must be a list of texts"):
        with_spelling(WORDS["word"](), "a text")
