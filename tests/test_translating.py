"""`Translator`, `rnn-zoo translate` and the pipeline: each text as if it were alone; mistakes; pictures."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys

import pytest
import torch
from command_line import (
    MISTAKES_WITH_TEXTS,
    NOTE,
    check_reader_may_go_away,
    every_form,
    give,
    printed_and_noted,
    printed_by,
    save,
    sentence_of,
    without_package,
    write_broken_files,
)
from hub_server import HubServer
from test_token_classification import lively
from transformers import GenerationConfig, pipeline

from rnn_zoo import RnnForCausalLM
from rnn_zoo.data import length_batches
from rnn_zoo.inspect.attention import labels_of, words_of
from rnn_zoo.models.configuration_rnn_seq2seq import RnnSeq2SeqConfig
from rnn_zoo.models.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration
from rnn_zoo.tasks.task_run import from_tokenizer
from rnn_zoo.tasks.translation import answers
from rnn_zoo.tasks.translation.impossible import ImpossibleAnswers
from rnn_zoo.tasks.translation.translator import Translator
from rnn_zoo.tokenizers import TOKENIZER_BUILDERS, build_char_tokenizer, build_pair_tokenizer, for_translation
from rnn_zoo_cli import main

SENTENCES = ["Sita lives in Pokhara.", "काठमाडौं नेपालको राजधानी हो।", "😀 Gita 1996", "a b c"]
TARGETS = ["सीता पोखरामा बस्छिन्।", "Kathmandu", "गीता १९९६", "क ख ग"]
TEXTS = [
    SENTENCES[0],
    "",
    "a",
    SENTENCES[1],
    "नमस्ते दुनिया! 👩\u200d👩\u200d👧",
    "re\u0301sume\u0301 \x00 \x07",
    "Sita " * 30,
    "   ",
    SENTENCES[2],
    "[bold]Sita[/bold]\tlives",
]

TOKENIZERS = {
    "char": lambda: for_translation(TOKENIZER_BUILDERS["char"](SENTENCES)),
    "pairs": lambda: build_pair_tokenizer(SENTENCES, TARGETS),
    "bpe": lambda: for_translation(TOKENIZER_BUILDERS["bpe"](SENTENCES, vocab_size=300)),
    "unigram": lambda: for_translation(TOKENIZER_BUILDERS["unigram"](SENTENCES * 5)),
}
every_tokenizer = pytest.mark.parametrize("name", TOKENIZERS)


def translator_of(name, seed=3, **options):
    """A model whose words depend on the text; its tokenizer."""
    torch.manual_seed(seed)
    tokenizer = TOKENIZERS[name]()
    sizes = {"hidden_size": 8, "embedding_size": 6, "cell_type": "gru", "initializer_range": 1.5, "input_feeding": True}
    if name == "pairs":
        sizes |= {"decoder_vocab_size": tokenizer.target_vocab_size, "share_encoder_decoder_embeddings": False}
    model = RnnSeq2SeqForConditionalGeneration(RnnSeq2SeqConfig(**from_tokenizer(tokenizer) | sizes | options)).eval()
    with torch.no_grad():
        for never in ("pad_token_id", "bos_token_id", "unk_token_id"):
            model.lm_head.bias[getattr(tokenizer, never)] = -99.0
        model.lm_head.bias[tokenizer.eos_token_id] = 1.5  # so that texts end, at various lengths
    model.generation_config.max_new_tokens = 12
    return model, tokenizer


def alone(model, tokenizer, text, **options):
    """The translation of a text that is in no batch; a blank one has none."""
    if not text.strip():
        return ""
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    return tokenizer.decode(model.generate(ids, **options)[0], skip_special_tokens=True)


def texts_of(found):
    return [translation.text for translation in found]


# ---- Translator ----
@every_tokenizer
@pytest.mark.parametrize(("batch_size", "num_beams"), [(1, 1), (3, 3), (64, 1)])
def test_translations_are_those_of_each_text_alone(name, batch_size, num_beams):
    model, tokenizer = translator_of(name)
    expected = [alone(model, tokenizer, text, num_beams=num_beams) for text in TEXTS]
    found = Translator(model.train(), tokenizer, batch_size)(TEXTS, num_beams=num_beams)
    assert texts_of(found) == expected
    assert len(set(expected)) > 4  # or nothing would be proved
    assert all(translation.attention is None for translation in found)
    assert not model.training


@pytest.mark.parametrize("most", [1, 60, 1000])
def test_long_texts_share_no_batch_that_would_be_too_large(monkeypatch, most):
    model, tokenizer = translator_of("char")
    expected = Translator(model, tokenizer)(TEXTS)
    shapes = []
    model.get_encoder().register_forward_hook(lambda *args: shapes.append(args[2][0].shape[:2]))
    monkeypatch.setattr(length_batches, "BATCH_TOKENS", most)
    assert Translator(model, tokenizer)(TEXTS) == expected
    assert all(rows == 1 or rows * length <= most for rows, length in shapes)
    assert sum(rows for rows, _ in shapes) == sum(bool(text.strip()) for text in TEXTS)


def test_no_text_has_no_translation():
    model, tokenizer = translator_of("char")
    assert Translator(model, tokenizer)([]) == Translator(model, tokenizer)([], attention=True) == []


BLANKS = ["", " \t ", "\u2028", "\u00a0\u200b\ufeff", "\x00\x1c"]


@pytest.mark.parametrize("options", [{}, {"num_beams": 3, "num_return_sequences": 2}])
def test_a_blank_text_is_translated_by_nothing(options):
    """In its place among others, also where only the tokenizer leaves nothing; the model is not run for it."""
    model, _ = translator_of("bpe")
    tokenizer = for_translation(TOKENIZER_BUILDERS["bpe"](SENTENCES, vocab_size=300, clean_markup=True))
    translator, translate = (
        Translator(model, tokenizer, 3),
        pipeline("rnn-translation", model=model, tokenizer=tokenizer),
    )
    read = []
    model.get_encoder().register_forward_hook(lambda *args: read.append(args[2][0].shape[0]))
    blanks = [*BLANKS, "<br/>&nbsp;"]
    texts = ["Sita", *blanks, "a b"]

    def pipe(texts, **more):
        given = translate(texts, **options, **more)
        several = [one if isinstance(one, list) else [one] for one in given]
        return [[one["translation_text"] for one in found] for found in several]

    def together(texts):
        found = translator(texts, **options)
        return [[one.text for one in (each if options else [each])] for each in found]

    sita, ab = together(["Sita"]), together(["a b"])
    count = options.get("num_return_sequences", 1)
    assert len(sita[0]) == len(ab[0]) == count
    expected = [*sita, *[[""] * count] * len(blanks), *ab]
    for ask in (together, pipe, lambda texts: pipe(texts, batch_size=3)):
        read.clear()
        assert ask(texts) == expected
        assert sum(read) == 2
        read.clear()
        assert ask(blanks) == expected[1:-1]
        assert not read
    assert translate("\u2028", **options) == [{"translation_text": ""}] * count


def test_several_translations_are_lists():
    """The best first, each with its attention; by the checkpoint's own configuration as well."""
    model, tokenizer = translator_of("char")
    translator = Translator(model, tokenizer, 3)
    texts = [text for text in TEXTS if text.strip()]
    found = translator(texts, attention=True, num_beams=4, num_return_sequences=3)
    assert [len(each) for each in found] == [3] * len(texts)
    assert [each[0].text for each in found] == texts_of(translator(texts, num_beams=4))
    assert all(len({one.text for one in each}) == 3 for each in found)
    for one in found[0]:  # the labels of its rows are its own
        assert "".join(one.attention.target).removesuffix("<eos>").replace("␣", " ") == one.text
    configured = GenerationConfig.from_dict(
        model.generation_config.to_dict() | {"num_beams": 4, "num_return_sequences": 3}
    )
    assert [texts_of(each) for each in translator(texts, generation_config=configured)] == [*map(texts_of, found)]
    assert texts_of(translator(texts, generation_config=configured, num_return_sequences=1)) == [
        each[0].text for each in found
    ]
    model.generation_config = configured
    assert [texts_of(each) for each in translator(texts)] == [*map(texts_of, found)]
    assert translator([""]) == [[("", None)] * 3]


