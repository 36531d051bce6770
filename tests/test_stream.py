"""`GenerationStream`: the tokens of `generate`, one at a time, from a state that can be kept and gone on from."""

import copy
import math
import subprocess
import sys
from itertools import islice

import pytest
import torch
from conftest import BOS, FIRST_WORD, E, T, V, pad_rows, random_ids, tiny_seq2seq_config
from safetensors.torch import save_file
from test_generation import build, every_cell, generate
from torch.utils import _pytree
from transformers import set_seed

from rnn_zoo import GenerationStream, RnnForCausalLM, RnnSeq2SeqForConditionalGeneration
from rnn_zoo.tasks.causal_lm.generation import continuation

N = 15


def take(stream, n=N):
    """The next `n` tokens of each row, `(B, n)`."""
    return torch.stack(list(islice(stream, n)), 1)


@every_cell
@pytest.mark.parametrize("rows", [1, 3])
def test_greedy_tokens_are_those_of_generate(cell, rows):
    model, prompt = build(cell), random_ids(rows, T)
    stream = GenerationStream(model)
    stream.read(prompt)
    assert torch.equal(take(stream), generate(model, prompt, max_new_tokens=N)[:, T:])


@pytest.mark.parametrize(
    "settings", [{}, {"temperature": 0.7}, {"top_k": 3}, {"top_p": 0.6, "temperature": 1.3}], ids=str
)
def test_sampled_tokens_are_those_of_generate_with_the_same_random_numbers(settings):
    model, prompt = build(), random_ids(2, T)
    set_seed(3)
    expected = generate(model, prompt, max_new_tokens=N, do_sample=True, **{"top_k": 0} | settings)
    stream = GenerationStream(model, do_sample=True, seed=3, **settings)
    stream.read(prompt)
    assert torch.equal(take(stream), expected[:, T:])


def test_a_setting_of_sampling_means_sampling():
    assert GenerationStream(build(), temperature=0.7).settings["do_sample"]
    assert not GenerationStream(build()).settings["do_sample"]
    assert not GenerationStream(build(), temperature=0.7, do_sample=False).settings["do_sample"]


def test_settings_come_from_the_generation_configuration():
    model = build()
    model.generation_config.update(do_sample=True, temperature=0.5, top_k=4)
    assert GenerationStream(model).settings == {"do_sample": True, "temperature": 0.5, "top_k": 4, "top_p": 1.0}
    assert GenerationStream(model, top_k=0).settings["top_k"] == 0


@pytest.mark.parametrize("side", ["left", "right"])
@every_cell
def test_padded_prompts_are_continued_as_if_alone(cell, side):
    model, rows = build(cell), [random_ids(n) for n in (T, 4, 1)]
    ids, mask = pad_rows(rows, side)
    stream = GenerationStream(model)
    stream.read(ids, mask)
    for row, tokens in zip(rows, take(stream), strict=True):
        assert torch.equal(tokens, generate(model, row[None], max_new_tokens=N)[0, len(row) :])


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_long_prompt_is_read_in_pieces(side, monkeypatch):
    model, rows = build(), [random_ids(n) for n in (T, 4, 1)]
    ids, mask = pad_rows(rows, side)
    whole, pieces = GenerationStream(model), GenerationStream(model)
    whole.read(ids, mask)
    monkeypatch.setattr("rnn_zoo.tasks.causal_lm.generation.READ_AT_ONCE", 2)
    pieces.read(ids, mask)
    assert torch.equal(take(whole), take(pieces))


def test_without_a_prompt_the_text_begins_with_bos():
    model = build()
    assert torch.equal(take(GenerationStream(model)), generate(model, torch.tensor([[BOS]]), max_new_tokens=N)[:, 1:])
    model.generation_config.bos_token_id = None
    with pytest.raises(ValueError, match="bos_token_id"):
        next(GenerationStream(model))


def test_a_prompt_in_between_is_read_after_the_last_token():
    model, first, second = build(), random_ids(2, T), random_ids(2, 4)
    stream = GenerationStream(model)
    stream.read(first)
    text = torch.cat([first, take(stream, 3), second], 1)
    stream.read(second)
    assert torch.equal(take(stream), generate(model, text, max_new_tokens=N)[:, text.shape[1] :])


