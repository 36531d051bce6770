"""The Unicode CLDR, through Babel: its locales, what of it is named, and which part of the data each of it belongs to.

The parts are cut by hashes: what is in one part is in no other, in any locale or form, and stays there with another
version of Babel, another seed or another choice of locales.
"""

import hashlib
from collections.abc import Iterable

from ..errors import UserError

# The numbering systems that dates of a locale are written in, CLDR's default first. Where that is not the Latin digits,
# and in Hindi, people write both.
DATE_LOCALES: dict[str, tuple[str, ...]] = {
    "bn": ("beng", "latn"),
    "cs": ("latn",),
    "de": ("latn",),
    "el": ("latn",),
    "en": ("latn",),
    "es": ("latn",),
    "fi": ("latn",),
    "fr": ("latn",),
    "hi": ("latn", "deva"),
    "id": ("latn",),
    "it": ("latn",),
    "ja": ("latn",),
    "ko": ("latn",),
    "mr": ("deva", "latn"),
    "ne": ("deva", "latn"),
    "nl": ("latn",),
    "pl": ("latn",),
    "pt": ("latn",),
    "ru": ("latn",),
    "sv": ("latn",),
    "ta": ("latn",),
    "te": ("latn",),
    "tr": ("latn",),
    "uk": ("latn",),
    "vi": ("latn",),
    "zh": ("latn",),
}

NAME_KINDS = ("territories", "languages", "currencies")
# "Unknown region", "multiple languages", "pseudo-accents": translated, but the names of nothing.
NOT_NAMES = {"ZZ", "XA", "XB", "und", "mul", "zxx", "XXX"}


def cldr_version() -> str | None:
    """The version of the CLDR that Babel carries, such as `"47"`; None from a Babel before 2.18, which does not tell.

    Raises:
        UserError: without Babel.
    """
    require_babel()
    from babel.core import get_global

    version = get_global("cldr").get("version")
    return None if version is None else str(version)


def split_of(key: str) -> str:
    """The part of the data that a date or a name belongs to: 80 % train, 10 % each validation and test."""
    return {0: "validation", 1: "test"}.get(int.from_bytes(digest(key), "big") % 10, "train")


def digest(key: str) -> bytes:
    """By which they are ordered and cut."""
    return hashlib.sha256(key.encode()).digest()


def chosen(given: Iterable[str], offered: Iterable[str], what: str) -> list[str]:
    """What was given, once each; UserError where it is not offered."""
    names = list(dict.fromkeys(given))
    for name in names:
        if name not in offered:
            raise UserError(f"{what} {name!r}: unknown (choose from {', '.join(offered)})")
    if not names:
        raise UserError(f"no {what} given (choose from {', '.join(offered)})")
    return names


def require_babel() -> None:
    """Raises `UserError` where Babel is not installed."""
    try:
        import babel.dates  # noqa: F401
    except ImportError as error:
        raise UserError(
            "dates and names of the CLDR need Babel, which is missing; get it with `pip install 'babel>=2.16'`"
        ) from error
