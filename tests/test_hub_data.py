"""Text from data sets of the Hub, read from a server on this machine that speaks the Hub's protocol."""

import io
import json
import os
import socket
import subprocess
import sys

import pyarrow
import pyarrow.parquet
import pytest
from hub_server import HubServer

from rnn_zoo.data.splits import SPLITS

# Prints the texts, or the sentence of the UserError, for each set of data arguments in the list on standard input.
READER = """
import json, sys
from rnn_zoo.tasks.causal_lm.data import LanguageModelArguments, load_texts
from rnn_zoo.data.keys import DataArguments
from rnn_zoo.errors import UserError
results = []
for arguments in json.load(sys.stdin):
    try:
        own = {name: arguments.pop(name) for name in ("text_column", "max_characters") if name in arguments}
        results.append(load_texts(DataArguments(**arguments), LanguageModelArguments(**own)))
    except UserError as error:
        results.append(str(error))
print("RESULTS", json.dumps(results))
"""

ROWS = {
    "train": [f"ligne {number} déjà\n" for number in range(40)] + ["no line end", "", "last"],
    "validation": ["नमस्ते\n"] + ["held out " * 5] * 20,
    "test": ["the test"],
}
WHOLE = {split: "".join(row if row.endswith("\n") else row + "\n" for row in rows) for split, rows in ROWS.items()}


def parquet(rows: list[str], column: str) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({column: rows, "number": list(range(len(rows)))}), file)
    return file.getvalue()


def jsonl(rows: list[str]) -> str:
    return "".join(json.dumps({"text": row}) + "\n" for row in rows)


def read(environment: dict[str, str], folder, arguments: list[dict], first: str = "") -> list:
    """What `load_texts` gives for each of `arguments`, in a process that knows the Hub by `environment` alone and runs
    the code `first` first."""
    done = subprocess.run(
        [sys.executable, "-c", first + READER],
        input=json.dumps(arguments),
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.split("RESULTS ")[1])


# Name -> (arguments of the data, their texts or the beginning of the sentence that refuses them).
CASES: dict[str, tuple[dict, dict | str]] = {
    "parquet": ({"dataset_name": "some/parquet", "text_column": "content"}, WHOLE),
    "jsonl": ({"dataset_name": "some/jsonl"}, WHOLE),
    "configuration": (
        {"dataset_name": "some/configured", "dataset_config_name": "second", "validation_fraction": 0.25},
        {"train": "3\n3\n3\n", "validation": "3\n"},
    ),
    "max_characters": ({"dataset_name": "some/jsonl", "max_characters": 100}, WHOLE | {"train": WHOLE["train"][:100]}),
    "max_characters beyond the end": ({"dataset_name": "some/jsonl", "max_characters": 10**6}, WHOLE),
    "column": (
        {"dataset_name": "some/parquet"},
        "text_column='text': some/parquet has the columns content, number",
    ),
    "no train": ({"dataset_name": "some/rest"}, "the dataset 'some/rest' has no split named train, only test"),
    "no data set": ({"dataset_name": "some/nothing"}, "the dataset 'some/nothing' could not be fetched"),
    "no revision": (
        {"dataset_name": "some/jsonl", "dataset_revision": "v9"},
        "the dataset 'some/jsonl' could not be fetched",
    ),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Of all cases, by one process: importing the libraries takes longer than the reading."""
    home = tmp_path_factory.mktemp("hub")
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/*.jsonl\n"
        for name in ("first", "second")
    )
    with HubServer() as hub:
        files = {f"data/{split}-00000-of-00001.parquet": parquet(rows, "content") for split, rows in ROWS.items()}
        hub.add("datasets/some/parquet", files)
        hub.add("datasets/some/jsonl", {f"{split}.jsonl": jsonl(rows) for split, rows in ROWS.items()})
        hub.add(
            "datasets/some/configured",
            {
                "README.md": f"---\nconfigs:\n{configs}---\n",
                "first/a.jsonl": jsonl(["1"]),
                "second/a.jsonl": jsonl(["3"] * 4),
            },
        )
        hub.add("datasets/some/rest", {"test.jsonl": jsonl(["a"])})
        answers = read(hub.environment(home), home, [arguments for arguments, _ in CASES.values()])
        assert any("/resolve/" in request for request in hub.requests)
    return dict(zip(CASES, answers, strict=True))


@pytest.mark.ci
@pytest.mark.parametrize("case", CASES)
def test_what_the_hub_gives(results, case):
    expected = CASES[case][1]
    if isinstance(expected, str):
        assert isinstance(results[case], str)
        assert results[case].startswith(expected)
        assert "\n" not in results[case]
    else:
        assert results[case] == expected
        assert list(results[case]) == [split for split in SPLITS if split in expected]


@pytest.mark.ci
def test_without_a_network_one_sentence_names_the_local_way(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        environment = HubServer().environment(tmp_path) | {"HF_ENDPOINT": f"http://127.0.0.1:{unused.getsockname()[1]}"}
        # The library tries five times, with up to eight seconds between.
        first = "import time; time.sleep = lambda seconds: None\n"
        (sentence,) = read(environment, tmp_path, [{"dataset_name": "some/jsonl"}], first)
    assert sentence.startswith("the dataset 'some/jsonl' could not be fetched from the Hugging Face Hub")
    assert sentence.endswith("--data_dir FOLDER")
    assert "\n" not in sentence
