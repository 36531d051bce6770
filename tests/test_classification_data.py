"""Data of a classifier: files, data sets, splits, labels and rows."""

import csv
import gzip
import json
import random
import re
from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import pytest

from rnn_zoo.data.keys import DataArguments
from rnn_zoo.data.text_column import read_texts
from rnn_zoo.data.tokenizer_options import tokenizer_options
from rnn_zoo.errors import UserError
from rnn_zoo.models.keys_classifier import MULTI, REGRESSION, SINGLE
from rnn_zoo.tasks.sequence_classification import data as sequence_classification
from rnn_zoo.tasks.sequence_classification.contrast_pairs import contrast_pairs
from rnn_zoo.tasks.sequence_classification.data import check_arguments, load_labelled
from rnn_zoo.tasks.sequence_classification.encoding import distinct_words, encode_texts
from rnn_zoo.tasks.sequence_classification.keys import ClassificationArguments
from rnn_zoo.tasks.sequence_classification.labelled_files import format_texts, read_dataset, read_labelled
from rnn_zoo.tasks.sequence_classification.labels import (
    class_weights,
    label_counts,
    label_ids,
    labels_of,
    sort_labels,
    unseen_labels,
)
from rnn_zoo.tokenizers import TOKENIZER_BUILDERS, for_translation, with_spelling

TEXT = 'good\tA fine "film", really.\nbad\tउबाऊ फ़िल्म\n'
ROWS = [{"text": 'A fine "film", really.', "label": "good"}, {"text": "उबाऊ फ़िल्म", "label": "bad"}]


