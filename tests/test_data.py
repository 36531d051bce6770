"""Data of a language model: files, splits, embedded texts, rows, lanes and chunks, and the metric on Python lines."""

import dataclasses
import gzip
import io
import os
import random
import sysconfig
from collections import Counter
from itertools import combinations, product

import pytest
import torch
from torch.utils.data import DataLoader

from rnn_zoo.data.formats import lines_of, lines_of_bytes, lines_with_ends, read_text
from rnn_zoo.data.held_out import same_text
from rnn_zoo.data.keys import DataArguments
from rnn_zoo.data.splits import SPLITS, split_files
from rnn_zoo.data.token_stream import LaneDataset, TokenStream
from rnn_zoo.errors import UserError
from rnn_zoo.tasks.causal_lm.data import (
    LanguageModelArguments,
    build_tokenizer,
    load_texts,
    rows_of_lines,
    split,
    stream_of,
)
from rnn_zoo.tasks.causal_lm.embedded import EMBEDDED_TEXTS, SKIPPED_FOLDERS, python_docs, python_stdlib
from rnn_zoo.tasks.causal_lm.python_lines import accepted_by_tokenize, accepted_share, whole_lines
from rnn_zoo.tokenizers import TOKENIZER_BUILDERS, build_char_tokenizer

TEXT = "naïve नमस्ते \U0001f600\r\nsecond line\n\nlast\r\n"


def settings(**given) -> tuple[DataArguments, LanguageModelArguments]:
    """The arguments of the data and those of the language model, from one list."""
    own = {f.name for f in dataclasses.fields(LanguageModelArguments)}
    return (
        DataArguments(**{name: value for name, value in given.items() if name not in own}),
        LanguageModelArguments(**{name: value for name, value in given.items() if name in own}),
    )


def sentence(error) -> str:
    """What a user reads: one line."""
    text = str(error.value)
    assert "\n" not in text
    return text


# ---- files ----
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order mark"])
@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_read_text_gives_the_file_as_it_stands(tmp_path, mark, suffix):
    data = mark + TEXT.encode()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    assert read_text(path) == TEXT


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("\n", [""]),
        ("a", ["a"]),
        ("a\n\nb\n", ["a", "", "b"]),
        ("a\r\rb\r", ["a", "", "b"]),
        ("a\r\n\r\nb\r\n", ["a", "", "b"]),
        ("a\rb\nc\r\nd", ["a", "b", "c", "d"]),
        ("a\x0cb\x0bc\x1cd\x1ee\x85f\u2028g\u2029h\n", ["a\x0cb\x0bc\x1cd\x1ee\x85f\u2028g\u2029h"]),
    ],
)
def test_a_line_ends_in_line_feed_carriage_return_or_both(text, lines):
    assert lines_of(text) == lines
    assert [line.rstrip("\r\n") for line in lines_with_ends(text)] == lines
    assert "".join(lines_with_ends(text)) == text
    assert [line.rstrip(b"\r\n").decode() for line in lines_of_bytes(io.BytesIO(text.encode()), "a")] == lines


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_model_sees_one_kind_of_line_end(tmp_path, end):
    (tmp_path / "train.txt").write_text(end.join(["a\u2028b", "", "c\x0c", ""]), newline="")
    (tmp_path / "dev.txt").write_text(f"x{end}", newline="")
    texts = load_texts(*settings(data_dir=str(tmp_path)))
    assert texts == {"train": "a\u2028b\n\nc\x0c\n", "validation": "x\n"}
    assert len(rows_of_lines(texts["train"], build_char_tokenizer([texts["train"]]))) == 2


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
def test_undecodable_bytes_are_named_by_file_byte_and_line(tmp_path, suffix, mark):
    data = f"{mark}é one\ntwo\nthree ".encode() + b"\xff tail\n"
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    with pytest.raises(UserError) as caught:
        read_text(path)
    message = sentence(caught)
    assert message.startswith(f"{path}: byte {data.index(0xFF)} (line 3) is 0xff, which is not UTF-8")


