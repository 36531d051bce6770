"""All cells side by side: sizes, speed, Tiny Shakespeare in equal time with equal parameters, how far they look back.

    python benchmarks/cells.py learn --data_dir FOLDER        # what is missing in results/cells.json, cell by cell
    python benchmarks/cells.py learn --data_dir FOLDER --cell gru --again
    python benchmarks/cells.py speed                          # on a machine that does nothing else
    python benchmarks/cells.py page                           # writes docs/cells.md and its picture of it

FOLDER holds the text of Tiny Shakespeare as one `.txt`, of which the first 90 % are for training. What is measured:

- speed: forward and backward pass over 16 rows of 64 steps, 64 features and 512 hidden units, and one step of one row,
  each in turn with `torch.nn.LSTM` or our LSTM cell;
- Tiny Shakespeare: one layer, as many hidden units as make PARAMETERS in all, trained for SECONDS on one core; nats a
  character of the last 10 %, with carried state. Settings are those that are good for the LSTM, but the best of RATES;
- copying (Hochreiter and Schmidhuber 1997; as in Arjovsky, Shah, Bengio 2016): SYMBOLS symbols are read, then blanks,
  then they are written again: the most blanks with 99 % of the symbols right;
- adding (Hochreiter and Schmidhuber 1997): the sum of the two marked numbers among T: the greatest T with a mean
  squared error below 0.01 (always to answer 1 has 0.167). Both begin short, double when that is learnt, and end after
  SECONDS_OF_TASK, on one core.

Seconds of learning are those of the processor, so that what else runs on the machine counts little.
"""

import argparse
import inspect
import json
import math
import multiprocessing
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from rnn_zoo import CELLS, RnnConfig, RnnForCausalLM, TokenStream
from rnn_zoo.bench.pairs import Comparison, Sizes, measure, with_gradients
from rnn_zoo.bench.report import machine
from rnn_zoo.data.token_stream import LaneDataset
from rnn_zoo.models.recurrent_stack import RecurrentStack

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / "benchmarks" / "results" / "cells.json"
PAGE, PICTURE = PROJECT / "docs" / "cells.md", PROJECT / "docs" / "cells.svg"

HIDDEN, FEATURES, ROWS, STEPS = 512, 64, 16, 64
PARAMETERS, SECONDS, EMBEDDING, RATES = 500_000, 90, 64, (4e-3, 1.5e-3)
SECONDS_OF_TASK, TASK_HIDDEN, SYMBOLS, KINDS, BATCH = 45, 128, 10, 8, 32
REPORT = 25  # steps between two looks at whether a length is learnt


# ---- sizes and speed ----
def sizes_of(name: str) -> dict[str, int]:
    """Of a cell with `HIDDEN` units over as many features: parameters, multiplications and additions of the products of
    one step, numbers in the state of one row."""
    cell = CELLS[name](HIDDEN, HIDDEN).eval()
    x = torch.randn(1, HIDDEN)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        cell.step(x, cell.initial_state(x))
    return {
        "parameters": sum(p.numel() for p in cell.parameters()),
        "flops": counter.get_total_flops(),
        "state": sum(math.prod(shape) for shape in cell.state_shapes()),
    }


def speeds_of(name: str) -> dict[str, list[float]]:
    """How many times as fast as `torch.nn.LSTM` it is trained, and as our LSTM cell it takes a step."""
    sizes = Sizes((name,), torch.device("cpu"), ROWS, STEPS, FEATURES, HIDDEN, 9)
    x = torch.randn(ROWS, STEPS, FEATURES, requires_grad=True)
    modules = {"nn.LSTM": nn.LSTM(FEATURES, HIDDEN, batch_first=True), name: CELLS[name](FEATURES, HIDDEN)}
    trained = {
        way: with_gradients(lambda module=module: module(x)[0].sum(), [x, *module.parameters()])
        for way, module in modules.items()
    }
    cells = {"the LSTM's step": CELLS["lstm"](HIDDEN, HIDDEN).eval(), name: CELLS[name](HIDDEN, HIDDEN).eval()}
    one = torch.randn(1, HIDDEN)

    def step(cell):
        state = cell.initial_state(one)
        return torch.no_grad()(lambda: cell.step(one, state))

    steps = {way: step(cell) for way, cell in cells.items()}
    return {
        "train": measure(Comparison(name, trained, "nn.LSTM", ROWS * STEPS), sizes)["times_as_fast"][name],
        "step": measure(Comparison(name, steps, "the LSTM's step", 1), sizes)["times_as_fast"][name],
    }


