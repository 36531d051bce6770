"""Words read by their spelling: characters -> one vector a word.

Sizes: `B` batch, `T` words, `W` characters of a word, `C` features of a character, `F` features of a word.
"""

import unicodedata

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .cells import CELLS
from .host_and_device import numbers_on
from .real_steps import RealSteps, gather_time

PADDING, UNKNOWN, FIRST = 0, 1, 2  # character ids: none, any other, and the first one of a tokenizer's characters
NO_SIGN, UPPER, LOWER, LETTER, DIGIT, SIGN = range(6)  # kinds of characters; SIGN + its id is that of any other
KINDS = {"Lu": UPPER, "Lt": UPPER, "Ll": LOWER, "L": LETTER, "N": DIGIT, "M": NO_SIGN, "Cf": NO_SIGN}
SHAPE_LENGTH = 10  # kinds of characters of which a shape consists at most
PRIME, BASE = 2**31 - 1, 31_337  # of the numbers that stand for affixes; sums of products stay below 2**63
NO_KEY = PRIME
KEY = 0x5851F42D4C957F2D  # an odd number, modulo 2**64


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
    """The last outputs of two recurrent networks, one reading a word forward, one backward (Lample et al. 2016, section
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
        y, _ = forward(x, None, mask)
        y_backward, _ = backward(x.flip(1), None, mask.flip(1))
        return torch.cat([at_last(y, mask), at_last(y_backward, mask.flip(1))], -1)


def at_last(y: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`y (N, W, F)` at the last step where `mask (N, W)` is 1, `(N, F)`; zeros, as y is there, if there is none."""
    steps = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return gather_time(y, (mask * steps).argmax(1, keepdim=True)).squeeze(1)


CHARACTER_ENCODERS = {"cnn": CharacterCnn, "rnn": CharacterRnn}


