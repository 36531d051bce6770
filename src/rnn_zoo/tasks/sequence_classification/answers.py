"""What `rnn-zoo classify` answers: texts -> their labels, and the words that moved the decision."""

import argparse
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from ...checkpoint_files import json_text
from ...checkpoints import place_of, recipe_value
from ...command_line import given_texts, in_parts, lines_from_standard_input
from ...data.fasttext import WITHOUT_LABELS, without_labels
from ...data.formats import lines_of
from ...data.text_column import read_texts
from ...errors import UserError
from ...models.keys_classifier import REGRESSION, SINGLE
from ...output import CONTROL, warn
from ...unseen import Unseen
from .. import opening
from . import TASK
from .classifier import Classification, Classifier
from .command import MOST_EXPLAINED
from .explanation import Explanation, explain, lists_of, save_explanations, show_explanation

PART = 1024  # texts between two steps of the progress bar


def answer(args: argparse.Namespace) -> int:
    """Classifies what the flags name."""
    text, page = args.text, args.explain
    by_line = text is None and args.file is None and not sys.stdin.isatty()

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
    if page and on_page:
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


def write_page(page: str, explanations: list[Explanation]) -> None:
    try:
        save_explanations(page, explanations)
    except OSError as error:
        raise UserError(f"{page}: {error.strerror or error}") from error
