"""On a CUDA device: cuDNN's kernels against the CPU, weights in one piece of memory, training in low precision."""

import copy
import math
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from conftest import pad_rows, random_ids
from test_models import build
from test_regularization import a_batch, make_trainer
from test_regularization import make_model as build_classifier
from test_seq2seq import build as build_seq2seq
from test_trainer import losses, train
from toy_heads import TOY_HEADS
from toy_heads import build as build_head

from rnn_zoo import CELLS
from rnn_zoo.models.scan import linear_loop, linear_scan
from rnn_zoo.models.scan_triton import refusal_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """float32 products as on the CPU, not in TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


@pytest.fixture(autouse=True)
def one_piece_of_memory():
    """cuDNN warns when it has to copy scattered weights at each call; here that is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*single contiguous chunk.*")
        yield


def run(cell, x, state, mask):
    y, new = cell(x, state, mask)
    (y.square().sum() + sum(s.sum() for s in new)).backward()
    return [y, *new, *(p.grad for p in cell.parameters()), x.grad]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("cell_type", CELLS)
def test_cudnn_equals_the_cpu(cell_type, training, masked):
    """Outputs, state and gradients; gradients in evaluation mode too."""
    on_cpu = CELLS[cell_type](6, 8).train(training)
    on_gpu = copy.deepcopy(on_cpu).cuda()
    x = torch.randn(3, 7, 6)
    state = tuple(torch.randn(3, *shape) for shape in on_cpu.state_shapes())
    mask = torch.tensor([[1] * 7, [0, 0, 1, 1, 1, 1, 1], [1, 0, 1, 1, 0, 0, 0]], dtype=torch.bool) if masked else None
    expected = run(on_cpu, x.clone().requires_grad_(), state, mask)
    given = x.cuda().requires_grad_()
    found = run(on_gpu, given, tuple(s.cuda() for s in state), None if mask is None else mask.cuda())
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.cpu(), b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("cell_type", [name for name, cell in CELLS.items() if cell.recurrent_weights])
def test_weights_stay_in_one_piece(cell_type):
    """After moving, loading, and with dropped weights: the fixture makes cuDNN's warning an error."""
    cell = CELLS[cell_type](6, 8, recurrent_weight_dropout=0.5 if CELLS[cell_type].recurrent_weights else 0.0).cuda()
    x = torch.randn(3, 7, 6, device="cuda")
    for training in (True, False):
        cell.train(training)
        cell(x)
    cell.load_state_dict(copy.deepcopy(cell.state_dict()), assign=True)
    cell(x)
    cell.cpu().cuda()
    cell(x)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 5), (2, 64, 32), (2, 200, 70), (1, 1000, 1024)])
