"""The contract battery: what every cell of the registry must keep, whatever its recurrence.

A test file applies it to a cell by a subclass with a fixture `cell_type`, the cell's name in `CELLS`.

Float64 takes torch's plain kernels and float32 the fused ones (oneDNN, for the LSTM), so what is promised for a
sequence is tested in both.
"""

import pytest
import torch
from conftest import BOS, EOS, PAD, UNK, T, pad_rows, random_ids, tiny_config
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from toy_heads import TOY_HEADS
from toy_heads import build as toy_head
from transformers import AutoModelForCausalLM

from rnn_zoo import CELLS, GenerationStream, RnnForCausalLM
from rnn_zoo.models.recurrent_cell import SHARES, RecurrentCell

B, D, H = 7, 5, 8
NEW = 6  # tokens that are generated

MASK = torch.tensor(
    [
        [1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 1, 1, 1, 1],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 0, 1, 1, 0, 0, 1],
        [0, 1, 1, 0, 0, 1, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ],
    dtype=torch.bool,
)
both_kernels = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
with_or_without_state = pytest.mark.parametrize("given", [True, False], ids=["state", "zeros"])
with_or_without_mask = pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "mask"])


def close(actual, expected):
    tolerance = 1e-12 if expected.dtype == torch.float64 else 2e-5
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def close_all(actual, expected):
    for a, b in zip(actual, expected, strict=True):
        close(a, b)


def build(name, dtype=torch.float64, **options):
    """A cell whose parameters, biases too, are all different from 0."""
    cell = CELLS[name](D, H, **options).to(dtype)
    for parameter in cell.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    return cell


def inputs(cell, rows=B, given=True):
    """`x (B, T, D)` and a state of numbers, or none."""
    dtype = next(cell.parameters()).dtype
    x = torch.randn(rows, T, D, dtype=dtype, requires_grad=True)
    shapes = cell.state_shapes() if given else ()
    return x, tuple(torch.randn(rows, *shape, dtype=dtype).mul(0.5).requires_grad_() for shape in shapes) or None


def weighted(tensors, seed=1):
    """A scalar to which every element contributes with a weight of its own."""
    generator = torch.Generator().manual_seed(seed)
    return sum((t * torch.randn(t.shape, generator=generator).to(t.dtype)).sum() for t in tensors)


def with_gradients(cell, x, state, results):
    """`results = y, last state` -> y, the states, and the gradients of a number made of them all."""
    y, last = results
    leaves = [x, *(state or ()), *cell.parameters()]
    return [y, *last, *torch.autograd.grad(weighted([y, *last]), leaves)]


def plain_loop(cell, x, state, mask=None):
    """The reference to which every faster way is equal."""
    return RecurrentCell.sequence(cell, x, cell.initial_state(x) if state is None else state, mask)


def row_by_row(cell, x, state, mask):
    """Each row's real steps alone; zeros elsewhere."""
    ys, lasts = x.new_zeros(*x.shape[:2], H), []
    for b, real in enumerate(mask):
        y, last = cell(x[b : b + 1, real], None if state is None else tuple(s[b : b + 1] for s in state))
        ys[b, real] = y[0]
        lasts.append(last)
    return ys, tuple(torch.cat(rows) for rows in zip(*lasts, strict=True))


def lively(cell):
    """A language model whose weights are large enough for its choices to depend on the whole text; nothing stops it."""
    model = RnnForCausalLM(tiny_config(cell_type=cell, initializer_range=2.0)).double().eval()
    model.lm_head.bias.data[[PAD, BOS, EOS, UNK]] = -1e4  # never written, so that no text looks padded
    return model


