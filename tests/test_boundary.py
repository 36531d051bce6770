"""Checkpoints, recipes of them, and texts from outside: each is used, or refused in one sentence."""

import ast
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from command_line import command
from safetensors.torch import load_file, save_file

import rnn_zoo
from rnn_zoo import RnnConfig, RnnForCausalLM
from rnn_zoo.card import FORM
from rnn_zoo.checkpoint_files import check_form, code_of
from rnn_zoo.checkpoints import place_of
from rnn_zoo.data.text_limits import MOST_CHARACTERS, MOST_TOKENS
from rnn_zoo.errors import UserError
from rnn_zoo.importing.limits import check_bytes, limit_of
from rnn_zoo.importing.state_dict import plain_tensors
from rnn_zoo.recipe.recipe import read_recipe
from rnn_zoo.run import run
from rnn_zoo.tasks.sequence_classification.classifier import Classifier
from rnn_zoo.tokenizers import build_char_tokenizer
from rnn_zoo.training.run_folder import RunFolder

CONFIG, TOKENIZER, SETTINGS = "config.json", "tokenizer.json", "tokenizer_config.json"
WEIGHTS, WRITES = "model.safetensors", "generation_config.json"
HUGE = 10**9


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    tokenizer = build_char_tokenizer(["abc \n"])
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    RnnForCausalLM(RnnConfig(vocab_size=len(tokenizer), hidden_size=8, **ids)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoint(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "checkpoint"))


def with_values(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values), encoding="utf-8")


def with_tensor(folder: Path, name: str, change) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors[name] = change(tensors[name])
    save_file({key: value for key, value in tensors.items() if value is not None}, folder / WEIGHTS)


def with_token(folder: Path, number: int) -> None:
    state = json.loads((folder / TOKENIZER).read_text())
    state["model"]["vocab"]["z"] = number
    (folder / TOKENIZER).write_text(json.dumps(state))


def instead(path: Path, make) -> None:
    path.unlink(missing_ok=True)
    make(path)


