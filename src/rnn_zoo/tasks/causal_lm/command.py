"""`rnn-zoo generate`: a language model -> text, shown letter by letter."""

import sys
from pathlib import Path

from ...checkpoints import place_of
from ...command_line import Parser, add_checkpoint
from ...errors import UserError
from ...folders import require_place
from ...models.ranges import Range
from ...output import warn
from ...unseen import Unseen
from ..opening import load
from . import TASK
from .generation import RANGES, GenerationStream, continuation


def generate(argv: list[str]) -> int:
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
    model, tokenizer = load(place_of(args.checkpoint), TASK.name, args.revision)
    unseen = Unseen(model, tokenizer)
    unseen.look_at([args.prompt])
    if note := unseen.note():
        warn(note)

    settings = {"temperature": args.temperature, "top_k": args.top_k, "top_p": args.top_p, "seed": args.seed}
    settings = {name: value for name, value in settings.items() if value is not None}
    if args.temperature == 0:
        settings = {"do_sample": False, "temperature": 1.0}
    try:
        if args.load_state:
            stream = GenerationStream.load(model, args.load_state, **settings)
        else:
            stream = GenerationStream(model, **settings)
    except (OSError, ValueError) as error:
        raise UserError(str(error)) from error
    try:
        write(stream, tokenizer, args.prompt, args.max_new_tokens or model.generation_config.max_new_tokens or 100)
    finally:  # also what was written until Ctrl-C can be gone on from
        if args.save_state:
            stream.save(args.save_state)
    return 0


def write(stream: GenerationStream, tokenizer, prompt: str, length: int) -> None:
    """Shows a prompt and what follows, up to `length` tokens, or to where the model stops."""
    sys.stdout.write(prompt)
    for piece in continuation(stream, tokenizer, prompt, length):
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
