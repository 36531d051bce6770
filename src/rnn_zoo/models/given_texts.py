"""Texts that users give: which of them are none, and which say nothing."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

INVISIBLE = ("Cc", "Cf")  # categories of Unicode: controls; joiners, zero-width spaces, marks of direction and of bytes
SHOWN = 40  # characters of a bad value in a message


def checked_texts(texts: Iterable[str], name: str = "texts", what: str = "texts") -> list[str]:
    """The texts as a list; see `each_checked`."""
    return list(each_checked(texts, name, what))


def each_checked(texts: Iterable[str], name: str = "texts", what: str = "texts") -> Iterator[str]:
    """The texts, one after the other.

    Args:
        texts: any iterable of strings.
        name: what a message calls them; the place of one is `name[n]`.
        what: what each of them is, in the plural.

    Raises:
        ValueError: for a single string, for what is no list of strings, as with a missing text among them (`None`, or
            the NaN of pandas), or for a string that is no Unicode; the sentence names the place.
    """
    if isinstance(texts, (str, bytes)):
        raise ValueError(f"{name}: must be a list of {what}, not the string {texts[:SHOWN]!r}")
    if not isinstance(texts, Iterable):
        raise ValueError(f"{name}: must be a list of {what}, not {type(texts).__name__}")
    for n, text in enumerate(texts):
        if not isinstance(text, str):
            shown = repr(text)
            shown = shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 1]}…"
            raise ValueError(f"{name}: must be strings, not {type(text).__name__} ({name}[{n}] is {shown})")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            code = f"U+{ord(text[error.start]):04X}"
            raise ValueError(
                f"{name}: must be Unicode ({name}[{n}] has the lone surrogate {code} as its character {error.start}; "
                "read files with errors='replace')"
            ) from error
        yield text


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: it is empty, or has only white space (U+00A0 and U+2028 are), control characters
    and invisible ones, as U+200B and U+FEFF."""
    return all(character.isspace() or unicodedata.category(character) in INVISIBLE for character in text)


def says_nothing(tokenizer, text: str, ids: Sequence[int]) -> bool:
    """Whether a model would be given no word of a text: it is blank, or the tokenizer leaves nothing of it.

    Args:
        tokenizer: any; what its normalization makes of the text counts as well, as of `<br/>` where it cleans markup.
        text: as it stands.
        ids: what the tokenizer makes of it, special tokens included, nothing cut off.
    """
    if is_blank(text):
        return True
    backend = getattr(tokenizer, "backend_tokenizer", None)  # a slow tokenizer has none
    normalizer = None if backend is None else backend.normalizer
    if normalizer is not None and is_blank(normalizer.normalize_str(text)):
        return True
    marks = {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
    return all(token in marks for token in ids)
