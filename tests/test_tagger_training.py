"""Training a tagger by a recipe: it learns, its numbers are true, it goes on where it stopped, mistakes cost a line."""

import json
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from command_line import (
    check_accumulation,
    check_resumed,
    check_two_processes,
    command,
    evaluated,
    metrics_of,
    refused,
    save,
    stopped_at,
    trained,
    tree,
    weights,
    without_package,
    without_times,
)
from datasets import Dataset
from test_tagging import bytes_tokenizer, wordpiece_tokenizer
from test_token_classification import lively
from torch.utils.data import SequentialSampler
from transformers import AutoModelForTokenClassification, AutoTokenizer, ByT5Tokenizer, TrainingArguments, pipeline
from transformers.trainer_pt_utils import LengthGroupedSampler

from rnn_zoo.recipe.recipe import read_recipe
from rnn_zoo.run import run
from rnn_zoo.tasks.token_classification.conll import read_conll
from rnn_zoo.tasks.token_classification.entities import entity_scores
from rnn_zoo.tasks.token_classification.iob import entities
from rnn_zoo.tasks.token_classification.tagger import Tagger
from rnn_zoo.tokenizers import build_bpe_tokenizer
from rnn_zoo.training.order_of_rows import LengthBatches
from rnn_zoo.training.run_trainer import RunTrainer

WORDS = ["rose", "lives", "in", "the", "green", "may", "bell", "hill", "sees", "art"]
RECIPE = {
    "task": "token_classification",
    "data_dir": "data",
    "output_dir": "out",
    "hidden_size": 8,
    "embedding_size": 8,
    "bidirectional": True,
    "character_embedding_size": 8,
    "character_hidden_size": 16,
    "per_device_train_batch_size": 8,
    "per_device_eval_batch_size": 16,
    "num_train_epochs": 10,
    "learning_rate": "3e-2",
    "lr_scheduler_type": "constant",
    "save_strategy": "no",
}
CRF = {"use_crf": True, "tag_scheme": "iobes"}
QUICK = {"max_steps": 2, "logging_steps": 1}


def toy_sentences(number: int, seed: int, types=("PER",)) -> list[list[tuple[str, str]]]:
    """Words that are of the first type exactly where they begin with a capital; & is one of each further type."""
    chooser = random.Random(seed)
    sentences = []
    for _ in range(number):
        words = [
            w.capitalize() if chooser.random() < 0.3 else w for w in chooser.choices(WORDS, k=chooser.randint(1, 7))
        ]
        tags = [f"{'I' if n and words[n - 1][0].isupper() else 'B'}-{types[0]}" for n in range(len(words))]
        sentence = [(word, tag if word[0].isupper() else "O") for word, tag in zip(words, tags, strict=True)]
        sentences.append(sentence + [("&", f"B-{type_}") for type_ in types[1:] if chooser.random() < 0.3])
    return sentences


def write(path: Path, sentences) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join("".join(f"{word} {tag}\n" for word, tag in sentence) + "\n" for sentence in sentences)
    path.write_text(text, encoding="utf-8")
    return path


def make_project(folder: Path, sizes=(200, 40, 40), test_types=("PER",), **values) -> Path:
    """A recipe `toy.yaml` and its data in `folder/data`, to be run from `folder`."""
    for seed, (name, size) in enumerate(zip(("train", "valid", "test"), sizes, strict=True)):
        write(folder / "data" / f"{name}.txt", toy_sentences(size, seed, test_types if name == "test" else ("PER",)))
    (folder / "toy.yaml").write_text(yaml.safe_dump(RECIPE | values), encoding="utf-8")
    return folder


