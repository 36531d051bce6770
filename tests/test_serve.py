"""`rnn-zoo serve`: each tab answers as the command of its task does, alone or at once; nothing makes it fall."""

import asyncio
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from time import monotonic
from urllib.parse import urlsplit

import gradio as gr
import pytest
import torch
from command_line import command, examples, printed_by, save, sentence_of
from conftest import tiny_config, tiny_seq2seq_config
from gradio_client import Client
from gradio_client.exceptions import AppError

import rnn_zoo
from rnn_zoo import (
    Classifier,
    RnnForCausalLM,
    RnnForSequenceClassification,
    RnnForTokenClassification,
    RnnModel,
    RnnSeq2SeqForConditionalGeneration,
    Tagger,
    Translator,
    zoo,
)
from rnn_zoo.card import read_folder
from rnn_zoo.commands.serve import free_port
from rnn_zoo.errors import UserError
from rnn_zoo.inspect import attention
from rnn_zoo.page import parts
from rnn_zoo.page.turns import Busy, Turns, written
from rnn_zoo.space import app
from rnn_zoo.tasks import TASKS
from rnn_zoo.tasks.causal_lm import tab as write_tab
from rnn_zoo.tasks.opening import load
from rnn_zoo.tasks.sequence_classification import tab as classify_tab
from rnn_zoo.tasks.token_classification import tab as tag_tab
from rnn_zoo.tasks.translation import tab as translate_tab
from rnn_zoo.tokenizers import build_char_tokenizer, for_translation
from rnn_zoo.unseen import NAMED

pytestmark = pytest.mark.filterwarnings("ignore")  # of gradio, where no visitor is there to see them

