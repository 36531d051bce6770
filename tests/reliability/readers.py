"""Files that people have: valid ones cut, mixed and filled with what is hostile; and what is no file."""

import gzip
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from safetensors.torch import save

from rnn_zoo.data.formats import read_text
from rnn_zoo.data.keys import DataArguments
from rnn_zoo.data.text_column import read_texts
from rnn_zoo.data.word_vectors import load_word_vectors
from rnn_zoo.importing.vocabulary import read_tokens
from rnn_zoo.models.keys_classifier import PROBLEM_TYPES
from rnn_zoo.tasks.causal_lm import data as causal_lm
from rnn_zoo.tasks.causal_lm.keys import LanguageModelArguments
from rnn_zoo.tasks.sequence_classification import data as sequence_classification
from rnn_zoo.tasks.sequence_classification.keys import ClassificationArguments
from rnn_zoo.tasks.sequence_classification.labelled_files import read_labelled
from rnn_zoo.tasks.token_classification import data as token_classification
from rnn_zoo.tasks.token_classification.conll import read_conll
from rnn_zoo.tasks.token_classification.keys import TaggingArguments
from rnn_zoo.tasks.translation import data as translation
from rnn_zoo.tasks.translation.keys import TranslationArguments
from rnn_zoo.tasks.translation.pairs import read_pairs, read_sources

from .harness import Door

ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "latin-1",
    "cp1252",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "shift_jis",
    "utf-7",
    "x",
    "a\0b",
]
HOSTILE = [
    *(
        b"\0",
        b"\0" * 5000,
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\t",
        b"\t\t",
        b"'",
        b'"',
    ),
    *(
        b'"\n',
        b",",
        b";",
        b";;",
        b"#",
        b"# ",
        b"#\t",
        b"-DOCSTART-",
        b"__label__",
        b"__label__a ",
        b"{",
        b"}",
        b"[",
        b"]",
    ),
    *(
        b"null",
        b"NaN",
        b"1e999",
        b"-",
        b"9" * 5000,
        b"1" * 20,
        b"0.5 " * 300,
        b"x" * 200_000,
        b"[" * 100_000,
        b'{"a":' * 20_000,
    ),
    *(
        b'"\\ud800"',
        "\u2028\u0085\x1c".encode(),
        "\u0301\U0001f600".encode(),
        b"1000000000 1000000000\n",
        b"3 99999999\n",
    ),
    *(b"# global.columns = ID FORM NE\n", b"text,label\n", b"text;label\n", b"B-", b"I-X", b"O", b"1-2\t", b"1.1\t"),
]


