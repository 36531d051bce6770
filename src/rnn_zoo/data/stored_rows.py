"""Rows of large files: read once, kept in Arrow files on the disk, mapped into memory, worked on by all cores.

What lists of rows would be for small data are `StoredRows` for large data: a sequence of the same rows, which takes
memory for none of them. All that is made of it is kept beside it, in the folder in which `datasets` keeps its own
(`HF_DATASETS_CACHE`): a second start finds it there, and so do further processes of a training, which wait for the
first one on their machine.

Sizes: `N` rows.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from ..errors import Warn
from ..models.tokenization_rnn import RnnTokenizer
from .all_cores import in_processes, with_bar
from .kept import fingerprint_of, fingerprint_of_file, keep_file, kept_in, main_process_first, unpacked_size

if TYPE_CHECKING:
    import datasets
    import pyarrow

T = TypeVar("T")
LARGE = 1 << 24  # bytes of a file from which on its rows are stored
BLOCK = 4096  # rows that are written, or worked on, at once


def are_large(*paths: Path) -> bool:
    """Whether files are so large together that their rows are stored."""
    return unpacked_size(*paths) >= LARGE


class StoredRows(Sequence):
    """The rows of a file, or some of them in any order.

    An index gives a row, a slice a list of rows. Where something is made of all rows, see `over_pieces`.

    Args:
        folder: where the rows are, and what is made of them.
        table: all rows of the file.
        rows_of: makes rows of a block's columns.
        order: indices of the rows of `table` that are here; `None`: all.
        view: a name for `rows_of`, where there are several.
    """

    def __init__(
        self,
        folder: Path,
        table: "datasets.Dataset",
        rows_of: Callable[[dict[str, list]], list],
        order: np.ndarray | None = None,
        view: str = "",
    ):
        self.folder, self.table, self.rows_of, self.order, self.view = folder, table, rows_of, order, view
        self.fingerprint = view + ("all" if order is None else fingerprint_of(np.ascontiguousarray(order).tobytes()))

    def __len__(self) -> int:
        return len(self.table) if self.order is None else len(self.order)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.block(range(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.block(range(index % len(self), index % len(self) + 1))[0]

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), BLOCK):
            yield from self.block(range(start, min(start + BLOCK, len(self))))

    def block(self, places: range) -> list:
        """The rows at some places."""
        if self.order is not None:
            return self.rows_of(self.table[self.order[places.start : places.stop : places.step]])
        if places.step == 1:
            return self.rows_of(self.table[places.start : places.stop])
        return self.rows_of(self.table[places])

    def select(self, places: Sequence[int] | np.ndarray) -> "StoredRows":
        """The rows at some places, in this order."""
        places = np.asarray(places, dtype=np.int64)
        return self.at(places if self.order is None else self.order[places])

    def in_order_of_file(self) -> "StoredRows":
        """The same rows as they follow one another in the file, which is the fastest way to read them."""
        return self if self.order is None else self.at(np.sort(self.order))

    def all_rows(self) -> "StoredRows":
        """All rows of the file."""
        return self.at(None)

    def at(self, order: np.ndarray | None) -> "StoredRows":
        return StoredRows(self.folder, self.table, self.rows_of, order, self.view)

    def texts(self, column: str, end: str = "") -> "StoredRows":
        """The texts of a column of the file, or its lists, each as a row; behind each text stands `end`."""

        def rows_of(columns: dict[str, list]) -> list[str]:
            return [text + end for text in columns[column]] if end else columns[column]

        return StoredRows(self.folder, self.table.select_columns([column]), rows_of, self.order, f"{column}{len(end)}-")

    def lengths(self, column: str) -> np.ndarray:
        """Of each row the elements of a column's list, or the characters of its text, `(N)`."""
        import pyarrow
        import pyarrow.compute

        values = self.table.data.column(column)
        is_text = pyarrow.types.is_string(values.type)
        measure = pyarrow.compute.utf8_length if is_text else pyarrow.compute.list_value_length
        lengths = measure(values).to_numpy()
        return lengths if self.order is None else lengths[self.order]

    def counted(self, name: str, count: Callable[[Any], Counter]) -> Counter:
        """The sum of what `count` finds in pieces of the rows; see `tokenizers.vocabulary.counted`.

        Args:
            name: of what is counted; see `remembered`.
            count: is given a list of rows.
        """

        def compute() -> Counter:
            found: Counter = Counter()
            for _, part in over_pieces(self, count, f"counting {name.partition('-')[0]}"):
                found.update(part)
            return found

        return Counter(remembered(self, name, compute))


