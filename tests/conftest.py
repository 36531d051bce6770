"""What all tests share: no network, one thread, a seed before each test, and a tiny model's configuration."""

import gc
import os
import signal

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
import torch

from rnn_zoo import CELLS, RnnConfig, RnnSeq2SeqConfig

pytest.register_assert_rewrite("cell_contract", "command_line")  # so that its assertions show their values

# A shell starts what runs in the background deaf to Ctrl-C, and all that it starts too, which some tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

H, V, L, E, T = 8, 13, 2, 6, 7  # hidden, vocabulary, layers, embedding, time
PAD, BOS, EOS, UNK = 0, 1, 2, 3  # in the order of our tokenizers
FIRST_WORD = 4  # ids below are special and never stand in a text
TARGET_V = 11  # a target's vocabulary, where it is not the source's

# What is promised of the house around a cell is tested with one of each kind, the one with the most states; what is
# promised of a cell itself, with all of them (`cell_contract.py`).
ONE_OF_EACH_KIND = list(
    {cell.kind: name for name, cell in sorted(CELLS.items(), key=lambda item: len(item[1].state_names))}.values()
)

# Trainings until something is learnt, or to be stopped and compared: seconds each, for all tests that ask for them.
TRAINED_LONG = {"learnt", "never_stopped", "whole_batches", "with_language_model"}


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    for item in items:
        if TRAINED_LONG & {*getattr(item, "fixturenames", ())}:
            item.add_marker("ci")


def pytest_collection_finish(session):
    """The libraries' objects, a million, are looked at no more when garbage is collected: `Trainer` does that twice
    in each training, and it would take half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def tiny_config(**overrides) -> RnnConfig:
    """A configuration whose models run in a millisecond; its sizes all differ, so that no two can be confused."""
    values = {
        "vocab_size": V,
        "embedding_size": E,
        "hidden_size": H,
        "num_hidden_layers": L,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "unk_token_id": UNK,
    }
    return RnnConfig(**values | overrides)


def tiny_seq2seq_config(**overrides) -> RnnSeq2SeqConfig:
    """As `tiny_config`, for a model with an encoder and a decoder; `luong_dot` needs both sides to be of one size."""
    values = {
        "vocab_size": V,
        "embedding_size": E,
        "hidden_size": H // 2,
        "decoder_hidden_size": H if overrides.get("attention") == "luong_dot" else H - 1,
        "attention_size": 5,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "unk_token_id": UNK,
    }
    if overrides.get("attention") == "luong_dot" and overrides.get("encoder_bidirectional") is False:
        values["decoder_hidden_size"] = H // 2
    return RnnSeq2SeqConfig(**values | overrides)


def random_ids(*shape: int, vocab_size: int = V) -> torch.Tensor:
    """Token ids without special ones."""
    return torch.randint(FIRST_WORD, vocab_size, shape)


def pad_rows(rows: list[torch.Tensor], side: str = "right") -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of ids of any lengths -> `input_ids, attention_mask`, each `(B, T)`, padded on `side`."""
    length = max(len(row) for row in rows)
    ids = torch.full((len(rows), length), PAD)
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    for n, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(length - len(row), length)
        ids[n, place] = row
        mask[n, place] = 1
    return ids, mask
