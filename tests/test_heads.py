"""What is promised of every head, proved with the toy example of each task (`toy_heads.py`)."""

import copy

import pytest
import torch
import transformers
from conftest import V, random_ids
from toy_heads import TOY_HEADS, build

from rnn_zoo.tasks import TASKS

LENGTHS = (7, 4, 1)


def close(actual, expected, tolerance=1e-10):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def rows_of(*lengths: int) -> list[torch.Tensor]:
    return [random_ids(length) for length in lengths]


def gradients(model) -> dict[str, torch.Tensor]:
    found = {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    return found


def test_every_task_has_an_example():
    assert TOY_HEADS.keys() == {name for name, task in TASKS.items() if task.package.startswith("rnn_zoo.")}


def a_padded_row_is_the_row_alone(task, folder, side="right"):
    """Its scores; and the loss and the gradients of a batch are the sums of those of its rows, as accumulated."""
    model, example, rows = build(task).eval(), TOY_HEADS[task], rows_of(*LENGTHS)
    batch = example.batch(rows, side)
    together = model(**batch)
    count = torch.tensor(float((batch["labels"] != -100).sum()))
    model(**batch, num_items_in_batch=count).loss.backward()
    expected, total = gradients(model), 0.0
    for n, row in enumerate(rows):
        alone = example.batch([row])
        outputs = model(**alone)
        if outputs.logits.dim() == 3 and batch["labels"].shape == batch["input_ids"].shape:
            real = slice(0, len(row)) if side == "right" else slice(batch["input_ids"].shape[1] - len(row), None)
            close(together.logits[n, real], outputs.logits[0])
        else:
            close(together.logits[n], outputs.logits[0])
        loss = model(**alone, num_items_in_batch=count).loss
        loss.backward()
        total += loss.item()
    assert total == pytest.approx(model(**batch, num_items_in_batch=count).loss.item(), abs=1e-5)
    for name, gradient in gradients(model).items():
        close(gradient, expected[name], 1e-5)


def labels_that_do_not_count_give_no_loss_and_no_gradient(task, folder):
    model = build(task).train()
    batch = TOY_HEADS[task].batch(rows_of(*LENGTHS))
    loss = model(**batch | {"labels": torch.full_like(batch["labels"], -100)}).loss
    loss.backward()
    assert loss.item() == 0
    assert all(gradient.eq(0).all() for gradient in gradients(model).values())


def one_batch_is_learnt(task, folder):
    model, batch = build(task).train(), TOY_HEADS[task].batch(rows_of(*LENGTHS))
    before = model(**batch).loss.item()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(30):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    assert model(**batch).loss.item() < before / 2


def gradient_checkpointing_changes_no_gradient(task, folder):
    model, batch = build(task).train(), TOY_HEADS[task].batch(rows_of(*LENGTHS))
    model(**batch).loss.backward()
    expected = gradients(model)
    model.gradient_checkpointing_enable()
    model(**batch).loss.backward()
    for name, gradient in gradients(model).items():
        close(gradient, expected[name])


def it_is_saved_opened_and_copied(task, folder):
    model, batch = build(task).float().eval(), TOY_HEADS[task].batch(rows_of(*LENGTHS))
    expected = model(**batch)
    model.save_pretrained(folder)
    opened = getattr(transformers, TASKS[task].auto_class).from_pretrained(folder)
    assert type(opened) is TASKS[task].model_class
    for other in (opened, copy.deepcopy(model)):
        close(other(**batch).logits, expected.logits, 1e-6)
        close(other(**batch).loss, expected.loss, 1e-6)


def half_size_weights_are_near(task, folder):
    model, batch = build(task, initializer_range=0.3).float().eval(), TOY_HEADS[task].batch(rows_of(*LENGTHS))
    with torch.no_grad():
        expected, found = model(**batch), copy.deepcopy(model).bfloat16()(**batch)
    assert found.loss.isfinite()
    close(found.loss.float(), expected.loss, 0.1)


def ids_outside_the_vocabulary_are_named(task, folder):
    batch = TOY_HEADS[task].batch(rows_of(*LENGTHS))
    for wrong in (V, -1):
        ids = batch["input_ids"].clone()
        ids[0, 0] = wrong
        with pytest.raises(IndexError, match=str(wrong)):
            build(task)(**batch | {"input_ids": ids})


def a_row_padded_on_the_left_is_the_row_alone(task, folder):
    a_padded_row_is_the_row_alone(task, folder, "left")


PROMISES = (
    a_padded_row_is_the_row_alone,
    labels_that_do_not_count_give_no_loss_and_no_gradient,
    one_batch_is_learnt,
    gradient_checkpointing_changes_no_gradient,
    it_is_saved_opened_and_copied,
    half_size_weights_are_near,
    ids_outside_the_vocabulary_are_named,
    a_row_padded_on_the_left_is_the_row_alone,
)


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("task", TOY_HEADS)
def test_every_head_keeps(task, promise, tmp_path):
    promise(task, tmp_path)
