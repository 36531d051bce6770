"""The logic of setup_and_run.py: no network, nothing installed."""

import http.server
import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "setup_and_run.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("setup_and_run", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path, script, monkeypatch):
    """A small project folder that the script takes for its own."""
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "small"\ndependencies = ["torch>=2.11"]\noptional-dependencies = {dev = ["pytest"]}\n'
    )
    (tmp_path / "constraints.txt").write_text("torch==2.13.0\npytest==9.2.0\n")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    return tmp_path


class Server(http.server.BaseHTTPRequestHandler):
    """Answers HEAD: /12345 with that Content-Length, /silent without one, anything else with 404."""

    def do_HEAD(self):
        name = self.path.strip("/")
        self.send_response(200 if name.isdigit() or name == "silent" else 404)
        if name.isdigit():
            self.send_header("Content-Length", name)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def address(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run_script(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=30)


def test_every_direct_dependency_is_pinned_within_its_range(script):
    project = script.read_project(ROOT)
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    for requirement in [*project.dependencies, *project.extras["dev"]]:
        name, asked = script.split_requirement(requirement)
        pin = script.range_of(pins, name)
        assert pin.startswith("=="), f"{name}: constraints.txt has no pin (its first lines say how it is renewed)"
        assert script.satisfies(pin[2:], asked), f"{name}{pin} is outside {asked}"


def test_no_pin_binds_one_platform_or_build(script):
    names = {script.split_requirement(line)[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert not [name for name in names if name.startswith(("nvidia-", "cuda-", "triton", "pywin", "setuptools"))]
    assert "+" not in script.range_of((ROOT / "constraints.txt").read_text().splitlines(), "torch")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("torch>=2.11  # why", ("torch", ">=2.11")),
        ("transformers >=5.17, <6", ("transformers", ">=5.17,<6")),
        ("Py_YAML[fast]==6.0 ; python_version > '3'", ("py-yaml", "==6.0")),
        ("types-PyYAML", ("types-pyyaml", "")),
        ("# torch==1.0", ("", "")),
        ("", ("", "")),
    ],
)
def test_requirement_is_split(script, line, expected):
    assert script.split_requirement(line) == expected


@pytest.mark.parametrize(
    ("version", "asked", "expected"),
    [
        ("2.13.0+cpu", ">=2.11", True),
        ("2.13.0+cpu", "==2.13.0", True),
        ("2.13.0", "==2.13", True),
        ("2.9.1", ">=2.11", False),
        ("2.11.0a0+abc", ">=2.11", False),
        ("2.12.0.dev20260101", ">=2.11", True),
        ("5.23.0", ">=5.17,<6", True),
        ("6.0", ">=5.17,<6", False),
        ("1.2", "!=1.2.0", False),
        ("1.2", "", True),
    ],
)
def test_range(script, version, asked, expected):
    assert script.satisfies(version, asked) is expected


def test_unknown_operator_is_an_error_not_a_guess(script):
    with pytest.raises(ValueError, match="~=2"):
        script.satisfies("2.1", "~=2.0")


def test_torch_pin_binds_no_installed_torch(script):
    text = "# torch==1.0 in a comment stays\ntorch==2.13.0\ntorchvision==1\nrich==15.0.0\n"
    without = "# torch==1.0 in a comment stays\ntorchvision==1\nrich==15.0.0\n"
    assert script.effective_constraints(text) == without


def test_active_environment_is_used_and_base_is_not(script, tmp_path):
    def choose(prefix, base, **environ):
        return script.choose_environment(tmp_path, prefix, base, environ)

    assert choose("/env", "/usr") == (Path("/env"), Path(sys.executable), "the active virtual environment /env", False)
    conda = choose("/c/envs/nlp", "/c/envs/nlp", CONDA_PREFIX="/c/envs/nlp", CONDA_DEFAULT_ENV="nlp")
    assert conda.folder == Path("/c/envs/nlp")
    assert not conda.ours
    for environ in ({}, {"CONDA_PREFIX": "/c", "CONDA_DEFAULT_ENV": "base"}, {"CONDA_PREFIX": "/elsewhere"}):
        chosen = choose("/c", "/c", **environ)
        assert chosen.ours
        assert chosen.folder == tmp_path / ".venv"


def test_probe_knows_what_is_there(script, tmp_path):
    found = script.probe(Path(sys.executable), "no-such-project")
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.project is None
    assert script.probe(tmp_path / "python", "no-such-project") is None


def test_stamp_decides_whether_anything_is_installed(script, project):
    found = script.Probe("3.11.7", "bin", "23.2", "0.1", "2.13.0")
    key = script.stamp_key(project, found.python)
    assert not script.is_ready(project, found, key, [])

    script.write_stamp(project, key, ["dev"])
    assert script.is_ready(project, found, key, ["dev"])
    assert script.is_ready(project, found, key, [])  # what training needs is part of it
    assert not script.is_ready(project, found, key, ["dev", "docs"])
    assert not script.is_ready(project, None, key, [])
    assert not script.is_ready(project, found._replace(torch=None), key, [])
    assert not script.is_ready(project, found._replace(project=None), key, [])

    (project / script.STAMP_NAME).write_text('{"key": ')
    assert not script.is_ready(project, found, key, [])


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_key_changes_with_its_files_and_the_python(script, project, changed):
    before = script.stamp_key(project, "3.11.7")
    assert script.stamp_key(project, "3.12.1") != before
    with (project / changed).open("a") as file:
        file.write("# changed\n")
    assert script.stamp_key(project, "3.11.7") != before


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0 kB"), (12_345, "12 kB"), (191_794_682, "192 MB"), (2_914_000_000, "2.9 GB")],
)
def test_human_size(script, size, expected):
    assert script.human_size(size) == expected