def test_the_short_cut_is_the_plain_forward():
    """A hook on a cell makes the stream (and `generate`) go the long way."""
    model, prompt = build("lstm", residual=True, layer_norm=True, num_hidden_layers=3), random_ids(1, T)
    short = GenerationStream(model)
    short.read(prompt)
    called, hooked = [], copy.deepcopy(model)
    hook = hooked.model.stack.layers[1].cells[0].register_forward_hook(lambda *args: called.append(1))
    long = GenerationStream(hooked)
    long.read(prompt)
    for _ in range(N):
        assert torch.equal(next(short), next(long))
        short._score(short.token), long._score(long.token)
        torch.testing.assert_close(short.logits, long.logits, rtol=1e-10, atol=1e-10)
    assert len(called) == 1 + N
    called.clear()
    slow = generate(hooked, prompt, max_new_tokens=N)
    assert len(called) == N
    hook.remove()
    assert torch.equal(generate(hooked, prompt, max_new_tokens=N), slow)
    assert len(called) == N


@pytest.mark.parametrize("name", ["embed_tokens", "stack.layers.0", "stack.layers.1.cells.0", "stack.layers.1.norm"])
def test_a_hook_that_comes_later_is_called_for_each_token(name):
    model, prompt, called = build(layer_norm=True), random_ids(1, T), []
    stream = GenerationStream(model)
    stream.read(prompt)
    take(stream, 2 * V)
    hook = model.model.get_submodule(name).register_forward_hook(lambda *args: called.append(1))
    after = take(stream, 5)
    assert len(called) == 5
    hook.remove()
    expected = generate(model, prompt, max_new_tokens=2 * V + 5, use_cache=False)[:, -5:]
    assert torch.equal(after, expected)
    generate(model, prompt, max_new_tokens=2 * V)
    assert len(called) == 5


def test_a_prompt_with_a_mistake_is_not_half_read(monkeypatch):
    monkeypatch.setattr("rnn_zoo.tasks.causal_lm.generation.READ_AT_ONCE", 2)
    model, prompt = build(), random_ids(2, T)
    stream = GenerationStream(model)
    stream.read(prompt)
    kept = stream.cache_params
    wrong = prompt.clone()
    wrong[0, -1] = V
    with pytest.raises(IndexError, match=f"holds {V}"):
        stream.read(wrong)
    assert stream.cache_params is kept
    with pytest.raises(ValueError, match=r"shape \(7,\)"):
        stream.read(prompt[0])
    stream.read(torch.zeros(2, 0, dtype=torch.long))
    assert torch.equal(take(stream), generate(model, prompt, max_new_tokens=N)[:, T:])


def test_no_words_in_several_rows_begin_as_many_texts():
    model = build()
    stream = GenerationStream(model)
    stream.read(torch.zeros(3, 0, dtype=torch.long))
    assert take(stream).shape == (3, N)


@every_cell
def test_logits_of_the_short_cut_in_float32(cell):
    model, prompt = build(cell).float(), random_ids(1, T)
    stream = GenerationStream(model)
    stream.read(prompt)
    text = torch.cat([prompt, take(stream)], 1)
    stream._score(stream.token)
    with torch.no_grad():
        torch.testing.assert_close(stream.logits, model(text).logits[:, -1], rtol=1e-5, atol=1e-5)


def test_generate_after_any_change_of_the_weights():
    model, prompt = build(), random_ids(1, T)
    generate(model, prompt, max_new_tokens=3 * V)
    for p in model.parameters():
        p.data.mul_(-0.5)  # in this way no version counter tells
    fresh = RnnForCausalLM(model.config).double().eval()
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(generate(model, prompt), generate(fresh, prompt, use_cache=False))


def step_of(optimizer_class, *names, **options):
    """A step that moves what the names begin with: of the embedding rows that are not its last."""

    def step(model):
        moved = [p for name, p in model.named_parameters() if name.startswith(names or "")]
        ids = torch.randint(FIRST_WORD, V - 1, (1, T))
        model.train()(ids, labels=ids).loss.backward()
        optimizer_class(moved, lr=0.5, **options).step()
        model.eval()

    return step


def write_past_torch(tensor, index):
    """A number that no counter of torch tells of."""
    tensor.detach().numpy()[index] += 1.5


