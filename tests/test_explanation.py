"""Explanations: the gradient is the slope, batches change nothing, words are whole, what decides comes first."""

import io
import random
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import regex
import torch
from conftest import ONE_OF_EACH_KIND, tiny_config
from rich.console import Console
from test_tagging import wordpiece_tokenizer
from torch.nn import functional as F

from rnn_zoo import Classifier, RnnForSequenceClassification
from rnn_zoo.data import length_batches
from rnn_zoo.models.pooling import POOLINGS
from rnn_zoo.models.tokenization_words import WordCharacterTokenizer
from rnn_zoo.tasks.sequence_classification import explanation as module
from rnn_zoo.tasks.sequence_classification.encoding import READ
from rnn_zoo.tasks.sequence_classification.explanation import (
    ExplainedWord,
    Explanation,
    explain,
    lists_of,
    save_explanations,
    show_explanation,
    token_weights,
    words_of_tokens,
)
from rnn_zoo.tokenizers import TOKENIZER_BUILDERS, build_wordpunct_tokenizer, with_spelling

TEXTS = [
    "A fine film, not the worst.",
    "",
    "काठमाडौंको होटेल राम्रो थिएन। क\u200dष क्षेत्र नेपा\u200cल",
    "👩\u200d👩\u200d👧 family! 👍🏽 ❤\ufe0f\u200d🔥 🇮🇳🇳🇵 1\ufe0f\u20e3 🏴\U000e0067\U000e0062\U000e007f",
    "re\u0301sume\u0301 résumé don't Å\u212b ﬁ \u1112\u1161\u11ab 한국어 日本",
    "I <b>loved</b> it.<br /><br />Not &amp; never <script>",
    "nul\x00 bytes\x07 and\tline\nends\r\n \u200b\ufeff x",
    "  \t ",
    "[bold]x[/bold] :smile: <pad> <eos>",
    "مرحبا bad שלום",
    "x",
]
TOKENIZERS = {
    **{name: lambda name=name: TOKENIZER_BUILDERS[name]([text for text in TEXTS if text]) for name in ("char", "word")},
    "wordpunct": lambda: build_wordpunct_tokenizer(TEXTS, fold_case=True),
    "markup": lambda: build_wordpunct_tokenizer(TEXTS, clean_markup=True),
    "spelling": lambda: with_spelling(build_wordpunct_tokenizer(TEXTS, min_frequency=2), TEXTS, max_word_length=6),
    "bpe": lambda: TOKENIZER_BUILDERS["bpe"](TEXTS, vocab_size=300),
    "unigram": lambda: TOKENIZER_BUILDERS["unigram"](TEXTS * 5),
    "WordPiece": lambda: wordpiece_tokenizer([text.split() for text in TEXTS]),
}
LABELS = ["bad", "fair", "good"]
ENDS = [4, 5]  # ids; which tokens they are does not matter

every_tokenizer = pytest.mark.parametrize("name", TOKENIZERS)
every_pooling = pytest.mark.parametrize("pooling", POOLINGS)
every_cell = pytest.mark.parametrize("cell", ONE_OF_EACH_KIND)
levels = pytest.mark.parametrize("hierarchical", [False, True], ids=["flat", "hierarchical"])


def build(tokenizer, labels=LABELS, hierarchical=False, **options):
    """A classifier whose logits depend visibly on the text, float64."""
    values = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "num_hidden_layers": 1,
        "bidirectional": True,
        "initializer_range": 1.0,
        "attention_hops": 2,
        "id2label": dict(enumerate(labels)),
        "label2id": {label: n for n, label in enumerate(labels)},
    }
    if hierarchical:
        values |= {"hierarchical": True, "sentence_end_token_ids": ENDS}
    if isinstance(tokenizer, WordCharacterTokenizer):
        values |= {"character_vocab_size": tokenizer.character_vocab_size, "character_hidden_size": 4}
    model = RnnForSequenceClassification(tiny_config(**values | options)).double()
    for name, parameter in model.named_parameters():
        if "bias" in name or name.startswith("classifier") or "pooling" in name:
            torch.nn.init.uniform_(parameter, -1, 1)
    return model.eval()