def read(folder, text: str | bytes, name="a.tsv", warn=None, **arguments):
    """The texts of a file; any warning fails the test unless `warn` collects it."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    warnings: list[str] = [] if warn is None else warn
    rows = read_labelled(path, ClassificationArguments(**arguments), warnings.append)
    assert warn is not None or not warnings
    return rows


def refusal(folder, text: str, name="a.tsv", **arguments) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, text, name, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder / name) in message
    return message.replace(str(folder / name), "FILE")


def labels(rows) -> list:
    return [row["label"] for row in rows]


# ---- files ----
def csv_of(*rows) -> str:
    return "".join(",".join(f'"{field.replace(chr(34), 2 * chr(34))}"' for field in row) + "\r\n" for row in rows)


def jsonl_of(*rows) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


PAIRS = [(row["label"], row["text"]) for row in ROWS]
FORMS = {
    "plain": ("a.tsv", TEXT),
    "another extension": ("a.txt", TEXT),
    "line ends of Windows": ("a.tsv", TEXT.replace("\n", "\r\n")),
    "line ends of an old Mac": ("a.tsv", TEXT.replace("\n", "\r")),
    "byte-order mark": ("a.tsv", "\ufeff" + TEXT),
    "no last line end": ("a.tsv", TEXT.rstrip()),
    "blank lines": ("a.tsv", "\n" + TEXT.replace("\n", "\n\n")),
    "blanks around a label": ("a.tsv", TEXT.replace("bad", " bad ")),
    "comments at the head": ("a.tsv", "# made by hand\n#\n" + TEXT),
    "a header": ("a.tsv", "label\ttext\n" + TEXT),
    "a header, the columns turned": ("a.tsv", "Sentence\tSentiment\n" + "".join(f"{t}\t{n}\n" for n, t in PAIRS)),
    "a header, more columns": ("a.tsv", "id\ttext\tlabel\n" + "".join(f"7\t{t}\t{n}\n" for n, t in PAIRS)),
    "gzipped": ("a.tsv.gz", gzip.compress(TEXT.encode(), mtime=0)),
    "CSV": ("a.csv", csv_of(*PAIRS)),
    "CSV with a header": ("a.csv", csv_of(("text", "label"), *(pair[::-1] for pair in PAIRS))),
    "gzipped CSV": ("a.csv.gz", gzip.compress(csv_of(*PAIRS).encode(), mtime=0)),
    "JSON lines": ("a.jsonl", jsonl_of(*({**row, "id": 1} for row in ROWS))),
    "JSON lines of an old Mac": ("a.jsonl", jsonl_of(*ROWS).replace("\n", "\r")),
    "gzipped JSON lines": ("a.jsonl.gz", gzip.compress(jsonl_of(*ROWS).encode(), mtime=0)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file_gives_the_same_texts(tmp_path, form):
    name, content = FORMS[form]
    assert read(tmp_path, content, name) == ROWS


def test_what_is_written_is_read_again(tmp_path):
    assert read(tmp_path, format_texts(ROWS)) == ROWS
    several = [{"text": "a", "label": ["x", "y"]}, {"text": "b", "label": []}, {"text": "c", "label": ["y"]}]
    assert read(tmp_path, format_texts(several), problem_type=MULTI) == several
    numbers = [{"text": "a", "label": -1.5}, {"text": "b", "label": 1e-7}]
    assert read(tmp_path, format_texts(numbers), problem_type=REGRESSION) == numbers
    for row in ({"text": "a\tb", "label": "x"}, {"text": "a", "label": "x\ny"}, {"text": "a", "label": ["x,y", "z"]}):
        with pytest.raises(ValueError, match=r"no (tab|comma)"):
            format_texts([row])


SHORT = "pos\tgood\nneg\tbad\npos\tfine\nneg\tdull\n"


@pytest.mark.parametrize(
    ("header", "is_data", "warning"),
    [
        ("Sentiment\tBody\n", False, "FILE:1: taken for a header: texts are column 'Body', labels column 'Sentiment'"),
        ("kind\ttext\n", False, "FILE:1: taken for a header: texts are column 'text', labels column 'kind'"),
        ("v1\tv2\n", True, "FILE:1: 'v1' is a label of this row alone; if it is a header, give --label_column v1"),
        ("question\tWhat is it?\n", True, None),
        ("question\tagain\nquestion\tand again\n", True, None),  # a label, though texts may be named so
        ("rare\tonly once\n", True, None),
    ],
)
def test_a_header_of_one_known_name_or_none(tmp_path, header, is_data, warning):
    warnings: list[str] = []
    rows = read(tmp_path, header + SHORT, warn=warnings)
    assert len(rows) == 4 + is_data * header.count("\n")
    assert [text.replace(str(tmp_path / "a.tsv"), "FILE")[: len(warning or "")] for text in warnings] == (
        [warning] if warning else []
    )


@pytest.mark.parametrize(
    ("name", "content", "told", "usual", "texts", "column"),
    [
        ("a.csv", '\ufefftext,label\r\n"a, ""b""\nc",x\r\n,y\r\n', None, None, ['a, "b"\nc', ""], "column 'text'"),
        ("a.csv", "text\na\n\nb\n", None, None, ["a", "", "b"], "column 'text'"),
        ("a.csv", "id,keyword,text\n1,,a\n2,x,b\n", None, None, ["a", "b"], "column 'text'"),
        ("a.csv", "n,body,kind\n1,a,x\n", None, "body", ["a"], "column 'body'"),
        ("a.csv", "body,text\na,b\n", "body", "text", ["a"], "column 'body'"),
        ("a.tsv", "#a\nb\n", None, "1", ["#a", "b"], "column 0, counted from 0; there is no header"),
        (
            "a.tsv.gz",
            gzip.compress(TEXT.encode(), mtime=0),
            None,
            None,
            [row["text"] for row in ROWS],
            "column 1, counted from 0",
        ),
        ("a.tsv", "index\tsentence\r0\ta\r1\tb\r", None, None, ["a", "b"], "column 'sentence'"),
        ("a.tsv", "question\tWho?\nquestion\tWhat?\n", None, None, ["Who?", "What?"], "column 1, counted from 0"),
        ("a.jsonl", '{"text": "a"}\n\n{"text": null, "label": 1}\n', None, None, ["a", ""], "column 'text'"),
        ("a.csv", "", None, None, [], ""),
        ("a.tsv", "__label__x a b\n\n__label__y\tc\n", None, None, ["a b", "c"], "what is no label"),
    ],
)
def test_the_texts_of_a_table_alone(tmp_path, name, content, told, usual, texts, column):
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    found, where = read_texts(tmp_path / name, told, usual)
    assert found == texts
    assert where.startswith(column)


@pytest.mark.parametrize(
    ("name", "content", "problem", "expected"),
    [
        ("a.csv", "text;label\ngood, yes;1\nbad, no;0\n", SINGLE, [("good, yes", "1"), ("bad, no", "0")]),
        ("a.csv", 'label;text\n1;"a; b"\n0;"c ""d"""\n', SINGLE, [("a; b", "1"), ('c "d"', "0")]),
        ("a.csv", "good;3,5\nbad;1,2\n", REGRESSION, [("3,5", None)]),
        ("a.csv", "text;score\ngood, yes;3,5\nbad;1\n", REGRESSION, [("good, yes", 3.5), ("bad", 1.0)]),
        ("a.csv", "text,label\na;b,x\nc;d,y\n", SINGLE, [("a;b", "x"), ("c;d", "y")]),
        (
            "a.txt",
            "__label__pos good film\n\n__label__neg\tbad film\n",
            SINGLE,
            [("good film", "pos"), ("bad film", "neg")],
        ),
        (
            "a.train",
            "__label__a __label__b , both\nnone\nx __label__a\n",
            MULTI,
            [(", both", ["a", "b"]), ("none", []), ("x", ["a"])],
        ),
        ("a.csv", "text,toxic,obscene\nx,1,0\ny,0,0\n", MULTI, [("x", ["toxic"]), ("y", [])]),
        (
            "a.csv",
            "id,comment_text,toxic,hot\n7,x,0,1.0\n9,y,1,TRUE\n",
            MULTI,
            [("x", ["hot"]), ("y", ["toxic", "hot"])],
        ),
        ("a.tsv", "nr\ttext\ta\tb\n1\tx\t0\t1\n0\ty\t1\t\n", MULTI, [("x", ["b"]), ("y", ["a"])]),
        (
            "a.jsonl",
            '{"text": "x", "a": 1, "b": false}\n{"text": "y", "a": 0, "b": true}\n',
            MULTI,
            [("x", ["a"]), ("y", ["b"])],
        ),
    ],
)
def test_tables_of_other_shapes(tmp_path, name, content, problem, expected):
    """Semicolons, with decimal commas or not; lines of fastText; a column of 0 and 1 for each label."""
    (tmp_path / name).write_text(content)
    args = ClassificationArguments(problem_type=problem)
    if expected[0][1] is None:  # the first of two columns holds labels
        with pytest.raises(UserError, match=r"a.csv:1: label 'good' is no number"):
            read_labelled(tmp_path / name, args)
        return
    found = read_labelled(tmp_path / name, args, warn=str)
    assert [(row["text"], row["label"]) for row in found] == expected


