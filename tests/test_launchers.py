"""What a process knows of the launcher that has started it."""

import sys
from pathlib import Path

import psutil
import pytest
from accelerate.commands.config.config_args import load_config_from_file

from rnn_zoo.launchers import ERROR_FILE, is_told, launched

OURS = ["rnn-zoo", "train", "x.yaml", "--resume_from_checkpoint=last"]


@pytest.mark.parametrize(
    ("started", "expected"),
    [
        ("python /bin/torchrun --nproc_per_node 2 -m rnn_zoo", "torchrun --nproc_per_node 2 -m rnn_zoo"),
        ("python3 -m torch.distributed.run -m rnn_zoo", "python -m torch.distributed.run -m rnn_zoo"),
        ("/v/bin/python /v/bin/accelerate launch -m rnn_zoo", "accelerate launch -m rnn_zoo"),
        ("bash -c", None),
    ],
)
def test_the_launcher_stands_before_the_command(started, expected, monkeypatch):
    argv = ["train", "x.yaml"]
    monkeypatch.setattr(sys, "argv", ["rnn_zoo", *argv])
    monkeypatch.setattr(psutil.Process, "cmdline", lambda self: started.split() + argv)
    assert launched(OURS) == ([*expected.split(), *OURS[1:]] if expected else OURS)


def test_one_process_tells_what_all_would(monkeypatch, tmp_path):
    monkeypatch.delenv(ERROR_FILE, raising=False)
    assert not is_told("a")
    assert not is_told("a")
    for rank in range(3):
        monkeypatch.setenv(ERROR_FILE, str(tmp_path / str(rank) / "error.json"))
        assert is_told("a") == (rank > 0)
        assert not is_told(f"of {rank} alone")


def test_configurations_of_accelerate_are_read():
    files = sorted((Path(__file__).parents[1] / "recipes" / "accelerate").glob("*.yaml"))
    found = {path.stem: load_config_from_file(str(path)) for path in files}
    assert {name: one.num_processes for name, one in found.items()} == {
        "1_gpu": 1,
        "2x8_gpus": 16,
        "8_gpus": 8,
        "8_gpus_fsdp2": 8,
    }
    assert found["8_gpus_fsdp2"].fsdp_config["fsdp_version"] == 2
