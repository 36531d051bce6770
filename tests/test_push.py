"""`rnn-zoo push` and pushes of a training: what goes up, what never does, and what a fault costs."""

import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from command_line import answers_of, command, examples, save, without_package
from conftest import H, tiny_config, tiny_seq2seq_config
from hub_server import HubServer
from safetensors.torch import load_file, save_file

from rnn_zoo import RnnForCausalLM, RnnSeq2SeqForConditionalGeneration
from rnn_zoo.checkpoint_files import TOKEN
from rnn_zoo.hub import reason_of
from rnn_zoo.tokenizers import build_char_tokenizer, build_pair_tokenizer

TEXT = "all that glisters is not gold\n"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGH"
WRITER, READER, STRANGER = (f"hf_{letter}{LETTERS}" for letter in "wrs")
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
PART = 4000  # bytes; weights come in parts, the picture whole

CARD = "---\nlicense: apache-2.0\n---\n# A toy\n"
KEPT = {
    "README.md": CARD,
    "metrics.json": '{"steps": 2}\n',
    "recipe.yaml": "hidden_size: 8\n",
    "confusion.png": PICTURE,
}
STAYS = {
    **dict.fromkeys(
        ("training_args.bin", "pytorch_model.bin", "optimizer.pt", "rng_state.pth", "a.pkl", "b.ckpt"), b"\x80"
    ),
    **dict.fromkeys(
        (".netrc", ".cache/kept.json", "__pycache__/crf.cpython-311.pyc", "runs/events.out", "notes.txt"), b"x"
    ),
    **dict.fromkeys(("checkpoint-2/config.json", "checkpoint-2/optimizer.pt", "trainer_state.json"), b"{}"),
    "averaged_weights.safetensors": b"x",
}


def language_model(folder: Path) -> RnnForCausalLM:
    tokenizer = build_char_tokenizer([TEXT])
    model = RnnForCausalLM(tiny_config(vocab_size=len(tokenizer), hidden_size=2 * H)).eval()
    save(folder, model, tokenizer)
    return model


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def make_checkpoints(folder: Path) -> None:
    """`model`, a run with all that may lie in its folder; `other`, the same with other weights; and faulty ones."""
    language_model(folder / "model")
    write(folder / "model", KEPT | STAYS)
    write(folder, {"secret.json": "{}"})
    (folder / "model" / "link.json").symlink_to(folder / "secret.json")
    shutil.copytree(folder / "model", folder / "other", symlinks=True)
    tensors = load_file(folder / "other" / "model.safetensors")
    save_file(
        {name: tensor + 1 for name, tensor in tensors.items()}, folder / "other" / "model.safetensors", {"format": "pt"}
    )
    plain = shutil.ignore_patterns(*(Path(name).parts[0] for name in STAYS), "link.json")
    for name, without in {
        "bare": "tokenizer*",
        "pickled": "model.safetensors",
        "codeless": "recurrent_stack.py",
    }.items():
        shutil.copytree(folder / "model", folder / name, ignore=shutil.ignore_patterns(without), symlinks=True)
    for name, files in {
        "card": {"README.md": "---\n- a list\n---\n"},
        "untitled": {"README.md": "# A toy\n"},
        "leaking": {"recipe.yaml": f"hub_token: {WRITER}\n"},
        "foreign": {"config.json": '{"model_type": "bert"}'},
    }.items():
        shutil.copytree(folder / "model", folder / name, ignore=plain)
        write(folder / name, files)
    shutil.copytree(folder / "model", folder / "short", ignore=plain)
    whole = (folder / "short" / "model.safetensors").read_bytes()
    write(folder / "short", {"model.safetensors": whole[:-100]})
    shutil.copytree(folder / "untitled", folder / "shipped", ignore=shutil.ignore_patterns("*.py"))
    config = json.loads((folder / "shipped" / "config.json").read_text())
    write(folder / "shipped", {"config.json": json.dumps({k: v for k, v in config.items() if k != "auto_map"})})
    (folder / "linked").mkdir()
    for path in (folder / "untitled").iterdir():
        (folder / "linked" / path.name).symlink_to(path)
    tokenizer = build_pair_tokenizer([TEXT], ["a dog", "two"])
    sizes = {"vocab_size": len(tokenizer), "decoder_vocab_size": tokenizer.target_vocab_size}
    config = tiny_seq2seq_config(**sizes, share_encoder_decoder_embeddings=False)
    save(folder / "translator", RnnSeq2SeqForConditionalGeneration(config).eval(), tokenizer)
    # A project to train.
    write(folder / "project", {"data/text.txt": TEXT * 60, "toy.yaml": yaml.safe_dump(RECIPE)})


