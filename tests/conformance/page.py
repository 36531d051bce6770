"""`docs/conformance.md`, made of the table of tests that are not applicable and the counts of recorded runs.

python tests/conformance/page.py            # rewrites it
python tests/conformance/page.py --check    # exit status 1 if it is out of date
"""

import json
import sys
from pathlib import Path
from typing import Any

from not_applicable import NOT_APPLICABLE

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
PAGE = HERE.parents[1] / "docs" / "conformance.md"

OUTCOMES = ("passed", "skipped", "not applicable")

TEXT = """\
# Conformance

The source distribution of transformers carries the tests that the library's own models have to pass:
`ModelTesterMixin`, `ConfigTester`, `PipelineTesterMixin` and `TrainingTesterMixin`. `make conformance` fetches those of
the installed version and runs them over every registered model class, with a cell of each kind, in one direction and,
where the class allows it, in both; and over what else changes its parts, such as the kinds of attention. Nothing of
them is copied into this project.

This page is generated: `python3 setup_and_run.py conformance --record` runs everything and rewrites it.

## Counts

{counts}

Sums over these shapes; nothing failed. Tests that find nothing of their kind in a model, such as those of
image features, pass or skip as their authors wrote them; a test whose parts were all skipped counts as skipped.

## Not applicable

{not_applicable}

## Skipped by the tests themselves

With transformers {version} and torch {torch}, on {device}; the number is that of different tests.

{skips}

## Not in the source distribution

The tests of `generate` (ours are in `tests/test_generation.py`), of exporters, and of what each kind of pipeline
returns (here: a result for each text, one by one and in batches); and what the tests with several processes need.
"""


def table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def load() -> dict[str, Any]:
    """The recorded runs by version of transformers, the newest last."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return dict(sorted(results.items(), key=lambda item: [int(part) for part in item[0].split(".")]))


def save(results: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(load()), encoding="utf-8")


def render(results: dict[str, Any]) -> str:
    counts = []
    for version, run in results.items():
        for model_name in sorted({name.partition("_")[0] for name in run["counts"]}):
            of_class = [count for name, count in run["counts"].items() if name.partition("_")[0] == model_name]
            sums = [sum(count.get(outcome, 0) for count in of_class) for outcome in OUTCOMES]
            counts.append([version, f"`{model_name}`", len(of_class), *sums])
    reasons = [[f"`{name}`", entry.versions or "all", entry.reason] for name, entry in NOT_APPLICABLE.items()]
    version, newest = next(reversed(results.items()))
    return TEXT.format(
        counts=table(["transformers", "model class", "shapes", *OUTCOMES], counts),
        not_applicable=table(["test", "transformers", "why"], reasons) if reasons else "No test is taken out.",
        version=version,
        torch=newest["torch"],
        device=newest["device"],
        skips=table(["reason", "tests"], [[reason, count] for reason, count in newest["skips"].items()]),
    )


def main() -> int:
    current = render(load())
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(current, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != current:
        print("docs/conformance.md is out of date: python tests/conformance/page.py rewrites it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
