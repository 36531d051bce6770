"""Checkpoints of the Hub in the commands: pinned, read as safetensors only, and one sentence for each fault."""

import json
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from command_line import answers_of, command, sentence_of
from conftest import H, tiny_config
from hub_server import HubServer

from rnn_zoo import RnnForCausalLM, zoo
from rnn_zoo.tokenizers import build_char_tokenizer

TEXT = "all that glisters is not gold\n"
TOKEN = "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH"
AWAY = "http://127.0.0.1:9"  # where nobody listens
SHIPPED = "language_of_names"
GENERATE = ["--prompt", "all ", "--temperature", "0", "--max-new-tokens", "12"]


def write_model(folder: Path, seed: int, **options) -> dict[str, bytes]:
    """Saves a language model; returns its files."""
    torch.manual_seed(seed)
    tokenizer = build_char_tokenizer([TEXT])
    config = tiny_config(vocab_size=len(tokenizer), hidden_size=2 * H, initializer_range=1.0, eos_token_id=None)
    RnnForCausalLM(config).save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Trap:
    """A pickle that leaves a trace when it is read."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


# Of each repository what fails there, how, and the sentence.
FAULTS = {
    "unauthorized": (
        "/some/{}/resolve/.*/model.safetensors",
        {"status": 401},
        "the Hub does not know the token: log in",
    ),
    "forbidden": ("GET /api/models/some/{}", {"status": 403}, "the token may not do that"),
    "broken_api": (
        "GET /api/models/some/{}",
        {"status": 500, "count": 6},
        "the Hub has a fault of its own (status 500): a little",
    ),
    "broken_files": (
        "GET /some/{}/resolve/.*/config.json",
        {"status": 500},
        "the Hub has a fault of its own (status 500)",
    ),
    "broken_storage": ("GET STORAGE/some/{}/", {"status": 500}, "the Hub has a fault of its own (status 500)"),
    "limited": (
        "GET /api/models/some/{}",
        {"status": 429, "headers": {"Retry-After": "300"}},
        "the Hub was asked too often: in 300 s, run the command again",
    ),
    "cut": (
        "GET STORAGE/some/{}/",
        {"cut": 1500, "count": 6},
        "the connection to the Hub broke: run the command again",
    ),
    "cut_early": ("GET /some/{}/resolve/.*/tokenizer.json", {"cut": 0, "count": 6}, "the connection to the Hub broke"),
}
# What is asked wrongly, or may not be had: the arguments, the exit status, and the sentence.
REFUSED = {
    "nothing": (
        ["some/nothing"],
        2,
        "there is no such folder, and no such model on the Hub or a private one (log in with",
    ),
    "private": (["some/private"], 2, "there is no such folder, and no such model on the Hub or a private one"),
    "gated": (["some/gated"], 1, "its owner wants to be asked, at http"),
    "no name": (["some/no/name"], 2, "there is no such folder, and it is no name of the Hub"),
    "no revision": (["some/model", "--revision", "v9"], 2, "it has no branch, tag or commit 'v9'"),
    "no commit": (["some/model", "--revision", "0" * 40], 2, f"it has no branch, tag or commit '{'0' * 40}'"),
    "pickled": (
        ["some/pickled"],
        2,
        "holds no weights in safetensors (model.safetensors is missing), and others are not",
    ),
    "empty": (["some/empty"], 2, "some/empty: no model there (config.json is missing)"),
    "foreign": (["some/foreign"], 2, "some/foreign: config.json: holds a model of type 'evil', not one of rnn_zoo"),
    "damaged": (["some/damaged"], 2, "some/damaged: model.safetensors is damaged or not whole"),
    "shard elsewhere": (
        ["some/elsewhere"],
        2,
        "names '../../model/secret.safetensors', which is no safetensors file of",
    ),
}


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A Hub, and what `rnn-zoo generate` has answered with its models, by name; one process has asked for them all."""
    folder = tmp_path_factory.mktemp("models")
    first, second = write_model(folder / "first", 1), write_model(folder / "second", 2)
    sharded = write_model(folder / "sharded", 1, max_shard_size="3KB")
    trap, ran = pickle.dumps(Trap(folder / "unpickled")), folder / "ran"
    evil = f"from pathlib import Path\nPath({str(ran)!r}).touch()\n"
    with HubServer() as hub:
        hub.let_write(TOKEN)
        commit = hub.add("models/some/model", first)
        shipped = zoo.path(SHIPPED)
        hub.add("models/some/shipped", {path.name: path.read_bytes() for path in shipped.iterdir() if path.is_file()})
        other = hub.add("models/some/model", second, branch="v2")
        hub.add(
            "models/some/both",
            first | {"pytorch_model.bin": trap, "last/optimizer.pt": trap, "last/config.json": b"{}"},
        )
        pickled = {name: content for name, content in first.items() if name != "model.safetensors"}
        hub.add("models/some/pickled", pickled | {"pytorch_model.bin": trap})
        hub.add("models/some/sharded", sharded)
        hub.add("models/some/private", first, private=True)
        hub.add("models/some/gated", first, gated=True)
        hub.add("models/some/empty", {"README.md": "# Nothing"})
        hub.add("models/some/damaged", first | {"model.safetensors": first["model.safetensors"][:-100]})
        named = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}
        hub.add("models/some/foreign", first | {"config.json": json.dumps(named).encode(), "evil.py": evil.encode()})
        hub.add(
            "models/some/rewritten",
            first | dict.fromkeys(("modeling_causal_lm.py", "configuration_rnn.py"), evil.encode()),
        )
        index = json.loads(sharded["model.safetensors.index.json"])
        index["weight_map"] = dict.fromkeys(index["weight_map"], "../../model/secret.safetensors")
        hub.add("models/some/elsewhere", sharded | {"model.safetensors.index.json": json.dumps(index).encode()})
        outside = {f"{'../' * ups}outside{ups}.json": b"{}" for ups in range(1, 6)} | {
            "a/../../../outside9.json": b"{}"
        }
        hub.add("models/some/outside", first | outside)
        for name, (match, options, _) in FAULTS.items():
            hub.add(f"models/some/{name}", first)
            hub.fail(match.format(name), **options)

        def ask(*argv):
            return {"argv": ["generate", *argv, *GENERATE]}

        steps = {name: ask(*argv) for name, (argv, _, _) in REFUSED.items()}
        steps["local"], steps["local second"] = ask(str(folder / "first")), ask(str(folder / "second"))
        steps["hub"] = ask("some/model")
        steps["branch"], steps["commit"] = ask("some/model", "--revision", "v2"), ask("some/model", "--revision", other)
        steps["main by commit"] = ask("some/model", "--revision", commit)
        steps["cached"] = ask("some/model") | {"endpoint": AWAY}
        steps["cached branch"] = ask("some/model", "--revision", "v2") | {"endpoint": AWAY}
        for name, where in (("hub", "some/shipped"), ("local", str(shipped))):
            steps[f"evaluate: {name}"] = {"argv": ["evaluate", where, "--split", "test"]}
        steps["evaluate: no recipe"] = {"argv": ["evaluate", "some/model"]}
        steps["away"] = ask("some/limited") | {"endpoint": AWAY}
        for name in ("both", "sharded", "rewritten", "outside"):
            steps[name] = ask(f"some/{name}")
        for name in FAULTS:
            steps[f"fault: {name}"] = ask(f"some/{name}")
        for status in (429, 500, 503):
            hub.add(f"models/some/passing{status}", first)
            hub.fail(
                f"GET /api/models/some/passing{status}", status, headers={"Retry-After": "3"} if status == 429 else {}
            )
            steps[f"passing: {status}"] = ask(f"some/passing{status}")
        steps["half a checkpoint"] = ask("some/cut") | {"endpoint": AWAY}
        steps["half a checkpoint, by transformers"] = {
            "code": "from transformers import AutoModelForCausalLM as auto\n"
            "auto.from_pretrained('some/cut', local_files_only=True)"
        }
        steps["all of it"] = {"code": "import huggingface_hub; huggingface_hub.snapshot_download('some/outside')"}
        for name in FAULTS:
            steps[f"repeated: {name}"] = ask(f"some/{name}")
        for name in ("private", "gated"):
            steps[f"with a token: {name}"] = ask(f"some/{name}") | {"env": {"HF_TOKEN": TOKEN}}
        environment = hub.environment(folder / "home") | {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "0"}
        found = answers_of(list(steps.values()), environment, folder)
        yield SimpleNamespace(hub=hub, folder=folder, answers=dict(zip(steps, found, strict=True)))


