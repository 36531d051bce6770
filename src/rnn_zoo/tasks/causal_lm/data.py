"""Raw text -> splits -> what a language model trains on: one stream of ids, or one row of ids a line."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerBase

from ...data.document_stream import Documents, DocumentStream, files_of_documents
from ...data.formats import lines_of, read_text, with_line_feeds
from ...data.held_out import cut_off, hold_out, same_text, shares_held_out
from ...data.hub_data import read_hub
from ...data.kept import LARGE, fingerprint_of, fingerprint_of_file, main_process_first, unpacked_size
from ...data.keys import DataArguments
from ...data.long_text import LongText, Text, is_long, keep_text, pieces_of, read_long_text
from ...data.long_text_tokenizer import build_tokenizer_of
from ...data.sources import read_splits
from ...data.splits import SPLITS, files_in
from ...data.stored_ids import encode_long_text
from ...data.token_stream import TokenStream
from ...data.tokenizer_options import tokenizer_options
from ...errors import UserError, Warn, warn_user
from ...tokenizers.builders import TOKENIZER_BUILDERS
from ...tokenizers.encoding import encode_stream, encoder_of
from .. import TASKS
from .embedded import EMBEDDED_TEXTS
from .keys import LanguageModelArguments

if TYPE_CHECKING:
    from datasets import Dataset

TOO_SHORT = "the text is too short for the shares held out"
UNLABELLED = ("unlabelled", "unlabeled", "unsup")  # names of files beside labelled ones


def load_texts(
    data: DataArguments, args: LanguageModelArguments, only: str | None = None, warn: Warn = warn_user
) -> dict[str, Any]:
    r"""The text of each split; `train` and `validation` are always there, `test` where the data has one.

    Each line end is `"\n"`, whatever the files have (see `formats`): to a model of characters it is one character.
    A stream that is long stays in its file.

    `only` names the one split that is needed: a folder without a train file may hold just that.

    Raises:
        UserError: for missing, empty or undecodable files, or a Hub that cannot be reached.
    """
    if args.streaming:
        return streamed(data, args, only)
    if args.examples == "documents":
        return {**documents(data, args, only)}

    def read(path: Path) -> Text:
        if args.is_stream and is_long(path):
            return main_process_first(lambda: read_long_text(path, data.encoding))
        return with_line_feeds(read_text(path, data.encoding))

    def embedded(give: Callable[[], str]) -> Text:
        return with_line_feeds(give())

    texts = read_splits(
        data,
        [data.file_extension],
        {name: partial(embedded, give) for name, give in EMBEDDED_TEXTS.items()},
        read,
        lambda: hub_texts(data, args),
        only,
    )
    if "train" not in texts:
        return texts
    if is_empty(texts["train"]):
        raise UserError(f"{data.source}: the training text is empty")
    if args.max_characters is not None:
        texts["train"] = texts["train"][: args.max_characters]
    return split(texts, data, args.examples, warn)


def streamed(data: DataArguments, args: LanguageModelArguments, only: str | None = None) -> dict[str, Any]:
    """The training documents, which are read as they come, and the text of the other splits.

    Raises:
        UserError: if there is no training split, or no validation split.
    """
    if data.data_dir:
        wanted = SPLITS if only is None else (only,)
        found = {name: files_of_documents(data, args.text_column, name) for name in wanted}
        splits = {name: one if name == "train" else text_of_documents(one) for name, one in found.items() if one}
    elif data.dataset_name:
        splits = hub_texts(data, args)
    else:
        raise UserError("streaming: name the documents with --data_dir FOLDER or --dataset_name NAME")
    for name in ("train", "validation") if only is None else (only,):
        if name not in splits:
            place = f"files {name}*.{data.file_extension}, or a folder {name} of them" if data.data_dir else "it"
            raise UserError(f"{data.source}: streaming needs a {name} split of its own ({place}), and there is none")
    return splits


def text_of_documents(documents: Documents) -> Text:
    """All of them as one text; each ends in a line end."""
    pieces = (text if text.endswith("\n") else text + "\n" for text in documents.texts())
    if unpacked_size(*documents.files) < LARGE:
        return "".join(pieces)
    kept = fingerprint_of(*map(fingerprint_of_file, documents.files))
    return main_process_first(lambda: keep_text(kept, pieces))


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
        folder = data.folder if data.data_dir else None
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


def hub_texts(data: DataArguments, args: LanguageModelArguments) -> dict[str, Any]:
    """All rows of each split of a Hub dataset, of train no more than are read; each ends in a line end."""

    def limit(name: str) -> int | None:
        return args.max_characters if name == "train" else None

    def is_streamed(name: str) -> bool:
        return args.streaming and name == "train"

    def pieces(name: str, rows: Iterable[dict[str, Any]]) -> Iterator[str]:
        length, most = 0, limit(name)
        for row in rows:
            if args.text_column not in row:
                raise UserError(
                    f"text_column={args.text_column!r}: {data.dataset_name} has the columns {', '.join(row)}"
                )
            text = row[args.text_column]
            text = text if text.endswith("\n") else text + "\n"
            yield with_line_feeds(text)
            length += len(text)
            if most is not None and length >= most:
                break

    def read(name: str, rows: Any) -> Any:
        if is_streamed(name):
            known = fingerprint_of(data.dataset_name, data.dataset_config_name, data.dataset_revision)
            return Documents(rows, args.text_column, str(data.dataset_name), known)
        if args.is_stream and limit(name) is None and rows.data.nbytes > LARGE:
            kept = fingerprint_of(rows._fingerprint, args.text_column)
            return main_process_first(lambda: keep_text(kept, pieces(name, rows)))
        return "".join(pieces(name, rows))

    return read_hub(data, read, lambda name: is_streamed(name) or limit(name) is not None)


def split(
    texts: dict[str, Text], data: DataArguments, examples: str = "stream", warn: Warn = warn_user
) -> dict[str, Text]:
    """Holds out what the data itself does not: from the end of a stream, or lines at random (the same each time).

    Equal lines stay together: none is in two parts. A stream is cut in one piece, so that a line that it repeats may
    stand on both sides.
    """
    missing = shares_held_out(texts, data)
    if examples == "lines":
        lines = [line + "\n" for line in lines_of("".join(pieces_of(texts["train"]))) if line]
        drawn = hold_out(lines, missing, same_text, warn, TOO_SHORT)
        parts: dict[str, Text] = {name: "".join(part) for name, part in drawn.items()}
    else:
        parts = cut_off(texts["train"], missing)
    texts |= parts
    for name, text in texts.items():
        if is_empty(text):
            raise UserError(f"the {name} part is empty: {TOO_SHORT}")
    return {name: texts[name] for name in SPLITS if name in texts}


def is_empty(text: Text) -> bool:
    """Whether there is nothing but white space in a text."""
    return not any(piece.strip() for piece in pieces_of(text))


def build_tokenizer(
    text: Text | Documents, data: DataArguments, characters: int | None = None
) -> PreTrainedTokenizerBase:
    """The tokenizer that the recipe asks for, its vocabulary from the training text alone; of documents that are read
    as they come from so many characters at their beginning."""
    options = tokenizer_options(data)
    try:
        if isinstance(text, Documents):
            assert characters is not None
            return TOKENIZER_BUILDERS[data.tokenizer_type](text.beginning(characters), **options)
        if isinstance(text, LongText):
            return main_process_first(lambda: build_tokenizer_of(text, data.tokenizer_type, options))
        return TOKENIZER_BUILDERS[data.tokenizer_type]([text], **options)
    except ValueError as error:
        raise UserError(str(error)) from error


def stream_of(text: Text | Documents, tokenizer: PreTrainedTokenizerBase) -> TokenStream | DocumentStream:
    """One long text as ids, and its length in characters; or documents that become ids as they are read."""
    if isinstance(text, Documents):
        encode = encoder_of(tokenizer)
        return DocumentStream(text, lambda document: encode([document]))
    if isinstance(text, LongText):
        return TokenStream(main_process_first(lambda: encode_long_text(tokenizer, text)), num_characters=len(text))
    return TokenStream(encode_stream(tokenizer, [text]), num_characters=len(text))


def rows_of_lines(text: str, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Each non-empty line as a row `<bos> line <eos>` of `input_ids`; a line that spells its end token has that one."""
    from datasets import Dataset  # which streams of characters and words do not need

    lines = [line for line in lines_of(text) if line.strip()]
    ids = tokenizer(lines, add_special_tokens=False)["input_ids"]
    eos = tokenizer.eos_token_id
    rows = [[tokenizer.bos_token_id, *row] + [eos] * (row[-1:] != [eos]) for row in ids]
    return Dataset.from_dict({"input_ids": rows})
