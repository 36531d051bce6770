"""Truncated back-propagation: the trainer against a loop written out by hand, and its promises about state."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from conftest import ONE_OF_EACH_KIND
from packaging.version import Version
from torch.nn import functional as F
from transformers import EvalPrediction, TrainerCallback, TrainingArguments

from rnn_zoo import RnnConfig, RnnForCausalLM, TokenStream, TruncatedBpttTrainer
from rnn_zoo.data.token_stream import LaneDataset
from rnn_zoo.tasks.causal_lm.run import mean_over_tokens
from rnn_zoo.training.divergence import FiniteTrainer
from rnn_zoo.training.truncated_bptt import likelihood_measures

VOCAB, LANES, BPTT = 13, 8, 5


def stream(length: int = 403, seed: int = 0) -> TokenStream:
    generator = torch.Generator().manual_seed(seed)
    return TokenStream(torch.randint(4, VOCAB, (length,), generator=generator, dtype=torch.int32), length)


def model(cell_type: str = "lstm", **overrides) -> RnnForCausalLM:
    torch.manual_seed(0)
    return RnnForCausalLM(
        RnnConfig(vocab_size=VOCAB, hidden_size=8, num_hidden_layers=2, cell_type=cell_type, **overrides)
    )


def arguments(folder: Path, batch: int = LANES, **overrides) -> TrainingArguments:
    settings = {
        "max_steps": 6,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "ddp_find_unused_parameters": False,
        "disable_tqdm": True,
        "use_cpu": True,
    }
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=batch,
        per_device_eval_batch_size=2,
        **{**settings, **overrides},
    )


def train(folder: Path, a_model=None, resume=None, callbacks=None, **overrides) -> TruncatedBpttTrainer:
    a_model = a_model or model()
    trainer = TruncatedBpttTrainer(
        a_model, arguments(folder, **overrides), stream(), stream(97, seed=1), bptt_length=BPTT, callbacks=callbacks
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def losses(trainer) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("cell_type", ONE_OF_EACH_KIND)
def test_training_equals_a_loop_written_out_by_hand(cell_type, tmp_path):
    """Two epochs and a bit: state carried, detached, zero where the lanes begin again; every target counted."""
    text, by_hand = stream(), model(cell_type)
    lane_length = math.ceil((len(text) - 1) / LANES)
    inputs = F.pad(text.input_ids[:-1].long(), (0, LANES * lane_length - 402)).view(LANES, -1)
    targets = F.pad(text.input_ids[1:].long(), (0, LANES * lane_length - 402), value=-100).view(LANES, -1)
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=1e-2, weight_decay=0)
    expected, steps = [], 2 * math.ceil(lane_length / BPTT) + 3
    state, place = None, 0
    for _ in range(steps):
        if place >= lane_length:
            state, place = None, 0
        chunk = slice(place, place + BPTT)
        output = by_hand(inputs[:, chunk], cache_params=state, use_cache=True)
        loss = F.cross_entropy(output.logits.flatten(0, 1), targets[:, chunk].flatten(), ignore_index=-100)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(by_hand.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        expected.append(loss.item())
        state, place = output.cache_params.detach(), place + BPTT

    trained = train(tmp_path, model(cell_type), max_steps=steps)
    assert losses(trained) == pytest.approx(expected, abs=1e-5)


def test_the_state_matters(tmp_path):
    """The promise above would hold for a text without memory too, so: without the carried state the losses differ."""

    class Forget(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            forgetful._states = [None]

    carried = train(tmp_path)
    forgetful = TruncatedBpttTrainer(model(), arguments(tmp_path), stream(), bptt_length=BPTT, callbacks=[Forget()])
    forgetful.train()
    assert losses(carried)[0] == losses(forgetful)[0]
    assert losses(carried)[1:] != pytest.approx(losses(forgetful)[1:], abs=1e-5)


@pytest.mark.ci
@pytest.mark.parametrize("micro_batches", [2, 4])
def test_accumulation_equals_one_batch(micro_batches, tmp_path):
    whole = train(tmp_path)
    parts = train(tmp_path, batch=LANES // micro_batches, gradient_accumulation_steps=micro_batches)
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-5)
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.ci
@pytest.mark.parametrize("stop_at", [4, 13])  # in the first epoch (11 steps long), and in the second
def test_stopped_and_resumed_equals_never_stopped(stop_at, tmp_path):
    """To the bit, with dropout, accumulation and a schedule."""

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_save = control.should_training_stop = state.global_step == stop_at

    settings = {
        "batch": LANES // 2,
        "gradient_accumulation_steps": 2,
        "max_steps": 16,
        "save_strategy": "steps",
        "save_steps": 100,
        "lr_scheduler_type": "cosine",
    }
    dropouts = {"hidden_dropout": 0.3, "recurrent_weight_dropout": 0.2, "embedding_dropout": 0.1}
    never = train(tmp_path / "never", model(**dropouts), **settings)
    train(tmp_path / "stopped", model(**dropouts), callbacks=[Stop()], **settings)
    checkpoint = str(tmp_path / "stopped" / f"checkpoint-{stop_at}")
    torch.manual_seed(99)  # a new process begins with another generator state
    resumed = train(tmp_path / "stopped", model(**dropouts), resume=checkpoint, **settings)
    assert losses(resumed)[stop_at:] == losses(never)[stop_at:]
    for a, b in zip(never.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.ci
def test_resuming_with_other_lanes_is_refused(tmp_path):
    train(tmp_path, save_strategy="steps", save_steps=3, max_steps=3)
    with pytest.raises(ValueError, match="per_device_train_batch_size"):
        train(tmp_path, batch=4, resume=str(tmp_path / "checkpoint-3"))


def test_resuming_without_carried_state_is_refused(tmp_path):
    train(tmp_path, save_strategy="steps", save_steps=3, max_steps=3)
    (tmp_path / "checkpoint-3" / "carried_state-0.safetensors").unlink()
    with pytest.raises(ValueError, match=r"carried_state-0\.safetensors"):
        train(tmp_path, resume=str(tmp_path / "checkpoint-3"))


def test_evaluation_equals_one_pass_over_each_lane(tmp_path):
    text, trainer = stream(97, seed=1), train(tmp_path)
    measured = trainer.evaluate()
    a_model = trainer.model.eval()
    nats = 0.0
    for lane in (slice(0, 48), slice(48, 96)):  # 96 targets in 2 lanes
        logits = a_model(text.input_ids[None, lane].long()).logits[0]
        nats += F.cross_entropy(logits, text.input_ids[lane.start + 1 : lane.stop + 1].long(), reduction="sum").item()
    assert measured["eval_tokens"] == 96
    assert measured["eval_lanes"] == 2
    assert measured["eval_loss"] == pytest.approx(nats / 96, abs=1e-5)
    assert measured["eval_perplexity"] == pytest.approx(math.exp(nats / 96), rel=1e-4)
    assert measured["eval_bits_per_character"] == pytest.approx(nats / 96 / math.log(2) * 97 / 97, abs=1e-4)


def test_evaluation_on_named_streams_and_prediction(tmp_path):
    trainer = TruncatedBpttTrainer(
        model(), arguments(tmp_path), stream(), {"a": stream(97), "b": stream(50)}, bptt_length=BPTT
    )
    measured = trainer.evaluate()
    assert measured["eval_a_tokens"] == 96
    assert measured["eval_b_tokens"] == 49
    assert trainer.predict(stream(60)).metrics["test_tokens"] == 59


def test_bits_per_character_use_the_characters_of_the_text(tmp_path):
    twice = TokenStream(stream(97).input_ids, num_characters=2 * 97)
    trainer = TruncatedBpttTrainer(model(), arguments(tmp_path), stream(), twice, bptt_length=BPTT)
    measured = trainer.evaluate()
    assert measured["eval_bits_per_character"] == pytest.approx(measured["eval_loss"] / math.log(2) / 2)
    unknown = TokenStream(stream(97).input_ids)
    assert "eval_bits_per_character" not in trainer.evaluate(unknown)


@pytest.mark.ci
def test_evaluation_between_steps_leaves_training_alone(tmp_path):
    quiet = train(tmp_path)
    watched = train(tmp_path, eval_strategy="steps", eval_steps=2)
    assert losses(quiet) == losses(watched)


@pytest.mark.ci
def test_random_resets_begin_with_zeros(tmp_path):
    """With a chance next to 1 each step begins with zeros, as if every chunk were a text of its own."""
    seen = []

    class Watch(RnnForCausalLM):
        def forward(self, *args, cache_params=None, **kwargs):
            if self.training and cache_params is not None:
                seen.append(max(s.abs().max().item() for s in cache_params.to_dict().values()))
            return super().forward(*args, cache_params=cache_params, **kwargs)

    for chance in (0.0, 0.999999):
        seen.clear()
        args, text = arguments(tmp_path, max_steps=3), stream()
        watched = Watch(model().config)
        TruncatedBpttTrainer(watched, args, text, bptt_length=BPTT, state_reset_probability=chance).train()
        assert len(seen) == 2
        assert all((value == 0) == (chance > 0) for value in seen)
    with pytest.raises(ValueError, match=r"state_reset_probability=1\.5"):
        TruncatedBpttTrainer(model(), arguments(tmp_path), stream(), state_reset_probability=1.5)


@pytest.mark.parametrize("optimizer", ["rmsprop", "sgd", "adamw_torch"])
def test_optimizers_of_trainer(optimizer, tmp_path):
    before = [p.clone() for p in model().parameters()]
    trained = train(tmp_path, optim=optimizer, learning_rate=2e-3, max_steps=2)
    assert any(not torch.equal(a, b) for a, b in zip(before, trained.model.parameters(), strict=True))


def test_bf16_autocast_trains(tmp_path):
    trained = train(tmp_path, bf16=True, max_steps=3)
    assert all(math.isfinite(loss) for loss in losses(trained))
    assert math.isfinite(trained.evaluate()["eval_loss"])


@pytest.mark.ci
def test_gradient_checkpointing_keeps_the_state(tmp_path):
    plain = train(tmp_path)
    checkpointed = train(tmp_path, gradient_checkpointing=True)
    assert losses(checkpointed) == pytest.approx(losses(plain), abs=1e-6)


def test_epochs_count_the_whole_stream(tmp_path):
    trained = train(tmp_path, max_steps=-1, num_train_epochs=2)
    assert trained.state.global_step == 2 * LaneDataset(stream(), LANES, BPTT).chunks


def test_several_gpus_in_one_process_are_refused(tmp_path, monkeypatch):
    args = arguments(tmp_path)
    monkeypatch.setattr(type(args), "n_gpu", property(lambda self: 2))
    with pytest.raises(ValueError, match="accelerate launch"):
        TruncatedBpttTrainer(model(), args, stream(), bptt_length=BPTT)


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor"),
        ({"accelerator_config": {"split_batches": True}}, "split_batches"),
        ({"accelerator_config": {"dispatch_batches": True}}, "dispatch_batches"),
    ],
)
def test_settings_that_would_break_lanes_or_loss_are_refused(setting, word, tmp_path):
    with pytest.raises(ValueError, match=word):
        TruncatedBpttTrainer(model(), arguments(tmp_path, **setting), stream(), bptt_length=BPTT)


def test_more_lanes_than_text(tmp_path):
    with pytest.raises(ValueError, match=r"6 tokens.*8 lanes"):
        TruncatedBpttTrainer(model(), arguments(tmp_path), stream(6), bptt_length=BPTT).train()


def test_the_saved_configuration_still_returns_states(tmp_path):
    trainer = train(tmp_path)
    trainer.save_model(str(tmp_path / "model"))
    assert json.loads((tmp_path / "model" / "config.json").read_text())["use_cache"] is True


@pytest.mark.parametrize("loss", [1.5, 1e5])
def test_a_huge_loss_has_a_perplexity(loss):
    """Of a stream and of lines, where exp(loss) would overflow."""
    of_stream = likelihood_measures(loss, stream())["perplexity"]
    of_lines = mean_over_tokens(EvalPrediction(np.array([[loss * 3, 3.0], [loss, 1.0]]), None))["perplexity"]
    assert of_stream == pytest.approx(of_lines)
    assert of_stream == pytest.approx(math.exp(min(loss, 700)))


WORKER = """
import json, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_trainer import LANES, losses, train
folder = Path({folder!r})
trainer = train(folder / "two", batch=LANES // 2, save_strategy="steps", save_steps=3, max_steps=6)
measured = trainer.evaluate()
resumed = trainer
if {resume}:
    resumed = train(folder / "two", batch=LANES // 2, max_steps=6, resume=str(folder / "two" / "checkpoint-3"))
if trainer.is_world_process_zero():
    result = {{"losses": losses(trainer), "resumed": losses(resumed), "eval": measured}}
    (folder / "result.json").write_text(json.dumps(result))
trainer.accelerator.end_training()
"""


@pytest.mark.ci
def test_two_processes_equal_one(tmp_path):
    """Each process its own lanes: 2 processes x B/2 give the losses of 1 x B, evaluate alike, and resume."""
    script = tmp_path / "worker.py"
    # transformers 5.17 cannot load the optimizer of several CPU processes (it asks torch for "cpu:0"); 5.23 can.
    resume = Version(transformers.__version__) >= Version("5.23")
    script.write_text(WORKER.format(tests=str(Path(__file__).parent), folder=str(tmp_path), resume=resume))
    # What `accelerate launch` starts on a machine with GPUs; on CPUs it would ask for MPI.
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    # TrainingArguments of earlier tests left their mixed precision in the environment.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")}
    environment |= {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads((tmp_path / "result.json").read_text())
    one = train(tmp_path / "one")
    assert result["losses"] == pytest.approx(losses(one), abs=1e-5)
    assert result["resumed"][3:] == pytest.approx(losses(one)[3:], abs=1e-5)
    # 2 processes x 2 lanes, against 1 x 4
    one.args.per_device_eval_batch_size = 4
    assert result["eval"]["eval_lanes"] == 4
    assert result["eval"]["eval_loss"] == pytest.approx(one.evaluate()["eval_loss"], abs=1e-5)


def test_each_part_is_measured_whole_and_by_itself(tmp_path):
    """Whatever `dataloader_drop_last` says of training; `Trainer` would keep the loader of the first part for all."""
    options = {"dataloader_persistent_workers": True, "dataloader_num_workers": 1, "dataloader_drop_last": True}
    args = arguments(tmp_path, **options)
    parts = [[{"input_ids": torch.tensor([n])}] * n for n in (7, 5)]
    trainer = FiniteTrainer(model(), args, train_dataset=parts[0])
    for part in (*parts, parts[0]):
        loader = trainer.get_eval_dataloader(part)
        assert loader.dataset is part
        assert len(loader) == len(trainer.get_test_dataloader(part)) == len(part) // args.eval_batch_size + 1
    assert trainer.get_eval_dataloader(parts[0]) is loader  # whose workers persist
    assert len(trainer.get_train_dataloader()) == len(parts[0]) // args.train_batch_size
