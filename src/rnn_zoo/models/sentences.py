"""Documents as sentences: where the tokens of a batch of documents stand when each sentence is a row of its own.

Sizes: `B` documents, `T` tokens of the longest, `S` its sentences, `N` sentences of all documents, `W` tokens of the
longest sentence.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from .host_and_device import numbers_on


@dataclass
class Sentences:
    """
    Args:
        row, place: `(B, T)`, where each token stands in the sentences; padding beyond them, at `N` and `W`.
        tokens: `(N, W)`, places in the flattened `(B·T)`; 0 where `words` is not set.
        words: `(N, W)`, true where a sentence has a token.
        places: `(N)`, the place of each sentence in the flattened `(B·S)`; `B·S` for a row that is none.
        mask: `(B, S)`, true where a document has a sentence.
    """

    row: torch.Tensor
    place: torch.Tensor
    tokens: torch.Tensor
    words: torch.Tensor
    places: torch.Tensor
    mask: torch.Tensor

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """`x (B, T, ...)` -> `(N, W, ...)`."""
        return x.flatten(0, 1)[self.tokens]

    def documents(self, vectors: torch.Tensor) -> torch.Tensor:
        """A vector for each sentence, `(N, C)` -> `(B, S, C)`, zeros where there is none."""
        B, S = self.mask.shape
        C = vectors.shape[1]
        return vectors.new_zeros(B * S + 1, C).index_copy(0, self.places, vectors)[:-1].view(B, S, C)

    def flat(self, weights: torch.Tensor) -> torch.Tensor:
        """A weight for each token of a sentence, `(N, R, W)` -> `(B, R, T)`, zeros elsewhere."""
        return F.pad(weights, (0, 1, 0, 0, 0, 1))[self.row, :, self.place].transpose(1, 2)


def split_sentences(
    input_ids: torch.Tensor, mask: torch.Tensor | None, end_ids: list[int], bounds: bool = False
) -> Sentences:
    """Cuts documents after each token of `end_ids` that is not followed by another of them, as after "?!".

    Args:
        input_ids: `(B, T)`.
        mask: `(B, T)`, true on real tokens; the others belong to no sentence.
        end_ids: what ends a sentence.
        bounds: whether `N`, `S` and `W` are the greatest that they could be, and so known without the tokens.
    """
    B, T = input_ids.shape
    device = input_ids.device
    real = torch.ones_like(input_ids, dtype=torch.bool) if mask is None else mask.bool()
    ends = torch.isin(input_ids, numbers_on(device, end_ids, input_ids.dtype))
    steps = torch.where(real, torch.arange(T, device=device), -1)
    before = F.pad(steps, (1, 0), value=-1)[:, :-1].cummax(1).values  # the last real one
    after_end = (before >= 0) & ends.gather(1, before.clamp(min=0))
    begins = real & ((before < 0) | (after_end & ~ends))

    number = begins.cumsum(1) - 1  # (B, T), of the sentence in its document
    order = real.cumsum(1) - 1
    place = order - torch.where(begins, order, 0).cummax(1).values  # of the token in its sentence
    counts = begins.sum(1)  # (B)
    if bounds:
        N, S, W = B * T, T, T
    elif B and T:
        N, S, W = sizes_of(counts.sum(), counts.max(), torch.where(real, place, -1).max() + 1)
    else:
        N = S = W = 0
    row = torch.where(real, (counts.cumsum(0) - counts)[:, None] + number, N)
    place = torch.where(real, place, W)
    # One row and one column more take what is padding.
    tokens = torch.zeros(N + 1, W + 1, dtype=torch.long, device=device)
    tokens = tokens.index_put((row, place), torch.arange(B * T, device=device).view(B, T))[:N, :W]
    words = torch.zeros(N + 1, W + 1, dtype=torch.bool, device=device).index_put((row, place), real)[:N, :W]
    places = torch.arange(B, device=device)[:, None] * S + number
    none = torch.full((N + 1,), B * S, dtype=torch.long, device=device)
    places = none.index_put((torch.where(begins, row, N),), places)[:N]
    return Sentences(row, place, tokens, words, places, torch.arange(S, device=device) < counts[:, None])


def sizes_of(*counts: torch.Tensor) -> list[int]:
    """Sizes that only the texts tell, of all together one wait for a GPU; in an exported program each is at least 1, so
    that nothing in it is empty."""
    if not torch.compiler.is_exporting():
        return torch.stack(counts).tolist()
    sizes = []
    for count in counts:
        size = count.clamp(min=1).item()
        torch._check(size >= 1)
        sizes.append(size)
    return sizes  # type: ignore[return-value]
