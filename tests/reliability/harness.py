"""Runs many cases, most of them damaged, through one door of the program, and counts how each ended.

A door is a way by which something comes in from outside: a file, a folder, a command line. Each case must be read or
refused in a sentence. Anything else is a finding: another exception, more than `SECONDS` for one case, more than
`BYTES` of memory for the whole process.
"""

import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from rnn_zoo.errors import HubError, RunError, UserError

SECONDS = 20  # that one case may take
BYTES = 2 * 2**30  # of memory, that a process may ever hold, torch included
CASES = {"readers": 10_000, "command line": 1_000, "recipes": 1_000, "checkpoints": 1_000, "imports": 1_000}
SHOWN = 400  # characters of a case that a report shows


@dataclass(frozen=True)
class Door:
    """One way by which something comes in.

    Args:
        name: its row in docs/reliability.md.
        group: a key of `CASES`.
        cases: what is tried: bytes of a file, a changed value, hostile text.
        enter: takes a case and an empty folder. It returns where the case was read, and raises one of our own errors
            where it was refused.
        prepare: makes what all cases need in the folder above theirs.
        is_slow: whether a case takes about a second.
    """

    name: str
    group: str
    cases: SearchStrategy
    enter: Callable[[Any, Path], None]
    prepare: Callable[[Path], None] = lambda folder: None
    is_slow: bool = False


@dataclass
class Outcome:
    """How the cases of a door ended."""

    name: str
    group: str
    cases: int = 0
    read: int = 0
    refused: int = 0
    findings: dict[str, str] = field(default_factory=dict)  # kind of fault -> its first case and the traceback
    tracebacks: int = 0
    hangs: int = 0
    slowest_s: float = 0.0
    peak_bytes: int = 0

    @property
    def is_good(self) -> bool:
        return not self.findings and self.peak_bytes <= BYTES


class Hang(BaseException):
    """A case that took too long; no `Exception`, so that nothing on the way takes it for a refusal."""


def run(door: Door, cases: int, start: int = 0) -> Outcome:
    """Runs a number of cases in a process of its own, whose memory is limited.

    Args:
        door: where they go in.
        cases: how many.
        start: seed of the cases; the same one gives the same cases.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryDirectory(prefix="reliability-") as place:
        folder = Path(place)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _run_here(door, cases, start, folder)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        return _watch(child, door, folder)


def _watch(child: int, door: Door, folder: Path) -> Outcome:
    """Waits for a process; ends it where not even a signal gets it out of one case."""
    progress, seen, since = folder / "progress", "", time.monotonic()
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        now = progress.read_text(encoding="utf-8") if progress.exists() else ""
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > 3 * SECONDS:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return _broken(door, folder, "killed, as it hung", hangs=1)
        time.sleep(0.05)
    if status:
        return _broken(door, folder, f"ended with status {status}", tracebacks=1)
    return Outcome(**json.loads((folder / "outcome.json").read_text(encoding="utf-8")))


def _broken(door: Door, folder: Path, how: str, tracebacks: int = 0, hangs: int = 0) -> Outcome:
    """The outcome of a process that did not come to its end."""
    outcome, case = folder / "outcome.json", folder / "progress"
    found = (
        Outcome(**json.loads(outcome.read_text(encoding="utf-8")))
        if outcome.exists()
        else Outcome(door.name, door.group)
    )
    found.tracebacks, found.hangs = found.tracebacks + tracebacks, found.hangs + hangs
    found.findings[f"process {how}"] = case.read_text(encoding="utf-8") if case.exists() else "before its first case"
    return found


def _run_here(door: Door, cases: int, start: int, folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (2 * BYTES, hard))  # threads and libraries reserve what they never fill
    os.setpgrp()
    warnings.simplefilter("ignore")
    result = Outcome(door.name, door.group)
    reports: dict[str, str] = result.findings

    def ring(*_: Any) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, ring)

    @settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(door.cases)
    def one(case: Any) -> None:
        if result.cases >= cases:
            return
        room, known = folder / "case", len(reports)
        room.mkdir()
        result.cases += 1
        (folder / "progress").write_text(
            f"case {result.cases}: {repr(case)[:SHOWN]}", encoding="utf-8", errors="replace"
        )
        before = time.monotonic()
        signal.alarm(SECONDS)
        try:
            door.enter(case, room)
            result.read += 1
        except (UserError, HubError, RunError):
            result.refused += 1
        except Hang:
            result.hangs += 1
            reports.setdefault(f"hang in {_place()}", _report(case))
        except BaseException as error:
            result.tracebacks += 1
            reports.setdefault(f"{type(error).__name__} in {_place()}", _report(case))
        finally:
            signal.alarm(0)
            result.slowest_s = max(result.slowest_s, time.monotonic() - before)
            _remove(room)
            if len(reports) > known:
                save()

    def save() -> None:
        result.peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        (folder / "outcome.json").write_text(json.dumps(asdict(result)), encoding="utf-8")

    door.prepare(folder)
    round_, done = 0, -1
    while done < result.cases < cases:  # hypothesis makes no case twice, and may be through before
        done = result.cases
        seed(start + 1000 * round_)(one)()
        round_ += 1
    save()


def _place() -> str:
    """Where the exception that is being handled came from: the last lines of ours and of all."""
    if place := getattr(sys.exc_info()[1], "place", None):
        return place
    frames = traceback.extract_tb(sys.exc_info()[2])
    ours = [frame for frame in frames if "rnn_zoo" in frame.filename]
    return " <- ".join(f"{Path(f.filename).name}:{f.lineno}" for f in ([frames[-1], *ours[-1:]]) if f)


def _report(case: Any) -> str:
    text = repr(case)
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"
    return f"{shown}\n{traceback.format_exc(limit=-6)}"


def _remove(room: Path) -> None:
    """Also where a case has taken rights away."""

    def allow(function: Callable[[str], None], path: str, _: BaseException) -> None:
        os.chmod(os.path.dirname(path), 0o700)
        os.chmod(path, 0o700)
        function(path)

    try:
        shutil.rmtree(room)
    except OSError:
        shutil.rmtree(room, **({"onexc": allow} if sys.version_info >= (3, 12) else {"onerror": allow}))
