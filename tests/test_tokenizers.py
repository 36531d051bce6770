"""Tokenizers: what comes back, which ids, that files alone reproduce them, and that a stream may be cut."""

import json
import pickle
import random
import subprocess
import sys
import unicodedata

import pytest
import torch
from tokenizers.decoders import DecodeStream
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rnn_zoo import RnnTokenizer
from rnn_zoo.models.tokenization_rnn import whole_offsets
from rnn_zoo.tokenizers import (
    TOKENIZER_BUILDERS,
    build_bpe_tokenizer,
    build_char_tokenizer,
    build_unigram_tokenizer,
    build_word_tokenizer,
    encode_stream,
    for_translation,
)
from rnn_zoo.tokenizers.streams import cut_at_line_ends
from rnn_zoo.tokenizers.vocabulary import SPECIAL_TOKENS
from rnn_zoo.unseen import unknown_characters

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # three emoji and two joiners
FLAG = "\U0001f1f3\U0001f1f5"
NUKTA = "\u0958\u0932\u092e \u0915\u094d\u200d\u0937 \u0928\u092e\u0938\u094d\u0924\u0947"

TEXTS = {
    "english": "The cat sat on the mat.\nThe dog didn't, it ran: 12 miles!\n",
    "devanagari": f"{NUKTA}\n\u091c\u093c \u0928\u0947\u092a\u093e\u0932\n",
    "emoji": f"{FAMILY}{FLAG} \u2764\ufe0f ok\n",
    "accents": "caf\u00e9 cafe\u0301 \u1e69 s\u0323\u0307 s\u0307\u0323 \uac00 \u1100\u1161\n",
    "white space": "  two  blanks \t tab\u00a0no-break\u2003em\u2028separator \r\n\r\n\n\n  \n end  ",
    "controls": "form\x0cfeed \x1c\x1f unit \ufeff bom \x00 null \u200b zero \ufffd",
    "special": "<unk> <pad>a<eos>b<bos> <<unk>>\n<eos>\n<pad>",
    "no line end": "nothing ends here",
    "empty": "",
}
ALL = list(TEXTS.values())


def lossless(kind: str, text: str) -> str:
    """What `decode(encode(text))` has to be, by the documentation of each kind's defaults."""
    if kind == "char":
        return unicodedata.normalize("NFC", text)
    if kind == "word":
        lines = [" ".join(words(line)) for line in text.split("\n")]
        return "\n".join(lines)
    return text


def visible(text: str) -> str:
    """What is neither white space nor, outside of words and emoji, a sign that is not seen."""
    return "".join(sign for sign in text if unicodedata.category(sign) not in ("Zs", "Zl", "Zp", "Cc", "Cf"))


def words(line: str) -> list[str]:
    for control in "\x1c\x1d\x1e\x1f":  # white space to Python alone
        line = line.replace(control, chr(0xE000 + ord(control)))
    found = [word.translate({0xE000 + code: code for code in range(0x1C, 0x20)}) for word in line.split()]
    return ["<unk>" if word in ("<pad>", "<bos>") else word for word in found]


@pytest.fixture(params=TOKENIZER_BUILDERS)
def kind(request):
    return request.param


@pytest.fixture
def tokenizer(kind):
    return TOKENIZER_BUILDERS[kind](ALL)


def encode(tokenizer, text):
    return tokenizer(text)["input_ids"]


@pytest.mark.parametrize("name", TEXTS)
def test_text_comes_back(kind, tokenizer, name):
    text = TEXTS[name]
    if kind == "wordpunct":  # all but white space and controls, with a blank between two tokens
        once = tokenizer.decode(encode(tokenizer, text))
        assert visible(once) == visible(unicodedata.normalize("NFC", text))
        assert tokenizer.decode(encode(tokenizer, once)) == once
        return
    expected = lossless(kind, text)
    if kind == "word":
        expected = expected.replace("<eos>\n", "\n\n").replace("\n<eos>", "\n\n")  # the word `<eos>` is that token
    assert tokenizer.decode(encode(tokenizer, text)) == expected


@pytest.mark.parametrize("builder", [build_char_tokenizer, build_bpe_tokenizer, build_unigram_tokenizer])
@pytest.mark.parametrize("form", [None, "none", "NFC"])
def test_normalization_is_the_one_asked_for(builder, form):
    tokenizer = builder(ALL, unicode_normalization=form)
    for text in ALL:
        expected = unicodedata.normalize("NFC", text) if form == "NFC" else text
        assert tokenizer.decode(encode(tokenizer, text)) == expected
        assert tokenizer.unk_token_id not in encode(tokenizer, text)


