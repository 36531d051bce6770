"""A run goes on with another number of processes: the same rows, the same lanes, or a sentence."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import history, metrics_of, weights
from runs import argv_of, as_on_gpus, forked_together
from torch.testing import assert_close
from transformers import Trainer

RESUME = "--resume_from_checkpoint"
# No dropout: what is dropped depends on the process that draws.
STILL = {"output_dropout": 0, "hidden_dropout": 0, "embedding_dropout": 0, "input_dropout": 0}
KEPT = {"save_steps": 1, "save_total_limit": 12, "eval_strategy": "no"}
FSDP = {"fsdp": True, "fsdp_config": '{"version": 2, "state_dict_type": "SHARDED_STATE_DICT"}'}

pytestmark = pytest.mark.ci


def nothing() -> None:
    pass


def shared(batch: int, parts: int = 1) -> dict[str, int]:
    """Flags by which each process has so many rows in each of so many parts of a step."""
    return {"per_device_train_batch_size": batch, "gradient_accumulation_steps": parts}


def noting_rows(place: Path) -> Callable[[], None]:
    """Writes down which rows a process is trained on, in which step."""

    def prepare() -> None:
        step = Trainer.training_step

        def noted(self, model, inputs, *args, **kwargs):
            with open(place / f"rows-{os.environ['RANK']}", "a") as file:
                for row in inputs["input_ids"].tolist():
                    file.write(json.dumps([self.state.global_step, [n for n in row if n]]) + "\n")
            return step(self, model, inputs, *args, **kwargs)

        Trainer.training_step = noted

    return prepare


def rows_of(place: Path) -> dict[int, Counter]:
    """Of each step the rows, however they were shared."""
    found: dict[int, Counter] = {}
    for path in place.glob("rows-*"):
        for step, row in map(json.loads, path.read_text().splitlines()):
            found.setdefault(step, Counter())[tuple(row)] += 1
    return found


def trained(place: Path, task: str, processes: int, *flags: str, prepare: Callable[[], None] = nothing, **settings):
    """The status of so many processes, and what they said."""
    place.mkdir(exist_ok=True)
    argv = [*argv_of(place, task, **settings), *flags]
    statuses = forked_together(argv, place / "logs", *[prepare] * processes)
    return statuses, "\n".join(path.read_text() for path in sorted((place / "logs").glob("*.log")))


def taken_up(place: Path, first: Path, step: int) -> Path:
    """A place where the run in `first` goes on from a step."""
    place.mkdir()
    shutil.copytree(first / "data", place / "data")
    shutil.copytree(first / "out" / f"checkpoint-{step}", place / "out" / f"checkpoint-{step}")
    return place


# ---- lanes ----
@pytest.fixture(scope="module")
def two_by_four(tmp_path_factory) -> Path:
    """A language model with eight lanes, four in each of two processes; an epoch has several steps."""
    place = tmp_path_factory.mktemp("two_by_four") / "run"
    settings = {**STILL, **KEPT, **shared(4), "state_reset_probability": 0.1}
    statuses, said = trained(place, "causal_lm", 2, **settings)
    assert statuses == [0, 0], said
    return place


@pytest.mark.parametrize(("processes", "batch", "parts"), [(1, 8, 1), (4, 2, 1), (1, 4, 2), (2, 2, 2)])
def test_the_lanes_of_a_stream_go_on_however_they_are_shared(processes, batch, parts, two_by_four, tmp_path):
    place = taken_up(tmp_path / "run", two_by_four, 3)
    settings = {**STILL, **KEPT, **shared(batch, parts), "state_reset_probability": 0.1}
    statuses, said = trained(place, "causal_lm", processes, RESUME, **settings)
    assert statuses == [0] * processes, said
    expected = history(two_by_four / "out" / "checkpoint-6")
    assert history(place / "out" / "checkpoint-6") == pytest.approx(expected, abs=1e-6)
    for name, weight in weights(two_by_four / "out").items():
        assert_close(weights(place / "out")[name], weight, rtol=0, atol=1e-6)
    ours, theirs = metrics_of(place / "out"), metrics_of(two_by_four / "out")
    assert ours["steps"] == theirs["steps"] == 6
    before = json.loads((two_by_four / "out" / "checkpoint-3" / "run_state.json").read_text())["progress"]["seconds"]
    assert ours["train"]["seconds"] > before > 0


def test_other_lanes_are_refused(two_by_four, tmp_path):
    place = taken_up(tmp_path / "run", two_by_four, 3)
    statuses, said = trained(place, "causal_lm", 1, RESUME, **STILL, **KEPT, **shared(4))
    assert statuses == [2]
    assert "this run has 4 lanes (1 process x per_device_train_batch_size=4 x " in said
    assert "was trained with 8 lanes (2 processes x per_device_train_batch_size=4 x " in said


def test_weights_in_pieces_go_on_in_other_pieces(two_by_four, tmp_path):
    """FSDP, its optimizer state and its weights in a file of each process: two processes, then four."""
    first = tmp_path / "first"
    statuses, said = trained(first, "causal_lm", 2, prepare=as_on_gpus, **STILL, **KEPT, **FSDP, **shared(4))
    assert statuses == [0, 0], said
    place = taken_up(tmp_path / "run", first, 3)
    statuses, said = trained(place, "causal_lm", 4, RESUME, prepare=as_on_gpus, **STILL, **KEPT, **FSDP, **shared(2))
    assert statuses == [0] * 4, said
    expected = history(first / "out" / "checkpoint-6")
    assert history(place / "out" / "checkpoint-6") == pytest.approx(expected, abs=1e-6)


# ---- rows ----
@pytest.mark.parametrize("order", ["random", "group_by_length", "batch_rebalance", "sequential"])
def test_the_rows_of_each_step_are_the_same_however_they_are_shared(order, tmp_path):
    """120 rows, three steps an epoch; from the middle of the second."""
    settings = {**KEPT, "max_steps": 7, "save_steps": 4, "train_sampling_strategy": order}
    first = tmp_path / "first"
    note = noting_rows(first)
    statuses, said = trained(first, "token_classification", 2, prepare=note, **settings, **shared(20))
    assert statuses == [0, 0], said
    expected = rows_of(first)
    assert len(expected) == 7
    for processes, batch, parts in ((1, 40, 1), (2, 10, 2), (2, 20, 1)):
        place = taken_up(tmp_path / f"{processes}-{batch}", first, 4)
        again = settings | shared(batch, parts)
        note = noting_rows(place)
        statuses, said = trained(place, "token_classification", processes, RESUME, prepare=note, **again)
        assert statuses == [0] * processes, said
        assert rows_of(place) == {step: rows for step, rows in expected.items() if step >= 4}


def test_an_epoch_of_other_rows_is_refused(tmp_path):
    """120 rows by sevens: of two processes the second fills up the last step with rows that were already there."""
    settings = {**KEPT, "train_sampling_strategy": "sequential", "max_steps": 4, "save_steps": 3}
    first = tmp_path / "first"
    statuses, said = trained(first, "token_classification", 2, **settings, **shared(7))
    assert statuses == [0, 0], said
    place = taken_up(tmp_path / "run", first, 3)
    statuses, said = trained(place, "token_classification", 1, RESUME, **settings, **shared(14))
    assert statuses == [2]
    assert "an epoch has 120 rows, but 126 for" in said
    assert "resume with per_device_train_batch_size=7 on 2 processes" in said