class CellContract:
    """Tests of one cell, given by the fixture `cell_type`."""

    @both_kernels
    @with_or_without_state
    @with_or_without_mask
    def test_the_fast_way_is_the_plain_loop(self, cell_type, dtype, given, mask):
        """Outputs, last state and gradients; without gradients as with them."""
        cell = build(cell_type, dtype)
        x, state = inputs(cell, given=given)
        got = with_gradients(cell, x, state, cell(x, state, mask))
        close_all(got, with_gradients(cell, x, state, plain_loop(cell, x, state, mask)))
        with torch.no_grad():
            y, last = cell(x, state, mask)
        close_all([y, *last], got[: 1 + len(last)])

    @both_kernels
    @with_or_without_state
    def test_a_masked_row_is_the_row_alone(self, cell_type, dtype, given):
        """Padding on the left, on the right, between, and a row of nothing else: outputs, state and gradients."""
        cell = build(cell_type, dtype)
        x, state = inputs(cell, given=given)
        got = with_gradients(cell, x, state, cell(x, state, MASK))
        close_all(got, with_gradients(cell, x, state, row_by_row(cell, x, state, MASK)))
        y, x_grad = got[0], got[1 + len(cell.state_names)]
        assert y[~MASK].eq(0).all()
        assert x_grad[~MASK].eq(0).all()
        assert x_grad[MASK].ne(0).any()

    @pytest.mark.parametrize("value", [1e3, float("inf"), float("nan")])
    def test_what_stands_under_the_mask_does_not_count(self, cell_type, value):
        cell = build(cell_type)
        x, state = inputs(cell)
        filled = torch.where(MASK[..., None], x, value).detach().requires_grad_()
        got = with_gradients(cell, filled, state, cell(filled, state, MASK))
        close_all(got, with_gradients(cell, x, state, cell(x, state, MASK)))

    def test_halves_with_the_state_carried_are_the_whole(self, cell_type):
        cell = build(cell_type)
        x, state = inputs(cell)
        first, middle = cell(x[:, :3], state)
        second, last = cell(x[:, 3:], middle)
        got = with_gradients(cell, x, state, (torch.cat([first, second], 1), last))
        close_all(got, with_gradients(cell, x, state, cell(x, state)))

    @both_kernels
    def test_a_step_is_the_sequence(self, cell_type, dtype):
        cell = build(cell_type, dtype)
        x, state = inputs(cell)
        y, last = cell(x[:, :1], state)
        with torch.no_grad():
            y_alone, last_alone = cell(x[:, :1], state)
            y_step, last_step = cell.step(x[:, 0], state)
        close_all([y_alone, *last_alone], [y, *last])
        close_all([y_step[:, None], *last_step], [y, *last])

    @pytest.mark.parametrize("shape", [(0, T), (B, 0), (0, 0)])
    def test_what_is_empty_has_gradients_of_0(self, cell_type, shape):
        cell = build(cell_type)
        x = torch.randn(*shape, D, dtype=torch.float64, requires_grad=True)
        state = tuple(s.requires_grad_() for s in cell.initial_state(x))
        y, last = cell(x, state, torch.ones(shape, dtype=torch.bool))
        assert y.shape == (*shape, H)
        assert all(map(torch.equal, last, state))
        for grad in torch.autograd.grad(y.sum(), [x, *state, *cell.parameters()]):
            assert grad.eq(0).all()

    def test_recurrent_weights_are_dropped_once_a_call_or_dropout_is_refused(self, cell_type):
        if not CELLS[cell_type].recurrent_weights:
            with pytest.raises(ValueError, match=r"recurrent_weight_dropout=0\.5: .*needed is 0"):
                build(cell_type, recurrent_weight_dropout=0.5)
            with pytest.raises(StrictDataclassError, match=r"recurrent_weight_dropout=0\.5: .*needed is 0"):
                tiny_config(cell_type=cell_type, recurrent_weight_dropout=0.5)
            return
        cell = build(cell_type, recurrent_weight_dropout=0.5)
        x, state = inputs(cell)
        results = []
        for way in (cell, lambda *args: plain_loop(cell, *args), cell):
            torch.manual_seed(len(results) // 2)
            results.append(with_gradients(cell, x, state, way(x, state, MASK)))
        dropped, by_loop, others = results
        close_all(dropped, by_loop)
        assert not torch.allclose(dropped[0], others[0])
        names = [name for name, _ in cell.named_parameters()]
        grads = dict(zip(names, dropped[-len(names) :], strict=True))
        for name in cell.recurrent_weights:  # of the entries dropped, the gradient is exactly 0
            assert 0.2 < grads[name].eq(0).double().mean() < 0.95
        whole = build(cell_type)
        whole.load_state_dict(cell.state_dict())
        assert torch.equal(cell.eval()(x, state, MASK)[0], whole(x, state, MASK)[0])

    @pytest.mark.parametrize("share", [share for share in SHARES if share != "recurrent_weight_dropout"])
    def test_a_share_is_dropped_or_kept_or_refused(self, cell_type, share):
        refusal = CELLS[cell_type].refusal_of({share: 0.5})
        if refusal:
            for build_it in (build, lambda name, **shares: tiny_config(cell_type=name, **shares)):
                with pytest.raises((ValueError, StrictDataclassError), match=rf"{share}=0\.5: .*needed is 0"):
                    build_it(cell_type, **{share: 0.5})
            return
        cell, whole = build(cell_type, **{share: 0.5}), build(cell_type)
        whole.load_state_dict(cell.state_dict())
        x, state = inputs(cell)
        drawn = [with_gradients(cell, x, state, cell(x, state, MASK)) for _ in range(2)]
        assert all(t.isfinite().all() for t in drawn[0])
        assert not torch.allclose(drawn[0][0], drawn[1][0])
        y, last = cell.eval()(x, state, MASK)
        expected, _ = whole(x, state, MASK)
        assert torch.allclose(y, expected) != ("zoneout" in share)
        alone = row_by_row(cell, x, state, MASK)
        close_all(with_gradients(cell, x, state, (y, last)), with_gradients(cell, x, state, alone))

    def test_bf16_autocast_runs_on_a_cpu(self, cell_type):
        cell = build(cell_type, torch.float32)
        x, state = inputs(cell)
        with torch.autocast("cpu", torch.bfloat16):
            results = with_gradients(cell, x, state, cell(x.to(torch.bfloat16), state, MASK))
        assert all(t.isfinite().all() for t in results)
        torch.testing.assert_close(results[0], cell(x, state, MASK)[0], rtol=0.05, atol=0.05, check_dtype=False)

    @pytest.mark.parametrize("recurrent_init", ["orthogonal", "uniform"])
    def test_init_fills_what_no_checkpoint_has_filled(self, cell_type, recurrent_init):
        names = [name for name, _ in build(cell_type).named_parameters()]
        for loaded in [None, *names]:
            cell = build(cell_type)
            for name, parameter in cell.named_parameters():
                if name == loaded:
                    parameter._is_hf_initialized = True
                else:
                    parameter.data.fill_(float("nan"))
            before = {name: parameter.clone() for name, parameter in cell.named_parameters()}
            cell.init_weights(forget_gate_bias=1.0, recurrent_init=recurrent_init)
            assert all(parameter.isfinite().all() for parameter in cell.parameters())
            assert loaded is None or torch.equal(cell.get_parameter(loaded), before[loaded])

    @pytest.mark.ci
    @pytest.mark.filterwarnings("ignore")  # of torch's own export code
    def test_an_exported_cell_takes_any_batch_and_length(self, cell_type):
        cell = build(cell_type).eval().requires_grad_(False)
        x, state = inputs(cell)
        rows, steps = torch.export.Dim("rows"), torch.export.Dim("steps")
        free = ({0: rows, 1: steps}, tuple({0: rows} for _ in state), {0: rows, 1: steps})
        program = torch.export.export(cell, (x, state, MASK), dynamic_shapes=free).module()
        for size in [(B, T), (2, 11), (1, 1)]:
            mask = torch.rand(size) > 0.3
            x = torch.randn(*size, D, dtype=torch.float64)
            state = tuple(torch.randn(size[0], *shape, dtype=torch.float64) for shape in cell.state_shapes())
            y, last = program(x, state, mask)
            expected, expected_last = plain_loop(cell, x, state, mask)
            close_all([y, *last], [expected, *expected_last])

    def test_a_compiled_cell_is_one_graph(self, cell_type):
        cell = build(cell_type)
        x, state = inputs(cell)
        torch.compiler.reset()
        compiled = torch.compile(cell, backend="eager", fullgraph=True)
        got = with_gradients(cell, x, state, compiled(x, state, MASK))
        close_all(got, with_gradients(cell, x, state, cell(x, state, MASK)))

    @pytest.mark.parametrize("task", TOY_HEADS)
    def test_every_head_trains(self, cell_type, task):
        rows = [random_ids(n) for n in (T, 4, 1)]
        self.check_training(toy_head(task, cell_type=cell_type).train(), TOY_HEADS[task].batch(rows, "left"))

    def test_a_translator_trains(self, cell_type):
        """All its steps at once, without input feeding."""
        model = toy_head("translation", cell_type=cell_type, input_feeding=False)
        self.check_training(model.train(), TOY_HEADS["translation"].batch([random_ids(n) for n in (T, 4, 1)]))

    @staticmethod
    def check_training(model, batch):
        """The loss falls, and every parameter has a share in it."""
        loss = model(**batch).loss
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.ne(0).any() for p in model.parameters())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 1e-3 * parameter.grad
        assert model(**batch).loss < loss

    def test_a_checkpoint_is_loaded(self, cell_type, tmp_path):
        model, ids = lively(cell_type), random_ids(3, T)
        model.save_pretrained(tmp_path)
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
        assert loaded.config.cell_type == cell_type
        close(loaded(ids).logits, model(ids).logits)

    @pytest.mark.parametrize("rows", [(T, T), (T, 4, 1)], ids=["full", "padded on the left"])
    @pytest.mark.parametrize("num_beams", [1, 3])
    def test_what_is_generated_with_the_state_is_what_is_without(self, cell_type, rows, num_beams):
        model, rows = lively(cell_type), [random_ids(n) for n in rows]
        ids, mask = pad_rows(rows, "left")
        options = {"max_new_tokens": NEW, "do_sample": False, "num_beams": num_beams, "pad_token_id": PAD}
        new = model.generate(ids, attention_mask=mask, **options)[:, ids.shape[1] :]
        for row, prompt in zip(new, rows, strict=True):
            alone = model.generate(prompt[None], use_cache=False, **options)[0, len(prompt) :]
            assert torch.equal(row, alone)

    def test_a_stream_goes_on_token_by_token(self, cell_type):
        model, ids = lively(cell_type), random_ids(1, T)
        expected = model.generate(ids, max_new_tokens=3 * NEW, do_sample=False, pad_token_id=PAD)[0, T:]
        stream = GenerationStream(model, do_sample=False)
        stream.read(ids)
        assert torch.equal(torch.cat([next(stream) for _ in range(3 * NEW)]), expected)
