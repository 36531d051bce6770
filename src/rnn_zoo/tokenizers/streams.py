"""Texts of any length, read piece by piece: cut at line ends, and encoded as one."""

from array import array
from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from transformers import PreTrainedTokenizerFast

from ..models.given_texts import each_checked

PIECE_CHARACTERS = 1 << 14  # a backend token costs about 100 bytes: pieces in work, not whole texts, set the memory
BATCH_PIECES = 64


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


def encode_stream(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> torch.Tensor:
    r"""Encodes a text of any length, piece by piece, on all cores: the ids of one encode of `"".join(texts)`.

    Nothing is put between the texts: documents that shall be apart end in `"\n"` (or in more). The text is cut at line
    ends only, so the memory on top of the result stays small if there are some; a text without any is encoded at once.

    Args:
        tokenizer: One that a builder of this package made, or that was loaded from its files. With others, tokens that
            reach over a line end would differ from those of one encode.
        texts: Pieces of one text, cut anywhere.

    Returns:
        Ids, shape (number of tokens,), int32: half the memory of int64, and enough for any vocabulary. Embeddings take
        it as it is; labels of a loss have to be int64, so batches are converted, not the stream.

    Raises:
        ValueError: if `texts` is a string, or has an item that is none, or a lone surrogate.
    """
    backend = tokenizer.backend_tokenizer
    # A padded call of the tokenizer leaves its settings behind in the backend, so each use has to set its own.
    backend.no_padding()
    backend.no_truncation()
    backend.encode_special_tokens = tokenizer.split_special_tokens
    ids = array("i")
    pieces = cut_at_line_ends(texts)
    while batch := list(islice(pieces, BATCH_PIECES)):
        for encoding in backend.encode_batch_fast(batch, add_special_tokens=False):
            ids.extend(encoding.ids)
    # The tensor lives in the array's memory; an empty array has none.
    return torch.frombuffer(ids, dtype=torch.int32) if ids else torch.empty(0, dtype=torch.int32)
