"""How much memory a training takes on large files, and how soon it comes to its first step, cold and warm.

    python benchmarks/data_memory.py [--only conll labelled pairs text] [--megabytes 200] [--json FILE]

Each part makes its files from the samples that come with the package, in English, which has the most words a megabyte,
with numbers in each row: no two rows are equal, and there are an eighth as many words as rows. It trains a small model
for a few steps with an empty cache of `datasets` (cold), and again with what the first run has left there (warm). One
row of a hundred is held out; its evaluation belongs to the run, and so to the peak. Measured are the seconds from the
start of the command to the first step and to its end, the seconds of all cores together, and the peak of the memory of
all its processes: each one's share of what they have in common (`Pss` of Linux), mapped files included; and the peak of
what is no part of a file.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import rnn_zoo
from rnn_zoo.tasks.causal_lm.embedded import python_stdlib

SAMPLES = Path(rnn_zoo.__file__).parent / "tasks"
BATCH, STEPS, EVERY = 32, 20, 1.0  # rows, steps, seconds between two looks at the memory
COMMON = f"""
validation_fraction: 0.01
cell_type: lstm
max_steps: {STEPS}
per_device_train_batch_size: {BATCH}
per_device_eval_batch_size: 64
logging_steps: 1
eval_strategy: "no"
save_strategy: "no"
report_to: none
disable_tqdm: true
"""
TAGGER = """
task: token_classification
bidirectional: true
embedding_size: 32
hidden_size: 32
use_crf: true
character_hidden_size: 16
min_frequency: 3
"""
CLASSIFIER = """
task: sequence_classification
tokenizer_type: wordpunct
fold_case: true
min_frequency: 10
bidirectional: true
embedding_size: 32
hidden_size: 32
max_text_length: 256
"""
TRANSLATOR = """
task: translation
source_lang: en
target_lang: de
tokenizer_type: bpe
max_vocab_size: 4000
embedding_size: 32
hidden_size: 32
max_target_length: 24
num_beams: 1
"""


LANGUAGE_MODEL = """
task: causal_lm
embedding_size: 32
hidden_size: 128
sample_tokens: 0
"""


# ---- files ----
def written(path: Path, size: int, rows: Iterator[str]) -> int:
    """Writes rows until a file has a size in bytes; how many they are."""
    done = number = 0
    with open(path, "w", encoding="utf-8") as file:
        while done < size:
            row = next(rows)
            file.write(row)
            done, number = done + len(row.encode()), number + 1
    return number


def numbers(n: int) -> str:
    return f"{n // 8} {n % 8}"


def conll(folder: Path, size: int) -> int:
    text = (SAMPLES / "token_classification/samples/ner_sample.conll").read_text(encoding="utf-8")
    parts = [[line for line in part.splitlines() if "\t" in line] for part in text.split("\n\n")]
    sentences = ["\n".join(lines) for lines in parts if lines and "".join(lines).isascii()]
    return written(
        folder / "train.conll", size, (f"{n // 8}\tO\n{n % 8}\tO\n{sentences[n % len(sentences)]}\n\n" for n in count())
    )


def texts() -> list[list[str]]:
    """Label, text and language of each line of the sample of opinions that is English."""
    lines = (SAMPLES / "sequence_classification/samples/sentiment_sample.tsv").read_text(encoding="utf-8").splitlines()
    return [fields for line in lines if len(fields := line.split("\t")) == 3 and fields[2] == "en"]


def labelled(folder: Path, size: int) -> int:
    rows = texts()
    return written(
        folder / "train.tsv", size, (f"{(row := rows[n % len(rows)])[0]}\t{numbers(n)} {row[1]}\n" for n in count())
    )


def pairs(folder: Path, size: int) -> int:
    rows = [text for _, text, _ in texts()]
    number = written(folder / "train.en", size // 2, (f"{numbers(n)} {rows[n % len(rows)]}\n" for n in count()))
    with open(folder / "train.de", "w", encoding="utf-8") as file:
        file.writelines(f"{rows[n % len(rows)]} {numbers(n)}\n" for n in range(number))
    return number


def text(folder: Path, size: int) -> int:
    lines = python_stdlib().splitlines()
    return written(folder / "train.txt", size, (f"{lines[n % len(lines)]}  # {n // len(lines)}\n" for n in count()))


PARTS: dict[str, tuple[Callable[[Path, int], int], str]] = {
    "conll": (conll, TAGGER),
    "labelled": (labelled, CLASSIFIER),
    "pairs": (pairs, TRANSLATOR),
    "text": (text, LANGUAGE_MODEL),
}


# ---- memory ----
def family(root: int) -> set[int]:
    """A process and all that it has started, and they."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = set(), [root]
    while waiting:
        found.add(process := waiting.pop())
        waiting += children.get(process, [])
    return found


def memory(processes: set[int]) -> tuple[int, int]:
    """Bytes that processes have, and those of them that are no part of a file."""
    total = anonymous = 0
    for process in processes:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kilobytes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines[1:])}
        total += 1024 * kilobytes["Pss"]
        anonymous += 1024 * kilobytes["Pss_Anon"]
    return total, anonymous


def measured(recipe: Path, folder: Path, output: Path, cache: Path) -> dict[str, float]:
    """Trains once: seconds to the first step and to the end, and peaks of memory in GB."""
    command = [sys.executable, "-m", "rnn_zoo", "train", str(recipe), "--data_dir", str(folder)]
    command += ["--output_dir", str(output), "--overwrite_output_dir", "true", "--use_cpu", "true"]
    environment = os.environ | {"HF_DATASETS_CACHE": str(cache), "PYTHONUNBUFFERED": "1"}
    log = output.with_suffix(".log")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start, first, most, most_anonymous = time.monotonic(), None, 0, 0
    with open(log, "wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
        while process.poll() is None:
            total, anonymous = memory(family(process.pid))
            most, most_anonymous = max(most, total), max(most_anonymous, anonymous)
            if first is None and b"loss" in log.read_bytes():  # the line of the first step
                first = time.monotonic() - start
            time.sleep(EVERY)
    if process.returncode or first is None:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds_to_first_step": round(first, 1),
        "seconds": round(time.monotonic() - start, 1),
        "core_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "peak_gb": round(most / 1e9, 2),
        "peak_gb_without_files": round(most_anonymous / 1e9, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--note", help="is written beside the numbers, as what else the machine did")
    parser.add_argument("--json", type=Path, default=Path(__file__).with_name("results") / "data_memory.json")
    args = parser.parse_args()
    results = json.loads(args.json.read_text(encoding="utf-8")) if args.json.exists() else {}
    for name in args.only:
        make, recipe = PARTS[name]
        with tempfile.TemporaryDirectory() as place:
            work = Path(place)
            folder, cache = work / "data", work / "cache"
            folder.mkdir()
            rows = make(folder, args.megabytes * 1_000_000)
            (work / "recipe.yaml").write_text(recipe + COMMON, encoding="utf-8")
            found = {
                start: measured(work / "recipe.yaml", folder, work / f"run_{start}", cache)
                for start in ("cold", "warm")
            }
            kept = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
        results[name] = {
            "megabytes": args.megabytes,
            "rows": rows,
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            **found,
            "cache_gb": round(kept / 1e9, 2),
            **({"note": args.note} if args.note else {}),
        }
        print(name, json.dumps(results[name], indent=2))
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
