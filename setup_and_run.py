#!/usr/bin/env python3
"""usage: python3 setup_and_run.py JOB [ARGUMENTS...]

Sets up everything the job needs, then runs it. The exit status is that of the job.

jobs:
  train [RECIPE] [OPTIONS]  'rnn-zoo train char_lm_python', or another recipe, with options (train --max_steps 50)
  test [OPTIONS]            run the quick tests, which need neither GPU nor Hub, on all cores; options go to pytest, and
                            a later -m replaces the selection (examples: test -k crf -n 0; test -m ci)
  conformance [OPTIONS]     run the common model tests of transformers over all models; the first time they are
                            fetched; options go to pytest, or --record rewrites docs/conformance.md
  check                     ruff (rules and format) and mypy, all three even when one fails
  setup                     only set up, with the developer's tools

where things go:
  An active virtual or conda environment is used (conda's 'base' is not); otherwise '.venv' is made here. Deleting
  '.venv' undoes everything. Versions come from constraints.txt.

torch:
  An installed torch, CPU or CUDA build, is reused and never replaced. Without one, pip's standard build is installed:
  on Linux that is the CUDA build, several GB. For the CPU build, first install it as pytorch.org/get-started shows, in
  an environment of your own, and run this script from it.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
JOBS = ("train", "test", "conformance", "check", "setup")
say = partial(print, flush=True)


def stop(sentence: str, status: int = 1) -> NoReturn:
    print(sentence, file=sys.stderr)
    sys.exit(status)


def installed(name: str) -> str | None:
    """The version of a package in the Python that runs this."""
    return next((found.version for found in importlib.metadata.distributions(name=name)), None)


def hand_over(command: list[str]) -> int:
    """Become another program where the system allows it, so that signals and exit status are its own."""
    sys.stdout.flush()
    if os.name == "posix":
        os.execv(command[0], command)
    return subprocess.call(command)


def is_inside() -> bool:
    """Whether a virtual or conda environment is active; not conda's `base`, which holds the tools of many users."""
    conda = os.environ.get("CONDA_PREFIX") == sys.prefix and os.environ.get("CONDA_DEFAULT_ENV") != "base"
    return sys.prefix != sys.base_prefix or conda


def python_of_venv() -> str:
    """The interpreter of `.venv`, which is made if it is not there; it sees what is outside if torch is, and fits."""
    folder = ROOT / ".venv"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        stop(f"{folder} exists and is not a virtual environment: move it away and run the command again.")
    if python.exists():
        return str(python)
    torch, uv = installed("torch"), shutil.which("uv")
    options = [*(["--system-site-packages"] if torch and torch_fits(torch) else []), str(folder)]
    if all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        command = [sys.executable, "-m", "venv", "--clear", *options]
    elif uv:
        command = [uv, "venv", "--seed", "--python", sys.executable, *options]
    else:
        stop(
            f"This Python ({sys.executable}) cannot make virtual environments: on Debian and Ubuntu install the "
            "package python3-venv (sudo apt install python3-venv), elsewhere uv, or a Python that comes with venv and "
            "ensurepip; then run the command again."
        )
    if status := subprocess.call(command, stdin=subprocess.DEVNULL):
        stop(f"Making {folder} failed (exit status {status}); the messages above say why.", status)
    return str(python)


def torch_fits(version: str) -> bool:
    """Whether an installed torch is what pyproject.toml asks for; yes where there is no pip to tell."""
    try:
        from pip._vendor.packaging.requirements import Requirement
    except ImportError:
        return True  # pip, which comes with the environment, then refuses it rather than replacing it
    import tomllib  # only since Python 3.11: imported here so that an older one still gets the sentence about itself

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = next(one for one in map(Requirement, project["dependencies"]) if one.name == "torch")
    return asked.specifier.contains(version, prereleases=True)


def fetch_pip() -> None:
    """Install pip in an environment that was made without it, as uv makes them.

    uv only helps out: it reads neither pip's configuration nor the packages that an environment sees from outside.
    """
    uv = shutil.which("uv")
    command = [uv, "pip", "install", "--python", sys.executable, "pip"] if uv else [sys.executable, "-m", "ensurepip"]
    if subprocess.call(command, stdin=subprocess.DEVNULL):
        stop(f"{sys.prefix} has no pip: install it there, then run the command again.")


