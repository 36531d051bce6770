"""Direct connections of n-grams: the sum over distinct ones, masks, their own loss and learning rate, files."""

import math

import pytest
import torch
from conftest import UNK, T, V, pad_rows, random_ids
from huggingface_hub.errors import StrictDataclassError
from test_models import close
from test_sequence_classification import DOCUMENTS, LABELS, TYPES, build, labels_of
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, TrainingArguments

from rnn_zoo.errors import UserError
from rnn_zoo.models.direct_ngrams import NOTHING
from rnn_zoo.tasks.sequence_classification.explanation import token_weights
from rnn_zoo.training.fine_tuning import fine_tuning_parts
from rnn_zoo.training.keys import TransferArguments
from rnn_zoo.training.run_trainer import RunTrainer

SIZES = {"direct_ngram_size": 5000}

orders = pytest.mark.parametrize("order", [1, 2, 3])


def direct(order, **overrides):
    """A classifier whose n-grams have random weights."""
    model = build("mean", direct_ngram_order=order, **SIZES | overrides)
    torch.nn.init.normal_(model.direct.weight)
    return model


def scores_by_hand(module, ids, order):
    """Of one text: each distinct n-gram once; its row is that of the text that ends with it."""
    weights = {}
    for end in range(len(ids)):
        for n in range(min(order, end + 1)):
            gram = ids[end - n : end + 1]
            rows, _ = module.rows(gram[None], None)
            weights[tuple(gram.tolist())] = module.weight[rows[0, n, -1]]
    return sum(weights.values()) / math.sqrt(len(weights)) if weights else torch.zeros(LABELS)


@orders
def test_the_sum_over_distinct_ngrams(order):
    module, ids = direct(order).direct, random_ids(4, 3 * T)
    close(module(ids, None), torch.stack([scores_by_hand(module, row, order) for row in ids]))


def test_ngrams_have_rows_of_their_own():
    """All pairs of a vocabulary, and the single tokens: nearly as many rows as they are."""
    module = direct(2, direct_ngram_size=2**22, vocab_size=300).direct
    pairs = torch.cartesian_prod(torch.arange(300), torch.arange(300))
    rows, _ = module.rows(pairs, None)
    found = rows[:, 1, 1].unique()
    assert len(found) > 0.98 * len(pairs)
    assert len(module.rows(torch.arange(300)[:, None], None)[0].unique()) == 2 * 300 - 299  # and `NOTHING`
    assert rows.max() < 2**22


@orders
@pytest.mark.parametrize("side", ["left", "right", "inside"])
def test_a_padded_text_is_the_text_alone(order, side):
    model, lengths = direct(order), [T, 1, 4, 0]
    texts = [random_ids(1, length)[0] for length in lengths]
    if side == "inside":
        mask = torch.zeros(len(texts), 2 * T, dtype=torch.long)
        ids = random_ids(len(texts), 2 * T)
        for row, text in enumerate(texts):
            places = torch.randperm(2 * T)[: len(text)].sort().values
            mask[row, places], ids[row, places] = 1, text
    else:
        ids, mask = pad_rows(texts, side)
    alone = torch.cat([model(text[None]).logits for text in texts])
    close(model(ids, attention_mask=mask).logits, alone)


def test_logits_are_the_mean_and_each_kind_of_scores_has_its_loss():
    model, ids, labels = direct(2), random_ids(4, T), torch.randint(LABELS, (4,))
    outputs = model(ids, labels=labels)
    recurrent, ngrams = model._head(model.pooling(model.model(ids).last_hidden_state, None)[0]), model.direct(ids, None)
    close(outputs.logits, (recurrent + ngrams) / 2)
    close(outputs.loss, F.cross_entropy(outputs.logits.float(), labels), 1e-6)
    losses = [F.cross_entropy(scores.float(), labels) for scores in (recurrent, ngrams)]
    close(model.train()(ids, labels=labels).loss, sum(losses) / 2, 1e-6)


