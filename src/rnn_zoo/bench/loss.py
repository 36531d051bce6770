"""The loss of the next word over a large vocabulary, forward and backward."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

from ..models.output_loss import AdaptiveOutput, sum_of_nats
from .pairs import Comparison, Sizes, with_gradients

# WikiText-2: its vocabulary, and features and positions of a step of AWD-LSTM's (Merity, Keskar, Socher 2017), with 16
# lanes.
WORDS, FEATURES, POSITIONS = 33_278, 400, 16 * 70
CUTOFFS = [2_000, 10_000]


def comparisons(sizes: Sizes) -> Iterator[Comparison]:
    hidden = torch.randn(POSITIONS, FEATURES, device=sizes.device, requires_grad=True)
    plain = nn.Linear(FEATURES, WORDS).to(sizes.device)
    adaptive = AdaptiveOutput(FEATURES, WORDS, CUTOFFS).to(sizes.device)
    # Words are as frequent as Zipf's law has it, and ids sorted by how frequent they are.
    frequent = 1 / torch.arange(1, WORDS + 1, dtype=torch.float64)
    targets = torch.multinomial(frequent, POSITIONS, replacement=True).to(sizes.device)

    def scores() -> torch.Tensor:
        return F.cross_entropy(plain(hidden), targets, reduction="sum")

    yield Comparison(
        f"loss over {WORDS:,} words",
        {
            "scores of all words": with_gradients(scores, [hidden, *plain.parameters()]),
            "in chunks": with_gradients(lambda: sum_of_nats(hidden, plain, targets), [hidden, *plain.parameters()]),
            "adaptive softmax": with_gradients(
                lambda: sum_of_nats(hidden, adaptive, targets), [hidden, *adaptive.parameters()]
            ),
        },
        "scores of all words",
        POSITIONS,
        promised=sizes.promised("in chunks", 0.95) | sizes.promised("adaptive softmax", 3.5),
        memory=True,
    )
