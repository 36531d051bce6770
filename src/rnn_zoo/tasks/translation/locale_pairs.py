"""Parallel text from the Unicode CLDR, through Babel: dates in words -> ISO 8601, English names -> Devanagari.

Both are real data, come with a dependency that is installed anyway, and are small enough for a recurrent
encoder-decoder with attention over characters. The first is the demonstration task of that model, in many locales at
once; the second is close to transliteration, and has the size of a lexicon.

The parts are cut by hashes, of the date and of the English name: what is in one part is in no other, in any locale or
form, and stays there with another version of Babel, another seed or another choice of locales.
"""

import random
import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

from ...data.cldr import DATE_LOCALES, NAME_KINDS, NOT_NAMES, chosen, digest, require_babel, split_of
from ...data.splits import SPLITS
from ...errors import UserError

FIRST_YEAR, LAST_YEAR = 1900, 2099

DateForm = Literal["full", "long"]
DATE_FORMS: tuple[DateForm, ...] = ("full", "long")  # with the day of the week, and without
DIGITS = {"latn": "0123456789", "deva": "०१२३४५६७८९", "beng": "০১২৩৪৫৬৭৮৯"}

NAME_LANGUAGES = ("hi", "mr", "ne")
# Devanagari without its digits and full stops, and the joiners, which are part of how some words are spelt.
_DEVANAGARI = re.compile(r"(?=.*[\u0904-\u0939])[\u0900-\u0963\u0970-\u097f\u200c\u200d .’()–-]+")

# The part of a date that a field of a CLDR pattern shows, by the field's letter (UTS #35, part 4), and a date for every
# value of that part; 1 January 2001 was a Monday.
_PARTS = {"y": 0, "M": 1, "L": 1, "d": 2, "E": 3, "c": 3}
_EXAMPLES = (
    {year: date(year, 1, 1) for year in range(FIRST_YEAR, LAST_YEAR + 1)},
    {month: date(2001, month, 1) for month in range(1, 13)},
    {day: date(2001, 1, day) for day in range(1, 32)},
    {weekday: date(2001, 1, 1 + weekday) for weekday in range(7)},
)


class Pair(NamedTuple):
    """One example of a text-to-text task; scores are reported by `group`."""

    source: str
    target: str
    group: str


