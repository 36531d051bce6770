"""The models: padding, causality, carried state, loss, configuration, and the way to a file and back."""

import pytest
import torch
from conftest import BOS, EOS, ONE_OF_EACH_KIND, PAD, E, H, L, T, V, pad_rows, random_ids, tiny_config
from huggingface_hub.errors import StrictDataclassError
from torch.nn import functional as F
from torch.utils import _pytree
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    Trainer,
    TrainingArguments,
)
from transformers.models.auto import modeling_auto

from rnn_zoo import (
    CELLS,
    RecurrentState,
    RnnConfig,
    RnnForCausalLM,
    RnnForSequenceClassification,
    RnnForTokenClassification,
    RnnModel,
)

IOB2 = {"id2label": dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))}
KINDS = {
    "forward": (RnnModel, {}),
    "bidirectional": (RnnModel, {"bidirectional": True}),
    "causal_lm": (RnnForCausalLM, {}),
    "tagger": (RnnForTokenClassification, {"bidirectional": True, **IOB2}),
    "crf": (RnnForTokenClassification, {"bidirectional": True, "use_crf": True, "tag_scheme": "iobes", **IOB2}),
    "classifier": (RnnForSequenceClassification, {"bidirectional": True, "num_labels": 3}),
    "attentive": (RnnForSequenceClassification, {"pooling": "self_attentive", "num_labels": 3}),
}
AUTO_CLASSES = {
    RnnModel: AutoModel,
    RnnForCausalLM: AutoModelForCausalLM,
    RnnForTokenClassification: AutoModelForTokenClassification,
    RnnForSequenceClassification: AutoModelForSequenceClassification,
}

BASE = ("forward", "bidirectional")  # the kinds without a head
CLASSIFIERS = ("classifier", "attentive")  # the kinds with one result for a text

every_cell = pytest.mark.parametrize("cell", ONE_OF_EACH_KIND)
every_kind = pytest.mark.parametrize("kind", KINDS)


def build(kind, cell="lstm", **overrides):
    """A model in evaluation, float64, with biases that are not 0."""
    model_class, options = KINDS[kind]
    model = model_class(tiny_config(**{"cell_type": cell} | options | overrides)).double().eval()
    for name, parameter in model.named_parameters():
        if "bias" in name:
            torch.nn.init.uniform_(parameter, -0.3, 0.3)
    return model


def result(outputs):
    return outputs[next(key for key in ("logits", "last_hidden_state") if key in outputs)]


def of_row(y, row, mask):
    """What belongs to one row of a padded batch: its real tokens' part, or all where there is one result a text."""
    return y[row, mask[row].bool()] if y.dim() == 3 else y[row]


def tensors(state):
    return _pytree.tree_leaves(state)


def close(actual, expected, tolerance=1e-10, **options):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance, **options)


def close_all(actual, expected, tolerance=1e-10):
    for a, b in zip(actual, expected, strict=True):
        close(a, b, tolerance)


# Padding


@every_kind
@every_cell
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("extras", [{}, {"residual": True, "layer_norm": True}], ids=["plain", "residual and norm"])
def test_padded_batch_is_its_rows_alone(kind, cell, side, extras):
    model = build(kind, cell, **extras)
    rows = [random_ids(n) for n in (T, 4, 1)]
    ids, mask = pad_rows(rows, side)
    outputs = model(ids, attention_mask=mask)
    for n, row in enumerate(rows):
        alone = model(row[None])
        close(of_row(result(outputs), n, mask), result(alone)[0])
        close_all(tensors(outputs.cache_params.index_select(torch.tensor([n]))), tensors(alone.cache_params))
    if kind in BASE:
        assert outputs.last_hidden_state[mask == 0].eq(0).all()


@every_kind
@every_cell
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batch_has_the_gradients_of_its_rows(kind, cell, side):
    model = build(kind, cell).train()  # a CRF decodes in evaluation, and has no gradient there
    rows = [random_ids(n) for n in (T, 4, 1)]
    ids, mask = pad_rows(rows, side)
    y = result(model(ids, attention_mask=mask))
    weights = torch.randn_like(y)
    parameters = [p for name, p in model.named_parameters() if not name.startswith("crf.")]  # those are for the loss
    together = sum(of_row(y * weights, n, mask).sum() for n in range(len(rows)))
    got = torch.autograd.grad(together, parameters)
    loss = sum((result(model(row[None]))[0] * of_row(weights, n, mask)).sum() for n, row in enumerate(rows))
    close_all(got, torch.autograd.grad(loss, parameters))


