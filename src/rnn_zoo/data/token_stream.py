"""One long text as token ids, and its cut into lanes and chunks for truncated back-propagation through time.

A stream of `N` tokens has `N - 1` targets. It is laid out as `lanes` contiguous pieces of equal length; a batch holds
the same chunk of each lane, and the next batch goes on where it ended::

    stream  a b c d e f g h i j k l m        lanes = 3, chunk_length = 2
    lane 0  a b | c d      targets  b c | d e
    lane 1  e f | g h      targets  f g | h i
    lane 2  i j | k l      targets  j k | l m

Every target is scored once, those at the borders of chunks and lanes too.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.utils.data import Dataset

from ..errors import UserError

if TYPE_CHECKING:
    from .stored_ids import StoredIds


@dataclass(frozen=True)
class TokenStream:
    """One long text as ids.

    Args:
        input_ids: `(N)`, integers: a tensor, or `StoredIds`, which are in files.
        num_characters: characters (Unicode code points) of the text, for bits per character; `None` if unknown.
    """

    input_ids: "torch.Tensor | StoredIds"
    num_characters: int | None = None

    @property
    def tokens_per_character(self) -> float | None:
        return len(self) / self.num_characters if self.num_characters else None

    def __len__(self) -> int:
        return len(self.input_ids)


class LaneDataset(Dataset):
    """The chunks of a stream, chunk-major: item `c · lanes + l` is chunk `c` of lane `l`.

    Read in order with a batch size that divides `lanes`, batch after batch goes on where the one `lanes / batch size`
    before ended. The last chunk of the lanes may be shorter; where the lanes do not divide the stream, the last lanes
    end in padding whose target is -100.

    Args:
        stream: `N` tokens.
        lanes: number of contiguous pieces.
        chunk_length: steps of a chunk, the length of back-propagation.
        from_end: the lanes and their chunks follow each other from the end of the stream, for a model that reads
            backward; a target is the token before. Within a chunk the tokens stand as ever.

    Raises:
        UserError: (a `ValueError`) if there are fewer targets than lanes.
    """

    def __init__(self, stream: TokenStream, lanes: int, chunk_length: int, from_end: bool = False):
        if chunk_length < 1:
            raise UserError(f"bptt_length={chunk_length}: must be at least 1")
        targets = len(stream) - 1
        if targets < lanes:
            raise UserError(
                f"the text has {len(stream)} tokens, too few for {lanes} lanes; use a longer text or a smaller batch"
            )
        self.stream = stream
        self.lanes = lanes
        self.chunk_length = chunk_length
        self.lane_length = math.ceil(targets / lanes)
        self.chunks = math.ceil(self.lane_length / chunk_length)
        self.from_end = from_end

    def __len__(self) -> int:
        return self.chunks * self.lanes

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """`input_ids`, `labels` and `shift_labels`, each `(T)`: target t belongs to input t; `lane_start`: a boolean,
        true where no state comes from before."""
        if not 0 <= index < len(self):
            raise IndexError(f"{index}: there are {len(self)} chunks of lanes")
        chunk, lane = divmod(index, self.lanes)
        start = chunk * self.chunk_length
        steps = min(self.chunk_length, self.lane_length - start)
        start += lane * self.lane_length
        ids, tokens = self.stream.input_ids, len(self.stream)
        if self.from_end:
            window = ids[max(tokens - start - steps - 1, 0) : max(tokens - start, 0)].flip(0)
        else:
            window = ids[start : start + steps + 1]
        window = window.long()
        if len(window) > steps:
            inputs, targets = window[:-1], window[1:]
        else:  # behind the end of the stream is padding
            real = max(len(window) - 1, 0)
            inputs, targets = window.new_zeros(steps), window.new_full((steps,), -100)
            inputs[:real], targets[:real] = window[:real], window[1:]
        if self.from_end:
            inputs, targets = inputs.flip(0), targets.flip(0)
        return {
            "input_ids": inputs,
            "labels": targets,
            "shift_labels": targets,
            "lane_start": torch.tensor(chunk == 0),
        }
