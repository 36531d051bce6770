"""What ships answers as it did when it was recorded (`golden/recorded/`), whatever has changed in the code since."""

import json
import runpy
from pathlib import Path

import pytest

from rnn_zoo import zoo

RECORDED = Path(__file__).parent / "golden" / "recorded"
RECORD = runpy.run_path(str(RECORDED.parent / "record.py"))


@pytest.mark.ci
@pytest.mark.parametrize("name", zoo.names())
def test_a_checkpoint_that_ships_answers_as_recorded(name):
    expected = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    for text, now, then in zip(RECORD["TEXTS"], RECORD["record"](name), expected, strict=True):
        assert now["said"] == then["said"], text
        assert now["scores"] == pytest.approx(then["scores"], rel=1e-6, abs=1e-6), text