def check_same_text(asked, name: str, as_in: str = "local") -> None:
    answer = asked.answers[name]
    assert answer.status == 0, answer
    assert answer.err == ""
    assert answer.out == asked.answers[as_in].out
    assert len(answer.out) == len("all ") + 12 + 1


def check_sentence(answer, status: int, message: str) -> None:
    assert answer.status == status, answer
    assert answer.out == ""
    assert answer.err.startswith("rnn-zoo: some/")
    assert answer.err.count("\n") == 1, answer.err
    assert message in answer.err


@pytest.mark.ci
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_fault_of_the_first_call_that_passes_is_waited_for(asked, status):
    check_same_text(asked, f"passing: {status}")
    assert asked.answers[f"passing: {status}"].waited == (3 if status == 429 else 1)


# ---- which model ----
@pytest.mark.ci
def test_a_name_of_the_hub_is_as_good_as_a_folder(asked):
    check_same_text(asked, "hub")
    check_same_text(asked, "sharded")


@pytest.mark.ci
def test_a_revision_pins_a_branch_or_a_commit(asked):
    assert asked.answers["local"].out != asked.answers["local second"].out
    check_same_text(asked, "branch", "local second")
    check_same_text(asked, "commit", "local second")
    check_same_text(asked, "main by commit")


