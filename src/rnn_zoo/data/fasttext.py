"""Files in the form of fastText: a text a line, its labels as `__label__x` among its words."""

import re

from .formats import LINE_END, FileText

FASTTEXT = re.compile(r"(?:^|(?<=\s))__label__(\S+)\s*")
WITHOUT_LABELS = "what is no label (__label__...) of a line"
FIRST_LINE = 1 << 16  # characters in which the first line that is not empty is looked for


def is_fasttext(text: str | FileText) -> bool:
    """Whether the first line that is not empty holds a label as fastText has them."""
    if isinstance(text, FileText):
        text = next((line for line in text if line.strip()), "")
    first = next((line for line in LINE_END.split(text[:FIRST_LINE]) if line.strip()), "")
    return FASTTEXT.search(first) is not None


def without_labels(lines: list[str]) -> list[str] | None:
    """Lines of a text file without the labels that fastText's form has in them; `None` where it is not in that form."""
    first = next((line for line in lines if line.strip()), "")
    return [FASTTEXT.sub("", line).strip() for line in lines] if is_fasttext(first) else None
