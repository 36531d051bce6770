"""What a change of the code does to speed: the same work by two versions of the sources, alternating.

Each of four works runs in fresh processes, one version after the other, round by round, and counts only what it is
about, not the start of the process:

- `train`: steps of the recipe char_lm_python;
- `tag`: sentences through `Tagger`;
- `classify`: names through `Classifier`;
- `generate`: tokens through `GenerationStream`.

    git worktree add /tmp/before HEAD~1
    python benchmarks/two_versions.py /tmp/before/src src --json benchmarks/results/two_versions.json

Run nothing else meanwhile. The ratio is the second version's speed by the first's: 1 is as fast.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

STEPS, TEXTS, TOKENS, TIMES = 60, 2000, 3000, 5


def train() -> float:
    """Tokens per second, as the run itself measures them."""
    with tempfile.TemporaryDirectory() as out:
        flags = {"max_steps": STEPS, "logging_steps": STEPS, "eval_strategy": "no", "save_strategy": "no"}
        flags |= {"load_best_model_at_end": "false", "sample_tokens": 0, "max_characters": 400_000}
        command = [sys.executable, "-m", "rnn_zoo", "train", "char_lm_python", f"--output_dir={out}/run"]
        command += [f"--{key}={value}" for key, value in flags.items()]
        subprocess.run(command, check=True, capture_output=True)
        metrics = json.loads((Path(out) / "run" / "metrics.json").read_text(encoding="utf-8"))
        return metrics["train"]["tokens_per_second"]


def rate(work: Callable[[], object], count: int) -> float:
    """How many a second, by the fastest of some times behind one for warming up: what else a machine does only makes
    it slower."""
    work()
    times = []
    for _ in range(TIMES):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return count / min(times)


def tag() -> float:
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    from rnn_zoo import Tagger, zoo

    place = zoo.path("ner_wnut17_bilstm_crf")
    tagger = Tagger(AutoModelForTokenClassification.from_pretrained(place), AutoTokenizer.from_pretrained(place))
    texts = [
        "Asha Rao went from Pune to London with the people of New York City ."[: 20 + n % 50] for n in range(TEXTS)
    ]
    return rate(lambda: tagger.tag_texts(texts), TEXTS)


def classify() -> float:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from rnn_zoo import Classifier, zoo

    place = zoo.path("language_of_names")
    model = AutoModelForSequenceClassification.from_pretrained(place)
    classifier = Classifier(model, AutoTokenizer.from_pretrained(place))
    texts = [f"Szczepanski {'ab' * (n % 9)}" for n in range(5 * TEXTS)]
    return rate(lambda: classifier.classify(texts), len(texts))


def generate() -> float:
    from transformers import AutoModelForCausalLM

    from rnn_zoo import GenerationStream, zoo

    stream = GenerationStream(AutoModelForCausalLM.from_pretrained(zoo.path("char_lm_python")), do_sample=False)
    return rate(lambda: list(islice(stream, TOKENS)), TOKENS)


WORKS = {"train": train, "tag": tag, "classify": classify, "generate": generate}


def measure(work: str, sources: Path) -> float:
    """The speed of a work by the sources in a folder, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(sources), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--work", work]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", type=Path, help="two folders that hold rnn_zoo")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(WORKS), action="append", help="of the works; repeatable [all]")
    parser.add_argument("--work", choices=list(WORKS), help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="write the result to this file as well")
    args = parser.parse_args()
    if args.work:
        print(WORKS[args.work]())
        return
    if len(args.sources) != 2:
        parser.error("two folders are compared")
    results = {}
    for work in args.only or WORKS:
        speeds: list[list[float]] = [[], []]
        for number in range(args.rounds):
            for version in (0, 1) if number % 2 else (1, 0):  # whoever comes first has a cooler machine
                speeds[version].append(measure(work, args.sources[version].resolve()))
        ratios = sorted(after / before for before, after in zip(*speeds, strict=True))
        middle = statistics.median(ratios)
        print(f"{work:9} {middle:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})", flush=True)
        results[work] = {"before": speeds[0], "after": speeds[1], "ratio": middle, "ratios": ratios}
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
