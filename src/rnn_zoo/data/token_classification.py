"""Tagged sentences: CoNLL columns or data sets with `tokens` and `ner_tags` -> rows that a tagger trains on.

In memory a sentence is `{"tokens": [...], "tags": [...]}`, strings, the tags in IOB2 whatever they came in.

Sizes: `N` sentences, `T` time.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypedDict

import datasets
from transformers import PreTrainedTokenizerBase

from ..errors import UserError
from ..models.ranges import Range
from .formats import LINE_END, lines_of, read_text
from .iob import ALLOWED, SCHEMES, convert, detect_scheme, entities, entity_types, illegal, is_tag, label_list
from .sources import SPLITS, DataArguments, Warn, draw, hub_splits, read_splits, same_text, shares_held_out, warn_user

EXTENSIONS = ("txt", "conll", "tsv", "iob", "bio", "conllup")
TOKEN_NAMES = ("tokens", "token", "form", "words", "word", "text")  # of columns, in lower case
TAG_NAMES = ("ner_tags", "ner_tag", "ner", "tags", "tag", "labels", "label", "entity", "entities", "iob", "bio", "ne")
GLOBAL_COLUMNS = re.compile(r"#\s*global\.columns\s*=\s*(.*)")
EMBEDDED_SENTENCES = {"ner_sample": Path(__file__).with_name("samples") / "ner_sample.conll"}
LONG_SENTENCE = 1000  # words; a file that is one sentence of more has probably lost its blank lines


class Sentence(TypedDict):
    """As many tags, in IOB2, as tokens."""

    tokens: list[str]
    tags: list[str]


@dataclass
class TaggingArguments:
    """Which columns hold words and tags, how the tags are written, and how a word becomes ids."""

    token_column: str | None = field(
        default=None,
        metadata={"help": "Column of words: a number from 0, or a name; found by its name, else the first."},
    )
    tag_column: str | None = field(
        default=None,
        metadata={"help": "Column of tags: a number from 0, -1 the last, or a name; found by its name, else the last."},
    )
    data_tag_scheme: str | None = field(
        default=None, metadata={"help": f"How tags are written: {', '.join(SCHEMES)}; seen from the data if not told."}
    )
    lowercase: bool = field(
        default=True, metadata={"help": "Look words up without their case; their characters keep it."}
    )
    digits_to_zero: bool = field(default=True, metadata={"help": "Look words up with every digit as 0."})
    rare_word_dropout: Annotated[float, Range(0)] = field(
        default=0.0,
        metadata={"help": "alpha: in training a word seen n times becomes <unk> with the chance alpha / (alpha + n)."},
    )
    word_vectors: str | None = field(
        default=None,
        metadata={
            "help": "File of pretrained word vectors to begin with (GloVe, fastText .vec, word2vec, safetensors); "
            "embedding_size is theirs."
        },
    )
    tokenizer_name: str | None = field(
        default=None,
        metadata={"help": "A fast tokenizer of words or pieces, from a folder or the Hub, instead of a new one."},
    )


@dataclass(frozen=True)
class TaggedData:
    """The sentences of each split, and the labels of a tagger that is trained on them.

    Args:
        splits: `train` and `validation`, `test` where there is one; or the one split that was wanted and is there.
        labels: IOB2, `O` first; of the types in `train`, or of those that the data set itself declares.
    """

    splits: dict[str, list[Sentence]]
    labels: list[str]


# ---- CoNLL columns ----
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
    """

    separator: str
    width: int
    fixed: bool
    token: int
    tag: int
    names: list[str]
    header: int

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
        other_width = len(fields) != self.width
        return self.separator == " " and (other_width or (fields[0] == "#" and not is_tag(fields[self.tag])))

    def is_extra(self, fields: list[str]) -> bool:
        """Whether CoNLL-U numbers the line as a range of words or as an empty node, as 1-2 and 1.1."""
        place = self.names.index("ID") if "ID" in self.names else len(fields)
        return place < len(fields) and re.fullmatch(r"\d+[-.]\d+", fields[place]) is not None


