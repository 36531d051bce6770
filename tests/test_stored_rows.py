"""Rows of large files, which are stored, are what small ones are in memory: the same rows, draw, vocabulary, losses."""

import datasets
import numpy as np
import pytest
from command_line import metrics_of
from runs import argv_of, forked_together

from rnn_zoo.data import stored_rows
from rnn_zoo.data.formats import FileText, lines_of, read_text
from rnn_zoo.data.stored_rows import StoredRows, content_of
from rnn_zoo.errors import UserError
from rnn_zoo.recipe.recipe import read_recipe
from rnn_zoo.run import run

COMMON = """
cell_type: lstm
embedding_size: 8
hidden_size: 8
validation_fraction: 0.2
max_steps: 2
per_device_train_batch_size: 4
eval_strategy: "no"
save_strategy: "no"
report_to: none
disable_tqdm: true
"""
TAGGER = """
task: token_classification
use_crf: true
character_hidden_size: 4
affix_length: 2
rare_word_dropout: 1
"""


CLASSIFIER = """
task: sequence_classification
tokenizer_type: wordpunct
read_characters: true
affix_length: 2
max_text_length: 4
balance_classes: true
"""
SEVERAL = """
task: sequence_classification
tokenizer_type: bpe
max_vocab_size: 300
problem_type: multi_label_classification
"""
NUMBERS = """
task: sequence_classification
tokenizer_type: char
problem_type: regression
"""


TRANSLATOR = """
task: translation
source_lang: en
target_lang: de
tokenizer_type: bpe
max_vocab_size: 300
max_source_length: 12
max_target_length: 8
num_beams: 1
"""


LIMITED = f"{TRANSLATOR}long_source: error\n"
SPELLER = TRANSLATOR.replace("bpe", "char").replace("max_vocab_size: 300", "separate_vocabularies: true")


def parallel_files(folder):
    """With empty sides, equal sources, and texts that are cut."""
    sources = ["" if n % 11 == 5 else f"one {n % 50} thing" for n in range(60)]
    (folder / "train.en").write_text("".join(f"{text}\n" for text in sources))
    (folder / "train.de").write_text("".join(f"ein {'sehr ' * (n % 3)}Ding {n}\n" for n in range(60)))


def table_of_pairs(folder):
    """With a header, a number before each source, and an empty line."""
    rows = [f"{n}\tone e\u0301 {n}\tein {n}\n" for n in range(60)]
    (folder / "train.tsv").write_text("".join(["id\tenglish\tgerman\n", *rows[:9], "\n", *rows[9:]]))


def texts(folder):
    """With a header, empty texts, equal ones, and a label that is rare."""
    labels = ["good", "bad"] * 35
    labels[8] = "rare"
    shown = ["" if n % 9 == 0 else f"re\u0301sume\u0301 number {n % 40}, or so" for n in range(70)]
    rows = [f"{label}\t{text}\n" for label, text in zip(labels, shown, strict=True)]
    (folder / "train.tsv").write_text("".join(["label\ttext\n", *rows]))


def texts_of_several_labels(folder):
    """A column for each label, texts of several lines between quotes."""
    rows = [f'{n},"one\r\n""{n}"" &amp; two",{n % 2},{int(n % 3 == 0)}\r\n' for n in range(60)]
    (folder / "train.csv").write_bytes("".join(["id,text,a,b\r\n", *rows]).encode())


def numbered_texts(folder):
    rows = [f"text {n};{n % 7},5\n" for n in range(60)]
    (folder / "train.csv").write_text("".join(["text;score\n", *rows]))


def sentences(folder):
    """In IOB1, with an empty word, a control character, and equal ones; blank lines of blanks, and all line ends."""
    kinds = ["{n}\tO\nParis\tI-LOC\nNe\u0301pal\tB-LOC\n", "Bob\tI-PER\n\x07\tO\n {n} \tO\n", "\u0130!\tO\n"]
    text = "".join(f"{kinds[n % 3].format(n=n)}{('', '  ')[n % 2]}\n" for n in range(60))
    (folder / "train.conll").write_bytes(text.replace("\n", "\r\n", 40).encode())


@pytest.fixture
def large(monkeypatch, tmp_path):
    """Makes all files large, and pieces and parts of them small."""

    def make() -> None:
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        monkeypatch.setattr(stored_rows, "LARGE", 0)
        monkeypatch.setattr(stored_rows, "BLOCK", 7)
        monkeypatch.setattr("rnn_zoo.tasks.token_classification.conll.PART", 5)

    return make


def prepared(folder, text):
    """What a run of a recipe has before its first step: data, what is said, ids, and what a trainer gives of them."""
    path = folder / "recipe.yaml"
    path.write_text(text + COMMON)
    said: list[str] = []
    recipe = read_recipe(path, ["--data_dir", str(folder / "data"), "--output_dir", str(folder / "run"), "--use_cpu"])
    task = type(run.make_task(recipe))(recipe, said.append, lambda *line: said.append(line[0]))
    run.set_seed(0)
    data = task.load_data()
    tokenizer = task.build_tokenizer(data)
    model = task.build_model(data, tokenizer)
    trainer, rows = run.build_trainer(task, model, tokenizer, data)
    measured = task.measure(trainer, rows, "validation")
    clocks = ("runtime", "per_second", "_time")
    return {
        "splits": {name: list(part) for name, part in data.items()},
        "content": {name: content_of(part) for name, part in data.items()},
        "said": [*said, task.describe(data)],
        "vocabulary": tokenizer.get_vocab(),
        "rows": {name: [part[n] for n in range(len(part))] for name, part in rows.items()},
        "lengths": np.asarray(trainer.parts[0].sampler.lengths).tolist(),
        "metrics": {name: value for name, value in measured.items() if not name.endswith(clocks)},
        "loss": trainer.train().training_loss,
    }, data


