"""The folder of a run: other people's files, another training, damaged checkpoints, other settings, signals."""

import errno
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from command_line import metrics_of, refused, tree
from runs import argv_of, at_step, check_same, forked

from rnn_zoo.errors import UserError
from rnn_zoo.training.run_folder import BOOKKEEPING, RunFolder
from rnn_zoo.training.whole_checkpoints import problem_of, read_run_state

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A folder with a run of six steps in `out`, whose last two checkpoints were kept; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("ended")
    log = folder / "log"
    assert forked(argv_of(folder, "causal_lm"), log) == 0, log.read_text()
    return folder


@pytest.fixture
def run(ended, tmp_path):
    """A copy of it."""
    return shutil.copytree(ended, tmp_path / "run")


def visible(folder: Path) -> dict[str, bytes | None]:
    return {name: held for name, held in tree(folder).items() if not name.startswith(BOOKKEEPING)}


# ---- other people's files ----
@pytest.mark.ci
@pytest.mark.parametrize("name", ["README.md", "checkpoint-best/w", "cells.py", ".hidden", "model.safetensors"])
def test_a_folder_that_no_run_has_made_is_left_as_it_is(ended, tmp_path, capfd, name):
    (tmp_path / "mine" / name).parent.mkdir(parents=True)
    (tmp_path / "mine" / name).write_text("mine")
    for flags in ({}, {"overwrite_output_dir": True}):
        argv = argv_of(ended, "causal_lm", output_dir=tmp_path / "mine", **flags)
        refused(capfd, tmp_path, *argv, message=f"holds what no run has written ({Path(name).parts[0]})")


@pytest.mark.ci
def test_only_what_a_run_has_written_is_ever_removed(run, tmp_path):
    out, log = run / "out", tmp_path / "log"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "w").write_text("theirs")
    for name in ("checkpoint-best", "checkpoint-2024-backup", "notes"):
        (out / name).mkdir()
        (out / name / "w").write_text("mine")
    (out / "linked").symlink_to(tmp_path / "elsewhere")
    mine = {name: held for name, held in visible(out).items() if name.endswith("/w")}
    assert forked([*argv_of(run, "causal_lm", max_steps=10), "--resume_from_checkpoint"], log) == 0, log.read_text()
    assert sorted(path.name for path in out.glob("checkpoint-*[0-9]")) == ["checkpoint-10", "checkpoint-8"]
    assert forked([*argv_of(run, "causal_lm", seed=7), "--overwrite_output_dir"], log) == 0, log.read_text()
    assert metrics_of(out)["steps"] == 6
    assert mine.items() <= visible(out).items()
    assert (tmp_path / "elsewhere" / "w").read_text() == "theirs"
    assert not list((out / BOOKKEEPING).glob("[!w]*"))  # neither lock nor leftovers


def test_a_name_that_a_run_would_write_and_has_not_is_not_replaced(run, capfd):
    folder = RunFolder(run / "out")
    folder.note(files=[name for name in folder.files if name != "README.md"])
    for flag in ("--overwrite_output_dir", "--resume_from_checkpoint"):
        argv = [*argv_of(run, "causal_lm", max_steps=8), flag]
        refused(capfd, run, *argv, message="no run has written README.md, which would be replaced")


# ---- the old model is there until the new one is whole ----
@pytest.mark.ci
def test_a_run_that_would_replace_another_and_is_stopped_has_replaced_nothing(run, tmp_path):
    out, log = run / "out", tmp_path / "log"
    before = visible(out)
    argv = [*argv_of(run, "causal_lm", seed=7), "--overwrite_output_dir"]
    assert forked(argv, log, at_step(4, lambda: os.kill(os.getpid(), signal.SIGINT))) == 130, log.read_text()
    assert visible(out) == before
    assert forked([*argv, "--resume_from_checkpoint"], log) == 0, log.read_text()
    assert visible(out)["model.safetensors"] != before["model.safetensors"]
    other = tmp_path / "other"
    shutil.copytree(run / "data", other / "data")
    assert forked(argv_of(other, "causal_lm", seed=7), log) == 0, log.read_text()
    check_same(out, other / "out")


