"""The CRF is the enumeration of all its sequences, in sums, maxima and gradients; tag schemes lose nothing."""

import io
import itertools
import math
import random

import pytest
import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from rnn_zoo.models.crf import RANGE, Crf, LogSpacePartition, ScaledPartition, one_kernel_logsumexp, scaling_interval
from rnn_zoo.models.tag_scheme import IGNORED, SCHEMES, TagScheme, are_iob

LABELS = ["I-X", "O", "B-Y", "B-X", "I-Y"]  # in no order
SUBSETS = [
    LABELS,
    ["O", "B-X", "I-X"],
    ["O", "B-X"],
    ["I-X", "O"],
    ["B-X", "I-X"],
    ["O", "B-X", "I-Y"],
    ["O", "B", "I"],
    ["B-X"],
    ["I-X"],
    ["O"],
]
MASK = torch.tensor(
    [
        [1, 1, 1, 1, 1],
        [0, 0, 1, 1, 1],
        [1, 1, 0, 0, 0],
        [1, 0, 1, 0, 1],
        [0, 1, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0],
    ]
)
B, T = MASK.shape

every_scheme = pytest.mark.parametrize("name", [None, *SCHEMES])
every_iob = pytest.mark.parametrize("name", SCHEMES)
with_or_without_mask = pytest.mark.parametrize("mask", [MASK, None], ids=["masked", "whole"])


def close(actual, expected, tolerance=1e-10):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def build(name=None, labels=("O", "B-X", "I-X"), scale=1.0, **options) -> Crf:
    crf = Crf(TagScheme(labels, name), **options).double()
    for parameter in crf.parameters():
        nn.init.normal_(parameter, std=scale)
    return crf


def scores(crf, rows=B, length=T, scale=1.0, dtype=torch.float64):
    return (torch.randn(rows, length, crf.num_tags, dtype=torch.float64) * scale).to(dtype).requires_grad_()


def real_rows(emissions, mask):
    """Each row of emissions without what the mask leaves out."""
    return list(emissions) if mask is None else [x[m.bool()] for x, m in zip(emissions, mask, strict=True)]


def legal(crf, paths):
    """Which of `paths (N, T)` are legal, `(N)`."""
    border = torch.full_like(paths[:, :1], crf.num_tags)
    paths = torch.cat([border, paths, border], 1)
    return torch.tensor(crf.scheme.tag_legal)[paths[:, :-1], paths[:, 1:]].all(1)


def path_scores(crf, x, paths):
    """The scores `(N)` of `paths (N, T)` over one row `x (T, K)`."""
    steps = crf.transitions[paths[:, :-1], paths[:, 1:]].sum(1)
    return x[torch.arange(len(x)), paths].sum(1) + steps + crf.start[paths[:, 0]] + crf.end[paths[:, -1]]


def all_paths(size, length):
    return torch.cartesian_prod(*[torch.arange(size)] * length).view(-1, length)


def enumerated(crf, x, constrained):
    """All sequences of a row `x (T, K)`, `(N, T)`, and their scores `(N)`."""
    paths = all_paths(crf.num_tags, len(x))
    if constrained:
        paths = paths[legal(crf, paths)]
    return paths, path_scores(crf, x, paths)


def reference_partition(x, transitions, start, end):
    """One row, step by step, in log space under autograd."""
    alpha = start + x[0]
    for x_t in x[1:]:
        alpha = torch.logsumexp(alpha[:, None] + transitions, 0) + x_t
    return torch.logsumexp(alpha + end, 0)


def gradients(value, crf, emissions):
    weights = torch.arange(1, value.numel() + 1, dtype=value.dtype)
    return torch.autograd.grad((value * weights).sum(), [emissions, *crf.parameters()], retain_graph=True)


def all_close(actual, expected, tolerance=1e-10):
    for a, b in zip(actual, expected, strict=True):
        close(a, b, tolerance)


# Sums


