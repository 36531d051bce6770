"""A checkpoint carries its code: it opens without the package, saves again, and needs no flag with the package."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import T, random_ids, tiny_config

import rnn_zoo
from rnn_zoo import RnnForCausalLM, RnnForTokenClassification, RnnModel

MODELS = Path(rnn_zoo.__file__).parent / "models"
MODULES = sorted(MODELS.glob("*.py"))
ALLOWED = {"torch", "transformers", "tokenizers"}

KINDS = {
    "AutoModel": (RnnModel, {}),
    "AutoModelForCausalLM": (RnnForCausalLM, {}),
    "AutoModelForTokenClassification": (
        RnnForTokenClassification,
        {"bidirectional": True, "use_crf": True, "tag_scheme": "iobes", "num_labels": 3}
        | {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}},
    ),
}

HEADER = """
import sys
from itertools import product
from pathlib import Path

import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForTokenClassification

folder = Path(sys.argv[1])
ids = torch.load(folder / "ids.pt")
"""

WITHOUT_PACKAGE = f"""
import sys


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "rnn_zoo":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Blocker())
{HEADER}
try:
    import rnn_zoo
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the package can be imported: this proves nothing")

for auto, cell in product((AutoModel, AutoModelForCausalLM, AutoModelForTokenClassification), ("lstm", "gru")):
    name = f"{{auto.__name__}}_{{cell}}"
    source, again = folder / name, folder / f"{{name}}_again"
    model = auto.from_pretrained(source, trust_remote_code=True)
    assert type(model).__module__.startswith("transformers_modules."), type(model)
    with torch.no_grad():
        outputs = model(ids)
        step = model(ids[:, :1], cache_params=outputs.cache_params)
    torch.save((outputs[0], step[0]), folder / f"{{name}}.pt")
    model.save_pretrained(again)
    reopened = auto.from_pretrained(again, trust_remote_code=True)
    with torch.no_grad():
        torch.testing.assert_close(reopened(ids)[0], outputs[0])
    if auto is AutoModelForCausalLM:
        torch.save(model.generate(ids, max_new_tokens=5, num_beams=2), folder / f"{{name}}_text.pt")
"""

WITH_PACKAGE = f"""
import rnn_zoo
{HEADER}
kinds = {{
    AutoModel: rnn_zoo.RnnModel,
    AutoModelForCausalLM: rnn_zoo.RnnForCausalLM,
    AutoModelForTokenClassification: rnn_zoo.RnnForTokenClassification,
}}
for auto, cell, suffix in product(kinds, ("lstm", "gru"), ("", "_again")):
    model = auto.from_pretrained(folder / f"{{auto.__name__}}_{{cell}}{{suffix}}")
    assert type(model) is kinds[auto], type(model)
    with torch.no_grad():
        torch.testing.assert_close(model(ids)[0], torch.load(folder / f"{{auto.__name__}}_{{cell}}.pt")[0])
"""


def run(code, folder, tmp_path):
    environment = os.environ | {
        "HF_HOME": str(tmp_path / "home"),
        "HF_MODULES_CACHE": str(tmp_path / "modules"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.run(
        [sys.executable, "-c", code, str(folder)], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr[-4000:]


@pytest.fixture(scope="module")
def opened_elsewhere(tmp_path_factory):
    """Six checkpoints, opened, run and saved again by a process that has no rnn_zoo."""
    torch.manual_seed(0)
    tmp_path = tmp_path_factory.mktemp("remote_code")
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    models = {}
    for auto, (model_class, options) in KINDS.items():
        for cell in ("lstm", "gru"):
            model = model_class(tiny_config(cell_type=cell, initializer_range=1.0, **options)).eval()
            model.save_pretrained(folder / f"{auto}_{cell}")
            models[f"{auto}_{cell}"] = model
    ids = random_ids(2, T)
    torch.save(ids, folder / "ids.pt")
    run(WITHOUT_PACKAGE, folder, tmp_path)
    return folder, models, ids


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("auto", KINDS)
def test_without_the_package_the_numbers_are_the_same(opened_elsewhere, auto, cell):
    folder, models, ids = opened_elsewhere
    model = models[f"{auto}_{cell}"]
    outputs, step = torch.load(folder / f"{auto}_{cell}.pt")
    with torch.no_grad():
        expected = model(ids)
        torch.testing.assert_close(outputs, expected[0])
        torch.testing.assert_close(step, model(ids[:, :1], cache_params=expected.cache_params)[0])
    if auto == "AutoModelForCausalLM":
        text = torch.load(folder / f"{auto}_{cell}_text.pt")
        assert torch.equal(text, model.generate(ids, max_new_tokens=5, num_beams=2))


def test_a_checkpoint_carries_only_what_it_needs(opened_elsewhere):
    folder, _, _ = opened_elsewhere
    for kind in KINDS:
        first = {file.name: file.read_text() for file in (folder / f"{kind}_lstm").glob("*.py")}
        again = {file.name: file.read_text() for file in (folder / f"{kind}_lstm_again").glob("*.py")}
        assert first == again
        assert first == {name: (MODELS / name).read_text() for name in first}
        assert ("modeling_causal_lm.py" in first) == (kind == "AutoModelForCausalLM")


def test_with_the_package_no_flag_is_needed(opened_elsewhere, tmp_path):
    folder, _, _ = opened_elsewhere
    run(WITH_PACKAGE, folder, tmp_path)
    assert not list((tmp_path / "modules").rglob("modeling_*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_modules_that_travel_import_nothing_that_does_not(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1, f"line {node.lineno}: not of the same folder"
            assert node.module, f"line {node.lineno}: `from . import x` is not copied"
            assert "." not in node.module, f"line {node.lineno}: not of the same folder"
            assert (MODELS / f"{node.module}.py").exists()
            continue
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        else:
            continue
        for name in names:
            package = name.partition(".")[0]
            assert package in ALLOWED | sys.stdlib_module_names or name == "huggingface_hub.dataclasses", name
            assert package != "importlib", f"line {node.lineno}: what it imports is not copied"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_docstring_line_reads_like_an_import(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (ast.get_docstring(node) or "").splitlines()
            assert not [line for line in lines if line.strip().startswith(("from .", "import ."))]
