"""Ways of doing one thing, timed in alternating rounds, so that noise of the machine meets all alike."""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

SHORTEST = 0.05  # seconds of a timing: what takes less is done several times


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    Args:
        cells: names of `CELLS`.
        device: where.
        batch: rows, B.
        length: steps, T.
        input_size: features of the input, D.
        hidden: features of the state, H.
        rounds: timings of each way.
    """

    cells: tuple[str, ...]
    device: torch.device
    batch: int
    length: int
    input_size: int
    hidden: int
    rounds: int

    def promised(self, way: str, ratio: float | None) -> dict[str, float]:
        """What is promised holds on a processor, for the sizes that are measured unless others are asked for."""
        is_held = self.device.type == "cpu" and (self.batch, self.length, self.hidden) == (16, 64, 512)
        return {way: ratio} if is_held and ratio is not None else {}


@dataclass(frozen=True)
class Comparison:
    """
    Args:
        title: of what.
        ways: each does the same work once.
        base: the way that the others are compared with.
        amount: of `unit` in the work.
        unit: what is counted.
        promised: of some ways how many times as fast as the base they should be at least.
        memory: whether the most memory that each way takes beyond what is there before is measured as well.
        left_out: of ways that cannot be measured here, why.
        is_pictured: whether the ways do the same, and so have bars in the picture.
    """

    title: str
    ways: dict[str, Callable[[], Any]]
    base: str
    amount: int
    unit: str = "tokens"
    promised: dict[str, float] = field(default_factory=dict)
    memory: bool = False
    left_out: dict[str, str] = field(default_factory=dict)
    is_pictured: bool = True


def measure(comparison: Comparison, sizes: Sizes) -> dict[str, Any]:
    """The seconds of each way, round by round; of each but the base the ratios to it, rising.

    The first round warms up and does not count. Ways take turns in beginning a round.
    """
    names = list(comparison.ways)
    alone = {name: seconds_of(comparison.ways[name], sizes, 1) for name in names}
    repeats = {name: max(1, round(SHORTEST / alone[name])) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(sizes.rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            seconds[name].append(seconds_of(comparison.ways[name], sizes, repeats[name]))
    base = seconds[comparison.base]
    found: dict[str, Any] = {
        "title": comparison.title,
        "base": comparison.base,
        "unit": comparison.unit,
        "per_second": {name: comparison.amount / statistics.median(values) for name, values in seconds.items()},
        "seconds": seconds,
        "times_as_fast": {
            name: sorted(b / own for own, b in zip(values, base, strict=True))
            for name, values in seconds.items()
            if name != comparison.base
        },
        "promised": comparison.promised,
        "left_out": comparison.left_out,
        "is_pictured": comparison.is_pictured,
    }
    if comparison.memory:
        found["bytes"] = {name: most_bytes(comparison.ways[name], sizes.device) for name in names}
    return found


def seconds_of(work: Callable[[], Any], sizes: Sizes, repeats: int) -> float:
    """Of one time, the mean of some."""
    wait(sizes.device)
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    wait(sizes.device)
    return (time.perf_counter() - start) / repeats


def wait(device: torch.device) -> None:
    """Until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def most_bytes(work: Callable[[], Any], device: torch.device) -> int:
    """The most memory of tensors that were made while it works, beyond what is there before."""
    if device.type == "cuda":
        wait(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        wait(device)
        return torch.cuda.max_memory_allocated(device) - before
    activities = [torch.profiler.ProfilerActivity.CPU]
    with without_messages(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        work()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


@contextmanager
def without_messages() -> Iterator[None]:
    """Nothing on standard error: the profiler tells each time that it begins and ends."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def with_gradients(run: Callable[[], torch.Tensor], leaves: Sequence[torch.Tensor]) -> Callable[[], Any]:
    """Work: forward and backward of a number."""

    def work() -> None:
        torch.autograd.grad(run(), leaves)

    return work
