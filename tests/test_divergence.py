"""A training that diverges stops, says where, and leaves what was good; weights that are not finite are refused."""

import functools
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import command, tree
from safetensors.torch import load_file, save_file
from test_recipe import write_toy_files
from test_trainer import BPTT, arguments, model, stream, train
from transformers import TrainerCallback

from rnn_zoo import TruncatedBpttTrainer
from rnn_zoo.checkpoint_files import json_text
from rnn_zoo.errors import Diverged
from rnn_zoo.recipe.recipe import read_recipe
from rnn_zoo.tasks import TASKS
from rnn_zoo.training.divergence import MOST_OVERFLOWS, layer_norms

OF_TASKS = {
    "causal_lm": {"bptt_length": 16, "sample_tokens": 0},
    "token_classification": {"file_extension": "conll"},
    "sequence_classification": {},
    "translation": {"max_target_length": 12, "long_source": "truncate"},
}


def make_project(folder: Path, task: str, **values) -> Path:
    """A recipe `toy.yaml` of a task, and its data."""
    recipe = {"task": task, "hidden_size": 8, "per_device_train_batch_size": 4, "logging_steps": 1, "data_dir": "data"}
    recipe |= {"output_dir": "out", "max_steps": 6, "save_steps": 2, "save_total_limit": 1, "learning_rate": "1e-3"}
    folder.mkdir()
    recipe |= OF_TASKS[task] | values
    (folder / "toy.yaml").write_text("".join(f"{key}: {value}\n" for key, value in recipe.items()), encoding="utf-8")
    write_toy_files(folder / "data", read_recipe(folder / "toy.yaml"))
    return folder


def spoil(monkeypatch, change, *, training: bool) -> None:
    """Lets `change` make another loss of that of each batch, with its number from 1, in training or in evaluations."""
    seen = []

    def spoilt(plain):
        @functools.wraps(plain)  # whose signature is asked for
        def forward(self, *args, **kwargs):
            outputs = plain(self, *args, **kwargs)
            if self.training == training and outputs.loss is not None:
                seen.append(outputs.loss)
                outputs["loss"] = change(outputs.loss, len(seen))
            return outputs

        return forward

    for task in TASKS.values():
        monkeypatch.setattr(task.model_class, "forward", spoilt(task.model_class.forward))


# ---- a run ----
@pytest.mark.ci
@pytest.mark.parametrize("task", TASKS)
def test_a_run_stops_at_its_first_loss_that_is_not_finite(task, tmp_path, monkeypatch, capfd):
    """The gradient of such a loss may be finite, as here, or not."""
    monkeypatch.chdir(make_project(tmp_path / "project", task))
    spoil(monkeypatch, lambda loss, n: loss + math.inf if n == 4 else loss, training=True)
    assert command("train", "toy.yaml") == 1
    printed = capfd.readouterr()
    *table, last, hint = printed.err.splitlines()
    assert "in step 4 the loss is inf and the norm of the gradient " in printed.err
    assert f"learning rate {1e-3 * 3 / 6:g}" in printed.err  # after three of six steps
    assert any("embed_tokens" in line for line in table), printed.err
    assert last.endswith(f"the last checkpoint is {Path('out') / 'checkpoint-2'}")
    assert "learning_rate (it is 0.001)" in hint
    assert "Traceback" not in printed.err
    assert "step 3/6" in printed.out
    assert "loss 0.0000" not in printed.out
    assert "step 4/6" not in printed.out
    assert [path.name for path in Path("out").glob("[!.]*")] == ["checkpoint-2"]
    assert all(weight.isfinite().all() for weight in load_file("out/checkpoint-2/model.safetensors").values())
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path / "project")
    assert command("train", "toy.yaml", "--resume_from_checkpoint") == 0  # what is left is of use


