"""Cards: their numbers are those of the training, their metadata is the Hub's, their examples run."""

import contextlib
import io
import json
import re
import shutil
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from command_line import command, metrics_of
from huggingface_hub import ModelCard

from rnn_zoo.card import CARD_FILE, CURVE_FILE, begun_with, make_card, save_card
from rnn_zoo.errors import UserError
from rnn_zoo.inspect.learning_curve import save_learning_curve
from rnn_zoo.run.run import source_commit
from rnn_zoo.tasks import TASKS
from rnn_zoo.training.keys import TransferArguments

SMALL = {"hidden_size": 8, "embedding_size": 8, "max_steps": 4, "logging_steps": 1, "eval_strategy": "steps"}
SMALL |= {"eval_steps": 2, "save_strategy": "no", "per_device_train_batch_size": 4, "per_device_eval_batch_size": 4}
CARD = {
    "license": "cc-by-4.0",
    "language": ["en", "hi"],
    "data_name": 'Toy "data" | आँकड़े',
    "data_source": "Written for this test; CC BY 4.0.",
    "limits": "It knows four words.",
}
RECIPES = {
    "causal_lm": {"bptt_length": 8, "sample_tokens": 0, "example": "fine"},
    "token_classification": {"example": "Asha saw Pune"},
    "sequence_classification": {"tokenizer_type": "wordpunct", "baseline": "tfidf", "example": 'a "fine" film\\'},
    "translation": {"source_lang": "en", "target_lang": "hi", "example": "three March"},
}


