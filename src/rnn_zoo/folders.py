"""Folders that are there whole, or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


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
