"""`rnn-zoo import`: equal outputs, against the real frameworks; and a sentence for what has no counterpart."""

import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras_models
import numpy as np
import pytest
import torch
from command_line import command, examples, printed_by, refused
from conftest import E, H, L, T
from safetensors.torch import save_file, save_model
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from rnn_zoo.checkpoint_files import files_for_others
from rnn_zoo.importing import checkpoint
from rnn_zoo.importing.keras_graph import inputs_of
from rnn_zoo.importing.options import CAUSAL_LM, IMPORTED, POOLED, SEQUENCES, TOKENS
from rnn_zoo.importing.original import MODULES
from rnn_zoo.importing.vocabulary import NAMES
from rnn_zoo.models.keys_classifier import MULTI, REGRESSION, SINGLE
from rnn_zoo.tokenizers import build_bpe_tokenizer

V, K = 11, 3
AUTO = {
    CAUSAL_LM: AutoModelForCausalLM,
    TOKENS: AutoModelForTokenClassification,
    SEQUENCES: AutoModelForSequenceClassification,
}
NO_VOCABULARY = "no --vocab or --tokenizer: the checkpoint has no tokenizer, which other commands need"
TEXT = "all that glisters is not gold\n"
CLOSE = {"atol": 2e-6, "rtol": 1e-5}


class Net(nn.Module):
    """What tutorials have: an embedding, a recurrence, a linear layer."""

    def __init__(self, cell_type="lstm", outputs=K, *, pooling=None, hidden=None, vocab=V, embedding=E, **options):
        super().__init__()
        self.pooling = pooling
        self.embedding = nn.Embedding(vocab, embedding)
        kind = MODULES[cell_type]
        if kind is nn.RNN:
            options["nonlinearity"] = cell_type.removeprefix("rnn_")
        self.rnn = kind(embedding, H, batch_first=True, **{"num_layers": L} | options)
        features = H * (2 if self.rnn.bidirectional else 1) * (3 if pooling == "concat" else 1)
        self.hidden = nn.Linear(features, hidden) if hidden else None
        self.fc = nn.Linear(hidden or features, outputs)

    def forward(self, ids):
        y, state = self.rnn(self.embedding(ids))
        if self.pooling:
            h = state[0] if isinstance(state, tuple) else state
            last = torch.cat([h[-2], h[-1]], 1) if self.rnn.bidirectional else h[-1]
            mean, greatest = y.mean(1), y.max(1).values
            y = {"last": last, "mean": mean, "max": greatest, "concat": torch.cat([last, mean, greatest], 1)}[
                self.pooling
            ]
        return self.fc(y if self.hidden is None else torch.relu(self.hidden(y)))


def ids(*shape, vocab=V):
    return torch.randint(vocab, shape or (3, T))


def save(model: nn.Module, path: Path) -> Path:
    torch.save(model.state_dict(), path)
    return path


def imported(capfd, source: Path, out: Path, task: str, *flags):
    """The model that the command makes, and what it says beside."""
    capfd.readouterr()
    status = command("import", source, out, *flags)
    printed = capfd.readouterr()
    assert status == 0, printed.err
    said = printed.err.replace(f"rnn-zoo: {NO_VOCABULARY}\n", "")
    assert (said == printed.err) == ("--vocab" in flags or "--tokenizer" in flags)
    assert f"{task}: " in printed.out
    assert "outputs differ by" in printed.out
    return AUTO[task].from_pretrained(out).eval(), said


# ---- PyTorch: equal outputs ----
@pytest.mark.parametrize("cell_type", MODULES)
@pytest.mark.parametrize("task", IMPORTED)
def test_outputs_are_those_of_torch(cell_type, task, tmp_path, capfd):
    flags = ["--cell-type", cell_type]
    options = {}
    if task == CAUSAL_LM:
        options = {"outputs": V}
    else:
        options = {"bidirectional": True}
        flags += ["--task", task]
    if task == SEQUENCES:
        options["pooling"] = "last"
        flags += ["--pooling", "last"]
    net = Net(cell_type, **options)
    model, said = imported(capfd, save(net, tmp_path / "net.pt"), tmp_path / "out", task, *flags)
    x = ids()
    torch.testing.assert_close(model(x).logits, net(x), **CLOSE)
    assert said == ""
    assert model.config.cell_type == cell_type


@pytest.mark.parametrize("pooling", POOLED)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("hidden", [None, 4])
def test_poolings_are_those_of_torch(pooling, bidirectional, hidden, tmp_path, capfd):
    net = Net("gru", pooling=pooling, bidirectional=bidirectional, hidden=hidden)
    flags = ["--task", SEQUENCES, "--pooling", pooling]
    model, said = imported(capfd, save(net, tmp_path / "net.pt"), tmp_path / "out", SEQUENCES, *flags)
    x = ids()
    torch.testing.assert_close(model(x).logits, net(x), **CLOSE)
    assert ("ReLU" in said) == bool(hidden)
    assert model.config.problem_type == SINGLE


class Stacked(nn.Module):
    """Layers of different sizes and directions, each a module of its own."""

    def __init__(self, kind):
        super().__init__()
        self.words = nn.Embedding(V, E)
        self.first = kind(E, H, batch_first=True, bidirectional=True)
        self.second = kind(2 * H, 5, batch_first=True)
        self.third = kind(5, 7, batch_first=True, bidirectional=True, bias=False)
        self.out = nn.Linear(14, K)

    def forward(self, x):
        x = self.words(x)
        for layer in (self.first, self.second, self.third):
            x = layer(x)[0]
        return self.out(x)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_layers_of_different_sizes_and_directions(kind, tmp_path, capfd):
    net = Stacked(kind)
    source = save(net, tmp_path / "net.pt")
    model, said = imported(capfd, source, tmp_path / "out", TOKENS, "--task", TOKENS)
    x = ids()
    torch.testing.assert_close(model(x).logits, net(x), **CLOSE)
    assert "first -> second -> third" in said
    mask = torch.ones_like(x)
    mask[0, 4:] = 0  # the units that fill up a layer stay 0 on padded rows as well
    torch.testing.assert_close(model(x, attention_mask=mask).logits[0, :4], net(x[:1, :4])[0], **CLOSE)


