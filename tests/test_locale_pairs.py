"""Pairs from the CLDR: what Babel writes, one target a source, nothing held out that training has seen."""

import importlib.util
import re
import sys
import unicodedata
from collections import Counter
from datetime import date, timedelta

import pytest
from babel.core import Locale
from babel.dates import format_date

from rnn_zoo.data.cldr import DATE_LOCALES, NAME_KINDS, cldr_version
from rnn_zoo.errors import UserError
from rnn_zoo.tasks.translation import locale_pairs
from rnn_zoo.tasks.translation.locale_pairs import (
    DATE_FORMS,
    DIGITS,
    EMBEDDED_PAIRS,
    NAME_LANGUAGES,
    date_pairs,
    date_writer,
    name_pairs,
)

SPLITS = ["train", "validation", "test"]
HELD_OUT = 12
WRITERS = [
    (locale, form, digits) for locale, systems in DATE_LOCALES.items() for form in DATE_FORMS for digits in systems
]
LATIN_DIGIT = re.compile(r"[0-9]")


@pytest.fixture(scope="module")
def dates() -> dict:
    return date_pairs(train_size=6000, held_out_dates=HELD_OUT, seed=3)


@pytest.fixture(scope="module")
def names() -> dict:
    return name_pairs()


def expected(day: date, locale: str, form: str, digits: str) -> str:
    """What `date_writer` promises, from Babel itself."""
    text = format_date(day, form, locale).replace("\u202f", " ").replace("\u00a0", " ")
    return unicodedata.normalize("NFC", LATIN_DIGIT.sub(lambda digit: DIGITS[digits][int(digit[0])], text))


def english(pair) -> str:
    return pair.source.partition(": ")[2]


def test_dates_are_as_babel_writes_them(dates):
    """Held-out dates in every locale, form and kind of digits, in order; training in one of its locale's."""
    for split in SPLITS[1:]:
        pairs = dates[split]
        days = list(dict.fromkeys(date.fromisoformat(pair.target) for pair in pairs))
        assert len(days) == HELD_OUT
        assert [tuple(pair) for pair in pairs] == [
            (expected(day, *writer), day.isoformat(), writer[0]) for day in days for writer in WRITERS
        ]
    for source, target, locale in dates["train"]:
        day = date.fromisoformat(target)
        forms = (expected(day, locale, form, digits) for form in DATE_FORMS for digits in DATE_LOCALES[locale])
        assert source in forms


@pytest.mark.parametrize("locale", DATE_LOCALES)
def test_every_month_weekday_and_digit_is_as_babel_writes_it(locale):
    days = [date(1900 + 17 * n % 200, 1 + n % 12, 1 + n % 28) for n in range(84)] + [date(2000, 2, 29)]
    for form in DATE_FORMS:
        for digits in DATE_LOCALES[locale]:
            write = date_writer(locale, form, digits)
            assert [write(day) for day in days] == [expected(day, locale, form, digits) for day in days]


def test_a_text_is_of_one_date():
    """Whole years, so that two languages that give one month's name to different months would meet."""
    written: dict[str, date] = {}
    start = date(2023, 1, 1)
    days = [start + timedelta(days=n) for n in range(2 * 365 + 1)] + [date(year, 11, 1) for year in range(1900, 2100)]
    for writer in WRITERS:
        write = date_writer(*writer)
        own = {write(day): day for day in days}
        assert len(own) == len(set(days)), writer
        assert [text for text, day in own.items() if written.setdefault(text, day) != day] == [], writer


def test_dates_that_are_not_determined_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="'G' is not of a plain date"):
        date_writer("th", "full")  # of the Buddhist calendar, with its era
    for pattern, message in [
        ("EEEE, d MMMM", "needs a year"),
        ("d MMMM yy", "'yy' is ambiguous"),
        ("d MMMMM y", "MMMMM"),
    ]:
        date_writer.cache_clear()
        parsed = type("Parsed", (), {"pattern": pattern})
        monkeypatch.setattr("babel.dates.get_date_format", lambda *_, parsed=parsed: parsed)
        with pytest.raises(ValueError, match=message):
            date_writer("en", "full")


