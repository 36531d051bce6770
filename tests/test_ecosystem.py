"""The libraries around the models, run for real: pipelines, PEFT, compilation, low precision, Accelerate, `Trainer`."""

import copy
import importlib.util
import io
import logging
import os
import pickle
import shutil
import subprocess
import sys

import pytest
import torch
from accelerate import Accelerator, cpu_offload, disk_offload, init_empty_weights, load_checkpoint_and_dispatch
from accelerate.utils import FullyShardedDataParallelPlugin
from conftest import FIRST_WORD, ONE_OF_EACH_KIND, PAD, H, L, T, V, pad_rows, random_ids, tiny_config
from torch.nn import functional as F
from torch.utils import _pytree
from transformers import (
    AutoModelForCausalLM,
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    Trainer,
    TrainingArguments,
    default_data_collator,
    pipeline,
)

from rnn_zoo import RecurrentState, RnnForCausalLM, RnnModel, TokenStream, TruncatedBpttTrainer
from rnn_zoo.tokenizers import TOKENIZER_BUILDERS, build_char_tokenizer

every_cell = pytest.mark.parametrize("cell", ONE_OF_EACH_KIND)
both_sides = pytest.mark.parametrize("side", ["left", "right"])

TEXT = "def f(x):\n    return x\n😀👩‍👩‍👧 नमस्ते दुनिया\n"


def build(cell="lstm", **overrides):
    """A language model in evaluation whose scores depend visibly on the text."""
    return RnnForCausalLM(tiny_config(**{"cell_type": cell, "initializer_range": 1.0} | overrides)).eval()


def batch(*lengths, side="left"):
    """Random rows of these lengths as `input_ids, attention_mask, labels`."""
    ids, mask = pad_rows([random_ids(n) for n in lengths], side)
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}


def close(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def gradients(loss, model):
    return torch.autograd.grad(loss, list(model.parameters()))


def greedy(model, inputs, **options):
    model.generation_config.eos_token_id = None
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    return model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=6, do_sample=False, **options)


# Pipelines


@pytest.fixture
def warnings_of_transformers(caplog):
    """What the library logs, from warnings upwards."""
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    yield lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    logger.removeHandler(caplog.handler)


@pytest.fixture
def checkpoint(tmp_path):
    """Writes a model with a character tokenizer of `TEXT`; called with the cell."""

    def write(cell, model_class=RnnForCausalLM):
        tokenizer = build_char_tokenizer([TEXT])
        config = tiny_config(cell_type=cell, vocab_size=len(tokenizer), initializer_range=1.0, eos_token_id=None)
        model = model_class(config)
        if model_class is RnnForCausalLM:
            model.lm_head.bias.data[:FIRST_WORD] = -1e4  # special tokens would be missing in the text
        model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        return tmp_path

    return write


@every_cell
def test_text_generation_pipeline(checkpoint, cell, warnings_of_transformers):
    write = pipeline("text-generation", model=str(checkpoint(cell)))
    for prompt in ["def f", "😀👩‍👩‍👧", "नमस्ते दु", "", "return x\n" * 300]:
        (answer,) = write(prompt, max_new_tokens=5, do_sample=False)
        assert answer["generated_text"].startswith(prompt)
        assert len(answer["generated_text"]) == len(prompt) + 5
    assert not warnings_of_transformers()


@every_cell
def test_a_batch_of_prompts_is_continued_as_one_by_one(checkpoint, cell):
    write = pipeline("text-generation", model=str(checkpoint(cell)))
    prompts = ["def f(x)", "x", "नमस्ते दु", "  return", "😀"]
    options = {"max_new_tokens": 8, "do_sample": False}
    assert write(prompts, batch_size=2, **options) == [write(prompt, **options) for prompt in prompts]