@every_scheme
@with_or_without_mask
@pytest.mark.parametrize("constrained", [False, True], ids=["free", "constrained"])
@pytest.mark.parametrize("log_space", [False, True], ids=["scaled", "log space"])
def test_partition_is_the_sum_over_all_sequences(name, mask, constrained, log_space, monkeypatch):
    if log_space:
        monkeypatch.setattr("rnn_zoo.models.crf.scaling_interval", lambda *_: 0)
    crf = build(name, constrain_training=constrained)
    emissions = scores(crf)
    rows = real_rows(emissions, mask)
    expected = torch.stack([enumerated(crf, x, constrained)[1].logsumexp(0) if len(x) else x.sum() for x in rows])
    found = crf.log_partition(emissions, mask)
    assert type(found.grad_fn).__name__.startswith("LogSpace" if log_space else "Scaled") or found.grad_fn is None
    close(found, expected)
    all_close(gradients(found, crf, emissions), gradients(expected, crf, emissions))
    with torch.no_grad():
        close(crf.log_partition(emissions, mask), expected)
    close(crf.log_partition(emissions, mask, constrained=constrained), expected)


@every_scheme
@with_or_without_mask
@pytest.mark.parametrize("constrained", [False, True], ids=["free", "constrained"])
def test_likelihood_is_the_share_of_one_sequence(name, mask, constrained):
    crf = build(name, constrain_training=constrained)
    emissions = scores(crf)
    labels = torch.randint(3, (B, T))
    tags = crf.scheme.to_tags(labels, mask)
    expected = []
    for b, x in enumerate(real_rows(emissions, mask)):
        if len(x) == 0:
            expected.append(x.sum())
            continue
        path = tags[b][tags[b] != IGNORED]
        expected.append(path_scores(crf, x, path[None])[0] - enumerated(crf, x, constrained)[1].logsumexp(0))
    expected = torch.stack(expected)
    found = crf.log_likelihood(emissions, tags, mask)
    close(found, expected)
    all_close(gradients(found, crf, emissions), gradients(expected, crf, emissions))


def test_likelihoods_sum_to_one():
    crf = build("iobes", ["O", "B-X", "I-X"], constrain_training=True)
    emissions = scores(crf, 1, 4)
    paths = all_paths(crf.num_tags, 4)
    likelihoods = crf.log_likelihood(emissions.expand(len(paths), -1, -1), paths)
    close(likelihoods.exp().sum(), torch.ones((), dtype=torch.float64))
    assert torch.equal(likelihoods > -math.inf, legal(crf, paths))


def test_an_illegal_sequence_has_no_gradients():
    crf = build("iob2", constrain_training=True)
    emissions = scores(crf, 2, 3)
    likelihood = crf.log_likelihood(emissions, torch.tensor([[0, 2, 0], [0, 1, 2]]))
    assert likelihood[0] == -math.inf
    assert likelihood[1].isfinite()
    (grad,) = torch.autograd.grad(likelihood.clamp(min=-1e3).sum(), emissions)
    assert grad[0].eq(0).all()
    assert grad[1].ne(0).any()


@pytest.mark.parametrize("scale", [3, 30, 100, 1000, 1e5])
@pytest.mark.parametrize("name", [None, "iobes"])
@with_or_without_mask
def test_large_scores_are_exact(scale, name, mask):
    """Against the plain recursion in log space, with its gradients; scaled only where that is safe."""
    crf = build(name, LABELS, scale=scale, constrain_training=True)
    emissions = scores(crf, B, T, scale)
    tables = [p.detach() for p in crf._state_scores(torch.float64)]
    interval = scaling_interval(emissions, *tables, crf.mixing_steps)
    assert (interval > 0) == (scale < 10)
    rows = real_rows(emissions, mask)
    scored = crf._state_scores(torch.float64)
    expected = torch.stack([reference_partition(x, *scored) if len(x) else x.sum() for x in rows])
    found = crf.log_partition(emissions, mask)
    close(found, expected)
    expected = torch.autograd.grad(expected.sum(), emissions)[0]
    close(torch.autograd.grad(found.sum(), emissions)[0], expected, max(1e-10, 1e-13 * scale))


