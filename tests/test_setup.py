"""What setup_and_run.py promises. No network: a server and a package index of the tests' own."""

import http.server
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import threading
import tomllib
import zipfile
from functools import partial
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "setup_and_run.py"


@pytest.fixture
def script(monkeypatch):
    spec = importlib.util.spec_from_file_location("setup_and_run", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    return module


@pytest.fixture
def project(tmp_path, script, monkeypatch):
    """A small project that the script takes for its own; its folder is the active environment as well."""
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["torchvision", "torch>=2.11"]\n')
    (tmp_path / "constraints.txt").write_text("# torch==1\nrich==15.0.0\ntorch==2.13.0\ntorchvision==1\n")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return tmp_path


class Pip:
    """Stands in for pip, and takes down what it is asked for."""

    def __init__(self, script, monkeypatch, torch=None):
        self.versions, self.asked, self.status = {"torch": torch}, [], 0
        monkeypatch.setattr(script, "installed", self.versions.get)
        monkeypatch.setattr(script.subprocess, "run", self.run)

    def run(self, command, stdout, **_):
        assert command[:3] == [sys.executable, "-m", "pip"]
        self.pins = Path(command[command.index("--constraint") + 1]).read_text().splitlines()
        self.asked.append(command[-1] if stdout is None else "sizes")
        if stdout is not None:
            Path(command[command.index("--report") + 1]).write_text('{"install": []}')
        if stdout is None and self.status == 0:
            self.versions |= {"rnn-zoo": "0.1"} | ({} if self.versions["torch"] else {"torch": "2.13.0"})
        return subprocess.CompletedProcess(command, self.status, stdout and "pip's own\n")


def run_script(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=30)


def test_every_direct_dependency_is_pinned_within_its_range():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {canonicalize_name(pin.name): pin for pin in map(Requirement, (x for x in lines if not x.startswith("#")))}
    for asked in map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["dev"]]):
        pin = pins.get(canonicalize_name(asked.name))
        assert pin, f"{asked.name}: constraints.txt has no pin (its first lines say how it is renewed)"
        (only,) = pin.specifier
        assert only.operator == "=="
        assert only.version in asked.specifier, f"{pin} is outside {asked}"
    assert not [name for name in pins if name.startswith(("nvidia-", "cuda-", "triton", "pywin", "setuptools"))]
    assert "+" not in str(pins["torch"])  # no build


def test_active_environment_is_used_and_base_is_not(script, monkeypatch):
    def inside(prefix, base, **environ):
        for name, value in {"prefix": prefix, "base_prefix": base}.items():
            monkeypatch.setattr(sys, name, value)
        for name in ("CONDA_PREFIX", "CONDA_DEFAULT_ENV"):
            monkeypatch.setenv(name, environ.get(name, ""))
        return script.is_inside()

    assert inside("/env", "/usr")
    assert inside("/c/envs/nlp", "/c/envs/nlp", CONDA_PREFIX="/c/envs/nlp", CONDA_DEFAULT_ENV="nlp")
    assert not inside("/usr", "/usr")
    assert not inside("/c", "/c", CONDA_PREFIX="/c", CONDA_DEFAULT_ENV="base")
    assert not inside("/c", "/c", CONDA_PREFIX="/elsewhere", CONDA_DEFAULT_ENV="nlp")


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_a_second_run_installs_nothing_until_something_changes(script, project, monkeypatch, changed):
    pip = Pip(script, monkeypatch)
    script.set_up(set())
    assert pip.asked == ["sizes", "."]
    assert "torch==2.13.0" in pip.pins
    script.set_up(set())
    assert len(pip.asked) == 2
    script.set_up({"dev"})
    script.set_up(set())  # what training needs is part of it
    assert pip.asked[2:] == [".[dev]"]
    (project / changed).write_text((project / changed).read_text() + "# changed\n")
    script.set_up(set())  # and what the tests need stays
    assert pip.asked[3:] == [".[dev]"]
    for name in ("rnn-zoo", "torch"):
        pip.versions[name] = None
        script.set_up({"dev"})
        assert pip.versions[name]


