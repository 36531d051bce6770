"""Command lines as people type, mistype and script them, on toy checkpoints of every task."""

import contextlib
import io
import os
import re
import signal
import sys
import traceback
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import torch
from command_line import command
from hypothesis import strategies as st
from runs import RECIPES, argv_of

from rnn_zoo.commands import helps
from rnn_zoo.errors import UserError
from rnn_zoo_cli import main

from .harness import Door

PATIENCE = 60  # seconds, after which a child that nobody can interrupt ends itself

# What is put in the place of CHECKPOINT, FILE and the like in a case, once its folder is known.
PLACES = {
    **{f"@{task}": f"../toys/{task}/out" for task in RECIPES},
    "@weights": "../toys/causal_lm/out/model.safetensors",
    "@data": "../toys/causal_lm/data",
    "@texts": "texts.txt",
    "@table": "texts.csv",
    "@bytes": "bytes.bin",
    "@empty": "empty.txt",
    "@loop": "loop",
    "@below": "texts.txt/below",
    "@long": "n" * 300,
    "@deep": "/".join(["d" * 50] * 100),
}
CHECKPOINTS = [f"@{task}" for task in RECIPES]
TEXTS = [
    "",
    " ",
    "Asha went to Pune.",
    "नमस्ते दुनिया",
    "😀 👩‍👩‍👧",
    "a" * 3000,
    "word " * 2000,
    "\t",
    "\u2028",
    "\udcff",
    "--",
    "-1",
    "<eos>",
]
NUMBERS = ["0", "1", "2", "-1", "0.5", "1e-3", "nan", "inf", "1e400", "10" * 20, "1" + "0" * 5000, "x", "", "٣"]
NAMES = [
    "f1",
    "text",
    "label",
    "0",
    "train",
    "test",
    "validation",
    "onnx",
    "torch",
    "lstm",
    "char",
    "word",
    "hi",
    "main",
    "a,b",
]
FILES = [
    "out.html",
    "out.png",
    "out.svg",
    "out.json",
    "out.txt",
    "new/out.html",
    ".",
    "-",
    "/dev/null",
    "/dev/full",
    *PLACES,
]
ANY = st.one_of(*map(st.sampled_from, (CHECKPOINTS, CHECKPOINTS, TEXTS, NUMBERS, NAMES, FILES)), st.text(max_size=12))
# `serve` waits for visitors, the others may work for minutes; what they refuse is seen with arguments that are wrong.
WAITING = {
    "export": ["--format=nonsense"],
    "serve": ["no-such-model"],
    "demo": ["surplus"],
    "train": ["no_such_recipe"],
}


# Of each command what it does something with.
RIGHT = {
    "tag": ["@token_classification", "Asha went to Pune."],
    "classify": ["@sequence_classification", "a line of text"],
    "translate": ["@translation", "a line of text"],
    "generate": ["@causal_lm", "--prompt=de", "--max-new-tokens=3"],
    "import": ["@weights", "imported", "--task=causal_lm"],
    "push": ["@token_classification", "me/model"],
    "list": [],
}


@cache
def flags_of(name: str) -> list[str]:
    """The flags that the help of a command names."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        main([name, "--help"])
    return sorted({*re.findall(r"--[a-z][a-z_-]+", shown.getvalue())} - {"--help"})


@st.composite
def lines(draw) -> tuple[list[str], bytes]:
    """A command with arguments that belong to it, or not, and what stands on its standard input."""
    name = draw(st.sampled_from(sorted(helps())))
    argv = [name, *WAITING.get(name, [])]
    if name not in WAITING:
        argv += RIGHT.get(name, [draw(st.sampled_from(CHECKPOINTS))])
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):  # something in the place of something, or surplus
        place = draw(st.integers(1 + len(WAITING.get(name, [])), len(argv)))
        argv[place : place + draw(st.integers(0, 1))] = [draw(ANY)]
    for flag in draw(st.lists(st.sampled_from(flags_of(name) or ["--x"]), max_size=2, unique=True)):
        argv.append(flag)
        if draw(st.integers(0, 4)):
            argv.append(draw(ANY))
    return argv, draw(st.one_of(st.just(b""), st.binary(max_size=40), st.sampled_from(TEXTS[:7]).map(str.encode)))


def enter(case: tuple[list[str], bytes], folder: Path) -> None:
    argv, given = case
    (folder / "texts.txt").write_text("Asha went to Pune.\n\nनमस्ते\n", encoding="utf-8")
    (folder / "texts.csv").write_text('label,text\nself,"a, b"\nother,\n', encoding="utf-8")
    (folder / "bytes.bin").write_bytes(bytes(range(256)) * 20)
    (folder / "empty.txt").touch()
    (folder / "loop").symlink_to("loop")
    before = Path.cwd()
    streams = sys.stdin, sys.stdout, sys.stderr
    out, err = io.StringIO(), io.StringIO()
    sys.stdin = SimpleNamespace(buffer=io.BytesIO(given), isatty=lambda: False)
    sys.stdout, sys.stderr = out, err
    os.chdir(folder)
    try:
        status = main([PLACES.get(one, one) for one in argv])
    except SystemExit as error:  # the help
        status = error.code or 0
    finally:
        os.chdir(before)
        sys.stdin, sys.stdout, sys.stderr = streams
    judge(int(status), out.getvalue() + err.getvalue())


def make_toys(folder: Path) -> None:
    """A checkpoint of two steps for each task."""
    with contextlib.suppress(ImportError):
        import gradio  # noqa: F401 (seconds, which are no case's)
    for task in RECIPES:
        toy = folder / "toys" / task
        toy.mkdir(parents=True)
        status, text = in_child(toy, argv_of(toy, task, max_steps=2, eval_steps=2))
        if status:
            raise AssertionError(text)


def in_child(folder: Path, argv: list[str]) -> tuple[int, str]:
    """Exit status of `rnn-zoo` in a process of its own, and what it printed."""
    log = folder / "log"
    child = os.fork()
    if child == 0:
        status = 99
        try:
            with open(log, "w", errors="backslashreplace") as file:
                sys.stdout = sys.stderr = file
                for number in (1, 2):
                    os.dup2(file.fileno(), number)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(PATIENCE)
                os.chdir(folder)
                torch.set_num_threads(1)
                status = command(*argv)
        except BaseException:
            with open(log, "a", errors="backslashreplace") as file:
                traceback.print_exc(file=file)
        finally:
            os._exit(status)
    try:
        _, ended = os.waitpid(child, 0)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    return os.waitstatus_to_exitcode(ended), log.read_text(errors="replace") if log.exists() else ""


class Fault(Exception):
    """A command that ended otherwise than with a result or a sentence; `place` tells one kind from another."""

    def __init__(self, status: int, text: str):
        super().__init__(f"exit status {status}:\n{text[-3000:]}")
        self.place = (text.strip().splitlines() or [""])[-1][:80]


def judge(status: int, text: str) -> None:
    """Raises what the harness counts: a refusal for statuses 1 and 2 with a sentence, a fault for anything else."""
    if status == 0 and "Traceback" not in text:
        return
    if status in (1, 2) and "Traceback" not in text and "rnn-zoo: " in text:
        raise UserError(text.strip().splitlines()[-1])
    raise Fault(status, text)


DOORS = [Door("a command with its arguments", "command line", lines(), enter, make_toys, is_slow=True)]