@pytest.mark.parametrize("share", [0.001, 0.1, 0.4, 0.99])
@every_scheme
def test_scaling_holds_in_long_rows(share, name):
    """Up to the limit of what is scaled, with every score at one end of its range or the other."""
    crf = build(name, LABELS, constrain_training=True)
    length, K = 300, len(crf.scheme.state_tag)
    half = share * (RANGE / max(crf.mixing_steps, 2) - math.log(K)) / 4  # half the range of each of two scores
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.bernoulli_().sub_(0.5).mul_(2 * half)
    emissions = (torch.randn(3, length, crf.num_tags, dtype=torch.float64).sign() * half).requires_grad_()
    mask = torch.rand(3, length) < torch.tensor([[2.0], [0.7], [0.1]])
    tables = crf._state_scores(torch.float64)
    interval = scaling_interval(emissions, *(table.detach() for table in tables), crf.mixing_steps)
    assert 1 <= interval < length
    found = crf.log_partition(emissions, mask)
    expected = torch.stack([reference_partition(x, *tables) for x in real_rows(crf._of_states(emissions), mask)])
    close(found, expected)
    all_close(gradients(found, crf, emissions), gradients(expected, crf, emissions), 1e-9)
    with torch.no_grad():
        emissions *= 2
        if share > 0.9:
            assert not scaling_interval(emissions, *tables, crf.mixing_steps)


def test_minus_infinity_is_a_score():
    crf = build(labels=["a", "b", "c"])
    emissions = scores(crf, 3, 4)
    with torch.no_grad():
        emissions[0, 1, 2] = emissions[1, :, 0] = emissions[2, 2] = -math.inf
        crf.transitions[0, 1] = -math.inf
    expected = torch.stack([enumerated(crf, x, False)[1].logsumexp(0) for x in emissions])
    assert expected[2] == -math.inf
    found = crf.log_partition(emissions)
    close(found, expected)
    (grad,) = torch.autograd.grad(found[:2].sum(), emissions)
    close(grad[:2].sum(-1), torch.ones(2, 4, dtype=torch.float64))
    assert grad[0, 1, 2] == 0
    assert grad[2].eq(0).all()


def test_the_sum_of_a_gpu_is_logsumexp():
    """In a GPU's one kernel: running sums, of numbers that are far apart, and of what is impossible."""
    x = torch.randn(5, 4, 7, dtype=torch.float64) * 100
    x[0] = x[1, :, 3:] = x[2, 0, 0] = -math.inf
    close(one_kernel_logsumexp(x, -1, out=torch.empty(5, 4, dtype=torch.float64)), x.logsumexp(-1))


@pytest.mark.parametrize("log_space", [False, True], ids=["scaled", "log space"])
def test_second_derivatives_are_refused(log_space, monkeypatch):
    if log_space:
        monkeypatch.setattr("rnn_zoo.models.crf.scaling_interval", lambda *_: 0)
    crf = build()
    emissions = scores(crf)
    weight = torch.ones((), requires_grad=True)
    (grad,) = torch.autograd.grad((crf.log_partition(emissions) * weight).sum(), emissions, create_graph=True)
    with pytest.raises(RuntimeError, match="once, not twice"):
        (grad.pow(2).sum() + emissions.sum()).backward()


@pytest.mark.parametrize("function", [LogSpacePartition, ScaledPartition])
def test_gradients_are_those_of_differences(function):
    crf = build()
    lengths = torch.tensor([4, 2, 1])
    rest = (lengths, True, 2) if function is ScaledPartition else (lengths, True)
    real = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])[..., None]
    inputs = (scores(crf, 3, 4), crf.transitions, crf.start, crf.end)
    assert torch.autograd.gradcheck(lambda x, *scored: function.apply(x * real, *scored, *rest), inputs)


