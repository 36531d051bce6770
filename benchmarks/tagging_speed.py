"""How fast a tagger tags: many sentences in batches by length, and one sentence of 20 words at a time.

    python benchmarks/tagging_speed.py CHECKPOINT --file valid.txt [--json FILE]

The file is in CoNLL columns. Measured are the way from words to tags (`Tagger.tag_words`, the tokenizer included), the
model alone on one sentence, and that sentence through `pipeline("token-classification")`. Medians of several rounds.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from transformers import pipeline

from rnn_zoo.tasks.opening import load
from rnn_zoo.tasks.token_classification.conll import read_conll
from rnn_zoo.tasks.token_classification.tagger import Tagger

WORDS, PARTS = 20, 200  # words of a single sentence, and how many of these


def seconds(function, rounds: int) -> list[float]:
    """The time of each call, after one that is not counted."""
    function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="where the results are written")
    args = parser.parse_args()

    model, tokenizer = load(args.checkpoint, "token_classification")
    sentences = [sentence["tokens"] for sentence in read_conll(args.file)]
    tagger = Tagger(model, tokenizer)
    whole = seconds(lambda: tagger.tag_words(sentences), args.rounds)

    words = [word for sentence in sentences for word in sentence]
    if len(words) < WORDS * PARTS:
        parser.error(f"{args.file}: {len(words)} words, at least {WORDS * PARTS} are needed")
    parts = [words[n : n + WORDS] for n in range(0, WORDS * PARTS, WORDS)]
    encoded = [tokenizer(part, is_split_into_words=True, return_tensors="pt") for part in parts]
    with torch.inference_mode():
        alone = seconds(lambda: [model(**row, use_cache=False) for row in encoded], args.rounds)
    tag = pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="simple")
    texts = [" ".join(part) for part in parts]
    piped = seconds(lambda: [tag(text) for text in texts], args.rounds)

    results = {
        "sentences": len(sentences),
        "words": len(words),
        "sentences_per_second": [len(sentences) / s for s in whole],
        "median_sentences_per_second": len(sentences) / statistics.median(whole),
        "ms_a_sentence_of_20_words": 1e3 * statistics.median(alone) / len(parts),
        "ms_through_the_pipeline": 1e3 * statistics.median(piped) / len(parts),
        "parameters": sum(p.numel() for p in model.parameters()),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps(results, indent=2))
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
