"""What is promised of a GPU, seen on one: at most nine minutes on an H100 or H200.

    make gpu
    python benchmarks/gpu.py --shakespeare FOLDER --wikitext2 FOLDER      # with both trainings
    python benchmarks/gpu.py --only equality --only throughput --seconds 200
    python benchmarks/gpu.py --device cpu --tiny                          # whether this script itself works

Parts, each in a process of its own and within its share of the time; one that fails or takes too long is reported, and
the others still run:

- `tests`: the tests that are marked `gpu`;
- `equality`: every head with every cell, masked and not: loss, scores and gradients in fp32 and bf16, scores of an
  evaluation, against those of the CPU in fp32;
- `throughput`: a step of training (forward, backward, AdamW) of a language model, a tagger and a translator, against
  modules of `torch.nn` (cuDNN, packed sequences, whose lengths stand on the CPU) of the same sizes, in alternation;
- `scan`: h_t = a_t ⊙ h_{t-1} + b_t, forward and backward, against what reading and writing its tensors once takes: by
  a copy on this device, and by its data sheet; and against flash-linear-attention, if it is there;
- `generation`: one token at a time, against a loop around `torch.nn.LSTM`; and what a translator writes;
- `compile`: how long `torch.compile` takes for a short length, and what it gains;
- `fsdp`: FSDP 2 on one process, against plain training;
- `training`: the recipe char_lm_shakespeare, and one epoch of word_lm_wikitext2 (AWD-LSTM).

Each writes `benchmarks/results/gpu_PART.json`, of which `benchmarks/readme.py` makes a table; on a CPU, or with
`--tiny`, into a folder that is named at the end. The exit status is 1 if a part failed.

Needed are torch, transformers, accelerate, tokenizers, safetensors, pyyaml, rich and filelock, for `training`
matplotlib as well, and for `tests` and `equality` pytest; neither `datasets` nor `evaluate`, so that no wheel has to be
carried for them: these trainings read streams of text. What is missing is named by its part. rnn_zoo need not be
installed: the sources are taken from `src`.
"""

import argparse
import copy
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
ENOUGH = 3  # seconds that a part needs to end
LIMITS = {"fp32": 1e-4, "bf16": 0.1}  # distance of two tensors, as a share of the norm of one
IGNORED = -100


class Failed(Exception):
    """What is wrong with a part, in a sentence."""


@dataclass
class Run:
    """What a part is given.

    Args:
        device: `cuda` or `cpu`.
        tiny: whether only the script is tried.
        ends: when the part has to have ended, by `time.monotonic`.
        file: where its results are kept.
        shakespeare, wikitext2: folders with data, or `None`.
        found: its results so far.
    """

    device: str
    tiny: bool
    ends: float
    file: Path
    shakespeare: Path | None = None
    wikitext2: Path | None = None
    found: dict[str, Any] = field(default_factory=dict)

    def note(self, name: str, value: Any) -> None:
        """Keeps a result at once, so that it is there also if the rest takes too long."""
        self.found[name] = value
        self.file.write_text(json.dumps(self.found, indent=2) + "\n", encoding="utf-8")

    def has_time(self, seconds: float = ENOUGH) -> bool:
        return time.monotonic() + seconds < self.ends


