"""The README: its measured parts come from the results, its commands exist, its example runs."""

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from rnn_zoo.commands import helps
from rnn_zoo.recipe.file import recipe_files

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_measured_parts_are_current():
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "readme.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_page_of_cells_is_current():
    spec = spec_from_file_location("cells", ROOT / "benchmarks" / "cells.py")
    cells = module_from_spec(spec)
    spec.loader.exec_module(cells)
    assert cells.PAGE.read_text(encoding="utf-8") == cells.page_of(cells.known_results())


def test_commands_and_recipes_exist():
    for command, argument in re.findall(r"rnn-zoo (\w+) ?(\w*)", README):
        assert command in helps()
        if command == "train":
            assert argument in recipe_files()


def test_the_training_example_runs(tmp_path, monkeypatch):
    """As printed, but for two steps instead of three epochs."""
    example = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "TruncatedBptt" in block)
    (tmp_path / "input.txt").write_text("all that glisters is not gold\n" * 80, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    short = example.replace("learning_rate=4e-3", "learning_rate=4e-3, max_steps=2, use_cpu=True, disable_tqdm=True")
    names: dict = {}
    exec(compile(short, "README.md", "exec"), names)
    assert names["trainer"].state.global_step == 2
