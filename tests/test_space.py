"""`rnn-zoo push --space`: what goes up, what never does, and that the page answers where nothing else is."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from command_line import answers_of, sentence_of
from gradio_client import Client
from hub_server import HubServer
from huggingface_hub import SpaceCardData
from packaging.requirements import Requirement
from test_push import LETTERS, language_model, write
from test_push import check_sentence as check

import rnn_zoo
from rnn_zoo import zoo
from rnn_zoo.checkpoint_files import TOKEN
from rnn_zoo.commands.serve import free_port
from rnn_zoo.hub import PAUSES
from rnn_zoo.space import app
from rnn_zoo.space.files import requirements
from rnn_zoo.tasks.causal_lm import tab as write_tab

WRITER = f"hf_w{LETTERS}"
PACKAGE = Path(rnn_zoo.__file__).parent
SOURCES = {
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*")
    if path.suffix in (".py", ".md", ".conll", ".tsv") and "__pycache__" not in path.parts
} - {f"zoo/{name}/README.md" for name in zoo.names()}


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    """A Hub after several pushes of Spaces, and what each of them has answered, by name."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("space")
    language_model(folder / "model")
    write(folder / "model", {"README.md": "# A toy\n", "optimizer.pt": "x", "notes.txt": "mine", "picture.png": "x"})
    write(folder, {"secret.json": "{}"})
    (folder / "model" / "link.json").symlink_to(folder / "secret.json")
    shutil.copytree(folder / "model", folder / "leaking")
    write(folder / "leaking", {"recipe.yaml": f"hub_token: {WRITER}\n"})
    shutil.copytree(folder / "model", folder / "elsewhere" / "model")
    space = {
        "four": [
            *("char_lm_shakespeare", "ner_wnut17_bilstm_crf", "translate_dates", "language_of_names"),
            "some/four",
        ],
        "own": ["model", "some/own", "--private", "--message", "A first try"],
        "mistake: none": ["nowhere", "some/none"],
        "mistake: leaking": ["leaking", "some/none"],
        "mistake: twice": ["model", "elsewhere/model", "some/none"],
        "mistake: no name": ["model", "none"],
        "cut": ["model", "some/cut"],
        "repeated": ["model", "some/cut"],
        "mixed": ["some/uploaded", "translate_dates", "some/mixed"],
    }
    steps = {name: {"argv": ["push", *argv, "--space"], "env": {"HF_TOKEN": WRITER}} for name, argv in space.items()}
    steps["four again"] = {"argv": ["push", "--space", *space["four"]]}
    steps["a model"] = {"argv": ["push", "model", "some/own"]}  # of the same name, and another repository
    with HubServer() as hub:
        hub.let_write(WRITER, "some")
        held = [path for path in (folder / "model").iterdir() if path.is_file() and not path.is_symlink()]
        hub.add("models/some/uploaded", {path.name: path.read_bytes() for path in held})
        hub.fail(r"POST /api/spaces/some/cut/commit/", 503, count=len(PAUSES) + 1)
        found = answers_of(list(steps.values()), hub.environment(folder / "home"), folder)
        yield SimpleNamespace(hub=hub, folder=folder, answers=dict(zip(steps, found, strict=True)))


def files_of(pushed, name: str) -> dict[str, bytes]:
    return {
        path: content
        for path, content in pushed.hub.repositories[f"spaces/some/{name}"].files.items()
        if path != ".gitattributes"
    }


def about(pushed, name: str) -> dict:
    """What stands above the text of the README."""
    return yaml.safe_load(files_of(pushed, name)["README.md"].decode().split("---\n")[1])


# ---- what goes up ----
@pytest.mark.ci
def test_a_space_is_one_commit_of_page_package_and_checkpoints(pushed):
    answer = pushed.answers["four"]
    assert answer.status == 0, answer
    assert answer.err == ""
    repository = pushed.hub.repositories["spaces/some/four"]
    assert answer.out == f"{pushed.hub.address}/spaces/some/four/commit/{repository.branches['main']}\n"
    assert repository.titles == ["Upload a Space with rnn-zoo", ""]
    found = files_of(pushed, "four")
    assert found["app.py"] == (PACKAGE / "space" / "app.py").read_bytes()
    assert {path.partition("/")[0] for path in found} == {
        *("README.md", "app.py", "requirements.txt", "checkpoints", "rnn_zoo")
    }
    package = {path.removeprefix("rnn_zoo/") for path in found if path.startswith("rnn_zoo/")}
    assert package == SOURCES
    for path in package:
        assert found[f"rnn_zoo/{path}"] == (PACKAGE / path).read_bytes()
    shown = {Path(path).parts[1] for path in found if path.startswith("checkpoints/")}
    assert shown == {"char_lm_shakespeare", "ner_wnut17_bilstm_crf", "translate_dates", "language_of_names"}
    for name in shown:
        weights = found[f"checkpoints/{name}/model.safetensors"]
        assert weights == (zoo.path(name) / "model.safetensors").read_bytes()


