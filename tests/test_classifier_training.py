"""Training a classifier by a recipe: it learns, its numbers are true, it goes on; transfer; mistakes."""

import json
import random
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
    history,
    metrics_of,
    refused,
    stopped_at,
    trained,
    weights,
    without_times,
)
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback

from rnn_zoo import RnnForSequenceClassification
from rnn_zoo.models.pooling import POOLINGS
from rnn_zoo.models.tokenization_words import WordCharacterTokenizer
from rnn_zoo.recipe.recipe import read_recipe
from rnn_zoo.run import run
from rnn_zoo.tasks.sequence_classification.classifier import Classifier
from rnn_zoo.training.keys import TransferArguments
from rnn_zoo.training.layers import depth_of
from rnn_zoo.training.regularization import AVERAGES_FILE
from rnn_zoo.training.schedules import slanted_triangle

NOISE = ["the", "film", "was", "यह", "कहानी", "long", "."]
WORDS = {"good": ["fine", "अच्छी", "lovely"], "bad": ["awful", "बुरी", "dull"], "fair": ["so-so", "ठीक", "average"]}
RECIPE = {
    "task": "sequence_classification",
    "data_dir": "data",
    "output_dir": "out",
    "tokenizer_type": "wordpunct",
    "cell_type": "gru",
    "bidirectional": True,
    "hidden_size": 16,
    "embedding_size": 16,
    "per_device_train_batch_size": 16,
    "per_device_eval_batch_size": 16,
    "num_train_epochs": 5,
    "learning_rate": "1e-2",
    "initializer_range": 0.5,  # so small a model begins slowly with the default
    "save_strategy": "no",
}
KINDS = {
    **{name: {"pooling": name} for name in POOLINGS},
    "sentences": {"hierarchical": True, "pooling": "attention", "num_train_epochs": 8},
    "several labels": {"problem_type": "multi_label_classification", "num_train_epochs": 8},
    "numbers": {"problem_type": "regression", "pooling": "max", "num_train_epochs": 10},
    "spelling": {"read_characters": True, "affix_length": 2, "character_hidden_size": 8, "bidirectional": False},
    "pieces": {"tokenizer_type": "bpe", "max_vocab_size": 300, "balance_classes": True},
}


def toy_texts(number: int, seed: int, problem_type: str) -> list[tuple[str, str]]:
    """Labels and texts in which one word of each label tells it; `good` has the value 1, `fair` 0 and `bad` -1."""
    chooser, rows = random.Random(seed), []
    for _ in range(number):
        labels = [chooser.choice(list(WORDS))]
        if problem_type == "multi_label_classification":
            labels = sorted(chooser.sample(list(WORDS), chooser.randint(0, 2)))
        words = chooser.choices(NOISE, k=chooser.randint(2, 12)) + [chooser.choice(WORDS[label]) for label in labels]
        chooser.shuffle(words)
        value = {"good": "1", "bad": "-1", "fair": "0"}[labels[0]] if problem_type == "regression" else ",".join(labels)
        rows.append((value, " ".join(words)))
    return rows


