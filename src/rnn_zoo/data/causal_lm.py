"""Raw text -> splits -> what a language model trains on: one stream of ids, or one row of ids a line."""

import random
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from ..errors import UserError
from ..tokenizers import TOKENIZER_BUILDERS, encode_stream
from .embedded import EMBEDDED_TEXTS
from .formats import read_text
from .token_stream import TokenStream

SPLITS = ("train", "validation", "test")
# The names a split's file may have.
FILE_STEMS = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


@dataclass
class DataArguments:
    """Where the text comes from and how it becomes ids."""

    embedded_text: str | None = field(
        default=None, metadata={"help": f"Text that comes with Python: {' or '.join(EMBEDDED_TEXTS)}."}
    )
    dataset_name: str | None = field(
        default=None, metadata={"help": "Dataset on the Hugging Face Hub, used where no local files are given."}
    )
    dataset_config_name: str | None = field(default=None, metadata={"help": "Its configuration."})
    dataset_revision: str | None = field(default=None, metadata={"help": "Its revision (branch, tag or commit)."})
    text_column: str = field(default="text", metadata={"help": "Its column of text."})
    data_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder of local files instead: train, valid(ation) and test files, or one file that is split."
        },
    )
    file_extension: str = field(
        default="txt", metadata={"help": "Extension of the local files; each may also be gzipped (.gz)."}
    )
    validation_fraction: float = field(
        default=0.1, metadata={"help": "Share held out for validation where the data has no such split, in (0, 1)."}
    )
    test_fraction: float = field(
        default=0.0, metadata={"help": "Share held out for testing where the data has no such split, in [0, 1)."}
    )
    max_characters: int | None = field(
        default=None, metadata={"help": "Read at most so many characters of the training text."}
    )
    examples: Literal["stream", "lines"] = field(
        default="stream",
        metadata={
            "help": "stream: one long text in contiguous lanes, splits cut from its end. lines: each line is a text of "
            "its own between <bos> and <eos>, splits drawn at random."
        },
    )
    tokenizer_type: str = field(default="char", metadata={"help": f"One of {', '.join(TOKENIZER_BUILDERS)}."})
    unicode_normalization: str = field(
        default="NFC", metadata={"help": "NFC, or none to keep every code point as it stands (char and bpe)."}
    )
    min_frequency: int = field(
        default=1, metadata={"help": "A character or word that is rarer in the training text becomes <unk>."}
    )
    max_vocab_size: int | None = field(
        default=None, metadata={"help": "Greatest size of the vocabulary (word and bpe)."}
    )
    bptt_length: int = field(default=64, metadata={"help": "Steps of truncated back-propagation (stream), in tokens."})
    state_reset_probability: float = field(
        default=0.0,
        metadata={"help": "Chance that a lane begins a step with a zero state (stream), as later use will; in [0, 1)."},
    )


def load_texts(args: DataArguments) -> dict[str, str]:
    """The text of each split; `train` and `validation` are always there, `test` where the data has one.

    Raises:
        UserError: for missing, empty or undecodable files, or a Hub that cannot be reached.
    """
    if args.data_dir:
        texts = local_texts(Path(args.data_dir), args.file_extension)
    elif args.embedded_text:
        if args.embedded_text not in EMBEDDED_TEXTS:
            raise UserError(f"embedded_text={args.embedded_text!r}: unknown (choose from {', '.join(EMBEDDED_TEXTS)})")
        texts = {"train": EMBEDDED_TEXTS[args.embedded_text]()}
    elif args.dataset_name:
        texts = hub_texts(args)
    else:
        raise UserError("no data: give --data_dir FOLDER, --dataset_name NAME or --embedded_text NAME")
    if not texts["train"].strip():
        raise UserError(f"{args.data_dir or args.dataset_name or args.embedded_text}: the training text is empty")
    if args.max_characters is not None:
        texts["train"] = texts["train"][: args.max_characters]
    return split(texts, args)


def local_texts(folder: Path, extension: str) -> dict[str, str]:
    """The files `train.EXT`, `valid.EXT` (or validation, val, dev) and `test.EXT`, or the only `*.EXT` as `train`."""
    if not folder.is_dir():
        raise UserError(f"data_dir={str(folder)!r}: no such folder")
    files = sorted([*folder.glob(f"*.{extension}"), *folder.glob(f"*.{extension}.gz")])
    by_stem = {path.name.split(".")[0]: path for path in files}
    found = {s: by_stem[stem] for s, stems in FILE_STEMS.items() for stem in stems if stem in by_stem}
    if "train" not in found:
        if len(files) != 1:
            names = ", ".join(path.name for path in files) or f"no *.{extension} file at all"
            raise UserError(f"{folder}: expected train.{extension} or a single *.{extension} file, found {names}")
        found = {"train": files[0]}
    return {name: read_text(path) for name, path in found.items()}