def close(explanations, others):
    """The same words, and their values to float tolerance."""
    assert [[word[:3] for word in e.words] for e in explanations] == [[word[:3] for word in e.words] for e in others]
    assert [e.label for e in explanations] == [e.label for e in others]
    for e, other in zip(explanations, others, strict=True):
        assert e.score == pytest.approx(other.score, abs=1e-9)
        for word, same in zip(e.words, other.words, strict=True):
            assert word.gradient == pytest.approx(same.gradient, abs=1e-9)
            assert word.attention == pytest.approx(same.attention, abs=1e-9)


# ---- values ----
@levels
@every_cell
@every_pooling
def test_gradient_times_input_is_the_slope_along_each_vector(pooling, cell, hierarchical):
    """d logit(s · e_t) / ds at s = 1, by central differences."""
    tokenizer = TOKENIZERS["wordpunct"]()
    model = build(tokenizer, pooling=pooling, cell_type=cell, hierarchical=hierarchical)
    ids = torch.tensor([[7, 4, 9, 10, 5, 11, 8], [12, 9, 4, 6, 0, 0, 0]])
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    found = token_weights(model, inputs, None)
    assert found.explained == model(**inputs).logits.argmax(-1).tolist()
    h = 1e-5
    embedding = model.get_input_embeddings()
    for row, token in ((0, 0), (0, 3), (0, 6), (1, 1), (1, 3)):
        values = []
        for scale in (1 + h, 1 - h):
            # The token at one place only: as an id of its own, whose vector is scaled.
            own = len(embedding.weight)
            table = torch.cat([embedding.weight, scale * embedding.weight[ids[row, token]][None]]).detach()
            model.get_input_embeddings().weight = torch.nn.Parameter(table)
            if ids[row, token] in ENDS:
                model.config.sentence_end_token_ids = [*ENDS, own]
            changed = ids.clone()
            changed[row, token] = own
            logits = model(input_ids=changed, attention_mask=inputs["attention_mask"]).logits
            values.append(logits[row, found.explained[row]].item())
            embedding.weight = torch.nn.Parameter(table[:own].clone())
            model.config.sentence_end_token_ids = ENDS
        slope = (values[0] - values[1]) / (2 * h)
        assert found.gradient[row, token].item() == pytest.approx(slope, rel=1e-6, abs=1e-7)
    assert found.gradient.abs().sum() > 0.01
    assert not found.gradient[1, 4:].any()


@levels
@pytest.mark.parametrize("pooling", ["attention", "self_attentive"])
def test_attention_is_the_mean_of_the_hops(pooling, hierarchical):
    """Of a document: the weight of the word in its sentence times that of the sentence."""
    model = build(TOKENIZERS["wordpunct"](), pooling=pooling, hierarchical=hierarchical)
    ids = torch.tensor([[7, 4, 9, 10, 5, 11, 8], [12, 9, 4, 6, 0, 0, 0]])
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    found = token_weights(model, inputs, None).attention
    weights = model(**inputs, output_attentions=True).attentions
    expected = sum(weights[0].unbind(1)) / weights[0].shape[1]
    if hierarchical:
        sentence_of = torch.tensor([[0, 0, 1, 1, 1, 2, 2], [0, 0, 0, 1, 0, 0, 0]])
        of_sentence = sum(weights[1].unbind(1)) / weights[1].shape[1]
        expected = expected * of_sentence.gather(1, sentence_of)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.sum(1), torch.ones(2).double())
    assert found.std() > 0.01


@every_tokenizer
@pytest.mark.parametrize("pooling", ["attention", "mean"])
def test_values_of_words_are_the_sums_of_their_tokens(name, pooling):
    tokenizer = TOKENIZERS[name]()
    model = build(tokenizer, pooling=pooling)
    for text, found in zip(TEXTS, explain(model, tokenizer, TEXTS), strict=True):
        encoded = tokenizer(text, return_offsets_mapping=True)
        if not encoded["input_ids"]:
            assert found.words == []
            continue
        inputs = {name: torch.tensor([encoded[name]]) for name in READ if name in encoded}
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        alone = token_weights(model, inputs, None)
        counted = [t for t, (start, end) in enumerate(encoded["offset_mapping"]) if start < end]
        if not found.words:  # white space and controls only
            continue
        total = sum(alone.gradient[0, t].item() for t in counted)
        assert sum(word.gradient for word in found.words) == pytest.approx(total, abs=1e-9)
        if pooling == "mean":
            assert {word.attention for word in found.words} == {None}
        elif len(counted) == len(encoded["input_ids"]):
            assert sum(word.attention for word in found.words) == pytest.approx(1, abs=1e-9)
        assert found.score == pytest.approx(alone.logits.softmax(-1).max().item())


