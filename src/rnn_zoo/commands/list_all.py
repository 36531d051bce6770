"""`rnn-zoo list`: the checkpoints that ship with the package, and the recipes that stand ready."""

import dataclasses
from typing import Any

from rich.console import Console
from rich.table import Table

from .. import zoo
from ..card import as_read, measured_scores, read_folder
from ..training.recipe import GROUPS, read_values, recipe_files
from ..training.tasks import TASKS
from .common import Parser


def list_all(argv: list[str]) -> int:
    parser = Parser(
        prog="rnn-zoo list",
        description="Shows the checkpoints that ship with the package, which every command takes by name in place of a "
        "folder, and the recipes that `rnn-zoo train` knows by name.",
    )
    parser.parse_args(argv)
    console = Console(highlight=False)
    shipped = table("checkpoint", "what it does", "how good", "parameters")
    for name in zoo.names():
        metrics, recipe = read_folder(zoo.path(name))
        part, scores = measured_scores(TASKS[recipe.run.task], metrics)[-1]
        score, value = scores[0]
        good = f"{score.title} {as_read(score, value)}, {part}"
        shipped.add_row(name, recipe.run.description, good, f"{metrics['parameters'] / 1e6:.1f}M")
    if shipped.rows:
        console.print(shipped, "")
    recipes = table("recipe", "what it trains", "to compare with")
    known = {f.name for group in GROUPS for f in dataclasses.fields(group)}
    for name, path in recipe_files().items():
        values: dict[str, Any] = {key: value[0] for key, (_, value) in read_values(path, known).items() if value}
        recipes.add_row(name, values.get("description", ""), values.get("published", ""))
    console.print(recipes)
    return 0


def table(*columns: str) -> Table:
    return Table(*columns, box=None, padding=(0, 2, 0, 0))
