"""Speed of the CRF: its log-partition with gradients against a step-by-step loop, its Viterbi against a loop over rows.

The reference of the first is what one writes first: a broadcast `logsumexp` a step, under autograd. Ours is measured
with scores as they are in training and with scores so large that the scaled recursion gives way to the one in log
space. The reference of the second reads each sentence alone, step by step. All of them alternate in one process, so
that noise of the machine meets all alike.

    python benchmarks/crf_speed.py                 # B = 32, T = 50, K = 9
    python benchmarks/crf_speed.py --tags 17 --rounds 9 --json result.json
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from rnn_zoo.models.crf import Crf
from rnn_zoo.models.tag_scheme import TagScheme


def loop_partition(crf: Crf, emissions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """log-partition `(B)` of rows padded on the right."""
    alpha = crf.start + emissions[:, 0]
    for t in range(1, emissions.shape[1]):
        following = torch.logsumexp(alpha[:, :, None] + crf.transitions, 1) + emissions[:, t]
        alpha = torch.where(mask[:, t, None], following, alpha)
    return torch.logsumexp(alpha + crf.end, 1)


def loop_viterbi(crf: Crf, emissions: torch.Tensor, mask: torch.Tensor) -> list[list[int]]:
    """The best sequence of each row, one after the other."""
    paths = []
    for x, length in zip(emissions, mask.sum(1).tolist(), strict=True):
        best, origins = crf.start + x[0], []
        for x_t in x[1:length]:
            best, origin = (best[:, None] + crf.transitions).max(0)
            best = best + x_t
            origins.append(origin)
        path = [int((best + crf.end).argmax())]
        for origin in reversed(origins):
            path.append(int(origin[path[-1]]))
        paths.append(path[::-1])
    return paths


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) * 1e3 / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--tags", type=int, default=9)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", help="write the result to this file as well")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    crf = Crf(TagScheme([str(n) for n in range(args.tags)]))
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    emissions = (torch.randn(args.rows, args.length, args.tags) * 3).requires_grad_()
    large = (emissions.detach() * 100).requires_grad_()
    lengths = torch.randint(args.length // 2, args.length + 1, (args.rows,)).clamp(min=1)
    lengths[0] = args.length
    mask = torch.arange(args.length) < lengths[:, None]
    tags = torch.randint(args.tags, (args.rows, args.length))

    def gradients(partition: Callable[..., torch.Tensor], emissions: torch.Tensor) -> list[torch.Tensor]:
        return list(torch.autograd.grad(partition(emissions, mask).sum(), [emissions, *crf.parameters()]))

    def loop(emissions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return loop_partition(crf, emissions, mask)

    def likelihood() -> torch.Tensor:
        value = crf.log_likelihood(emissions, tags, mask).sum()
        value.backward()
        return value

    def read_rows() -> list[list[int]]:
        with torch.no_grad():
            return loop_viterbi(crf, emissions, mask)

    for given in (emissions, large):
        for ours, theirs in zip(gradients(crf.log_partition, given), gradients(loop, given), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    paths = [row[: len(path)].tolist() for row, path in zip(crf.viterbi(emissions, mask)[0], read_rows(), strict=True)]
    assert paths == read_rows()

    kinds: dict[str, tuple[Callable[[], object], str | None]] = {
        "loop: partition and gradient": (lambda: gradients(loop, emissions), None),
        "ours: partition and gradient": (
            lambda: gradients(crf.log_partition, emissions),
            "loop: partition and gradient",
        ),
        "loop: the same, scores ±300": (lambda: gradients(loop, large), None),
        "ours: the same, scores ±300": (lambda: gradients(crf.log_partition, large), "loop: the same, scores ±300"),
        "ours: likelihood and gradient": (likelihood, "loop: partition and gradient"),
        "loop: Viterbi row by row": (read_rows, None),
        "ours: Viterbi": (lambda: crf.viterbi(emissions, mask), "loop: Viterbi row by row"),
        "ours: max-marginals": (lambda: crf.max_marginals(emissions, mask), "loop: Viterbi row by row"),
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for round_ in range(args.rounds + 1):
        for name, (work, _) in kinds.items():
            took = milliseconds(work, 1 if name == "loop: Viterbi row by row" else args.repeats)
            if round_:  # the first is for warming up
                times[name].append(took)
    ratios: dict[str, list[float]] = {}
    print(f"B = {args.rows}, T = {args.length}, K = {args.tags}, {args.threads} threads, {args.rounds} rounds")
    for name, (_, reference) in kinds.items():
        line = f"{name:30} {statistics.median(times[name]):8.2f} ms"
        if reference is not None:
            pairs = zip(times[reference], times[name], strict=True)
            ratio = ratios[name] = sorted(theirs / ours for theirs, ours in pairs)
            line += f"   {statistics.median(ratio):6.1f} x as fast ({ratio[0]:.1f} to {ratio[-1]:.1f})"
        print(line)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"arguments": vars(args), "milliseconds": times, "ratios": ratios}, file, indent=2)


if __name__ == "__main__":
    main()
