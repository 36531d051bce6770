"""Checkpoint folders of every task, damaged in one place or several, opened and used as the commands do it."""

import functools
import io
import json
import os
import shutil
import struct
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st
from runs import argv_of

from reliability.harness import Door
from rnn_zoo.card import make_card
from rnn_zoo.checkpoint_checks import open_tokenizer
from rnn_zoo.checkpoint_files import files_for_others
from rnn_zoo.errors import HubError, RunError, UserError
from rnn_zoo.run import run
from rnn_zoo.run.resume import find_checkpoint
from rnn_zoo.tasks import TASKS
from rnn_zoo.tasks.causal_lm.generation import GenerationStream, continuation
from rnn_zoo.tasks.opening import load, task_of
from rnn_zoo.tasks.sequence_classification.classifier import Classifier
from rnn_zoo.tasks.token_classification.tagger import Tagger
from rnn_zoo.tasks.translation.translator import Translator
from rnn_zoo.training.run_folder import RunFolder
from rnn_zoo.training.whole_checkpoints import hash_of, read_run_state
from rnn_zoo_cli import main

TEXTS = ["Asha went to Pune.", ""]
# The files of a checkpoint that a command reads; those that are not there are made by some damages.
FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
NOTES = ("recipe.yaml", "metrics.json")
RUN_STATE = "run_state.json"
STATE_FILES = (RUN_STATE, "trainer_state.json", "config.json", "model.safetensors", "tokenizer.json")
ABSENT = ("model.safetensors.index.json", "special_tokens_map.json", "added_tokens.json")

DEEP = 100_000
CONTENTS = [
    *(b"", b"null", b"[]", b"{}", b"0", b'"text"', b"NaN", b"1e400", b"\xff\xfe{\x00}\x00", b"\x80\x81", b"{", b"\x00"),
    *(b"[" * DEEP, b'{"a":' * DEEP, b"[" * DEEP + b"]" * DEEP, b"version https://git-lfs.github.com/spec/v1\n"),
    *(b"a: &a [x]\nb: [*a, *a]\n", b"!!python/object/apply:os.system [id]", b"\xef\xbb\xbf{}", b"9" * 5000),
]
VALUES = st.one_of(
    st.sampled_from([None, True, False, 0, -1, 1, 3, 10**9, -(10**9), 2**63, 10**400, 0.5, -0.0, 1e308, 1e-308]),
    st.sampled_from(
        [float("nan"), float("inf"), float("-inf"), "", "lstm", "<pad>", "0", "é" * 300, "a/../../b", "\x00"]
    ),
    st.sampled_from([[], {}, [None], [[]], {"": None}, {"0": "O"}, [0] * 50, ["a", 1], {"a": {"b": [1, {"c": None}]}}]),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
)
CONFIG_KEYS = [
    *("vocab_size", "hidden_size", "embedding_size", "num_hidden_layers", "num_labels", "decoder_layers", "cell_type"),
    *("decoder_vocab_size", "decoder_hidden_size", "attention_size", "attention_hops", "direct_ngram_size", "pooling"),
    *("direct_ngram_order", "character_vocab_size", "character_kernel_size", "affix_length", "affix_vocab_size"),
    *("id2label", "label2id", "architectures", "model_type", "dtype", "torch_dtype", "auto_map", "custom_pipelines"),
    *("quantization_config", "tie_word_embeddings", "pad_token_id", "bos_token_id", "eos_token_id", "unk_token_id"),
    *("problem_type", "use_crf", "tag_scheme", "bidirectional", "layer_norm", "residual", "hierarchical", "use_cache"),
    *("classifier_hidden_size", "sentence_end_token_ids", "class_weights", "layer_norm_eps", "max_new_tokens"),
    *("temperature", "top_k", "top_p", "num_beams", "characters", "max_word_length", "padding_side", "pad_token"),
    *("model_max_length", "tokenizer_class", "extra_special_tokens", "added_tokens_decoder", "model_input_names"),
    *("backend", "chat_template", "weight_map", "to_dict", "attn_implementation", "output_hidden_states", "history"),
]


class Damage(NamedTuple):
    """One change of one file.

    Args:
        file: its name.
        change: the file's bytes -> others; `None` instead of them where there is none.
    """

    file: str
    change: Callable[[bytes | None], bytes | None]
    says: str

    def __repr__(self) -> str:
        return f"{self.file}: {self.says}"


def cut(file: str, share: float, mask: int, how: str) -> Damage:
    def change(data: bytes | None) -> bytes | None:
        if not data:
            return data
        place = int(share * len(data))
        if how == "truncated":
            return data[:place]
        if how == "flipped":
            place = min(place, len(data) - 1)
            return data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]
        if how == "doubled":
            return data[:place] + data[place : place + mask] + data[place:]
        return data[:place] + data[place + mask :]

    return Damage(file, change, f"{how} at {share:.3f} ({mask})")


