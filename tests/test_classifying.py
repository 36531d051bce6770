"""`Classifier` and `rnn-zoo classify`: each text as if it were alone, several models together, pages, mistakes."""

import gzip
import json
import shutil

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
    without_package,
    write_broken_files,
)
from conftest import tiny_config
from test_explanation import LABELS, TEXTS, TOKENIZERS, build
from transformers import pipeline

from rnn_zoo import RnnForCausalLM
from rnn_zoo.data import length_batches
from rnn_zoo.tasks.sequence_classification import answers
from rnn_zoo.tasks.sequence_classification.classifier import Classifier
from rnn_zoo.tasks.sequence_classification.explanation import explain, lists_of
from rnn_zoo.tokenizers import build_char_tokenizer
from rnn_zoo_cli import main

KINDS = {
    "single": {},
    "multi": {"problem_type": "multi_label_classification"},
    "regression": {"problem_type": "regression"},
}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_tokenizer = pytest.mark.parametrize("name", TOKENIZERS)


def classifier_of(name="wordpunct", kind="single", seed=3, **options) -> Classifier:
    torch.manual_seed(seed)
    tokenizer = TOKENIZERS[name]()
    model = build(tokenizer, **{"pooling": "attention"} | KINDS[kind] | options).float()
    with torch.no_grad():
        model.classifier.weight.mul_(3)  # so that labels differ from text to text
    return Classifier(model, tokenizer)


def alone(classifier: Classifier, text: str) -> torch.Tensor:
    """The logits of a text that is in no batch."""
    encoded = classifier.tokenizer(text)
    inputs = {name: torch.tensor([encoded[name]]) for name in ("input_ids", "character_ids") if name in encoded}
    with torch.no_grad():
        if encoded["input_ids"]:
            return classifier.model(**inputs).logits[0]
        padding = torch.tensor([[classifier.tokenizer.pad_token_id]])
        letters = {"character_ids": torch.zeros(1, 1, 6, dtype=torch.long)} if "character_ids" in inputs else {}
        return classifier.model(padding, attention_mask=torch.zeros_like(padding), **letters).logits[0]


# ---- Classifier ----
@every_tokenizer
@every_kind
def test_scores_are_those_of_each_text_alone(name, kind):
    classifier = classifier_of(name, kind)
    squash = {"single": lambda z: z.softmax(-1), "multi": torch.sigmoid, "regression": lambda z: z}[kind]
    expected = torch.stack([squash(alone(classifier, text)) for text in TEXTS])
    for batch_size in (1, 3, 64):
        several = Classifier(classifier.model.train(), classifier.tokenizer, batch_size)
        torch.testing.assert_close(several.scores(TEXTS), expected, atol=1e-5, rtol=1e-4)
        assert not classifier.model.training
    for found, row in zip(several.classify(TEXTS), expected.tolist(), strict=True):
        assert list(found.scores) == LABELS
        assert list(found.scores.values()) == pytest.approx(row, abs=1e-4)
        chosen = {
            "single": [LABELS[row.index(max(row))]],
            "multi": [label for label, score in zip(LABELS, row, strict=True) if score > 0.5],
            "regression": [],
        }
        assert found.labels == chosen[kind]


def test_labels_depend_on_the_text():
    """Or the tests above would prove nothing."""
    assert len({found.labels[0] for found in classifier_of().classify(TEXTS)}) > 1
    counts = {len(found.labels) for found in classifier_of(kind="multi").classify(TEXTS)}
    assert len(counts) > 1


@pytest.mark.parametrize("most", [1, 60, 1000])
def test_long_texts_share_no_batch_that_would_be_too_large(monkeypatch, most):
    classifier = classifier_of()
    expected = classifier.scores(TEXTS)
    shapes = []
    classifier.model.get_input_embeddings().register_forward_hook(lambda *args: shapes.append(args[1][0].shape))
    monkeypatch.setattr(length_batches, "BATCH_TOKENS", most)
    torch.testing.assert_close(classifier.scores(TEXTS), expected, atol=1e-5, rtol=1e-4)
    assert all(rows == 1 or rows * length <= most for rows, length in shapes)
    assert sum(rows for rows, _ in shapes) == len(TEXTS)


