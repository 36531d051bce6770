"""Training speed and memory: `TruncatedBpttTrainer` against a bare loop around `torch.nn.LSTM`.

Both train the same sizes on the same random stream with the same optimizer (fused AdamW, clipped gradients). Each
measurement is a process of its own; the two alternate, so that noise of the machine meets both alike.

    python benchmarks/training_throughput.py                 # a table on the terminal
    python benchmarks/training_throughput.py --hidden 256 --rounds 7 --json result.json
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from transformers import TrainerCallback, TrainingArguments

from rnn_zoo import RnnConfig, RnnForCausalLM, TokenStream, TruncatedBpttTrainer
from rnn_zoo.data.token_stream import LaneDataset

VOCAB, WARM_UP = 65, 5


def bare(args: argparse.Namespace, stream: TokenStream) -> list[float]:
    """Milliseconds of each step of a loop that has nothing but what training needs."""
    embedding = torch.nn.Embedding(VOCAB, args.embedding)
    lstm = torch.nn.LSTM(args.embedding, args.hidden, args.layers, batch_first=True)
    head = torch.nn.Linear(args.hidden, VOCAB)
    parameters = [*embedding.parameters(), *lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
    chunks = LaneDataset(stream, args.lanes, args.length)
    state, times = None, []
    for step in range(args.steps):
        start = time.perf_counter()
        rows = [chunks[step * args.lanes + lane] for lane in range(args.lanes)]
        inputs = torch.stack([row["input_ids"] for row in rows])
        targets = torch.stack([row["labels"] for row in rows])
        y, state = lstm(embedding(inputs), state)
        state = tuple(s.detach() for s in state)
        loss = torch.nn.functional.cross_entropy(head(y).flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append((time.perf_counter() - start) * 1e3)
    return times


class Clock(TrainerCallback):
    """When each step ended."""

    def __init__(self):
        self.ends: list[float] = []

    def on_step_end(self, args, state, control, **kwargs):
        self.ends.append(time.perf_counter())


def trainer(args: argparse.Namespace, stream: TokenStream) -> list[float]:
    """Milliseconds from the end of one step of the trainer to the end of the next."""
    config = RnnConfig(
        vocab_size=VOCAB,
        embedding_size=args.embedding,
        hidden_size=args.hidden,
        num_hidden_layers=args.layers,
        cell_type=args.cell,
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=args.lanes,
            max_steps=args.steps,
            learning_rate=1e-3,
            logging_steps=1000000,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        model = RnnForCausalLM(config)
        TruncatedBpttTrainer(model, settings, stream, bptt_length=args.length, callbacks=[clock]).train()
    return [(after - before) * 1e3 for before, after in zip(clock.ends, clock.ends[1:], strict=False)]


def measure(args: argparse.Namespace) -> dict[str, float]:
    """In a process of its own: the median step and the greatest resident memory."""
    torch.manual_seed(0)
    stream = TokenStream(torch.randint(4, VOCAB, (args.lanes * args.length * args.steps + 1,), dtype=torch.int32))
    times = {"bare": bare, "trainer": trainer}[args.worker](args, stream)[WARM_UP:]
    return {
        "ms": statistics.median(times),
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--embedding", type=int, default=64)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cell", default="lstm", help="cell of the trainer's model; the bare loop is always an LSTM")
    parser.add_argument("--json", help="write the result to this file as well")
    parser.add_argument("--worker", choices=("bare", "trainer"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measure(args)))
        return

    results: dict[str, list[dict[str, float]]] = {"bare": [], "trainer": []}
    for round_ in range(args.rounds):
        for worker in ("bare", "trainer") if round_ % 2 == 0 else ("trainer", "bare"):
            command = [sys.executable, __file__, *sys.argv[1:], "--worker", worker]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            results[worker].append(json.loads(done.stdout.strip().splitlines()[-1]))
            print(f"{worker:8} {results[worker][-1]['ms']:7.1f} ms  {results[worker][-1]['memory_mib']:7.0f} MiB")
    pairs = list(zip(results["trainer"], results["bare"], strict=True))
    ratios = {key: sorted(a[key] / b[key] for a, b in pairs) for key in ("ms", "memory_mib")}
    for key, ratio in ratios.items():
        print(f"{key}: trainer / bare = {statistics.median(ratio):.3f} ({ratio[0]:.3f} to {ratio[-1]:.3f})")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"arguments": vars(args), "results": results, "ratios": ratios}, file, indent=2)


if __name__ == "__main__":
    main()
