"""The commands of `rnn-zoo`; their names and one-line helps stand in `rnn_zoo_cli`, which does not import torch."""

import argparse
import dataclasses
import json
import math
import os
import sys
from itertools import islice
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from tokenizers.decoders import DecodeStream
from transformers.utils import logging

from .errors import UserError
from .generation import GenerationStream
from .tokenizers import unknown_characters
from .training import run
from .training.recipe import GROUPS, find_recipe, read_recipe, read_values, recipe_files

TRAIN_HELP = """usage: rnn-zoo train RECIPE [--key value ...]

Trains a model by a recipe: the name of a shipped one (`rnn-zoo list`) or a .yaml file of your own. Each key of a recipe
is also a flag, with underscores or hyphens; flags win. On several GPUs: accelerate launch -m rnn_zoo train RECIPE

  rnn-zoo train char_lm_shakespeare --data_dir data/tinyshakespeare
  rnn-zoo train char_lm_shakespeare --data_dir data/tinyshakespeare --cell_type gru --output_dir runs/gru
  rnn-zoo train char_lm_python --resume_from_checkpoint        go on after Ctrl-C
"""


class Parser(argparse.ArgumentParser):
    """Raises `UserError` where argparse would leave with its own message."""

    def error(self, message: str):
        raise UserError(f"{message} (`{self.prog} --help` explains)")