LONGEST = parts.LONGEST_TEXT
HARD_TEXTS = {
    "emoji": "😀 👩\u200d👩\u200d👧",
    "one word of 10,000 characters": "x" * LONGEST,
    "2,000 words": "word " * (LONGEST // 5),
    "markup": "<script>alert(1)</script> <b>&amp;</b>",
    "signs of control": "a\x00\x07\x1b[2J\r\n\tb",
    "special tokens": "<unk> <eos> <pad>",
    "Devanagari": "काठमाडौंमा बैठक बोलायो ।",
    "right to left": "مرحبا بالعالم",
}


def path_of(key: str) -> str:
    """Where the tab of a task answers programs."""
    return {"causal_lm": "/write", "token_classification": "/tag", "translation": "/translate"}.get(key, "/classify")


every_tab = pytest.mark.parametrize("key", TASKS)
every_checkpoint = pytest.mark.parametrize("name", zoo.names())


@pytest.fixture(scope="module")
def client():
    page = app.build(zoo.names())
    app.launch(page, server_port=free_port("127.0.0.1", 0), prevent_thread_lock=True, quiet=True)
    yield Client(page.local_url, verbose=False)
    page.close(verbose=False)


@pytest.fixture(scope="module")
def shown():
    return {name: app.open_checkpoint(name) for name in zoo.names()}


def of_task(shown, key: str) -> parts.Shown:
    return next(one for one in shown.values() if one.task == key)


# ---- answers ----
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_each_task_says_where_its_parts_are(task):
    for reference in (task.arguments, task.run, task.flags, task.answer, task.tab, task.graphs, task.user):
        assert reference is None or callable(task.part(reference)), reference
    assert all(hasattr(rnn_zoo, name) for name in task.exports)


@pytest.mark.ci
@every_checkpoint
def test_a_checkpoint_answers_in_the_tab_of_its_task(name, client, capfd):
    """What the page says is what the classes, and for language models the command, say."""
    _, recipe = read_folder(zoo.path(name))
    key, text = recipe.run.task, recipe.card.example
    model, tokenizer = load(zoo.path(name), key)
    if key == "causal_lm":
        found = client.predict(text, 0.5, 40, 7, name, api_name="/write")
        flags = [f"--prompt={text}", "--temperature=0.5", "--max-new-tokens=40", "--seed=7"]
        assert found + "\n" == printed_by(capfd, "generate", name, *flags)
    elif key == "token_classification":
        found = client.predict(text, name, api_name="/tag")
        assert "".join(part["token"] for part in found) == text
        (entities,) = Tagger(model, tokenizer).tag_texts([text])
        marked = [(part["token"], part["class_or_confidence"]) for part in found if part["class_or_confidence"]]
        assert marked == [(entity.text, entity.type) for entity in entities] != []
    elif key == "translation":
        found, picture = client.predict(text, name, api_name="/translate")
        (expected,) = Translator(model, tokenizer)([text], attention=True)
        assert found == expected.text
        assert picture == attention.table(expected.attention)
    else:
        found, moved = client.predict(text, name, api_name="/classify")
        (expected,) = Classifier(model, tokenizer).classify([text])
        assert found["label"] == expected.labels[0]
        assert found["confidences"][0]["confidence"] == pytest.approx(max(expected.scores.values()))
        assert 'title="' in moved
        assert "speaks for the label" in moved


@pytest.mark.ci
@every_tab
@pytest.mark.parametrize("kind", HARD_TEXTS)
def test_hard_texts_have_an_answer(key, kind, shown):
    text = HARD_TEXTS[kind]
    one = of_task(shown, key)
    if key == "causal_lm":
        assert list(write_tab.write(one, text, 0.5, 5, 1))[-1].startswith(text)
    elif key == "token_classification":
        assert "".join(part for part, _ in tag_tab.tag(one, text)) == text
    else:
        _, picture = (translate_tab.translate if key == "translation" else classify_tab.classify)(one, text)
        assert "<script" not in picture
        assert len(picture) < 500_000
        assert "x" * (LONGEST + 1) not in picture


@every_tab
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no text yet"),
        (" \n\t\u200b", "no text yet"),
        ("x" * (LONGEST + 1), "has 10,001 characters, and at most 10,000"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(key, text, message, client):
    if key == "causal_lm" and len(text) <= LONGEST:
        assert client.predict(text, 0.5, 3, 1, api_name="/write").startswith(text)  # a text may begin with nothing
        return
    with pytest.raises(AppError) as error:
        client.predict(text, api_name=path_of(key))
    assert message in str(error.value)


@pytest.mark.parametrize("values", [("a", -0.1, 5, 1), ("a", 0.5, 0, 1), ("a", 0.5, 1e9, 1), ("a", 0.5, 5, -1)])
def test_settings_out_of_their_range_are_refused(values, client):
    with pytest.raises(AppError, match=r"must be a number from"):
        client.predict(*values, api_name="/write")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((None, 20, 1), "Temperature: must be a number from 0 to 2, not nothing."),
        (("warm", 20, 1), "Temperature: must be a number from 0 to 2, not &#x27;warm&#x27;."),
        ((0.5, "20", 1), "Length: must be a number from 1 to 1000, not &#x27;20&#x27;."),
        ((0.5, [1], 1), "Length: must be a number from 1 to 1000, not [1]."),
        ((0.5, 20, None), "Seed: must be a number from 0 to"),
        ((0.5, 20, True), "Seed: must be a number from 0 to"),
        ((0.5, 10**9, 1), "Length: must be a number from 1 to 1000, not 1000000000."),
    ],
)
def test_what_is_no_number_is_named(values, message, client):
    with pytest.raises(AppError) as caught:
        client.predict("a", *values, "char_lm_shakespeare", api_name="/write")
    assert message in str(caught.value)


def test_no_model_is_named(client):
    for name in (None, ["translate_dates"]):
        with pytest.raises(AppError, match="Model: must be one of "):
            client.predict("a", name, api_name="/translate")


def posted(client, path: str, data: bytes) -> tuple[int, bytes]:
    """Status and answer of a request to the page."""
    address = f"{client.src.rstrip('/')}/gradio_api/{path}"
    request = urllib.request.Request(address, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_no_files_are_taken_and_no_large_requests(client):
    assert posted(client, "upload", b"x") == (403, b"no files are taken here")
    asked = http.client.HTTPConnection(urlsplit(client.src).netloc)
    asked.putrequest("POST", "/gradio_api/call/write")
    asked.putheader("content-length", str(2 << 20))
    asked.endheaders()
    answer = asked.getresponse()
    assert (answer.status, answer.read()) == (413, b"a request may have 1,048,576 bytes")


@pytest.mark.ci
def test_many_long_requests_do_not_keep_the_next_person_waiting():
    page = app.build(["char_lm_shakespeare", "translate_dates"])
    app.launch(page, server_port=free_port("127.0.0.1", 0), prevent_thread_lock=True, quiet=True)
    client = Client(page.local_url, verbose=False)
    long = json.dumps({"data": ["ROMEO:", 0.8, 1000, 1, "char_lm_shakespeare"]}).encode()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: posted(client, "call/write", long), range(300)))
    assert {status for status, _ in answers} == {200}
    started = monotonic()
    assert client.predict("3 March 2025", "translate_dates", api_name="/translate")[0] == "2025-03-03"
    assert len(client.predict("ROMEO:", 0.8, 40, 3, "char_lm_shakespeare", api_name="/write")) == 46
    assert monotonic() - started < 10
    page.close(verbose=False)