@every_cell
def test_feature_extraction_pipeline(checkpoint, cell, warnings_of_transformers):
    path = checkpoint(cell, RnnModel)
    extract = pipeline("feature-extraction", model=str(path))
    for text in ["def f", "नमस्ते", ""]:
        assert torch.tensor(extract(text)).shape == (1, len(text) or 1, H)
    assert not torch.tensor(extract("")).any()
    assert not warnings_of_transformers()


def test_features_of_a_batch_are_those_of_its_rows(checkpoint):
    extract = pipeline("feature-extraction", model=str(checkpoint("lstm", RnnModel)))
    texts = ["def f", "x", "नमस्ते"]
    for text, features in zip(texts, extract(texts, batch_size=2, return_tensors=True), strict=True):
        close(features[:, -len(text) :], extract(text, return_tensors=True))


TASKS = {
    "AutoModel": ("feature-extraction", {"return_tensors": True}),
    "AutoModelForCausalLM": ("text-generation", {"max_new_tokens": 5, "do_sample": False}),
    "AutoModelForSequenceClassification": ("text-classification", {"top_k": None}),
    "AutoModelForTokenClassification": ("token-classification", {}),
}


@pytest.mark.parametrize("texts", [["def f", ""], ["", "x", "", "return x"], ["", "", ""]], ids=str)
@pytest.mark.parametrize("head", RnnModel.heads())
def test_an_empty_text_in_a_batch_has_its_own_answer(checkpoint, head, texts):
    task, options = TASKS[head]
    answer = pipeline(task, model=str(checkpoint("gru", RnnModel.heads()[head])))
    for found, text in zip(answer(texts, batch_size=4, **options), texts, strict=True):
        alone = answer(text, **options)
        if task == "feature-extraction":
            close(found[:, -alone.shape[1] :], alone)
        elif task == "text-classification":
            assert [label["label"] for label in found] == [label["label"] for label in alone]
            close(*(torch.tensor([label["score"] for label in labels]) for labels in (found, alone)))
        elif task == "token-classification":
            assert [(word["word"], word["entity"]) for word in found] == [(w["word"], w["entity"]) for w in alone]
        else:
            assert found == alone


def test_a_row_without_a_token_begins_like_an_empty_prompt():
    model = build()
    rows, mask = (
        torch.tensor([[PAD, PAD, PAD], [PAD, 5, 6], [7, 8, 9]]),
        torch.tensor([[0, 0, 0], [0, 1, 1], [1, 1, 1]]),
    )
    alone = [
        greedy(model, {"input_ids": r[None, m.bool()], "attention_mask": m[None, m.bool()]})
        for r, m in zip(rows, mask, strict=True)
    ]
    together = greedy(model, {"input_ids": rows, "attention_mask": mask})
    untold = model.generate(rows, max_new_tokens=6, do_sample=False)  # padding is told from the ids
    for n, row in enumerate(alone):
        assert torch.equal(together[n, -6:], row[0, -6:])
        assert torch.equal(untold[n, -6:], row[0, -6:])


@pytest.mark.parametrize("kind", TOKENIZER_BUILDERS)
def test_stop_strings_of_every_vocabulary(kind):
    tokenizer = TOKENIZER_BUILDERS[kind](["the cat sat\n"] * 9)
    model = build(vocab_size=len(tokenizer), eos_token_id=None)
    model.lm_head.bias.data[tokenizer("the cat")["input_ids"]] += 30.0
    ids = tokenizer("the", return_tensors="pt")
    written = model.generate(**ids, max_new_tokens=500, do_sample=True, stop_strings="cat", tokenizer=tokenizer)[0]
    assert len(written) < 500
    assert "cat" in tokenizer.decode(written)
    assert "cat" not in tokenizer.decode(written[:-1])


def test_a_chat_without_a_template_is_what_was_said(checkpoint):
    write = pipeline("text-generation", model=str(checkpoint("lstm")))
    options = {"max_new_tokens": 5, "do_sample": False}
    chat = [{"role": "user", "content": "def f"}]
    (answer,) = write(chat, **options)
    (text,) = write("def f", **options)
    assert "def f" + answer["generated_text"][-1]["content"] == text["generated_text"]
    chat += [{"role": "assistant", "content": [{"type": "text", "text": "(x)"}]}, {"role": "user", "content": None}]
    assert write.tokenizer.apply_chat_template(chat, tokenize=False) == "def f(x)"


