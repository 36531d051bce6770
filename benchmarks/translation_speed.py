"""How fast a translator trains and translates: into `benchmarks/results/translation_speed.json`.

    python benchmarks/translation_speed.py runs/translate_multi30k_de_en --data_dir FOLDER

Translates the sources of the test part (or else of validation) greedily and with 5 beams, in alternation, the first run
left out. Then trains on batches of the training part, each step beside its own matrix products alone: those of every
layer, direction and time step, of the attention, of the projections and of the output layer, forward and backward, as
`torch.mm` and `torch.bmm` of the same shapes compute them.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from transformers import DataCollatorForSeq2Seq

from rnn_zoo.recipe.recipe import read_recipe
from rnn_zoo.tasks.opening import load
from rnn_zoo.tasks.translation.data import load_pairs
from rnn_zoo.tasks.translation.encoding import rows_of_pairs
from rnn_zoo.tasks.translation.translator import Translator

RESULTS = Path(__file__).parent / "results" / "translation_speed.json"


def products(model, B: int, S: int, T: int) -> list[tuple[int, int, int, int, int]]:
    """The matrix products of a forward pass over `B` pairs: `(batch, rows, inner, columns, times)`."""
    found = []
    decoder = model.model.decoder
    stacks = [(model.model.encoder.stack, S), (decoder.lower, T)]
    if decoder.upper is not None:
        stacks.append((decoder.upper, T))
    for stack, steps in stacks:
        for layer in stack.layers:
            for cell in layer.cells:
                gates, D = cell.weight_ih.shape
                found.append((1, B * steps, D, gates, 1))
                found.append((1, B, gates // cell.num_gates, gates, steps))
    C, H, E = model.model.encoder.config.output_size, decoder.readout.in_features, decoder.readout.out_features
    if decoder.attention is not None:
        A = model.config.decoder_hidden_size
        found += [(1, B * S, C, A, 1), (B, T, A, S, 1), (B, T, S, C, 1)]
    found += [(1, B * T, H, E, 1), (1, B * T, E, model.lm_head.out_features, 1)]
    return found


def multiply(shapes) -> None:
    """Forward, and both products of the backward pass, of each."""
    for batch, rows, inner, columns, times in shapes:
        size = () if batch == 1 else (batch,)
        x, w, g = (torch.ones(*size, *shape) for shape in ((rows, inner), (inner, columns), (rows, columns)))
        for _ in range(times):
            x @ w
            g @ w.mT
        if times == 1:
            x.mT @ g
        else:  # the weights of a recurrence get their gradient from all steps at once
            torch.ones(*size, inner, rows * times) @ torch.ones(*size, rows * times, columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()

    recipe = read_recipe(args.checkpoint / "recipe.yaml", [f"--data_dir={args.data_dir}"])
    model, tokenizer = load(args.checkpoint, "translation")
    data = load_pairs(recipe.data, recipe.task_arguments)
    texts = [pair.source for pair in data.get("test", data["validation"])]
    translator = Translator(model, tokenizer)
    seconds: dict[int, list[float]] = {1: [], 5: []}
    for n in range(args.runs + 1):
        for beams, times in seconds.items():
            start = time.perf_counter()
            translator(texts, num_beams=beams)
            if n:
                times.append(time.perf_counter() - start)

    size = recipe.training.per_device_train_batch_size
    rows = rows_of_pairs(data["train"][: size * args.steps * 4], tokenizer, recipe.task_arguments)
    order = sorted(range(len(rows)), key=lambda n: (len(rows[n]["labels"]), len(rows[n]["input_ids"])))
    collate = DataCollatorForSeq2Seq(tokenizer, model=model)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    ratios, ours, theirs = [], [], []
    for n in range(args.steps + 3):
        place = (n * 7919) % (len(order) - size)
        batch = collate([rows[k] for k in order[place : place + size]])
        shapes = products(model, size, batch["input_ids"].shape[1], batch["labels"].shape[1])
        start = time.perf_counter()
        optimizer.zero_grad()
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        middle = time.perf_counter()
        multiply(shapes)
        end = time.perf_counter()
        if n >= 3:
            ours.append(middle - start)
            theirs.append(end - middle)
            ratios.append(ours[-1] / theirs[-1])
    quartiles = statistics.quantiles(ratios, n=4)
    result = {
        "recipe": json.loads((args.checkpoint / "metrics.json").read_text(encoding="utf-8"))["recipe"],
        "parameters": sum(p.numel() for p in model.parameters()),
        "threads": torch.get_num_threads(),
        "sentences": len(texts),
        "seconds_greedy": [round(s, 1) for s in seconds[1]],
        "seconds_5_beams": [round(s, 1) for s in seconds[5]],
        "training_step_ms": round(1000 * statistics.median(ours), 1),
        "matrix_products_ms": round(1000 * statistics.median(theirs), 1),
        "step_by_products": {"median": round(quartiles[1], 2), "quartiles": [round(q, 2) for q in quartiles[::2]]},
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
