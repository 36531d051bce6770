"""Start-up: `import rnn_zoo` against the part of transformers it stands on, and `rnn-zoo --help`.

Each measurement is a fresh process; the statements alternate. The disk cache is warm after the first, uncounted round.

    python benchmarks/import_time.py
"""

import statistics
import subprocess
import sys
import time

STATEMENTS = {
    "transformers": "from transformers import AutoModelForCausalLM, PreTrainedModel",
    "rnn_zoo": "import rnn_zoo",
    "rnn-zoo --help": "import rnn_zoo_cli; rnn_zoo_cli.main(['--help'])",
}


def seconds(statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, capture_output=True)
    return time.perf_counter() - start


def main(rounds: int = 9) -> None:
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for round_ in range(rounds + 1):
        for name, statement in STATEMENTS.items():
            taken = seconds(statement)
            if round_:
                times[name].append(taken)
    for name, taken in times.items():
        print(f"{name:16} {statistics.median(taken):.3f} s ({min(taken):.3f} to {max(taken):.3f})")
    ratios = sorted(a / b for a, b in zip(times["rnn_zoo"], times["transformers"], strict=True))
    print(f"rnn_zoo / transformers = {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")


if __name__ == "__main__":
    main()