# PEFT

ADAPTERS = {
    "head and embedding": {"target_modules": ["lm_head", "embed_tokens"]},
    "recurrent weights": {"target_parameters": ["weight_ih", "weight_hh"]},
    "both": {"target_modules": ["lm_head"], "target_parameters": ["weight_ih", "weight_hh"]},
    "projection": {"target_modules": ["output_projection"]},
}
every_adapter = pytest.mark.parametrize("adapter", ADAPTERS)


def with_lora(cell, adapter):
    """A frozen model, a copy of it with LoRA, and inputs."""
    from peft import LoraConfig, get_peft_model  # here, as it takes long to import

    base = build(cell, tie_word_embeddings=adapter == "projection")
    config = LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=4, **ADAPTERS[adapter])
    return base, get_peft_model(copy.deepcopy(base), config), batch(T, 4, 3)


def train_steps(model, inputs, steps=20):
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    losses = []
    for _ in range(steps):
        losses.append(model(**inputs).loss)
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    return losses


@every_cell
@every_adapter
def test_lora_trains_the_adapter_and_nothing_else(cell, adapter):
    base, model, inputs = with_lora(cell, adapter)
    close(model(**inputs).logits, base(**inputs).logits)  # an adapter begins as zero
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    losses = train_steps(model.train(), inputs)
    assert losses[-1] < losses[0]
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if "lora_" in name}


@every_cell
@every_adapter
def test_lora_is_saved_loaded_merged_and_switched_off(tmp_path, cell, adapter):
    from peft import PeftModel  # here, as it takes long to import

    base, model, inputs = with_lora(cell, adapter)
    train_steps(model, inputs)
    expected = model(**inputs).logits
    with model.disable_adapter():
        close(model(**inputs).logits, base(**inputs).logits)
    model.save_pretrained(tmp_path / "adapter")
    loaded = PeftModel.from_pretrained(copy.deepcopy(base), tmp_path / "adapter").eval()
    close(loaded(**inputs).logits, expected)
    merged = loaded.merge_and_unload()
    assert merged.state_dict().keys() == base.state_dict().keys()
    merged.save_pretrained(tmp_path / "merged")
    close(RnnForCausalLM.from_pretrained(tmp_path / "merged")(**inputs).logits, expected, 1e-4)


@every_cell
@every_adapter
def test_generation_heeds_the_adapter(cell, adapter):
    base, model, inputs = with_lora(cell, adapter)
    train_steps(model, inputs)
    written = greedy(model, inputs)
    assert torch.equal(written, greedy(model, inputs, use_cache=False))
    assert torch.equal(written, greedy(model.merge_and_unload(), inputs))
    assert not torch.equal(written, greedy(base, inputs))


def test_lora_under_truncated_back_propagation(tmp_path):
    _, model, _ = with_lora("lstm", "recurrent weights")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    stream = TokenStream(random_ids(200))
    TruncatedBpttTrainer(model, arguments(tmp_path, learning_rate=1.0), train_dataset=stream, bptt_length=5).train()
    assert any(not torch.equal(p, before[name]) for name, p in model.named_parameters() if "lora_" in name)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters() if "lora_" not in name)


# Compilation


def compiler_missing():
    return not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))


