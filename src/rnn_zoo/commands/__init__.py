"""The commands of `rnn-zoo`, a file each; those of tasks stand in the folders of the tasks.

A new command is a file with a function `(argv) -> exit status` and a line in `COMMANDS`.
"""

import errno
import os
import pkgutil
import traceback
from typing import NamedTuple

from ..errors import HubError, RunError, UserError, complain, one_line
from ..launchers import is_told
from ..tasks import TASKS


class Command(NamedTuple):
    """A command: a line on it, and its function, whose module alone is imported when it runs."""

    help: str
    function: str


# Those of tasks stand behind `evaluate`, as the registry of tasks has them.
COMMANDS = {
    "train": Command("train a model by a recipe: rnn-zoo train char_lm_python", ".train:train"),
    "evaluate": Command("measure a checkpoint on the data of its recipe, or on your own", ".evaluate:evaluate"),
    "card": Command("write a checkpoint's card from what its training has measured", ".card:card"),
    "push": Command("upload a checkpoint to the Hugging Face Hub", ".push:push"),
    "import": Command("make a checkpoint of weights from PyTorch or Keras", ".import_weights:import_weights"),
    "export": Command("write a checkpoint for other runtimes: ONNX, or torch.export", ".export:export"),
    "list": Command("show the checkpoints that ship, and the recipes", ".list_all:list_all"),
    "demo": Command("show each of these checkpoints at work, nothing downloaded", ".demo:demo"),
    "bench": Command("time models and cells on this machine, against other ways", ".bench:bench"),
    "serve": Command("show checkpoints at work in the browser", ".serve:serve"),
}
FIRST = ("train", "evaluate")


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


def helps() -> dict[str, str]:
    """Every command, and a line on it, in the order in which they are shown."""
    return (
        {name: COMMANDS[name].help for name in FIRST}
        | {task.command: task.command_help for task in TASKS.values()}
        | {name: command.help for name, command in COMMANDS.items() if name not in FIRST}
    )


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
        if name in COMMANDS:
            return pkgutil.resolve_name(__name__ + COMMANDS[name].function)(argv)
        task = next(task for task in TASKS.values() if task.command == name)
        values = task.part(task.flags)(argv)
        start_libraries()
        return task.part(task.answer)(values)
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

    Of several processes that a launcher has started, one prints what all would.

    Where the variable `RNN_ZOO_TRACEBACK` is set, the traceback of the error stands before it.
    """
    if os.environ.get("RNN_ZOO_TRACEBACK"):
        traceback.print_exc()
    if len(sentence) > MOST_SHOWN:
        sentence = f"{sentence[: MOST_SHOWN - 300]} [...] {sentence[-200:]}"
    if not is_told(sentence):
        complain(sentence)
    return status
