"""Models that read from the end: what a forward model would say of texts turned around, and whose weights go where."""

import pytest
import torch
from conftest import ONE_OF_EACH_KIND, H, T, V, pad_rows, random_ids, tiny_config
from huggingface_hub.errors import StrictDataclassError
from test_models import close, close_all, tensors
from test_sequence_classification import build, every_pooling, grads_of
from test_trainer import BPTT, VOCAB, losses, stream
from test_trainer import arguments as trainer_arguments
from test_trainer import model as language_model

from rnn_zoo import (
    GenerationStream,
    RnnConfig,
    RnnForCausalLM,
    RnnForSequenceClassification,
    RnnForTokenClassification,
    RnnSeq2SeqConfig,
    TokenStream,
    TruncatedBpttTrainer,
    init_from_language_model,
)
from rnn_zoo.data.token_stream import LaneDataset
from rnn_zoo.errors import UserError
from rnn_zoo.models.keys import keys_of, other_architecture
from rnn_zoo.tasks.causal_lm.run import row_likelihoods

every_cell = pytest.mark.parametrize("cell", ONE_OF_EACH_KIND)
LAYERS = {"num_hidden_layers": 2, "residual": True, "layer_norm": True}


def both_ways(model):
    """The model, which reads backward, and one with its weights that reads forward."""
    assert model.config.reads_backward
    config = model.config.to_dict() | {"reads_backward": False}
    forward = type(model)(type(model.config)(**config)).to(model.dtype).eval()
    forward.load_state_dict(model.state_dict())
    return model, forward


@every_pooling
@every_cell
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_classifier_is_the_forward_one_of_texts_turned_around(pooling, cell, side):
    model, forward = both_ways(build(pooling, cell, reads_backward=True, **LAYERS))
    rows = [random_ids(n) for n in (T, 3, 1)]
    ids, mask = pad_rows(rows, side)
    turned, turned_mask = pad_rows([row.flip(0) for row in rows], side)
    found = model(ids, attention_mask=mask, output_attentions=True, use_cache=True)
    expected = forward(turned, attention_mask=turned_mask, output_attentions=True, use_cache=True)
    close(found.logits, expected.logits)
    close_all(tensors(found.cache_params), tensors(expected.cache_params))
    assert (found.logits - forward(ids, attention_mask=mask).logits).abs().max() > 1e-3
    if model.pooling.hops:
        for n, row in enumerate(rows):
            place = slice(0, len(row)) if side == "right" else slice(T - len(row), T)
            close(found.attentions[0][n, :, place], expected.attentions[0][n, :, place].flip(-1))


@every_pooling
@pytest.mark.parametrize("length", [1, 3, 20])
def test_pieces_are_read_from_the_last_one(pooling, length):
    model, forward = both_ways(build(pooling, backprop_length=length, reads_backward=True))
    ids, labels = random_ids(2, 9), torch.tensor([2, 0])
    whole = model(ids, labels=labels, use_cache=True)
    pieces = model.train()(ids, labels=labels, use_cache=True)
    close(pieces.logits, whole.logits)
    close_all(tensors(pieces.cache_params), tensors(whole.cache_params))
    if 9 % length == 0 or length > 9:  # the pieces are then the same ones
        turned = forward.train()(ids.flip(1), labels=labels)
        close_all(
            grads_of(pieces.loss, list(model.parameters())), grads_of(turned.loss, list(forward.parameters())), 1e-6
        )


def test_documents_are_read_from_their_last_sentence():
    """A state of the second level knows the sentences after it: those before it change nothing."""
    options = {"hierarchical": True, "sentence_end_token_ids": [4], "reads_backward": True}
    model = build("mean", **options)
    seen = []
    model.sentence_stack.register_forward_hook(lambda module, inputs, outputs: seen.append(outputs[0]))
    model(torch.tensor([[5, 6, 4, 7, 8, 4, 9, 4]]))
    model(torch.tensor([[9, 5, 4, 7, 8, 4, 9, 4]]))
    close(seen[0][:, 1:], seen[1][:, 1:])
    assert (seen[0][:, 0] - seen[1][:, 0]).abs().max() > 1e-6


# language models


@every_cell
def test_a_language_model_scores_the_token_before(cell):
    model, forward = both_ways(RnnForCausalLM(tiny_config(cell_type=cell, reads_backward=True)).double().eval())
    rows = [random_ids(n) for n in (T, 4)]
    ids, mask = pad_rows(rows)
    turned, turned_mask = pad_rows([row.flip(0) for row in rows])
    found = model(ids, attention_mask=mask, labels=ids)
    expected = forward(turned, attention_mask=turned_mask, labels=turned)
    close(found.loss, expected.loss, 1e-6)
    close(found.logits[1, :4], expected.logits[1, :4].flip(0))
    likelihoods = [
        row_likelihoods(one.logits, labels.masked_fill(real == 0, -100), which)
        for one, labels, real, which in ((found, ids, mask, model), (expected, turned, turned_mask, forward))
    ]
    close(*likelihoods, 1e-6)
    assert likelihoods[0][:, 1].tolist() == [T - 1, 3]


