"""`rnn-zoo demo`: each checkpoint that ships with the package at work, by a command that one can repeat."""

import shlex

from rich.console import Console
from rich.text import Text

from .. import zoo
from ..checkpoint_files import read_json
from ..checkpoints import METRICS_FILE, recipe_value
from ..command_line import Parser
from ..tasks import TASKS
from . import run_command


def demo(argv: list[str]) -> int:
    parser = Parser(
        prog="rnn-zoo demo",
        description="Shows the checkpoints that ship with the package at work, and the commands that do it. Nothing is "
        "downloaded.",
    )
    parser.add_argument("checkpoint", nargs="*", help="only these [all]")
    args = parser.parse_args(argv)
    console = Console(highlight=False, soft_wrap=True)
    status = 0
    for name in args.checkpoint or zoo.names():
        folder = zoo.path(name)
        task = TASKS[read_json(folder / METRICS_FILE)["task"]]
        values = {"checkpoint": name, "example": recipe_value(folder, "example") or task.example}
        command = [part.format(**values) for part in task.demo]
        console.print(Text(f"\n{name}: {recipe_value(folder, 'description')}", style="bold"))
        console.print(Text(f"$ rnn-zoo {shlex.join(command)}", style="dim"))
        status = run_command(command[0], command[1:]) or status
    return status