@pytest.mark.parametrize("task", TASKS)
def test_a_validation_that_is_not_finite_stops_a_run(task, tmp_path, monkeypatch, capfd):
    """In between, and after the last step: no model, no numbers and no card are left."""
    monkeypatch.chdir(make_project(tmp_path / "project", task))
    spoil(monkeypatch, lambda loss, n: loss * math.nan, training=False)
    assert command("train", "toy.yaml", "--eval_strategy=steps", "--eval_steps=3") == 1
    assert "after step 3 eval_loss is nan" in capfd.readouterr().err
    assert [path.name for path in Path("out").glob("[!.]*")] == ["checkpoint-2"]
    shutil.rmtree("out")
    assert command("train", "toy.yaml", "--max_steps=2") == 1
    assert "the loss on the validation data is nan" in capfd.readouterr().err
    assert not {"config.json", "model.safetensors", "metrics.json", "README.md"} & set(tree(Path("out")))


def test_outputs_of_a_regression_that_are_not_finite_stop_a_run(tmp_path, monkeypatch, capfd):
    project = make_project(tmp_path / "project", "sequence_classification", problem_type="regression")
    for path in (project / "data").iterdir():
        path.write_text(path.read_text().replace("other", "0").replace("self\t", "1\t"), encoding="utf-8")
    monkeypatch.chdir(project)
    assert command("train", "toy.yaml", "--learning_rate=1e38", "--weight_decay=0") == 1
    assert "rnn-zoo: the training diverged: " in capfd.readouterr().err


def test_no_metric_is_written_that_is_no_json():
    def refuse(constant):
        raise AssertionError(constant)

    text = json_text({"loss": math.nan, "rows": [{"grad_norm": math.inf}, (1.5, -math.inf)], "name": "é"}, indent=2)
    found = json.loads(text, parse_constant=refuse)
    assert found == {"loss": None, "rows": [{"grad_norm": None}, [1.5, None]], "name": "é"}


# ---- a trainer ----
class Poison(TrainerCallback):
    """Makes something of a module's weights, or of their gradients, not finite in a step."""

    def __init__(self, module: torch.nn.Module, step: int, gradient: bool):
        (self.weight, *_) = module.parameters()
        self.step, self.gradient = step, gradient

    def on_step_begin(self, args, state, control, **kwargs):
        if self.gradient and state.global_step + 1 == self.step:
            handle = self.weight.register_hook(lambda grad: (handle.remove(), grad * math.nan)[1])

    @torch.no_grad()
    def on_step_end(self, args, state, control, **kwargs):
        if not self.gradient and state.global_step == self.step:
            self.weight[0, 0] = math.inf


