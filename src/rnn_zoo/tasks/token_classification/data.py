"""Tagged sentences: CoNLL columns or data sets with `tokens` and `ner_tags` -> rows that a tagger trains on.

In memory a sentence is `{"tokens": [...], "tags": [...]}`, strings, the tags in IOB2 whatever they came in; or as they
came where they are no entities, as parts of speech.

Sizes: `N` sentences, `T` time.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import datasets
from transformers import PreTrainedTokenizerBase

from ...data.columns import is_number
from ...data.formats import LINE_END, UTF_8, lines_of, read_text
from ...data.held_out import same_text, with_held_out
from ...data.hub_data import class_names, hub_splits
from ...data.keys import DataArguments
from ...data.sources import read_splits
from ...data.splits import ENDINGS_OF_SPLITS
from ...errors import UserError, Warn, warn_user
from ...folders import listing
from .iob import (
    ALLOWED,
    IO,
    NO_ENTITIES,
    SCHEMES,
    convert,
    detect_scheme,
    entities,
    entity_types,
    from_io,
    illegal,
    is_tag,
    label_list,
    plain_kind,
)
from .keys import TaggingArguments

EXTENSIONS = ("txt", "conll", "tsv", "iob", "bio", "conllup", "conllu")
TOKEN_NAMES = ("tokens", "token", "form", "words", "word", "text")  # of columns, in lower case
TAG_NAMES_OF_ENTITIES = (
    "ner_tags",
    "ner_tag",
    "ner",
    "tags",
    "tag",
    "labels",
    "label",
    "entity",
    "entities",
    "iob",
    "bio",
    "ne",
)
TAG_NAMES = (*TAG_NAMES_OF_ENTITIES, "upos", "pos_tags", "pos", "xpos")
CONLLU = ["ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC"]
DATA_SCHEMES = (*SCHEMES, IO, NO_ENTITIES)
URL = re.compile(r"https?://")
NUMBERED = re.compile(r"\d+([-.]\d+)?")
GLOBAL_COLUMNS = re.compile(r"#\s*global\.columns\s*=\s*(.*)")
EMBEDDED_SENTENCES = {"ner_sample": Path(__file__).with_name("samples") / "ner_sample.conll"}
TOO_FEW = "{} sentences are too few for the shares held out"
LOOKED_AT = 1000  # lines of a file from which its columns are known
MANY_LABELS = 100  # from which a tag for every second word is no tag any more
SHOWN = 40  # characters of a tag in a message
LONG_SENTENCE = 1000  # words; a file that is one sentence of more has probably lost its blank lines


class Sentence(TypedDict):
    """As many tags, in IOB2, as tokens."""

    tokens: list[str]
    tags: list[str]


@dataclass(frozen=True)
class TaggedData:
    """The sentences of each split, and the labels of a tagger that is trained on them.

    Args:
        splits: `train` and `validation`, `test` where there is one; or the one split that was wanted and is there.
        labels: IOB2, `O` first; of the types in `train`, or of those that the data set itself declares. Those of words,
            by code points, where they are no entities.
        are_entities: whether the tags are those of entities.
    """

    splits: dict[str, list[Sentence]]
    labels: list[str]
    are_entities: bool = True


@dataclass(frozen=True)
class Layout:
    """How the lines of a text in columns are read.

    Args:
        separator: a tab, or a blank for one or several.
        width: columns that the first line has, or the header names.
        fixed: whether every line must have as many; otherwise enough for both places do.
        token, tag: places of both columns; negative ones count from the end.
        names: those of the header, or empty.
        header: number of the line that is only a header, or 0.
        note: what a user should know of how the columns were found; empty where they are the first and the last.
    """

    separator: str
    width: int
    fixed: bool
    token: int
    tag: int
    names: list[str]
    header: int
    note: str = ""

    @property
    def needed(self) -> int:
        """The least number of columns of a line."""
        least = max(2, *(place + 1 if place >= 0 else -place for place in (self.token, self.tag)))
        return max(least, self.width) if self.fixed else least

    def fields(self, line: str) -> list[str]:
        return line.split("\t") if self.separator == "\t" else re.split(" +", line.strip(" "))

    def is_comment(self, line: str) -> bool:
        """Whether a line that begins with # cannot be a token: `#tag` alone is one that lost its columns."""
        if not line.startswith("#"):
            return False
        fields = self.fields(line)
        if len(fields) == 1:
            return line == "#" or " " in line
        if self.separator == "\t" and fields[0] == "#":  # where a sentence comes from, in GermEval's files
            return len(fields) != self.width or URL.match(fields[1]) is not None
        other_width = len(fields) != self.width
        return self.separator == " " and (other_width or (fields[0] == "#" and not is_tag(fields[self.tag])))

    def is_extra(self, fields: list[str]) -> bool:
        """Whether CoNLL-U numbers the line as a range of words or as an empty node, as 1-2 and 1.1."""
        place = self.names.index("ID") if "ID" in self.names else len(fields)
        return place < len(fields) and re.fullmatch(r"\d+[-.]\d+", fields[place]) is not None


