"""Training a translator by a recipe: it learns, its numbers are true, it goes on where it stopped; mistakes."""

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
    tree,
    weights,
    without_times,
)
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, Seq2SeqTrainer, TrainerCallback

from rnn_zoo.inspect.attention import words_of
from rnn_zoo.models.tokenization_pairs import PairTokenizer
from rnn_zoo.recipe.recipe import read_recipe
from rnn_zoo.run import run
from rnn_zoo.tasks.translation import locale_pairs
from rnn_zoo.tasks.translation import run as translation
from rnn_zoo.tasks.translation.run import ScheduledSampling
from rnn_zoo.tasks.translation.translations import translation_scores
from rnn_zoo.tasks.translation.translator import Translator
from rnn_zoo.training.run_trainer import GeneratingTrainer

WORDS = ["red", "dog", "runs", "home", "old", "नदी", "she"]
RECIPE = {
    "task": "translation",
    "data_dir": "data",
    "output_dir": "out",
    "source_lang": "low",
    "target_lang": "up",
    "cell_type": "gru",
    "hidden_size": 32,
    "embedding_size": 32,
    "per_device_train_batch_size": 16,
    "per_device_eval_batch_size": 16,
    "num_train_epochs": 10,
    "learning_rate": "1e-2",
    "initializer_range": 0.5,  # so small a model begins slowly with the default
    "lr_scheduler_type": "linear",
    "max_target_length": 24,
    "save_strategy": "no",
}
KINDS = {
    "char": {"tie_word_embeddings": True},
    "two vocabularies, input feeding": {"separate_vocabularies": True, "input_feeding": True, "attention": "bahdanau"},
    "no attention": {"attention": "none", "num_train_epochs": 16},
    "bpe": {"tokenizer_type": "bpe", "max_vocab_size": 290},
    "bpe, two vocabularies": {"tokenizer_type": "bpe", "max_vocab_size": 300, "separate_vocabularies": True},
}


def toy_pairs(number: int, seed: int, words: bool = False) -> list[tuple[str, str]]:
    """Texts in capitals: letters backwards, or words as they stand."""
    chooser = random.Random(seed)
    pairs = []
    for _ in range(number):
        parts = chooser.choices(WORDS if words else "abcd", k=chooser.randint(1, 4))
        pairs.append(
            tuple(
                (" " if words else "").join(side)
                for side in (parts, [part.upper() for part in (parts if words else parts[::-1])])
            )
        )
    return pairs


def write(folder: Path, stem: str, pairs) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for side, ending in enumerate(("low", "up")):
        (folder / f"{stem}.{ending}").write_text("".join(f"{pair[side]}\n" for pair in pairs), encoding="utf-8")


def make_project(folder: Path, sizes=(400, 40, 40), **values) -> Path:
    """A recipe `toy.yaml` and its data in `folder/data`, to be run from `folder`."""
    for seed, (stem, size) in enumerate(zip(("train", "valid", "test"), sizes, strict=True)):
        write(folder / "data", stem, toy_pairs(size, seed, values.get("tokenizer_type") == "bpe"))
    (folder / "toy.yaml").write_text(yaml.safe_dump(RECIPE | values), encoding="utf-8")
    return folder


