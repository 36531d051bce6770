"""The command rnn-zoo: help, mistakes that cost one line and nothing else, Ctrl-C and going on, generate, evaluate."""

import contextlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from command_line import tree
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from rnn_zoo.command_line import InRange
from rnn_zoo.commands import COMMANDS, helps
from rnn_zoo.recipe.file import recipe_files
from rnn_zoo.recipe.recipe import read_recipe
from rnn_zoo.run import run as training_run
from rnn_zoo.tasks import TASKS
from rnn_zoo.tokenizers import TOKENIZER_BUILDERS
from rnn_zoo_cli import main

WORDS = ["cat", "dog", "the", "on", "mat", "sat", "नमस्ते", "déjà", "run", "x = 1"]
RECIPE = {
    "description": "a toy",
    "hidden_size": 8,
    "embedding_size": 8,
    "bptt_length": 16,
    "per_device_train_batch_size": 2,
    "per_device_eval_batch_size": 2,
    "max_steps": 2,
    "sample_tokens": 0,
    "test_fraction": 0.2,
    "validation_fraction": 0.2,
    "learning_rate": "1e-2",
    "save_steps": 2,
}


def toy_text(lines: int, seed: int = 0) -> str:
    chooser = random.Random(seed)
    return "".join(" ".join(chooser.choices(WORDS, k=5)) + "\n" for _ in range(lines))


def make_project(folder: Path, **values) -> Path:
    """A recipe `toy.yaml` and its data in `folder/data`, to be run from `folder`."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "text.txt").write_text(toy_text(200), encoding="utf-8")
    recipe = RECIPE | {"data_dir": "data", "output_dir": "out"} | values
    (folder / "toy.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return folder


def run(*argv) -> int:
    return main([str(argument) for argument in argv])


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An untrained project, the current folder."""
    monkeypatch.chdir(make_project(tmp_path / "project"))
    return tmp_path / "project"


@pytest.fixture(scope="module", params=TOKENIZER_BUILDERS)
def trained(request, tmp_path_factory):
    """A project with a model in `out`, for each kind of tokenizer; tests leave it as it is."""
    return train_once(tmp_path_factory, request.param)


@pytest.fixture(scope="module")
def trained_char(tmp_path_factory):
    return train_once(tmp_path_factory, "char")


