"""Work on all cores, by processes that end with this one."""

import gc
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_all_start_methods, get_context
from typing import Any, TypeVar

from ..errors import RunError

T = TypeVar("T")
_WORK: list[Callable[[Any], Any]] = []  # what the processes that are forked do, which so needs no pickle


def in_processes(work: Callable[[T], Any], parts: Iterable[T]) -> Iterator[Any]:
    """What `work` makes of each part, in their order, by as many processes as there are cores.

    Args:
        work: needs nothing of a device, and no torch; what it returns comes back by pickle.
        parts: as many are taken as are worked on or wait.

    Raises:
        RunError: if one of these processes is killed.
    """
    processes = usable_cores()
    if (
        processes == 1
        or "fork" not in get_all_start_methods()
        or threading.current_thread() is not threading.main_thread()
    ):
        yield from map(work, parts)
        return
    waiting: deque = deque()
    rest = iter(parts)
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # in each of these processes
    _WORK.append(work)
    pool = ProcessPoolExecutor(processes, get_context("fork"), initializer=as_helper)
    try:
        for part in islice(rest, 2 * processes):
            waiting.append(pool.submit(do_work, part))
        while waiting:
            result = waiting.popleft().result()
            for part in islice(rest, 1):
                waiting.append(pool.submit(do_work, part))
            yield result
    except BrokenProcessPool as error:
        raise RunError("a process that prepares the data was killed; perhaps the memory was not enough") from error
    finally:
        pool.shutdown(cancel_futures=True)
        _WORK.pop()
        if before is None:
            os.environ.pop("TOKENIZERS_PARALLELISM", None)
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before


def as_helper() -> None:
    """Signals are for the process that has started this one, and with which it ends. Garbage is not looked for: rows
    have no cycles, and in a heap that torch has filled that takes three quarters of the time."""
    gc.disable()
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGTERM", "SIGHUP", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def end_with(parent: int) -> None:
    """Ends this process when another one has started to be its parent, as the first one was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def do_work(part: Any) -> Any:
    return _WORK[-1](part)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def with_bar(results: Iterable[T], number: int, what: str) -> Iterator[T]:
    """The same, with a bar on a terminal.

    Args:
        results: one after the other.
        number: of them.
        what: is shown of it.
    """
    from datasets.utils import tqdm

    yield from tqdm(results, total=number, desc=what, disable=None, leave=False)
