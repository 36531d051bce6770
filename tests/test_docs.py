"""The examples of the documentation run as printed."""

import re
from pathlib import Path

import pytest
from conftest import tiny_config

from rnn_zoo import RnnForCausalLM
from rnn_zoo.tokenizers import build_char_tokenizer

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_the_examples_of_the_ecosystem_run_in_order(tmp_path, monkeypatch):
    tokenizer = build_char_tokenizer(["all that glisters is not gold"])
    tokenizer.save_pretrained(tmp_path / "model")
    model = RnnForCausalLM(tiny_config(vocab_size=len(tokenizer), hidden_size=40, eos_token_id=None))
    model.generation_config.do_sample = True
    model.save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "ecosystem.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) > 5
    names: dict = {}
    for block in blocks:
        exec(compile(block, "docs/ecosystem.md", "exec"), names)
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    assert names["second"].shape == (1, 21)