def layout_of(lines: Sequence[str], source: str, args: TaggingArguments) -> Layout:
    """The layout of a text, from its header and its first line of tokens.

    A header is `# global.columns = ...` (CoNLL-U Plus), or a first line that has the name told or a known one, and no
    tag. Without one, or if it has no known name, words stand in the first column, behind the numbers of words if it has
    these, and tags in the last: the first of two columns of tags where words have numbers (GermEval). The ten columns
    of CoNLL-U have their names; its tags are those of parts of speech, UPOS.

    Raises:
        UserError: for a column that is not there.
    """
    filled = [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("-DOCSTART-")]
    plain = [(number, line) for number, line in filled if not line.startswith("#")]
    first, line = (plain or filled or [(0, "")])[0]
    separator = "\t" if "\t" in line else " "
    fields = line.split("\t") if separator == "\t" else re.split(" +", line.strip(" "))
    told = (args.token_column, args.tag_column)
    names: list[str] = []
    header = 0
    if declared := next((match for _, line in filled if (match := GLOBAL_COLUMNS.match(line))), None):
        names = declared[1].split()
    elif any(name in told or name.lower() in TAG_NAMES for name in fields) and not any(map(is_tag, fields)):
        names, header = fields, first
    elif separator == "\t" and len(fields) == len(CONLLU) and NUMBERED.fullmatch(fields[0]) and not is_tag(fields[-1]):
        names = CONLLU
    token, tag, note = 0, -1, ""
    if not names and told == (None, None):
        token, tag = numbered_columns(lines, separator)
        if (token, tag) != (0, -1):
            note = f"{source}: its first column numbers the words; words are column {token}, tags column {tag}, from 0"

    def place(option: str, told: str | None, known: Sequence[str], default: int) -> int:
        if told is not None and is_number(told):
            return int(told)
        if told in names:
            return names.index(told)
        if told is not None:
            have = f"the columns {', '.join(names)}" if names else "no header; give a number, the first is 0"
            raise UserError(f"{option}={told!r}: {source} has {have}")
        lower = [name.rsplit(":", 1)[-1].lower() for name in names]  # CoNLL-U Plus: NAMESPACE:NAME
        return next((lower.index(name) for name in known if name in lower), default)

    return Layout(
        separator,
        width=len(names or fields),
        fixed=bool(names) or args.tag_column is None,
        token=place("token_column", args.token_column, TOKEN_NAMES, token),
        tag=place("tag_column", args.tag_column, TAG_NAMES, tag),
        names=names,
        header=header,
        note=note,
    )


def numbered_columns(lines: Sequence[str], separator: str) -> tuple[int, int]:
    """The columns of words and of tags: 1 and one behind it where the first column counts the words of each sentence
    from 1, else 0 and -1. Of several columns of tags at the end the first counts."""
    number, rows = 0, []
    for line in lines[:LOOKED_AT]:
        if not line.strip() or line.startswith(("#", "-DOCSTART-")):
            number = 0
            continue
        fields = line.rstrip(" \t").split("\t") if separator == "\t" else re.split(" +", line.strip(" "))
        number += 1
        if len(fields) < 3 or fields[0] != str(number):
            return 0, -1
        rows.append(fields)
    if not rows or len(rows) < 2:
        return 0, -1
    width = min(map(len, rows))
    first = width - 1
    while first > 2 and all(is_tag(fields[first - 1]) for fields in rows):
        first -= 1
    return 1, first if all(is_tag(fields[first]) for fields in rows) else -1