@pytest.mark.slow
@pytest.mark.skipif(compiler_missing(), reason="the default backend of torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
@every_cell
def test_the_default_backend_compiles_forward(cell):
    model = build(cell, num_hidden_layers=1)
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True)
    with torch.no_grad():
        inputs = batch(3, 1)
        expected, found = model(**inputs), compiled(**inputs)
        close(found.logits, expected.logits)
        close(found.loss, expected.loss)
        following = {"input_ids": random_ids(2, 4)}
        close(
            compiled(**following, cache_params=found.cache_params).logits,
            model(**following, cache_params=expected.cache_params).logits,
        )
    inputs = batch(4, 2)
    for a, b in zip(gradients(compiled(**inputs).loss, model), gradients(model(**inputs).loss, model), strict=True):
        close(a, b)


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")
def test_one_compiled_graph_serves_every_length():
    """Of the LSTM; torch takes the kernels of the others apart step by step and compiles each length anew."""
    model, graphs = build("lstm", num_hidden_layers=1), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend=backend, dynamic=True)
    with torch.no_grad():
        for n in (3, 5, 8, 12):
            inputs = batch(n, 2)
            close(compiled(**inputs).logits, model(**inputs).logits)
    assert len(graphs) == 1


# Gradient checkpointing


@every_cell
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_checkpointed_gradients_with_a_carried_state(cell, reentrant, detached):
    model, first, second = build(cell).train(), random_ids(2, 4), batch(T, 5)

    def loss():
        state = model(first, use_cache=True).cache_params
        return model(**second, cache_params=state.detach() if detached else state).loss

    def grads():
        model.zero_grad()
        loss().backward()
        return [p.grad for p in model.parameters()]

    expected = grads()
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    for a, b in zip(grads(), expected, strict=True):
        close(a, b)


# Low precision

every_dtype = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)


def follows(model, reference, inputs, **outputs):
    """Loss, logits and gradient of `outputs` are finite and near those of `reference` in float32."""
    expected = reference(**inputs)
    exact = torch.cat([g.flatten() for g in gradients(expected.loss, reference)])
    rough = torch.cat([g.flatten() for g in gradients(outputs["loss"], model)]).float()
    assert F.cosine_similarity(rough, exact, dim=0) > 0.99
    assert 0.9 < rough.norm() / exact.norm() < 1.1
    close(outputs["logits"].float(), expected.logits, 0.2)
    assert (outputs["logits"].float() - expected.logits).abs().mean() < 0.02
    close(outputs["loss"].float(), expected.loss, 0.03)


@every_cell
@every_dtype
@both_sides
def test_half_size_weights_are_near_float32(tmp_path, cell, dtype, side):
    reference, inputs = build(cell), batch(T, 4, 2, side=side)
    reference.save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype)
    assert {p.dtype for p in model.parameters()} == {dtype}
    outputs = model(**inputs)
    assert {s.dtype for s in _pytree.tree_leaves(outputs.cache_params)} == {outputs.logits.dtype} == {dtype}
    follows(model, reference, inputs, **outputs)


@every_cell
@every_dtype
@both_sides
def test_autocast_is_near_float32(cell, dtype, side):
    model, inputs = build(cell), batch(T, 4, 2, side=side)
    with torch.autocast("cpu", dtype=dtype):
        outputs = model(**inputs)
    follows(model, model, inputs, **outputs)


@every_cell
@every_dtype
@pytest.mark.parametrize("num_beams", [1, 2])
def test_generation_in_low_precision_is_the_same_with_and_without_state(cell, dtype, num_beams):
    model, inputs = build(cell), batch(T, 4, 2)
    with torch.autocast("cpu", dtype=dtype):
        assert greedy(model, inputs, num_beams=num_beams).shape == (3, T + 6)
    written = greedy(model.to(dtype), inputs, num_beams=num_beams)
    assert written.shape == (3, T + 6)
    with torch.no_grad():  # the state after the prompt, and the scores of one step from it, against a full pass
        state = model(written[:, :T], inputs["attention_mask"]).cache_params
        step = model(written[:, T : T + 1], cache_params=state).logits[:, 0]
        mask = F.pad(inputs["attention_mask"], (0, 1), value=1)
        close(step.float(), model(written[:, : T + 1], mask).logits[:, -1].float(), 0.05)


# Sizes, devices, files