@pytest.mark.ci
def test_what_stays_here_stays(pushed):
    for name in ("own", "mixed"):
        found = {Path(path).name for path in files_of(pushed, name) if path.startswith("checkpoints/")}
        assert not {"optimizer.pt", "notes.txt", "picture.png", "link.json"} & found
        assert not [path for path in found if path.endswith(".py")]  # the package is there
    for repository in pushed.hub.repositories.values():
        for commit in repository.commits.values():
            assert not [path for path, content in commit.files.items() if TOKEN.search(content)]


@pytest.mark.ci
def test_the_hub_had_nothing_to_object_to(pushed):
    assert pushed.hub.refused == []


@pytest.mark.ci
def test_the_hub_is_told_how_to_run_it(pushed):
    told = about(pushed, "four")
    assert told == SpaceCardData(**told).to_dict()  # its keys are those of the Hub
    assert (told["title"], told["sdk"], told["app_file"]) == ("four", "gradio", "app.py")
    assert told["sdk_version"] == importlib.metadata.version("gradio")
    assert told["python_version"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert "license" not in told  # they have several
    mixed = about(pushed, "mixed")
    assert mixed["models"] == ["some/uploaded"]


@pytest.mark.ci
def test_what_it_needs_is_pinned_to_what_is_here(pushed):
    lines = files_of(pushed, "four")["requirements.txt"].decode().splitlines()
    assert lines == requirements()
    pins = {Requirement(line).name: str(Requirement(line).specifier) for line in lines}
    known = yaml.safe_load(
        re.search(r"dependencies = (\[.*?\n\])", (PACKAGE.parents[1] / "pyproject.toml").read_text(), re.DOTALL)[1]
    )
    assert pins.keys() == {Requirement(line).name for line in known} | {"gradio"}
    for name, pin in pins.items():
        assert pin == "==" + importlib.metadata.version(name).partition("+")[0]


@pytest.mark.ci
def test_a_push_of_the_same_changes_nothing(pushed):
    assert pushed.answers["four again"].status == 0
    assert pushed.answers["four again"].out == pushed.answers["four"].out


@pytest.mark.ci
def test_a_space_and_a_model_may_share_a_name(pushed):
    assert pushed.answers["own"].status == pushed.answers["a model"].status == 0
    repository = pushed.hub.repositories["spaces/some/own"]
    assert repository.private
    assert repository.titles == ["A first try", ""]
    model = pushed.hub.repositories["models/some/own"]
    assert not model.private
    assert "app.py" not in model.files


# ---- mistakes and faults ----
@pytest.mark.ci
def test_mistakes_cost_one_sentence_and_send_nothing(pushed):
    for name, message in {
        "none": "nowhere: no model could be loaded: there is no such folder, and no such model on the Hub",
        "leaking": "recipe.yaml: holds a token of the Hub",
        "twice": "elsewhere/model: is the second checkpoint of the name model",
        "no name": "repo_id='none': must be OWNER/NAME",
    }.items():
        check(pushed.answers[f"mistake: {name}"], 2, message)
    assert not [request for request in pushed.hub.requests if "some/none" in request and "POST" in request]


@pytest.mark.ci
def test_a_push_that_breaks_can_be_repeated(pushed):
    check(pushed.answers["cut"], 1, "some/cut: the push was not finished: the Hub has a fault of its own (status 503)")
    assert pushed.answers["repeated"].status == 0
    assert pushed.hub.repositories["spaces/some/cut"].titles == ["Upload a Space with rnn-zoo", ""]


def test_it_is_said_that_one_checkpoint_goes_up_at_a_time(capfd):
    assert "(--space)" in sentence_of(capfd, "push", "translate_dates", "language_of_names", "some/two")


# ---- down again, elsewhere ----
ALONE = """
import runpy, sys
sys.path.insert(0, ".")
import rnn_zoo
print(rnn_zoo.__file__, flush=True)
runpy.run_path("app.py", run_name="__main__")
"""


@pytest.mark.ci
def test_its_files_answer_where_nothing_else_is(pushed, tmp_path):
    """In an empty folder, as the Hub starts them, without the Hub and without this package."""
    write(tmp_path, files_of(pushed, "mixed"))
    port = free_port("127.0.0.1", 0)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"GRADIO_SERVER_PORT": str(port), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment |= {"SYSTEM": "spaces", "SPACE_ID": "some/mixed", "GRADIO_SERVER_NAME": "0.0.0.0"}  # by which it knows
    argv = [sys.executable, "-c", ALONE]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(argv, cwd=tmp_path, env=environment, **streams) as process:
        try:
            assert Path(process.stdout.readline().strip()).is_relative_to(tmp_path)
            said = ""
            while f":{port}" not in said:
                said += process.stdout.readline()
                assert process.poll() is None, said
            client = Client(f"http://127.0.0.1:{port}", verbose=False)
            date, picture = client.predict("सोमवार, ३ मार्च २०२५", api_name="/translate")
            text = client.predict("all that ", 0, 9, 1, api_name="/write")
        finally:
            process.kill()
    assert date == "2025-03-03"
    assert "<table" in picture
    one = app.open_checkpoint(str(pushed.folder / "model"))
    assert text == list(write_tab.write(one, "all that ", 0, 9, 1))[-1] != "all that "