def date_pairs(
    train_size: int = 200_000, held_out_dates: int = 40, seed: int = 0, locales: Iterable[str] = tuple(DATE_LOCALES)
) -> dict[str, list[Pair]]:
    """Dates in words -> ISO 8601: `Pair("सोमवार, ३ मार्च, २०२५", "2025-03-03", "mr")`, for 1900-01-01 to 2099-12-31.

    The sources are the `full` and the `long` form of CLDR's Gregorian calendar, in each numbering system of
    `DATE_LOCALES`, in NFC, their no-break spaces written as the spaces that a keyboard has. A source has one target,
    whatever the locale. About 80 % of the dates are for training, 10 % each for validation and test.

    Args:
        train_size: how many combinations of date, locale, form and digits are drawn for training; none twice, though
            two locales may write a date alike.
        held_out_dates: of how many dates validation and test consist, each; they are there in every locale, form and
            numbering system, so that groups are compared on the same dates. Any seed has the same ones.
        seed: of the draw.
        locales: some of `DATE_LOCALES`; a pair's group is its locale.

    Returns:
        Pairs for `"train"`, in random order, and for `"validation"` and `"test"`, date by date.

    Raises:
        UserError: for a locale that is not offered, a size below 0 or above what there is, and without Babel.
    """
    writers = [
        (locale, date_writer(locale, form, digits))
        for locale in chosen(locales, DATE_LOCALES, "locale")
        for form in DATE_FORMS
        for digits in DATE_LOCALES[locale]
    ]
    dates = _dates()
    _check_size("train_size", train_size, len(dates["train"]) * len(writers))
    pairs: dict[str, list[Pair]] = {split: [] for split in SPLITS}
    for n in random.Random(seed).sample(range(len(dates["train"]) * len(writers)), train_size):
        day = dates["train"][n // len(writers)]
        locale, write = writers[n % len(writers)]
        pairs["train"].append(Pair(write(day), day.isoformat(), locale))
    for split in SPLITS[1:]:
        _check_size("held_out_dates", held_out_dates, len(dates[split]))
        pairs[split] = [
            Pair(write(day), day.isoformat(), locale)
            for day in dates[split][:held_out_dates]
            for locale, write in writers
        ]
    return pairs


@lru_cache(maxsize=256)
def date_writer(locale: str, form: DateForm, digits: str = "latn") -> Callable[[date], str]:
    """A function that writes a date of `FIRST_YEAR` to `LAST_YEAR` as `babel.dates.format_date` does, but faster.

    The result is in NFC, has plain spaces for no-break ones, and is in the given digits: Babel writes dates in Latin
    digits whatever the locale's numbering system.

    Args:
        locale: any of Babel's.
        form: `"full"` or `"long"`.
        digits: a key of `DIGITS`.

    Raises:
        UserError: for an unknown form or digits, and without Babel.
        ValueError: if the form does not determine the date: it lacks the year, month or day, writes two of their values
            alike (a year of two digits), or shows something else, such as the era of a calendar that is not ours.
    """
    chosen([form], DATE_FORMS, "form")
    chosen([digits], DIGITS, "digits")
    require_babel()
    from babel.core import Locale
    from babel.dates import DateTimeFormat, get_date_format, tokenize_pattern

    as_written = str.maketrans(dict(zip("0123456789", DIGITS[digits], strict=True)) | {"\u00a0": " ", "\u202f": " "})
    pattern = get_date_format(form, locale).pattern
    template = ""
    columns = []  # of each field in turn: the part of a date, and how its values are written
    for _, token in tokenize_pattern(pattern):
        if isinstance(token, str):
            template += token.translate(as_written).replace("%", "%%")
            continue
        letter, length = token
        part = _PARTS.get(letter)
        if part is None:
            raise ValueError(f"{locale} writes {form} dates as {pattern!r}: field {letter!r} is not of a plain date")
        texts = {
            value: DateTimeFormat(example, Locale.parse(locale))[letter * length].translate(as_written)
            for value, example in _EXAMPLES[part].items()
        }
        if len(set(texts.values())) < len(texts):
            raise ValueError(f"{locale} writes {form} dates as {pattern!r}: {letter * length!r} is ambiguous")
        template += "%s"
        columns.append((part, texts))
    if not {0, 1, 2} <= {part for part, _ in columns}:
        raise ValueError(f"{locale} writes {form} dates as {pattern!r}: that needs a year, a month and a day")

    def write(day: date) -> str:
        parts = (day.year, day.month, day.day, day.weekday())
        # The parts being in NFC does not make the whole so.
        return unicodedata.normalize("NFC", template % tuple([texts[parts[part]] for part, texts in columns]))

    return write


def name_pairs(languages: Iterable[str] = NAME_LANGUAGES) -> dict[str, list[Pair]]:
    """Names of countries, languages and currencies: `Pair("hi: Finland", "फ़िनलैंड", "hi territories")`.

    The source is the language of the target, a colon, a space and the English name; the group is the language and the
    kind of name, as in `NAME_KINDS`. Left out are what CLDR has not in Devanagari, what has digits ("Venezuelan Bolívar
    (2008–2018)"), and the second meaning of a name: Nauru is a country here, not its language. About 80 % of the names
    are for training, 10 % each for validation and test, each in all languages. Parts have words in common, not names:
    "Swiss Franc" may be in one and "Swiss German" in another.

    Args:
        languages: some of `NAME_LANGUAGES`. The languages are one task, since each has few names and they have much of
            their script and spelling in common.

    Returns:
        Pairs for `"train"`, `"validation"` and `"test"`, language by language.

    Raises:
        UserError: for a language that is not offered, and without Babel.
    """
    require_babel()
    from babel.core import Locale

    english = Locale.parse("en")
    pairs: dict[str, list[Pair]] = {split: [] for split in SPLITS}
    for language in chosen(languages, NAME_LANGUAGES, "language"):
        locale = Locale.parse(language)
        known = set()
        for kind in NAME_KINDS:
            translations = getattr(locale, kind)
            for code, name in sorted(getattr(english, kind).items()):
                source = unicodedata.normalize("NFC", name)
                target = unicodedata.normalize("NFC", translations.get(code, ""))
                if code in NOT_NAMES or source in known or re.search(r"\d", source):
                    continue
                if _DEVANAGARI.fullmatch(target):
                    known.add(source)
                    pairs[split_of(source)].append(Pair(f"{language}: {source}", target, f"{language} {kind}"))
    return pairs


EMBEDDED_PAIRS: dict[str, Callable[[], dict[str, list[Pair]]]] = {"dates": date_pairs, "cldr_names": name_pairs}


@lru_cache(maxsize=1)
def _dates() -> dict[str, list[date]]:
    """The days of the calendar by split, in the order of their hashes, so that any first few are a random sample."""
    first, last = date(FIRST_YEAR, 1, 1), date(LAST_YEAR, 12, 31)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    dates: dict[str, list[date]] = {split: [] for split in SPLITS}
    for day in sorted(days, key=lambda day: digest(day.isoformat())):
        dates[split_of(day.isoformat())].append(day)
    return dates


def _check_size(name: str, given: int, most: int) -> None:
    if not 0 <= given <= most:
        raise UserError(f"{name}={given}: must lie in 0 to {most}")
