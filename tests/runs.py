"""Toy runs of every task, in child processes that a test can kill at any moment.

A process that has imported the package forks one child a run, so that a run costs a second and not ten.
"""

import mmap
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from accelerate import DistributedType, PartialState
from command_line import command, history, metrics_of, tree, weights, without_times
from toy_files import write_toy_files

from rnn_zoo.recipe.file import find_recipe
from rnn_zoo.recipe.recipe import read_recipe
from rnn_zoo.tasks.task_run import TaskRun
from rnn_zoo.training.run_folder import BOOKKEEPING, RunFolder
from rnn_zoo.training.whole_checkpoints import problem_of

# Of each task a recipe, and what makes it a toy.
RECIPES = {
    "causal_lm": ("char_lm_shakespeare", {"bptt_length": 8, "sample_tokens": 3}),
    "token_classification": ("ner_sample", {}),
    "sequence_classification": ("sentiment_sample", {}),
    "translation": ("translate_tatoeba_en_hi", {"decoder_hidden_size": 8, "max_target_length": 12}),
}
TOY = {"max_steps": 6, "eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps", "save_steps": 2}
TOY |= {"save_total_limit": 2, "logging_steps": 1, "hidden_size": 8, "embedding_size": 8, "num_hidden_layers": 1}
TOY |= {"per_device_train_batch_size": 2, "per_device_eval_batch_size": 8, "min_frequency": 1, "baseline": "none"}
TOY |= {"gradient_accumulation_steps": 1, "load_best_model_at_end": False, "disable_tqdm": True, "use_cpu": True}
WRITES = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree")
KILLED = -signal.SIGKILL


def argv_of(folder: Path, task: str, **flags) -> list[str]:
    """The command that trains a toy of a task in `folder/out`."""
    name, own = RECIPES[task]
    recipe = read_recipe(find_recipe(name))
    if not (folder / "data").exists():
        write_toy_files(folder / "data", recipe)
    values = TOY | own | {"data_dir": folder / "data", "output_dir": folder / "out"} | flags
    return ["train", name, *(f"--{key}={value}" for key, value in values.items())]


def forked(argv: list[str], log: Path, prepare: Callable[[], None] = lambda: None) -> int:
    """The exit status of `rnn-zoo` in a child process, or minus the signal that has ended it."""
    child = os.fork()
    if child == 0:
        status = 99
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which `nohup` makes deaf, and all that is started from there
        try:
            with open(log, "a") as file:
                sys.stdout = sys.stderr = file
                torch.set_num_threads(1)
                prepare()
                status = command(*argv)
        except BaseException:
            with open(log, "a") as file:
                traceback.print_exc(file=file)
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class AtWrite:
    """Kills the process before the n-th time that it writes, renames or removes something in a folder; 0: never.

    Attributes:
        seen: how often it did, also for the parent of the process.
    """

    def __init__(self, folder: Path, number: int):
        self.folder, self.number = str(folder), number
        self._shared = mmap.mmap(-1, 8)  # with the child

    @property
    def seen(self) -> int:
        return int.from_bytes(self._shared[:8], "little")

    def __call__(self) -> None:
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple) -> None:
        if event not in WRITES or not isinstance(arguments[0], (str, bytes, os.PathLike)):
            return
        if event == "open" and not set(str(arguments[1] or "")) & set("wax+"):
            return
        if not os.fsdecode(arguments[0]).startswith(self.folder):
            return
        self._shared[:8] = (self.seen + 1).to_bytes(8, "little")
        if self.seen == self.number:
            die()


def in_torch_save(number: int) -> Callable[[], None]:
    """Kills the process when the n-th file of torch's is half written."""

    def prepare() -> None:
        seen, save = 0, torch.save

        def half(thing, path, *args, **kwargs):
            nonlocal seen
            save(thing, path, *args, **kwargs)
            seen += 1
            if seen == number:
                os.truncate(path, os.path.getsize(path) // 2)
                die()

        torch.save = half

    return prepare


def go_on(argv: list[str], out: Path, log: Path) -> None:
    """As a person does after a kill: go on where there is a checkpoint, else begin again."""
    resumes = any(problem_of(path) is None for path in RunFolder(out).checkpoints())
    status = forked([*argv, *(["--resume_from_checkpoint"] if resumes else [])], log)
    assert status == 0, log.read_text()


def check_same(out: Path, other: Path) -> None:
    """Two runs have ended alike, to the bit."""
    found, expected = weights(out), weights(other)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    ours, theirs = metrics_of(out), metrics_of(other)
    for name in ("steps", "history"):
        assert ours[name] == theirs[name]
    assert ours["train"]["loss"] == theirs["train"]["loss"]
    for split in ("validation", "test"):
        assert without_times(ours[split]) == without_times(theirs[split])
    assert history(out / "checkpoint-6") == history(other / "checkpoint-6")
    visible = [{name for name in tree(folder) if not name.startswith(BOOKKEEPING)} for folder in (out, other)]
    assert visible[0] == visible[1]


def in_evaluation() -> Callable[[], None]:
    """Kills the process after the training, before the model is measured."""

    def prepare() -> None:
        TaskRun.measure = lambda *args, **kwargs: die()

    return prepare


def at_step(number: int, do: Callable[[], None]) -> Callable[[], None]:
    """Does something in the n-th step of the optimizer."""

    def prepare() -> None:
        seen, step = 0, torch.optim.AdamW.step

        def counted(*args, **kwargs):
            nonlocal seen
            seen += 1
            if seen == number:
                do()
            return step(*args, **kwargs)

        torch.optim.AdamW.step = counted

    return prepare


def forked_together(argv: list[str], logs: Path, *prepare: Callable[[], None]) -> list[int]:
    """The exit statuses of processes that train together, as a launcher starts them; the first is the main one.

    Args:
        argv: of each of them.
        logs: a folder, for `0.log`, `1.log`, ...
        prepare: of each what it does first.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = {"WORLD_SIZE": len(prepare), "LOCAL_WORLD_SIZE": len(prepare), "MASTER_ADDR": "localhost"}
    environment |= {"MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}

    def run(rank: int) -> int:
        def begin() -> None:
            own = {"RANK": rank, "LOCAL_RANK": rank, "TORCHELASTIC_ERROR_FILE": logs / str(rank) / "error.json"}
            os.environ.update({name: str(value) for name, value in (environment | own).items()})
            prepare[rank]()

        return forked(argv, logs / f"{rank}.log", begin)

    logs.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(prepare)) as pool:
        return list(pool.map(run, range(len(prepare))))


def as_on_gpus() -> None:
    """Lets accelerate take CPUs for GPUs, so that it shards a model (FSDP) that torch can shard on CPUs too."""
    init = PartialState.__init__

    def begin(self, *args, **kwargs):
        init(self, *args, **kwargs)
        if PartialState._shared_state["distributed_type"] == DistributedType.MULTI_CPU:
            PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU

    PartialState.__init__ = begin
