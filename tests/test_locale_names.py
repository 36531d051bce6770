"""Names of the CLDR by language: true to Babel, without what languages write alike, cut by what is named."""

import pytest
from babel.core import Locale

from rnn_zoo.data.keys import DataArguments
from rnn_zoo.data.splits import SPLITS
from rnn_zoo.errors import UserError
from rnn_zoo.tasks.sequence_classification.data import load_labelled
from rnn_zoo.tasks.sequence_classification.keys import ClassificationArguments
from rnn_zoo.tasks.sequence_classification.locale_names import named_languages
from rnn_zoo.tasks.translation.locale_pairs import DATE_LOCALES, NAME_KINDS

pytest.importorskip("babel")


@pytest.fixture(scope="module")
def parts():
    return named_languages()


@pytest.fixture(scope="module")
def things():
    """What each language calls by each name: (language, name) -> pairs of a kind and a code."""
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for language in DATE_LOCALES:
        locale = Locale.parse(language)
        for kind in NAME_KINDS:
            for code, name in getattr(locale, kind).items():
                found.setdefault((language, name), set()).add((kind, code))
    return found


def test_a_name_is_babel_s(parts, things):
    assert any(("फ़िनलैंड", "hi") in pairs for pairs in parts.values())
    for name, language in parts["test"][::50]:
        assert (language, name) in things


def test_every_language_is_in_every_part(parts):
    for split in SPLITS:
        assert {language for _, language in parts[split]} == set(DATE_LOCALES)
        assert len(parts[split]) == len(set(parts[split]))


def test_no_name_has_two_languages(parts):
    names = [name for pairs in parts.values() for name, _ in pairs]
    assert len(names) == len(set(names))


def test_what_is_named_in_one_part_is_named_in_no_other(parts, things):
    """Checked on countries, whose names are seldom those of something else."""
    where: dict[str, set[str]] = {}
    for split, pairs in parts.items():
        for name, language in pairs:
            found = things[language, name]
            if len(found) == 1 and (kind_and_code := next(iter(found)))[0] == "territories":
                where.setdefault(kind_and_code[1], set()).add(split)
    assert len(where) > 200
    assert all(len(splits) == 1 for splits in where.values())


def test_a_classifier_reads_them():
    found = load_labelled(DataArguments(embedded_data="cldr_languages"), ClassificationArguments())
    assert found.labels == sorted(DATE_LOCALES)
    assert set(found.splits) == set(SPLITS)
    assert found.splits["train"][0].keys() == {"text", "label"}


def test_a_language_that_is_not_offered():
    with pytest.raises(UserError, match="language 'xx': unknown"):
        named_languages(["hi", "xx"])
