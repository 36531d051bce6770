"""Keys: the fields of configurations and of recipes, each of which says everything about itself.

    hidden_size: int = key(512, "Features of the hidden state.", within=Range(1), shapes_weights=True)

Without torch, so that a recipe can be read before it is there.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeVar

from .ranges import Range, first_refusal

C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class Key:
    """What is to be known of a key.

    Args:
        help: a sentence or several.
        within: of a number; without one any finite number.
        choices: of a name; or what gives them, where naming them takes an import that the key does not need.
        shapes_weights: whether weights that were trained with another value have another shape, or mean something else.
        given_by: who gives its value. What is not given by a recipe is no key of one.
        heads: names of the classes to which it means something; `None`: to all.
        on_resume: whether another value is refused when a run goes on, applies from there on, or is of no matter to the
            weights, as where files are.
        of_raw_text: whether it says how texts become tokens, which says nothing of data that is words already.
        of_one_machine: whether it says how one machine ran it, and so does not go with the checkpoint.
        on_card: whether a reader of the model's card needs it to do the same again.
        is_kept: whether it is kept with the checkpoint; what was meant for one run is not.
    """

    help: str
    within: Range | None = None
    choices: tuple[str, ...] | Callable[[], Iterable[str]] | None = None
    shapes_weights: bool = False
    given_by: Literal["recipe", "tokenizer", "data", "model"] = "recipe"
    heads: tuple[str, ...] | None = None
    on_resume: Literal["refused", "applies", "free"] = "refused"
    of_raw_text: bool = False
    of_one_machine: bool = False
    on_card: bool = True
    is_kept: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be called; empty where any text is allowed."""
        return tuple(self.choices() if callable(self.choices) else self.choices or ())


def key(default: Any, help: str, **about: Any) -> Any:
    """A field of a dataclass that is a key; see `Key`. Of a list as default each instance has its own copy."""
    first: dict[str, Any] = {"default_factory": default.copy} if isinstance(default, list) else {"default": default}
    return dataclasses.field(**first, metadata={"key": Key(help, **about)})


def keys_of(kind: Any) -> dict[str, Key]:
    """The keys of a dataclass, or of an instance, by name."""
    return {f.name: f.metadata["key"] for f in dataclasses.fields(kind) if "key" in f.metadata}


def other_architecture(saved: Mapping[str, Any], config: Any) -> tuple[str, Any, Any] | None:
    """The first key that shapes weights and differs: its name, what was saved, and what the configuration has.

    Args:
        saved: a configuration as its file holds it. What an older version has not written had the default.
        config: an instance.
    """
    for f in dataclasses.fields(config):
        if "key" in f.metadata and f.metadata["key"].shapes_weights and (f.name in saved or f.default is not None):
            before, now = saved.get(f.name, f.default), getattr(config, f.name)
            if before != now:
                return f.name, before, now
    return None


def explained(config_class: C) -> C:
    """A class decorator: the docstring says of each key what its help says, before what is raised."""
    said, raises, errors = inspect.cleandoc(config_class.__doc__ or "").partition("Raises:")
    lines = ["Args:"]
    for f in dataclasses.fields(config_class):
        if "key" in f.metadata:
            kind = f.type.__name__ if isinstance(f.type, type) else f.type
            lines.append(f"    {f.name} (`{kind}`, *optional*, defaults to `{f.default!r}`): {f.metadata['key'].help}")
    config_class.__doc__ = said + "\n".join(lines) + f"\n\n{raises}{errors}"
    return config_class


def one_of(name: str, given: str, allowed: Iterable[str]) -> None:
    """Raises `ValueError` unless `given` is in `allowed`; the sentence proposes the nearest name."""
    if given not in (allowed := list(allowed)):
        nearest = get_close_matches(given, allowed, n=1)
        guess = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(f"{name}={given!r}: unknown{guess} (choose from {', '.join(allowed)})")


class KeyGroup:
    """Keys of a configuration that belong together. What goes together only with something else is said in methods
    `validate_...`, which `@strict` calls by themselves."""

    def validate_architecture(self) -> None:
        """Every number in its range, every name one that is known; in words that say what is allowed."""
        keys = keys_of(self)
        if refusal := first_refusal(vars(self), {name: one.within for name, one in keys.items() if one.within}):
            raise ValueError(refusal)
        for name, one in keys.items():
            if one.choices is not None and getattr(self, name) is not None:
                one_of(name, getattr(self, name), one.names)