def test_no_text_has_no_label():
    assert classifier_of().classify([]) == []
    assert classifier_of().scores([]).shape == (0, 3)


@every_kind
@pytest.mark.parametrize("name", ["bpe", "spelling"])
def test_the_pipeline_says_the_same(name, kind):
    classifier = classifier_of(name, kind)
    texts = [text for text in TEXTS if classifier.tokenizer(text)["input_ids"]]
    pipe = pipeline("text-classification", model=classifier.model, tokenizer=classifier.tokenizer, top_k=None)
    for found, rows in zip(classifier.classify(texts), pipe(texts), strict=True):
        assert {row["label"]: row["score"] for row in rows} == pytest.approx(found.scores, abs=1e-4)


@every_kind
def test_several_classifiers_decide_by_their_mean(kind):
    """Labels may stand in another order, and texts be cut by another tokenizer."""
    first = classifier_of("bpe", kind)
    second = classifier_of("char", kind, seed=4, bidirectional=False, reads_backward=True)
    third = classifier_of("wordpunct", kind, seed=5, labels=LABELS[::-1])
    together = Classifier(first.model, first.tokenizer, others=[second, third])
    found = together.classify(TEXTS)
    for together_, *each in zip(found, *(one.classify(TEXTS) for one in (first, second, third)), strict=True):
        for label, score in together_.scores.items():
            assert score == pytest.approx(sum(one.scores[label] for one in each) / 3, abs=1e-5)
        assert together_.labels == together.chosen(list(together_.scores.values()))


def test_mistakes_of_classifier():
    first = classifier_of()
    with pytest.raises(ValueError, match="batch_size=0: must be at least 1"):
        Classifier(first.model, first.tokenizer, 0)
    with pytest.raises(ValueError, match="list of texts, not the string 'Sita'"):
        first.classify("Sita")
    for missing in (None, float("nan"), 7):
        message = rf"texts: must be strings, not {type(missing).__name__} \(texts\[1\] is {missing}\)"
        for ask in (first.classify, lambda texts: explain(first.model, first.tokenizer, texts)):
            with pytest.raises(ValueError, match=message):
                ask(["Sita", missing])
    with pytest.raises(ValueError, match=r"texts\[0\] has the lone surrogate U\+D83D as its character 2"):
        first.classify(["ab\ud83d"])
    assert first.classify(text for text in TEXTS) == first.classify(TEXTS)
    with pytest.raises(ValueError, match="the labels are sad, happy, not bad, fair, good"):
        Classifier(first.model, first.tokenizer, others=[classifier_of(labels=["sad", "happy"])])
    with pytest.raises(ValueError, match="problem_type is multi_label_classification, not single_label_"):
        Classifier(first.model, first.tokenizer, others=[classifier_of(kind="multi")])
    first.tokenizer.pad_token = None
    with pytest.raises(ValueError, match="the tokenizer has no padding token"):
        Classifier(first.model, first.tokenizer)


# ---- the command ----
@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request, tmp_path_factory):
    """The folder of a classifier, itself, and which of `KINDS` it is."""
    classifier = classifier_of("wordpunct", request.param)
    folder = save(tmp_path_factory.mktemp(request.param), classifier.model, classifier.tokenizer)
    return folder, Classifier(classifier.model, classifier.tokenizer, 1), request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    classifier = classifier_of()
    return save(tmp_path_factory.mktemp("classifier"), classifier.model, classifier.tokenizer)


def run(capfd, *argv) -> str:
    """What `rnn-zoo classify` prints."""
    return printed_by(capfd, "classify", *argv)


def check_lines(printed: str, classifier: Classifier, texts: list[str]) -> None:
    """One line a text: its labels and scores, then the text as it is."""
    lines = printed.split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(texts)
    before = 1 if classifier.problem_type == "regression" else 2
    for line, text, found in zip(lines, texts, classifier.classify(texts), strict=True):
        *fields, behind = line.split("\t", before)
        assert behind == text
        if before == 1:
            assert [float(number) for number in fields[0].split(",")] == pytest.approx(
                list(found.scores.values()), abs=1e-4, rel=1e-4
            )
            continue
        labels, scores = fields
        assert labels == ",".join(found.labels)
        assert [float(score) for score in scores.split(",") if score] == pytest.approx(
            [found.scores[label] for label in found.labels], abs=2e-4
        )


