"""Direct connections: from the n-grams of a text to the scores of its labels, beside the recurrent network.

What a bag of words and of runs of words says, as a linear part of the model that is trained with it. Mikolov et al.
2011, "Strategies for Training Large Scale Neural Network Language Models" (RNNME), connect hashed n-grams with the
outputs of a recurrent language model in this way; that an n-gram counts once a text, however often it stands there, is
from Wang and Manning 2012, "Baselines and Bigrams".

Sizes: `B` batch, `T` time, `N` longest n-gram, `L` labels.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .real_steps import RealSteps

PRIME, BASE = 2**31 - 1, 1_103_515_245  # of the numbers that stand for n-grams; sums of products stay below 2**63
SPREAD = 742_938_285  # spreads them over the rows
NOTHING = -1


class DirectNgrams(nn.Module):
    """Scores of labels from the distinct n-grams of a text, of 1 to `N` tokens that follow one another.

    score = (1 / √n) Σ_g w_g    over the n distinct n-grams g of the text

    Each n-gram has `L` weights, found by a hash of its tokens; n-grams that share a row share its weights. A token that
    the mask hides does not stand between its neighbours. The weights begin with 0.

    Args:
        config: with `direct_ngram_order` (`N`), `direct_ngram_size` (rows) and `num_labels` (`L`).
    """

    def __init__(self, config):
        super().__init__()
        self.order: int = config.direct_ngram_order
        self.weight = nn.Parameter(torch.zeros(config.direct_ngram_size, config.num_labels))

    def init_weights(self) -> None:
        """All n-grams say nothing."""
        init.zeros_(self.weight)

    def forward(self, input_ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """`input_ids (B, T)`, `mask (B, T)` true on real tokens or `None` -> scores `(B, L)`, 0 for an empty text."""
        rows, _ = self.rows(input_ids, mask)
        rows = rows.flatten(1).sort(1).values  # (B, N·T)
        counts = (rows != NOTHING) & (rows != F.pad(rows, (1, 0), value=NOTHING)[:, :-1])
        total = (F.embedding(rows.clamp(min=0), self.weight) * counts[..., None]).sum(1)
        return total / counts.sum(1, keepdim=True).clamp(min=1).to(total.dtype).sqrt()

    def contributions(self, input_ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """What each token has given to the scores, `(B, T, L)`: of each n-gram's part its tokens have the same share,
        and so have the places where it stands. The sum over `T` is the scores."""
        rows, order = self.rows(input_ids, mask)
        flat = rows.flatten(1)  # (B, N·T)
        shares = self.weight.new_zeros(flat.shape)
        for text, share in zip(flat, shares, strict=True):
            _, place, counts = text.unique(return_inverse=True, return_counts=True)
            real = text != NOTHING
            number = len(counts) - int(not real.all())  # of distinct ones
            share += real / (counts[place].to(share.dtype) * max(number, 1) ** 0.5)
        parts = F.embedding(flat.clamp(min=0), self.weight) * shares[..., None]
        parts = parts.unflatten(1, rows.shape[1:])
        given = parts[:, 0]
        for n in range(1, self.order):
            for back in range(n + 1):
                given = given + F.pad(parts[:, n], (0, 0, 0, back))[:, back:] / (n + 1)
        return torch.zeros_like(given).scatter(1, order[..., None].expand_as(given), given)

    def rows(self, input_ids: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The row of the n-gram of 1 to `N` tokens that ends with each token, `(B, N, T)`, with the real tokens moved
        to the left; `NOTHING` where there is none. And from where each token came, `(B, T)`."""
        ids = input_ids.long()
        if mask is None:
            mask = torch.ones_like(ids, dtype=torch.bool)
        steps = RealSteps(mask)
        ids, real = steps.to_front(ids), mask.bool().gather(1, steps.order)
        key, found = torch.zeros_like(ids), []
        for n in range(self.order):
            before = F.pad(ids + 1, (n, 0))[:, : ids.shape[1]]  # 0 before the beginning
            key = (key * BASE + before) % PRIME
            row = (key * SPREAD + n) % PRIME % len(self.weight)
            found.append(torch.where(real & (before > 0), row, NOTHING))
        return torch.stack(found, 1), steps.order

    def extra_repr(self) -> str:
        return f"order={self.order}"
