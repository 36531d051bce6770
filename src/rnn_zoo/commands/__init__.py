"""The commands of `rnn-zoo`, a file each; those of tasks stand in the folders of the tasks.

Their one-line helps stand in `rnn_zoo_cli`, which does not import torch. A new command is a file with a function
`(argv) -> exit status` and a line in `FUNCTIONS` and in `rnn_zoo_cli.COMMANDS`.
"""

import errno
import os
import pkgutil
import traceback

from ..errors import HubError, RunError, UserError, complain, one_line
from ..tasks import TASKS

# What each command is that is of no task; only the module of the one that runs is imported.
FUNCTIONS = {
    "train": "rnn_zoo.commands.train:train",
    "evaluate": "rnn_zoo.commands.evaluate:evaluate",
    "card": "rnn_zoo.commands.card:card",
    "push": "rnn_zoo.commands.push:push",
    "import": "rnn_zoo.commands.import_weights:import_weights",
    "export": "rnn_zoo.commands.export:export",
    "list": "rnn_zoo.commands.list_all:list_all",
    "demo": "rnn_zoo.commands.demo:demo",
    "serve": "rnn_zoo.commands.serve:serve",
}


MOST_SHOWN = 1000  # characters of a sentence: a value that was given may be as long as it likes
# The machine's, not the user's, fault: what was asked for is right, and may work elsewhere or later.
OF_THE_MACHINE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EAGAIN,
}


def start_libraries() -> None:
    """Loads the libraries, makes them silent, and registers our models: what every command does that opens one, behind
    what it can refuse without them."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    from .. import registration  # noqa: F401

    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()  # it tells of each try, with addresses that let others write
    logging.disable_progress_bar()  # of loading, fetching and writing weights; Trainer has its own


def run_command(name: str, argv: list[str]) -> int:
    """Runs a command and returns its exit status: 0 done, 1 Hub, machine or training failed, 2 wrong input.

    What the system refuses (a folder that may not be written, a name that is too long, a full disk) becomes a sentence
    here, wherever it was asked.
    """
    try:
        for task in TASKS.values():
            if name == task.command:
                values = task.part(task.flags)(argv)
                start_libraries()
                return task.part(task.answer)(values)
        return pkgutil.resolve_name(FUNCTIONS[name])(argv)
    except UserError as error:
        return refuse(str(error), 2)
    except (HubError, RunError) as error:
        return refuse(str(error), 1)
    except BrokenPipeError:
        raise  # the reader of our output has gone: the caller's matter
    except MemoryError as error:
        return refuse(f"not enough memory{f': {one_line(error)}' if str(error) else ''}", 1)
    except OSError as error:
        if error.errno is None:
            return refuse(one_line(error), 2)
        where = "".join(
            f"{os.fsdecode(path)}: " for path in (error.filename, error.filename2) if isinstance(path, str | bytes)
        )
        return refuse(f"{where}{error.strerror}", 1 if error.errno in OF_THE_MACHINE else 2)


def refuse(sentence: str, status: int) -> int:
    """Prints a sentence and returns the status; it is cut in its middle where it would fill screens.

    Where the variable `RNN_ZOO_TRACEBACK` is set, the traceback of the error stands before it.
    """
    if os.environ.get("RNN_ZOO_TRACEBACK"):
        traceback.print_exc()
    if len(sentence) > MOST_SHOWN:
        sentence = f"{sentence[: MOST_SHOWN - 300]} [...] {sentence[-200:]}"
    complain(sentence)
    return status