def load(folder: Path):
    return AutoModelForTokenClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An untrained project, the current folder."""
    monkeypatch.chdir(make_project(tmp_path / "project", (40, 10, 10)))
    return tmp_path / "project"


@pytest.fixture(scope="module", params=[{}, CRF], ids=["plain", "CRF"])
def learnt(request, tmp_path_factory):
    """A project with a tagger in `out`, whose test part has a type more; tests leave it as it is."""
    folder = make_project(tmp_path_factory.mktemp("learnt") / "project", test_types=("PER", "ORG"), **request.param)
    return trained(folder)


# ---- what is learnt, and its numbers ----
@pytest.mark.ci
def test_a_rule_of_spelling_is_learnt(learnt):
    metrics = metrics_of(learnt / "out")
    assert metrics["validation"]["f1"] == metrics["validation"]["f1_PER"] == 1.0
    assert metrics["train"]["seconds"] < 60
    assert metrics["steps"] == 10 * 200 // 8
    assert metrics["train"]["sentences_per_second"] == pytest.approx(2000 / metrics["train"]["seconds"])


def scores_of(folder: Path, file: Path) -> dict:
    """The numbers of a file by the tags of `Tagger`."""
    sentences = read_conll(file)
    model, tokenizer = load(folder)
    predicted = Tagger(model, tokenizer, 7).tag_words([sentence["tokens"] for sentence in sentences])
    scores = entity_scores(predicted, [sentence["tags"] for sentence in sentences])
    flat = {name: scores.pop(f"overall_{name}") for name in ("precision", "recall", "f1", "accuracy")}
    return flat | {f"{name}_{type_}": value for type_, row in scores.items() for name, value in row.items()}


@pytest.mark.parametrize(("split", "stem"), [("validation", "valid"), ("test", "test")])
def test_the_metrics_are_those_of_the_tags(learnt, split, stem):
    expected = scores_of(learnt / "out", learnt / "data" / f"{stem}.txt")
    measured = metrics_of(learnt / "out")[split]
    assert {name: measured[name] for name in expected} == pytest.approx(expected)
    assert measured["loss"] > 0


def test_types_that_training_never_saw_count_as_missed(learnt):
    sentences = read_conll(learnt / "data" / "test.txt")
    there = Counter(type_ for sentence in sentences for type_, _, _ in entities(sentence["tags"]))
    measured = metrics_of(learnt / "out")["test"]
    assert there["ORG"] > 5
    assert (measured["number_ORG"], measured["number_PER"]) == (there["ORG"], there["PER"])
    assert measured["recall_ORG"] == measured["f1_ORG"] == 0
    found = measured["recall_PER"] * there["PER"]
    assert measured["recall"] == pytest.approx(found / (there["PER"] + there["ORG"]))
    assert 0 < measured["f1"] < 1


def test_the_last_lines_show_the_result(project, capfd):
    assert command("train", "toy.yaml", "--max_steps", "2", "--per_device_train_batch_size", "4") == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    assert "sentences: train 40, validation 10, test 10   entities: PER" in printed.out
    measured = metrics_of(project / "out")["test"]
    assert f"test: F1 {measured['f1']:.2%} (precision" in printed.out
    assert 'rnn-zoo tag out "some text"' in printed.out


@pytest.mark.ci
def test_words_with_labels_of_two_folders(tmp_path, monkeypatch, capfd):
    """Numbers of each label and of each folder, a card that joins no neighbours, answers by word."""
    monkeypatch.chdir(tmp_path)
    labelled = {"O": "VERB", "B-PER": "PROPN", "I-PER": "PROPN"}
    for folder in ("news", "chat"):
        for seed, (name, size) in enumerate({"train": 40, "valid": 10}.items()):
            rows = [[(word, labelled[tag]) for word, tag in row] for row in toy_sentences(size, seed + len(folder))]
            write(tmp_path / folder / f"{name}.txt", rows)
    values = RECIPE | {"data_dir": ["news", "chat"], "data_tag_scheme": "none", "use_crf": True, "max_steps": 20}
    values |= {"metric_for_best_model": "f1_PROPN", "load_best_model_at_end": True, "logging_steps": 10}
    values |= {"eval_strategy": "epoch", "save_strategy": "epoch"}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    message = (
        "metric_for_best_model='f1': is not measured where tags are labels of words, no entities; choose from loss"
    )
    refused(capfd, tmp_path, "train", "toy.yaml", "--metric_for_best_model", "f1", message=message)
    assert command("train", "toy.yaml") == 0
    metrics, card = metrics_of(tmp_path / "out"), (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    whole = metrics["validation"]
    parts = [metrics[f"validation_{folder}"] for folder in ("news", "chat")]
    for number in ("number_PROPN", "number_VERB"):
        assert whole[number] == sum(part[number] for part in parts) > 0
    right = sum(part[f"recall_{tag}"] * part[f"number_{tag}"] for part in parts for tag in ("PROPN", "VERB"))
    assert whole["token_accuracy"] == pytest.approx(right / (whole["number_PROPN"] + whole["number_VERB"]))
    assert "| validation of chat, this model | " in card
    assert (
        f"F1 of each, validation: PROPN {100 * whole['f1_PROPN']:.1f} %, VERB {100 * whole['f1_VERB']:.1f} %." in card
    )
    assert 'aggregation_strategy="none"' in card
    assert f"validation of news: accuracy {parts[0]['token_accuracy']:.2%}, by words" in capfd.readouterr().out
    assert command("tag", "out", "Rose Hill sees", "--json") == 0
    words = json.loads(capfd.readouterr().out)["words"]
    assert [word["text"] for word in words] == ["Rose", "Hill", "sees"]
    measured, _ = evaluated(capfd, "out", "--split", "validation", "--data_dir", "chat")
    assert measured["token_accuracy"] == parts[1]["token_accuracy"]


# ---- evaluate ----
def test_evaluate_measures_what_training_measured(learnt, monkeypatch, capfd):
    monkeypatch.chdir(learnt)
    before = tree(learnt)
    metrics = metrics_of(learnt / "out")
    for split in ("validation", "test"):
        measured, _ = evaluated(capfd, "out", "--split", split)
        assert without_times(measured) == without_times(metrics[split])
        other, _ = evaluated(capfd, "out", "--split", split, "--per_device_eval_batch_size", "3")
        assert other["f1"] == measured["f1"]
        assert other["loss"] == pytest.approx(measured["loss"], rel=0.2)  # the mean of the batches' means
    measured, _ = evaluated(capfd, "out", "--split", "train")
    assert measured["number_PER"] == sum(tag[0] == "B" for s in toy_sentences(200, 0) for _, tag in s)
    assert tree(learnt) == before


def test_evaluate_takes_a_folder_with_a_test_file_only(learnt, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path / "other" / "test.txt", toy_sentences(30, 7, ("PER", "LAW")))
    measured, said = evaluated(capfd, learnt / "out", "--data_dir", "other", "--split", "test")
    expected = scores_of(learnt / "out", file)
    assert {name: measured[name] for name in expected} == pytest.approx(expected)
    laws = file.read_text().count("B-LAW")
    assert said == f"rnn-zoo: other: entities of types that the model does not know: LAW ({laws})\n"
    assert measured["number_LAW"] == laws
    assert tree(tmp_path) == {"other": None, "other/test.txt": file.read_bytes()}


@pytest.mark.ci
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--hidden_size 16", "hidden_size: the checkpoint has decided that"),
        ("--character_encoder rnn", "character_encoder: the checkpoint has decided that"),
        ("--max_word_length 5", "max_word_length: the checkpoint has decided that"),
        ("--baseline crfsuite", "baseline: the checkpoint has decided that"),
        ("--split dev", "split='dev': the data has train, validation, test"),
        ("--data_dir nowhere", "data_dir='nowhere': no such folder"),
        ("--bptt_length 3", "bptt_length: is no key of the task token_classification"),
    ],
)
def test_mistakes_of_evaluate(whole_batches, monkeypatch, capfd, flags, message):
    monkeypatch.chdir(whole_batches)
    refused(capfd, whole_batches, "evaluate", "out", *flags.split(), message=message)


def test_evaluate_needs_a_recipe(project, capfd):
    save(project / "alone", *checkpoint_of_another())
    message = "alone: holds no recipe.yaml, so its data is unknown"
    refused(capfd, project, "evaluate", "alone", "--data_dir", "data", message=message)


def checkpoint_of_another():
    tokenizer = wordpiece_tokenizer()
    return lively("crf", vocab_size=len(tokenizer)), tokenizer


# ---- stopped and resumed ----
LONG = {"max_steps": 24, "save_strategy": "steps", "save_steps": 1, "logging_steps": 1, "lr_scheduler_type": "cosine"}
LONG |= {"output_dropout": 0.2, "input_dropout": 0.2, "word_dropout": 0.1, **CRF}
EPOCH = 10  # steps


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory):
    """A project after 24 steps with a checkpoint of each; an epoch has 10, and a sentence is left over."""
    folder = make_project(tmp_path_factory.mktemp("never") / "project", (81, 10, 10), **LONG)
    return trained(folder)


@pytest.mark.ci
@pytest.mark.parametrize("step", [4, EPOCH, 17])
def test_stopped_and_resumed_equals_never_stopped(never_stopped, tmp_path, monkeypatch, step):
    """To the bit, in the middle of an epoch and at its end."""
    check_resumed(never_stopped, tmp_path / "project", step, monkeypatch)


def small_trainer(folder, seen, resume=None, **overrides):
    """Trains on rows of many lengths and notes them in the order in which they are seen."""
    data = Dataset.from_list(
        [{"input_ids": [4 + n % 9] * (1 + n % 7), "labels": [n % 5] * (1 + n % 7)} for n in range(33)]
    )
    data = data.add_column("number", list(range(33)))

    def collate(rows):
        seen.extend(row["number"] for row in rows)
        longest = max(len(row["input_ids"]) for row in rows)
        return {
            "input_ids": torch.tensor([row["input_ids"] + [0] * (longest - len(row["input_ids"])) for row in rows]),
            "attention_mask": torch.tensor(
                [[1] * len(r["input_ids"]) + [0] * (longest - len(r["labels"])) for r in rows]
            ),
            "labels": torch.tensor([row["labels"] + [-100] * (longest - len(row["labels"])) for row in rows]),
        }

    settings = {"max_steps": 18, "save_strategy": "steps", "save_steps": 1, "logging_steps": 100, "report_to": "none"}
    settings |= {"per_device_train_batch_size": 4, "remove_unused_columns": False, "disable_tqdm": True}
    torch.manual_seed(0)
    trainer = RunTrainer(
        lively("tagger").float(),
        TrainingArguments(str(folder), use_cpu=True, **settings | overrides),
        train_dataset=data,
        data_collator=collate,
        parts=[LengthBatches()],
    )
    trainer.train(resume_from_checkpoint=resume and str(folder / f"checkpoint-{resume}"))
    return trainer


@pytest.mark.ci
def test_each_epoch_has_an_order_of_its_own_also_after_resuming(tmp_path):
    """Rows of nearly one length share a batch; what the epoch had not yet seen is seen next, by no row twice."""
    never: list[int] = []
    small_trainer(tmp_path, never)
    never = never[: 18 * 4]  # a loader may have looked ahead
    epochs = [never[:32], never[32:64]]
    for epoch in epochs:
        assert len(set(epoch)) == 32
        assert all(
            max(n % 7 for n in epoch[k : k + 4]) - min(n % 7 for n in epoch[k : k + 4]) <= 1 for k in range(0, 32, 4)
        )
    assert epochs[0] != epochs[1]
    assert epochs[0] != sorted(epochs[0])
    for step in (3, 8, 11):
        resumed: list[int] = []
        small_trainer(tmp_path, resumed, resume=step, save_strategy="no")
        assert resumed[: len(never) - step * 4] == never[step * 4 :], step


@pytest.mark.ci
def test_the_order_goes_by_the_seed(tmp_path):
    orders = []
    for settings in ({"seed": 1}, {"seed": 1}, {"seed": 2}, {"seed": 2, "data_seed": 1}):
        orders.append([])
        small_trainer(tmp_path / str(len(orders)), orders[-1], max_steps=8, save_strategy="no", **settings)
    assert orders[0] == orders[1] == orders[3] != orders[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("B-PER", "B-LOC"), "the data has the labels O, B-LOC, I-LOC, B-PER, I-PER, but"),
        ((" B-PER", " B-GPE"), "but out/checkpoint-4 was trained with O, B-PER, I-PER: resume with the data of the"),
    ],
    ids=["a new type", "another"],
)
def test_data_with_other_labels_cannot_be_resumed(never_stopped, tmp_path, monkeypatch, capfd, change, message):
    folder = stopped_at(never_stopped, tmp_path / "project", 4)
    monkeypatch.chdir(folder)
    file = folder / "data" / "train.txt"
    file.write_text(file.read_text().replace(*change, 3))
    refused(capfd, folder, "train", "toy.yaml", "--resume_from_checkpoint", message=message)


@pytest.mark.parametrize(
    "flag", ["--use_crf=false", "--tag_scheme=iob2", "--hidden_size=16", "--character_encoder=rnn"]
)
def test_another_model_cannot_be_resumed(never_stopped, tmp_path, monkeypatch, capfd, flag):
    folder = stopped_at(never_stopped, tmp_path / "project", 4)
    monkeypatch.chdir(folder)
    if "use_crf" in flag:
        (folder / "toy.yaml").write_text((folder / "toy.yaml").read_text().replace("tag_scheme: iobes\n", ""))
    message = f"but out/checkpoint-4 was trained with {dict(RECIPE | CRF).get(flag[2:].partition('=')[0], 'cnn')!r}"
    refused(capfd, folder, "train", "toy.yaml", "--resume_from_checkpoint", flag, message=message)


# ---- several processes, accumulation ----
ONE = {"max_steps": 8, "logging_steps": 1, "save_strategy": "steps", "save_steps": 8, "learning_rate": "1e-2", **CRF}


@pytest.fixture(scope="module")
def whole_batches(tmp_path_factory):
    """One process with batches of 8, without dropout."""
    folder = make_project(tmp_path_factory.mktemp("whole") / "project", (41, 10, 10), **ONE)
    return trained(folder)


@pytest.mark.ci
@pytest.mark.parametrize("parts", [2, 4])
def test_accumulation_equals_one_batch(whole_batches, tmp_path, monkeypatch, parts):
    check_accumulation(whole_batches, tmp_path, parts, monkeypatch)


@pytest.mark.ci
def test_two_processes_equal_one(whole_batches, tmp_path):
    printed = check_two_processes(whole_batches, tmp_path)
    assert printed.count("sentences: train 41") == 1  # one process speaks


# ---- words, vectors, tokenizers ----
def glove(path: Path, words: dict[str, list[float]]) -> Path:
    path.write_text("".join(f"{word} {' '.join(map(str, vector))}\n" for word, vector in words.items()))
    return path


def test_word_vectors_begin_the_embedding(project, capfd):
    vectors = {word: [float(n), -0.5, 0.25] for n, word in enumerate(WORDS[:6])} | {"elsewhere": [9.0, 9.0, 9.0]}
    glove(project / "glove.txt", vectors)
    flags = ["--word_vectors=glove.txt", "--embedding_size", "3", "--learning_rate=0", "--weight_decay=0"]
    assert command("train", "toy.yaml", "--max_steps=1", *flags) == 0
    words = [word.lower() for sentence in toy_sentences(40, 0) for word, _ in sentence]
    share = sum(word in vectors for word in words) / len(words)
    printed = capfd.readouterr().out
    assert f"word vectors: 6 of 10 words (60.0 %), {100 * share:.1f} % of tokens" in printed
    model, tokenizer = load(project / "out")
    embedding = model.model.embed_tokens.weight
    assert embedding.shape == (14, 3)
    for word, vector in vectors.items():
        row = tokenizer.convert_tokens_to_ids(word)
        assert (embedding[row].tolist() == vector) == (word != "elsewhere")
    for word in WORDS[6:]:
        assert embedding[tokenizer.convert_tokens_to_ids(word)].abs().sum() > 0  # not found, but not empty


def test_the_embedding_is_as_large_as_the_vectors(project):
    recipe = {key: value for key, value in RECIPE.items() if key != "embedding_size"} | {"word_vectors": "glove.txt"}
    (project / "toy.yaml").write_text(yaml.safe_dump(recipe))
    glove(project / "glove.txt", {"rose": [1.0, 2.0, 3.0, 4.0, 5.0]})
    assert command("train", "toy.yaml", "--max_steps=1") == 0
    assert load(project / "out")[0].config.embedding_size == 5


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--word_vectors glove.txt --embedding_size 7", "glove.txt: vectors of 3 numbers, where 7 are needed"),
        ("--word_vectors nowhere.txt", "nowhere.txt: No such file"),
        ("--word_vectors broken.txt --embedding_size 3", "broken.txt:2: 2 numbers, 3 are expected"),
        ("--word_vectors glove.txt --tokenizer_name pieces", "word_vectors: are those of whole words"),
    ],
)
def test_mistakes_with_word_vectors(project, capfd, flags, message):
    glove(project / "glove.txt", {"rose": [1.0, 2.0, 3.0], "art": [1.0, 2.0, 3.0]})
    glove(project / "broken.txt", {"rose": [1.0, 2.0, 3.0], "art": [1.0, 2.0], "the": [1.0, 2.0, 3.0]})
    refused(capfd, project, "train", "toy.yaml", *flags.split(), message=message)


@pytest.mark.ci
@pytest.mark.parametrize(("make", "size"), [(wordpiece_tokenizer, 60), (bytes_tokenizer, 270)])
@pytest.mark.parametrize("crf", [{}, CRF], ids=["plain", "CRF"])
def test_a_tokenizer_of_pieces_trains_a_tagger(tmp_path, monkeypatch, capfd, make, size, crf):
    """The rule is learnt from pieces too; the checkpoint tags words and raw text."""
    monkeypatch.chdir(make_project(tmp_path / "project", **crf))
    sentences = [[word for word, _ in sentence] for sentence in toy_sentences(200, 0)]
    make(sentences, size).save_pretrained("pieces")
    assert command("train", "toy.yaml", "--tokenizer_name=pieces", "--num_train_epochs=6") == 0
    metrics = metrics_of(Path("out"))
    assert metrics["validation"]["f1"] > 0.9
    expected = scores_of(Path("out"), Path("data/valid.txt"))
    assert {name: metrics["validation"][name] for name in expected} == pytest.approx(expected)
    measured, _ = evaluated(capfd, "out")
    assert measured["f1"] == metrics["validation"]["f1"]
    model, tokenizer = load(Path("out"))
    assert model.config.character_vocab_size is None
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained("pieces")) == len(tokenizer)
    text = "the green Rose Hill sees Art in may"
    assert len(tokenizer.tokenize(text)) > 1.5 * len(text.split())  # words are cut, or nothing would be proved
    assert [e[:4] for e in Tagger(model, tokenizer).tag_texts([text])[0]] == [
        ("PER", 10, 19, "Rose Hill"),
        ("PER", 25, 28, "Art"),
    ]
    assert command("tag", "out", text) == 0
    assert capfd.readouterr().out == "the green [Rose Hill PER] sees [Art PER] in may\n"


@pytest.mark.ci
@pytest.mark.parametrize("side", ["right", "left"])
def test_words_that_a_tokenizer_of_pieces_cuts_in_several(tmp_path, monkeypatch, side):
    """Rose-bell is one word of the data, and three for WordPiece: all are labelled, the first one is scored."""
    hyphens = [f"{one}-{other}" for one, other in zip(WORDS, reversed(WORDS), strict=True)]
    monkeypatch.setattr("test_tagger_training.WORDS", hyphens)
    monkeypatch.chdir(make_project(tmp_path / "project", **CRF))
    tokenizer = wordpiece_tokenizer([[word for word, _ in sentence] for sentence in toy_sentences(200, 0)])
    tokenizer.padding_side = side
    tokenizer.save_pretrained("pieces")
    assert len(tokenizer("Rose-bell", add_special_tokens=False)["input_ids"]) >= 3
    assert command("train", "toy.yaml", "--tokenizer_name=pieces", "--num_train_epochs=8") == 0
    metrics = metrics_of(Path("out"))
    assert metrics["validation"]["f1"] > 0.9
    expected = scores_of(Path("out"), Path("data/valid.txt"))
    assert {name: metrics["validation"][name] for name in expected} == pytest.approx(expected)
    model, tokenizer = load(Path("out"))
    (found,) = Tagger(model, tokenizer).tag_texts(["the-hill sees-may Rose-sees"])
    assert [entity.text for entity in found] == ["Rose-sees"]


def test_tokenizers_that_cannot_be_used(project, capfd):
    ByT5Tokenizer().save_pretrained("slow")
    message = "tokenizer_name='slow': the tokenizer is not a fast one"
    refused(capfd, project, "train", "toy.yaml", "--tokenizer_name=slow", message=message)
    tokenizer = bytes_tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained("no_padding")
    message = "tokenizer_name='no_padding': the tokenizer has no padding token"
    refused(capfd, project, "train", "toy.yaml", "--tokenizer_name=no_padding", message=message)
    build_bpe_tokenizer(["the green rose\n"]).save_pretrained("no_mark")
    message = "tokenizer_name='no_mark': its pieces do not show where words begin"
    refused(capfd, project, "train", "toy.yaml", "--tokenizer_name=no_mark", message=message)
    message = "tokenizer_name='./nowhere': could not be loaded"
    refused(capfd, project, "train", "toy.yaml", "--tokenizer_name=./nowhere", message=message)


@pytest.mark.ci
def test_characters_can_be_left_out(project):
    """Then a word is its lower-case form, and the rule cannot be seen."""
    assert command("train", "toy.yaml", "--read_characters=false", "--num_train_epochs=2") == 0
    model, tokenizer = load(project / "out")
    assert model.config.character_vocab_size is None
    assert not [name for name in weights(project / "out") if "character" in name]
    lower, upper = Tagger(model, tokenizer).tag_words([["rose", "hill"], ["Rose", "Hill"]])
    assert lower == upper
    shutil.rmtree("out")
    assert command("train", "toy.yaml", "--max_steps=1") == 0
    assert load(project / "out")[0].config.character_vocab_size == tokenizer.character_vocab_size


# ---- how rows are drawn ----
@pytest.mark.parametrize(
    ("strategy", "sampler"),
    [("random", None), ("sequential", SequentialSampler), ("group_by_length", LengthGroupedSampler)],
)
def test_a_sampling_strategy_is_left_to_trainer(project, strategy, sampler):
    recipe = read_recipe(project / "toy.yaml", [f"--train_sampling_strategy={strategy}", "--max_steps=2"])
    task = run.make_task(recipe)
    data = task.load_data()
    tokenizer = task.build_tokenizer(data)
    trainer, _ = run.build_trainer(task, task.build_model(data, tokenizer), tokenizer, data)
    if sampler is None:
        assert trainer._get_train_sampler() is trainer.parts[0].sampler
    else:
        assert trainer.parts[0].sampler is None
        assert isinstance(trainer._get_train_sampler(trainer.train_dataset), sampler)
    assert trainer.train().global_step == 2


def test_evaluation_keeps_its_order_whatever_the_sampling(learnt, tmp_path, monkeypatch):
    """Scores pair the predictions of each row with its true tags."""
    monkeypatch.chdir(learnt)
    flags = ["--train_sampling_strategy=group_by_length", "--max_steps=2", "--save_strategy=no"]
    assert command("train", "toy.yaml", f"--output_dir={tmp_path}", *flags) == 0
    expected = scores_of(tmp_path, Path("data/valid.txt"))
    measured = metrics_of(tmp_path)["validation"]
    assert {name: measured[name] for name in expected} == pytest.approx(expected)


# ---- mistakes in the data ----
@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        ("Rose B-PER\nlives\n", "", "data/train.txt:2: 1 column between blanks, 2 are expected: 'lives'"),
        ("Rose B-PER\nlives X\n", "", "data/train.txt:2: tag 'X' is not IOB, allowed are O, B-TYPE"),
        ("", "", "the train part holds no sentence"),
        ("Rose B-PER\n", "--token_column form", "token_column='form': data/train.txt has no header"),
        (
            "Rose B-PER\n",
            "--data_tag_scheme bio",
            "data_tag_scheme='bio': unknown (choose from iob1, iob2, iobes, io, none)",
        ),
    ],
)
def test_mistakes_in_the_data(project, capfd, text, flags, message):
    (project / "data" / "train.txt").write_text(text)
    refused(capfd, project, "train", "toy.yaml", *flags.split(), message=message)


def test_tags_that_cannot_stand_where_they_do_are_counted(project, capfd):
    file = project / "data" / "valid.txt"
    file.write_text(file.read_text() + "the O\nRose I-PER\nsees O\nArt I-PER\n")
    assert command("train", "toy.yaml", "--max_steps=1", "--data_tag_scheme=iob2") == 0
    printed = capfd.readouterr()
    total = len([line for line in file.read_text().splitlines() if line])
    line = file.read_text().splitlines().index("Rose I-PER", total - 4) + 1
    assert printed.err == (
        f"rnn-zoo: data/valid.txt: 2 of {total} tags cannot stand where they do in iob2, as an I- without its B-; read "
        f"as conlleval does, the first is 'I-PER' at data/valid.txt:{line}\n"
    )
    assert "Traceback" not in printed.out


# ---- elsewhere ----
WITHOUT_PACKAGE = """
import json, sys
from transformers import pipeline

