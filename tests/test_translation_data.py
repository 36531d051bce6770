"""Data of a translator: parallel files, tables, locale data and data sets of the Hub; vocabularies, rows, mistakes."""

import dataclasses
import gzip
import json
import os
import random
import subprocess
import sys

import datasets
import pytest
from conftest import EOS, UNK
from hub_server import HubServer
from transformers import DataCollatorForSeq2Seq

from rnn_zoo.data.keys import DataArguments
from rnn_zoo.data.parallel_files import parting_line
from rnn_zoo.data.splits import SPLITS
from rnn_zoo.errors import UserError
from rnn_zoo.models.tokenization_pairs import PairTokenizer
from rnn_zoo.tasks.causal_lm.keys import LanguageModelArguments
from rnn_zoo.tasks.token_classification.keys import TaggingArguments
from rnn_zoo.tasks.translation.data import load_pairs
from rnn_zoo.tasks.translation.encoding import WORD_TOKENIZERS, build_tokenizer, rows_of_pairs
from rnn_zoo.tasks.translation.keys import TranslationArguments
from rnn_zoo.tasks.translation.locale_pairs import Pair
from rnn_zoo.tasks.translation.pairs import read_dataset, read_pairs, read_sources
from rnn_zoo.tokenizers import TOKENIZER_BUILDERS

SOURCES = ["The cat sat.", "two\u2028lines\x0cor \x00 one", "\U0001f600 naïve <eos>", "the end"]
TARGETS = ["बिरालो बस्यो।", "क\u094d\u200dष \x1d", " \U0001f468\u200d\U0001f469 <unk>", "अन्त"]
PAIRS = [Pair(source, target, "") for source, target in zip(SOURCES, TARGETS, strict=True)]


def settings(**given) -> tuple[DataArguments, TranslationArguments]:
    """The arguments of the data and those of the translation, English to Nepali unless told, from one list."""
    own = {f.name for f in dataclasses.fields(TranslationArguments)}
    given = {"source_lang": "en", "target_lang": "ne"} | given
    return (
        DataArguments(**{name: value for name, value in given.items() if name not in own}),
        TranslationArguments(**{name: value for name, value in given.items() if name in own}),
    )


