"""Words read by their spelling: both encoders, affixes, padding, gradients, and the models that use them."""

import re
import unicodedata

import pytest
import torch
from conftest import ONE_OF_EACH_KIND, H, T, V, pad_rows, random_ids, tiny_config
from huggingface_hub.errors import StrictDataclassError
from test_models import close, close_all, tensors

from rnn_zoo import RnnForCausalLM, RnnForTokenClassification, RnnModel
from rnn_zoo.models.character_encoder import CHARACTER_ENCODERS, FIRST, NO_KEY, AffixEncoder, CharacterEncoder, distinct
from rnn_zoo.tokenizers import build_word_character_tokenizer

W, C = 5, 9  # characters of a word, character ids

AFFIXES = {"affix_length": 2, "affix_embedding_size": 3, "affix_vocab_size": 50}
every_encoder = pytest.mark.parametrize("encoder", [*CHARACTER_ENCODERS, "cnn+affixes"])


def config(encoder="cnn", **overrides):
    sizes = {"character_vocab_size": C, "character_embedding_size": 4, "character_hidden_size": 6}
    sizes |= AFFIXES if encoder.endswith("+affixes") else {}
    return tiny_config(**sizes | {"character_encoder": encoder.removesuffix("+affixes")} | overrides)


def spellings(rows, length):
    """Random words of 1 to W characters, `(rows, length, W)`."""
    ids = torch.randint(1, C, (rows, length, W))
    return ids.masked_fill(torch.arange(W) >= torch.randint(1, W + 1, (rows, length, 1)), 0)


def build(encoder, **overrides):
    return RnnModel(config(encoder, bidirectional=True, **overrides)).double().eval()


@every_encoder
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_word_does_not_depend_on_the_words_beside_it_or_its_padding(encoder, size):
    characters = CharacterEncoder(config(encoder, character_kernel_size=size)).double()
    for parameter in characters.parameters():
        torch.nn.init.normal_(parameter)  # the padding's vector too: it must not be read
    ids = spellings(2, T)
    y = characters(ids)
    assert y.shape == (2, T, 6 + 15 * encoder.endswith("+affixes"))
    for row in range(2):
        for t in range(T):
            n = int((ids[row, t] != 0).sum())
            close(characters(ids[row, t, :n][None, None])[0, 0], y[row, t])


@every_encoder
def test_padding_is_zero_and_finite(encoder):
    characters = CharacterEncoder(config(encoder)).double()
    ids = spellings(2, 3)
    ids[1, 1:] = 0
    y = characters(ids)
    assert y[1, 1:].eq(0).all()
    y.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in characters.parameters())
    assert characters(torch.zeros(2, 3, W, dtype=torch.long)).eq(0).all()
    assert characters(torch.zeros(0, 3, W, dtype=torch.long)).shape == (0, 3, y.shape[2])


def test_a_spelling_is_read_once(monkeypatch):
    ids = spellings(4, T)
    ids[2:] = ids[:2]
    words = ids.flatten(0, 1)
    found, place = distinct(words)
    assert torch.equal(found[place], words)
    assert len(found) == len(words.unique(dim=0))
    monkeypatch.setattr("rnn_zoo.models.character_encoder.KEY", 0)  # all spellings have one key
    found, place = distinct(words)
    assert torch.equal(found[place], words)


# ---- affixes ----
WORDS = [
    "McCain-1990",
    "EU",
    "USA",
    "मुंबई",
    "मुंबईला",
    "Peter",
    "peter",
    "PETER",
    "1990",
    "1765",
    "a",
    "é",
    "...",
    "x2y",
    "B-",
]
CHARACTERS = "".join(sorted(set("".join(WORDS)) - {"x"}))  # one is unknown


def affixes_of(words, length=4):
    """The vectors `(N, features, 3)` of words, all of whose affixes are frequent."""
    ids = {character: n for n, character in enumerate(CHARACTERS, FIRST)}
    values = {"affix_length": length, "affix_embedding_size": 3, "affix_vocab_size": 40}
    encoder = AffixEncoder(config(character_vocab_size=len(CHARACTERS) + FIRST, **values))
    encoder.mark_characters(CHARACTERS)
    longest = max(map(len, words))
    rows = torch.tensor([[ids.get(c, 1) for c in word] + [0] * (longest - len(word)) for word in words])
    encoder.keep_frequent(rows, 1)
    return encoder(rows).unflatten(1, (2 * length + 1, 3)).detach()


def plain_features(word, length=4):
    """The strings that the hash stands for."""
    folded = re.sub(r"\d", "0", word.lower())
    kinds = {"Lu": "X", "Ll": "x", "Lo": "c", "Nd": "0"}
    shape = "".join(kinds.get(unicodedata.category(c), c) for c in word if unicodedata.category(c)[0] != "M").replace(
        "x2", "?2"
    )
    ends = range(1, length + 1)
    return [*(folded[:n] for n in ends), *(folded[-n:] for n in ends), re.sub(r"(.)\1+", r"\1\1", shape)[:10]]