def test_cells_in_a_loop(tmp_path, capfd):
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(V, E)
            self.cells = nn.ModuleList([nn.LSTMCell(E, H), nn.LSTMCell(H, H)])
            self.decoder = nn.Linear(H, V, bias=False)

        def forward(self, x):
            states, scores = [None, None], []
            for h in self.embed(x).unbind(1):
                for n, cell in enumerate(self.cells):
                    states[n] = cell(h, states[n])
                    h = states[n][0]
                scores.append(self.decoder(h))
            return torch.stack(scores, 1)

    net, x = Loop(), ids()
    model, _ = imported(capfd, save(net, tmp_path / "net.pt"), tmp_path / "out", CAUSAL_LM)
    torch.testing.assert_close(model(x).logits, net(x), **CLOSE)


@pytest.mark.parametrize("form", ["pytorch-crf", "TorchCRF", "tutorial", "ncrfpp"])
def test_a_crf_is_that_of_the_original(form, tmp_path, capfd):
    """Against all sequences of tags: the likelihood, and the best sequence."""
    net, steps = Net(outputs=(K := 5), bidirectional=True), 4
    own = form in ("pytorch-crf", "TorchCRF")
    A, first, last = torch.randn(K, K), torch.randn(K), torch.randn(K)
    if own:
        prefix = "crf."
        names = dict(zip(["transitions", "start_transitions", "end_transitions"], [A, first, last], strict=True))
        if form == "TorchCRF":
            names = dict(zip(["trans_matrix", "start_trans", "end_trans"], [A, first, last], strict=True))
    else:  # the last two tags are the beginning and the end
        prefix = "" if form == "tutorial" else "crf."
        A[:, 3] = A[4] = -10000.0
        first, last = A[3], A[:, 4]
        names = {"transitions": A.t() if form == "tutorial" else A}
    tensors = net.state_dict() | {prefix + name: scores for name, scores in names.items()}
    torch.save(tensors, tmp_path / "net.pt")
    model, said = imported(capfd, tmp_path / "net.pt", tmp_path / "out", TOKENS)
    assert ("taken for the beginning" in said) == (not own)
    x = ids(1, steps)
    (emissions,) = net(x).detach()
    paths = torch.cartesian_prod(*[torch.arange(K)] * steps)  # (K^T, T)
    scores = emissions[torch.arange(steps), paths].sum(1) + first[paths[:, 0]] + last[paths[:, -1]]
    scores = scores + A[paths[:, :-1], paths[:, 1:]].sum(1)
    best = paths[scores.argmax()]
    output = model(x, labels=best[None])
    assert output.logits.argmax(-1)[0].tolist() == best.tolist()
    torch.testing.assert_close(output.loss * steps, scores.logsumexp(0) - scores.max(), **CLOSE)


@pytest.mark.parametrize("form", ["awd-lstm-lm", "fastai", "fastai 0.7"])
def test_weights_behind_weight_dropout(form, tmp_path, capfd):
    """`weight_hh_l0_raw` is the weight, wherever it stands; the copy that was masked in training is not read."""
    net = nn.ModuleDict({"encoder": nn.Embedding(V, E), "one": nn.LSTM(E, H), "two": nn.LSTM(H, E)})
    decoder = nn.Linear(E, V)
    decoder.weight = net["encoder"].weight
    lead, out = ("", "") if form == "awd-lstm-lm" else ("0.", "1.")
    tensors = {f"{lead}encoder.weight": net["encoder"].weight, f"{out}decoder.weight": decoder.weight}
    tensors[f"{out}decoder.bias"] = decoder.bias
    for n, rnn in enumerate([net["one"], net["two"]]):
        for name, tensor in rnn.state_dict().items():
            tensors[f"{lead}rnns.{n}.module.{name}"] = tensor
        raw = "weight_hh_l0_raw" if form == "fastai" else "module.weight_hh_l0_raw"
        tensors[f"{lead}rnns.{n}.{raw}"] = rnn.weight_hh_l0
        masked = torch.nn.functional.dropout(rnn.weight_hh_l0, 0.5)
        tensors[f"{lead}rnns.{n}.module.weight_hh_l0"] = masked
        if form == "awd-lstm-lm":
            del tensors[f"{lead}rnns.{n}.module.weight_hh_l0"]
    copy = {"fastai": "0.encoder_dp.emb.weight", "fastai 0.7": "0.encoder_with_dropout.embed.weight"}.get(form)
    if copy:
        tensors[copy] = tensors["0.encoder.weight"].clone()
    torch.save({"model": tensors, "opt": {}} if form == "fastai" else tensors, tmp_path / "net.pth")
    model, _ = imported(capfd, tmp_path / "net.pth", tmp_path / "out", CAUSAL_LM)
    x = ids()
    y, _ = net["two"](net["one"](net["encoder"](x).transpose(0, 1))[0])
    torch.testing.assert_close(model(x).logits, decoder(y.transpose(0, 1)), **CLOSE)


def test_one_hot_inputs(tmp_path, capfd):
    net = nn.ModuleDict({"rnn": nn.GRU(V, H, batch_first=True), "fc": nn.Linear(H, V)})
    model, _ = imported(capfd, save(net, tmp_path / "net.pt"), tmp_path / "out", CAUSAL_LM, "--one-hot")
    x = ids()
    expected = net["fc"](net["rnn"](nn.functional.one_hot(x, V).float())[0])
    torch.testing.assert_close(model(x).logits, expected, **CLOSE)


@pytest.mark.parametrize("form", ["pt", "safetensors"])
def test_tied_weights_stay_tied(form, tmp_path, capfd):
    net = Net("gru", V, embedding=H)
    net.fc.weight = net.embedding.weight
    source = tmp_path / f"net.{form}"
    if form == "pt":
        save(net, source)
    else:
        save_model(net, source)  # leaves one of the two out
    model, _ = imported(capfd, source, tmp_path / "out", CAUSAL_LM)
    x = ids()
    torch.testing.assert_close(model(x).logits, net(x), **CLOSE)
    assert model.config.tie_word_embeddings
    assert model.lm_head.weight is model.model.embed_tokens.weight


