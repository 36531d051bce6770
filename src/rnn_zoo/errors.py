"""Mistakes of the person at the keyboard, failures of the Hub, trainings that diverge: no faults of the program."""

import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

Warn = Callable[[str], None]
PACKAGE = str(Path(__file__).resolve().parent)


class UserError(ValueError):
    """What was given, what is allowed, where: one sentence. The command line prints it and exits with status 2."""


class HubError(RuntimeError):
    """What failed at the Hub or on the way to it, and what to do: one sentence. The command line prints it and exits
    with status 1."""


class RunError(RuntimeError):
    """What ended a training early, what is left of it, and what to do. The command line prints it and exits with status
    1."""


class Diverged(RunError):
    """A training whose loss, gradient or weights are not finite: where, what is left of it, and what to try.

    Attributes:
        step: the number of the step in which, or after which, that was seen.
        checkpoint: folder of the last checkpoint before, if there is one.
    """

    def __init__(self, message: str, step: int = 0, checkpoint: str | None = None):
        super().__init__(message)
        self.step = step
        self.checkpoint = checkpoint


def one_line(error: BaseException) -> str:
    """All that an error says, on a line."""
    return " ".join(str(error).split())


def shortened(text: str, most: int = 300) -> str:
    """A text for a message; of a long one the beginning."""
    return text if len(text) <= most else f"{text[:most]} ..."


def first_line(error: Exception) -> str:
    """What an error says first; its kind, if it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def told(error: Exception) -> str:
    """What another library's refusal says, on a line, with its kind where the words alone would tell nothing."""
    text = one_line(error)
    if isinstance(error, KeyError) or not text:
        return f"{type(error).__name__} {text}".strip()
    return text


def is_refusal(error: Exception) -> bool:
    """Whether an exception says that a library, or a model of ours, does not take what it was given; otherwise a line
    of ours is wrong, and its traceback is what people need.

    It is one if it was raised outside this package, or as a `ValueError` (models state in it what they need).
    """
    if isinstance(error, ValueError | ImportError):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    return not (frames and frames[-1].filename.startswith(PACKAGE))


def warn_user(message: str) -> None:
    """Shows a message as a warning of Python."""
    warnings.warn(message, stacklevel=3)