# ---- turns ----
def test_the_next_turn_is_that_of_the_least_cost():
    async def play() -> list[str]:
        turns, ended = Turns(at_once=1, most_waiting=3), []

        async def ask(name: str, cost: float) -> None:
            try:
                await turns.take(cost)
                await asyncio.sleep(0.01)
                turns.give()
                ended.append(name)
            except Busy:
                ended.append(f"{name} refused")

        await asyncio.gather(*[ask(f"{n}", n) for n in (9, 5, 8, 1, 7)])
        assert (turns.free, turns.waiting) == (1, [])
        return ended

    # The first comes at once; of four that wait, the one that asks for most is refused.
    assert asyncio.run(play()) == ["8 refused", "9", "1", "5", "7"]


def test_a_request_that_waits_too_long_or_goes_away_leaves_no_trace():
    async def play() -> None:
        turns = Turns(at_once=1, longest_wait=0.02)
        await turns.take(0)
        with pytest.raises(Busy):
            await turns.take(0)
        gone = asyncio.create_task(turns.take(0))
        granted = asyncio.create_task(turns.take(1))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        turns.give()
        granted.cancel()  # its turn has just come
        with pytest.raises(asyncio.CancelledError):
            await granted
        assert (turns.free, turns.waiting) == (1, [])

    asyncio.run(play())


def test_an_answer_in_turns_is_whole_and_has_an_end():
    async def take(turns, pieces, **options) -> list[int]:
        return [value async for value in written(turns, 0.0, pieces, **options)]

    turns = Turns()
    assert asyncio.run(take(turns, iter(range(5)), turn=0)) == [0, 1, 2, 3, 4]
    assert asyncio.run(take(turns, iter(range(5)))) == [4]
    with pytest.raises(Busy):
        asyncio.run(take(turns, itertools.count(), turn=0.001, longest=0.01))
    assert turns.free == 4


def test_another_model_than_those_of_the_tab_is_refused(client):
    with pytest.raises(AppError, match="not in the list of choices"):
        client.predict("a", "char_lm_shakespeare", api_name="/tag")


def test_half_a_character_is_no_text():
    assert parts.checked("a\ud83d b") == "a? b"


def test_a_refusal_is_no_html():
    assert parts.refuse("<script>").message == "&lt;script&gt;"


def test_each_line_is_tagged_as_alone(shown):
    one, text = shown["ner_wnut17_bilstm_crf"], "Emma Watson\r\n\n in London\n"
    found = tag_tab.tag(one, text)
    assert "".join(part for part, _ in found) == text
    alone = [part for line in ("Emma Watson", " in London") for part in tag_tab.tag(one, line)]
    assert [part for part in found if part[1]] == [part for part in alone if part[1]] != []


def test_temperature_0_is_the_likeliest_text_and_a_seed_the_same_one(shown):
    one = shown["char_lm_shakespeare"]

    def text(temperature, seed):
        return list(write_tab.write(one, "ROMEO:", temperature, 60, seed))[-1]

    assert text(0, 1) == text(0, 2) != text(1, 1) == text(1, 1) != text(1, 2)
    assert text(1, 0) != text(1, 0)


def test_a_text_is_shown_while_it_is_written(shown, monkeypatch):
    monkeypatch.setattr(write_tab, "PAUSE", 0)
    found = list(write_tab.write(shown["char_lm_shakespeare"], "ROMEO:", 0.5, 20, 1))
    assert len(found) > 15
    assert all(later.startswith(earlier) for earlier, later in pairwise(found))


def test_what_a_model_has_never_seen_is_named(shown, monkeypatch):
    said = []
    monkeypatch.setattr(gr, "Warning", said.append)
    list(write_tab.write(shown["char_lm_shakespeare"], "<नेपाल 123456789", 0.5, 3, 1))
    assert len(said) == 1
    assert "never seen &#x27;&lt;&#x27;, &#x27;न&#x27;" in said[0]
    assert said[0].count("&#x27;") == 2 * NAMED
    for key, answer in (("token_classification", tag_tab.tag), ("translation", translate_tab.translate)):
        answer(of_task(shown, key), "☃ May")
    classify_tab.classify(of_task(shown, "sequence_classification"), "☃ May")
    assert len(said) == 4
    assert all("&#x27;☃&#x27;" in line and ": read as " in line for line in said[1:])
    translate_tab.translate(shown["translate_dates"], "February 31, 2025")
    assert said[4:] == ["No date of the calendar: &#x27;2025-02-31&#x27;, of &#x27;February 31, 2025&#x27;."]


