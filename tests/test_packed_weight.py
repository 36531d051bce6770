"""Weights of lower precision: what a stream writes with them is near to what it writes in float32, for every cell."""

import pytest
import torch
from conftest import T, V, random_ids
from test_generation import build, every_cell

from rnn_zoo import GenerationStream
from rnn_zoo.models.packed_weight import PackedWeight

NEAR = {"float16": 1e-3, "int8": 3e-2}  # of the norm
pytestmark = pytest.mark.skipif(
    "fbgemm" not in torch.backends.quantized.supported_engines, reason="no kernel for float16 on this processor"
)


@pytest.mark.parametrize("precision", NEAR)
@pytest.mark.parametrize("rows", [1, 3])
def test_a_product_of_a_weight_and_of_its_pieces(precision, rows):
    torch.manual_seed(0)
    weight, x = torch.randn(70, 37), torch.randn(rows, 37)  # no whole blocks
    weight[3] = 0
    own = PackedWeight.of(weight, precision)
    linear = torch.nn.functional.linear
    for packed, plain in [(own, weight), *zip(own.chunk(2), weight.chunk(2), strict=True), (own[:9], weight[:9])]:
        given, wanted = linear(x, packed), linear(x, plain)
        assert type(given) is torch.Tensor
        assert 0 < (given - wanted).norm() < NEAR[precision] * wanted.norm()
    assert torch.equal(own + 0, weight)


def scores_of(model, prompt, precision):
    stream = GenerationStream(model, do_sample=False, weights=precision)
    stream.read(prompt)
    for token in range(V + 3):  # the table of the first layer is made on the way
        stream.token = torch.full((len(prompt),), token % V)
        stream._score(stream.token)
    return stream.logits


@every_cell
@pytest.mark.parametrize("precision", NEAR)
def test_scores_are_near_those_of_float32(cell, precision):
    model, prompt = build(cell).float(), random_ids(2, T)
    with torch.no_grad():
        wanted, given = scores_of(model, prompt, "float32"), scores_of(model, prompt, precision)
        assert 0 < (given - wanted).norm() < 2 * NEAR[precision] * wanted.norm()


def test_a_change_of_a_weight_is_seen():
    model, prompt = build("lstm").float(), random_ids(1, T)
    stream = GenerationStream(model, do_sample=False, weights="int8")
    stream.read(prompt)
    next(stream)
    next(stream)
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.lm_head.bias.copy_(torch.arange(V))
    next(stream)
    assert int(next(stream)) == V - 1


def test_what_has_no_lower_precision_is_refused():
    with pytest.raises(ValueError, match="did you mean 'int8'"):
        GenerationStream(build("lstm").float(), weights="int")
    with pytest.raises(ValueError, match="weights='int8': needs a plain model in float32 on a CPU"):
        GenerationStream(build("lstm").double(), weights="int8")