def test_missing_file_and_folder_in_place_of_a_file(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path / "none.txt.gz", tmp_path):
        with pytest.raises(UserError) as caught:
            read_text(path)
        assert sentence(caught).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"not gzip at all", id="no gzip"),
        pytest.param(lambda data: data[:-10], id="cut off"),
        pytest.param(lambda data: data[:10] + b"\xff" * 20 + data[30:], id="overwritten"),
    ],
)
def test_damaged_gzip_is_a_mistake_of_the_user(tmp_path, damage):
    path = tmp_path / "train.txt.gz"
    path.write_bytes(damage(gzip.compress(TEXT.encode() * 10)))
    with pytest.raises(UserError) as caught:
        read_text(path)
    assert sentence(caught).startswith(f"{path}: ")


@pytest.mark.parametrize("stem", ["validation", "valid", "val", "dev"])
@pytest.mark.parametrize("suffix", ["txt", "txt.gz", "tokens"])
def test_local_files_are_found_by_their_names(tmp_path, stem, suffix):
    for name in ("train", stem, "test", "README"):
        data = f"text of {name}".encode()
        (tmp_path / f"{name}.{suffix}").write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    (tmp_path / "train.json").write_text("another extension")
    files = split_files(tmp_path, [suffix.removesuffix(".gz")])
    texts = {split: read_text(path) for split, path in files.items()}
    assert texts == {"train": "text of train", "validation": f"text of {stem}", "test": "text of test"}


def test_a_single_file_of_any_name_is_the_training_text(tmp_path):
    (tmp_path / "warpeace_input.txt").write_text("war")
    (tmp_path / "notes.md").write_text("notes")
    assert split_files(tmp_path, ["txt"]) == {"train": tmp_path / "warpeace_input.txt"}
    assert split_files(tmp_path, ["md"]) == {"train": tmp_path / "notes.md"}


def test_a_folder_may_hold_just_the_split_that_is_wanted(tmp_path):
    (tmp_path / "test.txt").write_text("short")
    (tmp_path / "dev.txt").write_text("held out")
    assert split_files(tmp_path, ["txt"], only="test") == {"test": tmp_path / "test.txt"}
    assert load_texts(*settings(data_dir=str(tmp_path)), only="validation") == {"validation": "held out"}
    with pytest.raises(UserError, match=r"expected train\.txt or a single file"):
        split_files(tmp_path, ["txt"])
    (tmp_path / "train.txt").write_text("all")
    assert list(split_files(tmp_path, ["txt"], only="test")) == ["train", "validation", "test"]


def test_several_files_without_train_are_listed(tmp_path):
    for name in ("b.txt", "a.txt", "test.txt.gz"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError) as caught:
        split_files(tmp_path, ["txt"])
    assert sentence(caught).endswith("expected train.txt or a single file (.txt), found a.txt, b.txt, test.txt.gz")
    with pytest.raises(UserError, match=r"single file \(\.tokens\), found a.txt, b.txt"):
        split_files(tmp_path, ["tokens"])
    with pytest.raises(UserError, match="no such folder"):
        split_files(tmp_path / "nowhere", ["txt"])
    with pytest.raises(UserError, match="no such folder"):
        split_files(tmp_path / "a.txt", ["txt"])


# ---- splits ----
STREAM = "".join(f"{number:04}\n" for number in range(200))


def test_a_stream_is_cut_from_its_end():
    texts = split({"train": STREAM}, DataArguments(validation_fraction=0.1, test_fraction=0.1))
    assert [len(texts[name]) for name in SPLITS] == [800, 100, 100]
    assert "".join(texts[name] for name in SPLITS) == STREAM
    assert list(texts) == list(SPLITS)


def test_ninety_to_ten_without_a_test_part():
    texts = split({"train": STREAM}, DataArguments())
    assert {name: len(text) for name, text in texts.items()} == {"train": 900, "validation": 100}
    assert texts["train"] + texts["validation"] == STREAM


