"""What reads the values of a recipe, from its file and from flags alike, so that both fail alike."""

import dataclasses
import types
import typing
from typing import Any

from transformers import HfArgumentParser, Seq2SeqTrainingArguments

from ..errors import UserError
from .schema import keys, own_fields


class RecipeParser(HfArgumentParser):
    """Raises `UserError` instead of leaving the process, and takes no abbreviations."""

    def __init__(self):
        fields = [(name, flag_type(f.type), plain(f)) for name, f in own_fields().items()]
        self.groups = (dataclasses.make_dataclass("OwnKeys", fields), Seq2SeqTrainingArguments)
        super().__init__(self.groups, prog="rnn-zoo train RECIPE", allow_abbrev=False, add_help=False)
        self._option_string_actions["--fsdp"].type = true_or_words

    def error(self, message: str):
        raise UserError(message.removeprefix("argument "))

    def switches(self) -> set[str]:
        """The keys that are true or false."""
        hints = {name: kind for group in self.groups for name, kind in typing.get_type_hints(group).items()}
        return {name for name in keys() if hints.get(name) in (bool, bool | None)}


def true_or_words(text: str) -> bool | str | None:
    """The value of `fsdp`, which is true or false, and in older versions of the library was words."""
    return {"true": True, "false": None}.get(text.lower(), text)


def flag_type(kind: Any) -> Any:
    """The type of a flag: of `float | int` a float, of two others the first."""
    if typing.get_origin(kind) is types.UnionType and len(kinds := set(typing.get_args(kind)) - {types.NoneType}) > 1:
        return float if float in kinds else typing.get_args(kind)[0] | None
    return kind


def plain(f: dataclasses.Field) -> Any:
    """A field with the same default, and nothing that the parser would take for an option of its own."""
    if f.default is dataclasses.MISSING:
        return dataclasses.field(default_factory=f.default_factory)  # type: ignore[arg-type]
    return dataclasses.field(default=f.default)