def test_writer_composes_and_escapes(monkeypatch):
    """An accent apart from its letter, and a percent sign: CLDR has neither in a date today."""
    date_writer.cache_clear()
    parsed = type("Parsed", (), {"pattern": "d MMMM y 'e\u0301 % %s'"})
    monkeypatch.setattr("babel.dates.get_date_format", lambda *_: parsed)
    try:
        assert date_writer("en", "full")(date(2025, 3, 3)) == "3 March 2025 \u00e9 % %s"
    finally:
        date_writer.cache_clear()  # English is not written so


def test_locales():
    assert len(DATE_LOCALES) >= 20
    assert {"hi", "mr", "ne"} <= DATE_LOCALES.keys()
    for locale, systems in DATE_LOCALES.items():
        assert systems[0] == Locale.parse(locale).default_numbering_system
        assert len(set(systems)) == len(systems)


def test_native_digits(dates):
    for locale, native in {"hi": "deva", "mr": "deva", "ne": "deva", "bn": "beng"}.items():
        sources = [pair.source for pair in dates["test"] if pair.group == locale]
        in_native = [source for source in sources if set(DIGITS[native]) & set(source)]
        assert len(sources) == HELD_OUT * 4
        assert len(in_native) == HELD_OUT * 2
        assert not any(LATIN_DIGIT.search(source) for source in in_native)
    assert date_writer("mr", "full", "deva")(date(2025, 3, 3)) == "सोमवार, ३ मार्च, २०२५"
    assert date_writer("ne", "long", "deva")(date(2025, 3, 3)) == "२०२५ मार्च ३"
    assert date_writer("ru", "full")(date(2025, 3, 3)) == "понедельник, 3 марта 2025 г."  # with a plain space


def test_dates_are_of_one_split(dates):
    calendar = locale_pairs._dates()
    days = [day for split in SPLITS for day in calendar[split]]
    assert len(days) == len(set(days)) == (date(2100, 1, 1) - date(1900, 1, 1)).days
    for split, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
        assert len(calendar[split]) / len(days) == pytest.approx(share, abs=0.01)
        assert {pair.target for pair in dates[split]} <= {day.isoformat() for day in calendar[split]}


def test_training_is_drawn_from_all_there_is(dates):
    pairs = dates["train"]
    assert len(pairs) == 6000
    counts = Counter(pair.group for pair in pairs)
    assert counts.keys() == DATE_LOCALES.keys()
    for locale, systems in DATE_LOCALES.items():
        assert counts[locale] == pytest.approx(6000 * 2 * len(systems) / len(WRITERS), rel=0.3)
    assert {int(pair.target[:4]) for pair in pairs} == set(range(1900, 2100))


def test_dates_depend_on_the_seed_in_training_only(dates):
    assert date_pairs(train_size=6000, held_out_dates=HELD_OUT, seed=3) == dates
    other = date_pairs(train_size=6000, held_out_dates=HELD_OUT, seed=4)
    assert other["train"] != dates["train"]
    fewer = date_pairs(train_size=0, held_out_dates=HELD_OUT - 1, seed=4, locales=["ne", "hi"])
    assert fewer["train"] == []
    for split in SPLITS[1:]:
        assert other[split] == dates[split]
        assert {pair.group for pair in fewer[split]} == {"ne", "hi"}
        shared = {pair for pair in dates[split] if pair.group in ("ne", "hi")}
        assert len(shared - set(fewer[split])) == 8  # those of the one date that is missing
        assert set(fewer[split]) < shared