def layout_of(lines: Sequence[str], source: str, args: TaggingArguments) -> Layout:
    """The layout of a text, from its header and its first line of tokens.

    A header is `# global.columns = ...` (CoNLL-U Plus), or a first line that has the name told or a known one, and no
    tag. Without one, or if it has no known name, words stand in the first column and tags in the last.

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

    def place(option: str, told: str | None, known: Sequence[str], default: int) -> int:
        if told is not None and re.fullmatch(r"-?\d+", told):
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
        token=place("token_column", args.token_column, TOKEN_NAMES, 0),
        tag=place("tag_column", args.tag_column, TAG_NAMES, -1),
        names=names,
        header=header,
    )


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

    Tags of any scheme become IOB2. One that the file's scheme does not allow at its place, as an `I-` without its
    `B-`, is read as conlleval would, and counted in a warning.

    Raises:
        UserError: for a file that cannot be read, a line with too few columns, or a tag that is not IOB; the sentence
            names file and line.
    """
    args = args or TaggingArguments()
    layout, found = read_columns(read_text(Path(path)), str(path), args)
    for lines in found:
        for number, fields in lines:
            if not is_tag(tag := fields[layout.tag]):
                line = " ".join(fields)
                raise UserError(f"{path}:{number}: tag {tag!r} is not IOB, allowed are {ALLOWED}: {line[:80]!r}")
    sentences: list[Sentence] = [
        {"tokens": [fields[layout.token] for _, fields in lines], "tags": [fields[layout.tag] for _, fields in lines]}
        for lines in found
    ]
    if len(sentences) == 1 and len(found[0]) > LONG_SENTENCE:
        warn(f"{path}: one sentence of {len(found[0]):,} tokens; a blank line should stand after each sentence")
    return to_iob2(sentences, args.data_tag_scheme, lambda s, t: f"{path}:{found[s][t][0]}", str(path), warn)


def to_iob2(
    sentences: list[Sentence], scheme: str | None, place: Callable[[int, int], str], source: str, warn: Warn
) -> list[Sentence]:
    """The same sentences in IOB2; `place` says where tag `t` of sentence `s` stands, for the warning."""
    if scheme is not None and scheme not in SCHEMES:
        raise UserError(f"data_tag_scheme={scheme!r}: unknown (choose from {', '.join(SCHEMES)})")
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


