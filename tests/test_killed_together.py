"""Two processes that train together and of which one is killed, or their launcher: whatever the moment, the other ends
with a sentence, and the run goes on and ends as one that was never stopped, to the bit."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch.distributed.checkpoint
from accelerate import Accelerator
from runs import (
    KILLED,
    AtWrite,
    argv_of,
    as_on_gpus,
    at_step,
    check_same,
    die,
    forked_together,
    in_evaluation,
    in_torch_save,
)

from rnn_zoo.training.run_folder import RunFolder, step_of
from rnn_zoo.training.whole_checkpoints import problem_of

pytestmark = [pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]
FSDP = {"fsdp": True, "fsdp_config": '{"version": 2, "state_dict_type": "SHARDED_STATE_DICT"}'}
RESUME = "--resume_from_checkpoint"
SAVE_STEPS = 2  # of the toy runs


def nothing() -> None:
    pass


def in_turn(*steps: Callable[[], None]) -> None:
    for step in steps:
        step()


def around(owner: object, name: str, number: int, *, after: bool) -> Callable[[], None]:
    """Kills the process in the n-th call of a function, before it begins or when it is done."""

    def prepare() -> None:
        seen, plain = 0, getattr(owner, name)

        def counted(*args, **kwargs):
            nonlocal seen
            seen += 1
            if seen == number and not after:
                die()
            found = plain(*args, **kwargs)
            if seen == number:
                die()
            return found

        setattr(owner, name, counted)

    return prepare


def told(logs: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(logs.glob("*.log")))


def whole(out: Path) -> list[int]:
    """The steps of the checkpoints from which a run goes on, the last first."""
    return [step_of(path) for path in RunFolder(out).checkpoints() if problem_of(path) is None]


def check_kept(out: Path, said: str) -> None:
    """What was saved before the step that was reported last is still there."""
    reported = max((int(step) for step in re.findall(r"^step (\d+)/6  loss", said, re.MULTILINE)), default=0)
    saved = (reported - 1) // SAVE_STEPS * SAVE_STEPS
    assert max(whole(out), default=0) >= saved, said


def go_on(argv: list[str], out: Path, logs: Path, prepare: Callable[[], None] = nothing) -> None:
    """As a person does after a kill: go on where there is a checkpoint, else begin again."""
    again = [*argv, *([RESUME] if whole(out) else [])]
    assert forked_together(again, logs, prepare, prepare) == [0, 0], told(logs)


def check_killed(folder: Path, never: Path, task: str, kills: list, prepare: Callable[[], None] = nothing, **flags):
    """Kills one process of two, goes on, and compares, for each of the kills.

    Args:
        folder: a new one.
        never: the output of a run that nothing stopped.
        task: of the runs.
        kills: in which process, and what kills it, given the output folder.
        prepare: what each process does first.
        flags: of the runs.
    """
    killed = 0
    for number, (rank, kill) in enumerate(kills):
        place = folder / str(number)
        place.mkdir()
        argv, out, logs = argv_of(place, task, **flags), place / "out", place / "logs"
        first = [prepare, prepare]
        first[rank] = partial(in_turn, prepare, kill(out))
        statuses = forked_together(argv, logs, *first)
        said = told(logs)
        assert "Traceback" not in said, (number, said)
        if KILLED in statuses:
            killed += 1
            assert statuses[rank] == KILLED
            assert statuses[1 - rank] in (0, 1), (number, said)
            check_kept(out, said)
            go_on(argv, out, logs, prepare)
        else:
            assert statuses == [0, 0], (number, said)
        check_same(out, never)
    return killed


@pytest.fixture(scope="module")
def never(tmp_path_factory) -> Path:
    """The output of two processes that nothing stopped."""
    place = tmp_path_factory.mktemp("never")
    assert forked_together(argv_of(place, "causal_lm"), place / "logs", nothing, nothing) == [0, 0]
    return place / "out"


def at_write(rank: int, number: int):
    return rank, lambda out: AtWrite(out, number)


def at(rank: int, prepare: Callable[[], None]):
    return rank, lambda out: prepare


@pytest.mark.ci
def test_one_of_two_processes_is_killed(never, tmp_path):
    kills = [at(1, at_step(4, die)), at_write(1, 2), at_write(0, 30)]
    assert check_killed(tmp_path, never, "causal_lm", kills) >= 2


@pytest.mark.slow
def test_one_of_two_processes_is_killed_at_any_moment(never, tmp_path):
    counted = [AtWrite(tmp_path / "count" / "out", 0) for _ in range(2)]
    (tmp_path / "count").mkdir()
    argv = argv_of(tmp_path / "count", "causal_lm")
    assert forked_together(argv, tmp_path / "count" / "logs", *counted) == [0, 0]
    writes = [one.seen for one in counted]
    assert writes[0] > 20
    assert writes[1] > 3
    kills = [at_write(0, n) for n in range(2, writes[0] + 1, writes[0] // 10)]
    kills += [at_write(1, n) for n in range(1, writes[1] + 1)]
    kills += [at(rank, at_step(n, die)) for rank in (0, 1) for n in (1, 3, 6)]
    kills += [at(0, in_torch_save(1)), at(0, in_torch_save(5)), at(1, in_torch_save(2)), at(1, in_evaluation())]
    kills += [at(0, in_evaluation())]
    assert check_killed(tmp_path, never, "causal_lm", kills) >= 20


@pytest.mark.ci
@pytest.mark.parametrize("rank", [0, 1])
def test_a_full_disk_of_one_process_ends_both_in_one_sentence(rank, never, tmp_path):
    """And no checkpoint is there for which something is missing."""

    def fill() -> None:
        save, written = torch.save, 0

        def full(thing, path, *args, **kwargs):
            nonlocal written
            written += "checkpoint-4" in str(path)
            if written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            save(thing, path, *args, **kwargs)

        torch.save = full

    argv, out, logs = argv_of(tmp_path, "causal_lm"), tmp_path / "out", tmp_path / "logs"
    prepare = [nothing, nothing]
    prepare[rank] = fill
    assert forked_together(argv, logs, *prepare) == [1, 1], told(logs)
    assert told(logs).count("checkpoint-4: could not be written: No space left on device") == 1
    assert f"The last whole checkpoint is {out / 'checkpoint-2'}" in told(logs)
    assert "Traceback" not in told(logs)
    assert whole(out) == [2]
    assert not list(RunFolder(out).own.glob("writing/*"))
    go_on(argv, out, logs)
    check_same(out, never)


# ---- the launcher ----
def launched(argv: list[str], log: Path) -> subprocess.Popen:
    """`torchrun` with two processes, a group of its own."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")}
    with open(log, "a") as file:
        return subprocess.Popen(
            [*torchrun, "-m", "rnn_zoo", *argv], stdout=file, stderr=file, env=environment, start_new_session=True
        )


