"""What is held out of train: equal rows in one part, the share asked for, small data; alike for every reader."""

import random
from itertools import combinations

import pytest

from rnn_zoo.data.held_out import hold_out, same_text
from rnn_zoo.data.keys import DataArguments
from rnn_zoo.errors import UserError
from rnn_zoo.tasks.causal_lm import data as causal_lm
from rnn_zoo.tasks.causal_lm.keys import LanguageModelArguments
from rnn_zoo.tasks.sequence_classification import data as sequence_classification
from rnn_zoo.tasks.sequence_classification.keys import ClassificationArguments
from rnn_zoo.tasks.token_classification import data as token_classification
from rnn_zoo.tasks.token_classification.conll import format_conll
from rnn_zoo.tasks.token_classification.keys import TaggingArguments
from rnn_zoo.tasks.translation import data as translation
from rnn_zoo.tasks.translation.keys import TranslationArguments

BOTH = {"validation": 0.2, "test": 0.1}


def lines(folder, texts, warn, **shares):
    (folder / "train.txt").write_text("".join(f"{text}\n" for text in texts))
    args = LanguageModelArguments(examples="lines")
    parts = causal_lm.load_texts(DataArguments(data_dir=str(folder), **shares), args, warn=warn)
    return {name: part.splitlines() for name, part in parts.items()}


def sentences(folder, texts, warn, **shares):
    """Each equal sentence with other tags."""
    tags = [["O"], ["B-X"]]
    rows = [{"tokens": [text], "tags": tags[n % 2]} for n, text in enumerate(texts)]
    (folder / "train.txt").write_text(format_conll(rows))
    args = TaggingArguments()
    data = token_classification.load_tagged(DataArguments(data_dir=str(folder), **shares), args, warn)
    return {name: [s["tokens"][0] for s in part] for name, part in data.splits.items()}


def labelled(folder, texts, warn, **shares):
    """Each equal text with another label."""
    (folder / "train.tsv").write_text("".join(f"{'ab'[n % 2]}\t{text}\n" for n, text in enumerate(texts)))
    args = ClassificationArguments()
    data = sequence_classification.load_labelled(DataArguments(data_dir=str(folder), **shares), args, warn)
    return {name: [row["text"] for row in part] for name, part in data.splits.items()}


def pairs(folder, texts, warn, **shares):
    """Each equal source with another target."""
    (folder / "train.en").write_text("".join(f"{text}\n" for text in texts))
    (folder / "train.de").write_text("".join(f"target {n}\n" for n in range(len(texts))))
    args = TranslationArguments(source_lang="en", target_lang="de")
    splits = translation.load_pairs(DataArguments(data_dir=str(folder), **shares), args, warn)
    return {name: [pair.source for pair in part] for name, part in splits.items()}


READERS = pytest.mark.parametrize("read", [lines, sentences, labelled, pairs])


@READERS
def test_equal_rows_are_in_one_part(tmp_path, read):
    """Those that differ in what no reader sees, too: a combining sign, blanks."""
    texts = [f"w{n % 70}" for n in range(201)] + ["re\u0301sume\u0301", "r\u00e9sum\u00e9"] * 4
    random.Random(1).shuffle(texts)
    said: list[str] = []
    found = read(tmp_path, texts, said.append, validation_fraction=0.2, test_fraction=0.1)
    parts = [[same_text(text) for text in found[name]] for name in ("train", "validation", "test")]
    assert [len(set(part)) for part in parts] == [50, 14, 7]
    assert not any(set(one) & set(other) for one, other in combinations(parts, 2))
    assert sorted(text for part in found.values() for text in part) == sorted(texts)
    assert not said
    assert read(tmp_path, texts, said.append, validation_fraction=0.2, test_fraction=0.1) == found


@READERS
def test_of_little_each_part_has_one(tmp_path, read):
    said: list[str] = []
    assert sorted(map(len, read(tmp_path, ["one", "two"], said.append).values())) == [1, 1]
    found = read(tmp_path, list("abcdefghi"), said.append, validation_fraction=0.01)
    assert {name: len(part) for name, part in found.items()} == {"train": 8, "validation": 1}
    found = read(tmp_path, ["one", "two", "three"], said.append, validation_fraction=0.49, test_fraction=0.49)
    assert sorted(map(len, found.values())) == [1, 1, 1]
    with pytest.raises(UserError, match=r"^the test part is empty: .* the shares held out$"):
        read(tmp_path, ["one", "two"], said.append, validation_fraction=0.2, test_fraction=0.1)
    assert not [text for text in said if "different:" in text]


@READERS
def test_where_all_rows_are_equal_the_held_out_ones_are_too_and_that_is_said(tmp_path, read):
    said: list[str] = []
    found = read(tmp_path, ["same"] * 10, said.append, validation_fraction=0.2)
    assert {name: len(part) for name, part in found.items()} == {"train": 8, "validation": 2}
    assert "train has 10 rows but only 1 different: the parts held out of it hold the same rows" in said


def test_rows_of_which_none_are_equal_are_those_of_a_shuffle_cut_at_its_end():
    """By which the numbers of earlier versions hold."""
    rows = list(range(101))
    mixed = list(rows)
    random.Random(0).shuffle(mixed)
    assert hold_out(rows, BOTH, str) == {"train": mixed[:71], "validation": mixed[71:91], "test": mixed[91:]}
    assert hold_out(rows, BOTH, str, in_order=True)["validation"] == sorted(mixed[71:91])
    assert hold_out(rows, {}, lambda row: None) == {"train": mixed}


def test_a_share_is_one_of_the_different_rows():
    """Of the 14,041 sentences of CoNLL 2003's training file 12,691 are different. A tenth of these is held out, 1,269,
    with all that are equal to them, 1,403 in all, and none stands in train as well. (A tenth of the sentences, 1,404,
    was before; of those drawn one by one, 225 stood in train.)"""
    rows = [(n, n % 90) for n in range(100)]
    parts = hold_out(rows, {"validation": 0.1}, lambda row: row[1])
    assert len({name for _, name in parts["validation"]}) == 9
    assert not {name for _, name in parts["validation"]} & {name for _, name in parts["train"]}


def test_a_row_that_is_repeated_too_often_stays_in_train():
    rows = ["often"] * 50 + [f"w{n}" for n in range(50)]
    for seed in range(20):
        random.Random(seed).shuffle(rows)
        parts = hold_out(rows, {"validation": 0.1}, str)
        assert "often" not in parts["validation"]
        assert len(parts["validation"]) == 5
    few = hold_out(["a"] * 50 + ["b"] * 49, {"validation": 0.1}, str)
    assert few == {"train": ["a"] * 50, "validation": ["b"] * 49}


def test_each_part_has_the_same_share_of_each_stratum():
    rows = [(n, n % 10 == 0) for n in range(1000)] + [(1000, "alone")]
    parts = hold_out(rows, BOTH, str, stratum=lambda row: row[1])
    assert [sum(name is True for _, name in parts[part]) for part in ("train", "validation", "test")] == [70, 20, 10]
    assert (1000, "alone") in parts["train"]
