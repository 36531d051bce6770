"""The head: the mean of all outputs -> two scores."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers.utils import ModelOutput, can_return_tuple

from rnn_zoo.models.modeling_rnn import RnnModel, RnnPreTrainedModel, number_of_items


@dataclass
class PalindromeOutput(ModelOutput):
    """`logits (B, 2)`: no, and yes."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None


class RnnForPalindromes(RnnPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.model = RnnModel(config)
        self.judge = nn.Linear(config.output_size, 2)
        self.post_init()

    @can_return_tuple
    def forward(self, input_ids, attention_mask=None, labels=None, **kwargs):
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        y = self.model(input_ids, attention_mask=mask, use_cache=False).last_hidden_state  # (B, T, H), 0 on padding
        logits = self.judge(y.sum(1) / mask.sum(1, keepdim=True).clamp(min=1))
        loss = None
        if labels is not None:
            counted = number_of_items((labels != -100).sum(), kwargs.get("num_items_in_batch"))
            loss = F.cross_entropy(logits, labels, reduction="sum") / counted
        return PalindromeOutput(loss=loss, logits=logits)