@pytest.mark.parametrize("beams", [1, 3])
def test_what_generate_returns_beside_the_texts_changes_nothing(beams):
    model, tokenizer = translator_of("char")
    expected = texts_of(Translator(model, tokenizer)(TEXTS, num_beams=beams))
    options = dict.fromkeys(("return_dict_in_generate", "output_scores", "output_attentions"), True)
    options |= {"num_beams": beams, "num_return_sequences": None}  # None is not given
    assert texts_of(Translator(model, tokenizer)(TEXTS, **options)) == expected
    translate = pipeline("rnn-translation", model=model, tokenizer=tokenizer)
    assert [found["translation_text"] for found in translate(TEXTS, **options)] == expected


@every_tokenizer
def test_options_reach_generate(name):
    model, tokenizer = translator_of(name)
    translate = Translator(model, tokenizer)
    expected = [alone(model, tokenizer, text, max_new_tokens=3, num_beams=2) for text in TEXTS]
    assert texts_of(translate(TEXTS, max_new_tokens=3, num_beams=2)) == expected
    assert expected != texts_of(translate(TEXTS))
    model.generation_config.max_new_tokens, model.generation_config.num_beams = 3, 2  # a checkpoint's own
    assert texts_of(translate(TEXTS)) == expected


@every_tokenizer
@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_longer_source_is_cut(name, most):
    """To so many tokens, the last of them <eos>."""
    model, tokenizer = translator_of(name)
    cut = []
    for text in TEXTS:
        if not text.strip():
            cut.append("")
            continue
        ids = tokenizer(text)["input_ids"]
        ids = ids if len(ids) <= most else [*ids[: most - 1], tokenizer.eos_token_id]
        cut.append(tokenizer.decode(model.generate(torch.tensor([ids]))[0], skip_special_tokens=True))
    assert texts_of(Translator(model, tokenizer, max_source_length=most)(TEXTS)) == cut
    assert texts_of(Translator(model, tokenizer, max_source_length=10_000)(TEXTS)) == texts_of(
        Translator(model, tokenizer)(TEXTS)
    )


