"""Checkpoints that ship with the package: each a folder beside this file, with its card.

    from rnn_zoo import zoo

    zoo.names()
    AutoModelForCausalLM.from_pretrained(zoo.path("char_lm_shakespeare"))

The commands of `rnn-zoo` take these names in place of a folder. The folders hold no code: the package is there.
"""

from difflib import get_close_matches
from pathlib import Path

from ..errors import UserError

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names of the checkpoints, in alphabetical order; each is that of its recipe."""
    return sorted(config.parent.name for config in FOLDER.glob("*/config.json"))


def path(name: str) -> Path:
    """The folder of a checkpoint.

    Raises:
        UserError: (a `ValueError`) for a name that there is not, with the nearest ones.
    """
    known = names()
    if name not in known:
        nearest = get_close_matches(name, known, n=1)
        guess = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise UserError(f"checkpoint {name!r}: unknown; {guess}(choose from {', '.join(known)})")
    return FOLDER / name
