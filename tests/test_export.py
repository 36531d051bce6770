"""`torch.export` with a free batch and length, run at sizes other than the traced one."""

import io

import pytest
import torch
from conftest import ONE_OF_EACH_KIND, T, random_ids
from test_models import build, close, close_all, result, tensors

SIZES = [(3, T), (2, 5), (5, 11), (1, 1), (1, 30)]
B, LENGTH = torch.export.Dim("batch"), torch.export.Dim("length")
FREE = {0: B, 1: LENGTH}

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's own export code


def export(model, **inputs):
    return torch.export.export(model, (), inputs, dynamic_shapes=dict.fromkeys(inputs, FREE))


@pytest.mark.ci
@pytest.mark.parametrize(
    ("kind", "cell", "layers"),
    [
        *(("causal_lm", cell, 1) for cell in ONE_OF_EACH_KIND),
        ("bidirectional", "lstm", 1),
        ("forward", "lstm", 2),
        ("classifier", "lstm", 1),
        ("attentive", "lstm", 1),
    ],
)
def test_a_padded_batch_of_any_size(kind, cell, layers):
    model, ids = build(kind, cell, num_hidden_layers=layers, layer_norm=True, residual=True), random_ids(*SIZES[0])
    program = export(model, input_ids=ids, attention_mask=torch.ones_like(ids)).module()
    for size in SIZES:
        ids = random_ids(*size)
        mask = (torch.rand(size) > 0.3).long()
        outputs, expected = program(input_ids=ids, attention_mask=mask), model(ids, attention_mask=mask)
        close(result(outputs), result(expected))
        close_all(tensors(outputs.cache_params), tensors(expected.cache_params))


@pytest.mark.ci
def test_a_tagger_that_spells():
    sizes = {"character_vocab_size": 9, "character_hidden_size": 6, "affix_length": 2, "affix_embedding_size": 3}
    model = build("crf", num_hidden_layers=1, **sizes)
    spell = lambda *size: torch.randint(1, 9, (*size, 5))  # noqa: E731
    ids, letters = random_ids(*SIZES[0]), spell(*SIZES[0])
    program = export(model, input_ids=ids, character_ids=letters, attention_mask=torch.ones_like(ids)).module()
    for size in SIZES:
        ids, letters, mask = random_ids(*size), spell(*size), torch.ones(size, dtype=torch.long)
        mask[0, size[1] // 2 + 1 :] = 0
        outputs = program(input_ids=ids, character_ids=letters, attention_mask=mask)
        expected = model(ids, attention_mask=mask, character_ids=letters).logits
        close(outputs.logits[mask.bool()], expected[mask.bool()])


@pytest.mark.ci
def test_state_in_and_out():
    model, ids = build("causal_lm", num_hidden_layers=1), random_ids(*SIZES[0])
    state = model(ids).cache_params.detach()
    shapes = tuple(tuple(tuple({0: B} for _ in states) for states in layer) for layer in state.layers)
    program = torch.export.export(
        model,
        (),
        {"input_ids": ids, "cache_params": state},
        dynamic_shapes={"input_ids": FREE, "cache_params": [shapes]},
    ).module()
    for size in SIZES:
        ids = random_ids(*size)
        state = model(random_ids(size[0], 3)).cache_params
        outputs, expected = program(input_ids=ids, cache_params=state), model(ids, cache_params=state)
        close(result(outputs), result(expected))
        close_all(tensors(outputs.cache_params), tensors(expected.cache_params))


@pytest.mark.ci
def test_a_program_can_be_kept():
    model, ids = build("causal_lm", num_hidden_layers=1), random_ids(*SIZES[0])
    file = io.BytesIO()
    torch.export.save(export(model, input_ids=ids), file)
    file.seek(0)
    ids = random_ids(2, 5)
    close(torch.export.load(file).module()(input_ids=ids).logits, model(ids).logits)
