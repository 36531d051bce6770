"""Adversarial training and averaged weights: their equations, and that nothing else changes."""

import pytest
import torch
from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

from rnn_zoo import RnnConfig, RnnForSequenceClassification
from rnn_zoo.models.pooling import POOLINGS
from rnn_zoo.tokenizers import build_wordpunct_tokenizer
from rnn_zoo.training.fine_tuning import fine_tuning_parts
from rnn_zoo.training.keys import RegularizationArguments
from rnn_zoo.training.regularization import adversarial_perturbation
from rnn_zoo.training.run_trainer import RunTrainer

TEXTS = ["a fine film .", "dull", "यह कहानी अच्छी है", "not so bad , not so good"] * 4
LABELS = [1, 0, 1, 0] * 4
EPSILON = 0.1


def make_model(**settings) -> RnnForSequenceClassification:
    torch.manual_seed(0)
    ids = {"vocab_size": 40, "pad_token_id": 0, "unk_token_id": 1}
    sizes = {"hidden_size": 6, "embedding_size": 5, "bidirectional": True, "initializer_range": 0.5}
    return RnnForSequenceClassification(RnnConfig(**ids | sizes | settings))


def make_trainer(folder, model, *, steps=4, callbacks=(), **regularization) -> RunTrainer:
    words = build_wordpunct_tokenizer(TEXTS)
    rows = [words(text) | {"labels": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    args = TrainingArguments(
        str(folder),
        max_steps=steps,
        per_device_train_batch_size=4,
        learning_rate=0.05,
        report_to="none",
        save_strategy="no",
        eval_strategy="steps",
        eval_steps=2,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    return RunTrainer(
        model,
        args,
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=DataCollatorWithPadding(words),
        callbacks=list(callbacks),
        parts=fine_tuning_parts(None, RegularizationArguments(**regularization)),
    )


def a_batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(2, 40, (3, 7), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(7) < torch.tensor([7, 4, 1])[:, None]).long()
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([0, 1, 1])}


# ---- adversarial training ----
def test_a_perturbation_has_its_length_and_direction():
    chance = torch.Generator().manual_seed(0)
    x, gradient = torch.randn(3, 5, 4, generator=chance), torch.randn(3, 5, 4, generator=chance)
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[1, 2:] = False
    gradient[2] = 0
    moved = adversarial_perturbation(x, gradient, mask, EPSILON)
    assert (moved[1, 2:] == 0).all()
    assert (moved[2] == 0).all()
    for row, steps in ((0, 5), (1, 2)):
        torch.testing.assert_close(moved[row].norm(), EPSILON * x[row, :steps].norm())
        directions = [t[row, :steps].flatten() for t in (moved, gradient)]
        torch.testing.assert_close(torch.cosine_similarity(*directions, dim=0), torch.tensor(1.0))
    torch.testing.assert_close(adversarial_perturbation(x, gradient * 1e6, mask, EPSILON), moved)  # its scale is lost
    gradient[0, 0, 0] = float("inf")
    moved[0] = 0
    torch.testing.assert_close(adversarial_perturbation(x, gradient, mask, EPSILON), moved)


def test_in_half_precision_the_gradient_is_that_of_the_scaled_loss(tmp_path, monkeypatch):
    """Unscaled it would be too small for half precision. The scale changes neither the loss nor the gradients."""
    model, seen = make_model().train(), []
    trainer = make_trainer(tmp_path, model, adversarial_epsilon=EPSILON)
    monkeypatch.setattr(
        "rnn_zoo.training.regularization.adversarial_perturbation",
        lambda x, gradient, *others: seen.append(gradient) or adversarial_perturbation(x, gradient, *others),
    )
    losses = []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=1024.0)):
        trainer.accelerator.scaler = scaler
        losses.append(trainer.compute_loss(model, a_batch()))
    torch.testing.assert_close(seen[1], 1024 * seen[0])
    torch.testing.assert_close(losses[1], losses[0])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_loss_is_the_mean_of_both(tmp_path, pooling):
    """Against equation 5 written out over `inputs_embeds`, with gradients."""
    model = make_model(pooling=pooling).train()
    trainer = make_trainer(tmp_path, model, adversarial_epsilon=EPSILON)
    batch = a_batch()
    loss = trainer.compute_loss(model, dict(batch))
    loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters()}

    model.zero_grad()
    others = {name: batch[name] for name in ("attention_mask", "labels")}
    x = model.model.embed_tokens(batch["input_ids"])
    plain = model(inputs_embeds=x, **others).loss
    (g,) = torch.autograd.grad(plain, x, retain_graph=True)
    real = x.detach() * batch["attention_mask"][..., None]
    r = torch.stack([EPSILON * real[n].norm() * g[n] / g[n].norm() for n in range(3)])
    moved = model(inputs_embeds=x + r, **others).loss
    assert moved > plain
    expected = (plain + moved) / 2
    expected.backward()
    torch.testing.assert_close(loss, expected)
    for name, p in model.named_parameters():
        torch.testing.assert_close(found[name], p.grad, msg=lambda text, name=name: f"{name}: {text}")