def test_names_are_those_of_the_cldr(names):
    for pair in (pair for split in SPLITS for pair in names[split]):
        language, kind = pair.group.split()
        assert pair.source == f"{language}: {english(pair)}"
        originals, translations = (getattr(Locale.parse(code), kind) for code in ("en", language))
        assert pair.target in [translations.get(code) for code, name in originals.items() if name == english(pair)]


def test_every_group_of_names_is_large_enough(names):
    groups = {f"{language} {kind}" for language in NAME_LANGUAGES for kind in NAME_KINDS}
    counts = {split: Counter(pair.group for pair in names[split]) for split in SPLITS}
    for split, least in zip(SPLITS, (120, 15, 8), strict=True):
        assert counts[split].keys() == groups
        assert min(counts[split].values()) >= least
    for language in NAME_LANGUAGES:
        assert (
            sum(count for split in SPLITS for group, count in counts[split].items() if group.startswith(language)) > 900
        )


def test_names_are_of_one_split_and_have_one_translation(names):
    seen = [{english(pair) for pair in names[split]} for split in SPLITS]
    assert sum(map(len, seen)) == len(set.union(*seen))
    sources = Counter(pair.source for split in SPLITS for pair in names[split])
    assert max(sources.values()) == 1


def test_scripts_of_names(names):
    """Nothing is left untranslated, no translation has Latin letters or digits, and no name is a note or a code."""
    for pair in (pair for split in SPLITS for pair in names[split]):
        scripts = [{unicodedata.name(letter).split()[0] for letter in text if letter.isalpha()} for text in pair[:2]]
        assert scripts[0] <= {"LATIN", "MODIFIER"}, pair  # the latter are letters that look like apostrophes
        assert scripts[1] == {"DEVANAGARI"}, pair
        assert not re.search(r"\d|[Uu]nknown|Pseudo|Multiple", english(pair) + pair.target)


def test_names_do_not_depend_on_the_choice_of_languages(names):
    assert name_pairs() == names
    alone = name_pairs(["ne"])
    for split in SPLITS:
        assert alone[split] == [pair for pair in names[split] if pair.group.startswith("ne ")]


@pytest.mark.parametrize("name", EMBEDDED_PAIRS)
def test_text_is_clean(name, dates, names):
    pairs = {"dates": dates, "cldr_names": names}[name]
    assert list(pairs) == SPLITS
    for source, target, group in (pair for split in SPLITS for pair in pairs[split]):
        for text in (source, target, group):
            assert text
            assert text == text.strip()
            assert unicodedata.is_normalized("NFC", text)
            assert not re.search(r"[^\S ]|  ", text)  # spaces are plain and single


def test_mistakes():
    with pytest.raises(UserError, match=r"locale 'th': unknown \(choose from bn, cs"):
        date_pairs(locales=["hi", "th"])
    with pytest.raises(UserError, match="no locale given"):
        date_pairs(locales=[])
    with pytest.raises(UserError, match="train_size=-1: must lie in 0 to "):
        date_pairs(train_size=-1)
    with pytest.raises(UserError, match="held_out_dates=8000: must lie in 0 to "):
        date_pairs(train_size=0, held_out_dates=8000)
    with pytest.raises(UserError, match=r"language 'en': unknown \(choose from hi, mr, ne\)"):
        name_pairs(["en"])


def test_version():
    version = cldr_version()
    assert version is None or int(version.split(".")[0]) >= 45


def test_without_babel(monkeypatch):
    """The module is imported with every task's data, so it must not need, or wait for, what only it uses."""
    for name in [name for name in sys.modules if name.split(".")[0] == "babel"]:
        monkeypatch.setitem(sys.modules, name, None)
    spec = importlib.util.spec_from_file_location(
        "rnn_zoo.tasks.translation.locale_pairs_without_babel", locale_pairs.__file__
    )
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    for function in (fresh.date_pairs, fresh.name_pairs, cldr_version):
        with pytest.raises(UserError, match=r"pip install 'babel>=2\.16'"):
            function()
