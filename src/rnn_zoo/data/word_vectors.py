"""Pretrained word vectors: the rows of a large file that a vocabulary needs, and what they cover of it.

Read are, by the name of the file (`.gz` is unpacked on the way, safetensors apart):

- text: a word and its numbers on each line, as GloVe has it, or with a first line `words dimension`, as word2vec and
  fastText (`.vec`) have it. A word may hold blanks.
- `.bin`: word2vec's binary form.
- `.safetensors`: a tensor `(words, dimension)`, the only one or named `embeddings`. The words, in the order of the
  rows, are a JSON list in the metadata, key `words`, or the lines of a text file beside it, `NAME.words.txt`.

Files are streamed: only rows that are kept are in memory, whatever the size of the file.

Sizes: `V` words of the vocabulary, `D` dimension.
"""

import gzip
import io
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..errors import UserError
from .formats import lines_of, lines_of_bytes, open_file, read_text, shown_path

MOST_NUMBERS = 1 << 16  # of a vector
DIGITS = 18  # of a number of words
LONGEST_WORD = 1 << 16  # in bytes
PEEK = 8  # lines by which the dimension of a text without a header is known
FASTTEXT_MODEL = (793712314).to_bytes(4, "little")
EXACT, LOWER = 2, 1


@dataclass(frozen=True)
class WordVectors:
    """The vectors of a vocabulary.

    Args:
        matrix: `(V, D)`, float32; 0 where there is no vector.
        found: `(V)`, bool, where there is one.
        words: the vocabulary.
        counts: how often each word occurs, or `None`.
    """

    matrix: torch.Tensor
    found: torch.Tensor
    words: Sequence[str]
    counts: Mapping[str, int] | None = None

    @property
    def word_coverage(self) -> float:
        """Share of the words that have a vector, in [0, 1]."""
        return int(self.found.sum()) / max(1, len(self.words))

    @property
    def token_coverage(self) -> float | None:
        """Share of the occurrences, in [0, 1]; `None` without counts."""
        if self.counts is None:
            return None
        counts = [self.counts.get(word, 0) for word in self.words]
        covered = sum(count for count, found in zip(counts, self.found.tolist(), strict=True) if found)
        return covered / max(1, sum(counts))

    @property
    def coverage(self) -> str:
        """What a user reads: `12,345 of 20,000 words (61.7 %), 98.2 % of tokens`."""
        text = f"{int(self.found.sum()):,} of {len(self.words):,} words ({100 * self.word_coverage:.1f} %)"
        share = self.token_coverage
        return text if share is None else f"{text}, {100 * share:.1f} % of tokens"


