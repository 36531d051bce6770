"""Padding: a layer in both directions over sentences, forward and backward, against packed sequences."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .. import RnnConfig
from ..models.recurrent_stack import RecurrentStack
from .pairs import Comparison, Sizes, with_gradients

# The lengths in words of sentences of news (CoNLL-2003, English, training part): of each hundredth the middle.
# fmt: off
LENGTHS = [
    1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 6,
    6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8, 9, 9, 9, 9, 9, 9, 10,
    10, 10, 10, 11, 11, 11, 12, 12, 13, 13, 14, 14, 14, 15, 16, 16, 17, 17, 18, 19, 19, 20, 21, 21, 22,
    23, 23, 24, 25, 25, 26, 27, 27, 28, 29, 29, 30, 31, 31, 32, 33, 34, 35, 36, 37, 38, 40, 41, 44, 49,
]
# fmt: on
SENTENCES, FEATURES = 1024, 200  # the hidden size of NCRF++ (Yang and Zhang 2018)


def comparisons(sizes: Sizes) -> Iterator[Comparison]:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor(LENGTHS)[torch.randint(len(LENGTHS), (SENTENCES,), generator=generator)]
    words = int(lengths.sum())
    random = batches(lengths, sizes)
    sorted_ = batches(lengths.sort().values, sizes)
    for name in sizes.cells:
        if name != "lstm":
            continue
        config = RnnConfig(hidden_size=FEATURES, embedding_size=FEATURES, bidirectional=True, cell_type=name)
        stack = RecurrentStack(config, FEATURES).to(sizes.device)
        module = nn.LSTM(FEATURES, FEATURES, batch_first=True, bidirectional=True).to(sizes.device)

        def ours(given, stack=stack):
            return sum(stack(x, None, mask)[0].sum() for x, mask, _ in given)

        def packed(given, module=module):
            sums = []
            for x, _, sizes_of_rows in given:
                y, _ = module(pack_padded_sequence(x, sizes_of_rows, batch_first=True, enforce_sorted=False))
                sums.append(pad_packed_sequence(y, batch_first=True)[0].sum())
            return torch.stack(sums).sum()

        leaves = list(stack.parameters())
        theirs = list(module.parameters())
        ways = {
            "packed, random batches": with_gradients(lambda: packed(random), theirs),
            "packed, batches by length": with_gradients(lambda: packed(sorted_), theirs),
            f"{name}, batches by length": with_gradients(lambda: ours(sorted_), leaves),
        }
        for base, promise in (("packed, random batches", 2.5), ("packed, batches by length", 1.6)):
            ours_by_length = f"{name}, batches by length"
            promised = sizes.promised(ours_by_length, promise)
            chosen = {base: ways[base], ours_by_length: ways[ours_by_length]}
            yield Comparison(f"{SENTENCES} sentences, both directions", chosen, base, words, "words", promised)


def batches(lengths: torch.Tensor, sizes: Sizes) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Rows of numbers `(B, T, D)`, their masks `(B, T)`, their lengths `(B)`."""
    found = []
    for part in lengths.split(sizes.batch):
        mask = torch.arange(int(part.max())) < part[:, None]
        x = torch.randn(*mask.shape, FEATURES)
        found.append((x.to(sizes.device), mask.to(sizes.device), part))
    return found
