"""The CRF: its log-partition with gradients against a loop over steps, its best paths against a loop over rows.

The loop over steps is what one writes first: a broadcast `logsumexp` a step, under autograd. Ours is measured with
scores as they are in training, and with scores so large that the scaled recursion gives way to the one in log space.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch

from ..models.crf import Crf
from ..models.tag_scheme import TagScheme
from .pairs import Comparison, Sizes

ROWS, STEPS, TAGS = 32, 50, 9


def comparisons(sizes: Sizes) -> Iterator[Comparison]:
    torch.manual_seed(0)
    crf = Crf(TagScheme([str(n) for n in range(TAGS)]))
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    crf.to(sizes.device)
    emissions = (torch.randn(ROWS, STEPS, TAGS, device=sizes.device) * 3).requires_grad_()
    lengths = torch.randint(STEPS // 2, STEPS + 1, (ROWS,))
    lengths[0] = STEPS
    mask = (torch.arange(STEPS) < lengths[:, None]).to(sizes.device)
    tags = torch.randint(TAGS, (ROWS, STEPS), device=sizes.device)
    words = int(lengths.sum())
    for title, given in (("scores ±10", emissions), ("scores ±1000", (emissions.detach() * 100).requires_grad_())):

        def gradients(partition: Callable[..., torch.Tensor], given: torch.Tensor) -> None:
            torch.autograd.grad(partition(given, mask).sum(), [given, *crf.parameters()])

        yield Comparison(
            f"CRF, log-partition and gradients, {title}",
            {
                "loop over steps": partial(gradients, partial(loop_partition, crf), given),
                "ours": partial(gradients, crf.log_partition, given),
                "ours, likelihood": partial(gradients, partial(likelihoods, crf, tags), given),
            },
            "loop over steps",
            words,
            "words",
        )
    with torch.no_grad():
        yield Comparison(
            "CRF, best paths",
            {
                "loop over rows": lambda: loop_viterbi(crf, emissions.detach(), mask),
                "ours": lambda: crf.viterbi(emissions.detach(), mask),
                "max-marginals": lambda: crf.max_marginals(emissions.detach(), mask),
            },
            "loop over rows",
            words,
            "words",
        )


def likelihoods(crf: Crf, tags: torch.Tensor, emissions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """log-likelihood `(B)` of `tags (B, T)`: the log-partition, and the score of one sequence."""
    return crf.log_likelihood(emissions, tags, mask)


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
