#!/usr/bin/env python3
"""Runs the cases of all doors, and writes docs/reliability.md.

python tests/reliability/run.py                        all, as the page says (about an hour)
python tests/reliability/run.py --cases 200 --only CoNLL    fewer, of the doors whose name holds that; writes nothing
"""

import argparse
import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ.setdefault("OMP_NUM_THREADS", "1")

from reliability.doors import DOORS  # noqa: E402
from reliability.harness import BYTES, CASES, SECONDS, Outcome, run  # noqa: E402

PAGE = ROOT / "docs" / "reliability.md"
HEAD = f"""# What happens to files that are damaged, hostile or mistyped

This page is written by `python tests/reliability/run.py`; a test looks whether it names every door.

A *door* is a way by which something comes in from outside. hypothesis makes the cases of each door: files, folders and
command lines that are valid, nearly valid, damaged at a random place, or made to do harm (deep nesting, huge numbers,
compressed gigabytes, links, names that are too long). Each case has to be *read*, or *refused* in one sentence, which
the command line prints with exit status 2. A *traceback* is any other exception, a *hang* a case of more than
{SECONDS} seconds. Memory is the most that the process of a door ever held, Python and torch included; the limit is
{BYTES / 2**30:g} GiB.
"""


def page(outcomes: list[Outcome]) -> str:
    """The text of docs/reliability.md."""
    total = sum(one.cases for one in outcomes)
    lines = [HEAD, f"Last run: {total:,} cases on Python {platform.python_version()}.\n"]
    for group in CASES:
        lines.append(f"## {group[0].upper()}{group[1:]}\n")
        lines.append("| door | cases | read | refused | tracebacks | hangs | slowest case, s | memory, MB |")
        lines.append("|---|---|---|---|---|---|---|---|")
        lines += [
            f"| {one.name} | {one.cases:,} | {one.read:,} | {one.refused:,} | {one.tracebacks} | {one.hangs} | "
            f"{one.slowest_s:.1f} | {one.peak_bytes / 1e6:,.0f} |"
            for one in outcomes
            if one.group == group
        ]
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, help="of each door [as many as the page promises]")
    parser.add_argument("--only", default="", help="doors whose name or group holds this text")
    parser.add_argument("--seed", type=int, default=0, help="of the cases [0]")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="side by side [all cores]")
    options = parser.parse_args()
    doors = [door for door in DOORS if options.only in f"{door.group}: {door.name}"]
    with ThreadPoolExecutor(options.processes) as pool:
        running = [pool.submit(run, door, options.cases or CASES[door.group], options.seed) for door in doors]
        outcomes = []
        for door, future in zip(doors, running, strict=True):
            one = future.result()
            outcomes.append(one)
            print(
                f"{door.group}: {door.name}: {one.cases} cases, {one.read} read, {one.refused} refused, "
                f"{one.tracebacks} tracebacks, {one.hangs} hangs, {one.slowest_s:.1f} s at most, "
                f"{one.peak_bytes / 1e6:.0f} MB",
                flush=True,
            )
            for kind, report in one.findings.items():
                print(f"--- {kind}\n{report}", flush=True)
    if not options.cases and not options.only and all(one.is_good for one in outcomes):
        PAGE.write_text(page(outcomes), encoding="utf-8")
    return 0 if all(one.is_good for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