def load(folder: Path):
    return AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An untrained project, the current folder."""
    monkeypatch.chdir(make_project(tmp_path / "project", (40, 10, 10)))
    return tmp_path / "project"


@pytest.fixture(scope="module")
def learnt_words(tmp_path_factory):
    """A project with a translator of words in pieces in `out`; tests leave it as it is."""
    return trained(make_project(tmp_path_factory.mktemp("words") / "project", **KINDS["bpe"]))


@pytest.fixture(scope="module", params=KINDS)
def learnt(request, tmp_path_factory):
    """One of each kind."""
    if request.param == "bpe":
        return request.getfixturevalue("learnt_words")
    return trained(make_project(tmp_path_factory.mktemp("learnt") / "project", **KINDS[request.param]))


# ---- what is learnt, and its numbers ----
@pytest.mark.ci
def test_a_rule_is_learnt(learnt):
    metrics = metrics_of(learnt / "out")
    for split in ("validation", "test"):
        assert metrics[split]["exact_match"] > 0.8
        assert metrics[split]["chrf"] > 80
    assert metrics["train"]["seconds"] < 60
    epochs = read_recipe(learnt / "toy.yaml").training.num_train_epochs
    assert metrics["steps"] == epochs * 400 // 16
    assert metrics["train"]["pairs_per_second"] == pytest.approx(epochs * 400 / metrics["train"]["seconds"])
    recipe = read_recipe(learnt / "out" / "recipe.yaml")
    assert recipe.values == read_recipe(learnt / "toy.yaml").values


def test_a_run_leaves_all_that_translating_needs(learnt):
    out = learnt / "out"
    model, tokenizer = load(out)
    assert (out / "attention.html").exists() == (model.config.attention != "none")
    separate = read_recipe(learnt / "toy.yaml").task_arguments.separate_vocabularies
    assert isinstance(tokenizer, PairTokenizer) == separate == (not model.config.share_encoder_decoder_embeddings)
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.decoder_vocab_size == len(getattr(tokenizer, "target", tokenizer))
    settings = model.generation_config
    assert (settings.max_new_tokens, settings.num_beams, settings.length_penalty) == (24, 1, 1.0)
    assert (settings.pad_token_id, settings.eos_token_id) == (tokenizer.pad_token_id, tokenizer.eos_token_id)
    assert settings.decoder_start_token_id == model.config.decoder_start_token_id == tokenizer.bos_token_id


def scores_of(folder: Path, pairs, **options) -> dict:
    """The numbers of pairs by the texts of `Translator`."""
    found = Translator(*load(folder), 7)([source for source, _ in pairs], **options)
    scores = translation_scores([translation.text for translation in found], [target for _, target in pairs])
    return {name: value for name, value in scores.items() if not isinstance(value, str)}


@pytest.mark.parametrize(("split", "seed"), [("validation", 1), ("test", 2)])
def test_the_metrics_are_those_of_the_texts(learnt, split, seed):
    words = read_recipe(learnt / "toy.yaml").data.tokenizer_type == "bpe"
    expected = scores_of(learnt / "out", toy_pairs(40, seed, words))
    measured = metrics_of(learnt / "out")[split]
    assert {name: measured[name] for name in expected} == pytest.approx(expected)
    assert set(expected) == {"bleu", "bleu_lowercased", "chrf", "exact_match"}
    assert measured["loss"] > 0
    if words:
        assert measured["bleu"] > 80


def test_the_last_lines_show_the_result(project, capfd):
    assert command("train", "toy.yaml", "--max_steps", "2") == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    assert "pairs: train 40, validation 10, test 10   vocabulary: 13" in printed.out
    assert "model: encoder 1 x 32 bidirectional gru, decoder 1 x 32 gru, attention luong_general, " in printed.out
    assert "where the model looked: out/attention.html" in printed.out
    measured = metrics_of(project / "out")["test"]
    assert f"test: BLEU {measured['bleu']:.2f}, chrF {measured['chrf']:.2f}, " in printed.out
    assert 'rnn-zoo translate out "some text"' in printed.out
    table = [line.split() for line in printed.out.splitlines()]
    assert ["source", "translation", "reference"] in table
    page = (project / "out" / "attention.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == sum(row[:1] == [pair[0]] for pair in toy_pairs(10, 1) for row in table) > 2


def test_a_translator_that_writes_nothing_has_its_card(project, monkeypatch, capfd):
    """There is no picture, as there is nothing to be drawn."""
    build_model = translation.TranslationRun.build_model

    def silent(self, data, tokenizer):
        model = build_model(self, data, tokenizer)
        torch.nn.init.constant_(model.lm_head.bias[tokenizer.pad_token_id], 999.0)
        return model

    monkeypatch.setattr(translation.TranslationRun, "build_model", silent)
    assert command("train", "toy.yaml", "--max_steps", "1", "--predict_with_generate", "--eval_strategy", "epoch") == 0
    assert "where the model looked: nowhere, as it has written nothing" in capfd.readouterr().out
    assert metrics_of(project / "out")["test"]["chrf"] == 0
    assert (project / "out" / "README.md").is_file()
    assert not (project / "out" / "attention.html").exists()


@pytest.mark.ci
def test_the_translator_shows_words_of_pieces(learnt_words):
    model, tokenizer = load(learnt_words / "out")
    text = "she runs home नदी"
    assert len(tokenizer(text_target="SHE RUNS HOME नदी")["input_ids"]) > 5  # pieces, or nothing would be proved
    (found,) = Translator(model, tokenizer)([text], attention=True)
    assert found.text == "SHE RUNS HOME नदी"
    picture = found.attention
    assert picture.source == [*text.split(), "<eos>"]
    assert picture.target == [*found.text.split(), "<eos>"]
    assert picture.weights.sum(1) == pytest.approx([1] * 5)
    rows, groups = words_of(tokenizer, tokenizer(text_target=found.text)["input_ids"])
    assert (rows, max(groups)) == (picture.target, 4)


# ---- evaluate ----
@pytest.mark.ci
def test_evaluate_measures_what_training_measured(learnt, monkeypatch, capfd):
    monkeypatch.chdir(learnt)
    before = tree(learnt)
    metrics = metrics_of(learnt / "out")
    for split in ("validation", "test"):
        measured, said = evaluated(capfd, "out", "--split", split)
        assert said == ""
        assert without_times(measured) == without_times(metrics[split])
    other, _ = evaluated(capfd, "out", "--split", "test", "--per_device_eval_batch_size", "3")
    assert {name: other[name] for name in ("bleu", "chrf", "exact_match")} == {
        name: measured[name] for name in ("bleu", "chrf", "exact_match")
    }
    assert evaluated(capfd, "out", "--split", "train")[0]["exact_match"] > 0.8
    assert tree(learnt) == before


def test_evaluate_takes_a_folder_with_a_test_file_only(learnt_words, tmp_path, monkeypatch, capfd):
    """Measured there as `Translator` translates, by beams as well; a blank source has a blank one."""
    monkeypatch.chdir(tmp_path)
    pairs = [*toy_pairs(30, 7, words=True), ("", "X"), ("\u00a0\u2028", "RED"), ("dog unknown", "☃")]
    write(tmp_path / "other", "test", pairs)
    before = tree(tmp_path)
    flags = ["--data_dir", "other", "--split", "test"]
    results = []
    for options in ({}, {"num_beams": 4}, {"num_beams": 4, "length_penalty": 5.0}):
        given = [f"--{name}={value}" for name, value in options.items()]
        measured, said = evaluated(capfd, learnt_words / "out", *flags, *given)
        assert said == ""
        expected = scores_of(learnt_words / "out", pairs, **options)
        assert {name: measured[name] for name in expected} == pytest.approx(expected)
        results.append(measured["chrf"])
    assert tree(tmp_path) == before
    measured, _ = evaluated(capfd, learnt_words / "out", *flags, "--max_target_length", "2")
    expected = scores_of(learnt_words / "out", pairs, max_new_tokens=2)
    assert measured["chrf"] == pytest.approx(expected["chrf"])
    assert measured["chrf"] < min(results)


@pytest.mark.ci
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--hidden_size 16", "hidden_size: the checkpoint has decided that"),
        ("--attention none", "attention: the checkpoint has decided that"),
        ("--input_feeding", "input_feeding: the checkpoint has decided that"),
        ("--tokenizer_type bpe", "tokenizer_type: the checkpoint has decided that"),
        ("--unicode_normalization none", "unicode_normalization: the checkpoint has decided that"),
        ("--separate_vocabularies", "separate_vocabularies: the checkpoint has decided that"),
        ("--split dev", "split='dev': the data has train, validation, test"),
        ("--data_dir nowhere", "data_dir='nowhere': no such folder"),
        ("--bptt_length 3", "bptt_length: is no key of the task translation"),
        ("--num_beams 999", "num_beams=999: the target has only 13 tokens"),
        ("--generation_num_beams 999", "generation_num_beams=999: the target has only 13 tokens"),
        ("--num_beams 0", "num_beams=0: must be at least 1"),
        ("--length_penalty nan", "length_penalty=nan: must be a number"),
        ("--bleu_tokenize 13b", "bleu_tokenize='13b': unknown (choose from 13a, char, "),
        ("--max_source_length 3 --long_source error", "max_source_length=3 are allowed: '"),
        ("--max_target_length 1", "max_target_length=1: must be at least 2"),
    ],
)
def test_mistakes_of_evaluate(whole_batches, monkeypatch, capfd, flags, message):
    monkeypatch.chdir(whole_batches)
    refused(capfd, whole_batches, "evaluate", "out", *flags.split(), message=message)


def test_sources_that_are_cut_are_counted(learnt_words, monkeypatch, capfd):
    monkeypatch.chdir(learnt_words)
    _, tokenizer = load(learnt_words / "out")
    lengths = [len(tokenizer(source)["input_ids"]) for source, _ in toy_pairs(40, 1, words=True)]
    long = [n for n, length in enumerate(lengths) if length > 4]
    longest = max(range(40), key=lambda n: lengths[n])  # rows are by falling length of their text
    measured, said = evaluated(capfd, "out", "--max_source_length", "4")
    assert said.startswith(
        f"rnn-zoo: data (validation): {len(long)} of 40 sources have more than max_source_length=4 tokens and are cut, "
        "the first at data/valid.low:"
    )
    assert lengths[int(said.rsplit(":", 1)[1]) - 1] > 4
    assert said.count("\n") == 1
    assert longest in long
    assert measured["exact_match"] < metrics_of(Path("out"))["validation"]["exact_match"]


# ---- stopped and resumed ----
LONG = {"max_steps": 24, "save_strategy": "steps", "save_steps": 1, "logging_steps": 1, "lr_scheduler_type": "cosine"}
LONG |= {"output_dropout": 0.2, "input_dropout": 0.2, "word_dropout": 0.1, "scheduled_sampling": 0.4}
LONG |= {"label_smoothing": 0.1, "per_device_train_batch_size": 8, "separate_vocabularies": True, "hidden_size": 8}
EPOCH = 10  # steps


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory):
    """A project after 24 steps with a checkpoint of each; an epoch has 10, and a pair is left over."""
    return trained(make_project(tmp_path_factory.mktemp("never") / "project", (81, 10, 10), **LONG))


@pytest.mark.ci
@pytest.mark.parametrize("step", [4, EPOCH, 17])
def test_stopped_and_resumed_equals_never_stopped(never_stopped, tmp_path, monkeypatch, step):
    """To the bit, in the middle of an epoch and at its end."""
    check_resumed(never_stopped, tmp_path / "project", step, monkeypatch)


@pytest.mark.parametrize(
    "flag",
    [
        "--decoder_layers=2",
        "--attention=luong_concat",
        "--bridge=mean",
        "--input_feeding",
        "--cell_type=lstm",
        "--encoder_bidirectional=false",
        "--decoder_hidden_size=16",
        "--tie_word_embeddings",
    ],
)
def test_another_model_cannot_be_resumed(never_stopped, tmp_path, monkeypatch, capfd, flag):
    folder = stopped_at(never_stopped, tmp_path / "project", 4)
    monkeypatch.chdir(folder)
    saved = load(folder / "out" / "checkpoint-4")[0].config
    name = flag[2:].partition("=")[0]
    message = f"but out/checkpoint-4 was trained with {getattr(saved, name)!r}: resume with the flags of the first run"
    refused(capfd, folder, "train", "toy.yaml", "--resume_from_checkpoint", flag, message=message)


# ---- several processes, accumulation ----
ONE = {"max_steps": 8, "logging_steps": 1, "save_strategy": "steps", "save_steps": 8, "learning_rate": "1e-2"}
ONE |= {"per_device_train_batch_size": 8, "hidden_size": 8, "eval_strategy": "steps", "eval_steps": 4}
ONE |= {"predict_with_generate": True, "label_smoothing": 0.1}


@pytest.fixture(scope="module")
def whole_batches(tmp_path_factory):
    """One process with batches of 8, without dropout."""
    return trained(make_project(tmp_path_factory.mktemp("whole") / "project", (41, 10, 11), **ONE))


def check_same_evaluations(out: Path, other: Path) -> None:
    for name in ("eval_chrf", "eval_exact_match"):
        found = history(out / "checkpoint-8", name)
        assert len(found) == 2
        assert found == history(other / "checkpoint-8", name)


@pytest.mark.ci
@pytest.mark.parametrize("parts", [2, 4])
def test_accumulation_equals_one_batch(whole_batches, tmp_path, monkeypatch, parts):
    check_accumulation(whole_batches, tmp_path, parts, monkeypatch)
    check_same_evaluations(tmp_path, whole_batches / "out")


@pytest.mark.ci
def test_two_processes_equal_one(whole_batches, tmp_path):
    # translations of several lengths, and rows left over
    printed = check_two_processes(whole_batches, tmp_path, "--per_device_eval_batch_size=3")
    assert printed.count("pairs: train 41") == 1  # one process speaks
    assert printed.count("where the model looked") == 1
    check_same_evaluations(tmp_path, whole_batches / "out")


# ---- what happens in training ----
@pytest.mark.ci
def test_evaluations_in_training_generate_only_if_asked(project):
    flags = ["--max_steps=2", "--eval_strategy=steps", "--eval_steps=1", "--save_strategy=steps", "--save_steps=2"]
    for generate in (True, False):
        out = project / str(generate)
        assert command("train", "toy.yaml", f"--output_dir={out}", *flags, f"--predict_with_generate={generate}") == 0
        assert len(history(out / "checkpoint-2", "eval_loss")) == 2
        for name in ("eval_bleu", "eval_chrf", "eval_exact_match"):
            assert len(history(out / "checkpoint-2", name)) == (2 if generate else 0)
        assert metrics_of(out)["validation"]["chrf"] >= 0
    with_, without = (metrics_of(project / str(generate)) for generate in (True, False))
    for split in ("validation", "test"):
        assert without_times(with_[split]) == without_times(without[split])


@pytest.mark.ci
def test_the_best_model_by_a_number_of_texts(project):
    flags = ["--max_steps=4", "--eval_strategy=steps", "--eval_steps=1", "--save_strategy=steps", "--save_steps=1"]
    flags += ["--predict_with_generate", "--load_best_model_at_end", "--metric_for_best_model=chrf"]
    assert command("train", "toy.yaml", "--greater_is_better=true", *flags) == 0
    seen = history(project / "out" / "checkpoint-4", "eval_chrf")
    best = weights(project / "out" / f"checkpoint-{seen.index(max(seen)) + 1}")
    assert all(torch.equal(tensor, best[name]) for name, tensor in weights(project / "out").items())
    assert metrics_of(project / "out")["validation"]["chrf"] == max(seen)


class Watch(TrainerCallback):
    """Notes the share of its own words that a model reads in each step."""

    def __init__(self):
        self.shares = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.shares.append(model.scheduled_sampling)


def watched(project: Path, *flags: str):
    torch.manual_seed(0)
    recipe = read_recipe(project / "toy.yaml", ["--max_steps=4", *flags])
    task = run.make_task(recipe)
    data = task.load_data()
    tokenizer = task.build_tokenizer(data)
    trainer, rows = run.build_trainer(task, task.build_model(data, tokenizer), tokenizer, data)
    watch = Watch()
    trainer.add_callback(watch)
    trainer.train()
    return trainer, task, rows, watch


@pytest.mark.ci
def test_the_share_of_own_words_rises(project):
    trainer, task, rows, watch = watched(project, "--scheduled_sampling=0.4")
    assert watch.shares == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert isinstance(trainer, GeneratingTrainer)
    assert isinstance(trainer, Seq2SeqTrainer)
    before = trainer.compute_metrics, trainer.args.predict_with_generate
    assert task.measure(trainer, rows, "test")["chrf"] >= 0
    assert (trainer.compute_metrics, trainer.args.predict_with_generate) == before
    trainer, _, _, watch = watched(project)
    assert watch.shares == [0.0] * 4
    assert not any(isinstance(c, ScheduledSampling) for c in trainer.callback_handler.callbacks)


@pytest.mark.ci
def test_labels_are_smoothed_in_training_only(project):
    """The loss of an evaluation is the plain one; with a learning rate of 0 both models are the same."""
    found = []
    for smoothing in (0, 0.5):
        trainer, task, rows, _ = watched(project, "--learning_rate=0", f"--label_smoothing={smoothing}")
        found.append((trainer.state.log_history[-1]["train_loss"], task.measure(trainer, rows, "test")["loss"]))
    assert found[0][0] != pytest.approx(found[1][0], rel=1e-3)
    assert found[0][1] == found[1][1]


@pytest.mark.ci
@pytest.mark.parametrize("kind", ["unigram", "bpe", "char"])
@pytest.mark.parametrize("separate", [False, True])
def test_every_tokenizer_but_words(project, kind, separate):
    flags = [f"--tokenizer_type={kind}", f"--separate_vocabularies={separate}", "--max_steps=1", "--num_beams=2"]
    assert command("train", "toy.yaml", *flags) == 0
    model, tokenizer = load(project / "out")
    assert isinstance(tokenizer, PairTokenizer) is separate
    assert model.generation_config.num_beams == 2
    assert metrics_of(project / "out")["test"]["chrf"] >= 0
    if kind == "char":
        assert model.config.decoder_vocab_size == (9 if separate else 13)  # special tokens, a line end, letters


def test_dates_are_measured_by_locale(tmp_path, monkeypatch, capfd):
    few = lambda: locale_pairs.date_pairs(64, 3, locales=("en", "hi", "ja"))  # noqa: E731
    monkeypatch.setitem(locale_pairs.EMBEDDED_PAIRS, "dates", few)
    monkeypatch.chdir(tmp_path)
    small = ["--hidden_size=8", "--decoder_hidden_size=8", "--embedding_size=8", "--max_steps=2"]
    assert command("train", "translate_dates", *small, "--per_device_train_batch_size=8") == 0
    out = tmp_path / "runs" / "translate_dates"
    metrics = metrics_of(out)
    for split in ("validation", "test"):
        names = {name for name in metrics[split] if name.startswith("exact_match_")}
        assert names == {"exact_match_en", "exact_match_hi", "exact_match_ja"}
    assert "pairs: train 64, validation 24, test 24" in capfd.readouterr().out
    measured, _ = evaluated(capfd, out, "--split", "test")
    assert without_times(measured) == without_times(metrics["test"])


# ---- mistakes ----
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--label_smoothing_factor 0.1", "label_smoothing_factor: use label_smoothing, which leaves the evaluation as"),
        ("--prediction_loss_only", "prediction_loss_only: must be false, BLEU is that of all texts of a split"),
        ("--batch_eval_metrics", "batch_eval_metrics: must be false, BLEU is"),
        ("--eval_do_concat_batches false", "eval_do_concat_batches: must be true, BLEU is"),
        ("--generation_config other", "generation_config: use num_beams, length_penalty and max_target_length"),
        ("--metric_for_best_model eval_bleu", "metric_for_best_model='bleu': needs predict_with_generate"),
        ("--length_penalty inf", "length_penalty=inf: must be a number"),
        ("--num_beams 14", "num_beams=14: the target has only 13 tokens"),
        ("--num_beams 10 --separate_vocabularies", "num_beams=10: the target has only 9 tokens"),
        ("--generation_num_beams 14", "generation_num_beams=14: the target has only 13 tokens"),
        ("--generation_max_length 0", "generation_max_length=0: must be at least 1"),
        ("--bleu_tokenize 13b", "bleu_tokenize='13b': unknown (choose from 13a, char, "),
        ("--tokenizer_type word", "tokenizer_type='word': a translator could not write a word it has not seen"),
        ("--tokenizer_type bpe --max_vocab_size 5", "=5: must be at least 260"),
        ("--bidirectional", "bidirectional: is no key of the task translation"),
        ("--use_crf", "use_crf: is no key of the task translation"),
        ("--text_column x", "text_column: is no key of the task translation"),
        ("--attention luong", "attention='luong': unknown; did you mean"),
        ("--attention none --bridge none", "the decoder would know nothing of the source"),
        ("--scheduled_sampling 1", "scheduled_sampling=1.0: must be in [0, 1)"),
        ("--source_lang up", "source_lang='up', target_lang='up': must differ"),
        ("--target_lang de", "data/train.de: no such file, and data/train.low needs it beside it"),
        ("--source_lang a --target_lang b", "data: expected train.a and train.b, or train.tsv, found "),
        ("--data_dir nowhere", "data_dir='nowhere': no such folder"),
        ("--data_dir empty", "empty: expected train.low and train.up, or train.tsv, found nothing"),
        ("--data_dir blank", "blank: the train part holds no pair of sentences"),
        ("--data_dir uneven", "uneven/train.low has 3 lines, uneven/train.up has 2: they must be as many; by the "),
        ("--data_dir lonely", "lonely/train.up: no such file, and lonely/train.low needs it beside it"),
        ("--data_dir bytes", "bytes/train.up: byte 3 (line 2) is 0xff, which is not UTF-8"),
        ("--data_dir tabs", "tabs/train.tsv:2: no tab, source<TAB>target is expected: 'c'"),
        ("--max_source_length 3 --long_source error", "tokens, max_source_length=3 are allowed: '"),
        ("--max_source_length 1", "max_source_length=1: must be at least 2"),
        ("--long_source cut", "invalid choice: 'cut'"),
    ],
)
def test_mistakes_of_train(project, capfd, flags, message):
    """Each before training begins; nothing is written."""
    files = {"uneven/train.low": b"a\nb\nc\n", "uneven/train.up": b"A\nC\n", "lonely/train.low": b"a\n"}
    files |= {"bytes/train.low": b"a\nb\n", "bytes/train.up": b"A\nb\xff\n", "tabs/train.tsv": b"a\tA\nc\n"}
    files |= {"blank/train.low": b"a\n\n", "blank/train.up": b"\nA\n"}
    (project / "empty").mkdir()
    for name, data in files.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_bytes(data)
    refused(capfd, project, "train", "toy.yaml", *flags.split(), message=message)


def test_pairs_with_an_empty_side_are_counted_and_left_out(project, capfd):
    pairs = [("a", "A"), ("", "B"), ("c", " "), *toy_pairs(40, 5)]
    write(project / "data", "train", pairs)
    write(project / "data", "valid", [("", "X"), *toy_pairs(9, 6)])
    assert command("train", "toy.yaml", "--max_steps=1") == 0
    printed = capfd.readouterr()
    assert printed.err == (
        "rnn-zoo: data: 2 of 43 training pairs have an empty side and are left out, the first at data/train.low:2\n"
    )
    assert "pairs: train 41, validation 10, test 10" in printed.out


def test_a_reference_without_text_costs_a_sentence(project, capfd):
    write(project / "data", "valid", [("a", ""), *toy_pairs(9, 6)])
    refused(capfd, project, "train", "toy.yaml", "--max_steps=1", message="data/valid.low:1: the target is empty")


def test_long_texts_are_cut_and_counted(project, capfd):
    flags = ["--max_source_length=3", "--max_target_length=4", "--max_steps=1"]
    assert command("train", "toy.yaml", *flags) == 0
    expected = []
    for seed, (name, stem, size) in enumerate(
        (("train",) * 2 + (40,), ("validation", "valid", 10), ("test",) * 2 + (10,))
    ):
        lengths = [len(source) + 1 for source, _ in toy_pairs(size, seed)]
        for kind, option, limit in (("sources", "max_source_length", 3), ("targets", "max_target_length", 4)):
            if long := sum(length > limit for length in lengths):
                expected.append(
                    f"rnn-zoo: data ({name}): {long} of {size} {kind} have more than {option}={limit} tokens and are "
                    f"cut, the first at data/{stem}.low:"
                )
    said = capfd.readouterr().err.splitlines()
    assert [line.rstrip("0123456789") for line in said] == expected
    assert len(expected) > 3
