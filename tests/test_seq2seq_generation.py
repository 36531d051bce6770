"""`generate` of translators: with the state as without, a batch as its rows, beams as an exhaustive search."""

from itertools import pairwise, product

import pytest
import torch
from conftest import BOS, EOS, FIRST_WORD, ONE_OF_EACH_KIND, PAD, TARGET_V, UNK, V, pad_rows, random_ids
from test_models import close
from test_seq2seq import APART, TOPOLOGIES, S, both_ways, every_attention, every_cell
from test_seq2seq import build as build_model
from transformers.modeling_outputs import BaseModelOutput

from rnn_zoo.models.attention import ATTENTIONS
from rnn_zoo.models.recurrent_state import DecoderState

NEW = 8
use_cache_or_not = pytest.mark.parametrize("use_cache", [True, False], ids=["state", "full passes"])


def build(cell="lstm", ends=True, **overrides):
    """A translator that never writes what would look like padding; without `ends` nothing stops it but the length."""
    model = build_model(cell, **{"initializer_range": 2.0, "eos_token_id": EOS if ends else None} | overrides)
    model.lm_head.weight.data *= 1.5
    model.lm_head.bias.data[[PAD, BOS, UNK]] = -1e4
    if not ends:
        model.lm_head.bias.data[EOS] = -1e4
    return model


def generate(model, ids=None, **options):
    return model.generate(ids, **{"max_new_tokens": NEW, "do_sample": False} | options)


def by_full_passes(model, source, text=None, steps=NEW):
    """The reference for greedy search of one row: the whole target again for each token, until it ends."""
    text = torch.tensor([BOS]) if text is None else text
    with torch.no_grad():
        for _ in range(steps):
            logits = model(input_ids=source[None], decoder_input_ids=text[None], use_cache=False).logits
            text = torch.cat([text, logits[0, -1:].argmax(-1)])
            if text[-1] == EOS:
                break
    return text


def same_texts(texts, expected):
    """Whether the rows of `texts`, but for padding on the right, are `expected`.

    The library fills beams with `pad_token_id or eos_token_id`, with EOS as PAD is 0.
    """
    for text, row in zip(texts, expected, strict=True):
        assert torch.equal(text[: len(row)], row)
        assert torch.isin(text[len(row) :], torch.tensor([PAD, EOS])).all()


# Greedy


@every_cell
@both_ways
@use_cache_or_not
@pytest.mark.parametrize("ends", [False, True], ids=["endless", "ends"])
def test_greedy_search_takes_the_likeliest_next_token(cell, feeding, use_cache, ends):
    model, sources = build(cell, ends, input_feeding=feeding), random_ids(5, S)
    for part in model.modules():
        for name in getattr(part, "recurrent_weights", ()):  # so that the next token depends on the last ones
            part.get_parameter(name).data *= 5
    expected = [by_full_passes(model, source) for source in sources]
    assert torch.cat(expected).unique().numel() > 3  # the model does not repeat one token for ever
    same_texts(generate(model, sources, use_cache=use_cache), expected)


@every_attention
@both_ways
def test_greedy_search_with_every_attention(attention, feeding):
    model, sources = build(attention=attention, input_feeding=feeding), random_ids(3, S)
    same_texts(generate(model, sources), [by_full_passes(model, source) for source in sources])


