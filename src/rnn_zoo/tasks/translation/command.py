"""`rnn-zoo translate`: texts -> translations, and a picture of where the model looked."""

import sys
import warnings
from pathlib import Path

from ...checkpoint_files import json_text
from ...checkpoints import place_of, recipe_value
from ...command_line import TextParser, given_texts, in_parts, is_table, lines_from_standard_input
from ...data.formats import lines_of
from ...errors import UserError
from ...folders import require_place
from ...inspect.attention import AttentionMap, save_attention
from ...inspect.pictures import SUFFIXES
from ...models.ranges import Range
from ...output import warn
from ...unseen import Unseen
from ..opening import load
from . import TASK
from .pairs import read_sources
from .translator import Translation, Translator

PART = 1024  # texts between two steps of the progress bar
# Flags of `generate`: kind, range, help.
SEARCH: list[tuple[str, type, Range, str]] = [
    ("--length_penalty", float, Range(), "above 0 longer translations are preferred (num_beams above 1)"),
    ("--no_repeat_ngram_size", int, Range(0), "no so many tokens in a row come twice in a translation; 0: any may"),
    ("--repetition_penalty", float, Range(0, above=True), "above 1 tokens that were written are rarer, 1: as they are"),
    ("--min_new_tokens", int, Range(0), "shortest translation"),
]
MOST_MAPS = 100  # a picture of more would not be looked at


def translate(argv: list[str]) -> int:
    parser = TextParser(
        "translate",
        "Translates text, one sentence a line. Standard input is answered line by line; a file is read whole and "
        "translated in batches, the order stays. A blank line stays blank.",
        done="translated",
        file="file of sentences, one a line, or a table (.tsv, .csv, .jsonl) with a column of them, each gzipped or "
        "not; - is all of standard input at once",
        batch_size=64,
    )
    parser.add_argument(
        *("--num-beams", "--num_beams"),
        type=int,
        within=Range(1),
        help="translations followed at a time, 1 is greedy [the model's own]",
    )
    parser.add_argument(
        *("--max-new-tokens", "--max_new_tokens"),
        type=int,
        within=Range(1),
        help="longest translation [the model's own]",
    )
    for name, kind, within, what in SEARCH:
        parser.add_argument(name, name.replace("_", "-"), dest=name.strip("-"), type=kind, within=within, help=what)
    parser.add_argument(
        *("--max-source-length", "--max_source_length"),
        type=int,
        within=Range(2),
        help="cut longer sources to so many tokens [read whole]",
    )
    parser.add_argument(
        "--source-lang",
        "--source_lang",
        help="the table's column of sentences: a name, a language, or a number from 0 [as in training]",
    )
    parser.add_argument(
        "--attention",
        metavar="FILE",
        help=f"draw where the model looked, for the first {MOST_MAPS} texts; the name ends in {', '.join(SUFFIXES)}",
    )
    args = parser.read(argv)
    if args.attention is not None:
        check_picture(Path(args.attention))
    by_line = args.text is None and args.file is None and not sys.stdin.isatty()
    if args.source_lang is not None and not is_table(args.file):
        raise UserError("source_lang: is for a table (.tsv, .csv, .jsonl)")

    def read_table(file: str) -> tuple[list[str], str]:
        place = place_of(args.checkpoint)
        source_lang, target_lang = (recipe_value(place, f"{side}_lang", args.revision) for side in ("source", "target"))
        return read_sources(file, args.source_lang, source_lang, target_lang, args.encoding)

    lines = [] if by_line else given_texts(args.text, args.file, "translate", read_table, args.encoding)
    model, tokenizer = load(place_of(args.checkpoint), TASK.name, args.revision)
    if args.num_beams is not None and (refusal := model.config.refusal_of_beams(args.num_beams)):
        raise UserError(refusal)
    if args.attention is not None and model.config.attention == "none":
        raise UserError(f"attention: {args.checkpoint} has none, so there is nothing to look at")
    translator = Translator(model, tokenizer, args.batch_size, args.max_source_length)
    names = ("num_beams", "max_new_tokens", *(name.strip("-") for name, *_ in SEARCH))
    options = {name: value for name in names if (value := getattr(args, name)) is not None}
    check_search(args, model)
    unseen = Unseen(model, tokenizer)
    maps: list[AttentionMap] = []
    for part in lines_from_standard_input(args.encoding) if by_line else in_parts(lines, "translating", PART):
        found = translator(part, attention=len(maps) < MOST_MAPS and args.attention is not None, **options)
        for text, translation in zip(part, found, strict=True):
            show(text, translation, args.json)
            if translation.attention is not None and len(maps) < MOST_MAPS:
                maps.append(translation.attention)
        sys.stdout.flush()  # here, so that a reader who has gone is noticed
        unseen.look_at(part)
    if note := unseen.note():
        warn(note)
    if maps:
        draw(Path(args.attention), maps)
    return 0


def check_search(args, model) -> None:
    """Says of a flag that it means nothing with the others; raises `UserError` for two that cannot both hold."""
    beams = args.num_beams if args.num_beams is not None else model.generation_config.num_beams or 1
    if args.length_penalty is not None and beams == 1:
        warn("length_penalty: chooses among beams, and there is one (--num_beams)")
    longest = args.max_new_tokens if args.max_new_tokens is not None else model.generation_config.max_new_tokens
    if args.min_new_tokens is not None and longest is not None and args.min_new_tokens > longest:
        raise UserError(f"min_new_tokens={args.min_new_tokens}: must not be above max_new_tokens, which is {longest}")


def draw(path: Path, maps: list[AttentionMap]) -> None:
    """Writes the picture; its warnings, as of a missing font, are lines of ours."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            save_attention(path, maps)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # names the file
        raise UserError(str(error)) from error
    for warning in caught:
        warn(str(warning.message))


def check_picture(path: Path) -> None:
    """Says before anything is translated that a picture cannot be written."""
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"attention={str(path)!r}: must end in one of {', '.join(SUFFIXES)}")
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise UserError(f"attention={str(path)!r}: must be a file in a folder that is there")
    require_place(path, "attention")


def show(text: str, translation: Translation, as_json: bool) -> None:
    """Prints a translation as one line, whatever line ends the model has written."""
    if as_json:
        print(json_text({"text": text, "translation": translation.text}))
    else:
        print(" ".join(lines_of(translation.text)))