# ---- two trainings in one folder ----
def test_a_folder_in_use_is_refused_and_one_whose_user_has_died_is_not(tmp_path):
    folder = RunFolder(tmp_path / "out")
    child = os.fork()
    if child == 0:
        with folder.in_use():
            (tmp_path / "held").touch()
            time.sleep(60)
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    with pytest.raises(UserError, match=f"another training goes on there \\(process {child} on "), folder.in_use():
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with folder.in_use():
        pass


# ---- damaged checkpoints ----
def test_what_is_missing_or_damaged_in_a_checkpoint_is_named(run):
    checkpoint = run / "out" / "checkpoint-6"
    assert problem_of(checkpoint) is None
    files = [path for path in checkpoint.iterdir() if path.is_file()]
    assert len(files) > 10
    for path in files:
        held = path.read_bytes()
        for damaged in (None, b"", held[: len(held) // 2], bytes([held[0] ^ 1]) + held[1:]):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            assert path.name in problem_of(checkpoint)
            path.write_bytes(held)
    assert problem_of(checkpoint) is None


@pytest.mark.ci
def test_a_run_goes_on_from_the_newest_whole_checkpoint(run, tmp_path, capfd):
    out, log = run / "out", tmp_path / "log"
    os.truncate(out / "checkpoint-6" / "optimizer.pt", 100)
    argv = [*argv_of(run, "causal_lm", max_steps=8), "--resume_from_checkpoint"]
    assert forked(argv, log) == 0, log.read_text()
    assert "checkpoint-6: optimizer.pt is damaged: it has 100 bytes of" in log.read_text()
    assert "checkpoint-4" in log.read_text()
    assert metrics_of(out)["steps"] == 8
    named = [*argv_of(run, "causal_lm", max_steps=8), f"--resume_from_checkpoint={out / 'checkpoint-8'}"]
    (out / "checkpoint-8" / "scheduler.pt").unlink()
    refused(capfd, run, *named, message="scheduler.pt is missing")


# ---- a run that has ended ----
def test_a_run_that_has_ended_is_not_trained_further(run, tmp_path):
    before = tree(run / "out")
    log = tmp_path / "log"
    assert forked([*argv_of(run, "causal_lm"), "--resume_from_checkpoint"], log) == 0, log.read_text()
    assert "nothing is left to do" in log.read_text()
    assert tree(run / "out") == before


# ---- other settings ----
CANNOT_CHANGE = [
    *("seed=3", "optim=sgd", "lr_scheduler_type=linear", "warmup_steps=2", "adam_beta1=0.5", "min_frequency=2"),
    *("tokenizer_type=bpe", "unicode_normalization=none", "cell_type=gru", "reads_backward=true"),
    "per_device_train_batch_size=4",
]


@pytest.mark.parametrize("flag", CANNOT_CHANGE)
def test_a_setting_that_cannot_apply_is_refused_by_name(run, capfd, flag):
    argv = [*argv_of(run, "causal_lm", max_steps=8), "--resume_from_checkpoint", f"--{flag}"]
    refused(capfd, run, *argv, message=flag.partition("=")[0])


def test_other_data_is_refused(run, capfd):
    for path in (run / "data").glob("train*"):
        path.write_text(path.read_text().replace("text", "test"))
    argv = [*argv_of(run, "causal_lm", max_steps=8), "--resume_from_checkpoint"]
    refused(capfd, run, *argv, message="(train): is not the data that")


@pytest.mark.ci
def test_a_setting_that_applies_is_noted_from_its_step_on(run, tmp_path):
    log = tmp_path / "log"
    argv = [*argv_of(run, "causal_lm", max_steps=8), "--resume_from_checkpoint"]
    assert forked([*argv, "--learning_rate=0.5", "--weight_decay=0.25"], log) == 0, log.read_text()
    metrics = metrics_of(run / "out")
    noted = {change["key"]: (change["step"], change["after"]) for change in metrics["changes"]}
    assert noted == {"learning_rate": (6, 0.5), "weight_decay": (6, 0.25), "max_steps": (6, 8)}
    assert metrics["train"]["seconds"] > read_run_state(run / "out" / "checkpoint-6")["progress"]["seconds"] > 0
    assert "learning_rate: 0.5 from step 6 on" in (run / "out" / "README.md").read_text()
    state = torch.load(run / "out" / "checkpoint-8" / "optimizer.pt", weights_only=True)
    assert {group["initial_lr"] for group in state["param_groups"]} == {0.5}
    assert max(group["weight_decay"] for group in state["param_groups"]) == 0.25
    rates = [row["learning_rate"] for row in metrics["history"] if row["step"] > 6 and "loss" in row]
    assert rates == pytest.approx([0.5 * 6 / 160, 0.5 * 7 / 160])  # the recipe's 160 steps of warming up go on


# ---- signals, and what nobody reads ----
@pytest.mark.ci
@pytest.mark.parametrize(("name", "step"), [("SIGHUP", 2), ("SIGTERM", 3), ("SIGINT", 6)])
def test_a_signal_loses_nothing_whatever_is_saved_otherwise(ended, tmp_path, name, step):
    log, number = tmp_path / "log", getattr(signal, name)
    shutil.copytree(ended / "data", tmp_path / "data")
    argv = argv_of(tmp_path, "causal_lm", save_strategy="no")
    stopped = forked(argv, log, at_step(step, lambda: os.kill(os.getpid(), number)))
    assert stopped == 128 + number, log.read_text()
    assert f"stopped at step {step}; go on with: rnn-zoo train" in log.read_text()
    assert forked([*argv, "--resume_from_checkpoint"], log) == 0, log.read_text()
    assert metrics_of(tmp_path / "out")["history"] == metrics_of(ended / "out")["history"]
    assert visible(tmp_path / "out")["model.safetensors"] == visible(ended / "out")["model.safetensors"]
    kept = [path.name for path in (tmp_path / "out").glob("checkpoint-*")]
    assert kept == [f"checkpoint-{step}"]  # that of the last step was only there until the model was


def test_a_training_goes_on_when_nobody_reads_its_reports(ended, tmp_path):
    def close() -> None:
        reading, writing = os.pipe()
        os.close(reading)
        sys.stdout = sys.stderr = os.fdopen(writing, "w", buffering=1)

    log = tmp_path / "log"
    shutil.copytree(ended / "data", tmp_path / "data")
    assert forked(argv_of(tmp_path, "causal_lm"), log, close) == 0, log.read_text()
    check_same(tmp_path / "out", ended / "out")


@pytest.mark.ci
def test_a_full_disk_ends_a_training_in_one_sentence(ended, tmp_path):
    def fill() -> None:
        written, save = 0, torch.save

        def full(*args, **kwargs):
            nonlocal written
            written += 1
            if written > 5:  # in the second checkpoint
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            save(*args, **kwargs)

        torch.save = full

    log = tmp_path / "log"
    shutil.copytree(ended / "data", tmp_path / "data")
    argv = argv_of(tmp_path, "causal_lm")
    assert forked(argv, log, fill) == 1
    said = log.read_text().splitlines()[-1]
    assert "checkpoint-4: could not be written: No space left on device" in said
    assert said.endswith(f"The last whole checkpoint is {tmp_path / 'out' / 'checkpoint-2'}")
    assert "Traceback" not in log.read_text()
    assert forked([*argv, "--resume_from_checkpoint"], log) == 0, log.read_text()
    check_same(tmp_path / "out", ended / "out")


NOTE = {"files": ["a"], "final": ["a"], "steps": 2}
PLAN = {"new": "next", "remove": ["a"], "record": NOTE, "moving": False}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        *(("written.json", text) for text in ("null", "[" * 100_000, '{"steps": 2}', '{"files": [".."]}')),
        ("written.json", json.dumps(NOTE | {"final": "a"})),
        *(("exchange.json", text) for text in ("{", "{}", json.dumps(PLAN | {"remove": ["../precious"]}))),
        *(("exchange.json", json.dumps(PLAN | {"new": new})) for new in ("..", "../../precious", "link")),
        ("exchange.json", json.dumps(PLAN | {"record": NOTE | {"files": [".."]}})),
    ],
)
def test_notes_of_somebody_else_lead_nowhere(tmp_path, file, text):
    """A folder may have come from anywhere: what its notes name is in it, or nothing is touched."""
    out = RunFolder(tmp_path / "out")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "kept").touch()
    (out.own / "next").mkdir(parents=True)
    (out.own / "link").symlink_to(tmp_path / "precious")
    (out.path / "a").touch()
    (out.own / file).write_text(text)
    before = tree(tmp_path)
    with pytest.raises(UserError, match=file):
        out.complete_exchange() if file == "exchange.json" else out.files
    assert tree(tmp_path) == before
