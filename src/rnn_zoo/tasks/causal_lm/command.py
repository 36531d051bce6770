"""`rnn-zoo generate`: a language model -> text, shown letter by letter."""

import argparse
from pathlib import Path

from ...checkpoints import look_for
from ...command_line import Parser, add_checkpoint
from ...errors import UserError
from ...folders import require_place
from ...models.ranges import Range
from .keys import RANGES


def read(argv: list[str]) -> argparse.Namespace:
    """The flags of `rnn-zoo generate`."""
    parser = Parser(
        prog="rnn-zoo generate", description="Writes text with a language model and shows each letter as it is made."
    )
    add_checkpoint(parser)
    parser.add_argument("--prompt", default="", help="what the text begins with [nothing]")
    parser.add_argument(
        "--temperature", type=float, within=Range(0), help="below 1 safer, above 1 wilder, 0 always the likeliest"
    )
    parser.add_argument("--max-new-tokens", "--max_new_tokens", type=int, within=Range(1), help="length")
    parser.add_argument(
        *("--top-k", "--top_k"),
        type=int,
        within=RANGES["top_k"],
        help="choose among so many likeliest tokens, 0 for all [the model's own]",
    )
    parser.add_argument(
        *("--top-p", "--top_p"),
        type=float,
        within=RANGES["top_p"],
        help="choose among the likeliest that sum to this [the model's own]",
    )
    parser.add_argument("--seed", type=int, within=RANGES["seed"], help="a number for the same text each time")
    parser.add_argument(
        "--weights", default="float32", help="of each step on a CPU: float16 and int8 are read faster [float32]"
    )
    parser.add_argument("--save-state", "--save_state", metavar="FILE", help="keep the state after the text in FILE")
    parser.add_argument(
        "--load-state", "--load_state", metavar="FILE", help="go on with the text whose state is in FILE, and its flags"
    )
    args = parser.parse_args(argv)
    if args.save_state:
        require_place(Path(args.save_state), "save_state")
        if not Path(args.save_state).absolute().parent.is_dir() or Path(args.save_state).is_dir():
            raise UserError(f"save_state={args.save_state!r}: must be a file in a folder that can be written to")
    if args.load_state and not Path(args.load_state).is_file():
        raise UserError(f"load_state={args.load_state!r}: there is no such file")
    look_for(args.checkpoint, args.revision)
    return args