@every_tokenizer
@pytest.mark.parametrize(("hierarchical", "side"), [(False, "left"), (True, "right")])
def test_a_batch_has_the_explanations_of_each_text_alone(name, hierarchical, side):
    tokenizer = TOKENIZERS[name]()
    tokenizer.padding_side = side
    model = build(tokenizer, pooling="attention", hierarchical=hierarchical)
    together = explain(model, tokenizer, TEXTS)
    close(together, [explain(model, tokenizer, [text])[0] for text in TEXTS])
    close(together, explain(model, tokenizer, TEXTS, batch_size=2))
    assert [e.text for e in together] == TEXTS
    assert sum(abs(word.gradient) for e in together for word in e.words) > 0.1


@levels
def test_the_spelling_of_a_word_is_part_of_its_vector(hierarchical):
    """The slope where all that the stack reads of the words at one place is scaled, by central differences."""
    tokenizer = TOKENIZERS["spelling"]()
    model = build(tokenizer, pooling="mean", hierarchical=hierarchical, affix_length=2, affix_vocab_size=8)
    model.model.mark_affixes(tokenizer, ["fine", "film", "final", "not"], 1)
    torch.nn.init.normal_(model.model.characters.affixes.embedding.weight)
    inputs = tokenizer("A fine film no one nose", return_tensors="pt")
    found = token_weights(model, dict(inputs), None)
    assert inputs["input_ids"][0, -1] == tokenizer.unk_token_id
    h = 1e-5
    for place in range(inputs["input_ids"].shape[1]):

        def scaled(scale, place=place):
            def hook(module, arguments):
                x, *others = arguments
                factor = torch.ones(x.shape[1], dtype=x.dtype)
                factor[place] = scale
                return x * factor[:, None], *others

            handle = model.model.stack.register_forward_pre_hook(hook)
            try:
                with torch.no_grad():
                    return model(**inputs).logits[0, found.explained[0]].item()
            finally:
                handle.remove()

        slope = (scaled(1 + h) - scaled(1 - h)) / (2 * h)
        assert found.gradient[0, place].item() == pytest.approx(slope, abs=1e-6)
    assert found.gradient[0, -1].abs() > 1e-3


def test_texts_without_a_word():
    tokenizer = TOKENIZERS["wordpunct"]()
    for hierarchical in (False, True):
        for pooling in POOLINGS:
            model = build(tokenizer, pooling=pooling, hierarchical=hierarchical)
            found = explain(model, tokenizer, ["", " \n", "\x00"])
            expected = model.classifier.bias.softmax(-1)
            assert [e.words for e in found] == [[], [], []]
            assert [e.score for e in found] == pytest.approx([expected.max().item()] * 3)
    assert explain(model, tokenizer, []) == []
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert explain(model, tokenizer, [""])[0].words == []


def test_a_text_of_10_000_words():
    tokenizer = TOKENIZERS["wordpunct"]()
    model = build(tokenizer, pooling="attention").float()
    text = " ".join(random.Random(0).choices(["fine", "film", "worst.", "राम्रो", "👍🏽"], k=10_000))
    (found,) = explain(model, tokenizer, [text])
    assert len(found.words) == len(re.findall(r"worst\.", text)) + 10_000
    assert sum(word.attention for word in found.words) == pytest.approx(1, abs=1e-3)


def test_long_texts_share_no_batch_that_would_be_too_large(monkeypatch):
    tokenizer = TOKENIZERS["wordpunct"]()
    model = build(tokenizer, pooling="attention")
    together = explain(model, tokenizer, TEXTS)
    monkeypatch.setattr(length_batches, "BATCH_TOKENS", 12)
    close(explain(model, tokenizer, TEXTS), together)


