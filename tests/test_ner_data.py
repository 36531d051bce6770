"""Data of a tagger: columns, data sets, splits, labels, rows and batches by length."""

import gzip
import random
import re
import shutil
from dataclasses import replace
from itertools import combinations, pairwise

import datasets
import pytest
from torch.utils.data import DataLoader
from transformers import DataCollatorForTokenClassification

from rnn_zoo.data.keys import DataArguments
from rnn_zoo.data.length_batches import LengthSampler, longest_first
from rnn_zoo.data.splits import SPLITS, split_files
from rnn_zoo.errors import UserError
from rnn_zoo.tasks.token_classification.conll import format_conll, read_conll
from rnn_zoo.tasks.token_classification.data import load_tagged, read_dataset
from rnn_zoo.tasks.token_classification.encoding import rows_of_sentences
from rnn_zoo.tasks.token_classification.keys import EXTENSIONS, TaggingArguments
from rnn_zoo.tasks.token_classification.tags import labels_of, unseen_types
from rnn_zoo.tokenizers import build_bpe_tokenizer, build_word_character_tokenizer

TEXT = "EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\nBlackburn\tI-PER\n"
SENTENCES = [
    {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]},
    {"tokens": ["Peter", "Blackburn"], "tags": ["B-PER", "I-PER"]},
]
ODD_TOKENS = [
    *("😀👩‍👩‍👧", "नमस्ते", "क्‍ष", "a\u200bb", "\u200b", "\ufeff", "\x07", "\u2028", "\x85", "\x0b", "\x1c", "\u00a0"),
    *("#", "#tag", "# x", "a b", " ", "-X-", "O", "B-PER", "tag", '"', "\\t", "e\u0301"),
]