LINES = ["A fine film.", "", "काठमाडौं\tनेपालको राजधानी  ", "[bold]a\x00\u2028b[/bold]", "worst 😀 " * 20, "", "x"]


def test_a_text_on_the_command_line(checkpoint, capfd):
    place, classifier, _ = checkpoint
    check_lines(run(capfd, place, "\n".join(LINES)), classifier, LINES)
    for text in ("", "😀", "नमस्ते दुनिया", "a\x00b", "x" * 10_000, "fine film " * 5_000):
        check_lines(run(capfd, place, text), classifier, [text])


@every_form(LINES, "lines.txt.gz")
def test_files_and_standard_input(checkpoint, tmp_path, capfd, monkeypatch, name, form):
    """A line for each line, in their order, however they are batched."""
    place, classifier, _ = checkpoint
    (tmp_path / name).write_bytes(gzip.compress(form) if name.endswith(".gz") else form)
    check_lines(run(capfd, place, "--file", tmp_path / name), classifier, LINES)
    check_lines(run(capfd, place, "--file", tmp_path / name, "--batch-size", "2"), classifier, LINES)
    if name == "lines.txt":
        give(monkeypatch, form)
        check_lines(run(capfd, place), classifier, LINES)
        give(monkeypatch, form)
        check_lines(run(capfd, place, "--file", "-"), classifier, LINES)


def test_a_table_is_answered_row_by_row(folder, tmp_path, capfd):
    """By the column of texts; a line end inside of one is a blank, so that each row has a line."""
    folder = shutil.copytree(folder, tmp_path / "classifier")
    texts = ["A fine film, not", "", "worst\nx"]
    file = tmp_path / "a.csv"
    file.write_text('label,text\r\ngood,"A fine film, not"\r\nbad,\r\nbad,"worst\nx"\r\n', newline="")

    def answer(*flags) -> tuple[str, str]:
        assert main(["classify", str(folder), "--file", str(file), *flags]) == 0
        return capfd.readouterr()

    out, err = answer("--json")
    assert [json.loads(line)["text"] for line in out.splitlines()] == texts
    assert err == f"rnn-zoo: {file}: its texts are column 'text'\n"
    assert [line.split("\t")[-1] for line in answer()[0].split("\n")[:-1]] == [*texts[:2], "worst x"]
    file.write_text("kind,body,n\ngood,fine,1\n")
    assert "document_column: not given, and " in refused(capfd, folder, "--file", file)
    assert json.loads(answer("--json", "--document-column", "kind")[0])["text"] == "good"
    (folder / "recipe.yaml").write_text("document_column: body\n")  # which training was told
    assert json.loads(answer("--json")[0])["text"] == "fine"
    assert "document_column: is for a table" in refused(capfd, folder, "x", "--document-column", "text")


@pytest.mark.parametrize("flags", [[], ["--json"], ["--explain", "a.html"]])
def test_an_empty_file_has_no_text(folder, tmp_path, capfd, monkeypatch, flags):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_bytes(b"")
    assert run(capfd, folder, "--file", "empty.txt", *flags) == ""
    give(monkeypatch, b"")
    assert run(capfd, folder, *flags) == ""
    assert not (tmp_path / "a.html").exists()


def test_many_texts_keep_their_order(checkpoint, tmp_path, capfd, monkeypatch):
    """More than one part, as the progress bar counts them."""
    place, classifier, _ = checkpoint
    monkeypatch.setattr(answers, "PART", 3)
    texts = ["worst film, fine family"[: 1 + n * 7 % 22].strip() for n in range(20)]
    (tmp_path / "lines.txt").write_text("\n".join(texts))
    check_lines(run(capfd, place, "--file", tmp_path / "lines.txt"), classifier, texts)


def test_json_is_one_object_a_line(checkpoint, tmp_path, capfd, monkeypatch):
    place, classifier, kind = checkpoint
    texts = [*LINES, "\u2028a\u0085\x1c\x0b"]  # what other readers take for line ends
    (tmp_path / "lines.txt").write_text("\n".join(texts), encoding="utf-8", newline="")
    lines = run(capfd, place, "--file", tmp_path / "lines.txt", "--json").split("\n")
    assert lines.pop() == ""
    for line, text, found in zip(lines, texts, classifier.classify(texts), strict=True):
        answer = json.loads(line)
        assert answer.pop("text") == text
        assert answer.pop("scores") == pytest.approx(found.scores, abs=1e-4)
        assert answer == {"single": {"label": "".join(found.labels)}, "multi": {"labels": found.labels}}.get(kind, {})
    assert "\\u" not in run(capfd, place, "नमस्ते", "--json")


