"""Texts that stay in their files: the same text, the same vocabulary, the same ids as those that are read at once."""

import gzip
import os
import pickle
import random
import signal
import time
from itertools import pairwise

import datasets
import pytest
import torch
from runs import argv_of, forked

from rnn_zoo.data import all_cores, kept, long_text, stored_ids
from rnn_zoo.data.formats import read_text, with_line_feeds
from rnn_zoo.data.keys import DataArguments
from rnn_zoo.data.long_text import LongText, keep_text, read_long_text
from rnn_zoo.data.token_stream import LaneDataset, TokenStream
from rnn_zoo.errors import UserError
from rnn_zoo.tasks.causal_lm.data import build_tokenizer, load_texts, stream_of
from rnn_zoo.tasks.causal_lm.keys import LanguageModelArguments
from rnn_zoo.tokenizers import TOKENIZER_BUILDERS

LINES = ["naïve e\u0301 नमस्ते \u0958\n", "\n", "\U0001f600 <eos>\n", "a " * 90 + "long line\n", "<pad> one  two\n"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch, tmp_path):
    """Files of some bytes are large; what is kept of them lies in a folder of the test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "kept")
    for module in (kept, long_text):
        monkeypatch.setattr(module, "LARGE", 100)
    monkeypatch.setattr(long_text, "BLOCK", 64)


def a_text(seed: int = 0, lines: int = 60) -> str:
    return "".join(random.Random(seed).choices(LINES, k=lines)) + "no end <eos>"


def written(folder, data: bytes, name: str = "train.txt"):
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("processes", [1, 2])
def test_its_pieces_are_the_text(tmp_path, monkeypatch, processes):
    monkeypatch.setattr(all_cores, "usable_cores", lambda: processes)
    path, environment = written(tmp_path, a_text().encode()), dict(os.environ)
    for _ in range(2):  # the second time as it was kept
        text = read_long_text(path)
        pieces = list(text.pieces())
        assert "".join(pieces) == a_text()
        assert len(text) == len(a_text())
        assert len(pieces) > 20
        for before, after in pairwise(pieces):
            assert before.endswith("\n") or (after.startswith(" ") and not before.endswith((" ", ">")))
    assert dict(os.environ) == environment


def test_parts_are_those_of_a_string(tmp_path):
    whole = a_text()
    text = read_long_text(written(tmp_path, whole.encode()))
    chance = random.Random(1)
    for _ in range(60):
        start, stop = chance.randint(-900, 900), chance.randint(-900, 900)
        part = text[start:stop]
        assert "".join(part.pieces()) == whole[start:stop]
        assert len(part) == len(whole[start:stop])
        assert "".join(part[3:-4].pieces()) == whole[start:stop][3:-4]
    assert text[5:50].fingerprint == text[2:60][3:48].fingerprint != text[5:51].fingerprint


@pytest.mark.parametrize(
    ("encoding", "name", "ends"),
    [
        ("utf-8", "train.txt", "\r\n"),
        ("utf-8", "train.txt.gz", "\n"),
        ("utf-8-sig", "train.txt", "\n"),
        ("utf-16", "train.txt", "\r"),
        ("utf-16-le", "train.txt.gz", "\r\n"),
    ],
)
def test_files_of_every_kind(tmp_path, encoding, name, ends):
    path = written(tmp_path, a_text().replace("\n", ends).encode(encoding), name)
    given = encoding.removesuffix("-sig")
    expected = with_line_feeds(read_text(path, given))
    assert expected == a_text()
    for _ in range(2):
        assert "".join(read_long_text(path, given).pieces()) == expected


@pytest.mark.parametrize(
    ("data", "encoding", "name"),
    [
        (b"good line\n" * 40 + b"bad \xff\n" + b"good\n" * 40, "utf-8", "train.txt"),
        ("\ufeffgood\r\n".encode("utf-16-le") * 40, "utf-8", "train.txt"),
        (b"good line\r\n" * 40 + b"cut off \xe0\xa4", "utf-8", "train.txt.gz"),
        (b"\0a" * 400, "utf-8", "train.txt"),
        (b"abc" * 67, "utf-16", "train.txt"),
        (b"abc\n", "no-such", "train.txt"),
    ],
)
def test_what_is_no_text_is_refused_as_ever(tmp_path, data, encoding, name):
    path = written(tmp_path, data, name)
    with pytest.raises(UserError) as expected:
        read_text(path, encoding)
    with pytest.raises(UserError) as found:
        read_long_text(path, encoding)
    assert str(found.value) == str(expected.value)


def test_a_line_without_blanks_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(long_text, "LONGEST", 500)
    path = written(tmp_path, b"a" * 501 + b"\nb")
    with pytest.raises(UserError, match="neither a line end nor a blank in 502 bytes, more than 500"):
        read_long_text(path)


def test_a_place_that_takes_nothing(tmp_path, monkeypatch):
    path = written(tmp_path, a_text().encode())
    (tmp_path / "file").touch()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "file")
    with pytest.raises(UserError, match=r"cannot be kept there .*HF_DATASETS_CACHE"):
        read_long_text(path)


@pytest.mark.parametrize("kind", TOKENIZER_BUILDERS)
def test_vocabulary_and_ids_are_those_of_one_read(tmp_path, kind, monkeypatch):
    """Splits, tokenizer, ids, lanes; a second start gives the same without reading the text."""
    options = {"max_vocab_size": 300} if kind in ("bpe", "unigram") else {}
    data = DataArguments(data_dir=str(tmp_path / "data"), tokenizer_type=kind, validation_fraction=0.2, **options)
    (tmp_path / "data").mkdir()
    written(tmp_path / "data", a_text().encode())
    arguments = LanguageModelArguments(max_characters=1500)
    long = load_texts(data, arguments)
    with monkeypatch.context() as patched:
        patched.setattr(long_text, "LARGE", 1 << 30)
        short = load_texts(data, arguments)
    assert all(isinstance(text, LongText) for text in long.values())
    assert {name: "".join(text.pieces()) for name, text in long.items()} == short
    expected = build_tokenizer(short["train"], data)
    tokenizer = build_tokenizer(long["train"], data)
    assert tokenizer.backend_tokenizer.to_str() == expected.backend_tokenizer.to_str()
    streams = {name: stream_of(text, tokenizer) for name, text in long.items()}

    def read_again(*args):
        raise AssertionError("the text is read again")

    monkeypatch.setattr(LongText, "block", read_again)
    assert build_tokenizer(long["train"], data).backend_tokenizer.to_str() == expected.backend_tokenizer.to_str()
    for name, text in short.items():
        in_memory, again = stream_of(text, expected), stream_of(long[name], tokenizer)
        for stream in (streams[name], again, pickle.loads(pickle.dumps(again))):
            assert len(stream) == len(in_memory)
            assert stream.num_characters == in_memory.num_characters
            assert torch.equal(stream.input_ids[:], in_memory.input_ids.long())
            assert torch.equal(stream.input_ids[7:-9], in_memory.input_ids[7:-9].long())
            for from_end in (False, True):
                for one, other in zip(
                    LaneDataset(stream, 3, 5, from_end), LaneDataset(in_memory, 3, 5, from_end), strict=True
                ):
                    assert all(torch.equal(one[key], other[key]) for key in other)


@pytest.mark.ci
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_text_is_read_by_all_cores_ends_the_run(tmp_path, monkeypatch, number):
    argv, log = argv_of(tmp_path, "causal_lm"), tmp_path / "log"
    written(tmp_path / "data", a_text().encode())
    monkeypatch.setattr(all_cores, "usable_cores", lambda: 2)

    def look_at(path, size, place):
        if place == 0:
            os.kill(os.getppid(), number)
        time.sleep(60)

    monkeypatch.setattr(long_text, "look_at", look_at)
    start = time.monotonic()
    assert forked(argv, log) == 128 + number
    assert time.monotonic() - start < 30
    assert log.read_text().endswith("rnn-zoo: stopped before there was anything to save\n")


def hang_up(part):
    """The terminal is closed: every process of the group is told."""
    os.kill(os.getpid(), signal.SIGHUP)
    return part


def test_a_closed_terminal_ends_no_process_that_nohup_has_started(monkeypatch):
    monkeypatch.setattr(all_cores, "usable_cores", lambda: 2)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert list(all_cores.in_processes(hang_up, range(5))) == [0, 1, 2, 3, 4]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_memory_that_was_read_is_given_back(tmp_path, monkeypatch):
    """And what is read again afterwards is the same."""
    monkeypatch.setattr(stored_ids, "GIVEN_BACK", 1000)
    given = []
    monkeypatch.setattr(stored_ids, "give_back", lambda file, give=stored_ids.give_back: given.append(give(file)))
    text = keep_text("one", iter([a_text()]))
    ids = stream_of(text, TOKENIZER_BUILDERS["char"](text.pieces())).input_ids
    first = ids[:]
    assert given
    for _ in range(3):
        assert torch.equal(ids[:], first)
    assert len(TokenStream(ids)) == len(first)
