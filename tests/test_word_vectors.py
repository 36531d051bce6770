"""Pretrained word vectors: forms of files, rows that are kept, coverage, and what is refused."""

import gzip
import json
import struct
import tracemalloc

import pytest
import torch
from safetensors.torch import save_file

from rnn_zoo.data.word_vectors import load_word_vectors, save_word_vectors
from rnn_zoo.errors import UserError

VECTORS = {  # in the order of the file
    "the": [0.5, -1.0, 2.0],
    "42": [1.0, 1.0, 1.0],
    "paris": [3.0, 0.25, 1e-3],
    ". . .": [7.0, 7.0, 7.0],
    "at 1": [8.0, 8.0, 8.0],
    "नमस्ते": [-4.0, 4.0, 0.0],
    "Bank": [9.0, 9.0, 9.0],
    "bank": [6.0, 6.0, 6.0],
    "😀\u2028\x85": [0.125, 0.0, -0.125],  # what Unicode takes for line ends is part of a word
}
WORDS = ["Paris", "bank", "Bank", "BANK", "नमस्ते", "unseen", "42", "😀\u2028\x85", "at 1", ". . .", "the"]
EXPECTED = [
    VECTORS[name] if name else [0.0] * 3
    for name in ["paris", "bank", "Bank", "bank", "नमस्ते", "", "42", "😀\u2028\x85", "at 1", ". . .", "the"]
]


def lines(vectors=VECTORS, end="\n") -> str:
    return "".join(f"{word} {' '.join(map(repr, row))}{end}" for word, row in vectors.items())


ONE_WORD = {word: row for word, row in VECTORS.items() if " " not in word}  # what word2vec's binary form can hold


def binary(vectors=ONE_WORD, after=b"\n") -> bytes:
    rows = (word.encode() + b" " + struct.pack("<3f", *row) + after for word, row in vectors.items())
    return f"{len(vectors)} 3\n".encode() + b"".join(rows)


