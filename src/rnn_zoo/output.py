"""What a program prints: commands that can be pasted, and what happens when nobody reads it any more."""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # characters that steer a terminal: all but tab and line end
console = Console(highlight=False)


def say(message: str, style: str | None = None) -> None:
    """Shows a line as it is: nothing in it is markup, and the terminal may break it anywhere."""
    console.print(message, style=style, markup=False, soft_wrap=True)


def warn(message: str) -> None:
    """Shows a line on standard error."""
    print(f"rnn-zoo: {message}", file=sys.stderr)


def first_upper(text: str) -> str:
    """The text with a capital letter."""
    return text[:1].upper() + text[1:]


def pasted(place: object) -> str:
    """The name of a file or folder as an argument of a command that is printed: a shell takes it as it is, and no
    command for a flag."""
    name = str(place)
    return shlex.quote(f"./{name}" if name.startswith("-") else name)


class LastingStream:
    """A text stream that goes on, unread, when its reader has gone: a terminal that was closed, the end of a pipe.

    Args:
        stream: as `sys.stdout`.
    """

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._let_go()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._let_go()

    def _let_go(self) -> None:
        """Leads what is still to come, and what is still in the buffer, nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def lasting_output() -> Iterator[None]:
    """Standard output and error as `LastingStream`s: hours of work must not end because nobody reads its reports."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (LastingStream(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