def read_columns(text: str, source: str, args: TaggingArguments) -> tuple[Layout, list[list[tuple[int, list[str]]]]]:
    """The sentences of a text in columns: for each token the number of its line, from 1, and its fields.

    Columns are separated by tabs, or by blanks where the first line has no tab. Blank lines end sentences, and so do
    `-DOCSTART-` lines.

    Raises:
        UserError: for an unknown column, or a line with too few columns; with too many, where the tag's place is a
            guess.
    """
    lines = [line.rstrip(" \t") for line in lines_of(text)]
    layout = layout_of(lines, source, args)
    needed = layout.needed
    sentences: list[list[tuple[int, list[str]]]] = [[]]
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("-DOCSTART-"):
            sentences.append([])
            continue
        if number == layout.header or layout.is_comment(line):
            continue
        fields = layout.fields(line)
        if len(fields) < needed or (layout.fixed and len(fields) > needed):
            between = "tabs" if layout.separator == "\t" else "blanks"
            raise UserError(
                f"{source}:{number}: {len(fields)} column{'s' * (len(fields) != 1)} between {between}, "
                f"{needed} {'are' if layout.fixed else 'or more are'} expected: {line[:80]!r}"
            )
        if not layout.is_extra(fields):
            sentences[-1].append((number, fields))
    return layout, [sentence for sentence in sentences if sentence]


def token_places(lines: Sequence[str], source: str, args: TaggingArguments) -> tuple[Layout, list[list[int]]]:
    """For each sentence of a text in columns, one or more, the indices of its lines of tokens.

    Raises:
        UserError: for an unknown column, or a line without it.
    """
    layout = layout_of(lines, source, args)
    sentences: list[list[int]] = [[]]
    for n, line in enumerate(lines):
        if not line or line.startswith("-DOCSTART-"):
            sentences.append([])
        elif n + 1 != layout.header and not layout.is_comment(line):
            fields = layout.fields(line)
            if not -len(fields) <= layout.token < len(fields):
                raise UserError(f"{source}:{n + 1}: no column {layout.token} in {line[:80]!r}")
            if not layout.is_extra(fields):
                sentences[-1].append(n)
    return layout, [sentence for sentence in sentences if sentence]


def read_conll(path: Path | str, args: TaggingArguments | None = None, warn: Warn = warn_user) -> list[Sentence]:
    """The sentences of a file in columns (see `read_columns`), gzipped or not.

    Tags of any scheme become IOB2, but for labels of words that are no entities. One that the file's scheme does not
    allow at its place, as an `I-` without its `B-`, is read as conlleval would, and counted in a warning.

    Raises:
        UserError: for a file that cannot be read, a line with too few columns, or a tag that is not IOB among others
            that are; the sentence names file and line.
    """
    return read_tagged_file(path, args or TaggingArguments(), warn)[0]


def read_tagged_file(
    path: Path | str, args: TaggingArguments, warn: Warn, encoding: str = UTF_8
) -> tuple[list[Sentence], str | None]:
    """As `read_conll`, and what the tags are without B- and I- (see `plain_kind`)."""
    layout, found = read_columns(read_text(Path(path), encoding), str(path), args)
    if layout.note:
        warn(layout.note)
    sentences: list[Sentence] = [
        {"tokens": [fields[layout.token] for _, fields in lines], "tags": [fields[layout.tag] for _, fields in lines]}
        for lines in found
    ]
    if len(sentences) == 1 and len(found[0]) > LONG_SENTENCE:
        warn(f"{path}: one sentence of {len(found[0]):,} tokens; a blank line should stand after each sentence")

    def place(s: int, t: int) -> str:
        return f"{path}:{found[s][t][0]}"

    prose = layout.separator == " " and not layout.names and are_words(sentences)
    return as_tagged(sentences, args.data_tag_scheme, place, str(path), warn, prose)


def are_words(sentences: Sequence[Sentence]) -> bool:
    """Whether what stands where tags should is rather words of a text: of small letters, and few of them twice."""
    tags = [tag for sentence in sentences for tag in sentence["tags"]]
    return any(map(str.islower, tags)) and len(set(tags)) > len(tags) / 2


