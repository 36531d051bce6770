"""What `rnn-zoo generate` answers: text, shown letter by letter."""

import argparse
import sys

from ...checkpoints import place_of
from ...errors import UserError
from ...output import warn
from ...unseen import Unseen
from ..opening import load
from . import TASK
from .generation import GenerationStream, continuation


def answer(args: argparse.Namespace) -> int:
    """Writes what the flags ask for."""
    model, tokenizer = load(place_of(args.checkpoint), TASK.name, args.revision)
    unseen = Unseen(model, tokenizer)
    unseen.look_at([args.prompt])
    if note := unseen.note():
        warn(note)

    settings = {"temperature": args.temperature, "top_k": args.top_k, "top_p": args.top_p, "seed": args.seed}
    settings = {name: value for name, value in settings.items() if value is not None}
    if args.temperature == 0:
        settings = {"do_sample": False, "temperature": 1.0}
    settings["weights"] = args.weights
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
