"""Several processes that train together: they stop after the same step, go on, and tell one sentence once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from command_line import metrics_of, weights
from runs import RECIPES, argv_of, as_on_gpus, at_step, check_same, die, forked_together

from rnn_zoo import TruncatedBpttTrainer
from rnn_zoo.training.run_folder import RunFolder
from rnn_zoo.training.whole_checkpoints import problem_of

pytestmark = pytest.mark.ci
FSDP = {"fsdp": True, "fsdp_config": '{"version": 2, "state_dict_type": "SHARDED_STATE_DICT"}'}
RESUME = ["--resume_from_checkpoint"]


def nothing() -> None:
    pass


def in_turn(*steps: Callable[[], None]) -> None:
    for step in steps:
        step()


def told(logs: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(logs.glob("*.log")))


def signalled(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """A run of two processes that nothing stops."""
    folder = tmp_path_factory.mktemp("undisturbed")
    statuses = forked_together(argv_of(folder, "causal_lm"), folder / "logs", nothing, nothing)
    assert statuses == [0, 0], told(folder / "logs")
    return folder / "out"


@pytest.mark.parametrize(
    ("number", "first", "second"),
    [(signal.SIGTERM, None, 2), (signal.SIGINT, 3, 2), (signal.SIGUSR1, 2, None)],
)
def test_a_signal_to_one_process_or_in_different_steps_stops_all_after_the_same(
    number, first, second, undisturbed, tmp_path
):
    """And the run that goes on ends as the one that nothing has stopped."""
    argv, logs = argv_of(tmp_path, "causal_lm"), tmp_path / "logs"
    steps = [nothing if step is None else at_step(step, lambda: signalled(number)) for step in (first, second)]
    assert forked_together(argv, logs, *steps) == [128 + number] * 2, told(logs)
    last = sorted((tmp_path / "out").glob("checkpoint-*"))[-1]
    assert problem_of(last) is None
    assert int(last.name.removeprefix("checkpoint-")) in (2, 3)
    assert told(logs).count("go on with: rnn-zoo train") == 1
    assert forked_together([*argv, *RESUME], logs, nothing, nothing) == [0, 0], told(logs)
    check_same(tmp_path / "out", undisturbed)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_signal_behind_the_last_step_is_not_lost(processes, undisturbed, tmp_path):
    """As in the evaluation that follows it; the model is not published, and measured when the run goes on."""
    argv, logs = argv_of(tmp_path, "causal_lm"), tmp_path / "logs"

    def late() -> None:
        evaluate = TruncatedBpttTrainer.evaluate

        def signal_at_the_end(self, *args, **kwargs):
            if self.state.global_step == 6:
                signalled(signal.SIGTERM)
            return evaluate(self, *args, **kwargs)

        TruncatedBpttTrainer.evaluate = signal_at_the_end

    quiet = [nothing] * (processes - 1)
    assert forked_together(argv, logs, *quiet, late) == [143] * processes, told(logs)
    assert not (tmp_path / "out" / "config.json").exists()
    assert forked_together([*argv, *RESUME], logs, *quiet, nothing) == [0] * processes, told(logs)
    if processes == 2:
        check_same(tmp_path / "out", undisturbed)


def test_a_time_limit_saves_and_stops(tmp_path):
    argv, logs = argv_of(tmp_path, "causal_lm", max_train_seconds=0.01), tmp_path / "logs"
    late = at_step(1, lambda: time.sleep(0.1))
    assert forked_together(argv, logs, late, nothing) == [124, 124], told(logs)
    (last,) = (tmp_path / "out").glob("checkpoint-*")
    assert problem_of(last) is None
    assert "after 0.01 s (max_train_seconds); go on with" in told(logs)


def test_a_process_that_dies_is_a_sentence_and_checkpoints_stay_whole(undisturbed, tmp_path):
    argv, logs = argv_of(tmp_path, "causal_lm"), tmp_path / "logs"
    statuses = forked_together(argv, logs, nothing, at_step(4, die))
    assert statuses == [1, -signal.SIGKILL], told(logs)
    assert "Traceback" not in told(logs)
    assert "another process of it has ended; checkpoint-2 is kept" in told(logs)
    assert forked_together([*argv, *RESUME], logs, nothing, nothing) == [0, 0], told(logs)
    check_same(tmp_path / "out", undisturbed)


def test_auto_begins_goes_on_and_has_nothing_left_to_do(undisturbed, tmp_path):
    argv, logs = [*argv_of(tmp_path, "causal_lm"), "--resume_from_checkpoint=auto"], tmp_path / "logs"
    assert forked_together(argv, logs, nothing, at_step(4, die)) == [1, -signal.SIGKILL]
    assert forked_together(argv, logs, nothing, nothing) == [0, 0], told(logs)
    check_same(tmp_path / "out", undisturbed)
    assert forked_together(argv, logs, nothing, nothing) == [0, 0], told(logs)
    assert told(logs).count("nothing is left to do") == 1


@pytest.mark.slow
def test_torchrun_starts_all_again_when_one_has_died(undisturbed, tmp_path):
    """Elastic restart: the same command begins, and then goes on."""
    argv = [*argv_of(tmp_path, "causal_lm"), "--resume_from_checkpoint=auto"]
    dies_once = tmp_path / "dies_once.py"
    dies_once.write_text(
        "import os, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from runs import at_step, die\n"
        "if os.environ['TORCHELASTIC_RESTART_COUNT'] == '0' and os.environ['RANK'] == '1':\n"
        "    at_step(4, die)()\n"
        "import rnn_zoo_cli\n"
        "sys.exit(rnn_zoo_cli.main(sys.argv[1:]))\n"
    )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--max-restarts=1", "--standalone"]
    # Otherwise torch keeps one store for all starts, in which processes find the addresses of those that are gone.
    environment = os.environ | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "OMP_NUM_THREADS": "1"}
    command = [*launcher, str(dies_once), *argv]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "another process of it has ended; checkpoint-2 is kept" in done.stderr
    check_same(tmp_path / "out", undisturbed)


def test_a_mistake_is_told_once(tmp_path):
    logs = tmp_path / "logs"
    argv = argv_of(tmp_path, "causal_lm", learning_rate=-1)
    assert forked_together(argv, logs, nothing, nothing) == [2, 2]
    assert told(logs).count("learning_rate=-1") == 1


def test_a_folder_in_which_another_training_goes_on_is_refused_by_all(tmp_path):
    argv, logs = argv_of(tmp_path, "causal_lm"), tmp_path / "logs"
    with RunFolder(tmp_path / "out").in_use():
        assert forked_together(argv, logs, nothing, nothing) == [2, 2]
    assert told(logs).count("rnn-zoo: ") == 1
    assert "another training goes on there" in told(logs)


@pytest.mark.parametrize("task", RECIPES)
def test_a_model_in_pieces_ends_whole(task, tmp_path):
    """With FSDP: weights, numbers, samples, card and pictures, as of two processes that each have all weights. A run
    that is stopped goes on to the bit."""
    (tmp_path / "again").mkdir()
    for place, flags, prepare in (("whole", {}, nothing), ("pieces", FSDP, as_on_gpus)):
        (tmp_path / place).mkdir()
        argv, logs = argv_of(tmp_path / place, task, **flags), tmp_path / place / "logs"
        assert forked_together(argv, logs, prepare, prepare) == [0, 0], told(logs)
    ours, theirs = tmp_path / "pieces" / "out", tmp_path / "whole" / "out"
    found, expected = weights(ours), weights(theirs)
    assert found.keys() == expected.keys()
    for name, weight in found.items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-5)
    assert metrics_of(ours)["parameters"] == metrics_of(theirs)["parameters"]
    assert metrics_of(ours)["validation"]["loss"] == pytest.approx(metrics_of(theirs)["validation"]["loss"], abs=1e-5)
    names = [{path.name for path in folder.iterdir()} for folder in (ours, theirs)]
    assert names[0] == names[1]
    for flags, steps in (([], [at_step(3, lambda: signalled(signal.SIGTERM)), nothing]), (RESUME, [nothing] * 2)):
        again = [*argv_of(tmp_path / "again", task, **FSDP), *flags]
        statuses = forked_together(again, logs, *(partial(in_turn, as_on_gpus, step) for step in steps))
        assert statuses == ([0, 0] if flags else [143, 143]), told(logs)
    check_same(tmp_path / "again" / "out", ours)
    assert json.loads((ours / "config.json").read_text()) == json.loads((theirs / "config.json").read_text())