def place_in(value: Any, steps: list[int]) -> tuple[Any, Any] | None:
    """A container in a JSON value, and one of its keys."""
    found = None
    for step in steps:
        if isinstance(value, dict) and value:
            key: Any = sorted(value)[step % len(value)]
        elif isinstance(value, list) and value:
            key = step % len(value)
        else:
            break
        found = (value, key)
        value = value[key]
    return found


def nested(file: str, steps: list[int], new: Any, how: str) -> Damage:
    """A value anywhere in a JSON file, or in the head of a safetensors file, replaced, taken out, or under another
    key."""

    def change(data: bytes | None) -> bytes | None:
        if not data:
            return data
        head, rest = data, b""
        if file.endswith(".safetensors"):
            (size,) = struct.unpack("<Q", data[:8])
            head, rest = data[8 : 8 + size], data[8 + size :]
        value = json.loads(head)
        if found := place_in(value, steps):
            container, key = found
            if how == "taken out":
                del container[key]
            elif how == "renamed" and isinstance(container, dict):
                container[str(new)] = container.pop(key)
            else:
                container[key] = new
        text = json.dumps(value).encode("utf-8", "surrogatepass")
        return struct.pack("<Q", len(text)) + text + rest if rest or head is not data else text

    return Damage(file, change, f"{how} at {steps}: {str(new)[:80]!r}")


def keyed(file: str, key: str, new: Any) -> Damage:
    def change(data: bytes | None) -> bytes:
        return json.dumps(json.loads(data or b"{}") | {key: new}).encode("utf-8", "surrogatepass")

    return Damage(file, change, f"{key}={str(new)[:80]}")


def line(file: str, text: str) -> Damage:
    return Damage(
        file, lambda data: text.encode("utf-8", "surrogatepass") + b"\n" + (data or b""), f"line {text[:80]!r}"
    )


def whole(file: str, content: bytes | None) -> Damage:
    return Damage(file, lambda data: content, "gone" if content is None else f"holds {content[:40]!r}")


class Instead(NamedTuple):
    """Something else where a file should be."""

    file: str
    what: str


class Swapped(NamedTuple):
    """A file with the content of another one."""

    file: str
    other: str


RECIPE_KEYS = ["use_cpu", "deepspeed", "data_dir", "task", "learning_rate", "bf16", "hidden_size", "fsdp_config"]
RECIPE_VALUES = ["true", "null", "[1, 2]", "{a: {b: c}}", "1e400", "nan", "2020-01-01", "&a [*a]", "!!binary x", "''"]


def damages(json_files: list[str], files: list[str]) -> st.SearchStrategy[Any]:
    """Damages of a checkpoint with these files."""
    some, of_json = st.sampled_from(files), st.sampled_from(json_files)
    how = st.sampled_from(["truncated", "flipped", "doubled", "shortened"])
    return st.one_of(
        st.builds(cut, some, st.floats(0, 1), st.integers(1, 255), how),
        st.builds(
            nested,
            st.sampled_from([*json_files, "model.safetensors"]),
            st.lists(st.integers(0, 200), min_size=1, max_size=6),
            VALUES,
            st.sampled_from(["replaced", "taken out", "renamed"]),
        ),
        st.builds(keyed, of_json, st.sampled_from(CONFIG_KEYS), VALUES),
        st.builds(whole, st.sampled_from([*files, *ABSENT]), st.sampled_from([None, *CONTENTS])),
        st.builds(whole, some, st.binary(max_size=40)),
        st.builds(Instead, some, st.sampled_from(["folder", "dangling", "loop", "fifo", "device", "outside"])),
        st.builds(Swapped, some, some),
    )


def cases(json_files: list[str], files: list[str]) -> st.SearchStrategy[list[Any]]:
    one = damages(json_files, files)
    return st.one_of(one.map(lambda damage: [damage]), st.lists(one, min_size=2, max_size=3))


def apply(damage: Any, folder: Path) -> None:
    """Changes a file of a checkpoint's folder."""
    path = folder / damage.file
    data = path.read_bytes() if path.is_file() else None
    if isinstance(damage, Instead):
        remove(path)
        {
            "folder": path.mkdir,
            "dangling": lambda: path.symlink_to("nowhere"),
            "loop": lambda: path.symlink_to(path.name),
            "fifo": lambda: os.mkfifo(path),
            "device": lambda: path.symlink_to("/dev/zero"),
            "outside": lambda: path.symlink_to("/etc/hostname"),
        }[damage.what]()
        return
    if isinstance(damage, Swapped):
        other = folder / damage.other
        new = other.read_bytes() if other.is_file() else None
    else:
        try:
            new = damage.change(data)
        except (ValueError, RecursionError, KeyError, AttributeError, TypeError):  # damaged before
            return
    remove(path)
    if new is not None:
        path.write_bytes(new)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# ---- what is damaged ----
