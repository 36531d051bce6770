"""Large vocabularies: the loss without scores, and the adaptive softmax."""

import pytest
import torch
from conftest import PAD, V, random_ids, tiny_config
from huggingface_hub.errors import StrictDataclassError
from test_trainer import arguments, stream
from toy_heads import TOY_HEADS
from toy_heads import build as toy_head
from transformers import AutoModelForCausalLM

from rnn_zoo import RnnForCausalLM, TruncatedBpttTrainer
from rnn_zoo.models import modeling_causal_lm, modeling_rnn_seq2seq, output_loss

ADAPTIVE = {"adaptive_softmax_cutoffs": [5, 9], "hidden_size": 16}


def loss_and_gradients(model, batch, **options):
    outputs = model(**batch, **options)
    model.zero_grad()
    outputs.loss.backward()
    return outputs, [outputs.loss, *(p.grad for p in model.parameters())]


@pytest.mark.parametrize("items", [None, 5])
@pytest.mark.parametrize(
    ("task", "options"), [("causal_lm", {}), ("causal_lm", ADAPTIVE), ("translation", {})], ids=str
)
def test_the_loss_without_scores_is_that_of_the_scores(task, options, items, monkeypatch):
    monkeypatch.setattr(output_loss, "POSITIONS", 4)
    monkeypatch.setattr(modeling_rnn_seq2seq, "LARGE", 5)
    model = toy_head(task, **options).float().train()
    batch = TOY_HEADS[task].batch([random_ids(n) for n in (7, 4, 1)]) | {"num_items_in_batch": items}
    torch.manual_seed(1)
    outputs, expected = loss_and_gradients(model, batch)
    torch.manual_seed(1)
    short, got = loss_and_gradients(model, batch, skip_logits=True)
    assert short.logits is None
    assert outputs.logits is not None
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-6)
    with pytest.raises(IndexError, match="labels holds 99"):
        model(**batch | {"labels": batch["labels"].index_fill(1, torch.tensor([-1]), 99)}, skip_logits=True)


def test_training_leaves_the_scores_of_a_large_vocabulary_out(tmp_path, monkeypatch):
    """And comes to the same weights."""
    seen, weights = [], []
    for large in (5, 10_000):
        monkeypatch.setattr(modeling_causal_lm, "LARGE", large)
        torch.manual_seed(0)
        model = RnnForCausalLM(tiny_config())
        model.register_forward_hook(lambda module, args, outputs: seen.append("logits" not in outputs))
        TruncatedBpttTrainer(model, arguments(tmp_path, max_steps=2), stream(), bptt_length=5).train()
        weights.append([p.detach() for p in model.parameters()])
    assert seen == [True, True, False, False]
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_an_adaptive_softmax_gives_probabilities_and_is_kept(tmp_path):
    model = RnnForCausalLM(tiny_config(**ADAPTIVE)).eval()
    ids = random_ids(2, 3)
    logits = model(ids).logits
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(2, 3))
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(loaded(ids).logits, logits)
    written = loaded.generate(ids, max_new_tokens=4, num_beams=2, do_sample=False, pad_token_id=PAD)
    assert 3 < written.shape[1] <= 7
    with pytest.raises(ValueError, match="cannot be resized"):
        model.resize_token_embeddings(V + 1)


@pytest.mark.parametrize("cutoffs", [[], [0, 4], [5, 5], [6, 4], [V]])
def test_cutoffs_that_are_none_are_refused(cutoffs):
    with pytest.raises(StrictDataclassError, match=r"needed are rising ids between 1 and 12"):
        tiny_config(adaptive_softmax_cutoffs=cutoffs)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [({"tie_word_embeddings": True}, "use tie_word_embeddings=False"), ({"hidden_size": 8}, "16")],
)
def test_what_does_not_go_with_an_adaptive_softmax_is_refused(other, sentence):
    with pytest.raises(StrictDataclassError, match=sentence):
        tiny_config(**ADAPTIVE | other)