EMBEDDING, DEEP = "model.embed_tokens.weight", "[" * 100_000
# Each: what is done to a folder -> what the sentence says.
DAMAGES = {
    "an empty configuration": (lambda f: (f / CONFIG).write_text(""), "not readable as JSON"),
    "null": (lambda f: (f / CONFIG).write_text("null"), "must hold a JSON object"),
    "a deep configuration": (lambda f: (f / CONFIG).write_text(DEEP), "nested too deeply"),
    "not UTF-8": (lambda f: (f / CONFIG).write_bytes(b"{\xff}"), "not readable as JSON"),
    "a folder": (lambda f: instead(f / CONFIG, Path.mkdir), "config.json is a folder"),
    "a dangling link": (lambda f: instead(f / TOKENIZER, lambda p: p.symlink_to("no")), "a link that leads nowhere"),
    "a pipe": (lambda f: instead(f / SETTINGS, os.mkfifo), "tokenizer_config.json is no file"),
    "a wrong type": (lambda f: with_values(f / CONFIG, hidden_size="8"), "hidden_size='8': must be a whole number"),
    "NaN": (lambda f: with_values(f / CONFIG, input_dropout=float("nan")), "input_dropout=nan: must be"),
    "a method's name": (lambda f: with_values(f / CONFIG, to_dict=1), "'to_dict': is no key of a configuration"),
    "an engine": (
        lambda f: with_values(f / CONFIG, quantization_config={"bits": 4}),
        "must not stand there",
    ),
    "heads as text": (lambda f: with_values(f / CONFIG, architectures="RnnForCausalLM"), "must be a list of names"),
    "labels as a list": (lambda f: with_values(f / CONFIG, id2label=["a"]), "id2label: must be an object"),
    "code elsewhere": (lambda f: with_values(f / CONFIG, auto_map={"AutoModel": "../x.py"}), "must name code as"),
    "many layers": (
        lambda f: with_values(f / CONFIG, num_hidden_layers=HUGE),
        "num_hidden_layers=1000000000: does",
    ),
    "many labels": (lambda f: with_values(f / CONFIG, num_labels=HUGE), "num_labels=1000000000: does not fit"),
    "other features": (lambda f: with_values(f / CONFIG, hidden_size=7), "has the shape (32, 8), but"),
    "many features": (
        lambda f: with_values(f / CONFIG, hidden_size=HUGE),
        "hidden_size=1000000000: does",
    ),
    "many tokens": (
        lambda f: with_values(f / CONFIG, vocab_size=HUGE),
        "vocab_size=1000000000: does",
    ),
    "a token beyond": (
        lambda f: with_values(f / CONFIG, pad_token_id=99),
        "pad_token_id=99: must be the id",
    ),
    "cut weights": (lambda f: os.truncate(f / WEIGHTS, 99), "model.safetensors is damaged or not whole"),
    "whole numbers": (lambda f: with_tensor(f, EMBEDDING, torch.Tensor.long), "holds I64, not float32"),
    "a missing tensor": (lambda f: with_tensor(f, EMBEDDING, lambda t: None), "its weights lack"),
    "no number": (lambda f: with_tensor(f, EMBEDDING, lambda t: t * float("nan")), "values that are not finite"),
    "no tokenizer": (lambda f: [(f / name).unlink() for name in (TOKENIZER, SETTINGS)], "holds no tokenizer"),
    "a deep tokenizer": (lambda f: (f / TOKENIZER).write_text(DEEP), "its tokenizer cannot be opened: RecursionError"),
    "a list as tokenizer": (lambda f: (f / TOKENIZER).write_text("[]"), "its tokenizer cannot be opened"),
    "an id beyond": (lambda f: with_token(f, 4096), "gives 'z' the id 4096, but the embedding has 9 rows"),
    "tokens of a number": (lambda f: with_values(f / SETTINGS, model_input_names=3), "must be a list of names"),
    "a long word": (lambda f: with_values(f / SETTINGS, max_word_length=HUGE), "max_word_length=1000000000: must be"),
    "a hot model": (lambda f: with_values(f / WRITES, temperature="hot"), "temperature='hot': must be a number"),
    "a long text": (lambda f: with_values(f / WRITES, max_new_tokens=HUGE), "max_new_tokens=1000000000: must be"),
    "no generation": (lambda f: (f / WRITES).write_text("{"), "generation_config.json: not readable as JSON"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_costs_one_sentence(damage, checkpoint, capfd):
    change, message = DAMAGES[damage]
    change(checkpoint)
    capfd.readouterr()
    assert command("generate", checkpoint, "--prompt", "a") == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("rnn-zoo: ")
    assert str(checkpoint) in line
    assert message in line


def test_a_whole_checkpoint_is_opened(checkpoint, capfd):
    assert command("generate", checkpoint, "--prompt", "a", "--max-new-tokens", 3) == 0
    assert capfd.readouterr().out.startswith("a")


def test_layers_are_counted_before_they_are_built():
    with pytest.raises(Exception, match="num_hidden_layers=1000000000: must be from 1 to 1000"):
        RnnConfig(num_hidden_layers=HUGE)


@pytest.mark.parametrize("name", ["a" * 5000, "a\x00b", "a/" * 3000], ids=["long", "NUL", "deep"])
def test_a_place_that_no_file_system_takes(name):
    with pytest.raises(UserError, match="is no path"):
        place_of(name)


def test_code_is_named_in_the_form_of_the_library(checkpoint):
    with_values(checkpoint / CONFIG, auto_map=["configuration_rnn.RnnConfig"])
    with pytest.raises(UserError, match="must name code as"):
        code_of(checkpoint)


def test_no_call_in_the_package_trusts_code():
    """Every `from_pretrained` of a library's class says so."""
    untold = []
    for path in Path(rnn_zoo.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "from_pretrained(" in text else ():
            if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") != "from_pretrained":
                continue
            inherited = isinstance(node.func.value, ast.Call)  # super().from_pretrained
            told = [one.value for one in node.keywords if one.arg == "trust_remote_code"]
            if not inherited and not (told and isinstance(told[0], ast.Constant) and told[0].value is False):
                untold.append(f"{path.name}:{node.lineno}")
    assert not untold


# ---- recipes of checkpoints ----
def test_of_a_foreign_recipe_only_what_an_evaluation_needs_is_used(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("data_dir: data\noutput_dir: /elsewhere\nuse_cpu: true\nseed: 7\nlearning_rate: 0.5\n")
    foreign, own = read_recipe(path, of_checkpoint=True), read_recipe(path)
    assert (foreign.training.seed, foreign.training.use_cpu, own.training.use_cpu) == (7, False, True)
    assert foreign.training.output_dir != "/elsewhere"
    assert foreign.values == own.values  # the card shows all
    assert read_recipe(path, ["--use_cpu"], of_checkpoint=True).training.use_cpu


def test_a_foreign_recipe_names_no_place(checkpoint, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for key, value in (("data_dir", "data"), ("dataset_name", "data")):
        (checkpoint / "recipe.yaml").write_text(f"{key}: {value}\ndeepspeed: engine.json\n")
        with pytest.raises(UserError, match="takes the data from 'data' on this machine"):
            run.evaluate(checkpoint, "test", [])
    (tmp_path / "data" / "test.txt").write_text("abc abc abc\n" * 20)
    (tmp_path / "data" / "train.txt").write_text("abc abc abc\n" * 20)
    run.evaluate(checkpoint, "test", ["--data_dir", "data", "--use_cpu"])
    assert "was not trained here, so of its recipe is not used: deepspeed" in capfd.readouterr().err


def test_a_run_is_known_by_place_and_recipe(tmp_path):
    out = RunFolder(tmp_path / "out")
    staged = out.stage("final")
    (staged / "recipe.yaml").write_text("seed: 1\n")
    out.publish(staged, 1, [])
    assert out.is_from_here()
    assert not RunFolder(shutil.copytree(out.path, tmp_path / "copy")).is_from_here()
    (out.path / "recipe.yaml").write_text("seed: 2\n")
    assert not out.is_from_here()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"parameters": None}, "parameters must be a whole number"),
        ({"train": []}, "train must be an object"),
        ({"train": {}}, "train.seconds: is missing"),
        ({"history": [{"loss": "low"}]}, r"history\[0\].loss must be a number"),
        ({"steps": 10**400}, "steps must be at most"),
    ],
)
def test_numbers_of_a_card_have_their_form(values, message):
    with pytest.raises(UserError, match=message):
        check_form(values, {key: FORM[key] for key in values}, "")


# ---- texts and imports ----
class OneToken:
    """A tokenizer with a token a character, and a model that is never reached."""

    pad_token_id = 0

    def __call__(self, texts, **options):
        return {"input_ids": [[1] * len(text) for text in texts]}


@pytest.mark.parametrize(
    ("length", "words"), [(MOST_TOKENS + 1, "50,001 tokens"), (MOST_CHARACTERS + 1, "2,000,001 characters")]
)
def test_a_text_that_is_too_long_is_refused_before_it_is_read(length, words):
    with pytest.raises(UserError, match=rf"texts\[1\] \('aaa.*\) has {words}"):
        Classifier(None, OneToken()).classify(["a", "a" * length])


def test_what_an_import_asks_for_is_bounded_by_what_it_holds():
    check_bytes("it has", limit_of(1000), 1000)
    with pytest.raises(UserError, match="of which the file holds 1,000"):
        check_bytes("it has", limit_of(1000) + 1, 1000)
    with pytest.raises(UserError, match="its tensors have 4,000,000,000 bytes"):
        plain_tensors({"x": torch.zeros(1).expand(HUGE)}, "net.pt", 1000)
    with pytest.raises(UserError, match="x is no plain tensor"):
        plain_tensors({"x": torch.empty(HUGE, device="meta")}, "net.pt", 1000)
