"""Checkpoints of earlier versions (`golden/`) load with today's code and give the numbers of then."""

import runpy
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel

from rnn_zoo import CELLS, RecurrentState
from rnn_zoo.models.recurrent_state import DecoderState
from rnn_zoo.tasks import TASKS

GOLDEN = Path(__file__).parent / "golden"
FOLDERS = sorted(path.parent for path in GOLDEN.glob("*/*/config.json"))
OURS = {name: task for name, task in TASKS.items() if task.package.startswith("rnn_zoo.")}
HEADS = [getattr(transformers, task.auto_class) for task in OURS.values()]
HOW = "write one with tests/golden/make.py"

every_golden = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: f"{path.parent.name}-{path.name}")


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_every_cell_has_a_golden_checkpoint():
    covered = {AutoConfig.from_pretrained(folder).cell_type for folder in FOLDERS}
    assert set(CELLS) <= covered, f"no golden checkpoint for {set(CELLS) - covered}: {HOW}"


def test_every_task_has_a_golden_checkpoint():
    assert OURS.keys() == runpy.run_path(str(GOLDEN / "make.py"))["OF_TASKS"].keys(), HOW
    written = {AutoConfig.from_pretrained(folder).architectures[0] for folder in FOLDERS}
    assert {task.head_name for task in OURS.values()} <= written, HOW


@every_golden
def test_todays_code_gives_the_numbers_of_then(folder):
    config = AutoConfig.from_pretrained(folder)
    auto = next((kind for kind in HEADS if kind.__name__ in config.auto_map), AutoModel)
    model, report = auto.from_pretrained(folder, output_loading_info=True)
    assert type(model).__module__.startswith("rnn_zoo.")
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    expected = load_file(folder / "expected.safetensors")
    state = {name.removeprefix("state."): t for name, t in expected.items() if name.startswith("state.")}
    ids, mask, following = (expected.get(name) for name in ("ids", "mask", "following"))
    if following is None:  # it has no state
        with torch.no_grad():
            close(model(ids, attention_mask=mask)[0], expected["output"])
        return
    if config.is_encoder_decoder:
        source = {"input_ids": ids, "attention_mask": mask}
        read = source | {"decoder_input_ids": expected["target_ids"], "decoder_attention_mask": expected["target_mask"]}
        then = source | {"decoder_input_ids": following, "cache_params": DecoderState.from_dict(state)}
    else:
        spelling = {"character_ids": expected["character_ids"]} if "character_ids" in expected else {}
        tail = {name: tensor[:, : following.shape[1]] for name, tensor in spelling.items()}
        read = {"input_ids": ids, "attention_mask": mask} | spelling
        then = {"input_ids": following, "cache_params": RecurrentState.from_dict(state)} | tail
    with torch.no_grad():
        outputs, continued = model(**read), model(**then)
    close(outputs[0], expected["output"])
    close(continued[0], expected["continued"])
    assert outputs.cache_params.to_dict().keys() == state.keys()
    for name, tensor in outputs.cache_params.to_dict().items():
        close(tensor, state[name])


def test_golden_checkpoints_are_written_once(tmp_path):
    make = runpy.run_path(str(GOLDEN / "make.py"))
    assert make["main"](tmp_path) == 0
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.parent.name for path in files} == {*make["CHECKPOINTS"]}
    assert make["main"](tmp_path) == 2
    assert files == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