@pytest.mark.parametrize("problem_type", ["multi_label_classification", "regression"])
def test_which_label_is_explained(problem_type):
    tokenizer = TOKENIZERS["wordpunct"]()
    model = build(tokenizer, problem_type=problem_type)
    (best,) = explain(model, tokenizer, TEXTS[:1])
    logits = model(**tokenizer(TEXTS[0], return_tensors="pt")).logits[0]
    if problem_type == "regression":
        assert (best.label, best.score) == ("bad", pytest.approx(logits[0].item()))
    else:
        n = logits.argmax().item()
        assert (best.label, best.score) == (LABELS[n], pytest.approx(logits[n].sigmoid().item()))
    for label in LABELS:
        (found,) = explain(model, tokenizer, TEXTS[:1], label=label)
        assert found.label == label
        assert (found.words == best.words) == (label == best.label)


# ---- the model stays what it was ----
def test_modes_and_gradients_stay():
    tokenizer = TOKENIZERS["wordpunct"]()
    options = {"input_dropout": 0.5, "word_dropout": 0.5, "classifier_dropout": 0.5, "embedding_dropout": 0.5}
    model = build(tokenizer, **options)
    expected = explain(model, tokenizer, TEXTS)
    model.train()
    model.pooling.eval()
    model.classifier.weight.requires_grad_(False)
    model.classifier.bias.grad = torch.full_like(model.classifier.bias, 3.0)
    modes = [part.training for part in model.modules()]
    close(explain(model, tokenizer, TEXTS), expected)
    assert [part.training for part in model.modules()] == modes
    assert not model.get_input_embeddings()._forward_hooks
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["classifier.bias"]
    assert model.classifier.bias.grad.tolist() == [3.0] * 3
    assert not model.classifier.weight.requires_grad

    def breaks(*args):
        raise RuntimeError("broken")

    hook = model.classifier.register_forward_hook(breaks)
    with pytest.raises(RuntimeError, match="broken"):
        explain(model, tokenizer, TEXTS)
    hook.remove()
    assert [part.training for part in model.modules()] == modes
    assert not model.get_input_embeddings()._forward_hooks


def test_several_threads_explain_and_classify_with_one_model():
    tokenizer = TOKENIZERS["wordpunct"]()
    model = build(tokenizer, input_dropout=0.5)
    texts = [text for text in TEXTS if text.strip()] * 4
    expected, labels = explain(model, tokenizer, texts), Classifier(model, tokenizer).scores(texts)
    model.train()  # explanations leave that alone
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda text: explain(model, tokenizer, [text])[0], texts))
            assert model.training
            model.eval()
            both = [pool.submit(explain, model, tokenizer, [text]) for text in texts]
            scores = list(pool.map(lambda text: Classifier(model, tokenizer).scores([text])[0], texts))
            found_again = [one.result()[0] for one in both]
    finally:
        sys.setswitchinterval(switching)
    close(found, expected)
    close(found_again, expected)
    torch.testing.assert_close(torch.stack(scores), labels, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_where_gradients_are_switched_off(without):
    tokenizer = TOKENIZERS["wordpunct"]()
    model = build(tokenizer, pooling="attention")
    expected = explain(model, tokenizer, TEXTS)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with without():
        close(explain(model, tokenizer, TEXTS), expected)


def test_mistakes():
    tokenizer = TOKENIZERS["wordpunct"]()
    model = build(tokenizer)
    with pytest.raises(ValueError, match="list of texts, not the string 'Sita'"):
        explain(model, tokenizer, "Sita")
    with pytest.raises(ValueError, match=r"label='god': unknown \(choose from bad, fair, good\)"):
        explain(model, tokenizer, ["x"], label="god")
    with pytest.raises(ValueError, match="batch_size=0: must be at least 1"):
        explain(model, tokenizer, ["x"], batch_size=0)
    with pytest.raises(ValueError, match=r"x\.png: must end in \.html"):
        save_explanations("x.png", [])
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="has no padding token"):
        explain(model, tokenizer, ["x"])