def test_nfc_takes_nukta_letters_apart():
    assert build_char_tokenizer(["\u0958"]).tokenize("\u0958") == ["\u0915", "\u093c"]
    assert build_char_tokenizer(["\u0958"], unicode_normalization=None).tokenize("\u0958") == ["\u0958"]


def test_special_tokens(tokenizer):
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS.values())) == [0, 1, 2, 3]
    ids = tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id
    assert ids == (0, 1, 2, 3)
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))
    assert encode(tokenizer, "cat") == tokenizer("cat", add_special_tokens=False)["input_ids"]
    assert min(encode(tokenizer, "The cat")) > 3
    assert tokenizer.padding_side == "left"
    assert tokenizer.clean_up_tokenization_spaces is False
    assert set(tokenizer("cat")) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("builder", [build_char_tokenizer, build_bpe_tokenizer, build_unigram_tokenizer])
def test_literal_special_tokens_are_text(builder):
    tokenizer = builder(ALL)
    assert min(encode(tokenizer, TEXTS["special"])) > 3


ENDINGS = [
    "",
    "cat",
    "cat\n",
    "a <eos> b",
    "!!!",
    "\U0001f44d\u200d",
    "<b>x</b>",
    "<pad>",
    "<unk>",
    " ",
    "e\u0301",
    "x<eos",
]


def test_an_end_token_at_the_end_of_a_text_is_that_token(kind, tokenizer):
    """As libraries append it; in the middle it is text, but to the tokenizer of words."""
    cleans = kind not in ("word", "char")
    markup = TOKENIZER_BUILDERS[kind](ALL, clean_markup=True, fold_case=True) if cleans else tokenizer
    cat = encode(tokenizer, "cat")
    for text in ENDINGS:
        eos, ids = tokenizer.eos_token_id, encode(tokenizer, text)
        ended = tokenizer(text + "<eos>", return_offsets_mapping=True)
        assert ended["input_ids"] == [*ids, eos]
        assert ended["offset_mapping"][-1] == (len(text), len(text) + 5)
        assert (eos in ids) == (kind == "word" and text in ("cat\n", "a <eos> b"))
        pairs = tokenizer([text + "<eos>", "cat"], ["<eos>", "cat"])
        assert pairs["input_ids"] == [[*ids, eos, eos], cat * 2]
        assert encode(markup, text + "<eos>") == [*encode(markup, text), eos]


TEMPLATE = "{% for m in messages %}{{ bos_token }}{{ m.content }}{{ eos_token }}\n{% endfor %}"


def test_in_a_chat_the_tokens_of_the_template_are_tokens_and_those_of_messages_text(kind, tokenizer):
    tokenizer.chat_template = TEMPLATE
    bos, eos, newline = tokenizer.bos_token_id, tokenizer.eos_token_id, encode(tokenizer, "\n")
    messages = [{"role": "user", "content": "The cat"}, {"role": "assistant", "content": "sat <bos> on"}]
    expected = [bos, *encode(tokenizer, "The cat"), eos, *newline]
    assert tokenizer.apply_chat_template(messages[:1], return_dict=False) == expected
    literal = [n for part in ("sat ", "<bos>", " on") for n in encode(tokenizer, part)]  # the library reads it in parts
    expected += [bos, *literal, eos, *newline]
    ids = tokenizer.apply_chat_template(messages, return_tensors="pt")
    assert ids["input_ids"].tolist() == [expected]
    assert ids["attention_mask"].all()
    messages[0]["content"] = "The <eos>"
    ids = tokenizer.apply_chat_template(messages, return_dict=False)
    assert ids.count(eos) == 2 + (kind == "word") * 3  # two line ends, and the word <eos>, which is that token
    assert tokenizer.split_special_tokens
    assert bos not in encode(tokenizer, "a <bos> b")


def test_char_is_one_token_for_each_code_point():
    tokenizer = build_char_tokenizer(ALL, unicode_normalization=None)
    for text in ALL:
        assert tokenizer.tokenize(text) == list(text)
        encoding = tokenizer(text, return_offsets_mapping=True)
        assert encoding["offset_mapping"] == [(place, place + 1) for place in range(len(text))]