def test_a_scan_in_triton_is_the_plain_loop(shape):
    """Also its first and second derivatives, of contiguous tensors and of others."""
    B, T, H = shape
    leaves = [torch.rand(T, B, H), torch.randn(T, B, H), torch.randn(B, H)]
    leaves = [leaf.cuda().requires_grad_() for leaf in leaves]
    assert refusal_of(leaves[0]) is None
    results = []
    for way in (linear_scan, linear_loop):
        y = way(leaves[0].transpose(0, 1), leaves[1].transpose(0, 1), leaves[2])
        once = torch.autograd.grad(y.square().sum(), leaves, retain_graph=True)
        grads = torch.autograd.grad(y.square().sum(), leaves, create_graph=True)
        results.append([y, *once, *grads, *torch.autograd.grad(sum(g.square().sum() for g in grads), leaves)])
    for got, expected in zip(*results, strict=True):
        scale = expected.abs().max()
        torch.testing.assert_close(got / scale, expected / scale, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_scan_of_half_precision_sums_up_in_single(dtype):
    a, b, h = torch.full((2, 3000, 8), 0.999), torch.ones(2, 3000, 8), torch.zeros(2, 8)
    expected = linear_loop(*(s.to(dtype).double() for s in (a, b, h)))
    found = linear_scan(*(s.to(dtype).cuda() for s in (a, b, h)))
    assert found.dtype == dtype
    torch.testing.assert_close(found.cpu().double(), expected, rtol=0.02, atol=0.02)


def test_what_no_kernel_computes_is_told_and_computed():
    a, b, h = (torch.rand(2, *time, 3, dtype=torch.float64, device="cuda") for time in ((9,), (9,), ()))
    assert "float64" in str(refusal_of(a))
    torch.testing.assert_close(linear_scan(a, b, h), linear_loop(a, b, h))


@pytest.mark.parametrize("kind", ["tagger", "crf"])
def test_a_tagger_equals_the_cpu(kind):
    """Logits, marginals, loss and gradients, with characters and affixes."""
    sizes = {"character_vocab_size": 9, "character_hidden_size": 6, "affix_length": 2}
    on_cpu = build(kind, **sizes).float()
    on_gpu = copy.deepcopy(on_cpu).cuda()
    ids, mask = pad_rows([random_ids(n) for n in (7, 4, 1)])
    letters = torch.randint(1, 9, (3, 7, 5)) * mask[..., None]
    inputs = {"input_ids": ids, "attention_mask": mask, "character_ids": letters}
    inputs["labels"] = torch.randint(3, (3, 7)).masked_fill(mask == 0, -100)
    results = []
    for model, device in ((on_cpu, "cpu"), (on_gpu, "cuda")):
        given = {name: tensor.to(device) for name, tensor in inputs.items()}
        outputs = model(**given)
        outputs.loss.backward()
        marginals = model(**given, output_marginals=True).logits
        results.append([outputs.loss, outputs.logits, marginals, *(p.grad for p in model.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(b.cpu(), a, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "extras",
    [
        {"pooling": "concat", "bidirectional": True},
        {"pooling": "self_attentive", "attention_penalty": 0.5, "bidirectional": True},
        {"pooling": "last", "backprop_length": 3, "class_weights": [0.5, 1, 2], "label_smoothing": 0.1},
        {"pooling": "attention", "hierarchical": True, "sentence_end_token_ids": [5, 6], "bidirectional": True},
    ],
    ids=lambda extras: extras["pooling"],
)
def test_a_classifier_equals_the_cpu(extras):
    """Logits, loss and gradients in training, of padded texts, one of them empty."""
    on_cpu = build("classifier", **{"bidirectional": False} | extras).float().train()
    on_gpu = copy.deepcopy(on_cpu).cuda()
    ids, mask = pad_rows([random_ids(n) for n in (7, 4, 1, 0)])
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([0, 2, -100, 1])}
    results = []
    for model, device in ((on_cpu, "cpu"), (on_gpu, "cuda")):
        outputs = model(**{name: tensor.to(device) for name, tensor in inputs.items()})
        outputs.loss.backward()
        results.append([outputs.loss, outputs.logits, *(p.grad for p in model.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(b.cpu(), a, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("extras", [{}, {"decoder_layers": 2, "attention_layer": 1}, {"input_feeding": True}])
def test_a_translator_equals_the_cpu(extras):
    """Logits, loss, gradients and what 3 beams write, for padded sources and targets."""
    on_cpu = build_seq2seq(**extras).float()
    on_gpu = copy.deepcopy(on_cpu).cuda()
    ids, mask = pad_rows([random_ids(n) for n in (7, 4, 1)])
    targets, real = pad_rows([random_ids(n) for n in (5, 3, 2)])
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": targets.masked_fill(real == 0, -100)}
    results, texts = [], []
    for model, device in ((on_cpu, "cpu"), (on_gpu, "cuda")):
        given = {name: tensor.to(device) for name, tensor in inputs.items()}
        outputs = model(**given)
        outputs.loss.backward()
        results.append([outputs.loss, outputs.logits[real.bool()], *(p.grad for p in model.parameters())])
        given.pop("labels")
        texts.append(model.generate(**given, num_beams=3, max_new_tokens=6).cpu())
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(b.cpu(), a, atol=1e-4, rtol=1e-4)
    assert torch.equal(*texts)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("task", TOY_HEADS)
def test_a_pass_does_not_wait_for_the_device(task, masked):
    """Forward and backward, once weights and tables are where they stay."""
    model = build_head(task).float().cuda().train()
    batch = TOY_HEADS[task].batch([random_ids(n) for n in ((7, 4, 1) if masked else (7, 7, 7))])
    if not masked:
        del batch["attention_mask"]
    batch = {name: tensor.cuda() for name, tensor in batch.items()}
    model(**batch).loss.backward()
    try:
        torch.cuda.set_sync_debug_mode("error")
        model(**batch).loss.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_wrong_label_stops_the_device():
    """In a process of its own, which has no device any more."""
    code = "model = build('crf').float().cuda(); ids = random_ids(2, 7).cuda(); print(model(ids, labels=ids).loss)"
    command = [sys.executable, "-c", f"from conftest import random_ids; from test_models import build; {code}"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.returncode
    assert "assert" in done.stderr


@pytest.mark.parametrize("precision", [{}, {"bf16": True}, {"fp16": True}])
def test_training_in_low_precision_follows_the_cpu(precision, tmp_path):
    reference = losses(train(tmp_path / "cpu"))
    trained = train(tmp_path / "gpu", use_cpu=False, **precision)
    assert losses(trained) == pytest.approx(reference, abs=3e-2 if precision else 1e-4)
    assert math.isfinite(trained.evaluate()["eval_loss"])


def test_adversarial_passes_drop_the_same_on_a_gpu(tmp_path):
    """With a perturbation of no length both passes are one, random numbers of the device included."""
    model = build_classifier(input_dropout=0.5, output_dropout=0.5, classifier_dropout=0.5).train().cuda()
    trainer = make_trainer(tmp_path, model, adversarial_epsilon=1e-12)
    batch = {name: tensor.cuda() for name, tensor in a_batch().items()}
    torch.manual_seed(3)
    once = model(**batch).loss
    torch.manual_seed(3)
    torch.testing.assert_close(trainer.compute_loss(model, batch), once)