PLACES: list[Path] = []  # of the process: where its toy checkpoints are


def make_place(folder: Path) -> None:
    """Toys are in the folder of their door, which is gone with it."""
    PLACES.append(folder / "toys")
    PLACES[-1].mkdir()


@functools.cache
def toy(task: str) -> Path:
    """A run of a task, trained for a few steps."""
    folder = PLACES[-1] / task
    folder.mkdir()
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        assert main([str(argument) for argument in argv_of(folder, task)]) == 0
    return folder


@functools.cache
def files_of(task: str) -> list[Path]:
    """What of it is copied for each case: not the code, nor pictures."""
    kept = (".json", ".yaml", ".safetensors")
    return [path for path in (toy(task) / "out").iterdir() if path.is_file() and path.suffix in kept]


def copy(task: str, room: Path) -> Path:
    folder = room / "checkpoint"
    folder.mkdir()
    for path in files_of(task):
        shutil.copyfile(path, folder / path.name)
    return folder


# ---- how it is used ----
def use(folder: Path) -> None:
    """Opens a checkpoint as the commands do, and gives it two texts."""
    found, _ = task_of(folder, folder)
    if found is None:
        raise UserError("no head")
    task = found.name
    model, tokenizer = load(folder, task)
    try:
        if task == "causal_lm":
            list(continuation(GenerationStream(model, seed=0), tokenizer, TEXTS[0], 3))
        elif task == "token_classification":
            tagger = Tagger(model, tokenizer)
            tagger.tag_words([text.split() for text in TEXTS])
            tagger.tag_texts(TEXTS, scores=True)
        elif task == "sequence_classification":
            Classifier(model, tokenizer).classify(TEXTS)
        else:
            Translator(model, tokenizer)(TEXTS, max_new_tokens=3)
    except ValueError as error:  # a sentence of ours: commands print it
        raise UserError(str(error)) from error


def all_of(*steps: Callable[[], Any]) -> None:
    """Runs every step; what one refuses is raised at the end."""
    refusals = []
    for step in steps:
        try:
            step()
        except (UserError, HubError, RunError) as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]


def enter_with(task: str) -> Callable[[list[Any], Path], None]:
    def enter(case: list[Any], room: Path) -> None:
        folder = copy(task, room)
        for damage in case:
            apply(damage, folder)
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            all_of(lambda: use(folder), lambda: files_for_others(folder, code=False))

    return enter


def enter_notes(case: tuple[str, list[Any]], room: Path) -> None:
    """What `card`, `push`, `list` and `evaluate` read beside the model."""
    task, changes = case
    folder = copy(task, room)
    for damage in changes:
        apply(damage, folder)
    data = str(toy(task) / "data")
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        all_of(
            lambda: make_card(folder),
            lambda: run.evaluate(folder, "test", ["--data_dir", data]),
        )


def enter_resume(case: tuple[str, list[Any]], room: Path) -> None:
    """A run looks for a checkpoint to go on from; the hashes that it lists are those of the damaged files."""
    task, changes = case
    out = room / "out"
    checkpoint = Path(shutil.copytree(toy(task) / "out" / "checkpoint-4", out / "checkpoint-4"))
    state = json.loads((checkpoint / RUN_STATE).read_text())
    for damage in changes:
        if damage.file != RUN_STATE:
            apply(damage, checkpoint)
    for name in state["files"]:
        path = checkpoint / name
        if path.is_file() and not path.is_symlink():
            state["files"][name] = {"size": path.stat().st_size, "sha256": hash_of(path)}
    (checkpoint / RUN_STATE).write_text(json.dumps(state))
    for damage in changes:
        if damage.file == RUN_STATE:
            apply(damage, checkpoint)
    found = find_checkpoint("last", RunFolder(out), lambda message: None)
    read_run_state(found)
    run.check_model(found, TASKS[task].model_class)
    open_tokenizer(found, found)


NOTE_LINES = st.builds(
    line,
    st.just("recipe.yaml"),
    st.builds("{}: {}".format, st.sampled_from(RECIPE_KEYS), st.sampled_from(RECIPE_VALUES)),
)
DOORS = [
    *(
        Door(f"checkpoint: {task}", "checkpoints", cases(list(FILES[:4]), list(FILES)), enter_with(task), make_place)
        for task in TASKS
    ),
    Door(
        "checkpoint: card and evaluate",
        "checkpoints",
        st.tuples(
            st.sampled_from(list(TASKS)),
            st.one_of(cases(["metrics.json"], list(NOTES)), NOTE_LINES.map(lambda damage: [damage])),
        ),
        enter_notes,
        make_place,
    ),
    Door(
        "checkpoint: going on",
        "checkpoints",
        st.tuples(st.sampled_from(list(TASKS)), cases([RUN_STATE, "trainer_state.json"], list(STATE_FILES))),
        enter_resume,
        make_place,
    ),
]
