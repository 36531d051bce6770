r"""Plain files: text as it stands on the disk, gzipped or not, in any encoding; and what a line of it is.

A line ends in `"\n"`, `"\r\n"` or `"\r"`, as in a file that Python opens; nothing else ends one. `str.splitlines` would
also cut at form feeds, U+0085 or U+2028, which stand inside texts.
"""

import codecs
import gzip
import io
import os
import re
import stat
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import Any

from ..errors import UserError

LINE_END = re.compile(r"\r\n?|\n")
LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")  # with its end, which the last one may lack


UTF_8 = "utf-8"
# Codecs of Python whose text is no text of a file, or may be no Unicode.
NO_ENCODINGS = ("idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "utf-7", "mbcs", "oem")
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Of a gzip file: how many times larger its text may be, where it is larger than so many bytes.
MOST_PACKED, SMALL = 200, 1 << 26
AT_ONCE = 1 << 20  # bytes that are unpacked at once
LOOKED_AT = 1 << 16  # bytes by which a file is known to hold no text
LONGEST_LINE = 1 << 26  # bytes of a line of a streamed file


def read_text(path: Path, encoding: str = UTF_8) -> str:
    """The text of a file, without a byte-order mark, line ends as they are; `.gz` is unpacked.

    Raises:
        UserError: if there is no such file, it is no plain one, its bytes are not of the encoding (the sentence names
            the position), or it unpacks to far more than a text does.
    """
    check_encoding(encoding)
    try:
        with open_file(path) as file:
            data = unpacked(file, path) if path.suffix == ".gz" else file.read()
    except OSError as error:
        raise UserError(f"{shown_path(path)}: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged gzip file: {error}") from error
    except MemoryError as error:
        raise UserError(f"{path}: is larger than the memory that is left") from error
    return decode(data, str(path), encoding)


class FileText:
    """The text of a large file, which is never in memory as a whole: its lines, as often as they are asked for.

    They are those of `lines_of(read_text(path, encoding))`, and what `read_text` refuses is refused when it is met.

    Args:
        path: of the file; `.gz` is unpacked.
        encoding: of its text.
    """

    def __init__(self, path: Path, encoding: str = UTF_8):
        check_encoding(encoding)
        self.path, self.encoding = path, encoding

    def __iter__(self) -> Iterator[str]:
        for line in self._read(None):
            yield line.removesuffix("\n")

    def lines_with_ends(self) -> Iterator[str]:
        """The lines, each with its end: joined they are the text."""
        return self._read("")

    def _read(self, newline: str | None) -> Iterator[str]:
        try:
            with self._open() as file:
                head = file.peek(LOOKED_AT)[:LOOKED_AT]
                reader = io.TextIOWrapper(file, self._codec(head), newline=newline)
                for n, line in enumerate(reader):
                    yield line if n else line.removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            deque(self.pieces(), maxlen=0)  # which says where
            raise UserError(f"{self.path}: {error}") from error
        except OSError as error:
            raise UserError(f"{shown_path(self.path)}: {error.strerror or error}") from error
        except (EOFError, zlib.error) as error:
            raise UserError(f"{self.path}: damaged gzip file: {error}") from error

    def pieces(self) -> Iterator[str]:
        r"""The text, each line end as `"\n"`, in pieces that are cut anywhere.

        Raises:
            UserError: as `read_text`.
        """
        seen = lines = 0
        try:
            with self._open() as file:
                head = file.peek(LOOKED_AT)[:LOOKED_AT]
                name = self._codec(head)
                decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(name)(), translate=True)
                while data := file.read(AT_ONCE):
                    text = decoder.decode(data)
                    yield text if seen else text.removeprefix("\ufeff")
                    seen, lines = seen + len(data), lines + text.count("\n")
                yield decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            position = seen + len(data) - len(error.object) + error.start  # parts of characters had been held back
            line = lines + len(lines_of(error.object[: error.start].decode(name, "replace") + "."))
            raise UserError(
                not_in(self.encoding, str(self.path), position, line, error.object[error.start], head)
            ) from error
        except OSError as error:
            raise UserError(f"{shown_path(self.path)}: {error.strerror or error}") from error
        except (EOFError, zlib.error) as error:
            raise UserError(f"{self.path}: damaged gzip file: {error}") from error

    @contextmanager
    def _open(self) -> Iterator[io.BufferedReader]:
        with open_file(self.path) as file:
            if self.path.suffix != ".gz":
                yield io.BufferedReader(file.raw, LOOKED_AT)
                return
            with gzip.GzipFile(fileobj=file) as packed:
                limit = max(SMALL, MOST_PACKED * os.fstat(file.fileno()).st_size)
                yield io.BufferedReader(Unpacked(packed, self.path, limit), LOOKED_AT)

    def _codec(self, head: bytes) -> str:
        """What decodes the file; a head that shows it to be no text of the encoding is refused."""
        name = codec_of(head, self.encoding)
        with suppress(UnicodeDecodeError):  # which is told, with its place, by who reads on
            text = codecs.getincrementaldecoder(name)().decode(head)
            require_no_zeros(head, text, str(self.path), self.encoding)
        return name


class Unpacked(io.RawIOBase):
    """What a gzip file holds, up to a limit, beyond which no text would go."""

    def __init__(self, packed: gzip.GzipFile, path: Path, limit: int):
        self.packed, self.path, self.left = packed, path, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        length = self.packed.readinto(buffer)
        self.left -= length
        if self.left < 0:
            raise UserError(too_packed(self.path))
        return length


