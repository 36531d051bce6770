"""Recipes as people write, damage and send them: the file itself, and settings that only a library refuses."""

import dataclasses
import typing
from pathlib import Path

from hypothesis import strategies as st
from runs import RECIPES, argv_of
from transformers import Seq2SeqTrainingArguments

from rnn_zoo.recipe.file import recipe_files
from rnn_zoo.recipe.recipe import read_recipe
from rnn_zoo.recipe.schema import keys, keys_of_task, own_fields
from rnn_zoo.tasks import TASKS

from .commands import in_child, judge
from .harness import Door

KEYS = sorted(keys())
SHIPPED = [path.read_text(encoding="utf-8") for path in recipe_files().values()]

# ---- the file ----
scalars = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        ["null", "~", "true", "false", "yes", "2025-01-01", "1:30", "0x1F", "1e400", ".nan", "-.inf", "''"]
    ),
    st.sampled_from(["--fp16", "-x", "*a", "&a", "<<", "=", "!", "%", "@", "`", "|", ">", "\t", "'", '"', "\\ud800"]),
    st.sampled_from(["!!binary aGk=", "!!python/name:os.system", "!x y", "1" + "0" * 5000]),
    st.text(max_size=20),
)


def _shapes(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    keys = st.one_of(scalars, st.sampled_from(KEYS))
    return st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(keys, inner), max_size=4).map(lambda rows: f"{{{', '.join(f'{k}: {v}' for k, v in rows)}}}"),
        st.tuples(st.sampled_from(["&a ", "*a ", "!!map ", "? ", "- "]), inner).map("".join),
    )


values = st.recursive(scalars, _shapes, max_leaves=6)
lines = st.tuples(st.one_of(st.sampled_from(KEYS), st.sampled_from(KEYS), scalars), values).map(": ".join)
bombs = st.sampled_from(
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{k}: &{k} [{','.join([f'*{j}'] * 9)}]\n" for j, k in zip("abcdefg", "bcdefgh", strict=True)),
        "task: " + "[" * 50_000,
        "task: " + "{a: " * 20_000,
        "task: &x [*x]",
        "? " * 5_000,
        "- " * 20_000,
        "# " + "x" * 300_000,
        "lr_scheduler_kwargs: {<<: [{a: 1}, {b: 2}]}",
    ]
)


@st.composite
def damaged(draw) -> bytes:
    """A shipped recipe with bytes exchanged, cut out or put in at one place."""
    data = draw(st.sampled_from(SHIPPED)).encode()
    place = draw(st.integers(0, len(data)))
    gone = draw(st.integers(0, 8))
    return data[:place] + draw(st.binary(max_size=8)) + data[place + gone :]


texts = st.one_of(st.lists(lines, max_size=6).map("\n".join), bombs).map(
    lambda text: text.encode(errors="surrogatepass")
)
files = st.one_of(texts, texts, damaged(), st.binary(max_size=60))


def read(case: bytes, folder: Path) -> None:
    path = folder / "own.yaml"
    path.write_bytes(case)
    read_recipe(path)


# ---- the settings ----
WORDS = ["", "no", "steps", "epoch", "foo", "all", "none", "eval_loss", "loss", "f1", "a=1", "lr=x", "/", "[1]", "null"]
WORDS += ['{"a": 1}', '{"num_cycles": 2}', '{"a": {"b": [null]}}', "x" * 300, "äß ह"]
FIT = {bool: ["true", "false"], int: ["0", "1", "2", "3", "7", "100000"], float: ["0", "0.5", "1e-3", "1", "1000"]}


