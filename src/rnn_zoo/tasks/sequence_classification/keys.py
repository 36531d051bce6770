"""The keys of a recipe that only classifiers have."""

from dataclasses import dataclass, field
from typing import Annotated

from ...models.keys_classifier import SINGLE, ProblemType
from ...models.ranges import Range


@dataclass
class ClassificationArguments:
    """What the labels are, where they stand, and how much of a text is read."""

    problem_type: ProblemType = field(
        default=SINGLE,
        metadata={"help": "One label a text, any number of them (between commas), or numbers (regression)."},
    )
    document_column: str | None = field(
        default=None,
        metadata={"help": "Column of texts: a number from 0, or a name; found by its name, else the second."},
    )
    label_column: str | None = field(
        default=None,
        metadata={
            "help": "Column of labels: a number from 0, or a name; found by its name, else the first. Where each of "
            "several labels has a column of 0 and 1 of its own: their names, between commas; found by what they hold."
        },
    )
    train_file: str | None = field(
        default=None,
        metadata={
            "help": "File in data_dir to train on, where there are several; validation and test files are those named "
            "likewise (movie_train.tsv, movie_valid.tsv), else the plain ones (train_phrases.tsv, valid.tsv)."
        },
    )
    max_text_length: Annotated[int | None, Range(1)] = field(
        default=None, metadata={"help": "Tokens of a text that are read, from its beginning; all if not told."}
    )
    balance_classes: bool = field(
        default=False,
        metadata={"help": "Weigh the loss of each class by n / (K n_k), so that rare ones count as much."},
    )
