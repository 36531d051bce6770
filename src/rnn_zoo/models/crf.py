"""The linear-chain conditional random field (Lafferty, McCallum, Pereira 2001, section 3).

Sizes: `B` batch, `T` time, `K` tags, `L` labels outside, `S` states (the tags, but for IOB1: see `TagScheme`).

With emissions x_t (one row of `(B, T, K)`), transitions A, and the scores a of the first and z of the last tag, a
sequence of tags y_1 … y_T has

    score(x, y) = a[y_1] + Σ_t x_t[y_t] + Σ_t A[y_{t-1}, y_t] + z[y_T]
    log p(y | x) = score(x, y) - log Σ_y' exp score(x, y')

as in Collobert et al. (2011, equations 12 and 13) and Lample et al. (2016, section 2.2). Everything here is one
recursion, over the sum (`logsumexp`: partition, marginals) or the maximum (Viterbi, max-marginals), in both directions
at once:

    before_1 = a, after_t = before_t + x_t, before_{t+1}[j] = ⊕_i after_t[i] + A[i, j]

and from the end with z and the transposed A. The score of all paths through y_t = j is then `before_t[j]` of the one
direction plus `after_t[j]` of the other.

Where the mask is 0, a step is skipped as if it were not there, wherever it stands: the real steps of each row move to
its front, the recursion runs, the results move back. What it runs over after a row's end counts for nothing.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import initialization as init

from .real_steps import RealSteps, at_end, is_real, reverse
from .tag_scheme import IGNORED, TagScheme, check_ids

# Decoding keeps emissions within ±LIMIT: no sum of them reaches infinity, the score of what is illegal.
LIMIT = {torch.float64: 1e290, torch.float32: 1e30}
# Scaled sums of exponentials stay within exp(±RANGE): a product of two of them is still a normal number of float64.
RANGE = 300.0

# `torch.logsumexp` or `torch.amax`.
Reduce = Callable[..., torch.Tensor]
# Of transitions `(K, K)` [from, to], of the first tag `(K)`, of the last `(K)`.
Scores = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Crf(nn.Module):
    """A linear-chain CRF over emissions, with constraints that learned scores never override at decoding.

    `emissions (B, T, K)` are scores of the tags in any floating dtype; `mask (B, T)` is 1 on the steps that count,
    `None` for all. Everything is accumulated in float64 (in float32 on devices that have none), under autocast as well,
    and returned in float32, for float64 emissions in float64. A row whose mask is 0 everywhere has partition,
    likelihood, score and gradients 0.

    Decoding (`log_marginals`, `max_marginals`, `viterbi`) is over legal sequences only and carries no gradient. It is
    what `torch.export` can follow, for every batch and length. With `outside` it speaks of the scheme's labels
    (`(B, T, L)`) instead of the CRF's tags.

    Args:
        scheme: the tags and what may follow what; it has as many `tags` as there are emissions.
        constrain_training: whether likelihood and partition, too, are over legal sequences only.

    Raises:
        ValueError: in every method for emissions, a mask or tags whose shapes do not fit, or ids that are no tags.
    """

    state_tag: torch.Tensor  # (S)
    state_label: torch.Tensor  # (S)
    tag_states: torch.Tensor  # (K, ·): of each tag its states, filled up with S
    label_states: torch.Tensor  # (L, ·)
    tag_legal: torch.Tensor  # (K + 1, K + 1) [from, to]; the last row is the beginning, the last column the end
    state_legal: torch.Tensor  # (S + 1, S + 1)

    def __init__(self, scheme: TagScheme, constrain_training: bool = False):
        super().__init__()
        self.scheme = scheme
        self.constrain_training = constrain_training
        self.num_tags = len(scheme.tags)
        self.mixing_steps = scheme.mixing_steps
        self.transitions = nn.Parameter(torch.empty(self.num_tags, self.num_tags))  # [from, to]
        self.start = nn.Parameter(torch.empty(self.num_tags))
        self.end = nn.Parameter(torch.empty(self.num_tags))
        with torch.device("cpu"):  # real ones also where the weights have no memory yet
            tables = tables_of(scheme)
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)  # the configuration says what they are
        self.init_weights()

    def use_scheme(self, scheme: TagScheme) -> None:
        """From now on the tags are those of another scheme, with the scores that they have by their place.

        Raises:
            ValueError: if it has not as many tags.
        """
        if len(scheme.tags) != self.num_tags:
            raise ValueError(f"{scheme!r} has {len(scheme.tags)} tags: this CRF has {self.num_tags}")
        self.mixing_steps = scheme.mixing_steps
        self.scheme = scheme
        self._make_tables()

    def _make_tables(self) -> None:
        """The tables of the scheme anew, where the weights are."""
        device = self.transitions.device
        with torch.inference_mode(False), torch.device("cpu"):  # they serve training, too
            for name, table in tables_of(self.scheme).items():
                setattr(self, name, table if device.type == "meta" else table.to(device))

    # No checkpoint holds the tables: whatever takes the memory of buffers away, or moves the weights alone, must not
    # leave others behind.
    def _apply(self, *args, **kwargs):
        super()._apply(*args, **kwargs)
        self._make_tables()
        return self

    def _load_from_state_dict(self, *args, **kwargs):
        super()._load_from_state_dict(*args, **kwargs)
        if self.state_legal.device != self.transitions.device:  # by `load_state_dict(..., assign=True)`
            self._make_tables()

    def init_weights(self) -> None:
        """Zeros: no sequence is preferred at first. Also fills the tables of the scheme, which no checkpoint holds."""
        for parameter in (self.transitions, self.start, self.end):
            init.zeros_(parameter)
        with torch.device("cpu"):
            tables = tables_of(self.scheme)
        for name, table in tables.items():
            init.copy_(getattr(self, name), table)

    def extra_repr(self) -> str:
        return f"{self.scheme!r}, constrain_training={self.constrain_training}"

    # ---- training ----
    def log_likelihood(
        self, emissions: torch.Tensor, tags: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """log p(tags | emissions) in nats, `(B)`; `tags (B, T)` count where the mask is 1.

        With `constrain_training` an illegal sequence has -inf and gradients 0; `TagScheme.to_tags` returns legal ones.
        """
        check_shapes(emissions, mask, self.num_tags)
        if tags.shape != emissions.shape[:2]:
            raise ValueError(f"tags {tuple(tags.shape)}: must be (B, T), here {tuple(emissions.shape[:2])}")
        check_ids("tags", tags, mask, self.num_tags)
        if is_empty(emissions):
            return self._no_score(emissions)
        steps = RealSteps(mask)
        x = steps.to_front(emissions.to(accumulator(emissions)))
        tags = steps.to_front(tags.long())
        likelihood = self._path_score(x, tags, steps.lengths) - self._log_partition(
            x, steps.lengths, self.constrain_training
        )
        if self.constrain_training:
            likelihood = likelihood.masked_fill(~self._legal_paths(tags, steps.lengths), -math.inf)
        return likelihood.to(result_dtype(emissions))

    def log_partition(
        self, emissions: torch.Tensor, mask: torch.Tensor | None = None, constrained: bool | None = None
    ) -> torch.Tensor:
        """log Σ_y exp score(emissions, y), `(B)`; its gradient with respect to the emissions is the marginals.

        There is no second derivative: asking for one raises (under `torch.compile` the first counts as a constant).

        Args:
            constrained: whether the sum is over legal sequences only; `None` means `constrain_training`.
        """
        check_shapes(emissions, mask, self.num_tags)
        if is_empty(emissions):
            return self._no_score(emissions)
        steps = RealSteps(mask)
        x = steps.to_front(emissions.to(accumulator(emissions)))
        constrained = self.constrain_training if constrained is None else constrained
        return self._log_partition(x, steps.lengths, constrained).to(result_dtype(emissions))

    def _no_score(self, emissions: torch.Tensor) -> torch.Tensor:
        """0 for each row of emissions without a step, `(B)`; the gradients are 0, and not missing."""
        nothing = sum(scores[:0].sum() for scores in self.parameters())
        return emissions.sum((1, 2)).to(result_dtype(emissions)) + nothing

    def _log_partition(self, x: torch.Tensor, lengths: torch.Tensor | None, constrained: bool) -> torch.Tensor:
        """`x (B, T, K)` whose real steps come first, `lengths (B)` of them -> `(B)`."""
        keep = torch.is_grad_enabled()
        dtype = x.dtype
        scores = self.transitions.to(dtype), self.start.to(dtype), self.end.to(dtype)
        if constrained:
            x, scores = self._of_states(x), self._state_scores(dtype)
        if torch.compiler.is_compiling():
            return LogSpacePartition.apply(x, *scores, lengths, keep)
        interval = scaling_interval(x, *scores, self.mixing_steps if constrained else 1)
        if interval:
            return ScaledPartition.apply(x, *scores, lengths, keep, interval)
        return LogSpacePartition.apply(x, *scores, lengths, keep)

    def _path_score(self, x: torch.Tensor, tags: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        K, dtype = self.num_tags, x.dtype
        score = x.gather(2, tags[..., None])[..., 0].sum(1)  # (B); x is 0 after a row's end
        pairs = (tags[:, :-1] * K + tags[:, 1:]).flatten()
        steps = self.transitions.to(dtype).flatten().gather(0, pairs).view(tags.shape[0], -1)  # (B, T - 1)
        first, last = self.start.to(dtype)[tags[:, :1]].sum(1), self.end.to(dtype)[at_end(tags, lengths)]
        if lengths is None:
            return score + steps.sum(1) + first + last
        steps = steps.masked_fill(~is_real(tags[:, 1:], lengths - 1), 0)
        return score + steps.sum(1) + (first + last).masked_fill(lengths == 0, 0)

    def _legal_paths(self, tags: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Whether each row of `tags (B, T)` is a legal sequence, `(B)`."""
        K = self.num_tags
        if lengths is None:
            lengths = tags.new_full(tags.shape[:1], tags.shape[1])
        border = torch.full_like(tags[:, :1], K)
        tags = torch.cat([border, tags.masked_fill(~is_real(tags, lengths), K), border], 1)
        legal = self.tag_legal[tags[:, :-1], tags[:, 1:]]  # (B, T + 1)
        return (legal | ~is_real(legal, lengths + 1)).all(1)

    # ---- decoding ----
    def log_marginals(
        self, emissions: torch.Tensor, mask: torch.Tensor | None = None, outside: bool = False
    ) -> torch.Tensor:
        """log p(y_t = k | emissions) among legal sequences, `(B, T, K)`, or `(B, T, L)` with `outside`.

        What cannot be has the lowest finite value of the dtype; masked steps have 0.
        """
        if is_empty(emissions):
            return self._nothing(emissions, outside)
        total, steps = self._through_each_state(emissions, mask, torch.logsumexp)
        norm = total.logsumexp(-1, keepdim=True)
        return self._result(emissions, total - norm.masked_fill(norm == -math.inf, 0), steps, torch.logsumexp, outside)

    def max_marginals(
        self,
        emissions: torch.Tensor,
        mask: torch.Tensor | None = None,
        outside: bool = False,
        relative: bool = False,
    ) -> torch.Tensor:
        """The score of the best legal sequence through each tag, `(B, T, K)`, or `(B, T, L)` with `outside`.

        Its argmax is the Viterbi path, but for ties. What cannot be has the lowest finite value of the dtype; masked
        steps have 0.

        Args:
            relative: the score minus that of the best sequence of all: 0 on the Viterbi path and negative elsewhere. It
                stays precise in long rows, whose scores are large.
        """
        if is_empty(emissions):
            return self._nothing(emissions, outside)
        total, steps = self._through_each_state(emissions, mask, torch.amax)
        if relative:
            best = total.amax(-1, keepdim=True)
            total = total - best.masked_fill(best == -math.inf, 0)
        return self._result(emissions, total, steps, torch.amax, outside)

    def viterbi(
        self, emissions: torch.Tensor, mask: torch.Tensor | None = None, outside: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The best legal sequence (Viterbi 1967; Rabiner 1989, section III.B).

        Returns:
            Its tags, with `outside` its labels, `(B, T)`, -100 where the mask is 0; and its score `(B)`.
        """
        if is_empty(emissions):
            empty = torch.full(emissions.shape[:2], IGNORED, device=emissions.device)
            return empty, emissions.new_zeros(emissions.shape[0], dtype=result_dtype(emissions))
        x, (transitions, start, end), steps = self._decoding(emissions, mask)
        after, origin = best_origins(x.transpose(0, 1), start, transitions.t())  # (T, B, S)
        score, last = (at_end(after.transpose(0, 1), steps.lengths) + end).max(-1)  # (B)
        t = torch.arange(x.shape[1], device=x.device)[:, None, None]
        ends = t[-1:] if steps.lengths is None else steps.lengths[:, None] - 1
        # From a row's end on the last tag comes from itself: reading backwards, it is kept until the row begins.
        origin = torch.where(t >= ends, torch.arange(x.shape[2], device=x.device), origin)
        path = trace_back(last[:, None], origin)  # (B, T)
        path = (self.state_label if outside else self.state_tag)[path]
        if steps.lengths is not None:
            score = score.masked_fill(steps.lengths == 0, 0)
        return steps.back(path, IGNORED), score.to(result_dtype(emissions))

    def _decoding(self, emissions: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, Scores, RealSteps]:
        """Emissions of the states, real steps first, `(B, T, S)`; the scores; the steps."""
        check_shapes(emissions, mask, self.num_tags)
        steps = RealSteps(mask)
        dtype = accumulator(emissions)
        x = self._of_states(steps.to_front(emissions.detach().to(dtype).clamp(-LIMIT[dtype], LIMIT[dtype])))
        transitions, start, end = self._state_scores(dtype)
        return x, (transitions.detach(), start.detach(), end.detach()), steps

    def _through_each_state(
        self, emissions: torch.Tensor, mask: torch.Tensor | None, reduce: Reduce
    ) -> tuple[torch.Tensor, RealSteps]:
        """The total of all legal sequences through each state, `(B, T, S)`, real steps first; the steps."""
        x, scores, steps = self._decoding(emissions, mask)
        before, after = messages(x, *scores, steps.lengths, reduce)
        return before[:, 0].transpose(0, 1) + reverse(after[:, 1].transpose(0, 1), steps.lengths), steps

    def _result(
        self, emissions: torch.Tensor, total: torch.Tensor, steps: RealSteps, reduce: Reduce, outside: bool
    ) -> torch.Tensor:
        """Of the states of each tag or label one value; the steps back in their places; the dtype of results."""
        states, groups = (
            (self.scheme.state_label, self.label_states) if outside else (self.scheme.state_tag, self.tag_states)
        )
        if states != tuple(range(groups.shape[0])):
            total = reduce(nn.functional.pad(total, (0, 1), value=-math.inf)[..., groups], -1)
        dtype = result_dtype(emissions)
        limits = torch.finfo(dtype)
        return steps.back(total).clamp(limits.min, limits.max).to(dtype)

    def _nothing(self, emissions: torch.Tensor, outside: bool) -> torch.Tensor:
        size = len(self.scheme.labels) if outside else self.num_tags
        return emissions.new_zeros(*emissions.shape[:2], size, dtype=result_dtype(emissions))

    # ---- states ----
    def _of_states(self, x: torch.Tensor) -> torch.Tensor:
        """`(…, K)` -> `(…, S)`."""
        return x if len(self.scheme.state_tag) == self.num_tags else x[..., self.state_tag]

    def _state_scores(self, dtype: torch.dtype) -> Scores:
        """Transitions `(S, S)`, first `(S)` and last `(S)`; -inf for what is illegal."""
        transitions = self._of_states(self.transitions.to(dtype))
        if transitions.shape[0] != transitions.shape[1]:
            transitions = transitions[self.state_tag]
        start, end = self._of_states(self.start.to(dtype)), self._of_states(self.end.to(dtype))
        illegal = ~self.state_legal
        return (
            transitions.masked_fill(illegal[:-1, :-1], -math.inf),
            start.masked_fill(illegal[-1, :-1], -math.inf),
            end.masked_fill(illegal[:-1, -1], -math.inf),
        )


def tables_of(scheme: TagScheme) -> dict[str, torch.Tensor]:
    """The buffers of a `Crf`."""
    return {
        "state_tag": torch.tensor(scheme.state_tag),
        "state_label": torch.tensor(scheme.state_label),
        "tag_states": _filled_up(scheme.tag_states, len(scheme.state_tag)),
        "label_states": _filled_up(scheme.label_states, len(scheme.state_tag)),
        "tag_legal": torch.tensor(scheme.tag_legal),
        "state_legal": torch.tensor(scheme.legal),
    }


class FirstDerivative(torch.autograd.Function):
    """Hands a gradient through, and refuses to be differentiated itself: silence would mean that it were constant."""

    @staticmethod
    def forward(ctx: Any, grad: torch.Tensor, *inputs: torch.Tensor) -> torch.Tensor:
        """`grad` as it is; `inputs` are what it depends on."""
        return grad.clone()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor):
        raise RuntimeError("the log-partition of a Crf can be differentiated once, not twice")


def differentiable_once(backward: Callable) -> Callable:
    """`backward` of a function that saves its four inputs last: with `create_graph` its gradients refuse to be
    differentiated, also where other terms of a sum could be."""

    def first_derivative(ctx: Any, grad: torch.Tensor):
        with torch.no_grad():
            grads = backward(ctx, grad)
        if torch.is_grad_enabled():
            inputs = grad, *ctx.saved_tensors[-4:]
            grads = tuple(g if g is None else FirstDerivative.apply(g, *inputs) for g in grads)
        return grads

    return first_derivative


class LogSpacePartition(torch.autograd.Function):
    """The log-partition by sums of exponentials of log-scores: exact for all scores, -inf included."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        transitions: torch.Tensor,
        start: torch.Tensor,
        end: torch.Tensor,
        lengths: torch.Tensor | None,
        keep: bool,
    ) -> torch.Tensor:
        """`x (B, T, K)` with the real steps first, `lengths (B)` of them, `None` for T -> `(B)`.

        With `keep` the recursion from the end runs along, for `backward`.
        """
        before, after = messages(x, transitions, start, end, lengths, torch.logsumexp, from_end=keep)
        total = (at_end(after[:, 0].transpose(0, 1), lengths) + end).logsumexp(-1)  # (B)
        if lengths is not None:
            total = total.masked_fill(lengths == 0, 0)
        if keep:
            ctx.save_for_backward(before, after, lengths, x, transitions, start, end)
        return total

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: torch.Tensor):
        before, after, lengths, _, transitions, *_ = ctx.saved_tensors
        rest = reverse(after[:, 1].transpose(0, 1), lengths)  # (B, T, K)
        rest = mask_after(rest, lengths, -math.inf).transpose(0, 1)  # (T, B, K)
        # The log-partition, seen from each step: in long rows it loses less than that of the last step.
        total = (before[:, 0] + rest).logsumexp(-1, keepdim=True)
        rest = rest - total.masked_fill(total == -math.inf, 0)  # no sequence is possible: exp(-inf) = 0 everywhere
        marginals = (before[:, 0] + rest).exp() * grad[:, None]
        pairs = after[:-1, 0, :, :, None] + transitions + rest[1:, :, None, :]  # (T - 1, B, K, K)
        transitions_grad = (pairs.exp() * grad[:, None, None]).sum((0, 1))
        return *marginal_grads(marginals, transitions_grad, lengths), None, None


