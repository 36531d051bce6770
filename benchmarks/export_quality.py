"""What `rnn-zoo export --int8` costs: checkpoints that ship, on the data that they were measured on.

    python benchmarks/export_quality.py --data data [--json FILE]

`data` holds `tinyshakespeare/input.txt`, `wnut17/valid.txt`, `nepali-ner-ne/valid.txt`. Measured are bits a character
on the last tenth of the plays, the F1 of entities, and the size of the graph, in torch, in ONNX, and in ONNX with int8.
"""

import argparse
import json
import math
import tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
from seqeval.metrics import f1_score

from rnn_zoo import zoo
from rnn_zoo.export.exporting import graphs_of
from rnn_zoo.export.onnx_graphs import run_onnx, session, write_onnx
from rnn_zoo.export_options import OPSET
from rnn_zoo.tasks.opening import load
from rnn_zoo.tasks.token_classification.conll import read_conll
from rnn_zoo.tasks.token_classification.tagger import Tagger

LANES, PIECE = 16, 500  # of the text, and characters of each that are read at once
TAGGERS = {"ner_wnut17_bilstm_crf": "wnut17", "ner_nepali_bilstm_crf": "nepali-ner-ne"}


def bits_per_character(run, ids: torch.Tensor, state: list[torch.Tensor]) -> float:
    """`run` of a language model over `ids (N)`, in lanes."""
    length = (len(ids) - 1) // LANES
    read = ids[: LANES * length].view(LANES, length)
    written = ids[1 : LANES * length + 1].view(LANES, length)
    nats = 0.0
    for start in range(0, length, PIECE):
        part = read[:, start : start + PIECE]
        logits, *state = run(part, torch.ones_like(part), *state)
        scores = logits.log_softmax(-1).gather(-1, written[:, start : start + PIECE, None])
        nats -= float(scores.double().sum())
    return nats / (LANES * length) / math.log(2)


class OnnxTagger:
    """A graph in the place of the model of a `Tagger`."""

    def __init__(self, model, runtime, graph):
        self.config, self.device, self.runtime, self.graph = model.config, "cpu", runtime, graph

    def eval(self):
        return self

    def __call__(self, use_cache, **inputs):
        tensors = tuple(inputs[one.name] for one in self.graph.inputs)
        return SimpleNamespace(logits=run_onnx(self.runtime, self.graph, tensors)[0])


def f1(model, tokenizer, sentences) -> float:
    """Of a tagger's entities, in percent."""
    found = Tagger(model, tokenizer).tag_words([sentence["tokens"] for sentence in sentences])
    return 100 * f1_score([sentence["tags"] for sentence in sentences], found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path, help="where the results are written")
    args = parser.parse_args()

    results: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:

        def graphs(name: str, model, word_length: int = 0):
            """The graph of a checkpoint, and its two files in onnxruntime with their sizes."""
            (graph,) = graphs_of(model, word_length)
            for way in ("onnx", "int8"):
                path = Path(folder) / f"{name}.{way}.onnx"
                write_onnx(graph, path, OPSET, {}, int8=way == "int8")
                results[name][f"bytes_{way}"] = path.stat().st_size
                yield way, graph, session(path)

        name = "char_lm_shakespeare"
        model, tokenizer = load(zoo.path(name), "causal_lm")
        text = (args.data / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
        ids = torch.tensor(tokenizer(text[int(len(text) * 0.9) :])["input_ids"])
        zeros = [torch.zeros(LANES, model.config.hidden_size)] * 2
        results[name] = {"measure": "bits a character, lower is better", "characters": len(ids)}
        (graph,) = graphs_of(model)
        with torch.inference_mode():
            results[name]["torch"] = bits_per_character(graph.module, ids, zeros)
        for way, graph, runtime in graphs(name, model):
            results[name][way] = bits_per_character(
                lambda *inputs, graph=graph, runtime=runtime: run_onnx(runtime, graph, inputs), ids, zeros
            )

        for name, data in TAGGERS.items():
            model, tokenizer = load(zoo.path(name), "token_classification")
            sentences = read_conll(args.data / data / "valid.txt")
            results[name] = {"measure": "F1 of entities, %", "sentences": len(sentences)}
            results[name]["torch"] = f1(model, tokenizer, sentences)
            for way, graph, runtime in graphs(name, model, tokenizer.max_word_length):
                results[name][way] = f1(OnnxTagger(model, runtime, graph), tokenizer, sentences)
    print(json.dumps(results, indent=2))
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
