"""What several commands need: a parser of flags, the given text in lines and in parts, the place of a checkpoint."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from .checkpoints import look_for
from .data.formats import UTF_8, check_encoding, decode, lines_of, lines_with_ends, read_text, require_file
from .data.tables import TABLES, kind_of
from .data.text_limits import MOST_CHARACTERS, MOST_TOKENS
from .errors import UserError
from .folders import require_place
from .models.ranges import Range
from .output import warn

LONGEST_LINE = 4 * MOST_CHARACTERS  # bytes of a line of standard input
PART = 4096  # texts between two steps of the progress bar


class InRange(argparse.Action):
    """Stores a number that is in the range `within`; raises `UserError` for another."""

    def __init__(self, *args, within: Range, **kwargs):
        super().__init__(*args, **kwargs)
        self.within = within

    def __call__(self, parser, namespace, values, option_string=None):
        if refusal := self.within.refusal(self.dest, values):
            raise UserError(refusal)
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """Raises `UserError` where argparse would leave with its own message; a flag with a number needs its range,
    `within`."""

    def add_argument(self, *names, **options):
        if options.get("type") in (int, float):
            options["action"] = InRange
        return super().add_argument(*names, **options)

    def error(self, message: str):
        raise UserError(f"{message} (`{self.prog} --help` explains)")


def add_checkpoint(parser: Parser) -> None:
    """The arguments that say which checkpoint."""
    parser.add_argument("checkpoint", help="folder, the name of one that ships, or of a model on the Hub")
    parser.add_argument("--revision", help="branch, tag or commit of a model on the Hub [main]")


class TextParser(Parser):
    """The flags of a command that reads texts with a checkpoint; its own are added behind them.

    Args:
        command: its name.
        description: the first lines of its help.
        done: what it does to a text, as `"tagged"`, for the help.
        file: the help of `--file`.
        batch_size: by default.
    """

    def __init__(self, command: str, description: str, *, done: str, file: str, batch_size: int):
        super().__init__(prog=f"rnn-zoo {command}", description=description)
        add_checkpoint(self)
        self.add_argument(
            "text",
            nargs="?",
            help=f"what is {done}, up to {MOST_TOKENS:,} tokens a text; without it and --file, standard input is",
        )
        self.add_argument("--file", help=file)
        self.add_argument(
            "--encoding",
            default=UTF_8,
            help=f"of the file or standard input, as latin-1, cp1252, utf-16 [{UTF_8}]",
        )
        self.add_argument("--json", action="store_true", help="one JSON object a text instead")
        self.add_argument(
            *("--batch-size", "--batch_size"),
            type=int,
            within=Range(1),
            default=batch_size,
            help=f"texts at once [{batch_size}]",
        )

    def read(self, argv: list[str]) -> argparse.Namespace:
        """The values of the flags.

        Raises:
            UserError: for flags that do not exist or have wrong values, a file or a checkpoint that is not there.
        """
        args = self.parse_intermixed_args(argv)  # the text may stand behind the flags
        check_encoding(args.encoding)
        if args.file not in (None, "-"):
            require_file(Path(args.file))
        look_for(args.checkpoint, args.revision)
        return args


def check_to_be_written(given: str, name: str, suffixes: Sequence[str]) -> None:
    """Says before anything is computed that a page or a picture cannot be written.

    Raises:
        UserError: if it has none of the suffixes, or its folder is not there or may not be written to; `name` is that
            of the flag.
    """
    path = Path(given)
    if path.suffix.lower() not in suffixes:
        raise UserError(f"{name}={given!r}: must end in {'one of ' * (len(suffixes) > 1)}{', '.join(suffixes)}")
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise UserError(f"{name}={given!r}: must be a file in a folder that is there")
    require_place(path, name)


def given_lines(
    text: str | None, file: str | None, verb: str, with_ends: bool = False, encoding: str = UTF_8
) -> tuple[list[str], str]:
    """The lines of the text from the argument, the file of `--file` or standard input; and what to call the source.

    An empty file has no line, an empty argument has one.

    Args:
        text: the argument, or `None`.
        file: value of `--file`, gzipped or not, `-` for standard input, or `None`.
        verb: what the command does, as `tag`, for the message.
        with_ends: whether the lines keep their ends.
        encoding: of the file or standard input.

    Raises:
        UserError: if both are given; if neither is, and standard input is a terminal; if the text cannot be read or is
            not of this encoding.
    """
    cut = lines_with_ends if with_ends else lines_of
    if text is not None:
        if file is not None:
            raise UserError("give a text or --file, not both")
        if any("\ud800" <= character <= "\udfff" for character in text):  # what Python makes of other bytes
            raise UserError("the text is not UTF-8")
        return cut(text) or [""], "the text"
    if file is None and sys.stdin.isatty():
        raise UserError(f"nothing to {verb}: give a text, or --file FILE")
    if file in (None, "-"):
        source = "standard input"
        text = decode(sys.stdin.buffer.read(), source, encoding)
    else:
        source = file
        text = read_text(Path(file), encoding)
    return cut(text), source


def is_table(file: str | None) -> bool:
    """Whether a file is a table by its name, whose texts stand in one column."""
    return file is not None and kind_of(file) in TABLES


def given_texts(
    text: str | None,
    file: str | None,
    verb: str,
    read_table: Callable[[str], tuple[list[str], str]],
    encoding: str = UTF_8,
) -> list[str]:
    """As `given_lines`; of a table the column of texts, which is named on standard error.

    Args:
        read_table: gives the texts of a table, and which column they are.
    """
    if text is not None or file is None or not is_table(file):
        return given_lines(text, file, verb, encoding=encoding)[0]
    texts, column = read_table(file)
    if texts:
        warn(f"{file}: its texts are {column}")
    return texts


def lines_from_standard_input(encoding: str = UTF_8) -> Iterator[list[str]]:
    """Each line by itself, as soon as its end in a line feed is there; in an encoding whose line feed is no single
    byte, as UTF-16, all of them together at the end."""
    if "\n".encode(encoding) != b"\n":
        yield lines_of(decode(sys.stdin.buffer.read(), "standard input", encoding))
        return
    read = iter(lambda: sys.stdin.buffer.readline(LONGEST_LINE + 1), b"")
    for number, line in enumerate(read, 1):
        if len(line) > LONGEST_LINE:
            raise UserError(f"standard input, line {number}: is longer than {LONGEST_LINE:,} bytes")
        text = decode(line, f"standard input, line {number}", encoding)
        if found := lines_of(text):  # not of a byte-order mark alone
            yield found


def in_parts(items: list, what: str, size: int | None = None) -> Iterator[list]:
    """`items` in parts of `size`, with a progress bar on a terminal where there are many."""
    size = PART if size is None else size
    parts = [items[n : n + size] for n in range(0, len(items), size)]
    hidden = len(parts) < 2 or not sys.stderr.isatty()
    return iter(track(parts, what, console=Console(stderr=True), disable=hidden))