def forms_of(state: dict) -> dict:
    """How the same weights are found on disks."""
    prefixed = {f"module.{name}": tensor for name, tensor in state.items()}
    return {
        "plain": state,
        "DataParallel": prefixed,
        "torch.compile": {f"_orig_mod.{name}": tensor for name, tensor in state.items()},
        "Lightning": {
            "epoch": 3,
            "pytorch-lightning_version": "2.5",
            "state_dict": {f"model.{name}": tensor for name, tensor in state.items()},
            "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}}],
            "hyper_parameters": {"hidden": H},
        },
        "training": {"model_state_dict": prefixed, "ema": state, "loss": 1.5},
        "own key": {"weights of mine": state, "chars": list("abc")},
        "double": {name: tensor.double() for name, tensor in state.items()},
    }


@pytest.mark.parametrize("form", [*forms_of({}), "safetensors"])
def test_forms_of_the_file(form, tmp_path, capfd):
    net = Net(outputs=V)
    if form == "safetensors":
        save_file(net.state_dict(), source := tmp_path / "net.safetensors")
    else:
        torch.save(forms_of(net.state_dict())[form], source := tmp_path / "net.ckpt")
    model, _ = imported(capfd, source, tmp_path / "out", CAUSAL_LM)
    x = ids()
    torch.testing.assert_close(model(x).logits, net(x), **CLOSE)


def test_names_say_what_shapes_do_not(tmp_path, capfd):
    """Nothing but the flags tells these parts from each other."""
    net = nn.ModuleDict(
        {
            "b": nn.Linear(H, H, bias=False),
            "a": nn.Embedding(H, H),
            "r": nn.GRU(H, H, batch_first=True),
            "unused": nn.LayerNorm(H),
        }
    )
    source, out = save(net, tmp_path / "net.pt"), tmp_path / "out"
    refused(capfd, tmp_path, "import", source, out, message="surplus unused.weight (8)")
    message = "which is the embedding, b or a? Say so with --embedding NAME"
    refused(capfd, tmp_path, "import", source, out, "--ignore", "unused", message=message)
    flags = ["--ignore", "unused", "--embedding", "a", "--head", "b", "--rnn", "r"]
    model, _ = imported(capfd, source, out, CAUSAL_LM, *flags)
    x = ids(vocab=H)
    torch.testing.assert_close(model(x).logits, net["b"](net["r"](net["a"](x))[0]), **CLOSE)


def test_the_order_of_two_linear_layers_is_seen_by_their_sizes(tmp_path, capfd):
    net = Net("gru", pooling="last", hidden=4)
    state = {name.replace("fc", "a").replace("hidden", "b"): tensor for name, tensor in net.state_dict().items()}
    save_file(state, tmp_path / "net.safetensors")
    flags = ["--task", SEQUENCES, "--pooling", "last"]
    model, said = imported(capfd, tmp_path / "net.safetensors", tmp_path / "out", SEQUENCES, *flags)
    x = ids()
    torch.testing.assert_close(model(x).logits, net(x), **CLOSE)
    assert "b -> a: taken to have ReLU" in said


def test_one_output_is_a_number_or_the_second_label(tmp_path, capfd):
    net, x = Net("lstm", 1, pooling="last"), ids()
    source, flags = save(net, tmp_path / "net.pt"), ["--task", SEQUENCES, "--pooling", "last"]
    refused(capfd, tmp_path, "import", source, tmp_path / "out", *flags, message=f"say --problem-type {REGRESSION}, or")
    model, _ = imported(capfd, source, tmp_path / "a", SEQUENCES, *flags, "--problem-type", REGRESSION)
    torch.testing.assert_close(model(x).logits, net(x), **CLOSE)
    model, _ = imported(capfd, source, tmp_path / "b", SEQUENCES, *flags, "--labels", "bad,good")
    torch.testing.assert_close(model(x).logits.softmax(-1)[:, 1:], net(x).sigmoid(), **CLOSE)
    assert model.config.id2label == {0: "bad", 1: "good"}
    assert model.config.problem_type == SINGLE


# ---- PyTorch: what has no counterpart ----
def broken(**changes) -> dict:
    """A state dict with other tensors in it; `None`: without."""
    state = dict(Net().state_dict())
    for name, tensor in changes.items():
        name = name.replace("__", ".")
        if tensor is None:
            del state[name]
        else:
            state[name] = tensor
    return state


def zero_crf(K):
    """The scores of a CRF over K tags, as `broken` takes them."""
    return {f"crf__{part}transitions": torch.zeros(K) for part in ("start_", "end_")} | {
        "crf__transitions": torch.zeros(K, K)
    }