@every_cell
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batch_has_the_loss_of_its_rows(cell, side):
    model = build("causal_lm", cell)
    rows = [random_ids(n) for n in (T, 4, 2)]
    ids, mask = pad_rows(rows, side)
    targets = sum(len(row) - 1 for row in rows)
    alone = sum(model(row[None], labels=row[None]).loss * (len(row) - 1) for row in rows) / targets
    for labels in (ids.masked_fill(mask == 0, -100), ids):
        close(model(ids, attention_mask=mask, labels=labels).loss, alone, 1e-6)


@every_kind
@every_cell
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_in_float32(kind, cell, side):
    """The fused kernels: outputs, states and gradients to 1e-5; rows of one token and of padding alone included."""
    model = build(kind, cell).float().train()
    rows = [random_ids(n) for n in (T, 3, 1, 0)]
    ids, mask = pad_rows(rows, side)
    parameters = [p for name, p in model.named_parameters() if not name.startswith("crf.")]  # those are for the loss
    outputs = model(ids, attention_mask=mask, use_cache=True)
    y, weights = result(outputs), torch.randn_like(result(outputs))
    together = sum(of_row(y * weights, n, mask).sum() for n in range(len(rows) - 1))
    loss = 0.0
    for n, row in enumerate(rows[:-1]):
        alone = model(row[None], use_cache=True)
        close(of_row(y, n, mask), result(alone)[0], 1e-5)
        close_all(tensors(outputs.cache_params.index_select(torch.tensor([n]))), tensors(alone.cache_params), 1e-5)
        loss = loss + (result(alone)[0] * of_row(weights, n, mask)).sum()
    expected = torch.autograd.grad(loss, parameters)
    close_all(torch.autograd.grad(together, parameters, retain_graph=True), expected, 1e-5)
    assert y[-1].isfinite().all()
    assert all(s[-1].eq(0).all() for s in tensors(outputs.cache_params))
    assert all(g.isfinite().all() for g in torch.autograd.grad(y.square().sum(), parameters))


@every_kind
@every_cell
def test_holes_in_the_mask_freeze_the_state(kind, cell):
    model, ids = build(kind, cell), random_ids(2, T)
    mask = torch.tensor([[1, 0, 1, 1, 0, 0, 1], [0, 1, 0, 1, 1, 0, 0]])
    outputs = model(ids, attention_mask=mask)
    for n in range(2):
        alone = model(ids[n, mask[n].bool()][None])
        close(of_row(result(outputs), n, mask), result(alone)[0])
        close_all(tensors(outputs.cache_params.index_select(torch.tensor([n]))), tensors(alone.cache_params))


# Causality


@every_cell
@pytest.mark.parametrize("kind", ["forward", "causal_lm"])
def test_a_token_changes_what_follows_and_nothing_before(kind, cell):
    model, ids = build(kind, cell), random_ids(2, T)
    y = result(model(ids))
    for t in range(T):
        changed = ids.clone()
        changed[:, t] = (ids[:, t] + 1) % V
        y_changed = result(model(changed))
        assert torch.equal(y_changed[:, :t], y[:, :t])
        assert (y_changed[:, t] != y[:, t]).any()
        if t + 1 < T:
            assert (y_changed[:, t + 1 :] != y[:, t + 1 :]).any()


@every_cell
def test_a_bidirectional_model_sees_the_last_token_at_once(cell):
    model, ids = build("bidirectional", cell, num_hidden_layers=1), random_ids(2, T)
    changed = ids.clone()
    changed[:, -1] = (ids[:, -1] + 1) % V
    first, first_changed = model(ids).last_hidden_state[:, 0], model(changed).last_hidden_state[:, 0]
    assert torch.equal(first[:, :H], first_changed[:, :H])
    assert (first[:, H:] != first_changed[:, H:]).any()


# State