COMPOSED = {  # text: the parts of it that its characters are read from
    "e\u0301a\u0958b": ["e\u0301", "a", "\u0958", "\u0958", "b"],
    "\u0930\u093c \u0935\u0930\u093c": ["\u0930\u093c", " ", "\u0935", "\u0930\u093c"],
    "s\u0307\u0323 e\u0323\u0301": ["s\u0307\u0323", " ", "e\u0323", "\u0301"],
    "\u1100\u1161\u11a8\u0130I\u0307": ["\u1100\u1161\u11a8", "\u0130", "I\u0307"],
    "e\u0301<eos>": ["e\u0301", "<eos>"],
}


@pytest.mark.parametrize("text", COMPOSED)
def test_offsets_of_characters_cover_all_that_nfc_composes(text):
    tokenizer = build_char_tokenizer(ALL)
    encoding = tokenizer(text, return_offsets_mapping=True)
    assert [text[start:end] for start, end in encoding["offset_mapping"]] == COMPOSED[text]
    assert encoding.encodings[0].offsets == encoding["offset_mapping"]
    batch = tokenizer([text, "x", f"{text} {text}"], [text, text, "x"], padding=True, return_offsets_mapping=True)
    assert encoding["offset_mapping"] == batch["offset_mapping"][1][-len(encoding["input_ids"]) :]  # of the second text
    plain = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer
    )  # as files of earlier versions give it
    lost = plain(text, return_offsets_mapping=True)["offset_mapping"]
    assert lost != encoding["offset_mapping"] == list(whole_offsets(plain, text, lost))


MARKUP = [
    "Rene\u0301, AT&amp;T &lt;3 Sa\u0303",
    "<b>\u0930\u093c</b>&quot;\u0130\u0323I\u0307&#39;",
    "x&nbsp;<br/>&amp;lt; y\r\n",
]


@pytest.mark.parametrize("kind", ["wordpunct", "bpe", "unigram"])
@pytest.mark.parametrize("text", MARKUP)
def test_offsets_cover_entities_of_html_and_whatever_changes_a_text(kind, text):
    """Each token is what is read from its part of the text alone; those of bytes leave out nothing."""
    options = {"clean_markup": True, "fold_case": True, "unicode_normalization": "NFC"}
    tokenizer = TOKENIZER_BUILDERS[kind](MARKUP, **options)
    normalizer = tokenizer.backend_tokenizer.normalizer
    encoding = tokenizer(text, return_offsets_mapping=True)
    spans = encoding["offset_mapping"]
    if kind == "wordpunct":
        words = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text))
        assert [normalizer.normalize_str(text[start:end]) for start, end in spans] == [word for word, _ in words]
    else:
        parts = list(dict.fromkeys(spans))  # bytes of one character share its span
        assert [start for start, _ in parts] == [0, *(end for _, end in parts[:-1])]
        assert parts[-1][1] == len(text)


def test_char_vocabulary_is_sorted_by_code_point():
    tokenizer = build_char_tokenizer(["b\n", "\U0001f600a"])
    assert tokenizer.convert_ids_to_tokens(range(4, len(tokenizer))) == ["\n", "a", "b", "\U0001f600"]
    assert len(build_char_tokenizer(["aab"], min_frequency=2)) == 5


def test_char_counts_across_the_borders_of_pieces():
    tokenizer = build_char_tokenizer(["caf", "e", "\u0301 x"])
    assert "\u00e9" in tokenizer.get_vocab()
    assert "\u0301" not in tokenizer.get_vocab()


def test_every_unknown_character_is_one_unk():
    tokenizer = build_char_tokenizer(["abc"])
    assert encode(tokenizer, f"a{FAMILY}\n\nb") == [4, *[3] * 7, 5]


def test_order_and_repetition_of_the_build_change_nothing(kind):
    texts = [f"{text}\n" for text in ALL] * 2
    expected = TOKENIZER_BUILDERS[kind](texts).backend_tokenizer.to_str()
    shuffled = random.Random(0).sample(texts, len(texts))
    assert TOKENIZER_BUILDERS[kind](iter(shuffled)).backend_tokenizer.to_str() == expected


def test_word_has_eos_at_each_line_end():
    tokenizer = build_word_tokenizer(["a b\n\n = a <unk>\r\nb"])
    tokens = ["a", "b", "<eos>", "<eos>", "=", "a", "<unk>", "<eos>", "b"]
    assert tokenizer.tokenize("a b\n\n = a <unk>\r\nb") == tokens
    assert tokenizer.tokenize("a") == ["a"]
    assert tokenizer.tokenize("a\n") == ["a", "<eos>"]
    assert tokenizer.tokenize("a<unk> new a") == ["<unk>", "<unk>", "a"]
    assert tokenizer.tokenize("<pad> <bos> <eos>") == ["<unk>", "<unk>", "<eos>"]


