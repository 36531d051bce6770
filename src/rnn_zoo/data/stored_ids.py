"""The ids of a text that is too long for the memory: in files, of which windows are read."""

import ctypes
import mmap
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from ..tokenizers.encoding import encoder_of
from .all_cores import in_processes, with_bar
from .kept import fingerprint_of, keep_file, kept_in
from .long_text import LongText
from .stored_rows import key_of_tokenizer, write_blocks

if TYPE_CHECKING:
    import pyarrow

GIVEN_BACK = 1 << 26  # bytes that are read between two times when the memory of what was read is given back


class StoredIds:
    """One long row of ids in a file, which is mapped into memory and not read into it.

    As of a tensor, `len` counts them, and a slice is a tensor `(n)`, int64.

    Args:
        file: an Arrow stream, whose column `ids` has unsigned integers.
    """

    def __init__(self, file: Path):
        self.file = file
        self._read = 0

    @cached_property
    def mapped(self) -> "pyarrow.Buffer":
        """The whole file."""
        import pyarrow  # comes with `datasets`

        return pyarrow.memory_map(str(self.file)).read_buffer()

    @cached_property
    def parts(self) -> list[np.ndarray]:
        """What lies in one piece, in order; nothing is copied."""
        from pyarrow import ipc

        chunks = ipc.open_stream(self.mapped).read_all().column("ids").chunks
        return [part.to_numpy(zero_copy_only=True) for part in chunks if len(part)]

    @cached_property
    def ends(self) -> np.ndarray:
        """Where each part ends."""
        return np.cumsum([len(part) for part in self.parts], dtype=np.int64)

    def __getstate__(self) -> dict[str, Any]:
        """For processes that load data: the name of the file, not what is in it."""
        return {"file": self.file, "_read": 0}

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, window: slice) -> torch.Tensor:
        start, stop, step = window.indices(len(self))
        if step != 1:
            raise ValueError(f"step={step}: a window of stored ids is contiguous")
        number, place = int(self.ends.searchsorted(start, "right")), start
        if number < len(self.parts) and start < stop <= (end := int(self.ends[number])):  # in one part, as mostly
            part = self.parts[number]
            behind = end - len(part)
            ids = part[start - behind : stop - behind].astype(np.int64)
            place = stop
        else:
            ids = np.empty(max(stop - start, 0), np.int64)
        while place < stop:
            part, end = self.parts[number], int(self.ends[number])
            until = min(stop, end)
            begin = end - len(part)
            ids[place - start : until - start] = part[place - begin : until - begin]
            number, place = number + 1, until
        self._read += ids.nbytes
        if self._read > GIVEN_BACK:
            self._read = 0
            give_back(self.mapped)
        return torch.from_numpy(ids)


def give_back(mapped: "pyarrow.Buffer") -> None:
    """Lets go of the memory in which pages of a mapped file lie that were read; it would grow with each that is read,
    up to the size of the file. They stay in the system's own cache as long as there is room."""
    if sys.platform == "linux":
        advise = ctypes.CDLL(None).madvise
        advise(ctypes.c_void_p(mapped.address), ctypes.c_size_t(mapped.size), mmap.MADV_DONTNEED)


def encode_long_text(tokenizer: PreTrainedTokenizerFast, text: LongText) -> StoredIds:
    """The ids of one encode of the whole text, made on all cores; they are kept, and found by the next start.

    Args:
        tokenizer: as for `encode_stream`.
        text: whose blocks are encoded on their own.

    Raises:
        UserError: if they cannot be kept.
    """
    import pyarrow

    kind = np.uint16 if len(tokenizer) <= 1 << 16 else np.uint32
    encode = encoder_of(tokenizer)

    def ids_of(block: int) -> np.ndarray:
        return encode([text.block(block)]).numpy().astype(kind)

    def write(place: Path) -> None:
        schema = pyarrow.schema({"ids": pyarrow.from_numpy_dtype(kind)})
        found = with_bar(in_processes(ids_of, text.blocks), len(text.blocks), "encoding the text")
        write_blocks(place, schema, (pyarrow.table({"ids": ids}) for ids in found))

    name = fingerprint_of(text.fingerprint, key_of_tokenizer(tokenizer))
    return StoredIds(keep_file(kept_in() / f"ids-{name}.arrow", write))