@every_cell
@pytest.mark.parametrize("kind", ["forward", "causal_lm"])
@pytest.mark.parametrize("pieces", [[3, 4], [1] * T], ids=["halves", "step by step"])
def test_pieces_with_the_state_carried_are_the_whole(kind, cell, pieces):
    model, ids = build(kind, cell), random_ids(2, T)
    whole = model(ids)
    with torch.no_grad():
        state, ys = None, []
        for piece in ids.split(pieces, 1):
            outputs = model(piece, cache_params=state)
            state = outputs.cache_params
            ys.append(result(outputs))
    close(torch.cat(ys, 1), result(whole))
    close_all(tensors(state), tensors(whole.cache_params))


@every_cell
def test_gradients_flow_through_a_carried_state_until_it_is_detached(cell):
    model, ids = build("forward", cell), random_ids(2, T)
    parameters = list(model.parameters())
    whole = torch.autograd.grad(model(ids).last_hidden_state[:, 3:].square().sum(), parameters)
    state = model(ids[:, :3]).cache_params
    carried = model(ids[:, 3:], cache_params=state).last_hidden_state.square().sum()
    close_all(torch.autograd.grad(carried, parameters, retain_graph=True), whole)
    cut = model(ids[:, 3:], cache_params=state.detach()).last_hidden_state.square().sum()
    close(cut, carried)
    assert any(not torch.allclose(a, b) for a, b in zip(torch.autograd.grad(cut, parameters), whole, strict=True))


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable:FutureWarning")
def test_gradient_checkpointing_changes_no_gradient():
    model, ids = build("causal_lm"), random_ids(2, T)
    state = model(random_ids(2, 3)).cache_params.detach()
    model.train()
    plain = model(ids, cache_params=state, labels=ids, use_cache=True)
    expected = torch.autograd.grad(plain.loss, list(model.parameters()))
    model.gradient_checkpointing_enable()
    outputs = model(ids, cache_params=state, labels=ids, use_cache=True)
    close_all(tensors(outputs.cache_params), tensors(plain.cache_params))
    close_all(torch.autograd.grad(outputs.loss, list(model.parameters())), expected)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_state_methods(bidirectional):
    model = build("bidirectional" if bidirectional else "forward")
    state = model(random_ids(3, T)).cache_params
    assert state.batch_size == 3
    assert all(s.requires_grad and s.shape == (3, H) for s in tensors(state))
    assert len(tensors(state)) == L * (2 if bidirectional else 1) * len(CELLS["lstm"].state_names)

    detached = state.detach()
    assert not any(s.requires_grad for s in tensors(detached))
    close_all(tensors(detached), tensors(state))

    for before, after in zip(tensors(state), tensors(state.reset(torch.tensor([True, False, True]))), strict=True):
        assert after[[0, 2]].eq(0).all()
        assert torch.equal(after[1], before[1])

    rows = torch.tensor([2, 0, 0, 1])
    for before, after in zip(tensors(state), tensors(state.index_select(rows)), strict=True):
        assert torch.equal(after, before[rows])

    assert len(list(state)) == 3
    close_all(tensors(state[-1]), tensors(state.index_select(torch.tensor([2]))), 0)

    single = state.to(torch.float32)
    assert all(s.dtype == torch.float32 for s in tensors(single))
    assert all(s.dtype == torch.float64 for s in tensors(state))


def test_only_reorder_cache_changes_a_state():
    state = build("forward")(random_ids(3, T)).cache_params
    kept = state.map(torch.clone)
    state.detach(), state.reset(torch.ones(3, dtype=torch.bool)), state.index_select(torch.tensor([1]))
    close_all(tensors(state), tensors(kept), 0)
    state.reorder_cache(torch.tensor([2, 1, 1]))
    close_all(tensors(state), tensors(kept.index_select(torch.tensor([2, 1, 1]))), 0)


@pytest.mark.parametrize("kind", ["forward", "bidirectional"])
def test_state_as_a_flat_dictionary_and_back(kind):
    state = build(kind, num_hidden_layers=11)(random_ids(2, T)).cache_params  # 10 stands before 2 in a sorted file
    flat = dict(sorted(state.to_dict().items()))
    assert "layers.10.0.1" in flat
    back = RecurrentState.from_dict(flat)
    assert _pytree.tree_structure(back.layers) == _pytree.tree_structure(state.layers)
    close_all(tensors(back), tensors(state), 0)


@pytest.mark.parametrize("name", ["rng", "layers.0.0", "layers.0.x.1"])
def test_state_from_a_foreign_dictionary_names_the_key(name):
    with pytest.raises(ValueError, match=name):
        RecurrentState.from_dict({name: torch.zeros(2, H)})