def run_command(name: str, argv: list[str]) -> int:
    """Runs a command and returns its exit status: 0 done, 2 wrong input, 130 stopped by the user."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()  # of loading and writing weights; Trainer has its own
    try:
        return {"train": train, "evaluate": evaluate, "generate": generate, "list": list_recipes}[name](argv)
    except UserError as error:
        print(f"rnn-zoo: {error}", file=sys.stderr)
        return 2
    except run.Interrupted as stopped:
        print(f"rnn-zoo: {stopped}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115 (so that closing it at exit says nothing)
        return 0


def train(argv: list[str]) -> int:
    if not argv or {"-h", "--help"} & set(argv):
        print(TRAIN_HELP)
        print_keys()
        return 0 if argv else 2
    try:
        run.train(read_recipe(find_recipe(argv[0]), argv[1:]))
    finally:
        # A process that ends while its group's threads live may abort.
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    return 0


def print_keys() -> None:
    """The keys of a recipe by group; those of TrainingArguments by name only, the library documents them."""
    console = Console(highlight=False)
    titles = ("the run", "the data", "the model (RnnConfig)", "the training (transformers.TrainingArguments)")
    for group, title in zip(GROUPS, titles, strict=True):
        console.print(f"[bold]{title}[/bold]")
        fields = [f for f in dataclasses.fields(group) if f.init]
        if group is GROUPS[-1]:
            console.print("  " + ", ".join(f.name for f in fields))
            continue
        table = Table.grid(padding=(0, 2))
        for f in fields:
            default = f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
            text = f.metadata.get("help", "").replace("%%", "%")
            table.add_row(f"  --{f.name}", f"{text} \\[{json.dumps(default)}]")
        console.print(table)


def evaluate(argv: list[str]) -> int:
    parser = Parser(
        prog="rnn-zoo evaluate",
        description="Measures a checkpoint on the data of its recipe; further flags override the recipe, for example "
        "--data_dir FOLDER. Prints JSON.",
    )
    parser.add_argument("checkpoint", type=Path, help="folder that rnn-zoo train left")
    parser.add_argument("--split", default="validation", help="train, validation or test [validation]")
    args, flags = parser.parse_known_args(argv)
    print(json.dumps(run.evaluate(args.checkpoint, args.split, flags), indent=2))
    return 0


def generate(argv: list[str]) -> int:
    parser = Parser(
        prog="rnn-zoo generate", description="Writes text with a language model and shows each letter as it is made."
    )
    parser.add_argument("checkpoint", help="folder, or the name of a model on the Hub")
    parser.add_argument("--prompt", default="", help="what the text begins with [nothing]")
    parser.add_argument("--temperature", type=float, help="below 1 safer, above 1 wilder, 0 always the likeliest")
    parser.add_argument("--max-new-tokens", "--max_new_tokens", type=int, help="length")
    parser.add_argument(
        "--top-k", "--top_k", type=int, help="choose among so many likeliest tokens, 0 for all [the model's own]"
    )
    parser.add_argument(
        "--top-p", "--top_p", type=float, help="choose among the likeliest that sum to this [the model's own]"
    )
    parser.add_argument("--seed", type=int, help="a number for the same text each time")
    parser.add_argument("--save-state", "--save_state", metavar="FILE", help="keep the state after the text in FILE")
    parser.add_argument(
        "--load-state", "--load_state", metavar="FILE", help="go on with the text whose state is in FILE, and its flags"
    )
    args = parser.parse_args(argv)
    for name, least in {"temperature": 0, "max_new_tokens": 1, "top_k": 0, "seed": 0}.items():
        value = getattr(args, name)
        if value is not None and not (value >= least and math.isfinite(value)):
            raise UserError(f"{name}={value}: must be at least {least}")
    if args.top_p is not None and not 0 < args.top_p <= 1:
        raise UserError(f"top_p={args.top_p}: must be above 0 and at most 1")
    if args.save_state:
        folder = Path(args.save_state).absolute().parent
        if not folder.is_dir() or not os.access(folder, os.W_OK) or Path(args.save_state).is_dir():
            raise UserError(f"save_state={args.save_state!r}: must be a file in a folder that can be written to")
    if args.load_state and not Path(args.load_state).is_file():
        raise UserError(f"load_state={args.load_state!r}: there is no such file")
    if args.seed is not None and args.seed >= 2**63:
        raise UserError(f"seed={args.seed}: must be below 2**63")
    checkpoint = Path(args.checkpoint)
    model, tokenizer = run.load(checkpoint if checkpoint.exists() or args.checkpoint[:1] in "./" else args.checkpoint)
    unknown = unknown_characters(tokenizer, args.prompt)
    if unknown:
        names = ", ".join(repr(character) for character in unknown)
        run.warn(f"the model never saw {names}: read as {tokenizer.unk_token}")

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
    hidden = run.hidden_ids(stream.model, tokenizer)
    stops = run.stop_ids(stream.model)
    before = [] if stream.token is None else stream.token.tolist()  # of a text that goes on: what it ended with
    if prompt:
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"].long()
        stream.read(ids)
        before += ids[0].tolist()
    printer = Printer(tokenizer, hidden, before)
    sys.stdout.write(prompt)
    for token in islice(stream, length):
        printer.put(int(token))
        if int(token) in stops:
            break
    printer.end()
    sys.stdout.write("\n")


class Printer:
    """Prints each token's text as soon as it is whole characters; that of the tokens `before` is not shown."""

    def __init__(self, tokenizer, hidden: set[int], before: list[int]):
        self.tokenizer = tokenizer
        self.hidden = hidden
        self.ids = [token for token in before if token not in hidden]
        self.stream = DecodeStream(ids=self.ids, skip_special_tokens=False)
        self.shown = tokenizer.decode(self.ids)

    def put(self, token: int) -> None:
        if token not in self.hidden:
            self.ids.append(token)
            self.show(self.stream.step(self.tokenizer.backend_tokenizer, token) or "")

    def end(self) -> None:
        whole = self.tokenizer.decode(self.ids)  # what was held back, waiting for the rest of a character
        if whole.startswith(self.shown):
            self.show(whole[len(self.shown) :])

    def show(self, text: str) -> None:
        self.shown += text
        sys.stdout.write(text)
        sys.stdout.flush()


def list_recipes(argv: list[str]) -> int:
    Parser(prog="rnn-zoo list", description="Shows the recipes that `rnn-zoo train` knows by name.").parse_args(argv)
    table = Table("recipe", "what it trains", "to compare with", box=None, padding=(0, 2, 0, 0))
    known = {f.name for group in GROUPS for f in dataclasses.fields(group)}
    for name, path in recipe_files().items():
        values = {key: value[0] for key, (_, value) in read_values(path, known).items() if value}
        table.add_row(name, values.get("description", ""), values.get("published", ""))
    Console(highlight=False).print(table)
    return 0