# ---- Tiny Shakespeare ----
def model_of(name: str, vocabulary: int, hidden: int) -> RnnForCausalLM:
    config = RnnConfig(vocab_size=vocabulary, embedding_size=EMBEDDING, hidden_size=hidden, cell_type=name)
    return RnnForCausalLM(config)


def hidden_of(name: str, vocabulary: int) -> int:
    """The hidden size, a multiple of 8, with which a language model comes nearest to `PARAMETERS`."""

    def parameters(hidden: int) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in model_of(name, vocabulary, hidden).parameters())

    return min(range(8, 4096, 8), key=lambda hidden: abs(parameters(hidden) - PARAMETERS))


def shakespeare(name: str, text: str) -> dict[str, Any]:
    letters = sorted(set(text))
    ids = torch.tensor([letters.index(letter) for letter in text], dtype=torch.int32)
    cut = int(len(ids) * 0.9)
    train, valid = TokenStream(ids[:cut]), TokenStream(ids[cut:])
    hidden = hidden_of(name, len(letters))
    found = []
    for rate in RATES:
        torch.manual_seed(0)
        model = model_of(name, len(letters), hidden)
        steps = train_for(model, train, rate)
        found.append({"loss": loss_of(model, valid), "rate": rate, "steps": steps})
    parameters = sum(p.numel() for p in model.parameters())
    best = min(found, key=lambda one: one["loss"] if math.isfinite(one["loss"]) else math.inf)
    return {"hidden": hidden, "parameters": parameters, "rates": found, **best}


def train_for(model: RnnForCausalLM, stream: TokenStream, rate: float) -> int:
    """Trains for `SECONDS`, the rate falling along half a cosine of the time; returns the number of steps."""
    chunks = LaneDataset(stream, ROWS, STEPS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01, fused=True)
    state, steps, start = None, 0, time.process_time()
    model.train()
    while (passed := (time.process_time() - start) / SECONDS) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * passed)) / 2
        first = steps * ROWS % len(chunks)
        rows = [chunks[first + lane] for lane in range(ROWS)]
        if first == 0:
            state = None
        ids, targets = (torch.stack([row[key] for row in rows]) for key in ("input_ids", "shift_labels"))
        outputs = model(ids, shift_labels=targets, cache_params=state, use_cache=True)
        state = outputs.cache_params.detach()
        optimizer.zero_grad()
        outputs.loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
    return steps


@torch.no_grad()
def loss_of(model: RnnForCausalLM, stream: TokenStream) -> float:
    """Nats a token of the whole stream, read in one piece with the state carried."""
    model.eval()
    ids = stream.input_ids[:].long()[None]
    state, total = None, 0.0
    for start in range(0, ids.shape[1] - 1, 1000):
        piece, targets = ids[:, start : start + 1000], ids[:, start + 1 : start + 1001]
        outputs = model(piece[:, : targets.shape[1]], cache_params=state, use_cache=True)
        state = outputs.cache_params
        total += F.cross_entropy(outputs.logits[0], targets[0], reduction="sum").item()
    return total / (ids.shape[1] - 1)


# ---- how far they remember ----
class Learner(nn.Module):
    """One layer of a cell over features, and scores at each step."""

    def __init__(self, name: str, features: int, scores: int):
        super().__init__()
        config = RnnConfig(hidden_size=TASK_HIDDEN, embedding_size=features, cell_type=name)
        self.stack = RecurrentStack(config, features)
        self.head = nn.Linear(TASK_HIDDEN, scores)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stack(x)[0])


