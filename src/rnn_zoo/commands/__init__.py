"""The commands of `rnn-zoo`, a file each; their one-line helps stand in `rnn_zoo_cli`, which does not import torch.

A new command is a file with a function `(argv) -> exit status` of the same name, and a line in `MODULES` and in
`rnn_zoo_cli.COMMANDS`.
"""

import sys
from importlib import import_module

from huggingface_hub.utils import logging as hub_logging
from transformers.utils import logging

from ..errors import Diverged, HubError, UserError

# Of each command its module and the function in it; only the module of the one that runs is imported.
MODULES = {
    "train": "train",
    "evaluate": "evaluate",
    "generate": "generate",
    "tag": "tag",
    "classify": "classify",
    "translate": "translate",
    "card": "card",
    "push": "push",
    "import": "import_weights",
    "export": "export",
    "list": "list_all",
    "demo": "demo",
    "serve": "serve",
}


def run_command(name: str, argv: list[str]) -> int:
    """Runs a command and returns its exit status: 0 done, 1 the Hub failed or a training diverged, 2 wrong input, 130
    stopped by the user."""
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()  # it tells of each try, with addresses that let others write
    logging.disable_progress_bar()  # of loading, fetching and writing weights; Trainer has its own
    module = MODULES[name]
    try:
        return getattr(import_module(f".{module}", __name__), module)(argv)
    except UserError as error:
        print(f"rnn-zoo: {error}", file=sys.stderr)
        return 2
    except (HubError, Diverged) as error:
        print(f"rnn-zoo: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115 (so that closing it at exit says nothing)
        return 0