def write_data(folder: Path, task: str) -> None:
    """A little of what the task reads."""
    folder.mkdir()
    days = [date(2025, 3, 1) + timedelta(days=n) for n in range(40)]
    texts = {
        "causal_lm": {"input.txt": "a fine film, a dull film\n" * 200},
        "token_classification": {"train.txt": "Asha\tB-PER\nsaw\tO\nPune\tB-LOC\n\n" * 40},
        "sequence_classification": {
            "train.tsv": "".join(f"good\ta fine film of {n}\nbad\ta dull film of {n}\n" for n in range(40))
        },
        "translation": {"train.tsv": "".join(f"{day.day} March\t{day.isoformat()}\n" for day in days)},
    }
    for name, text in texts[task].items():
        (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module", params=TASKS)
def trained(request, tmp_path_factory):
    """A checkpoint of each task, as training leaves it."""
    folder = tmp_path_factory.mktemp("card")
    write_data(folder / "data", request.param)
    recipe = {"task": request.param, "description": "a toy", "published": "nothing (nobody 2020)", **CARD, **SMALL}
    (folder / "toy.yaml").write_text(yaml.safe_dump(recipe | RECIPES[request.param], allow_unicode=True), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert command("train", "toy.yaml", "--data_dir=data", "--output_dir=out") == 0
    return folder / "out"


def task_of(folder: Path):
    return TASKS[metrics_of(folder)["task"]]


# ---- what a card says ----
def test_training_leaves_a_card_and_the_command_the_same(trained, tmp_path):
    card = (trained / CARD_FILE).read_text(encoding="utf-8")
    copy = shutil.copytree(trained, tmp_path / "copy")
    for name in (CARD_FILE, CURVE_FILE):
        (copy / name).unlink()
    assert command("card", str(copy)) == 0
    assert (copy / CARD_FILE).read_text(encoding="utf-8") == card
    assert (copy / CURVE_FILE).read_bytes()[:4] == b"\x89PNG"


def test_the_metadata_is_read_by_the_hub_s_own_reader(trained):
    data, task, metrics = ModelCard.load(trained / CARD_FILE).data, task_of(trained), metrics_of(trained)
    assert (data.license, data.language) == ("cc-by-4.0", ["en", "hi"])
    assert (data.library_name, data.pipeline_tag) == ("transformers", task.pipeline_tag)
    assert data.datasets is None  # local files stood in for those of the Hub
    assert data.model_name == metrics["recipe"] == "toy"
    found = {(result.dataset_split, result.metric_name): result for result in data.eval_results}
    assert {split for split, _ in found} == {"validation"}
    shown = [score for score in task.scores if score.name in metrics["validation"]]
    assert shown
    assert len(found) == len(shown)
    for score in shown:
        result = found["validation", score.title]
        assert result.metric_value == pytest.approx(metrics["validation"][score.name], abs=1e-6)
        assert result.metric_type == score.metric
        assert result.dataset_name == CARD["data_name"]


def test_the_text_says_what_was_told_and_measured(trained):
    text, metrics = ModelCard.load(trained / CARD_FILE).text, metrics_of(trained)
    for told in ("A toy", "nothing (nobody 2020)", CARD["data_source"], CARD["limits"], metrics["data"]):
        assert told in text
    assert f"{metrics['parameters']:,} parameters" in text
    assert f"4 steps in {metrics['train']['seconds']:,.0f} s" in text
    assert f"]({CURVE_FILE})" in text
    for score in task_of(trained).scores:
        if score.name in metrics["validation"]:
            value = metrics["validation"][score.name]
            assert (f"{100 * value:.1f} %" if score.is_share else f"{value:.{2 if value >= 10 else 3}f}") in text
    if commit := source_commit():
        assert f"`{commit}`" in text
    baseline = metrics.get("baseline")
    assert (metrics["task"] == "sequence_classification") == (baseline is not None)
    if baseline:
        assert f"| validation, {baseline['name']} | " in text


@pytest.mark.ci
def test_the_recipe_on_a_card_trains(trained, tmp_path, monkeypatch):
    text = ModelCard.load(trained / CARD_FILE).text
    (shown,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("again.yaml").write_text(shown, encoding="utf-8")
    assert command("train", "again.yaml", f"--data_dir={trained.parent / 'data'}", "--output_dir=again") == 0
    again, before = (metrics_of(folder) for folder in (tmp_path / "again", trained))
    assert again["validation"]["loss"] == before["validation"]["loss"]


@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_the_example_on_a_card_runs(trained):
    card = make_card(trained, repo_id=str(trained))
    (example,) = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(example, "card", "exec"), {})
    assert printed.getvalue().strip()


def test_a_name_on_the_hub_stands_in_the_examples(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    assert command("card", str(copy), "--repo-id", "someone/toy") == 0
    assert '"someone/toy"' in (copy / CARD_FILE).read_text(encoding="utf-8")


# ---- mistakes ----
@pytest.mark.parametrize("name", ["metrics.json", "recipe.yaml", "config.json"])
def test_what_a_card_is_made_from_is_named(trained, tmp_path, capfd, name):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / name).unlink()
    with pytest.raises(UserError, match=f"holds no {name}"):
        save_card(copy)
    assert command("card", str(copy)) == 2
    assert f"holds no {name}" in capfd.readouterr().err


@pytest.mark.parametrize(("text", "message"), [("{", "not readable as JSON"), ('{"recipe": "toy"}', "has no")])
def test_metrics_that_are_none(trained, tmp_path, text, message):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "metrics.json").write_text(text)
    with pytest.raises(UserError, match=message):
        save_card(copy)


@pytest.mark.parametrize(
    ("given", "shown"),
    [(None, None), ("runs/lm_x", "lm_x"), ("you/lm_x", "you/lm_x"), ("char_lm_shakespeare", "char_lm_shakespeare")],
)
def test_a_card_says_with_which_language_model_it_began(given, shown):
    assert begun_with(SimpleNamespace(transfer=TransferArguments(language_model=given))) == shown


# ---- learning curves ----
def test_a_learning_curve_has_a_panel_for_the_score(tmp_path):
    history = [{"step": n, "loss": 1 / n} for n in range(1, 40)] + [{"step": 9, "eval_loss": 0.5, "eval_f1": 0.3}]
    sizes = []
    for score in (None, "f1", "bleu"):
        save_learning_curve(history, tmp_path / "curve.png", score=score, title="a $title")
        sizes.append(int.from_bytes((tmp_path / "curve.png").read_bytes()[16:20], "big"))
    assert sizes[1] == 2 * sizes[0] == 2 * sizes[2]


def test_a_learning_curve_needs_losses_and_a_format(tmp_path):
    with pytest.raises(ValueError, match="no loss was logged"):
        save_learning_curve([{"step": 1, "eval_f1": 0.5}], tmp_path / "curve.png")
    with pytest.raises(ValueError, match=r"written as \.png"):
        save_learning_curve([{"step": 1, "loss": 0.5}], tmp_path / "curve.html")
    assert not list(tmp_path.iterdir())


def test_history_is_kept_without_clocks(trained):
    history = json.loads((trained / "metrics.json").read_text(encoding="utf-8"))["history"]
    assert [row["step"] for row in history if "loss" in row] == [1, 2, 3, 4]
    assert [row["step"] for row in history if "eval_loss" in row] == [2, 4]
    assert not any("runtime" in key for row in history for key in row)