def copying(blanks: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`x (B, T, KINDS + 2)`, the symbols `(B, SYMBOLS)` that the last steps have to give."""
    symbols = torch.randint(KINDS, (BATCH, SYMBOLS))
    blank = torch.full((BATCH, blanks - 1), KINDS)
    asked = torch.full((BATCH, SYMBOLS + 1), KINDS + 1)
    return F.one_hot(torch.cat([symbols, blank, asked], 1), KINDS + 2).float(), symbols


def adding(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`x (B, T, 2)`, of each step a number in [0, 1] and whether it counts; the sum of the two that do, `(B)`."""
    numbers, marks = torch.rand(BATCH, length), torch.zeros(BATCH, length)
    half = length // 2
    marks[torch.arange(BATCH), torch.randint(half, (BATCH,))] = 1
    marks[torch.arange(BATCH), torch.randint(half, length, (BATCH,))] = 1
    return torch.stack([numbers, marks], -1), (numbers * marks).sum(1)


def longest(name: str, task: str, begin: int) -> int:
    """The greatest length that is learnt; 0 if not even the first is."""
    torch.manual_seed(0)
    learner = Learner(name, KINDS + 2, KINDS) if task == "copy" else Learner(name, 2, 1)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=3e-3, weight_decay=0.0, fused=True)
    length, learnt, good = begin, 0, []
    start = time.process_time()
    while time.process_time() - start < SECONDS_OF_TASK:
        if task == "copy":
            x, symbols = copying(length)
            scores = learner(x)[:, -SYMBOLS:]
            loss = F.cross_entropy(scores.flatten(0, 1), symbols.flatten())
            good.append(scores.argmax(-1).eq(symbols).float().mean().item() - 0.99)
        else:
            x, sums = adding(length)
            loss = F.mse_loss(learner(x)[:, -1, 0], sums)
            good.append(0.01 - loss.item())
        if len(good) >= REPORT and statistics.fmean(good[-REPORT:]) >= 0:
            learnt, length, good = length, 2 * length, []
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
    return learnt


# ---- measuring ----
def learnt_by(name: str, text: str) -> dict[str, Any]:
    """In a process of its own, on one core."""
    torch.set_num_threads(1)
    return {
        "shakespeare": shakespeare(name, text),
        "copy": longest(name, "copy", 4),
        "add": longest(name, "add", 8),
    }


def learn(args: argparse.Namespace) -> None:
    (path,) = Path(args.data_dir).glob("*.txt")
    text = path.read_text(encoding="utf-8")
    cells = known_results()["cells"]
    chosen = [name for name in args.cell or CELLS if args.again or "copy" not in cells.get(name, {})]
    with multiprocessing.get_context("spawn").Pool(args.processes, maxtasksperchild=1) as pool:
        waiting = {name: pool.apply_async(learnt_by, (name, text)) for name in chosen}
        for name, learnt in waiting.items():
            settings = {"seconds": SECONDS, "seconds_of_task": SECONDS_OF_TASK, "rates": RATES}
            save_results({name: learnt.get()}, settings=settings)


def speed(args: argparse.Namespace) -> None:
    for name in args.cell or CELLS:
        save_results({name: sizes_of(name) | speeds_of(name)}, machine=machine(torch.device("cpu")))


def known_results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"cells": {}}


def save_results(found: dict[str, dict[str, Any]], **about: Any) -> None:
    """Adds to the results what was found of some cells, and about what."""
    known = known_results() | about
    for name, one in found.items():
        known["cells"][name] = known["cells"].get(name, {}) | one
        print(name, {key: value for key, value in one.items() if key != "shakespeare"}, flush=True)
    known["cells"] = {name: known["cells"][name] for name in CELLS if name in known["cells"]}
    RESULTS.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


# ---- the page ----
INTRODUCTION = """# The cells

`cell_type` is one of these, in every model and in every recipe. This page is generated by
`python benchmarks/cells.py page`.

{table}

- **Parameters, operations, state**: of a cell with 512 units over 512 features: its weights; multiplications and
  additions of the matrix products of one step; numbers in the state of one row.
- **Training, step**: how many times as fast as `torch.nn.LSTM` it is trained (16 rows of 64 steps, 64 features, 512
  units), and as our LSTM cell it takes one step of one row; medians of alternating runs on {machine}.

"""

