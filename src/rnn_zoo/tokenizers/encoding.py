"""Texts of any length as ids."""

import json
import unicodedata
from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np
import torch
from tokenizers import normalizers
from transformers import PreTrainedTokenizerFast

from .characters import char_backend
from .streams import cut_at_line_ends

BATCH_PIECES = 64
CODE_POINTS = 0x110000


def encode_stream(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> torch.Tensor:
    r"""Encodes a text of any length, piece by piece, on all cores: the ids of one encode of `"".join(texts)`.

    Nothing is put between the texts: documents that shall be apart end in `"\n"` (or in more). The text is cut at line
    ends only, so the memory on top of the result stays small if there are some; a text without any is encoded at once.

    Args:
        tokenizer: One that a builder of this package made, or that was loaded from its files. With others, tokens that
            reach over a line end would differ from those of one encode.
        texts: Pieces of one text, cut anywhere.

    Returns:
        Ids, shape (number of tokens,), int32: half the memory of int64, and enough for any vocabulary. Embeddings take
        it as it is; labels of a loss have to be int64, so batches are converted, not the stream.

    Raises:
        ValueError: if `texts` is a string, or has an item that is none, or a lone surrogate.
    """
    return encoder_of(tokenizer)(texts)


def encoder_of(tokenizer: PreTrainedTokenizerFast) -> Callable[[Iterable[str]], torch.Tensor]:
    """`encode_stream` of a tokenizer, for many texts: what it has to know of the tokenizer is found out once."""
    backend, characters = tokenizer.backend_tokenizer, CharacterTable.of(tokenizer)

    def encode(texts: Iterable[str]) -> torch.Tensor:
        # A padded call of the tokenizer leaves its settings behind in the backend, so each use has to set its own.
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = tokenizer.split_special_tokens
        ids, pieces = [], cut_at_line_ends(texts)
        while batch := list(islice(pieces, BATCH_PIECES)):
            if characters is not None and characters.reads(batch):
                ids.append(characters.encode("".join(batch)))
                continue
            for encoding in backend.encode_batch_fast(batch, add_special_tokens=False):
                ids.append(np.array(encoding.ids, np.int32))
        return torch.from_numpy(np.concatenate(ids)) if ids else torch.empty(0, dtype=torch.int32)

    return encode


class CharacterTable:
    """The id of each code point, for tokenizers of `build_char_tokenizer`: a table is read faster than a text is cut.

    Args:
        ids: `(0x110000)`, int32.
        composes: whether texts are read in NFC.
        tokens: special tokens. A piece that ends in one may mean it, which only the tokenizer itself knows.
    """

    def __init__(self, ids: np.ndarray, composes: bool, tokens: tuple[str, ...]):
        self.ids = ids
        self.composes = composes
        self.tokens = tokens

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> "CharacterTable | None":
        """That of a tokenizer; `None` if it is of another kind, or was changed."""
        backend, names = tokenizer.backend_tokenizer, tokenizer.special_tokens_map
        vocabulary, special = backend.get_vocab(with_added_tokens=True), tokenizer.all_special_tokens
        if not tokenizer.split_special_tokens or not {"unk_token", "eos_token"} <= names.keys():
            return None
        if {token.content for token in backend.get_added_tokens_decoder().values()} - {*special}:
            return None
        if any(len(token) > 1 and token not in special for token in vocabulary):
            return None
        if not isinstance(backend.normalizer, normalizers.NFC | None):
            return None
        own = sorted(backend.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])
        made, given = (
            json.loads(one.to_str()) for one in (char_backend(dict(own), backend.normalizer, names), backend)
        )
        if any(made[part] != given[part] for part in ("normalizer", "pre_tokenizer", "model")):
            return None
        ids = np.full(CODE_POINTS, tokenizer.unk_token_id, np.int32)
        for token, number in vocabulary.items():
            if len(token) == 1:
                ids[ord(token)] = number
        return cls(ids, backend.normalizer is not None, tuple(special))

    def reads(self, pieces: list[str]) -> bool:
        """Whether the ids of pieces are those of their characters as they stand."""
        if any(piece.endswith(self.tokens) for piece in pieces):
            return False
        return not self.composes or all(piece.isascii() or unicodedata.is_normalized("NFC", piece) for piece in pieces)

    def encode(self, text: str) -> np.ndarray:
        """The ids of a text, `(characters)`, int32."""
        return self.ids[np.frombuffer(text.encode("utf-32-le"), np.uint32)]