class BothTexts:
    """Stored texts, and others behind them."""

    def __init__(self, first: StoredRows, second: StoredRows):
        self.parts = first, second

    def __iter__(self) -> Iterator[str]:
        return chain(*self.parts)

    def counted(self, name: str, count: Callable[[Any], Counter]) -> Counter:
        first, second = (part.counted(name, count) for part in self.parts)
        return first + second


def selected(rows: Sequence[T], places: Sequence[int] | np.ndarray) -> Sequence[T]:
    """The rows at some places, in this order: a list of a list, stored rows of stored ones."""
    return rows.select(places) if isinstance(rows, StoredRows) else [rows[n] for n in places]


def dictionaries(columns: dict[str, list]) -> list[dict[str, Any]]:
    """The rows of a block as dictionaries."""
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


# ---- where things are kept ----
def kept(path: Path, write: Callable[[Path], None]) -> Path:
    """A file that the first process of each machine writes if it is not there, and the others find; all have to ask.

    Raises:
        UserError: if it cannot be written, as on a full disk.
    """
    return main_process_first(lambda: keep_file(path, write))


def remembered(rows: Sequence[T], name: str, compute: Callable[[], Any]) -> Any:
    """What is computed of rows, as JSON has it; of stored ones once.

    Args:
        rows: of which it is computed.
        name: of what it is, with all that it depends on besides.
        compute: gives it.
    """
    if not isinstance(rows, StoredRows):
        return compute()

    def write(place: Path) -> None:
        place.write_text(json.dumps(compute(), ensure_ascii=False), encoding="utf-8", errors="surrogatepass")

    path = kept(rows.folder / f"{name}-{rows.fingerprint}.json", write)
    return json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))


def content_of(rows: Sequence[T]) -> str:
    """A hash of all rows, in their order: that of a list of the same rows is the same."""
    found = hashlib.sha256()

    def written(piece: Iterable[Any]) -> bytes:
        return b"".join(repr(row).encode("utf-8", "surrogatepass") + b"\0" for row in piece)

    def compute() -> str:
        for _, part in over_pieces(rows, written, "comparing data"):
            found.update(part)
        return found.hexdigest()

    return remembered(rows, "content", compute)


def key_of_tokenizer(tokenizer: Any) -> list[str]:
    """All that the ids depend on which a tokenizer gives."""
    backends = [tokenizer.backend_tokenizer]
    if (target := getattr(tokenizer, "_target_tokenizer", None)) is not None:
        backends.append(target.backend_tokenizer)
    states = [json.loads(backend.to_str()) for backend in backends]
    for state in states:  # what a padded call has left behind
        state["padding"] = state["truncation"] = None
    settings = [tokenizer.init_kwargs.get(name) for name in ("characters", "max_word_length")]
    return [type(tokenizer).__name__, json.dumps(states), repr([*settings, tokenizer.split_special_tokens])]