RECIPE = {"data_dir": "data", "output_dir": "out", "hidden_size": 8, "embedding_size": 8, "bptt_length": 16}
RECIPE |= {"per_device_train_batch_size": 2, "per_device_eval_batch_size": 2, "max_steps": 4, "save_steps": 2}
RECIPE |= {"sample_tokens": 0, "validation_fraction": 0.2, "test_fraction": 0.2}
TRAIN = ["train", "toy.yaml", "--push_to_hub", "--hub_model_id", "some/trained", "--hub_strategy", "every_save"]
TRAIN += ["--hub_always_push", "--disable_tqdm", "true"]

# Name of a repository -> what fails there, the exit status, and what the sentence says.
HTML = b"<html>Bad gateway</html>"
LIMIT = {"headers": {"Retry-After": "300"}}
FAULTS = {
    "unauthorized": (
        ("preupload", 401, {"body": {"error": f"no such token: {WRITER}"}}),
        "does not know the token: log in",
    ),
    "forbidden": (("commit", 403, {}), "the token may not do that: it needs the right to write there"),
    "conflict": (("commit", 409, {}), "somebody else is changing the repository: run the command again"),
    "stale": (("commit", 412, {}), "somebody else is changing the repository"),
    "limited": (("preupload", 429, LIMIT), "was asked too often: in 300 s, run the command again"),
    "limited_create": (("create", 429, LIMIT), "was asked too often: in 300 s, run the command again"),
    "limited_storage": (("STORAGE", 429, LIMIT), "was asked too often: in 300 s, run the command again"),
    "limited_api": (
        ("commit", 429, {"headers": {"ratelimit": '"api";r=0;t=77'}}),
        "was asked too often: in 77 s, run the command again",
    ),
    "refusing": (
        ("commit", 422, {"body": {"error": f"\x1b[2Jno, {WRITER}\nand so on"}}),
        "the Hub refuses (status 422):  [2Jno, ***\n",
    ),
    "broken_create": (
        ("create", 500, {"body": HTML}),
        "the Hub has a fault of its own (status 500): a little later, run",
    ),
    "broken_preupload": (("preupload", 500, {}), "the Hub has a fault of its own (status 500)"),
    "broken_batch": (("batch", 500, {}), "the Hub has a fault of its own (status 500)"),
    "broken_storage": (("STORAGE", 503, {}), "the Hub has a fault of its own (status 503)"),
    "broken_verify": (("verify", 500, {}), "the Hub has a fault of its own (status 500)"),
    "broken_commit": (("commit", 500, {}), "the Hub has a fault of its own (status 500)"),
    "cut_upload": (("STORAGE", None, {"cut": 1500}), "the connection to the Hub broke: run the command again"),
    "cut_commit": (("commit", None, {"cut": 500}), "the connection to the Hub broke: run the command again"),
}
PATHS = {
    "create": r"POST /api/repos/create some/{name}$",
    "preupload": r"POST /api/models/some/{name}/preupload/",
    "commit": r"POST /api/models/some/{name}/commit/",
    "batch": r"POST /some/{name}.git/info/lfs/objects/batch",
    "verify": r"POST /some/{name}.git/info/lfs/objects/verify",
    "STORAGE": r"PUT STORAGE/some/{name}/\w+/2",  # the second part of the weights
}
CONNECTED = {"HF_TOKEN": WRITER}