def test_word_vocabulary_is_sorted_by_frequency_then_word():
    texts = ["c b a\nb a <unk> b\n", "<pad> d"]
    tokenizer = build_word_tokenizer(texts)
    assert tokenizer.convert_ids_to_tokens(range(len(tokenizer))) == [*SPECIAL_TOKENS.values(), "b", "a", "c", "d"]
    assert len(build_word_tokenizer(texts, min_frequency=2)) == 6
    assert len(build_word_tokenizer(texts, max_vocab_size=7)) == 7


def test_word_ids_survive_decode_and_encode():
    tokenizer = build_word_tokenizer(["x<eos>y ##b a\n"])
    ids = encode(tokenizer, " x<eos>y  a ##b new\n\n \n##b <unk> a")
    assert tokenizer.decode(ids) == "x<eos>y a ##b <unk>\n\n\n##b <unk> a"
    assert encode(tokenizer, tokenizer.decode(ids)) == ids


@pytest.mark.parametrize("builder", [build_bpe_tokenizer, build_unigram_tokenizer])
def test_bytes_make_every_text_known(builder):
    tokenizer = builder(["a"])
    assert len(tokenizer) == 260
    for text in ALL:
        assert tokenizer.decode(encode(tokenizer, text)) == text
        assert not set(encode(tokenizer, text)) & {0, 1, 2, 3}


@pytest.mark.parametrize("builder", [build_bpe_tokenizer, build_unigram_tokenizer])
def test_whole_words_of_any_script_are_learnt(builder):
    tokenizer = builder(["\u0928\u092e\u0938\u094d\u0924\u0947 the\n"] * 4, vocab_size=300)
    assert len(encode(tokenizer, "\u0928\u092e\u0938\u094d\u0924\u0947 the\n")) == 3


def test_unigram_cuts_into_the_likeliest_pieces():
    """By its own scores, against all ways to cut a word."""
    words = ["reading", "reader", "read", "bead", "leading", "ding"]
    texts = [" ".join(random.Random(n).choices(words, k=8)) for n in range(50)]
    tokenizer = build_unigram_tokenizer(texts, vocab_size=290)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    scores = dict(model["vocab"][len(SPECIAL_TOKENS) :])
    assert 260 < len(tokenizer) == len(model["vocab"]) <= 290
    assert len(tokenizer.tokenize(" leading reading")) < 6

    def best(word: str) -> float:
        cuts = [scores[word[:n]] + best(word[n:]) for n in range(1, len(word) + 1) if word[:n] in scores]
        return max(cuts, default=0.0)

    for word in [*words, "dinger", "aerbead", "xylem"]:
        pieces = tokenizer.tokenize(word)
        assert sum(scores[piece] for piece in pieces) == pytest.approx(best(word))


