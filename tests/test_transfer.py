"""From a language model to a tagger: which weights go where, and what is refused."""

import pytest
import torch
from conftest import ONE_OF_EACH_KIND, H, T, random_ids, tiny_config
from test_models import close

from rnn_zoo import RnnConfig, RnnForCausalLM, RnnForTokenClassification, RnnModel, init_from_language_model
from rnn_zoo.tokenizers import build_char_tokenizer, build_word_character_tokenizer, build_word_tokenizer

LABELS = {"id2label": {0: "O", 1: "B-X", 2: "I-X"}}


def language_model(**options):
    return RnnForCausalLM(tiny_config(**options)).eval()


def tagger(**options):
    return RnnForTokenClassification(tiny_config(**{"bidirectional": True} | LABELS | options)).eval()


@pytest.mark.parametrize("cell", ONE_OF_EACH_KIND)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_forward_states_are_those_of_the_language_model(cell, layers):
    options = {"cell_type": cell, "num_hidden_layers": layers}
    source, model, ids = language_model(**options), tagger(**options), random_ids(2, T)
    before = [parameter.clone() for parameter in model.model.stack.layers[0].cells[1].parameters()]
    assert init_from_language_model(model, source) == source.config.vocab_size
    states = model.model(ids, output_hidden_states=True).hidden_states
    expected = source.model(ids, output_hidden_states=True).hidden_states
    for one, other in zip(states[1:], expected[1:], strict=True):
        close(one[..., :H], other, 1e-6)
    assert all(map(torch.equal, model.model.stack.layers[0].cells[1].parameters(), before))


def test_spelling_comes_in_with_zero_weights():
    sizes = {"character_vocab_size": 9, "character_hidden_size": 6}
    source, model, ids = language_model(), tagger(**sizes), random_ids(2, T)
    init_from_language_model(model, source)
    letters = torch.randint(1, 9, (2, T, 4))
    close(model.model(ids, character_ids=letters).last_hidden_state[..., :H], source.model(ids).last_hidden_state, 1e-6)
    model.train()(ids, character_ids=letters, labels=torch.zeros_like(ids)).loss.backward()
    assert model.model.stack.layers[0].cells[0].weight_ih.grad[:, -6:].abs().sum() > 0  # and is learnt


def test_embeddings_go_by_the_token():
    one = build_word_tokenizer(["the cat sat on a mat\n"])
    other = build_word_character_tokenizer([["The", "dog", "sat"]])
    source, model = language_model(vocab_size=len(one)), tagger(vocab_size=len(other))
    before = model.model.embed_tokens.weight.clone()
    assert init_from_language_model(model, source, (other, one)) == 6  # four special tokens, "the" and "sat"
    weight = model.model.embed_tokens.weight
    for word in ("the", "sat", "<unk>"):
        ids = [tokenizer.convert_tokens_to_ids(word) for tokenizer in (other, one)]
        assert torch.equal(weight[ids[0]], source.model.embed_tokens.weight[ids[1]])
    dog = other.convert_tokens_to_ids("dog")
    assert torch.equal(weight[dog], before[dog])
    letters = build_char_tokenizer(["ab"])
    with pytest.raises(ValueError, match="vocab_size: the model has"):
        init_from_language_model(model, language_model(vocab_size=len(letters) + 9))


@pytest.mark.parametrize(
    ("model", "source", "words"),
    [
        ({"hidden_size": 10}, {}, "hidden_size: the model has 10, the language model 8"),
        ({}, {"cell_type": "gru"}, "cell_type: the model has 'lstm', the language model 'gru'"),
        ({"num_hidden_layers": 3}, {}, "num_hidden_layers"),
        ({"layer_norm": True}, {}, "layer_norm: has no counterpart"),
        ({}, {"residual": True}, "residual: has no counterpart"),
        ({"bidirectional": False, "layer_norm": True}, {"layer_norm": True}, "layer_norm: has no counterpart"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(model, source, words):
    target = tagger(**model)
    before = {name: weight.clone() for name, weight in target.state_dict().items()}
    with pytest.raises(ValueError, match=words):
        init_from_language_model(target, language_model(**source))
    assert all(torch.equal(before[name], weight) for name, weight in target.state_dict().items())


def test_a_source_of_both_directions_is_refused():
    with pytest.raises(ValueError, match="must read in one direction only"):
        init_from_language_model(tagger(), RnnModel(tiny_config(bidirectional=True)))


@pytest.mark.parametrize("layers", [1, 2])
def test_loading_in_other_directions_is_one_sentence(layers, tmp_path):
    language_model(num_hidden_layers=layers).save_pretrained(tmp_path / "lm")
    with pytest.raises(ValueError, match="lm reads in one direction only, but a model of both directions is asked for"):
        RnnForTokenClassification.from_pretrained(tmp_path / "lm", bidirectional=True, **LABELS)
    forward = RnnForTokenClassification.from_pretrained(tmp_path / "lm", **LABELS)
    assert not forward.config.bidirectional
    tagger(num_hidden_layers=layers).save_pretrained(tmp_path / "tagger")
    with pytest.raises(
        ValueError, match=r"tagger reads in both directions, but a model of one is asked for: load it as it is$"
    ):
        RnnForTokenClassification.from_pretrained(tmp_path / "tagger", bidirectional=False)
    back, info = RnnForTokenClassification.from_pretrained(tmp_path / "tagger", output_loading_info=True)
    assert not info["missing_keys"]
    assert isinstance(back.config, RnnConfig)


def test_another_number_of_labels_is_the_library_s_own_error_and_option(tmp_path):
    tagger().save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        RnnForTokenClassification.from_pretrained(tmp_path, num_labels=5)
    model = RnnForTokenClassification.from_pretrained(tmp_path, num_labels=5, ignore_mismatched_sizes=True)
    assert model(random_ids(1, 3)).logits.shape == (1, 3, 5)
