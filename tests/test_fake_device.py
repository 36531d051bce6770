"""Every head on a device that is none: all its tensors are on `meta`. A tensor on the CPU that `forward` makes, or a
value that it looks at, is an error there, as it is an error on a GPU, or makes the host wait for it."""

import pytest
import torch
from conftest import random_ids
from torch._subclasses.fake_tensor import FakeTensorMode
from toy_heads import TOY_HEADS

from rnn_zoo.tasks import TASKS

pytestmark = pytest.mark.ci
# What the toy examples have not, and what makes tensors of its own.
OTHERS = [
    ("token_classification", {"character_encoder": "cnn", "affix_length": 2, "tag_scheme": "iobes"}),
    ("token_classification", {"id2label": dict(enumerate(["O", "B-X", "I-X"])), "constrain_training": True}),
    ("sequence_classification", {"pooling": "concat", "class_weights": [1.0, 2.0, 3.0], "direct_ngram_order": 2}),
    ("sequence_classification", {"pooling": "self_attentive", "attention_penalty": 0.5, "backprop_length": 2}),
    ("translation", {"input_feeding": False, "bridge": "mean", "attention_layer": 1, "decoder_layers": 2}),
]
CASES = [*((task, {}) for task in TOY_HEADS), *OTHERS]


def on_meta(model):
    """As `to` does it, but also the tables that a model keeps on the CPU as long as its weights have no memory."""
    for module in model.modules():
        module._buffers.update({name: buffer.to("meta") for name, buffer in module._buffers.items()})
    return model


@pytest.mark.parametrize("way", ["masked, in training", "whole rows, in evaluation"])
@pytest.mark.parametrize(("task", "options"), CASES)
def test_a_head_stays_on_its_device(task, options, way):
    """Forward and backward, by the kernels; the loop is what a decoder with input feeding goes step by step."""
    example = TOY_HEADS[task]
    masked = way.startswith("masked")
    batch = example.batch([random_ids(n) for n in ((3, 2) if masked else (3, 3))])
    if not masked:
        del batch["attention_mask"]
    config = example.configure(**{"cell_type": "lstm"} | example.options | options)
    with torch._functorch.config.patch(fake_tensor_allow_meta=True), FakeTensorMode():
        with torch.device("meta"):
            model = on_meta(TASKS[task].model_class(config)).train(way.endswith("training"))
            given = {name: torch.empty(x.shape, dtype=x.dtype) for name, x in batch.items()}
        outputs = model(**given)
        outputs.loss.backward()
        found = [outputs.loss, outputs.logits, *(p.grad for p in model.parameters())]
        if getattr(model, "crf", None) is not None:
            found.append(model(**given, output_marginals=True).logits)
    assert {tensor.device.type for tensor in found} == {"meta"}
