"""Answers of a translator that cannot be right whatever the text was, as dates that the calendar does not have."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from textwrap import shorten

from ...checkpoints import recipe_value

SHOWN = 60  # characters of a text in a note


class ImpossibleAnswers:
    """Gathers answers that cannot be right whatever the text was; one note for all of them.

    Args:
        check: the recipe's `answer_check`.
    """

    def __init__(self, check: str | None):
        self.check = check
        self.count = 0
        self.first: tuple[str, str] | None = None

    @classmethod
    def of(cls, checkpoint: Path | str, revision: str | None = None) -> "ImpossibleAnswers":
        """As the recipe of a checkpoint wants it; raises what `recipe_value` does."""
        return cls(recipe_value(checkpoint, "answer_check", revision))

    def look_at(self, texts: Sequence[str], answers: Sequence[str]) -> None:
        """Reads texts, and what was made of them; an empty text has no answer."""
        if self.check != "iso_date":
            return
        wrong = [
            (text, answer) for text, answer in zip(texts, answers, strict=True) if text.strip() and not is_date(answer)
        ]
        self.count += len(wrong)
        self.first = self.first or next(iter(wrong), None)

    def note(self) -> str | None:
        """The sentence on those found so far, if there are any."""
        if self.first is None:
            return None
        text, answer = (shorten(" ".join(part.split()), SHOWN, placeholder=" …") for part in self.first)
        more = f", and {self.count - 1:,} more" if self.count > 1 else ""
        return f"no date of the calendar: {answer!r}, of {text!r}{more}"


def is_date(answer: str) -> bool:
    """Whether an answer is a date of the calendar as year-month-day."""
    try:
        return date.fromisoformat(answer).isoformat() == answer
    except ValueError:
        return False