def test_report_is_read_and_sizes_are_summed(script, tmp_path, address):
    wheel = tmp_path / "a file+cpu.whl"
    wheel.write_bytes(b"x" * 1000)
    report = {
        "install": [
            {"metadata": {"name": "torch", "version": "2.13.0"}, "download_info": {"url": wheel.as_uri()}},
            {"metadata": {"name": "Some_Name", "version": "1.0"}, "download_info": {"url": f"{address}/234000000"}},
            {"metadata": {"name": "third", "version": "2"}, "download_info": {"url": f"{address}/missing"}},
            {"metadata": {"name": "fourth", "version": "2"}, "download_info": {"url": f"{address}/silent"}},
        ]
    }
    downloads = script.downloads_in(report)
    assert [download.name for download in downloads] == ["torch", "some-name", "third", "fourth"]
    size, unknown = script.total_size([download.url for download in downloads])
    assert (size, unknown) == (234_001_000, 2)
    text = script.describe_downloads(downloads, size, unknown)
    assert text == "torch 2.13.0 and 3 further packages: at least 234 MB to download"
    assert script.downloads_in({}) == []


@pytest.mark.parametrize("url", ["git+ssh://127.0.0.1/x", "file:///no/such/file.whl", "http://127.0.0.1:1/x", "x"])
def test_a_size_that_cannot_be_had_is_unknown(script, monkeypatch, url):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert script.size_of(url, timeout=0.5) is None


def test_downloads_are_described(script):
    torch, other = script.Download("torch", "2.13.0", ""), script.Download("rich", "15.0.0", "")
    assert script.describe_downloads([torch], 2_900_000_000, 0) == "torch 2.13.0: 2.9 GB to download"
    assert script.describe_downloads([other], 5_000_000, 0) == "1 package: 5 MB to download"
    unknown = script.describe_downloads([torch, other], 0, 2)
    assert unknown == "torch 2.13.0 and 1 further package to download, of unknown size"


def fake_pip(tmp_path, body):
    """An executable that stands in for an environment's interpreter."""
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable}\nimport sys, time\n{body}\n")
    path.chmod(0o755)
    return path


def test_failing_dry_run_is_no_failure(script, tmp_path):
    assert script.dry_run(fake_pip(tmp_path, "sys.exit(3)"), []) is None
    assert script.dry_run(fake_pip(tmp_path, "print('no report')"), []) is None


def test_pip_output_is_filtered_and_silence_is_broken(script, tmp_path, capsys):
    pip = fake_pip(tmp_path, "print('Collecting x'); print('Downloading x.whl (5 MB)', flush=True); time.sleep(0.4)")
    status, output = script.run_pip(pip, [], heartbeat_s=0.1)
    shown = capsys.readouterr().out
    assert status == 0
    assert "Collecting x" in output
    assert "Collecting" not in shown
    assert "Downloading x.whl (5 MB)" in shown
    assert "pip at work" in shown


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("WARNING: Retrying after connection broken by 'NewConnectionError'", "cannot reach its package index"),
        ("ERROR: ResolutionImpossible", r"could not install rich \(exit status 4\)"),
    ],
)
def test_failure_of_pip_keeps_its_status_and_says_one_sentence(script, tmp_path, message, sentence):
    with pytest.raises(script.Stop, match=sentence) as stop:
        script.pip_install(fake_pip(tmp_path, f"print({message!r}); sys.exit(4)"), ["rich"], "rich")
    assert stop.value.status == 4


