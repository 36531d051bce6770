"""The ranges of numbers that stand beside the fields of a dataclass: `size: Annotated[int, Range(1)] = 8`."""

import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any

from .errors import UserError
from .models.ranges import Range, first_refusal

NO_LIMITS = Range()


def ranges_of(kind: type, others: Mapping[str, Range] | None = None) -> dict[str, Range]:
    """The range of each numeric field of a dataclass; without one beside it, or in `others`, any finite number.

    Args:
        kind: the dataclass.
        others: ranges by name, for fields of a library.
    """
    ranges = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        stated = [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Range)]
        if is_number(hint):
            ranges[name] = (others or {}).get(name) or (stated[0] if stated else NO_LIMITS)
    return ranges


def is_number(hint: Any) -> bool:
    """Whether a type is `int` or `float`, a list of them, or one of these or `None`."""
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
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
        if refusal := first_refusal(vars(one), ranges_of(type(one))):
            raise UserError(refusal)