def remembered_arrays(rows: StoredRows, name: str, compute: Callable[[], Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """As `remembered`, of arrays by name."""

    def write(place: Path) -> None:
        with open(place, "wb") as file:
            np.savez(file, **compute())

    with np.load(kept(rows.folder / f"{name}-{rows.fingerprint}.npz", write)) as found:
        return dict(found)


# ---- on all cores ----
def over_pieces(rows: Sequence[T], work: Callable[[Any], Any], what: str) -> Iterator[tuple[int, Any]]:
    """The place of the first row of each piece, and what `work` makes of the piece, in their order.

    A list is one piece. Pieces of stored rows are lists as well, worked on by as many processes as there are cores;
    what `work` returns comes back from them by pickle. It needs nothing of a device, and no torch.

    Args:
        rows: in pieces.
        work: is given a list of rows.
        what: is shown of it beside a bar, on a terminal.

    Raises:
        RunError: if one of these processes is killed.
    """
    if not isinstance(rows, StoredRows):
        yield 0, work(rows)
        return
    starts = range(0, len(rows), BLOCK)
    yield from zip(starts, with_bar(in_processes(PieceWork(rows, work), starts), len(starts), what), strict=True)


class PieceWork:
    """What is done with the piece of some rows that begins at a place."""

    def __init__(self, rows: StoredRows, work: Callable[[list], Any]):
        self.rows, self.work = rows, work

    def __call__(self, start: int) -> Any:
        return self.work(self.rows[start : start + BLOCK])


# ---- writing ----
def store_rows(
    files: Sequence[Path],
    keys: Sequence[Any],
    read: Callable[[Warn], Iterable["pyarrow.Table"]],
    schema: "pyarrow.Schema",
    warn: Warn,
    rows_of: Callable[[dict[str, list]], list] = dictionaries,
) -> StoredRows:
    """The rows of files, which are read if no earlier run has.

    Args:
        files: of which they are read; they are known again by their paths, sizes and times.
        keys: all else that shapes the rows.
        read: gives the rows, in blocks (see `blocks_of`); it is told where warnings go.
        schema: of the columns.
        warn: is told what `read` has said, each time.
        rows_of: makes rows of a block's columns.

    Raises:
        UserError: what `read` raises, or if the rows cannot be written.
    """
    told = [fingerprint_of_file(path) for path in files]
    folder = kept_in() / fingerprint_of(told, keys, schema.to_string())

    def write(place: Path) -> None:
        said: list[str] = []
        write_blocks(place, schema, read(said.append))
        (folder / "said.json").write_text(json.dumps(said), encoding="utf-8")

    rows = StoredRows(folder, mapped(kept(folder / "rows.arrow", write)), rows_of)
    for sentence in json.loads((folder / "said.json").read_text(encoding="utf-8")):
        warn(sentence)
    return rows


def blocks_of(rows: Iterable[tuple], schema: "pyarrow.Schema") -> Iterator["pyarrow.Table"]:
    """Rows, each a value for each column, in blocks."""
    rest = iter(rows)
    while block := list(islice(rest, BLOCK)):
        yield block_of(block, schema)


def block_of(rows: Sequence[tuple], schema: "pyarrow.Schema") -> "pyarrow.Table":
    import pyarrow

    values = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pyarrow.array(column, field.type) for column, field in zip(values, schema, strict=True)]
    return pyarrow.Table.from_arrays(arrays, schema=schema)


def write_blocks(place: Path, schema: "pyarrow.Schema", tables: Iterable["pyarrow.Table"]) -> None:
    """Writes the file that `datasets.Dataset.from_file` maps."""
    import pyarrow

    with open(place, "wb") as file, pyarrow.ipc.new_stream(file, schema) as writer:
        for table in tables:
            writer.write_table(table.combine_chunks())


def mapped(path: Path) -> "datasets.Dataset":
    import datasets

    return datasets.Dataset.from_file(str(path))


def stored_again(rows: StoredRows, name: str, change: Callable[[Any], tuple]) -> StoredRows:
    """Other rows, made of each of the rows of a file; beside it.

    Args:
        rows: all of a file.
        name: of what is made of them.
        change: gives a value for each column.
    """
    schema, folder = rows.table.data.schema.remove_metadata(), rows.folder / name

    def write(place: Path) -> None:
        made = over_pieces(rows, lambda piece: block_of([change(row) for row in piece], schema), "converting")
        write_blocks(place, schema, (block for _, block in made))

    return StoredRows(folder, mapped(kept(folder / "rows.arrow", write)), rows.rows_of)


# ---- ids ----
def encoded_rows(
    rows: StoredRows, key: Any, encode: Callable[[list], Mapping[str, Sequence]], beside: Sequence[str] = ()
) -> "tuple[datasets.Dataset, dict[str, np.ndarray]]":
    """What a model is trained on, a row for each row; kept for all rows of their file.

    Columns of whole numbers are kept in 32 bits. Of a column of lists of lists, as of spellings, each different inner
    list is kept once.

    Args:
        rows: some of a file.
        key: all that the result depends on besides.
        encode: gives of a list of rows each column: a list, or `Lists`.
        beside: columns of numbers that are no part of the rows.

    Returns:
        The rows, and of each column that is `beside` the numbers, `(N)`.
    """
    import pyarrow

    folder = rows.folder / f"encoded-{fingerprint_of(key)}"

    def write(place: Path) -> None:
        inner: dict[str, dict[bytes, int]] = {}

        def tables() -> Iterator[pyarrow.Table]:
            for _, (arrays, seen) in over_pieces(rows.all_rows(), Encoding(encode), "encoding"):
                for name, lists in seen.items():
                    known = inner.setdefault(name, {})
                    ids = np.array([known.setdefault(one.tobytes(), len(known)) for one in lists], dtype=np.int32)
                    offsets, values = arrays[name]
                    arrays[name] = offsets, ids[values] if len(ids) else values
                yield pyarrow.table({name: as_lists(values) for name, values in arrays.items()})

        found = tables()
        first = next(found)

        def with_first() -> Iterator[pyarrow.Table]:
            yield first
            for table in found:
                yield table.cast(first.schema)

        write_blocks(place, first.schema, with_first())
        for name, known in inner.items():
            width = len(next(iter(known))) // 4 if known else 0
            values = np.frombuffer(b"".join(known), dtype=np.int32).reshape(-1, width) if width else np.zeros((0, 0))
            np.save(folder / f"{name}.npy", values)

    table = mapped(kept(folder / "rows.arrow", write))
    lists = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
    numbers = {name: table.data.column(name).to_numpy() for name in beside}
    table = table.remove_columns(list(beside))
    if rows.order is not None:
        numbers = {name: values[rows.order] for name, values in numbers.items()}
        table = table.select(rows.order, keep_in_memory=True)
    return table.with_transform(WithInnerLists(lists)) if lists else table, numbers


def ids_of(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """`tokenizer(texts)["input_ids"]`, without what else it gives where that takes longer than the ids."""
    if type(tokenizer) is not RnnTokenizer:
        return tokenizer(list(texts), return_attention_mask=False)["input_ids"]
    backend = tokenizer.backend_tokenizer
    # A padded call of the tokenizer leaves its settings behind in the backend, so each use has to set its own.
    backend.no_padding()
    backend.no_truncation()
    backend.encode_special_tokens = tokenizer.split_special_tokens
    return [encoding.ids for encoding in backend.encode_batch_fast(list(texts))]


class Lists(NamedTuple):
    """A column of lists, as arrays.

    Args:
        offsets: `(N + 1)`, where each list begins among the values, and where the last one ends.
        values: of all lists; where there are inner lists, which of them.
        inner: the different inner lists of a column of lists of lists, `(different ones, W)`.
    """

    offsets: np.ndarray
    values: np.ndarray
    inner: np.ndarray | None = None


def offsets_of(lengths: Iterable[int], number: int) -> np.ndarray:
    """Where lists of these lengths begin, and where the last one ends, `(number + 1)`."""
    offsets = np.zeros(number + 1, dtype=np.int32)
    np.cumsum(np.fromiter(lengths, np.int64, number), out=offsets[1:])
    return offsets


class Encoding:
    """What is made of a piece of rows, as arrays: `(offsets, values)` of a column of lists, or values alone; and the
    different inner lists of a column of lists of lists, of which the values are the indices."""

    def __init__(self, encode: Callable[[list], Mapping[str, Sequence]]):
        self.encode = encode

    def __call__(self, rows: list) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays: dict[str, Any] = {}
        inner: dict[str, np.ndarray] = {}
        for name, column in self.encode(rows).items():
            if isinstance(column, Lists):
                arrays[name] = column.offsets, narrow(column.values)
                if column.inner is not None:
                    inner[name] = column.inner
                continue
            if not isinstance(column[0], list):
                arrays[name] = narrow(np.array(column))
                continue
            offsets = offsets_of(map(len, column), len(column))
            values: list = [value for row in column for value in row]
            if values and isinstance(values[0], list):
                lists = {id(one): one for one in values}  # those of one word are mostly one object
                places = {one: n for n, one in enumerate(lists)}
                inner[name] = np.array(list(lists.values()), dtype=np.int32)
                values = [places[id(one)] for one in values]
            arrays[name] = offsets, narrow(np.array(values))
        return arrays, inner


def narrow(values: np.ndarray) -> np.ndarray:
    """Whole numbers in 32 bits."""
    return values.astype(np.int32) if values.dtype.kind in "iu" or not len(values) else values


def as_lists(values: Any) -> "pyarrow.Array":
    import pyarrow

    if isinstance(values, tuple):
        return pyarrow.ListArray.from_arrays(*map(pyarrow.array, values))
    return pyarrow.array(values)


class WithInnerLists:
    """Writes into a batch of encoded rows, for the indices of inner lists, these lists.

    Args:
        lists: of each such column, `(different ones, W)`.
    """

    def __init__(self, lists: dict[str, np.ndarray]):
        self.lists = lists

    def __call__(self, batch: dict[str, list]) -> dict[str, list]:
        return batch | {name: [lists[ids].tolist() for ids in batch[name]] for name, lists in self.lists.items()}