def test_the_validation_of_the_data_itself_is_kept():
    given = {"train": STREAM, "validation": "own\n", "test": "own test\n"}
    assert split(dict(given), DataArguments(validation_fraction=0.5)) == given
    without_test = {name: given[name] for name in ("train", "validation")}
    assert split(dict(without_test), DataArguments(validation_fraction=0)) == without_test


def test_the_test_of_the_data_itself_is_kept():
    texts = split({"train": STREAM, "test": "own\n"}, DataArguments(test_fraction=0.3))
    assert texts == {"train": STREAM[:900], "validation": STREAM[900:], "test": "own\n"}


def test_lines_are_drawn_at_random_but_always_the_same():
    args = DataArguments(validation_fraction=0.1, test_fraction=0.1)
    texts = split({"train": STREAM}, args, "lines")
    lines = {name: text.splitlines() for name, text in texts.items()}
    assert [len(lines[name]) for name in SPLITS] == [160, 20, 20]
    assert sorted([*lines["train"], *lines["validation"], *lines["test"]]) == STREAM.splitlines()
    assert lines["validation"] != STREAM.splitlines()[160:180]  # not simply a piece
    assert lines["validation"] != sorted(lines["validation"])
    random.seed(3)
    assert split({"train": STREAM}, args, "lines") == texts


def test_equal_lines_are_in_one_part():
    """Those that differ in what no reader sees, too; the parts keep their sizes."""
    lines = [f"{n % 60}" for n in range(200)] + ["re\u0301sume\u0301", "r\u00e9sum\u00e9 "] * 3
    text = "".join(f"{line}\n" for line in lines)
    texts = split({"train": text}, DataArguments(validation_fraction=0.2, test_fraction=0.1), "lines")
    parts = [[same_text(line) for line in texts[name].splitlines()] for name in SPLITS]
    assert [len(part) for part in parts] == pytest.approx([144, 41, 21], abs=3)
    assert not any(set(one) & set(other) for one, other in combinations(parts, 2))
    assert sorted("".join(texts.values()).splitlines()) == sorted(lines)
    few = split({"train": "a\n" * 50 + "b\n" * 49}, DataArguments(), "lines")
    assert few == {"train": "a\n" * 50, "validation": "b\n" * 49}


def test_an_unlabelled_text_that_is_held_out_is_not_trained_on(tmp_path):
    texts = [f"text {n}" for n in range(40)]
    (tmp_path / "train.tsv").write_text("".join(f"{n % 2}\t{text}\n" for n, text in enumerate(texts)))
    (tmp_path / "unlabelled.txt").write_text("".join(f" {text} \n" for text in [*texts, "more"]))
    parts = load_texts(*settings(data_dir=str(tmp_path), examples="documents"))
    train, validation = (set(parts[name].splitlines()) for name in ("train", "validation"))
    assert train == {*texts, "more"} - validation
    assert len(validation) == 4


def test_lines_stay_whole_where_the_last_one_has_no_line_end():
    texts = split({"train": STREAM.removesuffix("\n")}, DataArguments(), "lines")
    assert sorted("".join(texts.values()).split()) == STREAM.split()


@pytest.mark.parametrize(
    "shares", [(0.5, 0.5), (0.9, 0.2), (1.0, 0.0), (1.5, 0.0), (-0.1, 0.1), (0.3, float("inf")), (0.0, 0.2)]
)
def test_impossible_shares_are_refused(shares):
    with pytest.raises(UserError) as caught:
        split({"train": STREAM}, DataArguments(validation_fraction=shares[0], test_fraction=shares[1]))
    assert "validation_fraction=" in sentence(caught)


def test_a_negative_share_is_refused():
    with pytest.raises(UserError, match=r"test_fraction=-0\.1"):
        split({"train": STREAM}, DataArguments(test_fraction=-0.1))


