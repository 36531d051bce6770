"""`Tagger` and `rnn-zoo tag`: the model's own labels at the right places, files that stay what they were, mistakes."""

import gzip
import io
import json
import os
import re
import subprocess
import sys

import pytest
import torch
from command_line import (
    MISTAKES_WITH_TEXTS,
    check_reader_may_go_away,
    every_form,
    give,
    printed_by,
    save,
    sentence_of,
    write_broken_files,
)
from rich.console import Console
from test_token_classification import LABELS, lively
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, pipeline

from rnn_zoo import RnnForCausalLM
from rnn_zoo.data import length_batches
from rnn_zoo.tasks.token_classification import tagger as tagging
from rnn_zoo.tasks.token_classification.conll import read_conll
from rnn_zoo.tasks.token_classification.iob import entities
from rnn_zoo.tasks.token_classification.keys import TaggingArguments
from rnn_zoo.tasks.token_classification.tagger import Entity, Tagger, show_entities, show_text
from rnn_zoo.tokenizers import build_char_tokenizer, build_word_character_tokenizer
from rnn_zoo_cli import main

SENTENCES = [
    ["Sita", "lives", "in", "Pokhara", "."],
    ["काठमाडौं", "नेपाल", "को", "राजधानी", "हो", "।"],
    ["😀", "Gita", "'s", "résumé", "1996"],
]
MANY = [SENTENCES[0], [], SENTENCES[1], ["Sita"], SENTENCES[2], [], [*SENTENCES[0] * 4, "x" * 99], ["in", "Nepal"]]


# ---- tokenizers and models ----
def words_tokenizer(side="right"):
    tokenizer = build_word_character_tokenizer(SENTENCES)
    tokenizer.padding_side = side
    return tokenizer


def wordpiece_tokenizer(sentences=SENTENCES, size=300):
    """As BERT's: `##` on what goes on with a word, a token before and after each text."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    backend.train_from_iterator([" ".join(sentence) for sentence in sentences], trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def bytes_tokenizer(sentences=SENTENCES, size=300):
    """As RoBERTa's: pieces of bytes, with a mark on what begins a word."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<pad>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([" ".join(sentence) for sentence in sentences], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>")


TOKENIZERS = {
    "words": words_tokenizer,
    "words, padded on the left": lambda: words_tokenizer("left"),
    "WordPiece": wordpiece_tokenizer,
    "bytes": bytes_tokenizer,
}
every_tokenizer = pytest.mark.parametrize("name", TOKENIZERS)
every_kind = pytest.mark.parametrize("kind", ["tagger", "crf"])


def tagger_of(name, kind, seed=0, **options):
    """A tagger whose labels vary; its tokenizer."""
    torch.manual_seed(seed)
    tokenizer = TOKENIZERS[name]()
    sizes = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    sizes |= {"initializer_range": 2.0, "num_hidden_layers": 1}
    if name.startswith("words"):
        sizes["character_vocab_size"] = tokenizer.character_vocab_size
    model = lively(kind, **sizes | options).float()
    if model.crf is not None:
        model.crf.transitions.data *= 0.3  # or it would overrule the words
    model.mark_words(tokenizer)
    return model, tokenizer


def tags_alone(model, tokenizer, words):
    """The labels of the first pieces of a sentence that is in no batch."""
    if not words:
        return []
    encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        best = model(**encoded).logits[0].argmax(-1).tolist()
    places = encoded.word_ids()
    return [LABELS[best[places.index(n)]] for n in range(len(words))]


# ---- words ----
@every_tokenizer
@every_kind
@pytest.mark.parametrize("batch_size", [1, 2, 128])
def test_tags_of_words_are_the_best_labels_of_each_sentence_alone(name, kind, batch_size):
    model, tokenizer = tagger_of(name, kind)
    expected = [tags_alone(model, tokenizer, words) for words in MANY]
    assert Tagger(model, tokenizer, batch_size).tag_words(MANY) == expected
    assert len({tag for tags in expected for tag in tags}) > 2  # or nothing would be proved