@every_cell
@pytest.mark.parametrize("tied", [False, True])
def test_a_grown_vocabulary_trains_generates_and_is_saved(tmp_path, cell, tied):
    model, inputs = build(cell, tie_word_embeddings=tied).train(), batch(T, 4)
    model.resize_token_embeddings(V + 3)
    inputs["labels"] = inputs["input_ids"] = torch.full_like(inputs["input_ids"], V + 1)
    assert train_steps(model, inputs, 80)[-1] < 0.5
    assert greedy(model.eval(), inputs)[:, T:].eq(V + 1).all()
    model.save_pretrained(tmp_path)
    loaded = RnnForCausalLM.from_pretrained(tmp_path)
    assert loaded.config.vocab_size == V + 3
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)


@every_cell
@pytest.mark.parametrize("device_map", ["auto", "cpu", {"": "cpu"}], ids=str)
def test_device_maps(tmp_path, cell, device_map):
    model, inputs = build(cell), batch(T, 4)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, device_map=device_map)
    if device_map == "auto" and loaded.device.type != "cpu":
        pytest.skip("auto chose an accelerator; the comparison is for the CPU")
    close(loaded(**inputs).logits, model(**inputs).logits)


def offloaded_by_map(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    device_map = {"model.embed_tokens": "cpu", "model.stack.norm": "cpu", "output_projection": "cpu", "lm_head": "disk"}
    layers = {f"model.stack.layers.{n}": "disk" if n else "cpu" for n in range(L)}
    return RnnForCausalLM.from_pretrained(
        tmp_path / "model", device_map=device_map | layers, offload_folder=tmp_path / "weights"
    )


OFFLOADS = {
    "device_map": offloaded_by_map,
    "cpu_offload": lambda model, _: cpu_offload(copy.deepcopy(model), execution_device="cpu"),
    "disk_offload": lambda model, path: disk_offload(copy.deepcopy(model), str(path), execution_device="cpu"),
}


@every_cell
@pytest.mark.parametrize("offload", OFFLOADS)
def test_weights_may_lie_elsewhere(tmp_path, cell, offload):
    model, inputs = build(cell), batch(T, 4)
    away = OFFLOADS[offload](model, tmp_path)
    assert any(p.device.type == "meta" for p in away.parameters())
    with torch.no_grad():
        close(away(**inputs).logits, model(**inputs).logits)
    assert torch.equal(greedy(away, inputs), greedy(model, inputs))


@every_cell
def test_a_model_without_memory_is_filled_from_a_file(tmp_path, cell):
    model, inputs = build(cell), batch(T, 4)
    model.save_pretrained(tmp_path)
    with init_empty_weights():
        empty = RnnForCausalLM(model.config)
    assert {p.device.type for p in empty.parameters()} == {"meta"}
    loaded = load_checkpoint_and_dispatch(empty, str(tmp_path), device_map={"": "cpu"}).eval()
    close(loaded(**inputs).logits, model(**inputs).logits)
    with torch.device("meta"):
        empty = RnnForCausalLM(model.config).eval()
    empty.load_state_dict(model.state_dict(), assign=True)
    close(empty(**inputs).logits, model(**inputs).logits)


@every_cell
def test_a_checkpoint_in_shards(tmp_path, cell):
    model = build(cell)
    model.save_pretrained(tmp_path, max_shard_size="1KB")
    weights = [file.suffix for file in tmp_path.iterdir() if file.suffix in (".safetensors", ".bin", ".pt")]
    assert len(weights) > 1
    assert set(weights) == {".safetensors"}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    for name, parameter in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], parameter)


def test_dtype_auto_is_the_dtype_of_the_file(tmp_path):
    build().to(torch.bfloat16).save_pretrained(tmp_path)
    assert AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto").dtype == torch.bfloat16
    assert AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).dtype == torch.float32


# Trainer


def arguments(tmp_path, **overrides):
    values = {
        "output_dir": str(tmp_path),
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 3,
        "max_steps": 3,
        "learning_rate": 0.1,
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "log_level": "error",
    }
    return TrainingArguments(**values | overrides)