def wait_for(line: str, log: Path, launcher: subprocess.Popen) -> None:
    """Until the log has a line."""
    deadline = time.monotonic() + 300
    while line not in log.read_text():
        assert launcher.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 3, 5])
def test_the_launcher_is_killed(step, never, tmp_path):
    """Its processes are left alone. When they have ended, the model is there, or the run goes on to it."""
    argv, out, log = argv_of(tmp_path, "causal_lm"), tmp_path / "out", tmp_path / "log"
    launcher = launched(argv, log)
    wait_for(f"step {step}/6  loss", log, launcher)
    workers = psutil.Process(launcher.pid).children(recursive=True)
    launcher.kill()
    assert launcher.wait() == KILLED
    _, alive = psutil.wait_procs(workers, timeout=300)
    assert not alive
    check_kept(out, log.read_text())
    ended = (out / "config.json").exists()
    again, logs = [*argv, *([RESUME] if ended or whole(out) else [])], tmp_path / "logs"
    assert forked_together(again, logs, nothing, nothing) == [0, 0], told(logs)
    check_same(out, never)


@pytest.mark.slow
def test_the_launcher_is_stopped_and_a_process_of_it_dies(never, tmp_path):
    """As a queue stops it, with SIGTERM; and it ends the other process of one that is killed."""
    argv, out, log = argv_of(tmp_path, "causal_lm"), tmp_path / "out", tmp_path / "log"
    for number, step in ((signal.SIGTERM, 1), (signal.SIGKILL, 3)):
        launcher = launched([*argv, *([RESUME] if whole(out) else [])], log)
        wait_for(f"step {step}/6  loss", log, launcher)
        workers = psutil.Process(launcher.pid).children(recursive=True)
        if number == signal.SIGKILL:
            workers[-1].kill()
        else:
            launcher.terminate()
        assert launcher.wait(timeout=300) != 0
        _, alive = psutil.wait_procs(workers, timeout=300)
        assert not alive
        check_kept(out, log.read_text())
    go_on(argv, out, tmp_path / "logs")
    check_same(out, never)


# ---- weights in pieces ----
@pytest.mark.slow
def test_one_of_two_processes_is_killed_while_weights_in_pieces_are_gathered(tmp_path):
    place = tmp_path / "never"
    place.mkdir()
    argv = argv_of(place, "causal_lm", **FSDP)
    assert forked_together(argv, place / "logs", as_on_gpus, as_on_gpus) == [0, 0], told(place / "logs")
    kills = []
    for rank in (0, 1):
        for owner, name in ((Accelerator, "get_state_dict"), (torch.distributed.checkpoint, "save")):
            for number, after in ((2, False), (2, True)):
                kills.append(at(rank, around(owner, name, number, after=after)))
    assert check_killed(tmp_path, place / "out", "causal_lm", kills, as_on_gpus, **FSDP) == len(kills)