def test_an_installed_torch_is_pinned_as_it_is(script, project, monkeypatch, capsys):
    pip = Pip(script, monkeypatch, torch="2.12.1+cu126")
    script.set_up({"dev"})
    assert pip.asked == [".[dev]"]
    assert pip.pins == ["# torch==1", "rich==15.0.0", "torch==2.12.1+cu126", "torchvision==1"]
    assert "torch 2.12.1+cu126 is installed already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("torch", "reused"),
    [
        (None, False),
        ("2.13.0+cu130", True),
        ("2.12.0.dev20260101", True),
        ("2.11.0a0+abc.nv26", False),
        ("2.5.0", False),
    ],
)
def test_a_new_environment_sees_a_fitting_torch_outside(script, project, monkeypatch, torch, reused):
    commands = []
    monkeypatch.setattr(script, "installed", {"torch": torch}.get)
    monkeypatch.setattr(script.subprocess, "call", lambda command, **_: commands.append(command))
    script.python_of_venv()
    assert [("--system-site-packages" in command, command[-1]) for command in commands] == [
        (reused, str(project / ".venv"))
    ]


@pytest.mark.parametrize(
    ("job", "uv", "command", "sentence"),
    [
        ("python_of_venv", None, None, "install the package python3-venv"),
        ("python_of_venv", "/bin/uv", "/bin/uv venv --seed --python", "Making"),
        ("fetch_pip", None, f"{sys.executable} -m ensurepip", "has no pip: install it there"),
        ("fetch_pip", "/bin/uv", "/bin/uv pip install --python", "has no pip: install it there"),
    ],
)
def test_where_venv_or_pip_is_missing_uv_helps_or_a_sentence(
    script, project, monkeypatch, capsys, job, uv, command, sentence
):
    commands = []
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(script.shutil, "which", {"uv": uv}.get)
    monkeypatch.setattr(script.subprocess, "call", lambda command, **_: commands.append(" ".join(command)) or 1)
    with pytest.raises(SystemExit, match="1"):
        getattr(script, job)()
    assert [one.startswith(command) for one in commands] == [True] * bool(command)
    assert sentence in capsys.readouterr().err


def test_a_folder_that_is_no_environment_is_not_cleared(script, project, capsys):
    precious = project / ".venv" / "notes.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    with pytest.raises(SystemExit, match="1"):
        script.python_of_venv()
    assert "not a virtual environment" in capsys.readouterr().err
    assert precious.read_text() == "mine"


@pytest.fixture
def address(tmp_path, monkeypatch):
    """A server of the files in `tmp_path`."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("sizes", "said", "hint"),
    [
        ([2_700_000_000, 234_000_000, 100], "torch and 2 others: 2.9 GB to download", True),
        ([190_000_000, None], "torch and 1 others: at least 0.2 GB to download", True),
        ([190_000_000, 100_000_000], "torch and 1 others: 0.3 GB to download", False),
    ],
)
def test_size_is_told_before_gigabytes_come(script, project, address, monkeypatch, capsys, sizes, said, hint):
    downloads = [{"url": project.as_uri(), "dir_info": {}}]  # the project itself
    for n, size in enumerate(sizes):
        downloads.append({"url": f"{address}/{n}"})
        if size:
            with (project / str(n)).open("wb") as file:
                file.truncate(size)
    report = json.dumps({"install": [{"download_info": one} for one in downloads]})
    monkeypatch.setattr(script, "pip_install", lambda arguments, _: Path(arguments[2]).write_text(report))
    script.announce_torch([])
    shown = capsys.readouterr().out
    assert said in shown
    assert ("pytorch.org/get-started" in shown) == hint


def test_a_size_is_that_of_a_file_too_and_one_that_cannot_be_had_is_0(script, monkeypatch, tmp_path):
    wheel = tmp_path / "a file+cpu.whl"
    wheel.write_bytes(b"x" * 1000)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    urls = [wheel.as_uri(), "git+ssh://127.0.0.1/x", "file:///no/such/file.whl", "http://127.0.0.1:1/x", "x"]
    assert [script.size_of(url) for url in urls] == [1000, 0, 0, 0, 0]


def test_failure_of_pip_keeps_its_status_says_one_sentence_and_leaves_no_stamp(script, project, monkeypatch, capsys):
    pip = Pip(script, monkeypatch)
    script.set_up({"dev"})
    pip.status, pip.versions["torch"] = 7, None
    with pytest.raises(SystemExit, match="7"):
        script.set_up({"dev"})
    message = capsys.readouterr().err
    assert message.startswith("pip's own\npip failed (exit status 7)")
    assert message.count("\n") == 2
    pip.status, pip.versions["torch"] = 0, "2.13.0"
    script.set_up({"dev"})
    assert pip.asked == ["sizes", ".[dev]", "sizes", ".[dev]"]


def wheel(folder, name, version, requires=""):
    """Write a package of one module, whose command of its name says what it is given."""
    info, module = f"{name}-{version}.dist-info", f"import sys\n\n\ndef main():\n    print('{name}', sys.argv[1:])\n"
    files = {
        f"{name}.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name.replace('_', '-')} = {name}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(f"{folder}/{name}-{version}-py3-none-any.whl", "w") as file:
        for path, text in files.items():
            file.writestr(path, text)
    return f"{name}-{version}-py3-none-any.whl"


BACKEND = f"""\
import zipfile

