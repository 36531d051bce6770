"""The keys of a recipe that every run has."""

from dataclasses import dataclass

from ..models.keys import key
from ..models.ranges import Range
from ..tasks import TASKS


@dataclass
class RunArguments:
    """What is trained, and what it is compared with."""

    task: str = key(
        next(iter(TASKS)),
        "What the model is for.",
        on_resume="free",
    )
    description: str = key(
        "",
        "One line for `rnn-zoo list`.",
        on_resume="free",
        on_card=False,
    )
    published: str | None = key(
        None,
        "The published number to compare with, and where it stands.",
        on_resume="free",
        on_card=False,
    )
    overwrite_output_dir: bool = key(
        False,
        "Replace the checkpoint that output_dir already holds.",
        on_resume="free",
        is_kept=False,
    )
    max_train_seconds: float | None = key(
        None,
        "Save and stop after so many seconds of this command, with exit status 124; it goes on with "
        "resume_from_checkpoint. Preparation counts; what follows a training that ends before does not.",
        within=Range(0, above=True),
        on_resume="free",
        is_kept=False,
        on_card=False,
    )
    baseline: str = key(
        "none",
        "What is trained and measured beside the model, or none.",
        on_resume="free",
    )


@dataclass
class CardArguments:
    """What the model's card says that no number can; kept with the checkpoint."""

    license: str | None = key(
        None,
        "Licence of the trained weights, by its name on the Hub, as cc-by-4.0.",
        on_resume="free",
        on_card=False,
    )
    language: list[str] | None = key(
        None,
        "Languages of the texts, as en hi.",
        on_resume="free",
        on_card=False,
    )
    data_name: str | None = key(
        None,
        "What people call the data, as WikiText-2.",
        on_resume="free",
        on_card=False,
    )
    data_source: str | None = key(
        None,
        "Whose data it is, where it comes from and under which licence, in sentences.",
        on_resume="free",
        on_card=False,
    )
    example: str | None = key(
        None,
        "A text with which the card shows how to use it.",
        on_resume="free",
        on_card=False,
    )
    limits: str | None = key(
        None,
        "What the model is not for, and the biases that were seen, in sentences.",
        on_resume="free",
        on_card=False,
    )