@every_tokenizer
def test_every_word_has_a_tag(name):
    """Also one that the tokenizer leaves out, and one that it cuts into several."""
    model, tokenizer = tagger_of(name, "crf")
    words = ["\u200b", "Sita", "\x07", "a b", "Pokhara.", "\ufeff"]
    (tags,) = Tagger(model, tokenizer).tag_words([words])
    assert len(tags) == len(words)
    assert Tagger(model, tokenizer).tag_words([]) == []
    assert Tagger(model, tokenizer).tag_words([[], []]) == [[], []]


@pytest.mark.parametrize("most", [1, 12, 1000])
def test_long_texts_share_no_batch_that_would_be_too_large(monkeypatch, most):
    model, tokenizer = tagger_of("words", "crf")
    shapes = []
    model.register_forward_hook(lambda *args: shapes.append(args[2].logits.shape[:2]))
    tagger = Tagger(model, tokenizer)
    expected = tagger.tag_words(MANY)
    monkeypatch.setattr(length_batches, "BATCH_TOKENS", most)
    shapes.clear()
    assert tagger.tag_words(MANY) == expected
    assert all(rows == 1 or rows * length <= most for rows, length in shapes)
    assert sum(rows for rows, _ in shapes) == sum(map(bool, MANY))
    assert len(shapes) == {1: 6, 12: 4, 1000: 1}[most]  # 12: the longest, 6 + 5 words apart, 5, then 2 and 1 together


@every_kind
def test_a_model_in_training_is_switched_to_evaluation(kind):
    model, tokenizer = tagger_of("words", kind, input_dropout=0.5, output_dropout=0.5, word_dropout=0.5)
    expected = [tags_alone(model, tokenizer, words) for words in MANY]
    tagger = Tagger(model.train(), tokenizer)
    assert tagger.tag_words(MANY) == expected
    model.train()
    assert tagger.tag_words(MANY) == expected


def test_labels_that_are_not_iob_are_those_of_words():
    model, tokenizer = tagger_of("words", "tagger")
    expected = [tags_alone(model, tokenizer, words) for words in MANY]
    names = dict(zip(LABELS, ["NOUN", "VERB", "ADJ", "DET", "X"], strict=True))
    tagger = Tagger(model, tokenizer)
    model.config.id2label = dict(enumerate(names.values()))
    assert tagger.tag_words(MANY) == [[names[tag] for tag in tags] for tags in expected]
    found = tagger.tag_texts([" ".join(words) for words in MANY], scores=True)
    assert [[entity.text for entity in row] for row in found] == MANY
    assert [[entity.type for entity in row] for row in found] == tagger.tag_words(MANY)
    assert all(0 < entity.score <= 1 for row in found for entity in row)
    assert tagger.types == list(names.values())


def test_mistakes_of_tagger():
    model, tokenizer = tagger_of("words", "tagger")
    with pytest.raises(ValueError, match="batch_size=0: must be at least 1"):
        Tagger(model, tokenizer, 0)
    with pytest.raises(ValueError, match="list of words, not the string 'Sita'"):
        Tagger(model, tokenizer).tag_words(["Sita"])
    with pytest.raises(ValueError, match="list of texts, not the string 'Sita'"):
        Tagger(model, tokenizer).tag_texts("Sita")
    with pytest.raises(ValueError, match=r"not float \(texts\[1\] is nan\)"):
        Tagger(model, tokenizer).tag_texts(["Sita", float("nan")])
    with pytest.raises(ValueError, match=r"not NoneType \(sentences\[1\]\[1\] is None\)"):
        Tagger(model, tokenizer).tag_words([["Sita"], ["in", None]])
    with pytest.raises(ValueError, match=r"sentences\[1\]: must be a list of words, not NoneType"):
        Tagger(model, tokenizer).tag_words([["Sita"], None])
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="has no padding token"):
        Tagger(model, tokenizer)