def test_mistakes_in_tables_of_other_shapes(tmp_path):
    for content, problem, told, message in [
        ("__label__a __label__b x\n", SINGLE, None, "a.txt:1: 2 labels (a, b); one is expected, any number with"),
        ("__label__a x\ny\n", SINGLE, None, "a.txt:2: no label"),
        ("text\ta\tb\nx\t1\t0\ny\t2\t0\n", MULTI, "a,b", "a.txt:3: a is '2', must be 0 or 1"),
        ("one\ttwo\ta\tb\nx\ty\t1\t0\n", MULTI, "a,b", "document_column: not given, and"),
    ]:
        (tmp_path / "a.txt").write_text(content)
        with pytest.raises(UserError) as caught:
            read_labelled(tmp_path / "a.txt", ClassificationArguments(problem_type=problem, label_column=told), str)
        assert message in str(caught.value)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_files_in_any_encoding(tmp_path, encoding):
    dash = "-" if encoding == "latin-1" else "–"
    text = "".join(f"gut\tgrüße {dash} {n}\nböse\tnein {n}\n" for n in range(4))
    for data in (text.encode(encoding), text.encode("utf-16-be") if encoding == "utf-16" else text.encode(encoding)):
        (tmp_path / "train.tsv").write_bytes(data)
        data_args = DataArguments(data_dir=str(tmp_path), encoding=encoding, validation_fraction=0.25)
        found = load_labelled(data_args, ClassificationArguments(), warn=str)
        assert {row["text"] for row in found.splits["train"]} <= set(re.findall(r"\t(.*)", text))
    assert found.labels == ["böse", "gut"]


def test_a_wrong_encoding_names_the_key(tmp_path):
    text = "gut\tgrüße\nböse\tnein\n"
    for data, encoding, message in [
        (
            text.encode("latin-1"),
            "utf-8",
            "train.tsv: byte 6 (line 1) is 0xfc, which is not UTF-8; give the file's own "
            "--encoding (as cp1252 or utf-16)",
        ),
        (text.encode("utf-16"), "utf-8", "--encoding (as utf-16, whose mark it begins with)"),
        (b"a\tb\n\xd8\x00\x00", "utf-16-le", "which is not utf-16-le; give the file's own --encoding"),
        (
            "a\tb\n".encode("utf-16-le"),
            "utf-8",
            "holds NUL bytes in many places, so it is no text in utf-8; if it is UTF-16",
        ),
        (b"", "utf-9", "encoding='utf-9': unknown; as utf-8, latin-1, cp1252"),
        (b"", "base64", "encoding='base64': unknown"),
        (b"", "unicode_escape", "encoding='unicode_escape': unknown"),
        (b"", "a\0b", "unknown"),
    ]:
        (tmp_path / "train.tsv").write_bytes(data)
        with pytest.raises(UserError) as caught:
            load_labelled(DataArguments(data_dir=str(tmp_path), encoding=encoding), ClassificationArguments())
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "told", "message"),
    [
        ("a.csv", "1,a,b\n", None, "document_column: not given, and FILE has 3 columns, no header"),
        ("a.csv", "label,class\nx,y\n", None, "document_column: not given, and FILE has the columns label, class"),
        ("a.csv", "text,label\na,b\nc\n", None, "FILE:3: 1 column between commas, 2 are expected: 'c'"),
        ("a.csv", "text|label\na|b\n", None, "FILE: commas are expected between columns, and there are none in 'text|"),
        ("a.csv", "a,b\nc,d\n", "body", "document_column='body': the first row of FILE has the columns a, b"),
        ("a.csv", "a,b\nc,d\n", "2", "document_column=2: FILE has 2 columns, from 0 to 1"),
        ("a.csv", "text,text\na,b\n", None, "FILE: the header names the column 'text' 2 times"),
        ("a.jsonl", '{"text": "a"}\n{"label": "b"}\n', None, "FILE:2: no 'text' in it"),
        ("a.jsonl", '{"text": 1}\n', None, "FILE:1: 'text' is of type int, must be a string"),
        ("a.json", '[{"text": "a"}]\n', None, "FILE:1: an object is expected on each line"),
    ],
)
def test_tables_without_clear_texts(tmp_path, name, content, told, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as caught:
        read_texts(tmp_path / name, told)
    assert str(caught.value).replace(str(tmp_path / name), "FILE").startswith(message)


def test_quotes_of_a_tsv_are_characters(tmp_path):
    rows = read(tmp_path, 'x\t"never closed\ny\t"a" b "c\n')
    assert [row["text"] for row in rows] == ['"never closed', '"a" b "c']


def test_odd_characters_do_not_end_a_line(tmp_path):
    text = "a\u2028b\x85c\x0bd\x00e\x1cf"
    assert read(tmp_path, f"x\t{text}\ny\tz\n")[0]["text"] == text
    assert read(tmp_path, f"x,{text}\ny,z\n", "a.csv")[0]["text"] == text


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_a_text_of_100_000_words(tmp_path, name):
    text = "word " * 100_000
    limit = csv.field_size_limit()
    rows = read(tmp_path, f"x\t{text}\ny\tz\n".replace("\t", "," if name == "a.csv" else "\t"), name)
    assert len(rows[0]["text"]) == 500_000
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    "told",
    [
        {"label_column": "2", "document_column": "1"},
        {"label_column": "-1", "document_column": "-2"},
        {"label_column": "kind", "document_column": "body"},
        {"label_column": "kind", "document_column": "1"},
    ],
)
def test_columns_are_told(tmp_path, told):
    header = "n\tbody\tkind\n" if "kind" in told.values() else ""
    assert read(tmp_path, f"{header}1\tfine\tgood\n2\tdull\tbad\n", **told) == [
        {"text": "fine", "label": "good"},
        {"text": "dull", "label": "bad"},
    ]