@pytest.mark.ci
def test_evaluate_takes_a_name_of_the_hub(asked):
    answers = [asked.answers[f"evaluate: {name}"] for name in ("hub", "local")]
    assert [answer.status for answer in answers] == [0, 0], answers
    measured = [json.loads(answer.out) for answer in answers]
    kept = json.loads((zoo.path(SHIPPED) / "metrics.json").read_text(encoding="utf-8"))["test"]
    assert measured[0]["accuracy"] == measured[1]["accuracy"] == pytest.approx(kept["accuracy"])
    check_sentence(asked.answers["evaluate: no recipe"], 2, "some/model: holds no recipe.yaml, so its data is unknown")


@pytest.mark.ci
def test_what_the_cache_holds_needs_no_network(asked):
    check_same_text(asked, "cached")
    check_same_text(asked, "cached branch", "local second")


@pytest.mark.ci
@pytest.mark.parametrize("name", ["generate", "tag", "classify", "translate"])
def test_a_folder_has_no_revisions(asked, capfd, monkeypatch, name):
    monkeypatch.chdir(asked.folder)
    text = [] if name == "generate" else ["a text"]
    sentence = sentence_of(capfd, name, "first", *text, "--revision", "v2")
    assert sentence == "rnn-zoo: revision='v2': is for a model on the Hub, and first is a folder\n"


def test_a_revision_is_for_one_checkpoint(capfd):
    argv = ("classify", "some/one", "a text", "--and", "some/other", "--revision", "v2")
    assert (
        sentence_of(capfd, *argv) == "rnn-zoo: revision: is for one checkpoint, not for the mean of several (--and)\n"
    )


# ---- what is read ----
@pytest.mark.ci
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_had_is_one_sentence(asked, name):
    _, status, message = REFUSED[name]
    check_sentence(asked.answers[name], status, message)