@pytest.mark.parametrize("problem_type", TYPES)
@pytest.mark.parametrize("level", [{}, DOCUMENTS], ids=["flat", "hierarchical"])
def test_every_kind_of_labels_trains_both(problem_type, level):
    model = direct(2, problem_type=problem_type, **level).train()
    model(random_ids(4, T), labels=labels_of(problem_type, 4)).loss.backward()
    assert model.direct.weight.grad.abs().sum() > 0
    assert model.classifier.weight.grad.abs().sum() > 0


def test_they_begin_with_nothing_and_are_saved(tmp_path):
    model = build("mean", direct_ngram_order=2, **SIZES)
    assert not model.direct.weight.any()
    torch.nn.init.normal_(model.direct.weight)
    model.float().save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    ids = random_ids(2, T)
    close(again(ids).logits, model(ids).logits, 1e-6)


@orders
@pytest.mark.parametrize("mask", [False, True])
def test_contributions_are_shares_of_the_scores(order, mask):
    module, ids = direct(order).direct, random_ids(3, T, vocab_size=7)  # n-grams come again
    real = torch.rand(3, T) > 0.3 if mask else torch.ones(3, T, dtype=torch.bool)
    given = module.contributions(ids, real)
    close(given.sum(1), module(ids, real))
    assert not given[~real].any()


def test_a_pair_is_shared_by_its_tokens():
    module, ids = direct(2).direct, torch.tensor([[5, 6, 7]])
    rows, _ = module.rows(ids, None)
    w = module.weight[rows.clamp(min=0)][0]  # (N, T, L)
    given = module.contributions(ids, None)[0] * math.sqrt(5)
    close(given, torch.stack([w[0, 0] + w[1, 1] / 2, w[0, 1] + (w[1, 1] + w[1, 2]) / 2, w[0, 2] + w[1, 2] / 2]))


def test_explanations_hold_both_parts():
    """Of a recurrent part that says nothing, a token's value is what the n-grams gave to the logit."""
    model, ids = direct(2), random_ids(2, T)
    torch.nn.init.zeros_(model.classifier.weight)
    found = token_weights(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, 1)
    close(found.gradient.sum(1) + model.classifier.bias[1] / 2, model(ids).logits[:, 1])


def trainer_of(model, tmp_path, **transfer):
    args = TrainingArguments(str(tmp_path), learning_rate=1e-3, weight_decay=0.1, report_to="none", use_cpu=True)
    return RunTrainer(model.float(), args, parts=fine_tuning_parts(TransferArguments(**transfer)))


@pytest.mark.parametrize("decay", [1.0, 0.5])
@pytest.mark.parametrize("given", [None, 0.1])
def test_a_learning_rate_of_their_own(tmp_path, decay, given):
    model = direct(1)
    optimizer = trainer_of(model, tmp_path, layer_lr_decay=decay, direct_learning_rate=given).create_optimizer()
    (group,) = (group for group in optimizer.param_groups if any(p is model.direct.weight for p in group["params"]))
    assert (group["lr"], group["weight_decay"], len(group["params"])) == (given or 1e-3, 0.0, 1)
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())


def test_mistakes(tmp_path):
    model = direct(2)
    with pytest.raises(ValueError, match="direct_ngram_order needs input_ids"):
        model(inputs_embeds=torch.zeros(1, T, model.config.embedding_size, dtype=torch.float64))
    with pytest.raises(StrictDataclassError, match="direct_ngram_order=-1: must be at least 0"):
        build("mean", direct_ngram_order=-1)
    with pytest.raises(StrictDataclassError, match="direct_ngram_size=0: must be at least 1"):
        build("mean", direct_ngram_size=0)
    for rate in (0, -1, float("inf")):
        with pytest.raises(UserError, match="direct_learning_rate"):
            fine_tuning_parts(TransferArguments(direct_learning_rate=rate))


def test_bags_of_words_need_words():
    """Ids at the ends of the vocabulary, and a text of one token."""
    module = direct(3).direct
    rows, _ = module.rows(torch.tensor([[0, V - 1, UNK]]), None)
    assert ((rows >= 0) | (rows == NOTHING)).all()
    assert (rows < SIZES["direct_ngram_size"]).all()
    assert (rows == NOTHING).sum() == 3  # no pair ends at the first token, no triple at the first two