# Decoding


@every_scheme
@with_or_without_mask
@pytest.mark.parametrize("outside", [False, True], ids=["tags", "labels"])
def test_decoding_is_enumeration_of_legal_sequences(name, mask, outside):
    crf = build(name)
    emissions = scores(crf)
    log_marginals, max_marginals = (
        crf.log_marginals(emissions, mask, outside),
        crf.max_marginals(emissions, mask, outside),
    )
    path, best = crf.viterbi(emissions, mask, outside)
    size = len(crf.scheme.labels) if outside else crf.num_tags
    assert log_marginals.shape == max_marginals.shape == (B, T, size)
    lowest = torch.finfo(torch.float64).min
    for b, x in enumerate(real_rows(emissions.detach(), mask)):
        steps = range(T) if mask is None else mask[b].nonzero()[:, 0].tolist()
        if not steps:
            assert best[b] == 0
            continue
        paths, values = enumerated(crf, x, True)
        views = crf.scheme.to_labels(paths) if outside else paths
        close(best[b], values.max())
        assert torch.equal(path[b, steps], views[values.argmax()])
        for n, t in enumerate(steps):
            for k in range(size):
                through = values[views[:, n] == k]
                assert (max_marginals[b, t, k] == lowest) == (len(through) == 0) == (log_marginals[b, t, k] == lowest)
                if len(through):
                    close(max_marginals[b, t, k], through.max())
                    close(log_marginals[b, t, k], through.logsumexp(0) - values.logsumexp(0))
    if mask is not None:
        outside_of = ~mask.bool()
        assert path[outside_of].eq(IGNORED).all()
        assert log_marginals[outside_of].eq(0).all()
        assert max_marginals[outside_of].eq(0).all()


@every_scheme
@pytest.mark.parametrize("outside", [False, True], ids=["tags", "labels"])
@pytest.mark.parametrize("scale", [1, 1000])
def test_the_argmax_of_max_marginals_is_the_best_sequence(name, outside, scale):
    crf = build(name, LABELS)
    emissions = scores(crf, 5, 300, scale)
    mask = torch.rand(5, 300) < 0.7
    path, best = crf.viterbi(emissions, mask, outside)
    through = crf.max_marginals(emissions, mask, outside)
    relative = crf.max_marginals(emissions.float(), mask, outside, relative=True)
    assert torch.equal(through.argmax(-1)[mask], path[mask])
    assert torch.equal(crf.viterbi(emissions.float(), mask, outside)[0][mask], relative.argmax(-1)[mask])
    close(through.amax(-1)[mask], best[:, None].expand(-1, 300)[mask])
    assert relative.amax(-1).eq(0).all()
    tags, _ = crf.viterbi(emissions, mask)
    close(crf.log_likelihood(emissions, tags, mask) + crf.log_partition(emissions, mask), best)
    assert torch.equal(crf.scheme.to_labels(tags, mask), crf.viterbi(emissions, mask, outside=True)[0])


@every_scheme
@pytest.mark.parametrize("outside", [False, True], ids=["tags", "labels"])
@with_or_without_mask
def test_marginals_sum_to_one_and_are_gradients(name, outside, mask):
    crf = build(name, LABELS, constrain_training=True)
    emissions = scores(crf)
    marginals = crf.log_marginals(emissions, mask, outside).exp()
    there = torch.ones(B, T, dtype=torch.bool) if mask is None else mask.bool()
    close(marginals.sum(-1)[there], torch.ones(int(there.sum()), dtype=torch.float64))
    if not outside:
        (grad,) = torch.autograd.grad(crf.log_partition(emissions, mask).sum(), emissions)
        close(grad[there], marginals[there])
        assert grad[~there].eq(0).all()