def test_mistakes_of_translator():
    model, tokenizer = translator_of("char")
    with pytest.raises(ValueError, match="batch_size=0: must be at least 1"):
        Translator(model, tokenizer, 0)
    with pytest.raises(ValueError, match="max_source_length=0: must be at least 1"):
        Translator(model, tokenizer, max_source_length=0)
    with pytest.raises(ValueError, match="list of texts, not the string 'Sita'"):
        Translator(model, tokenizer)("Sita")
    with pytest.raises(ValueError, match=r"must be strings, not NoneType \(texts\[1\] is None\)"):
        Translator(model, tokenizer)(["Sita", None])
    for options, message in (
        ({"num_beams": 999}, f"num_beams=999: the target has only {len(tokenizer)} tokens"),
        ({"num_beams": 0}, "num_beams=0: must be a whole number of at least 1"),
        ({"num_return_sequences": "3"}, "num_return_sequences='3': must be a whole number"),
        ({"decoder_input_ids": torch.tensor([[1]])}, "decoder_input_ids: is no option for texts"),
        ({"token_healing": True}, "token_healing=True: is for language models"),
    ):
        with pytest.raises(ValueError, match=message):
            Translator(model, tokenizer)(["Sita"], **options)
    with pytest.raises(ValueError, match="stop_strings: cannot be looked for where source and target have a"):
        Translator(*translator_of("pairs"))(["Sita"], stop_strings=["a"])
    model, tokenizer = translator_of("char", attention="none", input_feeding=False)
    with pytest.raises(ValueError, match="attention: this model has none"):
        Translator(model, tokenizer)(["Sita"], attention=True)


# ---- where it looked ----
def weights_alone(model, tokenizer, text):
    """Ids of source and translation, and `(T, S)`, by a step for each word that was written."""
    source = torch.tensor([tokenizer(text)["input_ids"]])
    written = model.generate(source)
    rows = []
    for n in range(1, written.shape[1]):
        with torch.no_grad():
            outputs = model(source, decoder_input_ids=written[:, :n], output_attentions=True)
        assert outputs.logits[0, -1].argmax() == written[0, n]
        rows.append(outputs.cross_attentions[0][0, 0, -1])
    return source[0].tolist(), written[0, 1:].tolist(), torch.stack(rows)


@every_tokenizer
def test_attention_is_that_of_the_steps_that_wrote_the_text(name):
    model, tokenizer = translator_of(name)
    plain = Translator(model, tokenizer)(TEXTS)
    found = Translator(model, tokenizer, 3)(TEXTS, attention=True)
    assert texts_of(found) == texts_of(plain)
    for text, translation in zip(TEXTS, found, strict=True):
        if not text.strip():
            assert translation == ("", None)
            continue
        source, target, weights = weights_alone(model, tokenizer, text)
        picture = translation.attention
        assert picture.weights.shape == (len(picture.target), len(picture.source))
        torch.testing.assert_close(picture.weights.sum(1), torch.ones(len(picture.target)).numpy(), check_dtype=False)
        sides = [getattr(tokenizer, side, tokenizer) for side in ("source", "target")]
        if name in ("char", "pairs"):
            assert picture.source == labels_of(sides[0], source)
            assert picture.target == labels_of(sides[1], target)
            torch.testing.assert_close(torch.tensor(picture.weights), weights.double())
            continue
        (columns, column_of), (rows, row_of) = words_of(sides[0], source), words_of(sides[1], target)
        assert (picture.source, picture.target) == (columns, rows)
        for word in range(len(rows)):
            for other in range(len(columns)):
                part = weights[[n for n, k in enumerate(row_of) if k == word]]
                part = part[:, [n for n, k in enumerate(column_of) if k == other]]
                assert picture.weights[word, other] == pytest.approx(part.sum(1).mean().item(), abs=1e-5)