class ScaledPartition(torch.autograd.Function):
    """The log-partition by products of exponentials, scaled as in Rabiner (1989, section V.A): one small matrix product
    a step.

    The scores are first moved so that the greatest of each step is exp(0). Every `interval` steps the products are
    divided by their greatest; `scaling_interval` says how often that must be.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        transitions: torch.Tensor,
        start: torch.Tensor,
        end: torch.Tensor,
        lengths: torch.Tensor | None,
        keep: bool,
        interval: int,
    ) -> torch.Tensor:
        """As `LogSpacePartition`, for float64 `x`, 0 after a row's end, and not in a graph."""
        T, N = x.shape[1], 2 if keep else 1
        greatest = x.amax(-1)  # (B, T)
        tops = [scores.max() for scores in (transitions, start, end)]
        A, first, last = (scores.sub(top).exp() for scores, top in zip((transitions, start, end), tops, strict=True))
        e = both_directions((x - greatest[..., None]).exp(), lengths, keep)  # (T, N, B, K)
        both = torch.stack([A, A.t()])[:N]  # (N, K, K)
        before, after = torch.empty_like(e), torch.empty_like(e)
        before[0] = torch.stack([first, last])[:N, None]
        befores, afters = before.unbind(), after.unbind()
        scales = []
        for t, e_t in enumerate(e.unbind()):
            torch.mul(befores[t], e_t, out=afters[t])
            if t and t % interval == 0:
                scales.append(afters[t].amax(-1, keepdim=True))
                afters[t].div_(scales[-1])
            if t + 1 < T:
                torch.bmm(afters[t], both, out=befores[t + 1])
        total = at_end(after[:, 0].transpose(0, 1), lengths).mv(last).log() + greatest.sum(1) + tops[1] + tops[2]
        if scales:
            logs = torch.stack(scales)[:, 0, :, 0].log().t()  # (B, number of scalings)
            if lengths is not None:
                logs = logs * ((torch.arange(len(scales), device=x.device) + 1) * interval < lengths[:, None])
            total = total + logs.sum(1)
        if lengths is None:
            total = total + (T - 1) * tops[0]
        else:
            total = (total + (lengths - 1) * tops[0]).masked_fill(lengths == 0, 0)
        if keep:
            ctx.save_for_backward(before, after, lengths, A, x, transitions, start, end)
        return total

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: torch.Tensor):
        before, after, lengths, A, *_ = ctx.saved_tensors
        K = A.shape[0]
        before, rest = before[:, 0], reverse(after[:, 1].transpose(0, 1), lengths).transpose(0, 1)  # (T, B, K)
        weight = rest * (grad[:, None] / (before * rest).sum(-1, keepdim=True))
        weight = mask_after(weight.transpose(0, 1), lengths, 0.0).transpose(0, 1)
        transitions_grad = A * (after[:-1, 0].reshape(-1, K).t() @ weight[1:].reshape(-1, K))
        return *marginal_grads(before * weight, transitions_grad, lengths), None, None, None


