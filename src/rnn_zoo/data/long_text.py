r"""A text that is too long for the memory: it stays in its file, and is read piece by piece.

The file is looked through once, on all cores: where its pieces begin, how many characters each has. That is kept, so
that a second start knows it at once. What is no plain UTF-8 with `"\n"` at its line ends is first written anew as such.
"""

import codecs
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .all_cores import in_processes, with_bar
from .formats import LOOKED_AT, UTF_8, FileText, check_encoding, open_file, require_no_zeros, shown_path
from .kept import LARGE, fingerprint_of, fingerprint_of_file, keep_file, kept_in, unpacked_size

BLOCK = 1 << 20  # bytes of a piece, but for the rest of its last line
LONGEST = 1 << 26  # bytes of a piece
MARK = codecs.BOM_UTF8


@dataclass(frozen=True)
class LongText:
    """A text in a file. As of a string, `len` counts its characters, and a slice is a text.

    Args:
        path: a file in UTF-8 without a mark, its line ends `"\\n"`.
        starts: `(blocks + 1)`, where each block begins, and where the last one ends, in bytes.
        characters: `(blocks + 1)`, characters before each block, and all.
        digests: `(blocks)`, a hash of each.
        start: its first character, counted in the file.
        stop: the one behind its last.
    """

    path: Path
    starts: np.ndarray
    characters: np.ndarray
    digests: tuple[str, ...]
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, part: slice) -> "LongText":
        first, behind, step = part.indices(len(self))
        if step != 1:
            raise ValueError(f"step={step}: a part of a long text is contiguous")
        return replace(self, start=self.start + first, stop=self.start + max(first, behind))

    @property
    def blocks(self) -> range:
        """The numbers of the blocks in which it lies."""
        if not len(self):
            return range(0)
        first = int(np.searchsorted(self.characters, self.start, "right")) - 1
        return range(first, int(np.searchsorted(self.characters, self.stop, "left")))

    def block(self, number: int) -> str:
        """What a block has of it. Blocks end behind a line end, or before a blank in a line that is longer than they
        are, but for the last one."""
        with open(self.path, "rb") as file:
            file.seek(self.starts[number])
            text = file.read(self.starts[number + 1] - self.starts[number]).decode()
        before = int(self.characters[number])
        return text[max(self.start - before, 0) : self.stop - before]

    def pieces(self) -> Iterator[str]:
        """All of it, block by block."""
        return map(self.block, self.blocks)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of what it says, without reading it."""
        numbers = self.blocks
        held = [self.digests[number] for number in numbers]
        first = int(self.characters[numbers[0]]) if held else 0
        return fingerprint_of(held, self.start - first, self.stop - first)


Text = str | LongText


def pieces_of(text: Text) -> Iterable[str]:
    """All of a text, in pieces that `tokenizers.streams` reads as one."""
    return [text] if isinstance(text, str) else text.pieces()


def is_long(path: Path) -> bool:
    """Whether a file is not to be read into memory."""
    return unpacked_size(path) >= LARGE


def read_long_text(path: Path, encoding: str = UTF_8) -> LongText:
    """The text of a large file; what is found out about it is kept.

    Raises:
        UserError: as `formats.read_text`; or if it cannot be kept.
    """
    check_encoding(encoding)
    try:
        open_file(path).close()
        known = fingerprint_of_file(path)
    except OSError as error:
        raise UserError(f"{shown_path(path)}: {error.strerror or error}") from error
    if path.suffix != ".gz" and codecs.lookup(encoding).name == "utf-8" and (found := indexed(path)) is not None:
        with open_file(path) as file:
            head = file.read(LOOKED_AT)
        require_no_zeros(head, head.decode("utf-8", "replace"), str(path), encoding)
        return found
    return keep_text(fingerprint_of(known, encoding), FileText(path, encoding).pieces())


def keep_text(name: str, pieces: Iterable[str]) -> LongText:
    """A text from pieces of another source, kept under a name.

    Args:
        name: a fingerprint of the source.
        pieces: of it, in any size; they are not asked for where it is kept already.
    """
    found = indexed(keep_file(kept_in() / f"text-{name}.txt", partial(write_plain, pieces)))
    assert found is not None
    return found


def write_plain(pieces: Iterable[str], place: Path) -> None:
    with open(place, "w", encoding=UTF_8, newline="\n") as file:
        for piece in pieces:
            file.write(piece)


# ---- where its blocks are ----
def indexed(path: Path) -> LongText | None:
    r"""The text of a file in plain UTF-8; `None` if it is none, or has `"\r"` in it.

    Raises:
        UserError: for a file that has neither a line end nor a blank in too many bytes.
    """
    size = path.stat().st_size

    def write(place: Path) -> None:
        begins = range(0, size, BLOCK)
        blocks = with_bar(in_processes(partial(look_at, path, size), begins), len(begins), "reading the text")
        place.write_text(json.dumps([block for block in blocks if block is not None]), encoding="utf-8")

    kept = keep_file(kept_in() / f"blocks-{fingerprint_of_file(path)}.json", write)
    blocks = json.loads(kept.read_text(encoding="utf-8"))
    if not all(block["plain"] for block in blocks):
        return None
    starts = np.array([block["start"] for block in blocks] + [size])
    longest = int(np.diff(starts).max(initial=0))
    if longest > LONGEST:
        raise UserError(f"{path}: has neither a line end nor a blank in {longest:,} bytes, more than {LONGEST:,}")
    characters = np.cumsum([0, *(block["characters"] for block in blocks)])
    return LongText(path, starts, characters, tuple(block["digest"] for block in blocks), 0, int(characters[-1]))


def look_at(path: Path, size: int, place: int) -> dict[str, Any] | None:
    """What there is to know of the block that begins at or behind a place of a file; `None` if none begins before the
    next place, as in a long line."""
    with open(path, "rb") as file:
        start = begin_of(file, place, size)
        if start is None or start == size:
            return None
        stop = None
        while stop is None:
            place += BLOCK
            stop = begin_of(file, place, size)
        if stop - start > LONGEST:  # which is refused
            return {"start": start, "characters": 0, "digest": "", "plain": True}
        file.seek(start)
        data = file.read(stop - start)
    try:
        characters, plain = len(data.decode()), b"\r" not in data
    except UnicodeDecodeError:
        characters, plain = 0, False
    return {"start": start, "characters": characters, "digest": fingerprint_of(data), "plain": plain}


def begin_of(file: io.BufferedReader, place: int, size: int) -> int | None:
    """Where the first block begins that begins in the `BLOCK` bytes from a place on; `size` behind a file's end."""
    if place >= size:
        return size
    if place == 0:
        return len(MARK) if file.read(len(MARK)) == MARK else 0
    file.seek(place - 1)
    data = file.read(BLOCK)
    if (end := data.find(b"\n")) >= 0:
        return place + end
    # A blank behind a word: all tokenizers of this package begin a token there. "<eos>" at the end of a text is one.
    found = re.search(rb"[^\s>](?= )", data)
    return None if found is None else place + found.start()
