"""`rnn-zoo export`: what onnxruntime and plain torch compute is what the models do, for any batch and length."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from command_line import command, refused, tree
from conftest import FIRST_WORD, ONE_OF_EACH_KIND, H, T, random_ids, tiny_config, tiny_seq2seq_config
from test_models import IOB2
from torch import nn

from rnn_zoo import (
    CELLS,
    RnnForCausalLM,
    RnnForSequenceClassification,
    RnnForTokenClassification,
    RnnSeq2SeqForConditionalGeneration,
)
from rnn_zoo.errors import UserError
from rnn_zoo.export import export, exporting, onnx_graphs
from rnn_zoo.export.exporting import graphs_of
from rnn_zoo.export.onnx_cells import OPERATORS
from rnn_zoo.export.onnx_graphs import run_onnx, session, write_onnx
from rnn_zoo.export.programs import run_program, write_program
from rnn_zoo.export.tracing import DECOMPOSITIONS
from rnn_zoo.export_options import OPSET, OPSETS
from rnn_zoo.models.pooling import POOLINGS
from rnn_zoo.models.recurrent_cell import RecurrentCell
from rnn_zoo.tokenizers import build_char_tokenizer

onnx = pytest.importorskip("onnx", reason="the extra rnn-zoo[onnx] is not installed")
pytest.importorskip("onnxruntime", reason="the extra rnn-zoo[onnx] is not installed")

W = 5  # characters of a word
SPELLING = {
    "character_vocab_size": 9,
    "character_hidden_size": 6,
    "affix_length": 2,
    "affix_embedding_size": 3,
    "affix_vocab_size": 20,
}
CRF = {"use_crf": True, "tag_scheme": "iobes", **IOB2}
DOCUMENTS = {"hierarchical": True, "sentence_end_token_ids": [FIRST_WORD, FIRST_WORD + 1]}
SMALL = {"num_hidden_layers": 1, "cell_type": "rnn_tanh"}
BOTH = {"bidirectional": True}
MODELS = {
    **{
        f"language model, {cell}": (RnnForCausalLM, {"cell_type": cell, "num_hidden_layers": 1})
        for cell in CELLS
        if CELLS[cell] in OPERATORS or cell in ONE_OF_EACH_KIND
    },
    "CRF": (RnnForTokenClassification, CRF | SMALL | SPELLING),
    "tagger": (RnnForTokenClassification, BOTH | IOB2 | SMALL | SPELLING | {"character_encoder": "rnn"}),
    "classifier": (RnnForSequenceClassification, BOTH | {"num_hidden_layers": 1, "layer_norm": True}),
    **{f"classifier, {pooling}": (RnnForSequenceClassification, SMALL | {"pooling": pooling}) for pooling in POOLINGS},
    "classifier, n-grams": (RnnForSequenceClassification, SMALL | {"direct_ngram_order": 3, "direct_ngram_size": 500}),
    "classifier, spelling": (RnnForSequenceClassification, BOTH | SMALL | SPELLING),
    "documents": (RnnForSequenceClassification, DOCUMENTS | SMALL | {"pooling": "attention"}),
    "translator": (RnnSeq2SeqForConditionalGeneration, {}),
    "translator, input feeding": (RnnSeq2SeqForConditionalGeneration, {"input_feeding": True, "num_hidden_layers": 1}),
    "translator, no attention": (RnnSeq2SeqForConditionalGeneration, {"attention": "none", "bridge": "mean"}),
}
# Of torch.export the cells and heads are in test_export.py; here are those that only an export of whole graphs meets.
PROGRAMS = ["language model, gru", "CRF", "classifier, n-grams", "documents", "translator, input feeding"]
QUICK = "language model, lstm"  # an export takes long
ONE_OF_EACH_HEAD = ["CRF", "classifier", "documents", "translator"]
SIZES = [(3, 5, 6), (1, 1, 1), (4, 9, 3), (2, 3 * T, 2)]

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's own export code


def build(model_class, options):
    """A model in evaluation, with biases and n-grams that are not 0 and affixes that it knows."""
    config = tiny_seq2seq_config if model_class is RnnSeq2SeqForConditionalGeneration else tiny_config
    model = model_class(config(**options)).eval()
    for name, parameter in model.named_parameters():
        if "bias" in name or name.startswith(("crf.", "direct.")):
            nn.init.uniform_(parameter, -0.5, 0.5)
    if "affix_length" in options:
        affixes = model.model.characters.affixes
        affixes.mark_characters("abcABC-")
        affixes.keep_frequent(torch.randint(1, 9, (30, W)), 1)
    return model


def compare(graph, run):
    """`run` gives what torch does, whatever the sizes."""
    for batch, length, source in SIZES:
        inputs = graph.sample(batch=batch, length=length, source_length=source)
        with torch.no_grad():
            expected = graph.module(*inputs)
        torch.testing.assert_close(tuple(run(*inputs)), tuple(expected), rtol=1e-5, atol=1e-5)


def written(graph, folder):
    """The file of a graph in ONNX."""
    path = folder / f"{graph.name}.onnx"
    write_onnx(graph, path, OPSET, {})
    return path


def operators(path):
    model = onnx.load(path)
    return {node.op_type for node in [*model.graph.node, *(node for part in model.functions for node in part.node)]}


# What is computed


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.ci) for name in (QUICK, *ONE_OF_EACH_HEAD)),
        *(pytest.param(name, marks=pytest.mark.slow) for name in MODELS if name not in {QUICK, *ONE_OF_EACH_HEAD}),
    ],
)
def test_onnxruntime_computes_what_torch_does(name, tmp_path):
    for graph in graphs_of(build(*MODELS[name]), W):
        path = written(graph, tmp_path)
        runtime = session(path)
        compare(graph, lambda *inputs, graph=graph, runtime=runtime: run_onnx(runtime, graph, inputs))
        shapes = {one.name: one.shape for one in runtime.get_inputs()}
        assert shapes == {one.name: list(one.shape) for one in graph.inputs}
        if "language model" in name:
            assert ("Scan" in operators(path)) == (CELLS[MODELS[name][1]["cell_type"]] not in OPERATORS)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_computes_what_the_model_does(name, tmp_path):
    for graph in graphs_of(build(*MODELS[name]), W):
        write_program(graph, tmp_path / "graph.pt2", {})
        compare(graph, run_program(tmp_path / "graph.pt2"))


@pytest.mark.ci
def test_text_in_parts_is_text_in_one(tmp_path):
    (graph,) = graphs_of(build(RnnForCausalLM, {"residual": True, "layer_norm": True}))
    runtime = session(written(graph, tmp_path))
    ids = random_ids(2, T)
    ones, zeros = torch.ones_like(ids), [torch.zeros(2, H)] * 4
    whole, *state = run_onnx(runtime, graph, (ids, ones, *zeros))
    past, parts = zeros, []
    for part in (ids[:, :3], ids[:, 3:4], ids[:, 4:]):
        logits, *past = run_onnx(runtime, graph, (part, torch.ones_like(part), *past))
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    torch.testing.assert_close(past, state)


@pytest.mark.ci
def test_the_argmax_of_a_crf_is_the_viterbi_path(tmp_path):
    model = build(RnnForTokenClassification, CRF | SMALL)
    (graph,) = graphs_of(model)
    ids, mask = random_ids(6, T), torch.ones(6, T, dtype=torch.long)
    mask[0, 4:] = mask[1, :3] = 0
    (logits,) = run_onnx(session(written(graph, tmp_path)), graph, (ids, mask))
    emissions = model.classifier(model.model(ids, attention_mask=mask).last_hidden_state)
    path, _ = model.crf.viterbi(emissions, mask, outside=True)
    assert torch.equal(logits.argmax(-1)[mask == 1], path[mask == 1])


@pytest.mark.ci
def test_a_translation_begins_in_the_encoder(tmp_path):
    model = build(*MODELS["translator"])
    encoder, decoder = graphs_of(model)
    first, step = (session(written(graph, tmp_path)) for graph in (encoder, decoder))
    ids, mask = random_ids(2, T), torch.ones(2, T, dtype=torch.long)
    mask[1, 4:] = 0
    given = dict(zip((one.name for one in encoder.outputs), run_onnx(first, encoder, (ids, mask)), strict=True))
    given["encoder_attention_mask"] = mask
    token, text = torch.full((2, 1), model.config.decoder_start_token_id), []
    for _ in range(4):
        outputs = run_onnx(step, decoder, tuple(token if n == "input_ids" else given[n] for n in names_of(decoder)))
        found = dict(zip((one.name for one in decoder.outputs), outputs, strict=True))
        given |= {f"past.{name[8:]}": s for name, s in found.items() if name.startswith("present.")}
        token = found["logits"][:, -1:].argmax(-1)
        text.append(token)
    expected = model.generate(
        ids, attention_mask=mask, max_new_tokens=4, min_new_tokens=4, num_beams=1, suppress_tokens=[], eos_token_id=None
    )
    assert torch.equal(torch.cat(text, 1), expected[:, 1:])


def names_of(graph):
    return [one.name for one in graph.inputs]


class Leaky(RecurrentCell):
    """h_t = h_{t-1} / 2 + tanh(W x_t)."""

    def __init__(self, input_size, hidden_size, **shares):
        super().__init__(input_size, hidden_size, **shares)
        self.weight = nn.Parameter(torch.empty(hidden_size, input_size))
        self.init_weights(0.0, "uniform")

    def init_weights(self, forget_gate_bias, recurrent_init):
        nn.init.uniform_(self.weight.data, -1, 1)

    def project(self, x):
        return x @ self.weight.t()

    def recur(self, z, state, weights):
        h = state[0] / 2 + torch.tanh(z)
        return h, (h,)


class Stepless(Leaky):
    recur = RecurrentCell.recur


@pytest.mark.ci
def test_a_new_cell_of_the_registry_is_exported(tmp_path, monkeypatch):
    monkeypatch.setitem(CELLS, "leaky", Leaky)
    (graph,) = graphs_of(build(RnnForCausalLM, {"cell_type": "leaky"}))
    path = written(graph, tmp_path)
    compare(graph, lambda *inputs: run_onnx(session(path), graph, inputs))
    assert "Scan" in operators(path)


def test_a_cell_without_an_export_path_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(CELLS, "stepless", Stepless)
    model = build(RnnForCausalLM, {"cell_type": "stepless"})
    for format_ in exporting.FORMATS:
        with pytest.raises(UserError, match="cell_type='stepless': has no export path: Stepless has no step"):
            export(model, None, tmp_path / "out", format_)
    assert not tree(tmp_path)


@pytest.mark.parametrize("descending", [False, True])
def test_a_sort_by_other_operators(descending):
    x = torch.randint(3, (4, T), dtype=torch.uint8)
    options = {"stable": True, "dim": 1, "descending": descending}
    for found, expected in zip(
        DECOMPOSITIONS[torch.ops.aten.sort.stable](x, **options), x.sort(**options), strict=True
    ):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("size", [1, 7, 8, 9])
def test_ranks_by_other_operators(size):
    table = torch.randint(20, (3, size)).sort(1).values
    x = torch.randint(-1, 22, (3, 50))
    assert torch.equal(DECOMPOSITIONS[torch.ops.aten.searchsorted.Tensor](table, x), torch.searchsorted(table, x))
    with pytest.raises(NotImplementedError):
        DECOMPOSITIONS[torch.ops.aten.searchsorted.Tensor](table, x, right=True)


def test_the_greatest_so_far_and_membership_by_other_operators():
    x = torch.randint(9, (3, T))
    assert torch.equal(DECOMPOSITIONS[torch.ops.aten.cummax.default](x, 1)[0], x.cummax(1).values)
    members = torch.tensor([2, 5])
    assert torch.equal(DECOMPOSITIONS[torch.ops.aten.isin.Tensor_Tensor](x, members), torch.isin(x, members))


# The folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A language model of characters, in the folder `model`."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("export")
    tokenizer = build_char_tokenizer(["all that glisters is not gold"])
    RnnForCausalLM(tiny_config(vocab_size=len(tokenizer), num_hidden_layers=1, hidden_size=32)).save_pretrained(
        folder / "model"
    )
    tokenizer.save_pretrained(folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def exported(checkpoint):
    """It in ONNX, by the command."""
    folder = checkpoint.parent / "onnx"
    assert command("export", checkpoint, "--output", folder) == 0
    return folder


@pytest.mark.ci
def test_the_folder_holds_all_that_is_needed(checkpoint, exported):
    assert {"model.onnx", "config.json", "tokenizer.json", "README.md", "export.json"} <= {*tree(exported)}
    assert not [name for name in tree(exported.parent) if "part" in name or "old" in name]
    model = onnx.load(exported / "model.onnx")
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert not {"auto_map", "custom_pipelines"} & json.loads((exported / "config.json").read_text()).keys()
    assert about["architecture"] == "RnnForCausalLM"
    assert about["checkpoint"] == "model"
    assert about == json.loads((exported / "export.json").read_text())["metadata"]
    assert model.opset_import[0].version == OPSET
    for name, content in tree(exported).items():
        assert str(checkpoint.parent).encode() not in content, name
        assert b"site-packages" not in content, name
        assert b"modeling_" not in content, name


@pytest.mark.ci
@pytest.mark.parametrize("opset", [OPSETS[0], OPSETS[-1]])
def test_every_opset_runs(opset, tmp_path):
    (graph,) = graphs_of(build(RnnForCausalLM, {"num_hidden_layers": 1}))
    write_onnx(graph, tmp_path / "model.onnx", opset, {})
    assert onnx.load(tmp_path / "model.onnx").opset_import[0].version == opset
    runtime = session(tmp_path / "model.onnx")
    compare(graph, lambda *inputs: run_onnx(runtime, graph, inputs))


@pytest.mark.ci
def test_the_readme_runs(exported, monkeypatch):
    monkeypatch.chdir(exported)
    page = (exported / "README.md").read_text()
    names: dict = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    assert names["outputs"]["logits"].shape[:2] == names["inputs"]["input_ids"].shape
    assert all(f"`{name}`" in page for name in (*names["inputs"], *names["outputs"]))


@pytest.mark.ci
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--format", "onxn"], "format='onxn': unknown; did you mean 'onnx'? (choose from onnx, torch)"),
        (["--opset", "9"], "opset=9: must be between 18 and"),
        (["--opset", "99"], "opset=99: must be between 18 and"),
        (["--format", "torch", "--opset", "20"], "opset=20: is for the format onnx"),
        (["--format", "torch", "--int8"], "int8: is for the format onnx"),
        (["--output", "onnx"], "onnx: is there already"),
        (["--output", "model", "--overwrite"], "model: holds something else than an export"),
        (["--output", "model/config.json"], "model/config.json: is a file"),
        (["--revision", "v1"], "revision='v1': is for a model on the Hub"),
    ],
)
def test_a_mistake_is_one_sentence(checkpoint, exported, flags, message, capfd, monkeypatch):
    monkeypatch.chdir(checkpoint.parent)
    refused(capfd, checkpoint.parent, "export", "model", *flags, message=message)


def test_no_model_or_no_head_is_one_sentence(checkpoint, tmp_path, capfd):
    refused(capfd, tmp_path, "export", tmp_path / "none", message="no model there")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "rnn_zoo", "architectures": ["RnnModel"]}))
    refused(capfd, tmp_path, "export", tmp_path, message="holds RnnModel, which has no head that is exported")


def test_a_missing_package_is_named(checkpoint, capfd, monkeypatch):
    monkeypatch.chdir(checkpoint.parent)
    monkeypatch.setattr(onnx_graphs, "find_spec", lambda name: None)
    refused(capfd, checkpoint.parent, "export", "model", "--output", "o", message='pip install "rnn-zoo[onnx]"')


@pytest.mark.ci
def test_nothing_is_left_of_an_export_that_fails(checkpoint, exported, monkeypatch):
    before = tree(checkpoint.parent)
    run = exporting.run_program
    monkeypatch.setattr(exporting, "run_program", lambda path: lambda *inputs: [x + 1 for x in run(path)(*inputs)])
    for folder, options in ((checkpoint.parent / "new", {}), (exported, {"overwrite": True})):
        model, tokenizer = RnnForCausalLM.from_pretrained(checkpoint), build_char_tokenizer(["ab"])
        with pytest.raises(RuntimeError, match=r"model\.pt2: logits differs from torch by"):
            export(model, tokenizer, folder, "torch", **options)
    assert tree(checkpoint.parent) == before


@pytest.mark.ci
def test_eight_bits_are_a_quarter_of_the_size_and_overwrite_an_export(checkpoint, tmp_path, capfd):
    torch.manual_seed(0)
    tokenizer = build_char_tokenizer(["abc"])
    model = RnnForCausalLM(tiny_config(vocab_size=len(tokenizer), num_hidden_layers=1, hidden_size=128))
    folder = tmp_path / "out"
    export(model, tokenizer, folder)
    large = (folder / "model.onnx").stat().st_size
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds more than an export \(notes.txt\)"):
        export(model, tokenizer, folder, int8=True, overwrite=True)
    (folder / "notes.txt").unlink()
    done = export(model, tokenizer, folder, int8=True, overwrite=True)
    assert (folder / "model.onnx").stat().st_size < large / 3
    assert 0 < done.difference < 0.1
    assert "DynamicQuantizeLSTM" in operators(folder / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.ci
def test_a_program_opens_without_rnn_zoo(checkpoint, tmp_path):
    assert command("export", checkpoint, "--format", "torch", "--output", tmp_path / "out") == 0
    model = RnnForCausalLM.from_pretrained(checkpoint)
    ids = random_ids(2, T)
    np.save(tmp_path / "ids.npy", ids.numpy())
    code = """if True:
        import sys
        sys.modules["rnn_zoo"] = None
        import numpy, torch
        program = torch.export.load("out/model.pt2").module()
        ids = torch.from_numpy(numpy.load("ids.npy"))
        zeros = [torch.zeros(2, 32)] * 2
        numpy.save("logits.npy", program(ids, torch.ones_like(ids), *zeros)[0].numpy())
        assert "transformers" not in sys.modules"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    logits = torch.from_numpy(np.load(tmp_path / "logits.npy"))
    torch.testing.assert_close(logits, model(ids).logits.detach(), rtol=1e-5, atol=1e-5)