# ---- raw text ----
TEXTS = [
    "Sita lives in Pokhara.",
    "काठमाडौं नेपालको राजधानी हो।",
    "क\u200dष नेपा\u200cल",
    "😀 Gita's 👩\u200d👩\u200d👧 home",
    "Sita\tlives\t\tin Pokhara",
    "  Sita  lives ",
    "\u00a0Sita\u2003lives\u3000",
    "Sita\u200b in\x07 Pokhara \x00 \ufeffx",
    "re\u0301sume\u0301 résumé Å\u212b ﬁ",
    "Sita",
    "[bold]Sita[/bold] :smile: <pad> [CLS]",
    "one line\nand another\r\n",
]
GLUED = '(Sita), [Gita] "Pokhara"; in-Pokhara lives, नेपाल। हो।काठमाडौं!!! in<eos>'  # signs right beside words
WITHOUT_WORDS = ["", "   ", "\t \n"]


def by_pipeline(model, tokenizer, text, strategy="simple"):
    """The entities that the library finds; without blanks at their ends, which are tokens of their own in bytes."""
    tag = pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy=strategy)
    found = []
    for entity in tag(text):
        shown = text[entity["start"] : entity["end"]]
        start = entity["start"] + len(shown) - len(shown.lstrip())
        if name := shown.strip():
            found.append((entity["entity_group"], start, start + len(name), name))
    return found


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@every_tokenizer
@every_kind
def test_entities_are_those_of_the_pipeline(name, kind):
    """In any script, at the same places, with each strategy: of pieces with `first`, of words with all.

    These take a token for a piece of the one before where the normalizer has made it longer or shorter.
    """
    words = name.startswith("words")
    types = set()
    for seed in range(3):
        model, tokenizer = tagger_of(name, kind, seed)
        texts = [*TEXTS, GLUED] if words else TEXTS
        found = Tagger(model, tokenizer, 5).tag_texts(texts)
        for text, here in zip(texts, found, strict=True):
            assert [entity[:4] for entity in here] == by_pipeline(model, tokenizer, text), text
            normalizer = tokenizer.backend_tokenizer.normalizer
            read = text if normalizer is None else normalizer.normalize_str(text)
            if (len(read) == len(text)) if words else (read == text):
                for strategy in ("first", "average", "max") if words else ("first",):
                    assert [entity[:4] for entity in here] == by_pipeline(model, tokenizer, text, strategy), text
            assert all(text[entity.start : entity.end] == entity.text != "" for entity in here)
            assert all(entity.score is None for entity in here)
            types |= {entity.type for entity in here}
    assert types == {"PER", "LOC"}


@every_tokenizer
@every_kind
def test_a_text_without_words_has_no_entity(name, kind):
    for seed in range(3):
        model, tokenizer = tagger_of(name, kind, seed)
        expected = Tagger(model, tokenizer).tag_texts(["Sita lives in Pokhara."])
        together = Tagger(model, tokenizer).tag_texts([*WITHOUT_WORDS, "Sita lives in Pokhara.", *WITHOUT_WORDS])
        assert together == [[], [], [], *expected, [], [], []]
    assert Tagger(model, tokenizer).tag_texts([]) == []


@every_kind
def test_thousands_of_words(kind):
    model, tokenizer = tagger_of("words", kind)
    chosen = torch.randint(len(tokenizer) - 4, (5000,)).tolist()
    text = " ".join(tokenizer.convert_ids_to_tokens([n + 4 for n in chosen]))
    (found,) = Tagger(model, tokenizer).tag_texts([text])
    assert len(found) > 500
    assert [entity[:4] for entity in found] == by_pipeline(model, tokenizer, text)