def scaling_interval(
    x: torch.Tensor, transitions: torch.Tensor, start: torch.Tensor, end: torch.Tensor, mixing_steps: int | None
) -> int:
    """How many steps of `ScaledPartition` may pass without a scaling; 0 where it must not be used.

    If the finite scores of one step (emission and transition) differ by at most s, and every state reaches every other
    in m steps, then the sums of the states that can be reached at all are, r steps after a scaling or the beginning, at
    most max(r + 1, m)·(s + log K) apart on the logarithmic scale. That has to stay within RANGE. A GPU is not asked, as
    the host would have to wait for its answer.
    """
    if x.dtype != torch.float64 or mixing_steps is None or x.device.type != "cpu":
        return 0
    with torch.no_grad():
        scores = torch.cat([transitions.flatten(), start, end])
        lowest = scores.masked_fill(scores == -math.inf, math.inf).min()
        spread = (x.amax(-1) - x.amin(-1)).max() + scores.max() - lowest
        steps = RANGE / (float(spread) + math.log(x.shape[-1]) + 1e-6)
    return int(steps) - 1 if steps >= max(mixing_steps, 2) else 0  # not a number: 0


def messages(
    x: torch.Tensor,
    transitions: torch.Tensor,
    start: torch.Tensor,
    end: torch.Tensor,
    lengths: torch.Tensor | None,
    reduce: Reduce,
    from_end: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The recursion from the beginning and, in the same operations, from the end.

    Args:
        x: `(B, T, K)`, the real steps first.
        transitions, start, end: `(K, K)`, `(K)`, `(K)`.
        lengths: `(B)`, the number of real steps; `None` for T.
        reduce: `torch.logsumexp` or `torch.amax`.
        from_end: whether the second direction is wanted.

    Returns:
        `before` and `after`, `(T, 2, B, K)`, or `(T, 1, B, K)`: what all paths up to a step sum up to, without and with
        the step's emission. The second direction runs over reversed rows: its step 0 is a row's last.
    """
    N = 2 if from_end else 1
    x = both_directions(x, lengths, from_end)  # (T, N, B, K)
    into = torch.stack([transitions.t(), transitions])[:N, None]  # (N, 1, K, K) [to, from]
    first = torch.stack([start, end])[:N, None].expand(x.shape[1:])
    if torch.compiler.is_compiling():
        from torch._higher_order_ops.scan import scan

        def step(before: torch.Tensor, x: torch.Tensor):
            after = before + x
            return reduce(after[..., None, :] + into, -1), (before.clone(), after)

        return scan(step, first.clone(), x, dim=0)[1]
    if reduce is torch.logsumexp and x.device.type not in ("cpu", "mps"):
        reduce = one_kernel_logsumexp
    before, after = torch.empty_like(x), torch.empty_like(x)
    before[0] = first
    befores, afters = before.unbind(), after.unbind()
    pairs = x.new_empty(*x.shape[1:], x.shape[-1])  # (N, B, K, K)
    for t, x_t in enumerate(x.unbind()):
        torch.add(befores[t], x_t, out=afters[t])
        if t + 1 < len(befores):
            reduce(torch.add(afters[t][..., None, :], into, out=pairs), -1, out=befores[t + 1])
    return before, after


def one_kernel_logsumexp(x: torch.Tensor, dim: int, out: torch.Tensor) -> torch.Tensor:
    """`torch.logsumexp`, which is nine kernels on a GPU, as the end of running sums, which are one."""
    return out.copy_(torch.logcumsumexp(x, dim).select(dim, -1))


def best_origins(x: torch.Tensor, start: torch.Tensor, into: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The Viterbi recursion: `x (T, B, S)`, `start (S)`, `into (S, S)` [to, from].

    Returns:
        The best score up to each state of each step, `(T, B, S)`; and for each state of the *next* step the state
        before it on its best path, `(T, B, S)`, whose last step means nothing.
    """
    first = start.expand(x.shape[1:])
    if torch.compiler.is_compiling():
        from torch._higher_order_ops.scan import scan

        def step(before: torch.Tensor, x: torch.Tensor):
            after = before + x
            before, origin = (after[:, None, :] + into).max(-1)
            return before, (after, origin)

        return scan(step, first.clone(), x, dim=0)[1]
    after, before = torch.empty_like(x, memory_format=torch.contiguous_format), first.clone()
    origin = torch.zeros(x.shape, dtype=torch.long, device=x.device)
    origins, pairs = origin.unbind(), x.new_empty(*x.shape[1:], x.shape[-1])  # (B, S, S)
    for t, (x_t, after_t) in enumerate(zip(x.unbind(), after.unbind(), strict=True)):
        torch.add(before, x_t, out=after_t)
        if t + 1 < len(origins):
            torch.max(torch.add(after_t[:, None, :], into, out=pairs), -1, out=(before, origins[t]))
    return after, origin


def trace_back(last: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
    """`last (B, 1)`, `origin (T, B, S)` -> the path `(B, T)`: each state is the origin of the one after it."""
    if torch.compiler.is_compiling():
        from torch._higher_order_ops.scan import scan

        def step(state: torch.Tensor, origin: torch.Tensor):
            state = origin.gather(1, state)
            return state, state.clone()

        return scan(step, last.clone(), origin, dim=0, reverse=True)[1][..., 0].t()
    path = [last]
    for origins in reversed(origin.unbind()):
        path.append(origins.gather(1, path[-1]))
    return torch.cat(path[:0:-1], 1)


def mask_after(x: torch.Tensor, lengths: torch.Tensor | None, fill: float) -> torch.Tensor:
    """`x (B, T, K)` with `fill` after a row's end."""
    return x if lengths is None else x.masked_fill(~is_real(x, lengths)[..., None], fill)


def both_directions(x: torch.Tensor, lengths: torch.Tensor | None, from_end: bool) -> torch.Tensor:
    """`x (B, T, K)` -> `(T, 2, B, K)`, the rows and the rows reversed; `(T, 1, B, K)` without `from_end`."""
    return torch.stack([x, reverse(x, lengths)] if from_end else [x]).permute(2, 0, 1, 3).contiguous()


def marginal_grads(
    marginals: torch.Tensor, transitions_grad: torch.Tensor, lengths: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """`marginals (T, B, K)` -> the gradients of emissions `(B, T, K)`, transitions, first `(K)` and last `(K)`."""
    marginals = marginals.transpose(0, 1)
    return marginals, transitions_grad, marginals[:, 0].sum(0), at_end(marginals, lengths).sum(0)


def accumulator(emissions: torch.Tensor) -> torch.dtype:
    """The dtype in which scores are summed up."""
    return torch.float32 if emissions.device.type == "mps" else torch.float64


def result_dtype(emissions: torch.Tensor) -> torch.dtype:
    return torch.promote_types(emissions.dtype, torch.float32)


def is_empty(emissions: torch.Tensor) -> bool:
    """Whether there is no step at all; a graph is for what is not empty."""
    return not torch.compiler.is_compiling() and 0 in emissions.shape[:2]


def check_shapes(emissions: torch.Tensor, mask: torch.Tensor | None, num_tags: int) -> None:
    """Raises `ValueError` unless `emissions` are `(B, T, num_tags)` and `mask` is `(B, T)`."""
    if emissions.dim() != 3 or emissions.shape[2] != num_tags:
        raise ValueError(f"emissions {tuple(emissions.shape)}: must be (B, T, {num_tags}), one score for each tag")
    if mask is not None and mask.shape != emissions.shape[:2]:
        raise ValueError(f"mask {tuple(mask.shape)}: must be (B, T), here {tuple(emissions.shape[:2])}")


def _filled_up(rows: list[list[int]], fill: int) -> torch.Tensor:
    """Rows of any length -> a table."""
    width = max(len(row) for row in rows)
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])
