"""The folder of a run: what in it is its own, who trains in it, and how a new model takes the place of an old one.

All bookkeeping is in a hidden folder of the output folder, `.rnn_zoo`:

- `written.json`: the names of all that runs have written here. Nothing else is ever replaced or removed.
- `lock`: process and host of the training that goes on here.
- `writing/`: what is not whole yet. A checkpoint is renamed from there to its place when all of it is on the disk.
- `next/`: the folder of a run that is to replace the one that is here, until it is whole.
- `exchange.json`: new files are taking the place of old ones. If the process dies meanwhile, the next one completes it.
"""

import hashlib
import json
import os
import platform
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import SoftFileLock, Timeout
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..checkpoint_files import CONFIG, check_form, read_json
from ..errors import UserError, one_line
from ..folders import is_there, listing, move, remove, sync, sync_names, write_whole

BOOKKEEPING = ".rnn_zoo"
CHECKPOINT = re.compile(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)")
# Of the two notes; see `check_form`.
RECORD = {"files": [str], "final?": [str], "steps?": int | None}
PLAN = {"new": str, "remove": [str], "record": {"*": object}, "moving": object}


class RunFolder:
    """The output folder of a run.

    Args:
        path: the folder, which need not be there.

    Attributes:
        path: the folder.
        writing: what is not whole yet.
        own: all bookkeeping.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.own = self.path / BOOKKEEPING
        self.writing = self.own / "writing"
        self._record = self.own / "written.json"
        self._exchange = self.own / "exchange.json"

    # ---- what is ours ----
    @property
    def record(self) -> dict[str, Any]:
        """What runs have noted: `files`, the names of all that they have written; `final`, those of them that are the
        model and what belongs to it; `steps`, how long that was trained, and `asked`, what the recipe said of it;
        `origin`, where and by which recipe.

        Raises:
            UserError: if the note is damaged: then it is unknown what is ours.
        """
        record: dict[str, Any] = {"files": []}
        if is_there(self._record):
            try:
                record = read_json(self._record)
                check_record(record, f"{self._record}: ")
            except UserError as error:
                raise UserError(f"{error}; so it is unknown what a run has written in {self.path}") from error
        return {"final": [], "steps": None, "asked": None} | record

    def note(self, **changes: Any) -> None:
        """Changes the record."""
        self.own.mkdir(parents=True, exist_ok=True)
        write_whole(self._record, json.dumps(self.record | changes, indent=2) + "\n")

    @property
    def files(self) -> list[str]:
        """Names of all that runs have written here, in the order in which they did."""
        return self.record["files"]

    def add(self, *names: str) -> None:
        """Lists names as ours, before they are written."""
        self.note(files=[*(name for name in self.files if name not in names), *names])

    def is_run(self) -> bool:
        """Whether a run has written here."""
        return bool(self.files)

    def is_from_here(self) -> bool:
        """Whether the model here was trained in this place of this machine, by the recipe that is here: its user then
        has given all that the recipe says."""
        return self._recipe.is_file() and self.record.get("origin") == self._origin(self._recipe)

    @property
    def _recipe(self) -> Path:
        return self.path / "recipe.yaml"

    def _origin(self, recipe: Path) -> list[str] | None:
        """Machine, place and content of a recipe; `None` where there is none."""
        if not recipe.is_file():
            return None
        return [platform.node(), str(self.path.resolve()), hashlib.sha256(recipe.read_bytes()).hexdigest()]

    def foreign(self) -> list[str]:
        """Names of what no run has written."""
        if not self.path.is_dir():
            return []
        return sorted({path.name for path in self.path.iterdir()} - {BOOKKEEPING, *self.files})

    def checkpoints(self) -> list[Path]:
        """The folders `checkpoint-N`, the latest steps first."""
        if not self.path.is_dir():
            return []
        found = [path for path in self.path.iterdir() if CHECKPOINT.fullmatch(path.name) and path.is_dir()]
        return sorted(found, key=lambda path: -step_of(path))

    def unlisted_checkpoints(self) -> list[Path]:
        """Those of them that no run has written here, as in a folder that was copied without its bookkeeping."""
        return [path for path in self.checkpoints() if path.name not in self.files]

    @property
    def next(self) -> "RunFolder":
        """The folder of the run that is to replace the one that is here."""
        return RunFolder(self.own / "next")

    # ---- one training at a time ----
    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Holds the folder for this process. Folders that are made for that and left empty are removed at the end.

        Raises:
            UserError: while another process holds it; a process that has died does not.
        """
        made = [folder for folder in (self.own, self.path, *self.path.parents) if not folder.exists()]
        lock = SoftFileLock(self.own / "lock", timeout=0)
        try:
            self.own.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise UserError(self._who_holds(Path(lock.lock_file))) from None
        except OSError as error:
            raise UserError(f"output_dir={str(self.path)!r}: cannot be written: {error.strerror or error}") from error
        try:
            yield
        finally:
            lock.release()
            for folder in (self.next.path, self.writing, *made):
                with suppress(OSError):  # it holds something
                    folder.rmdir()

    def _who_holds(self, lock: Path) -> str:
        try:
            pid, host = lock.read_text(encoding="utf-8").split()[:2]
        except (OSError, ValueError):
            pid, host = "unknown", "unknown"
        return (
            f"output_dir={str(self.path)!r}: another training goes on there (process {pid} on {host}): choose another "
            f"--output_dir, or wait for its end. If that process is gone, remove {lock}"
        )

    # ---- whole or not at all ----
    def stage(self, name: str) -> Path:
        """An empty folder for what is not whole yet."""
        folder = self.writing / name
        remove(folder)
        folder.mkdir(parents=True)
        return folder

    def place(self, part: Path) -> Path:
        """Renames a checkpoint that is whole, on the disk, from `writing` to its place.

        Raises:
            UserError: if the name is taken by what is not ours.
        """
        target = self.path / part.name
        if is_there(target):
            self.require_ours([part.name])
            self.discard(part.name)
        sync(part)
        self.add(part.name)
        part.rename(target)
        sync_names(self.path)
        return target

    def discard(self, name: str) -> None:
        """Removes what is ours, so that no half of it is left under its name."""
        if name not in self.files or not is_there(self.path / name):
            return
        self.writing.mkdir(parents=True, exist_ok=True)
        away = self.writing / f"removed-{os.getpid()}-{name}"
        (self.path / name).rename(away)
        remove(away)
        self.note(files=[other for other in self.files if other != name])

    def require_ours(self, names: Collection[str], ours: Collection[str] = ()) -> None:
        """Raises `UserError` if one of the names is taken by what no run has written; `ours` count as written."""
        taken = {*self.foreign()} & {*names} - {*ours}
        if taken:
            raise UserError(
                f"output_dir={str(self.path)!r}: no run has written {listing(taken)}, which would be replaced: move it "
                "away, or choose another --output_dir"
            )

    def publish(self, staged: Path, steps: int, asked: list[float]) -> None:
        """Puts a model, and all that belongs to it, in the place of that of an earlier end; together, or not at all.

        Args:
            staged: a folder of `writing` with all of it.
            steps: how long the model was trained.
            asked: what the recipe says of that.

        Raises:
            UserError: if a name is taken by what is not ours.
            OSError: if it cannot be put there; `staged` then still has it.
        """
        record = self.record
        names = sorted(path.name for path in staged.iterdir())
        self.require_ours(names)
        sync(staged)
        files = [name for name in record["files"] if name not in {*record["final"], *names}] + names
        new = {"files": files, "final": names, "steps": steps, "asked": asked}
        self._begin_exchange(staged, record["final"], new | {"origin": self._origin(staged / self._recipe.name)})

    def replace_by_next(self) -> None:
        """Puts the run in `next`, which is whole, in the place of the one that is here.

        Raises:
            UserError: if a name is taken by what is not ours.
        """
        folder = self.next
        remove(folder.writing)
        names = [path.name for path in folder.path.iterdir() if path.name != BOOKKEEPING]
        self.require_ours(names)
        record = folder.record
        files = [*record["files"], *(name for name in names if name not in record["files"])]
        origin = self._origin(folder._recipe)
        self._begin_exchange(folder.path, self.files, record | {"files": files, "origin": origin})

    def _begin_exchange(self, new: Path, old: list[str], record: dict[str, Any]) -> None:
        plan = {"new": new.relative_to(self.own).as_posix(), "remove": old, "record": record, "moving": False}
        remove(self.own / "replaced")
        write_whole(self._exchange, json.dumps(plan) + "\n")
        self.complete_exchange()

    def complete_exchange(self) -> bool:
        """Completes an exchange that an earlier process has begun; returns whether there was one.

        The configuration goes first and comes last: between, nobody can open a mixture of two models.

        Raises:
            UserError: if the plan is damaged, or names what is not in the folder: then nothing is touched.
        """
        if not is_there(self._exchange):
            return False
        plan = read_json(self._exchange)
        check_form(plan, PLAN, f"{self._exchange}: ")
        check_record(plan["record"], f"{self._exchange}: record.")
        check_names(plan["remove"], f"{self._exchange}: remove")
        new, replaced = self.own / plan["new"], self.own / "replaced"
        if not new.resolve().is_relative_to(self.own.resolve()) or new.resolve() == self.own.resolve():
            raise UserError(f"{self._exchange}: new must be a folder of {self.own}")
        if not plan["moving"]:
            replaced.mkdir(exist_ok=True)
            for name in sorted(plan["remove"], key=lambda name: name != CONFIG):
                if is_there(self.path / name):
                    (self.path / name).rename(replaced / name)
            names = [*plan["remove"], *plan["record"]["files"]]
            self.note(files=[*dict.fromkeys([*self.files, *names])])
            write_whole(self._exchange, json.dumps(plan | {"moving": True}) + "\n")
        left = sorted(new.iterdir(), key=lambda path: path.name == CONFIG) if new.is_dir() else []
        for path in left:
            if path.name != BOOKKEEPING:
                move(path, self.path / path.name)
        sync_names(self.path)
        self.note(**plan["record"])
        remove(new)
        self._exchange.unlink()
        remove(replaced)
        return True


def check_record(record: dict[str, Any], where: str) -> None:
    """Raises `UserError` unless a record is as `RunFolder.note` writes it: a folder may be somebody else's."""
    check_form(record, RECORD, where)
    for key in ("files", "final"):
        check_names(record.get(key, []), f"{where}{key}")


def check_names(names: list[str], where: str) -> None:
    """Raises `UserError` for what is no name in a folder, and could lead out of it."""
    for name in names:
        if Path(name).name != name or name == os.pardir or "\0" in name:
            raise UserError(f"{where} must be names of files in the folder")


def step_of(checkpoint: Path) -> int:
    """The step at which a checkpoint was written, by its name."""
    match = CHECKPOINT.fullmatch(checkpoint.name)
    assert match is not None
    return int(match[1])


def why_not_written(path: Path, error: Exception) -> str:
    """What to say where a file could not be written, as on a full disk."""
    return f"{path}: could not be written: {getattr(error, 'strerror', None) or one_line(error)}"
