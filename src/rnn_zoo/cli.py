"""The commands of `rnn-zoo`; their names and one-line helps stand in `rnn_zoo_cli`, which does not import torch."""

import argparse
import dataclasses
import json
import math
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tokenizers.decoders import DecodeStream
from transformers.utils import logging

from .data.formats import read_text
from .data.token_classification import EXTENSIONS, GLOBAL_COLUMNS, Layout, TaggingArguments, token_places
from .errors import UserError
from .generation import GenerationStream
from .tagging import Tagger, show_text
from .tokenizers import unknown_characters
from .training import run
from .training.causal_lm import hidden_ids, stop_ids
from .training.recipe import GROUPS, TASK_GROUPS, find_recipe, read_recipe, read_values, recipe_files
from .training.tasks import TASKS

TRAIN_HELP = """usage: rnn-zoo train RECIPE [--key value ...]

Trains a model by a recipe: the name of a shipped one (`rnn-zoo list`) or a .yaml file of your own. Each key of a recipe
is also a flag, with underscores or hyphens; flags win. On several GPUs: accelerate launch -m rnn_zoo train RECIPE

  rnn-zoo train char_lm_shakespeare --data_dir data/tinyshakespeare
  rnn-zoo train char_lm_shakespeare --data_dir data/tinyshakespeare --cell_type gru --output_dir runs/gru
  rnn-zoo train char_lm_python --resume_from_checkpoint        go on after Ctrl-C
  rnn-zoo train ner_nepali_bilstm_crf --data_dir data/nepali   files in CoNLL columns
"""


COLUMN_FILES = [extension for extension in EXTENSIONS if extension != "txt"]
COLUMN_ENDINGS = tuple(f".{extension}" for extension in COLUMN_FILES)
ADDED_COLUMN = "predicted"  # its name, in a file whose columns have names
PART = 4096  # texts between two steps of the progress bar


class Parser(argparse.ArgumentParser):
    """Raises `UserError` where argparse would leave with its own message."""

    def error(self, message: str):
        raise UserError(f"{message} (`{self.prog} --help` explains)")


