"""A checkpoint carries its code: it opens without the package, saves again, and needs no flag with the package."""

import ast
import json
import sys
from pathlib import Path

import pytest
import torch
from command_line import BLOCKER, fresh_process
from conftest import T, random_ids, tiny_config, tiny_seq2seq_config
from transformers.dynamic_module_utils import get_imports

import rnn_zoo
from rnn_zoo import (
    RnnForCausalLM,
    RnnForSequenceClassification,
    RnnForTokenClassification,
    RnnModel,
    RnnSeq2SeqForConditionalGeneration,
    RnnSeq2SeqModel,
)
from rnn_zoo.tokenizers import build_char_tokenizer, build_pair_tokenizer, for_translation

MODELS = Path(rnn_zoo.__file__).parent / "models"
MODULES = sorted(MODELS.glob("*.py"))
ALLOWED = {"torch", "transformers", "tokenizers"}
OPTIONAL = {"triton"}  # within `try`

KINDS = {
    "AutoModel": (RnnModel, {}),
    "AutoModelForCausalLM": (RnnForCausalLM, {}),
    "AutoModelForTokenClassification": (
        RnnForTokenClassification,
        {"bidirectional": True, "use_crf": True, "tag_scheme": "iobes", "num_labels": 3}
        | {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}},
    ),
    "AutoModelForSequenceClassification": (RnnForSequenceClassification, {"pooling": "self_attentive"}),
}

TEXTS = ["ein hund", "zwei", "kein dach"]
TRANSLATORS = {  # with a vocabulary for each side, and with one for both
    "pairs": {"share_encoder_decoder_embeddings": False, "input_feeding": True},
    "one": {"attention": "bahdanau", "decoder_layers": 2, "attention_layer": 1, "tie_word_embeddings": True},
}

HEADER = f"""
import sys
from itertools import product
from pathlib import Path

import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)

HEADS = (AutoModel, AutoModelForCausalLM, AutoModelForTokenClassification, AutoModelForSequenceClassification)
folder = Path(sys.argv[1])
ids = torch.load(folder / "ids.pt")
TEXTS = {TEXTS!r}


def translations(model, tokenizer):
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    return model.generate(**batch, max_new_tokens=6, num_beams=3)
"""

WITHOUT_PACKAGE = f"""
{BLOCKER}{HEADER}
try:
    import rnn_zoo
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the package can be imported: this proves nothing")

for auto, cell in product(HEADS, ("lstm", "gru")):
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
    if cell == "lstm":  # another task begins with its weights, and as many labels as that has
        for other in (other for other in HEADS if other.__name__ in model.config.auto_map):
            sizes = {{}} if other in (AutoModel, AutoModelForCausalLM) else {{"num_labels": 5}}
            begun = other.from_pretrained(again, trust_remote_code=True, ignore_mismatched_sizes=True, **sizes)
            known = begun.base_model.state_dict()
            assert all(torch.equal(known[key], value) for key, value in model.base_model.state_dict().items())
            begun(ids)
            begun.save_pretrained(folder / f"{{name}}_as_{{other.__name__}}")
    if auto is AutoModelForCausalLM:
        torch.save(model.generate(ids, max_new_tokens=5, num_beams=2), folder / f"{{name}}_text.pt")

for name in {[*TRANSLATORS]!r}:
    source, again = folder / name, folder / f"{{name}}_again"
    for path, where in ((source, again), (again, folder / f"{{name}}_thrice")):
        model = AutoModelForSeq2SeqLM.from_pretrained(path, trust_remote_code=True)
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=True)
        assert type(model).__module__.startswith("transformers_modules."), type(model)
        assert type(tokenizer).__module__.startswith("transformers_modules."), type(tokenizer)
        texts = tokenizer.batch_decode(translations(model, tokenizer), skip_special_tokens=True)
        torch.save(translations(model, tokenizer), folder / f"{{path.name}}.pt")
        model.save_pretrained(where)
        tokenizer.save_pretrained(where)
        known = AutoModel.from_pretrained(where, trust_remote_code=True).state_dict()
        assert all(torch.equal(known[key], value) for key, value in model.base_model.state_dict().items())
        translate = pipeline("translation", model=str(path), trust_remote_code=True)
        assert type(translate).__module__.startswith("transformers_modules."), type(translate)
        assert translate(TEXTS, max_new_tokens=6, num_beams=3) == [{{"translation_text": text}} for text in texts]
        assert translate(TEXTS[0], max_new_tokens=6, num_beams=3) == [{{"translation_text": texts[0]}}]
"""

