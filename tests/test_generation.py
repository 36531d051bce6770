"""`generate`: with the state as without, a batch as its rows, a text in pieces as in one piece."""

import pytest
import torch
from conftest import BOS, EOS, ONE_OF_EACH_KIND, PAD, UNK, T, pad_rows, random_ids, tiny_config
from torch.utils import _pytree
from transformers import LogitsProcessorList, StoppingCriteriaList
from transformers.generation import utils
from transformers.generation.streamers import BaseStreamer

from rnn_zoo import RnnForCausalLM

NEW = 12

every_cell = pytest.mark.parametrize("cell", ONE_OF_EACH_KIND)


def build(cell="lstm", ends=False, **overrides):
    """A language model whose weights are large enough for its choices to depend on the whole text.

    Unless it `ends`, nothing stops it but the number of tokens.
    """
    overrides = {"cell_type": cell, "initializer_range": 2.0, "eos_token_id": EOS if ends else None} | overrides
    model = RnnForCausalLM(tiny_config(**overrides)).double().eval()
    model.lm_head.bias.data[[PAD, BOS, UNK]] = -1e4  # never written, so that no text looks padded
    return model


def generate(model, *args, **options):
    return model.generate(*args, **{"max_new_tokens": NEW, "do_sample": False, "pad_token_id": PAD} | options)


def by_full_passes(model, ids, steps=NEW):
    """The reference for greedy search: the whole text again for each token."""
    with torch.no_grad():
        for _ in range(steps):
            ids = torch.cat([ids, model(ids, use_cache=False).logits[:, -1:].argmax(-1)], 1)
    return ids


@every_cell
@pytest.mark.parametrize("use_cache", [True, False], ids=["state", "full passes"])
def test_greedy_search_takes_the_likeliest_next_token(cell, use_cache):
    model, prompt = build(cell), random_ids(3, T)
    expected = by_full_passes(model, prompt)
    assert expected[:, T:].unique().numel() > 2  # the model does not repeat one token for ever
    assert torch.equal(generate(model, prompt, use_cache=use_cache), expected)


@every_cell
def test_with_the_state_only_the_new_token_is_read(cell, monkeypatch):
    model, lengths = build(cell), []
    forward = model.forward

    def counted(input_ids=None, **kwargs):
        lengths.append(input_ids.shape[1])
        return forward(input_ids=input_ids, **kwargs)

    monkeypatch.setattr(model, "forward", counted)
    generate(model, random_ids(2, T), use_cache=True)
    assert lengths == [T] + [1] * (NEW - 1)


@every_cell
@pytest.mark.parametrize("ends", [False, True], ids=["endless", "ends"])
def test_beams_with_the_state_are_beams_without(cell, ends):
    model, prompt = build(cell, ends), random_ids(3, T)
    options = {"num_beams": 4, "num_return_sequences": 2, "return_dict_in_generate": True, "output_scores": True}
    with_state = generate(model, prompt, use_cache=True, **options)
    without = generate(model, prompt, use_cache=False, **options)
    assert torch.equal(with_state.sequences, without.sequences)
    torch.testing.assert_close(with_state.sequences_scores, without.sequences_scores)


def test_beams_change_rows_so_that_the_test_above_can_fail():
    options = {"num_beams": 4, "num_return_sequences": 4, "return_dict_in_generate": True, "output_scores": True}
    indices = generate(build(), random_ids(3, T), **options).beam_indices
    assert any(row[row >= 0].unique().numel() > 1 for row in indices)


@every_cell
def test_sampling_several_texts_for_each_prompt(cell):
    model, prompt = build(cell), random_ids(3, T)
    texts = generate(model, prompt, do_sample=True, num_return_sequences=4)
    assert texts.shape == (12, T + NEW)
    assert torch.equal(texts[:, :T], prompt.repeat_interleave(4, 0))
    assert texts[:, T:].unique(dim=0).shape[0] > 3
    torch.manual_seed(5)
    once = generate(model, prompt, do_sample=True, num_return_sequences=4)
    torch.manual_seed(5)
    assert torch.equal(generate(model, prompt, do_sample=True, num_return_sequences=4, use_cache=False), once)


@every_cell
@pytest.mark.parametrize("use_cache", [True, False], ids=["state", "full passes"])
def test_left_padded_prompts_are_continued_as_if_alone(cell, use_cache):
    model = build(cell)
    rows = [random_ids(n) for n in (T, 4, 1)]
    ids, mask = pad_rows(rows, "left")
    texts = generate(model, ids, attention_mask=mask, use_cache=use_cache)
    for row, text in zip(rows, texts, strict=True):
        assert torch.equal(text[T:], by_full_passes(model, row[None])[0, len(row) :])


@every_cell
def test_left_padded_prompts_with_beams_are_continued_as_if_alone(cell):
    model = build(cell)
    rows = [random_ids(n) for n in (T, 4, 1)]
    ids, mask = pad_rows(rows, "left")
    texts = generate(model, ids, attention_mask=mask, num_beams=3)
    for row, text in zip(rows, texts, strict=True):
        assert torch.equal(text[T:], generate(model, row[None], num_beams=3)[0, len(row) :])