@every_tokenizer
@every_kind
def test_scores_are_the_least_probability_among_the_words(name, kind):
    model, tokenizer = tagger_of(name, kind)
    texts = [text for text in TEXTS if text == " ".join(text.split())]  # elsewhere blanks may be words
    texts.append(" ".join(texts))
    found = Tagger(model, tokenizer, 3).tag_texts(texts, scores=True)
    plain = Tagger(model, tokenizer, 3).tag_texts(texts)
    assert [[entity[:4] for entity in here] for here in found] == [[entity[:4] for entity in here] for here in plain]
    several = 0
    for text, here in zip(texts, found, strict=True):
        encoded = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
        spans = encoded.pop("offset_mapping")[0].tolist()
        begins = model.token_kinds(encoded["input_ids"], encoded["attention_mask"])[0].tolist()
        with torch.no_grad():
            best = model(**encoded).logits[0].argmax(-1)
            shares = model(**encoded, output_marginals=True).logits[0].exp().gather(-1, best[:, None])[:, 0].tolist()
        words = []
        for share, begin, (start, end) in zip(shares, begins, spans, strict=True):
            if begin:
                words.append((share, []))
            if words and start < end:
                words[-1][1].append((start, end))
        for entity in here:
            inside = [share for share, at in words if at and entity.start <= at[0][0] and at[-1][1] <= entity.end]
            several += len(inside) > 1
            assert entity.score == pytest.approx(min(inside), abs=1e-5)
            assert 0 <= entity.score <= 1
    assert several > 0


# ---- what is shown ----
FOUND = [Entity("PER", 0, 4, "Sita"), Entity("LOC", 14, 21, "Pokhara", 0.5)]


def test_text_is_shown_with_its_entities_in_brackets():
    assert show_text("Sita lives in Pokhara.", FOUND).plain == "[Sita PER] lives in [Pokhara LOC 0.50]."
    assert show_text("", []).plain == ""
    tokens = ["Sita", "Rai", "lives", "in", "Pokhara", "."]
    tags = ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]
    assert show_entities(tokens, tags).plain == "[Sita Rai PER] lives in [Pokhara LOC] ."
    assert show_entities(tokens, ["O"] * 6).plain == " ".join(tokens)
    assert show_entities([], []).plain == ""


def test_markup_in_a_text_is_text():
    text = "[bold]Sita[/bold] [/] :smile: \\[x]"
    shown = show_text(text, [Entity("PER", 6, 10, "Sita")])
    out = io.StringIO()
    Console(file=out, soft_wrap=True).print(shown)
    assert out.getvalue() == "[bold][Sita PER][/bold] [/] :smile: \\[x]\n"


def colour_of(shown, word):
    place = shown.plain.index(word)
    return {str(span.style).removesuffix(" bold") for span in shown.spans if span.start <= place < span.end}


def test_a_type_keeps_its_colour_from_text_to_text():
    types = ["LOC", "ORG", "PER"]
    both = show_text("Sita lives in Pokhara.", FOUND, types)
    one = show_text("Sita lives in Pokhara.", FOUND[:1], types)
    other = show_entities(["Sita", "Pokhara"], ["O", "B-LOC"], types)
    assert colour_of(both, "Sita") == colour_of(one, "Sita") == {tagging.COLOURS[2]}
    assert colour_of(both, "Pokhara") == colour_of(other, "Pokhara") == {tagging.COLOURS[0]}
    assert colour_of(both, "lives") == set()
    many = [str(n) for n in range(9)]
    assert colour_of(show_text("x", [Entity("8", 0, 1, "x")], many), "x") == {tagging.COLOURS[0]}


# ---- the command ----
@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save(tmp_path_factory.mktemp("tagger"), *tagger_of("words", "crf"))


@pytest.fixture(scope="module")
def tagger():
    return Tagger(*tagger_of("words", "crf"))


def run(capfd, *argv):
    """What `rnn-zoo tag` prints."""
    return printed_by(capfd, "tag", *argv)


def shown(tagger, texts, **options):
    found = tagger.tag_texts(texts, **options)
    return "".join(f"{show_text(*pair).plain}\n" for pair in zip(texts, found, strict=True))


LINES = ["Sita lives in Pokhara.", "", "काठमाडौं\tनेपालको राजधानी  ", "[bold]Sita[/bold]", "in Nepal " * 40]


def test_a_text_on_the_command_line(checkpoint, tagger, capfd):
    assert run(capfd, checkpoint, LINES[0]) == shown(tagger, LINES[:1])
    assert run(capfd, checkpoint, "\n".join(LINES)) == shown(tagger, LINES)  # neither wrapped nor its tabs replaced
    assert run(capfd, checkpoint, "") == "\n"
    assert "[" in shown(tagger, LINES[:1])


