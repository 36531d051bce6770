"""The ids of a text that is too long for the memory: in files, of which windows are read."""

import ctypes
import mmap
import sys
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from ..tokenizers.encoding import encoder_of
from .kept import computed, fingerprint_of
from .long_text import LONGEST, LongText

if TYPE_CHECKING:
    import pyarrow

GIVEN_BACK = 1 << 26  # bytes that are read between two times when the memory of what was read is given back


class StoredIds:
    """One long row of ids in files, which are mapped into memory and not read into it.

    As of a tensor, `len` counts them, and a slice is a tensor `(n)`, int64.

    Args:
        files: Arrow streams, as `datasets` writes them. Their column `ids` has lists of unsigned integers, which one
            after the other are the row.
    """

    def __init__(self, files: Sequence[str]):
        self.files = files
        self._read = 0

    @cached_property
    def mapped(self) -> "list[pyarrow.Buffer]":
        """The whole of each file."""
        import pyarrow  # comes with `datasets`

        return [pyarrow.memory_map(file).read_buffer() for file in self.files]

    @cached_property
    def parts(self) -> list[np.ndarray]:
        """What lies in one piece, in order; nothing is copied."""
        from pyarrow import ipc

        tables = [ipc.open_stream(file).read_all() for file in self.mapped]
        lists = [part for table in tables for part in table.column("ids").chunks]
        return [part.flatten().to_numpy(zero_copy_only=True) for part in lists if len(part)]

    @cached_property
    def ends(self) -> np.ndarray:
        """Where each part ends."""
        return np.cumsum([len(part) for part in self.parts], dtype=np.int64)

    def __getstate__(self) -> dict[str, Any]:
        """For processes that load data: the names of the files, not what is in them."""
        return {"files": self.files, "_read": 0}

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
            for file in self.mapped:
                give_back(file)
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
    from datasets import List, Value

    kind = "uint16" if len(tokenizer) <= 1 << 16 else "uint32"
    backend = tokenizer.backend_tokenizer
    name = fingerprint_of(text.fingerprint, backend.to_str(), tokenizer.split_special_tokens, kind)

    encoded = encoder_of(tokenizer)

    def encode(blocks: dict[str, list[int]]) -> dict[str, list[np.ndarray]]:
        ids = [encoded([text.block(number)]).numpy().astype(kind) for number in blocks["block"]]
        return {"ids": ids}

    rows = computed(
        {"block": list(text.blocks)},
        encode,
        {"ids": List(Value(kind))},
        f"ids-{name}",
        "encoding the text",
        len(text) // LONGEST,
        batched=True,
        batch_size=8,
        writer_batch_size=16,
    )
    return StoredIds([file["filename"] for file in rows.cache_files])