def write(path: Path, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{label}\t{text}\n" for label, text in rows), encoding="utf-8")


def make_project(folder: Path, sizes=(400, 48, 48), **values) -> Path:
    """A recipe `toy.yaml` and its data in `folder/data`, to be run from `folder`."""
    recipe = RECIPE | values
    for seed, (stem, size) in enumerate(zip(("train", "valid", "test"), sizes, strict=True)):
        rows = toy_texts(size, seed, recipe.get("problem_type", "single_label_classification"))
        write(folder / "data" / f"{stem}.tsv", rows)
    (folder / "toy.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return folder


def load(folder: Path):
    return AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def texts_of(path: Path) -> tuple[list[str], list[str]]:
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return [label for label, _ in rows], [text for _, text in rows]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An untrained project, the current folder."""
    monkeypatch.chdir(make_project(tmp_path / "project", (48, 12, 12)))
    return tmp_path / "project"


@pytest.fixture(scope="module", params=KINDS)
def learnt(request, tmp_path_factory):
    """One of each kind; tests leave it as it is."""
    return trained(make_project(tmp_path_factory.mktemp("learnt") / "project", **KINDS[request.param]))


# ---- what is learnt, and its numbers ----
@pytest.mark.ci
def test_a_rule_is_learnt(learnt):
    metrics, recipe = metrics_of(learnt / "out"), read_recipe(learnt / "toy.yaml")
    for split in ("validation", "test"):
        if recipe.task_arguments.problem_type == "regression":
            assert metrics[split]["mse"] < 0.1
            assert metrics[split]["pearson"] > 0.9
        else:
            assert metrics[split]["accuracy"] > 0.9
            assert metrics[split]["macro_f1"] > 0.9
    epochs = recipe.training.num_train_epochs
    assert metrics["steps"] == epochs * 400 // 16
    assert metrics["train"]["texts_per_second"] == pytest.approx(epochs * 400 / metrics["train"]["seconds"])
    assert read_recipe(learnt / "out" / "recipe.yaml").values == recipe.values


@pytest.mark.parametrize("spells", [False, True])
def test_a_batch_of_empty_texts(project, spells, capfd):
    with (project / "data" / "valid.tsv").open("a", encoding="utf-8") as file:
        file.write("good\t \n" * 5)
    flags = ["--max_steps=1", "--per_device_eval_batch_size=2", f"--read_characters={spells}"]
    assert command("train", "toy.yaml", *flags) == 0
    assert "5 of 17 texts are empty" in capfd.readouterr().err
    measured = metrics_of(project / "out")["validation"]
    assert sum(map(sum, measured["confusion"])) == 12 + 5


@pytest.mark.parametrize(("split", "stem"), [("validation", "valid"), ("test", "test")])
def test_the_metrics_are_those_of_the_texts(learnt, split, stem):
    """Counted anew from the checkpoint, one text at a time."""
    model, tokenizer = load(learnt / "out")
    classifier, measured = Classifier(model, tokenizer, batch_size=1), metrics_of(learnt / "out")[split]
    labels, texts = texts_of(learnt / "data" / f"{stem}.tsv")
    found = classifier.classify(texts)
    if model.config.problem_type == "regression":
        errors = [(one.scores["score"] - float(label)) ** 2 for one, label in zip(found, labels, strict=True)]
        assert measured["mse"] == pytest.approx(sum(errors) / len(errors), rel=1e-3)
    else:
        right = [
            set(one.labels) == set(filter(None, label.split(","))) for one, label in zip(found, labels, strict=True)
        ]
        assert measured["accuracy"] == pytest.approx(sum(right) / len(right))


def test_a_run_leaves_all_that_classifying_needs(learnt):
    model, tokenizer = load(learnt / "out")
    assert isinstance(model, RnnForSequenceClassification)
    assert model.config.vocab_size == len(tokenizer)
    names = list(model.config.id2label.values())
    assert names == (["score"] if model.config.problem_type == "regression" else sorted(WORDS))
    assert bool(model.config.sentence_end_token_ids) == model.config.hierarchical
    assert (model.config.class_weights is not None) == read_recipe(learnt / "toy.yaml").task_arguments.balance_classes
    drawn = model.config.problem_type == "single_label_classification"
    assert (learnt / "out" / "confusion.png").exists() == drawn


def test_a_new_run_leaves_no_picture_of_the_old_one(project):
    assert command("train", "toy.yaml", "--max_steps", "1") == 0
    assert (project / "out" / "confusion.png").read_bytes().startswith(b"\x89PNG")
    other = ["--problem_type", "multi_label_classification", "--overwrite_output_dir"]
    assert command("train", "toy.yaml", "--max_steps", "1", *other) == 0
    assert not (project / "out" / "confusion.png").exists()


def test_a_matrix_too_large_for_a_picture_is_no_error(project, capfd, monkeypatch):
    monkeypatch.setattr("rnn_zoo.inspect.pictures.MOST_DOTS", 1000)
    assert command("train", "toy.yaml", "--max_steps", "1") == 0
    assert "confusion.png: a PNG of 3 labels would have" in capfd.readouterr().err
    assert metrics_of(project / "out")["test"]["confusion"]


def test_the_last_lines_show_the_result(project, capfd):
    assert command("train", "toy.yaml", "--num_train_epochs=1", "--baseline=tfidf") == 0
    printed, metrics = capfd.readouterr().out, metrics_of(project / "out")
    assert "texts: train 48, validation 12, test 12   labels: bad, fair, good   vocabulary: " in printed
    for split in ("validation", "test"):
        assert f"{split}: accuracy {metrics[split]['accuracy']:.2%}, macro-F1" in printed
        assert (
            f"{metrics['baseline']['name']}: accuracy {metrics['baseline']['splits'][split]['accuracy']:.2%}" in printed
        )
    assert printed.splitlines()[-1] == 'classify text with: rnn-zoo classify out "some text"'


def test_evaluate_measures_what_training_measured(learnt, monkeypatch, capfd):
    monkeypatch.chdir(learnt)
    for split in ("validation", "test"):
        measured, said = evaluated(capfd, "out", "--split", split)
        assert without_times(measured) == without_times(metrics_of(learnt / "out")[split])
        assert said == ""


# ---- going on ----
@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory):
    """With checkpoints at every step, dropout, the schedule, layers' rates and unfreezing of a transfer, and all that
    regularizes."""
    values = {"num_train_epochs": 4, "save_strategy": "steps", "save_steps": 1, "logging_steps": 1}
    values |= {"word_dropout": 0.2, "output_dropout": 0.3, "classifier_dropout": 0.2, "label_smoothing": 0.1}
    values |= {"layer_lr_decay": 0.5, "gradual_unfreezing": True, "lr_schedule": "slanted_triangular"}
    values |= {"adversarial_epsilon": 0.05, "weight_averaging": 0.9}
    folder = tmp_path_factory.mktemp("never_stopped") / "project"
    return trained(make_project(folder, (48, 12, 12), **values))


@pytest.mark.ci
@pytest.mark.parametrize("step", [1, 5, 6])
def test_stopped_and_resumed_equals_never_stopped(never_stopped, tmp_path, monkeypatch, step):
    check_resumed(never_stopped, tmp_path / "project", step, monkeypatch)


@pytest.mark.parametrize("flag", ["--pooling=mean", "--classifier_hidden_size=4", "--hierarchical"])
def test_another_model_cannot_be_resumed(never_stopped, tmp_path, monkeypatch, capfd, flag):
    folder = stopped_at(never_stopped, tmp_path / "project", 1)
    monkeypatch.chdir(folder)
    refused(capfd, folder, "train", "toy.yaml", "--resume_from_checkpoint", flag, message="was trained with")


def test_a_checkpoint_without_its_averages_cannot_be_resumed(never_stopped, tmp_path, monkeypatch, capfd):
    folder = stopped_at(never_stopped, tmp_path / "project", 1)
    (folder / "out" / "checkpoint-1" / AVERAGES_FILE).unlink()
    monkeypatch.chdir(folder)
    message = f"out/checkpoint-1: {AVERAGES_FILE} is missing"
    refused(capfd, folder, "train", "toy.yaml", "--resume_from_checkpoint", message=message)


def test_data_with_other_labels_cannot_be_resumed(never_stopped, tmp_path, monkeypatch, capfd):
    folder = stopped_at(never_stopped, tmp_path / "project", 1)
    for path in (folder / "data").iterdir():
        path.write_text(path.read_text(encoding="utf-8").replace("fair\t", "okay\t"), encoding="utf-8")
    monkeypatch.chdir(folder)
    message = "the data has the labels bad, good, okay"
    refused(capfd, folder, "train", "toy.yaml", "--resume_from_checkpoint", message=message)


# ---- batches in parts, and processes ----
@pytest.fixture(scope="module", params=["single_label_classification", "multi_label_classification", "hops"])
def whole_batches(request, tmp_path_factory):
    values = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "save_strategy": "epoch", "logging_steps": 1}
    values |= {"weight_decay": 0.01, "label_smoothing": 0.1}
    if request.param == "hops":
        values |= {"pooling": "self_attentive", "attention_penalty": 0.1, "balance_classes": True}
        values |= {"gradual_unfreezing": True, "layer_lr_decay": 0.5, "lr_schedule": "one_cycle"}
        values |= {"adversarial_epsilon": 0.05, "weight_averaging": 0.9}
    else:
        values["problem_type"] = request.param
    return trained(make_project(tmp_path_factory.mktemp("whole") / "project", (32, 12, 12), **values))


@pytest.mark.ci
@pytest.mark.parametrize("parts", [2, 4])
def test_accumulation_equals_one_batch(whole_batches, tmp_path, monkeypatch, parts):
    check_accumulation(whole_batches, tmp_path / "out", parts, monkeypatch)


@pytest.mark.ci
def test_two_processes_equal_one(whole_batches, tmp_path):
    check_two_processes(whole_batches, tmp_path / "out")


# ---- transfer ----
LANGUAGE_MODEL = {
    "task": "causal_lm",
    "data_dir": "data",
    "output_dir": "lm",
    "examples": "documents",
    "tokenizer_type": "bpe",
    "max_vocab_size": 300,
    "fold_case": True,
    "num_hidden_layers": 2,
    "hidden_size": 12,
    "embedding_size": 8,
    "bptt_length": 8,
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 1,
    "max_steps": 5,
    "sample_tokens": 0,
    "save_strategy": "no",
}


@pytest.fixture(scope="module")
def with_language_model(tmp_path_factory):
    """A project with a language model of its texts in `lm`, and no classifier yet; tests write to other folders."""
    folder = make_project(tmp_path_factory.mktemp("transfer") / "project", (200, 24, 24))
    with (folder / "data" / "train.tsv").open("a", encoding="utf-8") as file:
        file.write("good\tfine rare, rare\n")
    (folder / "data" / "unlabelled.txt").write_text("qqq zzz\n" * 20, encoding="utf-8")
    (folder / "lm.yaml").write_text(yaml.safe_dump(LANGUAGE_MODEL), encoding="utf-8")
    of_its_own = {key: value for key, value in RECIPE.items() if key != "tokenizer_type"}
    (folder / "from_lm.yaml").write_text(yaml.safe_dump(of_its_own), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert command("train", "lm.yaml") == 0
        assert command("train", "lm.yaml", "--output_dir=words", "--tokenizer_type=wordpunct", "--min_frequency=3") == 0
    return folder


FROM_IT = ["--embedding_size=8", "--hidden_size=12", "--num_hidden_layers=2", "--cell_type=lstm", "--learning_rate=0"]


def test_a_language_model_reads_texts_without_labels(with_language_model):
    tokenizer = AutoTokenizer.from_pretrained(with_language_model / "lm")
    assert "test" not in metrics_of(with_language_model / "lm")
    assert len(tokenizer("qqq")["input_ids"]) < 3  # learnt from the file beside
    text = (with_language_model / "lm" / "recipe.yaml").read_text()
    assert "documents" in text


@pytest.mark.parametrize("directions", [1, 2])
def test_a_classifier_begins_with_a_language_model(with_language_model, tmp_path, monkeypatch, directions):
    monkeypatch.chdir(with_language_model)
    flags = [*FROM_IT, f"--bidirectional={directions == 2}", f"--output_dir={tmp_path / 'out'}"]
    assert command("train", "from_lm.yaml", "--language_model=lm", *flags, "--num_train_epochs=1") == 0
    found, source = weights(tmp_path / "out"), weights(with_language_model / "lm")
    names = [name for name in source if name.startswith("model.")]
    assert len(names) > 8
    for name in names:
        if found[name].shape == source[name].shape:
            assert torch.equal(found[name], source[name]), name
        else:  # a second layer that reads both directions: the other one's weights are zero
            assert directions == 2
            width = source[name].shape[1]
            assert torch.equal(found[name][:, :width], source[name])
            assert found[name][:, width:].eq(0).all()
    tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in (tmp_path / "out", with_language_model / "lm")]
    assert tokenizers[0].get_vocab() == tokenizers[1].get_vocab()


@pytest.mark.parametrize("spells", [False, True])
def test_a_classifier_knows_the_words_of_both(with_language_model, tmp_path, monkeypatch, capfd, spells):
    monkeypatch.chdir(with_language_model)
    flags = [*FROM_IT, "--min_frequency=2", f"--read_characters={spells}", f"--output_dir={tmp_path / 'out'}"]
    assert command("train", "toy.yaml", "--language_model=words", *flags, "--max_steps=1") == 0
    folders = tmp_path / "out", with_language_model / "words"
    mine, its = (AutoTokenizer.from_pretrained(folder) for folder in folders)
    assert isinstance(mine, WordCharacterTokenizer) == spells
    assert its.get_vocab().keys() <= mine.get_vocab().keys()
    (only_mine,) = mine.get_vocab().keys() - its.get_vocab().keys()
    assert only_mine == "rare"
    assert f"language model words: has an embedding for {len(its)} of {len(mine)} words" in capfd.readouterr().out
    found, source = map(weights, folders)
    name = "model.embed_tokens.weight"
    for word, n in its.get_vocab().items():
        assert torch.equal(found[name][mine.get_vocab()[word]], source[name][n]), word
    name = "model.stack.layers.0.cells.0.weight_ih"
    assert torch.equal(found[name][:, :8], source[name])
    assert found[name][:, 8:].eq(0).all()
    assert found[name].shape[1] == (8 + 50 if spells else 8)


def test_the_sizes_of_a_language_model_need_not_be_told(with_language_model, tmp_path, monkeypatch):
    told = ("cell_type", "hidden_size", "embedding_size", "tokenizer_type")
    recipe = {key: value for key, value in RECIPE.items() if key not in told}
    recipe |= {"data_dir": str(with_language_model / "data"), "language_model": str(with_language_model / "lm")}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(recipe | {"max_steps": 1}), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert command("train", "toy.yaml") == 0
    config = load(tmp_path / "out")[0].config
    assert (config.num_hidden_layers, config.hidden_size, config.embedding_size) == (2, 12, 8)
    assert config.cell_type == "lstm"
    assert command("train", "toy.yaml", "--resume_from_checkpoint", "--max_steps=2") == 2  # nothing was saved


def test_a_tagger_begins_with_a_language_model(with_language_model, tmp_path, monkeypatch, capfd):
    recipe = {"task": "token_classification", "embedded_data": "ner_sample", "bidirectional": True, "max_steps": 1}
    recipe |= {"language_model": str(with_language_model / "lm"), "save_strategy": "no", "use_crf": True}
    recipe |= {"learning_rate": 0, "output_dir": "out"}
    (tmp_path / "tagger.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert command("train", "tagger.yaml") == 0
    assert "has an embedding for" in capfd.readouterr().out
    name = "model.stack.layers.0.cells.0.weight_hh"
    assert torch.equal(weights(tmp_path / "out")[name], weights(with_language_model / "lm")[name])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--language_model=nowhere/lm"], "language_model='nowhere/lm': "),
        (["--language_model=./lm"], "language_model='./lm': lm: no model there (config.json is missing)"),
        (["--language_model=out"], "language_model='out': out: holds a RnnForSequenceClassification, not a recurrent"),
        (["--layer_lr_decay=0"], "layer_lr_decay=0.0: must be in (0, 1]"),
        (["--lr_schedule=one_cycle", "--lr_scheduler_type=cosine"], "lr_schedule: does not go with lr_scheduler_type"),
        (["--lr_schedule=triangle"], "invalid choice: 'triangle'"),
        (["--label_smoothing_factor=0.1"], "use label_smoothing"),
        (["--problem_type=regression", "--label_smoothing=0.1"], "has no meaning for a regression"),
        (["--adversarial_epsilon=-1"], "adversarial_epsilon=-1.0: must be at least 0"),
        (["--weight_averaging=1"], "weight_averaging=1.0: must be in [0, 1)"),
        (
            ["--weight_averaging=0.9", "--load_best_model_at_end", "--eval_strategy=epoch", "--save_strategy=epoch"],
            "weight_averaging: does not go with load_best_model_at_end",
        ),
        (
            ["--adversarial_epsilon=0.1", "--bidirectional=false", "--backprop_length=8"],
            "adversarial_epsilon: does not go with backprop_length",
        ),
        (["--affix_length=2"], "affix_length: needs read_characters"),
        (["--max_word_length=9", "--read_characters=false"], "max_word_length: needs read_characters"),
        (["--read_characters", "--max_word_length=0"], "max_word_length=0: must be at least 1"),
        (
            ["--read_characters", "--tokenizer_type=bpe"],
            "read_characters: needs tokenizer_type word or wordpunct, not bpe",
        ),
        (["--pooling=maximum"], "pooling='maximum': unknown; did you mean 'max'?"),
        (["--use_crf"], "use_crf: is no key of the task sequence_classification"),
        (["--backprop_length=8"], "not for bidirectional models"),
        (["--max_text_length=0"], "max_text_length=0: must be at least 1"),
        (["--baseline=crfsuite"], "baseline='crfsuite': unknown to the task sequence_classification"),
        (["--eval_do_concat_batches=false"], "accuracy is that of all texts of a split"),
    ],
)
def test_mistakes_of_train(project, monkeypatch, capfd, flags, message):
    if "--language_model=out" in flags:
        assert command("train", "toy.yaml", "--max_steps=1", "--bidirectional=false") == 0
        flags = [*flags, "--output_dir=other"]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused(capfd, project, "train", "toy.yaml", *flags, message=message)


@pytest.mark.parametrize("key", ["layer_lr_decay", "adversarial_epsilon", "weight_averaging", "read_characters"])
def test_other_tasks_have_no_transfer(tmp_path, monkeypatch, capfd, key):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.yaml").write_text("task: translation\nembedded_data: dates\n")
    value = "true" if key == "read_characters" else "0.5"
    refused(
        capfd, tmp_path, "train", "toy.yaml", f"--{key}={value}", message=f"{key}: is no key of the task translation"
    )


def test_a_model_of_other_sizes_than_the_language_model(with_language_model, monkeypatch, capfd):
    monkeypatch.chdir(with_language_model)
    flags = ["--language_model=lm", "--hidden_size=16"]
    message = "hidden_size=16: the language model lm has 12; leave the key out"
    flags.append("--embedding_size=8")
    refused(capfd, with_language_model, "train", "from_lm.yaml", *flags, "--cell_type=lstm", message=message)


@pytest.mark.parametrize(("name", "kind"), [("lm", "wordpunct"), ("words", "bpe")])
def test_pieces_have_no_words_in_common(with_language_model, monkeypatch, capfd, name, kind):
    monkeypatch.chdir(with_language_model)
    flags = [*FROM_IT, f"--language_model={name}", f"--tokenizer_type={kind}"]
    message = f"tokenizer_type='{kind}': stands beside language_model only where both cut texts into words"
    refused(capfd, with_language_model, "train", "from_lm.yaml", *flags, message=message)


# ---- rates, schedules, layers ----
class Notes(TrainerCallback):
    """What each step trains, and at which rates."""

    def __init__(self):
        self.rates, self.trained = [], []

    def on_step_begin(self, args, state, control, model=None, optimizer=None, **kwargs):
        self.rates.append([(group["lr"], group["weight_decay"]) for group in optimizer.param_groups])
        self.trained.append({depth_of(name, model) for name, p in model.named_parameters() if p.requires_grad})


def followed(project, *flags):
    """A run of 3 epochs of 3 steps, and what `Notes` saw."""
    recipe = read_recipe(project / "toy.yaml", [*flags, "--num_train_epochs=3", "--num_hidden_layers=2"])
    task = run.make_task(recipe)
    data = task.load_data()
    tokenizer = task.build_tokenizer(data)
    model = task.build_model(data, tokenizer)
    trainer, _ = run.build_trainer(task, model, tokenizer, data)
    notes = Notes()
    trainer.add_callback(notes)
    trainer.train()
    return model, trainer, notes


def test_each_layer_has_a_rate_of_its_own(project):
    model, trainer, notes = followed(project, "--layer_lr_decay=0.5", "--weight_decay=0.1")
    names = {parameter: name for name, parameter in model.named_parameters()}
    seen = set()
    for group, (rate, _) in zip(trainer.optimizer.param_groups, notes.rates[0], strict=True):
        depths = {depth_of(names[parameter], model) for parameter in group["params"]}
        assert len(depths) == 1
        assert rate == pytest.approx(0.01 * 0.5 ** depths.pop())
        seen |= set(group["params"])
    assert seen == set(names)
    assert {decay for rates in notes.rates for _, decay in rates} == {0.0, 0.1}
    assert depth_of("classifier.weight", model) == 0
    assert depth_of("model.stack.layers.1.cells.0.weight_hh", model) == 1
    assert depth_of("model.stack.layers.0.cells.1.weight_hh", model) == 2
    assert depth_of("model.embed_tokens.weight", model) == 3


def test_layers_thaw_from_the_top(project):
    model, _, notes = followed(project, "--gradual_unfreezing")
    assert notes.trained == [{0}] * 3 + [{0, 1}] * 3 + [{0, 1, 2}] * 3
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_slanted_triangle(project):
    """Equation 3 of Howard and Ruder 2018 with ratio 32, here with a cut after a third."""
    _, _, notes = followed(project, "--lr_schedule=slanted_triangular", "--warmup_steps=3")
    found = [rates[0][0] / 0.01 for rates in notes.rates]
    shares = [0, 1 / 3, 2 / 3, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    assert found == pytest.approx([(1 + share * 31) / 32 for share in shares])
    assert slanted_triangle(9, 3, 9) == pytest.approx(1 / 32)


def test_one_cycle_goes_up_and_down_once(project):
    _, trainer, notes = followed(project, "--lr_schedule=one_cycle")
    found = [rates[0][0] for rates in notes.rates]
    top = found.index(max(found))
    assert 0 < top < 5
    assert max(found) == pytest.approx(0.01, rel=0.1)
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)
    assert trainer.optimizer.param_groups[0]["lr"] < 1e-3
    assert TransferArguments().lr_schedule == "none"


def test_a_loss_falls(never_stopped):
    losses = history(never_stopped / "out" / "checkpoint-12")
    assert sum(losses[-3:]) < sum(losses[:3])
    assert json.loads((never_stopped / "out" / "checkpoint-12" / "trainer_state.json").read_text())["max_steps"] == 12
