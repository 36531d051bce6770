"""From a recipe to a checkpoint: data -> tokenizer -> model -> trainer -> evaluation -> files one can load."""

import importlib.metadata
import json
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars
from rich.console import Console
from transformers import AutoTokenizer, PrinterCallback, ProgressCallback, set_seed
from transformers.trainer_utils import get_last_checkpoint

from .. import hub
from ..card import CARD_FILE, CURVE_FILE, save_card
from ..checkpoint_files import WEIGHTS, json_text, require_finite
from ..checkpoints import METRICS_FILE, RECIPE_FILE, RUNS, folder_of, load_checkpoint
from ..errors import Diverged, UserError
from .callbacks import OnTrainBegin, PushWhole, ReadableLines, ReadableProgress, StopOnInterrupt
from .recipe import Recipe, read_recipe
from .task import Task
from .tasks import TASKS

console = Console(highlight=False)


def say(message: str, style: str | None = None) -> None:
    """Shows a line as it is: nothing in it is markup, and the terminal may break it anywhere."""
    console.print(message, style=style, markup=False, soft_wrap=True)


class Interrupted(Exception):
    """Training stopped by a signal, after its checkpoint was saved."""


def train(recipe: Recipe) -> dict[str, Any]:
    """Runs a recipe and leaves in `output_dir` a model, its tokenizer, the recipe and `metrics.json`.

    Returns:
        What `metrics.json` holds.

    Raises:
        UserError: for a mistake in the recipe, the data or the folders; nothing is written in that case.
        Interrupted: after Ctrl-C; the last checkpoint can be resumed.
        Diverged: if a loss, a gradient or the weights are not finite; checkpoints of earlier steps are kept.
        HubError: if `push_to_hub` fails, before the training or, with all files in `output_dir`, at its end.
    """
    args, out = recipe.training, prepare_output(recipe)
    resume = find_resume(recipe)
    if resume:
        require_finite(Path(resume))
    task = make_task(recipe)
    if recipe.run.baseline != "none":
        task.require_baseline()
    set_seed(args.seed)
    data = task.load_data()
    tokenizer = AutoTokenizer.from_pretrained(resume) if resume else task.build_tokenizer(data)
    model = task.build_model(data, tokenizer)
    first_step = check_resume(task, resume, model.config) if resume else 0
    say_what_is_trained(task, data, tokenizer, model)
    if args.push_to_hub and is_main_process(recipe):
        hub.prepare_repository(args.hub_model_id, private=bool(args.hub_private_repo), revision=args.hub_revision)
    trainer, datasets = build_trainer(task, model, tokenizer, data)
    stop = StopOnInterrupt()
    trainer.add_callback(stop)

    if not resume and is_main_process(recipe):
        trainer.add_callback(OnTrainBegin(lambda: clear_output(out)))  # not before Trainer has accepted all settings
    hidden = are_progress_bars_disabled()
    result = trainer.train(resume_from_checkpoint=resume)
    if hidden:
        disable_progress_bars()  # again: Trainer ends pushes of its own by enabling them
    if stop.interrupted:
        again = {"output_dir": str(out), "resume_from_checkpoint": "last"}
        command = recipe.command + [f"--{key}={value}" for key, value in again.items() if key not in recipe.values]
        raise Interrupted(f"stopped at step {trainer.state.global_step}; go on with: {shlex.join(command)}")

    seconds = result.metrics["train_runtime"]
    metrics: dict[str, Any] = {
        "recipe": recipe.name,
        "task": recipe.run.task,
        "published": recipe.run.published,
        "data": task.describe(data),
        "model": task.describe_model(model.config),
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": trainer.state.global_step,
        "train": {"loss": result.training_loss, "seconds": seconds}
        | task.speed(datasets, trainer.state.global_step - first_step, seconds),
    }
    if args.push_to_hub:
        trainer._finish_current_push()  # which reads what is now written
    trainer.save_model(str(out), _internal_call=True)  # before anything that could fail, as a push can
    try:
        metrics |= {name: task.measure(trainer, datasets, name) for name in datasets if name != "train"}
    except Diverged:
        if trainer.is_world_process_zero():
            remove_model(out)
        raise
    metrics["environment"] = environment(args)
    metrics["history"] = history(trainer.state.log_history)
    if trainer.is_world_process_zero():
        tokenizer.save_pretrained(out)
        recipe.save(out / RECIPE_FILE)
        write_metrics(out, metrics)
        metrics |= task.finish(model.eval(), tokenizer, data, console)
        write_metrics(out, metrics)
        if recipe.run.baseline != "none":
            metrics["baseline"] = task.baseline(data)
            write_metrics(out, metrics)
        save_card(out, args.hub_model_id)
        say_how_to_go_on(task, out, metrics)
        if args.push_to_hub:
            # With what Trainer's own pushes do not know of: card, recipe, numbers, pictures.
            where = {"private": bool(args.hub_private_repo), "revision": args.hub_revision}
            task.say(f"on the Hub: {hub.push(out, args.hub_model_id, **where, message='End of training')}")
    return metrics


