"""Plain files: text as it stands on the disk, gzipped or not."""

import gzip
import zlib
from pathlib import Path

from ..errors import UserError


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


def decode(data: bytes, source: str) -> str:
    """Bytes in UTF-8 -> their text, without a byte-order mark.

    Raises:
        UserError: if they are not UTF-8; the sentence names `source` and the position there.
    """
    try:
        return data.decode("utf-8").removeprefix("\ufeff")  # by "utf-8-sig" a position would not count the mark
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{source}: byte {error.start} (line {line}) is {data[error.start]:#04x}, which is not UTF-8; convert the "
            "file first, for example with iconv"
        ) from error
