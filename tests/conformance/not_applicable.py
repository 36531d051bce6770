"""The common tests that cannot apply to a recurrent model: the one place where a test is taken out, with its reason.

A listed test still runs, and has to fail, so that an entry which is no longer needed is noticed at once. What the tests
themselves skip for our models (attention, tensor parallel plans) needs no entry. Rather mend the model than add one.
"""

import functools
import unittest
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from packaging.specifiers import SpecifierSet


class NotApplicable(NamedTuple):
    """Why a test is taken out.

    Args:
        reason: one sentence for `docs/conformance.md`.
        versions: the versions of transformers that have the test, such as `>=5.20`; empty for all.
    """

    reason: str
    versions: str = ""


ONE_SIZE = NotApplicable("It resizes to one size, and with it input and output; two vocabularies have two sizes.")

# `test_name` for all model classes, `ModelClass.test_name` for one, or `Case*.test_name` for some of its shapes.
NOT_APPLICABLE: dict[str, NotApplicable] = {
    "RnnSeq2Seq*_embeddings_False.test_resize_tokens_embeddings": ONE_SIZE,
    "RnnSeq2SeqFor*_embeddings_False.test_resize_embeddings_untied": ONE_SIZE,
    "RnnSeq2SeqFor*_embeddings_False.test_resize_embeddings_untied_no_reinit_on_post_init": ONE_SIZE,
    "RnnSeq2SeqModel*_embeddings_False.test_inputs_embeds_matches_input_ids": NotApplicable(
        "It looks the decoder's tokens up among the source's, which are others where there are two vocabularies."
    ),
}


def take_out(test_cases: Iterable[type[unittest.TestCase]], version: str) -> None:
    """Puts the table into effect; raises `LookupError` for an entry that names no test.

    Args:
        test_cases: each has the name of its model class before the first underscore of its own.
        version: the version of transformers that the tests are from.
    """
    test_cases = list(test_cases)
    for key, (reason, versions) in NOT_APPLICABLE.items():
        if not SpecifierSet(versions).contains(version, prereleases=True):
            continue
        where, _, test_name = key.rpartition(".")
        found = [
            test_case
            for test_case in test_cases
            if hasattr(test_case, test_name)
            and (where in ("", test_case.__name__.partition("_")[0]) or fnmatchcase(test_case.__name__, where))
        ]
        if not found:
            raise LookupError(f"not_applicable.py: {key!r} is no test of transformers {version}")
        for test_case in found:
            setattr(test_case, test_name, must_fail(getattr(test_case, test_name), reason))


def must_fail(test: Callable[..., Any], reason: str) -> Callable[..., None]:
    """The test, skipped with this reason if it fails, and failed if it passes or is skipped by itself."""

    @functools.wraps(test)
    def checked(self: unittest.TestCase) -> None:
        self.subTest = lambda *args, **kwargs: nullcontext()  # one failure ends the test
        try:
            test(self)
        except unittest.SkipTest as skip:
            outcome = f"is skipped by itself ({skip})"
        except Exception:
            self.skipTest(f"not applicable: {reason}")
        else:
            outcome = "passes"
        self.fail(f"{self._testMethodName} {outcome}: its entry in not_applicable.py is not needed")

    return checked
