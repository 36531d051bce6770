"""The examples of the documentation run as printed."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from command_line import examples
from conftest import tiny_config

from rnn_zoo import RnnForCausalLM
from rnn_zoo.tokenizers import build_char_tokenizer
from rnn_zoo_cli import main


def run_examples(page: str) -> dict:
    """Runs the Python examples of a page, one after another; returns what they have defined."""
    blocks = examples(page)
    assert len(blocks) > 4
    names: dict = {}
    for block in blocks:
        exec(compile(block, f"docs/{page}", "exec"), names)
    return names


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_the_examples_of_the_ecosystem_run_in_order(tmp_path, monkeypatch):
    tokenizer = build_char_tokenizer(["all that glisters is not gold"])
    tokenizer.save_pretrained(tmp_path / "model")
    model = RnnForCausalLM(tiny_config(vocab_size=len(tokenizer), hidden_size=40, eos_token_id=None))
    model.generation_config.do_sample = True
    model.save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    names = run_examples("ecosystem.md")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    assert names["second"].shape == (1, 21)


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_the_examples_of_tagging_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--output_dir=tagger", "--max_steps=400", "--hidden_size=32", "--eval_strategy=no", "--disable_tqdm=true"]
    assert main(["train", "ner_sample", *flags]) == 0
    names = run_examples("tagging.md")
    found = names["tag"]("Asha Rao went from Pune to London.")
    assert {entity["entity_group"] for entity in found} == {"PER", "LOC"}
    assert names["trainer"].state.global_step == 2


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_the_examples_of_translation_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    days = [date(2025, 3, 1) + timedelta(days=n) for n in range(40)]
    (tmp_path / "data").mkdir()
    lines = [f"{day.day} March mardi मार्च {day.year}\t{day.isoformat()}\n" for day in days]
    (tmp_path / "data" / "train.tsv").write_text("".join(lines), encoding="utf-8")
    flags = ["--output_dir=translator", "--data_dir=data", "--max_steps=3", "--disable_tqdm=true"]
    flags += ["--per_device_train_batch_size=8"]
    assert main(["train", "translate_dates", *flags]) == 0
    names = run_examples("translation.md")
    assert len(names["texts"]) == 2
    assert (tmp_path / "attention.html").read_text(encoding="utf-8").count("<table") == 1
    assert names["trainer"].state.global_step == 2


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_the_examples_of_classification_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--output_dir=classifier", "--eval_strategy=no", "--disable_tqdm=true"]
    assert main(["train", "sentiment_sample", *flags]) == 0
    asked = json.loads(Path("classifier/metrics.json").read_text(encoding="utf-8"))["on_other_text"]
    assert len(asked) == 8  # four languages
    assert all(one["right"] >= 0.75 for one in asked if one["what"].endswith("texts"))
    names = run_examples("classification.md")
    assert names["classify"]("A wonderful film.")[0]["label"] == "positive"
    assert "terrible" in (tmp_path / "explanation.html").read_text(encoding="utf-8")
    assert names["trainer"].state.global_step == 2
    mapped, read = (names[name].base_model.embed_tokens.weight for name in ("model", "language_model"))
    assert mapped.equal(read)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_the_examples_of_export_run_in_order(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="the extra rnn-zoo[onnx] is not installed")
    monkeypatch.chdir(tmp_path)
    names = run_examples("export.md")
    assert names["text"].startswith("ROMEO:")
    assert len(names["text"]) == 86
    assert names["date"] == "2025-03-03"
    assert names["logits"].shape == (1, 6, names["letters"].get_vocab_size())