@pytest.fixture
def tokenizer():
    made = build_char_tokenizer(["abcdefghi"])
    assert len(made) == V
    return made


def rows(*lengths):
    return [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in (random_ids(n).tolist() for n in lengths)]


def loss_of_rows(model, data):
    """The reference: nats a token, each row alone."""
    total = tokens = 0
    with torch.no_grad():
        for row in data:
            ids = torch.tensor([row["input_ids"]])
            total += F.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:], reduction="sum").item()
            tokens += ids.shape[1] - 1
    return total / tokens


COLLATORS = {
    "language modeling": lambda tokenizer: DataCollatorForLanguageModeling(tokenizer, mlm=False),
    "label padding": DataCollatorForSeq2Seq,
}


@both_sides
@pytest.mark.parametrize("collator", COLLATORS)
def test_stock_collators_train_evaluate_and_predict(tmp_path, tokenizer, collator, side):
    tokenizer.padding_side = side
    data = rows(T, 2, 5, 3, 6, 4)
    if collator == "label padding":
        data = [row | {"labels": row["input_ids"]} for row in data]
    trainer = Trainer(
        build(),
        arguments(tmp_path, per_device_eval_batch_size=6),
        train_dataset=data,
        eval_dataset=data,
        data_collator=COLLATORS[collator](tokenizer),
    )
    before = loss_of_rows(trainer.model.eval(), data)
    trainer.train()
    after = loss_of_rows(trainer.model.eval(), data)
    assert after < before
    assert trainer.evaluate()["eval_loss"] == pytest.approx(after, rel=1e-5)
    predicted = trainer.predict(data)
    assert predicted.predictions.shape == (len(data), T, V)  # the scores alone: no state, no hidden states
    assert predicted.label_ids.shape == (len(data), T)


def test_the_default_collator_and_rows_of_one_length(tmp_path):
    data = [{"input_ids": ids, "labels": ids} for ids in random_ids(6, T)]
    trainer = Trainer(build(), arguments(tmp_path), train_dataset=data, data_collator=default_data_collator)
    before = trainer.predict(data).metrics["test_loss"]
    trainer.train()
    predicted = trainer.predict(data)
    assert predicted.metrics["test_loss"] < before
    assert predicted.predictions.shape == (6, T, V)


@every_cell
def test_accumulated_padded_quarters_are_one_batch(tmp_path, tokenizer, cell):
    tokenizer.padding_side = (
        "right"  # with left padding Trainer counts first tokens, which nothing predicts, as targets
    )
    start, data, trained = build(cell), rows(T, 2, 5, 3, 6, 4, 7, 2), []
    for size, accumulation in [(8, 1), (2, 4)]:
        options = {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulation}
        trainer = Trainer(
            copy.deepcopy(start),
            arguments(tmp_path, max_steps=1, optim="sgd", train_sampling_strategy="sequential", **options),
            train_dataset=data,
            data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        )
        trainer.train()
        trained.append(trainer.model.state_dict())
    for name in trained[0]:
        close(trained[1][name], trained[0][name], 1e-6)
    assert any(not torch.allclose(trained[0][name], p, atol=1e-4) for name, p in start.state_dict().items())


MODES = {
    "gradient checkpointing": ({"gradient_checkpointing": True}, 1e-6),
    "torch_compile": ({"torch_compile": True, "torch_compile_backend": "eager"}, 1e-6),
    "bf16": ({"bf16": True}, 0.02),
}


@pytest.mark.ci
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.filterwarnings("ignore")
def test_modes_of_trainer_change_the_way_and_not_the_result(tmp_path, tokenizer, mode):
    options, tolerance = MODES[mode]
    start, data, losses = build(), rows(T, 2, 5, 3), []
    torch.compiler.reset()
    for extra in ({}, options):
        model = copy.deepcopy(start)
        collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
        Trainer(model, arguments(tmp_path, **extra), train_dataset=data, data_collator=collator).train()
        losses.append(loss_of_rows(model.eval(), data))
    assert losses[1] == pytest.approx(losses[0], rel=tolerance)
    assert losses[0] < loss_of_rows(start, data)


