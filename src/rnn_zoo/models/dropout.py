"""The dropouts of the AWD-LSTM language model (Merity, Keskar, Socher 2017, "Regularizing and Optimizing LSTM Language
Models", section 3 and 4), and that of words which become unknown.

Sizes: `B` batch, `T` time, `D` features, `V` vocabulary, `H` hidden.
"""

import torch
from torch import nn
from torch.nn import functional as F


def locked_dropout(x: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    """Dropout with one mask for all time steps of a row (variational dropout, section 4.2; Gal and Ghahramani 2016).

    Args:
        x: `(B, T, D)`.
        p: share of the features dropped, in [0, 1); the others are divided by `1 - p`.
        training: without it `x` is returned as it is.

    Returns:
        `(B, T, D)`.
    """
    if not training or p == 0.0:
        return x
    keep = x.new_empty(x.shape[0], 1, x.shape[2]).bernoulli_(1 - p).div_(1 - p)  # (B, 1, D)
    return x * keep


def embedding_dropout(embedding: nn.Embedding, input_ids: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    """Looks `input_ids` up while whole words are dropped: a dropped word is zero everywhere in the batch (section 4.3).

    Only the looked-up rows are masked, which equals masking the `(V, D)` matrix and costs `B·T` instead of `V` rows.

    Args:
        embedding: the table, `(V, D)`.
        input_ids: `(B, T)`.
        p: share of the vocabulary dropped, in [0, 1); the other rows are divided by `1 - p`.
        training: without it this is a plain look-up.

    Returns:
        `(B, T, D)`.
    """
    vectors = embedding(input_ids)  # (B, T, D)
    if not training or p == 0.0:
        return vectors
    keep = vectors.new_empty(embedding.num_embeddings, 1).bernoulli_(1 - p).div_(1 - p)  # (V, 1)
    return vectors * F.embedding(input_ids, keep)


def word_dropout(input_ids: torch.Tensor, p: torch.Tensor | float, unk_token_id: int | None) -> torch.Tensor:
    """Some words replaced by the unknown one; in training only.

    Args:
        input_ids: any shape.
        p: the chance of each word, in [0, 1]; one number, or one for each of `input_ids`.
        unk_token_id: the unknown word.
    """
    assert unk_token_id is not None  # who asks for words to be dropped has seen to it
    return input_ids.masked_fill(torch.rand(input_ids.shape, device=input_ids.device) < p, unk_token_id)


def drop_weight(weight: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    """DropConnect on a weight matrix (section 2; Wan et al. 2013): one mask a call, the same for all steps and rows.

    Args:
        weight: a recurrent weight, `(gates·H, H)`.
        p: share of the entries dropped, in [0, 1); the others are divided by `1 - p`.
        training: without it `weight` itself is returned.
    """
    if not training or p == 0.0:
        return weight
    # On a CPU half the time of F.dropout, whose Bernoulli numbers are slow.
    return weight * torch.rand_like(weight, requires_grad=False).ge_(p).div_(1 - p)
