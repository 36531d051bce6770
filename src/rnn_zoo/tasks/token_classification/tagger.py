"""Tagging with a checkpoint: words -> tags, or raw text -> entities with their places; in batches by length.

Sizes: `B` batch, `T` tokens, `L` labels.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.text import Text

from ...data.length_batches import batches_by_length, longest_first
from ...data.text_limits import check_characters, check_tokens
from ...models.given_texts import checked_texts
from ...models.tokenization_rnn import whole_offsets
from ...output import CONTROL
from .encoding import encode_words, lack_of
from .iob import Entity as Span
from .iob import entities, entity_types, is_tag

Labelled = tuple[list[int], list[float]]  # of a row, the label's id for each token, and its probability

COLOURS = ("black on bright_cyan", "black on bright_yellow", "black on bright_magenta", "black on bright_green")


class Entity(NamedTuple):
    """An entity of a raw text, or a word of it where the labels are no entities.

    Args:
        type: as `PER`; of a word its label.
        start, end: its characters are `text[start:end]`.
        text: those characters.
        score: the least probability of a label among its words, in [0, 1]; `None` unless asked for.
    """

    type: str
    start: int
    end: int
    text: str
    score: float | None = None


class Tagger:
    """A tagger and its tokenizer, for many sentences at once.

    `pipeline("token-classification", aggregation_strategy="simple")` gives the same entities one text at a time; here
    texts of nearly one length share a batch. The tags are those of the best sequence as a whole (with a CRF, the
    Viterbi path).

    Args:
        model: an `RnnForTokenClassification`; it is switched to evaluation.
        tokenizer: its own, a fast one.
        batch_size: texts at once, fewer where they are long.

    Raises:
        ValueError: for a batch size below 1, or a tokenizer that is slow or cannot pad.
    """

    def __init__(self, model, tokenizer, batch_size: int = 128):
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: must be at least 1")
        if lacks := lack_of(tokenizer):
            raise ValueError(f"the tokenizer {lacks}, which a tagger needs")
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = batch_size

    @property
    def labels(self) -> list[str]:
        """Those that the model has now, in the order of their ids."""
        config = self.model.config
        return [config.id2label[n] for n in range(config.num_labels)]

    @property
    def are_entities(self) -> bool:
        """Whether the labels are tags of entities (IOB), and not labels of words, as parts of speech."""
        return all(map(is_tag, self.labels))

    @property
    def types(self) -> list[str]:
        """Those of the entities, or the labels of words."""
        return entity_types(self.labels) if self.are_entities else self.labels

    def tag_words(self, sentences: Iterable[Sequence[str]]) -> list[list[str]]:
        """Sentences as lists of words -> as many lists of tags; an empty sentence has none.

        Raises:
            ValueError: for a sentence that is no list of strings, or longer than `MOST_TOKENS`
                (`data/text_limits.py`).
        """
        sentences = list(sentences)
        for tokens in sentences:
            if isinstance(tokens, str):
                raise ValueError(f"sentences: each must be a list of words, not the string {tokens[:40]!r}")
        sentences = [checked_texts(tokens, f"sentences[{n}]", "words") for n, tokens in enumerate(sentences)]
        whole = [" ".join(tokens) for tokens in sentences]
        check_characters(whole, "sentences")
        encoded = encode_words(sentences, self.tokenizer)
        check_tokens([len(row["input_ids"]) for row, _ in encoded], whole, "sentences")
        labelled, labels = self._label([row for row, _ in encoded]), self.labels
        return [[labels[ids[n]] for n in first] for (ids, _), (_, first) in zip(labelled, encoded, strict=True)]

    def tag_texts(self, texts: Iterable[str], scores: bool = False) -> list[list[Entity]]:
        """Raw texts -> the entities of each, in order; of a model whose labels are no entities, the words.

        Args:
            texts: of up to `MOST_TOKENS` tokens (`data/text_limits.py`); each is read as one sentence.
            scores: whether entities have a score, which takes a second pass.

        Raises:
            ValueError: for a single string, or what is no text, as `None` in the list.
        """
        texts = checked_texts(texts)
        check_characters(texts)
        asked = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
        rows = [dict(self.tokenizer(text, **asked)) for text in texts]
        check_tokens([len(row["input_ids"]) for row in rows], texts)
        spans = []
        for text, row in zip(texts, rows, strict=True):
            places, special = row.pop("offset_mapping"), row.pop("special_tokens_mask")
            places = whole_offsets(self.tokenizer, text, places)
            spans.append([(0, 0) if no_word else place for place, no_word in zip(places, special, strict=True)])
        return [
            self._entities(*each, scores) for each in zip(texts, rows, spans, self._label(rows, scores), strict=True)
        ]

    def _entities(self, text: str, row: dict[str, Any], spans, labelled: Labelled, scores: bool) -> list[Entity]:
        """The entities of a text whose tokens stand at `spans`."""
        ids, shares = labelled
        if not ids:
            return []
        begins = self.model.token_kinds(torch.tensor([row["input_ids"]], device=self.model.device), None)
        words = begins[0].nonzero().flatten().tolist()  # the tokens with which words begin
        ends = [*words[1:], len(ids)]
        found, labels = [], self.labels
        for type_, first, last in spans_of([labels[ids[n]] for n in words], self.are_entities):
            pieces = [spans[n] for n in range(words[first], ends[last - 1]) if spans[n][1] > spans[n][0]]
            name = text[pieces[0][0] : pieces[-1][1]].strip() if pieces else ""
            if not name:  # byte-level pieces can be blanks
                continue
            start = text.index(name, pieces[0][0])
            score = min(shares[n] for n in words[first:last]) if scores else None
            found.append(Entity(type_, start, start + len(name), name, score))
        return found

    @torch.inference_mode()
    def _label(self, rows: Sequence[dict[str, Any]], scores: bool = False) -> list[Labelled]:
        """For each token of each row the id of its label and, with `scores`, its probability."""
        self.model.eval()
        lengths = [len(row["input_ids"]) for row in rows]
        order = [n for n in longest_first(lengths) if lengths[n]]
        left = self.tokenizer.padding_side == "left"
        results: list[Labelled] = [([], [])] * len(rows)
        for part in batches_by_length(order, lengths, self.batch_size):
            padded = self.tokenizer.pad([rows[n] for n in part], return_attention_mask=True)
            # By numpy, which takes nested lists of numbers a quarter of the time that torch does.
            tensors = {name: torch.from_numpy(np.array(values)) for name, values in padded.items()}
            inputs = {name: tensor.to(self.model.device) for name, tensor in tensors.items()}
            labels = self.model(**inputs, use_cache=False).logits.argmax(-1)  # (B, T)
            shares = torch.empty(len(part), 0)
            if scores:
                log_marginals = self.model(**inputs, use_cache=False, output_marginals=True).logits
                shares = log_marginals.gather(-1, labels[..., None])[..., 0].exp()
            for n, *row in zip(part, labels.tolist(), shares.tolist(), strict=True):
                real = slice(-lengths[n], None) if left else slice(lengths[n])
                results[n] = (row[0][real], row[1][real])
        return results


def spans_of(tags: Sequence[str], are_entities: bool) -> list[Span]:
    """The entities of a sentence, or each word with its label."""
    return entities(tags) if are_entities else [(tag, n, n + 1) for n, tag in enumerate(tags)]


def show_entities(
    tokens: Sequence[str], tags: Sequence[str], types: Sequence[str] | None = None, *, are_entities: bool = True
) -> Text:
    """A sentence for a terminal: entities, or words that have labels, in colour, each with its type."""
    spans, place = [], 0
    for token in tokens:
        spans.append((place, place + len(token)))
        place += len(token) + 1
    text = " ".join(tokens)
    found = [Entity(t, spans[a][0], spans[b - 1][1], "") for t, a, b in spans_of(tags, are_entities)]
    return show_text(text, found, types)


def show_text(text: str, found: Sequence[Entity], types: Sequence[str] | None = None) -> Text:
    """A text for a terminal: `[entity TYPE]`, in the colour of its type where there are colours.

    `types` in a fixed order keep their colours from text to text. Control characters are left out.
    """
    types = sorted({entity.type for entity in found}) if types is None else types
    shown, place = Text(), 0
    for entity in found:
        shown.append(CONTROL.sub("", text[place : entity.start]))
        colour = COLOURS[list(types).index(entity.type) % len(COLOURS)]
        shown.append(CONTROL.sub("", f"[{text[entity.start : entity.end]}"), style=colour)
        score = "" if entity.score is None else f" {entity.score:.2f}"
        named = f" {entity.type}" if entity.type else ""
        shown.append(f"{named}{score}]", style=f"{colour} bold")
        place = entity.end
    shown.append(CONTROL.sub("", text[place:]))
    return shown