class AffixEncoder(nn.Module):
    """Vectors of a word's prefixes, of its suffixes, and of its shape: what feature-based taggers live from.

    Prefixes and suffixes have 1 to `affix_length` characters, without case and with every digit as one. The shape is
    the sequence of the kinds of characters, a run of one kind at most twice: `"McCain-1990"` is `XxXxx-dd`. Combining
    signs belong to the letter before and have no kind. What characters are is told by `mark_characters`, which affixes
    and shapes are frequent by `keep_frequent`; all others of one length share a vector, so that a model has learnt
    what to make of one that it never saw.

    Args:
        config: with `affix_length`, `affix_embedding_size`, `affix_vocab_size` and `character_vocab_size`.
    """

    folded: torch.Tensor  # (character_vocab_size), the id of each character's lower-case form; one id for all digits
    kinds: torch.Tensor  # (character_vocab_size)
    frequent: torch.Tensor  # (num_features, affix_vocab_size), the keys that have a vector, rising; NO_KEY fills up

    def __init__(self, config):
        super().__init__()
        self.length, self.size = config.affix_length, config.affix_vocab_size
        self.num_features = 2 * self.length + 1
        self.embedding = nn.Embedding(self.num_features * (self.size + 1), config.affix_embedding_size)
        self.register_buffer("folded", torch.empty(config.character_vocab_size, dtype=torch.long))
        self.register_buffer("kinds", torch.empty(config.character_vocab_size, dtype=torch.long))
        self.register_buffer("frequent", torch.empty(self.num_features, self.size, dtype=torch.long))
        self.init_weights()

    def init_weights(self) -> None:
        """Every character itself and of its own kind, no affix frequent, until it is told."""
        ids = torch.arange(len(self.folded), device=self.folded.device)
        init.copy_(self.folded, ids)
        init.copy_(self.kinds, (ids + SIGN).masked_fill(ids == PADDING, NO_SIGN))
        init.constant_(self.frequent, NO_KEY)

    def mark_characters(self, characters: str) -> None:
        """Takes the tokenizer's `characters`, in the order of their ids."""
        if FIRST + len(characters) > len(self.kinds):
            raise ValueError(f"the tokenizer has {len(characters)} characters, the model {len(self.kinds) - FIRST}")
        ids = {character: n for n, character in enumerate(characters, FIRST)}
        digit = next((n for character, n in ids.items() if kind_of(character) == DIGIT), UNKNOWN)
        for character, n in ids.items():
            kind = kind_of(character)
            self.folded[n] = digit if kind == DIGIT else ids.get(character.lower(), n)
            self.kinds[n] = SIGN + n if kind == SIGN else kind

    def keep_frequent(self, words: torch.Tensor, min_words: int) -> None:
        """Gives vectors to the affixes and shapes of at least `min_words` of the distinct `words (N, W)`, to the
        `affix_vocab_size` most frequent ones of each length; after `mark_characters`."""
        self.frequent.fill_(NO_KEY)
        for n, keys in enumerate(self.keys(words).unbind(1)):
            found, counts = keys.unique(return_counts=True)
            order = counts.argsort(descending=True, stable=True)[: self.size]
            kept = found[order[counts[order] >= min_words]].sort().values
            self.frequent[n, : len(kept)] = kept

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """Character ids `words (N, W)`, padded on the right with 0 -> `(N, F)`, zeros for no word."""
        keys = self.keys(words).T.contiguous()  # (num_features, N)
        place = torch.searchsorted(self.frequent, keys).clamp(max=self.size - 1)
        known = self.frequent.gather(1, place) == keys
        first = (self.size + 1) * torch.arange(self.num_features, device=words.device)
        vectors = self.embedding(torch.where(known, place + 1, 0).T + first)
        return vectors.flatten(1) * (words != PADDING).any(1, keepdim=True)

    def keys(self, words: torch.Tensor) -> torch.Tensor:
        """A number for each affix and for the shape, `(N, num_features)`; equal for equal ones."""
        words = F.pad(words, (0, self.length))  # at least as many characters as an affix has
        W, length = words.shape[1], (words != PADDING).sum(1, keepdim=True)  # (N, 1)
        factors = numbers_on(words.device, [pow(BASE, n + 1, PRIME) for n in range(W)], torch.long)
        near = torch.arange(self.length, device=words.device)  # to the beginning, or to the end
        folded = self.folded[words] + 1
        prefix = folded[:, : self.length]
        suffix = folded.gather(1, (length - 1 - near).clamp(min=0))
        affixes = [(part * (near < length) * factors[: self.length]).cumsum(1) for part in (prefix, suffix)]
        return torch.cat([*affixes, self.shape(words, factors)], 1) % PRIME

    def shape(self, words: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        """The key of each word's shape, `(N, 1)`."""
        kinds = self.kinds[words]
        kinds = RealSteps(kinds != NO_SIGN).to_front(kinds)  # NO_SIGN is 0, and so is what follows them
        before = F.pad(kinds, (2, 0), value=-1)
        counts = (kinds != NO_SIGN) & ~((kinds == before[:, 1:-1]) & (kinds == before[:, :-2]))
        place = counts.cumsum(1) - 1
        counts = counts & (place < SHAPE_LENGTH)
        return (kinds * counts * factors[place.clamp(min=0)]).sum(1, keepdim=True)


def kind_of(character: str) -> int:
    """What a character is in a word's shape, by its Unicode category."""
    category = unicodedata.category(character)
    return KINDS.get(category, KINDS.get(category[0], SIGN))


class CharacterEncoder(nn.Module):
    """A vector for each word, made from its characters.

    Args:
        config: a configuration with the character and affix fields of `RnnConfig`.
    """

    def __init__(self, config):
        super().__init__()
        self.embedding = nn.Embedding(config.character_vocab_size, config.character_embedding_size, padding_idx=PADDING)
        self.encoder = CHARACTER_ENCODERS[config.character_encoder](config)
        self.affixes = AffixEncoder(config) if config.affix_length else None

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
        if self.affixes is not None:
            y = torch.cat([y, self.affixes(words)], -1)
        if place is not None:
            y = F.embedding(place, y)  # y[place], with a faster gradient
        return y.unflatten(0, (B, T))


def distinct(words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`words (N, W)` -> each spelling once `(M, W)`, and for each word the place of its own `(N)`; most words recur."""
    powers = torch.full((words.shape[1],), KEY, dtype=torch.int64).cumprod(0)
    keys, place = (words * powers).sum(1).unique(return_inverse=True)
    one = torch.empty_like(keys).scatter_(0, place, torch.arange(len(words)))
    found = words[one]
    if torch.equal(found[place], words):
        return found, place
    return words, torch.arange(len(words))  # two spellings had one key