@pytest.mark.ci
def test_no_pickle_and_no_code_is_fetched_or_run(asked):
    check_same_text(asked, "both")
    check_same_text(asked, "rewritten")
    # One of them was fetched whole, by the client alone.
    fetched = [request for request in asked.hub.requests if "/resolve/" in request and "/outside/" not in request]
    assert [request for request in fetched if request.endswith("config.json")]
    assert not [request for request in fetched if request.endswith((".bin", ".pt", ".py"))]
    assert not (asked.folder / "unpickled").exists()
    assert not (asked.folder / "ran").exists()
    pickle.loads(pickle.dumps(Trap(asked.folder / "unpickled")))
    assert (asked.folder / "unpickled").exists()  # the trap works


@pytest.mark.ci
def test_a_pickle_in_a_folder_is_not_read(asked, tmp_path, capfd):
    folder = tmp_path / "pickled"
    shutil.copytree(asked.folder / "first", folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "unpickled")))
    sentence = sentence_of(capfd, "generate", folder)
    assert f"{folder}: holds no weights in safetensors" in sentence
    assert "have whoever made it save it again with save_pretrained" in sentence
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.ci
@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"weight_map": {"a": "../first/model.safetensors"}}, "which is no safetensors file of the folder itself"),
        ({"weight_map": {"a": "shard.bin"}}, "which is no safetensors file of the folder itself"),
        ({"weight_map": {"a": "shard.safetensors"}}, "shard.safetensors is missing"),
        ({"weight_map": {}}, "names no files"),
        ([], "must hold a JSON object"),
    ],
)
def test_an_index_names_files_of_its_folder(asked, tmp_path, capfd, index, message):
    shutil.copytree(asked.folder / "first", tmp_path / "first")
    shutil.copytree(asked.folder / "first", tmp_path / "made", ignore=shutil.ignore_patterns("*.safetensors"))
    (tmp_path / "made" / "model.safetensors.index.json").write_text(json.dumps(index))
    assert message in sentence_of(capfd, "generate", tmp_path / "made")


@pytest.mark.ci
def test_names_of_files_cannot_leave_their_folder(asked):
    check_same_text(asked, "outside")
    whole = asked.answers["all of it"].status  # the client's own way, which takes all files
    assert "ValueError" in whole
    assert not list(asked.folder.rglob("outside*.json"))
    assert not list(asked.folder.parent.glob("outside*.json"))


# ---- faults ----
@pytest.mark.ci
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_sentence(asked, name):
    answer = asked.answers[f"fault: {name}"]
    check_sentence(answer, 1, f"some/{name}: no language model could be loaded: ")
    check_sentence(answer, 1, FAULTS[name][2])
    assert answer.waited <= 30


@pytest.mark.ci
@pytest.mark.parametrize("name", FAULTS)
def test_the_command_can_be_repeated(asked, name):
    check_same_text(asked, f"repeated: {name}")


@pytest.mark.ci
def test_half_a_download_is_no_checkpoint(asked):
    check_sentence(asked.answers["half a checkpoint"], 1, f"{AWAY} cannot be reached: look after the connection")
    assert "OSError" in asked.answers["half a checkpoint, by transformers"].status
    assert not list((asked.folder / "home").rglob("*.incomplete"))


@pytest.mark.ci
def test_without_a_network_one_sentence(asked):
    check_sentence(
        asked.answers["away"], 1, f"some/limited: no language model could be loaded: {AWAY} cannot be reached"
    )


def test_offline_one_sentence(capfd):
    sentence = sentence_of(capfd, "generate", "some/model")
    assert "it is not in the cache, and HF_HUB_OFFLINE keeps from the Hub" in sentence


@pytest.mark.ci
def test_a_token_opens_what_is_private_or_gated(asked):
    check_same_text(asked, "with a token: private")
    check_same_text(asked, "with a token: gated")
    assert asked.hub.refused == []  # as it would be, had the token gone to the storage
    assert TOKEN not in json.dumps([vars(answer) for answer in asked.answers.values()])


def test_the_help_names_the_revision(capfd):
    for name in ("generate", "tag", "classify", "translate"):
        with pytest.raises(SystemExit):
            command(name, "--help")
        assert "--revision" in capfd.readouterr().out
