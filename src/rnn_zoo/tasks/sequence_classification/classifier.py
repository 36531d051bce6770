"""Classifying with a checkpoint, or the mean of several: texts -> their labels and scores, in batches by length.

Sizes: `N` texts, `B` batch, `L` labels.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from transformers import DataCollatorWithPadding

from ...data.length_batches import batches_by_length, longest_first
from ...data.text_limits import check_characters, check_tokens
from ...models.given_texts import checked_texts
from ...models.keys_classifier import MULTI, REGRESSION, SINGLE
from .encoding import encode_texts


class Classification(NamedTuple):
    """What a classifier says of a text.

    Args:
        labels: the best one; of a model for several labels those above one half, perhaps none; of a regression none.
        scores: of each label of the model its probability, or the number of a regression.
    """

    labels: list[str]
    scores: dict[str, float]


class Classifier:
    """A classifier and its tokenizer, for many texts at once.

    `pipeline("text-classification")` gives the same scores one text at a time; here texts of nearly one length share a
    batch. A text without a token, as an empty one, has the scores that the model gives to no word at all.

    Args:
        model: an `RnnForSequenceClassification`; it is switched to evaluation.
        tokenizer: its own.
        batch_size: texts at once, fewer where they are long.
        others: further classifiers with the same labels, in any order: scores are the means of all. So a model that
            reads forward and one that reads backward decide together (Howard and Ruder 2018, section 3.3).

    Raises:
        ValueError: for a batch size below 1, a tokenizer that cannot pad, or labels that are not the same.
    """

    def __init__(self, model, tokenizer, batch_size: int = 64, *, others: "Sequence[Classifier]" = ()):
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: must be at least 1")
        if tokenizer.pad_token_id is None:
            raise ValueError("the tokenizer has no padding token, which a classifier needs")
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.others = list(others)
        for other in self.others:
            if sorted(other.labels) != sorted(self.labels):
                raise ValueError(f"the labels are {', '.join(other.labels)}, not {', '.join(self.labels)}")
            if other.problem_type != self.problem_type:
                raise ValueError(f"the problem_type is {other.problem_type}, not {self.problem_type}")

    @property
    def labels(self) -> list[str]:
        """Those that the model has now, in the order of their ids."""
        config = self.model.config
        return [config.id2label[n] for n in range(config.num_labels)]

    @property
    def problem_type(self) -> str:
        """What kind of labels they are."""
        return self.model.config.problem_type or (REGRESSION if self.model.config.num_labels == 1 else SINGLE)

    def classify(self, texts: Iterable[str]) -> list[Classification]:
        """The labels and scores of each text.

        Raises:
            ValueError: for a single string, what is no text, as `None` in the list, or a text of more than
                `MOST_TOKENS` tokens (`data/text_limits.py`).
        """
        return [
            Classification(self.chosen(row), dict(zip(self.labels, row, strict=True)))
            for row in self.scores(texts).tolist()
        ]

    def chosen(self, scores: Sequence[float]) -> list[str]:
        """The labels that a row of scores stands for."""
        if self.problem_type == REGRESSION:
            return []
        if self.problem_type == MULTI:
            return [label for label, score in zip(self.labels, scores, strict=True) if score > 0.5]
        return [self.labels[max(range(len(scores)), key=scores.__getitem__)]]

    @torch.inference_mode()
    def scores(self, texts: Iterable[str]) -> torch.Tensor:
        """Probabilities `(N, L)`, of a regression its numbers, on the CPU.

        Raises:
            ValueError: for a single string, or what is no text, as `None` in the list.
        """
        texts = checked_texts(texts)
        check_characters(texts)
        rows = encode_texts(texts, self.tokenizer)
        check_tokens([len(row["input_ids"]) for row in rows], texts)
        found = torch.empty(len(rows), len(self.labels))
        self.model.eval()
        for batch, inputs in self.batches(rows):
            found[batch] = self.probabilities(self.model(**inputs, use_cache=False).logits.float()).cpu()
        for other in self.others:
            found += other.scores(texts)[:, [other.labels.index(label) for label in self.labels]]
        return found / (1 + len(self.others))

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """`(B, L)` -> `(B, L)`."""
        if self.problem_type == REGRESSION:
            return logits
        return logits.sigmoid() if self.problem_type == MULTI else logits.softmax(-1)

    def batches(self, rows: Sequence[dict[str, list]]) -> Iterator[tuple[list[int], dict[str, torch.Tensor]]]:
        """The numbers of the rows of each batch, and what the model is given.

        A row without ids is one of padding only: an empty list would become a tensor of no integers.

        Args:
            rows: as `encode_texts` gives them.
        """
        collate = DataCollatorWithPadding(self.tokenizer)
        padding = {"input_ids": [self.tokenizer.pad_token_id], "attention_mask": [0]}
        if hasattr(self.tokenizer, "spell"):
            padding["character_ids"] = [self.tokenizer.spell("")]
        lengths = [len(row["input_ids"]) for row in rows]
        for batch in batches_by_length(longest_first(lengths), lengths, self.batch_size):
            features = [rows[n] | {"attention_mask": [1] * lengths[n]} if lengths[n] else padding for n in batch]
            yield list(batch), dict(collate(features).to(self.model.device))
