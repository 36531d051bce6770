"""Where the sentences of a tagger come from: files in columns, or data sets with `tokens` and `ner_tags`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import datasets

from ...data.held_out import same_text, with_held_out
from ...data.hub_data import class_names, hub_splits
from ...data.keys import DataArguments
from ...data.sources import read_splits
from ...data.splits import ENDINGS_OF_SPLITS, SPLITS
from ...errors import UserError, Warn, warn_user
from ...folders import listing
from ..scores import title_of
from ..several import joined, new_names
from .conll import TAG_NAMES, TOKEN_NAMES, read_tagged_file
from .iob import ALLOWED, IO, NO_ENTITIES, entity_types, is_tag, label_list
from .keys import EXTENSIONS, TaggingArguments
from .tags import (
    Sentence,
    as_tagged,
    labels_of,
    renamed,
    tag_counts,
    type_counts,
    unseen_labels,
    unseen_types,
    words_labels,
)

EMBEDDED_SENTENCES = {"ner_sample": Path(__file__).with_name("samples") / "ner_sample.conll"}
TOO_FEW = "{} sentences are too few for the shares held out"


@dataclass(frozen=True)
class TaggedData:
    """The sentences of each split, and the labels of a tagger that is trained on them.

    Args:
        splits: `train` and `validation`, `test` where there is one; or the one split that was wanted and is there. Of
            several folders these are joined, and what each folder has of one that is held out stands beside it, as
            `validation_FOLDER`.
        labels: IOB2, `O` first; of the types in `train`, or of those that the data set itself declares. Those of words,
            by code points, where they are no entities.
        are_entities: whether the tags are those of entities.
    """

    splits: dict[str, Sequence[Sentence]]
    labels: list[str]
    are_entities: bool = True


def load_tagged(
    data: DataArguments, args: TaggingArguments, warn: Warn = warn_user, only: str | None = None
) -> TaggedData:
    """The sentences of each split; what the data does not hold out itself is drawn at random, always the same.

    `only` names the one split that is needed: a folder without a train file may hold just that. Each of several folders
    is split as if it were alone.

    Raises:
        UserError: for missing, empty or broken files, columns or tags, or a Hub that cannot be reached.
    """
    names = new_names("rename_tags", args.rename_tags)
    declared: list[str] = []
    found_names: set[str] = set()  # types or labels, where some get others
    kinds: list[str | None] = []  # what the first part says, which is train where it is there, counts for all

    def as_first(read: Callable[[TaggingArguments], tuple[Sequence[Sentence], str | None]]) -> Sequence[Sentence]:
        sentences, kind = read(replace(args, data_tag_scheme=kinds[0]) if kinds and kinds[0] else args)
        kinds.append(kind)
        are_entities = kinds[0] != NO_ENTITIES
        if names:
            found_names.update((type_counts if are_entities else tag_counts)(sentences))
        return renamed(sentences, names, are_entities)

    def read_hub() -> dict[str, Sequence[Sentence]]:
        found = {}
        for name, rows in hub_splits(data).items():
            source = f"{data.dataset_name} ({name})"
            found[name] = as_first(partial(read_tagged_dataset, rows, source=source, warn=warn))
            if name == "train":
                declared.extend(declared_labels(rows, args, kinds[0], names))
        return found

    def read(path: Path) -> Sequence[Sentence]:
        return as_first(lambda args: read_tagged_file(path, args, warn, data.encoding))

    extensions = tuple(dict.fromkeys((data.file_extension, *EXTENSIONS, *ENDINGS_OF_SPLITS)))
    embedded = {name: partial(read, path) for name, path in EMBEDDED_SENTENCES.items()}

    def read_one(data: DataArguments) -> dict[str, Sequence[Sentence]]:
        splits = read_splits(data, extensions, embedded, read, read_hub, only)
        for name, sentences in splits.items():
            if not sentences:
                raise UserError(f"{data.source}: the {name} part holds no sentence")
        if "train" not in splits:
            return splits
        # Whatever their tags are: a tagger reads words.
        return with_held_out(splits, data, lambda s: same_text(" ".join(s["tokens"])), warn, TOO_FEW)

    folders = data.data_dir or []
    if len(folders) > 1:
        splits = joined(folders, lambda folder: read_one(replace(data, data_dir=[folder])))
    else:
        splits = read_one(data)
    are_entities = kinds[0] != NO_ENTITIES
    if not are_entities and args.data_tag_scheme is None:
        for name, sentences in splits.items():
            tags = {*tag_counts(sentences)} - {"O"}
            if tags and all(map(is_tag, tags)):
                raise UserError(
                    f"{data.source}: the {title_of(name)} part has tags of entities ({listing(tags)}), another part "
                    f"labels of words, without B- and I-: --data_tag_scheme {NO_ENTITIES} takes all for labels"
                )
    find = labels_of if are_entities else words_labels
    if "train" not in splits:
        return TaggedData(splits, find(splits[str(only)]), are_entities)
    lacking = sorted(names.keys() - found_names)
    if lacking and only is None:
        kind = "entities of the type" if are_entities else "words with the label"
        warn(f"{data.source}: rename_tags: there are no {kind} {', '.join(lacking)}, only {listing(found_names)}")
    labels = declared or find(splits["train"])
    for name in SPLITS:
        if unseen := (unseen_types if are_entities else unseen_labels)(splits.get(name, []), labels):
            kind = "entities of types" if are_entities else "labels"
            warn(f"{data.source}: the {name} part has {kind} that the training part lacks: {unseen}")
    return TaggedData(splits, labels, are_entities)


def dataset_columns(rows: datasets.Dataset, args: TaggingArguments, source: str) -> tuple[str, str]:
    """The names of the columns of tokens and of tags."""
    found = []
    for option, told, known in (
        ("token_column", args.token_column, TOKEN_NAMES),
        ("tag_column", args.tag_column, TAG_NAMES),
    ):
        name = told if told is not None else next((name for name in known if name in rows.column_names), None)
        if name is None or name not in rows.column_names:
            wanted = repr(told) if told is not None else f"not given, and none is named {known[0]}"
            raise UserError(f"{option}={wanted}: {source} has the columns {', '.join(rows.column_names)}")
        found.append(name)
    return found[0], found[1]


def read_dataset(
    rows: datasets.Dataset, args: TaggingArguments, source: str = "the dataset", warn: Warn = warn_user
) -> Sequence[Sentence]:
    """The sentences of a data set with a column of token lists and one of tags: `ClassLabel` ids, or strings.

    Tags are read as in `read_conll`; rows without tokens are left out.

    Raises:
        UserError: for missing columns, ids without names, a tag that is not IOB, or not as many tags as tokens; the
            sentence names the row, from 0.
    """
    return read_tagged_dataset(rows, args, source, warn)[0]


def read_tagged_dataset(
    rows: datasets.Dataset, args: TaggingArguments, source: str, warn: Warn
) -> tuple[Sequence[Sentence], str | None]:
    """As `read_dataset`, and what the tags are without B- and I- (see `plain_kind`)."""
    token_column, tag_column = dataset_columns(rows, args, source)
    names = class_names(rows, tag_column)
    sentences: list[Sentence] = []
    numbers: list[int] = []
    for number, row in enumerate(rows.select_columns([token_column, tag_column])):
        tokens, tags = row[token_column], row[tag_column]
        if not isinstance(tokens, list) or not isinstance(tags, list) or len(tokens) != len(tags):
            counts = [len(x) if isinstance(x, list) else "no list of" for x in (tokens, tags)]
            raise UserError(
                f"{source}, row {number}: {counts[0]} {token_column} and {counts[1]} {tag_column}, must be as many"
            )
        for n, tag in enumerate(tags):
            if isinstance(tag, int) and names:
                tag = names[tag] if 0 <= tag < len(names) else tag
            if not isinstance(tag, str):
                raise UserError(f"{source}, row {number}: tag {tag!r} is not IOB, allowed are {ALLOWED}")
            tags[n] = tag
        for n, token in enumerate(tokens):
            if not isinstance(token, str):
                kind = type(token).__name__
                raise UserError(f"{source}, row {number}: {token_column}[{n}] is of type {kind}, must be a string")
        if tokens:
            sentences.append({"tokens": tokens, "tags": tags})
            numbers.append(number)

    def place(s: int, t: int) -> str:
        return f"{source}, row {numbers[s]}, token {t}"

    return as_tagged(sentences, args.data_tag_scheme, place, source, warn)


def declared_labels(
    rows: datasets.Dataset, args: TaggingArguments, kind: str | None = None, renamed: Mapping[str, str] | None = None
) -> list[str]:
    """The IOB2 labels of all types that the `ClassLabel` of a data set names; empty if it has none. Tags that are no
    entities (`kind`) are the labels. Some are `renamed`."""
    names = class_names(rows, dataset_columns(rows, args, "the dataset")[1])
    new = renamed or {}
    if kind == NO_ENTITIES:
        return list(dict.fromkeys(new.get(name, name) for name in names))
    types = names if kind == IO else entity_types(filter(is_tag, names))
    return label_list({new.get(name, name) for name in types} - {"O"}) if names else []