def test_unigram_ids_are_bytes_then_pieces_by_probability():
    tokenizer = build_unigram_tokenizer([f"{text}\n" for text in ALL] * 3, vocab_size=400)
    scores = dict(json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"])
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    alphabet = build_bpe_tokenizer(["a"]).convert_ids_to_tokens(range(4, 260))
    assert tokens[:4] == [*SPECIAL_TOKENS.values()]
    assert tokens[4:260] == alphabet
    assert tokens[260:] == sorted(tokens[260:], key=lambda piece: (-scores[piece], piece))
    assert len(tokens) > 300


@pytest.mark.parametrize("builder", [build_bpe_tokenizer, build_unigram_tokenizer])
def test_ties_are_not_left_to_chance(builder):
    """Many pieces are equally frequent here, and the library's own order of words changes from build to build."""
    chooser = random.Random(0)
    lines = [" ".join("".join(chooser.choices("abcdefgh\u0928", k=6)) for _ in range(5)) + "\n" for _ in range(100)]
    builds = {builder(chooser.sample(lines, 100), vocab_size=400).backend_tokenizer.to_str() for _ in range(4)}
    assert len(builds) == 1


def test_for_translation_ends_every_text(kind, tokenizer, tmp_path):
    translator = for_translation(tokenizer)
    eos = tokenizer.eos_token_id
    for text in ALL:
        ids = encode(tokenizer, text)
        assert translator(text)["input_ids"] == translator(text_target=text)["input_ids"] == [*ids, eos]
        assert translator(text, add_special_tokens=False)["input_ids"] == ids
        if kind == "wordpunct":
            assert translator.decode([*ids, eos], skip_special_tokens=True) == tokenizer.decode(ids)
        elif kind != "word":  # whose literal <eos> and <unk> are those tokens, and leave with them
            assert translator.decode([*ids, eos], skip_special_tokens=True) == lossless(kind, text)
    literal = translator("The cat <eos>")["input_ids"]  # is text, as the token itself is appended
    assert (literal[-1], literal.count(eos)) == (eos, 2 if kind == "word" else 1)
    assert tokenizer.padding_side == "left"  # what was given stays as it was
    assert encode(tokenizer, "") == []
    batch = translator(["cat", ""], text_target=["", "cat"], padding=True)
    assert batch["labels"] == batch["input_ids"][::-1]
    assert batch["input_ids"][1] == [eos] + [tokenizer.pad_token_id] * (len(batch["input_ids"][0]) - 1)
    cut = translator("cat " * 10_000, truncation=True, max_length=3)["input_ids"]
    assert (len(cut), cut[-1]) == (3, eos)
    assert len(translator("cat " * 10_000)["input_ids"]) > 10_000


@pytest.mark.ci
def test_files_alone_reproduce_the_tokenizers(tmp_path):
    """In a process that cannot import the package, also beside the config of a model it does not know; by the code that
    travels with them, and without any."""
    tokenizers = {kind: build(ALL) for kind, build in TOKENIZER_BUILDERS.items()}
    tokenizers |= {f"{kind} for translation": for_translation(given) for kind, given in tokenizers.items()}
    for kind, tokenizer in tokenizers.items():
        tokenizer.save_pretrained(tmp_path / kind)
        config = {"model_type": "rnn_zoo", "vocab_size": len(tokenizer), "transformers_version": "5.0.0"}
        (tmp_path / kind / "config.json").write_text(json.dumps(config))
    script = (
        "import json, sys; sys.modules['rnn_zoo'] = None\n"
        "from transformers import AutoTokenizer, PreTrainedTokenizerFast\n"
        "texts, result = json.load(sys.stdin), {}\n"
        "for kind in sys.argv[2:]:\n"
        "    for opened, options in ((AutoTokenizer, {'trust_remote_code': True}), (PreTrainedTokenizerFast, {})):\n"
        "        tokenizer = opened.from_pretrained(f'{sys.argv[1]}/{kind}', **options)\n"
        "        ids = [tokenizer(text)['input_ids'] for text in texts]\n"
        "        found = [ids, tokenizer.batch_decode(ids), tokenizer.padding_side, type(tokenizer).__name__]\n"
        "        result.setdefault(kind, []).append(found)\n"
        "print(json.dumps(result))\n"
    )
    command = [sys.executable, "-I", "-c", script, str(tmp_path), *tokenizers]
    done = subprocess.run(command, input=json.dumps(ALL), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    for kind, tokenizer in tokenizers.items():
        ids = [encode(tokenizer, text) for text in ALL]
        found = [ids, tokenizer.batch_decode(ids), tokenizer.padding_side]
        assert loaded[kind] == [[*found, "RnnTokenizer"], [*found, "TokenizersBackend"]]
        assert type(AutoTokenizer.from_pretrained(tmp_path / kind)) is RnnTokenizer  # with the package


def test_saved_and_pickled_tokenizers_are_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "first")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "first")
    loaded.save_pretrained(tmp_path / "second")
    for copy in (loaded, AutoTokenizer.from_pretrained(tmp_path / "second"), pickle.loads(pickle.dumps(tokenizer))):
        assert copy.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
        assert copy.split_special_tokens
        assert copy.model_max_length == tokenizer.model_max_length > 10**9
        for text in ALL:
            assert encode(copy, text) == encode(tokenizer, text)
            assert torch.equal(encode_stream(copy, [text]), encode_stream(tokenizer, [text]))