tag = pipeline("token-classification", model=sys.argv[1], trust_remote_code=True)
assert type(tag.model).__module__.startswith("transformers_modules."), type(tag.model)
assert type(tag.tokenizer).__module__.startswith("transformers_modules."), type(tag.tokenizer)
by_strategy = [
    [[(e["entity_group"], e["start"], e["end"]) for e in tag(text, aggregation_strategy=strategy)] for text in texts]
    for texts in [json.loads(sys.argv[2])]
    for strategy in ("simple", "first", "average", "max")
]
assert all(found == by_strategy[0] for found in by_strategy), by_strategy
print("FOUND", json.dumps(by_strategy[0]))
"""
TEXTS = ["the green Rose Hill sees Art in may", "Bell", "नमस्ते Rose! 😀 May", "rose hill"]


@pytest.mark.ci
def test_a_trained_tagger_opens_without_the_package(learnt, tmp_path):
    model, tokenizer = load(learnt / "out")
    expected = [[list(e[:3]) for e in found] for found in Tagger(model, tokenizer).tag_texts(TEXTS)]
    assert expected[0] == [["PER", 10, 19], ["PER", 25, 28]]
    if not model.config.use_crf:  # one process is enough; with the package it is the same pipeline
        tag = pipeline("token-classification", model=str(learnt / "out"), aggregation_strategy="simple")
        assert [[[e["entity_group"], e["start"], e["end"]] for e in tag(text)] for text in TEXTS] == expected
        return
    assert without_package(tmp_path, WITHOUT_PACKAGE, str(learnt / "out"), json.dumps(TEXTS)) == expected


@pytest.mark.ci
@pytest.mark.parametrize("options", [{}, {"use_crf": True}], ids=["plain", "CRF"])
def test_parts_of_speech_are_measured_by_words(project, capfd, options):
    """Labels of words, no entities: the CRF lets all follow all, and every door gives the labels."""
    for name in ("train", "valid", "test"):
        rows = [[(word, "NOUN" if word[0].isupper() else "VERB") for word, _ in row] for row in toy_sentences(30, 3)]
        write(project / "data" / f"{name}.txt", rows + [[("x", "X")]] * (name == "test"))
    Path("toy.yaml").write_text(yaml.safe_dump(RECIPE | options))
    assert command("train", "toy.yaml") == 0
    printed = capfd.readouterr()
    assert "labels of words: NOUN, VERB" in printed.out
    assert "by words" in printed.out
    assert "the test part has labels that the training part lacks: X (1)" in printed.err
    measured = metrics_of(Path("out"))["test"]
    references = [sentence["tags"] for sentence in read_conll("data/test.txt", warn=str)]
    model, tokenizer = load(Path("out"))
    sentences = [sentence["tokens"] for sentence in read_conll("data/test.txt", warn=str)]
    predicted = Tagger(model, tokenizer).tag_words(sentences)
    pairs = [pair for told, found in zip(references, predicted, strict=True) for pair in zip(told, found, strict=True)]
    assert measured["token_accuracy"] == pytest.approx(sum(one == other for one, other in pairs) / len(pairs))
    assert measured["token_accuracy"] > 0.9
    assert "f1" not in measured
    assert {label for row in predicted for label in row} == {"NOUN", "VERB"}
    assert evaluated(capfd, "out", "--split", "test")[0]["token_accuracy"] == measured["token_accuracy"]
    tag = pipeline("token-classification", model=model, tokenizer=tokenizer)
    assert [one["entity"] for one in tag("Rose lives")] == ["NOUN", "VERB"]
    again = ["train", "toy.yaml", "--output_dir", "again", "--tag_scheme", "iobes"]
    refused(capfd, project, *again, message="tag_scheme='iobes': is for entities")
    write(project / "data" / "test.txt", toy_sentences(5, 1))
    refused(
        capfd,
        project,
        "evaluate",
        "out",
        "--split",
        "test",
        message="the test part has tags of entities (B-PER, I-PER)",
    )
