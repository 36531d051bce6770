"""`rnn-zoo list`: the checkpoints that ship with the package, and the recipes that stand ready."""

from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from .. import zoo
from ..checkpoint_files import read_json
from ..checkpoints import METRICS_FILE, RECIPE_FILE
from ..command_line import Parser
from ..recipe.file import recipe_files
from ..tasks import TASKS
from ..tasks.scores import as_read, measured_scores
from ..yaml_files import read_entries


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
        metrics = read_json(zoo.path(name) / METRICS_FILE)
        part, scores = measured_scores(TASKS[metrics["task"]], metrics)[-1]
        score, value = scores[0]
        good = f"{score.title} {as_read(score, value)} ({part}), {metrics['parameters'] / 1e6:.1f}M parameters"
        said = {
            key: entry.values[0] for key, entry in read_entries(zoo.path(name) / RECIPE_FILE).items() if entry.values
        }
        show(console, name, said.get("description"), good)
    console.print("recipes that rnn-zoo train knows:", style="bold")
    for name, path in recipe_files().items():
        values = said_in(path)
        published = values.get("published")
        show(console, name, values.get("description"), f"to compare with: {published}" if published else None)
    return 0


def said_in(path: Path) -> dict[str, str]:
    """The first value of each key of a recipe."""
    return {key: entry.values[0] for key, entry in read_entries(path).items() if entry.values}


def show(console: Console, name: str, *lines: str | None) -> None:
    """A name, and what there is to say of it, set in."""
    console.print(f"  {name}", style="cyan", markup=False)
    for line in filter(None, lines):
        console.print(Padding(Text(line), (0, 0, 0, 6), expand=False))