@every_cell
def test_going_on_from_a_returned_state_is_one_long_run(cell):
    model, prompt = build(cell), random_ids(2, T)
    expected = by_full_passes(model, prompt, 2 * NEW)
    first = generate(model, prompt, return_dict_in_generate=True)
    # The library returns the state under its own name; the last token was chosen, but not yet read.
    for name in ("cache_params", "past_key_values"):
        second = generate(model, first.sequences[:, -1:], **{name: first.past_key_values})
        assert torch.equal(torch.cat([first.sequences, second[:, 1:]], 1), expected)
    with pytest.raises(ValueError, match="two names of one state"):
        generate(model, prompt, cache_params=first.past_key_values, past_key_values=first.past_key_values)


def test_a_loop_of_ones_own_may_add_several_tokens_at_a_time():
    model, text = build(), random_ids(1, T)
    with torch.no_grad():
        outputs = model(text[:, :4])
        kwargs = model._update_model_kwargs_for_generation(outputs, {"use_cache": True})
        assert kwargs["step_decoder"] is not None
        for length in (1, 2):
            inputs = model.prepare_inputs_for_generation(text[:, : 4 + length], next_sequence_length=length, **kwargs)
            assert inputs["input_ids"].shape[1] == length
            expected = model(text[:, : 4 + length]).logits[:, -length:]
            torch.testing.assert_close(model(**inputs).logits, expected)


def test_beam_search_returns_no_state_that_is_not_of_its_texts():
    outputs = generate(build(), random_ids(2, T), num_beams=3, return_dict_in_generate=True)
    assert outputs.past_key_values is None


def test_an_empty_prompt_with_a_state_is_refused():
    model = build()
    with torch.no_grad():
        state = model(random_ids(2, T)).cache_params
    for prompt in ({}, {"inputs": torch.zeros(2, 0, dtype=torch.long)}):
        with pytest.raises(ValueError, match=r"sequences\[:, -1:\]"):
            generate(model, cache_params=state, **prompt)


def test_prompts_that_end_in_padding_are_refused():
    model = build()
    ids, mask = pad_rows([random_ids(T), random_ids(3)], "right")
    with pytest.raises(ValueError, match="pad prompts on the left"):
        generate(model, ids, attention_mask=mask)


def test_a_mask_of_the_whole_text_is_taken_for_the_prompt():
    model = build()
    first, mask = pad_rows([random_ids(T), random_ids(3)], "left")
    second = random_ids(2, 4)
    with torch.no_grad():
        state = model(first, attention_mask=mask).cache_params
    whole = torch.cat([mask, torch.ones_like(second)], 1)
    expected = generate(model, second, cache_params=state)
    assert torch.equal(generate(model, second, cache_params=state, attention_mask=whole), expected)


@every_cell
@pytest.mark.parametrize("use_cache", [True, False], ids=["state", "full passes"])
def test_going_on_with_a_new_prompt_reads_all_of_it(cell, use_cache):
    model, text = build(cell), random_ids(2, T)
    with torch.no_grad():
        state = model(text[:, :3]).cache_params
    continued = generate(model, text[:, 3:], cache_params=state, use_cache=use_cache)
    assert torch.equal(continued[:, T - 3 :], by_full_passes(model, text)[:, T:])


@pytest.mark.parametrize("num_beams", [1, 3])
def test_one_state_goes_on_in_several_ways(num_beams):
    model, text = build(), random_ids(2, T)
    options = {"num_beams": num_beams, "do_sample": True, "num_return_sequences": 3}
    with torch.no_grad():
        state = model(text[:, :3]).cache_params
    torch.manual_seed(5)
    whole = generate(model, text, **options)
    torch.manual_seed(5)
    assert torch.equal(generate(model, text[:, 3:], cache_params=state, **options)[:, T - 3 :], whole[:, T:])


@pytest.mark.skipif(not hasattr(utils, "DeferredStopCheck"), reason="this version of transformers does not ask")
def test_on_apple_gpus_generate_is_told_that_tokens_cannot_be_taken_back():
    state = build()(random_ids(2, T)).cache_params
    assert not utils.DeferredStopCheck.is_supported(torch.device("mps"), state, True, is_assistant=False)


def test_generate_leaves_the_state_it_was_given_alone():
    model, text = build(), random_ids(2, T)
    with torch.no_grad():
        state = model(text).cache_params
    before = state.map(torch.clone)
    generate(model, random_ids(2, 2), cache_params=state)
    for after, kept in zip(_pytree.tree_leaves(state), _pytree.tree_leaves(before), strict=True):
        assert torch.equal(after, kept)


@every_cell
def test_a_prompt_of_vectors(cell):
    model, prompt = build(cell), random_ids(2, T)
    new = generate(model, inputs_embeds=model.get_input_embeddings()(prompt))
    assert torch.equal(new, by_full_passes(model, prompt)[:, T:])