def test_batches_are_padded_on_the_left(tokenizer):
    texts = [TEXTS["emoji"], TEXTS["devanagari"], "cat"]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    for row, mask, text in zip(batch["input_ids"], batch["attention_mask"], texts, strict=True):
        ids = encode(tokenizer, text)
        assert row.tolist() == [0] * (len(row) - len(ids)) + ids
        assert mask.tolist() == [0] * (len(row) - len(ids)) + [1] * len(ids)
    unpadded = [row[mask.bool()] for row, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)]
    assert tokenizer.batch_decode(unpadded) == [tokenizer.decode(encode(tokenizer, text)) for text in texts]


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 14])
@pytest.mark.parametrize(
    "text", ["".join(ALL * 3), TEXTS["no line end"], "\n", "\n\n\na", "e\n\u0301\n", "a <eos>\n!!<eos>", ""]
)
def test_stream_equals_one_encode(tokenizer, text, size, monkeypatch):
    """However the text comes and wherever it is cut; also after a padded call, which leaves its mark behind."""
    monkeypatch.setattr(cut_at_line_ends, "__defaults__", (size,))
    monkeypatch.setattr("rnn_zoo.tokenizers.encoding.BATCH_PIECES", 3)
    expected = encode(tokenizer, text)
    tokenizer(["a", "a b"], padding="max_length", max_length=5, truncation=True)
    chooser = random.Random(size)
    cuts = sorted(chooser.choices(range(len(text) + 1), k=5))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    for texts in ([text], iter(parts), list(text)):
        ids = encode_stream(tokenizer, texts)
        assert (ids.dtype, ids.tolist()) == (torch.int32, expected)


@pytest.mark.parametrize("size", [1, 5, 30, 1000])
def test_pieces_are_whole_lines(size):
    text = "".join(ALL)
    pieces = list(cut_at_line_ends([text[:50], "", text[50:]], size))
    assert "".join(pieces) == text
    assert all(piece.endswith("\n") and len(piece) >= size for piece in pieces[:-1])
    assert all("\n" not in piece[size - 1 : -1] for piece in pieces)  # none is longer than it has to be


@pytest.mark.parametrize("prompt", [0, 1, 5])
@pytest.mark.parametrize("name", TEXTS)
def test_decode_stream_writes_the_text_as_it_grows(tokenizer, name, prompt):
    ids = encode(tokenizer, TEXTS[name] + "end")
    while "\ufffd" in tokenizer.decode(ids[:prompt]):  # within a character of several bytes
        prompt += 1
    stream = DecodeStream(ids[:prompt])
    steps = [stream.step(tokenizer.backend_tokenizer, token) or "" for token in ids[prompt:]]
    assert tokenizer.decode(ids[:prompt]) + "".join(steps) == tokenizer.decode(ids)


def test_unknown_characters():
    char = build_char_tokenizer(["abc <unk>"])
    assert unknown_characters(char, "xaz\nx<unk>\u0958") == ["x", "z", "\n", "\u0958"]
    assert unknown_characters(char, "") == unknown_characters(char, "cab") == []
    word = build_word_tokenizer(["a b\n"])
    assert unknown_characters(word, "a <unk> new\n\nwords <pad> new b") == ["new", "words", "<pad>"]
    assert unknown_characters(build_bpe_tokenizer(["a"]), "".join(ALL)) == []
    assert unknown_characters(build_unigram_tokenizer(["a"]), "".join(ALL)) == []


@pytest.mark.parametrize("texts", [[], ["", ""], "abc", [b"abc"], [None], ["ok\n", "a\udc80"]])
def test_texts_that_are_none(kind, texts):
    with pytest.raises(ValueError, match=r"^texts") as caught:
        TOKENIZER_BUILDERS[kind](texts)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("char", {"unicode_normalization": "NCF"}, "unicode_normalization='NCF': unknown; did you mean 'NFC'"),
        ("bpe", {"unicode_normalization": "nfc"}, "unicode_normalization='nfc': unknown"),
        ("char", {"min_frequency": 0}, "min_frequency=0: must be at least 1"),
        ("char", {"min_frequency": 99}, "min_frequency=99: no character .* at most 1"),
        ("word", {"min_frequency": 99}, "min_frequency=99: no word .* at most 1"),
        ("word", {"max_vocab_size": 4}, "max_vocab_size=4: must be at least 5"),
        ("bpe", {"vocab_size": 259}, "vocab_size=259: must be at least 260"),
        ("bpe", {"min_frequency": 0}, "min_frequency=0: must be at least 1"),
        ("unigram", {"vocab_size": 259}, "vocab_size=259: must be at least 260"),
        ("unigram", {"unicode_normalization": "nfc"}, "unicode_normalization='nfc': unknown"),
    ],
)
def test_options_out_of_range(kind, options, message):
    with pytest.raises(ValueError, match=message):
        TOKENIZER_BUILDERS[kind](["ab"], **options)