def each_line(text: str | FileText) -> Iterable[str]:
    """The lines of a text without their ends, in memory or not."""
    return lines_of(text) if isinstance(text, str) else text


def require_file(path: Path) -> None:
    """Raises `UserError`, as `read_text` does, if there is no file to read."""
    try:
        path.stat()
    except ValueError:  # a name that no file can have, which `open_file` says
        return
    except OSError as error:
        raise UserError(f"{shown_path(path)}: {error.strerror or error}") from error


def shown_path(path: Path) -> str:
    """A path for a message; of an absurdly long one the beginning."""
    name = str(path)
    return name if len(name) <= 300 else f"{name[:300]}…"


def open_file(path: Path) -> BufferedReader:
    """A plain file, open for reading; or a pipe that the shell has opened, as for `<(...)`.

    Raises:
        OSError: if there is none.
        UserError: for a folder, a device, or a pipe that nobody may ever write to.
    """
    try:
        mode = path.stat().st_mode
    except ValueError as error:  # a NUL in its name
        raise UserError(f"{str(path)!r}: no file can have this name") from error
    given = str(path).startswith(("/dev/fd/", "/dev/stdin", "/proc/self/fd/"))
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (given and stat.S_ISFIFO(mode)):
        return open(path, "rb")
    kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
    raise UserError(f"{shown_path(path)}: is {kind}, a file is expected")


def unpacked(file: BufferedReader, path: Path) -> bytes:
    """What a gzip file holds.

    Raises:
        UserError: if that is far more than any text would be, so that it may have no end.
    """
    size = os.fstat(file.fileno()).st_size
    parts, length = [], 0
    with gzip.GzipFile(fileobj=file) as packed:
        while part := packed.read(AT_ONCE):
            parts.append(part)
            length += len(part)
            if length > max(SMALL, MOST_PACKED * size):
                raise UserError(too_packed(path))
    return b"".join(parts)


def too_packed(path: Path) -> str:
    return f"{path}: unpacks to more than {MOST_PACKED} times its size, which no text does; unpack it first"


def check_encoding(encoding: str) -> None:
    """Raises `UserError` for what is no encoding of text."""
    try:
        info = codecs.lookup(encoding)
    except (LookupError, ValueError):  # of a NUL
        info = None
    if info is None or not info._is_text_encoding or info.name.replace("_", "-") in NO_ENCODINGS:
        raise UserError(f"encoding={encoding!r}: unknown; as utf-8, latin-1, cp1252, utf-16, shift_jis, gb18030")


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


def lines_of_bytes(file: BufferedIOBase, source: str) -> Iterator[bytes]:
    r"""The lines of an open binary file, with their ends: Python's own end in `"\n"` alone.

    Raises:
        UserError: for a line that is longer than any can be.
    """
    rest, number = b"", 1
    while part := file.readline(LONGEST_LINE):
        lines = (rest + part).splitlines(keepends=True)  # of bytes, which knows no other ends
        rest = b"" if part.endswith(b"\n") else lines.pop()
        if len(rest) >= LONGEST_LINE:
            raise UserError(f"{source}:{number + len(lines)}: the line has more than {LONGEST_LINE:,} bytes")
        number += len(lines)
        yield from lines
    if rest:
        yield rest


def decode(data: bytes, source: str, encoding: str = UTF_8) -> str:
    """Bytes -> their text, without a byte-order mark.

    UTF-16 without a mark has the order of bytes in which most of it is Latin, as its line ends always are.

    Raises:
        UserError: if they are not of this encoding, or no text; the sentence names `source` and the position there.
    """
    head = data[:LOOKED_AT]
    name = codec_of(head, encoding)
    try:
        text = data.decode(name).removeprefix("\ufeff")  # by "utf-8-sig" a position would not count the mark
    except UnicodeDecodeError as error:
        line = len(lines_of(data[: error.start].decode(name, "replace") + "."))
        raise UserError(not_in(encoding, source, error.start, line, data[error.start], head)) from error
    require_no_zeros(head, text, source, encoding)
    return text


def codec_of(head: bytes, encoding: str) -> str:
    """The codec of a file that begins so; see `decode`."""
    name = codecs.lookup(encoding).name
    if name == "utf-16" and not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16-be" if head[::2].count(0) > head[1::2].count(0) else "utf-16-le"
    return name


def not_in(encoding: str, source: str, position: int, line: int, byte: int, head: bytes) -> str:
    """A sentence on a byte that is not of the encoding, in a file that begins with `head`."""
    marked = next((other for mark, other in MARKS.items() if head.startswith(mark)), None)
    other = f"as {marked}, whose mark it begins with" if marked not in (None, codec_of(head, encoding)) else ""
    return (
        f"{source}: byte {position} (line {line}) is {byte:#04x}, which is not "
        f"{'UTF-8' if codecs.lookup(encoding).name == UTF_8 else encoding}; give the file's own --encoding "
        f"({other or 'as cp1252 or utf-16'})"
    )


def require_no_zeros(head: bytes, text: str, source: str, encoding: str) -> None:
    """Raises `UserError` for a file whose first bytes, and the beginning of its text, have NUL in many places."""
    if len(head) > 1 and head.count(0) > len(head) / 8 and "\0" in text[:LOOKED_AT]:
        raise UserError(
            f"{source}: holds NUL bytes in many places, so it is no text in {encoding}; if it is UTF-16, give "
            "--encoding utf-16"
        )