def test_labels_are_those_of_the_text():
    model, tokenizer = translator_of("char")
    (found,) = Translator(model, tokenizer)(["Sita नेपाल"], attention=True)
    assert found.attention.source == [*"Sita", "␣", *"नेपाल", "<eos>"]
    written = [{" ": "␣"}.get(character, character) for character in found.text]
    assert found.attention.target in (written, [*written, "<eos>"])
    model, tokenizer = translator_of("bpe")
    text = "Sita lives  in काठमाडौं नेपालको resumé."
    (found,) = Translator(model, tokenizer)([text], attention=True)
    assert [label for label in found.attention.source if label.strip("␣")] == [*text.split(), "<eos>"]


def test_a_model_that_writes_nothing_has_looked_nowhere(tmp_path, capfd):
    model, tokenizer = translator_of("char")
    with torch.no_grad():
        model.lm_head.bias[tokenizer.pad_token_id] = 999.0
    (found,) = Translator(model, tokenizer)(["Sita"], attention=True)
    assert found == ("", None)
    save(tmp_path / "silent", model, tokenizer)
    assert run(capfd, tmp_path / "silent", "Sita", "--attention", tmp_path / "a.html") == "\n"
    assert not (tmp_path / "a.html").exists()


# ---- the command ----
@pytest.fixture(scope="module", params=["char", "bpe"])
def checkpoint(request, tmp_path_factory):
    """The folder of a translator, and what it says to texts."""
    model, tokenizer = translator_of(request.param)
    folder = save(tmp_path_factory.mktemp(request.param), model, tokenizer)
    return folder, Translator(model, tokenizer, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("translator"), *translator_of("char"))


def run(capfd, *argv):
    """What `rnn-zoo translate` prints."""
    return printed_by(capfd, "translate", *argv)


def shown(translate, texts, **options):
    """Each alone, on a line of its own."""
    lines = [re.sub(r"\r\n?|\n", " ", translate([text], **options)[0].text.rstrip("\n")) for text in texts]
    return "".join(f"{line}\n" for line in lines)


LINES = [SENTENCES[0], "", "काठमाडौं\tनेपालको राजधानी  ", "[bold]a\x00\u2028b[/bold]", "Sita 😀 " * 20, "", "in"]


def test_a_text_on_the_command_line(checkpoint, capfd):
    place, translate = checkpoint
    assert run(capfd, place, LINES[0]) == shown(translate, LINES[:1])
    assert run(capfd, place, "\n".join(LINES)) == shown(translate, LINES)
    assert run(capfd, place, "") == shown(translate, [""])
    for text in ("😀", "नमस्ते दुनिया", "a\x00b", "x" * 10_000):
        assert run(capfd, place, text) == shown(translate, [text]), text[:20]


@every_form(LINES, "lines.txt.gz")
def test_files_and_standard_input(checkpoint, tmp_path, capfd, monkeypatch, name, form):
    """A line for each line, in their order, however they are batched."""
    place, translate = checkpoint
    (tmp_path / name).write_bytes(gzip.compress(form) if name.endswith(".gz") else form)
    expected = shown(translate, LINES)
    assert run(capfd, place, "--file", tmp_path / name) == expected
    assert run(capfd, place, "--file", tmp_path / name, "--batch-size", "2") == expected
    if name == "lines.txt":
        give(monkeypatch, form)
        assert run(capfd, place) == expected
        give(monkeypatch, form)
        assert run(capfd, place, "--file", "-") == expected


@pytest.mark.parametrize(
    ("name", "content", "column"),
    [
        ("a.tsv", "id\ten\tne\n1\tSita\tसीता\n2\t\tगीता\n3\tin\tमा\n", "column 'en'"),
        ("a.tsv", "1\tSita\t7\tसीता\n2\t\t8\tगीता\n3\tin\t9\tमा\n", "column 1, counted from 0; there is no header"),
        ("a.csv.gz", 'text\n"Sita"\n""\nin\n', "column 'text'"),
        ("a.jsonl", '{"en": "Sita"}\n{"en": null}\n{"en": "in", "ne": "मा"}\n', "column 'en'"),
    ],
)
def test_the_sources_of_a_table_row_by_row(folder, tmp_path, capfd, name, content, column):
    expected = run(capfd, folder, "Sita\n\nin")
    data = content.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert main(["translate", str(folder), "--file", str(tmp_path / name)]) == 0
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == (expected, f"rnn-zoo: {tmp_path / name}: its texts are {column}\n")


