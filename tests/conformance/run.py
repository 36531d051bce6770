"""Runs the common model tests of the installed transformers over all our models; see `docs/conformance.md`.

python tests/conformance/run.py -k "lstm and save_load"    # arguments go to pytest
python tests/conformance/run.py --record                   # writes the counts to results.json and docs/conformance.md
"""

import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import archive
import page
import pytest
import torch
from cases import registered
from transformers.testing_utils import torch_device


class Counts:
    """A plugin of pytest that keeps the outcome of each test, its subtests included."""

    def __init__(self):
        self.reports = defaultdict(list)

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or not report.passed:
            self.reports[report.nodeid].append(report)

    def outcomes(self):
        """For each test: its case, its name, the outcome, and the reason if it was skipped."""
        for nodeid, reports in self.reports.items():
            _, case, test = nodeid.split("::")
            seen = Counter(report.outcome for report in reports)
            # The last report is that of the test as a whole, which passes although all its subtests are skipped.
            skipped = seen["skipped"] and seen["passed"] <= (reports[-1].passed and len(reports) > 1)
            outcome = "failed" if seen["failed"] else "skipped" if skipped else "passed"
            reason = next((r.longrepr[2].removeprefix("Skipped: ") for r in reports if r.skipped), "")
            yield case, test, "not applicable" if reason.startswith("not applicable: ") else outcome, reason

    def summary(self):
        """What is recorded of a run: the counts of each case, and for each reason how many tests it skipped."""
        names = "|".join(model_class.__name__ for model_class in registered())
        counts, skips = defaultdict(Counter), defaultdict(set)
        for case, test, outcome, reason in self.outcomes():
            counts[case][outcome] += 1
            if outcome == "skipped":
                skips[re.sub(rf"<class '[\w.]+'>|\b({names})\b", "the model", reason).strip().rstrip(".")].add(test)
        return {
            "torch": torch.__version__.partition("+")[0],
            "device": torch_device,
            "counts": dict(counts),
            "skips": {reason: len(tests) for reason, tests in sorted(skips.items())},
        }


def main() -> int:
    arguments = sys.argv[1:]
    record = arguments == ["--record"]
    if "--record" in arguments and not record:
        print("--record takes no other arguments: it records a run of all tests", file=sys.stderr)
        return 2
    try:
        archive.fetch()
    except (archive.Unavailable, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    options = [str(Path(__file__).with_name("suite.py")), "-m", "conformance", "--quiet", "--tb=short"]
    # The library's tests bear marks of their own, and it is imported already.
    options += ["--override-ini", "addopts=", "-W", "ignore::pytest.PytestUnknownMarkWarning"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    counts = Counts()
    status = pytest.main([*options, *([] if record else arguments)], plugins=[counts])
    if record and status == 0:
        page.save({**page.load(), archive.VERSION: counts.summary()})
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
