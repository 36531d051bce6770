"""How fast a classifier classifies: many texts in batches by length, and one at a time through the pipeline.

    python benchmarks/classifying_speed.py CHECKPOINT --file test.tsv.gz [--json FILE]

The file has a label and a text a line. Measured is the way from text to label (`Classifier.classify`, the tokenizer
included), on texts drawn at random, the same each time. Medians of several rounds.
"""

import argparse
import json
import random
import statistics
from pathlib import Path

import torch
from tagging_speed import seconds
from transformers import pipeline

from rnn_zoo.tasks.opening import load
from rnn_zoo.tasks.sequence_classification.classifier import Classifier
from rnn_zoo.tasks.sequence_classification.keys import ClassificationArguments
from rnn_zoo.tasks.sequence_classification.labelled_files import read_labelled

ALONE = 100  # texts that go through the pipeline


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=2000, help="so many of the file's [2000]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where the results are written")
    args = parser.parse_args()

    model, tokenizer = load(args.checkpoint, "sequence_classification")
    rows = read_labelled(args.file, ClassificationArguments())
    texts = [row["text"] for row in random.Random(0).sample(rows, min(args.texts, len(rows)))]
    classifier = Classifier(model, tokenizer)
    whole = seconds(lambda: classifier.classify(texts), args.rounds)
    piped = pipeline("text-classification", model=model, tokenizer=tokenizer)
    alone = seconds(lambda: [piped(text) for text in texts[:ALONE]], args.rounds)

    results = {
        "texts": len(texts),
        "mean_words": round(statistics.mean(len(text.split()) for text in texts), 1),
        "texts_per_second": [len(texts) / s for s in whole],
        "median_texts_per_second": len(texts) / statistics.median(whole),
        "ms_through_the_pipeline": 1e3 * statistics.median(alone) / min(ALONE, len(texts)),
        "parameters": sum(p.numel() for p in model.parameters()),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps(results, indent=2))
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
