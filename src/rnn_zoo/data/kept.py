"""What is computed of large data once, and found again by the next start: beside what `datasets` keeps."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ..errors import UserError, first_line

T = TypeVar("T")
LARGE = 1 << 26  # bytes of a file from which on it is not read into memory


def kept_in() -> Path:
    """The folder of it, which is made where it is missing: `rnn_zoo` in that of `datasets` (`HF_DATASETS_CACHE`).

    Raises:
        UserError: if it cannot be made.
    """
    from datasets import config

    folder = Path(config.HF_DATASETS_CACHE) / "rnn_zoo"
    with kept_or_told():
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def kept_or_told() -> Iterator[None]:
    """Around what is written there: what the system refuses becomes a sentence."""
    try:
        yield
    except OSError as error:
        from datasets import config

        reason = error.strerror or first_line(error)
        raise UserError(
            f"{config.HF_DATASETS_CACHE}: what is computed of large data cannot be kept there ({reason}); name "
            "another folder by the environment variable HF_DATASETS_CACHE"
        ) from error


def fingerprint_of(*parts: object) -> str:
    """A name for what is computed of some values: the same values have the same, in any process."""
    found = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode("utf-8", "surrogatepass")
        found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()[:32]


def fingerprint_of_file(path: Path) -> str:
    """A name for what a file holds, without reading it: its place, its size, and when it was written."""
    known = path.stat()
    return fingerprint_of(str(path.resolve()), known.st_size, known.st_mtime_ns)


def main_process_first(work: Callable[[], T]) -> T:
    """Does work whose results are kept: in the main process, and then in the others, which find them.

    Raises:
        UserError: what the main process refuses, in all of them.
    """
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return work()
    from accelerate.utils import broadcast_object_list

    main, refused = distributed.get_rank() == 0, ""
    if main:
        try:
            result = work()
        except UserError as error:
            refused = str(error)
    told = [refused]
    broadcast_object_list(told)
    if told[0]:
        raise UserError(told[0])
    return result if main else work()


def processes_for(tasks: int) -> int | None:
    """How many processes `datasets.map` is to start for so many tasks: one a core that this process may use; `None`
    where one is enough."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, tasks) if min(cores, tasks) > 1 else None