def test_a_part_without_text_is_refused():
    with pytest.raises(UserError, match="the validation part is empty"):
        split({"train": "abc"}, DataArguments())
    with pytest.raises(UserError, match="the train part is empty"):
        split({"train": " \n" * 20 + "a"}, DataArguments())


# ---- where text comes from ----
def test_max_characters_cuts_the_training_text_alone(tmp_path):
    (tmp_path / "train.txt").write_text(STREAM)
    args = settings(data_dir=str(tmp_path), max_characters=100)
    assert load_texts(*args) == {"train": STREAM[:90], "validation": STREAM[90:100]}
    (tmp_path / "dev.txt").write_text(STREAM)
    assert load_texts(*args) == {"train": STREAM[:100], "validation": STREAM}
    args[1].max_characters = 10**6
    assert load_texts(*args) == {"train": STREAM, "validation": STREAM}


def test_local_files_win_over_the_other_sources(tmp_path):
    (tmp_path / "a.txt").write_text(STREAM)
    args = settings(data_dir=str(tmp_path), embedded_data="python_docs", dataset_name="some/data")
    assert "".join(load_texts(*args).values()) == STREAM


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no data: give --data_dir FOLDER"),
        ({"embedded_data": "python_stdlb"}, "embedded_data='python_stdlb': unknown"),
        ({"data_dir": "nowhere"}, "data_dir='nowhere': no such folder"),
    ],
)
def test_no_data_is_one_sentence(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        load_texts(*settings(**arguments))
    assert message in sentence(caught)


def test_an_empty_training_text_is_refused(tmp_path):
    (tmp_path / "train.txt").write_text(" \n\n")
    with pytest.raises(UserError, match="the training text is empty"):
        load_texts(*settings(data_dir=str(tmp_path)))


@pytest.mark.ci
@pytest.mark.parametrize("name", EMBEDDED_TEXTS)
def test_embedded_texts_are_there_and_always_the_same(name):
    text = EMBEDDED_TEXTS[name]()
    assert len(text) > 100_000
    assert EMBEDDED_TEXTS[name]() == text
    assert load_texts(*settings(embedded_data=name, max_characters=1000))["train"] == text[:900]


def test_python_docs_are_the_language_reference():
    text = python_docs()
    assert 'The "with" statement' in text


@pytest.mark.ci
def test_python_stdlib_is_python():
    text = python_stdlib()
    assert accepted_share([text[:200_000]]) > 0.7  # lines of docstrings are not all acceptable
    for code in ("class JSONDecodeError(ValueError):", "class ArgumentParser(", "def urlparse("):
        assert code in text


def test_python_stdlib_has_no_tests_and_an_order_of_its_own(tmp_path, monkeypatch):
    """By a library of a few files: the order does not depend on that of the folder, skipped folders do not appear."""
    files = [f"{folder}{letter}.py" for folder in ("", "one/", "one/two/") for letter in "abcdefg"]
    skipped = [f"{parent}{folder}/x.py" for folder in SKIPPED_FOLDERS for parent in ("", "one/")]
    texts = []
    for name, order in (("first", files + skipped), ("second", list(reversed(skipped + files)))):
        for file in order:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{file}\n", encoding="utf-8")
        (tmp_path / name / "latin.py").write_bytes(b"# -*- coding: latin-1 -*-\n# \xe9\n")
        (tmp_path / name / "notes.txt").write_text("no Python")
        monkeypatch.setattr(sysconfig, "get_paths", lambda name=name: {"stdlib": str(tmp_path / name)})
        texts.append(python_stdlib())
    assert texts[0] == texts[1]
    found = texts[0].split()
    assert sorted(found) == sorted(files)
    assert found != sorted(files)
    assert os.sep == "/" or os.sep not in texts[0]

    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path / "nowhere")})
    with pytest.raises(UserError, match="--data_dir"):
        python_stdlib()


