"""The checkpoints that ship: found by name, as good as their cards say, small enough, used by every command."""

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import command
from safetensors.torch import load_file
from transformers import pipeline

from rnn_zoo import zoo
from rnn_zoo.card import read_folder
from rnn_zoo.checkpoint_files import files_for_others
from rnn_zoo.checkpoints import place_of
from rnn_zoo.commands.push import with_code
from rnn_zoo.errors import UserError
from rnn_zoo.tasks import TASKS
from rnn_zoo.tasks.opening import load

ROOT = Path(__file__).resolve().parent.parent
every_checkpoint = pytest.mark.parametrize("name", zoo.names())


def test_there_is_one_for_each_kind_of_text():
    tasks = {read_folder(zoo.path(name))[1].run.task for name in zoo.names()}
    assert tasks == set(TASKS)
    languages = [read_folder(zoo.path(name))[1].card.language for name in zoo.names()]
    assert sum(bool({"hi", "mr", "ne"} & set(known)) for known in languages) >= 2


@every_checkpoint
def test_a_name_is_a_place(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert place_of(name) == zoo.path(name)
    assert zoo.path(name).name == read_folder(zoo.path(name))[0]["recipe"]
    (tmp_path / name).mkdir()  # what the user has comes first
    assert place_of(name) == Path(name)


def test_another_name_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"checkpoint 'translate_date': unknown; did you mean 'translate_dates'\?"):
        zoo.path("translate_date")


@every_checkpoint
def test_a_shipped_folder_holds_what_is_needed_and_no_code(name):
    files = {path.name for path in zoo.path(name).iterdir()} - {"__pycache__"}
    assert {"README.md", "config.json", "metrics.json", "model.safetensors", "recipe.yaml", "tokenizer.json"} <= files
    assert {Path(file).suffix for file in files} <= {".json", ".safetensors", ".yaml", ".md", ".png"}
    for file in ("config.json", "tokenizer_config.json"):
        known = json.loads((zoo.path(name) / file).read_text(encoding="utf-8"))
        assert not {"auto_map", "custom_pipelines"} & known.keys()
    _, recipe = read_folder(zoo.path(name))
    assert "output_dir" not in recipe.values
    assert not any(Path(folder).is_absolute() for folder in recipe.data.data_dir or [])
    assert recipe.card.license
    assert recipe.card.data_source
    assert recipe.card.limits


@every_checkpoint
def test_it_is_what_its_card_counts(name):
    metrics, recipe = read_folder(zoo.path(name))
    model, tokenizer = load(zoo.path(name), recipe.run.task)
    assert sum(p.numel() for p in model.parameters()) == metrics["parameters"]
    assert len(tokenizer) == model.config.vocab_size
    assert {p.dtype.itemsize for p in model.parameters()} == {4}
    if recipe.run.task == "causal_lm":  # as libraries for fine-tuning append it
        assert tokenizer("a<eos>")["input_ids"] == [*tokenizer("a")["input_ids"], model.config.eos_token_id]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ner_wnut17_bilstm_crf", 'He left (London), "Paris" and New York City. Barack Obama\'s wife, Jay-Z!'),
        ("ner_nepali_bilstm_crf", "नेपालको राजधानी काठमाडौं हो। राम शर्मा, (पोखरा)।"),
    ],
)
def test_taggers_find_the_same_with_each_strategy(name, text):
    found = []
    for strategy in ("simple", "first", "average", "max"):
        tag = pipeline("token-classification", model=str(zoo.path(name)), aggregation_strategy=strategy)
        found.append([(entity["entity_group"], entity["start"], entity["end"]) for entity in tag(text)])
    assert len(found[0]) > 2
    assert all(other == found[0] for other in found)


@every_checkpoint
@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_the_example_on_its_card_runs(name):
    text = (ROOT / "model_cards" / f"{name}.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(example, name, "exec"), {})
    assert printed.getvalue().strip()


@pytest.mark.ci
def test_the_cards_are_not_stale_and_all_is_small_enough():
    make = [sys.executable, str(ROOT / "model_cards" / "make.py"), "--check"]
    done = subprocess.run(make, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@every_checkpoint
def test_it_goes_to_the_hub_with_its_code_and_opens_there(name, tmp_path):
    """As others find it: by the code beside it, in its own words for a card."""
    folder = with_code(zoo.path(name), tmp_path / name, f"you/{name}")
    meant, left = files_for_others(folder)
    assert left == []
    assert {"recurrent_stack.py", "README.md", "metrics.json", "recipe.yaml"} <= set(meant)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f'"you/{name}"' in card
    assert "trust_remote_code=True" in card
    before, after = (load_file(place / "model.safetensors") for place in (zoo.path(name), folder))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.ci
def test_list_and_demo_show_all_of_them(capfd):
    assert command("list") == 0
    listed = capfd.readouterr().out
    assert command("demo") == 0
    shown = capfd.readouterr().out
    for name in zoo.names():
        assert name in listed
        assert f"$ rnn-zoo {TASKS[read_folder(zoo.path(name))[1].run.task].demo[0]} {name} " in shown
    assert command("demo", "no_such_model") == 2
    assert "unknown" in capfd.readouterr().err