@every_form(LINES, "lines.txt.gz", "lines")
def test_files_and_standard_input(checkpoint, tagger, tmp_path, capfd, monkeypatch, name, form):
    (tmp_path / name).write_bytes(gzip.compress(form) if name.endswith(".gz") else form)
    expected = shown(tagger, LINES)
    assert run(capfd, checkpoint, "--file", tmp_path / name, "--batch-size", "2") == expected
    give(monkeypatch, form)
    assert run(capfd, checkpoint) == expected
    give(monkeypatch, form)
    assert run(capfd, checkpoint, "--file", "-") == expected
    give(monkeypatch, form)
    assert [json.loads(line)["text"] for line in run(capfd, checkpoint, "--json").splitlines()] == LINES


@pytest.mark.parametrize("flags", [[], ["--json"], ["--conll"], ["--conll", "--json"]])
def test_an_empty_file_has_no_text(checkpoint, tmp_path, capfd, monkeypatch, flags):
    (tmp_path / "empty.txt").write_bytes(b"")
    assert run(capfd, checkpoint, "--file", tmp_path / "empty.txt", *flags) == ""
    give(monkeypatch, b"")
    assert run(capfd, checkpoint, *flags) == ""


def test_the_texts_of_a_table_are_tagged(checkpoint, tagger, tmp_path, capfd):
    file = tmp_path / "a.csv"
    file.write_text('id,text\n1,"Sita lives\nin Nepal"\n2,\n')
    assert main(["tag", str(checkpoint), "--file", str(file)]) == 0
    printed = capfd.readouterr()
    assert printed.out == shown(tagger, ["Sita lives\nin Nepal"]).replace("\n", " ", 1) + "\n"
    assert printed.err.splitlines()[0] == f"rnn-zoo: {file}: its texts are column 'text'"


@pytest.mark.parametrize("scores", [False, True])
def test_json_is_one_object_a_line_with_places_in_the_text(checkpoint, tagger, tmp_path, capfd, scores):
    texts = [*TEXTS[:-1], *WITHOUT_WORDS[:2], "\u2028Sita\u0085\x1c\x0b"]  # what other readers take for line ends
    (tmp_path / "lines.txt").write_text("\n".join(texts), encoding="utf-8", newline="")
    flags = ["--json", "--scores"] if scores else ["--json"]
    lines = run(capfd, checkpoint, "--file", tmp_path / "lines.txt", *flags).split("\n")
    assert lines.pop() == ""
    objects = [json.loads(line) for line in lines]
    assert [found["text"] for found in objects] == texts
    names = ("type", "start", "end", "text", "score") if scores else ("type", "start", "end", "text")
    for found, expected in zip(objects, tagger.tag_texts(texts, scores), strict=True):
        assert [tuple(entity) for entity in found["entities"]] == [names] * len(expected)
        assert [tuple(e[:4]) for e in expected] == [tuple(e.values())[:4] for e in found["entities"]]
        for entity, other in zip(found["entities"], expected, strict=True):
            assert found["text"][entity["start"] : entity["end"]] == entity["text"]
            assert entity.get("score") == (pytest.approx(other.score, abs=1e-6) if scores else None)


def test_scores_are_shown(checkpoint, tagger, capfd):
    (found,) = tagger.tag_texts([LINES[0]], scores=True)
    printed = run(capfd, checkpoint, LINES[0], "--scores")
    assert found
    for entity in found:
        assert f"[{entity.text} {entity.type} {entity.score:.2f}]" in printed


def test_colours_on_a_terminal(checkpoint, capfd, monkeypatch):
    plain = run(capfd, checkpoint, LINES[0])
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = run(capfd, checkpoint, LINES[0])
    assert "\x1b[" in coloured
    assert "\x1b[" not in plain
    assert Console(file=io.StringIO()).render_str(plain.rstrip("\n"), markup=False).plain in "".join(
        part.partition("m")[2] if n else part for n, part in enumerate(coloured.split("\x1b["))
    )


