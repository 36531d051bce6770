"""`rnn-zoo evaluate`: a checkpoint -> its numbers on the data of its recipe."""

import json
from pathlib import Path

from ..checkpoints import place_of
from ..training import run
from .common import Parser


def evaluate(argv: list[str]) -> int:
    parser = Parser(
        prog="rnn-zoo evaluate",
        description="Measures a checkpoint on the data of its recipe; further flags override the recipe, for example "
        "--data_dir FOLDER. Prints JSON.",
    )
    parser.add_argument("checkpoint", help="folder that rnn-zoo train left, or the name of a checkpoint that ships")
    parser.add_argument("--split", default="validation", help="train, validation or test [validation]")
    args, flags = parser.parse_known_args(argv)
    print(json.dumps(run.evaluate(Path(place_of(args.checkpoint)), args.split, flags), indent=2))
    return 0