def make_task(recipe: Recipe) -> Task:
    """The recipe's task; it speaks in the main process only."""
    speaks = is_main_process(recipe)
    return TASKS[recipe.run.task](recipe, warn if speaks else ignore, say if speaks else ignore)


def ignore(message: str, style: str | None = None) -> None:
    """Says nothing: another process does."""


# ---- folders ----
def prepare_output(recipe: Recipe) -> Path:
    """The output folder, `runs/<recipe>` by default; one that already holds a model must be asked for."""
    args = recipe.training
    if not args.output_dir or args.output_dir == "trainer_output":
        args.output_dir = str(Path(RUNS) / recipe.name)
    out = Path(args.output_dir)
    if out.exists() and not out.is_dir():
        raise UserError(f"output_dir={str(out)!r} is a file")
    taken = (out / "config.json").exists() or get_last_checkpoint_or_none(out) is not None
    if taken and not (args.resume_from_checkpoint or recipe.run.overwrite_output_dir):
        raise UserError(
            f"output_dir={str(out)!r} already holds a checkpoint: go on with --resume_from_checkpoint, replace it with "
            "--overwrite_output_dir, or choose another --output_dir"
        )
    return out


def get_last_checkpoint_or_none(folder: Path) -> str | None:
    return get_last_checkpoint(str(folder)) if folder.is_dir() else None


def find_resume(recipe: Recipe) -> str | None:
    """The checkpoint folder to go on from."""
    wanted = recipe.training.resume_from_checkpoint
    if wanted is None or wanted is False:
        return None
    if wanted in (True, "true", "True", "last"):
        last = get_last_checkpoint_or_none(Path(recipe.training.output_dir))
        if last is None:
            raise UserError(f"output_dir={recipe.training.output_dir!r} holds no checkpoint to resume from")
        return last
    if not (Path(wanted) / "trainer_state.json").exists():
        raise UserError(
            f"resume_from_checkpoint={wanted!r}: no training checkpoint there (trainer_state.json is missing)"
        )
    return wanted


# What decides the shapes of the weights, and what they mean.
ARCHITECTURE = [
    *("cell_type", "vocab_size", "embedding_size", "hidden_size", "num_hidden_layers"),
    *("bidirectional", "residual", "layer_norm", "tie_word_embeddings"),
    *("character_vocab_size", "character_encoder", "character_embedding_size", "character_hidden_size"),
    *("character_kernel_size", "use_crf", "tag_scheme", "affix_length"),
    *("affix_embedding_size", "affix_vocab_size", "decoder_vocab_size", "share_encoder_decoder_embeddings"),
    *("decoder_hidden_size", "decoder_layers", "decoder_cell_type", "encoder_bidirectional", "bridge", "attention"),
    *("attention_size", "attention_scaled", "attention_layer", "input_feeding", "pooling", "hierarchical"),
    *("pooling_attention_size", "attention_hops", "classifier_hidden_size", "classifier_batch_norm"),
    *("direct_ngram_order", "direct_ngram_size"),
]


def check_resume(task: Task, checkpoint: str, config) -> int:
    """Refuses to go on with a checkpoint in a model of another architecture; returns the step it was written at."""
    saved = json.loads((Path(checkpoint) / "config.json").read_text(encoding="utf-8"))
    for name in ARCHITECTURE:
        if hasattr(config, name) and saved.get(name) != getattr(config, name):
            raise UserError(
                f"{name}={getattr(config, name)!r}, but {checkpoint} was trained with {saved.get(name)!r}: resume with "
                "the flags of the first run"
            )
    task.check_resume(saved, config, checkpoint)
    return json.loads((Path(checkpoint) / "trainer_state.json").read_text(encoding="utf-8"))["global_step"]


def clear_output(out: Path) -> None:
    """Removes what an earlier run left, so that an old checkpoint is not taken for one of the new run."""
    for folder in out.glob("checkpoint-*"):
        shutil.rmtree(folder)
    pictures = [name for task in TASKS.values() for name in task.pictures]
    for name in ("config.json", "model.safetensors", METRICS_FILE, RECIPE_FILE, CARD_FILE, CURVE_FILE, *pictures):
        (out / name).unlink(missing_ok=True)


def remove_model(out: Path) -> None:
    """Removes a model that is of no use, and leaves the checkpoints of earlier steps."""
    for name in ("config.json", "generation_config.json", WEIGHTS):
        (out / name).unlink(missing_ok=True)


def write_metrics(out: Path, metrics: dict[str, Any]) -> None:
    (out / METRICS_FILE).write_text(json_text(metrics, indent=2) + "\n", encoding="utf-8")


# ---- building blocks ----
def build_trainer(task: Task, model, tokenizer, data):
    """The trainer and the data of each split, with what all tasks have in common."""
    args = task.recipe.training
    args.disable_tqdm = bool(args.disable_tqdm)
    args.remove_unused_columns = False
    if args.ddp_find_unused_parameters is None:
        args.ddp_find_unused_parameters = False  # all are used; looking for others costs a traversal a step
    args.dataloader_pin_memory = args.dataloader_pin_memory and args.device.type != "cpu"
    trainer, datasets = task.build_trainer(model, tokenizer, data)
    for callback in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(ReadableLines() if args.disable_tqdm else ReadableProgress())
    if args.push_to_hub:
        trainer.add_callback(PushWhole(trainer))
    return trainer, datasets


