"""`rnn-zoo card`: a checkpoint -> its card."""

from pathlib import Path

from ..checkpoints import require_parts
from ..command_line import Parser
from ..output import say
from . import start_libraries


def card(argv: list[str]) -> int:
    parser = Parser(
        prog="rnn-zoo card",
        description="Writes README.md and learning_curve.png into the folder of a checkpoint, from the numbers of its "
        "training.",
    )
    parser.add_argument("checkpoint", type=Path, help="folder that rnn-zoo train left")
    parser.add_argument("--repo-id", "--repo_id", help="name that the model has on the Hub, for the examples")
    args = parser.parse_args(argv)
    require_parts(args.checkpoint)
    start_libraries()
    from ..card import CARD_FILE, save_card

    save_card(args.checkpoint, args.repo_id)
    say(f"the card: {args.checkpoint / CARD_FILE}")
    return 0
