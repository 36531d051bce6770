"""What comes in from outside is read, or refused in a sentence; all cases of all doors take an hour, a few a minute."""

import pytest
from reliability.doors import DOORS
from reliability.harness import CASES, Door, run
from reliability.run import PAGE


def by_name(door: Door) -> str:
    return door.name


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS, ids=by_name)
def test_nothing_from_outside_ends_in_a_traceback(door):
    outcome = run(door, CASES[door.group])
    assert outcome.cases >= CASES[door.group]
    assert outcome.is_good, "\n".join(f"{kind}\n{report}" for kind, report in outcome.findings.items())


@pytest.mark.ci
@pytest.mark.parametrize("door", [door for door in DOORS if not door.is_slow], ids=by_name)
def test_each_door_reads_some_cases_and_refuses_others(door):
    """The cases are worth their name, at another seed than the page's."""
    outcome = run(door, 12, start=1)
    assert outcome.is_good, "\n".join(f"{kind}\n{report}" for kind, report in outcome.findings.items())
    assert outcome.read + outcome.refused == outcome.cases
    assert outcome.refused


def test_the_page_knows_every_door():
    page = PAGE.read_text(encoding="utf-8")
    assert [door.name for door in DOORS if f"| {door.name} | {CASES[door.group]:,} |" not in page] == []