def write(folder, **files):
    """Files by name, `train__en` for train.en; lists are lines."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        content = "".join(f"{line}\n" for line in content) if isinstance(content, list) else content
        content = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(folder)


def load(folder, only=None, **given):
    """The splits, and the warnings."""
    warnings: list[str] = []
    return load_pairs(*settings(data_dir=str(folder), **given), warnings.append, only), warnings


def mistake(call, *args, **kwargs) -> str:
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_no_key_stands_in_two_groups():
    groups = (TranslationArguments, DataArguments, LanguageModelArguments, TaggingArguments)
    names = [f.name for group in groups for f in dataclasses.fields(group)]
    assert len(names) == len(set(names))
    assert all(f.metadata["key"].help for f in dataclasses.fields(TranslationArguments))


# ---- parallel files ----
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "open"])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_files_give_their_lines_and_only_line_ends_cut(tmp_path, end, last, packed):
    def text(lines):
        return "\ufeff" + end.join(lines) + end * last

    folder = write(
        tmp_path,
        **{
            f"train__en{packed}": text(SOURCES),
            "train__ne": text(TARGETS),
            "valid__en": ["a", ""],
            f"valid__ne{packed}": ["b", "c"],
        },
    )
    splits, warnings = load(folder)
    assert splits == {"train": PAIRS, "validation": [("a", "b", ""), ("", "c", "")]}
    assert not warnings


@pytest.mark.parametrize("name", ["valid", "validation", "val", "dev"])
@pytest.mark.parametrize("test", ["test", "test2016", "test_2016_flickr", "test-2016", "test.tok"])
def test_the_names_of_splits(tmp_path, name, test):
    files = {"train": "1", name: "2", test: "3", "testimony": "4", "mono": "5"}
    folder = write(tmp_path, **{f"{base}__en": [f"s{n}"] for base, n in files.items()})
    write(tmp_path, **{f"{base}__ne": [f"t{n}"] for base, n in files.items() if base not in ("testimony", "mono")})
    splits, _ = load(folder)
    expected = {split: [(f"s{n}", f"t{n}", "")] for split, n in zip(SPLITS, (1, 2, 3), strict=True)}
    assert list(splits.items()) == list(expected.items())
    assert load(folder, source_lang="ne", target_lang="en")[0]["train"] == [("t1", "s1", "")]


@pytest.mark.parametrize(
    ("names", "languages"),
    [
        (("src-train.txt", "tgt-train.txt", "src-val.txt", "tgt-val.txt"), (None, None)),
        (("src-train.txt", "tgt-train.txt", "src-val.txt", "tgt-val.txt"), ("en", "de")),
        (("train.en.txt", "train.de.txt.gz", "dev.en.txt", "dev.de.txt"), ("en", "de")),
        (("corpus_EN_train.txt", "corpus_DE_train.txt", "corpus_EN_dev.txt", "corpus_DE_dev.txt"), ("en", "de")),
        (("en.txt", "de.txt"), ("en", "de")),
        (("source.txt", "target.txt"), (None, None)),
    ],
)
def test_pairs_of_files_with_other_names(tmp_path, names, languages):
    for n, name in enumerate(names):
        write(tmp_path, **{name: [f"{'st'[n % 2]}{n // 2} {line}" for line in range(9)]})
    notes: list[str] = []
    data, args = settings(data_dir=str(tmp_path), source_lang=languages[0], target_lang=languages[1])
    splits = load_pairs(data, args, notes.append)
    assert notes == [f"{tmp_path}: sources are {names[0]}, targets {names[1]}"]
    assert all(pair.source[1:] == pair.target[1:] and pair.source[0] == "s" for pair in splits["train"])
    assert {pair.source[:2] for pair in splits["validation"]} == {"s1" if len(names) > 2 else "s0"}


@pytest.mark.parametrize(
    "names", [("de.txt", "fr.txt"), ("en.txt", "train.de.txt"), ("a.en.txt", "a.ne.txt", "b.en.txt", "b.ne.txt")]
)
def test_other_names_that_are_not_clear(tmp_path, names):
    for name in names:
        write(tmp_path, **{name: ["a"]})
    said = mistake(load_pairs, *settings(data_dir=str(tmp_path)))
    assert "expected train.en and train.ne, or train.tsv, found" in said
    assert all(name in said for name in names)


def test_several_files_named_like_tests_count_only_beside_a_plain_one(tmp_path):
    names = ("train", "dev", "test2016", "test2017")
    folder = write(tmp_path, **{f"{base}__{side}": [base] for base in names for side in ("en", "ne")})
    assert list(load(folder)[0]) == ["train", "validation"]
    write(tmp_path, test__en=["plain"], test__ne=["plain"])
    assert load(folder)[0]["test"] == [("plain", "plain", "")]


def test_one_split_alone_is_enough_where_only_it_is_needed(tmp_path):
    folder = write(tmp_path, test2016__en=["a"], test2016__ne=["b"], mono__en=["c"])
    assert load(folder, only="test")[0] == {"test": [("a", "b", "")]}
    assert "expected train.en and train.ne" in mistake(load, folder)


def test_tables_are_read_where_there_are_no_pairs_of_files(tmp_path):
    folder = write(tmp_path, train__tsv="a\tb\tCC-BY\r\n\nc \td\n", README__txt="none", dev__tsv__gz="\tx\ny\t\n")
    pairs = {"train": [("a", "b", ""), ("c ", "d", "")], "validation": [("", "x", ""), ("y", "", "")]}
    assert load(folder)[0] == pairs
    assert load(folder, source_lang=None, target_lang=None)[0] == pairs
    write(tmp_path, train__tsv="a\tb\nno tab\n")
    assert mistake(load, folder).endswith("train.tsv:2: no tab, source<TAB>target is expected: 'no tab'")


BODY = "".join(f"house {n}\tHaus {n}\n" for n in range(4))


def numbered(form: str) -> str:
    return "".join(form.format(n=n) for n in range(4))


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        ("a.tsv", BODY, None),
        ("a.tsv", "en\tde\n" + BODY, "the first line names the columns: source is 'en', target 'de'"),
        ("a.tsv", "German\tEnglish\n" + numbered("Haus {n}\thouse {n}\n"), "source is 'English', target 'German'"),
        ("a.tsv", "sentence_eng\tDeutsch\n" + BODY, "source is 'sentence_eng', target 'Deutsch'"),
        ("a.tsv", "Target\tSource\n" + numbered("Haus {n}\thouse {n}\n"), "source is 'Source', target 'Target'"),
        ("a.tsv", "text\ttranslation\n" + BODY, "source is 'text', target 'translation'"),
        ("a.tsv", "en\tde\r" + BODY.replace("\n", "\r"), "source is 'en', target 'de'"),
        ("a.tsv", "id\ten\tfr\tde\n" + numbered("{n}\thouse {n}\tx\tHaus {n}\n"), "source is 'en', target 'de'"),
        ("a.tsv", numbered("{n}\thouse {n}\t7{n}\tHaus {n}\n"), "columns 1 and 3, counted from 0, of 4"),
        ("a.tsv", "id\tsentence\tid\tsentence\n" + numbered("{n}\thouse {n}\t7{n}\tHaus {n}\n"), "taken for a header"),
        ("a.tsv", numbered("{n}\thouse {n}\tHaus {n}\n"), "columns 1 and 2, counted from 0, of 3"),
        ("a.tsv", numbered("eng\thouse {n}\tdeu\tHaus {n}\n"), "columns 1 and 3, counted from 0, of 4"),
        ("a.tsv", numbered("house {n}\tHaus {n}\tCC-BY 2.0 (France) #{n}\n"), None),
        ("a.csv", 'en,de\r\n"house 0","Haus 0"\r\n' + BODY[15:].replace("\t", ","), "source is 'en', target 'de'"),
        ("a.jsonl", numbered('{{"de": "Haus {n}", "en": "house {n}"}}\n'), None),
        ("a.jsonl", numbered('{{"translation": {{"de": "Haus {n}", "en": "house {n}"}}}}\n'), None),
    ],
)
def test_columns_of_pairs_are_found(tmp_path, name, content, note):
    """By a header, or by what stands in them; what is not `source<TAB>target` is said."""
    (tmp_path / name).write_bytes(content.encode())
    warnings: list[str] = []
    _, args = settings(source_lang="en", target_lang="de")
    pairs = read_pairs(tmp_path / name, args, warnings.append)
    assert [pair[:2] for pair in pairs] == [(f"house {n}", f"Haus {n}") for n in range(4)]
    assert [note in text for text in warnings] == ([True] if note else [])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "en\tfr\n" + BODY, "target_lang='de': FILE has the columns en, fr"),
        ("a.tsv", "en\tde\n" + BODY + "en\tde\n", "FILE:6: the header stands here again: en, de"),
        (
            "a.tsv",
            numbered("{n}\teng\thouse {n}\n"),
            "FILE: 3 columns, and it is not clear which are source and target",
        ),
        ("a.tsv", numbered("{n}\thouse {n}\tHaus {n}\tmaison {n}\n"), "FILE: 4 columns, and it is not clear"),
        ("a.tsv", "1\thouse\t7\tHaus\n2\tcar\n", "FILE:2: 2 columns between tabs, 4 or more are expected"),
        (
            "a.csv",
            "source,text_fr,text_es\nted,maison,casa\n",
            "source_lang, target_lang: needed to choose from the col",
        ),
        ("a.csv", "en,de\nhouse\n", "FILE:2: 1 column between commas, two are expected: 'house'"),
        ("a.jsonl", '{"en": "a", "de": "b"}\n{"en": "a"}\n', "FILE:2: no 'de' in it"),
        ("a.jsonl", '{"en": "a", "de": ["b"]}\n', "FILE:1: 'de' is of type list, must be a string"),
        (
            "a.jsonl",
            '{"x": "a", "y": "b"}\n',
            "source_lang, target_lang: needed to choose from the columns of FILE: x, y",
        ),
    ],
)
def test_columns_of_pairs_that_are_not_clear(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content.encode())
    text = mistake(read_pairs, tmp_path / name, settings(source_lang="en", target_lang="de")[1], lambda text: None)
    assert text.replace(str(tmp_path / name), "FILE").startswith(message)


def test_a_first_pair_that_looks_like_a_header_is_kept(tmp_path):
    """`hi` and `no` are words, and codes of languages."""
    (tmp_path / "a.tsv").write_text("hi\tनमस्ते\nhi\tno\n", encoding="utf-8")
    assert [pair[:2] for pair in read_pairs(tmp_path / "a.tsv", settings(target_lang="hi")[1])] == [
        ("hi", "नमस्ते"),
        ("hi", "no"),
    ]


@pytest.mark.parametrize(
    ("content", "told", "expected"),
    [
        ("en\nGo.\n\nHi.\n", None, (["Go.", "", "Hi."], "column 'en'")),
        ("hi\nGo.\n", None, (["hi", "Go."], "column 0, counted from 0; there is no header")),
        ("id\ttext\n1\tGo.\n", None, (["Go."], "column 'text'")),
        ("1\tGo.\t2\tGeh.\n", None, (["Go."], "column 1, counted from 0; there is no header")),
        ("Go.\tGeh.\n\tx\n", None, (["Go.", ""], "column 0, counted from 0; there is no header")),
        ("id\tde\n1\tGeh.\n2\tHallo.\n", None, (["Geh.", "Hallo."], "column 'de'")),
        ("a\tb\tc\n1\t2\t3\n", "b", (["2"], "column 'b'")),
        ("a\tb\tc\n1\t2\t3\n", "1", (["b", "2"], "column 1, counted from 0; there is no header")),
    ],
)
def test_the_sources_of_a_table_alone(tmp_path, content, told, expected):
    (tmp_path / "a.tsv").write_text(content)
    assert read_sources(tmp_path / "a.tsv", told, "en", "de") == expected
    message = mistake(read_sources, tmp_path / "a.tsv", "kind", "en", "de")
    assert message.startswith(f"source_lang='kind': the first row of {tmp_path}/a.tsv has the columns ")


def test_what_is_held_out_shares_no_source_with_the_rest(tmp_path):
    numbers = [random.Random(n).randrange(60) for n in range(200)]
    folder = write(
        tmp_path, all__en=[f"s{n}" for n in numbers], all__ne=[f"t{n} {place}" for place, n in enumerate(numbers)]
    )
    splits, _ = load(folder, validation_fraction=0.2, test_fraction=0.1)
    assert list(splits) == list(SPLITS)
    sources = [{pair.source for pair in pairs} for pairs in splits.values()]
    assert [len(part) for part in sources] == pytest.approx([0.7 * 58, 0.2 * 58, 0.1 * 58], abs=2)
    assert sum(map(len, sources)) == len(set().union(*sources))
    assert sorted(pair for pairs in splits.values() for pair in pairs) == sorted(
        (f"s{n}", f"t{n} {place}", "") for place, n in enumerate(numbers)
    )
    assert load(folder, validation_fraction=0.2, test_fraction=0.1)[0] == splits


def test_empty_sides_leave_training_alone_and_are_counted(tmp_path):
    folder = write(
        tmp_path,
        train__en=["a", "", "b", " ", "c"],
        train__ne=["A", "B", "\u200b\t", "", "C"],
        dev__en=["", "x"],
        dev__ne=["y", ""],
    )
    splits, warnings = load(folder)
    assert splits["train"] == [("a", "A", ""), ("b", "\u200b\t", ""), ("c", "C", "")]
    assert splits["validation"] == [("", "y", ""), ("x", "", "")]
    assert len(warnings) == 1
    assert "2 of 5 training pairs" in warnings[0]
    assert warnings[0].endswith("train.en:2")


# ---- files that do not fit ----
@pytest.mark.parametrize(
    ("present", "missing"),
    [
        (("train.en", "dev.en", "dev.ne"), "train.ne"),
        (("train.ne", "dev.en", "dev.ne"), "train.en"),
        (("train.en.gz", "train.ne", "dev.en.gz"), "dev.ne"),
        (("train.en", "train.ne", "test2016.ne"), "test2016.en"),
        (("corpus.ne",), "corpus.en"),
    ],
)
def test_a_file_without_its_partner_names_both(tmp_path, present, missing):
    folder = write(tmp_path, **{name: ["a"] for name in present})
    text = mistake(load, folder)
    base = missing.split(".")[0]
    assert text.startswith(f"{folder}/{missing}: no such file")
    assert any(f"{folder}/{name} " in text for name in present if name.startswith(base))


def lines(count: int) -> tuple[list[str], list[str]]:
    """Lines of any length, and others of about twice that."""
    chooser = random.Random(0)
    lengths = [chooser.randint(5, 120) for _ in range(count)]
    return ["x" * n for n in lengths], ["y" * max(1, round(2 * n + chooser.gauss(0, n / 6))) for n in lengths]


@pytest.mark.parametrize("lost", [1, 3])
@pytest.mark.parametrize("place", [1, 40, 371, 1000])
def test_the_place_where_texts_part_is_found(lost, place):
    first, second = lines(1000)
    del second[place - 1 : place - 1 + lost]
    assert parting_line(first, second) == pytest.approx(place, abs=3)
    assert parting_line(second, first) == pytest.approx(place, abs=3)


def test_files_that_are_not_parallel_say_where(tmp_path):
    first, second = lines(300)
    first[99] = second[99] = "the same"
    first[100:100] = [""]
    text = mistake(load, write(tmp_path, train__en=first, train__ne=second))
    assert f"{tmp_path}/train.en has 301 lines, {tmp_path}/train.ne has 300: they must be as many" in text
    assert "part at line 101 (''," in text
    ended = mistake(load, write(tmp_path, train__en=["same"] * 3, train__ne=["same"] * 2))
    assert "has 3 lines" in ended
    assert ended.endswith("they part at line 3 ('same', its end)")
    assert "has 0: they" in mistake(load, write(tmp_path, train__ne=""))


@pytest.mark.parametrize(
    ("files", "given", "message"),
    [
        ({"train.en": b"a\n\xff\n", "train.ne": "a\nb\n"}, {}, "train.en: byte 2 (line 2) is 0xff, which is not UTF-8"),
        ({"train.en.gz": b"", "train.en": "a", "train.ne": "b"}, {}, "train.en and train.en.gz are both train"),
        ({"train.en": "a", "train.x.en": "a", "train.ne": "b"}, {}, "train and train.x are both train: leave one"),
        ({"train.en": "\n", "train.ne": "b\n"}, {}, "the train part holds no pair of sentences"),
        ({"train.en": "a", "train.ne": "b", "dev.en": "", "dev.ne": ""}, {}, "the validation part holds no pair"),
        ({"train.en": "a", "train.ne": "b"}, {}, "the validation part is empty: too few different sources (1) for"),
        ({"train.en": "a", "train.ne": "b"}, {"validation_fraction": 0.0}, "validation_fraction=0: the data has no"),
        ({"train.en": "a", "train.ne": "b"}, {"target_lang": "en"}, "source_lang='en', target_lang='en': must differ"),
        ({"train.en": "a", "train.ne": "b"}, {"target_lang": None}, "expected train.tsv, or --source_lang and"),
        ({"x.txt": "no table"}, {}, "x.txt:1: no tab"),
        ({"a.md": ""}, {}, "expected train.en and train.ne, or train.tsv, found a.md"),
        ({}, {}, "expected train.en and train.ne, or train.tsv, found nothing"),
        ({}, {"embedded_data": "words", "data_dir": None}, "embedded_data='words': unknown (choose from dates, cldr"),
        ({}, {"data_dir": None}, "no data: give --data_dir FOLDER"),
        ({}, {"data_dir": "/no/such/folder"}, "data_dir='/no/such/folder': no such folder"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, files, given, message):
    write(tmp_path, **files)
    assert message in mistake(load_pairs, *settings(**{"data_dir": str(tmp_path)} | given), lambda text: None)


# ---- locale data and data sets ----
def test_locale_data_has_its_own_splits():
    splits = load_pairs(*settings(embedded_data="cldr_names", source_lang=None, target_lang=None))
    assert list(splits) == list(SPLITS)
    assert all(pair.source and pair.target and pair.group for pairs in splits.values() for pair in pairs)


NESTED = [{"en": source, "ne": target} for source, target in zip(SOURCES, TARGETS, strict=True)]
FEATURES = datasets.Features({"translation": datasets.Translation(languages=["en", "ne"])})


@pytest.mark.parametrize(
    "rows",
    [
        datasets.Dataset.from_dict({"translation": NESTED, "id": [1, 2, 3, 4]}),
        datasets.Dataset.from_dict({"translation": NESTED}, features=FEATURES),
        datasets.Dataset.from_dict({"ne": TARGETS, "number": [1, 2, 3, 4], "en": SOURCES}),
    ],
    ids=["dicts", "Translation", "columns"],
)
def test_rows_of_data_sets(rows):
    args = settings()[1]
    assert read_dataset(rows, args, "some/set (train)") == PAIRS
    wrong = mistake(read_dataset, rows, settings(target_lang="hi")[1], "some/set (train)")
    assert wrong.startswith("target_lang='hi'; some/set (train) has the ")
    assert mistake(read_dataset, rows, settings(source_lang=None)[1], "x").startswith("source_lang: not given; x has")


def test_rows_with_nothing_or_no_text():
    rows = datasets.Dataset.from_dict({"en": ["a", None], "ne": [None, "b"]})
    assert read_dataset(rows, settings()[1]) == [("a", "", ""), ("", "b", "")]
    rows = datasets.Dataset.from_dict({"en": ["a"], "ne": [[1]]})
    assert mistake(read_dataset, rows, settings()[1], "x").startswith("x, row 0: ne is of type list, must be a string")


@pytest.mark.ci
def test_data_sets_of_the_hub(tmp_path):
    script = (
        "import json, sys\n"
        "from rnn_zoo.data.keys import DataArguments\n"
        "from rnn_zoo.tasks.translation.data import load_pairs\n"
        "from rnn_zoo.tasks.translation.keys import TranslationArguments\n"
        "results = []\n"
        "for name, target in json.load(sys.stdin):\n"
        "    data = DataArguments(dataset_name=name)\n"
        "    args = TranslationArguments(source_lang='en', target_lang=target)\n"
        "    try:\n"
        "        results.append(load_pairs(data, args))\n"
        "    except ValueError as error:\n"
        "        results.append(str(error))\n"
        "print('RESULTS', json.dumps(results))\n"
    )

    def jsonl(rows):
        return "".join(json.dumps(row) + "\n" for row in rows)

    with HubServer() as hub:
        nested = jsonl({"id": n, "translation": row} for n, row in enumerate(NESTED))
        hub.add("datasets/some/nested", {"train.jsonl": nested, "validation.jsonl": nested, "test.jsonl": nested})
        hub.add("datasets/some/columns", {"train.jsonl": jsonl(NESTED)})
        wanted = [("some/nested", "ne"), ("some/columns", "ne"), ("some/nested", "hi"), ("some/none", "ne")]
        done = subprocess.run(
            [sys.executable, "-c", script],
            input=json.dumps(wanted),
            env={**os.environ, **hub.environment(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    whole, drawn, wrong, missing = json.loads(done.stdout.split("RESULTS ")[1])
    listed = [list(pair) for pair in PAIRS]
    assert whole == dict.fromkeys(SPLITS, listed)
    assert drawn.keys() == {"train", "validation"}
    assert sorted([*drawn["train"], *drawn["validation"]]) == sorted(listed)
    assert all(drawn.values())
    assert wrong == "target_lang='hi'; some/nested (train) has the languages en, ne"
    assert missing.startswith("the dataset 'some/none' could not be fetched")


# ---- tokenizers and rows ----
KINDS = [kind for kind in TOKENIZER_BUILDERS if kind not in WORD_TOKENIZERS]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("separate", [False, True], ids=["joint", "separate"])
def test_rows_end_in_eos_and_come_back(kind, separate):
    data, args = settings(tokenizer_type=kind, separate_vocabularies=separate, unicode_normalization="none")
    tokenizer = build_tokenizer(PAIRS, data, args)
    assert isinstance(tokenizer, PairTokenizer) == separate
    warnings: list[str] = []
    rows = rows_of_pairs([*PAIRS, Pair("", "", "")], tokenizer, args, warnings.append)
    assert rows.column_names == ["input_ids", "labels"]
    options = {"use_source_tokenizer": True} if separate else {}
    for row, pair in zip(rows, PAIRS, strict=False):
        for ids in row.values():
            assert ids.index(EOS) == len(ids) - 1
            assert UNK not in ids
        assert tokenizer.decode(row["input_ids"], skip_special_tokens=True, **options) == pair.source
        assert tokenizer.decode(row["labels"], skip_special_tokens=True) == pair.target
    assert rows[-1] == {"input_ids": [EOS], "labels": [EOS]}
    assert not warnings
    batch = DataCollatorForSeq2Seq(tokenizer)([rows[0], rows[4]])
    assert batch["attention_mask"].sum(1).tolist() == [len(rows[0]["input_ids"]), 1]
    assert batch["labels"][1].tolist() == [EOS] + [-100] * (len(rows[0]["labels"]) - 1)


def test_separate_vocabularies_know_their_own_side_alone():
    tokenizer = build_tokenizer([Pair("abc", "xy", "")], *settings(separate_vocabularies=True))
    assert (len(tokenizer), tokenizer.target_vocab_size) == (4 + 4, 4 + 3)  # "\n" is in both
    joint = build_tokenizer([Pair("abc", "xy", "")], *settings())
    assert len(joint) == 4 + 6


def test_a_sign_at_the_head_of_a_text_stays_apart():
    tokenizer = build_tokenizer([Pair("e", "\u0301x", "")], *settings())
    assert {"e", "\u0301"} <= set(tokenizer.get_vocab())
    assert UNK not in tokenizer("e")["input_ids"] + tokenizer("\u0301x")["input_ids"]


def test_options_reach_both_vocabularies():
    pairs = [Pair("one two", "एक दुई", "")] * 9
    for separate in (False, True):
        tokenizer = build_tokenizer(
            pairs, *settings(tokenizer_type="bpe", max_vocab_size=262, separate_vocabularies=separate)
        )
        assert len(tokenizer) == getattr(tokenizer, "target_vocab_size", 262) == 262


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tokenizer_type": "word"}, "tokenizer_type='word': a translator could not write a word it has not seen"),
        ({"tokenizer_type": "wordpunct"}, "tokenizer_type='wordpunct': a translator could not write a word"),
        ({"tokenizer_type": "chr"}, "tokenizer_type='chr': unknown (choose from char, "),
        ({"tokenizer_type": "bpe", "max_vocab_size": 9}, "vocab_size=9: must be at least 260"),
        ({"tokenizer_type": "unigram", "min_frequency": 2}, "min_frequency=2: a unigram tokenizer has no such limit"),
        ({"max_vocab_size": 9}, "max_vocab_size: a char tokenizer"),
        ({"unicode_normalization": "NFX"}, "unicode_normalization='NFX': unknown"),
    ],
)
def test_tokenizers_that_make_no_sense(given, message, separate):
    text = mistake(build_tokenizer, PAIRS, *settings(separate_vocabularies=separate, **given))
    assert message in text


@pytest.mark.parametrize("kind", KINDS)
def test_long_texts_are_cut_before_their_eos_and_counted_once(tmp_path, kind):
    long = "नेपाल x " * 3000  # more than 10,000 tokens of a small vocabulary
    folder = write(
        tmp_path,
        train__en=["ab", "", long, long, "ab"],
        train__ne=["ne", "y", long, "ne", "ne"],
        dev__en=[long],
        dev__ne=["ne"],
    )
    data, args = settings(data_dir=folder, tokenizer_type=kind, max_source_length=9, max_target_length=7)
    if kind != "char":
        data.max_vocab_size = 262
    pairs = load_pairs(data, args, lambda text: None)
    tokenizer = build_tokenizer(pairs["train"], data, args)
    assert len(tokenizer(long)["input_ids"]) > 10_000
    warnings: list[str] = []
    rows = rows_of_pairs(pairs["train"], tokenizer, args, warnings.append, "the train part")
    assert [len(row["input_ids"]) for row in rows][1:3] == [9, 9]
    assert rows[1]["input_ids"] == [*tokenizer(long)["input_ids"][:8], EOS]
    assert rows[1]["labels"] == [*tokenizer(text_target=long)["input_ids"][:6], EOS]
    assert warnings == [
        f"the train part: 2 of 4 sources have more than max_source_length=9 tokens and are cut, the first at "
        f"{folder}/train.en:3",
        *[text for text in warnings[1:] if "1 of 4 targets have more than max_target_length=7 tokens" in text],
    ]
    assert len(warnings) == 2

    args.long_source = "error"
    text = mistake(rows_of_pairs, pairs["validation"], tokenizer, args, warnings.append)
    assert text.startswith(f"{folder}/dev.en:1: ")
    assert "tokens, max_source_length=9 are allowed: 'नेपाल" in text
    assert mistake(rows_of_pairs, [Pair(long, "", "")], tokenizer, args).startswith("the data, pair 1: ")


def test_lengths_below_a_token_and_eos_are_refused():
    tokenizer = build_tokenizer(PAIRS, *settings())
    for name in ("max_source_length", "max_target_length"):
        args = settings(**{name: 1})[1]
        assert mistake(rows_of_pairs, PAIRS, tokenizer, args, lambda text: None).startswith(
            f"{name}=1: must be at least 2"
        )