def load_word_vectors(
    path: Path | str, words: Sequence[str], *, dimension: int | None = None, counts: Mapping[str, int] | None = None
) -> WordVectors:
    """The vectors of `words` in a file: of the word as it is written, else of its lower-case form.

    Of a word that is there twice the first counts. A line that no word needs is only counted through.

    Args:
        path: the file; its form goes by its name, see above.
        words: `V`, in the order of the rows wanted.
        dimension: what the file must have; `None`: whatever it has.
        counts: how often the words occur, for the coverage.

    Raises:
        UserError: for a file that cannot be read, another dimension, or a broken line or row; the sentence names file
            and line.
    """
    path = Path(path)
    wanted = Wanted(words)
    name = path.name.removesuffix(".gz")
    try:
        with open_file(path) as raw:
            if name.endswith(".safetensors"):
                read_safetensors(path, wanted, dimension)
                return wanted.vectors(counts)
            packed = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            read = read_binary if name.endswith(".bin") else read_lines
            read(io.BufferedReader(packed), str(path), wanted, dimension)  # type: ignore[type-var, arg-type]
    except (EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged gzip file: {error}") from error
    except OSError as error:
        raise UserError(f"{shown_path(path)}: {error.strerror or error}") from error
    return wanted.vectors(counts)


def save_word_vectors(path: Path | str, words: Sequence[str], matrix: torch.Tensor) -> None:
    """Writes `matrix (V, D)` and its words as safetensors, which is read fastest.

    Raises:
        ValueError: if there are not as many words as rows.
    """
    if matrix.ndim != 2 or len(words) != matrix.shape[0]:
        raise ValueError(f"{len(words)} words for a matrix {tuple(matrix.shape)}: must be as many as rows")
    save_file({"embeddings": matrix.contiguous()}, path, {"words": json.dumps(list(words), ensure_ascii=False)})


class Wanted:
    """The rows that are looked for, and those that were found."""

    def __init__(self, words: Sequence[str]):
        self.words = words
        self.matrix: np.ndarray | None = None  # (V, D), when D is known
        self.level = np.zeros(len(words), dtype=np.int8)
        self._exact: dict[bytes, list[int]] = defaultdict(list)
        self._lower: dict[bytes, list[int]] = defaultdict(list)
        for n, word in enumerate(words):
            self._exact[word.encode("utf-8", "surrogatepass")].append(n)
            if (lower := word.lower()) != word:
                self._lower[lower.encode("utf-8", "surrogatepass")].append(n)

    def set_dimension(self, found: int, told: int | None, source: str) -> None:
        """Raises `UserError` if the file has another dimension than it must, or one that no vectors have."""
        if found > MOST_NUMBERS:
            raise UserError(f"{source}: vectors of {found:,} numbers: at most {MOST_NUMBERS:,} are read")
        if told is not None and told != found:
            raise UserError(f"{source}: vectors of {found} numbers, where {told} are needed")
        self.matrix = np.zeros((len(self.words), found), dtype=np.float32)

    def places(self, word: bytes) -> list[tuple[int, int]]:
        """`(row, level)` of those that this word of the file gives a better vector than they have."""
        if word not in self._exact and word not in self._lower:
            return []
        hits = [(n, EXACT) for n in self._exact.get(word, ())] + [(n, LOWER) for n in self._lower.get(word, ())]
        return [(n, level) for n, level in hits if self.level[n] < level]

    def put(self, places: list[tuple[int, int]], vector, where: str) -> None:
        """Raises `UserError` unless all numbers are finite."""
        assert self.matrix is not None
        if not np.isfinite(vector).all():
            raise UserError(f"{where}: the vector holds a number that is not finite")
        for n, level in places:
            self.matrix[n] = vector
            self.level[n] = level

    def vectors(self, counts: Mapping[str, int] | None) -> WordVectors:
        assert self.matrix is not None
        return WordVectors(torch.from_numpy(self.matrix), torch.from_numpy(self.level > 0), self.words, counts)


# ---- text ----
def read_lines(file: io.BufferedReader, source: str, wanted: Wanted, dimension: int | None) -> None:
    """Word and numbers on each line; words stay bytes, so that one that is not UTF-8 harms no other."""
    lines = lines_of_bytes(file, source)
    first = list(islice(lines, PEEK))
    header = first[0].split() if first else []
    skip = len(header) == 2 and all(map(is_count, header))
    D = int(header[1]) if skip else guess_dimension(first)
    if D < 1:
        found = shown(first[0]) if first else "the file is empty"
        raise UserError(f"{source}:1: a word and its numbers, separated by blanks, are expected: {found}")
    wanted.set_dimension(D, dimension, source)
    for number, line in enumerate(chain(first, lines), 1):
        if (skip and number == 1) or not line.strip():
            continue
        line = line.rstrip().replace(b"\t", b" ")
        blanks = line.count(b" ")
        if blanks < D:
            raise UserError(f"{source}:{number}: {blanks} numbers, {D} are expected: {shown(line)}")
        # A word with blanks is told from one without by what is left of the last D numbers.
        word = line[: line.index(b" ")] if blanks == D else line.rsplit(b" ", D)[0]
        if places := wanted.places(word):
            try:
                vector = [float(field) for field in line.rsplit(b" ", D)[1:]]
            except ValueError as error:
                raise UserError(f"{source}:{number}: {D} numbers are expected after the word: {shown(line)}") from error
            wanted.put(places, np.array(vector, dtype=np.float32), f"{source}:{number}")


def is_count(field: bytes) -> bool:
    """Whether a field may say how many words or numbers there are."""
    return field.isdigit() and len(field) <= DIGITS


def guess_dimension(lines: Sequence[bytes]) -> int:
    """How many numbers end a line after its first field: most often, as one may be broken and a word may end in one."""

    def numbers(line: bytes) -> int:
        count = 0
        for field in reversed(line.replace(b"\t", b" ").split(b" ")[1:]):
            try:
                float(field)
            except ValueError:
                break
            count += 1
        return count

    counts = Counter(numbers(line.rstrip()) for line in lines if line.strip())
    return min(counts, key=lambda count: (-counts[count], count), default=0)


def shown(line: bytes) -> str:
    """The beginning of a line, for a message."""
    return repr(line[:60].decode("utf-8", "replace").rstrip("\r\n"))


# ---- binary ----
def read_binary(file: io.BufferedReader, source: str, wanted: Wanted, dimension: int | None) -> None:
    """word2vec's binary form: a line `words dimension`, then for each word its bytes, a blank, and float32 numbers."""
    header = file.readline(100)
    if header.startswith(FASTTEXT_MODEL):
        raise UserError(f"{source}: a fastText model, of which only the vectors can be read: give its .vec file")
    fields = header.split()
    if len(fields) != 2 or not all(map(is_count, fields)) or int(fields[1]) < 1:
        raise UserError(
            f"{source}: not word2vec's binary form: its first line must be two numbers, words and dimension"
        )
    count, D = map(int, fields)
    wanted.set_dimension(D, dimension, source)
    for number in range(1, count + 1):
        word = bytearray()
        while (byte := file.read(1)) not in (b" ", b""):
            word += byte
            if len(word) > LONGEST_WORD:
                raise UserError(f"{source}: word {number:,} has more than {LONGEST_WORD:,} bytes: the file is damaged")
        numbers = file.read(4 * D)
        if len(numbers) < 4 * D:
            raise UserError(f"{source}: ends within word {number:,} of {count:,}: the file is incomplete")
        if places := wanted.places(bytes(word.lstrip(b"\n"))):
            wanted.put(places, np.frombuffer(numbers, dtype="<f4"), f"{source}, word {number:,}")
    if file.read(2).strip(b"\n"):
        raise UserError(f"{source}: goes on after its {count:,} words: they hold blanks, or the file is damaged")


# ---- safetensors ----
def read_safetensors(path: Path, wanted: Wanted, dimension: int | None) -> None:
    """A tensor whose rows are read one by one, and its words."""
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            name = "embeddings" if "embeddings" in names else names[0]
            tensor = file.get_slice(name)
            shape = tensor.get_shape()
            if len(shape) != 2 or (len(names) > 1 and name != "embeddings"):
                raise UserError(
                    f"{path}: holds {', '.join(names)}; one tensor (words, dimension), or one named embeddings, is "
                    "needed"
                )
            words = safetensors_words(path, file.metadata() or {})
            if len(words) != shape[0]:
                raise UserError(f"{path}: {len(words):,} words for {shape[0]:,} rows, must be as many")
            wanted.set_dimension(shape[1], dimension, str(path))
            for n, word in enumerate(words):
                if places := wanted.places(word.encode("utf-8", "surrogatepass")):
                    wanted.put(places, tensor[n : n + 1][0].float().numpy(), f"{path}, row {n}")
    except (SafetensorError, IndexError) as error:
        raise UserError(f"{path}: not readable as safetensors: {error}") from error


def safetensors_words(path: Path, metadata: Mapping[str, str]) -> list[str]:
    beside = path.with_suffix(".words.txt")
    if "words" in metadata:
        try:
            words = json.loads(metadata["words"])
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: words in its metadata must be a JSON list: {error}") from error
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise UserError(f"{path}: words in its metadata must be a JSON list of strings")
        return words
    if not beside.is_file():
        raise UserError(
            f"{path}: no words: neither a list `words` in its metadata nor the file {beside.name} beside it"
        )
    return lines_of(read_text(beside))
