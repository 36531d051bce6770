"""The tokenizer of a text that is too long for the memory: counted on all cores, and kept."""

import importlib.metadata
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ..models.tokenization_rnn import RnnTokenizer
from ..tokenizers.builders import TOKENIZER_BUILDERS
from ..tokenizers.vocabulary import rnn_tokenizer
from .all_cores import in_processes, with_bar
from .kept import fingerprint_of, keep_file, kept_in
from .long_text import LongText

BLOCKS = 16  # that are counted at once


def build_tokenizer_of(text: LongText, kind: str, options: dict[str, Any]) -> RnnTokenizer:
    """What `TOKENIZER_BUILDERS[kind]` builds of the whole text; it is kept, and found by the next start.

    Args:
        text: whose vocabulary it has.
        kind: of tokenizer.
        options: of its builder.

    Raises:
        ValueError: as the builder.
        UserError: if it cannot be kept.
    """
    versions = [importlib.metadata.version(package) for package in ("rnn-zoo", "tokenizers")]
    path = kept_in() / f"tokenizer-{fingerprint_of(text.fingerprint, kind, sorted(options.items()), versions)}.json"

    def write(place: Path) -> None:
        tokenizer = TOKENIZER_BUILDERS[kind](CountedByBlocks(text), **options)
        place.write_text(tokenizer.backend_tokenizer.to_str(), encoding="utf-8")

    return rnn_tokenizer(Tokenizer.from_file(str(keep_file(path, write))))


class CountedByBlocks:
    """The pieces of a text; what a builder counts in them is counted on all cores, and kept."""

    def __init__(self, text: LongText):
        self.text = text

    def __iter__(self) -> Iterator[str]:
        return self.text.pieces()

    def counted(self, name: str, count: Callable[[Iterable[str]], Counter[str]]) -> Counter[str]:
        """What `count` finds in all pieces.

        Args:
            name: of what is counted.
            count: gives counts that add up over pieces.
        """
        text = self.text

        def of_blocks(first: int) -> Counter[str]:
            return count(map(text.block, range(first, min(first + BLOCKS, text.blocks.stop))))

        def write(place: Path) -> None:
            firsts = range(text.blocks.start, text.blocks.stop, BLOCKS)
            counts: Counter[str] = Counter()
            for part in with_bar(in_processes(of_blocks, firsts), len(firsts), "counting the text"):
                counts.update(part)
            place.write_text(json.dumps(counts), encoding="utf-8")

        path = keep_file(kept_in() / f"counts-{fingerprint_of(text.fingerprint, name)}.json", write)
        return Counter(json.loads(path.read_text(encoding="utf-8")))