# ---- reports ----
def say_what_is_trained(task: Task, data, tokenizer, model) -> None:
    recipe = task.recipe
    task.say(f"{recipe.name}  {recipe.run.description}", "bold")
    task.say(f"{task.describe(data)}   vocabulary: {len(tokenizer):,}")
    task.say(
        f"model: {task.describe_model(model.config)}, "
        f"{sum(p.numel() for p in model.parameters()):,} parameters   output: {recipe.training.output_dir}"
    )


def is_main_process(recipe: Recipe) -> bool:
    return recipe.training.process_index == 0


def environment(args) -> dict[str, Any]:
    """What a reader needs to judge a number: versions, device, threads, processes."""
    device = torch.cuda.get_device_name(args.device) if args.device.type == "cuda" else platform.machine()
    versions = {name: importlib.metadata.version(name) for name in ("rnn-zoo", "torch", "transformers", "accelerate")}
    return {
        **versions,
        "python": platform.python_version(),
        "device": f"{args.device.type} ({device})",
        "threads": torch.get_num_threads(),
        "processes": args.world_size,
        "commit": source_commit(),
    }


def source_commit() -> str | None:
    """The commit of the sources that run, with `-dirty` where they have changed since; `None` outside a checkout."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    describe = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--match=", "--dirty"]
    try:
        return subprocess.run(describe, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no git, or a folder that is another user's
        return None


def history(logged: list[dict[str, float]]) -> list[dict[str, float]]:
    """Of what `Trainer` logged the losses and scores, for the learning curve."""
    clocks = ("runtime", "_per_second")
    rows = ({k: v for k, v in row.items() if not k.endswith(clocks)} for row in logged if "train_loss" not in row)
    return [row for row in rows if "loss" in row or "eval_loss" in row]


def say_how_to_go_on(task: Task, out: Path, metrics: dict[str, Any]) -> None:
    baseline = metrics.get("baseline")
    for name in ("validation", "test"):
        if name in metrics:
            task.say(f"{name}: {task.result(metrics[name])}", "bold")
            if baseline and name in baseline["splits"]:
                task.say(f"  {baseline['name']}: {task.result(baseline['splits'][name])}")
    if metrics["published"]:
        task.say(f"to compare with: {metrics['published']}")
    task.say(f"trained in {metrics['train']['seconds']:.0f} s; model, tokenizer and metrics.json are in {out}")
    task.say(task.next_command(str(out)))


# ---- evaluation of a checkpoint ----
def evaluate(checkpoint: Path | str, split: str, flags: list[str], revision: str | None = None) -> dict[str, Any]:
    """Measures a checkpoint on a split of the data that its recipe names, or that `flags` name instead.

    Args:
        checkpoint: a folder, or a name on the Hub.
        split: `train`, `validation` or `test`.
        flags: of the recipe, as on the command line.
        revision: branch, tag or commit of a model on the Hub [`main`].

    Raises:
        UserError: if it is no checkpoint of ours, or the data has no such split.
        HubError: if the Hub or the way to it fails.
    """
    folder = folder_of(checkpoint, revision)
    recipe_file = folder / RECIPE_FILE
    if not recipe_file.is_file():
        raise UserError(f"{checkpoint}: holds no {RECIPE_FILE}, so its data is unknown")
    recipe, trained = read_recipe(recipe_file, flags), read_recipe(recipe_file)
    decided = {*recipe.model, *vars(recipe.spelling), *TASKS[recipe.run.task].decided}
    decided |= {"min_frequency", "max_vocab_size", "baseline"}
    changed = sorted(key for key in decided if recipe.values.get(key) != trained.values.get(key))
    if changed:
        raise UserError(f"{changed[0]}: the checkpoint has decided that; flags of evaluate name data and batch sizes")
    task = make_task(recipe)
    model, tokenizer = load(folder, recipe.run.task)
    data = task.load_data(only=split)
    if split not in data:
        raise UserError(f"split={split!r}: the data has {', '.join(data)}")
    data = {split: data[split]}
    task.adopt(model, data)
    recipe.training.output_dir = str(folder)
    recipe.training.eval_strategy = "no"  # which in training needs a validation part
    recipe.training.push_to_hub = False
    recipe.training.report_to = []
    trainer, datasets = build_trainer(task, model, tokenizer, data)
    trainer.remove_callback(ReadableLines)  # or what is made of it
    return task.measure(trainer, datasets, split)


def load(checkpoint: Path | str, task: str, revision: str | None = None):
    """A model of ours for a task, and its tokenizer, from a folder or the Hub.

    Raises:
        UserError: if there is none.
        HubError: if the Hub or the way to it fails.
    """
    kind = TASKS[task]
    return load_checkpoint(checkpoint, kind.auto_class, kind.model_class, kind.noun, revision)


def warn(message: str) -> None:
    print(f"rnn-zoo: {message}", file=sys.stderr)
