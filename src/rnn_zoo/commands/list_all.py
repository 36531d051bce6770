"""`rnn-zoo list`: the checkpoints that ship with the package, and the recipes that stand ready."""

from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from .. import zoo
from ..card import as_read, measured_scores, read_folder
from ..command_line import Parser
from ..recipe.file import read_values, recipe_files
from ..tasks import TASKS


def list_all(argv: list[str]) -> int:
    parser = Parser(
        prog="rnn-zoo list",
        description="Shows the checkpoints that ship with the package, which every command takes by name in place of a "
        "folder, and the recipes that `rnn-zoo train` knows by name.",
    )
    parser.parse_args(argv)
    console = Console(highlight=False)
    if shipped := zoo.names():
        console.print("checkpoints that ship with the package:", style="bold")
    for name in shipped:
        metrics, recipe = read_folder(zoo.path(name))
        part, scores = measured_scores(TASKS[recipe.run.task], metrics)[-1]
        score, value = scores[0]
        good = f"{score.title} {as_read(score, value)} ({part}), {metrics['parameters'] / 1e6:.1f}M parameters"
        show(console, name, recipe.run.description, good)
    console.print("recipes that rnn-zoo train knows:", style="bold")
    for name, path in recipe_files().items():
        values: dict[str, Any] = {key: value[0] for key, (_, value) in read_values(path).items() if value}
        published = values.get("published")
        show(console, name, values.get("description"), f"to compare with: {published}" if published else None)
    return 0


def show(console: Console, name: str, *lines: str | None) -> None:
    """A name, and what there is to say of it, set in."""
    console.print(f"  {name}", style="cyan", markup=False)
    for line in filter(None, lines):
        console.print(Padding(Text(line), (0, 0, 0, 6), expand=False))
