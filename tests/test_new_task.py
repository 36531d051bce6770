"""A task is one folder: `toy_task/`, which nothing in the sources knows, has all that a task of rnn_zoo has."""

import ast
import dataclasses
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import test_heads
import torch
from command_line import command
from toy_heads import TOY_HEADS, ToyHead
from transformers import AutoConfig, AutoModelForNextSentencePrediction

import rnn_zoo
from rnn_zoo import register_task
from rnn_zoo.checkpoints import METRICS_FILE
from rnn_zoo.commands import run_command
from rnn_zoo.tasks import TASKS
from rnn_zoo_cli import help_text

SOURCES = Path(rnn_zoo.__file__).parent
RECIPE = """\
task: palindromes
description: Palindromes of a few letters
hidden_size: 8
longest_text: 6
max_steps: 4
per_device_train_batch_size: 4
learning_rate: 0.01
use_cpu: true
"""
TEXTS = ["abba", "abca", "aba", "abb", "cc", "cab", "bccb", "bcab", "acca", "cba", "baab", "abab", "c", "ca"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a model that a recipe has trained; the task is known to this module alone."""
    folder = tmp_path_factory.mktemp("palindromes")
    (folder / "data").mkdir()
    (folder / "data" / "train.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    (folder / "palindromes.yaml").write_text(RECIPE, encoding="utf-8")
    task = register_task("toy_task")
    try:
        flags = [f"--data_dir={folder / 'data'}", f"--output_dir={folder / 'out'}"]
        assert run_command("train", [str(folder / "palindromes.yaml"), *flags]) == 0
        yield folder / "out"
    finally:
        del TASKS[task.name]


def test_it_is_trained_by_a_recipe_and_has_a_card(trained):
    assert (trained / METRICS_FILE).is_file()
    card = (trained / "README.md").read_text(encoding="utf-8")
    assert "Palindromes of a few letters" in card
    assert "| accuracy |" in card
    assert "longest_text: 6" in card


@pytest.mark.parametrize("promise", test_heads.PROMISES)
def test_its_head_keeps_what_every_head_keeps(trained, promise, monkeypatch, tmp_path):
    """By one declared example."""
    is_one = ToyHead({}, lambda ids, mask: (ids * mask).sum(1) % 2)
    monkeypatch.setitem(TOY_HEADS, "palindromes", is_one)
    promise("palindromes", tmp_path)


def test_a_name_that_is_taken_is_refused(trained, monkeypatch):
    taken = dataclasses.replace(TASKS["palindromes"], package="somewhere.else")
    monkeypatch.setattr("toy_task.TASK", taken)
    with pytest.raises(ValueError, match=r"toy_task: toy_task has a task 'palindromes' with the command 'palindrome'"):
        register_task("toy_task")


def test_its_keys_are_its_own(trained, capsys):
    assert run_command("train", [str(trained.parent / "palindromes.yaml"), "--use_crf", "true"]) == 2
    assert "use_crf: is no key of the task palindromes" in capsys.readouterr().err
    assert run_command("train", ["char_lm_python", "--longest_text", "3"]) == 2
    assert "longest_text: is no key of the task causal_lm" in capsys.readouterr().err


def test_its_command_answers(trained, capfd):
    assert command("palindrome", trained, "abba") == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out in ("yes\n", "no\n")
    assert "  palindrome " in help_text()


def test_evaluate_measures_it(trained, capfd):
    assert command("evaluate", trained) == 0
    assert '"accuracy"' in capfd.readouterr().out


def test_its_auto_class_opens_it_and_padding_is_not_there(trained):
    model = AutoModelForNextSentencePrediction.from_pretrained(trained).eval()
    assert type(model).__name__ == "RnnForPalindromes"
    assert AutoConfig.from_pretrained(trained).architectures == ["RnnForPalindromes"]
    ids = torch.tensor([[4, 5, 4], [5, 0, 0]])
    batch = model(ids, attention_mask=(ids != 0).long()).logits
    torch.testing.assert_close(batch[1:], model(ids[1:, :1]).logits)


def test_it_has_a_tab(trained):
    from rnn_zoo.space import app  # here, as gradio takes seconds to import

    shown = app.open_checkpoint(str(trained))
    assert shown.task == "palindromes"
    page = app.build([str(trained)])
    assert "Judge" in [block.label for block in page.blocks.values() if type(block).__name__ == "Tab"]


@pytest.mark.ci
def test_it_is_exported(trained, tmp_path, capfd):
    assert command("export", trained, "--output", tmp_path / "graphs") == 0
    assert capfd.readouterr().out == f"{tmp_path / 'graphs' / 'model.onnx'}\n"


@pytest.mark.parametrize("name", [name for name in TASKS if name != "palindromes"])
def test_no_other_file_names_a_task(name):
    """What is particular to a task stands in its folder; the registry and the models, which travel, name it too."""
    own = {
        SOURCES / "tasks" / "__init__.py",
        *(SOURCES / "tasks" / name).rglob("*.py"),
        *(SOURCES / "models").glob("*"),
    }
    others = [path for path in SOURCES.rglob("*.py") if path not in own]
    assert len(others) > 100
    assert [path for path in others if re.search(rf"\b{name}\b", path.read_text(encoding="utf-8"))] == []


def test_the_public_names_are_those_of_the_table():
    assert sorted(rnn_zoo.__all__) == sorted([*rnn_zoo.MODULES, "__version__"])


def modules_in(path: Path) -> set[str]:
    """The modules of rnn_zoo, with a name of each, that a file imports; without those that it needs for types alone."""
    package = ["rnn_zoo", *path.relative_to(SOURCES).parent.parts]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    for_types = {part for guard in guards for part in ast.walk(guard)}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in for_types:
            base = package[: len(package) + 1 - node.level] if node.level else []
            found |= {".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names}
    return {name for name in found if name.startswith("rnn_zoo.")}


def imported_by(depth: int, root: Path) -> dict[str, set[str]]:
    """What each folder in a folder, or file beside them, imports of the others; `depth` is that of their names."""
    graph: dict[str, set[str]] = {}
    for path in root.rglob("*.py"):
        own = path.relative_to(root).parts[0].removesuffix(".py")
        names = [name.split(".") for name in modules_in(path)]
        prefix = ["rnn_zoo", *root.relative_to(SOURCES).parts]
        graph.setdefault(own, set()).update(name[depth] for name in names if name[:depth] == prefix and name[depth:])
    return {own: others & (graph.keys() - {own}) for own, others in graph.items()}


def test_no_folder_imports_another_that_imports_it():
    """Files beside the folders count as folders; `prepare` names the circle, if there is one."""
    graph = imported_by(1, SOURCES)
    assert len(graph["tasks"]) > 5
    TopologicalSorter(graph).prepare()


def test_no_task_imports_another():
    graph = imported_by(2, SOURCES / "tasks")
    assert graph["translation"]
    assert {name: graph[name] & TASKS.keys() for name in TASKS if graph.get(name, set()) & TASKS.keys()} == {}
