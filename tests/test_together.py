"""What goes together: the table of `training/together.py`, walked. What it says goes is trained so and compared with
one process; what it refuses is refused with its reason, by a trainer and by `rnn-zoo train`."""

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from engines import outcome, train
from transformers import TrainingArguments

from rnn_zoo.errors import UserError
from rnn_zoo.training.parts import Part
from rnn_zoo.training.run_trainer import GeneratingTrainer, RunTrainer
from rnn_zoo.training.together import (
    COLUMNS,
    ENGINES,
    GOES,
    ROWS,
    TABLE,
    as_markdown,
    is_refused,
    require_together,
    said_of,
)
from rnn_zoo.training.truncated_bptt import TruncatedBpttTrainer

# Settings by which an engine runs here, on a CPU.
RUN_SO = {
    "ddp": {},
    "fsdp2": {"fsdp": True, "fsdp_config": {"version": 2}},
    "compile": {"torch_compile": True, "torch_compile_backend": "aot_eager"},
}


def launch(engine: str, folder: Path) -> dict[str, dict]:
    """Trains all rows that go with an engine, in processes of their own."""
    rows = [row for row in ROWS if said_of(row, engine) == GOES]
    script = [str(Path(__file__).with_name("engines.py")), str(folder), ",".join(rows), json.dumps(RUN_SO[engine])]
    launcher = [] if engine == "compile" else ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [sys.executable, *launcher, *script]
    # Arguments of earlier trainings in this process may have left their own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")}
    environment |= {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-3000:]
    return {row: torch.load(folder / f"{row}.pt") for row in rows}


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[str, dict]:
    """Each row trained by one process, without any engine."""
    torch.set_num_threads(1)
    return {row: outcome(train(row, tmp_path_factory.mktemp("alone"))) for row in ROWS}


def compare(found: dict, expected: dict, row: str) -> None:
    assert found["weights"].keys() == expected["weights"].keys()
    assert len(found["loss"]) == len(expected["loss"]) == 4
    if row == "scheduled_sampling":  # which words are drawn depends on the process that draws
        assert found["scheduled_sampling"] == expected["scheduled_sampling"] == pytest.approx(0.3)
        assert found["loss"][0] == pytest.approx(expected["loss"][0], abs=1e-5)
        return
    for name, weight in found["weights"].items():
        torch.testing.assert_close(weight, expected["weights"][name], rtol=0, atol=1e-5, msg=f"{row}: {name}")
    assert found["loss"] == pytest.approx(expected["loss"], abs=1e-5)
    assert found["eval_loss"] == pytest.approx(expected["eval_loss"], abs=1e-5)


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        pytest.param("ddp", "MULTI_CPU Distrib", marks=pytest.mark.ci),
        pytest.param("fsdp2", "FSDP FSDP", marks=pytest.mark.ci),
        pytest.param("compile", "NO Optimized", marks=pytest.mark.slow),
    ],
)
def test_what_goes_with_an_engine_trains_as_one_process_does(engine, name, alone, tmp_path):
    """Two processes share each batch, the weights in pieces for FSDP; torch's compiler without its back end."""
    for row, found in launch(engine, tmp_path).items():
        assert found["engine"].startswith(name), row
        compare(found, alone[row], row)


@pytest.mark.ci
def test_gradient_checkpointing_changes_nothing(alone, tmp_path):
    for row in ROWS:
        assert said_of(row, "gradient_checkpointing") == GOES
        found = outcome(train(row, tmp_path, gradient_checkpointing=True))
        compare(found, alone[row], row)


# What switches on each column that has a reason against it.
SWITCHED_ON = {
    "fsdp2": {"fsdp": True},
    "fsdp1": {"fsdp": True, "fsdp_config": {"version": 1}},
    "load_best_model_at_end": {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"},
    "label_smoothing_factor": {"label_smoothing_factor": 0.1},
    "lr_scheduler_type": {"lr_scheduler_type": "cosine"},
    "split_batches": {"accelerator_config": {"split_batches": True}},
    "dispatch_batches": {"accelerator_config": {"dispatch_batches": True}},
}
IN_THE_ENVIRONMENT = {
    "deepspeed": ("ACCELERATE_USE_DEEPSPEED", "true"),
    "compile": ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR"),
    "megatron": ("ACCELERATE_USE_MEGATRON_LM", "true"),
}
REFUSED = [(row, column) for row in ROWS for column in COLUMNS if is_refused(row, column)]


@pytest.mark.parametrize(("row", "column"), REFUSED)
def test_what_does_not_go_together_is_refused(row, column, tmp_path, monkeypatch):
    for name in os.environ:
        if name.startswith(("ACCELERATE_", "FSDP_")):
            monkeypatch.delenv(name)
    args = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", **SWITCHED_ON.get(column, {}))
    if column == "data_parallel":
        args._n_gpu = 2
    if column in IN_THE_ENVIRONMENT:
        monkeypatch.setenv(*IN_THE_ENVIRONMENT[column])
    kind = next((kind for kind in (TruncatedBpttTrainer, GeneratingTrainer) if kind.key == row), RunTrainer)
    parts = [SimpleNamespace(key=row)] if row not in ("run", kind.key) else []
    with pytest.raises(UserError) as refusal:
        require_together(kind, parts, args)
    assert str(refusal.value) == f"{ROWS[row]}: does not go with {COLUMNS[column].title}: {TABLE[row][column]}"
    if column in IN_THE_ENVIRONMENT:
        monkeypatch.delenv(IN_THE_ENVIRONMENT[column][0])
    require_together(kind, parts, TrainingArguments(str(tmp_path), use_cpu=True, report_to="none"))


def test_a_launcher_names_its_engine(tmp_path, monkeypatch):
    """`accelerate launch` says in the environment what a recipe may not say."""
    args = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    for version in ("1", "2"):
        monkeypatch.setenv("FSDP_VERSION", version)
        assert [name for name, column in ENGINES.items() if column.is_used(args)] == [f"fsdp{version}"]


def test_an_engine_that_would_be_left_out_is_refused(tmp_path, monkeypatch):
    """By every training, without a word of accelerate's."""
    for name in os.environ:
        if name.startswith(("ACCELERATE_", "FSDP_")):
            monkeypatch.delenv(name)
    sharded = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", fsdp=True)
    with pytest.raises(UserError, match="FSDP: is asked for, but accelerate does not use it on cpu"):
        require_together(RunTrainer, [], sharded)
    alone = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="2 processes were started, but without GPUs each would train alone"):
        require_together(RunTrainer, [], alone)
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(UserError, match="a training: does not go with DeepSpeed: no GPU was at hand"):
        require_together(RunTrainer, [], alone)


def test_a_part_of_another_package_needs_no_row(tmp_path):
    class Another(Part):
        key = "another"

    require_together(RunTrainer, [Another()], TrainingArguments(str(tmp_path), use_cpu=True, report_to="none"))


def test_every_part_has_a_row():
    import rnn_zoo.training as training

    for module in pkgutil.iter_modules(training.__path__):
        importlib.import_module(f"rnn_zoo.training.{module.name}")
    ours = {kind.key for kind in Part.__subclasses__() if kind.__module__.startswith("rnn_zoo.")}
    assert (ours - {None}) | {"run", TruncatedBpttTrainer.key, GeneratingTrainer.key} == {*ROWS} == {*TABLE}


def test_the_page_shows_the_table():
    page = Path(__file__).parents[1] / "docs" / "runs.md"
    assert as_markdown() in page.read_text(encoding="utf-8")