# ---- time ----
def wait_for(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def speeds(run: Run, ways: dict[str, Callable[[], float]], rounds: int = 7) -> dict[str, list[float]]:
    """Units a second of each way, in alternating rounds after one that is not counted; fewer if time is up.

    Args:
        run: of the part.
        ways: each does its work and returns how many units that is.
        rounds: at most.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range((2 if run.tiny else rounds) + 1):
        for name in ways if number % 2 else reversed(ways):
            wait_for(run.device)
            start = time.perf_counter()
            units = ways[name]()
            wait_for(run.device)
            if number:
                found[name].append(units / (time.perf_counter() - start))
        if number and not run.has_time():
            break
    return found


def summary(found: dict[str, list[float]], base: str) -> dict[str, Any]:
    """The speeds, and how many times that of `base` the others are, round by round, rising."""
    ratios = {
        name: sorted(a / b for a, b in zip(values, found[base], strict=True))
        for name, values in found.items()
        if name != base
    }
    for name, values in ratios.items():
        shown = f"{statistics.median(values):.2f} ({values[0]:.2f} to {values[-1]:.2f})"
        print(f"{name} / {base} = {shown}; {base}: {statistics.median(found[base]):,.0f} a second", flush=True)
    return {"base": base, "per_second": found, "ratios": ratios}


# ---- the parts ----
def tests(run: Run) -> None:
    if importlib.util.find_spec("pytest") is None:
        raise Failed("pytest is missing: pip install pytest")
    marked = [path for path in sorted((ROOT / "tests").glob("test_*.py")) if "mark.gpu" in path.read_text("utf-8")]
    report = run.file.with_suffix(".xml")
    options = ["-q", "-m", "gpu", "-p", "no:cacheprovider", f"--junitxml={report}"]
    done = subprocess.run([sys.executable, "-m", "pytest", *options, *map(str, marked)], cwd=ROOT)
    if not report.exists():
        raise Failed(f"pytest ended with status {done.returncode} and no report")
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    failed = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        kind = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        counts[kind] += 1
        failed += [case.get("name")] * (kind == "failed")
    run.note("tests", counts | {"names_of_failed": failed})
    print(counts, flush=True)
    if failed or done.returncode:
        raise Failed(f"{len(failed)} of {sum(counts.values())} tests failed: {', '.join(map(str, failed[:5]))}")
    if run.device == "cuda" and not counts["passed"]:
        raise Failed("no test ran: torch does not see the GPU")


def equality(run: Run) -> None:
    import torch

    if importlib.util.find_spec("pytest") is None:
        raise Failed("pytest is missing, which the toy examples of the tests import: pip install pytest")
    sys.path.insert(0, str(ROOT / "tests"))
    from conftest import random_ids
    from toy_heads import TOY_HEADS, build

    from rnn_zoo import CELLS

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False

    def outcome(model, batch, precision: str) -> dict[str, torch.Tensor]:
        device = next(model.parameters()).device
        given = {name: x.to(device) for name, x in batch.items()}
        model.train().zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            outputs = model(**given)
        outputs.loss.backward()
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            evaluated = model.eval()(**given).logits.clamp(min=-1e4)  # a CRF marks so what cannot be
        gradients = torch.cat([p.grad.flatten() for p in model.parameters()])
        found = {"loss": outputs.loss, "scores": outputs.logits, "gradients": gradients, "evaluated": evaluated}
        return {name: x.detach().cpu().double() for name, x in found.items()}

    wrong, count = [], 0
    worst = {precision: dict.fromkeys(("loss", "scores", "gradients", "evaluated"), 0.0) for precision in LIMITS}
    cells = [list(CELLS)[-1], "lstm"] if run.tiny else list(CELLS)
    for task in TOY_HEADS:
        for cell in dict.fromkeys(cells):
            for masked in (False, True):
                torch.manual_seed(0)
                model = build(task, cell_type=cell, initializer_range=0.5).float()
                batch = TOY_HEADS[task].batch([random_ids(n) for n in ((7, 4, 1) if masked else (7, 7, 7))], "left")
                if not masked:
                    del batch["attention_mask"]
                expected = outcome(model, batch, "fp32")
                there = copy.deepcopy(model).to(run.device)
                for precision, limit in LIMITS.items():
                    count += 1
                    for name, x in outcome(there, batch, precision).items():
                        scale = expected[name].norm().clamp(min=1e-6)
                        distance = float((x - expected[name]).norm() / scale)
                        worst[precision][name] = max(worst[precision][name], distance)
                        if not distance <= limit:
                            title = f"{task} {cell} {'masked ' * masked}{precision} {name}"
                            wrong.append({"what": title, "distance": distance})
                run.note("compared", {"cases": count, "worst": worst, "limits": LIMITS, "wrong": wrong})
    for precision, found in worst.items():
        print(precision, {name: f"{distance:.1e}" for name, distance in found.items()}, flush=True)
    if wrong:
        first = f"{wrong[0]['what']} by {wrong[0]['distance']:.1e}"
        raise Failed(f"{len(wrong)} tensors of {count} cases differ from the CPU's by more than {LIMITS}: {first}")


def bare_models(sizes: dict[str, int]):
    """Language model, tagger and translator of modules of `torch.nn`: each takes a batch, and gives the loss."""
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    V, E, H, L = (sizes[name] for name in ("vocabulary", "embedding", "hidden", "layers"))

    def loss_of(logits, targets):
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED)

    def packed(lstm, x, lengths):
        rows = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, state = lstm(rows)
        return pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[0], state

    class LanguageModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.lstm = nn.Embedding(V, E), nn.LSTM(E, H, L, batch_first=True)
            self.head = nn.Linear(H, V)

        def forward(self, batch, lengths):
            y, _ = self.lstm(self.embedding(batch["input_ids"]))
            return loss_of(self.head(y), batch["shift_labels"])

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(V, E)
            self.lstm = nn.LSTM(E, H, L, batch_first=True, bidirectional=True)
            self.head = nn.Linear(2 * H, sizes["labels"])

        def forward(self, batch, lengths):
            y, _ = packed(self.lstm, self.embedding(batch["input_ids"]), lengths)
            return loss_of(self.head(y), batch["labels"])

    class Translator(nn.Module):
        def __init__(self):
            super().__init__()
            self.source, self.target = nn.Embedding(V, E), nn.Embedding(V, E)
            self.encoder = nn.LSTM(E, H, L, batch_first=True, bidirectional=True)
            self.bridge = nn.Linear(2 * H, 2 * L * H)
            self.decoder = nn.LSTM(E, H, L, batch_first=True)
            self.keys, self.readout = nn.Linear(2 * H, H, bias=False), nn.Linear(3 * H, E)
            self.head = nn.Linear(E, V)

        def forward(self, batch, lengths):
            mask = batch["attention_mask"].bool()
            values, (h, _) = packed(self.encoder, self.source(batch["input_ids"]), lengths)
            begin = torch.tanh(self.bridge(torch.cat([h[-2], h[-1]], -1))).view(len(mask), 2 * L, H).transpose(0, 1)
            before = F.pad(batch["labels"][:, :-1], (1, 0), value=1).clamp(min=0)
            y, _ = self.decoder(self.target(before), (begin[:L].contiguous(), begin[L:].contiguous()))
            scores = y @ self.keys(values).transpose(1, 2)
            weights = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min).softmax(-1)
            read = torch.tanh(self.readout(torch.cat([y, weights @ values], -1)))
            return loss_of(self.head(read), batch["labels"])

    return LanguageModel, Tagger, Translator


def our_models(sizes: dict[str, int]) -> dict[str, Any]:
    """Ours of the same sizes."""
    import rnn_zoo

    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "unk_token_id": 3}
    common = ids | {"vocab_size": sizes["vocabulary"], "embedding_size": sizes["embedding"], "cell_type": "lstm"}
    one = common | {"hidden_size": sizes["hidden"], "num_hidden_layers": sizes["layers"]}
    labels = {"id2label": dict(enumerate(f"L{n}" for n in range(sizes["labels"]))), "tag_scheme": None}
    tagger = one | labels | {"bidirectional": True}
    two = common | {
        "hidden_size": sizes["hidden"],
        "num_hidden_layers": sizes["layers"],
        "decoder_hidden_size": sizes["hidden"],
        "decoder_layers": sizes["layers"],
        "attention": "luong_general",
        "decoder_start_token_id": 1,
    }
    return {
        "language model": lambda: rnn_zoo.RnnForCausalLM(rnn_zoo.RnnConfig(**one)),
        "tagger": lambda: rnn_zoo.RnnForTokenClassification(rnn_zoo.RnnConfig(**tagger, use_crf=False)),
        "tagger with a CRF": lambda: rnn_zoo.RnnForTokenClassification(rnn_zoo.RnnConfig(**tagger, use_crf=True)),
        "translator": lambda: rnn_zoo.RnnSeq2SeqForConditionalGeneration(rnn_zoo.RnnSeq2SeqConfig(**two)),
    }


def sizes_of(run: Run) -> dict[str, dict[str, int]]:
    if run.tiny:
        small = {"vocabulary": 50, "embedding": 8, "hidden": 8, "layers": 2, "rows": 3, "steps": 5, "labels": 5}
        return {name: dict(small) for name in ("language model", "tagger", "translator")}
    return {
        "language model": {"vocabulary": 10_000, "embedding": 512, "hidden": 1024, "layers": 2, "rows": 64, "steps": 70}
        | {"labels": 1},
        "tagger": {"vocabulary": 20_000, "embedding": 304, "hidden": 256, "layers": 1, "rows": 64, "steps": 60}
        | {"labels": 9},
        "translator": {"vocabulary": 10_000, "embedding": 512, "hidden": 512, "layers": 2, "rows": 64, "steps": 30}
        | {"labels": 1},
    }


def a_batch(kind: str, sizes: dict[str, int], device: str):
    """Random ids, their lengths on the CPU, and how many tokens there are."""
    import torch

    B, T = sizes["rows"], sizes["steps"]
    ids = torch.randint(4, sizes["vocabulary"], (B, T))
    if kind == "language model":
        return {"input_ids": ids.to(device), "shift_labels": ids.roll(-1, 1).to(device)}, None, B * T
    lengths = torch.randint(max(T // 5, 1), T + 1, (B,))
    lengths[0] = T
    real = torch.arange(T) < lengths[:, None]
    ids = ids.masked_fill(~real, 0)
    labels = ids % sizes["labels"] if kind == "tagger" else ids.roll(1, 0)
    counted = real if kind == "tagger" else real.roll(1, 0)
    batch = {"input_ids": ids, "attention_mask": real.long(), "labels": labels.masked_fill(~counted, IGNORED)}
    return {name: x.to(device) for name, x in batch.items()}, lengths, int(lengths.sum())


def trained(run: Run, model, loss_of: Callable[[Any], Any], tokens: int, precision: str, steps: int):
    """Some steps of training, as a way of `speeds`: returns how many tokens they read."""
    import torch

    model = model.to(run.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def work() -> float:
        for _ in range(steps):
            with torch.autocast(run.device, torch.bfloat16, enabled=precision == "bf16"):
                loss = loss_of(model)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return tokens * steps

    return work


def precisions(run: Run) -> tuple[str, ...]:
    """In which it is timed: torch's LSTM has no bf16 on every CPU."""
    return ("fp32", "bf16") if run.device == "cuda" else ("fp32",)


def throughput(run: Run) -> None:
    import torch

    steps = 1 if run.tiny else 20
    for kind, sizes in sizes_of(run).items():
        torch.manual_seed(0)
        LanguageModel, Tagger, Translator = bare_models(sizes)
        bare = {"language model": LanguageModel, "tagger": Tagger, "translator": Translator}[kind]
        batch, lengths, tokens = a_batch(kind, sizes, run.device)

        def loss_of_bare(model, batch=batch, lengths=lengths):
            return model(batch, lengths)

        def loss_of_ours(model, batch=batch):
            return model(**batch).loss

        for precision in precisions(run):
            if not run.has_time(ENOUGH if run.tiny else 10):
                raise Failed(f"no time was left for the {kind} in {precision}")
            ways = {"torch.nn": trained(run, bare(), loss_of_bare, tokens, precision, steps)}
            for name, build in our_models(sizes).items():
                if name.startswith(kind):
                    ways[name] = trained(run, build(), loss_of_ours, tokens, precision, steps)
            print(f"{kind}, {precision}, {sizes}", flush=True)
            run.note(f"{kind}, {precision}", summary(speeds(run, ways), "torch.nn") | {"sizes": sizes})


# Bytes a second that the memory of a device moves by its data sheet; of others a copy says it.
BANDWIDTH = {"H200": 4.8e12, "H100 PCIe": 2.0e12, "H100 NVL": 3.9e12, "H100": 3.35e12, "A100": 2.0e12}
SLOWEST_SCAN = 1.3  # times what its bytes take


def seconds_of(run: Run, work: Callable[[], Any], rounds: int = 20) -> float:
    """The median time of one call, by the clock of the device where there is one."""
    import torch

    found = []
    for number in range((2 if run.tiny else rounds) + 3):
        wait_for(run.device)
        if run.device == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            work()
            end.record()
            end.synchronize()
            seconds = start.elapsed_time(end) / 1e3
        else:
            began = time.perf_counter()
            work()
            seconds = time.perf_counter() - began
        if number >= 3:
            found.append(seconds)
    return statistics.median(found)


def scans(run: Run) -> None:
    import torch

    from rnn_zoo.models import scan as ours
    from rnn_zoo.models import scan_triton

    B, T, H = (2, 5, 8) if run.tiny else (16, 2048, 1024)
    torch.manual_seed(0)
    a, b, grad = (torch.rand(T, B, H, device=run.device) for _ in range(3))
    h = torch.rand(B, H, device=run.device)
    reason = scan_triton.refusal_of(a)
    run.note("plain way because", reason)
    if reason and run.device == "cuda":
        raise Failed(f"the scan takes the plain way: {reason}")
    size = a.numel() * a.element_size()
    target = torch.empty_like(a)
    copied = 2 * size / seconds_of(run, lambda: target.copy_(a))
    name = torch.cuda.get_device_name() if run.device == "cuda" else "cpu"
    promised = next((speed for known, speed in BANDWIDTH.items() if known in name), None)
    run.note("bytes a second", {"copy": copied, "data sheet": promised})
    given = [s.clone().requires_grad_() for s in (a, b, h)]
    states = ours.scan_over_time(*given)

    def backward() -> None:
        torch.autograd.grad(states, given, grad, retain_graph=True)

    def forward() -> None:
        with torch.no_grad():
            ours.scan_over_time(a, b, h)

    # Forward reads a and b and writes h; backward reads a, h and the gradient of h, and writes those of a and b.
    ways = {"forward": (forward, 3), "backward": (backward, 5)}
    found = {}
    for way, (work, tensors) in ways.items():
        seconds = seconds_of(run, work)
        found[way] = {"seconds": seconds, "bytes": tensors * size}
        found[way] |= {"times its bytes by a copy": seconds * copied / (tensors * size)}
        if promised:
            found[way] |= {"times its bytes by the data sheet": seconds * promised / (tensors * size)}
        print(f"{way}: {found[way]}", flush=True)
    run.note("scan", {"rows": B, "steps": T, "hidden": H} | found)
    both = sum(part["seconds"] for part in found.values())
    run.note("flash-linear-attention", against_hgrn(run, a, b, grad, both))
    slowest = max(part["seconds"] * (promised or copied) / part["bytes"] for part in found.values())
    if run.device == "cuda" and not slowest <= SLOWEST_SCAN:
        raise Failed(f"a scan takes {slowest:.2f} times what its bytes take, and not {SLOWEST_SCAN} at most")


def against_hgrn(run: Run, a, b, grad, ours: float) -> dict[str, Any]:
    """Forward and backward of the same recurrence by flash-linear-attention's kernel for HGRN, if it is there; it takes
    log a, and rows first."""
    if run.device != "cuda" or importlib.util.find_spec("fla") is None:
        return {"not run": "needs a GPU, and pip install flash-linear-attention"}
    import torch
    from fla.ops.hgrn import fused_recurrent_hgrn

    given = [s.transpose(0, 1).contiguous().requires_grad_() for s in (b, a.clamp(min=1e-6).log())]
    above = grad.transpose(0, 1).contiguous()

    def both() -> None:
        torch.autograd.grad(fused_recurrent_hgrn(*given)[0], given, above)

    seconds = seconds_of(run, both)
    print(f"flash-linear-attention: {seconds:.6f} s, ours {ours:.6f} s, forward and backward", flush=True)
    return {"seconds": seconds, "ours": ours}


def generation(run: Run) -> None:
    import torch

    from rnn_zoo import GenerationStream

    sizes = sizes_of(run)["language model"]
    torch.manual_seed(0)
    model = our_models(sizes)["language model"]().to(run.device).eval()
    model.generation_config.eos_token_id = None
    lstm = torch.nn.LSTM(sizes["embedding"], sizes["hidden"], sizes["layers"], batch_first=True).to(run.device).eval()
    for n, layer in enumerate(model.model.stack.layers):
        for name, weight in layer.cells[0].named_parameters():
            getattr(lstm, f"{name}_l{n}").data.copy_(weight.data)
    tokens = 5 if run.tiny else 300
    for rows in (1, 32):
        prompt = torch.full((rows, 1), 5, device=run.device)

        @torch.no_grad()
        def bare(prompt=prompt, rows=rows) -> float:
            token, state, text = prompt, None, [prompt]
            for _ in range(tokens):
                y, state = lstm(model.model.embed_tokens(token), state)
                token = model.lm_head(y).argmax(-1)
                text.append(token)
            torch.cat(text, 1).tolist()
            return rows * tokens

        def generate(prompt=prompt, rows=rows) -> float:
            model.generate(prompt, max_new_tokens=tokens, do_sample=False).tolist()
            return rows * tokens

        def stream(prompt=prompt, rows=rows) -> float:
            stream = GenerationStream(model, do_sample=False)
            stream.read(prompt)
            torch.stack(list(islice(stream, tokens))).tolist()
            return rows * tokens

        ways = {"torch.nn": bare, "generate": generate, "GenerationStream": stream}
        run.note(f"{rows} rows", summary(speeds(run, ways, 5), "torch.nn"))
    sizes = sizes_of(run)["translator"]
    translator = our_models(sizes)["translator"]().to(run.device).eval()
    batch, _, _ = a_batch("translator", sizes, run.device)
    source = {name: batch[name] for name in ("input_ids", "attention_mask")}

    def translate(beams: int) -> float:
        translator.generate(**source, num_beams=beams, max_new_tokens=sizes["steps"], do_sample=False).tolist()
        return len(source["input_ids"])

    ways = {"greedy": lambda: translate(1), "5 beams": lambda: translate(5)}
    run.note("translator", summary(speeds(run, ways, 5), "greedy"))


def compiled(run: Run) -> None:
    import torch

    short = {} if run.tiny else {"hidden": 256, "embedding": 256, "layers": 1, "steps": 16}  # each step is compiled
    sizes, backend = sizes_of(run)["language model"] | short, "aot_eager" if run.tiny else "inductor"
    torch.manual_seed(0)
    batch, _, tokens = a_batch("language model", sizes, run.device)
    eager = our_models(sizes)["language model"]().to(run.device)
    fast = torch.compile(copy.deepcopy(eager), backend=backend)
    seconds = 0.0
    for precision in precisions(run):
        if seconds and not run.has_time(1.5 * seconds + 10):
            print(f"{precision}: skipped, as compiling anew takes longer than there is time", flush=True)
            continue
        losses = []
        for model in (eager, fast):
            wait_for(run.device)
            start = time.perf_counter()
            with torch.autocast(run.device, torch.bfloat16, enabled=precision == "bf16"):
                loss = model(**batch).loss
            loss.backward()
            losses.append(float(loss))
        wait_for(run.device)
        seconds = time.perf_counter() - start
        print(f"{precision}: compiled in {seconds:.1f} s with {backend}", flush=True)
        told = {"seconds": seconds, "backend": backend, "sizes": sizes, "losses": losses}
        run.note(precision, told)
        if not abs(losses[1] - losses[0]) <= 1e-2 * abs(losses[0]):
            raise Failed(f"the loss of the compiled model is {losses[1]:.4f}, of the other {losses[0]:.4f}")
        ways = {
            name: trained(run, model, lambda m: m(**batch).loss, tokens, precision, 1 if run.tiny else 20)
            for name, model in (("eager", eager), ("compiled", fast))
        }
        run.note(precision, told | summary(speeds(run, ways, 5), "eager"))


def fsdp(run: Run) -> None:
    import socket

    import torch

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.distributed.init_process_group("nccl" if run.device == "cuda" else "gloo", rank=0, world_size=1)
    mesh = init_device_mesh(run.device, (1,))
    try:
        for kind, sizes in sizes_of(run).items():
            name = "tagger with a CRF" if kind == "tagger" else kind
            torch.manual_seed(0)
            batch, _, tokens = a_batch(kind, sizes, run.device)
            plain = our_models(sizes)[name]().to(run.device)
            sharded = copy.deepcopy(plain)
            for module in sharded.modules():
                if type(module).__name__ == "RecurrentLayer":
                    fully_shard(module, mesh=mesh)
            fully_shard(sharded, mesh=mesh)
            losses = []
            for model in (plain, sharded):
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                losses.append([])
                for _ in range(5):
                    loss = model(**batch).loss
                    loss.backward()
                    optimizer.step()
                    optimizer.zero_grad()
                    losses[-1].append(loss.item())
            apart = max(abs(a - b) / max(abs(a), 1e-6) for a, b in zip(*losses, strict=True))
            steps = 1 if run.tiny else 10
            ways = {
                "plain": trained(run, plain, lambda m, batch=batch: m(**batch).loss, tokens, "fp32", steps),
                "FSDP 2": trained(run, sharded, lambda m, batch=batch: m(**batch).loss, tokens, "fp32", steps),
            }
            run.note(name, {"losses": losses, "apart": apart} | summary(speeds(run, ways, 3), "plain"))
            if not apart <= 1e-3:
                raise Failed(f"{name}: the losses of five steps are {apart:.1e} apart from those of plain training")
        run.note("Trainer", by_trainer(run))
    finally:
        torch.distributed.destroy_process_group()


def by_trainer(run: Run) -> dict[str, Any]:
    """Losses of `TruncatedBpttTrainer` with FSDP 2."""
    import torch
    from accelerate import DistributedType, PartialState
    from transformers import TrainingArguments

    from rnn_zoo import TokenStream, TruncatedBpttTrainer

    sizes = sizes_of(run)["language model"]
    torch.manual_seed(0)
    stream = TokenStream(torch.randint(4, sizes["vocabulary"], (8 * 16 * 12 + 1,), dtype=torch.int32))
    with tempfile.TemporaryDirectory() as folder:
        settings = {"per_device_train_batch_size": 8, "max_steps": 10, "logging_steps": 1, "save_strategy": "no"}
        settings |= {"fsdp": True, "fsdp_config": {"version": 2}, "use_cpu": run.device == "cpu"}
        args = TrainingArguments(folder, report_to=[], disable_tqdm=True, **settings)
        if run.device == "cpu":  # for which accelerate has no FSDP
            PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
        trainer = TruncatedBpttTrainer(our_models(sizes)["language model"](), args, stream, bptt_length=16)
        trainer.train()
        engine = trainer.accelerator.distributed_type.value
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    if engine != "FSDP" or len(losses) != 10:
        raise Failed(f"Trainer used {engine}, and told {len(losses)} losses of 10 steps")
    return {"engine": engine, "losses": losses}


def training(run: Run) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise Failed("matplotlib is missing, which draws the learning curve: pip install matplotlib")
    folder = Path(tempfile.mkdtemp(dir=run.file.parent))
    if run.tiny:  # a text of its own, where none is given
        for name in ("input", "train", "valid", "test"):
            (folder / f"{name}.txt").write_text("all that glisters is not gold .\n" * 200, encoding="utf-8")
        run.shakespeare, run.wikitext2 = run.shakespeare or folder, run.wikitext2 or folder
    jobs = {
        "char_lm_shakespeare": (run.shakespeare, {}, "--shakespeare FOLDER, with input.txt"),
        "word_lm_wikitext2": (
            run.wikitext2,
            {"num_train_epochs": 1},
            "--wikitext2 FOLDER, with train.txt, valid.txt and test.txt",
        ),
    }
    failed = []
    for recipe, (data, settings, needed) in jobs.items():
        if data is None:
            print(f"{recipe}: skipped, as its data are not given ({needed})", flush=True)
            run.note(recipe, {"skipped": f"its data are not given ({needed})"})
            continue
        out = folder / recipe
        flags = {"data_dir": data, "output_dir": out, "save_strategy": "no", "eval_strategy": "no", "sample_tokens": 0}
        flags |= {"load_best_model_at_end": "false", "disable_tqdm": "true"} | settings
        if run.device == "cpu":
            flags["use_cpu"] = "true"
        if run.tiny:
            flags |= {"max_steps": 2, "hidden_size": 8, "embedding_size": 8, "per_device_train_batch_size": 2}
        command = [
            sys.executable,
            "-m",
            "rnn_zoo",
            "train",
            recipe,
            *(f"--{key}={value}" for key, value in flags.items()),
        ]
        if subprocess.run(command).returncode:
            failed.append(recipe)
            continue
        metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
        kept = {name: metrics[name] for name in ("parameters", "steps", "train", "validation", "published")}
        run.note(recipe, kept | {"test": metrics.get("test"), "environment": metrics["environment"]})
    if failed:
        raise Failed(f"{', '.join(failed)}: the training failed; the lines above say why")


# Of each part what it does, and its share of the time, in seconds of nine minutes.
PARTS: dict[str, tuple[Callable[[Run], None], int]] = {
    "tests": (tests, 80),
    "equality": (equality, 60),
    "throughput": (throughput, 130),
    "scan": (scans, 20),
    "generation": (generation, 50),
    "compile": (compiled, 75),
    "fsdp": (fsdp, 45),
    "training": (training, 100),
}


# ---- the parts, one after the other ----
def environment(device: str) -> dict[str, Any]:
    """What a reader needs to judge a number."""
    import accelerate
    import torch
    import transformers

    found = {"torch": torch.__version__, "transformers": transformers.__version__, "accelerate": accelerate.__version__}
    found |= {"python": sys.version.split()[0], "device": "cpu", "threads": torch.get_num_threads()}
    if device == "cuda":
        found |= {"device": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
        found |= {"cudnn": torch.backends.cudnn.version()}
    return found


def do_part(name: str, run: Run) -> int:
    """One part, in the process that was made for it."""
    run.note("environment", environment(run.device))
    try:
        PARTS[name][0](run)
    except (Failed, ImportError) as error:
        run.note("error", str(error))
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        run.note("error", f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}")
        raise
    return 0


def end(process: subprocess.Popen) -> None:
    """Ends a part and all that it has started, if it still runs."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue


def start_part(name: str, seconds: float, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """A part in a process of its own: its results, with `status` and `seconds`."""
    file, log = folder / f"gpu_{name}.json", folder / f"gpu_{name}.log"
    file.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--part", name, "--device", args.device, "--seconds", f"{seconds:.0f}"]
    command += ["--out", str(folder), *(["--tiny"] if args.tiny else [])]
    for flag in ("shakespeare", "wikitext2"):
        if path := getattr(args, flag):
            command += [f"--{flag}", str(path)]
    variables = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    if importlib.util.find_spec("rnn_zoo") is None:
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, env=variables, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = "failed" if process.wait(seconds) else "passed"
        except subprocess.TimeoutExpired:
            status = f"stopped after {seconds:.0f} s"
        finally:
            end(process)
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if status != "passed":
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        found.setdefault("error", lines[-1] if lines and status == "failed" else status)
        print(f"--- {name}: {status}; the end of {log}:", *lines[-25:], sep="\n", flush=True)
    found |= {"status": status, "seconds": round(time.monotonic() - began, 1)}
    file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def refusal_of(args: argparse.Namespace) -> str | None:
    """The sentence for what was asked for and cannot be done."""
    for flag, names in (("shakespeare", ["input.txt"]), ("wikitext2", ["train.txt", "valid.txt", "test.txt"])):
        path = getattr(args, flag)
        missing = [name for name in names if path is not None and not (path / name).is_file()]
        if missing:
            return f"--{flag} {path}: has no {', '.join(missing)}"
    if not args.seconds > ENOUGH:
        return f"--seconds {args.seconds:g}: must be above {ENOUGH}"
    if importlib.util.find_spec("torch") is None:
        return f"{sys.executable} has no torch: name a Python that has it (make gpu PYTHON=.venv/bin/python)"
    if args.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            return "--device cuda: torch sees no GPU here; --device cpu --tiny tries the script itself"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(PARTS), action="append", help="of the parts; repeatable [all]")
    parser.add_argument("--seconds", type=float, default=540, help="for all parts together [%(default)s]")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="smallest sizes: whether the script works")
    parser.add_argument("--shakespeare", type=Path, help="folder with input.txt (Tiny Shakespeare)")
    parser.add_argument("--wikitext2", type=Path, help="folder with train.txt, valid.txt, test.txt (WikiText-2)")
    parser.add_argument("--out", type=Path, help="folder for the results [benchmarks/results on a GPU]")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if refusal := refusal_of(args):
        print(refusal, file=sys.stderr)
        return 2
    if args.part:
        ends = time.monotonic() + args.seconds
        file = args.out / f"gpu_{args.part}.json"
        return do_part(args.part, Run(args.device, args.tiny, ends, file, args.shakespeare, args.wikitext2))

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a part is ended, too
    folder = Path(tempfile.mkdtemp(prefix="rnn_zoo_gpu_"))
    names, began = [name for name in PARTS if name in (args.only or PARTS)], time.monotonic()
    table = {}
    for place, name in enumerate(names):
        left = args.seconds - (time.monotonic() - began)
        share = PARTS[name][1] / sum(PARTS[other][1] for other in names[place:])
        seconds = left * share
        if seconds < ENOUGH:
            table[name] = {"status": "no time was left", "seconds": 0.0, "error": "no time was left"}
            continue
        print(f"{name} (at most {seconds:.0f} s) ...", flush=True)
        table[name] = start_part(name, seconds, folder, args)
    out = args.out or (folder if args.tiny or args.device == "cpu" else RESULTS)
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        if (found := folder / f"gpu_{name}.json").exists() and out != folder:
            (out / found.name).write_text(found.read_text(encoding="utf-8"), encoding="utf-8")
    print(f"\n{'part':11} {'seconds':>7}  what came of it")
    for name, found in table.items():
        reason = f": {found['error']}" if found["status"] != "passed" and found.get("error") != found["status"] else ""
        print(f"{name:11} {found['seconds']:>7.1f}  {found['status']}{reason}")
    print(f"results are in {out}, what the parts said in {folder}")
    return int(any(found["status"] != "passed" for found in table.values()))


if __name__ == "__main__":
    sys.exit(main())