@pytest.mark.parametrize("flags", [[], ["--json"], ["--attention", "a.html"]])
def test_an_empty_file_has_no_text(folder, tmp_path, capfd, monkeypatch, flags):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_bytes(b"")
    assert run(capfd, folder, "--file", "empty.txt", *flags) == ""
    give(monkeypatch, b"")
    assert run(capfd, folder, *flags) == ""
    assert not (tmp_path / "a.html").exists()


def test_many_texts_keep_their_order(checkpoint, tmp_path, capfd, monkeypatch):
    """More than one part, as the progress bar counts them."""
    place, translate = checkpoint
    monkeypatch.setattr(answers, "PART", 3)
    texts = ["Sita lives"[: 1 + n * 7 % 10] for n in range(20)]
    (tmp_path / "lines.txt").write_text("\n".join(texts))
    assert run(capfd, place, "--file", tmp_path / "lines.txt") == shown(translate, texts)


def test_json_is_one_object_a_line(checkpoint, tmp_path, capfd, monkeypatch):
    place, translate = checkpoint
    texts = [*LINES, "\u2028a\u0085\x1c\x0b"]  # what other readers take for line ends
    (tmp_path / "lines.txt").write_text("\n".join(texts), encoding="utf-8", newline="")
    lines = run(capfd, place, "--file", tmp_path / "lines.txt", "--json").split("\n")
    assert lines.pop() == ""
    expected = [{"text": text, "translation": translate([text])[0].text} for text in texts]
    assert [json.loads(line) for line in lines] == expected
    give(monkeypatch, "\n".join(texts).encode())
    assert run(capfd, place, "--json").split("\n")[:-1] == lines
    assert "\\u" not in run(capfd, place, "नमस्ते", "--json").partition('"translation"')[0]


def test_flags_reach_the_model(checkpoint, capfd):
    place, translate = checkpoint
    texts = [text for text in TEXTS if text][:5]
    for beams, form in ((1, "--num-beams {}"), (4, "--num_beams={}")):
        flags = form.format(beams).split()
        expected = shown(translate, texts, num_beams=beams)
        assert run(capfd, place, "\n".join(texts), *flags) == expected
        assert run(capfd, place, *flags, "\n".join(texts)) == expected  # the text may also stand behind them
    assert run(capfd, place, texts[0], "--max-new-tokens", "2") == shown(translate, texts[:1], max_new_tokens=2)
    cut = Translator(translate.model, translate.tokenizer, 1, 3)
    assert run(capfd, place, "\n".join(texts), "--max-source-length", "3") == shown(cut, texts)
    assert shown(cut, texts) != shown(translate, texts)


@pytest.mark.parametrize(
    "flags",
    [
        {"num_beams": 3, "length_penalty": -3.0},
        {"no_repeat_ngram_size": 2},
        {"repetition_penalty": 3.5},
        {"min_new_tokens": 9},
    ],
)
def test_flags_of_the_search_reach_the_model(folder, capfd, flags):
    translate = Translator(*translator_of("char"), 1)
    argv = [part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    expected = shown(translate, SENTENCES[:4], **flags)
    assert run(capfd, folder, "\n".join(SENTENCES[:4]), *argv) == expected
    assert expected != shown(translate, SENTENCES[:4], **{k: v for k, v in flags.items() if k == "num_beams"})


def test_a_penalty_without_beams_is_noted(folder, capfd):
    assert main(["translate", str(folder), "in", "--length_penalty", "2"]) == 0
    assert "rnn-zoo: length_penalty: chooses among beams, and there is one" in capfd.readouterr().err


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_files_and_standard_input_in_another_encoding(folder, tmp_path, capfd, monkeypatch, encoding):
    (tmp_path / "lines.txt").write_text("Sita é\nin\n", encoding=encoding)
    (tmp_path / "a.tsv").write_text("text\tid\nSita é\tx\nin\ty\n", encoding=encoding)
    expected = run(capfd, folder, "Sita é\nin\n")
    assert run(capfd, folder, "--file", tmp_path / "lines.txt", "--encoding", encoding) == expected
    main(["translate", str(folder), "--file", str(tmp_path / "a.tsv"), "--encoding", encoding])
    assert capfd.readouterr().out == expected
    give(monkeypatch, (tmp_path / "lines.txt").read_bytes())
    assert run(capfd, folder, "--encoding", encoding) == expected


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.html", b"<!DOCTYPE html>"), ("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("A.PDF", b"%PDF")],
)
def test_pictures(folder, tmp_path, capfd, monkeypatch, name, start):
    monkeypatch.chdir(tmp_path)
    plain = run(capfd, folder, "Sita\na b")
    assert run(capfd, folder, "Sita\na b", "--attention", name) == plain
    assert (tmp_path / name).read_bytes().startswith(start)
    if name == "a.html":
        page = (tmp_path / name).read_text(encoding="utf-8")
        assert page.count("<figure>") == 2
        assert page.index(">S</span>") < page.index(">␣</span>")


