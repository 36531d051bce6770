#!/usr/bin/env python3
"""Set everything up, then run a job: the one command behind the README, the Makefile and .ci/run.

Needs nothing but Python and a package index that pip can reach. The environment is the active virtual or conda
environment, else `.venv` beside this file. A stamp file inside the environment says what was installed, so a repeat
run starts its job at once. `python3 setup_and_run.py --help` lists the jobs.

Nobody is forced to a build of torch: one that is installed already (in the environment, or in the Python that makes
`.venv`) is reused and never replaced; without one, torch is installed first, on its own, at the tested version.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import queue
import re
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent
MINIMUM_PYTHON = (3, 11)
DEFAULT_RECIPE = "char_lm_python"
STAMP_NAME = "rnn_zoo_setup.json"
EFFECTIVE_CONSTRAINTS_NAME = "rnn_zoo_constraints.txt"
LARGE_DOWNLOAD = 1_000_000_000  # bytes
SIGNS_OF_NO_NETWORK = (
    "NewConnectionError",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "connection broken by",
    "Max retries exceeded",
)

HELP = f"""\
usage: python3 setup_and_run.py JOB [ARGUMENTS...]

Sets up everything the job needs, then runs it. The exit status is that of the job.

jobs:
  train [RECIPE] [OPTIONS]  train a model: 'rnn-zoo train {DEFAULT_RECIPE}' unless another recipe is named;
                            options go to 'rnn-zoo train' (example: train --max_steps 50)
  test [OPTIONS]            run the fast tests, which need neither GPU nor Hub, on all cores; options go to pytest, and
                            a later -m replaces the selection (examples: test -k crf -n 0; test -m slow)
  conformance [OPTIONS]     run the common model tests of transformers over all models; the first time they are
                            fetched; options go to pytest, or --record rewrites docs/conformance.md
  check                     ruff (rules and format) and mypy, all three even when one fails
  setup                     only set up, with the developer's tools

