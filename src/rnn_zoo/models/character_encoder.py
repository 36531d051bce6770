"""Words read by their spelling: characters -> one vector a word.

Sizes: `B` batch, `T` words, `W` characters of a word, `C` features of a character, `F` features of a word.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .cells import CELLS

PADDING = 0  # the character id that is none


class CharacterCnn(nn.Module):
    """A convolution over the characters of a word, then the greatest value of each filter (dos Santos and Zadrozny
    2014; Ma and Hovy 2016, section 2.1).

    Args:
        config: with `character_embedding_size`, `character_hidden_size` and `character_kernel_size`.
    """

    def __init__(self, config):
        super().__init__()
        size = config.character_kernel_size
        self.padding = ((size - 1) // 2, size // 2)
        self.convolution = nn.Conv1d(config.character_embedding_size, config.character_hidden_size, size)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`x (N, W, C)` with zeros where `mask (N, W)` is 0 -> `(N, F)`, zeros for a word without characters."""
        y = self.convolution(F.pad(x.transpose(1, 2), self.padding))  # (N, F, W)
        y = y.masked_fill(~mask[:, None], torch.finfo(y.dtype).min).amax(-1)
        return y.masked_fill(~mask.any(1, keepdim=True), 0)


class CharacterRnn(nn.Module):
    """The last states of two recurrent networks, one reading a word forward, one backward (Lample et al. 2016, section
    4.1).

    Args:
        config: with `cell_type`, `character_embedding_size` and `character_hidden_size`, half of it for each direction.
    """

    def __init__(self, config):
        super().__init__()
        cell = CELLS[config.cell_type]
        self.cells = nn.ModuleList(
            cell(config.character_embedding_size, config.character_hidden_size // 2) for _ in range(2)
        )

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`x (N, W, C)`, `mask (N, W)` -> `(N, F)`, zeros for a word without characters."""
        forward, backward = self.cells
        _, (h, *_) = forward(x, None, mask)
        _, (h_backward, *_) = backward(x.flip(1), None, mask.flip(1))
        return torch.cat([h, h_backward], -1)


CHARACTER_ENCODERS = {"cnn": CharacterCnn, "rnn": CharacterRnn}


class CharacterEncoder(nn.Module):
    """A vector for each word, made from its characters.

    Args:
        config: a configuration with the character fields of `RnnConfig`.
    """

    def __init__(self, config):
        super().__init__()
        self.embedding = nn.Embedding(config.character_vocab_size, config.character_embedding_size, padding_idx=PADDING)
        self.encoder = CHARACTER_ENCODERS[config.character_encoder](config)

    def forward(self, character_ids: torch.Tensor) -> torch.Tensor:
        """`character_ids (B, T, W)`, padded on the right with 0 -> `(B, T, F)`; padding is 0."""
        B, T, _ = character_ids.shape
        words = character_ids.flatten(0, 1)  # (N, W)
        place = None
        if words.device.type == "cpu" and not torch.compiler.is_compiling() and words.numel():
            words = words[:, : max(int((words != PADDING).any(0).sum()), 1)]  # no word of this batch is longer
            words, place = distinct(words)
        mask = words != PADDING
        x = self.embedding(words) * mask[..., None]
        y = self.encoder(x, mask)
        if place is not None:
            y = F.embedding(place, y)  # y[place], with a faster gradient
        return y.unflatten(0, (B, T))


def distinct(words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`words (N, W)` -> each spelling once `(M, W)`, and for each word the place of its own `(N)`; most words recur."""
    powers = torch.full((words.shape[1],), 0x5851F42D4C957F2D, dtype=torch.int64).cumprod(
        0
    )  # an odd number: modulo 2**64
    keys, place = (words * powers).sum(1).unique(return_inverse=True)
    one = torch.empty_like(keys).scatter_(0, place, torch.arange(len(words)))
    found = words[one]
    if torch.equal(found[place], words):
        return found, place
    return words, torch.arange(len(words))  # two spellings had one key
