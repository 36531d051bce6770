"""`rnn-zoo push`: a checkpoint -> a repository of the Hugging Face Hub, or a Space there that shows it."""

import argparse
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from .. import zoo
from ..checkpoint_files import files_for_others
from ..checkpoints import look_for, place_of
from ..command_line import Parser
from ..errors import UserError
from ..output import warn
from . import start_libraries

DESCRIPTION = """\
Uploads a checkpoint to the Hugging Face Hub, in one commit, and prints the address of the commit.
The repository is made if it is not there. Whoever has the name can open it:

  AutoModelForTokenClassification.from_pretrained("you/ner_sample", trust_remote_code=True)

Uploaded are the weights (safetensors), the configuration, the tokenizer, the code of the model, the
card (README.md), metrics.json, recipe.yaml and pictures. What stays here is named: earlier steps,
optimizer states, pickles, hidden files, links that lead elsewhere.

With --space a Space is pushed instead, the page of `rnn-zoo serve` for one or several checkpoints,
which lie in it; see docs/demo.md.

A token with the right to write has to be there: `hf auth login`, or HF_TOKEN. A push that breaks
changes nothing; run it again, and what has arrived is not sent twice."""

EXAMPLES = """\
examples:
  rnn-zoo push runs/ner_sample you/ner_sample
  rnn-zoo push runs/ner_sample you/ner_sample --private
  rnn-zoo push translate_dates you/dates
  rnn-zoo push runs/ner_sample you/ner_sample --revision v2 --message "Trained on more text"
  rnn-zoo push char_lm_shakespeare runs/ner_sample you/at_work --space
  rnn-zoo tag you/ner_sample "Asha Rao went to Pune." --revision v2"""


def push(argv: list[str]) -> int:
    parser = Parser(prog="rnn-zoo push", description=DESCRIPTION, epilog=EXAMPLES)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "checkpoint",
        nargs="+",
        help="folder that holds a model and its tokenizer, or the name of a checkpoint that ships; "
        "a Space takes several, and names of models on the Hub",
    )
    parser.add_argument("repo_id", metavar="REPO_ID", help="OWNER/NAME on the Hub")
    parser.add_argument(
        "--private", action="store_true", help="make a private repository; one that is there must be so"
    )
    parser.add_argument("--revision", metavar="BRANCH", help="branch, made if it is not there [main]")
    parser.add_argument("--message", metavar="TEXT", help="title of the commit")
    parser.add_argument("--space", action="store_true", help="push a Space that shows the checkpoints")
    args = parser.parse_intermixed_args(argv)
    if len(args.checkpoint) > 1 and not args.space:
        raise UserError(f"checkpoint: one at a time, not {len(args.checkpoint)}; a Space holds several (--space)")
    for checkpoint in args.checkpoint:
        look_for(checkpoint)
    from .. import hub

    hub.check_repo_id(args.repo_id)
    start_libraries()
    if args.space:
        push_space(args)
        return 0
    folder = Path(place_of(args.checkpoint[0]))
    if folder.parent != zoo.FOLDER:
        push_folder(folder, args)
    else:
        with TemporaryDirectory() as temporary:
            push_folder(with_code(folder, Path(temporary) / folder.name, args.repo_id), args)
    return 0


def with_code(shipped: Path, folder: Path, repo_id: str) -> Path:
    """Writes a checkpoint that ships as one that others can open: with its code, and with its card for `repo_id`."""
    from ..card import read_folder, save_card
    from ..tasks.opening import load

    _, recipe = read_folder(shipped)
    for part in load(shipped, recipe.run.task):  # the model, the tokenizer
        part.save_pretrained(folder)
    for path in shipped.iterdir():
        if path.is_file() and not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)
    save_card(folder, repo_id)
    return folder


def push_folder(folder: Path, args: argparse.Namespace) -> None:
    """Pushes a folder, and prints where to."""
    from .. import hub

    meant, left = files_for_others(folder)
    options = {"private": args.private, "revision": args.revision, "message": args.message}
    tell(lambda: hub.push_files(folder, meant, args.repo_id, **options), left)


def push_space(args: argparse.Namespace) -> None:
    """Pushes a Space, and prints where to."""
    from .. import hub
    from ..space.files import write_space

    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = write_space(args.checkpoint, folder, args.repo_id.partition("/")[2])
        options = {"private": args.private, "revision": args.revision, "repo_type": "space"}
        message = args.message or "Upload a Space with rnn-zoo"
        tell(lambda: hub.push_files(folder, files, args.repo_id, message=message, **options))


def tell(pushing: Callable[[], str], left: Sequence[str] = ()) -> None:
    """Pushes, and prints where to; what the Hub remarks, and what was `left` here, as warnings."""
    from huggingface_hub import constants
    from huggingface_hub.utils import enable_progress_bars

    from .. import hub

    if sys.stderr.isatty() and not constants.HF_HUB_DISABLE_PROGRESS_BARS:
        enable_progress_bars()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        address = pushing()
    for warning in caught:  # of the card
        warn(hub.plain(str(warning.message)))
    if left:
        warn(f"stayed here: {', '.join(left)}")
    print(address)
    sys.stdout.flush()