def test_long_sources_have_no_picture(shown):
    one = of_task(shown, "translation")
    assert "<table" in translate_tab.translate(one, "3 March 2025".ljust(translate_tab.LONGEST_DRAWN, "."))[1]
    assert (
        "up to 200 characters"
        in translate_tab.translate(one, "3 March 2025".ljust(translate_tab.LONGEST_DRAWN + 1, "."))[1]
    )


# ---- at the same time ----
@pytest.mark.ci
@every_tab
def test_requests_at_the_same_time_are_answered_as_alone(key, shown):
    one = of_task(shown, key)
    texts = [
        "Asha Rao",
        "3 March 2025",
        "London and Pune",
        "फिन्ल्याण्ड",
        "Finland, South Korea",
        "x",
        "Paris",
        "1 2 3",
    ] * 3
    ask = {
        "causal_lm": lambda text: list(write_tab.write(one, text, 0.8, 40, 5))[-1],
        "token_classification": lambda text: tag_tab.tag(one, text),
        "translation": lambda text: translate_tab.translate(one, text),
        "sequence_classification": lambda text: classify_tab.classify(one, text),
    }[key]
    alone = [ask(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, texts)) == alone


# ---- what is shown ----
def test_tabs_are_those_of_the_checkpoints():
    found = app.build(["translate_dates", "char_lm_shakespeare"]).get_config_file()
    tabs = [part["props"]["label"] for part in found["components"] if part["type"] == "tabitem"]
    assert tabs == ["Write", "Translate"]
    choices = [part["props"] for part in found["components"] if part["type"] == "dropdown"]
    assert [choice["visible"] for choice in choices] == [False, False]


def test_several_checkpoints_of_a_task_are_a_choice():
    names = ["ner_wnut17_bilstm_crf", "ner_nepali_bilstm_crf"]
    found = app.build(names).get_config_file()
    (choice,) = [part["props"] for part in found["components"] if part["type"] == "dropdown"]
    assert choice["visible"]
    assert [value for _, value in choice["choices"]] == names
    (colours,) = [part["props"]["color_map"] for part in found["components"] if part["type"] == "highlightedtext"]
    assert {"PER", "LOC", "ORG", "person", "location"} <= colours.keys()
    assert len(set(colours.values())) == len(colours)


@every_checkpoint
def test_a_tab_says_what_its_model_is(name, shown):
    metrics, recipe = read_folder(zoo.path(name))
    said = shown[name].about
    for fact in (name, f"{metrics['parameters']:,} parameters", recipe.card.limits, metrics["model"]):
        assert fact in said
    assert f"{metrics['train']['seconds']:,.0f} s on {metrics['environment']['device']}" in said
    assert shown[name].example == recipe.card.example


def test_the_page_asks_nobody_and_can_be_used_without_a_network():
    page = app.build(["translate_dates"])
    assert not page.analytics_enabled
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"


# ---- checkpoints of one's own ----
TEXTS = ["Sita lives in Pokhara.", "नमस्ते दुनिया"]


def saved(folder, kind: str, **options):
    """A tiny checkpoint as `save_pretrained` leaves it, without what a training writes."""
    tokenizer = build_char_tokenizer(TEXTS)
    if kind == "translation":
        tokenizer = for_translation(tokenizer)
        config = tiny_seq2seq_config(vocab_size=len(tokenizer), **options)
        return save(folder / kind, RnnSeq2SeqForConditionalGeneration(config), tokenizer)
    heads = {
        "causal_lm": RnnForCausalLM,
        "token_classification": RnnForTokenClassification,
        "sequence_classification": RnnForSequenceClassification,
        "bare": RnnModel,
    }
    return save(folder / kind, heads[kind](tiny_config(vocab_size=len(tokenizer), **options)), tokenizer)