def test_a_picture_shows_the_first_texts(folder, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(answers, "MOST_MAPS", 3)
    monkeypatch.setattr(answers, "PART", 2)
    (tmp_path / "lines.txt").write_text("a\nb\nc\nSi\nSit\n")
    expected = run(capfd, folder, "--file", "lines.txt")
    assert run(capfd, folder, "--file", "lines.txt", "--attention", "a.html") == expected
    assert (tmp_path / "a.html").read_text(encoding="utf-8").count("<figure>") == 3
    give(monkeypatch, b"a\nb\n")
    assert run(capfd, folder, "--attention", "b.html", "--num-beams", "2").count("\n") == 2
    assert (tmp_path / "b.html").read_text(encoding="utf-8").count("<figure>") == 2


def test_a_missing_font_is_one_line(folder, tmp_path, capfd):
    capfd.readouterr()
    status = main(["translate", str(folder), "a\U00012031", "--attention", str(tmp_path / "a.png")])
    printed = capfd.readouterr()
    assert status == 0
    lines = NOTE.sub("", printed.err).splitlines()  # none where a font for cuneiform is installed
    assert len(lines) <= 1
    assert all(line.startswith("rnn-zoo: no installed font has all characters") for line in lines)


# ---- mistakes ----
def refused(capfd, *argv, **options):
    return sentence_of(capfd, "translate", *argv, **options)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        *MISTAKES_WITH_TEXTS,
        (["text", "--num-beams", "0"], "num_beams=0: must be at least 1"),
        (["text", "--num-beams", "999"], "num_beams=999: the target has only "),
        (["text", "--num-beams", "x"], "invalid int value: 'x'"),
        (["text", "--max-new-tokens", "0"], "max_new_tokens=0: must be at least 1"),
        (["text", "--length-penalty", "nan"], "length_penalty=nan: must be a number that is finite"),
        (["text", "--repetition-penalty", "0"], "repetition_penalty=0.0: must be above 0"),
        (["text", "--no-repeat-ngram-size", "-1"], "no_repeat_ngram_size=-1: must be at least 0"),
        (
            ["text", "--min-new-tokens", "9", "--max-new-tokens", "3"],
            "min_new_tokens=9: must not be above max_new_tokens",
        ),
        (["text", "--max-source-length", "1"], "max_source_length=1: must be at least 2"),
        (["text", "--attention", "a.txt"], "attention='a.txt': must end in one of .html, .png, .svg, .pdf"),
        (["text", "--attention", "a"], "attention='a': must end in one of .html, .png, .svg, .pdf"),
        (["text", "--attention", "no/a.html"], "attention='no/a.html': must be a file in a folder that is there"),
        (["text", "--attention", "folder.html"], "attention='folder.html': must be a file in a folder that is there"),
    ],
)
def test_mistakes(folder, tmp_path, monkeypatch, capfd, flags, message):
    monkeypatch.chdir(tmp_path)
    write_broken_files(tmp_path)
    (tmp_path / "folder.html").mkdir()
    assert message in refused(capfd, folder, *flags)
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "a.png: No space left on device"),
        (ValueError("a.png: a PNG of 9 maps would have 9 dots"), "a.png: a PNG of 9 maps would have 9 dots"),
    ],
)
def test_a_picture_that_cannot_be_written(folder, tmp_path, monkeypatch, capfd, error, message):
    """Costs the picture alone."""

    def full(path, maps):
        raise error

    monkeypatch.chdir(tmp_path)
    expected = run(capfd, folder, "Sita")
    monkeypatch.setattr(answers, "save_attention", full)
    said = refused(capfd, folder, "Sita", "--attention", "a.png", printed_before=expected)
    assert said == f"rnn-zoo: {message}\n"


