"""The tokenizer of a text that is too long for the memory: counted on all cores, and kept."""

import importlib.metadata
import inspect
import json
import os
from collections import Counter
from typing import Any

from tokenizers import Tokenizer

from ..models.tokenization_rnn import RnnTokenizer
from ..tokenizers.builders import COUNTED, TOKENIZER_BUILDERS
from ..tokenizers.vocabulary import rnn_tokenizer
from .kept import fingerprint_of, kept_in, kept_or_told, processes_for
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
    if path.exists():
        return rnn_tokenizer(Tokenizer.from_file(str(path)))
    if kind in COUNTED:
        taken = inspect.signature(COUNTED[kind].count).parameters
        counts = count(text, kind, {name: value for name, value in options.items() if name in taken})
        tokenizer = COUNTED[kind].build(counts, **options)
    else:
        tokenizer = TOKENIZER_BUILDERS[kind](text.pieces(), **options)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    with kept_or_told():
        beside.write_text(tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
        beside.rename(path)
    return tokenizer


def count(text: LongText, kind: str, options: dict[str, Any]) -> Counter[str]:
    """How often each character or word stands in a text, counted on all cores."""
    from datasets import Dataset, Features, Value

    def of_blocks(row: dict[str, int]) -> dict[str, str]:
        blocks = range(row["first"], min(row["first"] + BLOCKS, text.blocks.stop))
        return {"counts": json.dumps(COUNTED[kind].count(map(text.block, blocks), **options))}

    firsts = list(text.blocks)[::BLOCKS]
    name = fingerprint_of("counts", text.fingerprint, kind, sorted(options.items()))
    with kept_or_told():
        rows = Dataset.from_dict({"first": firsts}).map(
            of_blocks,
            remove_columns=["first"],
            features=Features({"counts": Value("large_string")}),
            num_proc=processes_for(len(firsts) // 4),
            writer_batch_size=4,
            cache_file_name=str(kept_in() / f"counts-{name}.arrow"),
            new_fingerprint=name,
            desc="counting the text",
        )
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(json.loads(row["counts"]))
    return counts