CHANGES = {
    "nothing": lambda model: None,
    "load": lambda model: model.load_state_dict(build("lstm", layer_norm=True).state_dict()),
    "to": lambda model: model.to(torch.float32).to(torch.float64),
    "step": step_of(torch.optim.AdamW, fused=True),
    "step of the embedding": step_of(torch.optim.SGD, "model.embed_tokens", fused=True),
    "step of a projection": step_of(torch.optim.Adam, "model.stack.layers.0.cells.0.weight_ih", fused=True),
    "step of many at once": step_of(torch.optim.SGD, foreach=True),
    "row": lambda model: model.get_input_embeddings().weight.data[:-1].mul_(2),
    "bias": lambda model: write_past_torch(model.model.stack.layers[0].cells[0].bias_ih, 2),
    "weight": lambda model: write_past_torch(model.model.stack.layers[0].cells[0].weight_ih, (3, 1)),
    "half and back": lambda model: model.half().double(),
    "resize": lambda model: model.resize_token_embeddings(V + 4),
    "new embedding": lambda model: model.set_input_embeddings(torch.nn.Embedding(V, E).double()),
    "data": lambda model: [p.data.mul_(-0.5) for p in model.parameters()],
    "norm": lambda model: torch.nn.init.constant_(model.model.stack.layers[0].norm.weight, 3.0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_table_follows_the_weights(change):
    model, prompt = build(layer_norm=True), random_ids(2, T)
    stream = GenerationStream(model)
    stream.read(prompt)
    take(stream, V)
    assert stream._decoder.table is not None
    kept = stream._decoder.table
    CHANGES[change](model)
    state, token = stream.cache_params, stream.token
    stream._score(token)
    assert (stream._decoder.table is kept) == (change == "nothing")
    with torch.no_grad():
        expected = model(token[:, None], cache_params=state).logits[:, -1]
    torch.testing.assert_close(stream.logits, expected, rtol=1e-10, atol=1e-10)


def test_a_number_of_a_large_weight_is_found_after_some_steps(monkeypatch):
    monkeypatch.setattr("rnn_zoo.models.step_decoder.PART", 64)
    model = build()
    stream = GenerationStream(model)
    take(stream, V + 1)
    kept, weight = stream._decoder.table, model.model.stack.layers[0].cells[0].weight_ih
    write_past_torch(weight, (-1, -1))
    take(stream, weight.nbytes // 64 + 1)
    assert kept is not None
    assert stream._decoder.table is not kept


@pytest.mark.parametrize("rows", [1, 3])
def test_a_large_vocabulary_has_no_table(rows, monkeypatch):
    monkeypatch.setattr("rnn_zoo.models.step_decoder.MAX_ROWS", V - 1)
    model, prompt = build(), random_ids(rows, T)
    stream = GenerationStream(model)
    stream.read(prompt)
    assert torch.equal(take(stream, 2 * V), generate(model, prompt, max_new_tokens=2 * V, use_cache=False)[:, T:])
    assert stream._decoder.table is None


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("residual", [True, False])
@every_cell
def test_the_table_changes_no_token(cell, rows, residual):
    model, prompt = build(cell, residual=residual, embedding_size=8), random_ids(rows, T)
    stream = GenerationStream(model)
    stream.read(prompt)
    assert torch.equal(take(stream, 2 * V), generate(model, prompt, max_new_tokens=2 * V, use_cache=False)[:, T:])
    assert stream._decoder.table is not None


# Keeping

OTHER_PROCESS = """
import sys
import torch
from rnn_zoo import GenerationStream, RnnForCausalLM

folder = sys.argv[1]
model = RnnForCausalLM.from_pretrained(folder)
stream = GenerationStream.load(model, folder + "/kept.safetensors")
torch.save(torch.stack([next(stream) for _ in range(15)], 1), folder + "/tokens.pt")
"""


@pytest.mark.ci
@pytest.mark.parametrize("do_sample", [False, True], ids=["greedy", "sampled"])
def test_another_process_goes_on_as_if_it_were_one_long_run(tmp_path, do_sample):
    model = build()
    model.save_pretrained(tmp_path)
    stream = GenerationStream(model, do_sample=do_sample, temperature=0.9, seed=1)
    stream.read(random_ids(2, T))
    take(stream)
    stream.save(tmp_path / "kept.safetensors")
    expected = take(stream)
    subprocess.run([sys.executable, "-c", OTHER_PROCESS, str(tmp_path)], check=True, capture_output=True)
    assert torch.equal(torch.load(tmp_path / "tokens.pt"), expected)


@pytest.mark.parametrize("moment", ["new", "after a prompt", "after a token"])
def test_a_stream_can_be_kept_at_any_moment(tmp_path, moment):
    model = build()
    stream = GenerationStream(model, do_sample=True, seed=1)
    if moment == "after a prompt":
        stream.read(random_ids(2, T))
    if moment == "after a token":
        next(stream)
    stream.save(tmp_path / "kept")
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]
    assert torch.equal(take(GenerationStream.load(model, tmp_path / "kept")), take(stream))


def test_a_kept_stream_may_go_on_with_other_settings(tmp_path):
    model = build()
    stream = GenerationStream(model, do_sample=True, seed=1, top_k=3)
    stream.read(random_ids(1, T))
    stream.save(tmp_path / "kept")
    loaded = GenerationStream.load(model, tmp_path / "kept", do_sample=False)
    assert loaded.settings == {"do_sample": False, "temperature": 1.0, "top_k": 3, "top_p": 1.0}
    seeds = [take(GenerationStream.load(model, tmp_path / "kept", seed=n)) for n in (1, 2, 2)]
    assert torch.equal(seeds[1], seeds[2])
    assert not torch.equal(seeds[0], seeds[1])


def test_what_is_no_stream_is_refused(tmp_path):
    model = build()
    with pytest.raises(FileNotFoundError):
        GenerationStream.load(model, tmp_path / "none")
    (tmp_path / "text").write_text("def ")
    with pytest.raises(ValueError, match=r"text: not a safetensors file"):
        GenerationStream.load(model, tmp_path / "text")
    save_file({"layers.0.0.0": torch.zeros(1, 8)}, tmp_path / "other")
    with pytest.raises(ValueError, match=r"other: holds no stream"):
        GenerationStream.load(model, tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "word"), [({"cell": "gru"}, "another model"), ({"num_hidden_layers": 3}, "2 layers, the model 3")]
)
def test_a_stream_of_another_model_is_refused(tmp_path, change, word):
    stream = GenerationStream(build())
    next(stream)
    stream.save(tmp_path / "kept")
    with pytest.raises(ValueError, match=f"kept: .*{word}"):
        GenerationStream.load(build(**change), tmp_path / "kept")
    with pytest.raises(ValueError, match=r"kept: .*float64"):
        GenerationStream.load(build().float(), tmp_path / "kept")


@pytest.mark.parametrize("moment", ["prompt", "token"])
def test_a_stream_of_another_vocabulary_is_refused(tmp_path, moment):
    stream = GenerationStream(build(vocab_size=V + 4))
    stream.read(random_ids(1, T))
    if moment == "token":
        next(stream)
        stream.token.fill_(V)
    stream.save(tmp_path / "kept")
    with pytest.raises(ValueError, match=r"kept: .*another vocabulary"):
        GenerationStream.load(build(), tmp_path / "kept")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("temperature", -1.0), ("temperature", math.nan), ("top_k", -1)),
        *(("top_p", 2.0), ("top_p", math.nan), ("seed", 2**63)),
    ],
)
def test_settings_out_of_range(name, value):
    with pytest.raises(ValueError, match=rf"{name}={value}: must be "):
        GenerationStream(build(), do_sample=True, **{name: value})