def as_tagged(
    sentences: list[Sentence],
    told: str | None,
    place: Callable[[int, int], str],
    source: str,
    warn: Warn,
    prose: bool = False,
) -> tuple[list[Sentence], str | None]:
    """The same sentences in IOB2, or as they are where their tags are no entities; and which of both (`plain_kind`).

    Args:
        sentences: with tags as they came.
        told: how these are written, a value of `data_tag_scheme`; `None`: as it seems.
        place: says where tag `t` of sentence `s` stands.
        source: what a message calls all of them.
        warn: is told what was seen.
        prose: whether tags that are not told must be those of entities, as it may be no data of a tagger at all.

    Raises:
        UserError: for a tag that is not IOB, as it must be.
    """
    if told is not None and told not in DATA_SCHEMES:
        raise UserError(f"data_tag_scheme={told!r}: unknown (choose from {', '.join(DATA_SCHEMES)})")
    counts = Counter(tag for sentence in sentences for tag in sentence["tags"])
    kind = told if told in (IO, NO_ENTITIES) else None
    if told is None and not prose:
        kind = plain_kind(counts)
    shown = ", ".join(tag[:SHOWN] for tag, _ in counts.most_common(3))
    if kind == NO_ENTITIES:
        if told is None:
            warn(
                f"{source}: the tags ({shown}) have no B- or I-: each is taken for the label of its word, no entity; "
                "--data_tag_scheme none says so"
            )
        if len(counts) > MANY_LABELS and len(counts) > sum(counts.values()) / 2:
            warn(f"{source}: {len(counts):,} different tags for {sum(counts.values()):,} words: is tag_column right?")
        return sentences, kind
    if kind == IO:
        if told is None:
            warn(
                f"{source}: the tags ({shown}) have no B- or I-: neighbours of one type are taken for one entity; "
                "--data_tag_scheme io says so, none that they are labels of words"
            )
        return [{"tokens": s["tokens"], "tags": from_io(s["tags"])} for s in sentences], kind
    for s, sentence in enumerate(sentences):
        for n, (token, tag) in enumerate(zip(sentence["tokens"], sentence["tags"], strict=True)):
            if not is_tag(tag):
                shown = f"{token} {tag}"[:80]
                raise UserError(f"{place(s, n)}: tag {tag[:SHOWN]!r} is not IOB, allowed are {ALLOWED}: {shown!r}")
    return to_iob2(sentences, told, place, source, warn), None


def to_iob2(
    sentences: list[Sentence], scheme: str | None, place: Callable[[int, int], str], source: str, warn: Warn
) -> list[Sentence]:
    """The same sentences in IOB2; `place` says where tag `t` of sentence `s` stands, for the warning."""
    found = scheme or detect_scheme(sentence["tags"] for sentence in sentences)
    mistakes = [(s, t) for s, sentence in enumerate(sentences) for t in illegal(sentence["tags"], found)]
    if mistakes:
        s, t = mistakes[0]
        total = sum(len(sentence["tags"]) for sentence in sentences)
        warn(
            f"{source}: {len(mistakes):,} of {total:,} tags cannot stand where they do in {found}, as an I- without "
            f"its B-; read as conlleval does, the first is {sentences[s]['tags'][t]!r} at {place(s, t)}"
        )
    return [{"tokens": s["tokens"], "tags": convert(s["tags"], "iob2")} for s in sentences]


def format_conll(sentences: Iterable[Sentence]) -> str:
    """Sentences as `token<TAB>tag` lines, a blank line after each sentence.

    Raises:
        ValueError: for a token that holds a tab or a line end, or would be taken for the start of a document.
    """
    parts = []
    for sentence in sentences:
        for token, tag in zip(sentence["tokens"], sentence["tags"], strict=True):
            if "\t" in token or LINE_END.search(token) or token.startswith("-DOCSTART-"):
                raise ValueError(f"token {token!r}: no tab, line end or -DOCSTART- can stand in columns")
            parts.append(f"{token}\t{tag}\n")
        parts.append("\n")
    return "".join(parts)