def test_state_is_a_pytree():
    state = build("forward")(random_ids(2, T)).cache_params
    doubled = _pytree.tree_map(lambda s: 2 * s, state)
    assert isinstance(doubled, RecurrentState)
    close_all(tensors(doubled), [2 * s for s in tensors(state)], 0)


# What forward takes and returns


@every_kind
@pytest.mark.parametrize("layer_norm", [False, True])
def test_hidden_states_are_the_embeddings_and_each_layer(kind, layer_norm):
    model, ids = build(kind, layer_norm=layer_norm), random_ids(2, T)
    outputs = model(ids, output_hidden_states=True)
    states = outputs.hidden_states
    base = model if kind in BASE else model.model
    assert len(states) == L + 1
    assert torch.equal(states[0], base.embed_tokens(ids))
    last = base.stack.norm(states[-1])
    if kind in BASE:
        close(outputs.last_hidden_state, last)
    elif kind != "crf":
        y = model.pooling(last, None)[0] if kind in CLASSIFIERS else last
        close(outputs.logits, (model.lm_head if kind == "causal_lm" else model.classifier)(y))
    assert "hidden_states" not in model(ids)


@every_kind
def test_the_state_is_returned_when_asked_and_by_default_outside_training(kind):
    model, ids = build(kind), random_ids(2, T)
    assert model(ids).cache_params is not None
    assert model(ids, use_cache=False).cache_params is None
    model.train()
    assert model(ids).cache_params is None
    assert model(ids, use_cache=True).cache_params is not None
    model.eval().config.use_cache = False
    assert model(ids).cache_params is None


@every_kind
def test_without_return_dict_a_tuple_comes_back(kind):
    model, ids = build(kind), random_ids(2, T)
    named = model(ids, output_hidden_states=True)
    plain = model(ids, output_hidden_states=True, return_dict=False)
    assert isinstance(plain, tuple)
    assert len(plain) == 3
    close(plain[0], result(named))
    close_all(tensors(plain[1]), tensors(named.cache_params))


@every_kind
def test_embeddings_instead_of_ids(kind):
    model, ids = build(kind), random_ids(2, T)
    close(result(model(inputs_embeds=model.get_input_embeddings()(ids))), result(model(ids)))


def test_logits_to_keep():
    model, ids = build("causal_lm"), random_ids(2, T)
    logits = model(ids).logits
    close(model(ids, logits_to_keep=2).logits, logits[:, -2:])
    close(model(ids, logits_to_keep=torch.tensor([0, 3])).logits, logits[:, [0, 3]])


@every_kind
def test_the_mask_must_fit_the_input(kind):
    with pytest.raises(ValueError, match=r"attention_mask.*\(2, 6\).*\(2, 7\)"):
        build(kind)(random_ids(2, T), attention_mask=torch.ones(2, T - 1))


@every_kind
def test_the_state_must_fit_the_batch(kind):
    model = build(kind)
    with pytest.raises(ValueError, match=r"cache_params.*3 rows.*2"):
        model(random_ids(2, T), cache_params=model(random_ids(3, T)).cache_params)


@every_kind
def test_every_tensor_of_the_state_must_fit(kind):
    model, ids = build(kind), random_ids(3, T)
    layers = model(ids).cache_params.layers
    one_row = tuple(tuple((s[0], s[1][:1]) for s in layer) for layer in layers)
    with pytest.raises(ValueError, match=r"cache_params has 1 rows, the input 3"):
        model(ids, cache_params=RecurrentState(one_row))
    single = tuple(tuple((s[0], s[1].float()) for s in layer) for layer in layers)
    with pytest.raises(ValueError, match=r"cache_params is torch.float32"):
        model(ids, cache_params=RecurrentState(single))
    with pytest.raises(ValueError, match="cache_params is a tuple"):
        model(ids, cache_params=layers)


@every_kind
def test_texts_that_share_a_row_and_additive_masks_are_refused(kind):
    model, ids = build(kind), random_ids(1, 5)
    with pytest.raises(ValueError, match="position_ids begin again"):
        model(ids, position_ids=torch.tensor([[0, 1, 2, 0, 1]]))
    with pytest.raises(ValueError, match="negative values"):
        model(ids, attention_mask=torch.tensor([[0.0, 0, 0, -1e9, -1e9]]))