def test_mistakes_on_standard_input(checkpoint, monkeypatch, capfd):
    """Lines before the mistake are answered where the answers do not wait for the end."""
    place, translate = checkpoint
    give(monkeypatch, b"Sita\na\nli\xffves\na\n")
    message = refused(capfd, place, printed_before=shown(translate, ["Sita", "a"]))
    assert "standard input, line 3: byte 2" in message
    assert "is 0xff, which is not UTF-8" in message
    give(monkeypatch, b"Sita\nli\xffves\n")
    assert "standard input: byte 7 (line 2) is 0xff, which is not UTF-8" in refused(capfd, place, "--file", "-")
    give(monkeypatch, b"", terminal=True)
    assert "nothing to translate: give a text, or --file FILE" in refused(capfd, place)


def test_what_is_no_translator(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert "no model there (config.json is missing)" in refused(capfd, tmp_path, "text")
    assert "no model there (config.json is missing)" in refused(capfd, "./nowhere", "text")
    assert "nowhere: no translator could be loaded" in refused(capfd, "nowhere", "text")
    tokenizer = build_char_tokenizer(["some text"])
    model = lively("tagger", vocab_size=len(tokenizer))
    save(tmp_path / "tagger", model, tokenizer)
    save(tmp_path / "lm", RnnForCausalLM(lively("tagger", vocab_size=20, bidirectional=False).config), tokenizer)
    for name in ("tagger", "lm"):
        assert f"{name}: " in (message := refused(capfd, name, "text"))
        assert "translator" in message
    save(tmp_path / "blind", *translator_of("char", attention="none", input_feeding=False))
    assert "attention: blind has none" in refused(capfd, "blind", "text", "--attention", "a.html")
    assert run(capfd, "blind", "Sita").count("\n") == 1
    assert not (tmp_path / "a.html").exists()


# ---- a conversation, and readers who go away ----
def talk(*argv):
    """`rnn-zoo translate` as a process with pipes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    argv = [sys.executable, "-m", "rnn_zoo", "translate", *map(str, argv)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(argv, env=environment, text=True, encoding="utf-8", **pipes)


@pytest.mark.ci
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one child process")
def test_a_line_is_answered_before_the_next_is_sent(folder):
    """Until Ctrl-C."""
    translate = Translator(*translator_of("char"))
    with talk(folder) as process:
        try:
            for text in (SENTENCES[0], "", "a", SENTENCES[2]):
                process.stdin.write(f"{text}\n")
                process.stdin.flush()
                assert process.stdout.readline() == shown(translate, [text])
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 130
            assert process.stderr.read() == "rnn-zoo: stopped\n"
        finally:
            process.kill()


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["plain", "json"])
@pytest.mark.parametrize("length", [1, 3000])
def test_a_reader_may_go_away(folder, tmp_path, monkeypatch, capfd, flags, length):
    (tmp_path / "lines.txt").write_text("a\n" * length)
    flags = ["--file", tmp_path / "lines.txt", "--batch-size", "3000", *flags]
    check_reader_may_go_away(capfd, monkeypatch, "translate", folder, *flags)


@pytest.mark.ci
def test_a_process_whose_reader_has_gone_ends_well(folder):
    with talk(folder) as process:
        process.stdin.write("a\n")
        process.stdin.flush()
        assert process.stdout.readline().endswith("\n")
        process.stdout.close()
        process.stdin.write("a\n" * 3)
        process.stdin.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=120) == 0


# ---- pipelines ----
@every_tokenizer
def test_the_pipeline_translates_as_translator_does(name, tmp_path):
    model, tokenizer = translator_of(name)
    save(tmp_path, model, tokenizer)
    translate = pipeline("rnn-translation", model=str(tmp_path))
    texts = [text for text in TEXTS if text]
    for options in ({}, {"num_beams": 3}, {"max_new_tokens": 4}, {"max_source_length": 4}):
        most = options.get("max_source_length")
        others = {key: value for key, value in options.items() if key != "max_source_length"}
        found = Translator(model, tokenizer, max_source_length=most)(texts, **others)
        expected = [{"translation_text": text} for text in texts_of(found)]
        assert translate(texts, **options) == expected
        assert translate(texts, batch_size=4, **options) == expected
        assert translate(texts[0], **options) == expected[:1]
    configured = GenerationConfig.from_dict(model.generation_config.to_dict() | {"num_beams": 2, "max_new_tokens": 5})
    expected = texts_of(Translator(model, tokenizer)(texts, num_beams=2, max_new_tokens=5))
    assert [found["translation_text"] for found in translate(texts, generation_config=configured)] == expected


def test_several_translations_of_a_text(folder):
    translate = pipeline("rnn-translation", model=str(folder))
    options = {"num_beams": 4, "num_return_sequences": 3}
    several = translate(["Sita", "a b"], **options)
    assert [len(found) for found in several] == [3, 3]
    assert several == translate(["Sita", "a b"], batch_size=2, **options)
    assert translate("Sita", **options) == several[0]
    best = [found["translation_text"] for found in translate(["Sita", "a b"], num_beams=4)]
    assert [found[0]["translation_text"] for found in several] == best
    assert len({found["translation_text"] for found in several[0]}) > 1


def test_mistakes_of_the_pipeline(folder):
    translate = pipeline("rnn-translation", model=str(folder))
    with pytest.raises(ValueError, match="max_source_length=0: must be at least 1"):
        translate("Sita", max_source_length=0)
    for texts in (["Sita", float("nan")], [None, 7], (text for text in ("Sita", None))):
        with pytest.raises(ValueError, match=r"texts: must be strings, not (float|NoneType) \(texts\["):
            list(translate(texts))
    with pytest.raises(ValueError, match="input_ids: is no option for texts"):
        translate("Sita", input_ids=torch.tensor([[1]]))
    with pytest.raises(ValueError, match="num_beams=999: the target has only"):
        translate("Sita", num_beams=999)


WITHOUT_PACKAGE = """
import json, sys
from transformers import pipeline

found = []
for folder in sys.argv[2:]:
    translate = pipeline("translation", model=folder, trust_remote_code=True)
    for part in (translate, translate.model):
        assert type(part).__module__.startswith("transformers_modules."), type(part)
    found.append([translate(text)[0]["translation_text"] for text in json.loads(sys.argv[1])])
print("FOUND", json.dumps(found))
"""


@pytest.mark.ci
def test_the_pipeline_works_without_the_package(tmp_path):
    texts = [text for text in TEXTS if "\x00" not in text]
    expected = []
    for name in TOKENIZERS:
        model, tokenizer = translator_of(name)
        save(tmp_path / name, model, tokenizer)
        expected.append(texts_of(Translator(model, tokenizer)(texts)))
    folders = [str(tmp_path / name) for name in TOKENIZERS]
    assert without_package(tmp_path, WITHOUT_PACKAGE, json.dumps(texts), *folders) == expected


@pytest.mark.ci
def test_a_translator_of_the_hub(folder, tmp_path):
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with HubServer() as hub:
        hub.add("models/someone/toy", files)
        environment = {**os.environ, **hub.environment(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
        argv = [sys.executable, "-m", "rnn_zoo", "translate", "someone/toy", "Sita"]
        done = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""
    assert done.stdout == shown(Translator(*translator_of("char")), ["Sita"])


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_what_was_never_seen_is_one_note_for_all_lines(folder, tmp_path, capfd, monkeypatch, flags):
    monkeypatch.setattr(answers, "PART", 2)
    data = "Sita\nx☃\nlives\n\n☃ in Q\n".encode()
    (tmp_path / "lines.txt").write_bytes(data)
    printed, note = printed_and_noted(capfd, "translate", folder, "--file", tmp_path / "lines.txt", *flags)
    assert note == "rnn-zoo: the model never saw 'x', '☃', 'Q': read as <unk>\n"
    assert printed.count("\n") == 5
    give(monkeypatch, data)
    assert printed_and_noted(capfd, "translate", folder, *flags) == (printed, note)
    assert printed_and_noted(capfd, "translate", folder, "Sita lives", *flags)[1] == ""


def test_unknown_characters_cost_nothing(checkpoint, capfd):
    """Devanagari that NFC takes apart, private characters, a byte-order mark in the middle: a line each."""
    place, translate = checkpoint
    for text in ("\u095c\u0915\u093c", "\ue000\U0010fffd", "a\ufeffb"):
        assert run(capfd, place, text) == shown(translate, [text])


def test_answers_that_are_no_dates_are_told_where_the_recipe_asks_for_it():
    texts, answers = ["३१ फेब्रुवारी", " ", "5 March 2024", "31 April 2024"], ["2025-02-31", "", "2024-03-05", "20240430"]
    found = {check: ImpossibleAnswers(check) for check in ("iso_date", "none", None)}
    for one in found.values():
        one.look_at(texts[:1], answers[:1])
        one.look_at(texts[1:], answers[1:])
    assert found["iso_date"].note() == "no date of the calendar: '2025-02-31', of '३१ फेब्रुवारी', and 1 more"
    assert found["none"].note() is found[None].note() is None
