"""`rnn-zoo list`: the recipes that stand ready."""

import dataclasses

from rich.console import Console
from rich.table import Table

from ..training.recipe import GROUPS, read_values, recipe_files
from .common import Parser


def list_recipes(argv: list[str]) -> int:
    Parser(prog="rnn-zoo list", description="Shows the recipes that `rnn-zoo train` knows by name.").parse_args(argv)
    table = Table("recipe", "what it trains", "to compare with", box=None, padding=(0, 2, 0, 0))
    known = {f.name for group in GROUPS for f in dataclasses.fields(group)}
    for name, path in recipe_files().items():
        values = {key: value[0] for key, (_, value) in read_values(path, known).items() if value}
        table.add_row(name, values.get("description", ""), values.get("published", ""))
    Console(highlight=False).print(table)
    return 0
