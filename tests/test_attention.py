"""Attention: each kind's scores are its paper's formula, and the weights are a distribution over the real steps."""

import math

import pytest
import torch
from test_models import close, close_all

from rnn_zoo.models.attention import ATTENTIONS, Attention

B, T, S = 3, 4, 6
H, C, A = 5, 7, 3  # features of a query, of a source state, and those that both are compared in

every_kind = pytest.mark.parametrize("kind", ATTENTIONS)
scaled_or_not = pytest.mark.parametrize("scaled", [False, True], ids=["plain", "scaled"])

MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]])


def build(kind, scaled=False, query_size=H, value_size=C) -> Attention:
    """An attention in float64 whose parameters are all other than 0; `luong_dot` gets queries as large as values."""
    attention = ATTENTIONS[kind](value_size if kind == "luong_dot" else query_size, value_size, A, scaled).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    return attention


def inputs(attention):
    query = torch.randn(B, T, attention.query_size, dtype=torch.float64, requires_grad=True)
    return query, torch.randn(B, S, attention.value_size, dtype=torch.float64, requires_grad=True)


def plain_score(kind, attention, h, s):
    """The score of a decoder's state `h (H)` for a source state `s (C)`, as its paper writes it, number by number."""
    own = dict(attention.named_parameters())
    if kind in ("luong_dot", "luong_general"):
        W = own.get("key_projection.weight")  # (H, C)
        s = s if W is None else [sum(W[i, j] * s[j] for j in range(len(s))) for i in range(len(h))]
        score = sum(a * b for a, b in zip(h, s, strict=True))
        return score / math.sqrt(len(h)) if attention.scaled else score
    W, U, b, v = (
        own[name] for name in ("query_projection.weight", "key_projection.weight", "key_projection.bias", "v")
    )
    if attention.scaled:
        v = own["gain"] * v / sum(x * x for x in v).sqrt()
    score = 0.0
    for a in range(len(v)):
        inner = b[a]
        for i in range(len(h)):
            inner = inner + W[a, i] * h[i]
        for j in range(len(s)):
            inner = inner + U[a, j] * s[j]
        score = score + v[a] * torch.tanh(inner)
    return score


def plain_attention(kind, attention, h, source):
    """One query `h (H)` over the real steps of one source `(S, C)` -> the context `(C)` and the weights `(S)`."""
    scores = torch.stack([plain_score(kind, attention, h, s) for s in source])
    weights = torch.stack([score.exp() / scores.exp().sum() for score in scores])
    return sum(weight * s for weight, s in zip(weights, source, strict=True)), weights


@every_kind
@scaled_or_not
def test_scores_are_the_formula_of_the_paper(kind, scaled):
    attention = build(kind, scaled)
    query, values = inputs(attention)
    scores = attention.scores(query, attention.keys(values))
    expected = torch.stack(
        [torch.stack([torch.stack([plain_score(kind, attention, h, s) for s in v]) for h in q]) for q, v in
         zip(query, values, strict=True)]
    )  # fmt: skip
    close(scores, expected)
    weights, leaves = torch.randn_like(scores), [query, values, *attention.parameters()]
    close_all(
        torch.autograd.grad((scores * weights).sum(), leaves), torch.autograd.grad((expected * weights).sum(), leaves)
    )


@every_kind
@scaled_or_not
def test_the_context_is_the_mean_of_the_real_states(kind, scaled):
    attention = build(kind, scaled)
    query, values = inputs(attention)
    context, weights = attention(query, attention.keys(values), values, MASK)
    for b in range(2):
        real = MASK[b].bool()
        for t in range(T):
            alone, shares = plain_attention(kind, attention, query[b, t], values[b, real])
            close(context[b, t], alone)
            close(weights[b, t, real], shares)
    assert weights.masked_select(MASK[:, None] == 0).eq(0).all()
    close(weights[:2].sum(-1), torch.ones(2, T, dtype=torch.float64))


@every_kind
@pytest.mark.parametrize(
    "mask", [None, torch.ones(B, S), torch.ones(B, S, dtype=torch.bool)], ids=["none", "1", "true"]
)
def test_a_mask_that_hides_nothing_changes_nothing(kind, mask):
    attention = build(kind)
    query, values = inputs(attention)
    context, weights = attention(query, attention.keys(values), values, mask)
    close(weights, attention.scores(query, attention.keys(values)).softmax(-1))
    close(context, weights @ values)


@every_kind
@scaled_or_not
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_row_without_real_steps_finds_nothing(kind, scaled, dtype):
    attention = build(kind, scaled).to(dtype)
    query, values = (x.detach().to(dtype).requires_grad_() for x in inputs(attention))
    context, weights = attention(query, attention.keys(values), values, MASK)
    assert weights[2].eq(0).all()
    assert context[2].eq(0).all()
    assert context.isfinite().all()
    leaves = [query, values, *attention.parameters()]
    for grad in torch.autograd.grad(context.float().square().sum(), leaves):
        assert grad.isfinite().all()


@every_kind
@scaled_or_not
def test_large_scores_take_one_step_and_give_no_nan(kind, scaled):
    attention = build(kind, scaled)
    query, values = (x.detach() * 1e4 for x in inputs(attention))
    _, weights = attention(query, attention.keys(values), values, MASK)
    assert weights.isfinite().all()
    close(weights[:2].sum(-1), torch.ones(2, T, dtype=torch.float64))


@every_kind
@scaled_or_not
def test_gradients_are_those_of_differences(kind, scaled):
    attention = build(kind, scaled)
    query, values = inputs(attention)

    def run(query, values, *parameters):  # which the check changes in place
        return attention(query, attention.keys(values), values, MASK)

    assert torch.autograd.gradcheck(run, (query, values, *attention.parameters()))


@scaled_or_not
def test_concat_is_one_matrix_over_both_states(scaled):
    """v · tanh(W_a [h; s] + b), of Luong et al. 2015."""
    attention = build("luong_concat", scaled)
    query, values = inputs(attention)
    W = torch.cat([attention.query_projection.weight, attention.key_projection.weight], 1)  # (A, H + C)
    both = torch.cat([query[:, :, None].expand(-1, -1, S, -1), values[:, None].expand(-1, T, -1, -1)], -1)
    v = attention.gain * torch.nn.functional.normalize(attention.v, dim=0) if scaled else attention.v
    close(attention.scores(query, attention.keys(values)), torch.tanh(both @ W.T + attention.key_projection.bias) @ v)


def test_the_size_of_the_normalized_vector_does_not_count():
    attention = build("bahdanau", scaled=True)
    query, values = inputs(attention)
    scores = attention.scores(query, attention.keys(values))
    attention.v.data *= 100
    close(attention.scores(query, attention.keys(values)), scores)
    attention.gain.data *= 3
    close(attention.scores(query, attention.keys(values)), 3 * scores)


@pytest.mark.parametrize("kind", ["luong_dot", "luong_general"])
def test_scaled_products_are_divided_by_the_root_of_the_size(kind):
    plain, scaled = build(kind), build(kind, scaled=True)
    scaled.load_state_dict(plain.state_dict())
    query, values = inputs(plain)
    size = C if kind == "luong_dot" else H
    close(scaled.scores(query, scaled.keys(values)) * math.sqrt(size), plain.scores(query, plain.keys(values)))


def test_dot_refuses_states_of_two_sizes():
    with pytest.raises(ValueError, match=r"luong_dot.*5 features.*7.*luong_general"):
        ATTENTIONS["luong_dot"](H, C, A)