@every_iob
@pytest.mark.parametrize("labels", SUBSETS, ids=" ".join)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_no_score_overrides_a_constraint(name, labels, dtype):
    crf = build(name, labels, scale=1e4)
    largest = torch.finfo(dtype).max
    for scale in (1.0, 1e4, largest, math.inf):
        emissions = torch.randn(8, 12, crf.num_tags, dtype=torch.float64).clamp(-1, 1)
        emissions = (emissions.sign() if math.isinf(scale) else emissions).mul(scale).nan_to_num(0.0).to(dtype)
        mask = torch.rand(8, 12) < 0.8
        tags, _ = crf.viterbi(emissions, mask)
        outside, _ = crf.viterbi(emissions, mask, outside=True)
        assert all(legal(crf, row[row != IGNORED][None]) for row in tags if row.ne(IGNORED).any())
        assert torch.equal(crf.scheme.to_labels(tags, mask), outside)
        assert torch.equal(crf.scheme.to_tags(outside, mask), tags) or name == "iob2"
        for row in outside:
            assert_iob2([labels[n] for n in row[row != IGNORED]], labels)


def assert_iob2(names, labels):
    for before, name in itertools.pairwise(["O", *names]):
        if name[0] == "I" and "B" + name[1:] in labels:
            assert before[1:] == name[1:], names


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("autocast", [False, True])
def test_sums_are_accumulated_in_higher_precision(dtype, autocast):
    crf = build("iobes", LABELS, constrain_training=True)
    emissions = scores(crf, 4, 200, 3.0).detach().to(dtype)
    tags = crf.scheme.to_tags(torch.randint(5, (4, 200)))
    exact, rounded = emissions.double(), crf.float()
    expected = [crf.log_likelihood(exact, tags), crf.log_marginals(exact), crf.max_marginals(exact)]
    emissions.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = [
            rounded.log_likelihood(emissions, tags),
            rounded.log_marginals(emissions),
            rounded.max_marginals(emissions),
        ]
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == torch.float32
        close(a, b.clamp(min=torch.finfo(torch.float32).min).float(), 1e-6)
    found[0].sum().backward()
    assert emissions.grad.dtype == dtype
    assert crf.transitions.grad.dtype == torch.float32


@pytest.mark.parametrize("autocast", [False, True])
def test_a_device_without_float64(monkeypatch, autocast):
    crf = build("iobes", LABELS, constrain_training=True)
    emissions = scores(crf, dtype=torch.float32)
    tags = crf.scheme.to_tags(torch.randint(5, (B, T)), MASK)
    expected = crf.log_likelihood(emissions, tags, MASK)
    expected_grads = gradients(expected, crf, emissions)
    decoded = [crf.max_marginals(emissions, MASK), crf.log_marginals(emissions, MASK), *crf.viterbi(emissions, MASK)]
    monkeypatch.setattr("rnn_zoo.models.crf.accumulator", lambda emissions: torch.float32)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = crf.log_likelihood(emissions, tags, MASK)
        close(found, expected, 1e-5)
        all_close(gradients(found, crf, emissions), expected_grads, 1e-5)
        found = [crf.max_marginals(emissions, MASK), crf.log_marginals(emissions, MASK), *crf.viterbi(emissions, MASK)]
        all_close(found, decoded, 1e-5)
        emissions = torch.full((2, 5, crf.num_tags), 3e38).requires_grad_()
        assert all(legal(crf, row[None]) for row in crf.viterbi(emissions)[0])


# Edges


@every_scheme
def test_a_row_without_a_step_and_infinities_under_the_mask(name):
    crf = build(name, LABELS, constrain_training=True)
    emissions = scores(crf, 2, 3).detach()
    mask = torch.tensor([[0, 0, 0], [0, 1, 1]])
    emissions[mask == 0] = math.inf
    emissions[1, 0, 0] = math.nan
    emissions.requires_grad_()
    tags = crf.scheme.to_tags(torch.full((2, 3), 1), mask)
    values = [crf.log_likelihood(emissions, tags, mask), crf.log_partition(emissions, mask)]
    for value in values:
        assert value[0] == 0
        assert value[1].isfinite()
        grads = gradients(value, crf, emissions)
        assert grads[0][mask == 0].eq(0).all()
        assert grads[0].ne(0).any()
        assert all(grad.isfinite().all() for grad in grads)
        assert all(grad.eq(0).all() for grad in gradients(value[:1], crf, emissions))
    for value in (
        crf.log_marginals(emissions, mask),
        crf.max_marginals(emissions, mask),
        *crf.viterbi(emissions, mask),
    ):
        assert value.isfinite().all()
    assert crf.viterbi(emissions, mask)[1][0] == 0


