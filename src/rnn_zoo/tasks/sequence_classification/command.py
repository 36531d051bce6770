"""`rnn-zoo classify`: texts -> their labels, and the words that moved the decision."""

import argparse
from pathlib import Path

from ...checkpoints import look_for
from ...command_line import TextParser, check_to_be_written, is_table
from ...errors import UserError
from . import SUFFIX

MOST_EXPLAINED = 100  # texts on a page: more would not be looked at
ON_TERMINAL = ""  # the value of --explain without a file

DESCRIPTION = f"""\
Classifies text, one text a line: prints its label, the label's probability and the text, between
tabs. Several labels stand between commas, those above one half; a regression prints its number in
place of label and probability. Standard input is answered line by line; a file is read whole and
classified in batches, the order stays. An empty line has an answer too: what the model says
without a word.

--explain shows which words spoke for the label and which against it (gradient x input), and where
the model looked, if it has attention: in colour on a terminal, or as a page, for the first
{MOST_EXPLAINED} texts."""

EXAMPLES = """\
examples:
  rnn-zoo train sentiment_sample
  rnn-zoo classify runs/sentiment_sample "The film is not good." --explain
  rnn-zoo classify runs/sentiment_sample --file reviews.txt --explain reviews.html > labels.tsv
  rnn-zoo classify runs/sentiment_sample --file reviews.txt --json | jq .scores.positive
  rnn-zoo classify runs/forward --and runs/backward --file reviews.txt | cut -f 1 | sort | uniq -c"""


def read(argv: list[str]) -> argparse.Namespace:
    """The flags of `rnn-zoo classify`."""
    parser = TextParser(
        "classify",
        DESCRIPTION,
        done="classified",
        file="file of texts, a text a line, or a table (.tsv, .csv, .jsonl) with a column of texts, each gzipped or "
        "not; - is all of standard input at once",
        batch_size=64,
    )
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EXAMPLES
    parser.add_argument(
        "--and",
        dest="others",
        metavar="CHECKPOINT",
        action="append",
        default=[],
        help="another classifier with the same labels, as one that reads backward: the mean of all counts; repeatable",
    )
    parser.add_argument(
        "--explain",
        metavar=f"FILE{SUFFIX}",
        nargs="?",
        const=ON_TERMINAL,
        help="show the words that moved the decision, here or as a page",
    )
    parser.add_argument(
        "--document-column",
        "--document_column",
        help="the table's column of texts: a number from 0, or a name [as in training]",
    )
    args = parser.read(argv)
    text, page = args.text, args.explain
    if page and Path(page).suffix.lower() != SUFFIX and text is None and args.file is None:
        text, page = page, ON_TERMINAL  # `--explain "some text"`
    if page:
        check_to_be_written(page, "explain", [SUFFIX])
    if page is not None and args.others:
        raise UserError("explain: is for one checkpoint, not for the mean of several (--and)")
    if args.revision is not None and args.others:
        raise UserError("revision: is for one checkpoint, not for the mean of several (--and)")
    if args.document_column is not None and not is_table(args.file):
        raise UserError("document_column: is for a table (.tsv, .csv, .jsonl)")
    for other in args.others:
        look_for(other)
    args.text, args.explain = text, page
    return args