# ---- words ----
@every_tokenizer
def test_words_are_whole_and_at_their_places(name):
    tokenizer = TOKENIZERS[name]()
    for text in TEXTS:
        spans = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        words = words_of_tokens(text, spans)
        borders = {match.end() for match in regex.finditer(r"\X", text)} | {0}
        before = 0
        for start, end, tokens in words:
            assert before <= start < end
            assert {start, end} <= borders, (text, text[start:end])
            assert tokens
            before = end
        with_place = [n for n, (start, end) in enumerate(spans) if start < end]
        assert sorted(t for _, _, tokens in words for t in tokens) == (with_place if words else [])


def test_the_words_of_a_text():
    text = TEXTS[3] + " " + TEXTS[2] + " don't e.g. a\u200db"
    tokenizer = build_wordpunct_tokenizer([text])
    spans = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    assert [text[start:end] for start, end, _ in words_of_tokens(text, spans)] == [
        *("👩\u200d👩\u200d👧", "family", "!", "👍🏽", "❤\ufe0f\u200d🔥", "🇮🇳", "🇳🇵", "1\ufe0f\u20e3"),
        "🏴\U000e0067\U000e0062\U000e007f",
        *("काठमाडौंको", "होटेल", "राम्रो", "थिएन", "।", "क\u200dष", "क्षेत्र", "नेपा\u200cल"),
        *("don't", "e", ".", "g", ".", "a\u200db"),
    ]


def test_tokens_of_several_words_join_them_and_blanks_go_to_the_next():
    text = "a fine, old film "
    spans = [(0, 1), (1, 2), (2, 7), (7, 9), (9, 11), (0, 0), (11, 16), (16, 17)]
    assert words_of_tokens(text, spans) == [(0, 1, [0]), (2, 7, [1, 2]), (8, 11, [3, 4]), (12, 16, [6, 7])]
    assert words_of_tokens("fine, old film", [(0, 4), (4, 8), (10, 14)]) == [(0, 4, [0]), (4, 9, [1]), (10, 14, [2])]
    assert words_of_tokens("read unread", [(0, 4)]) == [(0, 4, [0])]
    assert words_of_tokens("  ", [(0, 1), (1, 2)]) == []
    assert words_of_tokens("", []) == []


def test_markup_that_the_tokenizer_leaves_out_is_no_word():
    tokenizer = TOKENIZERS["markup"]()
    model = build(tokenizer)
    (found,) = explain(model, tokenizer, ["I <b>loved</b> it.<br />Not &amp; never"])
    assert [word.word for word in found.words] == ["I", "loved", "it", ".", "Not", "&amp;", "never"]