@pytest.mark.parametrize(("tokens", "lanes", "steps"), [(14, 3, 2), (13, 1, 5), (50, 7, 5)])
def test_lanes_from_the_end(tokens, lanes, steps):
    ids = torch.arange(tokens)
    dataset = LaneDataset(TokenStream(ids), lanes, steps, from_end=True)
    turned = LaneDataset(TokenStream(ids.flip(0)), lanes, steps)
    for n in range(len(turned)):
        item, other = dataset[n], turned[n]
        assert torch.equal(item["input_ids"].flip(0), other["input_ids"])
        assert torch.equal(item["shift_labels"].flip(0), other["shift_labels"])
        real = item["labels"] != -100
        assert torch.equal(item["labels"][real], item["input_ids"][real] - 1)
        assert item["lane_start"] == other["lane_start"]


def test_training_is_that_of_a_forward_model_on_the_stream_turned_around(tmp_path):
    text, held_out = stream(), stream(97, seed=1)
    results = []
    for backward in (True, False):
        a_model = language_model(reads_backward=backward)
        texts = [one if backward else TokenStream(one.input_ids.flip(0), len(one)) for one in (text, held_out)]
        trainer = TruncatedBpttTrainer(a_model, trainer_arguments(tmp_path), *texts, bptt_length=BPTT)
        trainer.train()
        results.append((losses(trainer), trainer.evaluate(), a_model.state_dict()))
    assert results[0][0] == pytest.approx(results[1][0], abs=1e-4)
    assert results[0][1]["eval_loss"] == pytest.approx(results[1][1]["eval_loss"], abs=1e-5)
    for name, weight in results[0][2].items():
        close(weight, results[1][2][name], 1e-5)


def test_it_writes_nothing_on():
    model = language_model(reads_backward=True)
    with pytest.raises(ValueError, match="reads_backward: this model gives the token before a text"):
        model.generate(torch.full((1, 3), VOCAB - 1), max_new_tokens=2)
    with pytest.raises(ValueError, match="reads_backward: this model gives the token before a text"):
        GenerationStream(model)


# transfer


def test_auto_classes_take_its_base_model_as_it_is(tmp_path):
    source = RnnForCausalLM(tiny_config(reads_backward=True)).eval()
    source.save_pretrained(tmp_path)
    model = RnnForSequenceClassification.from_pretrained(tmp_path).eval()
    ids = random_ids(2, T)
    close(model.model(ids).last_hidden_state, source.model(ids).last_hidden_state)
    assert model.config.reads_backward


@every_cell
@pytest.mark.parametrize("layers", [1, 3])
def test_it_becomes_the_backward_direction(cell, layers):
    options = {"cell_type": cell, "num_hidden_layers": layers}
    source = RnnForCausalLM(tiny_config(reads_backward=True, **options)).eval()
    model = RnnForTokenClassification(tiny_config(bidirectional=True, **options)).eval()
    before = model.model.stack.layers[-1].cells[0].weight_ih.clone()
    assert init_from_language_model(model, source) == V
    ids = random_ids(2, T)
    states = model.model(ids, output_hidden_states=True).hidden_states
    for one, other in zip(states[1:], source.model(ids, output_hidden_states=True).hidden_states[1:], strict=True):
        close(one[..., H:], other, 1e-6)
    assert torch.equal(model.model.stack.layers[-1].cells[0].weight_ih, before)


def test_the_other_direction_is_refused():
    source = RnnForCausalLM(tiny_config(reads_backward=True))
    model = RnnForTokenClassification(tiny_config())
    with pytest.raises(ValueError, match="reads_backward: the model has False, the language model True"):
        init_from_language_model(model, source)


def test_both_directions_and_backward_contradict_each_other():
    with pytest.raises(StrictDataclassError, match="reads in both directions already"):
        tiny_config(bidirectional=True, reads_backward=True)


def test_training_does_not_go_on_with_forward_weights(tmp_path):
    """Which would fit, and mean something else; nor with those of any other architecture that fits."""
    trainer = TruncatedBpttTrainer(
        language_model(),
        trainer_arguments(tmp_path, max_steps=1, save_strategy="steps", save_steps=1),
        stream(),
        bptt_length=BPTT,
    )
    trainer.train()
    checkpoint = tmp_path / "checkpoint-1"
    for changed in ({"reads_backward": True}, {"residual": True}, {"layer_norm_eps": 0.1}):
        (name,) = changed
        other = language_model()
        setattr(other.config, name, changed[name])
        trainer = TruncatedBpttTrainer(other, trainer_arguments(tmp_path, max_steps=2), stream(), bptt_length=BPTT)
        with pytest.raises(UserError, match=f"^{name}={changed[name]!r}, but .* was trained with "):
            trainer.train(resume_from_checkpoint=str(checkpoint))


@pytest.mark.parametrize("config", [RnnConfig(), RnnSeq2SeqConfig()], ids=lambda config: config.model_type)
def test_every_key_that_shapes_weights_counts_as_architecture(config):
    saved = config.to_dict()
    assert other_architecture(saved, config) is None
    for name, one in keys_of(config).items():
        given = getattr(config, name)
        found = other_architecture(saved | {name: "another"}, config)
        assert found == ((name, "another", given) if one.shapes_weights else None)
    without = {name: value for name, value in saved.items() if name != "residual"}  # as an older version writes it
    assert other_architecture(without, config) is None
    config.residual = True
    assert other_architecture(without, config) == ("residual", False, True)