# What is wrong with what was given -> the arguments, and the sentence.
MISTAKES: dict[str, tuple[list[str], str]] = {
    "no owner": (["model", "toy"], "repo_id='toy': must be OWNER/NAME"),
    "three parts": (["model", "a/b/c"], "repo_id='a/b/c': must be OWNER/NAME"),
    "dots": (["model", "some/../x"], "repo_id='some/../x': must be OWNER/NAME"),
    "dashes": (["model", "some/a--b"], "repo_id='some/a--b': must be OWNER/NAME"),
    "letters": (["model", "some/नमस्ते"], "repo_id='some/नमस्ते': must be OWNER/NAME"),
    "too long": (["model", f"some/{'x' * 97}"], "must be OWNER/NAME"),
    "a commit": (["model", "some/toy", "--revision", "0" * 40], "is a commit; a push goes to a branch"),
    "no branch": (["model", "some/toy", "--revision", "../x"], "revision='../x': is no name of a branch"),
    "a pull request": (["model", "some/toy", "--revision", "refs/pr/1"], "is no name of a branch"),
    "nowhere": (["nowhere", "some/toy"], "nowhere: no model there (config.json is missing)"),
    "foreign": (["foreign", "some/toy"], "foreign: holds a model of type 'bert', not one of rnn_zoo"),
    "no tokenizer": (["bare", "some/toy"], "bare: holds no tokenizer (tokenizer.json, tokenizer_config.json)"),
    "pickled": (["pickled", "some/toy"], "pickled: holds no weights in safetensors (model.safetensors is missing)"),
    "no code": (["codeless", "some/toy"], "codeless: recurrent_stack.py is missing or a link out of the folder"),
    "shipped": (["shipped", "some/toy"], "shipped: config.json names no code (auto_map), so it opens nowhere else"),
    "cut off": (["short", "some/toy"], "short: model.safetensors is damaged or not whole"),
    "linked": (["linked", "some/toy"], "linked: holds no tokenizer"),
    "a token": (["leaking", "some/toy"], "recipe.yaml: holds a token of the Hub"),
    "a flag": (["model", "some/toy", "--tempo"], "unrecognized arguments: --tempo"),
    "several": (["model", "other", "some/toy"], "checkpoint: one at a time, not 2; a Space holds several (--space)"),
}


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    """A Hub after many pushes, and what each of them has answered, by name; one process has made them all."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("push")
    make_checkpoints(folder)
    steps = {f"mistake: {name}": {"argv": ["push", *argv], "env": CONNECTED} for name, (argv, _) in MISTAKES.items()}
    steps["no token"] = {"argv": ["push", "model", "some/none"], "env": {"HF_TOKEN": ""}}
    steps["hub_token"] = {"argv": [*TRAIN, "--hub_token", WRITER], "folder": str(folder / "project")}
    steps["no name"] = {"argv": ["train", "toy.yaml", "--push_to_hub"]}
    steps["train without a token"] = {"argv": TRAIN}
    steps["stranger"] = {"argv": ["push", "model", "some/none"], "env": {"HF_TOKEN": STRANGER}, "folder": str(folder)}
    steps["reader"] = {"argv": ["push", "model", "some/none"], "env": {"HF_TOKEN": READER}}
    steps["another owner"] = {"argv": ["push", "model", "another/none"], "env": CONNECTED}
    steps["first"] = {"argv": ["push", "model", "some/model"]}
    steps["again"] = {"argv": ["push", "model", "some/model"]}
    steps["changed"] = {"argv": ["push", "other", "some/model", "--message", "Other weights"]}
    steps["branch"] = {"argv": ["push", "model", "some/model", "--revision", "v2/try"]}
    steps["branch again"] = {"argv": ["push", "other", "some/model", "--revision", "v2/try"]}
    steps["private"] = {"argv": ["push", "model", "some/private", "--private"]}
    steps["private again"] = {"argv": ["push", "other", "some/private"]}
    steps["public already"] = {"argv": ["push", "other", "some/model", "--private"]}
    steps["card"] = {"argv": ["push", "card", "some/card"]}
    steps["untitled"] = {"argv": ["push", "untitled", "some/untitled"]}
    steps["ignored"] = {"argv": ["push", "model", "some/ignored"]}
    steps["translator"] = {"argv": ["push", "translator", "some/translator"]}
    steps["patient"] = {"argv": ["push", "model", "some/patient"]}
    steps["broken_card"] = {"argv": ["push", "untitled", "some/broken_card"]}
    steps["no network"] = {"argv": ["push", "model", "some/unreached"], "endpoint": "http://127.0.0.1:9"}
    for name in FAULTS:
        steps[f"fault: {name}"] = {"argv": ["push", "model", f"some/{name}"]}
    for name in FAULTS:
        steps[f"repeated: {name}"] = {"argv": ["push", "model", f"some/{name}"]}
    steps["examples"] = {"code": "\n".join(examples("hub.md"))}
    steps["train"] = {"argv": TRAIN, "folder": str(folder / "project")}
    steps["evaluate"] = {"argv": ["evaluate", "out"], "env": {"HF_TOKEN": ""}}
    steps["train, cut"] = {"argv": [*TRAIN[:4], "some/trained_cut", "--output_dir", "cut"], "env": CONNECTED}

    with HubServer(part_size=PART) as hub:
        hub.let_write(WRITER, "some", "you")
        hub.let_write(READER)
        hub.add("models/some/ignored", {".gitignore": "/model.safetensors\n"})
        for name, ((place, status, options), _) in FAULTS.items():
            count = 6 if "cut" in options or status in (500, 503) else 1  # the client tries so often
            count = 1 if place == "commit" and "cut" in options else count
            count = 2 * count if place == "verify" else count  # two files are verified
            hub.fail(PATHS[place].format(name=name), status, count=count, **options)
        hub.fail(PATHS["preupload"].format(name="patient"), 429, headers={"Retry-After": "3"})
        hub.fail(PATHS["STORAGE"].format(name="patient"), None, cut=1500, count=2)
        hub.fail(PATHS["verify"].format(name="patient"), 500)
        hub.fail(PATHS["create"].format(name="patient"), 503, headers={"Retry-After": "2"})
        hub.fail(PATHS["commit"].format(name="patient"), 500)
        hub.fail(PATHS["commit"].format(name="trained_cut"), None, cut=900, count=99)
        hub.fail("validate-yaml", 502, body=HTML, first=validations_before(steps, "broken_card"))
        environment = hub.environment(folder / "home") | {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "0"}
        found = answers_of(list(steps.values()), environment, folder)
        yield SimpleNamespace(hub=hub, folder=folder, answers=dict(zip(steps, found, strict=True)))


def validations_before(steps: dict[str, dict], name: str) -> int:
    """The how-manieth card of those that are sent is that of a step, if all steps before it get so far."""
    names = [*steps][[*steps].index("first") : [*steps].index(name) + 1]
    again = names.count("patient")  # whose commit is made twice
    return len(names) + again - names.count("public already") - names.count("translator")


def repository(pushed, name):
    return pushed.hub.repositories[f"models/some/{name}"]


def requests(pushed, pattern: str) -> list[str]:
    return [request for request in pushed.hub.requests if re.search(pattern, request)]


def check_sentence(answer, status: int, message: str) -> None:
    assert answer.status == status, answer
    assert answer.out == ""
    assert answer.err.startswith("rnn-zoo: ")
    assert answer.err.count("\n") == 1, answer.err
    assert message.rstrip("\n") in answer.err


# ---- what goes up ----
def expected_files(folder: Path) -> set[str]:
    made = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    return made | KEPT.keys() | {path.name for path in folder.glob("*.py")} | {".gitattributes"}


@pytest.mark.ci
def test_a_push_is_one_commit_of_all_that_others_need(pushed):
    answer = pushed.answers["first"]
    assert answer.status == 0, answer
    address = f"{pushed.hub.address}/some/model/commit/"
    assert answer.out.startswith(address)
    commit = repository(pushed, "model").commits[answer.out.strip().removeprefix(address)]
    assert commit.title == "Upload model with rnn-zoo"
    assert repository(pushed, "model").commits[commit.parent].files.keys() == {".gitattributes"}
    assert commit.files.keys() == expected_files(pushed.folder / "model")
    assert {"modeling_causal_lm.py", "recurrent_stack.py"} <= commit.files.keys()
    for name in commit.files.keys() - {".gitattributes"}:
        assert commit.files[name] == (pushed.folder / "model" / name).read_bytes()


@pytest.mark.ci
def test_nothing_else_goes_up_and_what_stays_is_named(pushed):
    stayed = {Path(name).parts[0] for name in STAYS} | {"link.json"}
    for repo in pushed.hub.repositories.values():
        for commit in repo.commits.values():
            names = {Path(name).parts[0] for name in commit.files}
            assert not names & stayed
            assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl", ".ckpt"))]
    assert pushed.answers["first"].err == f"rnn-zoo: stayed here: {', '.join(sorted(stayed))}\n"
    assert pushed.answers["translator"].err == ""


@pytest.mark.ci
def test_the_server_had_nothing_to_object_to(pushed):
    assert pushed.hub.refused == []


@pytest.mark.ci
def test_weights_come_in_parts_and_small_files_whole(pushed):
    size = (pushed.folder / "model" / "model.safetensors").stat().st_size
    assert size > 2 * PART
    assert len(requests(pushed, r"PUT STORAGE/some/translator/\w+/\d+")) >= 1
    sent = requests(pushed, r"PUT STORAGE/some/private/")
    pictures = [request for request in sent if request.count("/") == 3]
    assert len(pictures) == 1
    assert len(sent) == 1 + 2 * -(-size // PART)  # the weights of two pushes, the picture of one


@pytest.mark.ci
def test_a_push_of_the_same_sends_nothing(pushed):
    assert pushed.answers["again"].status == 0
    assert pushed.answers["again"].out == pushed.answers["first"].out
    assert repository(pushed, "model").titles == ["Other weights", "Upload model with rnn-zoo", ""]


@pytest.mark.ci
def test_only_what_has_changed_is_sent(pushed):
    assert pushed.answers["changed"].status == 0
    files = repository(pushed, "model").files
    assert files["model.safetensors"] == (pushed.folder / "other" / "model.safetensors").read_bytes()
    size = len(files["model.safetensors"])
    assert len(requests(pushed, r"PUT STORAGE/some/model/\w+/\d+$")) == 2 * -(-size // PART)
    assert len(requests(pushed, r"PUT STORAGE/some/model/\w+$")) == 1


@pytest.mark.ci
def test_a_branch_is_made_and_used_again(pushed):
    repo = repository(pushed, "model")
    assert repo.branches.keys() == {"main", "v2/try"}
    last = repo.commits[repo.branches["v2/try"]]
    assert last.files["model.safetensors"] == (pushed.folder / "other" / "model.safetensors").read_bytes()
    assert pushed.answers["branch"].out.strip().endswith(last.parent)
    first = repo.commits[last.parent]
    assert first.files["model.safetensors"] == (pushed.folder / "model" / "model.safetensors").read_bytes()
    assert repo.commits[first.parent].title == "Other weights"  # the branch begins at main


@pytest.mark.ci
def test_private_is_private_or_refused(pushed):
    assert repository(pushed, "private").private
    assert not repository(pushed, "model").private
    assert pushed.answers["private"].status == pushed.answers["private again"].status == 0
    check_sentence(pushed.answers["public already"], 2, "private: some/model is there already and is public")


# ---- mistakes ----
@pytest.mark.ci
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_costs_one_sentence_and_sends_nothing(pushed, name):
    check_sentence(pushed.answers[f"mistake: {name}"], 2, MISTAKES[name][1])
    assert not requests(pushed, "some/toy")


@pytest.mark.ci
def test_without_a_token_the_way_to_one_is_named(pushed):
    message = "a push needs a token of the Hub with the right to write: log in with `hf auth login`, or set HF_TOKEN"
    for name in ("no token", "train without a token"):
        check_sentence_behind_reports(pushed.answers[name], 2, message)


def check_sentence_behind_reports(answer, status: int, message: str) -> None:
    assert answer.status == status, answer
    assert answer.err.startswith("rnn-zoo: ")
    assert answer.err.count("\n") == 1, answer.err
    assert message in answer.err


@pytest.mark.ci
def test_a_token_that_may_not_write_is_told_so(pushed):
    check_sentence(pushed.answers["stranger"], 1, "some/none: nothing was pushed: the Hub does not know the token")
    check_sentence(pushed.answers["reader"], 1, "some/none: nothing was pushed: the token may not do that")
    check_sentence(pushed.answers["another owner"], 1, "another/none: nothing was pushed: the token may not do that")
    assert not {"models/some/none", "models/another/none"} & pushed.hub.repositories.keys()


@pytest.mark.ci
def test_a_card_that_the_hub_refuses_is_the_users(pushed):
    check_sentence(
        pushed.answers["card"], 2, 'card/README.md: the Hub refuses what stands above the text: "metadata" must'
    )
    assert repository(pushed, "card").titles == [""]


@pytest.mark.ci
def test_what_the_hub_remarks_on_a_card_is_one_line(pushed):
    answer = pushed.answers["untitled"]
    assert answer.status == 0
    assert answer.err.startswith("rnn-zoo: Warnings while validating metadata in README.md: - empty or missing yaml")
    assert answer.err.count("\n") == 1


@pytest.mark.ci
def test_a_gitignore_on_the_hub_loses_nothing_in_silence(pushed):
    check_sentence_behind_reports(
        pushed.answers["ignored"],
        1,
        "the .gitignore of the repository keeps out model.safetensors: take it out of there",
    )


# ---- faults ----
@pytest.mark.ci
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_costs_one_sentence_and_changes_nothing(pushed, name):
    answer = pushed.answers[f"fault: {name}"]
    check_sentence(answer, 1, f"rnn-zoo: some/{name}: ")
    check_sentence(answer, 1, FAULTS[name][1])
    assert answer.waited < 60
    # The one commit that there is now is of the push that was repeated.
    assert repository(pushed, name).titles == ["Upload model with rnn-zoo", ""]


@pytest.mark.ci
@pytest.mark.parametrize("name", FAULTS)
def test_a_push_that_broke_can_be_repeated(pushed, name):
    answer = pushed.answers[f"repeated: {name}"]
    assert answer.status == 0, answer
    assert repository(pushed, name).files.keys() == expected_files(pushed.folder / "model")


@pytest.mark.ci
def test_what_has_arrived_is_not_sent_again(pushed):
    size = (pushed.folder / "model" / "model.safetensors").stat().st_size
    parts = -(-size // PART)
    assert len(requests(pushed, r"PUT STORAGE/some/broken_commit/")) == 1 + parts
    assert len(requests(pushed, r"PUT STORAGE/some/cut_upload/\w+$")) == 1  # the picture
    assert len(requests(pushed, r"PUT STORAGE/some/cut_upload/\w+/2$")) == 6 + 1
    assert len(requests(pushed, r"PUT STORAGE/some/cut_upload/\w+/3$")) == 1


@pytest.mark.ci
def test_short_waits_and_faults_that_pass_are_waited_for(pushed):
    answer = pushed.answers["patient"]
    assert answer.status == 0, answer
    assert "Retry" not in answer.err
    # The Hub's 2 s of the first call and ours of the commit, the Hub's 3 s and one, then the client's own.
    assert 2 + 1 + 4 + 1 + 2 + 1 <= answer.waited <= 13
    assert repository(pushed, "patient").files.keys() == expected_files(pushed.folder / "model")


@pytest.mark.ci
def test_a_long_wait_is_told_and_not_slept(pushed):
    for name in ("limited", "limited_create", "limited_storage", "limited_api"):
        assert pushed.answers[f"fault: {name}"].waited == 0


@pytest.mark.ci
def test_an_answer_that_is_not_the_hubs_is_named(pushed):
    check_sentence(
        pushed.answers["broken_card"], 1, "does not speak as the Hub does: a little later, run the command again"
    )


@pytest.mark.ci
def test_without_a_network_one_sentence(pushed):
    check_sentence(pushed.answers["no network"], 1, "http://127.0.0.1:9 cannot be reached: look after the connection")


@pytest.mark.ci
def test_offline_is_named(pushed, monkeypatch, capfd):
    monkeypatch.setenv("HF_TOKEN", WRITER)
    assert command("push", pushed.folder / "model", "some/offline") == 1
    sentence = capfd.readouterr().err
    assert sentence == "rnn-zoo: some/offline: nothing was pushed: HF_HUB_OFFLINE keeps from the Hub: unset it\n"


# ---- secrets ----
def test_an_address_in_a_message_gives_nobody_a_permission():
    error = RuntimeError("PUT https://me:secret@storage/some/file?X-Amz-Signature=1234&x=\x1b[2J failed\nand more")
    assert reason_of(error) == "PUT https://storage/some/file failed"


@pytest.mark.ci
def test_no_token_is_in_any_output_or_file(pushed):
    for name, answer in pushed.answers.items():
        assert not TOKEN.search((answer.out + answer.err).encode()), name
    for path in pushed.folder.rglob("*"):
        if path.is_file() and path != pushed.folder / "leaking" / "recipe.yaml":
            assert not TOKEN.search(path.read_bytes()), path
    for repo in pushed.hub.repositories.values():
        assert not [
            name for commit in repo.commits.values() for name in commit.files if TOKEN.search(commit.files[name])
        ]
    assert not TOKEN.search("\n".join(pushed.hub.requests).encode())
    assert all(TOKEN.fullmatch(token.encode()) for token in (WRITER, READER, STRANGER))


@pytest.mark.ci
def test_the_examples_of_the_page_run(pushed):
    answer = pushed.answers["examples"]
    assert answer.status is None, answer
    assert repository(pushed, "model").titles[0] == "Other weights"
    assert pushed.hub.repositories["models/you/model"].titles == ["First version", ""]
    assert "repo_id='not a name': must be OWNER/NAME" in answer.out


# ---- pushes of a training ----
@pytest.mark.ci
def test_a_token_stands_in_no_recipe(pushed):
    check_sentence(pushed.answers["hub_token"], 2, "hub_token: a token stands in no recipe and on no command line")
    check_sentence(pushed.answers["no name"], 2, "push_to_hub: needs hub_model_id, the OWNER/NAME on the Hub")


@pytest.mark.ci
def test_a_training_pushes_each_save_and_its_end(pushed):
    answer = pushed.answers["train"]
    assert answer.status == 0, answer
    repo = repository(pushed, "trained")
    assert repo.titles[0] == "End of training"
    assert {"Training in progress, step 2", "Training in progress, step 4"} <= {*repo.titles}
    assert f"on the Hub: {pushed.hub.address}/some/trained/commit/{repo.branches['main']}" in answer.out
    assert {"README.md", "metrics.json", "recipe.yaml", "modeling_causal_lm.py", "tokenizer.json"} <= repo.files.keys()
    out = pushed.folder / "project" / "out"
    assert repo.files["metrics.json"] == (out / "metrics.json").read_bytes()
    assert b"some/trained" in repo.files["README.md"]
    assert b"hub_model_id" not in repo.files["README.md"]
    assert repo.files["model.safetensors"] == (out / "model.safetensors").read_bytes()
    assert (out / "training_args.bin").exists()


@pytest.mark.ci
def test_each_commit_of_a_training_is_whole_and_free_of_pickles(pushed):
    repo = repository(pushed, "trained")
    commits = [commit for commit in repo.commits.values() if "config.json" in commit.files]
    assert len(commits) >= 3
    for commit in commits:
        assert {
            "model.safetensors",
            "tokenizer.json",
            "modeling_causal_lm.py",
            "recurrent_stack.py",
        } <= commit.files.keys()
        assert not [name for name in commit.files if name.endswith((".bin", ".pt"))]


@pytest.mark.ci
def test_a_run_that_pushed_is_measured_without_a_push(pushed):
    answer = pushed.answers["evaluate"]
    assert answer.status == 0, answer
    metrics = json.loads((pushed.folder / "project" / "out" / "metrics.json").read_text())
    assert json.loads(answer.out)["loss"] == metrics["validation"]["loss"]
    assert len(requests(pushed, "POST /api/repos/create some/trained$")) == 3  # ours, Trainer's, and of the last push
    assert repository(pushed, "trained").titles.count("End of training") == 1


@pytest.mark.ci
def test_a_push_that_breaks_loses_nothing_of_a_training(pushed):
    answer = pushed.answers["train, cut"]
    check_sentence_behind_reports(
        answer, 1, "some/trained_cut: the push was not finished: the connection to the Hub broke"
    )
    out = pushed.folder / "project" / "cut"
    for name in ("model.safetensors", "metrics.json", "recipe.yaml", "modeling_causal_lm.py"):
        assert (out / name).exists()
    assert json.loads((out / "metrics.json").read_text())["steps"] == 4
    assert repository(pushed, "trained_cut").titles == [""]


# ---- and down again, elsewhere ----
ELSEWHERE = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, pipeline

try:
    import rnn_zoo
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the package can be imported: this proves nothing")

found = {}
for name, revision in json.loads(sys.argv[1]):
    options = {"revision": revision, "trust_remote_code": True}
    model = AutoModelForCausalLM.from_pretrained(name, **options).eval()
    tokenizer = AutoTokenizer.from_pretrained(name, **options)
    assert type(model).__module__.startswith("transformers_modules."), type(model)
    with torch.no_grad():
        logits = model(**tokenizer("all that glisters", return_tensors="pt")).logits
    found[f"{name} {revision}"] = logits.tolist()
translate = pipeline("translation", model="some/translator", trust_remote_code=True)
found["translator"] = translate("gold", max_new_tokens=5)[0]["translation_text"]
print("FOUND " + json.dumps(found))
"""