def test_many_texts_keep_their_order(checkpoint, tagger, tmp_path, capfd, monkeypatch):
    """More than one part, as the progress bar counts them."""
    monkeypatch.setattr("rnn_zoo.command_line.PART", 3)
    texts = [" ".join(SENTENCES[0][: 1 + n % 5]) for n in range(10)]
    (tmp_path / "lines.txt").write_text("\n".join(texts))
    assert run(capfd, checkpoint, "--file", tmp_path / "lines.txt") == shown(tagger, texts)
    (tmp_path / "lines.conll").write_text("".join("\n".join([*text.split(), "\n"]) for text in texts))
    sentences = [text.split() for text in texts]
    tagged = zip(sentences, tagger.tag_words(sentences), strict=True)
    expected = [f"{word} {tag}" for words, tags in tagged for word, tag in zip(words, tags, strict=True)]
    printed = run(capfd, checkpoint, "--file", tmp_path / "lines.conll")
    assert [line for line in printed.split("\n") if line] == expected


# ---- files in columns ----
COLUMNS = {
    "two columns": "Sita B-PER\nlives O\n\nनेपाल B-LOC\n।  O\n\n",
    "tabs": "Sita\tNNP\tB-PER\nlives\tVB\tO\n\nनेपाल\tNNP\tB-LOC\n।\tSYM\tO\n\n",
    "four columns, documents": "-DOCSTART- -X- -X- O\n\nSita NNP B-NP I-PER\nlives VB B-VP O\n\n"
    "-DOCSTART- -X- O O\n\nनेपाल NNP B-NP I-LOC\n। SYM O O\n",
    "one column": "Sita\nlives\n\nनेपाल\n।\n",
    "comments": "# id = 1\n# text\nSita B-PER\n#\nlives O\n\n\n\n# id = 2\nनेपाल B-LOC\n। O\n# the end",
    "no last line end": "Sita B-PER\nlives O\n\nनेपाल B-LOC\n। O",
    "CRLF": "Sita\tB-PER\r\nlives\tO\r\n\r\nनेपाल\tB-LOC\r\n।\tO\r\n\r\n",
    "CR": "Sita\tB-PER\rlives\tO\r\rनेपाल\tB-LOC\r।\tO\r\r",
    "blanks at the ends": "Sita B-PER  \nlives O\t\n  \nनेपाल B-LOC\n। O\n",
    "aligned": "Sita    B-PER\nlives   O\n\nनेपाल   B-LOC\n।       O\n",
    "BOM": "\ufeffSita B-PER\nlives O\n\nनेपाल B-LOC\n। O\n",
    "header": "form\tner\nSita\tB-PER\nlives\tO\n\nनेपाल\tB-LOC\n।\tO\n",
    "CoNLL-U Plus": "# global.columns = ID FORM RNN:NER\n# text = Sita lives\n1-2\tSitalives\t_\n1\tSita\tB-PER\n"
    "2\tlives\tO\n2.1\tx\t_\n\n1\tनेपाल\tB-LOC\n2\t।\tO\n",
}
TOKENS = [["Sita", "lives"], ["नेपाल", "।"]]


