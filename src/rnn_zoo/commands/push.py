"""`rnn-zoo push`: a checkpoint -> a repository of the Hugging Face Hub."""

import argparse
import sys
import warnings
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.utils import enable_progress_bars

from .. import hub
from ..checkpoint_files import files_for_others
from ..training import run
from .common import Parser

DESCRIPTION = """\
Uploads a checkpoint to the Hugging Face Hub, in one commit, and prints the address of the commit.
The repository is made if it is not there. Whoever has the name can open it:

  AutoModelForTokenClassification.from_pretrained("you/ner_sample", trust_remote_code=True)

Uploaded are the weights (safetensors), the configuration, the tokenizer, the code of the model, the
card (README.md), metrics.json, recipe.yaml and pictures. What stays here is named: earlier steps,
optimizer states, pickles, hidden files, links that lead elsewhere.

A token with the right to write has to be there: `hf auth login`, or HF_TOKEN. A push that breaks
changes nothing; run it again, and what has arrived is not sent twice."""

EXAMPLES = """\
examples:
  rnn-zoo push runs/ner_sample you/ner_sample
  rnn-zoo push runs/ner_sample you/ner_sample --private
  rnn-zoo push runs/ner_sample you/ner_sample --revision v2 --message "Trained on more text"
  rnn-zoo tag you/ner_sample "Asha Rao went to Pune." --revision v2"""


def push(argv: list[str]) -> int:
    parser = Parser(prog="rnn-zoo push", description=DESCRIPTION, epilog=EXAMPLES)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("checkpoint", type=Path, help="folder that holds a model and its tokenizer")
    parser.add_argument("repo_id", metavar="REPO_ID", help="OWNER/NAME on the Hub")
    parser.add_argument(
        "--private", action="store_true", help="make a private repository; one that is there must be so"
    )
    parser.add_argument("--revision", metavar="BRANCH", help="branch, made if it is not there [main]")
    parser.add_argument("--message", metavar="TEXT", help="title of the commit")
    args = parser.parse_args(argv)
    hub.check_repo_id(args.repo_id)
    _, left = files_for_others(args.checkpoint)
    if sys.stderr.isatty() and not constants.HF_HUB_DISABLE_PROGRESS_BARS:
        enable_progress_bars()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        address = hub.push(
            args.checkpoint, args.repo_id, private=args.private, revision=args.revision, message=args.message
        )
    for warning in caught:  # of the card
        run.warn(hub.plain(str(warning.message)))
    if left:
        run.warn(f"stayed here: {', '.join(left)}")
    print(address)
    sys.stdout.flush()
    return 0