where things go:
  An active virtual or conda environment is used (conda's 'base' is not); otherwise '.venv' is made in the project
  folder. Deleting '.venv' undoes everything. Versions come from constraints.txt.

torch:
  An installed torch, CPU or CUDA build, is reused and never replaced. Without one, pip's standard build is installed:
  on Linux that is the CUDA build, several GB. For the CPU build instead, make an environment, install torch in it
  as pytorch.org/get-started describes, and run this script from it.
"""


class Stop(Exception):
    """Ends the set-up with one sentence for the user and an exit status."""

    def __init__(self, sentence: str, status: int = 1) -> None:
        super().__init__(sentence)
        self.status = status


class Project(NamedTuple):
    """What pyproject.toml asks for."""

    name: str
    dependencies: list[str]
    extras: dict[str, list[str]]


class Environment(NamedTuple):
    """Where to install."""

    folder: Path
    python: Path
    description: str
    ours: bool  # True: `.venv`, which this script makes


class Probe(NamedTuple):
    """What an environment's own interpreter says about itself; a version is None where the package is absent."""

    python: str
    scripts: str
    pip: str | None
    project: str | None
    torch: str | None


class Download(NamedTuple):
    """One package that pip would install."""

    name: str
    version: str
    url: str


def say(text: str) -> None:
    print(text, flush=True)


def read_project(root: Path) -> Project:
    """Read name, dependencies and extras from pyproject.toml."""
    import tomllib  # only since Python 3.11: imported here so that an older Python still gets the sentence about itself

    table = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return Project(table["name"], table["dependencies"], table.get("optional-dependencies", {}))


def normalized(name: str) -> str:
    """The name of a package as package indexes compare it: `PyYAML` and `pyyaml` are one."""
    return re.sub(r"[-_.]+", "-", name).lower()


def split_requirement(line: str) -> tuple[str, str]:
    """`"torch>=2.11  # why"` → `("torch", ">=2.11")`; `("", "")` for a blank line or a comment."""
    text = re.split(r"[;#]", line, maxsplit=1)[0].strip()
    found = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(.*)", text)
    return (normalized(found[1]), found[2].replace(" ", "")) if found else ("", "")


def range_of(requirements: Iterable[str], name: str) -> str:
    """The version range that `requirements` ask of package `name`; empty when any version will do."""
    return next((asked for line in requirements for found, asked in [split_requirement(line)] if found == name), "")


def version_key(version: str) -> tuple[int, ...]:
    """Order versions: the release padded to five numbers, then 0 for a pre-release and 1 for a release.

    Build tags (`+cpu`) do not count.
    """
    found = re.match(r"\s*v?(\d+(?:\.\d+)*)(.*)", version.partition("+")[0])
    if not found:
        raise ValueError(f"{version!r} is not a version")
    release = [int(part) for part in found[1].split(".")]
    early = bool(re.match(r"[._-]?(a|b|c|rc|alpha|beta|pre|preview|dev)", found[2]))
    return (*(release + [0] * 5)[:5], 0 if early else 1)


def satisfies(version: str, asked: str) -> bool:
    """Whether `version` lies in the range `asked`, a comma-separated list of `>=`, `>`, `<=`, `<`, `==`, `!=`."""
    have = version_key(version)
    for clause in filter(None, asked.split(",")):
        found = re.fullmatch(r"(>=|<=|==|!=|>|<)([\w.+]+)", clause)
        if not found:
            raise ValueError(f"{clause!r}: this script reads only >=, >, <=, <, == and !=")
        bound = version_key(found[2])
        outcome = {
            ">=": have >= bound,
            "<=": have <= bound,
            "==": have == bound,
            "!=": have != bound,
            ">": have > bound,
            "<": have < bound,
        }
        if not outcome[found[1]]:
            return False
    return True


def effective_constraints(text: str) -> str:
    """The constraints without the pin of torch.

    That pin only chooses the version of a first installation; a torch that is there already stays as it is.
    """
    return "".join(line for line in text.splitlines(keepends=True) if split_requirement(line)[0] != "torch")


def choose_environment(root: Path, prefix: str, base_prefix: str, environ: Mapping[str, str]) -> Environment:
    """The active virtual or conda environment, else `.venv` in the project folder.

    Conda's `base` is active in every shell of many users and holds their tools: it is left alone.
    """
    if prefix != base_prefix:
        return Environment(Path(prefix), Path(sys.executable), f"the active virtual environment {prefix}", ours=False)
    if environ.get("CONDA_PREFIX") == prefix and environ.get("CONDA_DEFAULT_ENV") != "base":
        return Environment(Path(prefix), Path(sys.executable), f"the active conda environment {prefix}", ours=False)
    folder = root / ".venv"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return Environment(folder, python, ".venv in the project folder", ours=True)


def installed_version(name: str) -> str | None:
    """The version of a package in the Python that runs this script."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def probe(python: Path, project: str) -> Probe | None:
    """Ask an environment's interpreter what it holds; None when it does not run."""
    code = f"""
import importlib.metadata as metadata, json, platform, sysconfig
def version(name):
    try:
        return metadata.version(name)
    except Exception:
        return None
versions = map(version, ["pip", {project!r}, "torch"])
print(json.dumps([platform.python_version(), sysconfig.get_path("scripts"), *versions]))
"""
    try:
        # From its own folder: an egg-info lying in the current one must not pass for an installed package.
        answer = subprocess.run(
            [str(python), "-c", code],
            cwd=python.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return Probe(*json.loads(answer.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None


def make_venv(environment: Environment, reuse_system_packages: bool) -> None:
    """Make `.venv`, or make it anew when an earlier attempt broke off."""
    folder = environment.folder
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        raise Stop(f"{folder} exists and is not a virtual environment: move it away and run the command again.")
    remedy = (
        "on Debian and Ubuntu install the package python3-venv (sudo apt install python3-venv), "
        "elsewhere a Python that comes with venv and ensurepip; then run the command again."
    )
    if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        raise Stop(f"This Python ({sys.executable}) cannot make virtual environments: {remedy}")
    command = [sys.executable, "-m", "venv", "--clear"]
    if reuse_system_packages:
        command.append("--system-site-packages")
    made = subprocess.run(
        [*command, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if made.returncode:
        reason = " ".join(made.stdout.split())[-300:]
        raise Stop(f"Making {folder} failed ({reason}): {remedy}", made.returncode)


def stamp_key(root: Path, python_version: str) -> str:
    """Changes whenever something would have to be installed again: requirements, pins, the folder, the Python."""
    digest = hashlib.sha256()
    for part in (
        (root / "pyproject.toml").read_bytes(),
        (root / "constraints.txt").read_bytes(),
        str(root).encode(),
        python_version.encode(),
    ):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def read_stamp(folder: Path) -> tuple[str, set[str]]:
    """The key and the extras of the last complete set-up; an unreadable stamp counts as none."""
    try:
        stamp = json.loads((folder / STAMP_NAME).read_text(encoding="utf-8"))
        return str(stamp["key"]), set(stamp["extras"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", set()


def write_stamp(folder: Path, key: str, extras: Iterable[str]) -> None:
    """Write the stamp in one step, so that it is never seen half written."""
    unfinished = folder / (STAMP_NAME + ".new")
    unfinished.write_text(json.dumps({"key": key, "extras": sorted(extras)}) + "\n", encoding="utf-8")
    unfinished.replace(folder / STAMP_NAME)


def is_ready(folder: Path, found: Probe | None, key: str, extras: Iterable[str]) -> bool:
    """Whether the environment holds all that is wanted: nothing needs to be installed."""
    if found is None or found.torch is None or found.project is None:
        return False
    done_key, done_extras = read_stamp(folder)
    return done_key == key and set(extras) <= done_extras


def human_size(size: int) -> str:
    """`2_914_000_000` → `"2.9 GB"`: decimal units, a fraction only for GB."""
    if size >= 1_000_000_000:
        return f"{size / 1e9:.1f} GB"
    if size >= 1_000_000:
        return f"{size / 1e6:.0f} MB"
    return f"{size / 1e3:.0f} kB"


def downloads_in(report: Mapping[str, Any]) -> list[Download]:
    """The packages in pip's installation report (`pip install --dry-run --report -`)."""
    return [
        Download(normalized(item["metadata"]["name"]), item["metadata"]["version"], item["download_info"]["url"])
        for item in report.get("install", [])
    ]


def size_of(url: str, timeout: float = 5.0) -> int | None:
    """Bytes behind a `file:`, `http:` or `https:` address; None when it does not say."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "file":
            return os.stat(urllib.request.url2pathname(unquote(parts.path))).st_size
        if parts.scheme not in ("http", "https"):
            return None
        # pip may have been given a certificate bundle of its own.
        context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT") or None)
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:
            length = answer.headers.get("Content-Length")
        return int(length) if length else None
    except (OSError, ValueError):
        return None


def total_size(urls: Sequence[str], timeout: float = 5.0) -> tuple[int, int]:
    """The sum of the sizes that are known, and how many are not."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        sizes = list(pool.map(lambda url: size_of(url, timeout), urls))
    return sum(size or 0 for size in sizes), sizes.count(None)


def describe_downloads(downloads: Sequence[Download], size: int, unknown: int) -> str:
    """`"torch 2.13.0 and 23 further packages: 2.9 GB to download"`."""
    torch = next((download for download in downloads if download.name == "torch"), None)
    others = len(downloads) - bool(torch)
    parts = [f"torch {torch.version}"] if torch else []
    if others:
        parts.append(f"{others} {'further ' if torch else ''}package{'' if others == 1 else 's'}")
    if unknown == len(downloads):
        return f"{' and '.join(parts)} to download, of unknown size"
    return f"{' and '.join(parts)}: {'at least ' if unknown else ''}{human_size(size)} to download"


def is_worth_showing(line: str) -> bool:
    """Whether a line of pip's output tells a user something; some 300 lines shrink to those of the downloads."""
    text = line.strip()
    noise = (
        "Requirement already satisfied",
        "Looking in ",
        "Collecting ",
        "Obtaining ",
        "Using cached ",
        "Preparing ",
        "Installing build dependencies",
        "Installing backend dependencies",
        "Checking if build backend",
        "Getting requirements to build",
        "Successfully ",
        "Attempting uninstall",
        "Found existing installation",
        "Uninstalling ",
        "Stored in directory",
        "Created wheel for",
        "WARNING: Location ",
        "WARNING: Retrying ",
    )
    return bool(text) and not text.startswith(noise) and "━" not in text and ".metadata (" not in text


def run_pip(python: Path, arguments: Sequence[str], heartbeat_s: float = 20.0) -> tuple[int, str]:
    """Run pip, showing what matters of its output, with a sign of life when it is silent; returns status and output."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines: queue.Queue[str | None] = queue.Queue()

    def pump() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=pump, daemon=True).start()
    started = time.monotonic()
    output: list[str] = []
    while True:
        try:
            line = lines.get(timeout=heartbeat_s)
        except queue.Empty:
            say(f"  ... pip at work for {time.monotonic() - started:.0f} s")
            continue
        if line is None:
            return process.wait(), "".join(output)
        output.append(line)
        if is_worth_showing(line):
            say("  " + re.sub(r" \(from [^()]*\)$", "", line.rstrip())[:200])


def lacks_network(output: str) -> bool:
    """Whether pip's output shows that it could not reach its package index."""
    return any(sign in output for sign in SIGNS_OF_NO_NETWORK)


def pip_install(python: Path, arguments: Sequence[str], what: str) -> None:
    """`pip install`; a failure ends the set-up with pip's exit status and one sentence."""
    status, output = run_pip(python, ["install", *arguments])
    if not status:
        return
    if lacks_network(output):
        raise Stop(
            f"pip could not install {what} because it cannot reach its package index: connect to the network "
            "(or set pip's proxy or index in its configuration) and run the command again.",
            status,
        )
    raise Stop(f"pip could not install {what} (exit status {status}); its messages above say why.", status)


def dry_run(python: Path, arguments: Sequence[str]) -> list[Download] | None:
    """What `pip install` with these arguments would install; None when pip cannot tell. Never ends the set-up."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--dry-run"]
    try:
        answer = subprocess.run(
            [*command, "--quiet", "--report", "-", "--retries", "1", *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
        )
        return downloads_in(json.loads(answer.stdout)) if answer.returncode == 0 else None
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None


def announce_downloads(environment: Environment, arguments: Sequence[str]) -> None:
    """Say how much will be downloaded, before it is."""
    say("Working out what has to be installed ...")
    downloads = dry_run(environment.python, arguments)
    if not downloads:
        if downloads is None:
            say("pip could not tell in advance how much there is to download; a CUDA build of torch has several GB.")
        return
    size, unknown = total_size([download.url for download in downloads])
    say(describe_downloads(downloads, size, unknown))
    if size > LARGE_DOWNLOAD and any(download.name == "torch" for download in downloads):
        say(
            "That is torch with CUDA; where there is no NVIDIA GPU the CPU build (about 0.2 GB) does: stop, install it "
            f"with {environment.python} -m pip the way pytorch.org/get-started shows, and run this again to reuse it."
        )
        if sys.stdin is not None and sys.stdin.isatty():
            say("Going on in 5 seconds; Ctrl-C to stop.")
            time.sleep(5)


def set_up(extras: Iterable[str]) -> tuple[Environment, Probe]:
    """Make sure that the environment holds the project with these extras; returns the environment as it then is."""
    project = read_project(ROOT)
    torch_range = range_of(project.dependencies, "torch")
    environment = choose_environment(ROOT, sys.prefix, sys.base_prefix, os.environ)
    found = probe(environment.python, project.name)
    if found and is_ready(environment.folder, found, stamp_key(ROOT, found.python), extras):
        return environment, found

    started = time.monotonic()
    say(f"Setting up in {environment.description}.")
    if found is None:
        if not environment.ours:
            raise Stop(f"{environment.python} does not run: activate a working environment, or none.")
        base_torch = installed_version("torch")
        reuse = base_torch is not None and satisfies(base_torch, torch_range)
        if environment.folder.exists():
            say("What is there is incomplete: making it anew.")
        make_venv(environment, reuse)
        found = probe(environment.python, project.name)
        if found is None:
            raise Stop(f"{environment.folder} was made, but its Python does not run.")
    if version_key(found.python)[: len(MINIMUM_PYTHON)] < MINIMUM_PYTHON:
        raise Stop(
            f"{environment.folder} holds Python {found.python}; this project needs "
            f"{'.'.join(map(str, MINIMUM_PYTHON))} or newer: remove the folder and run the command again."
        )
    if found.torch and not satisfies(found.torch, torch_range):
        raise Stop(
            f"torch {found.torch} in {environment.folder} is outside the range torch{torch_range}, and an installed "
            "torch is never replaced: upgrade it yourself, or run this outside that environment."
        )
    if not found.pip and subprocess.call([str(environment.python), "-m", "ensurepip"], stdin=subprocess.DEVNULL):
        raise Stop(f"{environment.folder} has no pip: install it there, then run the command again.")

    key = stamp_key(ROOT, found.python)
    # What an earlier job needed is kept in step: tests and training share the environment.
    wanted = sorted((set(extras) | read_stamp(environment.folder)[1]) & set(project.extras))
    (environment.folder / STAMP_NAME).unlink(missing_ok=True)

    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    constraints = environment.folder / EFFECTIVE_CONSTRAINTS_NAME
    constraints.write_text(effective_constraints(pins), encoding="utf-8")
    under = ["--constraint", str(constraints)]
    requirements = [*project.dependencies, *(line for extra in wanted for line in project.extras[extra])]
    if found.torch:
        say(f"torch {found.torch} is installed already and stays as it is.")
        announce_downloads(environment, [*under, *requirements])
    else:
        torch = "torch" + (range_of(pins.splitlines(), "torch") or torch_range)
        announce_downloads(environment, [*under, torch, *requirements])
        pip_install(environment.python, [*under, torch], torch)
    chosen = f".[{','.join(wanted)}]" if wanted else "."
    pip_install(environment.python, [*under, "--editable", chosen], project.name)

    found = probe(environment.python, project.name)
    if not found or subprocess.call([str(environment.python), "-c", "import torch"], stdin=subprocess.DEVNULL):
        raise Stop(f"torch cannot be imported in {environment.folder}: the messages above say why.")
    write_stamp(environment.folder, key, wanted)
    say(f"Set up in {time.monotonic() - started:.0f} s.")
    return environment, found


def train_command(found: Probe, arguments: Sequence[str]) -> list[str]:
    """`rnn-zoo train`; a first argument without a dash names another recipe than the default one."""
    recipe = [] if arguments and not arguments[0].startswith("-") else [DEFAULT_RECIPE]
    return [str(Path(found.scripts) / "rnn-zoo"), "train", *recipe, *arguments]


def test_command(python: Path, arguments: Sequence[str]) -> list[str]:
    """The fast, offline part of the tests, on all cores; pytest takes the last of an option that it is given twice."""
    selection = "not slow and not gpu and not hub and not browser and not conformance"
    processes = ["-n", "logical", "--maxprocesses", "8", "--dist", "worksteal"]
    return [str(python), "-m", "pytest", *processes, "-m", selection, *arguments]


def conformance_command(python: Path, arguments: Sequence[str]) -> list[str]:
    """The common model tests of transformers, fetched from the package index."""
    return [str(python), str(Path("tests", "conformance", "run.py")), *arguments]


def hand_over(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Become the job where the system allows it, so that signals and exit status are the job's own."""
    sys.stdout.flush()
    if os.name == "posix":
        os.execve(command[0], list(command), dict(environ))
    return subprocess.call(list(command), env=dict(environ))


def run_checks(python: Path, environ: Mapping[str, str]) -> int:
    """ruff's rules, its format and mypy: all of them, each with its time."""
    summary, status = [], 0
    for title, arguments in (
        ("rules", ["ruff", "check", "."]),
        ("format", ["ruff", "format", "--check", "."]),
        ("types", ["mypy"]),
    ):
        started = time.monotonic()
        failed = subprocess.call([str(python), "-m", *arguments], env=dict(environ), stdin=subprocess.DEVNULL)
        status = status or failed
        outcome = "FAILED" if failed else "passed"
        summary.append(f"  {title:<8} {outcome}  {time.monotonic() - started:5.1f} s  ({' '.join(arguments)})")
    say("\n".join(["check:", *summary]))
    return status


def run_job(job: str, arguments: Sequence[str]) -> int:
    """Set up what the job needs and run it."""
    environment, found = set_up([] if job == "train" else ["dev"])
    environ = {**os.environ, "PATH": found.scripts + os.pathsep + os.environ.get("PATH", "")}
    if job == "setup":
        say(f"Everything is ready in {environment.description}.")
        return 0
    if job == "train":
        return hand_over(train_command(found, arguments), environ)
    os.chdir(ROOT)
    if job == "check":
        return run_checks(environment.python, environ)
    command = conformance_command if job == "conformance" else test_command
    return hand_over(command(environment.python, arguments), environ)


JOBS = ("train", "test", "conformance", "check", "setup")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sys.version_info < MINIMUM_PYTHON:
        needed = ".".join(map(str, MINIMUM_PYTHON))
        print(f"This project needs Python {needed} or newer; {sys.executable} is {sys.version.split()[0]}.")
        return 1
    if {"-h", "--help"} & set(arguments[:2]):
        print(HELP, end="")
        return 0
    job, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if job not in JOBS:
        close = difflib.get_close_matches(job, JOBS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        what = f"{job!r}: unknown job" if job else "no job given"
        print(f"{what}; {hint}(choose from {', '.join(JOBS)}; --help explains them)", file=sys.stderr)
        return 2
    if rest and job in ("check", "setup"):
        print(f"{job!r} takes no arguments; given: {' '.join(rest)}", file=sys.stderr)
        return 2
    try:
        return run_job(job, rest)
    except Stop as stop:
        print(f"\n{stop}", file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on where this one left off.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
