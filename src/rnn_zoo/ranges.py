"""The ranges of the numbers among the keys of a dataclass."""

import types
import typing
from typing import Any, NamedTuple

from .errors import UserError
from .models.keys import keys_of
from .models.ranges import Range, first_refusal

NO_LIMITS = Range()


class Number(NamedTuple):
    """A number, or a list of them."""

    kind: type[int] | type[float]
    is_list: bool = False


def ranges_of(kind: Any) -> dict[str, Range]:
    """The range of each key of a dataclass that is a number; without one of its own any finite number."""
    hints = typing.get_type_hints(kind if isinstance(kind, type) else type(kind))
    return {name: one.within or NO_LIMITS for name, one in keys_of(kind).items() if number_of(hints[name])}


def number_of(hint: Any) -> Number | None:
    """What number a type stands for: of `int | float` a float, `None` left out; `None` for what is no number."""
    if typing.get_origin(hint) is list:
        inner = number_of(typing.get_args(hint)[0])
        return None if inner is None else Number(inner.kind, is_list=True)
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):
        return Number(hint) if hint in (int, float) else None
    found = [number_of(one) for one in typing.get_args(hint) if one is not types.NoneType]
    numbers = [one for one in found if one is not None]
    if len(numbers) < len(found):
        return None
    return next((one for one in numbers if one.kind is float), numbers[0])


def check_ranges(*settings: Any) -> None:
    """Looks at the numbers of instances of dataclasses.

    Raises:
        UserError: for the first that is out of its range.
    """
    for one in settings:
        if refusal := first_refusal(vars(one), ranges_of(one)):
            raise UserError(refusal)
