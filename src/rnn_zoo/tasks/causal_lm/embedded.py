"""Text that every Python installation already has."""

import hashlib
import sysconfig
from pathlib import Path

from ...errors import UserError

# Tests and generated tables, of little use to a reader of Python.
SKIPPED_FOLDERS = {
    "test",
    "tests",
    "idle_test",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "encodings",
    "lib2to3",
}


def python_stdlib() -> str:
    """The source of Python's standard library: the analogue of the Linux kernel in Karpathy's experiment (2015).

    The files follow one another in an order that is the same everywhere but unrelated to their names (by their hash),
    so that a part cut from the end is not one corner of the library.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    names = [
        path.relative_to(root)
        for path in root.rglob("*.py")
        if not SKIPPED_FOLDERS.intersection(path.relative_to(root).parts)
    ]
    names.sort(key=lambda name: hashlib.sha256(name.as_posix().encode()).digest())
    texts = []
    for name in names:
        try:
            texts.append((root / name).read_text(encoding="utf-8"))
        except UnicodeDecodeError:  # a few files of the library declare another encoding
            continue
    if not texts:
        raise UserError(f"{root} holds no source of the standard library; give text of your own with --data_dir")
    return "".join(texts)


def python_docs() -> str:
    """The language reference that `help()` shows, from `pydoc_data.topics`."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


EMBEDDED_TEXTS = {"python_stdlib": python_stdlib, "python_docs": python_docs}