def test_what_only_generate_heeds_is_refused():
    model = build()
    model.generation_config.update(repetition_penalty=1.0, min_p=0.0, eos_token_id=2)  # nothing of that matters
    GenerationStream(model)
    model.generation_config.repetition_penalty = 1.2
    with pytest.raises(ValueError, match=r"repetition_penalty=1\.2.*generate"):
        GenerationStream(model)


def test_what_cannot_be_streamed():
    model = RnnSeq2SeqForConditionalGeneration(tiny_seq2seq_config())
    with pytest.raises(ValueError, match="a RnnSeq2SeqForConditionalGeneration cannot be streamed: must be a language"):
        GenerationStream(model)
    stream = GenerationStream(build())
    with pytest.raises(ValueError, match="prompt: must be a string, not NoneType"):
        next(continuation(stream, None, None, 3))
    stream.read(random_ids(2, T))
    with pytest.raises(ValueError, match="stream: holds 2 texts; must hold one"):
        next(continuation(stream, None, "", 3))


def test_what_a_stream_holds_does_not_grow():
    stream = GenerationStream(build(), do_sample=True, seed=0)

    def held():
        tensors = [*_pytree.tree_leaves(stream.cache_params), *stream._decoder.table]
        return sum(t.numel() for t in tensors)

    take(stream, 300)
    after = held()
    take(stream, 300)
    assert held() == after


MEMORY = """
from itertools import islice
from pathlib import Path
import torch
from rnn_zoo import GenerationStream, RnnConfig, RnnForCausalLM

torch.set_num_threads(1)
torch.manual_seed(0)
model = RnnForCausalLM(RnnConfig(vocab_size=13, hidden_size=8, bos_token_id=1)).eval()
stream = GenerationStream(model, do_sample=True, seed=0)

def resident():
    return int(next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line).split()[1])

for written in (10_000, 990_000):
    for token in islice(stream, written):
        pass
    print(resident())
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_million_tokens_take_no_more_memory_than_ten_thousand():
    done = subprocess.run([sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True)
    early, late = map(int, done.stdout.split())  # KiB
    assert late - early < 1024
