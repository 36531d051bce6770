"""Work on all cores, by processes that end with this one."""

import gc
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import Pipe, get_all_start_methods, get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from ..errors import RunError

T = TypeVar("T")
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]
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
    end = Pipe(duplex=False)
    pool = ProcessPoolExecutor(processes, get_context("fork"), initializer=as_helper, initargs=end)
    try:
        first = list(islice(rest, 2 * processes))
        with signals_later():  # the processes are forked at the first of these calls
            waiting.extend(pool.submit(do_work, part) for part in first)
        while waiting:
            result = waiting.popleft().result()
            for part in islice(rest, 1):
                waiting.append(pool.submit(do_work, part))
            yield result
    except BrokenProcessPool as error:
        raise RunError("a process that prepares the data was killed; perhaps the memory was not enough") from error
    except BaseException:  # a signal, among others: what they are at is not waited for
        end[1].close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        for connection in end:
            connection.close()
        _WORK.pop()
        if before is None:
            os.environ.pop("TOKENIZERS_PARALLELISM", None)
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before


@contextmanager
def signals_later() -> Iterator[None]:
    """Signals that arrive meanwhile are handled at the end: what their handlers raise while a process is forked is lost
    (`os.register_at_fork`)."""
    arrived: list[int] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}
    # None: not set by Python; what is ignored, as nohup wants it, stays so in the processes.
    before = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    try:
        for number in before:
            signal.signal(number, lambda number, frame: arrived.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in arrived:
            signal.raise_signal(number)


def as_helper(end: Connection, held: Connection) -> None:
    """Signals are for the process that has started this one, and with which it ends. Garbage is not looked for: rows
    have no cycles, and in a heap that torch has filled that takes three quarters of the time."""
    held.close()
    gc.disable()
    threading.Thread(target=end_with, args=(end,), daemon=True).start()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)


def end_with(end: Connection) -> None:
    """Ends this process when the process that holds the other end closes it, or is killed."""
    end.poll(None)
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
