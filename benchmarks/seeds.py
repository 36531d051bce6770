"""Recipes of taggers, translators and classifiers, several seeds each, beside their baseline: `benchmarks/results/`.

    python benchmarks/seeds.py ner_nepali_bilstm_crf --data_dir FOLDER                 # three seeds
    python benchmarks/seeds.py ner_nepali_bilstm_crf --data_dir FOLDER --seeds 0 1 2 3 4 --threads 1
    python benchmarks/seeds.py translate_multi30k_de_en --data_dir FOLDER --seeds 0 --keep runs/de_en
    python benchmarks/seeds.py translate_dates --seeds 0                               # data that the project embeds
    python benchmarks/seeds.py sentiment_imdb_ulmfit --runs runs/sentiment_imdb_ulmfit # what has been trained already

Where FOLDER has a test file, each seed scores it once, at the end. The baseline is the same for all seeds.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
FILES = {
    "token_classification": "ner.json",
    "sequence_classification": "classification.json",
    "translation": "translation.json",
}
# Of each task the numbers whose mean is wanted, and all that are kept; those by type or group are kept as well.
MAIN = {
    "token_classification": ("f1",),
    "sequence_classification": ("accuracy", "macro_f1"),
    "translation": ("bleu", "bleu_lowercased", "chrf", "exact_match"),
}
KEPT = {
    "token_classification": ("precision", "recall", "f1"),
    "sequence_classification": ("matthews_correlation", "accuracy", "macro_f1"),
    "translation": MAIN["translation"],
}
SHARES = ("precision", "recall", "f1", "exact_match", "accuracy", "macro_f1")  # in percent here


def run(recipe: str, seed: int, args: argparse.Namespace) -> dict:
    """Trains with one seed and returns what `metrics.json` holds."""
    with tempfile.TemporaryDirectory() as folder:
        flags = {"output_dir": args.keep or folder, "seed": seed, "eval_strategy": "no"}
        if args.data_dir:
            flags["data_dir"] = args.data_dir
        if args.keep:
            flags["overwrite_output_dir"] = "true"
        if seed != args.seeds[0]:
            flags["baseline"] = "none"
        command = [sys.executable, "-m", "rnn_zoo", "train", recipe, *(f"--{k}={v}" for k, v in flags.items())]
        environment = os.environ | ({"OMP_NUM_THREADS": str(args.threads)} if args.threads else {})
        subprocess.run(command, check=True, env=environment)
        return json.loads((Path(flags["output_dir"]) / "metrics.json").read_text(encoding="utf-8"))


def seed_of(folder: Path) -> int:
    """The seed of a finished run; that of `TrainingArguments` where the recipe names none."""
    found = re.search(r"^seed: *'?(\d+)", (folder / "recipe.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    return int(found[1]) if found else 42


def kept(measured: dict, task: str) -> dict:
    """The task's numbers, and its last one by type or group."""
    names = KEPT[task]
    names += tuple(name for name in measured if name.startswith(f"{names[-1]}_"))
    return {name: round(measured[name] * (100 if name.startswith(SHARES) else 1), 2) for name in names}


def spread(values: list[float]) -> dict:
    """Mean and standard deviation over the seeds."""
    return {
        "values": values,
        "mean": round(statistics.mean(values), 2),
        "deviation": round(statistics.stdev(values), 2) if len(values) > 1 else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data_dir")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, help="of torch [all cores]")
    parser.add_argument("--keep", help="folder in which the model of the last seed stays")
    parser.add_argument("--runs", type=Path, nargs="+", help="folders of finished runs, one a seed, to record")
    args = parser.parse_args()

    if args.runs:
        runs = [json.loads((folder / "metrics.json").read_text(encoding="utf-8")) for folder in args.runs]
        if other := {metrics["recipe"] for metrics in runs} - {args.recipe}:
            parser.error(f"--runs: a run is of the recipe {other.pop()}")
        args.seeds = [seed_of(folder) for folder in args.runs]
    else:
        runs = [run(args.recipe, seed, args) for seed in args.seeds]
    splits = [name for name in ("validation", "test") if name in runs[0]]
    task = runs[0]["task"]
    scores = {name: [kept(metrics[name], task) for metrics in runs] for name in splits}
    result = {
        "seeds": args.seeds,
        "parameters": runs[0]["parameters"],
        "seconds": spread([round(metrics["train"]["seconds"]) for metrics in runs]),
        **{
            name: {main: spread([score[main] for score in of]) for main in MAIN[task]} | {"runs": of}
            for name, of in scores.items()
        },
        "published": runs[0]["published"],
        "environment": runs[0]["environment"],
    }
    if "baseline" in runs[0]:
        baseline = runs[0]["baseline"]
        result["baseline"] = {
            "name": baseline["name"],
            "seconds": round(baseline["train_seconds"]),
            **{name: kept(measured, task) for name, measured in baseline["splits"].items()},
        }
    file = RESULTS / FILES[task]
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    results[args.recipe] = result
    file.write_text(json.dumps(dict(sorted(results.items())), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
