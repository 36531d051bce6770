"""What a process knows of the launcher that has started it."""

import sys

import psutil
import pytest

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