# ---- tokenizers and rows ----
@pytest.mark.parametrize("kind", TOKENIZER_BUILDERS)
def test_rows_are_lines_between_bos_and_eos(kind):
    text = "anna\n\n  \nbo lee\nanna"
    tokenizer = build_tokenizer(text, DataArguments(tokenizer_type=kind))
    rows = rows_of_lines(text, tokenizer)["input_ids"]
    assert rows == [
        [tokenizer.bos_token_id, *tokenizer(line)["input_ids"], tokenizer.eos_token_id]
        for line in ("anna", "bo lee", "anna")
    ]
    assert all(len(row) > 2 for row in rows)


@pytest.mark.parametrize("kind", TOKENIZER_BUILDERS)
def test_a_stream_counts_the_characters_of_its_text(kind):
    text = "क़ é <eos> two words\n" * 3
    tokenizer = build_tokenizer(text, DataArguments(tokenizer_type=kind))
    stream = stream_of(text, tokenizer)
    assert stream.num_characters == len(text)
    assert stream.input_ids.tolist() == tokenizer(text)["input_ids"]
    assert stream.tokens_per_character == len(stream) / len(text)
    assert TokenStream(stream.input_ids).tokens_per_character is None


def test_tokenizer_options_reach_their_builder():
    text = "aabb \u0958\n" * 2 + "xyz"
    kept = build_tokenizer(text, DataArguments(min_frequency=2, unicode_normalization="none"))
    assert set(kept.get_vocab()) == {*"ab \n\u0958", *kept.all_special_tokens}
    assert {"\u0915", "\u093c"} <= set(build_tokenizer(text, DataArguments()).get_vocab())
    assert len(build_tokenizer(text, DataArguments(tokenizer_type="word", max_vocab_size=5))) == 5
    assert len(build_tokenizer(text, DataArguments(tokenizer_type="bpe", max_vocab_size=261))) == 261


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tokenizer_type": "chr"}, "tokenizer_type='chr': unknown (choose from char, word, wordpunct, bpe, unigram)"),
        ({"max_vocab_size": 100}, "max_vocab_size: a char tokenizer"),
        ({"min_frequency": 0}, "min_frequency=0: must be at least 1"),
        ({"min_frequency": 99}, "min_frequency=99: no character is that frequent"),
        ({"unicode_normalization": "NFCC"}, "did you mean 'NFC'?"),
        ({"tokenizer_type": "bpe", "max_vocab_size": 5}, "must be at least 260"),
    ],
)
def test_tokenizer_options_out_of_range(arguments, message):
    with pytest.raises(UserError) as caught:
        build_tokenizer("some text\n", DataArguments(**arguments))
    assert message in sentence(caught)


# ---- lanes and chunks ----
SIZES = [
    (tokens, lanes, steps)
    for tokens, lanes, steps in product((2, 3, 13, 14, 50, 61), (1, 2, 3, 4, 7, 12), (1, 2, 5, 7, 100))
    if tokens > lanes
]


@pytest.mark.parametrize(("tokens", "lanes", "steps"), SIZES)
def test_every_target_is_scored_once_and_lanes_go_on(tokens, lanes, steps):
    ids = torch.arange(1000, 1000 + tokens, dtype=torch.int32)  # each token tells its place
    dataset = LaneDataset(TokenStream(ids), lanes, steps)
    assert len(dataset) == dataset.chunks * lanes
    items = [dataset[index] for index in range(len(dataset))]

    seen = Counter(target for item in items for target in item["labels"].tolist() if target != -100)
    assert seen == Counter(ids[1:].tolist())

    for lane in range(lanes):
        chunks = [items[chunk * lanes + lane] for chunk in range(dataset.chunks)]
        assert [bool(chunk["lane_start"]) for chunk in chunks] == [True] + [False] * (dataset.chunks - 1)
        assert all(len(chunk["input_ids"]) == steps for chunk in chunks[:-1])
        assert 1 <= len(chunks[-1]["input_ids"]) <= steps
        inputs = torch.cat([chunk["input_ids"] for chunk in chunks])
        targets = torch.cat([chunk["labels"] for chunk in chunks])
        assert torch.equal(targets, torch.cat([chunk["shift_labels"] for chunk in chunks]))
        assert inputs.dtype == targets.dtype == torch.int64
        real = targets != -100
        assert torch.equal(real, real.sort(descending=True).values)  # padding stands at the end only
        start = 1000 + lane * dataset.lane_length
        assert inputs[real].tolist() == list(range(start, start + int(real.sum())))
        assert torch.equal(targets[real], inputs[real] + 1)  # also over the borders of chunks and lanes