MISTAKES = {
    "all at once": (
        broken(
            rnn__bias_hh_l1=None,
            rnn__weight_ih_l1=torch.zeros(32, 9),
            norm__weight=torch.ones(8),
            conv__weight=torch.ones(8, 8, 3),
            fc__mask=torch.ones(3),
        ),
        [],
        "5 without a counterpart: surplus fc.mask (3); surplus norm.weight (8); surplus conv.weight (8, 8, 3); missing "
        "rnn.bias_hh_l1; rnn.weight_ih_l1 (32, 9): must be (32, 8)",
    ),
    "missing layer": (broken(rnn__weight_hh_l0=None), [], "missing rnn.weight_hh_l0"),
    "a layer with an absurd number": (
        broken(rnn__weight_hh_l99999999=torch.ones(32, 8)),
        [],
        "missing rnn.weight_ih_l2",
    ),
    "no gates": (broken(rnn__weight_hh_l0=torch.zeros(16, 8)), [], "has neither 4 x (LSTM), 3 x (GRU) nor 1 x (RNN)"),
    "three dimensions": (broken(rnn__weight_hh_l0=torch.zeros(2, 4, 8)), [], "weight_hh_l0 (2, 4, 8)"),
    "no dimension": (broken(rnn__weight_ih_l0=torch.tensor(1.0)), [], "rnn.weight_ih_l0 (): must be (32, None)"),
    "projection": (
        nn.LSTM(E, H, proj_size=4).state_dict(),
        [],
        "weight_hr_l0 (4, 8): an LSTM with proj_size",
    ),
    "no recurrence": ({"fc.weight": torch.zeros(3, 8)}, [], "holds no recurrent layer"),
    "no embedding": (broken(embedding__weight=None), [], "no embedding with vectors of 6 features, as the recurrence"),
    "another embedding": (broken(embedding__weight=torch.zeros(V, 5)), [], "(embedding (11, 5) does not)"),
    "no head": (broken(fc__weight=None, fc__bias=None), [], "missing a linear layer behind the recurrence"),
    "a bias alone": (broken(fc__weight=None), [], "surplus fc.bias (3)"),
    "a head of another size": (
        broken(fc__weight=torch.zeros(3, 9)),
        [],
        "reads 9 features, but the recurrence gives 8",
    ),
    "three linear layers": (
        broken(
            more__weight=torch.zeros(3, 3),
            more__bias=torch.zeros(3),
            fd__weight=torch.zeros(3, 3),
            fd__bias=torch.zeros(3),
        ),
        [],
        "surplus fc (3, 8); surplus more (3, 3)",
    ),
    "half a CRF": (
        broken(crf__transitions=torch.zeros(3, 3), crf__end_transitions=torch.zeros(3)),
        [],
        "1 without a counterpart: missing crf.start_transitions",
    ),
    "a CRF of no square": (
        broken(crf__transitions=torch.zeros(3, 2)),
        [],
        "crf.transitions (3, 2): must be a square, from tag to tag",
    ),
    "a CRF of other tags": (
        broken(**zero_crf(4)),
        [],
        "crf has 4 tags, but the linear layer gives 3 scores",
    ),
    "a CRF of a classifier": (
        broken(**zero_crf(3)),
        ["--task", SEQUENCES, "--pooling", "last"],
        "task='sequence_classification': net.pt holds a CRF (crf), as taggers do",
    ),
    "no task": (broken(), [], "say --task causal_lm or token_classification or sequence_classification"),
    "no pooling": (broken(), ["--task", SEQUENCES], "say --pooling last, mean or max"),
    "another pooling": (
        broken(),
        ["--task", SEQUENCES, "--pooling", "concat"],
        "pooling='concat': the linear layer of net.pt reads what last or mean or max gives",
    ),
    "a language model of labels": (broken(), ["--task", CAUSAL_LM], "scores 3 tokens, but its embedding has 11"),
    "a language model of both directions": (
        Net(outputs=V, bidirectional=True).state_dict(),
        ["--task", CAUSAL_LM],
        "reads in both directions, so it would read what it is to predict",
    ),
    "another cell": (broken(), ["--cell-type", "gru"], "cell_type='gru': the weights of net.pt are those of 'lstm'"),
    "two kinds": (
        broken() | {f"gru.{n}": t for n, t in nn.GRU(H, H).state_dict().items()},
        [],
        "gru: a gru beside a lstm",
    ),
    "layers that do not fit": (
        broken() | {f"more.{n}": t for n, t in nn.LSTM(9, H).state_dict().items()},
        [],
        "a layer of 8 features is followed by one that reads 9",
    ),
    "a name that is not there": (broken(), ["--head", "gc"], "head='gc': there is no such one in net.pt (it has fc)"),
    "labels": (broken(), ["--task", TOKENS, "--labels", "a,b"], "there are 2, but net.pt has 3 outputs"),
    "the same label": (broken(), ["--task", TOKENS, "--labels", "a,a,b"], "must be different names"),
    "labels of a language model": (Net(outputs=V).state_dict(), ["--labels", "a,b"], "net.pt is a language model"),
    "not finite": (
        broken(fc__bias=torch.tensor([0.0, 1.0, float("nan")])),
        ["--task", TOKENS],
        "its weights are not finite",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_has_no_counterpart_is_named(mistake, tmp_path, capfd, monkeypatch):
    state, flags, message = MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    torch.save(state, "net.pt")
    refused(capfd, tmp_path, "import", "net.pt", "out", *flags, message=message)


class Touch:
    """A pickle of it writes a file when it is read carelessly."""

    def __reduce__(self):
        return (open, ("touched", "w"))


def test_nothing_but_tensors_is_unpickled(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plain.pt").write_bytes(pickle.dumps({"rnn.weight": Touch()}, protocol=2))
    torch.save({"rnn.weight": Touch()}, "zip.pt")
    torch.save(Net(), "module.pt")
    torch.save([1, 2], "list.pt")
    torch.save({"a": Net().state_dict(), "b": Net().state_dict()}, "two.pt")
    Path("empty.pt").touch()
    Path("text.pt").write_text("weights")
    Path("short.pt").write_bytes(Path("list.pt").read_bytes()[:-50])
    Path("text.safetensors").write_text("weights")
    way_out = 'torch.save(model.state_dict(), "weights.pt")'
    for name, message in {
        "plain.pt": way_out,
        "zip.pt": way_out,
        "module.pt": "only tensors are read (torch.load with weights_only=True), as a pickle can run code, and it asks "
        f"for test_import.Net; where the code of the model is, save its tensors alone: {way_out}",
        "list.pt": "holds no state_dict but a list",
        "two.pt": "holds several state_dicts (a, b)",
        "empty.pt": "empty.pt: is no file that torch.save has written whole",
        "text.pt": way_out,
        "short.pt": way_out,
        "text.safetensors": "not a safetensors file",
        "nowhere.pt": "nowhere.pt: No such file or directory",
        ".": "Is a directory",
    }.items():
        refused(capfd, tmp_path, "import", name, "out", message=message)
    assert not Path("touched").exists()


# ---- the folder ----
def test_nothing_is_lost_in_the_folder(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = Net(outputs=V)
    save(net, Path("net.pt"))
    Path("file").write_text("mine")
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    refused(capfd, tmp_path, "import", "net.pt", "file", message="file: is a file or a link")
    for flags in ([], ["--overwrite"]):
        refused(capfd, tmp_path, "import", "net.pt", "mine", *flags, message="holds something else than a checkpoint")
    imported(capfd, Path("net.pt"), Path("out"), CAUSAL_LM)
    refused(capfd, tmp_path, "generate", "out", message="out: holds no tokenizer")
    refused(capfd, tmp_path, "import", "net.pt", "out", message="add --overwrite")
    Path("out/notes.txt").write_text("mine")
    refused(capfd, tmp_path, "import", "net.pt", "out", "--overwrite", message="more than a checkpoint (notes.txt)")
    Path("out/notes.txt").unlink()
    save(Net("gru", V), Path("net.pt"))
    with monkeypatch.context() as patch:  # at the last moment
        patch.setattr(checkpoint, "TOLERANCE", -1.0)
        refused(capfd, tmp_path, "import", "net.pt", "out", "--overwrite", message="so nothing was written")
    model, _ = imported(capfd, Path("net.pt"), Path("out"), CAUSAL_LM, "--overwrite")
    assert model.config.cell_type == "gru"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine", "net.pt", "out"]
    card = Path("out/README.md").read_text(encoding="utf-8")
    assert "`net.pt`" in card
    assert "- gru" in card


# ---- vocabularies ----
def write_json(path: Path, value) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.parametrize("form", ["list", "string", "ids by character", "characters by id"])
def test_a_vocabulary_of_characters(form, tmp_path, capfd):
    characters = sorted(set(TEXT))
    net = Net("gru", len(characters), vocab=len(characters))
    value = {
        "list": characters,
        "string": "".join(characters),
        "ids by character": {c: n for n, c in enumerate(characters)},
        "characters by id": dict(enumerate(characters)),
    }[form]
    vocab = write_json(tmp_path / "chars.json", value)
    flags = ["--vocab", vocab, "--unit", "char"]
    model, _ = imported(capfd, save(net, tmp_path / "net.pt"), tmp_path / "out", CAUSAL_LM, *flags)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    x = torch.tensor([[characters.index(c) for c in TEXT]])
    assert tokenizer(TEXT)["input_ids"] == x[0].tolist()
    assert tokenizer.decode(x[0]) == TEXT
    # The four tokens that were added are read as nothing and never written.
    logits = model(x).logits
    assert logits.shape[-1] == len(tokenizer) == len(characters) + 4
    torch.testing.assert_close(logits[..., :-4], net(x), **CLOSE)
    assert torch.equal(logits.softmax(-1)[..., -4:], torch.zeros(1, len(TEXT), 4))
    assert model.model.embed_tokens.weight[-4:].count_nonzero() == 0
    shown = printed_by(capfd, "generate", tmp_path / "out", "--seed", 1, "--max-new-tokens", 200)
    assert len(shown) == 201
    assert set(shown) <= set(characters)
    assert model.generation_config.bos_token_id == characters.index("\n")
    sent, left = files_for_others(tmp_path / "out")  # as `rnn-zoo push` does
    assert "README.md" in sent
    assert left == []


def test_a_vocabulary_of_words_with_its_own_special_tokens(tmp_path, capfd):
    """As torch's example `word_language_model` has: a line end is <eos>."""
    tokens = ["<eos>", "all", "that", "glisters", "[UNK]", "<Pad>"]
    net = Net("lstm", len(tokens), vocab=len(tokens))
    (tmp_path / "words.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    flags = ["--vocab", tmp_path / "words.txt", "--unit", "word", "--lowercase"]
    model, _ = imported(capfd, save(net, tmp_path / "net.pt"), tmp_path / "out", CAUSAL_LM, *flags)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("All that gold\nall")["input_ids"] == [1, 2, 4, 0, 1]
    assert (tokenizer.pad_token, tokenizer.eos_token, tokenizer.bos_token) == ("<Pad>", "<eos>", "<bos>")
    assert len(tokenizer) == model.config.vocab_size == len(tokens) + 1
    assert model.config.pad_token_id == 5
    assert command("generate", tmp_path / "out", "--prompt", "all", "--max-new-tokens", 5) == 0


def test_a_vocabulary_for_keras(tmp_path, capfd):
    """`TextVectorization.get_vocabulary()`: padding is "", and ids that begin at 1 leave 0 for it."""
    for name, value in {"list": ["", "[UNK]", "fine", "film"], "ids": {"[UNK]": 1, "fine": 2, "film": 3}}.items():
        net = Net("gru", K, vocab=4, pooling="last")
        vocab = write_json(tmp_path / f"{name}.json", value)
        flags = ["--task", SEQUENCES, "--pooling", "last", "--vocab", vocab, "--unit", "keras"]
        model, _ = imported(capfd, save(net, tmp_path / "net.pt"), tmp_path / name, SEQUENCES, *flags)
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / name)
        assert tokenizer("A FINE, fine film!\n<pad>'s-film")["input_ids"] == [1, 2, 2, 3, 1]
        assert model.config.pad_token_id == 0
        shown = printed_by(capfd, "classify", tmp_path / name, "Fine film.")
        assert shown.endswith("\tFine film.\n")


def test_a_tagger_with_words_and_labels(tmp_path, capfd):
    net = Net("lstm", K, vocab=5, bidirectional=True)
    (tmp_path / "words.txt").write_text("<pad>\n<unk>\nPune\nSita\nin\n", encoding="utf-8")
    (tmp_path / "tags.txt").write_text("O\nB-PER\nB-LOC\n", encoding="utf-8")
    flags = [
        "--task",
        TOKENS,
        "--vocab",
        tmp_path / "words.txt",
        "--unit",
        "wordpunct",
        "--labels",
        tmp_path / "tags.txt",
    ]
    model, _ = imported(capfd, save(net, tmp_path / "net.pt"), tmp_path / "out", TOKENS, *flags)
    best = net(torch.tensor([[3, 4, 2, 1]])).argmax(-1)[0].tolist()
    found = json.loads(printed_by(capfd, "tag", tmp_path / "out", "Sita in Pune.", "--json"))["entities"]
    assert [entity["type"] for entity in found] == [("", "PER", "LOC")[n] for n in best if n]
    assert model.token_kinds.kinds.tolist()[:2] == [2, 1]  # padding is no word


def test_a_tokenizer_of_ones_own(tmp_path, capfd):
    tokenizer = build_bpe_tokenizer([TEXT * 3], vocab_size=270)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    net = Net("gru", len(tokenizer), vocab=len(tokenizer))
    source = save(net, tmp_path / "net.pt")
    for n, place in enumerate(["tokenizer", "tokenizer/tokenizer.json"]):
        model, _ = imported(capfd, source, tmp_path / str(n), CAUSAL_LM, "--tokenizer", tmp_path / place)
        opened = AutoTokenizer.from_pretrained(tmp_path / str(n))
        assert opened(TEXT)["input_ids"] == tokenizer(TEXT)["input_ids"]
        assert model.config.vocab_size == len(tokenizer)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "0").generation_config.eos_token_id == tokenizer.eos_token_id


VOCABULARIES = {
    "too few": (list("abc"), "the vocabulary has 3 tokens, but the embedding of net.pt 11"),
    "no single character": ([*"abcdefghij", "kl"], "'kl' (id 10) is no single character"),
    "twice": ([*"abcdefghija"], "has 'a' twice"),
    "a gap": ({c: n + (n > 3) for n, c in enumerate("abcdefghijk")}, "but 4 is followed by 'e' = 5"),
    "an id twice": ({"a": 0, "b": 0}, "but 1 is followed by 'b' = 0"),
    "not from 0": ({"a": 3, "b": 4}, "but 0 is followed by 'a' = 3"),
    "numbers": ([1, 2], "must hold a list of tokens, a string of characters, or an object"),
    "true": ({"a": True}, "must hold a list of tokens"),
    "nothing": ([], "is empty"),
}


@pytest.mark.parametrize("mistake", VOCABULARIES)
def test_a_vocabulary_that_does_not_fit(mistake, tmp_path, capfd, monkeypatch):
    value, message = VOCABULARIES[mistake]
    monkeypatch.chdir(tmp_path)
    save(Net("gru", V), Path("net.pt"))
    write_json(Path("vocab.json"), value)
    refused(capfd, tmp_path, "import", "net.pt", "out", "--vocab", "vocab.json", "--unit", "char", message=message)


def test_wrong_flags_of_the_vocabulary(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(Net("gru", V), Path("net.pt"))
    Path("vocab.json").write_text("{", encoding="utf-8")
    Path("empty").mkdir()
    for flags, message in [
        (["--vocab", "vocab.json"], "vocab: needs --unit"),
        (["--unit", "char"], "--unit and --lowercase need --vocab"),
        (["--vocab", "vocab.json", "--unit", "char"], "vocab.json: not readable as JSON"),
        (["--vocab", "nowhere.json", "--unit", "char"], "nowhere.json: No such file"),
        (["--tokenizer", "nowhere"], "tokenizer='nowhere': there is no such folder or file"),
        (["--tokenizer", "vocab.json"], "tokenizer='vocab.json': cannot be opened"),
        (["--tokenizer", "empty"], "tokenizer='empty': cannot be opened"),
        (["--tokenizer", "empty", "--vocab", "vocab.json", "--unit", "char"], "or --vocab with --unit, not both"),
        (["--task", "translation"], "invalid choice: 'translation'"),
    ]:
        refused(capfd, tmp_path, "import", "net.pt", "out", *flags, message=message)


def test_names_of_special_tokens_are_told_apart():
    names = [name for group in NAMES.values() for name in group]
    assert len(names) == len(set(names))
    assert all(name == name.casefold() for name in names)


# ---- Keras ----
@pytest.fixture(scope="module")
def keras_folder(tmp_path_factory) -> Path:
    """The files of `keras_models.py`, written by the real Keras on torch, in a process of its own."""
    folder = tmp_path_factory.mktemp("keras")
    environment = os.environ | {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1", "KERAS_HOME": str(folder / "home")}
    argv = [sys.executable, keras_models.__file__, str(folder)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def same_form(logits: torch.Tensor, model, last: str) -> torch.Tensor:
    """Our logits as what Keras's last layer gives."""
    if last == "softmax":
        return logits.softmax(-1)
    if last == "sigmoid":
        return logits.sigmoid() if model.config.problem_type == MULTI else logits.softmax(-1)[..., 1:]
    return logits


TASKS = dict.fromkeys(keras_models.MODELS, SEQUENCES)
TASKS |= {name: CAUSAL_LM for name in TASKS if name.startswith("lm_")}
TASKS |= {name: TOKENS for name in TASKS if name.startswith("tagger")}
LAST = dict.fromkeys(keras_models.MODELS, "softmax") | dict.fromkeys(["lm_window", "logits", "relu"], "linear")
LAST |= dict.fromkeys(["tagger_gru", "binary", "several"], "sigmoid")


@pytest.mark.ci
@pytest.mark.parametrize("name", keras_models.MODELS)
def test_outputs_are_those_of_keras(name, keras_folder, tmp_path, capfd):
    model, _ = imported(capfd, keras_folder / f"{name}.keras", tmp_path / "out", TASKS[name])
    inputs, outputs = (dict(np.load(keras_folder / f"{file}.npz")) for file in ("inputs", name))
    masked = name in keras_models.MASKED
    assert model.config.pad_token_id == (0 if masked else None)
    for kind in inputs:
        x = torch.from_numpy(inputs[kind])
        # Without mask_zero Keras reads padding as text, as ours does where no mask is given.
        found = model(x, attention_mask=(x != 0).long() if masked else None).logits
        found = same_form(found[:, -1] if name == "lm_window" else found, model, LAST[name])
        expected = torch.from_numpy(outputs[kind])
        real = x != 0 if masked and found.dim() == 3 else torch.ones(found.shape[:-1], dtype=torch.bool)
        torch.testing.assert_close(found[real], expected[real], **CLOSE)
    assert "keras" not in sys.modules


@pytest.mark.ci
@pytest.mark.parametrize("name", keras_models.MODELS)
def test_weights_alone_with_flags_are_the_whole_model(name, keras_folder, tmp_path, capfd):
    whole, _ = imported(capfd, keras_folder / f"{name}.keras", tmp_path / "whole", TASKS[name])
    flags = ["--task", TASKS[name]]
    if TASKS[name] == SEQUENCES:
        flags += ["--pooling", whole.config.pooling]
        flags += ["--problem-type", whole.config.problem_type]
    if whole.config.cell_type == "rnn_relu":
        flags += ["--cell-type", "rnn_relu"]
    model, _ = imported(capfd, keras_folder / f"{name}.weights.h5", tmp_path / "out", TASKS[name], *flags)
    x = ids(3, T, vocab=keras_models.V)
    assert torch.equal(model(x).logits, whole(x).logits)


@pytest.mark.ci
@pytest.mark.parametrize("name", [name for name in keras_models.OLDER if name in keras_models.MODELS])
def test_a_whole_model_in_the_older_format_is_the_same(name, keras_folder, tmp_path, capfd):
    """Also as Keras 2 wrote it: layers in a list or a dictionary, defaults left out, names with `:0`, weights alone."""
    new, _ = imported(capfd, keras_folder / f"{name}.keras", tmp_path / "new", TASKS[name])
    old, _ = imported(capfd, keras_folder / f"{name}.h5", tmp_path / "old", TASKS[name])
    as_keras_2(keras_folder / f"{name}.h5", tmp_path / "two.h5")
    two, _ = imported(capfd, tmp_path / "two.h5", tmp_path / "out", TASKS[name])
    weights = {key: tensor for key, tensor in new.state_dict().items() if "inv_freq" not in key}
    with h5py.File(tmp_path / "two.h5") as whole, h5py.File(tmp_path / "alone.h5", "w") as alone:
        alone.attrs["layer_names"] = [
            layer["config"]["name"] for layer in json.loads(whole.attrs["model_config"])["config"]
        ]
        for layer in alone.attrs["layer_names"]:
            whole.copy(f"model_weights/{layer}", alone)
    flags = ["--task", TASKS[name], *(["--pooling", "last"] if TASKS[name] == SEQUENCES else [])]
    flags += ["--problem-type", SINGLE] if name == "binary" else []
    alone, _ = imported(capfd, tmp_path / "alone.h5", tmp_path / "alone", TASKS[name], *flags)
    for model in (old, two, alone):
        torch.testing.assert_close(model.state_dict(), weights, rtol=0, atol=0)
        assert model.config.pad_token_id in (
            new.config.pad_token_id,
            None if model is alone else new.config.pad_token_id,
        )


def as_keras_2(source: Path, target: Path) -> None:
    """A file of Keras 3 in the older format, as Keras 2 would have written it."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        config = json.loads(old.attrs["model_config"])
        layers = config["config"]["layers"]
        is_list = config["class_name"] == "Sequential"
        layers = [layer for layer in layers if not is_list or layer["class_name"] != "InputLayer"]
        for layer in layers:
            layer.pop("module", None)
            if not is_list:
                sources = [name for node in layer["inbound_nodes"] for name in inputs_of(node)]
                layer["inbound_nodes"] = [[[name, 0, 0, {}] for name in sources]] if sources else []
            layer["config"].pop("backward_layer", None)
            one = layer["config"].get("layer", layer)
            if not one["config"].get("reset_after"):
                one["config"].pop("reset_after", None)
            if layer["class_name"] == "Embedding" and not layer["config"]["mask_zero"]:
                del layer["config"]["mask_zero"]
        config["config"] = layers if is_list else config["config"] | {"layers": layers}
        new.attrs["model_config"] = json.dumps(config).encode()
        new.attrs["keras_version"] = b"2.2.2"
        for name, group in old["model_weights"].items():
            written = new.create_group(f"model_weights/{name}")
            names = [f"{name}:0" for name in group.attrs.get("weight_names", [])]
            written.attrs["weight_names"] = [name.encode() for name in names]
            for place in names:
                written[place] = np.array(group[place.removesuffix(":0")])


@pytest.mark.ci
def test_functional_models_and_weights_of_a_class(keras_folder, tmp_path, capfd):
    x = torch.from_numpy(np.load(keras_folder / "inputs.npz")["ids"])
    expected = torch.from_numpy(np.load(keras_folder / "functional.npz")["ids"])
    as_keras_2(keras_folder / "functional.h5", tmp_path / "functional_2.h5")
    for source in (keras_folder / "functional.keras", keras_folder / "functional.h5", tmp_path / "functional_2.h5"):
        model, _ = imported(capfd, source, tmp_path / source.name.replace(".", "_"), SEQUENCES)
        torch.testing.assert_close(model(x).logits.softmax(-1), expected, **CLOSE)
    flags = ["--task", SEQUENCES, "--pooling", "last"]
    model, _ = imported(capfd, keras_folder / "own.weights.h5", tmp_path / "b", SEQUENCES, *flags)
    torch.testing.assert_close(model(x).logits, torch.from_numpy(np.load(keras_folder / "own.npz")["ids"]), **CLOSE)
    model, _ = imported(capfd, keras_folder / "one_hot.keras", tmp_path / "c", CAUSAL_LM, "--one-hot")
    expected = torch.from_numpy(np.load(keras_folder / "one_hot.npz")["ids"])
    torch.testing.assert_close(model(x).logits[:, -1].softmax(-1), expected, **CLOSE)


@pytest.mark.ci
def test_a_stateful_model_is_carried_on_by_its_state(keras_folder, tmp_path, capfd):
    model, said = imported(capfd, keras_folder / "stateful.keras", tmp_path / "out", CAUSAL_LM)
    assert "stateful" in said
    x = torch.from_numpy(np.load(keras_folder / "inputs.npz")["ids"])
    expected = np.load(keras_folder / "stateful.npz")
    first = model(x[:, :3])
    second = model(x[:, 3:], cache_params=first.cache_params)
    torch.testing.assert_close(first.logits, torch.from_numpy(expected["first"]), **CLOSE)
    torch.testing.assert_close(second.logits, torch.from_numpy(expected["second"]), **CLOSE)


@pytest.mark.ci
@pytest.mark.parametrize("name", keras_models.UNSUPPORTED)
def test_layers_without_a_counterpart_are_named(name, keras_folder, tmp_path, capfd):
    for message in keras_models.UNSUPPORTED[name][1]:
        refused(capfd, tmp_path, "import", keras_folder / f"{name}.keras", tmp_path / "out", message=message)


@pytest.mark.ci
def test_other_models_of_keras_are_named(keras_folder, tmp_path, capfd):
    labelled = ["--task", SEQUENCES]
    for name, flags, message in [
        ("branches.keras", [], "Concatenate 'both' is called with reader, lstm"),
        ("outputs.keras", [], "has 2 outputs; only a chain of layers has a counterpart"),
        ("own.keras", [], "is a Own; only Sequential and Functional models say what they compute"),
        ("one_hot.keras", [], "has no Embedding; if its inputs are one-hot vectors, add --one-hot"),
        ("logits.keras", ["--one-hot"], "has an Embedding"),
        ("logits.keras", ["--task", TOKENS], "are those of sequence_classification"),
        ("logits.keras", ["--pooling", "mean"], "says by itself what its layers are"),
        ("lm_lstm.keras", ["--labels", "a,b"], "is a language model"),
        ("several.keras", ["--problem-type", SINGLE], "ends in a sigmoid, which is multi_label_classification"),
        ("two_kinds.weights.h5", labelled, "beside a"),
    ]:
        refused(capfd, tmp_path, "import", keras_folder / name, tmp_path / "out", *flags, message=message)


@pytest.mark.ci
def test_padding_of_a_keras_vocabulary(keras_folder, tmp_path, capfd):
    source, tokens = keras_folder / "binary.keras", [*"abcdefghijk"]
    vocab = write_json(tmp_path / "vocab.json", tokens)
    flags = ["--vocab", vocab, "--unit", "word", "--labels", "neg,pos"]
    message = "masks the id 0, but the vocabulary has 'a' there, no padding"
    refused(capfd, tmp_path, "import", source, tmp_path / "out", *flags, message=message)
    write_json(vocab, ["", *tokens[1:]])
    model, _ = imported(capfd, source, tmp_path / "out", SEQUENCES, *flags)
    assert model.config.pad_token_id == 0
    alone = printed_by(capfd, "classify", tmp_path / "out", "b c")
    (tmp_path / "texts.txt").write_text("b c\nd e f b b\n")
    assert printed_by(capfd, "classify", tmp_path / "out", "--file", tmp_path / "texts.txt").startswith(alone)


def changed_zip(source: Path, target: Path, **files: bytes | None) -> Path:
    """A copy of a `.keras` file with other contents; `None`: without."""
    new = {name.replace("__", "."): content for name, content in files.items()}
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as file:
        for name in old.namelist():
            content = new.get(name, old.read(name))
            if content is not None:
                file.writestr(name, content)
    return target


@pytest.mark.ci
def test_damaged_files_of_keras(keras_folder, tmp_path, capfd):
    source = keras_folder / "logits.keras"
    with zipfile.ZipFile(source) as file:
        config, weights = json.loads(file.read("config.json")), file.read("model.weights.h5")
    del config["config"]["layers"][1]["config"]["input_dim"]
    wider = json.loads(json.dumps(config))
    wider["config"]["layers"][1]["config"]["input_dim"] = 12
    for content, message in [
        ({"config__json": b"{"}, "is damaged, or no file of Keras"),
        ({"config__json": b"[" * 100_000}, "is damaged, or no file of Keras"),
        ({"config__json": b"[1]"}, "config.json is not that of a Keras 3 model"),
        ({"config__json": b'{"class_name": "Sequential", "config": {}}'}, "config.json is not that of a Keras 3 model"),
        ({"config__json": json.dumps(config).encode()}, "config.json is not that of a Keras 3 model"),
        ({"config__json": json.dumps(wider).encode()}, "has the shapes (11, 6), not (12, 6)"),
        ({"model__weights__h5": None}, "holds no model.weights.h5"),
        ({"model__weights__h5": b"weights"}, "is damaged, or no HDF5 file"),
        ({"model__weights__h5": weights[:600]}, "is damaged, or no HDF5 file"),
    ]:
        broken = changed_zip(source, tmp_path / "broken.keras", **content)
        refused(capfd, tmp_path, "import", broken, tmp_path / "out", message=message)
    (tmp_path / "broken.keras").write_bytes(source.read_bytes()[:-300])
    refused(capfd, tmp_path, "import", tmp_path / "broken.keras", tmp_path / "out", message="broken.keras")


def test_no_data_from_outside_of_the_file_are_read(tmp_path, capfd):
    """Links are not followed, external and virtual data refused, sizes that the file does not hold not allocated."""
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["vars/0"] = np.ones((V, E), "float32")

    def write(name, fill) -> Path:
        with h5py.File(tmp_path / name, "w") as file:
            fill(file)
        return tmp_path / name

    def linked(file):
        file["layers/embedding"] = h5py.ExternalLink("other.h5", "/")
        file["layers/lstm"] = h5py.SoftLink("/layers")

    def external(file):
        place = [(str(tmp_path / "other.h5"), 0, V * E * 4)]
        file.create_dataset("layers/embedding/vars/0", (V, E), "float32", external=place)

    def virtual(file):
        layout = h5py.VirtualLayout((V, E), "float32")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "vars/0", (V, E))
        file.create_virtual_dataset("layers/embedding/vars/0", layout)

    def huge(file):
        file.create_dataset("layers/embedding/vars/0", (10**9, 10**6), "float32", chunks=(10**3, 10**3))

    def text(file):
        file["layers/embedding/vars/0"] = "weights"

    for fill, message in [
        (linked, "holds no recurrent layer"),
        (external, "are in another file, which is not read"),
        (virtual, "are in another file, which is not read"),
        (huge, "claims 4,000,000,000,000,000 bytes, which the file does not hold"),
        (text, "holds object, not floating-point numbers"),
    ]:
        source = write(f"{fill.__name__}.weights.h5", fill)
        refused(capfd, tmp_path, "import", source, tmp_path / "out", message=message)


@pytest.mark.ci
def test_without_h5py_it_is_named(keras_folder, tmp_path, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    message = 'reading Keras needs h5py: pip install "rnn-zoo[keras]"'
    refused(capfd, tmp_path, "import", keras_folder / "logits.keras", tmp_path / "out", message=message)


# ---- the documentation ----
@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_the_examples_of_the_page_run_in_order(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("input.txt").write_text(TEXT * 20, encoding="utf-8")
    names: dict = {}
    blocks = examples("import.md")
    assert len(blocks) > 2
    for n, block in enumerate(blocks):
        exec(compile(block, "docs/import.md", "exec"), names)
        if n == 0:
            assert command("import", "char_rnn.pt", "char_rnn", "--vocab", "chars.json", "--unit", "char") == 0
    assert printed_by(capfd, "generate", "char_rnn", "--prompt", "all", "--max-new-tokens", 9)