def hub_texts(args: DataArguments) -> dict[str, str]:
    """All rows of each split of a Hub dataset; rows that do not end in a line end get one."""
    from datasets import get_dataset_split_names, load_dataset

    assert args.dataset_name is not None
    try:
        names = get_dataset_split_names(args.dataset_name, args.dataset_config_name, revision=args.dataset_revision)
        texts = {}
        for name in SPLITS:
            if name not in names:
                continue
            limit = args.max_characters if name == "train" else None
            rows = load_dataset(
                args.dataset_name,
                args.dataset_config_name,
                revision=args.dataset_revision,
                split=name,
                streaming=limit is not None,
            )
            parts, length = [], 0
            for row in rows:
                if args.text_column not in row:
                    raise UserError(
                        f"text_column={args.text_column!r}: {args.dataset_name} has the columns {', '.join(row)}"
                    )
                text = row[args.text_column]
                parts.append(text if text.endswith("\n") else text + "\n")
                length += len(parts[-1])
                if limit is not None and length >= limit:
                    break
            texts[name] = "".join(parts)
    except UserError:
        raise
    except Exception as error:
        raise not_fetched(args.dataset_name, error) from error
    if "train" not in texts:
        raise no_train(args.dataset_name, names)
    return texts


def not_fetched(dataset_name: str, error: Exception) -> UserError:
    """The sentence for any error of a Hub dataset: `datasets` raises many kinds for one thing."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return UserError(
        f"the dataset {dataset_name!r} could not be fetched from the Hugging Face Hub ({reason}); without a "
        "network give local files with --data_dir FOLDER"
    )


def no_train(dataset_name: str, names: list[str]) -> UserError:
    return UserError(f"the dataset {dataset_name!r} has no split named train, only {', '.join(names)}")


def shares_held_out(splits: Collection[str], args: DataArguments) -> dict[str, float]:
    """The shares of train that become the splits which the data lacks; none if it has a validation split.

    Raises:
        UserError: if there would be no validation split, or a share is out of its range.
    """
    fractions = {"validation": args.validation_fraction, "test": args.test_fraction}
    missing = {name: share for name, share in fractions.items() if name not in splits and share > 0}
    if "validation" not in splits and "validation" not in missing:
        raise UserError("validation_fraction=0: the data has no validation split of its own, so some must be held out")
    if "validation" in splits:
        missing = {}
    if min(fractions.values()) < 0 or not sum(missing.values()) < 1:
        raise UserError(
            f"validation_fraction={args.validation_fraction}, test_fraction={args.test_fraction}: each must be in "
            "[0, 1), their sum below 1"
        )
    return missing


def split(texts: dict[str, str], args: DataArguments) -> dict[str, str]:
    """Holds out what the data itself does not: from the end of a stream, or lines at random (the same each time)."""
    missing = shares_held_out(texts, args)
    rest: str | list[str] = texts["train"]
    if args.examples == "lines":
        rest = [line + "\n" for line in texts["train"].split("\n") if line]
        random.Random(0).shuffle(rest)
    total = len(rest)
    for name in reversed(list(missing)):
        cut = len(rest) - round(missing[name] * total)
        texts[name], rest = "".join(rest[cut:]), rest[:cut]
    texts["train"] = "".join(rest)
    for name, text in texts.items():
        if not text.strip():
            raise UserError(f"the {name} part is empty: the text is too short for the shares held out")
    return {name: texts[name] for name in SPLITS if name in texts}


def build_tokenizer(text: str, args: DataArguments) -> PreTrainedTokenizerBase:
    """The tokenizer that the recipe asks for, its vocabulary from the training text alone."""
    builder = TOKENIZER_BUILDERS.get(args.tokenizer_type)
    if builder is None:
        raise UserError(
            f"tokenizer_type={args.tokenizer_type!r}: unknown (choose from {', '.join(TOKENIZER_BUILDERS)})"
        )
    options: dict = {"min_frequency": args.min_frequency}
    if args.tokenizer_type != "word":
        options["unicode_normalization"] = args.unicode_normalization
    if args.max_vocab_size is not None:
        if args.tokenizer_type == "char":
            raise UserError(
                "max_vocab_size: a char tokenizer has as many tokens as there are characters; use min_frequency"
            )
        options["vocab_size" if args.tokenizer_type == "bpe" else "max_vocab_size"] = args.max_vocab_size
    try:
        return builder([text], **options)
    except ValueError as error:
        raise UserError(str(error)) from error


def stream_of(text: str, tokenizer: PreTrainedTokenizerBase) -> TokenStream:
    """One long text as ids, and its length in characters."""
    return TokenStream(encode_stream(tokenizer, [text]), num_characters=len(text))


def rows_of(text: str, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Each non-empty line as a row `<bos> line <eos>` of `input_ids`."""
    lines = [line for line in text.splitlines() if line.strip()]
    ids = tokenizer(lines, add_special_tokens=False)["input_ids"]
    rows = [[tokenizer.bos_token_id, *row, tokenizer.eos_token_id] for row in ids]
    return Dataset.from_dict({"input_ids": rows})