def run_command(name: str, argv: list[str]) -> int:
    """Runs a command and returns its exit status: 0 done, 2 wrong input, 130 stopped by the user."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()  # of loading and writing weights; Trainer has its own
    try:
        return COMMANDS[name](argv)
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
    tasks = [
        f"the task {' and '.join(name for name, task in TASKS.items() if task.arguments is group)}"
        for group in TASK_GROUPS
    ]
    titles = ("the run", "the data", *tasks, "the model (RnnConfig)", "the training (transformers.TrainingArguments)")
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
    model, tokenizer = run.load(place_of(args.checkpoint), "causal_lm")
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


def place_of(checkpoint: str) -> Path | str:
    """A folder, or what can only be a name on the Hub."""
    return Path(checkpoint) if Path(checkpoint).exists() or checkpoint[:1] in "./" else checkpoint


def write(stream: GenerationStream, tokenizer, prompt: str, length: int) -> None:
    """Shows a prompt and what follows, up to `length` tokens, or to where the model stops."""
    hidden = hidden_ids(stream.model, tokenizer)
    stops = stop_ids(stream.model)
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


def tag(argv: list[str]) -> int:
    parser = Parser(
        prog="rnn-zoo tag",
        description="Tags text with a tagger: one text a line, read as one sentence. Shows it with its entities in "
        "brackets, in colour on a terminal. A file in columns (CoNLL) comes back with one column more.",
    )
    parser.add_argument("checkpoint", help="folder, or the name of a model on the Hub")
    parser.add_argument("text", nargs="?", help="what is tagged; without it and --file, standard input is")
    parser.add_argument("--file", help="file of texts, or of columns, gzipped or not; - is standard input")
    parser.add_argument(
        "--conll", action="store_true", help=f"the file has columns, as .{', .'.join(COLUMN_FILES)} files always have"
    )
    parser.add_argument(
        "--token-column", "--token_column", help="its column of words: a number from 0, or a name [as in training]"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a text instead")
    parser.add_argument("--scores", action="store_true", help="with the probability of each entity (raw text)")
    parser.add_argument("--batch-size", "--batch_size", type=int, default=128, help="texts at once [128]")
    args = parser.parse_args(argv)
    if args.batch_size < 1:
        raise UserError(f"batch_size={args.batch_size}: must be at least 1")
    if args.text is not None and args.file is not None:
        raise UserError("give a text or --file, not both")
    if args.text is None and args.file in (None, "-"):
        if args.file is None and sys.stdin.isatty():
            raise UserError("nothing to tag: give a text, or --file FILE")
        text, source = standard_input(), "standard input"
    elif args.text is None:
        text, source = read_text(Path(args.file)), args.file
    else:
        text, source = args.text, "the text"
        if any("\ud800" <= character <= "\udfff" for character in text):  # what Python makes of other bytes
            raise UserError("the text is not UTF-8")
    columns = args.conll or (args.text is None and source.removesuffix(".gz").endswith(COLUMN_ENDINGS))
    if columns and args.scores:
        raise UserError("scores: are shown with raw text only")
    if args.token_column is not None and not columns:
        raise UserError("token_column: is for files in columns (--conll)")
    model, tokenizer = run.load(place_of(args.checkpoint), "token_classification")
    try:
        tagger = Tagger(model, tokenizer, args.batch_size)
        if not columns:
            tagger.require_entities()
    except ValueError as error:
        raise UserError(f"{args.checkpoint}: {error}") from error
    lines = text.removesuffix("\n").split("\n") if text or args.text is not None else []
    if columns:
        tag_columns(tagger, lines, source, args.token_column, args.json)
    else:
        tag_lines(tagger, [line.rstrip("\r") for line in lines], args.scores, args.json)
    sys.stdout.flush()  # here, so that a reader who has gone is noticed
    return 0


def standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"standard input: byte {error.start} is not UTF-8") from error


def in_parts(items: list, what: str) -> Iterator[list]:
    """`items` in parts, with a progress bar on a terminal where there are many."""
    parts = [items[n : n + PART] for n in range(0, len(items), PART)]
    hidden = len(parts) < 2 or not sys.stderr.isatty()
    return iter(track(parts, what, console=Console(stderr=True), disable=hidden))


def tag_lines(tagger: Tagger, lines: list[str], scores: bool, as_json: bool) -> None:
    """Prints each text with its entities."""
    console = Console(highlight=False, soft_wrap=True)
    types = list(dict.fromkeys(label[2:] for label in tagger.labels if label != "O"))
    for part in in_parts(lines, "tagging"):
        for text, found in zip(part, tagger.tag_texts(part, scores), strict=True):
            if as_json:
                entities = [{k: v for k, v in e._asdict().items() if v is not None} for e in found]
                print(json.dumps({"text": text, "entities": entities}, ensure_ascii=False))
            elif console.is_terminal:
                console.print(show_text(text, found, types))
            else:
                print(show_text(text, found, types).plain)


def tag_columns(tagger: Tagger, lines: list[str], source: str, token_column: str | None, as_json: bool) -> None:
    """Prints the lines of a file in columns with one column more."""
    bare = [line.rstrip(" \t\r") for line in lines]
    layout, places = token_places(bare, source, TaggingArguments(token_column=token_column))
    before = 0
    for part in in_parts(places, "tagging"):
        sentences = [[layout.fields(bare[n])[layout.token] for n in numbers] for numbers in part]
        tagged = tagger.tag_words(sentences)
        if as_json:
            for tokens, tags in zip(sentences, tagged, strict=True):
                print(json.dumps({"tokens": tokens, "tags": tags}, ensure_ascii=False))
            continue
        for numbers, tags in zip(part, tagged, strict=True):
            for n, tag_ in zip(numbers, tags, strict=True):
                print_others(lines, before, n, layout)
                print(one_column_more(lines[n], layout.separator, tag_))
                before = n + 1
    if not as_json:
        print_others(lines, before, len(lines), layout)


def print_others(lines: list[str], start: int, end: int, layout: Layout) -> None:
    """Prints the lines `start` to `end`, which hold no word, as they are; where they have columns, with one more."""
    for number, line in enumerate(lines[start:end], start + 1):
        fields = layout.fields(line)
        if GLOBAL_COLUMNS.match(line):
            line = one_column_more(line, " ", ADDED_COLUMN)
        elif number == layout.header:
            line = one_column_more(line, layout.separator, ADDED_COLUMN)
        elif len(fields) == layout.width and layout.is_extra(fields):
            line = one_column_more(line, layout.separator, "_")
        print(line)


def one_column_more(line: str, separator: str, value: str) -> str:
    end = "\r" if line.endswith("\r") else ""
    return line.rstrip(" \t\r") + separator + value + end


def list_recipes(argv: list[str]) -> int:
    Parser(prog="rnn-zoo list", description="Shows the recipes that `rnn-zoo train` knows by name.").parse_args(argv)
    table = Table("recipe", "what it trains", "to compare with", box=None, padding=(0, 2, 0, 0))
    known = {f.name for group in GROUPS for f in dataclasses.fields(group)}
    for name, path in recipe_files().items():
        values = {key: value[0] for key, (_, value) in read_values(path, known).items() if value}
        table.add_row(name, values.get("description", ""), values.get("published", ""))
    Console(highlight=False).print(table)
    return 0


COMMANDS = {"train": train, "evaluate": evaluate, "generate": generate, "tag": tag, "list": list_recipes}
