"""Attention of a decoder to the states of an encoder: what is scored how, and the weighted mean.

Sizes: `B` batch, `T` target steps, `S` source steps, `C` features of a source state, `H` features of a decoder state,
`A` features that the two are compared in.

All kinds share the contract::

    keys = attention.keys(values: (B, S, C)) -> (B, S, A)             # once for each source
    scores = attention.scores(query: (B, T, H), keys) -> (B, T, S)
    context, weights = attention(query, keys, values, mask: (B, S))  -> (B, T, C), (B, T, S)

A new kind is one subclass and one line in `ATTENTIONS`.
"""

import math

import torch
from torch import nn
from transformers import initialization as init


class Projection(nn.Linear):
    """A linear layer that begins uniform in ±√(6 / (inputs + outputs)) (Glorot and Bengio 2010), its bias at 0."""

    def init_weights(self) -> None:
        init.xavier_uniform_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class Attention(nn.Module):
    """What all kinds share: the softmax over the real source steps and the mean of their states.

    α_t = softmax_s(score(h_t, h̄_s)), c_t = Σ_s α_ts h̄_s (Luong, Pham, Manning 2015, equations 7 and following)

    Args:
        query_size: `H`.
        value_size: `C`.
        attention_size: `A`, for the kinds that choose it.
        scaled: whether scores are kept in bounds, each kind in its own way.
    """

    def __init__(self, query_size: int, value_size: int, attention_size: int, scaled: bool = False):
        super().__init__()
        self.query_size = query_size
        self.value_size = value_size
        self.attention_size = attention_size
        self.scaled = scaled

    def keys(self, values: torch.Tensor) -> torch.Tensor:
        """What the scores need of the source: `values (B, S, C)` -> `(B, S, A)`."""
        raise NotImplementedError

    def scores(self, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """`query (B, T, H)`, `keys (B, S, A)` -> `(B, T, S)`."""
        raise NotImplementedError

    def forward(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See the module's contract; where `mask` is 0 the weight is 0. A row without real steps has the context 0."""
        scores = self.scores(query, keys)
        if mask is None:
            weights = scores.softmax(-1)
        else:
            real = mask.bool()[:, None]  # (B, 1, S)
            weights = scores.masked_fill(~real, torch.finfo(scores.dtype).min).softmax(-1) * real.to(scores.dtype)
        return weights @ values, weights

    def init_weights(self) -> None:
        """Fills the parameters of its own that no checkpoint has filled."""

    def extra_repr(self) -> str:
        return f"{self.query_size}, {self.value_size}{', scaled' if self.scaled else ''}"


class AdditiveAttention(Attention):
    """score(h_t, h̄_s) = v · tanh(W h_t + U h̄_s + b) (Bahdanau, Cho, Bengio 2015, appendix A.1.2).

    The score that Luong et al. 2015 call concat, v · tanh(W_a [h_t; h̄_s]), is this one with W and U in one matrix.
    Scaled: `v` becomes g v / |v|, with a learnt `g` that begins at 1/√A (weight normalization, Salimans and Kingma
    2016).
    """

    def __init__(self, query_size: int, value_size: int, attention_size: int, scaled: bool = False):
        super().__init__(query_size, value_size, attention_size, scaled)
        self.query_projection = Projection(query_size, attention_size, bias=False)
        self.key_projection = Projection(value_size, attention_size)
        self.v = nn.Parameter(torch.empty(attention_size))
        self.gain = nn.Parameter(torch.empty(())) if scaled else None
        self.init_weights()

    def init_weights(self) -> None:
        bound = 1 / math.sqrt(self.attention_size)
        init.uniform_(self.v, -bound, bound)
        if self.gain is not None:
            init.constant_(self.gain, bound)

    def keys(self, values):
        return self.key_projection(values)

    def scores(self, query, keys):
        v = self.v if self.gain is None else self.gain * self.v / self.v.norm()
        return torch.tanh(self.query_projection(query)[:, :, None] + keys[:, None]) @ v  # (B, T, S, A) @ (A)


class DotAttention(Attention):
    """score(h_t, h̄_s) = h_t · h̄_s (Luong et al. 2015, equation 8, dot); both of one size. Scaled: divided by √H.

    Raises:
        ValueError: if the sizes differ.
    """

    def __init__(self, query_size: int, value_size: int, attention_size: int, scaled: bool = False):
        if query_size != value_size:
            raise ValueError(
                f"attention='luong_dot': the decoder's states have {query_size} features, the encoder's {value_size}; "
                "they must have as many (luong_general has a matrix between them)"
            )
        super().__init__(query_size, value_size, attention_size, scaled)

    def keys(self, values):
        return values

    def scores(self, query, keys):
        if self.scaled:
            query = query / math.sqrt(self.query_size)
        return query @ keys.transpose(1, 2)


class GeneralAttention(Attention):
    """score(h_t, h̄_s) = h_t · W h̄_s (Luong et al. 2015, equation 8, general). Scaled: divided by √H."""

    def __init__(self, query_size: int, value_size: int, attention_size: int, scaled: bool = False):
        super().__init__(query_size, value_size, attention_size, scaled)
        self.key_projection = Projection(value_size, query_size, bias=False)

    def keys(self, values):
        return self.key_projection(values)

    scores = DotAttention.scores


ATTENTIONS: dict[str, type[Attention]] = {
    "bahdanau": AdditiveAttention,
    "luong_dot": DotAttention,
    "luong_general": GeneralAttention,
    "luong_concat": AdditiveAttention,
}
