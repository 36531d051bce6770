"""Training speed of a language model by where its text is: in memory, in files that are mapped, in documents that are
read as they come.

All three train the same model on the same text (the source of Python's standard library, as documents of one size), in
alternating rounds of one process. The text is in the system's cache of files.

    python benchmarks/reading_speed.py --json benchmarks/results/reading_speed.json

Run nothing else meanwhile.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import datasets
import torch
from ratios import compare
from training_throughput import Clock
from transformers import TrainingArguments

from rnn_zoo import RnnConfig, RnnForCausalLM, TruncatedBpttTrainer
from rnn_zoo.data.document_stream import files_of_documents
from rnn_zoo.data.keys import DataArguments
from rnn_zoo.data.long_text import keep_text
from rnn_zoo.tasks.causal_lm.data import build_tokenizer, stream_of
from rnn_zoo.tasks.causal_lm.embedded import python_stdlib

LANES, STEPS, WARM_UP, DOCUMENT = 32, 60, 10, 100_000  # rows, steps, steps that do not count, characters


def speed(stream, vocabulary: int, args: argparse.Namespace) -> float:
    """Tokens per second, by the median step."""
    torch.manual_seed(0)
    sizes = {"vocab_size": vocabulary, "embedding_size": 64, "hidden_size": args.hidden}
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=LANES,
            max_steps=STEPS,
            logging_steps=10**6,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        model = RnnForCausalLM(RnnConfig(**sizes))
        TruncatedBpttTrainer(model, settings, stream, bptt_length=args.length, callbacks=[clock]).train()
    steps = [after - before for before, after in zip(clock.ends, clock.ends[1:], strict=False)]
    return LANES * args.length / statistics.median(steps[WARM_UP:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the result to this file as well")
    args = parser.parse_args()
    text = python_stdlib()
    with tempfile.TemporaryDirectory() as place:
        datasets.config.HF_DATASETS_CACHE = Path(place) / "cache"
        folder = Path(place) / "train"
        folder.mkdir()
        for start in range(0, len(text) - DOCUMENT, DOCUMENT):
            (folder / f"{start}.txt").write_text(text[start : start + DOCUMENT], encoding="utf-8", newline="")
        data = DataArguments(data_dir=place)
        tokenizer = build_tokenizer(text, data)
        documents = files_of_documents(data, "text", "train")
        streams = {
            "in memory": stream_of(text, tokenizer),
            "mapped": stream_of(keep_text("text", [text]), tokenizer),
            "as they come": stream_of(documents, tokenizer),
        }
        speeds: dict[str, list[float]] = {name: [] for name in streams}
        for number in range(args.rounds):
            for name in streams if number % 2 else reversed(streams):
                speeds[name].append(speed(streams[name], len(tokenizer), args))
    ratios = compare(speeds, "in memory")
    ratios |= {"as they come / mapped": compare(speeds, "mapped")["as they come"]}
    if args.json:
        found = {"hidden_size": args.hidden, "bptt_length": args.length, "lanes": LANES, "tokens_per_second": speeds}
        args.json.write_text(json.dumps(found | {"ratios": ratios}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
