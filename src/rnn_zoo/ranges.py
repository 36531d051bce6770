"""The ranges of the numbers among the keys of a dataclass."""

import types
import typing
from typing import Any

from .errors import UserError
from .models.keys import keys_of
from .models.ranges import Range, first_refusal

NO_LIMITS = Range()


def ranges_of(kind: Any) -> dict[str, Range]:
    """The range of each key of a dataclass that is a number; without one of its own any finite number."""
    hints = typing.get_type_hints(kind if isinstance(kind, type) else type(kind))
    return {name: one.within or NO_LIMITS for name, one in keys_of(kind).items() if is_number(hints[name])}


def is_number(hint: Any) -> bool:
    """Whether a type is `int` or `float`, a list of them, or one of these or `None`."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hints = [one for one in typing.get_args(hint) if one is not type(None)]
        return all(is_number(one) for one in hints)
    if typing.get_origin(hint) is list:
        return is_number(typing.get_args(hint)[0])
    return hint in (int, float)


def check_ranges(*settings: Any) -> None:
    """Looks at the numbers of instances of dataclasses.

    Raises:
        UserError: for the first that is out of its range.
    """
    for one in settings:
        if refusal := first_refusal(vars(one), ranges_of(one)):
            raise UserError(refusal)
