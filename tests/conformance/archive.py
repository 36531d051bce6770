"""The common model tests of the installed transformers, out of its source distribution, as the package `tests`.

No wheel holds them, so pip fetches the source distribution of exactly the installed version, from the package index it
is configured for. What the distribution itself lacks has a stand-in here.
"""

import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import transformers

VERSION = importlib.metadata.version("transformers")
MODULES = ("test_modeling_common", "test_configuration_common", "test_pipeline_mixin", "test_training_mixin")


class Unavailable(Exception):
    """The tests cannot be had; the message is one sentence."""


def cache_folder() -> Path:
    """Where unpacked tests are kept: `RNN_ZOO_CONFORMANCE_CACHE`, else a place below the user's cache folder."""
    if chosen := os.environ.get("RNN_ZOO_CONFORMANCE_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rnn_zoo" / "conformance"


def fetch(version: str = VERSION) -> Path:
    """The folder of the unpacked tests, downloaded if it is not there; if it is, it is complete."""
    folder = cache_folder() / f"transformers-{version}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="unfinished-") as unfinished:
            tests = Path(unfinished) / "tests"
            unpack(download(version, Path(unfinished)), tests)
            try:
                tests.rename(folder)
            except OSError:
                if not folder.exists():  # else another run was faster
                    raise
    return folder


def download(version: str, folder: Path) -> Path:
    """The source distribution, put into `folder` by pip."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--no-deps", "--no-binary", "transformers", "--dest", str(folder), f"transformers=={version}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    found = list(folder.glob("*.tar.gz"))
    if done.returncode or not found:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:] or ["it says nothing"]
        raise Unavailable(
            f"The conformance tests are in the source distribution of transformers {version}, which pip cannot fetch "
            f"({last[0].strip()})."
        )
    return found[0]


def unpack(archive: Path, folder: Path) -> None:
    """Writes the Python files of the archive's folder `tests` into `folder`."""
    folder.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            if (found := re.fullmatch(r"[^/]+/tests/(\w+\.py)", member.name)) and (file := tar.extractfile(member)):
                (folder / found[1]).write_bytes(file.read())
    if missing := [name for name in MODULES if not (folder / f"{name}.py").exists()]:
        raise Unavailable(f"{archive.name} holds no tests/{missing[0]}.py.")


class ExportTesterMixin:
    """Stands in for the tests of exporters."""


class GenerationTesterMixin:
    """Stands in for the tests of `generate`."""


class PipelineTests:
    """Stands in for the tests of a task's pipeline: as many results come out as texts go in."""

    def get_test_pipeline(self, model, tokenizer, dtype="float32", **processors):
        return transformers.pipeline(self.task, model=model, tokenizer=tokenizer, dtype=dtype), ["all that", "gold"]

    def run_pipeline_test(self, pipeline, texts):
        assert len(pipeline(texts)) == len(texts)


# Arguments of every configuration, none with its default.
CONFIG_KWARGS = {
    "return_dict": False,
    "output_hidden_states": True,
    "output_attentions": True,
    "dtype": "float16",
    "chunk_size_feed_forward": 2,
    "architectures": ["SomeModel"],
    "id2label": {0: "no", 1: "yes", 2: "perhaps"},
    "label2id": {"no": 0, "yes": 1, "perhaps": 2},
    "problem_type": "regression",
}


def stand_in(name: str, **contents) -> None:
    """Makes `tests.<name>` a module with these contents."""
    module = ModuleType(f"tests.{name}")
    vars(module).update(contents)
    sys.modules[module.__name__] = module


def load() -> ModuleType:
    """The package `tests` with `MODULES` as its attributes."""
    folder = fetch()
    package = ModuleType("tests")
    package.__path__ = [str(folder)]
    sys.modules["tests"] = package
    stand_in("exporters.test_export", ExportTesterMixin=ExportTesterMixin)
    stand_in("generation.test_utils", GenerationTesterMixin=GenerationTesterMixin)
    stand_in("utils.test_configuration_utils", config_common_kwargs=CONFIG_KWARGS)
    # The mixin imports these modules, or names them in strings, depending on the version.
    source = (folder / "test_pipeline_mixin.py").read_text(encoding="utf-8")
    for task, name in set(re.findall(r"\bpipelines\.test_pipelines_(\w+)(?:\.| import )(\w+)", source)):
        stand_in(
            f"pipelines.test_pipelines_{task}", **{name: type(name, (PipelineTests,), {"task": task.replace("_", "-")})}
        )
    with tempfile.TemporaryDirectory() as models:
        summary = Path(models) / "reports" / "tiny_model_summary.json"  # of models on the Hub; it is read at import
        summary.parent.mkdir()
        summary.write_text("{}", encoding="utf-8")
        with (
            patch.dict(os.environ, TRANSFORMERS_TINY_MODEL_PATH=models),
            # The installed library, not a second one where it lies in its repository.
            patch("transformers.utils.direct_transformers_import", lambda path: transformers),
        ):
            for name in MODULES:
                setattr(package, name, importlib.import_module(f"tests.{name}"))
    return package
