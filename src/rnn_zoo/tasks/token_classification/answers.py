"""What `rnn-zoo tag` answers: texts, or a file in columns -> their entities, or their words with their labels."""

import argparse
import sys

from rich.console import Console

from ...checkpoint_files import json_text
from ...checkpoints import place_of
from ...command_line import given_lines, given_texts, in_parts
from ...data.formats import LINE_END, lines_of
from ...data.text_column import read_texts
from ...errors import UserError
from ...output import warn
from ...unseen import Unseen
from ..opening import load
from . import TASK
from .conll import GLOBAL_COLUMNS, Layout, token_places
from .keys import TaggingArguments
from .tagger import Tagger, show_text

ADDED_COLUMN = "predicted"  # its name, in a file whose columns have names


def answer(args: argparse.Namespace) -> int:
    """Tags what the flags name."""
    columns = args.columns

    def read_table(file: str) -> tuple[list[str], str]:
        return read_texts(file, args.token_column, option="token_column", encoding=args.encoding)

    if columns:
        lines, source = given_lines(args.text, args.file, "tag", with_ends=True, encoding=args.encoding)
    else:
        lines = given_texts(args.text, args.file, "tag", read_table, args.encoding)
    model, tokenizer = load(place_of(args.checkpoint), TASK.name, args.revision)
    try:
        tagger = Tagger(model, tokenizer, args.batch_size)
    except ValueError as error:
        raise UserError(f"{args.checkpoint}: {error}") from error
    unseen = Unseen(model, tokenizer)
    if columns:
        tag_columns(tagger, lines, source, args.token_column, args.json, unseen)
    else:
        tag_lines(tagger, lines, args.scores, args.json, unseen)
    sys.stdout.flush()  # here, so that a reader who has gone is noticed
    if note := unseen.note():
        warn(note)
    return 0


def tag_lines(tagger: Tagger, lines: list[str], scores: bool, as_json: bool, unseen: Unseen) -> None:
    """Prints each text with its entities, or where the labels are none, with the label of each word."""
    console = Console(highlight=False, soft_wrap=True)
    types = tagger.types
    for part in in_parts(lines, "tagging"):
        unseen.look_at(part)
        for text, found in zip(part, tagger.tag_texts(part, scores), strict=True):
            if as_json:
                parts = [{k: v for k, v in e._asdict().items() if v is not None} for e in found]
                print(json_text({"text": text, "entities" if tagger.are_entities else "words": parts}))
            elif console.is_terminal:
                console.print(show_text(text, found, types))
            else:
                print(" ".join(lines_of(show_text(text, found, types).plain)))


def tag_columns(
    tagger: Tagger, lines: list[str], source: str, token_column: str | None, as_json: bool, unseen: Unseen
) -> None:
    """Prints the lines of a file in columns with one column more."""
    bare = [line.rstrip(" \t\r\n") for line in lines]
    layout, places = token_places(bare, source, TaggingArguments(token_column=token_column))
    before = 0
    for part in in_parts(places, "tagging"):
        sentences = [[layout.fields(bare[n])[layout.token] for n in numbers] for numbers in part]
        tagged = tagger.tag_words(sentences)
        unseen.look_at_words(sentences)
        if as_json:
            for tokens, tags in zip(sentences, tagged, strict=True):
                print(json_text({"tokens": tokens, "tags": tags}))
            continue
        for numbers, tags in zip(part, tagged, strict=True):
            for n, tag_ in zip(numbers, tags, strict=True):
                print_others(lines, before, n, layout)
                print(one_column_more(lines[n], layout.separator, tag_), end="")
                before = n + 1
    if not as_json:
        print_others(lines, before, len(lines), layout)


def print_others(lines: list[str], start: int, end: int, layout: Layout) -> None:
    """Prints the lines `start` to `end`, which hold no word, as they are; where they have columns, with one more."""
    for number, line in enumerate(lines[start:end], start + 1):
        fields = layout.fields(line.rstrip(" \t\r\n"))
        if GLOBAL_COLUMNS.match(line):
            line = one_column_more(line, " ", ADDED_COLUMN)
        elif number == layout.header:
            line = one_column_more(line, layout.separator, ADDED_COLUMN)
        elif len(fields) == layout.width and layout.is_extra(fields):
            line = one_column_more(line, layout.separator, "_")
        print(line if LINE_END.search(line) else f"{line}\n", end="")


def one_column_more(line: str, separator: str, value: str) -> str:
    """The line with another column before its end, which the last line of a file may lack."""
    end = LINE_END.search(line)
    return line.rstrip(" \t\r\n") + separator + value + (end[0] if end else "\n")