def test_equal_affixes_and_shapes_have_equal_vectors():
    words = [word for word in WORDS if "x" not in word]
    vectors = affixes_of(words)
    for n, one in enumerate(words):
        for m, other in enumerate(words):
            for k, (a, b) in enumerate(zip(plain_features(one), plain_features(other), strict=True)):
                assert torch.equal(vectors[n, k], vectors[m, k]) == (a == b), (one, other, a, b)


def test_unknown_characters_and_no_word():
    vectors = affixes_of(["x2y", "x1y", "", "xay"])
    assert torch.equal(vectors[0], vectors[1])
    assert vectors[2].eq(0).all()
    assert not torch.equal(vectors[0, -1], vectors[3, -1])
    assert vectors.isfinite().all()


def test_every_affix_length_has_vectors_of_its_own():
    a, peter = affixes_of(["a", "peter"])
    assert len(a.unique(dim=0)) == len(peter.unique(dim=0)) == 9


def test_rare_affixes_share_a_vector_with_unseen_ones():
    encoder = AffixEncoder(config(character_vocab_size=9, affix_length=2, affix_embedding_size=3, affix_vocab_size=9))
    words = torch.tensor([[2, 3, 4], [2, 3, 5], [2, 6, 4], [7, 6, 8]])
    encoder.keep_frequent(words, 2)
    vectors = encoder(words).unflatten(1, (5, 3))
    unseen = encoder(torch.tensor([[5, 5, 5]])).unflatten(1, (5, 3))[0]
    for feature, frequent in enumerate([[0, 1, 2], [0, 1], [0, 2], []]):  # prefixes 2, 2-3; suffixes 4, none of two
        for n in range(4):
            assert torch.equal(vectors[n, feature], unseen[feature]) == (n not in frequent), (n, feature)
    assert len(unseen.unique(dim=0)) == 5
    encoder = AffixEncoder(config(character_vocab_size=9, affix_length=2, affix_vocab_size=1))
    encoder.keep_frequent(words, 1)
    assert (encoder.frequent != NO_KEY).all()  # the most frequent one of each length
    assert encoder.frequent[0] == encoder.keys(words)[0, 0]


def test_marks_travel_with_the_weights(tmp_path):
    options = {"bidirectional": True, "id2label": {0: "O", 1: "B-X", 2: "I-X"}}
    tokenizer = build_word_character_tokenizer([WORDS])
    options |= {"vocab_size": len(tokenizer), "character_vocab_size": tokenizer.character_vocab_size}
    model = RnnForTokenClassification(config("cnn+affixes", **options)).eval()
    before = model.model.characters.affixes.kinds.clone()
    with pytest.raises(ValueError, match="words: affix_length needs those of the training text"):
        model.mark_words(tokenizer)
    with pytest.raises(ValueError, match=r"the tokenizer has \d+ characters, the model \d+"):
        model.mark_words(build_word_character_tokenizer([["abcdefghijklmnopqrstuvwxyz0123456789+*/"]]), WORDS)
    assert torch.equal(model.model.characters.affixes.kinds, before)
    model.mark_words(tokenizer, WORDS, 1)
    assert not torch.equal(model.model.characters.affixes.kinds, before)
    model.save_pretrained(tmp_path)
    back = RnnForTokenClassification.from_pretrained(tmp_path)
    inputs = tokenizer(WORDS, is_split_into_words=True, return_tensors="pt")
    close(back(**inputs).logits, model(**inputs).logits)
    assert torch.equal(back.model.characters.affixes.kinds, model.model.characters.affixes.kinds)


def test_the_cnn_is_a_convolution_with_the_greatest_value():
    characters = CharacterEncoder(config("cnn")).double()
    ids = torch.tensor([2, 5, 3])
    x = torch.nn.functional.pad(characters.embedding(ids).T, (1, 1))  # (C, 5)
    weight, bias = characters.encoder.convolution.weight, characters.encoder.convolution.bias
    windows = torch.stack([(weight * x[:, t : t + 3]).sum((1, 2)) + bias for t in range(3)])
    close(characters(ids[None, None])[0, 0], windows.amax(0))


@pytest.mark.parametrize("cell", ONE_OF_EACH_KIND)
def test_the_rnn_reads_a_word_from_both_ends(cell):
    characters = CharacterEncoder(config("rnn", cell_type=cell)).double()
    ids = torch.tensor([2, 5, 3])
    x = characters.embedding(ids)[None]
    forward, backward = characters.encoder.cells
    expected = torch.cat([forward(x)[0][:, -1], backward(x.flip(1))[0][:, -1]], -1)
    close(characters(ids[None, None])[0], expected)


