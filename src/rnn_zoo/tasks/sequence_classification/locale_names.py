"""Names as each language writes them, from the Unicode CLDR through Babel: what tells languages apart in a few letters.

A real corpus for a classifier, and one without a licence that would bind its users: names of countries, languages and
currencies in the languages of `DATE_LOCALES`, the label of each being its language.
"""

import unicodedata
from collections.abc import Iterable

from ...data.cldr import DATE_LOCALES, NAME_KINDS, NOT_NAMES, chosen, require_babel, split_of
from ...data.splits import SPLITS


def named_languages(languages: Iterable[str] = tuple(DATE_LOCALES)) -> dict[str, list[tuple[str, str]]]:
    """Names and the languages that they are written in: `("फ़िनलैंड", "hi")`.

    Left out is what several of the languages write alike, in NFC. About 80 % of what is named is for training, 10 %
    each for validation and test: nothing that is named in one part is named in another, in any language.

    Args:
        languages: two or more of `DATE_LOCALES`.

    Returns:
        Pairs of a name and its language for `"train"`, `"validation"` and `"test"`, language by language.

    Raises:
        UserError: for a language that is not offered, and without Babel.
    """
    require_babel()
    from babel.core import Locale

    written: dict[str, dict[str, str]] = {}  # of each language what it calls a thing
    users: dict[str, set[str]] = {}  # of each name the languages that have it
    for language in chosen(languages, DATE_LOCALES, "language"):
        locale = Locale.parse(language)
        written[language] = {
            f"{kind} {code}": " ".join(unicodedata.normalize("NFC", name).split())
            for kind in NAME_KINDS
            for code, name in sorted(getattr(locale, kind).items())
            if code not in NOT_NAMES
        }
        for name in written[language].values():
            users.setdefault(name, set()).add(language)
    parts: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}
    for language, names in written.items():
        known: set[str] = set()
        for thing, name in names.items():
            if len(users[name]) == 1 and name not in known and any(map(str.isalpha, name)):
                known.add(name)  # a country and its language may be called alike
                parts[split_of(thing)].append((name, language))
    return parts
