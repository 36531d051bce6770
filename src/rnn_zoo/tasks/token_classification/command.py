"""`rnn-zoo tag`: texts, or a file in columns -> their entities, or their words with their labels."""

import argparse

from ...command_line import TextParser, is_table
from ...data.tables import kind_of
from ...errors import UserError
from .keys import EXTENSIONS

COLUMN_FILES = [extension for extension in EXTENSIONS if extension != "txt"]


def read(argv: list[str]) -> argparse.Namespace:
    """The flags of `rnn-zoo tag`."""
    parser = TextParser(
        "tag",
        "Tags text with a tagger: one text a line, read as one sentence. Shows it with its entities in brackets, or, "
        "where the labels are none, as parts of speech, each word; in colour on a terminal. A file in columns "
        "(CoNLL) comes back with one column more.",
        done="tagged",
        file="file of texts, of columns, or a table (.csv, .jsonl) with a column of texts, each gzipped or not; - is "
        "standard input",
        batch_size=128,
    )
    parser.add_argument(
        "--conll", action="store_true", help=f"the file has columns, as .{', .'.join(COLUMN_FILES)} files always have"
    )
    parser.add_argument(
        "--token-column",
        "--token_column",
        help="its column of words, a table's column of texts: a number from 0, or a name [as in training]",
    )
    parser.add_argument("--scores", action="store_true", help="with the probability of each entity, or word (raw text)")
    args = parser.read(argv)
    columns = args.conll or kind_of(args.file or "") in COLUMN_FILES
    if columns and args.scores:
        raise UserError("scores: are shown with raw text only")
    if args.token_column is not None and not columns and not is_table(args.file):
        raise UserError("token_column: is for files in columns (--conll), and for tables (.csv, .jsonl)")
    args.columns = columns
    return args