def test_both_passes_drop_the_same(tmp_path):
    """With a perturbation of no length they are one pass, whatever is dropped; random numbers go on as there."""
    dropouts = ("word_dropout", "embedding_dropout", "input_dropout", "output_dropout", "classifier_dropout")
    model = make_model(num_hidden_layers=2, hidden_dropout=0.5, **dict.fromkeys(dropouts, 0.5)).train()
    trainer = make_trainer(tmp_path, model, adversarial_epsilon=1e-12)
    torch.manual_seed(3)
    once = model(**a_batch()).loss
    following = torch.rand(1)
    torch.manual_seed(3)
    torch.testing.assert_close(trainer.compute_loss(model, a_batch()), once)
    assert torch.equal(torch.rand(1), following)


def test_frozen_embeddings_are_no_obstacle(tmp_path):
    model = make_model().train()
    model.model.requires_grad_(False)
    trainer = make_trainer(tmp_path, model, adversarial_epsilon=EPSILON)
    trainer.compute_loss(model, a_batch()).backward()
    assert model.classifier.weight.grad.norm() > 0
    assert model.model.embed_tokens.weight.grad is None


def test_documents_in_sentences_are_moved_as_well(tmp_path):
    model = make_model(hierarchical=True, pooling="attention", sentence_end_token_ids=[5]).train()
    trainer = make_trainer(tmp_path, model, adversarial_epsilon=EPSILON)
    batch = a_batch() | {"input_ids": a_batch()["input_ids"].index_fill(1, torch.tensor([2]), 5)}
    assert trainer.compute_loss(model, dict(batch)) > model(**batch).loss


def test_evaluation_is_plain_and_no_hook_stays(tmp_path):
    model = make_model().train()
    trainer = make_trainer(tmp_path, model, adversarial_epsilon=EPSILON)
    trainer.compute_loss(model, a_batch())
    assert not model.model.stack._forward_pre_hooks
    model.eval()
    torch.testing.assert_close(trainer.compute_loss(model, a_batch()), model(**a_batch()).loss)


def test_without_keys_it_is_a_plain_trainer(tmp_path):
    trained = []
    for kind in (Trainer, RunTrainer):
        trainer = make_trainer(tmp_path, make_model(input_dropout=0.3))
        if kind is Trainer:
            trainer = Trainer(
                trainer.model, trainer.args, trainer.data_collator, trainer.train_dataset, trainer.eval_dataset
            )
        trainer.train()
        trained.append(trainer.model.state_dict())
    assert all(torch.equal(trained[0][name], tensor) for name, tensor in trained[1].items())


# ---- averaged weights ----
class Weights(TrainerCallback):
    """The weights after each step, and those in the model around and inside evaluations."""

    def __init__(self):
        self.after_steps, self.in_evaluation = [], []

    @staticmethod
    def copy(model):
        return {name: p.detach().clone() for name, p in model.named_parameters()}

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.after_steps.append(self.copy(model))

    def on_prediction_step(self, args, state, control, model=None, **kwargs):
        self.in_evaluation.append((state.global_step, self.copy(model)))

    def on_evaluate(self, args, state, control, model=None, **kwargs):
        for name, tensor in self.after_steps[-1].items():  # its own weights are there again
            assert torch.equal(tensor, dict(model.named_parameters())[name])


def average(weights: list[dict[str, torch.Tensor]], decay: float) -> dict[str, torch.Tensor]:
    """Σ β^(t-n) θ_n / Σ β^(t-n)"""
    shares = [decay ** (len(weights) - n) for n in range(1, len(weights) + 1)]
    sums = {name: sum(s * w[name].double() for s, w in zip(shares, weights, strict=True)) for name in weights[0]}
    return {name: tensor / sum(shares) for name, tensor in sums.items()}


@pytest.mark.parametrize("decay", [0.3, 0.95])
def test_what_is_evaluated_and_left_is_the_average(tmp_path, decay):
    notes = Weights()
    trainer = make_trainer(tmp_path, make_model(), steps=6, callbacks=[notes], weight_averaging=decay)
    trainer.train()
    assert {step for step, _ in notes.in_evaluation} == {2, 4, 6}
    for step, found in [*notes.in_evaluation, (6, Weights.copy(trainer.model))]:
        expected = average(notes.after_steps[:step], decay)
        for name, tensor in found.items():
            torch.testing.assert_close(tensor.double(), expected[name], atol=1e-6, rtol=1e-5)
    last = notes.after_steps[-1]
    assert any(not torch.allclose(last[name].double(), tensor) for name, tensor in expected.items())
    trained = Weights.copy(trainer.model)
    trainer.remove_callback(notes)
    trainer.evaluate()  # after training too
    assert all(torch.equal(trained[name], p) for name, p in trainer.model.named_parameters())