def read(folder, text: str | bytes, warn=None, name="a.conll", **arguments):
    """Sentences of a file; any warning fails the test unless `warn` collects it."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    warnings: list[str] = []
    sentences = read_conll(path, TaggingArguments(**arguments), warnings.append if warn is None else warn.append)
    assert not warnings
    return sentences


def refusal(folder, text: str, **arguments) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, text, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder / "a.conll") in message
    return message.replace(str(folder / "a.conll"), "FILE")


# ---- columns ----
FORMS = {
    "plain": TEXT,
    "blanks": TEXT.replace("\t", " "),
    "many blanks": TEXT.replace("\t", "   ").replace("\nr", "\n  r"),
    "line ends of Windows": TEXT.replace("\n", "\r\n"),
    "line ends of an old Mac": TEXT.replace("\n", "\r"),
    "byte-order mark": "\ufeff" + TEXT,
    "no last line end": TEXT.rstrip(),
    "blank lines everywhere": "\n \n" + TEXT.replace("\n\n", "\n\n\t\n \n") + "\n\n",
    "space at the ends of lines": TEXT.replace("\n", " \t\n"),
    "documents": "-DOCSTART-\tO\n" + TEXT.replace("\n\n", "\n-DOCSTART- -X- O O\n"),
    "documents with more columns": "-DOCSTART- -X- -X- O\n\n" + TEXT,
    "comments": "# id = 1\n#\n" + TEXT.replace("\n\n", "\n\n# text = Peter Blackburn\n"),
    "comments between blanks": "# id = 1\n#\n"
    + TEXT.replace("\t", " ").replace("\n\n", "\n\n# id 2\n#begin document (1)\n"),
    "four columns": re.sub(r"\t", "\tNNP\tI-NP\t", TEXT),
    "a header": "Token\tNER\n" + TEXT,
    "a header, the columns turned": "ner_tags\ttokens\n" + re.sub(r"(\S+)\t(\S+)", r"\2\t\1", TEXT),
    "a header after a comment": "# made by hand\nword tag\n" + TEXT.replace("\t", " "),
    "CoNLL-U Plus": "# global.columns = ID FORM UPOS X:NER MISC\n# sent_id = 1\n"
    + re.sub(r"(\S+)\t(\S+)", r"1\t\1\tX\t\2\t_", TEXT).replace(
        "1\tPeter", "1-2\tdel\t_\t_\t_\n1.1\te\t_\t_\t_\n1\tPeter"
    ),
    "IOB1": TEXT.replace("B-", "I-"),
    "IOBES": TEXT.replace("B-ORG", "S-ORG").replace("I-PER", "E-PER"),
    "BILOU": TEXT.replace("B-ORG", "U-ORG").replace("I-PER", "L-PER"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file_gives_the_same_sentences(tmp_path, form):
    assert read(tmp_path, FORMS[form]) == SENTENCES


def test_gzipped_columns(tmp_path):
    assert read(tmp_path, gzip.compress(TEXT.encode()), name="a.conll.gz") == SENTENCES


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"tag_column": "2"}, ["B-NP", "B-VP"]),
        ({"tag_column": "-2"}, ["B-NP", "B-VP"]),
        ({"tag_column": "chunk"}, ["B-NP", "B-VP"]),
        ({"tag_column": "3"}, ["B-ORG", "O"]),
        ({}, ["B-ORG", "O"]),
    ],
)
@pytest.mark.parametrize("separator", ["\t", " "])
def test_the_tag_column_is_told(tmp_path, told, expected, separator):
    header = "form pos chunk entity_type\n" if told.get("tag_column") == "chunk" else ""
    text = f"{header}EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n".replace(" ", separator)
    assert read(tmp_path, text, **told) == [{"tokens": ["EU", "rejects"], "tags": expected}]


def test_the_token_column_is_told(tmp_path):
    text = "1 eu EU B-ORG\n2 reject rejects O\n"
    assert read(tmp_path, text, token_column="2")[0]["tokens"] == ["EU", "rejects"]


def test_lines_may_differ_in_columns_where_the_place_is_told(tmp_path):
    assert read(tmp_path, "a x B-X\nb x O more and more\n", tag_column="2") == [
        {"tokens": ["a", "b"], "tags": ["B-X", "O"]}
    ]


@pytest.mark.parametrize("token", ODD_TOKENS)
def test_a_token_may_be_anything_but_the_separator(tmp_path, token):
    sentences = [{"tokens": ["x", token, "y"], "tags": ["O", "O", "O"]}, {"tokens": [token], "tags": ["B-X"]}]
    assert read(tmp_path, format_conll(sentences)) == sentences
    if token != "\ufeff":  # at the beginning of a file a byte-order mark is none of its text
        assert read(tmp_path, format_conll(sentences[::-1])) == sentences[::-1]


@pytest.mark.parametrize("token", [t for t in ODD_TOKENS if " " not in t])
def test_a_token_between_blanks_may_be_anything_but_a_blank(tmp_path, token):
    sentences = [{"tokens": ["x", token], "tags": ["O", "O"]}, {"tokens": [token], "tags": ["B-X"]}]
    assert read(tmp_path, format_conll(sentences).replace("\t", " ")) == sentences


def test_writing_is_the_inverse_of_reading(tmp_path):
    assert format_conll(SENTENCES) == TEXT + "\n"
    for token in ("a\tb", "a\nb", "a\rb", "-DOCSTART-"):
        with pytest.raises(ValueError, match=r"no tab, line end or -DOCSTART-"):
            format_conll([{"tokens": [token], "tags": ["O"]}])


@pytest.mark.parametrize(
    ("text", "tags", "said"),
    [
        ("The\tDT\ncat\tNN\n", ["DT", "NN"], "(DT, NN) have no B- or I-: each is taken for the label of its word"),
        ("The DT\ncat NN\n", ["DT", "NN"], "each is taken for the label"),
        ("New\tLOC\nYork\tLOC\nis\tO\n", ["B-LOC", "I-LOC", "O"], "neighbours of one type are taken for one entity"),
        ("上 B-LOC\n海 M-LOC\n市 E-LOC\n人 O\n他 S-PER\n", ["B-LOC", "I-LOC", "I-LOC", "O", "B-PER"], ""),
        ("我 S\n爱 S\n北 B\n京 E\n", ["B", "B", "B", "I"], ""),
        (
            "#\thttp://de.wikipedia.org/wiki/X [2009-10-17]\n1\tAnna\tB-PER\tO\n2\tsagte\tO\tO\n",
            ["B-PER", "O"],
            "words are column 1, tags column 2, from 0",
        ),
        (
            "# text = It is.\n1-2\tIt's\t_\t_\t_\t_\t_\t_\t_\t_\n1\tIt\tit\tPRON\tPRP\t_\t2\tnsubj\t_\t_\n"
            "2\t's\tbe\tAUX\tVBZ\t_\t0\troot\t_\t_\n",
            ["PRON", "AUX"],
            "each is taken for the label",
        ),
        ("EU\tORG\nNOW\tI-MISC\n", None, ""),
    ],
)
def test_tags_of_other_kinds(tmp_path, text, tags, said):
    """Parts of speech, types without B- and I-, BMES, the files of GermEval, CoNLL-U."""
    (tmp_path / "data.txt").write_text(text, encoding="utf-8")
    notes: list[str] = []
    if tags is None:
        with pytest.raises(UserError, match="tag 'ORG' is not IOB"):
            read_conll(tmp_path / "data.txt", warn=notes.append)
        return
    (sentence,) = read_conll(tmp_path / "data.txt", warn=notes.append)
    assert sentence["tags"] == tags
    assert (said in " ".join(notes)) if said else not notes


def test_how_tags_are_written_can_be_told(tmp_path):
    (tmp_path / "data.txt").write_text("New\tLOC\nYork\tLOC\nis\tO\n")
    for told, expected in {"none": ["LOC", "LOC", "O"], "io": ["B-LOC", "I-LOC", "O"]}.items():
        args, notes = TaggingArguments(data_tag_scheme=told), []
        assert read_conll(tmp_path / "data.txt", args, notes.append)[0]["tags"] == expected
        assert notes == []
    with pytest.raises(UserError, match="tag 'LOC' is not IOB"):
        read_conll(tmp_path / "data.txt", TaggingArguments(data_tag_scheme="iob2"))


@pytest.mark.parametrize(
    "names",
    [
        ("eng.train", "eng.testa", "eng.testb"),
        ("en_ewt-ud-train.conllu", "en_ewt-ud-dev.conllu", "en_ewt-ud-test.conllu"),
        ("ner.train.txt", "ner.valid.txt", "ner.test.txt.gz"),
    ],
)
def test_names_with_a_split_inside(tmp_path, names):
    for n, name in enumerate(names):
        data = f"w{n}\tB-X\n\n".encode() * 3
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    splits = load_tagged(DataArguments(data_dir=str(tmp_path)), TaggingArguments()).splits
    assert {name: part[0]["tokens"] for name, part in splits.items()} == {
        "train": ["w0"],
        "validation": ["w1"],
        "test": ["w2"],
    }
    (tmp_path / names[0]).rename(tmp_path / "other.txt")
    with pytest.raises(UserError, match=names[1]):  # what is there is named
        load_tagged(DataArguments(data_dir=str(tmp_path)), TaggingArguments())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("EU\tB-ORG\nrejects\n", "FILE:2: 1 column between tabs, 2 are expected: 'rejects'"),
        ("EU B-ORG\n\nrejects\n", "FILE:3: 1 column between blanks, 2 are expected: 'rejects'"),
        ("EU NNP B-ORG\nrejects O\n", "FILE:2: 2 columns between blanks, 3 are expected: 'rejects O'"),
        ("EU B-ORG\nNew York O\n", "FILE:2: 3 columns between blanks, 2 are expected: 'New York O'"),
        ("EU\tB-ORG\n#tag\n", "FILE:2: 1 column between tabs, 2 are expected: '#tag'"),
        ("EU B-ORG\n#tag\n", "FILE:2: 1 column between blanks, 2 are expected: '#tag'"),
        ("EU\tB-ORG\nNew York O\n", "FILE:2: 1 column between tabs, 2 are expected: 'New York O'"),
        ("only\nwords\n", "FILE:1: 1 column between blanks, 2 are expected: 'only'"),
        ("one line of prose\n", "FILE:1: tag 'prose' is not IOB, allowed are O, B-TYPE, I-TYPE"),
        ("EU\tB-ORG\n\nrejects\to\n", "FILE:3: tag 'o' is not IOB, allowed are O, B-TYPE, I-TYPE"),
        ("EU\tNNP\nrejects\tI-MISC\n", "FILE:1: tag 'NNP' is not IOB"),
        ("EU B-ORG\n#tag PER\n", "FILE:2: tag 'PER' is not IOB"),
        ("EU\tBNEP\r\nUN\tB-NEP\r\n", "FILE:1: tag 'BNEP' is not IOB"),
        ("token\ttag\nEU\tB-ORG\textra\n", "FILE:2: 3 columns between tabs, 2 are expected"),
    ],
)
def test_a_broken_line_is_named_by_file_line_and_text(tmp_path, text, message):
    assert refusal(tmp_path, text).startswith(message)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"tag_column": "ner"}, "tag_column='ner': FILE has no header; give a number, the first is 0"),
        ({"tag_column": "2"}, "FILE:1: 2 columns between tabs, 3 or more are expected: 'EU\\tB-ORG'"),
        ({"tag_column": "-3"}, "FILE:1: 2 columns between tabs, 3 or more are expected"),
        ({"token_column": "5"}, "FILE:1: 2 columns between tabs, 6 are expected"),
    ],
)
def test_a_column_that_is_not_there(tmp_path, told, message):
    assert refusal(tmp_path, TEXT, **told).startswith(message)


def test_a_name_that_the_header_lacks(tmp_path):
    message = refusal(tmp_path, "token\tner\n" + TEXT, token_column="word")
    assert message == "token_column='word': FILE has the columns token, ner"


def test_an_unknown_scheme(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text(TEXT)
    with pytest.raises(UserError, match=r"data_tag_scheme='bio': unknown \(choose from iob1, iob2, iobes, io, none\)"):
        read_conll(path, TaggingArguments(data_tag_scheme="bio"))


# ---- what is mended ----
def test_an_inside_tag_without_its_beginning_is_mended_and_counted(tmp_path):
    warnings: list[str] = []
    text = TEXT + "\nin\tO\nNew\tI-LOC\nYork\tI-LOC\n\nBonn\tB-LOC\nRhein\tI-ORG\n"
    sentences = read(tmp_path, text, warnings)
    assert [sentence["tags"] for sentence in sentences[2:]] == [["O", "B-LOC", "I-LOC"], ["B-LOC", "B-ORG"]]
    (warning,) = warnings
    path = tmp_path / "a.conll"
    assert warning.startswith(f"{path}: 2 of 9 tags cannot stand where they do in iob2, as an I- without its B-")
    assert warning.endswith(f"the first is 'I-LOC' at {path}:8")


def test_a_scheme_that_is_told_says_what_is_a_mistake(tmp_path):
    warnings: list[str] = []
    assert read(tmp_path, TEXT.replace("B-", "I-"), warnings, data_tag_scheme="iob2") == SENTENCES
    assert "2 of 4 tags cannot stand where they do in iob2" in warnings[0]
    assert read(tmp_path, TEXT.replace("B-", "I-"), data_tag_scheme="iob1") == SENTENCES


def test_warnings_are_those_of_python_unless_told_otherwise(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a\tB-X\n\nb\tB-X\n\nc\tI-X\n")
    with pytest.warns(UserWarning, match="1 of 3 tags"):
        read_conll(path)


# ---- odd content ----
@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", "-DOCSTART- O\n", "# a comment\n", "token\ttag\n"])
def test_a_file_without_a_sentence(tmp_path, text):
    assert read(tmp_path, text) == []


def test_a_sentence_of_one_token_and_one_of_many(tmp_path):
    lengths = [1, 5000, 1]
    sentences = [{"tokens": ["w"] * length, "tags": ["B-X", *["I-X"] * (length - 1)]} for length in lengths]
    assert read(tmp_path, format_conll(sentences)) == sentences


def test_a_file_without_a_blank_line_is_one_sentence_with_a_warning(tmp_path):
    warnings: list[str] = []
    (sentence,) = read(tmp_path, "w\tO\n" * 1001, warnings)
    assert len(sentence["tokens"]) == 1001
    assert warnings == [
        f"{tmp_path / 'a.conll'}: one sentence of 1,001 tokens; a blank line should stand after each sentence"
    ]
    assert len(read(tmp_path, "w\tO\n" * 1000)) == 1


# ---- data sets ----
NAMES = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LAW", "I-LAW"]
ROWS = {"tokens": [["EU", "rejects"], [], ["Peter", "Blackburn"]], "ner_tags": [[3, 0], [], [1, 2]]}
FEATURES = datasets.Features(
    {
        "tokens": datasets.List(datasets.Value("string")),
        "ner_tags": datasets.List(datasets.ClassLabel(names=NAMES)),
    }
)


def strings(ids: list[list[int]]) -> list[list[str]]:
    return [[NAMES[tag] for tag in row] for row in ids]


@pytest.mark.parametrize("kind", ["ClassLabel", "strings", "IOBES strings", "other names"])
def test_a_data_set_gives_the_sentences_of_a_file(kind):
    args = TaggingArguments()
    rows = datasets.Dataset.from_dict(ROWS, features=FEATURES)
    if kind == "strings":
        rows = datasets.Dataset.from_dict({**ROWS, "ner_tags": strings(ROWS["ner_tags"])})
    elif kind == "IOBES strings":
        rows = datasets.Dataset.from_dict({**ROWS, "ner_tags": [["S-ORG", "O"], [], ["B-PER", "E-PER"]]})
    elif kind == "other names":
        rows = rows.rename_columns({"tokens": "mots", "ner_tags": "etiquettes"})
        args = TaggingArguments(token_column="mots", tag_column="etiquettes")
    assert read_dataset(rows, args) == SENTENCES


@pytest.mark.parametrize(
    ("rows", "told", "message"),
    [
        ({"words": [["a"]], "chunk": [["O"]]}, {}, "tag_column=not given, and none is named ner_tags: DATA has the "),
        ({"tokens": [["a"]], "tags": [["O"]]}, {"tag_column": "ner"}, "tag_column='ner': DATA has the columns tokens,"),
        ({"tokens": [["a"]], "tags": [[1]]}, {}, "DATA, row 0: tag 1 is not IOB, allowed are O, B-TYPE"),
        ({"tokens": [["a"], ["b"]], "tags": [["B-X"], ["NN"]]}, {}, "DATA, row 1, token 0: tag 'NN' is not IOB"),
        ({"tokens": [["a", None]], "tags": [["O", "O"]]}, {}, "DATA, row 0: tokens[1] is of type NoneType, must be a"),
        ({"tokens": [["a", "b"]], "tags": [["O"]]}, {}, "DATA, row 0: 2 tokens and 1 tags, must be as many"),
        ({"tokens": [["a"], None], "tags": [["O"], ["O"]]}, {}, "DATA, row 1: no list of tokens and 1 tags"),
        ({"tokens": ["a"], "tags": [["O"]]}, {}, "DATA, row 0: no list of tokens"),
    ],
)
def test_a_data_set_that_cannot_be_read(rows, told, message):
    with pytest.raises(UserError) as caught:
        read_dataset(datasets.Dataset.from_dict(rows), TaggingArguments(**told), "DATA")
    assert str(caught.value).startswith(message)


def test_hidden_labels_are_named():
    rows = datasets.Dataset.from_dict({"tokens": [["a"]], "ner_tags": [[-1]]}, features=FEATURES)
    with pytest.raises(UserError, match="row 0: tag -1 is not IOB"):
        read_dataset(rows, TaggingArguments())


# ---- splits ----
def many(count: int, first: int = 0) -> str:
    return "".join(f"w{number}\tB-X\n\n" for number in range(first, first + count))


def load(folder, warnings: list[str] | None = None, **arguments):
    """The data of a folder; any warning fails the test unless `warnings` collects it."""
    kept: list[str] = []
    warn = (kept if warnings is None else warnings).append
    data = load_tagged(DataArguments(data_dir=str(folder), **arguments), TaggingArguments(), warn)
    assert not kept
    return data


@pytest.mark.parametrize("stem", ["validation", "valid", "val", "dev"])
@pytest.mark.parametrize("suffix", [*EXTENSIONS, "conll.gz"])
def test_files_are_found_by_their_names(tmp_path, stem, suffix):
    for number, name in enumerate(("train", stem, "test", "notes")):
        text = many(1, number).encode()
        (tmp_path / f"{name}.{suffix}").write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    (tmp_path / "train.json").write_text("another ending")
    data = load(tmp_path)
    assert {name: [s["tokens"] for s in rows] for name, rows in data.splits.items()} == {
        "train": [["w0"]],
        "validation": [["w1"]],
        "test": [["w2"]],
    }
    assert list(data.splits) == list(SPLITS)


def test_files_that_are_not_clear_are_listed(tmp_path):
    with pytest.raises(UserError, match=r"data_dir='.*nowhere': no such folder"):
        split_files(tmp_path / "nowhere", EXTENSIONS)
    with pytest.raises(UserError, match=r"expected train\.txt or a single file .*, found nothing"):
        split_files(tmp_path, EXTENSIONS)
    for name in ("b.conll", "a.txt"):
        (tmp_path / name).write_text(TEXT)
    with pytest.raises(UserError, match=r"found a\.txt, b\.conll"):
        split_files(tmp_path, EXTENSIONS)
    for name in ("train.txt", "dev.txt", "valid.tsv"):
        (tmp_path / name).write_text(TEXT)
    with pytest.raises(UserError, match=r"dev\.txt and valid\.tsv are both validation: leave one"):
        split_files(tmp_path, EXTENSIONS)


def test_another_extension_is_told(tmp_path):
    (tmp_path / "train.ner").write_text(many(10))
    assert len(load(tmp_path, file_extension="ner").splits["train"]) == 9


def test_what_the_data_lacks_is_drawn_at_random_but_always_the_same(tmp_path):
    (tmp_path / "some.txt").write_text(many(100))
    data = load(tmp_path, validation_fraction=0.2, test_fraction=0.1)
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 70, "validation": 20, "test": 10}
    words = [s["tokens"][0] for rows in data.splits.values() for s in rows]
    assert sorted(words) == sorted(f"w{n}" for n in range(100))
    assert words != [f"w{n}" for n in range(100)]
    random.seed(1)
    assert load(tmp_path, validation_fraction=0.2, test_fraction=0.1) == data


def test_sentences_of_equal_words_are_in_one_part(tmp_path):
    """Whatever their tags; the parts keep their sizes."""
    text = "".join(f"w{n % 70}\t{'O' if n % 3 else 'B-X'}\n\n" for n in range(200))
    (tmp_path / "some.txt").write_text(text)
    data = load(tmp_path, validation_fraction=0.2, test_fraction=0.1)
    parts = [[s["tokens"][0] for s in data.splits[name]] for name in SPLITS]
    assert [len(part) for part in parts] == pytest.approx([140, 40, 20], abs=3)
    assert not any(set(one) & set(other) for one, other in combinations(parts, 2))


def test_a_validation_of_its_own_is_kept_and_train_keeps_its_order(tmp_path):
    (tmp_path / "train.txt").write_text(many(30))
    (tmp_path / "dev.txt").write_text(many(3, 30))
    splits = load(tmp_path, test_fraction=0.5).splits
    assert [s["tokens"][0] for s in splits["train"]] == [f"w{n}" for n in range(30)]
    assert list(splits) == ["train", "validation"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation_fraction": 0.0}, "validation_fraction=0: the data has no validation split"),
        ({"validation_fraction": 0.7, "test_fraction": 0.3}, "their sum below 1"),
        ({"test_fraction": -0.1}, "test_fraction=-0.1: each must be in"),
    ],
)
def test_impossible_shares(tmp_path, arguments, message):
    (tmp_path / "a.txt").write_text(many(9))
    with pytest.raises(UserError) as caught:
        load(tmp_path, **arguments)
    assert message in str(caught.value)


def test_no_data_and_no_sentence(tmp_path):
    with pytest.raises(UserError, match="no data: give --data_dir FOLDER, --dataset_name NAME or --embedded_data"):
        load_tagged(DataArguments(), TaggingArguments())
    (tmp_path / "train.txt").write_text(TEXT)
    (tmp_path / "test.txt").write_text("\n\n")
    with pytest.raises(UserError, match="the test part holds no sentence"):
        load(tmp_path)


# ---- labels ----
def test_labels_are_those_of_train_and_others_are_named(tmp_path):
    (tmp_path / "train.txt").write_text(TEXT)
    (tmp_path / "dev.txt").write_text("a\tB-LAW\nb\tB-LAW\n\nc\tB-EVENT\nd\tI-ORG\n")
    warnings: list[str] = []
    data = load(tmp_path, warnings)
    assert data.labels == ["O", "B-ORG", "I-ORG", "B-PER", "I-PER"]
    assert len(warnings) == 2
    assert warnings[1].endswith(
        "the validation part has entities of types that the training part lacks: EVENT (1), LAW (2)"
    )


def test_labels_of_a_class_label_count_though_train_lacks_them(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("train", "test"):
        datasets.Dataset.from_dict(ROWS, features=FEATURES).to_parquet(folder / f"{name}.parquet")
    args = DataArguments(dataset_name=str(folder), validation_fraction=0.5)
    data = load_tagged(args, TaggingArguments())
    assert data.splits["test"] == SENTENCES
    assert sorted(s["tokens"][0] for name in ("train", "validation") for s in data.splits[name]) == ["EU", "Peter"]
    assert data.labels == ["O", "B-LAW", "I-LAW", "B-ORG", "I-ORG", "B-PER", "I-PER"]


def folders(tmp_path):
    """Two corpora with other names for persons; the second has no validation part, but a test part."""
    rows = {"news/train": "Asha B-PER\n\n", "news/valid": "Ravi B-PER\n\n", "chat/test": "tea B-product\n\n"}
    rows["chat/train"] = "".join(f"Sita{n} B-person\nhi O\ntea B-product\n\n" for n in range(20))
    for name, text in rows.items():
        path = tmp_path / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return DataArguments(data_dir=[str(tmp_path / "news"), str(tmp_path / "chat")])


def test_several_folders_are_one_with_what_each_holds_out_apart(tmp_path):
    data, args = folders(tmp_path), TaggingArguments(rename_tags=["person=PER", "product=O"])
    found = load_tagged(data, args)
    assert found.labels == ["O", "B-PER", "I-PER"]
    sizes = {name: len(part) for name, part in found.splits.items()}
    held_out = {"validation": 3, "validation_news": 1, "validation_chat": 2}
    assert sizes == {"train": 19, **held_out, "test": 1, "test_chat": 1}
    assert found.splits["validation"] == [*found.splits["validation_news"], *found.splits["validation_chat"]]
    assert found.splits["test"][0]["tags"] == ["O"]
    assert {tag for s in found.splits["train"] for tag in s["tags"]} == {"O", "B-PER"}
    assert load_tagged(replace(data, data_dir=data.data_dir[1:]), args, only="test").splits["test"]
    notes: list[str] = []
    load_tagged(data, TaggingArguments(rename_tags=["persn=PER"]), notes.append)
    assert "there are no entities of the type persn, only PER, person, product" in notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rename_tags": ["person"]}, "rename_tags='person': must be OLD=NEW"),
        ({"rename_tags": ["a=b", "a=c"]}, "rename_tags='a=c': has a new name already"),
        ({"data_dir": ["news", "other/news"]}, r"data_dir: the folders .* must differ in their last names"),
    ],
)
def test_mistakes_in_several_folders(tmp_path, change, message):
    data = folders(tmp_path)
    if named := change.get("data_dir"):
        shutil.copytree(tmp_path / "news", tmp_path / "other" / "news")
        data = replace(data, data_dir=[str(tmp_path / one) for one in named])
    with pytest.raises(UserError, match=message):
        load_tagged(data, TaggingArguments(rename_tags=change.get("rename_tags")))


def test_other_tasks_read_one_folder(tmp_path):
    with pytest.raises(UserError, match=r"data_dir: 2 folders are given .*, this task reads one"):
        _ = folders(tmp_path).folder


def test_labels_of_words_are_renamed(tmp_path):
    (tmp_path / "train.txt").write_text("It\tPRON\nis\tAUX\n\nOn\tADP\n\n")
    found = load_tagged(DataArguments(data_dir=str(tmp_path)), TaggingArguments(rename_tags=["AUX=VERB"]), str)
    assert {"AUX", "VERB"} & {tag for part in found.splits.values() for s in part for tag in s["tags"]} == {"VERB"}


def test_a_data_set_that_cannot_be_fetched(tmp_path):
    with pytest.raises(UserError, match="'no/such-set' could not be fetched from the Hugging Face Hub"):
        load_tagged(DataArguments(dataset_name="no/such-set"), TaggingArguments())


def test_labels_of_sentences():
    assert labels_of(SENTENCES) == ["O", "B-ORG", "I-ORG", "B-PER", "I-PER"]
    assert labels_of([]) == ["O"]
    assert unseen_types(SENTENCES, ["O", "B-ORG", "I-ORG"]) == "PER (1)"
    assert unseen_types(SENTENCES, labels_of(SENTENCES)) == ""


# ---- rows ----
LABELS = ["O", "B-ORG", "I-ORG", "B-PER", "I-PER"]


def test_each_word_is_labelled_on_its_first_piece():
    tokenizer = build_bpe_tokenizer(["EU rejects Peter"], vocab_size=262)
    rows = rows_of_sentences(SENTENCES, tokenizer, LABELS)
    for row, expected in zip(rows, [[1, 0], [3, 4]], strict=True):
        assert len(row["labels"]) == len(row["input_ids"]) > 2
        assert [label for label in row["labels"] if label != -100] == expected
    first = rows[0]
    assert first["labels"][0] == 1
    assert tokenizer.decode(first["input_ids"][: first["labels"].index(0)]).strip() == "EU"


def test_every_word_has_a_label_whatever_it_consists_of():
    sentence = {"tokens": [*ODD_TOKENS, ""], "tags": ["B-PER"] * (len(ODD_TOKENS) + 1)}
    for tokenizer in (build_word_character_tokenizer([["EU"]]), build_bpe_tokenizer(["EU"])):
        (row,) = rows_of_sentences([sentence], tokenizer, LABELS)
        assert [label for label in row["labels"] if label != -100] == [3] * len(sentence["tokens"])


def test_rows_are_padded_by_the_common_collator():
    tokenizer = build_word_character_tokenizer([s["tokens"] for s in SENTENCES], max_word_length=5)
    longer = {"tokens": ["a", "b", "c"], "tags": ["O", "B-LAW", "I-ORG"]}
    rows = rows_of_sentences([*SENTENCES, longer], tokenizer, LABELS)
    batch = DataCollatorForTokenClassification(tokenizer)(list(rows))
    assert batch["labels"].tolist() == [[1, 0, -100], [3, 4, -100], [0, 0, 2]]  # LAW has no label
    assert batch["character_ids"].shape == (3, 3, 5)
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 0], [1, 1, 1]]


# ---- batches ----
def lengths_of(count: int = 1000) -> list[int]:
    chance = random.Random(0)
    return [1 + int(chance.expovariate(1 / 15)) for _ in range(count)]


def padding(lengths: list[int], order: list[int], batch_size: int) -> float:
    """Share of padding in the batches of an order."""
    batches = [[lengths[row] for row in order[n : n + batch_size]] for n in range(0, len(order), batch_size)]
    return 1 - sum(lengths) / sum(max(batch) * len(batch) for batch in batches)


def test_little_is_padding():
    lengths = lengths_of(3000)
    assert padding(lengths, list(range(3000)), 16) > 0.6
    for epoch in range(3):
        sampler = LengthSampler(lengths, 16)
        sampler.epoch = epoch
        assert padding(lengths, list(sampler), 16) < 0.05
        assert padding(lengths, list(sampler), 8) < 0.05  # as two processes have it


@pytest.mark.parametrize(("count", "batch_size"), [(0, 4), (1, 4), (3, 4), (4, 4), (100, 7), (100, 1)])
def test_an_epoch_is_every_row_once_but_for_an_incomplete_batch(count, batch_size):
    sampler = LengthSampler(lengths_of(count), batch_size)
    rows = list(sampler)
    assert len(set(rows)) == len(rows) == len(sampler)
    assert len(rows) == (98 if (count, batch_size) == (100, 7) else count)
    left_out = [set(range(count)) - set(rows)]
    sampler.epoch = 1
    assert count == len(sampler) or set(range(count)) - set(sampler) != left_out[0]


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        sampler = LengthSampler(lengths_of(), 16, seed)
        sampler.epoch = epoch
        random.seed(epoch)
        return list(sampler)

    assert order(0, 1) == order(0, 1)
    orders = [order(0, 0), order(0, 1), order(1, 0), order(1, 1)]
    assert len({tuple(rows) for rows in orders}) == 4
    batches = [{frozenset(rows[n : n + 16]) for n in range(0, 1000, 16)} for rows in orders]
    assert len(batches[0] & batches[1]) < 5  # not the same batches in another order
    means = [sum(lengths_of()[row] for row in orders[0][n : n + 16]) for n in range(0, 992, 16)]
    assert means != sorted(means)
    assert means != sorted(means, reverse=True)


def test_a_loader_cuts_the_batches_that_were_meant():
    lengths = lengths_of(100)
    batches = list(DataLoader(lengths, batch_size=10, sampler=LengthSampler(lengths, 10)))
    ranges = sorted((int(batch.min()), int(batch.max())) for batch in batches)
    assert all(high <= low for (_, high), (low, _) in pairwise(ranges))


def test_no_batch_of_nothing():
    with pytest.raises(ValueError, match="batch_size=0: must be at least 1"):
        LengthSampler([1], 0)


def test_evaluation_by_length():
    lengths = lengths_of(50)
    assert [lengths[row] for row in longest_first(lengths)] == sorted(lengths, reverse=True)
