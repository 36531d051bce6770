"""Sentences in columns, a word a line, as CoNLL, CoNLL-U (Plus) and GermEval have them."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ...data.all_cores import in_processes
from ...data.columns import is_number
from ...data.formats import LINE_END, UTF_8, FileText, each_line, read_text
from ...data.stored_rows import are_large, block_of, store_rows
from ...errors import UserError, Warn, warn_user
from .iob import is_tag
from .keys import TaggingArguments
from .tags import Sentence, as_tagged, tag_counts

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
URL = re.compile(r"https?://")
NUMBERED = re.compile(r"\d+([-.]\d+)?")
GLOBAL_COLUMNS = re.compile(r"#\s*global\.columns\s*=\s*(.*)")
LOOKED_AT = 1000  # lines of a file from which its columns are known
PART = 1 << 16  # lines of a large file that are read at once, and those up to the end of the sentence
HEAD = 100_000  # lines by which the columns of a large file are known
LONG_SENTENCE = 1000  # words; a file that is one sentence of more has probably lost its blank lines


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


Lines = list[tuple[int, list[str]]]  # those of a sentence: the number of each, from 1, and its fields


def read_columns(text: str | FileText, source: str, args: TaggingArguments) -> tuple[Layout, Iterator[Lines]]:
    """The sentences of a text in columns: for each token the number of its line, from 1, and its fields.

    Columns are separated by tabs, or by blanks where the first line has no tab. Blank lines end sentences, and so do
    `-DOCSTART-` lines. Of a large file the columns are known by its first `HEAD` lines.

    Raises:
        UserError: for an unknown column, or a line with too few columns; with too many, where the tag's place is a
            guess.
    """
    known_by = islice(text, HEAD) if isinstance(text, FileText) else each_line(text)
    layout = layout_of([line.rstrip(" \t") for line in known_by], source, args)
    return layout, sentences_of(each_line(text), layout, source)


def sentences_of(lines: Iterable[str], layout: Layout, source: str, first: int = 1) -> Iterator[Lines]:
    """The sentences of the lines of a text, of which the first has the number `first`; see `read_columns`."""
    needed = layout.needed
    sentence: Lines = []
    for number, line in enumerate(lines, first):
        line = line.rstrip(" \t")
        if not line or line.startswith("-DOCSTART-"):
            if sentence:
                yield sentence
                sentence = []
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
            sentence.append((number, fields))
    if sentence:
        yield sentence


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


def read_conll(path: Path | str, args: TaggingArguments | None = None, warn: Warn = warn_user) -> Sequence[Sentence]:
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
) -> tuple[Sequence[Sentence], str | None]:
    """As `read_conll`, and what the tags are without B- and I- (see `plain_kind`)."""
    if are_large(Path(path)):
        return read_large_file(Path(path), args, warn, encoding)
    layout, lines = read_columns(read_text(Path(path), encoding), str(path), args)
    found = list(lines)
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


def read_large_file(
    path: Path, args: TaggingArguments, warn: Warn, encoding: str
) -> tuple[Sequence[Sentence], str | None]:
    """As `read_tagged_file`, of a file whose sentences are stored."""
    import pyarrow

    strings = pyarrow.list_(pyarrow.string())
    schema = pyarrow.schema({"tokens": strings, "tags": strings})

    def read(warn: Warn) -> Iterator[pyarrow.Table]:
        layout, _ = read_columns(FileText(path, encoding), str(path), args)
        if layout.note:
            warn(layout.note)

        def read_part(part: tuple[int, list[str]]) -> pyarrow.Table:
            rows = [
                ([fields[layout.token] for _, fields in lines], [fields[layout.tag] for _, fields in lines])
                for lines in sentences_of(part[1], layout, str(path), part[0])
            ]
            return block_of(rows, schema)

        count = length = 0
        for block in in_processes(read_part, parts_of(FileText(path, encoding))):
            count += len(block)
            length += len(block.column(0).combine_chunks().flatten())
            yield block
        if count == 1 and length > LONG_SENTENCE:
            warn(f"{path}: one sentence of {length:,} tokens; a blank line should stand after each sentence")

    sentences = store_rows([path], (encoding, args.token_column, args.tag_column), read, schema, warn)

    def place(s: int, t: int) -> str:
        found = read_columns(FileText(path, encoding), str(path), args)[1]
        return f"{path}:{next(islice(found, s, None))[t][0]}"

    layout, _ = read_columns(FileText(path, encoding), str(path), args)
    prose = layout.separator == " " and not layout.names and are_words(sentences)
    return as_tagged(sentences, args.data_tag_scheme, place, str(path), warn, prose)


def parts_of(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Parts of the lines of a text that end where a sentence does, and the number of the first line of each."""
    part: list[str] = []
    first = 1
    for line in lines:
        part.append(line)
        if len(part) >= PART and not line.rstrip(" \t"):
            yield first, part
            first, part = first + len(part), []
    yield first, part


def are_words(sentences: Sequence[Sentence]) -> bool:
    """Whether what stands where tags should is rather words of a text: of small letters, and few of them twice."""
    tags: Counter[str] = tag_counts(sentences)
    return any(map(str.islower, tags)) and len(tags) > sum(tags.values()) / 2


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