@every_kind
def test_the_state_must_fit_the_layers(kind):
    state = build(kind, num_hidden_layers=L + 1)(random_ids(2, T)).cache_params
    with pytest.raises(ValueError, match=r"cache_params.*3 layers.*2"):
        build(kind)(random_ids(2, T), cache_params=state)


@every_kind
def test_the_state_must_have_the_dtype_of_the_input(kind):
    model, ids = build(kind), random_ids(2, T)
    state = model(ids).cache_params
    with pytest.raises(ValueError, match=r"cache_params is torch.float64, the input torch.float32"):
        model.float()(ids, cache_params=state)
    model(ids, cache_params=state.to(torch.float32))


@every_kind
@pytest.mark.parametrize("where", [(0, 0), (1, T - 1)])
@pytest.mark.parametrize("value", [V, -1, 10**9])
def test_an_id_outside_the_vocabulary_is_named(kind, where, value):
    ids = random_ids(2, T)
    ids[where] = value
    word = rf"input_ids holds {value} \(row {where[0]}, position {where[1]}\).*{V} ids, 0 to {V - 1}"
    with pytest.raises(IndexError, match=word):
        build(kind)(ids)


def test_a_label_outside_the_vocabulary_is_named():
    ids = random_ids(2, T)
    labels = ids.clone()
    labels[0, 1], labels[1, 3] = -100, V + 2
    with pytest.raises(IndexError, match=rf"labels holds {V + 2} \(row 1, position 3\).*{V} ids"):
        build("causal_lm")(ids, labels=labels)


@every_kind
@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"input_ids": torch.zeros(2, T)}, "torch.float32"),
        ({"input_ids": torch.zeros(T, dtype=torch.long)}, r"shape \(7,\)"),
        ({"input_ids": torch.zeros(2, T, 1, dtype=torch.long)}, r"shape \(2, 7, 1\)"),
        ({"inputs_embeds": torch.zeros(2, T).double()}, r"shape \(2, 7\): needed is \(batch, length, 6\)"),
        ({"inputs_embeds": torch.zeros(2, T, E + 1).double()}, r"shape \(2, 7, 7\): needed is \(batch, length, 6\)"),
        ({"inputs_embeds": torch.zeros(2, T, E)}, r"torch.float32.*torch.float64"),
        ({"input_ids": torch.zeros(2, T, dtype=torch.long), "past_key_values": 1}, "cache_params"),
    ],
    ids=["float ids", "one row", "three dimensions", "flat vectors", "wide vectors", "other dtype", "other name"],
)
def test_inputs_of_another_kind_are_refused(kind, inputs, words):
    with pytest.raises(ValueError, match=words):
        build(kind)(**inputs)


@every_kind
@every_cell
@pytest.mark.parametrize("shape", [(0, T), (2, 0), (0, 0)])
@pytest.mark.parametrize("masked", [False, True])
def test_an_empty_batch_has_an_empty_result(kind, cell, shape, masked):
    model, ids = build(kind, cell), random_ids(*shape)
    outputs = model(ids, attention_mask=torch.ones_like(ids) if masked else None)
    assert result(outputs).shape[:2] == ((shape[0], 3) if kind in CLASSIFIERS else shape)
    assert all(len(s) == shape[0] and s.eq(0).all() for s in tensors(outputs.cache_params))


@pytest.mark.parametrize(
    "other", [{"cell": "gru"}, {"kind": "bidirectional"}, {"hidden_size": H + 1}], ids=["cell", "directions", "size"]
)
def test_the_state_must_be_of_the_same_kind(other):
    model, ids = build("forward"), random_ids(2, T)
    other = build(**{"kind": "forward"} | other)
    for one, another in [(model, other), (other, model)]:
        with pytest.raises(ValueError, match="cache_params"):
            one(ids, cache_params=another(ids).cache_params)


@every_kind
@pytest.mark.parametrize("given", ["both", "neither"])
def test_ids_or_embeddings_but_not(kind, given):
    inputs = {"input_ids": random_ids(2, T), "inputs_embeds": torch.randn(2, T, E)} if given == "both" else {}
    with pytest.raises(ValueError, match=given):
        build(kind)(**inputs)


def test_a_bidirectional_language_model_is_refused():
    with pytest.raises(ValueError, match="bidirectional=True"):
        RnnForCausalLM(tiny_config(bidirectional=True))


