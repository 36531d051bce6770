"""Tokens per second of an exported language model in onnxruntime, against a bare loop around `torch.nn.LSTM`.

Ways, alternating, all greedy, at batch 1, each in a process of its own:

- `nn.LSTM`: embedding, module, output layer, argmax, and nothing else;
- `onnxruntime`: the graph of `rnn-zoo export`, one token a call, the state fed back as it came, argmax by numpy;
- `int8`: the same graph, written with `--int8`.

`nn.LSTM` packs its weights anew for each token, into memory that glibc asks the system for and gives back each time:
most of its time goes into that. With `--keep-memory` its process keeps what it has freed, which is the fastest that the
bare loop can be.

Whole texts as well (ROWS of LENGTH tokens in one call): torch, the graph, and the graph whose cells are ONNX's `Scan`
instead of its `LSTM`.

    taskset -c 1 python benchmarks/export_speed.py
    taskset -c 1 python benchmarks/export_speed.py --keep-memory --json result.json
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path

from ratios import KEEP_MEMORY, compare

HIDDEN, LAYERS, VOCABULARY, FIRST = 512, 2, 104, 5
ROWS, LENGTH = 8, 100
WAYS = ("nn.LSTM", "onnxruntime", "int8")


def language_model():
    """The model, with the same weights in each process."""
    import torch

    from rnn_zoo import RnnConfig, RnnForCausalLM

    torch.manual_seed(0)
    torch.set_num_threads(1)
    return RnnForCausalLM(RnnConfig(vocab_size=VOCABULARY, hidden_size=HIDDEN, num_hidden_layers=LAYERS)).eval()


def bare():
    """A function: number of tokens -> tokens, by `torch.nn.LSTM`."""
    import torch

    model = language_model()
    lstm = torch.nn.LSTM(HIDDEN, HIDDEN, LAYERS, batch_first=True).eval()
    for n, layer in enumerate(model.model.stack.layers):
        for name, weight in layer.cells[0].named_parameters():
            getattr(lstm, f"{name}_l{n}").data.copy_(weight.data)

    @torch.no_grad()
    def write(count: int) -> list[int]:
        token, state, text = torch.full((1, 1), FIRST), None, []
        for _ in range(count):
            y, state = lstm(model.model.embed_tokens(token), state)
            token = model.lm_head(y).argmax(-1)
            text.append(token.item())
        return text

    return write


def exported(path: str):
    """The same by a graph."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    past = [one.name for one in session.get_inputs() if one.name.startswith("past.")]
    real = np.ones((1, 1), np.int64)

    def write(count: int) -> list[int]:
        token, text = np.full((1, 1), FIRST), []
        state = {name: np.zeros((1, HIDDEN), np.float32) for name in past}
        for _ in range(count):
            logits, *present = session.run(None, {"input_ids": token, "attention_mask": real, **state})
            state = dict(zip(past, present, strict=True))
            token = logits.argmax(-1)
            text.append(token.item())
        return text

    return write


def work(way: str, path: str, connection) -> None:
    """Writes as many tokens as it is asked for, and answers with them and the seconds it took."""
    write = bare() if way == "nn.LSTM" else exported(path)
    while count := connection.recv():
        start = time.perf_counter()
        text = write(count)
        connection.send((text, time.perf_counter() - start))


def whole_texts(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Tokens per second of whole texts, alternating."""
    import torch

    from rnn_zoo.export import onnx_cells
    from rnn_zoo.export.exporting import graphs_of
    from rnn_zoo.export.onnx_graphs import run_onnx, session, write_onnx
    from rnn_zoo.export_options import OPSET

    (graph,) = graphs_of(language_model())
    ids = torch.randint(VOCABULARY, (ROWS, LENGTH))
    inputs = (ids, torch.ones_like(ids), *[torch.zeros(ROWS, HIDDEN)] * (2 * LAYERS))
    runs = {"torch": torch.no_grad()(lambda: graph.module(*inputs))}
    operators = dict(onnx_cells.OPERATORS)
    for way in ("LSTM", "Scan"):
        write_onnx(graph, folder / f"{way}.onnx", OPSET, {})
        runtime = session(folder / f"{way}.onnx", threads=1)
        runs[way] = lambda runtime=runtime: run_onnx(runtime, graph, inputs)
        onnx_cells.OPERATORS.clear()
    onnx_cells.OPERATORS.update(operators)
    speeds: dict[str, list[float]] = {way: [] for way in runs}
    for round_ in range(rounds + 1):
        for way, run in runs.items():
            start = time.perf_counter()
            run()
            if round_:
                speeds[way].append(ROWS * LENGTH / (time.perf_counter() - start))
    return speeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--keep-memory", action="store_true", help="do not give freed memory back (glibc)")
    parser.add_argument("--json", help="write the result to this file as well")
    args = parser.parse_args()

    from rnn_zoo.export.exporting import graphs_of
    from rnn_zoo.export.onnx_graphs import write_onnx
    from rnn_zoo.export_options import OPSET

    os.environ |= KEEP_MEMORY if args.keep_memory else {}
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        (graph,) = graphs_of(language_model())
        ends, processes = {}, []
        for way in WAYS:
            path = Path(folder) / f"{way}.onnx"
            if way != "nn.LSTM":
                write_onnx(graph, path, OPSET, {}, int8=way == "int8")
            ends[way], other = context.Pipe()
            processes.append(context.Process(target=work, args=(way, str(path), other)))
            processes[-1].start()
        speeds: dict[str, list[float]] = {way: [] for way in WAYS}
        for round_ in range(args.rounds + 1):
            texts = {}
            for way, end in ends.items():
                end.send(args.tokens)
                texts[way], seconds = end.recv()
                if round_:  # the first is for warming up
                    speeds[way].append(args.tokens / seconds)
            assert texts["onnxruntime"] == texts["nn.LSTM"], "the ways write different texts"
        for end in ends.values():
            end.send(0)
        for process in processes:
            process.join()
        texts_at_once = whole_texts(Path(folder), args.rounds)
    print(f"{LAYERS} x {HIDDEN} lstm, batch 1, 1 thread{', memory kept' if args.keep_memory else ''}")
    ratios = compare(speeds, "nn.LSTM")
    for way, values in texts_at_once.items():
        print(f"{ROWS} rows of {LENGTH}, {way:5} {statistics.median(values):9,.0f} tokens/s")
    if args.json:
        arguments = {"hidden": HIDDEN, "layers": LAYERS, "vocabulary": VOCABULARY, "batch": 1} | {
            name: value for name, value in vars(args).items() if name != "json"
        }
        result = {"arguments": arguments, "threads": 1, "tokens_per_second": speeds, "ratios": ratios}
        result["whole_texts"] = {"rows": ROWS, "length": LENGTH, "tokens_per_second": texts_at_once}
        Path(args.json).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
