"""Runs that are killed: whatever the moment, the run goes on and ends as one that was never stopped, to the bit."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import metrics_of, weights
from runs import KILLED, AtWrite, argv_of, at_step, check_same, die, forked, go_on, in_evaluation, in_torch_save

from rnn_zoo.tasks import TASKS

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]


@pytest.mark.parametrize("task", TASKS)
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(task, tmp_path):
    log, never = tmp_path / "log", tmp_path / "never"
    never.mkdir()
    counted = AtWrite(never / "out", 0)
    assert forked(argv_of(never, task), log, counted) == 0, log.read_text()
    writes = counted.seen
    assert writes > 20
    kills: list[Callable[[Path], Callable[[], None]]] = []
    kills += [lambda out, n=n: AtWrite(out, n) for n in range(2, writes + 1, max(1, writes // 10))]
    kills += [lambda out, n=n: in_torch_save(n) for n in (1, 5)]
    kills += [lambda out, n=n: at_step(n, die) for n in (1, 3, 4, 6)]
    kills += [lambda out: in_evaluation()]
    killed = 0
    for number, kill in enumerate(kills):
        folder = tmp_path / str(number)
        folder.mkdir()
        argv = argv_of(folder, task)
        status = forked(argv, log, kill(folder / "out"))
        assert status in (0, KILLED), log.read_text()
        killed += status == KILLED
        if status == KILLED:
            go_on(argv, folder / "out", log)
        check_same(folder / "out", never / "out")
    assert killed >= 13


def test_a_run_that_replaces_another_and_is_killed_leaves_the_old_model_or_the_new_one(tmp_path):
    log, never, old = tmp_path / "log", tmp_path / "never", tmp_path / "old"
    for folder in (never, old):
        folder.mkdir()
    counted = AtWrite(never / "out", 0)
    for folder, seed in ((never, 1), (old, 1), (never, 2)):
        argv = argv_of(folder, "causal_lm", seed=seed, overwrite_output_dir=True)
        assert forked(argv, log, counted if seed == 2 else lambda: None) == 0, log.read_text()
    before = {"new": metrics_of(never / "out")["validation"], "old": metrics_of(old / "out")["validation"]}
    for number in range(3, counted.seen + 1, max(1, counted.seen // 15)):
        folder = tmp_path / str(number)
        os.system(f"cp -r '{old}' '{folder}'")
        argv = argv_of(folder, "causal_lm", seed=2, overwrite_output_dir=True)
        assert forked(argv, log, AtWrite(folder / "out", number)) == KILLED
        if (folder / "out" / "config.json").exists():  # else nobody can take a mixture for a model
            which = "old" if same(folder / "out", old / "out") else "new"
            assert same(folder / "out", (old if which == "old" else never) / "out")
        assert forked([*argv, "--resume_from_checkpoint"], log) == 0, log.read_text()
        check = metrics_of(folder / "out")["validation"]["loss"]
        assert check in (before["new"]["loss"], before["old"]["loss"])


def same(out: Path, other: Path) -> bool:
    found, expected = weights(out), weights(other)
    return all(found[name].equal(tensor) for name, tensor in expected.items())