@every_cell
def test_an_empty_prompt_begins_with_bos(cell):
    model = build(cell)
    assert model.generation_config.bos_token_id == BOS
    text = generate(model)
    assert torch.equal(text, by_full_passes(model, torch.tensor([[BOS]])))


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("dtype", [torch.long, torch.float], ids=["ids", "as tokenizers return it"])
def test_a_prompt_without_tokens_begins_with_bos(rows, dtype):
    model = build()
    empty = torch.zeros(rows, 0, dtype=dtype)
    text = generate(model, empty, attention_mask=empty.long())
    assert torch.equal(text, by_full_passes(model, torch.tensor([[BOS]]).expand(rows, 1)))
    model.generation_config.bos_token_id = None
    with pytest.raises(ValueError, match=r"prompt is empty.*bos_token_id"):
        generate(model, empty)


@every_cell
def test_beam_sampling_with_the_state_is_without(cell):
    model, prompt = build(cell, ends=True), random_ids(3, T)
    options = {"num_beams": 3, "do_sample": True, "num_return_sequences": 2, "top_k": 5}
    torch.manual_seed(5)
    once = generate(model, prompt, **options)
    torch.manual_seed(5)
    assert torch.equal(generate(model, prompt, use_cache=False, **options), once)


class Recorder(BaseStreamer):
    def __init__(self):
        self.pieces, self.ended = [], False

    def put(self, value):
        self.pieces.append(value)

    def end(self):
        self.ended = True


def test_a_streamer_gets_the_prompt_and_each_token():
    model, prompt, recorder = build(), random_ids(1, T), Recorder()
    text = generate(model, prompt, streamer=recorder)
    assert [piece.numel() for piece in recorder.pieces] == [T] + [1] * NEW
    assert torch.equal(torch.cat([piece.reshape(-1) for piece in recorder.pieces]), text[0])
    assert recorder.ended


def test_stopping_criteria_and_processors_see_the_whole_text():
    model, prompt, seen = build(), random_ids(2, T), []

    def stop(input_ids, scores, **kwargs):
        seen.append(input_ids.shape[1])
        return torch.full((2,), input_ids.shape[1] == T + 5)

    def never(input_ids, scores):
        scores[:, free[0, T + 1]] = -1e9
        return scores

    free = by_full_passes(model, prompt)
    text = generate(model, prompt, stopping_criteria=StoppingCriteriaList([stop]))
    assert torch.equal(text, free[:, : T + 5])
    assert seen == list(range(T + 1, T + 6))
    other = generate(model, prompt, logits_processor=LogitsProcessorList([never]))
    assert not other[:, T:].eq(free[0, T + 1]).any()


@pytest.mark.parametrize("options", [{"num_beams": 1}, {"num_beams": 3}, {"do_sample": True}], ids=str)
def test_other_options_of_generate_work_with_the_state(options):
    model, prompt = build(ends=True), random_ids(2, T)
    others = {"min_new_tokens": 5, "no_repeat_ngram_size": 2, "repetition_penalty": 1.1}
    texts = []
    for more in (others, others | {"use_cache": False}, {}):
        torch.manual_seed(1)
        texts.append(generate(model, prompt, **more, **options))
    assert torch.equal(texts[0], texts[1])
    assert not torch.equal(texts[0], texts[2])


@every_cell
def test_scores_are_those_of_a_full_pass(cell):
    model, prompt = build(cell), random_ids(2, T)
    outputs = generate(model, prompt, return_dict_in_generate=True, output_scores=True, output_logits=True)
    assert len(outputs.scores) == NEW
    with torch.no_grad():
        expected = model(outputs.sequences).logits[:, T - 1 : -1]
    torch.testing.assert_close(torch.stack(outputs.logits, 1), expected, check_dtype=False)
    torch.testing.assert_close(torch.stack(outputs.scores, 1), expected, check_dtype=False)


def test_hidden_states_of_each_step():
    model = build()
    outputs = generate(model, random_ids(2, T), return_dict_in_generate=True, output_hidden_states=True)
    assert len(outputs.hidden_states) == NEW
    assert [h.shape[1] for h in outputs.hidden_states[0]] == [T] * 3
    assert [h.shape[1] for h in outputs.hidden_states[1]] == [1] * 3


@every_cell
def test_after_eos_a_row_is_padded(cell):
    model, prompt = build(cell), random_ids(3, T)
    free = by_full_passes(model, prompt)
    end = free[0, T + 2].item()  # the token that row 0 chooses as its third is made the end
    texts = generate(model, prompt, eos_token_id=end)
    for row, text in zip(free, texts, strict=True):
        ends = (row[T:] == end).nonzero()
        stop = T + (ends[0].item() + 1 if len(ends) else NEW)
        assert torch.equal(text[:stop], row[:stop])
        assert text[stop:].eq(PAD).all()
    assert texts.eq(PAD).any()


def test_generate_works_the_same_while_training():
    model, prompt = build(), random_ids(2, T)
    expected = generate(model, prompt)
    assert torch.equal(generate(model.train(), prompt), expected)
