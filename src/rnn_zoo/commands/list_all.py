"""`rnn-zoo list`: the checkpoints that ship with the package, and the recipes that stand ready."""

import argparse
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from .. import zoo
from ..checkpoint_files import json_text, read_json
from ..checkpoints import METRICS_FILE, RECIPE_FILE
from ..command_line import Parser
from ..recipe.file import recipe_files
from ..tasks import TASKS
from ..tasks.scores import as_read, last_score, measured_scores
from ..yaml_files import read_entries

DESCRIPTION = """Shows the checkpoints that ship with the package, task by task: every command takes their names in
place of a folder. With --recipes what `rnn-zoo train` knows by name.
"""
ENDING = """examples:
  rnn-zoo list
  rnn-zoo list --recipes
  rnn-zoo list --json | jq '.checkpoints[] | select(.languages | index("ne")) | .name'
"""
MOST_LANGUAGES = 3  # more are counted
WHOLE = 1000  # columns where no terminal cuts lines off


def list_all(argv: list[str]) -> int:
    parser = Parser(
        prog="rnn-zoo list",
        description=DESCRIPTION,
        epilog=ENDING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipes", action="store_true", help="the recipes in place of the checkpoints")
    parser.add_argument("--json", action="store_true", help="both, with all that is known, as one object")
    args = parser.parse_args(argv)
    if args.json:
        found = {"checkpoints": list(map(of_checkpoint, zoo.names())), "recipes": list(map(of_recipe, recipe_files()))}
        print(json_text(found, indent=2))
        return 0
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WHOLE)
    if args.recipes:
        show(console, [of_recipe(name) for name in recipe_files()], lambda one: [one["description"]])
        console.print("\nrnn-zoo train NAME", markup=False)
        return 0
    shipped = [of_checkpoint(name) for name in zoo.names()]
    show(console, shipped, lambda one: [languages(one), one["score"], one["description"]])
    console.print(f"\n`rnn-zoo list --recipes` shows the {len(recipe_files())} recipes to train by", markup=False)
    return 0


def of_checkpoint(name: str) -> dict[str, Any]:
    """What is known of a checkpoint that ships, by itself."""
    metrics, told = read_json(zoo.path(name) / METRICS_FILE), values_of(zoo.path(name) / RECIPE_FILE)
    task = TASKS[metrics["task"]]
    last = last_score(task, metrics)
    return {
        "name": name,
        "task": metrics["task"],
        "languages": told.get("language", []),
        "description": " ".join(told.get("description", [])),
        "score": f"{last[1].title} {as_read(*last[1:])}" if last else "",
        "measured_on": last[0] if last else None,
        "scores": {
            part: {score.name: value for score, value in scores} for part, scores in measured_scores(task, metrics)
        },
        "parameters": metrics["parameters"],
        "folder": str(zoo.path(name)),
    }


def of_recipe(name: str) -> dict[str, Any]:
    """What a recipe says of itself."""
    path = recipe_files()[name]
    told = values_of(path)
    said = {key: " ".join(told[key]) for key in ("task", "description", "published") if key in told}
    known = {"name": name, "task": next(iter(TASKS)), "languages": told.get("language", []), "description": ""}
    return known | said | {"file": str(path)}


def values_of(path: Path) -> dict[str, list[str]]:
    """The values of each key of a recipe."""
    return {key: list(entry.values) for key, entry in read_entries(path).items() if entry.values}


def languages(one: dict[str, Any]) -> str:
    codes = one["languages"]
    return " ".join(codes) if len(codes) <= MOST_LANGUAGES else f"{len(codes)} languages"


def show(console: Console, found: list[dict[str, Any]], columns) -> None:
    """A line each, below their task, in the order of tasks and languages; a terminal cuts off the end of long ones."""
    places = list(TASKS)
    found.sort(key=lambda one: (places.index(one["task"]), one["languages"], one["name"]))
    rows = [[f"  {one['name']}", *columns(one)] for one in found]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for task, group in groupby(zip(found, rows, strict=True), key=lambda pair: pair[0]["task"]):
        console.print(f"{TASKS[task].noun}s", style="bold", markup=False)
        for _, row in group:
            name, *rest = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            line = Text("  ".join([name, *rest]).rstrip())
            line.stylize("cyan", 0, len(name))
            console.print(line, no_wrap=True, overflow="ellipsis")
