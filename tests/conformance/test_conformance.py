"""The conformance suite's own parts, offline: what is tested, the table of exceptions, the page, the archive."""

import io
import re
import tarfile
import unittest
from pathlib import Path

import archive
import cases
import not_applicable
import page
import pytest
from not_applicable import NotApplicable
from transformers import PreTrainedModel

ROOT = Path(__file__).resolve().parents[2]


def all_subclasses(cls):
    return {cls}.union(*map(all_subclasses, cls.__subclasses__()))


def test_every_model_class_is_registered_and_so_tested():
    ours = {c for c in all_subclasses(PreTrainedModel) if c.__module__.startswith("rnn_zoo.")}
    assert set(cases.registered()) == {c for c in ours if not c.__name__.endswith("PreTrainedModel")}
    assert not cases.FORWARD_ONLY.difference(c.__name__ for c in cases.registered())


def test_page_is_current():
    assert page.render(page.load()) == page.PAGE.read_text(encoding="utf-8"), (
        "docs/conformance.md is out of date: python tests/conformance/page.py rewrites it"
    )


def test_every_case_is_recorded_with_the_pinned_version():
    pin = re.search(r"^transformers==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)[1]
    recorded = page.load()
    assert next(reversed(recorded)) == pin
    assert set(recorded[pin]["counts"]) == {case.name for case in cases.cases()}, (
        "python3 setup_and_run.py conformance --record brings results.json up to date"
    )


def test_page_shows_the_table(monkeypatch):
    monkeypatch.setitem(not_applicable.NOT_APPLICABLE, "test_x", NotApplicable("There is no x.", ">=5.20"))
    assert "| `test_x` | >=5.20 | There is no x. |" in page.render(page.load())


class RnnSome_lstm(unittest.TestCase):
    """Stands in for the tests of one case."""

    __test__ = False

    def test_fails(self):
        with self.subTest("a"):
            raise TypeError("no x")

    def test_passes(self):
        pass

    def test_skips(self):
        self.skipTest("not installed")


def run_with(monkeypatch, key, entry):
    """The result of the tests above with one entry in the table."""
    test_case = type("RnnSome_lstm", (RnnSome_lstm,), {})
    monkeypatch.setattr(not_applicable, "NOT_APPLICABLE", {key: entry})
    not_applicable.take_out([test_case], "5.23.0")
    result = unittest.TestResult()
    test_case(key.rpartition(".")[2]).run(result)
    return result


@pytest.mark.parametrize("prefix", ["", "RnnSome.", "RnnS*_lstm."])
def test_entry_skips_a_failing_test_with_its_reason(monkeypatch, prefix):
    result = run_with(monkeypatch, f"{prefix}test_fails", NotApplicable("There is no x."))
    assert result.wasSuccessful()
    assert [reason for _, reason in result.skipped] == ["not applicable: There is no x."]


@pytest.mark.parametrize(("name", "outcome"), [("test_passes", "passes"), ("test_skips", "is skipped by itself")])
def test_entry_that_is_not_needed_fails(monkeypatch, name, outcome):
    result = run_with(monkeypatch, name, NotApplicable("There is no x."))
    assert f"{name} {outcome}" in result.failures[0][1]


@pytest.mark.parametrize("key", ["test_other", "RnnOther.test_fails", "RnnS*_gru.test_fails"])
def test_entry_that_names_no_test_is_an_error(monkeypatch, key):
    with pytest.raises(LookupError, match=rf"'{re.escape(key)}' is no test of transformers 5\.23\.0"):
        run_with(monkeypatch, key, NotApplicable("There is no x."))


def test_entry_for_other_versions_has_no_effect(monkeypatch):
    assert run_with(monkeypatch, "test_passes", NotApplicable("There is no x.", "<5.20")).wasSuccessful()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RNN_ZOO_CONFORMANCE_CACHE", str(tmp_path))
    return tmp_path


def make_archive(path, names):
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(f"transformers-1.0/{name}"), io.BytesIO())
    return path


def test_archive_is_fetched_once_and_only_its_tests_are_kept(cache, monkeypatch):
    names = [f"tests/{name}.py" for name in archive.MODULES]
    names += ["setup.py", "tests/models/test_x.py", "tests/../x.py"]
    downloads = []

    def download(version, folder):
        downloads.append(version)
        return make_archive(folder / "a.tar.gz", names)

    monkeypatch.setattr(archive, "download", download)
    folder = archive.fetch("1.0")
    assert archive.fetch("1.0") == folder == cache / "transformers-1.0"
    assert sorted(path.stem for path in folder.iterdir()) == sorted(archive.MODULES)
    assert downloads == ["1.0"]
    assert list(cache.iterdir()) == [folder]


@pytest.mark.parametrize("names", [["tests/test_modeling_common.py"], []])
def test_broken_archive_leaves_nothing_behind(cache, monkeypatch, names):
    monkeypatch.setattr(archive, "download", lambda version, folder: make_archive(folder / "a.tar.gz", names))
    with pytest.raises(archive.Unavailable, match=r"a\.tar\.gz holds no tests/test_\w+\.py"):
        archive.fetch("1.0")
    assert list(cache.iterdir()) == []


def test_index_out_of_reach_is_one_sentence(cache, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(cache))
    with pytest.raises(archive.Unavailable, match=r"^The conformance tests are in .* transformers 0\.0\.1, .*\)\.$"):
        archive.fetch("0.0.1")
    assert list(cache.iterdir()) == []