def train_once(tmp_path_factory, kind: str) -> Path:
    folder = make_project(tmp_path_factory.mktemp(kind) / "project", tokenizer_type=kind, max_steps=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("train", "toy.yaml") == 0
    return folder


# ---- help ----
def python(*argv, **options) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.run(
        [sys.executable, *argv], env=environment, capture_output=True, text=True, timeout=300, check=False, **options
    )


def test_help_answers_without_torch():
    code = (
        "import sys, rnn_zoo_cli\n"
        "tries = (['--help'], ['help'], ['-h'], [], ['--version'], ['trian'])\n"
        "status = [rnn_zoo_cli.program(argv) for argv in tries]\n"
        "heavy = {'torch', 'transformers', 'datasets', 'tokenizers'} & set(sys.modules)\n"
        "print('STATUS', status, sorted(heavy))\n"
    )
    done = python("-c", code)
    assert "STATUS [0, 0, 0, 0, 0, 2] []" in done.stdout, done.stderr
    assert done.stdout.count("usage: rnn-zoo COMMAND") == 4
    for name in helps():
        assert re.search(rf"^  {name} +\w", done.stdout, re.MULTILINE)
    assert done.stderr == f"rnn-zoo: 'trian': unknown; did you mean 'train'? (choose from {', '.join(helps())})\n"


def test_what_needs_no_model_is_answered_without_torch(tmp_path):
    tries = {
        "list": 0,
        "train no_such_recipe": 2,
        "train char_lm_python --hiden_size 3": 2,
        "train char_lm_python --hidden_size many": 2,
        "train char_lm_python --learning_rate fast": 2,
        "train char_lm_python --batch_size 3": 2,
        "train none.yaml": 2,
        "tag ner_wnut17_bilstm_crf --file none.txt": 2,
        "classify none/there --file none.txt": 2,
        "classify language_of_names Rao --and ./none": 2,
        "translate translate_dates --num_beams 0 x": 2,
        "generate ./none": 2,
        "evaluate ./none": 2,
        "export ./none": 2,
        "card ./none": 2,
        "push ./none you/none": 2,
        "serve ./none": 2,
        "import none.pt out": 2,
    }
    code = (
        "import sys, rnn_zoo_cli\n"
        f"statuses = [rnn_zoo_cli.program(line.split()) for line in {[*tries]}]\n"
        "print('STATUSES', statuses, sorted({'torch', 'transformers'} & {*sys.modules}), file=sys.stderr)\n"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.stderr.splitlines()[-1] == f"STATUSES {[*tries.values()]} []", done.stderr
    assert len(done.stderr.splitlines()) == len(tries)


@pytest.mark.ci
def test_using_a_model_imports_no_training_code():
    lines = [
        "tag ner_wnut17_bilstm_crf Pune",
        "classify language_of_names Tanaka",
        "translate translate_dates 3.3.2024",
    ]
    code = (
        "import sys, rnn_zoo_cli\n"
        f"for line in {[*lines, 'generate char_lm_python --max-new-tokens 2']}:\n"
        "    assert rnn_zoo_cli.program(line.split()) == 0\n"
        "training = ('rnn_zoo.training', 'rnn_zoo.run', 'rnn_zoo.recipe.', 'transformers.trainer', 'datasets')\n"
        "print('FOUND', [name for name in sys.modules if name.startswith(training)])\n"
    )
    done = python("-c", code)
    assert "FOUND []" in done.stdout, done.stdout + done.stderr


@pytest.mark.ci
def test_a_command_imports_no_other_command():
    code = (
        "import sys, rnn_zoo_cli\n"
        "rnn_zoo_cli.program(['list'])\n"
        "print('MODULES', sorted(name for name in sys.modules if name.startswith('rnn_zoo.commands.')))\n"
    )
    done = python("-c", code)
    assert "MODULES ['rnn_zoo.commands.list_all']" in done.stdout, done.stderr


def test_every_command_that_is_offered_is_there():
    of_tasks = {task.command for task in TASKS.values()}
    assert sorted([*COMMANDS, *of_tasks]) == sorted(helps())
    assert "translate" in helps()


@pytest.mark.ci
def test_the_package_runs_as_a_module():
    done = python("-m", "rnn_zoo", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: rnn-zoo COMMAND")
    assert done.stderr == ""


@pytest.mark.parametrize("command", helps())
def test_every_command_explains_itself(command, capfd):
    try:
        status = run(command, "--help")
    except SystemExit as leaving:  # as argparse does
        status = leaving.code
    printed = capfd.readouterr()
    assert status == 0
    assert f"usage: rnn-zoo {command}" in printed.out
    assert printed.err == ""


def test_help_of_train_names_every_key(capfd):
    run("train", "--help")
    printed = " ".join(capfd.readouterr().out.split())
    keys = ("--hidden_size", "--data_dir", "--sample_tokens", "learning_rate", "per_device_train_batch_size")
    for key in (*keys, "--num_beams", "--input_feeding", "predict_with_generate"):
        assert key in printed


def test_list_shows_every_recipe(capfd):
    assert run("list", "--recipes") == 0
    printed = capfd.readouterr().out
    assert run("list", "--json") == 0
    found = json.loads(capfd.readouterr().out)
    for name in recipe_files():
        assert name in printed
    assert [one["name"] for one in found["recipes"]] == list(recipe_files())
    assert {one["task"] for one in found["checkpoints"]} <= {*TASKS}


# ---- mistakes ----
def check_refused(capfd, folder: Path, *argv, message: str) -> None:
    """Exit status 2, one line on stderr, and not a byte in `folder` has changed."""
    before = tree(folder)
    capfd.readouterr()
    status = run(*argv)
    printed = capfd.readouterr()
    assert status == 2
    assert printed.err.startswith("rnn-zoo: ")
    assert printed.err.count("\n") == 1, printed.err
    assert "Traceback" not in printed.out + printed.err
    assert message in printed.err
    assert tree(folder) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--hiden_size 8", "unknown key 'hiden_size'; did you mean 'hidden_size'?"),
        ("--hidden_size eight", "'eight'"),
        ("--cell_type ltsm", "cell_type='ltsm': unknown; did you mean 'lstm'?"),
        ("--bidirectional true", "a language model reads in one direction only"),
        ("--hidden_dropout 1.5", "hidden_dropout=1.5"),
        ("--tokenizer_type chr", "tokenizer_type='chr': unknown"),
        ("--unicode_normalization nfd", "unicode_normalization='nfd': unknown"),
        ("--min_frequency 0", "min_frequency=0: must be at least 1"),
        ("--min_frequency 100000", "no character is that frequent"),
        ("--data_dir nowhere", "data_dir='nowhere': no such folder"),
        ("--data_dir empty", "the training text is empty"),
        ("--data_dir short", "train: the text has 6 tokens, too few for 40 lanes"),
        ("--data_dir bad", "train.txt: byte 4 (line 2) is 0xff, which is not UTF-8"),
        ("--data_dir several", "found a.txt, b.txt"),
        ("--per_device_train_batch_size 9000", "too few for 9000 lanes"),
        ("--gradient_accumulation_steps 4500", "too few for 9000 lanes"),
        ("--per_device_eval_batch_size 9000", "too few for 9000 lanes"),
        ("--validation_fraction 0.9", "their sum below 1"),
        ("--bptt_length 0", "bptt_length=0: must be at least 1"),
        ("--label_smoothing_factor 0.1", "label_smoothing_factor"),
        ("--state_reset_probability 1", "state_reset_probability=1.0: must be in"),
        ("--output_dir toy.yaml", "output_dir='toy.yaml' is a file"),
        ("--resume_from_checkpoint", "output_dir='out' holds no checkpoint to resume from"),
        ("--resume_from_checkpoint data", "resume_from_checkpoint='data': no training checkpoint there"),
        ("gru", "unexpected argument 'gru'"),
    ],
)
def test_mistakes_of_train(project, capfd, flags, message):
    texts = {"empty/train": b"", "short/train": b"a b c\n", "short/valid": toy_text(50).encode()}
    texts |= {"bad/train": b"ok\nx\xff\n", "several/a": b"a", "several/b": b"b"}
    for name, data in texts.items():
        path = project / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    flags = shlex.split(flags) + (["--per_device_train_batch_size", "40"] if "short" in flags else [])
    check_refused(capfd, project, "train", "toy.yaml", *flags, message=message)


@pytest.mark.parametrize(
    "flags",
    [
        "--per_device_train_batch_size 0",
        "--per_device_eval_batch_size 0",
        "--gradient_accumulation_steps 0",
        "--seed -1",
        "--learning_rate nan",
        "--sample_temperatures 0 --sample_tokens 5",
        "--max_characters -5",
        "--max_grad_norm nan",
        "--hidden_size 99999999999",
    ],
)
def test_numbers_out_of_range(project, capfd, flags):
    check_refused(capfd, project, "train", "toy.yaml", *shlex.split(flags), message=flags.split()[0][2:])


def test_mistakes_in_names_and_files(project, capfd):
    (project / "wrong.yaml").write_text("hidden_size: 8\ncell_typ: gru\n")
    (project / "type.yaml").write_text("hidden_size: eight\n")
    check_refused(capfd, project, "train", "char_lm_pyhton", message="did you mean char_lm_python")
    check_refused(capfd, project, "train", "none.yaml", message="none.yaml: no such file")
    check_refused(capfd, project, "train", "wrong.yaml", message="wrong.yaml, line 2: unknown key 'cell_typ'; did you")
    check_refused(capfd, project, "train", "type.yaml", message="type.yaml, line 1: ")
    check_refused(capfd, project, "trian", message="did you mean 'train'?")
    check_refused(capfd, project, "list", "all", message="unrecognized arguments: all")


@pytest.mark.ci
def test_mistakes_of_generate_and_evaluate(trained_char, monkeypatch, capfd):
    monkeypatch.chdir(trained_char)
    for argv, message in [
        ("generate ./nowhere", "nowhere: no model there"),
        ("generate runs/nowhere", "runs/nowhere: no model there"),
        ("generate data", "data: no model there"),
        ("generate", "arguments are required: checkpoint"),
        ("generate out --temperature -0.1", "temperature=-0.1: must be at least 0"),
        ("generate out --temperature hot", "'hot'"),
        ("generate out --max-new-tokens 0", "max_new_tokens=0: must be at least 1"),
        ("generate out --tempo 1", "unrecognized arguments: --tempo"),
        ("evaluate ./nowhere", "nowhere: holds no recipe.yaml"),
        ("evaluate data", "data: holds no recipe.yaml"),
        ("evaluate out --split valid", "split='valid': the data has train, validation, test"),
        ("evaluate out --data_dir nowhere", "data_dir='nowhere': no such folder"),
        ("evaluate out --dta_dir data", "unknown key 'dta_dir'; did you mean 'data_dir'?"),
    ]:
        check_refused(capfd, trained_char, *shlex.split(argv), message=message)


@pytest.mark.parametrize("command", helps())
def test_every_flag_with_a_number_has_a_range(command, monkeypatch, capfd):
    found: list[InRange] = []
    plain = InRange.__init__

    def remembered(self, *args, **kwargs):
        plain(self, *args, **kwargs)
        found.append(self)

    monkeypatch.setattr(InRange, "__init__", remembered)
    with contextlib.suppress(SystemExit):
        run(command, "--help")
    flags = {action.option_strings[0]: action for action in found}
    capfd.readouterr()
    known = {"generate": 5, "translate": 8, "tag": 1, "classify": 1, "serve": 1, "export": 1, "bench": 6}
    assert len(flags) == known.get(command, 0)
    for flag, action in flags.items():
        for value in (10**12, -(10**12)) if action.type is int else ("nan", "inf", "-1"):
            if action.type(value) not in action.within:  # as a seed of 10^12, a length penalty of -1
                assert run(command, f"{flag}={value}") == 2
                assert re.match(rf"rnn-zoo: {action.dest}=\S+: must be ", capfd.readouterr().err)


@pytest.mark.parametrize("flag", ["--temperature=nan", "--top_k=-1", "--top_p=5", "--seed=-1", f"--seed={2**63}"])
def test_sampling_options_out_of_range(trained_char, monkeypatch, capfd, flag):
    monkeypatch.chdir(trained_char)
    check_refused(capfd, trained_char, "generate", "out", flag, message=flag[2:].split("=")[0])


# ---- an output folder that is taken ----
def test_a_taken_output_folder_is_left_alone_or_replaced(trained_char, tmp_path, monkeypatch, capfd):
    project = tmp_path / "project"
    shutil.copytree(trained_char, project)
    monkeypatch.chdir(project)
    again = ("train", "toy.yaml", "--max_steps", "3", "--seed", "7")
    check_refused(capfd, project, *again, message="output_dir='out' already holds a checkpoint")
    # A mistake beside the permission to replace loses nothing either.
    check_refused(capfd, project, *again, "--overwrite_output_dir", "--data_dir", "x", message="no such folder")
    check_refused(capfd, project, *again, "--overwrite_output_dir", "--cell_type", "ltsm", message="did you mean")

    (project / "out" / "notes.txt").write_text("mine")
    before = tree(project / "out")
    assert run(*again, "--overwrite_output_dir") == 0
    after = tree(project / "out")
    assert json.loads(after["metrics.json"])["steps"] == 3
    assert after["model.safetensors"] != before["model.safetensors"]
    assert [name for name in after if re.fullmatch("checkpoint-[0-9]+", name)] == ["checkpoint-2", "checkpoint-3"]
    assert after["notes.txt"] == b"mine"


def test_a_setting_that_trainer_refuses_loses_no_checkpoint(trained_char, tmp_path, monkeypatch):
    project = tmp_path / "project"
    shutil.copytree(trained_char, project)
    monkeypatch.chdir(project)
    before = tree(project / "out")
    try:
        status = run("train", "toy.yaml", "--overwrite_output_dir", "--learning_rate", "-1")
    except ValueError:
        status = 1
    assert status != 0
    assert tree(project / "out") == before


@pytest.mark.ci
def test_a_saved_recipe_neither_overwrites_nor_resumes(project):
    assert run("train", "toy.yaml", "--overwrite_output_dir") == 0
    assert run("train", "toy.yaml", "--resume_from_checkpoint", "--max_steps", "4") == 0
    saved = read_recipe(project / "out" / "recipe.yaml")
    assert saved.training.resume_from_checkpoint is None
    assert saved.run.overwrite_output_dir is False


# ---- Ctrl-C ----
STEPS = 400
LONG = ["train", "toy.yaml", "--max_steps", str(STEPS), "--logging_steps", "10", "--hidden_dropout", "0.1"]
LONG += ["--output_dropout", "0.2", "--save_steps", "1000"]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A project whose training got Ctrl-C after its first report: the folder, the exit status, stdout and stderr."""
    folder = make_project(tmp_path_factory.mktemp("interrupted") / "project")
    command = [sys.executable, "-u", "-m", "rnn_zoo", *LONG]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "step " in line:
                    process.send_signal(signal.SIGINT)
                    break
            out, err = process.communicate(timeout=300)
        finally:
            process.kill()
    return folder, process.returncode, "".join(lines) + out, err


needs_sigint = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one child process")


@pytest.mark.ci
@needs_sigint
def test_ctrl_c_leaves_a_checkpoint_and_names_the_way_on(interrupted):
    folder, status, out, err = interrupted
    assert status == 130, err
    assert "Traceback" not in out + err
    stopped = re.search(r"^rnn-zoo: stopped at step (\d+); go on with: rnn-zoo train .*$", err, re.MULTILINE)
    assert stopped
    step = int(stopped[1])
    assert 10 <= step < STEPS
    assert "--resume_from_checkpoint" in stopped[0]
    assert [path.name for path in (folder / "out").glob("checkpoint-*")] == [f"checkpoint-{step}"]
    assert not (folder / "out" / "metrics.json").exists()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def resume(interrupted, tmp_path, monkeypatch, argv: list[str]) -> Path:
    """Goes on in a copy of the interrupted project; returns its output folder."""
    project = tmp_path / "project"
    shutil.copytree(interrupted[0], project)
    monkeypatch.chdir(project)
    assert main(argv) == 0
    return project / "out"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = make_project(tmp_path_factory.mktemp("uninterrupted") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        torch.set_num_threads(1)
        assert main(LONG) == 0
    return folder / "out"


@pytest.mark.ci
@needs_sigint
def test_resumed_training_equals_training_that_was_never_stopped(interrupted, uninterrupted, tmp_path, monkeypatch):
    out = resume(interrupted, tmp_path, monkeypatch, [*LONG, "--resume_from_checkpoint"])
    expected = weights(uninterrupted)
    for name, tensor in weights(out).items():
        assert torch.equal(tensor, expected[name]), name
    metrics, other = (json.loads((folder / "metrics.json").read_text()) for folder in (out, uninterrupted))
    assert metrics["steps"] == other["steps"] == STEPS
    for split in ("validation", "test"):
        assert metrics[split]["loss"] == other[split]["loss"]


@pytest.mark.ci
@needs_sigint
def test_the_named_command_goes_on(interrupted, uninterrupted, tmp_path, monkeypatch):
    named = re.search(r"go on with: rnn-zoo (.*)$", interrupted[3], re.MULTILINE)
    out = resume(interrupted, tmp_path, monkeypatch, shlex.split(named[1]))
    expected = weights(uninterrupted)
    for name, tensor in weights(out).items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.ci
@needs_sigint
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--hidden_size 16", "hidden_size"),
        ("--cell_type gru", "cell_type"),
        ("--bptt_length 8", "resume with the same lanes"),
        ("--per_device_train_batch_size 4", "resume with the same lanes"),
    ],
)
def test_another_model_or_other_lanes_cannot_be_resumed(interrupted, tmp_path, monkeypatch, capfd, flags, message):
    project = tmp_path / "project"
    shutil.copytree(interrupted[0], project)
    monkeypatch.chdir(project)
    argv = [*LONG, "--resume_from_checkpoint", *shlex.split(flags)]
    check_refused(capfd, project, *argv, message=message)


# ---- generate ----
def generate(capfd, folder: Path, *flags) -> tuple[str, str]:
    """The text and the warnings of a call that has to succeed."""
    capfd.readouterr()
    assert run("generate", folder / "out", *flags) == 0
    printed = capfd.readouterr()
    return printed.out, printed.err


def expected_text(folder: Path, prompt: str, **options) -> str:
    """What the model itself writes after `prompt`, by one decode of all ids."""
    model = AutoModelForCausalLM.from_pretrained(folder / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "out")
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    output = model.generate(input_ids=ids, **options)[0].tolist()
    text, begin = tokenizer.decode(output), tokenizer.decode(ids[0].tolist())
    assert text.startswith(begin)
    assert not {tokenizer.pad_token_id, tokenizer.bos_token_id} & set(output)
    return prompt + text[len(begin) :] + "\n"


@pytest.mark.parametrize("prompt", ["the cat ", "the cat sat\n", "नमस्ते", "dog"])
def test_likeliest_text(trained, capfd, prompt):
    flags = ("--prompt", prompt, "--temperature", "0", "--max-new-tokens", "12")
    text, warnings = generate(capfd, trained, *flags)
    assert warnings == ""
    assert text.startswith(prompt)
    assert text == expected_text(trained, prompt, do_sample=False, max_new_tokens=12)
    assert generate(capfd, trained, *flags)[0] == text


def test_max_new_tokens_is_the_length(trained_char, capfd):
    for count in (1, 7, 30):
        text, _ = generate(capfd, trained_char, "--prompt", "the", "--temperature", "0", "--max_new_tokens", count)
        assert len(text) == len("the") + count + len("\n")


def test_the_same_seed_writes_the_same_text(trained, capfd):
    flags = ("--prompt", "the ", "--max-new-tokens", "40", "--temperature", "1.5")
    texts = [generate(capfd, trained, *flags, "--seed", seed)[0] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert all(text.startswith("the ") for text in texts)


def test_sampling_options_reach_the_model(trained_char, capfd):
    flags = ["--prompt", "the ", "--max-new-tokens", "40", "--seed", "3"]
    text, _ = generate(capfd, trained_char, *flags, "--temperature", "2", "--top-k", "3", "--top-p", "0.9")
    options = {"do_sample": True, "temperature": 2.0, "top_k": 3, "top_p": 0.9, "max_new_tokens": 40}
    set_seed(3)
    assert text == expected_text(trained_char, "the ", **options)
    greedy, _ = generate(capfd, trained_char, *flags, "--temperature", "0")
    assert generate(capfd, trained_char, *flags, "--temperature", "1", "--top_k", "1")[0] == greedy


def test_unknown_characters_are_named(trained_char, capfd):
    text, warnings = generate(capfd, trained_char, "--prompt", "the ☃ Ω ☃", "--max-new-tokens", "5", "--seed", "0")
    assert text.startswith("the ☃ Ω ☃")
    assert warnings == "rnn-zoo: the model never saw '☃', 'Ω': read as <unk>\n"


@pytest.mark.parametrize("prompt", ["", "\n", " ", "नमस्ते दुनिया", "\U0001f468\u200d\U0001f469 \U0001f600", "e\u0301"])
def test_no_prompt_is_too_strange(trained, capfd, prompt):
    text, warnings = generate(capfd, trained, "--prompt", prompt, "--max-new-tokens", "8", "--seed", "0")
    assert text.startswith(prompt)
    assert text.endswith("\n")
    assert "Traceback" not in warnings
    assert warnings.count("\n") <= 1


@pytest.mark.parametrize("temperature", ["0", "1.5"])
def test_a_text_goes_on_from_a_kept_state(trained, capfd, tmp_path, temperature):
    kept = tmp_path / "kept.safetensors"
    flags = ("--prompt", "the ", "--temperature", temperature, "--seed", "4")
    whole, _ = generate(capfd, trained, *flags, "--max-new-tokens", "24")
    first, _ = generate(capfd, trained, *flags, "--max-new-tokens", "12", "--save-state", kept)
    second, _ = generate(capfd, trained, "--max-new-tokens", "12", "--load-state", kept)
    cut = "\ufffd"  # what stands for the bytes of a character of which the end is not there (yet)
    assert (first.removesuffix("\n") + second).replace(cut, "") == whole.replace(cut, "")


def test_mistakes_with_a_kept_state(trained_char, monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(trained_char)
    (tmp_path / "text").write_text("the")
    for flag, path, message in [
        ("--load-state", tmp_path / "none", "none"),
        ("--load-state", tmp_path / "text", "text: not a safetensors file"),
        ("--load-state", trained_char / "out" / "model.safetensors", "model.safetensors: holds no stream"),
        ("--load-state", tmp_path, "there is no such file"),
        ("--save-state", tmp_path / "nowhere" / "kept", "a folder that can be written to"),
        ("--save-state", tmp_path, "must be a file"),
        ("--seed", 2**64, "must be from 0 to 9223372036854775807"),
    ]:
        check_refused(capfd, trained_char, "generate", "out", flag, str(path), message=message)


# ---- evaluate ----
def evaluate(capfd, *argv) -> dict:
    capfd.readouterr()
    assert run("evaluate", *argv) == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    return json.loads(printed.out)


def test_evaluate_measures_what_training_measured(trained, monkeypatch, capfd):
    monkeypatch.chdir(trained)
    before = tree(trained)
    metrics = json.loads((trained / "out" / "metrics.json").read_text())
    for split in ("validation", "test"):
        measured = evaluate(capfd, "out", "--split", split)
        for name in ("loss", "perplexity", "bits_per_character", "tokens", "lanes"):
            assert measured[name] == metrics[split][name], name
    assert evaluate(capfd, "out")["loss"] == metrics["validation"]["loss"]
    assert training_run.evaluate("out", "validation", [])["loss"] == metrics["validation"]["loss"]  # a str, too
    assert evaluate(capfd, "out", "--split", "train")["tokens"] > metrics["validation"]["tokens"]
    assert tree(trained) == before


def test_evaluate_takes_other_data_and_flags(trained_char, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("train", 1), ("valid", 2)):
        (tmp_path / f"{name}.txt").write_text(toy_text(30, seed), encoding="utf-8")
    measured = evaluate(capfd, trained_char / "out", "--data_dir", tmp_path, "--per_device_eval_batch_size=1")
    assert measured["tokens"] == len(toy_text(30, 2)) - 1
    assert measured["lanes"] == 1
    assert measured["loss"] != json.loads((trained_char / "out" / "metrics.json").read_text())["validation"]["loss"]
    assert {path.name for path in tmp_path.iterdir()} == {"train.txt", "valid.txt"}
