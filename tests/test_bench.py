"""`rnn-zoo bench`: what it measures is there, and what it is asked for is known."""

import json

import pytest
from command_line import command

from rnn_zoo.bench import SUITES, decode, loss, pad, pairs

pytest.importorskip("onnxruntime")


@pytest.mark.ci
def test_every_suite_is_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(loss, "WORDS", 40)
    monkeypatch.setattr(loss, "CUTOFFS", [10, 20])
    monkeypatch.setattr(pad, "SENTENCES", 20)
    monkeypatch.setattr(pairs, "SHORTEST", 0)
    monkeypatch.setattr(decode, "TOKENS", 8)
    sizes = ["--batch", "3", "--length", "5", "--input-size", "4", "--hidden", "16", "--rounds", "3"]
    folder = tmp_path / "new" / "folder"
    assert command("bench", "--suite", "all", "--cell", "lstm", "--cell", "gru", *sizes, "--output", folder) == 0
    (path,) = folder.glob("bench_*.json")
    assert path.with_suffix(".svg").stat().st_size > 10_000
    measured = json.loads(path.read_text())["suites"]
    assert measured.keys() == SUITES.keys()
    printed = capsys.readouterr().out
    for comparison in (one for suite in measured.values() for one in suite):
        assert comparison["title"] in printed
        assert not comparison["left_out"]
        assert {len(values) for values in comparison["seconds"].values()} == {3}
        assert comparison["times_as_fast"].keys() == comparison["seconds"].keys() - {comparison["base"]}
        taken = list(comparison.get("bytes", {}).values())
        assert all(taken)
        assert comparison["is_pictured"] or len(taken) == 3


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--suite", "trian"), "--suite='trian': unknown; did you mean 'train'?"),
        (("--cell", "ltsm"), "--cell='ltsm': unknown; did you mean 'lstm'?"),
        (("--device", "no"), "--device='no'"),
        (("--rounds", "0"), "rounds=0"),
    ],
)
def test_what_is_not_known_is_refused(flags, sentence, capsys):
    assert command("bench", *flags) == 2
    assert sentence in capsys.readouterr().err