@pytest.mark.ci
@every_cell
def test_resumed_training_is_training_that_never_stopped(tmp_path, tokenizer, cell):
    start, data, trained = build(cell, hidden_dropout=0.3), rows(T, 2, 5, 3, 6, 4), []
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    for checkpoint in (None, str(tmp_path / "checkpoint-2")):
        options = arguments(tmp_path, max_steps=5, save_strategy="steps", save_steps=2)
        trainer = Trainer(copy.deepcopy(start), options, train_dataset=data, data_collator=collator)
        trainer.train(resume_from_checkpoint=checkpoint)
        trained.append(trainer.model.state_dict())
    for name in trained[0]:
        assert torch.equal(trained[1][name], trained[0][name])


def test_the_best_model_comes_back_at_the_end(tmp_path, tokenizer):
    data = rows(T, 2, 5, 3)
    options = {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
    trainer = Trainer(
        build(initializer_range=0.1),
        arguments(tmp_path, learning_rate=0.5, max_steps=10, load_best_model_at_end=True, **options),
        train_dataset=data[:2],
        eval_dataset=data[2:],
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
    )
    trainer.train()
    seen = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert seen.index(min(seen)) < len(seen) - 1  # not the last one, or nothing would be proved
    assert trainer.evaluate()["eval_loss"] == pytest.approx(min(seen))


SMOOTHED = """
import sys, tempfile, torch
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

def compare(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    arguments = TrainingArguments(tempfile.mkdtemp(), label_smoothing_factor=0.3, use_cpu=True, report_to="none")
    ids = torch.tensor([[4, 7, 5, 12, 6], [9, 8, 11, 4, 10]])
    expected = torch.nn.functional.cross_entropy(
        model(ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), label_smoothing=0.3
    )
    found = Trainer(model, arguments).compute_loss(model, {"input_ids": ids, "labels": ids})
    torch.testing.assert_close(found, expected)
    return model
"""
WITHOUT_THE_PACKAGE = """
sys.modules["rnn_zoo"] = None
assert type(compare(sys.argv[1])).__module__.startswith("transformers_modules.")
"""


def test_smoothed_labels_are_shifted(tmp_path):
    build().save_pretrained(tmp_path)
    names = {}
    exec(SMOOTHED, names)
    assert type(names["compare"](tmp_path)) is RnnForCausalLM


@pytest.mark.ci
def test_smoothed_labels_are_shifted_without_the_package(tmp_path):
    build().save_pretrained(tmp_path / "model")
    environment = os.environ | {"HF_HOME": str(tmp_path / "home"), "HF_MODULES_CACHE": str(tmp_path / "modules")}
    process = subprocess.run(
        [sys.executable, "-c", SMOOTHED + WITHOUT_THE_PACKAGE, str(tmp_path / "model")],
        env=environment | {"OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-3000:]


# Fully sharded data parallel


@pytest.mark.parametrize("model_class", [RnnModel, RnnForCausalLM])
def test_the_modules_that_stay_whole_exist(model_class):
    model = model_class(tiny_config())
    names = {type(module).__name__ for module in model.modules()}
    assert model._no_split_modules
    assert set(model._no_split_modules) <= names


@pytest.mark.parametrize("version", [1, 2])
def test_the_wrap_policy_finds_the_layers(version):
    model = build()
    plugin = FullyShardedDataParallelPlugin(fsdp_version=version, auto_wrap_policy="TRANSFORMER_BASED_WRAP")
    plugin.set_auto_wrap_policy(model)
    wrapped = [
        name
        for name, module in model.named_modules()
        if plugin.auto_wrap_policy(module=module, recurse=False, nonwrapped_numel=0)
    ]
    assert wrapped == [f"model.stack.layers.{n}" for n in range(L)]


SHARDED = """
import copy, sys, torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from rnn_zoo import CELLS, RnnConfig, RnnForCausalLM

rank, world, store = int(sys.argv[1]), 2, sys.argv[2]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
try:
    mesh = init_device_mesh("cpu", (world,))
    for cell in {CELLS[name].kind: name for name in CELLS}.values():
        torch.manual_seed(0)
        config = RnnConfig(vocab_size=13, embedding_size=6, hidden_size=8, num_hidden_layers=2, cell_type=cell)
        plain = RnnForCausalLM(config)
        sharded = copy.deepcopy(plain)
        for layer in sharded.model.stack.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(sharded, mesh=mesh)
        ids = torch.randint(0, 13, (4, 7))
        mask = torch.ones_like(ids)
        mask[2:, 5:] = 0
        labels = ids.masked_fill(mask == 0, -100)
        targets = (labels[:, 1:] != -100).sum()
        optimizers = [torch.optim.SGD(model.parameters(), lr=1.0) for model in (plain, sharded)]
        for _ in range(2):
            plain(ids, mask, labels=labels).loss.backward()
            mine = slice(rank, None, world)
            loss = sharded(ids[mine], mask[mine], labels=labels[mine], num_items_in_batch=targets).loss
            (loss * world).backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
        for a, b in zip(sharded.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(a.full_tensor(), b, rtol=1e-4, atol=1e-5)
finally:
    dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_sharded_processes_train_as_one(tmp_path):
    if importlib.util.find_spec("torch.distributed.fsdp") is None or not torch.distributed.is_gloo_available():
        pytest.skip("this build of torch has no gloo or no FSDP")
    command = [sys.executable, "-c", SHARDED]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store")], env=environment, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()[-3000:]


# Copies


@every_cell
def test_a_model_can_be_copied_and_pickled(cell):
    model, inputs = build(cell), batch(T, 4)
    expected = model(**inputs).logits
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(**inputs).logits, expected)
        train_steps(other, inputs, 1)
    assert torch.equal(model(**inputs).logits, expected)


def copied(value):
    return copy.deepcopy(value)


def pickled(value):
    return pickle.loads(pickle.dumps(value))


def saved(value, **options):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, **options)


@every_cell
@pytest.mark.parametrize("way", [copied, pickled])
def test_outputs_can_be_copied_and_pickled(cell, way):
    with torch.no_grad():
        outputs = build(cell)(**batch(T, 4), output_hidden_states=True)
    back = way(outputs)
    assert type(back) is type(outputs)
    assert back.keys() == outputs.keys()
    for a, b in zip(_pytree.tree_leaves(dict(back)), _pytree.tree_leaves(dict(outputs)), strict=True):
        assert torch.equal(a, b)


@every_cell
@pytest.mark.parametrize("form", ["dictionary", "state"])
def test_a_saved_state_is_loaded_without_trusting_code(cell, form):
    model, ids = build(cell), random_ids(2, T)
    with torch.no_grad():
        state = model(ids).cache_params
        if form == "state":
            back = saved(state, weights_only=True)
        else:
            back = RecurrentState.from_dict(saved(state.to_dict(), weights_only=True))
        assert torch.equal(model(ids, cache_params=back).logits, model(ids, cache_params=state).logits)


@every_cell
def test_accelerator_prepares_the_model_and_gathers_its_scores(cell):
    model, accelerator = build(cell), Accelerator(cpu=True)
    data = [{"input_ids": ids} for ids in random_ids(5, T)]
    prepared, loader = accelerator.prepare(model, torch.utils.data.DataLoader(data, batch_size=2))
    with torch.no_grad():
        logits = [accelerator.gather_for_metrics(prepared(**inputs).logits) for inputs in loader]
        close(torch.cat(logits), model(torch.stack([row["input_ids"] for row in data])).logits)
    assert accelerator.unwrap_model(prepared) is model