def test_the_picture_in_the_docstring():
    dataset = LaneDataset(TokenStream(torch.tensor(list(b"abcdefghijklm"))), lanes=3, chunk_length=2)
    items = [dataset[index] for index in range(len(dataset))]
    assert [bytes(item["input_ids"].tolist()).decode() for item in items] == ["ab", "ef", "ij", "cd", "gh", "kl"]
    assert [bytes(item["labels"].tolist()).decode() for item in items] == ["bc", "fg", "jk", "de", "hi", "lm"]


def test_batches_go_on_where_the_one_before_ended():
    dataset = LaneDataset(TokenStream(torch.arange(49)), lanes=4, chunk_length=5)
    first, second = list(DataLoader(dataset, batch_size=4))[:2]
    assert torch.equal(second["input_ids"][:, 0], first["labels"][:, -1])


@pytest.mark.parametrize(("tokens", "lanes"), [(0, 1), (1, 1), (5, 5), (7, 300)])
def test_too_few_tokens_name_both_numbers(tokens, lanes):
    with pytest.raises(ValueError, match=rf"\b{tokens} tokens, too few for {lanes} lanes"):
        LaneDataset(TokenStream(torch.arange(tokens)), lanes, 4)


def test_chunks_have_at_least_one_step():
    with pytest.raises(ValueError, match="bptt_length=0: must be at least 1"):
        LaneDataset(TokenStream(torch.arange(9)), 1, 0)


def test_stream_of_a_text_covers_it():
    text = "the quick brown fox\n"
    tokenizer = build_char_tokenizer([text])
    dataset = LaneDataset(stream_of(text, tokenizer), lanes=1, chunk_length=7)
    targets = torch.cat([dataset[index]["labels"] for index in range(len(dataset))])
    assert tokenizer.decode(targets[targets != -100]) == text[1:]


# ---- lines that read as Python ----
@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        ("x = 1", True),
        ("        return self.value", True),
        ("def f(a, b):", True),
        ("# a comment, don't", True),
        ("'a string'", True),
        ("for for in in", True),  # tokens, though no sentence
        ("", True),
        ("call(", False),  # open brackets
        ("x = 'open", False),
        ('"""docstring begins', False),
        ("it isn't code", False),
        ("a ? b", False),
        ("cost $ 5", False),
        ("wait ! there", False),
    ],
)
def test_lines_that_tokenize_accepts(line, accepted):
    assert accepted_by_tokenize(line) is accepted


def test_the_share_counts_whole_lines_only():
    assert whole_lines("cut\na = 1\n\n  b\ncut") == ["a = 1", "  b"]
    assert accepted_share(["cut (\na = 1\n\nb (\ncut"]) == 0.5
    assert accepted_share(["(\na\n(", "(\nb\n("]) == 1.0
    assert accepted_share(["one line", "two\nlines", "a\n \nb", ""]) is None
    assert accepted_share([]) is None


def test_a_line_that_spells_its_end_token_has_one():
    tokenizer = build_char_tokenizer(["a dog"])
    eos = tokenizer.eos_token_id
    rows = rows_of_lines("a dog\na dog<eos>\n<eos>\n", tokenizer)["input_ids"]
    assert rows[0] == rows[1]
    assert rows[2] == [tokenizer.bos_token_id, eos]