def test_python_without_venv_names_the_remedy(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(script.Stop, match="python3-venv"):
        script.make_venv(script.choose_environment(tmp_path, "/usr", "/usr", {}), reuse_system_packages=False)


def test_a_folder_that_is_no_environment_is_not_cleared(script, tmp_path):
    precious = tmp_path / ".venv" / "notes.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    with pytest.raises(script.Stop, match="not a virtual environment"):
        script.make_venv(script.choose_environment(tmp_path, "/usr", "/usr", {}), reuse_system_packages=False)
    assert precious.read_text() == "mine"


class Recorder:
    """Stands in for pip and the interpreter: records what would be installed."""

    def __init__(self, script, monkeypatch, torch, broken=False):
        self.installs, self.made = [], []
        self.found = None if broken else script.Probe("3.11.7", "bin", "23.2", None, torch)
        after = script.Probe("3.11.7", "bin", "23.2", "0.1", torch)
        monkeypatch.setattr(script, "probe", lambda *_: self.found)
        monkeypatch.setattr(script, "announce_downloads", lambda *_: None)
        monkeypatch.setattr(script.subprocess, "call", lambda *_, **__: 0)

        def make(environment, reuse):
            self.made.append(reuse)
            environment.folder.mkdir()
            self.found = after

        def install(python, arguments, what):
            constraints = Path(arguments[arguments.index("--constraint") + 1]).read_text()
            assert "torch==" not in constraints
            self.installs.append(arguments[2:])
            self.found = after._replace(torch=torch or "2.13.0")

        monkeypatch.setattr(script, "make_venv", make)
        monkeypatch.setattr(script, "pip_install", install)
        monkeypatch.setattr(script.sys, "prefix", script.sys.base_prefix)
        monkeypatch.delenv("CONDA_PREFIX", raising=False)


def test_torch_comes_first_at_its_pin_and_a_second_run_installs_nothing(script, project, monkeypatch):
    (project / ".venv").mkdir()
    recorder = Recorder(script, monkeypatch, torch=None)
    script.set_up(["dev"])
    assert recorder.installs == [["torch==2.13.0"], ["--editable", ".[dev]"]]
    script.set_up([])
    assert len(recorder.installs) == 2


def test_installed_torch_is_never_replaced(script, project, monkeypatch):
    (project / ".venv").mkdir()
    recorder = Recorder(script, monkeypatch, torch="2.12.1+cu126")
    script.set_up([])
    assert recorder.installs == [["--editable", "."]]


def test_torch_outside_the_range_is_refused_untouched(script, project, monkeypatch):
    (project / ".venv").mkdir()
    recorder = Recorder(script, monkeypatch, torch="2.5.0")
    with pytest.raises(script.Stop, match=r"torch 2\.5\.0 in .* outside the range torch>=2\.11"):
        script.set_up([])
    assert recorder.installs == []


@pytest.mark.parametrize(("base_torch", "reused"), [(None, False), ("2.13.0+cu130", True), ("2.5.0", False)])
def test_venv_reuses_a_fitting_torch_of_the_base(script, project, monkeypatch, base_torch, reused):
    recorder = Recorder(script, monkeypatch, torch=base_torch if reused else None, broken=True)
    monkeypatch.setattr(script, "installed_version", lambda name: base_torch)
    script.set_up([])
    assert recorder.made == [reused]


def test_interrupted_set_up_leaves_no_stamp(script, project, monkeypatch):
    (project / ".venv").mkdir()
    Recorder(script, monkeypatch, torch=None)
    script.write_stamp(project / ".venv", "old", [])

    def fail(*_):
        raise script.Stop("pip failed", 7)

    monkeypatch.setattr(script, "pip_install", fail)
    assert script.main(["train"]) == 7
    assert not (project / ".venv" / script.STAMP_NAME).exists()


def test_train_takes_another_recipe_and_passes_options_on(script):
    found = script.Probe("3.11.7", "bin", "23.2", "0.1", "2.13.0")
    command = str(Path("bin") / "rnn-zoo")
    assert script.train_command(found, ["--max_steps", "5"]) == [command, "train", "char_lm_python", "--max_steps", "5"]
    assert script.train_command(found, ["ner", "--seed", "1"]) == [command, "train", "ner", "--seed", "1"]
    assert (ROOT / "recipes" / f"{script.DEFAULT_RECIPE}.yaml").exists()


def test_conformance_passes_options_on_and_is_no_part_of_the_tests(script):
    command = script.conformance_command(Path("python"), ["-k", "lstm"])
    assert command == ["python", str(Path("tests", "conformance", "run.py")), "-k", "lstm"]
    assert (ROOT / command[1]).exists()
    assert "not conformance" in " ".join(script.test_command(Path("python"), []))


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
