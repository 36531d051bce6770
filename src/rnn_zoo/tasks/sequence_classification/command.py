"""`rnn-zoo classify`: texts -> their labels, and the words that moved the decision."""

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from ...checkpoint_files import json_text
from ...checkpoints import place_of, recipe_value
from ...command_line import TextParser, given_texts, in_parts, is_table, lines_from_standard_input
from ...data.fasttext import WITHOUT_LABELS, without_labels
from ...data.formats import lines_of
from ...data.text_column import read_texts
from ...errors import UserError
from ...folders import require_place
from ...models.keys_classifier import REGRESSION, SINGLE
from ...output import CONTROL, warn
from ...unseen import Unseen
from .. import opening
from . import TASK
from .classifier import Classification, Classifier
from .explanation import SUFFIX, Explanation, explain, lists_of, save_explanations, show_explanation

PART = 1024  # texts between two steps of the progress bar
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
  rnn-zoo classify runs/sentiment_sample "A fine film." --explain
  rnn-zoo classify runs/sentiment_sample --file reviews.txt --explain reviews.html > labels.tsv
  rnn-zoo classify runs/sentiment_sample --file reviews.txt --json | jq .scores.positive
  rnn-zoo classify runs/forward --and runs/backward --file reviews.txt | cut -f 1 | sort | uniq -c"""


def classify(argv: list[str]) -> int:
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
        check_page(page)
    if page is not None and args.others:
        raise UserError("explain: is for one checkpoint, not for the mean of several (--and)")
    if args.revision is not None and args.others:
        raise UserError("revision: is for one checkpoint, not for the mean of several (--and)")
    by_line = text is None and args.file is None and not sys.stdin.isatty()
    if args.document_column is not None and not is_table(args.file):
        raise UserError("document_column: is for a table (.tsv, .csv, .jsonl)")

    def read_table(file: str) -> tuple[list[str], str]:
        usual = recipe_value(place_of(args.checkpoint), "document_column", args.revision)
        return read_texts(file, args.document_column, usual, encoding=args.encoding)

    lines = [] if by_line else given_texts(text, args.file, "classify", read_table, args.encoding)
    if args.file is not None and (texts := without_labels(lines)) is not None:
        lines = texts
        warn(f"{args.file}: its texts are {WITHOUT_LABELS}")
    classifier = open_classifier(args.checkpoint, args.others, args.batch_size, args.revision)
    if page is not None and not classifier.tokenizer.is_fast:
        raise UserError(f"explain: the tokenizer of {args.checkpoint} does not tell where its tokens stand in a text")
    console = Console(highlight=False, soft_wrap=True)
    unseen = [Unseen(one.model, one.tokenizer) for one in (classifier, *classifier.others)]
    on_page: list[Explanation] = []
    for part in lines_from_standard_input(args.encoding) if by_line else in_parts(lines, "classifying", PART):
        found = classifier.classify(part)
        wanted = part[: MOST_EXPLAINED - len(on_page)] if page and not args.json else part if page is not None else []
        explained = explain(classifier.model, classifier.tokenizer, wanted, batch_size=args.batch_size)
        for n, (text, classification) in enumerate(zip(part, found, strict=True)):
            why = explained[n] if n < len(explained) else None
            if args.json:
                print(as_json(text, classification, classifier.problem_type, why))
            else:
                show(console, text, classification, classifier.problem_type, None if page else why)
        on_page += explained[: MOST_EXPLAINED - len(on_page)] if page else []
        sys.stdout.flush()  # here, so that a reader who has gone is noticed
        for one in unseen:
            one.look_at(part)
    for note in dict.fromkeys(one.note() for one in unseen):  # several models may have one vocabulary
        if note:
            warn(note)
    if on_page:
        write_page(page, on_page)
    return 0


def open_classifier(checkpoint: str, others: list[str], batch_size: int, revision: str | None = None) -> Classifier:
    """The classifier of a checkpoint, or the mean of several.

    Raises:
        UserError: for what is no classifier, or others whose labels are not the same.
        HubError: if the Hub or the way to it fails.
    """
    found: list[Classifier] = []
    for name in [*others, checkpoint]:
        model, tokenizer = opening.load(place_of(name), TASK.name, revision)
        try:
            found.append(Classifier(model, tokenizer, batch_size))
        except ValueError as error:
            raise UserError(f"{name}: {error}") from error
    first = found.pop()
    for name, other in zip(others, found, strict=True):
        try:
            Classifier(first.model, first.tokenizer, batch_size, others=[other])
        except ValueError as error:
            raise UserError(f"and={name!r}: {error}, which {checkpoint} has") from error
    return Classifier(first.model, first.tokenizer, batch_size, others=found)


def show(console: Console, text: str, found: Classification, problem_type: str, why: Explanation | None) -> None:
    """Prints a text behind its label, and below it the lists of an explanation."""
    fields = fields_of(found, problem_type)
    if not console.is_terminal:
        print("\t".join([*fields, " ".join(lines_of(text))]))
    else:
        # A terminal would obey control characters of a text.
        shown = show_explanation(why) if why else Text(CONTROL.sub("", text))
        console.print(Text("\t").join([*(Text(field, style="bold") for field in fields), shown]))
    for head, entries in lists_of(why) if why else []:
        line = f"  {head}: {'   '.join(entries)}"
        print(CONTROL.sub("", line) if console.is_terminal else line)


def fields_of(found: Classification, problem_type: str) -> list[str]:
    """What stands before a text: labels and their probabilities, or the numbers of a regression."""
    if problem_type == REGRESSION:
        return [",".join(f"{number:.6g}" for number in found.scores.values())]
    return [",".join(found.labels), ",".join(f"{found.scores[label]:.4f}" for label in found.labels)]


def as_json(text: str, found: Classification, problem_type: str, why: Explanation | None) -> str:
    """One object: the text, its label or labels, all scores, and perhaps what explains them."""
    answer: dict[str, Any] = {"text": text}
    if problem_type == SINGLE:
        answer["label"] = found.labels[0]
    elif problem_type != REGRESSION:
        answer["labels"] = found.labels
    answer["scores"] = {label: round(score, 6) for label, score in found.scores.items()}
    if why is not None:
        answer["explained"] = why.label
        answer["explanation"] = [
            word._asdict()
            | {"gradient": float(f"{word.gradient:.6g}")}
            | {"attention": None if word.attention is None else round(word.attention, 6)}
            for word in why.words
        ]
    return json_text(answer)


def check_page(page: str) -> None:
    """Says before anything is classified that a page cannot be written."""
    path = Path(page)
    if path.suffix.lower() != SUFFIX:
        raise UserError(f"explain={page!r}: must end in {SUFFIX}")
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise UserError(f"explain={page!r}: must be a file in a folder that is there")
    require_place(path, "explain")


def write_page(page: str, explanations: list[Explanation]) -> None:
    try:
        save_explanations(page, explanations)
    except OSError as error:
        raise UserError(f"{page}: {error.strerror or error}") from error
