"""The models with an encoder and a decoder: step by step as written, padding, causality, loss, configuration, files."""

import copy
import io
from itertools import combinations

import pytest
import torch
from conftest import BOS, EOS, ONE_OF_EACH_KIND, PAD, TARGET_V, UNK, E, H, V, pad_rows, random_ids, tiny_seq2seq_config
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file, save_file
from test_models import close, close_all, tensors
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSeq2SeqLM,
    DataCollatorForSeq2Seq,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.auto import modeling_auto

from rnn_zoo import (
    RnnConfig,
    RnnModel,
    RnnSeq2SeqConfig,
    RnnSeq2SeqForConditionalGeneration,
    RnnSeq2SeqModel,
)
from rnn_zoo.models.attention import ATTENTIONS
from rnn_zoo.models.keys_seq2seq import BRIDGES
from rnn_zoo.models.recurrent_state import DecoderState, RecurrentState
from rnn_zoo.tokenizers import build_char_tokenizer, for_translation

S, T = 6, 5  # source and target steps
IGNORED = -100

APART = {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": TARGET_V}
TOPOLOGIES = {
    "one layer": {},
    "two layers below": {"num_hidden_layers": 2, "decoder_layers": 2},
    "one layer of two below": {"decoder_layers": 2, "attention_layer": 1},
    "norm and residual": {"decoder_layers": 3, "attention_layer": 2, "layer_norm": True, "residual": True},
    "one direction": {"encoder_bidirectional": False},
    "two kinds of cells": {"cell_type": "gru", "decoder_cell_type": "lstm"},
    "two vocabularies": APART,
    "bridge of the mean": {"bridge": "mean"},
    "bridge of the mean, one direction": {"bridge": "mean", "encoder_bidirectional": False},
    "no bridge": {"bridge": "none"},
    "no attention": {"attention": "none", "decoder_layers": 2},
}

every_cell = pytest.mark.parametrize("cell", ONE_OF_EACH_KIND)
every_attention = pytest.mark.parametrize("attention", [*ATTENTIONS, "none"])
every_bridge = pytest.mark.parametrize("bridge", BRIDGES)
every_topology = pytest.mark.parametrize("topology", TOPOLOGIES)
both_ways = pytest.mark.parametrize("feeding", [False, True], ids=["at once", "input feeding"])
both_heads = pytest.mark.parametrize(
    "kind", [RnnSeq2SeqModel, RnnSeq2SeqForConditionalGeneration], ids=["base", "translator"]
)
source_sides = pytest.mark.parametrize("source_side", ["left", "right"])
target_sides = pytest.mark.parametrize("target_side", ["left", "right"])


def build(cell="lstm", kind=RnnSeq2SeqForConditionalGeneration, **overrides):
    """A model in evaluation, float64, with biases that are not 0."""
    config = tiny_seq2seq_config(**{"cell_type": cell, "initializer_range": 1.0} | overrides)
    model = kind(config).double().eval()
    for name, parameter in model.named_parameters():
        if "bias" in name:
            torch.nn.init.uniform_(parameter, -0.3, 0.3)
    return model


def random_targets(model, *shape):
    return random_ids(*shape, vocab_size=model.config.decoder_vocab_size)


def inputs_of(model, rows=2):
    """A batch without padding: sources, and targets as the decoder reads them."""
    return {"input_ids": random_ids(rows, S), "decoder_input_ids": started(random_targets(model, rows, T - 1))}


def started(ids):
    """Target ids behind the token that begins a text."""
    return F.pad(ids, (1, 0), value=BOS)


def ended(row):
    return torch.cat([row, torch.tensor([EOS])])


def result(outputs):
    return outputs["logits" if "logits" in outputs else "last_hidden_state"]


# The decoder, one step after the other as its docstring writes it


def plain_stack(stack, x, states):
    """One step of one row: `x (D)`, the state of each layer -> the output `(H)`, new states."""
    new_states = []
    for layer, (state,) in zip(stack.layers, states, strict=True):
        (y,), new = layer.cells[0].step(layer.norm(x)[None], state)
        x = x + y if layer.add_input else y
        new_states.append((new,))
    return stack.norm(x), new_states


def plain_bridge(model, values):
    """The first states from the source's states `(S, C)`."""
    bridge, half = model.model.decoder.bridge, values.shape[1] // 2
    if model.config.bridge == "none":
        start = values.new_zeros(sum(bridge.sizes))
    else:
        pooled = values[-1]
        if model.config.bridge == "mean":
            pooled = sum(values) / len(values)
        elif model.config.encoder_bidirectional:
            pooled = torch.cat([values[-1, :half], values[0, half:]])
        start = torch.tanh(bridge.projection.weight @ pooled + bridge.projection.bias)
    states, at = [], 0
    for layer in model.model.decoder.state_shapes():
        tensors = []
        for shape in layer[0]:
            size = torch.Size(shape).numel()
            tensors.append(start[at : at + size].view(1, *shape))
            at += size
        states.append((tuple(tensors),))
    assert at == len(start)
    return states


def plain_row(model, source, target):
    """One row without padding: ids `(S)`, `(T)` -> logits `(T, V)`, weights `(T, S)`, the state."""
    decoder, config = model.model.decoder, model.config
    (values,) = model.model.encoder(source[None]).last_hidden_state
    states, below = plain_bridge(model, values), config.attention_layer
    keys = None if decoder.attention is None else decoder.attention.keys(values[None])
    feed = values.new_zeros(config.embedding_size)
    logits, weights = [], []
    for token in target:
        x = model.model.target_embeddings.weight[token]
        h, new = plain_stack(decoder.lower, torch.cat([x, feed]) if config.input_feeding else x, states[:below])
        context = values.new_zeros(0)
        if keys is not None:
            shares = decoder.attention.scores(h[None, None], keys)[0, 0].softmax(0)
            context = sum(share * s for share, s in zip(shares, values, strict=True))
            weights.append(shares)
        u = h
        if decoder.upper is not None:
            u, above = plain_stack(decoder.upper, torch.cat([h, context]), states[below:])
            new = new + above
        states = new
        feed = torch.tanh(decoder.readout.weight @ torch.cat([u, context]) + decoder.readout.bias)
        logits.append(model.lm_head.weight @ feed + model.lm_head.bias)
    state = DecoderState(states, feed[None] if config.input_feeding else None, keys)
    return torch.stack(logits), torch.stack(weights) if weights else None, state


def check_against_plain(model):
    inputs = inputs_of(model)
    outputs = model(**inputs, output_attentions=True)
    rows = [plain_row(model, *row) for row in zip(*inputs.values(), strict=True)]
    expected = torch.stack([logits for logits, _, _ in rows])
    close(outputs.logits, expected)
    for n, (_, weights, state) in enumerate(rows):
        got = outputs.cache_params[n].to_dict()
        assert got.keys() == state.to_dict().keys()
        close_all(got.values(), state.to_dict().values())
        if weights is None:
            assert outputs.cross_attentions is None
        else:
            close(outputs.cross_attentions[0][n, 0], weights)
    shares = torch.randn_like(expected)
    parameters = list(model.parameters())
    close_all(
        torch.autograd.grad((outputs.logits * shares).sum(), parameters, allow_unused=True, materialize_grads=True),
        torch.autograd.grad((expected * shares).sum(), parameters, allow_unused=True, materialize_grads=True),
    )


@every_cell
@every_attention
@both_ways
def test_the_decoder_is_its_equations_for_every_cell_and_attention(cell, attention, feeding):
    check_against_plain(build(cell, attention=attention, input_feeding=feeding))


@every_topology
@both_ways
def test_the_decoder_is_its_equations_in_every_form(topology, feeding):
    check_against_plain(build(**TOPOLOGIES[topology], input_feeding=feeding))


@both_ways
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_decoder_is_its_equations_with_scaled_scores(attention, feeding):
    model = build(attention=attention, attention_scaled=True, input_feeding=feeding)
    assert model.model.decoder.attention.scaled
    check_against_plain(model)


@pytest.mark.parametrize("topology", [name for name, options in TOPOLOGIES.items() if "layer_norm" not in options])
def test_feeding_without_weights_is_no_feeding(topology):
    """The loop over steps gives what one call of each layer gives, to the output of every layer."""
    fed, plain = (build(**TOPOLOGIES[topology], input_feeding=feeding) for feeding in (True, False))
    weights = fed.state_dict()
    name = "model.decoder.lower.layers.0.cells.0.weight_ih"
    weights[name][:, E:] = 0
    plain.load_state_dict(weights | {name: weights[name][:, :E]})
    inputs = inputs_of(plain)
    one, other = (model(**inputs, output_hidden_states=True, output_attentions=True) for model in (fed, plain))
    close(one.logits, other.logits)
    close_all(tensors(one.cache_params.layers), tensors(other.cache_params.layers))
    assert len(one.decoder_hidden_states) == fed.config.decoder_layers + 1
    close_all(one.decoder_hidden_states, other.decoder_hidden_states)


# Padding

SOURCES, TARGETS = (S, 3, 1), (2, T, 1)  # lengths of the rows below


def padded(model, source_side="right", target_side="right"):
    """Rows alone, as pairs, and all of them as one batch with labels."""
    sources = [random_ids(n) for n in SOURCES]
    targets = [ended(random_targets(model, n - 1)) for n in TARGETS]
    ids, mask = pad_rows(sources, source_side)
    labels, target_mask = pad_rows(targets, target_side)
    labels = labels.masked_fill(target_mask == 0, IGNORED)
    batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return [{"input_ids": s[None], "labels": t[None]} for s, t in zip(sources, targets, strict=True)], batch


def same_state(one, row, alone, real):
    """Whether row `row` of the state `one` is `alone`; the keys of its `real` source steps."""
    close_all(tensors(one[row].layers), tensors(alone.layers))
    for name, steps in (("feed", slice(None)), ("keys", real)):
        got, expected = getattr(one, name), getattr(alone, name)
        assert (got is None) == (expected is None)
        if got is not None:
            close(got[row, steps], expected[0])


def check_padding(model, source_side, target_side):
    rows, batch = padded(model, source_side, target_side)
    outputs = model(**batch)
    loss, counted = 0.0, 0
    parameters = list(model.parameters())
    shares = torch.randn_like(outputs.logits)
    expected = 0.0
    for n, row in enumerate(rows):
        alone = model(**row)
        real = batch["labels"][n] != IGNORED
        close(outputs.logits[n, real], alone.logits[0])
        same_state(outputs.cache_params, n, alone.cache_params, batch["attention_mask"][n].bool())
        loss, counted = loss + alone.loss * real.sum(), counted + real.sum()
        expected = expected + (alone.logits[0] * shares[n, real]).sum()
    close(outputs.loss, loss / counted, 1e-6)
    real = batch["labels"] != IGNORED
    options = {"allow_unused": True, "materialize_grads": True}
    got = torch.autograd.grad((outputs.logits * shares)[real].sum(), parameters, retain_graph=True, **options)
    close_all(got, torch.autograd.grad(expected, parameters, retain_graph=True, **options))
    close_all(
        torch.autograd.grad(outputs.loss, parameters, **options),
        torch.autograd.grad(loss / counted, parameters, **options),
        1e-6,
    )


@every_cell
@both_ways
@source_sides
@target_sides
def test_padded_batch_is_its_rows_alone_for_every_cell(cell, feeding, source_side, target_side):
    check_padding(build(cell, input_feeding=feeding), source_side, target_side)


@every_attention
@both_ways
@source_sides
def test_padded_batch_is_its_rows_alone_for_every_attention(attention, feeding, source_side):
    check_padding(build(attention=attention, input_feeding=feeding), source_side, "right")


@every_topology
@pytest.mark.parametrize(("feeding", "side"), [(False, "left"), (True, "right")], ids=["at once", "input feeding"])
def test_padded_batch_is_its_rows_alone_in_every_form(topology, feeding, side):
    check_padding(build(**TOPOLOGIES[topology], input_feeding=feeding), side, side)


@both_ways
@every_bridge
@every_cell
def test_holes_in_both_masks_are_not_there(feeding, bridge, cell):
    model = build(cell, input_feeding=feeding, bridge=bridge)
    inputs = inputs_of(model)
    masks = {
        "attention_mask": torch.tensor([[0, 1, 0, 1, 1, 0], [1, 0, 0, 1, 0, 1]]),
        "decoder_attention_mask": torch.tensor([[1, 0, 1, 0, 1], [0, 1, 1, 0, 0]]),
    }
    outputs = model(**inputs, **masks, output_attentions=True)
    for n in range(2):
        source, target = (mask[n].bool() for mask in masks.values())
        ids = {name: ids[n, real][None] for (name, ids), real in zip(inputs.items(), (source, target), strict=True)}
        alone = model(**ids, output_attentions=True)
        close(outputs.logits[n, target], alone.logits[0])
        same_state(outputs.cache_params, n, alone.cache_params, source)
        weights = outputs.cross_attentions[0][n, 0]
        close(weights[target][:, source], alone.cross_attentions[0][0, 0])
        assert weights[:, ~source].eq(0).all()


@both_ways
@every_bridge
def test_a_source_without_tokens_is_one_of_padding(feeding, bridge):
    model = build(input_feeding=feeding, bridge=bridge)
    targets = started(random_ids(2, T - 1))
    empty = model(input_ids=random_ids(2, 0), decoder_input_ids=targets)
    hidden = model(input_ids=random_ids(2, 3), attention_mask=torch.zeros(2, 3), decoder_input_ids=targets)
    assert empty.logits.isfinite().all()
    close(hidden.logits, empty.logits)
    for grad in torch.autograd.grad(hidden.logits.sum(), list(model.parameters()), allow_unused=True):
        assert grad is None or grad.isfinite().all()


@both_ways
@pytest.mark.parametrize("shape", [(0, T), (2, 0)], ids=["no rows", "no steps"])
@pytest.mark.parametrize("training", [False, True])
def test_an_empty_target_has_an_empty_result(feeding, shape, training):
    model = build(input_feeding=feeding).train(training)
    ids = torch.full(shape, BOS)
    outputs = model(input_ids=random_ids(shape[0], S), decoder_input_ids=ids, use_cache=True, output_attentions=True)
    assert outputs.logits.shape == (*shape, V)
    assert outputs.cross_attentions[0].shape == (shape[0], 1, shape[1], S)
    assert outputs.cache_params.batch_size == shape[0]


@target_sides
@both_ways
def test_batches_of_the_collator_are_their_rows(target_side, feeding):
    """`DataCollatorForSeq2Seq` makes the decoder's inputs of the labels."""
    texts = [("ein hund", "a dog"), ("x", "yes we can"), ("kein", "")]
    tokenizer = for_translation(build_char_tokenizer(["".join(pair) for pair in texts]))
    tokenizer.padding_side = target_side
    model = build(vocab_size=len(tokenizer), input_feeding=feeding)
    examples = [dict(tokenizer(source, text_target=target)) for source, target in texts]
    batch = dict(DataCollatorForSeq2Seq(tokenizer, model)(copy.deepcopy(examples)))
    assert batch["decoder_input_ids"].shape == batch["labels"].shape
    assert (batch["labels"] == IGNORED).any()
    outputs = model(**batch)
    losses = []
    for n, example in enumerate(examples):
        row = {name: torch.tensor([ids]) for name, ids in example.items()}
        alone = model(**row)
        real = batch["labels"][n] != IGNORED
        assert batch["decoder_input_ids"][n, real].tolist() == [BOS, *example["labels"][:-1]]
        close(outputs.logits[n, real], alone.logits[0])
        losses.append(alone.loss * real.sum())
    close(outputs.loss, sum(losses) / (batch["labels"] != IGNORED).sum(), 1e-6)


def test_decoder_inputs_are_the_labels_one_step_later():
    model = build()
    labels = torch.tensor([[7, 8, EOS, -100], [-100, -100, 9, EOS], [-100, 5, EOS, -100], [-100] * 4])
    expected = [[BOS, 7, 8, EOS], [PAD, PAD, BOS, 9], [PAD, BOS, 5, EOS], [PAD] * 4]
    assert model.prepare_decoder_input_ids_from_labels(labels=labels).tolist() == expected
    model.config.decoder_start_token_id = None
    with pytest.raises(ValueError, match="decoder_start_token_id"):
        model.prepare_decoder_input_ids_from_labels(labels)


# Causality


@every_cell
@both_ways
@pytest.mark.parametrize("topology", ["one layer", "one layer of two below", "no attention"])
def test_a_target_token_changes_what_follows_and_nothing_before(cell, topology, feeding):
    model = build(**{**TOPOLOGIES[topology], "cell_type": cell}, input_feeding=feeding)
    inputs = inputs_of(model)
    logits = model(**inputs).logits
    for t in range(T):
        changed = inputs["decoder_input_ids"].clone()
        changed[:, t] = (changed[:, t] + 1) % V
        other = model(**inputs | {"decoder_input_ids": changed}).logits
        assert torch.equal(other[:, :t], logits[:, :t])
        for later in range(t, T):
            assert (other[:, later] != logits[:, later]).any()


@every_cell
@every_attention
@both_ways
def test_a_source_token_changes_every_output(cell, attention, feeding):
    model = build(cell, attention=attention, input_feeding=feeding)
    inputs = inputs_of(model, 4)
    logits = model(**inputs).logits
    for s in range(S):
        changed = inputs["input_ids"].clone()
        changed[:, s] = (changed[:, s] + 1) % V
        other = model(**inputs | {"input_ids": changed}).logits
        assert (other != logits).any(-1).any(0).all()


@every_cell
@both_ways
@pytest.mark.parametrize("pieces", [[2, 3], [1] * T], ids=["halves", "step by step"])
def test_pieces_with_the_state_carried_are_the_whole(cell, feeding, pieces):
    model = build(cell, input_feeding=feeding)
    inputs = inputs_of(model)
    source = {"input_ids": inputs["input_ids"], "attention_mask": torch.ones(2, S)}
    source["attention_mask"][0, 3:] = 0
    whole = model(**source, decoder_input_ids=inputs["decoder_input_ids"])
    encoder_outputs = model.get_encoder()(**source)
    state, logits = None, []
    for piece in inputs["decoder_input_ids"].split(pieces, 1):
        outputs = model(
            encoder_outputs=encoder_outputs,
            attention_mask=source["attention_mask"],
            decoder_input_ids=piece,
            cache_params=state,
        )
        state = outputs.cache_params
        logits.append(outputs.logits)
    close(torch.cat(logits, 1), whole.logits)
    assert state.to_dict().keys() == whole.cache_params.to_dict().keys()
    close_all(tensors(state), tensors(whole.cache_params))


@every_topology
@both_ways
def test_halves_with_the_state_carried_are_the_whole_in_every_form(topology, feeding):
    model = build(**TOPOLOGIES[topology], input_feeding=feeding)
    inputs = inputs_of(model)
    whole = model(**inputs)
    ids = inputs["decoder_input_ids"]
    first = model(input_ids=inputs["input_ids"], decoder_input_ids=ids[:, :2])
    kept = first.cache_params.map(torch.clone)
    second = model(input_ids=inputs["input_ids"], decoder_input_ids=ids[:, 2:], cache_params=first.cache_params)
    close(torch.cat([first.logits, second.logits], 1), whole.logits)
    close_all(tensors(second.cache_params), tensors(whole.cache_params))
    close_all(tensors(first.cache_params), tensors(kept), 0)  # a state is a value
    shares = torch.randn_like(whole.logits)
    parameters = list(model.parameters())
    options = {"allow_unused": True, "materialize_grads": True}
    close_all(
        torch.autograd.grad((torch.cat([first.logits, second.logits], 1) * shares).sum(), parameters, **options),
        torch.autograd.grad((whole.logits * shares).sum(), parameters, **options),
    )


def test_keys_are_computed_once_for_a_source(monkeypatch):
    model, calls = build(), []
    attention = model.model.decoder.attention
    keys = attention.keys
    monkeypatch.setattr(attention, "keys", lambda values: calls.append(1) or keys(values))
    inputs = inputs_of(model)
    state = model(**inputs).cache_params
    following = model(**inputs, cache_params=state)
    assert len(calls) == 1
    without = DecoderState(state.layers, state.feed)
    close(model(**inputs, cache_params=without).logits, following.logits)
    assert len(calls) == 2


# Loss


def test_loss_is_the_cross_entropy_of_the_labels():
    model = build()
    inputs, labels = inputs_of(model), random_ids(2, T)
    labels[0, 2:] = IGNORED
    for training in (False, True):
        outputs = model.train(training)(**inputs, labels=labels)
        close(outputs.loss, F.cross_entropy(outputs.logits.flatten(0, 1).float(), labels.flatten()), 1e-6)
        assert outputs.loss.dtype == torch.float32


def test_labels_alone_are_read_one_step_later():
    model = build()
    inputs = inputs_of(model)
    labels = torch.cat([inputs["decoder_input_ids"][:, 1:], torch.full((2, 1), EOS)], 1)
    expected = model(**inputs, labels=labels)
    outputs = model(input_ids=inputs["input_ids"], labels=labels)
    close(outputs.logits, expected.logits)
    close(outputs.loss, expected.loss)


@pytest.mark.parametrize("smoothing", [0.1, 0.6])
def test_label_smoothing_is_for_training(smoothing):
    """(1 - ε) log p(y) + ε / V Σ log p(v), over the real labels (Szegedy et al. 2016, section 7)."""
    model = build(label_smoothing=smoothing)
    inputs, labels = inputs_of(model), random_ids(2, T)
    labels[0, 2:] = IGNORED
    plain = model(**inputs, labels=labels)
    log_probs = plain.logits.float().log_softmax(-1)[labels != IGNORED]
    true = log_probs.gather(1, labels[labels != IGNORED][:, None])
    close(plain.loss, -true.mean(), 1e-6)
    smoothed = -((1 - smoothing) * true.mean() + smoothing * log_probs.mean())
    model.train()
    close(model(**inputs, labels=labels).loss, smoothed, 1e-6)
    close(model(**inputs, labels=labels, num_items_in_batch=5).loss, smoothed * len(true) / 5, 1e-6)


def test_num_items_in_batch_divides_the_sum():
    model = build()
    inputs, labels = inputs_of(model), random_ids(2, T)
    mean = model(**inputs, labels=labels).loss
    close(model(**inputs, labels=labels, num_items_in_batch=torch.tensor(7)).loss, mean * 2 * T / 7, 1e-6)


def examples_of(model, lengths):
    """Rows padded on the right, as examples for a trainer: sources and labels."""
    sources = [random_ids(n) for n in lengths]
    targets = [ended(random_targets(model, n - 1)) for n in reversed(lengths)]
    ids, mask = pad_rows(sources)
    labels, real = pad_rows(targets)
    labels = labels.masked_fill(real == 0, IGNORED)
    return [{"input_ids": i, "attention_mask": m, "labels": y} for i, m, y in zip(ids, mask, labels, strict=True)]


def arguments(folder, **options):
    return Seq2SeqTrainingArguments(
        output_dir=str(folder),
        **{
            "learning_rate": 1.0,
            "optim": "sgd",
            "lr_scheduler_type": "constant",
            "train_sampling_strategy": "sequential",
            "use_cpu": True,
            "report_to": "none",
            "save_strategy": "no",
            "logging_strategy": "no",
            "disable_tqdm": True,
        }
        | options,
    )


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore::UserWarning")
@both_ways
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_accumulated_quarters_are_one_batch(tmp_path, feeding, smoothing):
    steps = 2
    options = {"input_feeding": feeding, "label_smoothing": smoothing, "initializer_range": 0.1}
    data = examples_of(build(), [S, 2, 5, 3, 6, 4, 1, 2] * steps)  # quarters with different numbers of targets
    start = build(**options).float().state_dict()
    trained = []
    for size, accumulation in [(8, 1), (2, 4)]:
        model = build(**options).float()
        model.load_state_dict(start)
        settings = arguments(
            tmp_path / str(size),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            max_steps=steps,
        )
        Seq2SeqTrainer(model, settings, train_dataset=data).train()
        trained.append(model.state_dict())
    assert any(not torch.allclose(trained[0][name], start[name], atol=1e-3) for name in start)
    for name in start:
        close(trained[1][name], trained[0][name], 1e-5)


def letters():
    """A tokenizer and pairs of texts, each the other's mirror image."""
    texts = ["abc", "bca", "aabb", "c", "ba", "cab"]
    tokenizer = for_translation(build_char_tokenizer(texts))
    return tokenizer, [dict(tokenizer(text, text_target=text[::-1])) for text in texts]


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore::UserWarning")
@target_sides
def test_the_library_s_own_label_smoothing_works(tmp_path, target_side):
    """It takes the labels away; the decoder's inputs come from the collator."""
    tokenizer, examples = letters()
    tokenizer.padding_side = target_side
    losses = []
    for ours, theirs in ((0.3, 0.0), (0.0, 0.3)):
        torch.manual_seed(1)
        model = build(vocab_size=len(tokenizer), label_smoothing=ours).float().train()
        collator = DataCollatorForSeq2Seq(tokenizer, model)
        settings = arguments(tmp_path, label_smoothing_factor=theirs, max_steps=1)
        trainer = Seq2SeqTrainer(model, settings, train_dataset=examples, data_collator=collator)
        batch = dict(collator(copy.deepcopy(examples)))
        losses.append(trainer.compute_loss(model, batch, num_items_in_batch=(batch["labels"] != IGNORED).sum()))
        trainer.train()
    close(losses[1], losses[0], 1e-5)
    without = Seq2SeqTrainer(model, settings, train_dataset=examples, data_collator=DataCollatorForSeq2Seq(tokenizer))
    with pytest.raises(ValueError, match=r"decoder_input_ids.*DataCollatorForSeq2Seq\(tokenizer, model=model\)"):
        without.train()


def test_a_batch_in_which_no_label_counts_has_no_loss_and_no_gradient():
    model = build().train()
    for rows, items in ((2, None), (2, 0), (0, None)):
        model.zero_grad()
        loss = model(random_ids(rows, S), labels=torch.full((rows, T), IGNORED), num_items_in_batch=items).loss
        loss.backward()
        assert loss == 0
        assert all(parameter.grad.eq(0).all() for parameter in model.parameters())


@pytest.mark.filterwarnings("ignore::UserWarning")
@both_ways
@pytest.mark.parametrize("num_beams", [1, 3])
def test_the_library_s_trainer_generates(tmp_path, feeding, num_beams):
    tokenizer, examples = letters()
    model = build(vocab_size=len(tokenizer), input_feeding=feeding).float()
    seen = {}

    def compute_metrics(prediction):
        seen.update(texts=prediction.predictions, labels=prediction.label_ids)
        return {"share": 1.0}

    trainer = Seq2SeqTrainer(
        model,
        arguments(
            tmp_path,
            predict_with_generate=True,
            generation_max_length=7,
            generation_num_beams=num_beams,
            per_device_train_batch_size=3,
            per_device_eval_batch_size=len(examples),
            max_steps=2,
            learning_rate=0.01,
        ),
        train_dataset=examples,
        eval_dataset=examples,
        data_collator=DataCollatorForSeq2Seq(tokenizer, model),
        processing_class=tokenizer,
        compute_metrics=compute_metrics,
    )
    trainer.train()
    metrics = trainer.evaluate()
    assert metrics["eval_share"] == 1.0
    batch = dict(DataCollatorForSeq2Seq(tokenizer, model)(copy.deepcopy(examples)))
    with torch.no_grad():
        assert metrics["eval_loss"] == pytest.approx(model.eval()(**batch).loss.item(), abs=1e-5)
    del batch["labels"], batch["decoder_input_ids"]
    expected = model.generate(**batch, max_length=7, num_beams=num_beams)
    texts = torch.tensor(seen["texts"])
    assert torch.equal(texts[:, : expected.shape[1]], expected)
    assert texts[:, expected.shape[1] :].eq(PAD).all()
    assert len(trainer.predict(examples).predictions) == len(examples)


# Scheduled sampling


def as_own_words(model, inputs):
    """The decoder's inputs with all words but the first as the model goes on with after the true ones."""
    own = model(**inputs).logits[:, :-1].argmax(-1)
    return torch.cat([inputs["decoder_input_ids"][:, :1], own], 1)


@both_ways
def test_a_rate_of_0_is_no_sampling_and_evaluation_never_samples(feeding):
    model = build(input_feeding=feeding)
    inputs, labels = inputs_of(model), random_ids(2, T)
    expected = model(**inputs, labels=labels)
    assert model.scheduled_sampling == 0
    close(model.train()(**inputs, labels=labels).logits, expected.logits)
    sampling = build(input_feeding=feeding, scheduled_sampling=0.9)
    sampling.load_state_dict(model.state_dict())
    assert sampling.scheduled_sampling == 0.9
    close(sampling.eval()(**inputs, labels=labels).logits, expected.logits)
    assert not torch.allclose(sampling.train()(**inputs, labels=labels).logits, expected.logits)


@both_ways
def test_a_rate_of_almost_1_reads_the_models_own_words(feeding):
    model = build(input_feeding=feeding, scheduled_sampling=1 - 1e-9)
    inputs, labels = inputs_of(model, 4), random_ids(4, T)
    read = as_own_words(model, inputs)
    assert not torch.equal(read, inputs["decoder_input_ids"])
    expected = model(input_ids=inputs["input_ids"], decoder_input_ids=read, labels=labels)
    outputs = model.train()(**inputs, labels=labels)
    close(outputs.logits, expected.logits)
    close(outputs.loss, expected.loss)
    parameters = list(model.parameters())
    close_all(torch.autograd.grad(outputs.loss, parameters), torch.autograd.grad(expected.loss, parameters))


@target_sides
def test_sampling_leaves_the_start_and_padding_alone(target_side):
    model = build(scheduled_sampling=1 - 1e-9).train()
    rows, batch = padded(model, "right", target_side)
    logits = model(**batch).logits
    for n, row in enumerate(rows):
        real = batch["labels"][n] != IGNORED
        close(logits[n, real], model(**row).logits[0])


@pytest.mark.parametrize("rate", [0.2, 0.7])
def test_so_many_words_are_replaced(rate, monkeypatch):
    model = build(scheduled_sampling=rate).train()
    inputs = inputs_of(model, 1000)
    own = as_own_words(model, inputs)
    read = []
    embed = model.model.embed_target
    monkeypatch.setattr(model.model, "embed_target", lambda ids, embeds: read.append(ids) or embed(ids, embeds))
    model(**inputs, labels=inputs["decoder_input_ids"])
    assert torch.equal(read[0], inputs["decoder_input_ids"])
    true = read[1] == inputs["decoder_input_ids"]
    assert torch.equal(read[1][~true], own[~true])
    assert true[:, 0].all()
    assert true[own != inputs["decoder_input_ids"]].float().mean().item() == pytest.approx(1 - rate, abs=0.03)


# Embeddings that are one matrix


def shared_memory(model):
    """Which of the three matrices of words are one, as a string of a letter each: source, target, output."""
    base = model.model
    matrices = [base.encoder.embed_tokens.weight, base.target_embeddings.weight, model.lm_head.weight]
    places = [matrix.data_ptr() for matrix in matrices]
    for (a, place), (b, other) in combinations(zip(matrices, places, strict=True), 2):
        assert (a is b) == (place == other)
    return "".join("abc"[places.index(place)] for place in places)


TYING = {
    "all three": ({"tie_word_embeddings": True}, "aaa"),
    "target and output": ({"tie_word_embeddings": True, **APART}, "abb"),
    "source and target": ({}, "aac"),
    "none": (APART, "abc"),
}


@pytest.mark.parametrize(("options", "shared"), TYING.values(), ids=TYING)
def test_which_matrices_are_one_also_after_a_file_and_a_copy(tmp_path, options, shared):
    model = build(**options)
    model.save_pretrained(tmp_path / "one")
    loaded, report = RnnSeq2SeqForConditionalGeneration.from_pretrained(tmp_path / "one", output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    loaded.save_pretrained(tmp_path / "two")
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "two")
    inputs = inputs_of(model)
    for each in (model, loaded, again, copy.deepcopy(model)):
        assert shared_memory(each) == shared
        close(each(**inputs).logits, model(**inputs).logits)
    kept = load_file(tmp_path / "one" / "model.safetensors")
    assert sum("embed_tokens" in name or name == "lm_head.weight" for name in kept) == len(set(shared))


@pytest.mark.parametrize(("options", "shared"), TYING.values(), ids=TYING)
def test_the_vocabulary_can_grow_if_there_is_one(options, shared, tmp_path):
    model = build(**options)
    if options.get("share_encoder_decoder_embeddings") is False:
        with pytest.raises(ValueError, match="two vocabularies"):
            model.resize_token_embeddings(V + 3)
        assert model.resize_token_embeddings() is model.get_input_embeddings()
        return
    inputs = inputs_of(model)
    logits = model(**inputs).logits
    model.resize_token_embeddings(V + 3)
    assert shared_memory(model) == shared
    assert (model.config.vocab_size, model.config.decoder_vocab_size) == (V + 3, V + 3)
    outputs = model(**inputs, labels=torch.full((2, T), V + 2))
    assert outputs.logits.shape == (2, T, V + 3)
    close(outputs.logits[..., :V], logits)
    assert outputs.loss.isfinite()
    model(input_ids=torch.full((1, 2), V + 2), labels=torch.full((1, 2), V + 2))
    with pytest.raises(IndexError, match=rf"input_ids holds {V + 3} .*{V + 3} ids"):
        model(input_ids=torch.full((1, 2), V + 3), labels=torch.full((1, 2), V))
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    close(loaded(**inputs).logits, model(**inputs).logits)
    model.resize_token_embeddings(V - 2)
    assert shared_memory(model) == shared


@pytest.mark.parametrize("options", [{}, APART], ids=["one", "two"])
def test_the_base_model_grows_likewise(options):
    model = build(kind=RnnSeq2SeqModel, **options)
    if options:
        with pytest.raises(ValueError, match="two vocabularies"):
            model.resize_token_embeddings(V + 3)
        return
    model.resize_token_embeddings(V + 3)
    assert (model.config.vocab_size, model.config.decoder_vocab_size) == (V + 3, V + 3)
    model(input_ids=torch.full((1, 2), V + 2), decoder_input_ids=torch.full((1, 2), V + 2))


# Dropout

DROPOUTS = [name for name in RnnSeq2SeqConfig.__dataclass_fields__ if name.endswith("_dropout")]


@pytest.mark.parametrize("dropout", DROPOUTS)
@both_ways
@both_heads
def test_each_dropout_works_in_training_only(dropout, feeding, kind):
    if dropout.startswith("recurrent") and feeding:
        with pytest.raises(StrictDataclassError, match=rf"{dropout}=0\.5.*input_feeding"):
            build(kind=kind, input_feeding=True, **{dropout: 0.5})
        return
    sizes = {"decoder_layers": 2, "attention_layer": 1, "num_hidden_layers": 2, "input_feeding": feeding}
    model, plain = (build(kind=kind, **sizes, **options) for options in ({dropout: 0.5}, {}))
    plain.load_state_dict(model.state_dict())
    inputs = inputs_of(model)
    assert torch.equal(result(model(**inputs)), result(plain(**inputs)))
    model.train(), plain.train()
    assert not torch.allclose(result(model(**inputs)), result(plain(**inputs)))


@both_ways
@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("dropout", ["embedding_dropout", "input_dropout", "word_dropout", "output_dropout"])
def test_dropouts_of_both_sides_are_on_both_sides(feeding, side, dropout):
    """With vectors of a side fixed, training differs through the other alone."""
    model = build(input_feeding=feeding, **{dropout: 0.5}, bridge="none", attention="luong_general")
    plain = build(input_feeding=feeding, bridge="none", attention="luong_general")
    plain.load_state_dict(model.state_dict())
    inputs = inputs_of(model)
    trained, still = (model.model.encoder, plain.model.encoder) if side == "source" else (model, plain)
    if side == "source":
        ids = {"input_ids": inputs["input_ids"]}
    else:
        ids = {"decoder_input_ids": inputs["decoder_input_ids"]}
        ids["encoder_outputs"] = (torch.randn(2, S, H).double(),)
    trained.train(), still.train()
    assert not torch.allclose(trained(**ids)[0], still(**ids)[0])


@both_ways
def test_one_mask_drops_the_same_features_at_all_steps(feeding):
    sizes = {"decoder_layers": 2, "attention_layer": 1, "decoder_hidden_size": 30, "embedding_size": 30}
    model = build(kind=RnnSeq2SeqModel, input_feeding=feeding, output_dropout=0.5, **sizes).train()
    inputs = inputs_of(model)
    y = model(**inputs).last_hidden_state  # (B, T, E)
    zero = y.eq(0)
    assert torch.equal(zero, zero[:, :1].expand_as(zero))
    assert not torch.equal(zero[0], zero[1])
    assert 0.2 < zero.double().mean() < 0.8
    model.eval()
    # Between the layers: two layers below the attention, of which the lower one's output is seen.
    sizes["attention_layer"] = 2
    model = build(kind=RnnSeq2SeqModel, input_feeding=feeding, hidden_dropout=0.5, **sizes).train()
    first = model(**inputs, output_hidden_states=True).decoder_hidden_states[1].eq(0)
    assert torch.equal(first, first[:, :1].expand_as(first))
    assert 0.2 < first.double().mean() < 0.8
    # Before the first layer.
    model = build(kind=RnnSeq2SeqModel, input_feeding=feeding, input_dropout=0.5, **sizes).train()
    x = model(**inputs, output_hidden_states=True).decoder_hidden_states[0].eq(0)
    assert torch.equal(x, x[:, :1].expand_as(x))
    assert 0.2 < x.double().mean() < 0.8


def test_what_is_kept_is_enlarged():
    model = build(kind=RnnSeq2SeqModel, input_feeding=True, output_dropout=0.25)
    inputs = inputs_of(model) | {"decoder_input_ids": torch.full((2, 1), BOS)}
    values = (torch.randn(2, S, H).double(),)
    del inputs["input_ids"]
    plain = model(**inputs, encoder_outputs=values).last_hidden_state
    dropped = model.train()(**inputs, encoder_outputs=values).last_hidden_state
    kept = dropped != 0
    assert 0 < kept.sum() < kept.numel()
    close(dropped[kept] * 0.75, plain[kept])


# Configuration


def test_what_is_not_named_is_as_on_the_other_side():
    config = RnnSeq2SeqConfig(vocab_size=9, hidden_size=6, num_hidden_layers=2, cell_type="gru", bos_token_id=1)
    assert (config.decoder_vocab_size, config.embedding_size, config.decoder_hidden_size) == (9, 6, 6)
    assert (config.decoder_layers, config.decoder_cell_type, config.attention_size) == (2, "gru", 6)
    assert (config.attention_layer, config.decoder_start_token_id) == (2, 1)
    assert config.is_encoder_decoder


def test_configuration_comes_back_from_its_file(tmp_path):
    config = tiny_seq2seq_config(
        **APART,
        decoder_layers=2,
        attention_layer=1,
        attention="bahdanau",
        attention_scaled=True,
        bridge="mean",
        label_smoothing=0.1,
        scheduled_sampling=0.25,
        input_feeding=True,
    )
    config.save_pretrained(tmp_path)
    back = AutoConfig.from_pretrained(tmp_path)
    assert type(back) is RnnSeq2SeqConfig
    for name in RnnSeq2SeqConfig.__annotations__:
        assert getattr(back, name) == getattr(config, name)
    assert (back.pad_token_id, back.bos_token_id, back.eos_token_id, back.unk_token_id) == (PAD, BOS, EOS, UNK)


SIZES = ["vocab_size", "embedding_size", "hidden_size", "decoder_hidden_size", "num_hidden_layers", "decoder_layers"]
SIZES += ["attention_size", "attention_layer"]
BAD_VALUES = [
    *((name, {name: 0}, "must be") for name in SIZES),
    ("decoder_vocab_size", {**APART, "decoder_vocab_size": 0}, "must be at least 1"),
    *((name, {name: value}, r"must be in \[0, 1\)") for name in DROPOUTS for value in (1.0, -0.1)),
    *((name, {name: v}, r"in \[0, 1\)") for name in ("label_smoothing", "scheduled_sampling") for v in (1.0, -0.1)),
    ("attention_layer", {"attention_layer": 3, "decoder_layers": 2}, "between 1 and decoder_layers=2"),
    ("attention_layer", {"attention": "none", "attention_layer": 1, "decoder_layers": 2}, "there is no attention"),
    ("attention", {"attention": "luong_generl"}, "did you mean 'luong_general'"),
    ("bridge", {"bridge": "lst"}, "did you mean 'last'"),
    ("cell_type", {"cell_type": "ltsm"}, "did you mean 'lstm'"),
    ("decoder_cell_type", {"decoder_cell_type": "ltsm"}, "did you mean 'lstm'"),
    ("recurrent_init", {"recurrent_init": "orthogonl"}, "did you mean 'orthogonal'"),
    ("decoder_vocab_size", {"decoder_vocab_size": TARGET_V}, "share_encoder_decoder_embeddings=False"),
    ("attention", {"attention": "none", "bridge": "none"}, "know nothing of the source"),
    ("word_dropout", {"word_dropout": 0.1, "unk_token_id": None}, "needs unk_token_id"),
    ("recurrent_weight_dropout", {"recurrent_weight_dropout": 0.1, "input_feeding": True}, "input_feeding"),
    ("layer_norm_eps", {"layer_norm_eps": 0.0}, "must be above 0"),
    ("hidden_size", {"hidden_size": "8"}, "hidden_size"),
    ("input_feeding", {"input_feeding": 1}, "input_feeding"),
]


@pytest.mark.parametrize(("name", "options", "words"), BAD_VALUES, ids=lambda value: str(value)[:40])
def test_a_value_that_cannot_be_is_refused_by_name(name, options, words):
    with pytest.raises(StrictDataclassError, match=words) as error:
        tiny_seq2seq_config(**options)
    given = options.get(name)
    assert f"{name}={given!r}" in str(error.value) or not isinstance(given, type(getattr(RnnSeq2SeqConfig(), name)))
    assert name in str(error.value)


def test_dot_refuses_sides_of_two_sizes():
    with pytest.raises(ValueError, match=r"attention='luong_dot'.*7 features.*8"):
        RnnSeq2SeqModel(tiny_seq2seq_config(attention="luong_dot", decoder_hidden_size=H - 1))


# What forward takes and returns


def vectors(decoder_inputs_embeds):
    return {"decoder_input_ids": None, "decoder_inputs_embeds": decoder_inputs_embeds}


@both_heads
@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"input_ids": torch.zeros(2, S)}, "input_ids has.*torch.float32"),
        ({"input_ids": torch.zeros(S, dtype=torch.long)}, r"input_ids has shape \(6,\)"),
        ({"input_ids": None}, "exactly one of input_ids and inputs_embeds.*neither"),
        ({"inputs_embeds": torch.zeros(2, S, E).double()}, "exactly one of input_ids and inputs_embeds.*both"),
        ({"decoder_input_ids": torch.zeros(2, T)}, "decoder_input_ids has.*torch.float32"),
        ({"decoder_input_ids": torch.zeros(T, dtype=torch.long)}, r"decoder_input_ids has shape \(5,\)"),
        ({"decoder_input_ids": torch.zeros(2, T, 1, dtype=torch.long)}, r"decoder_input_ids has shape \(2, 5, 1\)"),
        ({"decoder_input_ids": torch.zeros(3, T, dtype=torch.long)}, r"3 rows, the source 2"),
        ({"decoder_input_ids": None}, "exactly one of decoder_input_ids and decoder_inputs_embeds.*neither"),
        ({"decoder_inputs_embeds": torch.zeros(2, T, E).double()}, "exactly one of decoder_input_ids and.*both"),
        (vectors(torch.zeros(2, T).double()), r"decoder_inputs_embeds.*\(2, 5\)"),
        (vectors(torch.zeros(2, T, E + 1).double()), r"decoder_inputs_embeds.*\(2, 5, 7\).*6"),
        (vectors(torch.zeros(2, T, E)), "decoder_inputs_embeds is torch.float32.*torch.float64"),
        ({"attention_mask": torch.ones(2, S + 1)}, r"attention_mask has shape \(2, 7\).*\(2, 6\)"),
        ({"decoder_attention_mask": torch.ones(2, T + 1)}, r"decoder_attention_mask has shape \(2, 6\).*\(2, 5\)"),
        ({"past_key_values": 1}, "cache_params"),
        ({"encoder_outputs": (torch.zeros(2, S, H + 1).double(),)}, r"encoder_outputs.*\(2, 6, 9\).*8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_inputs_of_another_kind_are_refused(kind, inputs, words):
    model = build(kind=kind)
    with pytest.raises(ValueError, match=words):
        model(**inputs_of(model) | inputs)


@both_heads
@pytest.mark.parametrize("options", [{}, APART], ids=["one vocabulary", "two"])
@pytest.mark.parametrize("side", ["input_ids", "decoder_input_ids"])
@pytest.mark.parametrize("value", [100, -1])
def test_an_id_outside_its_vocabulary_is_named(kind, options, side, value):
    model = build(kind=kind, **options)
    inputs = inputs_of(model)
    inputs[side][1, 2] = value
    size = TARGET_V if options and side == "decoder_input_ids" else V
    with pytest.raises(IndexError, match=rf"^{side} holds {value} \(row 1, position 2\).*{size} ids, 0 to {size - 1}"):
        model(**inputs)


def test_ids_of_the_source_may_not_be_ids_of_the_target():
    model = build(**APART)
    ids = torch.full((1, 2), TARGET_V)
    model(input_ids=ids, decoder_input_ids=torch.full((1, 2), TARGET_V - 1))
    with pytest.raises(IndexError, match=rf"decoder_input_ids holds {TARGET_V}"):
        model(input_ids=ids, decoder_input_ids=ids)


@pytest.mark.parametrize("value", [TARGET_V, -1])
@pytest.mark.parametrize("alone", [True, False], ids=["labels", "with decoder inputs"])
def test_a_label_outside_the_vocabulary_is_named(value, alone):
    model = build(**APART)
    inputs, labels = inputs_of(model), random_ids(2, T, vocab_size=TARGET_V)
    if alone:
        del inputs["decoder_input_ids"]
    labels[0, 4], labels[1, 4] = IGNORED, value
    with pytest.raises(IndexError, match=rf"labels holds {value} \(row 1, position 4\).*{TARGET_V} ids"):
        model(**inputs, labels=labels)


def test_labels_must_fit_the_target():
    model = build()
    with pytest.raises(ValueError, match=r"labels have shape \(2, 6\).*\(2, 5\)"):
        model(**inputs_of(model), labels=random_ids(2, T + 1))


@both_heads
@both_ways
def test_the_state_must_fit(kind, feeding):
    model = build(kind=kind, input_feeding=feeding, decoder_layers=2)
    inputs = inputs_of(model)
    state = model(**inputs).cache_params
    feed = state.feed
    others = [
        (model(**inputs_of(model, 3)).cache_params, "3 rows"),
        (build(kind=kind, input_feeding=feeding)(**inputs).cache_params, "1 layers, the model 2"),
        (build("gru", kind=kind, input_feeding=feeding, decoder_layers=2)(**inputs).cache_params, "another model"),
        (state.to(torch.float32), "torch.float32"),
        (state.layers, "cache_params is a tuple"),
        (DecoderState(state.layers, feed, state.keys[:, 1:]), "keys"),
        (DecoderState(state.layers, feed, state.keys[:1]), "keys"),
    ]
    if feeding:
        others += [
            (DecoderState(state.layers, None, state.keys), "feed"),
            (DecoderState(state.layers, feed[:1], state.keys), "feed"),
            (DecoderState(state.layers, feed[:, 1:], state.keys), "feed"),
        ]
    else:
        model(**inputs, cache_params=RecurrentState(state.layers))  # its keys are computed
    for other, words in others:
        with pytest.raises(ValueError, match=words):
            model(**inputs, cache_params=other)


@both_heads
@both_ways
def test_vectors_instead_of_ids(kind, feeding):
    model = build(kind=kind, input_feeding=feeding, **APART)
    inputs = inputs_of(model)
    base = model if kind is RnnSeq2SeqModel else model.model
    vectors = {
        "inputs_embeds": model.get_input_embeddings()(inputs["input_ids"]),
        "decoder_inputs_embeds": base.target_embeddings(inputs["decoder_input_ids"]),
    }
    close(result(model(**vectors)), result(model(**inputs)))


@both_heads
def test_states_of_the_source_may_be_given(kind):
    model = build(kind=kind)
    inputs = inputs_of(model) | {"attention_mask": torch.tensor([[1] * S, [0, 0, 1, 1, 1, 1]])}
    expected = model(**inputs)
    ids = inputs.pop("input_ids")
    outputs = model.get_encoder()(ids, attention_mask=inputs["attention_mask"])
    values = outputs.last_hidden_state
    close(expected.encoder_last_hidden_state, values)
    for given in (outputs, BaseModelOutput(values), (values,), [values]):
        close(result(model(**inputs, encoder_outputs=given)), result(expected))
    close(result(model(**inputs, input_ids=ids, encoder_outputs=(2 * values,))), result(model(**inputs, encoder_outputs=(2 * values,))))  # fmt: skip  # noqa: E501


def test_the_encoder_is_a_model_of_one_stack():
    model = build(cell_type="gru", layer_norm=True)
    assert type(model.get_encoder()) is RnnModel
    assert type(model.model.encoder.config) is RnnConfig
    alone = RnnModel(model.config.encoder_config()).double().eval()
    alone.load_state_dict(model.model.encoder.state_dict())
    ids = random_ids(2, S)
    close(alone(ids).last_hidden_state, model(input_ids=ids, decoder_input_ids=ids).encoder_last_hidden_state)


@both_heads
@both_ways
def test_what_is_returned_when_asked(kind, feeding):
    model = build(kind=kind, input_feeding=feeding, decoder_layers=3, num_hidden_layers=2, attention_layer=2)
    inputs = inputs_of(model)
    plain = model(**inputs)
    for name in ("cross_attentions", "decoder_hidden_states", "encoder_hidden_states", "decoder_attentions"):
        assert plain[name] is None if name in plain else getattr(plain, name) is None
    outputs = model(**inputs, output_attentions=True, output_hidden_states=True)
    base = model if kind is RnnSeq2SeqModel else model.model
    (weights,) = outputs.cross_attentions
    assert weights.shape == (2, 1, T, S)
    close(weights.sum(-1), torch.ones(2, 1, T).double())
    assert [tuple(h.shape) for h in outputs.decoder_hidden_states] == [(2, T, E)] + [(2, T, H - 1)] * 3
    assert [tuple(h.shape) for h in outputs.encoder_hidden_states] == [(2, S, E)] + [(2, S, H)] * 2
    assert torch.equal(outputs.decoder_hidden_states[0], base.target_embeddings(inputs["decoder_input_ids"]))
    assert outputs.encoder_last_hidden_state.shape == (2, S, H)
    assert set(outputs) - set(plain) == {"cross_attentions", "decoder_hidden_states", "encoder_hidden_states"}
    flat = model(**inputs, return_dict=False)
    assert isinstance(flat, tuple)
    close(flat[0], result(plain))
    model.config.output_attentions = model.config.output_hidden_states = True
    close(model(**inputs).cross_attentions[0], weights)
    assert len(model(**inputs).encoder_hidden_states) == 3


@both_heads
@both_ways
def test_the_state_is_returned_when_asked_and_by_default_outside_training(kind, feeding):
    model = build(kind=kind, input_feeding=feeding)
    inputs = inputs_of(model)
    assert model(**inputs).cache_params is not None
    assert model(**inputs, use_cache=False).cache_params is None
    model.train()
    assert model(**inputs).cache_params is None
    assert model(**inputs, use_cache=True).cache_params is not None
    model.eval().config.use_cache = False
    assert model(**inputs).cache_params is None


# The state


@both_ways
@pytest.mark.parametrize("attention", ["luong_general", "luong_dot", "none"])
def test_a_state_in_files_and_dictionaries(feeding, attention, tmp_path):
    model = build(input_feeding=feeding, attention=attention)
    with torch.no_grad():
        state = model(**inputs_of(model)).cache_params
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    save_file(state.to_dict(), tmp_path / "state.safetensors")
    for back in (
        torch.load(buffer, weights_only=True),
        DecoderState.from_dict(load_file(tmp_path / "state.safetensors")),
        copy.deepcopy(state),
    ):
        assert type(back) is DecoderState
        assert back.to_dict().keys() == state.to_dict().keys()
        close_all(back.to_dict().values(), state.to_dict().values(), 0)
    assert ("feed" in state.to_dict()) == feeding
    assert ("keys" in state.to_dict()) == (attention != "none")
    with pytest.raises(ValueError, match="foot"):
        DecoderState.from_dict(state.to_dict() | {"foot": torch.zeros(1)})
    with pytest.raises(ValueError, match="no recurrent state"):
        DecoderState.from_dict({})


def numbers(state):
    return list(state.to_dict().values())


@both_ways
def test_methods_of_a_state_reach_all_of_it(feeding):
    model = build(input_feeding=feeding)
    state = model(**inputs_of(model, 3)).cache_params
    kept = state.map(torch.clone)
    assert len(numbers(state)) == 3 + feeding
    rows = torch.tensor([2, 0, 0, 1])
    for before, after in zip(numbers(state), numbers(state.index_select(rows)), strict=True):
        assert torch.equal(after, before[rows])
    for before, after in zip(numbers(state), numbers(state[-1]), strict=True):
        assert torch.equal(after, before[2:])
    assert not any(s.requires_grad for s in numbers(state.detach()))
    assert all(s.dtype == torch.float32 for s in numbers(state.to(torch.float32)))
    assert all(s[1].eq(0).all() and s[0].ne(0).any() for s in numbers(state.reset(torch.tensor([False, True, False]))))
    close_all(numbers(state), numbers(kept), 0)
    state.reorder_cache(torch.tensor([2, 1, 1]))
    assert type(state) is DecoderState
    close_all(numbers(state), numbers(kept.index_select(torch.tensor([2, 1, 1]))), 0)


# Files and training


def test_every_model_class_is_tested_here():
    mappings = (getattr(modeling_auto, name) for name in dir(modeling_auto) if name.endswith("_MAPPING"))
    registered = {m[RnnSeq2SeqConfig] for m in mappings if hasattr(m, "_extra_content") and RnnSeq2SeqConfig in m}
    assert registered == {RnnSeq2SeqModel, RnnSeq2SeqForConditionalGeneration}


@both_heads
@every_cell
@both_ways
def test_a_saved_model_opens_with_the_auto_classes(tmp_path, kind, cell, feeding):
    model = build(cell, kind=kind, input_feeding=feeding, layer_norm=True, attention="bahdanau", attention_scaled=True)
    model.save_pretrained(tmp_path)
    auto = AutoModel if kind is RnnSeq2SeqModel else AutoModelForSeq2SeqLM
    loaded, report = auto.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is kind
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    inputs = inputs_of(model)
    close(result(loaded(**inputs)), result(model(**inputs)))
    if kind is not RnnSeq2SeqModel:
        base = AutoModel.from_pretrained(tmp_path)
        close(base(**inputs).last_hidden_state, model.model(**inputs).last_hidden_state)


@both_ways
def test_a_head_without_a_checkpoint_is_initialized_and_the_rest_loaded(tmp_path, feeding):
    model = build(kind=RnnSeq2SeqModel, input_feeding=feeding, attention="bahdanau", attention_scaled=True)
    model.save_pretrained(tmp_path)
    grown = RnnSeq2SeqForConditionalGeneration.from_pretrained(tmp_path)
    for name, parameter in model.named_parameters():
        assert torch.equal(grown.get_parameter(f"model.{name}"), parameter)
    assert grown.lm_head.weight.std().item() == pytest.approx(1.0, rel=0.4)
    assert grown.lm_head.bias.eq(0).all()


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_fresh_model_is_initialized_as_it_says(attention):
    size = 400
    sizes = {"hidden_size": size // 2, "decoder_hidden_size": size, "embedding_size": 16, "attention_size": size}
    model = RnnSeq2SeqModel(tiny_seq2seq_config(attention=attention, attention_scaled=True, cell_type="gru", **sizes))
    named = dict(model.decoder.named_parameters())
    for name, fans in (("attention.key_projection.weight", 2 * size), ("attention.query_projection.weight", 2 * size),
                       ("readout.weight", 2 * size + 16), ("bridge.projection.weight", 2 * size)):  # fmt: skip
        if name in named:
            bound = (6 / fans) ** 0.5
            assert named[name].abs().max().item() == pytest.approx(bound, rel=0.01)
            assert named[name].std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    if attention in ("bahdanau", "luong_concat"):
        assert named["attention.v"].abs().max().item() == pytest.approx(size**-0.5, rel=0.05)
        assert named["attention.gain"].item() == pytest.approx(size**-0.5)
    for name, parameter in named.items():
        assert "bias" not in name or parameter.eq(0).all()


@both_ways
@pytest.mark.parametrize(
    ("cell", "attention"),
    [(cell, "luong_general") for cell in ONE_OF_EACH_KIND] + [("lstm", kind) for kind in (*ATTENTIONS, "none")],
)
def test_every_model_overfits_one_batch(cell, attention, feeding):
    sizes = {"hidden_size": 12, "decoder_hidden_size": 24, "embedding_size": 24, "initializer_range": 0.1}
    model = RnnSeq2SeqForConditionalGeneration(
        tiny_seq2seq_config(cell_type=cell, attention=attention, input_feeding=feeding, **sizes)
    )
    batch = {"input_ids": random_ids(2, 3), "labels": random_ids(2, 3)}
    optimizer = torch.optim.Adam(model.train().parameters(), lr=0.01)
    for _ in range(100):
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.1:
            break
    assert loss.item() < 0.1
    found = model.eval().generate(batch["input_ids"], max_new_tokens=3, eos_token_id=None)
    assert torch.equal(found[:, 1:], batch["labels"])


@both_ways
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable:FutureWarning")
def test_gradient_checkpointing_changes_no_gradient(feeding, reentrant):
    model = build(input_feeding=feeding, decoder_layers=2, attention_layer=1, num_hidden_layers=2).train()
    inputs = inputs_of(model) | {"labels": random_ids(2, T)}
    parameters = list(model.parameters())
    expected = torch.autograd.grad(model(**inputs).loss, parameters)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    model(**inputs).loss.backward()
    close_all([p.grad for p in parameters], expected)


@every_attention
@both_ways
@pytest.mark.parametrize("training", [False, True])
def test_bfloat16_autocast_is_near_single_precision(attention, feeding, training):
    model = build(
        attention=attention, input_feeding=feeding, initializer_range=0.1, decoder_layers=2, attention_layer=None
    )
    model.float().train(training)
    _, batch = padded(model, "left", "left")
    expected = model(**batch)
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(expected.loss, parameters, allow_unused=True, materialize_grads=True)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(**batch, use_cache=True)
    close(outputs.loss, expected.loss, 0.03)
    got = torch.autograd.grad(outputs.loss, parameters, allow_unused=True, materialize_grads=True)
    close_all(got, gradients, 0.05)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        model(**inputs, decoder_input_ids=random_ids(3, 1), cache_params=outputs.cache_params)
        assert model.generate(**inputs, max_new_tokens=3, num_beams=2).shape[0] == 3


@both_ways
def test_a_model_in_bfloat16_runs(feeding):
    model = build(input_feeding=feeding, initializer_range=0.1)
    _, batch = padded(model)
    expected = model(**batch)
    outputs = model.bfloat16()(**batch)
    assert outputs.logits.dtype == torch.bfloat16
    close(outputs.loss, expected.loss.float(), 0.03)
    outputs.loss.backward()


@both_ways
def test_a_copied_model_is_apart(feeding):
    model = build(input_feeding=feeding)
    inputs = inputs_of(model)
    expected = model(**inputs).logits
    other = copy.deepcopy(model)
    for parameter in other.parameters():
        parameter.data += 1
    assert torch.equal(model(**inputs).logits, expected)
    assert not torch.allclose(other(**inputs).logits, expected)