@every_scheme
@pytest.mark.parametrize("size", [(0, 3), (2, 0), (0, 0)])
def test_nothing_has_nothing(name, size):
    crf = build(name, LABELS, constrain_training=True)
    emissions, mask = scores(crf, *size), torch.ones(size)
    for given in (mask, None):
        value = crf.log_likelihood(emissions, torch.zeros(size, dtype=torch.long), given)
        assert torch.equal(value, torch.zeros(size[0], dtype=torch.float64))
        assert torch.equal(crf.log_partition(emissions, given), value)
        value.sum().backward()
        assert emissions.grad.shape == emissions.shape
        assert crf.max_marginals(emissions, given, outside=True).shape == (*size, len(LABELS))
        assert crf.log_marginals(emissions, given).shape == (*size, crf.num_tags)
        path, best = crf.viterbi(emissions, given)
        assert path.shape == size
        assert torch.equal(best, torch.zeros(size[0], dtype=torch.float64))


@pytest.mark.parametrize("length", [1, 3])
def test_one_tag_is_certain(length):
    crf = build(None, ["NOUN"], constrain_training=True)
    emissions = scores(crf, 2, length)
    tags = torch.zeros(2, length, dtype=torch.long)
    zeros = torch.zeros(2, dtype=torch.float64)
    close(crf.log_likelihood(emissions, tags), zeros)
    close(crf.log_marginals(emissions), torch.zeros(2, length, 1, dtype=torch.float64))
    path, best = crf.viterbi(emissions)
    assert torch.equal(path, tags)
    close(crf.log_partition(emissions), best)
    close(crf.max_marginals(emissions, relative=True), torch.zeros(2, length, 1, dtype=torch.float64))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda crf, x: crf.viterbi(x[..., :2]), r"emissions \(2, 3, 2\): must be \(B, T, 3\)"),
        (lambda crf, x: crf.max_marginals(x, torch.ones(2, 4)), r"mask \(2, 4\): must be \(B, T\), here \(2, 3\)"),
        (lambda crf, x: crf.log_likelihood(x, torch.zeros(2, 2)), r"tags \(2, 2\): must be \(B, T\), here \(2, 3\)"),
        (lambda crf, x: crf.log_likelihood(x, torch.full((2, 3), 3)), "tags 3: outside of 0 to 2"),
        (lambda crf, x: crf.log_likelihood(x, torch.full((2, 3), -100), MASK[:2, 2:]), "tags -100: outside of 0 to 2"),
        (lambda crf, x: crf.scheme.to_tags(torch.full((2, 3), 7)), "labels 7: outside of 0 to 2"),
        (lambda crf, x: crf.scheme.to_labels(torch.zeros(2, 3), torch.ones(2, 4)), r"mask \(2, 4\) and tags \(2, 3\)"),
        (lambda crf, x: TagScheme(["O"], "bio"), "tag scheme 'bio': unknown .choose from iob1, iob2, iobes, None"),
        (lambda crf, x: TagScheme(["O", "PER"], "iob2"), "label 'PER' .id 1. is not IOB"),
        (lambda crf, x: TagScheme(["O", "B-X", "O"], "iob2"), "label 'O' has two ids, 0 and 2"),
        (lambda crf, x: TagScheme([]), "at least one label"),
    ],
)
def test_a_wrong_input_gets_a_sentence(call, words):
    crf = build()
    with pytest.raises(ValueError, match=words):
        call(crf, scores(crf, 2, 3))


