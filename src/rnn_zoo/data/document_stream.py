"""Documents that are read as they come, because they are too many to be kept: lanes of truncated back-propagation.

Each lane reads shards (files) of its own, one document after the other, and cuts each into chunks of its own::

    documents  "abcdef", "xyz"       chunk_length = 3
    inputs     a b c | d e . | x y .
    targets    b c d | e f . | y z .      . is padding, whose target is -100
    begins     yes   | no    | yes        where the state is zero
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import IterableDataset
from transformers import PreTrainedTokenizerFast

from ..errors import UserError
from ..tokenizers.encoding import encoder_of
from .formats import check_encoding, with_line_feeds
from .kept import fingerprint_of
from .keys import DataArguments
from .splits import FILE_STEMS, all_files

if TYPE_CHECKING:
    import datasets

Encode = Callable[[str], torch.Tensor]  # a text -> ids, `(n)`
BUILDERS = {"txt": "text", "jsonl": "json", "parquet": "parquet"}  # of `datasets`, by the extension of files


class Documents:
    """Documents of a source that is read as it comes.

    Args:
        rows: one document each.
        column: that has its text.
        source: what a message calls them.
        fingerprint: a name for what they are, wherever they are.
        files: in which they are, if they are here.
    """

    def __init__(
        self,
        rows: "datasets.IterableDataset",
        column: str,
        source: str,
        fingerprint: str,
        files: Sequence[Path] = (),
    ):
        self.rows = rows
        self.column = column
        self.source = source
        self.fingerprint = fingerprint
        self.files = files

    def text_of(self, row: dict[str, Any]) -> str:
        """The text of a row, without a mark, its line ends as `"\\n"`.

        Raises:
            UserError: if it has none.
        """
        text = row.get(self.column)
        if not isinstance(text, str):
            raise UserError(
                f"text_column={self.column!r}: {self.source} has a document without such a text (it has "
                f"{', '.join(row)})"
            )
        return with_line_feeds(text.removeprefix("\ufeff"))

    def texts(self) -> Iterator[str]:
        """All texts."""
        return map(self.text_of, self.rows)

    def beginning(self, characters: int) -> Iterator[str]:
        """The first texts, until they have so many characters."""
        for text in self.texts():
            yield text[:characters]
            characters -= len(text)
            if characters < 1:
                return

    def lane(self, number: int, lanes: int) -> "datasets.IterableDataset":
        """The rows that a lane reads.

        Raises:
            UserError: if there are more lanes than files.
        """
        if lanes > self.rows.num_shards:
            raise UserError(
                f"{self.source}: {self.rows.num_shards} files cannot be shared by {lanes} lanes, each of which reads "
                "files of its own: give fewer lanes (per_device_train_batch_size x processes x "
                "gradient_accumulation_steps), or more files"
            )
        return self.rows.shard(lanes, number)


def files_of_documents(data: DataArguments, column: str, split: str) -> Documents | None:
    """The documents of a split in a folder: a `.txt` file is one, a `.jsonl` or `.parquet` file has one in each row.

    They are all files of the extension in its folder `train` (`valid`, `test`), or those whose name begins with this
    word; in an order of chance, which is always the same. `None` if there are none.

    Raises:
        UserError: for a folder that is not there, or another extension.
    """
    from datasets import load_dataset

    folder, extension, stems = data.folder, data.file_extension, FILE_STEMS[split]
    if extension not in BUILDERS:
        raise UserError(f"file_extension={extension!r}: streaming reads {', '.join(BUILDERS)}")
    check_encoding(data.encoding)
    word = re.compile(rf"(?:{'|'.join(stems)})(?![a-z])")  # dev-1.txt, and not devanagari.txt
    found = [path for path in all_files(folder) if word.match(path.name)]
    for inner in (folder / stem for stem in stems):
        found += inner.rglob("*") if inner.is_dir() else []
    files = sorted(path for path in found if path.name.endswith((f".{extension}", f".{extension}.gz")))
    if not files:
        return None
    known = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in files]
    random.Random(0).shuffle(files)
    options = {"sample_by": "document", "encoding": data.encoding} if extension == "txt" else {}
    rows = load_dataset(
        BUILDERS[extension], data_files=[str(path) for path in files], split="train", streaming=True, **options
    )
    return Documents(rows, "text" if extension == "txt" else column, str(folder), fingerprint_of(known), files)


class DocumentStream:
    """Documents as ids: what a `TruncatedBpttTrainer` trains on where the text has no end that is known.

    Args:
        documents: where they come from.
        encode: makes ids of a text.
    """

    tokens_per_character = None  # not known before they are read

    def __init__(self, documents: Documents, encode: Encode):
        self.documents = documents
        self.encode = encode

    @classmethod
    def of(
        cls, rows: "datasets.IterableDataset", tokenizer: PreTrainedTokenizerFast, column: str = "text"
    ) -> "DocumentStream":
        """That of any stream of `datasets`, with at least as many shards as there are lanes.

        Args:
            rows: one document each.
            tokenizer: makes their ids.
            column: that has their texts.
        """
        encode = encoder_of(tokenizer)
        return cls(Documents(rows, column, "the documents", ""), lambda text: encode([text]))


class LaneReader:
    """One lane: its documents one after the other, from the first again behind the last.

    Args:
        stream: of all lanes.
        number: of this one.
        lanes: how many there are.
        chunk_length: steps of a chunk, `T`.

    Raises:
        UserError: if there are fewer files than lanes; by `chunk`, if no document has two tokens.
    """

    def __init__(self, stream: DocumentStream, number: int, lanes: int, chunk_length: int):
        self.stream = stream
        self.rows = stream.documents.lane(number, lanes)
        self.chunk_length = chunk_length
        self._begin_at(0, 0)

    def _begin_at(self, file: int, row: int) -> None:
        """Goes to a row of one of its files."""
        rows = self.rows.shard(self.rows.num_shards, file)
        self._iterator = iter(rows.skip(row) if row else rows)
        self._file, self._row = file, row  # of the next document
        self._ids = torch.empty(0, dtype=torch.int32)
        self._place = 0  # in the document that is read, where the next chunk begins

    def _next_document(self) -> bool:
        """Reads one; `False` at the end of a file."""
        row = next(self._iterator, None)
        if row is None:
            return False
        self._row, self._place = self._row + 1, 0
        self._ids = self.stream.encode(self.stream.documents.text_of(row))
        return True

    def chunk(self) -> tuple[torch.Tensor, torch.Tensor, bool]:
        """The next chunk: inputs and targets, both `(T)`, and whether a document begins with it."""
        files = 0
        while self._place >= len(self._ids) - 1:
            if not self._next_document():
                if files > self.rows.num_shards:
                    raise UserError(f"{self.stream.documents.source}: the files of a lane have no document to read")
                files += 1
                self._begin_at((self._file + 1) % self.rows.num_shards, 0)
        window = self._ids[self._place : self._place + self.chunk_length + 1].long()
        begins, steps = self._place == 0, len(window) - 1
        self._place += self.chunk_length
        inputs = window.new_zeros(self.chunk_length)
        targets = window.new_full((self.chunk_length,), -100)
        inputs[:steps], targets[:steps] = window[:-1], window[1:]
        return inputs, targets, begins

    # The state that a stream of `datasets` has of itself is not exact behind the last row of a file (5.2).
    def state(self) -> dict[str, int]:
        """Where it is: the number of a file, of the row behind the document that is read, and the place in that."""
        return {"file": self._file, "row": self._row, "place": self._place}

    def load(self, state: dict[str, int]) -> None:
        """Goes to where another reader of the same lane was; rows of the file before it are read again."""
        self._begin_at(state["file"], max(state["row"] - 1, 0))
        if state["row"] and not self._next_document():
            raise UserError(f"{self.stream.documents.source}: has fewer documents than when the checkpoint was written")
        self._place = state["place"]


class LaneBatches(IterableDataset):
    """The batches of one process, without an end.

    Args:
        readers: of each micro-batch, one for each of its rows.

    Attributes:
        behind: how many batches `Trainer` will pass over, when it goes on: the readers know their places themselves.
    """

    def __init__(self, readers: list[list[LaneReader]]):
        self.readers = readers
        self.behind = 0

    def __iter__(self) -> Iterator[Any]:
        """`input_ids`, `labels` and `shift_labels`, `(B, T)`; `lane_start`, `(B)`: where the state is zero."""
        yield from repeat(None, self.behind)
        while True:
            for readers in self.readers:
                inputs, targets, begins = zip(*(reader.chunk() for reader in readers), strict=True)
                labels = torch.stack(targets)
                yield {
                    "input_ids": torch.stack(inputs),
                    "labels": labels,
                    "shift_labels": labels,
                    "lane_start": torch.tensor(begins),
                }