def load_tagged(
    data: DataArguments, args: TaggingArguments, warn: Warn = warn_user, only: str | None = None
) -> TaggedData:
    """The sentences of each split; what the data does not hold out itself is drawn at random, always the same.

    `only` names the one split that is needed: a folder without a train file may hold just that.

    Raises:
        UserError: for missing, empty or broken files, columns or tags, or a Hub that cannot be reached.
    """
    declared: list[str] = []
    kinds: list[str | None] = []  # what the first part says, which is train where it is there, counts for all

    def as_first(read: Callable[[TaggingArguments], tuple[list[Sentence], str | None]]) -> list[Sentence]:
        sentences, kind = read(replace(args, data_tag_scheme=kinds[0]) if kinds and kinds[0] else args)
        kinds.append(kind)
        return sentences

    def read_hub() -> dict[str, list[Sentence]]:
        found = {}
        for name, rows in hub_splits(data).items():
            source = f"{data.dataset_name} ({name})"
            found[name] = as_first(partial(read_tagged_dataset, rows, source=source, warn=warn))
            if name == "train":
                declared.extend(declared_labels(rows, args, kinds[0]))
        return found

    def read(path: Path) -> list[Sentence]:
        return as_first(lambda args: read_tagged_file(path, args, warn, data.encoding))

    extensions = tuple(dict.fromkeys((data.file_extension, *EXTENSIONS, *ENDINGS_OF_SPLITS)))
    embedded = {name: partial(read, path) for name, path in EMBEDDED_SENTENCES.items()}
    splits = read_splits(data, extensions, embedded, read, read_hub, only)
    for name, sentences in splits.items():
        if not sentences:
            raise UserError(f"{data.source}: the {name} part holds no sentence")
    are_entities = kinds[0] != NO_ENTITIES
    if not are_entities and args.data_tag_scheme is None:
        for name, sentences in splits.items():
            tags = {tag for sentence in sentences for tag in sentence["tags"]} - {"O"}
            if tags and all(map(is_tag, tags)):
                raise UserError(
                    f"{data.source}: the {name} part has tags of entities ({listing(tags)}), another part labels of "
                    f"words, without B- and I-: --data_tag_scheme {NO_ENTITIES} takes all for labels"
                )
    find = labels_of if are_entities else words_labels
    if "train" not in splits:
        return TaggedData(splits, find(splits[str(only)]), are_entities)
    # Whatever their tags are: a tagger reads words.
    splits = with_held_out(splits, data, lambda s: same_text(" ".join(s["tokens"])), warn, TOO_FEW)
    labels = declared or find(splits["train"])
    for name, sentences in splits.items():
        if unseen := (unseen_types if are_entities else unseen_labels)(sentences, labels):
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
) -> list[Sentence]:
    """The sentences of a data set with a column of token lists and one of tags: `ClassLabel` ids, or strings.

    Tags are read as in `read_conll`; rows without tokens are left out.

    Raises:
        UserError: for missing columns, ids without names, a tag that is not IOB, or not as many tags as tokens; the
            sentence names the row, from 0.
    """
    return read_tagged_dataset(rows, args, source, warn)[0]


def read_tagged_dataset(
    rows: datasets.Dataset, args: TaggingArguments, source: str, warn: Warn
) -> tuple[list[Sentence], str | None]:
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


def declared_labels(rows: datasets.Dataset, args: TaggingArguments, kind: str | None = None) -> list[str]:
    """The IOB2 labels of all types that the `ClassLabel` of a data set names; empty if it has none. Tags that are no
    entities (`kind`) are the labels."""
    names = class_names(rows, dataset_columns(rows, args, "the dataset")[1])
    if kind == NO_ENTITIES:
        return names
    if kind == IO:
        return label_list(name for name in names if name != "O") if names else []
    return label_list(entity_types(filter(is_tag, names))) if names else []


def labels_of(sentences: Iterable[Sentence]) -> list[str]:
    """The IOB2 labels of all types there are: `O`, then `B-X`, `I-X` of each type, by code points."""
    return label_list(type_ for sentence in sentences for type_, _, _ in entities(sentence["tags"]))


