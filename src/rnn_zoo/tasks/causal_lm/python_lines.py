"""How much of a text reads as Python: the share of its lines that Python's own tokenizer accepts."""

import io
import tokenize
from collections.abc import Iterable


def accepted_by_tokenize(line: str) -> bool:
    """Whether a single line, taken alone and without its indentation, is a sequence of Python tokens."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(line.strip() + "\n").readline))
    except (tokenize.TokenError, SyntaxError):
        return False
    # From Python 3.12 on, a character that is no operator comes as one without a name of its own, "!" apart.
    return not any(t.type == tokenize.ERRORTOKEN or t.exact_type == tokenize.OP or t.string == "!" for t in tokens)


def whole_lines(text: str) -> list[str]:
    """The non-blank lines of `text` without its first and its last, which may be cut anywhere."""
    return [line for line in text.split("\n")[1:-1] if line.strip()]


def accepted_share(texts: Iterable[str]) -> float | None:
    """Share, in [0, 1], of the whole lines of `texts` that `tokenize` accepts; `None` if there is no whole line."""
    lines = [line for text in texts for line in whole_lines(text)]
    return sum(map(accepted_by_tokenize, lines)) / len(lines) if lines else None
