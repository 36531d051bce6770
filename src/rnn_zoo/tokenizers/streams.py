"""Texts of any length, read piece by piece: cut at line ends."""

from collections.abc import Iterable, Iterator

from ..models.given_texts import each_checked

PIECE_CHARACTERS = 1 << 14  # a backend token costs about 100 bytes: pieces in work, not whole texts, set the memory


def cut_at_line_ends(texts: Iterable[str], min_characters: int = PIECE_CHARACTERS) -> Iterator[str]:
    r"""Cuts a stream of text anew: pieces of whole lines, the shortest with at least `min_characters` characters.

    `"".join(cut_at_line_ends(texts)) == "".join(texts)`. Every piece but the last ends in `"\n"`, none is empty; a text
    without line ends is one piece.

    Args:
        texts: Pieces of one text, cut anywhere.
        min_characters: Characters a piece has at least, the last one excepted.

    Raises:
        ValueError: if `texts` is a string, or has an item that is none, or a lone surrogate.
    """
    held: list[str] = []  # not yet yielded
    length = 0
    for text in each_checked(texts):
        start = 0
        while len(text) - start + length >= min_characters:
            cut = text.find("\n", start + max(min_characters - length - 1, 0)) + 1
            if cut == 0:
                break
            yield "".join([*held, text[start:cut]])
            held, length, start = [], 0, cut
        if start < len(text):
            held.append(text[start:])
            length += len(text) - start
    if held:
        yield "".join(held)