@pytest.mark.parametrize("max_grad_norm", [1.0, 0.0])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_bad_gradient_changes_no_weight_and_its_layer_is_named(parts, max_grad_norm, tmp_path):
    settings = {"batch": 8 // parts, "gradient_accumulation_steps": parts, "max_grad_norm": max_grad_norm}
    good = train(tmp_path / "good", max_steps=2, **settings)
    poisoned = model()
    with pytest.raises(Diverged) as caught:
        train(tmp_path / "bad", poisoned, callbacks=[Poison(poisoned.model.stack, 3, gradient=True)], **settings)
    assert caught.value.step == 3
    assert caught.value.checkpoint is None
    for a, b in zip(good.model.parameters(), poisoned.parameters(), strict=True):
        assert torch.equal(a, b)
    worst, second = str(caught.value).splitlines()[2:4]
    assert worst.split() == ["nan", "model.stack.layers.0.cells.0"]
    assert math.isfinite(float(second.split()[0]))
    norms = layer_norms(poisoned)
    assert [name for name, norm in norms.items() if not math.isfinite(norm)] == ["model.stack.layers.0.cells.0"]


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    """The last step leaves them, and no loss of a next one tells."""
    poisoned = model()
    poison = Poison(poisoned.model.embed_tokens, 4, gradient=False)
    with pytest.raises(Diverged, match=r"after step 4 the weights 'model\.embed_tokens\.weight'") as caught:
        train(tmp_path, poisoned, callbacks=[poison], save_strategy="steps", save_steps=2, max_steps=4)
    assert caught.value.checkpoint == str(tmp_path / "checkpoint-2")
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["checkpoint-2"]
    with pytest.raises(Diverged):
        TruncatedBpttTrainer(poisoned, arguments(tmp_path), stream(), bptt_length=BPTT).save_model(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_evaluation_of_a_stream_that_is_not_finite_stops(tmp_path):
    class Far(type(model())):
        def forward(self, *args, **kwargs):
            outputs = super().forward(*args, **kwargs)
            if not self.training:
                outputs["loss"] = outputs["loss"] * math.inf
            return outputs

    with pytest.raises(Diverged, match="after step 2 eval_loss is inf"):
        train(tmp_path, Far(model().config), eval_strategy="steps", eval_steps=2)


def test_half_precision_may_overflow_now_and_then(tmp_path):
    trainer = train(tmp_path, max_steps=1)

    def step(norm: float, loss: float = 1.0) -> None:
        trainer._loss_of_step = torch.tensor(loss)
        trainer._require_finite_step(torch.tensor(norm))

    with pytest.raises(Diverged):
        step(math.inf)
    trainer.accelerator.scaler = object()
    trainer._overflows = 0
    for norm in [*[math.inf] * MOST_OVERFLOWS, 1.0] * 2:
        step(norm)
    with pytest.raises(Diverged):
        step(1.0, loss=math.nan)
    trainer._overflows = 0
    for _ in range(MOST_OVERFLOWS):
        step(math.nan)
    with pytest.raises(Diverged, match=f"as in the {MOST_OVERFLOWS} steps before"):
        step(math.nan)


WORKER = """
import math, os, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_trainer import LANES, train
from transformers import Trainer
from rnn_zoo.errors import Diverged
plain, seen = Trainer.compute_loss, []
def compute_loss(self, *args, **kwargs):
    loss, outputs = plain(self, *args, **kwargs)
    seen.append(1)
    return (loss + math.inf if len(seen) == 3 and self.args.process_index == 1 else loss), outputs
Trainer.compute_loss = compute_loss
try:
    train(Path({folder!r}) / "two", batch=LANES // 2, save_strategy="steps", save_steps=2, max_steps=6)
except Diverged as stopped:
    found = f"{{stopped.step}} {{Path(stopped.checkpoint).name}} {{len(seen)}}"
    (Path({folder!r}) / f"stopped-{{os.environ['RANK']}}.txt").write_text(found)
"""


@pytest.mark.slow
def test_all_processes_stop_where_one_has_a_loss_that_is_not_finite(tmp_path):
    """Its gradient is finite, so that the others would not know."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    argv = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")}
    environment |= {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [(tmp_path / f"stopped-{rank}.txt").read_text() for rank in (0, 1)] == ["3 checkpoint-2 3"] * 2


# ---- what has diverged is not used ----
@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """A project whose model, in `out`, has a weight that is no number."""
    folder = make_project(tmp_path_factory.mktemp("spoilt") / "project", "causal_lm")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert command("train", "toy.yaml") == 0
    path = folder / "out" / "model.safetensors"
    tensors = load_file(path)
    tensors["lm_head.bias"][3] = math.nan
    save_file(tensors, path, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    "argv",
    [
        ["generate", "out"],
        ["evaluate", "out"],
        ["export", "out"],
        ["card", "out"],
        ["push", "out", "me/it"],
        ["train", "tagger.yaml", "--language_model=./out"],
    ],
    ids=" ".join,
)
def test_weights_that_are_not_finite_are_refused(spoilt, argv, monkeypatch, capfd):
    monkeypatch.chdir(spoilt)
    (spoilt / "tagger.yaml").write_text("task: token_classification\nembedded_data: ner_sample\noutput_dir: tags\n")
    before = tree(spoilt)
    assert command(*argv) == 2
    printed = capfd.readouterr().err
    assert "model.safetensors: 'lm_head.bias' holds values that are not finite: the training diverged" in printed
    assert printed.count("\n") == 1
    assert tree(spoilt) == before


def test_numbers_of_a_run_that_diverged_make_no_card(spoilt, tmp_path, capfd):
    """As earlier versions wrote them."""
    shutil.copytree(spoilt / "out", tmp_path / "out")
    (tmp_path / "out" / "model.safetensors").unlink()
    path = tmp_path / "out" / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    metrics["validation"]["loss"] = math.nan
    path.write_text(json.dumps(metrics), encoding="utf-8")
    assert command("card", tmp_path / "out") == 2
    assert "the loss on the validation data is not finite: the training diverged" in capfd.readouterr().err
