"""The dropouts of the AWD-LSTM: what one mask covers, and that evaluation knows nothing of them."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rnn_zoo.models.dropout import drop_weight, embedding_dropout, locked_dropout, word_dropout

P = 0.4


def test_locked_mask_is_constant_over_time_and_new_for_each_row():
    y = locked_dropout(torch.ones(3, 7, 50), P, training=True)
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert not torch.equal(y[0], y[1])
    assert not torch.equal(y[1], y[2])


def test_locked_dropout_drops_its_share_and_keeps_the_mean():
    y = locked_dropout(torch.ones(200, 1, 200), P, training=True)
    assert y.unique().tolist() == pytest.approx([0, 1 / (1 - P)])
    assert y.mean().item() == pytest.approx(1, abs=0.03)


def test_embedding_dropout_drops_whole_words_everywhere():
    embedding = nn.Embedding(40, 6)
    ids = torch.randint(40, (5, 30))
    vectors = embedding_dropout(embedding, ids, P, training=True)
    scale = vectors / embedding(ids)  # (B, T, E): one number for each word
    assert scale.unique().numel() >= 2
    for word in ids.unique():
        of_word = scale[ids == word]
        torch.testing.assert_close(of_word, of_word[0, 0].expand_as(of_word))
        assert of_word[0, 0].item() == pytest.approx(0) or of_word[0, 0].item() == pytest.approx(1 / (1 - P))


def test_embedding_dropout_is_a_look_up_in_the_masked_matrix():
    embedding = nn.Embedding(40, 6)
    ids = torch.randint(40, (5, 30))
    weights = torch.randn(5, 30, 6)
    torch.manual_seed(3)
    keep = torch.empty(40, 1).bernoulli_(1 - P) / (1 - P)
    expected = F.embedding(ids, embedding.weight * keep)
    torch.manual_seed(3)
    vectors = embedding_dropout(embedding, ids, P, training=True)
    torch.testing.assert_close(vectors, expected)
    got = torch.autograd.grad((vectors * weights).sum(), embedding.weight)[0]
    torch.testing.assert_close(got, torch.autograd.grad((expected * weights).sum(), embedding.weight)[0])
    assert got[keep[:, 0] == 0].eq(0).all()


def test_embedding_dropout_keeps_the_mean():
    embedding = nn.Embedding(20_000, 1)
    nn.init.ones_(embedding.weight)
    vectors = embedding_dropout(embedding, torch.arange(20_000)[None], P, training=True)
    assert vectors.mean().item() == pytest.approx(1, abs=0.03)


def test_dropped_weights_have_no_gradient_and_the_others_grow():
    weight = nn.Parameter(torch.ones(200, 200))
    dropped = drop_weight(weight, P, training=True)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / (1 - P)])
    assert dropped.mean().item() == pytest.approx(1, abs=0.03)
    dropped.sum().backward()
    assert torch.equal(weight.grad, dropped.detach())


def test_words_become_unknown_by_their_own_chances():
    ids = torch.randint(4, 40, (100, 100))
    same = word_dropout(ids, P, 3)
    assert torch.equal(same[same != 3], ids[same != 3])
    assert (same == 3).float().mean().item() == pytest.approx(P, abs=0.03)
    chances = (ids % 2).float()
    assert torch.equal(word_dropout(ids, chances, 3) == 3, chances == 1)


@pytest.mark.parametrize(("p", "training"), [(P, False), (0.0, True)], ids=["evaluation", "share 0"])
def test_without_dropout_nothing_changes(p, training):
    x, embedding, ids = torch.randn(3, 7, 5), nn.Embedding(9, 4), torch.randint(9, (3, 7))
    assert locked_dropout(x, p, training) is x
    assert drop_weight(x, p, training) is x
    assert torch.equal(embedding_dropout(embedding, ids, p, training), embedding(ids))
