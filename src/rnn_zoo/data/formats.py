r"""Plain files: text as it stands on the disk, gzipped or not; and what a line of it is.

A line ends in `"\n"`, `"\r\n"` or `"\r"`, as in a file that Python opens; nothing else ends one. `str.splitlines` would
also cut at form feeds, U+0085 or U+2028, which stand inside texts.
"""

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import UserError

LINE_END = re.compile(r"\r\n?|\n")
LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")  # with its end, which the last one may lack


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte-order mark, line ends as they are; `.gz` is unpacked.

    Raises:
        UserError: if there is no such file, or its bytes are not UTF-8; the sentence names the position.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged gzip file: {error}") from error
    return decode(data, str(path))


def with_line_feeds(text: str) -> str:
    r"""The same text, each of its line ends as `"\n"`."""
    return LINE_END.sub("\n", text) if "\r" in text else text


def lines_of(text: str) -> list[str]:
    """The lines of a text without their ends. An empty text has none; an end at the very end begins no further one."""
    lines = with_line_feeds(text).split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def lines_with_ends(text: str) -> list[str]:
    """As `lines_of`, each line with its end: joined they are the text."""
    return LINE.findall(text)


def lines_of_bytes(file: Iterable[bytes]) -> Iterator[bytes]:
    r"""The lines of an open binary file, with their ends: Python's own end in `"\n"` alone."""
    for line in file:
        yield from line.splitlines(keepends=True)  # of bytes, which knows no other ends


def decode(data: bytes, source: str) -> str:
    """Bytes in UTF-8 -> their text, without a byte-order mark.

    Raises:
        UserError: if they are not UTF-8; the sentence names `source` and the position there.
    """
    try:
        return data.decode("utf-8").removeprefix("\ufeff")  # by "utf-8-sig" a position would not count the mark
    except UnicodeDecodeError as error:
        line = len(lines_of(data[: error.start].decode("utf-8") + "."))
        raise UserError(
            f"{source}: byte {error.start} (line {line}) is {data[error.start]:#04x}, which is not UTF-8; convert the "
            "file first, for example with iconv"
        ) from error