def test_of_two_columns_one_needs_to_be_told(tmp_path):
    assert labels(read(tmp_path, "fine\tgood\n", label_column="1")) == ["good"]
    assert labels(read(tmp_path, "fine\tgood\n", document_column="0")) == ["good"]


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("good\tfine\nno label\n", {}, "FILE:2: 1 column between tabs, 2 are expected: 'no label'"),
        ("no label\ngood\tfine\n", {}, "FILE:1: no label: 1 column between tabs, label and text are expected"),
        ("good\tfine\n\tdull\n", {}, "FILE:2: no label: 'dull'"),
        ("good\tfine\n \tdull\n", {}, "FILE:2: no label: 'dull'"),
        ("good\tfine\nbad\tdull\tlong\n", {}, "FILE:2: 3 columns between tabs, 2 are expected: 'bad dull long'"),
        ("1\tgood\tfine\n", {}, "label_column: not given, and FILE has 3 columns and no header"),
        ("a\tb\tc\n", {"label_column": "0"}, "document_column: not given, and FILE has 3 columns and no header"),
        ("id\tlabel\tbody\n", {"label_column": "label"}, "document_column: not given, and FILE has the columns id, la"),
        ("a\tb\n", {"label_column": "2"}, "label_column=2: FILE has 2 columns, from 0 to 1"),
        ("a\tb\n", {"label_column": "-3"}, "label_column=-3: FILE has 2 columns"),
        ("a\tb\n", {"label_column": "kind"}, "label_column='kind': the first row of FILE has the columns a, b"),
        (
            f"{'a ' * 999}\tb\n",
            {"label_column": "kind"},
            f"label_column='kind': the first row of FILE has the columns {'a ' * 19}a…, b",
        ),
        ("a\tb\n", {"label_column": "1", "document_column": "1"}, "label_column, document_column: both are column 1"),
        ("label\ttext\ttext\nx\ty\tz\n", {}, "FILE: the header names the column 'text' 2 times"),
        ("label\ttext\nx\ty\nlabel\ttext\n", {}, "FILE:3: the header stands here again: label, text"),
        ("1.5\tfine\nmany\tdull\n", {"problem_type": REGRESSION}, "FILE:2: label 'many' is no number: 'dull'"),
        ("nan\tfine\n", {"problem_type": REGRESSION}, "FILE:1: label 'nan' is no number"),
        ("1e999\tfine\n", {"problem_type": REGRESSION}, "FILE:1: label '1e999' is no number"),
        ("\tfine\n", {"problem_type": REGRESSION}, "FILE:1: label '' is no number"),
        ("1,2\tfine\n3\tdull\n", {"problem_type": REGRESSION}, "FILE:2: 1 numbers, before there were 2"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(tmp_path, text, arguments, message):
    assert refusal(tmp_path, text, **arguments).startswith(message)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", 'x,"never closed\ny,z\n', "FILE:2: not readable as CSV: unexpected end of data"),
        ("a.csv", "x,y\nz\n", "FILE:2: 1 column between commas, 2 are expected: 'z'"),
        ("a.jsonl", '{"label": "x", "text": "y"}\n{"label"\n', "FILE:2: not readable as JSON:"),
        ("a.jsonl", '["x", "y"]\n', "FILE:1: an object is expected on each line"),
        ("a.jsonl", '{"label": "x", "text": "y"}\n{"text": "y"}\n', "FILE:2: no 'label' in it"),
        (
            "a.jsonl",
            '{"label": "x", "body": "y"}\n',
            "document_column: not given, and none is named text; FILE has the",
        ),
        ("a.jsonl", '{"label": "x", "text": 1}\n', "FILE:1: the text is of type int, must be a string"),
        ("a.jsonl", '{"label": {"a": 1}, "text": "y"}\n', "FILE:1: label {'a': 1} is of type dict, must be a string"),
        ("a.jsonl", '{"label": null, "text": "y"}\n', "FILE:1: no label: 'y'"),
    ],
)
def test_other_broken_files(tmp_path, name, text, message):
    assert refusal(tmp_path, text, name).startswith(message)


def test_empty_texts_are_kept_and_counted(tmp_path):
    warnings = []
    rows = read(tmp_path, "x\tfine\ny\t\nx\t \n", warn=warnings)
    assert [row["text"] for row in rows] == ["fine", "", " "]
    path = tmp_path / "a.tsv"
    assert warnings == [f"{path}: 2 of 3 texts are empty, the first at {path}:2"]