@pytest.mark.parametrize(
    ("topology", "feeding", "side"),
    # Each topology at once or step by step, and padded on one side; of the first, all.
    [*product([next(iter(TOPOLOGIES))], (False, True), ("left", "right"))]
    + [(name, n // 2 % 2 == 0, ("right", "left")[n % 2]) for n, name in enumerate(TOPOLOGIES) if n],
)
def test_sources_of_different_lengths_are_translated_as_if_alone(topology, feeding, side):
    model = build(**TOPOLOGIES[topology], input_feeding=feeding)
    rows = [random_ids(n) for n in (S, 3, 1)]
    ids, mask = pad_rows(rows, side)
    same_texts(generate(model, ids, attention_mask=mask), [by_full_passes(model, row) for row in rows])
    beams = generate(model, ids, attention_mask=mask, num_beams=3)
    for row, text in zip(rows, beams, strict=True):
        alone = generate(model, row[None], num_beams=3)[0]
        same_texts(text[None], [alone])


def test_the_encoder_reads_once_and_the_decoder_one_token_at_a_time(monkeypatch):
    for options in ({}, {"num_beams": 3}, {"do_sample": True, "num_return_sequences": 2}):
        model, read = build(ends=False), []
        calls = []
        model.model.encoder.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        forward = model.forward

        def counted(decoder_input_ids=None, forward=forward, read=read, **kwargs):
            read.append(decoder_input_ids.shape[1])
            return forward(decoder_input_ids=decoder_input_ids, **kwargs)

        monkeypatch.setattr(model, "forward", counted)
        generate(model, random_ids(2, S), **options)
        assert calls == [1]
        assert read == [1] * NEW


@every_cell
@both_ways
def test_prompts_are_gone_on_from(cell, feeding):
    model, sources = build(cell, input_feeding=feeding), random_ids(3, S)
    prompts = torch.cat([torch.full((3, 1), BOS), random_ids(3, 3)], 1)
    expected = [by_full_passes(model, *pair) for pair in zip(sources, prompts, strict=True)]
    for options in ({}, {"use_cache": False}):
        same_texts(generate(model, sources, decoder_input_ids=prompts, **options), expected)
    same_texts(generate(model, sources, decoder_input_ids=prompts[:, 1:]), expected)  # the start is put before it


@both_ways
@use_cache_or_not
def test_prompts_of_different_lengths_are_padded_on_the_left(feeding, use_cache):
    model, sources = build(input_feeding=feeding), random_ids(3, S)
    rows = [torch.cat([torch.tensor([BOS]), random_ids(n)]) for n in (3, 1, 0)]
    ids, mask = pad_rows(rows, "left")
    texts = generate(model, sources, decoder_input_ids=ids, decoder_attention_mask=mask, use_cache=use_cache)
    for source, row, text in zip(sources, rows, texts, strict=True):
        same_texts([text[ids.shape[1] :]], [by_full_passes(model, source, row)[len(row) :]])


def test_going_on_from_a_returned_state():
    model, sources = build(ends=False), random_ids(2, S)
    whole = generate(model, sources, max_new_tokens=2 * NEW)
    first = generate(model, sources, return_dict_in_generate=True)
    assert type(first.past_key_values) is DecoderState
    second = generate(
        model, sources, decoder_input_ids=first.sequences[:, -1:], cache_params=first.past_key_values,
        decoder_start_token_id=first.sequences[:, -1].tolist(),
    )  # fmt: skip
    assert torch.equal(torch.cat([first.sequences, second[:, 1:]], 1), whole)


# Sampling and beams


@every_cell
@both_ways
def test_sampling_with_the_state_is_sampling_without(cell, feeding):
    model, sources = build(cell, input_feeding=feeding), random_ids(3, S)
    texts = []
    for options in ({"use_cache": True}, {"use_cache": False}, {}):
        if options:
            torch.manual_seed(5)
        texts.append(generate(model, sources, do_sample=True, num_return_sequences=3, temperature=2.0, **options))
    assert torch.equal(texts[0], texts[1])
    assert texts[0].shape != texts[2].shape or not torch.equal(texts[0], texts[2])


OPTIONS = {
    "beams": {},
    "several": {"num_return_sequences": 4},
    "short": {"length_penalty": -2.0},
    "long": {"length_penalty": 3.0},
    "early": {"early_stopping": True, "num_return_sequences": 2},
    "never early": {"early_stopping": "never", "length_penalty": 1.5},
    "no repetition": {"no_repeat_ngram_size": 2},
    "first": {"forced_bos_token_id": FIRST_WORD + 1},
    "last": {"forced_eos_token_id": EOS},
    "at least": {"min_new_tokens": 5},
    "sampling": {"do_sample": True, "top_k": 6, "num_return_sequences": 2},
}


@both_ways
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_beams_with_the_state_are_beams_without(feeding, options):
    model = build(input_feeding=feeding)
    ids, mask = pad_rows([random_ids(n) for n in (S, 4, 2)], "left")
    found = []
    for use_cache in (True, False):
        torch.manual_seed(3)
        returned = {"return_dict_in_generate": True, "output_scores": True, "use_cache": use_cache}
        found.append(generate(model, ids, attention_mask=mask, num_beams=4, **returned, **options))
    assert torch.equal(found[0].sequences, found[1].sequences)
    close(found[0].sequences_scores, found[1].sequences_scores, 1e-5)
    assert any(row[row >= 0].unique().numel() > 1 for row in found[0].beam_indices)  # rows did change their places
    assert found[0].past_key_values is None  # its rows would not be those of the texts


@both_ways
@pytest.mark.parametrize(
    ("cell", "attention"),
    [*((cell, "luong_general") for cell in ONE_OF_EACH_KIND), *(("gru", kind) for kind in ATTENTIONS)],
)
def test_beams_with_the_state_are_beams_without_for_every_cell_and_attention(cell, attention, feeding):
    model, sources = build(cell, attention=attention, input_feeding=feeding), random_ids(2, S)
    options = {"num_beams": 3, "num_return_sequences": 3, "max_new_tokens": 5}
    assert torch.equal(generate(model, sources, **options), generate(model, sources, use_cache=False, **options))


def test_rows_of_the_state_move_along_with_the_beams(monkeypatch):
    moved = []
    reorder = DecoderState.reorder_cache

    def recorded(self, rows):
        kept = self.map(torch.clone)
        reorder(self, rows)
        moved.append(not torch.equal(rows, torch.arange(len(rows))))
        for name, tensor in self.to_dict().items():
            assert torch.equal(tensor, kept.to_dict()[name][rows])

    monkeypatch.setattr(DecoderState, "reorder_cache", recorded)
    generate(build(ends=False, input_feeding=True), random_ids(2, S), num_beams=3)
    assert any(moved)


def every_text(model, source, length, penalty):
    """All texts of at most `length` new tokens, of words that the model can write, best first, and their scores."""
    words = [token for token in range(model.config.decoder_vocab_size) if model.lm_head.bias[token] > -1e3]
    middle = [word for word in words if word != EOS]
    texts = [[*text, EOS] for n in range(length) for text in product(middle, repeat=n)]
    texts += [list(text) for text in product(middle, repeat=length)]
    scored = []
    for text in texts:
        target = torch.tensor([[BOS, *text]])
        with torch.no_grad():
            log_probs = model(input_ids=source[None], decoder_input_ids=target[:, :-1]).logits[0].log_softmax(-1)
        score = log_probs.gather(1, target[0, 1:, None]).sum().item()
        scored.append((score / len(text) ** penalty, [BOS, *text]))
    return sorted(scored, reverse=True)


@both_ways
@every_cell
@pytest.mark.parametrize("penalty", [-1.0, 0.0, 1.0, 2.0])
def test_beams_that_cover_all_find_the_best_texts(feeding, cell, penalty):
    """Two words and an end, three steps: four beams are not enough to keep all that ends early, twelve are."""
    model = build(cell, input_feeding=feeding)
    model.lm_head.bias.data[FIRST_WORD + 2 :] = -1e4
    for source in random_ids(2, S):
        expected = every_text(model, source, 3, penalty)
        assert len(expected) == 1 + 2 + 4 + 8
        found = generate(
            model, source[None], max_new_tokens=3, num_beams=12, num_return_sequences=5, length_penalty=penalty,
            early_stopping="never", return_dict_in_generate=True, output_scores=True,
        )  # fmt: skip
        for n in range(5):
            score, text = expected[n]
            same_texts(found.sequences[n : n + 1], [torch.tensor(text)])
            assert found.sequences_scores[n].item() == pytest.approx(score, abs=1e-5)


@both_ways
def test_beams_are_no_worse_than_greedy_search(feeding):
    model = build(ends=False, input_feeding=feeding)
    better = 0
    for source in random_ids(10, S):
        scores = []
        for beams in (1, 5):
            text = generate(model, source[None], num_beams=beams)
            log_probs = model(input_ids=source[None], decoder_input_ids=text[:, :-1]).logits[0].log_softmax(-1)
            scores.append(log_probs.gather(1, text[0, 1:, None]).sum().item())
        better += scores[1] > scores[0] + 1e-9
    assert better > 0


@pytest.mark.parametrize("beams", [1, 3])
def test_options_do_what_they_say(beams):
    model, sources = build(ends=False), random_ids(3, S)
    options = {"num_beams": beams}
    text = generate(model, sources, forced_bos_token_id=FIRST_WORD + 1, **options)
    assert text[:, 0].eq(BOS).all()
    assert text[:, 1].eq(FIRST_WORD + 1).all()
    assert generate(model, sources, forced_eos_token_id=EOS, eos_token_id=EOS, **options)[:, -1].eq(EOS).all()
    for row in generate(model, sources, no_repeat_ngram_size=2, **options).tolist():
        pairs = list(pairwise(row))
        assert len(set(pairs)) == len(pairs)
    again = generate(model, sources, **options)
    assert any(len({*pairwise(row)}) < len(row) - 1 for row in again.tolist())


def test_a_penalty_above_0_makes_texts_longer():
    model = build()
    model.lm_head.bias.data[EOS] += 1
    sources = random_ids(10, S)
    lengths = [
        generate(model, sources, num_beams=6, length_penalty=penalty).ge(FIRST_WORD).sum() for penalty in (-3.0, 3.0)
    ]
    assert lengths[0] < lengths[1]


@pytest.mark.parametrize("options", [{}, APART], ids=["one vocabulary", "two"])
def test_more_beams_than_tokens_are_refused(options):
    model = build(**options)
    size = TARGET_V if options else V
    assert generate(model, random_ids(1, S), num_beams=size).shape[0] == 1
    for given in ({"num_beams": size + 1}, {}):
        model.generation_config.num_beams = size + 1
        with pytest.raises(ValueError, match=rf"num_beams={size + 1}: the target has only {size} tokens"):
            generate(model, random_ids(1, S), **given)


# What is given and returned


@both_ways
@pytest.mark.parametrize("beams", [1, 3])
def test_states_of_the_source_may_be_given(feeding, beams):
    model = build(input_feeding=feeding)
    ids, mask = pad_rows([random_ids(n) for n in (S, 4, 2)], "left")
    options = {"attention_mask": mask, "num_beams": beams}
    expected = generate(model, ids, **options)
    values = model.get_encoder()(ids, attention_mask=mask)
    for given in (values, BaseModelOutput(values.last_hidden_state), (values.last_hidden_state,)):
        assert torch.equal(generate(model, encoder_outputs=given, **options), expected)
    vectors = model.get_input_embeddings()(ids)
    assert torch.equal(generate(model, inputs_embeds=vectors, **options), expected)


@both_ways
def test_attention_of_each_step(feeding):
    model, sources = build(ends=False, input_feeding=feeding), random_ids(2, S)
    options = {"return_dict_in_generate": True, "output_attentions": True, "output_hidden_states": True}
    outputs = generate(model, sources, **options)
    assert len(outputs.cross_attentions) == NEW
    assert all(step[0].shape == (2, 1, 1, S) for step in outputs.cross_attentions)
    with torch.no_grad():
        whole = model(
            input_ids=sources, decoder_input_ids=outputs.sequences[:, :-1], output_attentions=True,
            output_hidden_states=True,
        )  # fmt: skip
    close(torch.cat([step[0] for step in outputs.cross_attentions], 2), whole.cross_attentions[0])
    assert len(outputs.decoder_hidden_states) == NEW
    close(torch.cat([step[-1] for step in outputs.decoder_hidden_states], 1), whole.decoder_hidden_states[-1])
    assert len(outputs.encoder_hidden_states) == len(whole.encoder_hidden_states)
    beams = generate(model, sources, num_beams=3, **options)
    assert all(step[0].shape == (6, 1, 1, S) for step in beams.cross_attentions)


@every_cell
@both_ways
def test_scores_are_those_of_a_full_pass(cell, feeding):
    model, sources = build(cell, ends=False, input_feeding=feeding), random_ids(2, S)
    outputs = generate(model, sources, return_dict_in_generate=True, output_logits=True)
    with torch.no_grad():
        expected = model(input_ids=sources, decoder_input_ids=outputs.sequences[:, :-1]).logits
    close(torch.stack(outputs.logits, 1), expected, 1e-5, check_dtype=False)


@both_ways
@pytest.mark.parametrize("beams", [1, 3])
def test_nothing_is_left_to_chance_in_evaluation(feeding, beams):
    model, sources = build(input_feeding=feeding, output_dropout=0.5, scheduled_sampling=0.5), random_ids(3, S)
    first = generate(model, sources, num_beams=beams)
    assert torch.equal(generate(model, sources, num_beams=beams), first)


@both_ways
def test_two_vocabularies(feeding):
    model = build(**APART, input_feeding=feeding, ends=False)
    sources = torch.full((2, S), V - 1)
    text = generate(model, sources, num_beams=3)
    assert text.max() < TARGET_V
    assert torch.equal(generate(model, sources)[0], by_full_passes(model, sources[0]))
