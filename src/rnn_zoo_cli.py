"""The entry point of the command `rnn-zoo`: help and the names of the commands, without importing torch."""

import os
import sys
from difflib import get_close_matches

# Whether this process is the command itself, and no program of somebody who has imported it.
is_the_program = False

HELP = """usage: rnn-zoo COMMAND [ARGUMENTS]

Recurrent NLP models (RNN, LSTM, GRU) for the Hugging Face libraries.

commands:
{commands}

`rnn-zoo COMMAND --help` explains one of them. First steps:

  rnn-zoo demo                             what ships with the package, at work
  rnn-zoo serve                            the same in the browser
  rnn-zoo train char_lm_python             train on Python's own source, a few minutes on a laptop
  rnn-zoo generate runs/char_lm_python --prompt "def " --temperature 0.5
  rnn-zoo train ner_sample                 a tagger for four languages, under a minute
  rnn-zoo tag runs/ner_sample "Asha Rao went from Pune to London."
  rnn-zoo train sentiment_sample           a classifier for four languages, under a minute
  rnn-zoo classify runs/sentiment_sample "The film is not good." --explain
  rnn-zoo train translate_dates            dates in words of 26 languages to ISO, a minute
  rnn-zoo translate runs/translate_dates "सोमवार, ३ मार्च २०२५" --attention dates.html
  rnn-zoo import char_rnn.pt runs/char_rnn --vocab chars.json --unit char    weights of your own
  rnn-zoo push runs/ner_sample YOU/ner_sample    to the Hub, where others open it by that name
  rnn-zoo export runs/ner_sample           for onnxruntime, in exports/

Exit status: 0 done, 1 failed, 2 wrong input, 124 stopped by its time limit, 128 + N by signal N (130: Ctrl-C).
"""


def help_text() -> str:
    from rnn_zoo.commands import helps

    return HELP.format(commands="\n".join(f"  {name:<10} {line}" for name, line in helps().items()))


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns the exit status; also where a standard stream is closed, full or gone."""
    from rnn_zoo.errors import complain

    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever has started us
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
    try:
        status = run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        leave_output()
        return 0
    except UnicodeEncodeError as error:
        character = ascii(error.object[error.start])
        complain(f"standard output has the encoding {error.encoding}, without {character}: set PYTHONIOENCODING=utf-8")
        return 2
    except OSError as error:
        leave_output()
        complain(f"standard output: {error.strerror}")
        return 1
    return status


def run(argv: list[str]) -> int:
    """As `main`, with what the streams refuse."""
    from rnn_zoo.commands import helps, run_command
    from rnn_zoo.errors import complain

    if not argv or argv[0] in ("-h", "--help", "help"):
        print(help_text(), end="")
        return 0
    if argv[0] == "--version":
        from importlib.metadata import version

        print(f"rnn-zoo {version('rnn-zoo')}")
        return 0
    known = helps()
    if argv[0] not in known:
        nearest = get_close_matches(argv[0], known, n=1)
        guess = f"did you mean {nearest[0]!r}? " if nearest else ""
        complain(f"{argv[0]!r}: unknown; {guess}(choose from {', '.join(known)})")
        return 2
    try:
        return run_command(argv[0], argv[1:])
    except KeyboardInterrupt:
        complain("stopped")
        return 130


def leave_output() -> None:
    """Leads what is still to come on standard output nowhere, so that Python can end without a word about it."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # a stream of a program that has called us, without a file
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def program(argv: list[str] | None = None) -> int:
    """The command `rnn-zoo`: `main`, in a process of its own."""
    global is_the_program
    is_the_program = True
    return main(argv)


if __name__ == "__main__":
    sys.exit(program())