def test_several_labels_and_numbers(tmp_path):
    text = "a, b,,a\tone\n\ttwo\nc\tthree\n"
    assert labels(read(tmp_path, text, problem_type=MULTI)) == [["a", "b"], [], ["c"]]
    assert labels(read(tmp_path, text[:-8].replace("\ttwo", "b\ttwo"))) == ["a, b,,a", "b"]
    assert labels(read(tmp_path, "1\ta\n-.5\tb\n", problem_type=REGRESSION)) == [1.0, -0.5]
    assert labels(read(tmp_path, "1, 2\ta\n3,4\tb\n", problem_type=REGRESSION)) == [[1.0, 2.0], [3.0, 4.0]]


def test_labels_in_json_are_what_they_are_written_as(tmp_path):
    rows = [{"text": "t", "label": label} for label in ("x", 1, True, 2.5, 3.0)]
    assert labels(read(tmp_path, jsonl_of(*rows), "a.jsonl")) == ["x", "1", "true", "2.5", "3"]
    rows = [{"text": "t", "label": label} for label in (["x", 1], [], None, "x,y")]
    several = read(tmp_path, jsonl_of(*rows), "a.jsonl", problem_type=MULTI)
    assert labels(several) == [["x", "1"], [], [], ["x", "y"]]
    rows = [{"text": "t", "label": label} for label in (1, 0.5)]
    assert labels(read(tmp_path, jsonl_of(*rows), "a.jsonl", problem_type=REGRESSION)) == [1.0, 0.5]


# ---- data sets ----
def dataset(columns: dict, **features) -> datasets.Dataset:
    rows = datasets.Dataset.from_dict(columns)
    return rows.cast(datasets.Features({**rows.features, **features})) if features else rows


NAMES = datasets.ClassLabel(names=["bad", "good"])


@pytest.mark.parametrize(
    ("rows", "problem_type", "expected"),
    [
        (dataset({"text": ["a", "b"], "label": [1, 0]}, label=NAMES), SINGLE, ["good", "bad"]),
        (dataset({"sentence": ["a", "b"], "idx": [0, 1], "label": ["x", "y"]}), SINGLE, ["x", "y"]),
        (dataset({"text": ["a", "b"], "stars": [5, 1]}), SINGLE, ["5", "1"]),
        (dataset({"text": ["a", "b"], "stars": [5, 1]}), REGRESSION, [5.0, 1.0]),
        (dataset({"text": ["a", "b"], "label": [1, 0]}, label=NAMES), REGRESSION, [1.0, 0.0]),
        (
            dataset({"text": ["a", "b"], "labels": [[1, 0], []]}, labels=datasets.List(NAMES)),
            MULTI,
            [["good", "bad"], []],
        ),
    ],
)
def test_columns_of_data_sets(rows, problem_type, expected):
    found = read_dataset(rows, ClassificationArguments(problem_type=problem_type))
    assert [row["text"] for row in found] == ["a", "b"]
    assert labels(found) == expected


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        ({"text": ["a"], "label": [None]}, {}, None),
        ({"text": ["a", "b"], "label": ["x", None]}, {}, "sets, row 1: no label: 'b'"),
        ({"text": [["a"]], "label": ["x"]}, {}, "sets, row 0: the text is of type list, must be a string"),
        (
            {"body": ["a"], "label": ["x"]},
            {},
            "document_column: not given, and none is named text; sets has the columns",
        ),
        ({"text": ["a"], "label": ["x"]}, {"label_column": "y"}, "label_column='y'; sets has the columns text, label"),
    ],
)
def test_data_sets_that_do_not_fit(rows, arguments, message):
    rows = datasets.Dataset.from_dict(rows)
    if message is None:
        assert read_dataset(rows, ClassificationArguments(), "sets") is None
        return
    with pytest.raises(UserError) as caught:
        read_dataset(rows, ClassificationArguments(**arguments), "sets")
    assert str(caught.value).startswith(message)


def hub(monkeypatch, **splits):
    monkeypatch.setattr(sequence_classification, "hub_splits", lambda data: splits)


def test_a_hub_data_set_keeps_the_order_of_its_labels(monkeypatch):
    names = datasets.ClassLabel(names=["z", "a", "never"])
    train = dataset({"sentence": list("abcdefghijkl"), "label": [0, 1] * 6}, label=names)
    unlabelled = dataset({"sentence": ["m", "n"], "label": [-1, -1]})
    unlabelled = unlabelled.cast(datasets.Features({**unlabelled.features, "label": names}))
    hub(monkeypatch, train=train, test=unlabelled)
    warnings: list[str] = []
    found = load_labelled(DataArguments(dataset_name="some/set"), ClassificationArguments(), warnings.append)
    assert found.labels == ["z", "a", "never"]
    assert found.splits.keys() == {"train", "validation"}
    assert warnings == [
        "some/set (test): its texts have no labels; left out",
        "some/set: the train part has no text of 'never'",
    ]
    hub(monkeypatch, train=unlabelled)
    with pytest.raises(UserError, match=r"some/set \(train\): its texts have no labels"):
        load_labelled(DataArguments(dataset_name="some/set"), ClassificationArguments(), warnings.append)


# ---- splits ----
def folder_of(folder: Path, **files) -> DataArguments:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.tsv").write_text(text, encoding="utf-8")
    return DataArguments(data_dir=str(folder))


