"""The keys of a recipe that only classifiers have."""

from dataclasses import dataclass

from ...models.keys import key
from ...models.keys_classifier import SINGLE, ProblemType
from ...models.ranges import Range


@dataclass
class ClassificationArguments:
    """What the labels are, where they stand, and how much of a text is read."""

    problem_type: ProblemType = key(
        SINGLE,
        "One label a text, any number of them (between commas), or numbers (regression).",
    )
    document_column: str | None = key(
        None,
        "Column of texts: a number from 0, or a name; found by its name, else the second.",
        on_resume="free",
    )
    label_column: str | None = key(
        None,
        "Column of labels: a number from 0, or a name; found by its name, else the first. Where each of "
        "several labels has a column of 0 and 1 of its own: their names, between commas; found by what they hold.",
        on_resume="free",
    )
    rename_labels: list[str] | None = key(
        None,
        "Labels that are read as others, as 0=negative 1=positive.",
        on_resume="free",
    )
    train_file: str | None = key(
        None,
        "File in data_dir to train on, where there are several; validation and test files are those named "
        "likewise (movie_train.tsv, movie_valid.tsv), else the plain ones (train_phrases.tsv, valid.tsv).",
        on_resume="free",
    )
    max_text_length: int | None = key(
        None,
        "Tokens of a text that are read, from its beginning; all if not told.",
        within=Range(1),
    )
    balance_classes: bool = key(
        False,
        "Weigh the loss of each class by n / (K n_k), so that rare ones count as much.",
    )