@pytest.mark.parametrize("option", ["residual", "layer_norm"])
@pytest.mark.parametrize("kind", KINDS)
def test_options_of_the_stack_change_the_output(kind, option):
    plain, model = build(kind), build(kind, **{option: True})
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert all("norm" in name for name in missing)
    ids = random_ids(2, T)
    assert not torch.allclose(result(plain(ids)), result(model(ids)))


def test_residual_layer_adds_its_input_where_the_sizes_agree():
    model, ids = build("forward", residual=True), random_ids(2, T)
    embeddings, first, second = model(ids, output_hidden_states=True).hidden_states
    zero, one = model.stack.layers
    close(first, zero.cells[0](embeddings)[0])  # 6 features in, 8 out
    close(second, first + one.cells[0](first)[0])


DROPOUTS = [name for name in RnnConfig.__dataclass_fields__ if name.endswith("_dropout")]


@pytest.mark.parametrize(
    ("kind", "dropout"),
    [(kind, d) for kind in KINDS for d in DROPOUTS if d != "classifier_dropout" or kind in CLASSIFIERS],
)
def test_each_dropout_works_in_training_only(kind, dropout):
    model, ids = build(kind, **{dropout: 0.5}), random_ids(2, T)
    plain = build(kind)
    plain.load_state_dict(model.state_dict())
    assert torch.equal(result(model(ids)), result(plain(ids)))
    model.train(), plain.train()  # both, as the scores of a CRF are others in training
    assert not torch.allclose(result(model(ids)), result(plain(ids)))


# Loss


def test_loss_is_the_cross_entropy_of_the_next_token():
    model, ids = build("causal_lm"), random_ids(2, T)
    labels = ids.clone()
    labels[0, 3] = -100
    outputs = model(ids, labels=labels)
    expected = F.cross_entropy(outputs.logits[:, :-1].reshape(-1, V), labels[:, 1:].reshape(-1))
    close(outputs.loss, expected, 1e-6, check_dtype=False)  # the library's loss is float32


def test_shift_labels_keep_the_target_beyond_the_border():
    model, text = build("causal_lm"), random_ids(2, T + 1)
    ids, targets = text[:, :-1], text[:, 1:].contiguous()
    outputs = model(ids, labels=ids, shift_labels=targets)
    expected = F.cross_entropy(outputs.logits.reshape(-1, V), targets.reshape(-1))
    close(outputs.loss, expected, 1e-6, check_dtype=False)


def test_shift_labels_may_be_a_slice_of_the_text():
    model, text = build("causal_lm"), random_ids(2, T + 1)
    model(text[:, :-1], labels=text[:, :-1], shift_labels=text[:, 1:])


def test_shift_labels_are_enough_for_a_loss():
    model, ids, targets = build("causal_lm"), random_ids(2, T), random_ids(2, T)
    assert torch.equal(model(ids, shift_labels=targets).loss, model(ids, labels=ids, shift_labels=targets).loss)


def test_num_items_in_batch_divides_the_sum():
    model, ids = build("causal_lm"), random_ids(2, T)
    mean = model(ids, labels=ids).loss
    close(model(ids, labels=ids, num_items_in_batch=torch.tensor(5)).loss, mean * 2 * (T - 1) / 5, 1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(2, T), (2, 1), (0, T)])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in BASE])