def expected_columns(name, tags):
    """The file as it came, with a column more on the lines that have columns."""
    text = COLUMNS[name].removeprefix("\ufeff")
    left = iter(tag for sentence in tags for tag in sentence)
    lines = []
    for line in re.findall(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+", text):
        body = line.rstrip(" \t\r\n")
        end = line[len(line.rstrip("\r\n")) :] or "\n"
        separator = "\t" if name in ("tabs", "CRLF", "CR", "header", "CoNLL-U Plus") else " "
        if body.startswith(("1-2\t", "2.1\t")):
            line = body + "\t_" + end
        elif any(token in re.split("[ \t]", body) for tokens in TOKENS for token in tokens) and body[0] != "#":
            line = body + separator + next(left) + end
        elif body == "form\tner":
            line = body + "\tpredicted" + end
        elif "global.columns" in body:
            line = body + " predicted" + end
        lines.append(line if line.endswith(("\r", "\n")) else line + end)
    assert next(left, None) is None
    return "".join(lines)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
@pytest.mark.parametrize("name", COLUMNS)
def test_a_file_in_columns_comes_back_with_one_more(checkpoint, tagger, tmp_path, capfd, name, packed):
    tags = tagger.tag_words(TOKENS)
    assert len({tag for sentence in tags for tag in sentence}) > 1
    path = tmp_path / ("file.conll.gz" if packed else "file.conll")
    data = COLUMNS[name].encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    printed = run(capfd, checkpoint, "--file", path)
    assert printed == expected_columns(name, tags)
    again = tmp_path / "again.conll"
    again.write_bytes(printed.encode())
    back = read_conll(again, TaggingArguments(tag_column="-1"))
    assert back == [{"tokens": tokens, "tags": given} for tokens, given in zip(TOKENS, tags, strict=True)]
    if name != "one column":  # whoever reads the file as before finds what was there
        gold = read_conll(again, TaggingArguments(tag_column="-2", data_tag_scheme="iob2"), warn=str)
        assert gold == read_conll(path, TaggingArguments(data_tag_scheme="iob2"), warn=str)


def test_columns_from_standard_input_and_as_json(checkpoint, tagger, capfd, monkeypatch):
    tags = tagger.tag_words(TOKENS)
    give(monkeypatch, COLUMNS["comments"].encode())
    assert run(capfd, checkpoint, "--conll") == expected_columns("comments", tags)
    give(monkeypatch, COLUMNS["CoNLL-U Plus"].encode())
    printed = run(capfd, checkpoint, "--conll", "--json", "--file", "-")
    expected = [{"tokens": tokens, "tags": given} for tokens, given in zip(TOKENS, tags, strict=True)]
    assert [json.loads(line) for line in printed.splitlines()] == expected


@pytest.mark.parametrize(("column", "header"), [("1", ""), ("-2", ""), ("form", "id\tform\tx\n")])
def test_the_column_of_words_can_be_told(checkpoint, tagger, tmp_path, capfd, column, header):
    path = tmp_path / "file.tsv"
    path.write_text(header + "".join(f"{n}\t{word}\tX\n" for n, word in enumerate(SENTENCES[0])))
    printed = run(capfd, checkpoint, "--file", path, "--token-column", column)
    (tags,) = tagger.tag_words([SENTENCES[0]])
    rows = "".join(f"{n}\t{word}\tX\t{tag}\n" for n, (word, tag) in enumerate(zip(SENTENCES[0], tags, strict=True)))
    assert printed == (header and "id\tform\tx\tpredicted\n") + rows


def test_pieces_of_words_are_tagged_in_columns(tmp_path, capfd):
    model, tokenizer = tagger_of("WordPiece", "crf")
    save(tmp_path / "pieces", model, tokenizer)
    (tmp_path / "file.conll").write_text("\n".join(SENTENCES[1]) + "\n", encoding="utf-8")
    expected = zip(SENTENCES[1], tags_alone(model, tokenizer, SENTENCES[1]), strict=True)
    printed = run(capfd, tmp_path / "pieces", "--file", tmp_path / "file.conll")
    assert printed == "".join(f"{word} {tag}\n" for word, tag in expected)


# ---- mistakes ----
def refused(capfd, *argv):
    return sentence_of(capfd, "tag", *argv)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        *MISTAKES_WITH_TEXTS,
        (["--file", "fine.conll", "--scores"], "scores: are shown with raw text only"),
        (["text", "--conll", "--scores"], "scores: are shown with raw text only"),
        (["text", "--token-column", "1"], "token_column: is for files in columns (--conll)"),
        (["--file", "fine.conll", "--token-column", "form"], "token_column='form': fine.conll has no header"),
        (["--file", "fine.conll", "--token-column", "7"], "fine.conll:1: no column 7 in 'Sita B-PER'"),
        (["--file", "ragged.tsv", "--token-column", "1"], "ragged.tsv:3: no column 1 in 'lives'"),
    ],
)
def test_mistakes(checkpoint, tmp_path, monkeypatch, capfd, flags, message):
    monkeypatch.chdir(tmp_path)
    write_broken_files(tmp_path)
    (tmp_path / "fine.conll").write_text("Sita B-PER\nlives O\n")
    (tmp_path / "ragged.tsv").write_text("Sita\tB-PER\n\nlives\n")
    assert message in refused(capfd, checkpoint, *flags)