{inspect.getsource(wheel)}

def build_editable(folder, config_settings=None, metadata_directory=None):
    return wheel(folder, "rnn_zoo", "0.1", "Requires-Dist: torch>=2.11\\nProvides-Extra: dev\\n")
"""


@pytest.mark.slow
def test_one_command_on_a_fresh_machine_by_pip_itself(tmp_path):
    """A package index with torch 2.5, 2.12 (a CPU build), 2.13 and 2.14, a Python, and nothing else."""
    base = sys._base_executable
    if subprocess.call([base, "-c", "import torch"], stderr=subprocess.DEVNULL) == 0:
        pytest.skip("the Python outside of this environment has a torch, which would be reused")
    index = tmp_path / "index"
    index.mkdir()
    for version in ("2.5.0", "2.12.0+cpu", "2.13.0", "2.14.0"):
        wheel(index, "torch", version)
    (tmp_path / "setup_and_run.py").write_text(SCRIPT.read_text())
    (tmp_path / "backend.py").write_text(BACKEND)
    (tmp_path / "constraints.txt").write_text("torch==2.13.0\n")
    toml = tmp_path / "pyproject.toml"
    toml.write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "rnn-zoo"\nversion = "0.1"\ndependencies = ["torch>=2.11"]\n'
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "CONDA_", "PYTHON"))}
    environ |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
    environ |= {"PYTHONNOUSERSITE": "1"}

    def run(*command):
        answer = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=600)
        return answer.returncode, answer.stdout, answer.stderr

    python = str(tmp_path / ".venv" / "bin" / "python")

    def torch():
        return run(python, "-c", "import importlib.metadata as m; print(m.version('torch'))")[1].strip()

    job = [base, "setup_and_run.py", "train", "--max_steps", "5"]
    did = "rnn_zoo ['train', 'char_lm_python', '--max_steps', '5']"
    status, out, err = run(*job)
    assert status == 0, err
    assert out.index("torch and 0 others: 0.0 GB to download") < out.index("Successfully installed")
    assert out.splitlines()[-1] == did
    assert torch() == "2.13.0"
    assert run(*job) == (0, f"{did}\n", "")

    for version, expected in (("2.12.0+cpu", 0), ("2.5.0", 1)):
        assert run(python, "-m", "pip", "install", "--no-deps", f"torch=={version}")[0] == 0
        toml.write_text(toml.read_text() + "# changed\n")
        status, out, err = run(*job)
        assert status == expected, err
        assert f"torch {version} is installed already and stays as it is." in out
        assert torch() == version
    assert "The user requested (constraint) torch==2.5.0" in out
    assert err.splitlines()[-1].startswith("pip failed (exit status 1)")


def test_train_takes_another_recipe_and_passes_options_on(script):
    command, *arguments = script.command_of("train", ["--max_steps", "5"])
    assert Path(command).name == "rnn-zoo"
    assert arguments == ["train", "char_lm_python", "--max_steps", "5"]
    assert script.command_of("train", ["ner", "--seed", "1"])[1:] == ["train", "ner", "--seed", "1"]
    assert (ROOT / "recipes" / "char_lm_python.yaml").exists()


def test_conformance_passes_options_on_and_is_no_part_of_the_tests(script):
    command = script.command_of("conformance", ["-k", "lstm"])
    assert command == [sys.executable, str(Path("tests", "conformance", "run.py")), "-k", "lstm"]
    assert (ROOT / command[1]).exists()
    assert "not conformance" in " ".join(script.command_of("test", []))
    assert script.command_of("test", ["-k", "crf"])[-2:] == ["-k", "crf"]


def test_help_teaches_every_job():
    answer = run_script("--help")
    assert answer.returncode == 0
    for word in ("train", "test", "conformance", "check", "setup", ".venv", "torch", "char_lm_python"):
        assert word in answer.stdout
    assert run_script("train", "--help").stdout == answer.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tset"], "'tset': unknown job; did you mean 'test'? (choose from train, test, conformance, check, setup"),
        ([], "no job given; (choose from"),
        (["check", "--fast"], "'check' takes no arguments; given: --fast"),
    ],
)
def test_wrong_command_is_one_sentence_and_status_2(arguments, sentence):
    answer = run_script(*arguments)
    assert answer.returncode == 2
    assert answer.stderr.startswith(sentence)
    assert answer.stderr.count("\n") == 1
    assert answer.stdout == ""
