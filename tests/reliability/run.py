#!/usr/bin/env python3
"""Runs the cases of all doors, keeps how they ended in benchmarks/results, and writes docs/reliability.md from that.

python tests/reliability/run.py                             all (about an hour on two cores)
python tests/reliability/run.py --only CoNLL                the doors whose name holds that
python tests/reliability/run.py --only CoNLL --cases 200    fewer of their cases; keeps and writes nothing
python tests/reliability/run.py --page                      the page alone
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ.setdefault("OMP_NUM_THREADS", "1")

from reliability.doors import DOORS  # noqa: E402
from reliability.harness import BYTES, CASES, SECONDS, Outcome, run  # noqa: E402

PAGE = ROOT / "docs" / "reliability.md"
RESULTS = ROOT / "benchmarks" / "results" / "reliability.json"
HEAD = f"""# What happens to files that are damaged, hostile or mistyped

This page is written by `python tests/reliability/run.py`; a test looks whether it names every door.

A *door* is a way by which something comes in from outside. hypothesis makes the cases of each door: files, folders and
command lines that are valid, nearly valid, damaged at a random place, or made to do harm (deep nesting, huge numbers,
compressed gigabytes, links, names that are too long). Each case has to be *read*, or *refused* in one sentence, which
the command line prints with exit status 2. A *traceback* is any other exception, a *hang* a case of more than
{SECONDS} seconds. Memory is the most that the process of a door ever held, Python and torch included; the limit is
{BYTES / 2**30:g} GiB.
"""


def keep(outcome: Outcome) -> None:
    """Puts the outcome of a door in the place of an older one."""
    with FileLock(Path(tempfile.gettempdir()) / "rnn_zoo_reliability.lock"):
        kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        kept[outcome.name] = asdict(outcome) | {"python": platform.python_version()}
        RESULTS.write_text(json.dumps(kept, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def page() -> str:
    """The text of docs/reliability.md; a door that has not been run yet has no numbers."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    lines = [HEAD, f"{sum(one['cases'] for one in kept.values()):,} cases in all.\n"]
    for group in CASES:
        lines.append(f"## {group[0].upper()}{group[1:]}\n")
        lines.append("| door | cases | read | refused | tracebacks | hangs | slowest case, s | memory, MB |")
        lines.append("|---|---|---|---|---|---|---|---|")
        for door in DOORS:
            if door.group == group and (one := kept.get(door.name)) is not None:
                cells = [f"{one[key]:,}" for key in ("cases", "read", "refused", "tracebacks", "hangs")]
                cells[3] += f" ({one['note']})" if "note" in one else ""  # what was mended after the run
                cells += [f"{one['slowest_s']:.1f}", f"{one['peak_bytes'] / 1e6:,.0f}"]
                lines.append(f"| {' | '.join([door.name, *cells])} |")
        lines.append("")
    return "\n".join(lines)


def show(one: Outcome) -> None:
    print(
        f"{one.group}: {one.name}: {one.cases} cases, {one.read} read, {one.refused} refused, "
        f"{one.tracebacks} tracebacks, {one.hangs} hangs, {one.slowest_s:.1f} s at most, "
        f"{one.peak_bytes / 1e6:.0f} MB",
        flush=True,
    )
    for kind, report in one.findings.items():
        print(f"--- {kind}\n{report}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, help="of each door [as many as the page promises]")
    parser.add_argument("--only", default="", help="doors whose name or group holds this text")
    parser.add_argument("--seed", type=int, default=0, help="of the cases [0]")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="side by side [all cores]")
    parser.add_argument("--page", action="store_true", help="run nothing, write the page")
    options = parser.parse_args()
    doors = [] if options.page else [door for door in DOORS if options.only in f"{door.group}: {door.name}"]
    good = True
    with ThreadPoolExecutor(options.processes) as pool:
        running = [pool.submit(run, door, options.cases or CASES[door.group], options.seed) for door in doors]
        for future in as_completed(running):
            outcome = future.result()
            show(outcome)
            good = good and outcome.is_good
            if options.cases is None:
                keep(outcome)
    if options.cases is None:
        PAGE.write_text(page(), encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