# Tag schemes


def entities(names):
    """IOB2 as conlleval reads it: (begin, end, type)."""
    found, begin = [], None
    for t, (before, name) in enumerate(itertools.pairwise(["O", *names, "O"])):
        goes_on = name[0] == "I" and before != "O" and before[1:] == name[1:]
        if begin is not None and not goes_on:
            found.append((begin, t, before[1:]))
            begin = None
        if name != "O" and not goes_on:
            begin = t
    return found


def written(spans, length, scheme):
    """Entities in a scheme, in plain Python."""
    names = ["O"] * length
    for begin, end, suffix in spans:
        follows = any(e == begin and s == suffix for _, e, s in spans)
        for t in range(begin, end):
            first, last = t == begin, t == end - 1
            letter = {
                "iob2": "B" if first else "I",
                "iob1": "B" if first and follows else "I",
                "iobes": ("S" if last else "B") if first else ("E" if last else "I"),
            }[scheme]
            names[t] = letter + suffix
    return names


@every_iob
def test_tags_are_those_of_the_scheme_and_lose_nothing(name):
    scheme, choose = TagScheme(LABELS, name), random.Random(0)
    rows = [choose.choices(range(5), k=9) for _ in range(300)]
    mask = torch.rand(300, 9) < torch.tensor([1.0, 0.7, 0.3]).repeat(100)[:, None]
    tags = scheme.to_tags(torch.tensor(rows), mask)
    labels = scheme.to_labels(tags, mask)
    for row, there, tag, label in zip(rows, mask.tolist(), tags.tolist(), labels.tolist(), strict=True):
        names = [LABELS[n] for n, m in zip(row, there, strict=True) if m]
        spans = entities(names)
        found = [scheme.tags[n] for n, m in zip(tag, there, strict=True) if m]
        assert found == written(spans, len(names), name)
        assert [LABELS[n] for n, m in zip(label, there, strict=True) if m] == written(spans, len(names), "iob2")
        assert all((n == IGNORED) != m for n, m in zip(tag, there, strict=True))


@every_iob
@pytest.mark.parametrize("labels", SUBSETS, ids=" ".join)
def test_legal_is_what_labels_can_become(name, labels):
    """Every sequence of labels has legal tags, and every legal sequence of tags is that of some labels."""
    scheme = TagScheme(labels, name)
    crf = Crf(scheme)
    length = 4
    reached = scheme.to_tags(all_paths(len(labels), length))
    assert legal(crf, reached).all()
    paths = all_paths(crf.num_tags, length)
    assert torch.equal(paths[legal(crf, paths)], reached.unique(dim=0))


@pytest.mark.parametrize("name", [None, *SCHEMES])
def test_states_mix(name):
    assert TagScheme(LABELS, name).mixing_steps in (1, 2, 3)
    assert TagScheme(["B-X"], "iob1").mixing_steps is None


def test_other_labels_have_no_scheme():
    assert are_iob(["O", "B-a-b", "I", "B", "I-"])
    assert not are_iob(["O", "NOUN"])
    assert not are_iob(["E-X"])
    scheme = TagScheme(["NOUN", "O", "B-X", "I-X"])
    assert scheme.tags == scheme.labels
    assert all(map(all, scheme.tag_legal))
    ids, mask = torch.randint(4, (3, 5)), torch.rand(3, 5) < 0.5
    assert torch.equal(scheme.to_tags(ids, mask), ids.masked_fill(~mask, IGNORED))
    assert torch.equal(scheme.to_labels(ids, mask), ids.masked_fill(~mask, IGNORED))


# Checkpoints


class CrfModel(PreTrainedModel):
    config_class = PreTrainedConfig

    def __init__(self, config):
        super().__init__(config)
        self.crf = Crf(TagScheme([config.id2label[n] for n in range(config.num_labels)], "iob1"))
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, Crf):
            module.init_weights()