# ---- what decides ----
@pytest.mark.parametrize(
    "options",
    [
        {"pooling": "max"},
        {"pooling": "attention"},
        {"pooling": "concat", "cell_type": "gru", "bidirectional": False},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_the_word_that_decides_comes_first(options):
    """A model trained for seconds on texts of which one word tells the label; a third label has no such word, so that
    neither of the two can be told by the other's absence."""
    chooser = random.Random(1)
    words = ["the", "film", "was", "यह", "कहानी", "long", "of", "a", "."]
    telling = {"good": "रत्न", "bad": "dud", "fair": "the"}

    def rows(number):
        found = []
        for _ in range(number):
            label = chooser.choice(list(telling))
            text = [*chooser.choices(words, k=chooser.randint(3, 9)), telling[label]]
            chooser.shuffle(text)
            found.append((" ".join(text), label))
        return found

    tokenizer = build_wordpunct_tokenizer([*words, *telling.values()])
    ends = [tokenizer.convert_tokens_to_ids(".")]
    model = build(tokenizer, **options | {"sentence_end_token_ids": ends, "initializer_range": 0.3})
    model.float().train()
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    for _ in range(80):
        batch = rows(16)
        inputs = tokenizer([text for text, _ in batch], padding=True, return_tensors="pt")
        targets = torch.tensor([LABELS.index(label) for _, label in batch])
        loss = F.cross_entropy(model(**inputs).logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fresh = [row for row in rows(60) if row[1] != "fair"]
    found = explain(model, tokenizer, [text for text, _ in fresh])
    assert [e.label for e in found] == [label for _, label in fresh]
    firsts = [
        [w.word for w in e.speaking_for(1)] == [telling[label]] for e, (_, label) in zip(found, fresh, strict=True)
    ]
    assert sum(firsts) > 0.9 * len(fresh) > 30


# ---- what is shown ----
def explanation(text, *values, label="good", score=0.9, attention=None):
    """One with the values of its words, which stand between blanks."""
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    shares = attention or [None] * len(values)
    found = zip(spans, values, shares, strict=True)
    return Explanation(
        text, label, score, [ExplainedWord(text[a:b], a, b, value, share) for (a, b), value, share in found]
    )


def styles(shown, word):
    place = shown.plain.index(word)
    return [str(span.style) for span in shown.spans if span.start <= place < span.end and str(span.style)]


def test_colours_by_sign_and_size():
    shown = show_explanation(explanation("most  much some\tnone less least", 1.0, 0.5, 0.2, 0.01, -0.4, -0.9))
    assert shown.plain == "most  much some\tnone less least"
    words = {word: styles(shown, word) for word in shown.plain.split()}
    assert words == {
        "most": ["black on green"],
        "much": ["bold green"],
        "some": ["green"],
        "none": [],
        "less": ["bold red"],
        "least": ["black on red"],
    }
    assert show_explanation(explanation("")).plain == ""
    assert styles(show_explanation(explanation("x y", 0.0, 0.0)), "x") == []


def test_nothing_in_a_text_is_markup_or_control_on_a_terminal():
    text = "[bold]x[/bold] \x1b[31mred\x07 :smile: [/]"
    out = io.StringIO()
    Console(file=out, soft_wrap=True).print(show_explanation(explanation(text, 1.0, -1.0, 0.1, 0.2)))
    assert out.getvalue() == "[bold]x[/bold] [31mred :smile: [/]\n"


def test_lists():
    values = [0.5, -0.25, 0.125, 0.1, 0.05, 0.3, 0.01, 0.0]
    found = explanation("a b c d e f g h", *values, attention=[0.1, 0.004, 0.2, 0.3, 0.004, 0.1, 0.2, 0.092])
    assert lists_of(found) == [
        ("for good", ["a +0.5", "f +0.3", "c +0.125", "d +0.1", "e +0.05"]),
        ("against it", ["b -0.25"]),
        ("attention", ["d 30%", "c 20%", "g 20%", "a 10%", "f 10%"]),
    ]
    assert lists_of(explanation("\x00x" + "y" * 99, 1.0))[0][1] == ["U+0000x" + "y" * 24 + "… +1"]
    assert lists_of(explanation("")) == []


def test_the_page(tmp_path):
    texts = ['<script>alert("1")</script> & <br>', "नेपाल 👩\u200d👩\u200d👧 x\x00\x1b\ny", ""]
    found = [
        explanation(texts[0], 0.5, -0.25, 0.001, label="<good>"),
        explanation(texts[1], -1.0, 0.5, 0.25, 0.0, attention=[0.5, 0.25, 0.25, 0.0]),
        explanation(texts[2]),
    ]
    save_explanations(tmp_path / "a.html", found)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("<section>") == page.count("</section>") == 3
    assert page.count("<h3>gradient × input</h3>") == 2
    assert page.count("<h3>attention</h3>") == 1
    assert page.count("was looked at") == 1
    assert page.count("no word was read") == 1
    assert "<script" not in page
    assert "&lt;good&gt; 0.9" in page
    assert 'class="for" style="--weight:0.75" title="+0.5">&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;<' in page
    assert 'class="against" style="--weight:0.38" title="-0.25">&amp;<' in page
    assert '<span title="+0.001">&lt;br&gt;</span>' in page
    assert 'class="attention" style="--weight:0.38" title="25.0%">👩\u200d👩\u200d👧<' in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", page)
    assert not re.search(r"https?:|src=|url\(", page)
    bodies = re.findall(r'<p class="text" dir="auto">(.*?)</p>', page, re.DOTALL)
    plain = [re.sub("<[^>]*>", "", body) for body in bodies]
    expected = [module.escape(text) for text in (texts[0], texts[1], texts[1], texts[2])]
    assert plain == expected


def test_a_page_without_attention_does_not_speak_of_it(tmp_path):
    save_explanations(tmp_path / "a.html", [explanation("x", 1.0)])
    assert "attention</" not in (tmp_path / "a.html").read_text(encoding="utf-8")
