"""How long a text may be that is read at once."""

from collections.abc import Sequence

from ..errors import UserError

MOST_TOKENS = 50_000  # of a text that is read at once: some hundred pages; kernels fail at a million
MOST_CHARACTERS = 2_000_000  # of one, so that it is not even cut into tokens
SHOWN = 40  # characters of a text in a message


def check_characters(texts: Sequence[str], name: str = "texts") -> None:
    """Raises `UserError` for a text that is too long to be cut into tokens."""
    for n, text in enumerate(texts):
        if len(text) > MOST_CHARACTERS:
            raise too_long(f"{name}[{n}]", text, f"{len(text):,} characters", MOST_CHARACTERS)


def check_tokens(lengths: Sequence[int], texts: Sequence[str], name: str = "texts") -> None:
    """Raises `UserError` for a text that is too long to be read at once.

    Args:
        lengths: tokens of each text.
        texts: what they are made of.
        name: what a message calls them.
    """
    for n, length in enumerate(lengths):
        if length > MOST_TOKENS:
            raise too_long(f"{name}[{n}]", texts[n], f"{length:,} tokens", MOST_TOKENS)


def too_long(place: str, text: str, size: str, most: int) -> UserError:
    return UserError(
        f"{place} ({text[:SHOWN]!r}...) has {size}: at most {most:,} are read at once; cut it into shorter texts"
    )