def test_mistakes_on_standard_input(checkpoint, monkeypatch, capfd):
    give(monkeypatch, b"Sita\nli\xffves\n")
    assert "standard input: byte 7 (line 2) is 0xff, which is not UTF-8" in refused(capfd, checkpoint)
    give(monkeypatch, b"", terminal=True)
    assert "nothing to tag: give a text, or --file FILE" in refused(capfd, checkpoint)


def test_what_is_no_tagger(checkpoint, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert "no model there (config.json is missing)" in refused(capfd, tmp_path, "text")
    assert "no model there (config.json is missing)" in refused(capfd, "./nowhere", "text")
    assert "nowhere: no tagger could be loaded" in refused(capfd, "nowhere", "text")
    model, tokenizer = tagger_of("words", "tagger", id2label=dict(enumerate(["NOUN", "VERB", "ADJ", "DET", "X"])))
    save(tmp_path / "parts_of_speech", model, tokenizer)
    assert re.fullmatch(r"\[Sita (NOUN|VERB|ADJ|DET|X)\]\n", run(capfd, "parts_of_speech", "Sita"))
    assert run(capfd, "parts_of_speech", "Sita", "--conll").split()[1] in model.config.id2label.values()
    model, tokenizer = tagger_of("bytes", "tagger")
    tokenizer.pad_token = None
    save(tmp_path / "no_padding", model, tokenizer)
    assert "no_padding: the tokenizer has no padding token" in refused(capfd, "no_padding", "text")


@pytest.mark.parametrize("flags", [[], ["--conll"]], ids=["raw", "columns"])
def test_a_language_model_is_no_tagger(tmp_path, capfd, flags):
    tokenizer = build_char_tokenizer(["some text"])
    model = RnnForCausalLM(lively("tagger", vocab_size=len(tokenizer), bidirectional=False).config)
    model.config.id2label = None
    save(tmp_path / "lm", model, tokenizer)
    assert "holds a RnnForCausalLM, not a recurrent tagger" in refused(capfd, tmp_path / "lm", "text", *flags)


# ---- readers who go away ----
@pytest.mark.parametrize("flags", [[], ["--json"], ["--conll"]], ids=["shown", "json", "columns"])
@pytest.mark.parametrize("length", [1, 3000])
def test_a_reader_may_go_away(checkpoint, tmp_path, monkeypatch, capfd, flags, length):
    (tmp_path / "lines.txt").write_text("Sita\n" * length)
    check_reader_may_go_away(capfd, monkeypatch, "tag", checkpoint, "--file", tmp_path / "lines.txt", *flags)


@pytest.mark.ci
def test_a_process_whose_reader_has_gone_ends_well(checkpoint, tmp_path):
    (tmp_path / "lines.conll").write_text("Sita\n\n" * 3000)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rnn_zoo", "tag", str(checkpoint), "--file", str(tmp_path / "lines.conll")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        first = process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(timeout=120) == 0, errors
    assert first.startswith(b"Sita ")
    assert errors == b""


def test_entities_in_columns_and_in_raw_text_agree(checkpoint, tagger, capfd):
    """A sentence whose words are cut in the same way has the same entities."""
    words = SENTENCES[0]
    text = " ".join(words)
    (tags,) = tagger.tag_words([words])
    found = json.loads(run(capfd, checkpoint, text, "--json"))["entities"]
    assert [(e["type"], e["text"]) for e in found] == [(t, " ".join(words[a:b])) for t, a, b in entities(tags)]