LEARNT = """![training speed and loss](cells.svg)

- **Shakespeare**: nats a character on the last 10 % of Tiny Shakespeare, after {seconds} s of training on one core
  (seconds of the processor), in models of one layer and about {parameters:,} parameters, at the better of
  two learning rates. A slow cell takes fewer steps; their number stands beside it.
- **Copy, add**: over how many blanks ten symbols are copied, and the length of the row of which two marked numbers are
  added, as far as it is learnt in {seconds_of_task} s on one core (lengths double; 128 units).

One seed each: small differences mean nothing. –: not even the shortest was learnt, or not measured.

"""


def lines_of_table(cells: dict[str, Any]) -> list[str]:
    with_learning = any("shakespeare" in one for one in cells.values())
    names = ["cell", "parameters", "operations", "state", "training", "step"]
    names += ["Shakespeare (steps)", "copy", "add"] if with_learning else []
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for name, one in cells.items():
        numbers = [f"{one[key]:,}" for key in ("parameters", "flops", "state")]
        numbers += [f"{statistics.median(one[key]):.2f} ×" for key in ("train", "step")]
        if "shakespeare" in one:
            text = one["shakespeare"]
            numbers += [f"{text['loss']:.3f} ({text['steps']:,})", *(str(one[task] or "–") for task in ("copy", "add"))]
        elif with_learning:
            numbers += ["–"] * 3
        lines.append(f"| [`{name}`](#{name}) | {' | '.join(numbers)} |")
    return lines


def page_of(known: dict[str, Any]) -> str:
    about, settings = known["machine"], known.get("settings")
    page = INTRODUCTION.format(
        table="\n".join(lines_of_table(known["cells"])),
        machine=f"{about['processor']}, {about['threads']} threads, torch {about['torch']}",
    )
    if settings:
        page += LEARNT.format(
            seconds=settings["seconds"], seconds_of_task=settings["seconds_of_task"], parameters=PARAMETERS
        )
    for name in known["cells"]:
        cell = CELLS[name]
        page += f"## {name}\n\nA {cell.kind} cell, `{cell.__module__.rpartition('.')[2]}.py`.\n\n"
        page += f"```text\n{inspect.cleandoc(cell.__doc__ or '')}\n```\n\n"
    return page.rstrip() + "\n"


def draw(known: dict[str, Any]) -> None:
    """Each cell at its speed of training and its loss."""
    from rnn_zoo.inspect.pictures import empty_figure, save_figure

    figure, _ = empty_figure()
    figure.set_size_inches(8, 5)
    axes = figure.add_subplot()
    for kind, color in (("fused", "C0"), ("looped", "C1"), ("scanned", "C2")):
        names = [name for name, one in known["cells"].items() if CELLS[name].kind == kind and "shakespeare" in one]
        x = [statistics.median(known["cells"][name]["train"]) for name in names]
        y = [known["cells"][name]["shakespeare"]["loss"] for name in names]
        axes.scatter(x, y, color=color, label=kind, s=18)
        for name, at_x, at_y in zip(names, x, y, strict=True):
            axes.annotate(name, (at_x, at_y), xytext=(4, 3), textcoords="offset points", fontsize=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="times as fast as torch.nn.LSTM in training", ylabel="nats a character, Tiny Shakespeare")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.tight_layout()
    save_figure(PICTURE, figure, "all cells")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    learning = commands.add_parser("learn")
    learning.add_argument("--data_dir", required=True)
    learning.add_argument("--again", action="store_true", help="what is measured already too")
    learning.add_argument("--processes", type=int, default=2)
    timing = commands.add_parser("speed")
    for parts in (learning, timing):
        parts.add_argument("--cell", action="append", choices=list(CELLS))
    commands.add_parser("page")
    args = parser.parse_args()
    if args.command != "page":
        return learn(args) if args.command == "learn" else speed(args)
    known = known_results()
    PAGE.write_text(page_of(known), encoding="utf-8")
    if "settings" in known:
        draw(known)
    print(PAGE)


if __name__ == "__main__":
    sys.exit(main())