def _candidates(kind: object) -> st.SearchStrategy[str]:
    """Mostly values of the type of a setting."""
    fit = [one for member in (kind, *typing.get_args(kind)) for one in FIT.get(member, [])]
    fit += [
        str(one.value)
        for member in (kind, *typing.get_args(kind))
        for one in getattr(member, "__members__", {}).values()
    ]
    return st.sampled_from(fit * (1 + 6 * len(WORDS) // len(fit)) + WORDS) if fit else st.sampled_from(WORDS)


HINTS = typing.get_type_hints(Seq2SeqTrainingArguments)
# What would reach elsewhere, is where the test looks, or works for minutes.
LEFT_OUT = {
    "torch_compile",
    "torch_compile_backend",
    "torch_compile_mode",
    "output_dir",
    "push_to_hub",
    "hub_model_id",
    "max_steps",
    "num_train_epochs",
    "resume_from_checkpoint",
}
SETTINGS = {
    f.name: _candidates(HINTS[f.name])
    for f in dataclasses.fields(Seq2SeqTrainingArguments)
    if f.init and f.name not in LEFT_OUT
}
# Each needs a package of its own, or a device.
OPTIMIZERS = ["adamw_torch", "adafactor", "sgd", "adagrad", "rmsprop", "lomo", "galore_adamw", "apollo_adamw"]
OPTIMIZERS += ["grokadamw", "schedule_free_adamw", "adamw_bnb_8bit", "lion_8bit", "adamw_anyprecision"]
OPTIMIZERS += ["adamw_torch_4bit", "adamw_apex_fused", "stable_adamw", "muon", "foo"]
SETTINGS["optim"] = st.sampled_from(OPTIMIZERS)
# Refused only in company.
TOGETHER = [
    [("save_strategy", "best"), ("metric_for_best_model", "f1")],
    [("load_best_model_at_end", "true"), ("save_steps", "1"), ("metric_for_best_model", "nonsense")],
    [("dataloader_num_workers", "2"), ("dataloader_prefetch_factor", "2"), ("dataloader_persistent_workers", "true")],
    [("dataloader_num_workers", "1"), ("dataloader_multiprocessing_context", "spawn")],
    [("lr_scheduler_type", "cosine_with_restarts"), ("lr_scheduler_kwargs", '{"num_cycles": "x"}')],
    [("lr_scheduler_type", "polynomial"), ("lr_scheduler_kwargs", '{"power": null}')],
    [("lr_scheduler_type", "reduce_lr_on_plateau"), ("lr_scheduler_kwargs", '{"mode": "x"}')],
    [("lr_scheduler_type", "warmup_stable_decay")],
    [("optim", "adafactor"), ("optim_args", "scale_parameter=x")],
    [("optim", "sgd"), ("optim_args", "momentum=-1")],
    [("optim", "adamw_torch"), ("optim_args", "fused=1,foreach=1")],
    [("gradient_checkpointing", "true"), ("gradient_checkpointing_kwargs", '{"use_reentrant": "x", "a": 1}')],
    [("torch_compile_mode", "nonsense")],
    [("fp16", "true")],
    [("bf16_full_eval", "true"), ("use_cpu", "true")],
    [("neftune_noise_alpha", "5")],
    [("label_names", "nonsense")],
    [("include_for_metrics", "nonsense")],
    [("auto_find_batch_size", "true")],
]


@st.composite
def settings(draw) -> tuple[str, list[tuple[str, str]]]:
    """A task, and some keys that it has, most of them with values of their type."""
    name = draw(st.sampled_from(list(RECIPES)))
    task = TASKS[name]
    if draw(st.integers(0, 9)) == 0:
        return name, draw(st.sampled_from(TOGETHER))
    own = sorted(OWN.keys() & keys_of_task(task))
    found: dict[str, str] = {}
    for _ in range(draw(st.integers(1, 3))):
        group, keys = (SETTINGS, sorted(SETTINGS)) if draw(st.booleans()) else (OWN, own)
        key = draw(st.sampled_from(keys))
        found[key] = draw(group[key])
    return name, list(found.items())


OWN = {
    name: _candidates(f.type)
    for name, f in own_fields().items()
    if name not in ("data_dir", "task", "dataset_name", "dataset_config_name", "embedded_data", "language_model")
}


def train(case: tuple[str, list[tuple[str, str]]], folder: Path) -> None:
    """Two steps of a toy; in a child, as settings change the whole process."""
    task, changed = case
    status, text = in_child(
        folder, argv_of(folder, task, **{"max_steps": 2, "eval_steps": 1, "report_to": "none"} | dict(changed))
    )
    judge(status, text)


DOORS = [
    Door("a recipe file", "recipes", files, read),
    Door("settings of a training", "recipes", settings(), train, is_slow=True),
]