@st.composite
def damaged(draw, valid: list[bytes]) -> bytes:
    """One of some valid files with a few changes, or nothing that is valid at all."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(
            st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
        )
    data = draw(st.sampled_from(valid))
    for _ in range(draw(st.integers(0, 4))):
        place, length = draw(st.integers(0, len(data))), draw(st.integers(0, 30))
        change = draw(st.integers(0, 4))
        if change == 0:
            data = data[:place] + data[place + length :]
        elif change == 1:
            data = data[:place] + data[place : place + length] * draw(st.integers(2, 40)) + data[place:]
        elif change == 2:
            data = data[:place] + draw(st.binary(max_size=4)) + data[place + 1 :]
        elif change == 3:
            lines = data.split(b"\n")
            lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(lines)))
            data = b"\n".join(lines)
        else:
            data = data[:place] + draw(st.sampled_from(HOSTILE)) + data[place:]
    if kind == 1:
        data = data.decode("utf-8", "replace").encode(
            draw(st.sampled_from(["utf-16", "utf-16-le", "latin-1"])), "replace"
        )
    return data


def in_file(data: bytes, packed: int) -> bytes:
    """The bytes as they lie on the disk: packed, packed and cut, or as they are."""
    if packed == 1:
        return gzip.compress(data)
    return gzip.compress(data)[: packed * 5] if packed > 1 else data


CONLL = [
    b"Asha\tB-PER\nleft\tO\n\nRose\tB-PER\nCo\tI-PER\n\nhe\tO\n\n" * 2,
    b"-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\nPeter NNP B-PER\n\nhe PRP O\n",
    b"#\thttp://a.example\n1\tAnna\tB-PER\tO\n2\tsagte\tO\tO\n\n1\tBerlin\tB-LOC\tO\n\n1\tO\tO\tO\n\n",
    b"# text = a\n1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_\n"
    b"1\tde\tde\tADP\tE\t_\t2\tcase\t_\t_\n\n1\tle\tle\tDET\tR\t_\t0\troot\t_\t_\n\n"
    b"1\tun\tun\tDET\tR\t_\t0\troot\t_\t_\n",
    b"# global.columns = ID FORM NE\n1\tRose\tB-PER\n\n1\tleft\tO\n\n1\tMay\tB-PER\n",
    "北 B-LOC\n京 M-LOC\n市 E-LOC\n\n人 O\n\n他 S-PER\n".encode(),
    b"The DT\ncat NN\n\nsat VBD\nthe DT\n\non IN\nthe DT\n",
    b"token\tner\nRose\tPER\n\nleft\tO\n\nMay\tPER\n",
]
LABELLED = [
    b"pos\tgood film\nneg\tbad film\npos\tfine\nneg\tawful\npos\tnice\nneg\tpoor\n" * 2,
    b'text,label\n"good, yes",1\nbad,0\nfine,1\nawful,0\nnice,1\npoor,0\n',
    b"text;label\ngood, yes;1,5\nbad;0\nfine;1\nawful;0\nnice;1\npoor;0\n",
    b'{"text": "a", "label": 1}\n{"text": "b", "label": 0}\n{"text": null, "label": 1}\n{"text": "d", "label": 0.5}\n',
    b"__label__a __label__b good\n__label__a bad\n__label__b fine\n__label__a awful\n",
    b"id,comment_text,toxic,mild\n1,x,0,1\n2,y,1,0\n3,z,0,0\n4,w,1,1\n",
]
PAIRS = [
    b"house\tHaus\ncat\tKatze\ndog\tHund\n",
    b"en\tde\nhouse\tHaus\ncat\tKatze\ndog\tHund\n",
    b"1\thouse\t2\tHaus\n3\tcat\t4\tKatze\n5\tdog\t6\tHund\n",
    b"house\tHaus\tCC-BY 2.0 tatoeba\ncat\tKatze\tCC-BY 2.0 tatoeba\n",
    b'en,de\n"a, b",c\nd,e\nf,g\n',
    b'{"translation": {"en": "a", "de": "b"}}\n{"translation": {"en": "c", "de": null}}\n{"en": "e", "de": "f"}\n',
    b'{"en": "a", "de": "b"}\n{"en": "c", "de": "d"}\n',
]
TEXTS = [b"all that glisters is not gold\n" * 5, "काठमाडौं\r\nनेपाल\rx\n".encode() * 3]
SAFE = {"embeddings": torch.ones(2, 3)}
VECTORS = [
    b"the 0.1 0.2 0.3\ncat 1 2 3\nNew York 4 5 6\n",
    b"3 3\nthe 0.1 0.2 0.3\ncat 1 2 3\ndog 4 5 6\n",
    b"2 3\n" + b"".join(word + b" " + struct.pack("<3f", 1, 2, 3) + b"\n" for word in (b"the", b"cat")),
    save(SAFE, {"words": json.dumps(["the", "cat"])}),
    save(SAFE),
    save(SAFE | {"other": torch.ones(2)}, {"words": "[1]"}),
]
VOCABULARIES = [b"the\ncat\n<unk>\n", b'["the", "cat"]', b'{"the": 0, "cat": 1}', b'{"0": "the", "1": "cat"}', b'"abc"']
COLUMNS = st.sampled_from(
    [*[None] * 12, "0", "1", "-1", "7", "9" * 5000, "text", "label", "toxic,mild", "ner", "UPOS", "en", ""]
)
PACKED = st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2])


def split(folder: Path, **more: Any) -> DataArguments:
    return DataArguments(data_dir=str(folder), validation_fraction=0.3, **more)


def put(case: Any, folder: Path, names: list[str]) -> Path:
    """Writes the file of a case `(bytes, packed, number of its name)`."""
    data, packed, number = case[:3]
    path = folder / (names[number % len(names)] + (".gz" if packed else ""))
    path.write_bytes(in_file(data, packed))
    return path


def files(valid: list[bytes], *more: st.SearchStrategy) -> st.SearchStrategy:
    return st.tuples(damaged(valid), PACKED, st.integers(0, 9), *more)


def enter_text(case: Any, folder: Path) -> None:
    put(case, folder, ["train.txt", "any.txt"])
    args = LanguageModelArguments(examples=case[4], max_characters=case[5])
    causal_lm.load_texts(split(folder, encoding=case[3]), args, warn=str)


def enter_conll(case: Any, folder: Path) -> None:
    put(case, folder, ["train.txt", "eng.train", "x.conllu", "a.conll"])
    args = TaggingArguments(token_column=case[3], tag_column=case[4], data_tag_scheme=case[5])
    token_classification.load_tagged(split(folder), args, warn=str)


def enter_labelled(case: Any, folder: Path) -> None:
    put(case, folder, ["train.tsv", "train.csv", "train.jsonl", "train.txt", "x.train"])
    args = ClassificationArguments(document_column=case[3], label_column=case[4], problem_type=case[5])
    sequence_classification.load_labelled(split(folder, encoding=case[6]), args, warn=str)


def enter_texts(case: Any, folder: Path) -> None:
    path = put(case, folder, ["a.tsv", "a.csv", "a.jsonl", "a.txt"])
    read_texts(path, case[3], case[4])
    read_sources(path, case[3], "en", "de")


def enter_pairs(case: Any, folder: Path) -> None:
    put(case, folder, ["train.tsv", "train.csv", "train.jsonl", "train.txt"])
    args = TranslationArguments(source_lang=case[3], target_lang=case[4])
    translation.load_pairs(split(folder), args, str)


def enter_parallel(case: Any, folder: Path) -> None:
    names, first, second = case
    for name, data in zip(names, (first, second, first, second), strict=False):
        (folder / name).write_bytes(data or first)
    if any(name.startswith("eng.") for name in names):
        token_classification.load_tagged(split(folder), TaggingArguments(), warn=str)
        return
    args = TranslationArguments(source_lang="en", target_lang="de")
    translation.load_pairs(split(folder), args, str)


def enter_vectors(case: Any, folder: Path) -> None:
    path = put(case, folder, ["v.txt", "v.vec", "v.bin", "v.safetensors"])
    load_word_vectors(path, ["the", "cat", "New York", ""], dimension=case[3])


def enter_vocabulary(case: Any, folder: Path) -> None:
    read_tokens(put(case, folder, ["v.txt", "v.json"]))


def enter_no_file(case: Any, folder: Path) -> None:
    """Where a file should be, something else is."""
    kind, name, number = case
    path = folder / name
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(name)
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "closed":
        path.write_bytes(b"a\tb\n")
        path.chmod(0)
    elif kind == "bomb":
        path.write_bytes(gzip.compress(bytes(1 << 24)) * 16)
    elif kind == "long":
        path = folder / ("x" * 300 + name)
    elif kind == "deep":
        path = folder / ("x/" * 3000 + name)
    else:
        path = Path(f"{folder}/a\0{name}")
    READERS[number % len(READERS)](path)


READERS: list[Callable[[Path], Any]] = [
    read_text,
    read_conll,
    lambda path: read_labelled(path, ClassificationArguments(), str),
    read_texts,
    read_sources,
    lambda path: read_pairs(path, TranslationArguments(), str),
    lambda path: load_word_vectors(path, ["a"]),
    read_tokens,
    lambda path: sequence_classification.load_labelled(
        DataArguments(data_dir=str(path.parent)),
        ClassificationArguments(train_file=path.name),
        str,
    ),
    lambda path: causal_lm.load_texts(DataArguments(data_dir=str(path)), LanguageModelArguments(), warn=str),
]
KINDS = ["folder", "pipe", "device", "loop", "dangling", "closed", "bomb", "long", "deep", "nul"]
NAMES = ["a.tsv", "a.csv", "a.jsonl", "a.txt", "a.txt.gz", "a.bin", "a.safetensors", "a.conllu", "a.json"]
FILE_NAMES = st.sampled_from(
    [
        *("train.en", "train.de", "train.en.txt", "train.de.txt", "en.txt", "de.txt", "src-train.txt", "tgt-train.txt"),
        *(
            "dev.en",
            "dev.de",
            "train.txt",
            "eng.train",
            "eng.testa",
            "train.csv",
            "test2016.en",
            "train.en.gz",
            "-.txt",
        ),
    ]
)
NAMES_OF_FILES = st.one_of(
    st.lists(FILE_NAMES, max_size=4, unique=True),
    st.sampled_from([["train.en", "train.de"], ["en.txt", "de.txt"], ["src-train.txt", "tgt-train.txt"]]),
)
LANGUAGES = st.sampled_from([None, None, None, "en", "en", "de", "de", "source", "", "xx", "9" * 50])
DOORS = [
    Door(
        "reader: text",
        "readers",
        files(
            TEXTS,
            st.sampled_from(["utf-8", "utf-8", *ENCODINGS]),
            st.sampled_from(["stream", "lines", "documents"]),
            st.sampled_from([None, 1, 50]),
        ),
        enter_text,
    ),
    Door(
        "reader: CoNLL",
        "readers",
        files(CONLL, COLUMNS, COLUMNS, st.sampled_from([None, None, "iob1", "iobes", "io", "none", "x"])),
        enter_conll,
    ),
    Door(
        "reader: labelled tables",
        "readers",
        files(
            LABELLED,
            COLUMNS,
            COLUMNS,
            st.sampled_from(PROBLEM_TYPES),
            st.sampled_from(["utf-8", "utf-8", *ENCODINGS]),
        ),
        enter_labelled,
    ),
    Door("reader: texts of a table", "readers", files(LABELLED + PAIRS, COLUMNS, COLUMNS), enter_texts),
    Door("reader: tables of pairs", "readers", files(PAIRS, LANGUAGES, LANGUAGES), enter_pairs),
    Door(
        "reader: parallel files and names",
        "readers",
        st.tuples(NAMES_OF_FILES, damaged(TEXTS), st.one_of(st.just(b""), damaged(TEXTS + CONLL))),
        enter_parallel,
    ),
    Door("reader: word vectors", "readers", files(VECTORS, st.sampled_from([None, None, 3, 4])), enter_vectors),
    Door("reader: vocabularies", "readers", files(VOCABULARIES), enter_vocabulary),
    Door(
        "reader: no file",
        "readers",
        st.tuples(st.sampled_from(KINDS), st.sampled_from(NAMES), st.integers(0, 99)),
        enter_no_file,
    ),
]
