"""Of each task one toy example of its head: options that show what is particular to it, and a batch with labels. All
that is promised of every head is proved with them (`test_heads.py`, `cell_contract.py`)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from conftest import pad_rows, tiny_config, tiny_seq2seq_config

from rnn_zoo.tasks import TASKS

LABELS = 3
Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class ToyHead:
    """
    Args:
        options: of the configuration.
        label: makes the labels of a padded batch `(ids, mask)`.
        configure: makes the configuration.
        more: what the model reads beside `(ids, mask)`.
    """

    options: dict[str, Any]
    label: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    configure: Callable = tiny_config
    more: Callable[[torch.Tensor, torch.Tensor], Batch] = lambda ids, mask: {}

    def batch(self, rows: list[torch.Tensor], side: str = "right") -> Batch:
        """What the model reads, with labels; all of it made from the ids of the rows."""
        ids, mask = pad_rows(rows, side)
        return {"input_ids": ids, "attention_mask": mask} | self.more(ids, mask) | {"labels": self.label(ids, mask)}


def next_tokens(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Tokens behind others; padding foretells none."""
    return ids.masked_fill((mask * torch.nn.functional.pad(mask, (1, 0))[:, :-1]) == 0, -100)


def of_each_token(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (ids % LABELS).masked_fill(mask == 0, -100)


def spelling(ids: torch.Tensor, mask: torch.Tensor) -> Batch:
    """Five letters of each word, none of padding: `(B, T, 5)`."""
    return {"character_ids": (1 + ids[..., None] * torch.arange(1, 6) % 8) * mask[..., None]}


TOY_HEADS = {
    "causal_lm": ToyHead({"residual": True, "layer_norm": True}, next_tokens),
    "token_classification": ToyHead(
        {"bidirectional": True, "use_crf": True, "num_labels": LABELS}
        | {"character_vocab_size": 9, "character_hidden_size": 6, "character_encoder": "rnn"},
        of_each_token,
        more=spelling,
    ),
    "sequence_classification": ToyHead(
        {"reads_backward": True, "num_labels": LABELS}, lambda ids, mask: (ids * mask).sum(1) % LABELS
    ),
    "translation": ToyHead(
        {"attention": "bahdanau", "input_feeding": True},
        lambda ids, mask: ids.masked_fill(mask == 0, -100),
        tiny_seq2seq_config,
    ),
}


def build(task: str, **options):
    """The head of a task, all of whose parameters differ from 0, in float64."""
    example = TOY_HEADS[task]
    values = {"cell_type": "lstm", "initializer_range": 1.0} | example.options | options
    model = TASKS[task].model_class(example.configure(**values)).double()
    for name, parameter in model.named_parameters():
        if "bias" in name:
            torch.nn.init.uniform_(parameter, -0.5, 0.5)
    return model
