"""Decoding: one token at a time, greedily, against a loop around `torch.nn.LSTM`, and onnxruntime.

The module packs its weights anew for each token, into memory that the C library asks the system for and gives back each
time; `MALLOC_TRIM_THRESHOLD_` and `MALLOC_MMAP_THRESHOLD_` of glibc (1000000000) show it at its best.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import GenerationStream, RnnConfig, RnnForCausalLM
from ..errors import UserError
from ..export.exporting import graphs_of
from ..export.onnx_graphs import NEEDED, require, session, write_onnx
from ..export_options import OPSET, RUNTIME
from ..models.packed_weight import refusal_of
from ..models.step_decoder import StepDecoder
from .pairs import Comparison, Sizes

WORDS, LAYERS, TOKENS, FIRST = 100, 2, 200, 5
BYTES = {"float32": 4, "float16": 2, "int8": 1}  # of a number of a weight


def comparisons(sizes: Sizes) -> Iterator[Comparison]:
    for name in sizes.cells:
        yield from of_cell(name, sizes)


def of_cell(name: str, sizes: Sizes) -> Iterator[Comparison]:
    torch.manual_seed(0)
    config = RnnConfig(
        vocab_size=WORDS, hidden_size=sizes.hidden, num_hidden_layers=LAYERS, cell_type=name, pad_token_id=0
    )
    model = RnnForCausalLM(config).eval().to(sizes.device)
    lstm = nn.LSTM(sizes.hidden, sizes.hidden, LAYERS, batch_first=True).eval().to(sizes.device)
    prompt = torch.full((1, 1), FIRST, device=sizes.device)

    @torch.no_grad()
    def around_module() -> None:
        token, state = prompt, None
        for _ in range(TOKENS):
            y, state = lstm(model.model.embed_tokens(token), state)
            token = model.lm_head(y).argmax(-1)

    @torch.no_grad()
    def bare() -> None:
        state = model(prompt, use_cache=True).cache_params
        step, token = StepDecoder(model), prompt[:, 0]
        for _ in range(TOKENS):
            logits, state = step(token, state)
            token = logits.argmax(-1)

    def generate() -> None:
        model.generate(prompt, max_new_tokens=TOKENS, do_sample=False)

    title = f"decoding, {LAYERS} x {sizes.hidden} {name}, one row"
    ways: dict[str, Callable[[], Any]] = {
        "nn.LSTM": around_module,
        "generate": generate,
        "stream": partial(stream_of, model, prompt, TOKENS),
    }
    promised = sizes.promised("generate", 3.0) | sizes.promised("stream", 4.0) if name == "lstm" else {}
    left_out = {}
    near_limit: list[Comparison] = []
    if sizes.device.type == "cpu":
        for precision, size in BYTES.items():
            way = "stream" if precision == "float32" else f"stream, {precision}"
            if refusal := refusal_of(precision):
                left_out[way] = refusal
                continue
            ways[way] = partial(stream_of, model, prompt, TOKENS, precision)
            numbers = torch.zeros(size * weights_of_a_token(model) // 4)
            limit: dict[str, Callable[[], Any]] = {"plain read": partial(read_of, numbers, TOKENS), way: ways[way]}
            about = f"{title}: the memory's limit, {numbers.nbytes / 1e6:.1f} MB of weights a token"
            near_limit.append(Comparison(about, limit, "plain read", TOKENS))
        ways["bare steps"] = bare
        try:
            ways["onnxruntime"] = by_onnxruntime(model)
        except UserError as error:
            left_out["onnxruntime"] = str(error)
    yield Comparison(title, ways, "nn.LSTM", TOKENS, promised=promised, left_out=left_out)
    for base, way, promise in (("bare steps", "generate", 0.7), ("onnxruntime", "stream", 1.0)):
        if base in ways:
            yield Comparison(
                title, {base: ways[base], way: ways[way]}, base, TOKENS, promised=sizes.promised(way, promise)
            )
    yield from near_limit
    lengths: dict[str, Callable[[], Any]] = {
        f"{n} tokens": partial(stream_of, model, prompt, n) for n in (50, 100, 200)
    }
    yield Comparison(f"{title}: longer texts", lengths, "50 tokens", 1, "texts", memory=True)


def weights_of_a_token(model: RnnForCausalLM) -> int:
    """How many numbers of matrices a token reads: all of the layers but the first one's for the input, which a table
    takes the place of, and those of the scores."""
    sizes = {name: weight.numel() for name, weight in model.named_parameters() if weight.dim() == 2}
    return sum(sizes.values()) - sizes["model.embed_tokens.weight"] - sizes["model.stack.layers.0.cells.0.weight_ih"]


def read_of(numbers: torch.Tensor, tokens: int) -> None:
    """Reads as many bytes as the weights have, once for each token."""
    for _ in range(tokens):
        numbers.sum()


def stream_of(model: RnnForCausalLM, prompt: torch.Tensor, tokens: int, weights: str = "float32") -> None:
    written = GenerationStream(model, do_sample=False, weights=weights)
    written.read(prompt)
    for _ in islice(written, tokens):
        pass


def by_onnxruntime(model: RnnForCausalLM) -> Callable[[], None]:
    """The exported graph, its states given back to it as they came, on as many threads as torch has.

    Raises:
        UserError: if onnxruntime, or what writes the graph, is not installed.
    """
    require(*NEEDED, RUNTIME)
    (graph,) = graphs_of(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write_onnx(graph, path, OPSET, {})
        runtime = session(path, threads=torch.get_num_threads())
    states = {one.name: one.shape for one in runtime.get_inputs() if one.name.startswith("past.")}
    real = np.ones((1, 1), np.int64)

    def work() -> None:
        token = np.full((1, 1), FIRST)
        state = {name: np.zeros([1, *shape[1:]], np.float32) for name, shape in states.items()}
        for _ in range(TOKENS):
            logits, *present = runtime.run(None, {"input_ids": token, "attention_mask": real, **state})
            state = dict(zip(states, present, strict=True))
            token = logits.argmax(-1)

    return work