TAGS = {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}, "label2id": {"O": 0, "B-PER": 1, "I-PER": 2}}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("causal_lm", {}),
        ("token_classification", TAGS),
        ("sequence_classification", {}),
        ("sequence_classification", {"problem_type": "multi_label_classification"}),
        ("sequence_classification", {"problem_type": "regression", "num_labels": 1}),
        ("translation", {}),
        ("translation", {"attention": "none"}),
    ],
)
def test_a_checkpoint_without_a_card_is_shown_as_well(kind, options, tmp_path):
    torch.manual_seed(3)
    folder = saved(tmp_path, kind, **options)
    one = app.open_checkpoint(str(folder))
    assert "parameters. Its folder does not say how it was trained." in one.about
    if kind == "causal_lm":
        assert len(list(write_tab.write(one, "", 1.0, 9, 1))[-1]) >= 1
    elif kind == "translation":
        assert ("<table" in translate_tab.translate(one, "Sita")[1]) == (not options)
    elif kind == "token_classification":
        assert "".join(part for part, _ in tag_tab.tag(one, "Sita")) == "Sita"
    else:
        found, _ = classify_tab.classify(one, "Sita")
        assert isinstance(found, str) == (options.get("problem_type") == "regression")


def test_the_folder_that_one_is_in_has_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(saved(tmp_path, "causal_lm"))
    assert app.open_checkpoint(".").name == "causal_lm"


def test_what_has_no_tab_is_refused(tmp_path, capfd):
    bare = saved(tmp_path, "bare")
    twice = tmp_path / "again" / "translate_dates"
    twice.parent.mkdir()
    twice.symlink_to(zoo.path("translate_dates"))
    for argv, message in {
        (str(bare),): "bare: holds a RnnModel, and there is no tab for it",
        ("translate_dates", str(twice)): "is the second checkpoint of the name translate_dates",
        (str(tmp_path / "nowhere"),): "nowhere: no model there (config.json is missing)",
        (str(tmp_path),): "no model there (config.json is missing)",
        ("translate_date",): "translate_date: no model could be loaded: there is no such folder",
    }.items():
        assert message in sentence_of(capfd, "serve", *argv, "--port", "0")


def test_the_examples_of_the_page_run():
    names: dict = {}
    port = free_port("127.0.0.1", 0)
    for block in examples("demo.md"):
        exec(compile(block.replace("7860", str(port)), "docs/demo.md", "exec"), names)
    names["page"].close(verbose=False)
    assert names["date"] == "2025-03-03"
    assert "<table" in names["picture"]
    assert len(names["play"]) == len("ROMEO:") + 200


# ---- the command ----
def test_a_port_in_use_is_named(capfd):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = sentence_of(capfd, "serve", "--port", port)
    assert said == f"rnn-zoo: port={port}: is in use; take another, or --port 0 for one that is free\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--port", "70000"], "port=70000: must be from 0 to 65535"),
        (["--port", "-1"], "port=-1: must be from 0 to 65535"),
        (["--port", "http"], "invalid int value: 'http'"),
        (["--host", "192.0.2.1"], "host='192.0.2.1': is no address of this machine"),
        (["--host", "no such host"], "host='no such host': is no address of this machine"),
        (["--share"], "unrecognized arguments: --share"),
    ],
)
def test_mistakes_are_one_sentence(argv, message, capfd):
    assert message in sentence_of(capfd, "serve", *argv)


@pytest.mark.parametrize("argv", [["serve"], ["push", "translate_dates", "you/dates", "--space"]])
def test_without_gradio_it_is_said_what_to_install(argv, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert sentence_of(capfd, *argv).endswith('pip install "rnn-zoo[demo]"\n')


def test_a_port_that_is_free_is_kept():
    port = free_port("127.0.0.1", 0)
    assert free_port("127.0.0.1", port) == port > 0
    with pytest.raises(UserError, match="is no address"):
        free_port("255.255.255.256", port)


def test_help_needs_no_gradio(capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(SystemExit) as left:
        command("serve", "--help")
    assert left.value.code == 0
    assert "--port" in capfd.readouterr().out


@pytest.mark.ci
def test_it_answers_behind_a_proxy_until_ctrl_c(tmp_path):
    """In a process of its own, which a proxy that is not there must not keep from its own page."""
    argv = [sys.executable, "-m", "rnn_zoo", "serve", "translate_dates", "--port", "0"]
    environment = {key: value for key, value in os.environ.items() if key.lower() != "no_proxy"}
    environment |= {"OMP_NUM_THREADS": "1", "http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(argv, cwd=tmp_path, env=environment, **streams) as process:
        address = process.stdout.readline().split()[0]
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert direct.open(address, timeout=30).status == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (out, err) == ("", "rnn-zoo: stopped\n")