@pytest.mark.ci
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (sentences, TAGGER),
        (texts, CLASSIFIER),
        (texts_of_several_labels, SEVERAL),
        (numbered_texts, NUMBERS),
        (parallel_files, TRANSLATOR),
        (table_of_pairs, SPELLER),
    ],
)
def test_stored_rows_are_those_of_small_files(tmp_path, large, make, text):
    """Twice: read, and found as the first run has left it."""
    (tmp_path / "data").mkdir()
    make(tmp_path / "data")
    expected, _ = prepared(tmp_path, text)
    large()
    for _ in range(2):
        found, data = prepared(tmp_path, text)
        assert all(isinstance(part, StoredRows) for part in data.values())
        assert found == expected
    assert data["train"][1:3] == expected["splits"]["train"][1:3]
    assert data["train"][-1] == expected["splits"]["train"][-1]


@pytest.mark.ci
def test_two_processes_map_what_the_first_has_stored(tmp_path):
    """And measure what they measure with rows in memory."""

    def alone() -> None:
        datasets.config.HF_DATASETS_CACHE = tmp_path / "cache"

    def store() -> None:
        alone()
        stored_rows.LARGE = 0

    found = []
    for name, begin in (("small", alone), ("large", store)):
        argv, logs = argv_of(tmp_path, "token_classification", output_dir=tmp_path / name), tmp_path / f"logs_{name}"
        assert forked_together(argv, logs, begin, begin) == [0, 0], (logs / "0.log").read_text()
        found.append(metrics_of(tmp_path / name))
    losses = [(row["train"]["loss"], row["validation"]["loss"]) for row in found]
    assert losses[0] == losses[1]
    assert list((tmp_path / "cache").rglob("rows.arrow"))


@pytest.mark.parametrize(
    ("files", "text", "message"),
    [
        ({"train.conll": "a\tO\n\nb\tB-X\n\nc\tO\n\nd\tX\n" * 9}, TAGGER, ":7: tag 'X' is not IOB"),
        ({"train.conll": "a\tO\n\n" * 9 + "b\n"}, TAGGER, ":19: 1 column between tabs"),
        ({"train.conll": "\n" * 9}, TAGGER, "the train part holds no sentence"),
        ({"train.tsv": "a\tone\nb\ttwo\n" * 9 + "\tthree\n"}, CLASSIFIER, ":19: no label"),
        ({"train.tsv": "\n\n"}, CLASSIFIER, "the train part holds no text"),
        ({"train.en": "a\n" * 9, "train.de": "b\n" * 8}, TRANSLATOR, "has 9 lines"),
        ({"train.en": "a b c d e f g h i j k l m n\n" * 9, "train.de": "b\n" * 9}, LIMITED, ":1: 15 tokens"),
    ],
)
def test_what_is_wrong_in_a_large_file_is_said_as_in_a_small_one(tmp_path, large, files, text, message):
    (tmp_path / "data").mkdir()
    for name, lines in files.items():
        (tmp_path / "data" / name).write_text(lines)
    with pytest.raises(UserError) as small:
        prepared(tmp_path, text)
    large()
    with pytest.raises(UserError) as stored:
        prepared(tmp_path, text)
    assert str(stored.value) == str(small.value)
    assert message in str(stored.value)


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path, large):
    (tmp_path / "data").mkdir()
    sentences(tmp_path / "data")
    large()
    datasets.config.HF_DATASETS_CACHE.write_text("a file")
    with pytest.raises(
        UserError, match=r"^.*cache: what is computed .* \(Not a directory\); name another folder .* HF_DATASETS_CACHE$"
    ):
        prepared(tmp_path, TAGGER)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "latin-1"])
def test_lines_of_a_large_text_are_those_of_a_small_one(tmp_path, packed, encoding):
    import gzip

    path = tmp_path / ("a.txt.gz" if packed else "a.txt")
    text = "\ufeffone\r\ntw\u00f6\r\n\n\x0cthree\rfour\u0085five" if encoding != "latin-1" else "\u00e4\r\rb\x85\n"
    (gzip.open if packed else open)(path, "wb").write(text.encode(encoding))
    assert list(FileText(path, encoding)) == lines_of(read_text(path, encoding))


@pytest.mark.parametrize("data", [b"abc\n\xff\xfe\n", b"a\0b\0c\0" * 99])
def test_bytes_that_are_no_text_are_refused_in_a_large_file_as_in_a_small_one(tmp_path, data):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    with pytest.raises(UserError) as small:
        read_text(path)
    with pytest.raises(UserError) as streamed:
        list(FileText(path))
    assert str(streamed.value) == str(small.value)
