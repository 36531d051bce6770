"""Tagged sentences -> rows that a tagger trains on.

Sizes: `N` sentences, `T` time.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from ...data.stored_rows import Lists, offsets_of
from ...models.tokenization_words import WordCharacterTokenizer
from .iob import is_tag
from .tags import Sentence

if TYPE_CHECKING:
    import datasets


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


class EncodedWords:
    """Columns of tagged sentences, as `label_rows` gives them, by a tokenizer that reads each word by itself: no word
    is read twice, but for a very large number of words.

    Args:
        tokenizer: one of which `reads_words_alone` is true.
        labels: the names of the ids.
    """

    MOST = 1 << 18  # words that are remembered
    TOGETHER = 64  # words that are read as one sentence

    def __init__(self, tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]):
        self.tokenizer = tokenizer
        self.ids = {label: n for n, label in enumerate(labels)}
        self.places: dict[str, int] = {}  # of each word among the values of each column
        self.values: dict[str, list] = {}

    def __call__(self, sentences: Sequence[Sentence]) -> dict[str, Lists]:
        if len(self.places) > self.MOST:
            self.places, self.values = {}, {}
        self.read({word: None for sentence in sentences for word in sentence["tokens"] if word not in self.places})
        lengths = (len(sentence["tokens"]) for sentence in sentences)
        offsets = offsets_of(lengths, len(sentences))
        words = [self.places[word] for sentence in sentences for word in sentence["tokens"]]
        different, which = np.unique(words, return_inverse=True)
        columns: dict[str, Lists] = {}
        for name, values in self.values.items():
            chosen = np.array([values[n] for n in different.tolist()], dtype=np.int32)
            columns[name] = Lists(offsets, which, chosen) if chosen.ndim > 1 else Lists(offsets, chosen[which])
        other = self.ids.get("O", 0)
        tags = [self.ids.get(tag, other) for sentence in sentences for tag in sentence["tags"]]
        return {**columns, "labels": Lists(offsets, np.array(tags))}

    def read(self, words: Iterable[str]) -> None:
        new = list(words)
        groups = [new[start : start + self.TOGETHER] for start in range(0, len(new), self.TOGETHER)]
        for group, (row, first) in zip(groups, encode_words(groups, self.tokenizer), strict=True):
            for word, place in zip(group, first, strict=True):
                self.places[word] = len(self.places)
                for name, values in row.items():
                    self.values.setdefault(name, []).append(values[place])


def reads_words_alone(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether what a tokenizer gives of a word depends on nothing but the word."""
    return isinstance(tokenizer, WordCharacterTokenizer) and not tokenizer.num_special_tokens_to_add()


def rows_of_sentences(
    sentences: Iterable[Sentence], tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]
) -> "datasets.Dataset":
    """Sentences, with tags in IOB2 -> rows of what the tokenizer, a fast one, gives and `labels`; see `label_rows`."""
    import datasets

    sentences = list(sentences)
    encoded = encode_words([sentence["tokens"] for sentence in sentences], tokenizer)
    return datasets.Dataset.from_list(label_rows(sentences, encoded, labels))


def label_rows(
    sentences: Sequence[Sentence],
    encoded: Sequence[tuple[dict[str, Any], list[int]]],
    labels: Sequence[str],
    begins: Callable[[list[int]], Sequence[bool]] | None = None,
) -> list[dict[str, Any]]:
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
    return rows