# ---- where sentences come from ----
def load_tagged(
    data: DataArguments, args: TaggingArguments, warn: Warn = warn_user, only: str | None = None
) -> TaggedData:
    """The sentences of each split; what the data does not hold out itself is drawn at random, always the same.

    `only` names the one split that is needed: a folder without a train file may hold just that.

    Raises:
        UserError: for missing, empty or broken files, columns or tags, or a Hub that cannot be reached.
    """
    declared: list[str] = []

    def read_hub() -> dict[str, list[Sentence]]:
        raw = hub_splits(data)
        found = {name: read_dataset(rows, args, f"{data.dataset_name} ({name})", warn) for name, rows in raw.items()}
        declared.extend(declared_labels(raw["train"], args))
        return found

    def read(path: Path) -> list[Sentence]:
        return read_conll(path, args, warn)

    extensions = tuple(dict.fromkeys((data.file_extension, *EXTENSIONS)))
    embedded = {name: partial(read, path) for name, path in EMBEDDED_SENTENCES.items()}
    splits = read_splits(data, extensions, embedded, read, read_hub, only)
    for name, sentences in splits.items():
        if not sentences:
            raise UserError(f"{data.source}: the {name} part holds no sentence")
    if "train" not in splits:
        return TaggedData(splits, labels_of(splits[str(only)]))
    splits = hold_out(splits, data, warn)
    labels = declared or labels_of(splits["train"])
    for name, sentences in splits.items():
        if unseen := unseen_types(sentences, labels):
            warn(f"{data.source}: the {name} part has entities of types that the training part lacks: {unseen}")
    return TaggedData(splits, labels)


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

    Tags become IOB2 as in `read_conll`; rows without tokens are left out.

    Raises:
        UserError: for missing columns, ids without names, a tag that is not IOB, or not as many tags as tokens; the
            sentence names the row, from 0.
    """
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
            if not isinstance(tag, str) or not is_tag(tag):
                raise UserError(f"{source}, row {number}: tag {tag!r} is not IOB, allowed are {ALLOWED}")
            tags[n] = tag
        if tokens:
            sentences.append({"tokens": tokens, "tags": tags})
            numbers.append(number)
    return to_iob2(sentences, args.data_tag_scheme, lambda s, t: f"row {numbers[s]}, token {t}", source, warn)


def class_names(rows: datasets.Dataset, column: str) -> list[str]:
    """The names of the `ClassLabel` of a column of lists; empty if it has none."""
    feature: Any = rows.features[column]
    return list(getattr(getattr(feature, "feature", feature), "names", None) or [])


def declared_labels(rows: datasets.Dataset, args: TaggingArguments) -> list[str]:
    """The IOB2 labels of all types that the `ClassLabel` of a data set names; empty if it has none."""
    names = class_names(rows, dataset_columns(rows, args, "the dataset")[1])
    return label_list(entity_types(filter(is_tag, names))) if names else []


def hold_out(splits: dict[str, list[Sentence]], data: DataArguments, warn: Warn) -> dict[str, list[Sentence]]:
    """Draws from train the splits that the data lacks, if it lacks validation; the others keep their order.

    Sentences of equal words stay together, whatever their tags: none is in two parts.
    """
    missing = shares_held_out(splits, data)
    if missing:
        parts = draw(splits["train"], missing, lambda sentence: same_text(" ".join(sentence["tokens"])), warn)
        for name in ("train", *reversed(missing)):
            if not parts[name]:
                total = len(splits["train"])
                raise UserError(f"the {name} part is empty: {total} sentences are too few for the shares held out")
        splits = splits | parts
    return {name: splits[name] for name in SPLITS if name in splits}


# ---- labels and rows ----
def labels_of(sentences: Iterable[Sentence]) -> list[str]:
    """The IOB2 labels of all types there are: `O`, then `B-X`, `I-X` of each type, by code points."""
    return label_list(type_ for sentence in sentences for type_, _, _ in entities(sentence["tags"]))


def unseen_types(sentences: Iterable[Sentence], labels: Iterable[str]) -> str:
    """The types that `labels` lack, with the number of their entities: `"EVENT (3), LAW (1)"`; empty if none."""
    counts = Counter(type_ for sentence in sentences for type_, _, _ in entities(sentence["tags"]))
    unseen = sorted(counts.keys() - entity_types(labels))
    return ", ".join(f"{type_ or 'without a name'} ({counts[type_]:,})" for type_ in unseen)


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


def rows_of(
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

    A tag of a type that `labels` lack has the id of `O`; the true ones are for the metric (`references` of
    `entity_metrics`).

    Args:
        sentences: with tags in IOB2.
        encoded: what `encode_words` gives of their tokens.
        labels: the names of the ids.
        begins: which ids of a row begin a word for the model (`TokenKinds`). A tokenizer of pieces may cut a word of
            the data into several, as U.S. at its points; the others are then labelled as going on with its entity.
    """
    ids = {label: n for n, label in enumerate(labels)}
    rows: list[dict[str, Any]] = []
    for sentence, (row, first) in zip(sentences, encoded, strict=True):
        row = row | {"labels": [-100] * len(row["input_ids"])}
        for place, tag in zip(first, sentence["tags"], strict=True):
            row["labels"][place] = ids.get(tag, ids["O"])
        if begins is not None:
            inside = ids["O"]
            for n, begin in enumerate(begins(row["input_ids"])):
                if row["labels"][n] != -100:
                    name = labels[row["labels"][n]]
                    inside = ids.get(f"I{name[1:]}", ids["O"]) if name != "O" else ids["O"]
                elif begin:
                    row["labels"][n] = inside
        rows.append(row)
    return datasets.Dataset.from_list(rows)