def unseen_types(sentences: Iterable[Sentence], labels: Iterable[str]) -> str:
    """The types that `labels` lack, with the number of their entities: `"EVENT (3), LAW (1)"`; empty if none."""
    counts = Counter(type_ for sentence in sentences for type_, _, _ in entities(sentence["tags"]))
    unseen = sorted(counts.keys() - entity_types(labels))
    return ", ".join(f"{type_ or 'without a name'} ({counts[type_]:,})" for type_ in unseen)


def words_labels(sentences: Iterable[Sentence]) -> list[str]:
    """The labels there are where they are no entities, by code points."""
    return sorted({tag for sentence in sentences for tag in sentence["tags"]})


def unseen_labels(sentences: Iterable[Sentence], labels: Iterable[str]) -> str:
    """The labels of words that `labels` lack, with their number: `"X (3), SYM (1)"`; empty if none."""
    counts = Counter(tag for sentence in sentences for tag in sentence["tags"])
    return ", ".join(f"{tag} ({counts[tag]:,})" for tag in sorted(counts.keys() - set(labels)))


def lack_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """What a tokenizer lacks for tagging, as the end of a sentence about it; empty if nothing."""
    if not tokenizer.is_fast:
        return "is not a fast one"
    return "has no padding token" if tokenizer.pad_token is None else ""


def encode_words(
    sentences: Sequence[Sequence[str]], tokenizer: PreTrainedTokenizerBase
) -> list[tuple[dict[str, Any], list[int]]]:
    """Sentences of words -> for each what the tokenizer gives, and for each word the place of its first piece.

    Every word has a piece: one that the tokenizer would drop, as a control character, is given as unknown.
    """
    if not sentences:
        return []
    encoded = tokenizer([list(tokens) for tokens in sentences], is_split_into_words=True)
    found = []
    for n, tokens in enumerate(sentences):
        row, words = {name: values[n] for name, values in encoded.items()}, encoded.word_ids(n)
        if len(seen := set(words) - {None}) < len(tokens):
            unknown = tokenizer.unk_token or "\ufffd"
            kept = [token if place in seen else unknown for place, token in enumerate(tokens)]
            again = tokenizer(kept, is_split_into_words=True)
            row, words = dict(again), again.word_ids()
        pairs = zip([None, *words], words, strict=False)
        found.append((row, [place for place, (before, word) in enumerate(pairs) if word not in (None, before)]))
    return found


def rows_of_sentences(
    sentences: Iterable[Sentence], tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]
) -> datasets.Dataset:
    """Sentences, with tags in IOB2 -> rows of what the tokenizer, a fast one, gives and `labels`; see `label_rows`."""
    sentences = list(sentences)
    return label_rows(sentences, encode_words([sentence["tokens"] for sentence in sentences], tokenizer), labels)


def label_rows(
    sentences: Sequence[Sentence],
    encoded: Sequence[tuple[dict[str, Any], list[int]]],
    labels: Sequence[str],
    begins: Callable[[list[int]], Sequence[bool]] | None = None,
) -> datasets.Dataset:
    """Rows with `labels`: the tag's id on a word's first piece, elsewhere -100.

    A tag of a type that `labels` lack has the id of `O`, or of the first label; the true ones are for the metric
    (`references` of `entity_metrics`).

    Args:
        sentences: with tags in IOB2.
        encoded: what `encode_words` gives of their tokens.
        labels: the names of the ids.
        begins: which ids of a row begin a word for the model (`TokenKinds`). A tokenizer of pieces may cut a word of
            the data into several, as U.S. at its points; the others are then labelled as going on with its entity, or
            as the first one.
    """
    ids = {label: n for n, label in enumerate(labels)}
    other = ids.get("O", 0)
    rows: list[dict[str, Any]] = []
    for sentence, (row, first) in zip(sentences, encoded, strict=True):
        row = row | {"labels": [-100] * len(row["input_ids"])}
        for place, tag in zip(first, sentence["tags"], strict=True):
            row["labels"][place] = ids.get(tag, other)
        if begins is not None:
            inside = other
            for n, begin in enumerate(begins(row["input_ids"])):
                if row["labels"][n] != -100:
                    inside = row["labels"][n]
                    if is_tag(name := labels[inside]):
                        inside = ids.get(f"I{name[1:]}", other) if name != "O" else other
                elif begin:
                    row["labels"][n] = inside
        rows.append(row)
    return datasets.Dataset.from_list(rows)