def test_a_checkpoint_holds_what_was_learned_and_the_configuration_the_rest(tmp_path):
    model = CrfModel(PreTrainedConfig(id2label=dict(enumerate(LABELS))))
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    assert set(model.state_dict()) == {"crf.transitions", "crf.start", "crf.end"}
    model.save_pretrained(tmp_path)
    for dtype in (torch.float32, torch.bfloat16):
        loaded = CrfModel.from_pretrained(tmp_path, dtype=dtype)
        for name, buffer in model.named_buffers():
            assert torch.equal(loaded.get_buffer(name), buffer)
        for name, parameter in model.named_parameters():
            assert torch.equal(loaded.get_parameter(name), parameter.to(dtype))
    resized = CrfModel.from_pretrained(tmp_path, num_labels=1, id2label={0: "O"}, ignore_mismatched_sizes=True)
    assert resized.crf.transitions.tolist() == [[0]]


# Graphs


class Decoder(nn.Module):
    def __init__(self, crf, *methods):
        super().__init__()
        self.crf = crf
        self.methods = methods

    def forward(self, emissions, mask=None):
        return tuple(getattr(self.crf, method)(emissions, mask, True) for method in self.methods)


def flat(outputs):
    return [x for output in outputs for x in (output if isinstance(output, tuple) else (output,))]


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")  # of torch's own export code
@pytest.mark.parametrize(("name", "masked"), [("iob1", True), ("iobes", False)])
def test_decoding_can_be_exported(name, masked):
    crf = build(name, LABELS).float()
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    inputs = {"emissions": torch.randn(3, 7, crf.num_tags)} | ({"mask": torch.ones(3, 7).long()} if masked else {})
    decoder = Decoder(crf, "viterbi", *(("max_marginals", "log_marginals") if masked else ()))
    program = torch.export.export(decoder, (), inputs, dynamic_shapes=dict.fromkeys(inputs, free))
    if not masked:
        file = io.BytesIO()
        torch.export.save(program, file)
        file.seek(0)
        program = torch.export.load(file)
    for rows, length in [(3, 7), (5, 12), (2, 3), (1, 1), (1, 30), (4, 1)]:
        inputs = {"emissions": torch.randn(rows, length, crf.num_tags)}
        if masked:
            inputs["mask"] = (torch.rand(rows, length) < 0.7).long()
        for a, b in zip(flat(program.module()(**inputs)), flat(decoder(**inputs)), strict=True):
            close(a, b, 1e-6)


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("backend", "name"), [("eager", None), ("aot_eager", "iob1")])
def test_the_loss_and_decoding_compile(backend, name):
    crf = build(name, LABELS, constrain_training=True)
    emissions, labels = scores(crf), torch.randint(5, (B, T))

    def loss(emissions, labels, mask):
        return crf.log_likelihood(emissions, crf.scheme.to_tags(labels, mask), mask)

    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    found, expected = compiled(emissions, labels, MASK), loss(emissions, labels, MASK)
    close(found, expected)
    all_close(gradients(found, crf, emissions), gradients(expected, crf, emissions))
    decoder = Decoder(crf, "viterbi", "max_marginals", "log_marginals")
    compiled = torch.compile(decoder, fullgraph=True, backend=backend)
    for a, b in zip(flat(compiled(emissions, MASK)), flat(decoder(emissions, MASK)), strict=True):
        close(a, b)


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")
def test_one_compiled_graph_serves_every_length():
    crf, graphs = build("iobes", LABELS), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    torch.compiler.reset()
    compiled = torch.compile(crf.log_likelihood, fullgraph=True, backend=backend, dynamic=True)
    for length in (3, 5, 8):
        emissions = scores(crf, 2, length)
        tags = crf.scheme.to_tags(torch.randint(5, (2, length)))
        found, expected = compiled(emissions, tags), crf.log_likelihood(emissions, tags)
        close(found, expected)
        all_close(gradients(found, crf, emissions), gradients(expected, crf, emissions))
    assert len(graphs) == 1
