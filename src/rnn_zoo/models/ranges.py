"""Which numbers a setting may have, and the sentence for all others."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST = 2**31 - 1  # of whole numbers without a limit of their own: more overflows in the libraries below


@dataclass(frozen=True)
class Range:
    """The finite numbers between two limits; whole numbers without a limit of their own end at `MOST`.

    Args:
        least: lower limit, if there is one.
        most: upper limit, if there is one.
        above: whether the lower limit itself is outside.
        below: whether the upper limit itself is outside.
    """

    least: float | None = None
    most: float | None = None
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        if not is_finite(value) or is_too_long(value, self):
            return False
        if self.least is not None and not (value > self.least if self.above else value >= self.least):
            return False
        return self.most is None or (value < self.most if self.below else value <= self.most)

    def refusal(self, name: str, value: float) -> str | None:
        """The sentence for a value outside; otherwise `None`."""
        return None if value in self else f"{name}={value}: must be {self._words(value)}"

    def _words(self, value: float) -> str:
        if self.least is not None and self.most is not None:
            if isinstance(self.least, int) and isinstance(self.most, int) and not (self.above or self.below):
                return f"from {self.least} to {self.most}"
            return f"in {'(' if self.above else '['}{self.least:g}, {self.most:g}{')' if self.below else ']'}"
        if is_too_long(value, self) and value > 0:
            return f"at most {MOST}"
        if self.least is None:
            return "a number that is finite"
        limit = f"{'above' if self.above else 'at least'} {self.least:g}"
        return limit if is_finite(value) else f"finite and {limit}"


SHARE = Range(0, 1, below=True)  # of what must not be all
LAYERS = Range(1, 1000)  # each of them is built, one after the other


def is_finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)  # `math` cannot tell of whole numbers of 309 digits


def is_too_long(value: float, allowed: Range) -> bool:
    return isinstance(value, int) and allowed.most is None and abs(value) > MOST


def first_refusal(values: Mapping[str, Any], ranges: Mapping[str, Range]) -> str | None:
    """The sentence for the first value that is out of its range, `None` if there is none.

    Args:
        values: numbers, or lists of them, by name; `None` is no number and passes.
        ranges: by name; those of other names are not looked at.
    """
    for name, allowed in ranges.items():
        value = values.get(name)
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is not None and (refusal := allowed.refusal(name, one)):
                return refusal
    return None
