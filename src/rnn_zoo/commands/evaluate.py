"""`rnn-zoo evaluate`: a checkpoint -> its numbers on the data of its recipe."""

from pathlib import Path

from ..checkpoint_files import json_text
from ..checkpoints import folder_of, place_of, recipe_of
from ..command_line import Parser, add_checkpoint
from . import start_libraries


def evaluate(argv: list[str]) -> int:
    parser = Parser(
        prog="rnn-zoo evaluate",
        description="Measures a checkpoint on the data of its recipe; further flags override the recipe, for example "
        "--data_dir FOLDER. Prints JSON.",
    )
    add_checkpoint(parser)
    parser.add_argument("--split", default="validation", help="train, validation or test [validation]")
    args, flags = parser.parse_known_args(argv)
    place = place_of(args.checkpoint)
    if isinstance(place, Path):
        recipe_of(folder_of(place, args.revision), place)
    start_libraries()
    from ..run import run

    print(json_text(run.evaluate(place, args.split, flags, args.revision), indent=2))
    return 0