def load(data: DataArguments, only=None, **arguments):
    warnings: list[str] = []
    found = load_labelled(data, ClassificationArguments(**arguments), warnings.append, only)
    return found, warnings


def texts_of(number: int, seed: int = 0, names=("bad", "fair", "good"), weights=(5, 2, 1)) -> str:
    chooser = random.Random(seed)
    lines = [f"{chooser.choices(names, weights)[0]}\ttext {seed} {n}\n" for n in range(number)]
    return "".join(lines)


def test_splits_of_a_folder(tmp_path):
    data = folder_of(tmp_path, train=TEXT, valid=TEXT, test=TEXT)
    found, warnings = load(data)
    assert found.splits == {"train": ROWS, "validation": ROWS, "test": ROWS}
    assert found.labels == ["bad", "good"]
    assert not warnings


@pytest.mark.parametrize(
    ("train_file", "expected"),
    [
        ("movie_train.tsv", {"train": "movie", "validation": "movie", "test": "movie"}),
        ("book_train.tsv", {"train": "book", "validation": "plain", "test": "plain"}),
        ("train_phrases.tsv", {"train": "phrases", "validation": "plain", "test": "plain"}),
        ("corpus.tsv", {"train": "corpus", "validation": "plain", "test": "plain"}),
    ],
)
def test_the_train_file_is_told(tmp_path, train_file, expected):
    def of(name: str) -> str:
        return f"x\t{name}\ny\t{name} 2\n"

    names = {"movie_train": "movie", "movie_dev": "movie", "movie_test": "movie", "book_train": "book"}
    names |= {"train_phrases": "phrases", "corpus": "corpus", "valid": "plain", "test": "plain", "train": "plain"}
    data = folder_of(tmp_path, **{name: of(word) for name, word in names.items()})
    found, _ = load(data, train_file=train_file)
    assert {name: rows[0]["text"] for name, rows in found.splits.items()} == expected
    only, _ = load(data, "test", train_file=train_file)
    assert only.splits["test"][0]["text"] == expected["test"]


def test_train_files_that_are_not_there(tmp_path):
    data = folder_of(tmp_path, movie_train=TEXT, movie_valid=TEXT, movie_val=TEXT)
    with pytest.raises(UserError, match=r"movie_val\.tsv and movie_valid\.tsv are both validation: leave one"):
        load(data, train_file="movie_train.tsv")
    with pytest.raises(
        UserError, match=r"train_file='book\.tsv': .* has movie_train\.tsv, movie_val\.tsv, movie_valid"
    ):
        load(data, train_file="book.tsv")
    (tmp_path / "movie_val.tsv").unlink()
    with pytest.raises(UserError, match=r"train_file='book_train\.tsv': .* has no test file that goes with it"):
        load(data, "test", train_file="book_train.tsv")
    found, _ = load(data, "validation", train_file="movie_train.tsv")
    assert found.splits["validation"] == ROWS


def test_one_split_alone(tmp_path):
    found, warnings = load(folder_of(tmp_path, test="b\tone\nb\ttwo\n"), "test")
    assert (list(found.splits), found.labels, warnings) == (["test"], ["b"], [])


@pytest.mark.parametrize("order", ["as it is", "by label", "backwards"])
def test_a_tenth_of_each_label_is_held_out_always_the_same_part(tmp_path, order):
    lines = texts_of(800).splitlines(keepends=True)
    lines = {"as it is": lines, "by label": sorted(lines), "backwards": lines[::-1]}[order]
    data = folder_of(tmp_path, train="".join(lines))
    found, _ = load(data)
    again, _ = load(data)
    assert found == again
    train, validation = found.splits["train"], found.splits["validation"]
    assert len(validation) == 80
    assert sorted(f"{row['label']}\t{row['text']}\n" for row in train + validation) == sorted(lines)
    whole, held = label_counts(train + validation), label_counts(validation)
    assert all(abs(held[label] - whole[label] / 10) <= 1 for label in whole)
    changes = [
        sum(one != other for one, other in zip(labels(p), labels(p)[1:], strict=False)) for p in (train, validation)
    ]
    assert changes[0] > 200  # mixed, though the file may be sorted
    assert changes[1] > 20


def test_equal_texts_stay_together_and_rare_labels_in_train(tmp_path):
    lines = texts_of(90, names=("bad", "good"), weights=(1, 1)) * 2 + "rare\tonly once\n"
    found, warnings = load(folder_of(tmp_path, train=lines))
    parts = [{row["text"] for row in found.splits[name]} for name in ("train", "validation")]
    assert not parts[0] & parts[1]
    assert "only once" in parts[0]
    assert len(found.splits["validation"]) == 18
    assert not [text for text in warnings if "lacks" in text]


def test_shares_of_validation_and_test(tmp_path):
    data = folder_of(tmp_path, train=texts_of(100))
    data.validation_fraction, data.test_fraction = 0.2, 0.3
    found, _ = load(data)
    assert {name: len(rows) for name, rows in found.splits.items()} == {"train": 50, "validation": 20, "test": 30}
    data = folder_of(tmp_path / "small", train=TEXT)
    data.test_fraction = 0.1
    with pytest.raises(UserError, match="the test part is empty: 2 texts are too few for the shares held out"):
        load(data)


