"""Documents as sentences: where the tokens of a batch of documents stand when each sentence is a row of its own.

Sizes: `B` documents, `T` tokens of the longest, `S` its sentences, `N` sentences of all documents, `W` tokens of the
longest sentence.
"""

from dataclasses import dataclass

import torch


@dataclass
class Sentences:
    """
    Args:
        tokens: `(N, W)`, places in the flattened `(B·T)`; 0 where `words` is not set.
        words: `(N, W)`, true where a sentence has a token.
        places: `(N)`, the place of each sentence in the flattened `(B·S)`.
        mask: `(B, S)`, true where a document has a sentence.
    """

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
        return vectors.new_zeros(B * S, C).index_copy(0, self.places, vectors).view(B, S, C)

    def flat(self, weights: torch.Tensor, length: int) -> torch.Tensor:
        """A weight for each token of a sentence, `(N, R, W)` -> `(B, R, T)`, `T = length`, zeros elsewhere."""
        B, R = self.mask.shape[0], weights.shape[1]
        of_tokens = weights.transpose(1, 2)[self.words]  # (tokens, R)
        flat = weights.new_zeros(B * length, R).index_copy(0, self.tokens[self.words], of_tokens)
        return flat.view(B, length, R).transpose(1, 2)


def split_sentences(input_ids: torch.Tensor, mask: torch.Tensor | None, end_ids: list[int]) -> Sentences:
    """Cuts documents after each token of `end_ids` that is not followed by another of them, as after "?!".

    Args:
        input_ids: `(B, T)`.
        mask: `(B, T)`, true on real tokens; the others belong to no sentence.
        end_ids: what ends a sentence.
    """
    B, T = input_ids.shape
    device = input_ids.device
    real = torch.ones_like(input_ids, dtype=torch.bool) if mask is None else mask.bool()
    ends = torch.isin(input_ids, torch.tensor(end_ids, dtype=input_ids.dtype, device=device))
    steps = torch.where(real, torch.arange(T, device=device), -1)
    before = torch.cat([steps.new_full((B, 1), -1), steps[:, :-1]], 1)[:, :T].cummax(1).values  # the last real one
    after_end = (before >= 0) & ends.gather(1, before.clamp(min=0))
    begins = real & ((before < 0) | (after_end & ~ends))

    number = begins.cumsum(1) - 1  # (B, T), of the sentence in its document
    order = real.cumsum(1) - 1
    place = order - torch.where(begins, order, 0).cummax(1).values  # of the token in its sentence
    counts = begins.sum(1)  # (B)
    N = int(counts.sum())
    S, W = int(counts.max()) if B else 0, int(place[real].max()) + 1 if N else 0
    row = (counts.cumsum(0) - counts)[:, None] + number
    tokens = torch.zeros(N, W, dtype=torch.long, device=device)
    words = torch.zeros(N, W, dtype=torch.bool, device=device)
    words[row[real], place[real]] = True
    tokens[row[real], place[real]] = torch.arange(B * T, device=device).view(B, T)[real]
    sentence_mask = torch.arange(S, device=device) < counts[:, None]
    return Sentences(tokens, words, sentence_mask.flatten().nonzero().squeeze(1), sentence_mask)
