"""What tests of `rnn-zoo` share: training by a recipe, its numbers, commands that read texts, mistakes in one line."""

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rnn_zoo_cli import main

# That the model has never seen something.
NOTE = re.compile(r"(?:rnn-zoo: the model (?:never saw|has no piece with) '.*: read as .+\n)+")  # one for each model
TIMES = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")


def command(*argv) -> int:
    """The exit status of `rnn-zoo`."""
    return main([str(argument) for argument in argv])


def examples(page: str) -> list[str]:
    """The Python examples of a page of the documentation."""
    text = (Path(__file__).resolve().parent.parent / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below `folder` and what it holds."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


# ---- training and its numbers ----
def trained(folder: Path) -> Path:
    """A project, a folder with `toy.yaml`, after its training; for fixtures that outlive a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        torch.set_num_threads(1)
        assert command("train", "toy.yaml") == 0
    return folder


def metrics_of(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def history(checkpoint: Path, name: str = "loss") -> list[float]:
    """A number as training has logged it, one step after the other."""
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    return [entry[name] for entry in state["log_history"] if name in entry]


def without_times(measured: dict) -> dict:
    return {name: value for name, value in measured.items() if name not in TIMES}


def evaluated(capfd, *argv) -> tuple[dict, str]:
    """What `rnn-zoo evaluate` measures, and what else it says."""
    capfd.readouterr()
    assert command("evaluate", *argv) == 0
    printed = capfd.readouterr()
    return json.loads(printed.out), printed.err


def refused(capfd, folder: Path, *argv, message: str) -> None:
    """A mistake costs one sentence and nothing else; warnings may stand before it."""
    before = tree(folder)
    capfd.readouterr()
    status = command(*argv)
    printed = capfd.readouterr()
    assert status == 2, printed.out + printed.err
    lines = printed.err.splitlines()
    assert message in lines[-1]
    assert all(line.startswith("rnn-zoo: ") for line in lines)
    assert "Traceback" not in printed.out
    assert tree(folder) == before


def stopped_at(never_stopped: Path, folder: Path, step: int) -> Path:
    """A project as it would be had it stopped there."""
    shutil.copytree(never_stopped, folder, ignore=shutil.ignore_patterns("out"))
    shutil.copytree(never_stopped / "out" / f"checkpoint-{step}", folder / "out" / f"checkpoint-{step}")
    return folder


def check_resumed(never_stopped: Path, folder: Path, step: int, monkeypatch) -> None:
    """Stopped after `step` and resumed equals never stopped, to the bit; `never_stopped` has a checkpoint of each."""
    stopped_at(never_stopped, folder, step)
    monkeypatch.chdir(folder)
    torch.manual_seed(99)  # a new process begins with another generator state
    assert command("train", "toy.yaml", "--resume_from_checkpoint") == 0
    expected, found = weights(never_stopped / "out"), weights(folder / "out")
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    last = max((never_stopped / "out").glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    seen = history(folder / "out" / last.name)
    assert last.name == f"checkpoint-{len(seen)}"
    assert seen == history(last)
    for split in ("validation", "test"):
        assert without_times(metrics_of(folder / "out")[split]) == without_times(
            metrics_of(never_stopped / "out")[split]
        )


def check_same_training(out: Path, other: Path, steps: int = 8) -> None:
    """Losses are logged with four digits; that of an evaluation is the mean of its batches' means."""
    found, expected = (history(folder / f"checkpoint-{steps}") for folder in (out, other))
    assert len(found) == steps
    assert found == pytest.approx(expected, abs=2e-4)
    for name, tensor in weights(other).items():
        torch.testing.assert_close(weights(out)[name], tensor, atol=1e-5, rtol=1e-4)
    for split in ("validation", "test"):
        ours, theirs = (without_times(metrics_of(folder)[split]) | {"loss": 0} for folder in (out, other))
        assert ours == theirs


def check_accumulation(project: Path, out: Path, parts: int, monkeypatch) -> None:
    """Trained again with `parts` parts a batch, a training with batches of 8 is the same."""
    monkeypatch.chdir(project)
    flags = {"output_dir": out, "per_device_train_batch_size": 8 // parts, "gradient_accumulation_steps": parts}
    assert command("train", "toy.yaml", *(f"--{key}={value}" for key, value in flags.items())) == 0
    check_same_training(out, project / "out")


def check_two_processes(project: Path, out: Path, *flags: str) -> str:
    """2 processes x B/2 give the losses, weights and metrics of 1 x B, 8; returns what they print."""
    # What `accelerate launch` starts on a machine with GPUs; on CPUs it would ask for MPI.
    argv = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "rnn_zoo"]
    argv += ["train", "toy.yaml", f"--output_dir={out}", "--per_device_train_batch_size=4", *flags]
    # TrainingArguments of earlier tests left their mixed precision in the environment.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")}
    environment |= {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(argv, cwd=project, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    assert metrics_of(out)["environment"]["processes"] == 2
    check_same_training(out, project / "out")
    return done.stdout


# ---- commands that read texts ----
# Of every command, with the files of `write_broken_files` in the current folder.
MISTAKES_WITH_TEXTS = [
    (["--file", "nowhere.txt"], "nowhere.txt: No such file"),
    (["--file", "."], "Is a directory"),
    (["--file", "broken.txt"], "byte 7 (line 2) is 0xff, which is not UTF-8"),
    (["--file", "broken.txt.gz"], "damaged gzip file"),
    (["--file", "broken.txt"], "give the file's own --encoding (as cp1252 or utf-16)"),
    (["text", "--encoding", "utf-9"], "encoding='utf-9': unknown; as utf-8, latin-1, cp1252"),
    (["--file", "/dev/zero"], "/dev/zero: is a device, a file is expected"),
    (["--file", "x" * 300], "File name too long"),
    (["text", "--file", "fine.txt"], "give a text or --file, not both"),
    (["text", "--batch-size", "0"], "batch_size=0: must be at least 1"),
    (["text", "--batch-size", "x"], "invalid int value: 'x'"),
    (["text", "more"], "unrecognized arguments: more"),
    (["text", "--tempo"], "unrecognized arguments: --tempo"),
    (["te\udcffxt"], "the text is not UTF-8"),
]


def write_broken_files(folder: Path) -> None:
    (folder / "broken.txt").write_bytes(b"Sita\nli\xffves\n")
    (folder / "broken.txt.gz").write_bytes(gzip.compress(b"Sita" * 99)[:-9])
    (folder / "fine.txt").write_text("Sita\n")


def save(folder: Path, model, tokenizer) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def printed_by(capfd, *argv) -> str:
    """What a command prints; beside it there may be one note that the model has never seen something."""
    out, note = printed_and_noted(capfd, *argv)
    assert not note or NOTE.fullmatch(note), note
    return out


def printed_and_noted(capfd, *argv) -> tuple[str, str]:
    """What a command prints, and what it says beside."""
    capfd.readouterr()
    status = command(*argv)
    printed = capfd.readouterr()
    assert status == 0, printed.err
    return printed.out, printed.err


def sentence_of(capfd, *argv, printed_before: str = "") -> str:
    """The one sentence that is said instead."""
    capfd.readouterr()
    status = command(*argv)
    printed = capfd.readouterr()
    assert status == 2, printed.err
    assert printed.out == printed_before
    assert printed.err.startswith("rnn-zoo: ")
    assert printed.err.count("\n") == 1
    return printed.err


def give(monkeypatch, data: bytes, terminal: bool = False) -> None:
    """Puts `data` on standard input."""
    stream = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: terminal)
    monkeypatch.setattr(sys, "stdin", stream)


def every_form(lines: list[str], *others: str):
    """A mark that gives a test a `name` and a `form`, the bytes of a file with these lines.

    The name is `lines.txt` for each form, and each of `others` once.
    """
    forms = {
        "plain": "\n".join([*lines, ""]),
        "last line without an end": "\n".join(lines),
        "CRLF": "\r\n".join([*lines, ""]),
        "CR": "\r".join([*lines, ""]),
        "BOM": "\ufeff" + "\n".join([*lines, ""]),
    }
    named = [("lines.txt", text.encode()) for text in forms.values()]
    named += [(name, forms["plain"].encode()) for name in others]
    return pytest.mark.parametrize(("name", "form"), named, ids=[*forms, *others])


def check_reader_may_go_away(capfd, monkeypatch, *argv) -> None:
    """As `head` does: no message, exit status 0."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", buffering=8192) as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        status = command(*argv)
        sys.stdout.write("more")
        sys.stdout.flush()  # as the interpreter does at its end; it must not complain
    assert status == 0
    assert capfd.readouterr().err == ""


# ---- without the package ----
BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "rnn_zoo":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def fresh_process(folder: Path, script: str, *argv, hub: dict[str, str] | None = None) -> str:
    """What a script prints in a process of its own, whose files of the Hub's are in `folder`.

    Args:
        folder: to be in.
        script: its text.
        argv: its arguments.
        hub: the environment that makes it know a Hub; without, it knows none.
    """
    alone = {"HF_HOME": str(folder / "home"), "HF_MODULES_CACHE": str(folder / "modules"), "HF_HUB_OFFLINE": "1"}
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | (alone if hub is None else hub)
    argv = (sys.executable, "-c", script, *map(str, argv))
    done = subprocess.run(argv, env=environment, cwd=folder, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def without_package(folder: Path, script: str, *argv, hub: dict[str, str] | None = None) -> Any:
    """What a script prints as `FOUND <json>`, in a process that cannot import rnn_zoo; see `fresh_process`."""
    return json.loads(fresh_process(folder, BLOCKER + script, *argv, hub=hub).partition("FOUND ")[2])


# ---- with a Hub ----
CLIENT = """
import contextlib, io, json, os, sys, time, traceback
from huggingface_hub import constants
waited = []
time.sleep = waited.append  # the client waits between its tries
from rnn_zoo_cli import main

answers, endpoint = [], constants.ENDPOINT
for step in json.load(sys.stdin):
    os.environ |= step.get("env", {})
    os.chdir(step.get("folder", "."))
    constants.ENDPOINT = step.get("endpoint", endpoint)
    out, err = io.StringIO(), io.StringIO()
    waited.clear()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(step["argv"]) if "argv" in step else exec(step["code"])
        except Exception:
            status = traceback.format_exc()
    answers.append({"status": status, "out": out.getvalue(), "err": err.getvalue(), "waited": sum(waited)})
print("ANSWERS", json.dumps(answers))
"""


def answers_of(steps: list[dict], environment: dict[str, str], folder: Path) -> list[SimpleNamespace]:
    """What `rnn-zoo` answers, one command after the other in one process that knows the Hub by its environment.

    Args:
        steps: each the `argv` of a command, or `code`; perhaps `env`, variables that it and the next see; the `folder`
            to be in, from there on; another `endpoint` than the environment's.
        environment: see `HubServer.environment`.
        folder: to be in.

    Returns:
        Of each its `status`, or the traceback; `out` and `err`; `waited`, the seconds that it would have slept.
    """
    argv = (sys.executable, "-c", CLIENT)
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    options = {"env": environment, "cwd": folder, "input": json.dumps(steps), "capture_output": True, "text": True}
    done = subprocess.run(argv, timeout=300, check=False, **options)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr == ""  # what would have gone around the commands' own
    return [SimpleNamespace(**answer) for answer in json.loads(done.stdout.partition("ANSWERS ")[2])]
