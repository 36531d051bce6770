"""Files and folders that are there whole, or not at all."""

import errno
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from .errors import RunError, UserError, one_line

SHOWN = 3  # names in a message
OS_ERROR = re.compile(r"\(os error (\d+)\)")  # as libraries in Rust say it: safetensors, tokenizers
TORCH_WRITES = ("PytorchStreamWriter", "inline_container")  # parts of torch that write files


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to be filled, which takes the place of `folder` at the end; one that is there is gone only then.
    If anything is raised, nothing has changed.

    Raises:
        OSError: if it cannot be put there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        new, old = Path(temporary) / "new", Path(temporary) / "old"
        new.mkdir()
        yield new
        replaces = folder.exists()
        if replaces:
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if replaces:
                old.rename(folder)
            raise


@contextmanager
def refused_writes() -> Iterator[None]:
    """Around writing with other libraries: what the system refuses them (a full disk, a limit) is an `OSError`, also
    where they say it in exceptions of their own."""
    try:
        yield
    except (OSError, UserError, RunError):
        raise
    except Exception as error:
        if found := OS_ERROR.search(str(error)):
            number = int(found[1])
            raise OSError(number, os.strerror(number)) from error
        if isinstance(error, RuntimeError) and any(word in str(error) for word in TORCH_WRITES):
            raise OSError(errno.EIO, one_line(error)) from error
        raise


def write_whole(path: Path, text: str) -> None:
    """Writes a text beside, and renames it when it is on the disk: a reader finds the old text or the new one.

    Raises:
        OSError: if it cannot be written; the old text is then still there.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def sync(folder: Path) -> None:
    """Returns when all files of a folder are on the disk, with their names."""
    for place, _, files in os.walk(folder):
        for name in files:
            with open(Path(place) / name, "rb+") as file:  # Windows asks for the right to write
                os.fsync(file.fileno())
        sync_names(Path(place))


def sync_names(folder: Path) -> None:
    """Returns when the names in a folder are on the disk, where the system can say so (Windows cannot)."""
    with suppress(PermissionError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def why_not_made(path: Path) -> str | None:
    """Why no file or folder can be made at a place, as the end of a sentence about it; `None` where it can be.

    It costs nothing, and so can be asked before hours of work.
    """
    try:
        if path.is_symlink() and not path.exists():
            return "is a link that leads nowhere"
        if path.exists():
            return None if os.access(path, os.W_OK) else "cannot be written to"
        above = path.absolute().parent
        while not is_there(above):
            above = above.parent
        if not above.is_dir():
            return f"{above} is no folder"
        if not os.access(above, os.W_OK | os.X_OK):
            return f"{above} cannot be written to"
        path.lstat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # a name that is too long, or holds a zero byte
        return getattr(error, "strerror", None) or str(error)
    return None


def require_place(path: Path, name: str) -> None:
    """Raises `UserError` if no file or folder can be made at a place, which a message calls by the setting's `name`."""
    if problem := why_not_made(path):
        raise UserError(f"{name}={str(path)!r}: {problem}")


def is_there(path: Path) -> bool:
    """Whether the name is taken, be it by a link that leads nowhere."""
    return os.path.lexists(path)


def remove(path: Path) -> None:
    """Removes a file, a folder, or a link, which is not followed; it is no error if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def move(source: Path, target: Path) -> None:
    """Renames a file or a folder; a file takes the place of one that is there, a folder is poured into one."""
    if source.is_dir() and target.is_dir() and not target.is_symlink():
        for child in sorted(source.iterdir()):
            move(child, target / child.name)
        source.rmdir()
    else:
        source.replace(target)


def listing(names: Collection[str]) -> str:
    """Some names for a message, as `"a, b, c and 4 more"`."""
    shown = ", ".join(sorted(names)[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