def test_the_mean_of_several_checkpoints(checkpoint, tmp_path, capfd):
    place, classifier, kind = checkpoint
    other = classifier_of("bpe", kind, seed=5, reads_backward=True, bidirectional=False)
    save(tmp_path / "other", other.model, other.tokenizer)
    together = Classifier(classifier.model, classifier.tokenizer, others=[other])
    check_lines(run(capfd, place, "\n".join(LINES), "--and", tmp_path / "other"), together, LINES)
    assert together.scores(LINES).sub(classifier.scores(LINES)).abs().max() > 0.01


# ---- explanations ----
def test_the_words_that_moved_the_decision_are_listed(checkpoint, capfd):
    place, classifier, _ = checkpoint
    text = "A fine film, not the worst"
    lines = run(capfd, place, text, "--explain").splitlines()
    check_lines(lines[0] + "\n", classifier, [text])
    (why,) = explain(classifier.model, classifier.tokenizer, [text])
    assert lines[1:] == [f"  {head}: {'   '.join(entries)}" for head, entries in lists_of(why)]
    assert lines[-1].startswith("  attention: ")
    assert run(capfd, place, "--explain", text).splitlines() == lines  # the text may also stand behind the flag


def test_every_line_of_standard_input_is_explained(folder, capfd, monkeypatch):
    expected = run(capfd, folder, "fine film\nworst film", "--explain")
    give(monkeypatch, b"fine film\nworst film\n")
    assert run(capfd, folder, "--explain") == expected


def test_explanations_as_json(checkpoint, capfd):
    place, classifier, _ = checkpoint
    texts = ["A fine film, not the worst", "", "नेपाल 😀"]
    lines = run(capfd, place, "\n".join(texts), "--json", "--explain").splitlines()
    for line, why in zip(lines, explain(classifier.model, classifier.tokenizer, texts), strict=True):
        answer = json.loads(line)
        assert answer["explained"] == why.label
        assert [word["word"] for word in answer["explanation"]] == [word.word for word in why.words]
        for word, expected in zip(answer["explanation"], why.words, strict=True):
            assert answer["text"][word["start"] : word["end"]] == word["word"]
            assert word["gradient"] == pytest.approx(expected.gradient, abs=1e-4, rel=1e-3)
            assert word["attention"] == pytest.approx(expected.attention, abs=1e-4)


def test_a_page(folder, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(answers, "MOST_EXPLAINED", 3)
    monkeypatch.setattr(answers, "PART", 2)
    (tmp_path / "lines.txt").write_text("fine film\n\nनेपाल <b>\nnever\nx\n", encoding="utf-8")
    expected = run(capfd, folder, "--file", "lines.txt")
    assert run(capfd, folder, "--file", "lines.txt", "--explain", "a.html") == expected
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("<section>") == 3
    assert "<b>" not in page
    assert "नेपाल" in page
    assert "never" not in page


def test_colours_on_a_terminal(folder, capfd, monkeypatch):
    text = "A [bold]fine[/bold] film\x07"
    plain = run(capfd, folder, text, "--explain")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = run(capfd, folder, text, "--explain")
    assert "\x1b[" in coloured
    assert "\x1b[" not in plain
    assert "\x07" in plain  # a file has the text as it is; a terminal would obey
    assert "\x07" not in coloured
    shown = "".join(part.partition("m")[2] if n else part for n, part in enumerate(coloured.split("\x1b[")))
    assert plain.replace("\x07", "").expandtabs() == shown


# ---- mistakes ----
def refused(capfd, *argv, **options) -> str:
    return sentence_of(capfd, "classify", *argv, **options)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        *MISTAKES_WITH_TEXTS,
        (["text", "--explain", "no/a.html"], "explain='no/a.html': must be a file in a folder that is there"),
        (["text", "--explain", "folder.html"], "explain='folder.html': must be a file in a folder that is there"),
        (["text", "--explain", "a.png"], "explain='a.png': must end in .html"),
        (["--file", "fine.txt", "--explain", "a.png"], "explain='a.png': must end in .html"),
        (["text", "--explain", "--and", "other"], "explain: is for one checkpoint, not for the mean of several"),
        (["text", "--and", "./nowhere"], "nowhere: no model there"),
    ],
)
def test_mistakes(folder, tmp_path, monkeypatch, capfd, flags, message):
    monkeypatch.chdir(tmp_path)
    write_broken_files(tmp_path)
    (tmp_path / "folder.html").mkdir()
    assert message in refused(capfd, folder, *flags)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_page_that_cannot_be_written(folder, tmp_path, monkeypatch, capfd):
    """Costs the page alone."""

    def full(path, explanations):
        raise OSError(28, "No space left on device")

    monkeypatch.chdir(tmp_path)
    expected = run(capfd, folder, "fine film")
    monkeypatch.setattr(answers, "save_explanations", full)
    said = refused(capfd, folder, "fine film", "--explain", "a.html", printed_before=expected)
    assert said == "rnn-zoo: a.html: No space left on device\n"


