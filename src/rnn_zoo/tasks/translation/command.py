"""`rnn-zoo translate`: texts -> translations, and a picture of where the model looked."""

import argparse

from ...command_line import TextParser, check_to_be_written, is_table
from ...errors import UserError
from ...inspect.pictures import SUFFIXES
from ...models.ranges import Range

# Flags of `generate`: kind, range, help.
SEARCH: list[tuple[str, type, Range, str]] = [
    ("--length_penalty", float, Range(), "above 0 longer translations are preferred (num_beams above 1)"),
    ("--no_repeat_ngram_size", int, Range(0), "no so many tokens in a row come twice in a translation; 0: any may"),
    ("--repetition_penalty", float, Range(0, above=True), "above 1 tokens that were written are rarer, 1: as they are"),
    ("--min_new_tokens", int, Range(0), "shortest translation"),
]
MOST_MAPS = 100  # a picture of more would not be looked at


def read(argv: list[str]) -> argparse.Namespace:
    """The flags of `rnn-zoo translate`."""
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
        check_to_be_written(args.attention, "attention", SUFFIXES)
    if args.source_lang is not None and not is_table(args.file):
        raise UserError("source_lang: is for a table (.tsv, .csv, .jsonl)")
    return args