def test_several_labels_and_numbers_are_held_out_too(tmp_path):
    chooser = random.Random(0)
    lines = [f"{','.join(chooser.sample('abc', chooser.randint(0, 2)))}\ttext {n}\n" for n in range(200)]
    found, _ = load(folder_of(tmp_path, train="".join(lines)), problem_type=MULTI)
    assert (found.labels, len(found.splits["validation"])) == (["a", "b", "c"], 20)
    lines = [f"{n},0.5\ttext {n}\n" for n in range(50)]
    found, _ = load(folder_of(tmp_path, train="".join(lines)), problem_type=REGRESSION)
    assert (found.labels, len(found.splits["validation"])) == (["score_0", "score_1"], 5)
    assert load(folder_of(tmp_path, train="1\ta\n2\tb\n", valid="1\ta\n"), problem_type=REGRESSION)[0].labels == [
        "score"
    ]


# ---- labels ----
@pytest.mark.parametrize("name", ["valid", "test"])
def test_a_label_that_train_lacks_is_refused_by_name(tmp_path, name):
    files = {"train": TEXT, "valid": TEXT, "test": TEXT} | {name: TEXT + "mixed\tso-so\nmixed\tfair\nodd\tx\n"}
    part = {"valid": "validation", "test": "test"}[name]
    with pytest.raises(UserError) as caught:
        load(folder_of(tmp_path, **files))
    assert str(caught.value) == (
        f"{tmp_path}: the {part} part has labels that the train part lacks: 'mixed' (2), 'odd' (1)"
    )


def test_a_label_that_test_lacks_is_a_warning(tmp_path):
    _, warnings = load(folder_of(tmp_path, train=TEXT, valid=TEXT, test="good\tfine\n"))
    assert warnings == [f"{tmp_path}: the test part has no text of 'bad'"]


@pytest.mark.parametrize(
    ("train", "problem_type", "message"),
    [
        ("x\ta\nx\tb\n", SINGLE, "the train part has only the label 'x'; there must be two to tell apart"),
        ("\ta\n\tb\n", MULTI, "the train part has no label"),
        ("", SINGLE, "the train part holds no text"),
        ("label\ttext\n", SINGLE, "the train part holds no text"),
    ],
)
def test_too_few_labels_or_texts(tmp_path, train, problem_type, message):
    with pytest.raises(UserError, match=message):
        load(folder_of(tmp_path, train=train), problem_type=problem_type)


def test_numbers_of_another_length_are_refused(tmp_path):
    with pytest.raises(UserError, match="labels of 1 numbers in the test part, of 2 in train"):
        load(folder_of(tmp_path, train="1,2\ta\n", valid="1,2\ta\n", test="1\tb\n"), problem_type=REGRESSION)


def test_a_label_for_nearly_every_text_is_told(tmp_path):
    lines = "".join(f"id {n}\ttext {n}\n" for n in range(30))
    _, warnings = load(folder_of(tmp_path, train=lines, valid="id 1\tx\n"))
    assert (
        "30 different labels for 30 training texts; the first is 'id 0': is label_column the right one?" in warnings[0]
    )


def test_order_of_labels():
    assert sort_labels(["10", "9", "-1", "+2", "1.5"]) == ["-1", "1.5", "+2", "9", "10"]
    assert sort_labels({"b", "a", "10", "9"}) == ["10", "9", "a", "b"]
    assert sort_labels(["१०", "९"]) == ["१०", "९"]  # digits of other scripts are names
    assert labels_of(ROWS, SINGLE) == ["bad", "good"]


def test_unknown_labels_are_listed():
    rows = [{"text": "", "label": f"l{n:02}"} for n in range(10)] + [{"text": "", "label": ["x", "l00"]}]
    assert unseen_labels(rows, ["x"]) == (
        "'l00' (2), 'l01' (1), 'l02' (1), 'l03' (1), 'l04' (1), 'l05' (1), 'l06' (1), 'l07' (1) and 2 more"
    )
    assert unseen_labels(rows, [f"l{n:02}" for n in range(10)] + ["x"]) == ""


def test_labels_become_ids():
    assert label_ids(ROWS, ["bad", "good"], SINGLE) == [1, 0]
    several = [{"text": "", "label": ["c", "a"]}, {"text": "", "label": []}]
    assert label_ids(several, ["a", "b", "c"], MULTI) == [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    assert label_ids([{"text": "", "label": 2}, {"text": "", "label": [1.0]}], ["score"], REGRESSION) == [[2.0], [1.0]]
    with pytest.raises(UserError, match=r"label 'good': unknown \(choose from 'bad', 'fair'\)"):
        label_ids(ROWS, ["bad", "fair"], SINGLE)


def test_class_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    rows = [{"text": "", "label": label} for label in "aaaabbc"]
    expected = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=labels(rows))
    assert class_weights(rows, ["a", "b", "c"]) == pytest.approx(list(expected))
    assert class_weights(rows, ["a", "b", "c", "d"])[3] == 0


def test_arguments_out_of_range():
    for arguments, message in (
        ({"max_text_length": 0}, "max_text_length=0: must be at least 1"),
        ({"balance_classes": True, "problem_type": MULTI}, "balance_classes: needs problem_type=single_label"),
    ):
        with pytest.raises(UserError, match=message):
            check_arguments(ClassificationArguments(**arguments))