FORMS = {
    "glove.txt": lines().encode(),
    "tabs.txt": lines().replace(" ", "\t").replace(".\t.\t.", ". . .").replace("at\t1", "at 1").encode(),
    "crlf.txt": lines(end="\r\n").encode(),
    "cr.txt": lines(end="\r").encode(),
    "fasttext.vec": b"9 3\n" + lines(end=" \n").encode(),
    "glove.txt.gz": gzip.compress(lines().encode(), mtime=0),
    "word2vec.bin": binary(),
    "without_line_ends.bin": binary(after=b""),
    "word2vec.bin.gz": gzip.compress(binary(), mtime=0),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_rows_of_the_vocabulary(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FORMS[name])
    words = [word for word in WORDS if " " not in word or ".bin" not in name]
    vectors = load_word_vectors(path, words, dimension=3)
    expected = torch.tensor([row for word, row in zip(WORDS, EXPECTED, strict=True) if word in words])
    assert vectors.matrix.dtype == torch.float32
    assert torch.equal(vectors.matrix, expected)
    assert vectors.found.tolist() == [word != "unseen" for word in words]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("beside", [False, True])
def test_safetensors_with_words_inside_or_beside(tmp_path, dtype, beside):
    path = tmp_path / "vectors.safetensors"
    matrix = torch.tensor(list(VECTORS.values())).to(dtype)
    if beside:
        save_file({"any name": matrix}, path)
        (tmp_path / "vectors.words.txt").write_bytes("\n".join(VECTORS).encode() + b"\n")
    else:
        save_word_vectors(path, list(VECTORS), matrix)
    vectors = load_word_vectors(path, WORDS)
    assert torch.equal(vectors.matrix, torch.tensor(EXPECTED).to(dtype).float())


@pytest.mark.parametrize("order", [["Bank", "bank"], ["bank", "Bank"]])
def test_the_word_itself_goes_before_its_lower_case_and_the_first_before_a_second(tmp_path, order):
    path = tmp_path / "v.txt"
    rows = [(word, VECTORS[word]) for word in order] + [("Bank", [0.0] * 3), ("bank", [0.0] * 3)]
    path.write_text("".join(f"{word} {' '.join(map(repr, row))}\n" for word, row in rows))
    vectors = load_word_vectors(path, ["Bank", "bank", "BANK", "bank"])
    assert vectors.matrix[:, 0].tolist() == [9, 6, 6, 6]


def test_a_first_line_of_two_numbers_is_a_header_and_a_first_word_may_be_a_number(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("1 0.5 0.5\n2 3.0 4.0\na 5.0 6.0\n")
    assert load_word_vectors(path, ["1", "2"]).matrix.tolist() == [[0.5, 0.5], [3, 4]]
    path.write_text("2 1\n3 7.5\na 1\n")
    vectors = load_word_vectors(path, ["2", "3"])
    assert vectors.matrix.tolist() == [[0], [7.5]]
    assert vectors.found.tolist() == [False, True]


def test_a_word_that_is_not_utf8_harms_no_other(tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes(b"a 1 2\n\xff\xfe 3 4\nb 5 6\n")
    assert load_word_vectors(path, ["b", "a"]).matrix.tolist() == [[5, 6], [1, 2]]


def test_coverage_counts_words_and_tokens(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text(lines())
    vectors = load_word_vectors(path, ["the", "Paris", "unseen"], counts={"the": 960, "Paris": 22, "unseen": 18})
    assert vectors.coverage == "2 of 3 words (66.7 %), 98.2 % of tokens"
    assert vectors.token_coverage == 0.982
    many = load_word_vectors(path, ["the"] * 12_345 + ["unseen"] * 7_655)
    assert many.coverage == "12,345 of 20,000 words (61.7 %)"
    assert many.token_coverage is None
    assert load_word_vectors(path, [], counts={}).coverage == "0 of 0 words (0.0 %), 0.0 % of tokens"


@pytest.mark.parametrize("suffix", ["txt", "txt.gz", "safetensors"])
def test_memory_holds_what_is_kept_and_not_the_file(tmp_path, suffix):
    path = tmp_path / f"v.{suffix}"
    words = [f"w{n}" for n in range(4000)]
    if suffix == "safetensors":
        save_word_vectors(path, words, torch.ones(4000, 100))
    else:
        text = "".join(f"{word}{' 0.25' * 100}\n" for word in words).encode()  # 2 MB
        path.write_bytes(gzip.compress(text, 1) if suffix == "txt.gz" else text)
    load_word_vectors(path, ["w1"])
    tracemalloc.start()
    vectors = load_word_vectors(path, ["w3999", "w7"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert vectors.found.all()
    assert peak < 600_000


BROKEN = {
    "short line": ("v.txt", b"a 1 2\nb 3\nc 4 5\n", ":2: 1 numbers, 2 are expected: 'b 3'"),
    "short line with a header": ("v.vec", b"2 2\na 1 2\nb 3\n", ":3: 1 numbers, 2 are expected: 'b 3'"),
    "no number": ("v.txt", b"a 1 2\nb 1 x\nc 1 2\n", ":2: 2 numbers are expected after the word: 'b 1 x'"),
    "not finite": ("v.txt", b"a 1 2\nb nan 2\n", ":2: the vector holds a number that is not finite"),
    "empty": ("v.txt", b"", ":1: a word and its numbers, separated by blanks, are expected: the file is empty"),
    "prose": ("v.txt", b"no vectors here\n", ":1: a word and its numbers, separated by blanks, are expected"),
    "cut off": ("v.bin", b"2 2\nb " + struct.pack("<3f", 1, 2, 3), ": ends within word 2 of 2"),
    "more than it says": ("v.bin", binary().replace(b"7 3", b"6 3"), ": goes on after its 6 words"),
    "text as binary": ("v.bin", b"a 1 2\n", ": not word2vec's binary form"),
    "fastText model": ("v.bin", struct.pack("<ii", 793712314, 12) + bytes(50), ": a fastText model"),
    "no gzip": ("v.txt.gz", b"a 1 2\n", ": Not a gzipped file"),
    "half a gzip": ("v.txt.gz", gzip.compress(lines().encode())[:-9], ": damaged gzip file"),
    "no safetensors": ("v.safetensors", b"a 1 2\n", ": not readable as safetensors"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named_with_its_line(tmp_path, case):
    name, content, message = BROKEN[case]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_word_vectors(path, ["a", "b"])
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["v.txt", "v.vec", "v.bin", "v.safetensors"])
def test_another_dimension_is_refused(tmp_path, name):
    path = tmp_path / name
    if name == "v.safetensors":
        save_word_vectors(path, list(VECTORS), torch.tensor(list(VECTORS.values())))
    else:
        path.write_bytes({"txt": lines().encode(), "vec": b"9 3\n" + lines().encode(), "bin": binary()}[name[2:]])
    with pytest.raises(UserError, match="vectors of 3 numbers, where 2 are needed"):
        load_word_vectors(path, WORDS, dimension=2)


@pytest.mark.parametrize("name", ["v.txt", "v.txt.gz", "v.bin", "v.safetensors"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(UserError) as caught:
        load_word_vectors(tmp_path / name, ["a"])
    assert str(caught.value) == f"{tmp_path / name}: No such file or directory"


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"a": torch.ones(2, 3)}, {}, "no words: neither a list `words` in its metadata nor the file v.words.txt"),
        ({"a": torch.ones(2, 3)}, {"words": '["one"]'}, "1 words for 2 rows"),
        ({"a": torch.ones(2, 3)}, {"words": "one two"}, "must be a JSON list"),
        ({"a": torch.ones(2, 3)}, {"words": "[1, 2]"}, "must be a JSON list of strings"),
        ({"a": torch.ones(6)}, {}, "holds a; one tensor"),
        ({"a": torch.ones(2, 3), "b": torch.ones(2, 3)}, {}, "holds a, b; one tensor"),
    ],
)
def test_safetensors_that_hold_something_else(tmp_path, tensors, metadata, message):
    path = tmp_path / "v.safetensors"
    save_file(tensors, path, metadata)
    with pytest.raises(UserError) as caught:
        load_word_vectors(path, ["one"])
    assert message in str(caught.value)


def test_what_is_saved_names_its_words(tmp_path):
    path = tmp_path / "v.safetensors"
    other = torch.zeros(1, 1)
    save_file({"embeddings": torch.ones(1, 2), "other": other}, path, {"words": json.dumps(["é"])})
    assert load_word_vectors(path, ["É"]).matrix.tolist() == [[1, 1]]
    with pytest.raises(ValueError, match="2 words for a matrix"):
        save_word_vectors(path, ["a", "b"], other)


def test_absurd_sizes_cost_no_memory(tmp_path, monkeypatch):
    for name, content, message in [
        ("v.vec", b"3 1000000000\nthe 1\n", "vectors of 1,000,000,000 numbers: at most 65,536 are read"),
        ("v.bin", b"1000000000 1000000000\nthe 1", "vectors of 1,000,000,000 numbers: at most 65,536 are read"),
        ("v.bin", b"1000000000 3\nthe 1", "ends within word 1 of 1,000,000,000"),
        ("v.bin", b"1 3\n" + b"x" * 70_000, "word 1 has more than 65,536 bytes"),
        ("v.txt", b"x" * 3000, "the line has more than 1,000 bytes"),
    ]:
        (tmp_path / name).write_bytes(content)
        monkeypatch.setattr("rnn_zoo.data.formats.LONGEST_LINE", 1000)
        with pytest.raises(UserError, match=message):
            load_word_vectors(tmp_path / name, ["the"])