WITH_PACKAGE = f"""
import rnn_zoo
{HEADER}
classes = (
    rnn_zoo.RnnModel,
    rnn_zoo.RnnForCausalLM,
    rnn_zoo.RnnForTokenClassification,
    rnn_zoo.RnnForSequenceClassification,
)
for (auto, model_class), cell, suffix in product(zip(HEADS, classes), ("lstm", "gru"), ("", "_again")):
    model = auto.from_pretrained(folder / f"{{auto.__name__}}_{{cell}}{{suffix}}")
    assert type(model) is model_class, type(model)
    with torch.no_grad():
        torch.testing.assert_close(model(ids)[0], torch.load(folder / f"{{auto.__name__}}_{{cell}}.pt")[0])

for name, suffix in product({[*TRANSLATORS]!r}, ("", "_again")):
    path = folder / f"{{name}}{{suffix}}"
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    assert type(model) is rnn_zoo.RnnSeq2SeqForConditionalGeneration, type(model)
    assert type(tokenizer) is (rnn_zoo.PairTokenizer if name == "pairs" else rnn_zoo.RnnTokenizer), type(tokenizer)
    found = translations(model, tokenizer)
    assert torch.equal(found, torch.load(folder / f"{{name}}.pt"))
    translate = pipeline("rnn-translation", model=str(path))
    assert type(translate) is rnn_zoo.RnnTranslationPipeline, type(translate)
    texts = tokenizer.batch_decode(found, skip_special_tokens=True)
    assert translate(TEXTS, max_new_tokens=6, num_beams=3) == [{{"translation_text": text}} for text in texts]
"""


@pytest.fixture(scope="module")
def opened_elsewhere(tmp_path_factory):
    """Ten checkpoints, opened, run and saved again by a process that has no rnn_zoo."""
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
    for name, options in TRANSLATORS.items():
        tokenizer = translators_tokenizer(name)
        lively = {"cell_type": "rnn_tanh", "initializer_range": 3.0}  # texts that do not repeat one token for ever
        sizes = {"vocab_size": len(tokenizer), "decoder_vocab_size": getattr(tokenizer, "target_vocab_size", None)}
        model = RnnSeq2SeqForConditionalGeneration(tiny_seq2seq_config(**sizes, **options, **lively))
        model.lm_head.bias.data[:3] = -1e4  # so that the texts are not empty
        model.eval().save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        models[name] = model
    ids = random_ids(2, T)
    torch.save(ids, folder / "ids.pt")
    fresh_process(tmp_path, WITHOUT_PACKAGE, folder)
    return folder, models, ids


def translators_tokenizer(name):
    if name == "pairs":
        return build_pair_tokenizer(TEXTS, ["a dog", "two"])
    return for_translation(build_char_tokenizer([*TEXTS, "a dog", "two"]))


@pytest.mark.ci
@pytest.mark.parametrize("name", TRANSLATORS)
def test_without_the_package_the_translations_are_the_same(opened_elsewhere, name):
    folder, models, _ = opened_elsewhere
    batch = translators_tokenizer(name)(TEXTS, padding=True, return_tensors="pt")
    expected = models[name].generate(**batch, max_new_tokens=6, num_beams=3)
    assert expected[:, 1:].unique().numel() > 2
    for suffix in ("", "_again"):
        assert torch.equal(torch.load(folder / f"{name}{suffix}.pt"), expected)


@pytest.mark.ci
@pytest.mark.parametrize("name", TRANSLATORS)
def test_a_translator_carries_its_pipeline(opened_elsewhere, name):
    folder, _, _ = opened_elsewhere
    first, again, thrice = (
        {file.name: file.read_text() for file in (folder / f"{name}{suffix}").glob("*.py")}
        for suffix in ("", "_again", "_thrice")
    )
    assert first == again == thrice
    assert first == {name: (MODELS / name).read_text() for name in first}
    assert {"pipeline_translation.py", "modeling_rnn_seq2seq.py", "attention.py"} <= first.keys()
    assert ("tokenization_pairs.py" in first) == (name == "pairs")


@pytest.mark.ci
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


@pytest.mark.ci
def test_a_checkpoint_names_and_carries_every_head_that_can_begin_from_it(opened_elsewhere):
    """However often, and as what, it was opened and saved."""
    folder, _, _ = opened_elsewhere
    for kind in KINDS:
        listed = {"AutoConfig", *RnnModel.heads()} - ({"AutoModelForCausalLM"} if "Token" in kind else set())
        for place in folder.glob(f"{kind}_lstm*/"):
            assert json.loads((place / "config.json").read_text())["auto_map"].keys() == listed
            code = {file.name: file.read_text() for file in place.glob("*.py")}
            assert code == {name: (MODELS / name).read_text() for name in code}
            assert {f"{head.__module__.rpartition('.')[2]}.py" for head in RnnModel.heads().values()} <= code.keys()
            assert not {"modeling_rnn_seq2seq.py", "pipeline_translation.py"} & code.keys()
    for name in TRANSLATORS:
        listed = {"AutoConfig", *RnnSeq2SeqModel.heads()}
        assert json.loads((folder / f"{name}_thrice" / "config.json").read_text())["auto_map"].keys() == listed


@pytest.mark.ci
def test_with_the_package_no_flag_is_needed(opened_elsewhere, tmp_path):
    folder, _, _ = opened_elsewhere
    fresh_process(tmp_path, WITH_PACKAGE, folder)
    assert not list((tmp_path / "modules").rglob("modeling_*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_modules_that_travel_import_nothing_that_does_not(path):
    """But for what may be missing: who loads a checkpoint is not asked to install it."""
    assert not OPTIONAL & {*get_imports(path)}
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
            known = ALLOWED | OPTIONAL | sys.stdlib_module_names
            assert package in known or name == "huggingface_hub.dataclasses", name
            assert package != "importlib", f"line {node.lineno}: what it imports is not copied"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_docstring_line_reads_like_an_import(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (ast.get_docstring(node) or "").splitlines()
            assert not [line for line in lines if line.strip().startswith(("from .", "import ."))]
