"""How much memory an imported file may ask for: a few times what it holds on the disk.

A packed or sparse file, a view of one number, or layers of unlike sizes can be gigabytes made of a few bytes.
"""

import zipfile
from pathlib import Path

from ..checkpoint_checks import sentences
from ..errors import UserError

SLACK = 64 * 2**20  # bytes that any file may ask for
TIMES = 16  # so many times its own bytes it may ask for beyond that


def limit_of(held: int) -> int:
    """The bytes that may be made of so many held ones."""
    return SLACK + TIMES * held


def size_of(path: Path) -> int:
    """The bytes of a file.

    Raises:
        UserError: if they cannot be told.
    """
    try:
        return path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error


def packed_sizes(path: Path) -> dict[str, int]:
    """The files in a zip, each with its bytes when it is unpacked; none if it is no zip.

    Raises:
        UserError: if it is a damaged one.
    """
    if not zipfile.is_zipfile(path):
        return {}
    with sentences(f"{path}: is damaged"), zipfile.ZipFile(path) as file:
        return {one.filename: one.file_size for one in file.infolist()}


def check_bytes(what: str, needed: int, held: int) -> None:
    """Raises `UserError` if `what` needs more bytes than `held` ones may be unpacked to."""
    if needed > limit_of(held):
        raise UserError(
            f"{what} {needed:,} bytes, of which the file holds {held:,}: at most {limit_of(held):,} are made of them"
        )