def test_mistakes_on_standard_input(folder, monkeypatch, capfd):
    """Lines before the mistake are answered where the answers do not wait for the end."""
    expected = run(capfd, folder, "fine")
    give(monkeypatch, b"fine\nfi\xffne\nfilm\n")
    assert "standard input, line 2: byte 2" in refused(capfd, folder, printed_before=expected)
    give(monkeypatch, b"", terminal=True)
    assert "nothing to classify: give a text, or --file FILE" in refused(capfd, folder)


def test_what_is_no_classifier(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert "no model there (config.json is missing)" in refused(capfd, tmp_path, "text")
    assert "nowhere: no classifier could be loaded" in refused(capfd, "nowhere", "text")
    tokenizer = build_char_tokenizer(["some text"])
    save(tmp_path / "lm", RnnForCausalLM(tiny_config(vocab_size=len(tokenizer))), tokenizer)
    assert "holds a RnnForCausalLM, not a recurrent classifier" in refused(capfd, "./lm", "text")
    assert "holds a RnnForCausalLM, not a recurrent classifier" in refused(capfd, folder, "text", "--and", "./lm")
    other = classifier_of(labels=["sad", "happy"])
    save(tmp_path / "sad", other.model, other.tokenizer)
    message = refused(capfd, folder, "text", "--and", "./sad")
    assert f"and='./sad': the labels are sad, happy, not bad, fair, good, which {folder} has" in message
    other.tokenizer.pad_token = None
    save(tmp_path / "no_padding", other.model, other.tokenizer)
    assert "no_padding: the tokenizer has no padding token" in refused(capfd, "./no_padding", "text")


@pytest.mark.parametrize("flags", [[], ["--json"], ["--explain"]], ids=["shown", "json", "explained"])
@pytest.mark.parametrize("length", [1, 3000])
def test_a_reader_may_go_away(folder, tmp_path, monkeypatch, capfd, flags, length):
    (tmp_path / "lines.txt").write_text("fine\n" * length)
    check_reader_may_go_away(capfd, monkeypatch, "classify", folder, "--file", tmp_path / "lines.txt", *flags)


# ---- without the package ----
@pytest.mark.ci
@pytest.mark.parametrize("name", ["wordpunct", "spelling"])
def test_a_checkpoint_classifies_where_the_package_is_missing(tmp_path, capfd, name):
    tokenizer = TOKENIZERS[name]()
    classifier = Classifier(build(tokenizer, pooling="concat").float(), tokenizer)
    save(tmp_path / "model", classifier.model, tokenizer)
    found = without_package(
        tmp_path,
        """
import json
from transformers import pipeline
pipe = pipeline("text-classification", model="model", trust_remote_code=True, top_k=None)
print("FOUND", json.dumps(pipe(["A FINE film", "नेपाल"])))
""",
    )
    for rows, expected in zip(found, classifier.classify(["A FINE film", "नेपाल"]), strict=True):
        assert {row["label"]: row["score"] for row in rows} == pytest.approx(expected.scores, abs=1e-4)