def pip_install(arguments: list[str], stdout: int | None = None) -> None:
    """Run `pip install`, whose own messages are shown; if `stdout` is a pipe, only those of a failure."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stdout, text=True)
    if done.returncode:
        stop(
            f"{done.stdout or ''}pip failed (exit status {done.returncode}); its messages above say why. If it cannot "
            "reach its package index, connect to the network or set pip's index or proxy; then run the command again.",
            done.returncode,
        )


def size_of(url: str) -> int:
    """Bytes behind a `file:`, `http:` or `https:` address; 0 when it does not say."""
    try:
        # pip may have been given a certificate bundle of its own.
        context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT") or None)
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=5, context=context) as answer:
            return int(answer.headers.get("Content-Length") or 0)
    except (OSError, ValueError, HTTPException):
        return 0


def announce_torch(arguments: list[str]) -> None:
    """Say how much pip will download, torch among it, before it does; and how to get less."""
    say("Working out what has to be installed ...")
    report = Path(sys.prefix, "rnn_zoo_downloads.json")
    pip_install(["--dry-run", "--report", str(report), *arguments], subprocess.PIPE)
    downloads = [item["download_info"] for item in json.loads(report.read_text(encoding="utf-8"))["install"]]
    urls = [download["url"] for download in downloads if "dir_info" not in download]
    with ThreadPoolExecutor(max_workers=16) as pool:
        sizes = list(pool.map(size_of, urls))
    say(f"torch and {len(urls) - 1} others: {'' if all(sizes) else 'at least '}{sum(sizes) / 1e9:.1f} GB to download")
    if sum(sizes) > 1e9 or not all(sizes):
        say(
            "On Linux that is torch with CUDA; where there is no NVIDIA GPU the CPU build (about 0.2 GB) does: stop, "
            f"install it in {sys.prefix} the way pytorch.org/get-started shows, and run this again to reuse it."
        )


def set_up(extras: set[str]) -> None:
    """Make sure that this environment holds the project with these extras."""
    files = [(ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "constraints.txt")]
    key = hashlib.sha256(repr([*files, str(ROOT), sys.version]).encode()).hexdigest()
    stamp, torch = Path(sys.prefix, "rnn_zoo_setup.txt"), installed("torch")
    done = stamp.read_text(encoding="utf-8", errors="replace").split() if stamp.exists() else []
    if torch and installed("rnn-zoo") and {key, *extras} <= {*done}:
        return
    started = time.monotonic()
    say(f"Setting up in {sys.prefix}.")
    stamp.unlink(missing_ok=True)
    if not importlib.util.find_spec("pip"):
        fetch_pip()
    extras = extras | {*done[1:]}  # what an earlier job needed is kept in step: tests and training share it
    pins = Path(sys.prefix, "rnn_zoo_constraints.txt")
    pins.write_text(re.sub(r"(?m)^torch==.*", f"torch=={torch}", files[1]) if torch else files[1], encoding="utf-8")
    arguments = ["--constraint", str(pins), "--editable", f".[{','.join(sorted(extras))}]" if extras else "."]
    if torch:
        say(f"torch {torch} is installed already and stays as it is.")
    else:
        announce_torch(arguments)
    pip_install(arguments)
    stamp.write_text("\n".join([key, *sorted(extras)]), encoding="utf-8")
    say(f"Set up in {time.monotonic() - started:.0f} s.")


def command_of(job: str, arguments: list[str]) -> list[str]:
    """What runs a job; pytest takes the last of an option that it is given twice."""
    if job == "train":
        recipe = [] if arguments and not arguments[0].startswith("-") else ["char_lm_python"]
        return [str(Path(sysconfig.get_path("scripts"), "rnn-zoo")), "train", *recipe, *arguments]
    if job == "conformance":
        return [sys.executable, str(Path("tests", "conformance", "run.py")), *arguments]
    selection = "not ci and not slow and not gpu and not hub and not browser and not conformance"
    processes = ["-n", "logical", "--maxprocesses", "8", "--dist", "worksteal", "-m", selection]
    return [sys.executable, "-m", "pytest", *processes, *arguments]


def run_checks() -> int:
    """ruff's rules, its format and mypy: all of them, each with its time."""
    summary, status = ["check:"], 0
    for command in ("ruff check .", "ruff format --check .", "mypy"):
        started = time.monotonic()
        failed = subprocess.call([sys.executable, "-m", *command.split()], stdin=subprocess.DEVNULL)
        status = status or failed
        summary.append(f"  {'FAILED' if failed else 'passed'}  {time.monotonic() - started:5.1f} s  {command}")
    say("\n".join(summary))
    return status


def run_job(job: str, arguments: list[str]) -> int:
    """Set up what the job needs and run it; outside of an environment, start again inside `.venv`."""
    if not is_inside():
        return hand_over([python_of_venv(), str(ROOT / "setup_and_run.py"), job, *arguments])
    set_up(set() if job == "train" else {"dev"})
    if job == "setup":
        say(f"Everything is ready in {sys.prefix}.")
        return 0
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    if job != "train":  # which leaves its run where the user is
        os.chdir(ROOT)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # tests start hundreds of processes, each would compile all
    return run_checks() if job == "check" else hand_over(command_of(job, arguments))


def main(argv: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python gets here, too
        stop(f"This project needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.")
    if {"-h", "--help"} & {*argv[:2]}:
        print(__doc__, end="")
        return 0
    job, *rest = argv or [""]
    if job not in JOBS:
        hint = "".join(f"did you mean {close!r}? " for close in difflib.get_close_matches(job, JOBS, n=1))
        what = f"{job!r}: unknown job" if job else "no job given"
        stop(f"{what}; {hint}(choose from {', '.join(JOBS)}; --help explains them)", 2)
    if rest and job in ("check", "setup"):
        stop(f"{job!r} takes no arguments; given: {' '.join(rest)}", 2)
    try:
        return run_job(job, rest)
    except KeyboardInterrupt:
        stop("\nStopped; the same command goes on where this one left off.", 130)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