# ---- rows ----
@pytest.mark.parametrize("kind", TOKENIZER_BUILDERS)
def test_encoded_texts_are_what_the_tokenizer_gives(kind, monkeypatch):
    monkeypatch.setattr("rnn_zoo.tasks.sequence_classification.encoding.BATCH_TEXTS", 2)
    texts = ["one two", "", "नमस्ते, one!", "\x00", "two " * 9]
    tokenizer = TOKENIZER_BUILDERS[kind]([f"{text}\n" for text in texts])
    rows = encode_texts(texts, tokenizer)
    assert rows == [{"input_ids": tokenizer(text)["input_ids"]} for text in texts]
    assert encode_texts([], tokenizer) == []
    tokenizer(["a", "a b"], padding="max_length", max_length=3, truncation=True)  # leaves its mark in the backend
    assert encode_texts(texts, tokenizer) == rows


def test_rows_of_a_tokenizer_that_spells():
    tokenizer = with_spelling(TOKENIZER_BUILDERS["wordpunct"](["a bc"]), ["a bc"], max_word_length=3)
    rows = encode_texts(["bc, a", ""], tokenizer, 2)
    assert rows == [
        {"input_ids": tokenizer("bc,")["input_ids"], "character_ids": [[3, 4, 0], [1, 0, 0]]},
        {"input_ids": [], "character_ids": []},
    ]
    assert distinct_words(["bc, a", "", "A bc"], tokenizer) == {"bc", ",", "a", "A"}


@pytest.mark.parametrize("kind", [kind for kind in TOKENIZER_BUILDERS if kind != "word"])  # which reads them, as said
def test_special_tokens_in_a_text_are_text(kind):
    text = "a <unk> b <eos> <pad> c"
    tokenizer = TOKENIZER_BUILDERS[kind]([text] * 2)
    assert min(encode_texts([text], tokenizer)[0]["input_ids"]) > 3


def test_long_texts_keep_their_beginning_and_are_counted():
    tokenizer = TOKENIZER_BUILDERS["wordpunct"](["a b c d"])
    warnings: list[str] = []
    rows = encode_texts(["a b c d", "a b", "d c b"], tokenizer, 2, warnings.append, "here (train)")
    assert tokenizer.batch_decode([row["input_ids"] for row in rows]) == ["a b", "a b", "d c"]
    assert warnings == ["here (train): 2 of 3 texts have more than max_text_length=2 tokens and are cut"]
    encode_texts(["a b"], tokenizer, 2, warnings.append)
    assert len(warnings) == 1


def test_a_tokenizer_that_ends_its_texts_does_so_here():
    tokenizer = for_translation(TOKENIZER_BUILDERS["wordpunct"](["a b"]))
    assert encode_texts(["a", ""], tokenizer)[1] == {"input_ids": [tokenizer.eos_token_id]}


@pytest.mark.parametrize("kind", TOKENIZER_BUILDERS)
@pytest.mark.parametrize("name", ["fold_case", "clean_markup"])
def test_options_that_a_tokenizer_lacks_are_refused(kind, name):
    data = DataArguments(tokenizer_type=kind, **{name: True})
    if kind in ("wordpunct", "bpe", "unigram"):
        assert tokenizer_options(data)[name] is True
        return
    with pytest.raises(UserError, match=f"{name}: a {kind} tokenizer has no such option; wordpunct, bpe, unigram have"):
        tokenizer_options(data)
    assert name not in tokenizer_options(DataArguments(tokenizer_type=kind))


def test_contrast_pairs_are_whole_and_not_in_the_sample():
    pairs = contrast_pairs()
    assert Counter(pair.lang for pair in pairs) == {"en": 30, "hi": 30, "mr": 30, "ne": 30}
    texts = [text for pair in pairs for text in (pair.positive, pair.negative)]
    assert len(set(texts)) == len(texts)
    found, _ = load(DataArguments(embedded_data="sentiment_sample"))
    assert not {row["text"] for split in found.splits.values() for row in split} & set(texts)


def test_the_embedded_sample(tmp_path):
    found, warnings = load(DataArguments(embedded_data="sentiment_sample"))
    assert (found.labels, warnings) == (["negative", "positive"], [])
    assert Counter(labels(found.splits["validation"])) == {"negative": 176, "positive": 176}
    with pytest.raises(
        UserError, match=r"embedded_data='sentiment': unknown \(choose from sentiment_sample, cldr_languages\)"
    ):
        load(DataArguments(embedded_data="sentiment"))


def test_several_folders_are_one_training_set(tmp_path):
    for folder, labels in (("shops", "0 1"), ("films", "bad good")):
        for split, n in (("train", 4), ("valid", 2)):
            lines = [f"{labels.split()[k % 2]}\t{folder} {split} {k}\n" for k in range(n)]
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{split}.tsv").write_text("".join(lines), encoding="utf-8")
    folders = [str(tmp_path / "shops"), str(tmp_path / "films")]
    found, warnings = load(DataArguments(data_dir=folders), rename_labels=["0=bad", "1=good"])
    assert (found.labels, warnings) == (["bad", "good"], [])
    assert {name: len(rows) for name, rows in found.splits.items()} == {
        "train": 8,
        "validation": 4,
        "validation_shops": 2,
        "validation_films": 2,
    }
    with pytest.raises(UserError, match="rename_labels='0': must be OLD=NEW"):
        check_arguments(ClassificationArguments(rename_labels=["0"]))
