"""The recipes of taggers, several seeds each, beside the baseline they name: into `benchmarks/results/ner.json`.

    python benchmarks/ner.py ner_nepali_bilstm_crf --data_dir FOLDER                 # three seeds
    python benchmarks/ner.py ner_nepali_bilstm_crf --data_dir FOLDER --seeds 0 1 2 3 4 --threads 1

Where FOLDER has a test file, each seed scores it once, at the end. The baseline is the same for all seeds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "ner.json"
KEPT = ("precision", "recall", "f1")


def run(recipe: str, seed: int, args: argparse.Namespace) -> dict:
    """Trains with one seed and returns what `metrics.json` holds."""
    with tempfile.TemporaryDirectory() as folder:
        flags = {"data_dir": args.data_dir, "output_dir": args.keep or folder, "seed": seed, "eval_strategy": "no"}
        if args.keep:
            flags["overwrite_output_dir"] = "true"
        if seed != args.seeds[0]:
            flags["baseline"] = "none"
        command = [sys.executable, "-m", "rnn_zoo", "train", recipe, *(f"--{k}={v}" for k, v in flags.items())]
        environment = os.environ | ({"OMP_NUM_THREADS": str(args.threads)} if args.threads else {})
        subprocess.run(command, check=True, env=environment)
        return json.loads((Path(flags["output_dir"]) / "metrics.json").read_text(encoding="utf-8"))


def kept(measured: dict) -> dict:
    """Precision, recall and F1 in percent, and F1 by type."""
    scores = {name: round(100 * measured[name], 2) for name in KEPT}
    return scores | {name: round(100 * value, 2) for name, value in measured.items() if name.startswith("f1_")}


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
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, help="of torch [all cores]")
    parser.add_argument("--keep", help="folder in which the model of the last seed stays")
    args = parser.parse_args()

    runs = [run(args.recipe, seed, args) for seed in args.seeds]
    splits = [name for name in ("validation", "test") if name in runs[0]]
    scores = {name: [kept(metrics[name]) for metrics in runs] for name in splits}
    result = {
        "seeds": args.seeds,
        "parameters": runs[0]["parameters"],
        "seconds": spread([round(metrics["train"]["seconds"]) for metrics in runs]),
        **{name: {"f1": spread([score["f1"] for score in of]), "runs": of} for name, of in scores.items()},
        "published": runs[0]["published"],
        "environment": runs[0]["environment"],
    }
    if "baseline" in runs[0]:
        baseline = runs[0]["baseline"]
        result["baseline"] = {
            "name": baseline["name"],
            "seconds": round(baseline["train_seconds"]),
            **{name: kept(measured) for name, measured in baseline["splits"].items()},
        }
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    results[args.recipe] = result
    RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
