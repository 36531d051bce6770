"""Raw text -> splits -> what a language model trains on: one stream of ids, or one row of ids a line."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerBase

from ...data.formats import lines_of, read_text, with_line_feeds
from ...data.held_out import cut_off, hold_out, same_text, shares_held_out
from ...data.hub_data import read_hub
from ...data.keys import DataArguments
from ...data.sources import read_splits
from ...data.splits import SPLITS, files_in
from ...data.token_stream import TokenStream
from ...data.tokenizer_options import tokenizer_options
from ...errors import UserError, Warn, warn_user
from ...tokenizers.builders import TOKENIZER_BUILDERS
from ...tokenizers.streams import encode_stream
from .. import TASKS
from .embedded import EMBEDDED_TEXTS
from .keys import LanguageModelArguments

if TYPE_CHECKING:
    from datasets import Dataset

TOO_SHORT = "the text is too short for the shares held out"
UNLABELLED = ("unlabelled", "unlabeled", "unsup")  # names of files beside labelled ones


def load_texts(
    data: DataArguments, args: LanguageModelArguments, only: str | None = None, warn: Warn = warn_user
) -> dict[str, str]:
    r"""The text of each split; `train` and `validation` are always there, `test` where the data has one.

    Each line end is `"\n"`, whatever the files have (see `formats`): to a model of characters it is one character.

    `only` names the one split that is needed: a folder without a train file may hold just that.

    Raises:
        UserError: for missing, empty or undecodable files, or a Hub that cannot be reached.
    """
    if args.examples == "documents":
        return documents(data, args, only)
    read = partial(read_text, encoding=data.encoding)
    embedded = EMBEDDED_TEXTS
    texts = read_splits(data, [data.file_extension], embedded, read, lambda: hub_texts(data, args), only)
    texts = {name: with_line_feeds(text) for name, text in texts.items()}
    if "train" not in texts:
        return texts
    if not texts["train"].strip():
        raise UserError(f"{data.source}: the training text is empty")
    if args.max_characters is not None:
        texts["train"] = texts["train"][: args.max_characters]
    return split(texts, data, args.examples, warn)


def documents(data: DataArguments, args: LanguageModelArguments, only: str | None = None) -> dict[str, str]:
    """The texts of labelled data, each as one line, in random order (the same each time).

    An unlabelled text that is equal to one outside `train` is left out.
    """
    source = next(task for task in TASKS.values() if task.documents is not None)
    column = args.text_column if data.dataset_name and not (data.data_dir or data.embedded_data) else None
    splits = source.part(str(source.documents))(data, column, only)
    texts = {name: part for name, part in splits.items() if name != "test"}
    if only == "test":
        raise UserError("examples='documents': the test part is that of the classifier, and is not read")
    if "train" in texts:
        folder = Path(data.data_dir) if data.data_dir else None
        for path in files_in(folder, ["txt"]) if folder else []:
            if path.name.split(".")[0] in UNLABELLED:
                outside = {same_text(text) for name in splits.keys() - {"train"} for text in splits[name]}
                texts["train"] += [
                    line for line in lines_of(read_text(path, data.encoding)) if same_text(line) not in outside
                ]
        random.Random(0).shuffle(texts["train"])
    joined = {
        name: "".join(" ".join(text.split()) + "\n" for text in part if text.strip()) for name, part in texts.items()
    }
    if "train" in joined and args.max_characters is not None:
        joined["train"] = joined["train"][: args.max_characters]
    return joined


def hub_texts(data: DataArguments, args: LanguageModelArguments) -> dict[str, str]:
    """All rows of each split of a Hub dataset, of train no more than are read; each ends in a line end."""

    def limit(name: str) -> int | None:
        return args.max_characters if name == "train" else None

    def read(name: str, rows: Iterable[dict[str, Any]]) -> str:
        parts, length, most = [], 0, limit(name)
        for row in rows:
            if args.text_column not in row:
                raise UserError(
                    f"text_column={args.text_column!r}: {data.dataset_name} has the columns {', '.join(row)}"
                )
            text = row[args.text_column]
            parts.append(text if text.endswith("\n") else text + "\n")
            length += len(parts[-1])
            if most is not None and length >= most:
                break
        return "".join(parts)

    return read_hub(data, read, lambda name: limit(name) is not None)


def split(
    texts: dict[str, str], data: DataArguments, examples: str = "stream", warn: Warn = warn_user
) -> dict[str, str]:
    """Holds out what the data itself does not: from the end of a stream, or lines at random (the same each time).

    Equal lines stay together: none is in two parts. A stream is cut in one piece, so that a line that it repeats may
    stand on both sides.
    """
    missing = shares_held_out(texts, data)
    if examples == "lines":
        lines = [line + "\n" for line in lines_of(texts["train"]) if line]
        parts = {name: "".join(part) for name, part in hold_out(lines, missing, same_text, warn, TOO_SHORT).items()}
    else:
        parts = cut_off(texts["train"], missing)
    texts |= parts
    for name, text in texts.items():
        if not text.strip():
            raise UserError(f"the {name} part is empty: {TOO_SHORT}")
    return {name: texts[name] for name in SPLITS if name in texts}


def build_tokenizer(text: str, data: DataArguments) -> PreTrainedTokenizerBase:
    """The tokenizer that the recipe asks for, its vocabulary from the training text alone."""
    options = tokenizer_options(data)
    try:
        return TOKENIZER_BUILDERS[data.tokenizer_type]([text], **options)
    except ValueError as error:
        raise UserError(str(error)) from error


def stream_of(text: str, tokenizer: PreTrainedTokenizerBase) -> TokenStream:
    """One long text as ids, and its length in characters."""
    return TokenStream(encode_stream(tokenizer, [text]), num_characters=len(text))


def rows_of_lines(text: str, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Each non-empty line as a row `<bos> line <eos>` of `input_ids`; a line that spells its end token has that one."""
    from datasets import Dataset  # which streams of characters and words do not need

    lines = [line for line in lines_of(text) if line.strip()]
    ids = tokenizer(lines, add_special_tokens=False)["input_ids"]
    eos = tokenizer.eos_token_id
    rows = [[tokenizer.bos_token_id, *row] + [eos] * (row[-1:] != [eos]) for row in ids]
    return Dataset.from_dict({"input_ids": rows})
