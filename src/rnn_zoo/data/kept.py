"""What is computed of large data once, and found again by the next start: beside what `datasets` keeps."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from ..errors import UserError, first_line

T = TypeVar("T")
LARGE = 1 << 26  # bytes of a text from which on it is not read into memory
VERSION = "1"  # of what is kept: another one is not read
PACKED = 4  # times which a gzip file is taken to unpack to


def unpacked_size(*paths: Path) -> int:
    """The bytes of files together, unpacked as far as it can be told; one that is not there has no size."""
    size = 0
    for path in paths:
        with suppress(OSError, ValueError):  # which their reader will say
            size += path.stat().st_size * (PACKED if path.suffix == ".gz" else 1)
    return size


def kept_in() -> Path:
    """The folder of it, which is made where it is missing: `rnn_zoo` in that of `datasets` (`HF_DATASETS_CACHE`).

    Raises:
        UserError: if it cannot be made.
    """
    from datasets import config

    folder = Path(config.HF_DATASETS_CACHE) / "rnn_zoo" / VERSION
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


def keep_file(path: Path, write: Callable[[Path], object]) -> Path:
    """A file that is written if it is not there: beside, and renamed when it is whole.

    Args:
        path: where it is kept.
        write: writes it where it is told.

    Raises:
        UserError: if it cannot be written, as on a full disk.
    """
    if path.exists():
        return path
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with kept_or_told():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(beside)
            beside.replace(path)
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
    return path


def main_process_first(work: Callable[[], T]) -> T:
    """Does work whose results are kept: in the first process of each machine, and then in the others, which find them.

    All processes have to call it.

    Raises:
        UserError: what one of the first refuses, in all of them.
    """
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return work()
    from accelerate import PartialState
    from accelerate.utils import gather_object

    is_first, refused = PartialState().is_local_main_process, ""
    if is_first:
        try:
            result = work()
        except UserError as error:
            refused = str(error)
    for sentence in gather_object([refused]):
        if sentence:
            raise UserError(sentence)
    return result if is_first else work()