@pytest.mark.ci
def test_what_was_pushed_opens_where_the_package_is_not(pushed, tmp_path):
    trained = repository(pushed, "trained")
    step = next(name for name, commit in trained.commits.items() if commit.title == "Training in progress, step 2")
    places = [("some/model", "v2/try"), ("some/model", pushed.answers["first"].out.strip()[-40:])]
    places += [("some/patient", "main"), ("some/trained", "main"), ("some/trained", step)]
    found = without_package(tmp_path, ELSEWHERE, json.dumps(places), hub=pushed.hub.environment(tmp_path / "empty"))
    folders = ["other", "model", "model", "project/out", "project/out/checkpoint-2"]
    for (name, revision), folder in zip(places, folders, strict=True):
        assert found[f"{name} {revision}"] == logits_of(pushed.folder / folder), name
    assert isinstance(found["translator"], str)
    assert not pushed.hub.refused


def logits_of(folder: Path) -> list:
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)("all that glisters", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return RnnForCausalLM.from_pretrained(folder).eval()(ids).logits.tolist()


# ---- at the Hub itself ----
@pytest.mark.hub
@pytest.mark.skipif("RNN_ZOO_TEST_REPO" not in os.environ, reason="RNN_ZOO_TEST_REPO names no repository to write to")
def test_a_push_through_xet(tmp_path):
    """Needs a token that may write to the repository, and hf-xet, through which the client then sends large files."""
    import hf_xet  # noqa: F401
    from huggingface_hub import HfApi

    model = language_model(tmp_path / "model")
    repo_id = os.environ["RNN_ZOO_TEST_REPO"]
    assert command("push", tmp_path / "model", repo_id, "--private", "--revision", "test") == 0
    expected = (tmp_path / "model" / "model.safetensors").read_bytes()
    path = HfApi().hf_hub_download(repo_id, "model.safetensors", revision="test", local_dir=tmp_path / "down")
    assert Path(path).read_bytes() == expected
    assert model.num_parameters() > 0