def test_a_batch_in_which_no_label_counts_has_no_loss_and_no_gradient(kind, shape, dtype):
    model, ids = build(kind).to(dtype).train(), random_ids(*shape)
    labels = torch.full(shape[:1] if kind in CLASSIFIERS else shape, -100)
    for items in ({}, {"num_items_in_batch": 0}, {"num_items_in_batch": torch.tensor(0)}):
        model.zero_grad()
        loss = model(ids, labels=labels, **items).loss
        loss.backward()
        assert loss == 0
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.eq(0).all(), name


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_trainer_s_label_smoothing_is_of_the_targets(tmp_path):
    """It shifts labels for a language model; for one that reads backward it would do so the wrong way."""
    data = [{"input_ids": row, "labels": row} for row in random_ids(4, T)]
    arguments = TrainingArguments(
        str(tmp_path), max_steps=1, label_smoothing_factor=0.2, use_cpu=True, report_to="none", disable_tqdm=True
    )
    model, ids = build("causal_lm").float(), torch.stack([row["labels"] for row in data])
    with torch.no_grad():
        logits = model(ids).logits[:, :-1].flatten(0, 1)
    expected = F.cross_entropy(logits, ids[:, 1:].flatten(), label_smoothing=0.2)
    trainer = Trainer(model, arguments, train_dataset=data, eval_dataset=data)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(float(expected), rel=1e-4)
    backward = Trainer(
        build("causal_lm", reads_backward=True).float(), arguments, train_dataset=data, eval_dataset=data
    )
    for attempt in (backward.evaluate, backward.train):
        with pytest.raises(ValueError, match=r"reads_backward.*label_smoothing_factor"):
            attempt()


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_accumulated_quarters_are_one_batch(tmp_path):
    steps = 2
    texts = random_ids(8 * steps, T)
    lengths = [T, 2, 5, 3, 6, 4, 7, 2] * steps  # quarters with different numbers of targets
    data = []
    for text, n in zip(texts, lengths, strict=True):
        ids, mask = pad_rows([text[:n], text])
        data.append({"input_ids": ids[0], "attention_mask": mask[0], "labels": ids[0].masked_fill(mask[0] == 0, -100)})
    start = build("causal_lm").float().state_dict()
    trained = []
    for size, accumulation in [(8, 1), (2, 4)]:
        model = build("causal_lm").float()
        model.load_state_dict(start)
        arguments = TrainingArguments(
            output_dir=str(tmp_path / str(size)),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            max_steps=steps,
            learning_rate=1.0,
            optim="sgd",
            lr_scheduler_type="constant",
            train_sampling_strategy="sequential",
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        Trainer(model, arguments, train_dataset=data).train()
        trained.append(model.state_dict())
    assert any(not torch.allclose(trained[0][name], start[name], atol=1e-3) for name in start)
    for name in start:
        close(trained[1][name], trained[0][name], 1e-6)


@every_cell
def test_every_cell_overfits_one_batch(cell):
    model = RnnForCausalLM(tiny_config(cell_type=cell, hidden_size=24)).train()
    ids = random_ids(2, T)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        loss = model(ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.05:
            break
    assert loss.item() < 0.1


# Tied weights

tied_widths = pytest.mark.parametrize("embedding_size", [E, H], ids=["projection", "same size"])


@tied_widths
def test_tied_weights_are_one_tensor_also_after_a_file(tmp_path, embedding_size):
    model = build("causal_lm", tie_word_embeddings=True, embedding_size=embedding_size)
    model.save_pretrained(tmp_path)
    loaded = RnnForCausalLM.from_pretrained(tmp_path)
    for each in (model, loaded):
        assert each.lm_head.weight is each.model.embed_tokens.weight
        assert hasattr(each.output_projection, "weight") == (embedding_size != H)
    ids = random_ids(2, T)
    close(loaded(ids).logits, model(ids).logits)


@tied_widths
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "apart"])
def test_the_vocabulary_can_grow(embedding_size, tied):
    model = build("causal_lm", tie_word_embeddings=tied, embedding_size=embedding_size)
    ids = random_ids(2, T)
    logits = model(ids).logits
    model.resize_token_embeddings(V + 3)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
    assert model.config.vocab_size == V + 3
    outputs = model(ids, labels=torch.full_like(ids, V + 1))
    assert outputs.logits.shape == (2, T, V + 3)
    close(outputs.logits[..., :V], logits)
    assert outputs.loss.isfinite()


# Configuration


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, 0) for name in ("vocab_size", "embedding_size", "hidden_size", "num_hidden_layers")]
    + [(name, value) for name in DROPOUTS for value in (1.0, -0.1)]
    + [("cell_type", "ltsm"), ("recurrent_init", "othogonal"), ("pooling", "avg"), ("problem_type", "ranking")],
)
def test_a_value_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(StrictDataclassError, match=rf"{name}={value!r}:") as error:
        tiny_config(**{name: value})
    assert "must be" in str(error.value) or "choose from" in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("cell_type", "ltsm", "lstm"),
        ("recurrent_init", "orthogonl", "orthogonal"),
        ("pooling", "attentoin", "attention"),
        ("problem_type", "regresion", "regression"),
    ],
)
def test_a_misspelt_name_gets_a_proposal(name, value, meant):
    with pytest.raises(StrictDataclassError, match=f"did you mean '{meant}'"):
        tiny_config(**{name: value})