@every_encoder
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_is_its_rows_alone(encoder, side):
    model = build(encoder)
    rows = [random_ids(n) for n in (T, 4, 1)]
    ids, mask = pad_rows(rows, side)
    letters = spellings(3, T) * mask[..., None]
    outputs = model(ids, attention_mask=mask, character_ids=letters)
    for n, row in enumerate(rows):
        real = mask[n].bool()
        alone = model(row[None], character_ids=letters[n, real][None])
        close(outputs.last_hidden_state[n, real], alone.last_hidden_state[0])
        close_all(tensors(outputs.cache_params[n]), tensors(alone.cache_params))


@every_encoder
def test_spelling_tells_unknown_words_apart(encoder):
    model, ids = build(encoder), torch.full((2, T), 3)
    letters = spellings(1, T).expand(2, -1, -1).clone()
    letters[1, 2, 0] = letters[1, 2, 0] % (C - 1) + 1
    one, other = model(ids, character_ids=letters).last_hidden_state
    assert not torch.allclose(one, other)


@every_encoder
def test_a_model_with_characters_comes_back_from_its_files(encoder, tmp_path):
    model, ids, letters = build(encoder), random_ids(2, T), spellings(2, T)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "character_encoder.py").exists()
    back = RnnModel.from_pretrained(tmp_path)
    close(back(ids, character_ids=letters).last_hidden_state, model(ids, character_ids=letters).last_hidden_state)


def test_word_dropout_makes_words_unknown_in_training_only():
    model, ids, letters = build("cnn", word_dropout=0.5), random_ids(2, T), spellings(2, T)
    seen = []
    model.embed_tokens.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model(ids, character_ids=letters)
    model.train()(ids, character_ids=letters)
    assert torch.equal(seen[0], ids)
    dropped = seen[1] == model.config.unk_token_id
    assert dropped.any()
    assert not dropped.all()
    assert torch.equal(seen[1][~dropped], ids[~dropped])


def test_rare_words_are_dropped_more_often():
    model = RnnModel(tiny_config()).train()
    counts = torch.zeros(V)
    counts[5], counts[6] = 1, 9
    model.drop_rare_words(counts, alpha=1.0)
    seen = []
    model.embed_tokens.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model(torch.tensor([[5, 6, 7]]).repeat(2000, 1))
    shares = (seen[0] == model.config.unk_token_id).float().mean(0)
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.1, 0.0]), atol=0.04, rtol=0)
    model.eval()(torch.tensor([[5, 6, 7]]))
    assert seen[1].tolist() == [[5, 6, 7]]
    with pytest.raises(ValueError, match=r"counts have shape \(3,\)"):
        model.drop_rare_words(torch.ones(3), 1.0)
    with pytest.raises(ValueError, match="alpha=-1: must be above 0"):
        model.drop_rare_words(counts, -1)
    assert "word_dropout_rates" not in model.state_dict()
    model.resize_token_embeddings(V + 3)
    model.train()(torch.tensor([[V + 2, 5]]))
    with pytest.raises(ValueError, match="unk_token_id"):
        RnnModel(tiny_config(unk_token_id=None)).drop_rare_words(counts, 1.0)


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        ({}, ValueError, "character_ids is missing"),
        ({"character_ids": torch.ones(2, T, dtype=torch.long)}, ValueError, r"character_ids has shape \(2, 7\)"),
        ({"character_ids": torch.ones(2, T + 1, W, dtype=torch.long)}, ValueError, r"\(2, 8, 5\).*\(2, 7\)"),
        ({"character_ids": torch.full((2, T, W), C)}, IndexError, rf"character_ids holds {C}.*{C} ids"),
    ],
)
def test_mistakes(inputs, error, words):
    with pytest.raises(error, match=words):
        build("cnn")(random_ids(2, T), **inputs)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"character_encoder": "cn"}, "did you mean 'cnn'"),
        ({"character_encoder": "rnn", "character_hidden_size": 7}, "must be even"),
        ({"character_kernel_size": 0}, "character_kernel_size=0"),
        ({"affix_length": 2, "character_vocab_size": None}, "needs character_vocab_size"),
        ({"affix_length": -1}, "affix_length=-1: must be at least 0"),
        ({"affix_vocab_size": 0}, "affix_vocab_size=0"),
        ({"word_dropout": 0.1, "unk_token_id": None}, "unk_token_id"),
    ],
)
def test_mistakes_in_the_configuration(values, words):
    with pytest.raises(StrictDataclassError, match=words):
        config(**values)


def test_a_language_model_does_not_spell():
    with pytest.raises(ValueError, match="character_vocab_size"):
        RnnForCausalLM(config())


def test_sizes():
    assert config().input_size == config().embedding_size + 6
    assert config("cnn+affixes").input_size == config().embedding_size + 6 + 5 * 3
    assert tiny_config().input_size == tiny_config().embedding_size
    assert build("cnn").stack.layers[0].cells[0].weight_ih.shape == (4 * H, config().input_size)
    assert V > C
