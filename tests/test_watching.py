"""What a person watches: speed, time left, what runs, clipped steps, memory, the share of a device's operations."""

import sys
from types import SimpleNamespace

import psutil
import pytest
import torch
from engines import train

from rnn_zoo import RnnConfig, RnnForCausalLM
from rnn_zoo.launchers import asked_processes
from rnn_zoo.training import callbacks, watching
from rnn_zoo.training.watching import PEAKS, Clipping, flop_utilisation, multiplied_weights, peak_memory, what_runs

SIZES = {"vocab_size": 40, "embedding_size": 5, "hidden_size": 5, "num_hidden_layers": 1, "cell_type": "rnn_tanh"}
GPU = SimpleNamespace(device=torch.device("cuda:0"), world_size=2, bf16=True, fp16=False)


def test_speed_is_that_of_steps_and_time_left_that_of_all(monkeypatch):
    """Ten steps take a second each, and an evaluation and a checkpoint after the fifth five seconds each."""
    now, lines = [100.0], []
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: now[0])
    reader = callbacks.ReadableLines(32, "rows")
    reader.show = lines.append
    state = SimpleNamespace(global_step=4, max_steps=20, is_world_process_zero=True)
    reader.on_train_begin(None, state, None)
    for step in range(5, 15):
        now[0] += 1
        state.global_step = step
        reader.on_step_end(None, state, None)
        if step == 9:
            now[0] += 5
            reader.on_evaluate(None, state, None)
            now[0] += 5
            reader.on_save(None, state, None)
        if step in (6, 14):
            reader.on_log(None, state, None, logs={"loss": 2.0, "clipped": 0.5 * (step == 14)})
    assert lines == [
        "step  6/20  loss 2.0000  32 rows/s  0:00:14 left",
        "step 14/20  loss 2.0000  clipped 50%  32 rows/s  0:00:12 left",
    ]


@pytest.mark.parametrize(("limit", "share"), [(1e-9, 1.0), (1e9, 0.0), (0.0, None)])
def test_clipped_steps_are_counted(limit, share, tmp_path):
    trainer = train("run", tmp_path, max_grad_norm=limit)
    assert trainer.clipping.share == share
    assert [step.get("clipped") for step in trainer.state.log_history if "loss" in step] == [share] * 4


def test_a_report_is_of_the_steps_since_the_last_one():
    clipping = Clipping()
    assert clipping.report() is None
    clipping.note(True)
    assert clipping.report() == 1
    clipping.note(True)
    clipping.note(False)
    assert clipping.report() == 0.5
    assert clipping.share == pytest.approx(2 / 3)


def test_memory_counts_what_was_given_back():
    torch.ones(30_000_000).sum()
    assert 120e6 < peak_memory(torch.device("cpu")) < psutil.virtual_memory().total


def test_a_token_is_multiplied_by_matrices_and_looked_up_in_embeddings():
    plain = 5 * 5 + 5 * 5 + 40 * 5  # input to hidden, hidden to hidden, hidden to logits
    for tied in (False, True):
        assert multiplied_weights(RnnForCausalLM(RnnConfig(**SIZES, tie_word_embeddings=tied))) == plain


def test_the_share_of_operations_is_of_known_devices_only(monkeypatch):
    model = RnnForCausalLM(RnnConfig(**SIZES))
    assert flop_utilisation(model, 1e6, SimpleNamespace(device=torch.device("cpu"))) is None
    monkeypatch.setattr(watching.torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert flop_utilisation(model, 1e6, GPU) == pytest.approx(6 * 250 * 1e6 / (2 * PEAKS["NVIDIA H200"][0]))
    assert what_runs(GPU) == "2 processes on cuda NVIDIA H200"
    monkeypatch.setattr(watching.torch.cuda, "get_device_name", lambda device: "another")
    assert flop_utilisation(model, 1e6, GPU) is None


@pytest.mark.parametrize(
    ("started", "asked"),
    [
        ("python accelerate launch --cpu --num_processes 2 -m rnn_zoo", 2),
        ("python accelerate launch --num_processes=3 -m rnn_zoo", 3),
        ("python accelerate launch -m rnn_zoo", 0),
        ("bash -c --num_processes 2", 0),
    ],
)
def test_how_many_processes_were_asked_for(started, asked, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["rnn_zoo", "train", "x.yaml"])
    monkeypatch.setattr(psutil.Process, "cmdline", lambda self: [*started.split(), "train", "x.yaml"])
    assert asked_processes() == asked
