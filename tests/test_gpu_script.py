"""`benchmarks/gpu.py`, which needs a GPU, tried on a CPU in its smallest sizes."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "gpu.py"


def run(folder: Path, *arguments) -> subprocess.CompletedProcess:
    """What it leaves behind stays in the folder."""
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, env=os.environ | {"TMPDIR": str(folder)}, capture_output=True, text=True)


def readme_of(results: Path):
    """The module that makes the README, reading other results."""
    spec = importlib.util.spec_from_file_location("readme", ROOT / "benchmarks" / "readme.py")
    readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readme)
    readme.RESULTS = results
    return readme


@pytest.mark.ci
def test_a_part_that_fails_is_told_and_the_others_run(tmp_path):
    data, out = tmp_path / "data", tmp_path / "results"
    data.mkdir()
    (data / "input.txt").write_text("", encoding="utf-8")
    done = run(
        tmp_path, "--device=cpu", "--tiny", "--only=throughput", "--only=training", "--shakespeare", data, "--out", out
    )
    assert done.returncode == 1, done.stdout
    found = {name: json.loads((out / f"gpu_{name}.json").read_text()) for name in ("throughput", "training")}
    assert found["throughput"]["status"] == "passed"
    assert found["training"]["status"] == "failed"
    assert found["training"]["error"].startswith("char_lm_shakespeare: the training failed")
    assert found["training"]["word_lm_wikitext2"]["steps"] == 2
    assert "the training text is empty" in done.stdout
    assert "failed: char_lm_shakespeare: the training failed" in done.stdout
    table = "\n".join(readme_of(out).on_gpu())
    assert "| throughput: translator, fp32 | translator |" in table
    assert "word_lm_wikitext2" not in table


@pytest.mark.slow
def test_all_parts_run(tmp_path):
    out = tmp_path / "results"
    done = run(tmp_path, "--device=cpu", "--tiny", "--out", out)
    assert done.returncode == 0, done.stdout
    found = {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}
    assert len(found) == 8
    assert all(result["status"] == "passed" for result in found.values())
    assert found["gpu_equality"]["compared"]["wrong"] == []
    assert "`word_lm_wikitext2`: 2 steps" in "\n".join(readme_of(out).on_gpu())


def test_nothing_measured_is_nothing_shown(tmp_path):
    assert readme_of(tmp_path).on_gpu() == []


def test_what_cannot_be_done_is_a_sentence(tmp_path):
    done = run(tmp_path, "--device=cpu", "--wikitext2", tmp_path)
    assert (done.returncode, done.stderr) == (2, f"--wikitext2 {tmp_path}: has no train.txt, valid.txt, test.txt\n")