def test_the_embedding_is_as_wide_as_the_state_unless_told():
    assert RnnConfig(hidden_size=9).embedding_size == 9
    assert RnnConfig(hidden_size=9, embedding_size=4).embedding_size == 4


def test_configuration_comes_back_from_its_file(tmp_path):
    config = tiny_config(cell_type="gru", residual=True, input_dropout=0.25, recurrent_init="uniform")
    config.save_pretrained(tmp_path)
    back = AutoConfig.from_pretrained(tmp_path)
    assert type(back) is RnnConfig
    for name in RnnConfig.__annotations__:
        assert getattr(back, name) == getattr(config, name)
    assert (back.pad_token_id, back.bos_token_id, back.eos_token_id) == (PAD, BOS, EOS)


# Files


def test_every_model_class_has_a_kind_here():
    """A head that is registered with an Auto class goes through all the tests of this file."""
    mappings = (getattr(modeling_auto, name) for name in dir(modeling_auto) if name.endswith("_MAPPING"))
    registered = {m[RnnConfig] for m in mappings if hasattr(m, "_extra_content") and RnnConfig in m}
    assert registered == {model_class for model_class, _ in KINDS.values()}


@every_kind
@every_cell
def test_a_saved_model_opens_with_the_auto_classes(tmp_path, kind, cell):
    model = build(kind, cell, layer_norm=True)
    model.save_pretrained(tmp_path)
    loaded, report = AUTO_CLASSES[type(model)].from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is type(model)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for name, parameter in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], parameter)
    ids = random_ids(2, T)
    close(result(loaded(ids)), result(model(ids)))
    assert [file.name for file in tmp_path.iterdir() if file.suffix in (".bin", ".pt", ".safetensors")] == [
        "model.safetensors"
    ]


@every_cell
def test_a_base_model_opens_from_a_language_model(tmp_path, cell):
    model = build("causal_lm", cell)
    model.save_pretrained(tmp_path)
    base, ids = AutoModel.from_pretrained(tmp_path), random_ids(2, T)
    close(base(ids).last_hidden_state, model.model(ids).last_hidden_state)


@every_cell
@pytest.mark.parametrize("recurrent_init", ["orthogonal", "uniform"])
def test_a_head_without_a_checkpoint_is_initialized_and_the_rest_loaded(tmp_path, cell, recurrent_init):
    model = build("forward", cell, num_hidden_layers=1, recurrent_init=recurrent_init)
    model.save_pretrained(tmp_path)
    grown = RnnForCausalLM.from_pretrained(tmp_path, num_hidden_layers=2)
    for name, parameter in model.named_parameters():
        assert torch.equal(grown.get_parameter(f"model.{name}"), parameter)
    new = {name: p for name, p in grown.named_parameters() if ".layers.1." in name or "lm_head" in name}
    fresh = RnnForCausalLM(grown.config).double()
    for name, parameter in new.items():
        expected = fresh.get_parameter(name)
        assert parameter.isfinite().all()
        assert torch.allclose(parameter.norm(), expected.norm(), rtol=0.35, atol=1e-9)


@every_cell
def test_a_fresh_model_is_initialized_as_the_configuration_says(cell):
    model = RnnForCausalLM(tiny_config(cell_type=cell, vocab_size=2000, initializer_range=0.2, forget_gate_bias=2.0))
    for weight in (model.model.embed_tokens.weight, model.lm_head.weight):
        std = weight[1:].std().item()  # row 0 may be the padding's
        assert std == pytest.approx(0.2, rel=0.05)
    assert model.lm_head.bias.eq(0).all()
    for layer in model.model.stack.layers:
        biases = torch.cat([p for name, p in layer.named_parameters() if "bias" in name])
        assert {0.0} <= {*biases.tolist()} <= {0.0, 2.0}


# Compilation


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")
@every_cell
def test_forward_compiles_into_one_graph(cell):
    model, ids = build("causal_lm", cell), random_ids(2, T)
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.no_grad():
        first, again = model(ids, attention_mask=mask), compiled(ids, attention_mask=mask)
        close(again.logits, first.logits)
        close_all(tensors(again.cache_params), tensors(first.cache_params))
        close(compiled(ids, cache_params=again.cache_params).logits, model(ids, cache_params=first.cache_params).logits)
