"""From a recipe to a checkpoint: data -> tokenizer -> model -> trainer -> evaluation -> files one can load."""

import importlib.metadata
import platform
import shlex
import subprocess
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate.utils import broadcast_object_list
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars
from transformers import PrinterCallback, ProgressCallback, set_seed

from .. import hub
from ..card import CURVE_FILE, save_card
from ..checkpoint_checks import check_weights, checked_config, open_tokenizer
from ..checkpoint_files import json_text, no_files_of_checkpoints, read_json, require_finite
from ..checkpoints import METRICS_FILE, RECIPE_FILE, RUNS, folder_of, recipe_of
from ..errors import HubError, RunError, UserError, is_refusal, told
from ..folders import is_there, listing, refused_writes, remove, require_place, write_whole
from ..launchers import asked_processes, launched
from ..output import console, say, warn
from ..recipe.library_keys import LIBRARY_KEYS
from ..recipe.recipe import Recipe, read_recipe
from ..tasks import TASKS
from ..tasks.opening import load
from ..tasks.scores import baselines_of, parts_of, title_of
from ..tasks.task_run import Splits, TaskRun
from ..training.callbacks import OnTrainBegin, ReadableLines, ReadableProgress
from ..training.run_folder import CHECKPOINT, RunFolder, step_of, why_not_written
from ..training.run_trainer import RunTrainer
from ..training.stops import StopEarly
from ..training.together import require_together
from ..training.watching import flop_utilisation, what_runs
from ..training.whole_checkpoints import problem_of
from .resume import AUTO, check_settings, find_checkpoint, kept_of, names_last, set_aside_later

T = TypeVar("T")
LOST = "another process of it has ended"


class Interrupted(Exception):
    """A signal or a time limit ended the run; its last checkpoint was saved before.

    Args:
        message: what to say.
        status: the exit status of the command.
    """

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


def train(recipe: Recipe) -> dict[str, Any]:
    """Runs a recipe and leaves in `output_dir` a model, its tokenizer, the recipe, a card and `metrics.json`, all
    together when they are whole; until then what was there stays.

    Returns:
        What `metrics.json` holds.

    Raises:
        UserError: for a mistake in the recipe, the data or the folders; nothing is written in that case.
        Interrupted: after Ctrl-C and other signals, and a time limit; the last checkpoint can be resumed.
        Diverged: if a loss, a gradient or the weights are not finite; checkpoints of earlier steps are kept.
        RunError: if the training cannot go on otherwise, as on a full disk.
        HubError: if `push_to_hub` fails, before the training or, with all files in `output_dir`, at its end.
    """
    task = make_task(recipe)
    require_together(task.trainer_class, task.parts(), recipe.training)
    out = output_of(recipe)

    def take() -> tuple[Path, Path | None] | None:
        held.enter_context(out.in_use())
        return prepare(recipe, out)

    with StopEarly(recipe.run.max_train_seconds) as stop, lost_processes(), ExitStack() as held:
        found = together(recipe, take)
        if found is None:
            if is_main_process(recipe):
                done = f"{out.path} was trained for {out.record['steps']:,} steps"
                say(f"nothing is left to do: {done}; for more of them: --max_steps, or --num_train_epochs")
            return read_json(out.path / METRICS_FILE)
        place, checkpoint = found
        folder = RunFolder(place)  # `out`, or where the run is that will replace the one in it
        recipe.training.output_dir = str(place)
        try:
            return train_in(task, out, folder, checkpoint, stop)
        except KeyboardInterrupt:
            if not stop.reason:
                raise
            raise Interrupted("stopped before there was anything to save", stop.status) from None


def train_in(
    task: TaskRun, out: RunFolder, folder: RunFolder, checkpoint: Path | None, stop: StopEarly
) -> dict[str, Any]:
    """Trains in `folder`, which is `out` or at the end takes its place; see `train`."""
    recipe, args = task.recipe, task.recipe.training
    if checkpoint is not None:
        check_model(checkpoint, task.task.model_class)
    if recipe.run.baseline != "none":
        task.require_baseline()
    set_seed(args.seed)
    data = task.load_data()
    tokenizer = open_tokenizer(checkpoint, checkpoint) if checkpoint else task.build_tokenizer(data)
    model = task.build_model(data, tokenizer)
    kept = kept_of(recipe, data, model.config)
    if checkpoint is not None:
        check_settings(task, checkpoint, kept, model.config)
    say_what_is_trained(task, data, tokenizer, model, out)
    if args.push_to_hub and is_main_process(recipe):
        hub.prepare_repository(args.hub_model_id, private=bool(args.hub_private_repo), revision=args.hub_revision)
    with refusals(cannot_begin):
        trainer, datasets = build_trainer(task, model, tokenizer, data)
    trainer.kept, trainer.keep_last_state = kept, True
    trainer.add_part(stop)
    if is_main_process(recipe):
        # Not before Trainer has accepted all settings.
        trainer.add_callback(OnTrainBegin(lambda: begin(task, out, folder, checkpoint)))

    hidden = are_progress_bars_disabled()
    try:
        begun = step_of(checkpoint) if checkpoint else 0
        with refusals(lambda reason: training_failed(reason, trainer, folder, begun)):
            result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            if hidden:
                disable_progress_bars()  # again: Trainer ends pushes of its own by enabling them
            stop.reason = stop.reason or trainer.agreed(stop.asked)  # behind the last step, as in its evaluation
            if not stop.reason:
                return finish(task, trainer, datasets, data, result.training_loss, out, folder)
    except KeyboardInterrupt:
        if not stop.reason or not folder.checkpoints():
            raise
    again = {"output_dir": str(out.path), "resume_from_checkpoint": "last"}
    command = recipe.command + [f"--{key}={value}" for key, value in again.items() if key not in recipe.values]
    last = step_of(folder.checkpoints()[0])
    raise Interrupted(f"stopped at step {last}{stop.why}; go on with: {shlex.join(launched(command))}", stop.status)


@contextmanager
def refusals(sentence: Callable[[str], Exception]) -> Iterator[None]:
    """What the libraries below say of settings that only they can judge becomes an error of ours.

    Args:
        sentence: gives that error for what they say.
    """
    try:
        yield
    except (UserError, HubError, RunError, OSError, MemoryError):
        raise
    except Exception as error:
        if has_lost_a_process(error):
            raise sentence(LOST) from error
        if not is_refusal(error):
            raise
        raise sentence(told(error)) from error


@contextmanager
def lost_processes() -> Iterator[None]:
    """Around all of a run: that another process of it is gone is a sentence, whatever this one waits for."""
    try:
        yield
    except (UserError, HubError, RunError):
        raise
    except Exception as error:
        if not has_lost_a_process(error):
            raise
        raise RunError(f"the training ended: {LOST}") from error


def has_lost_a_process(error: Exception) -> bool:
    """Whether a process cannot go on because another one of the same training is gone, or does not answer."""
    kinds = getattr(torch.distributed, "DistError", ())
    words = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")
    return isinstance(error, kinds) or (isinstance(error, RuntimeError) and any(word in str(error) for word in words))


def cannot_begin(reason: str) -> Exception:
    """For a training, or an evaluation, whose settings are refused."""
    if reason == LOST:
        return RunError(f"ended before it began: {LOST}")
    return UserError(f"that cannot begin with these settings: {reason}")


def training_failed(reason: str, trainer: RunTrainer, folder: RunFolder, begun: int) -> Exception:
    """What is refused before the first step is done, with step number `begun` behind it, is a setting; later the
    training has failed."""
    step = trainer.state.global_step
    if step <= begun and reason != LOST:
        return cannot_begin(reason)
    last = folder.checkpoints()
    rest = f"; {last[0].name} is kept: go on with --resume_from_checkpoint" if last else ""
    return RunError(f"the training failed after step {step}: {reason}{rest}")


def check_model(checkpoint: Path, model_class: type) -> None:
    """Raises `UserError` unless a checkpoint holds a model of a class, whole and finite."""
    check_weights(model_class, checked_config(checkpoint, checkpoint), checkpoint, checkpoint)
    require_finite(checkpoint)


@contextmanager
def kept_for_later(out: RunFolder, folder: RunFolder) -> Iterator[None]:
    """Around what is written when the training is done: where the system refuses it, the last checkpoint is left."""
    try:
        with refused_writes():
            yield
    except OSError as error:
        raise RunError(
            f"{why_not_written(out.path, error)}. The training is in {folder.path}: go on with --resume_from_checkpoint"
        ) from error


def finish(
    task: TaskRun,
    trainer: RunTrainer,
    datasets: Splits,
    data: Splits,
    loss: float,
    out: RunFolder,
    folder: RunFolder,
) -> dict[str, Any]:
    """Measures a trained model, and puts it in its place with all that belongs to it."""
    recipe, args, model, tokenizer = task.recipe, task.recipe.training, trainer.model, trainer.processing_class
    steps, seconds = trainer.state.global_step, trainer.seconds
    metrics: dict[str, Any] = {
        "recipe": recipe.name,
        "task": recipe.run.task,
        "published": recipe.run.published,
        "data": task.describe(data),
        "model": task.describe_model(model.config),
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": steps,
        "train": {"loss": loss, "seconds": seconds} | task.speed(datasets, steps, seconds),
    }
    metrics["train"]["peak_memory_bytes"] = trainer.most_memory()
    if trainer.clipping.share is not None:
        metrics["train"]["clipped"] = trainer.clipping.share
    if "tokens_per_second" in metrics["train"]:
        used = flop_utilisation(model, metrics["train"]["tokens_per_second"], args)
        metrics["train"] |= {} if used is None else {"flop_utilisation": used}
    if trainer.kept["changes"]:
        metrics["changes"] = trainer.kept["changes"]
    if args.push_to_hub:
        trainer._finish_current_push()  # which reads what is now written
    staged = folder.writing / "final"
    if trainer.is_world_process_zero():
        folder.stage(staged.name)
    trainer.accelerator.wait_for_everyone()
    with kept_for_later(out, folder):
        trainer.save_model(str(staged), _internal_call=True)
    metrics |= {name: task.measure(trainer, datasets, name) for name in datasets if name != "train"}
    metrics["environment"] = environment(args)
    metrics["history"] = history(trainer.state.log_history)
    if not trainer.is_world_process_zero():
        return metrics
    with kept_for_later(out, folder):
        tokenizer.save_pretrained(staged)
        recipe.save(staged / RECIPE_FILE)
        task.output, task.place = staged, out.path
        if trainer.is_in_pieces:
            model, tokenizer = load(staged, recipe.run.task)
        metrics |= task.finish(model.eval(), tokenizer, data, console)
        if recipe.run.baseline != "none":
            metrics["baseline"] = task.baseline(data)
        write_metrics(staged, metrics)
        save_card(staged, args.hub_model_id)
        folder.publish(staged, steps, asked_for(recipe))
        if trainer.last_state is not None:
            folder.discard(trainer.last_state)
        if folder.path != out.path:
            out.replace_by_next()
    say_how_to_go_on(task, out.path, metrics)
    if args.push_to_hub:
        # With what Trainer's own pushes do not know of: card, recipe, numbers, pictures.
        where = {"private": bool(args.hub_private_repo), "revision": args.hub_revision}
        task.say(f"on the Hub: {hub.push(out.path, args.hub_model_id, **where, message='End of training')}")
    return metrics


def make_task(recipe: Recipe) -> TaskRun:
    """The recipe's task; it speaks in the main process only."""
    speaks = is_main_process(recipe)
    return TASKS[recipe.run.task].run_class(recipe, warn if speaks else ignore, say if speaks else ignore)


def ignore(message: str, style: str | None = None) -> None:
    """Says nothing: another process does."""


# ---- folders ----
def output_of(recipe: Recipe) -> RunFolder:
    """The output folder, `runs/<recipe>` by default.

    Raises:
        UserError: if it is a file, or holds what no run has written.
    """
    args = recipe.training
    given = args.output_dir
    out = RunFolder(Path(RUNS) / recipe.name if not given or given == "trainer_output" else given)
    require_place(out.path, "output_dir")
    if out.path.exists() and not out.path.is_dir():
        raise UserError(f"output_dir={str(out.path)!r} is a file")
    if args.resume_from_checkpoint in (None, False) and not out.is_run():
        require_free(out)
    return out


def prepare(recipe: Recipe, out: RunFolder) -> tuple[Path, Path | None] | None:
    """Where the run writes, and the checkpoint that it goes on from; `None` if nothing is left to do.

    A run that replaces another is in a folder of its own until it is whole.

    Raises:
        UserError: if the output folder holds what no run has written, or a run that is neither to be resumed nor to be
            replaced, or no whole checkpoint to resume from.
    """
    if out.complete_exchange():
        say(f"{out.path}: the new model, which an earlier run had not fully put in its place, is there now")
    wanted = recipe.training.resume_from_checkpoint
    if wanted == AUTO and not (out.record["final"] or out.checkpoints() or out.next.checkpoints()):
        wanted = None
    if wanted not in (None, False):
        goes_on = out.next if out.next.checkpoints() else out
        if goes_on is out and names_last(wanted) and is_done(recipe, out):
            return None
        checkpoint = find_checkpoint(wanted, goes_on, warn)
        parent = checkpoint.parent.resolve()
        folder = goes_on if parent == goes_on.path.resolve() else out
        own = [path.name for path in folder.unlisted_checkpoints() if problem_of(path) is None]
        if parent != folder.path.resolve():
            if out.is_run():
                raise UserError(
                    f"output_dir={str(out.path)!r}: already holds a run, and {checkpoint} is of another one: choose "
                    "another --output_dir"
                )
            require_free(out)
        out.require_ours(predictable(out), ours=own)
        return folder.path, checkpoint
    if not out.is_run():
        require_free(out)  # again: now no other run can begin here
        return out.path, None
    if not recipe.run.overwrite_output_dir:
        if out.record["final"] or out.checkpoints() or out.next.checkpoints():
            raise UserError(
                f"output_dir={str(out.path)!r} already holds a checkpoint: go on with --resume_from_checkpoint, "
                "replace it with --overwrite_output_dir, or choose another --output_dir"
            )
        return out.path, None
    out.require_ours(predictable(out))
    return out.next.path, None


def require_free(out: RunFolder) -> None:
    """Raises `UserError` if a folder holds anything that no run has written."""
    if foreign := out.foreign():
        raise UserError(
            f"output_dir={str(out.path)!r}: holds what no run has written ({listing(foreign)}), so it is left as it "
            "is: choose another --output_dir"
        )


def predictable(out: RunFolder) -> set[str]:
    """Names in a folder that no run has written, and that a run would write."""
    foreign = {*out.foreign()}
    if not foreign:
        return foreign
    pictures = {name for task in TASKS.values() for name in task.pictures}
    others = {*no_files_of_checkpoints(out.path)} - {CURVE_FILE, METRICS_FILE, RECIPE_FILE, *pictures}
    return {name for name in foreign if name not in others or CHECKPOINT.fullmatch(name)}


def asked_for(recipe: Recipe) -> list[float]:
    """How long a recipe trains, as it says it."""
    return [recipe.training.max_steps, recipe.training.num_train_epochs]


def is_done(recipe: Recipe, out: RunFolder) -> bool:
    """Whether the model in a folder was trained as long as the recipe asks for."""
    record, steps = out.record, recipe.training.max_steps
    return record["steps"] is not None and (record["asked"] == asked_for(recipe) or 0 < steps <= record["steps"])


def together(recipe: Recipe, decide: Callable[[], T]) -> T:
    """What the main process decides, in all processes; all of them refuse what it refuses."""
    if recipe.training.world_size == 1:
        return decide()
    found: list[Any] = [None]
    if is_main_process(recipe):
        try:
            found = [(decide(), None)]
        except UserError as error:
            found = [(None, str(error))]
    broadcast_object_list(found)
    decided, refused = found[0]
    if refused is not None:
        raise UserError(refused)
    return decided


def begin(task: TaskRun, out: RunFolder, folder: RunFolder, checkpoint: Path | None) -> None:
    """Makes a folder ready for a run that begins, or goes on."""
    if folder.path != out.path and checkpoint is None:
        remove(folder.path)  # what an earlier attempt to replace the run has left
    remove(folder.writing)
    folder.note()
    if checkpoint is not None:
        set_aside_later(folder, checkpoint, task.warn)


def write_metrics(out: Path, metrics: dict[str, Any]) -> None:
    write_whole(out / METRICS_FILE, json_text(metrics, indent=2) + "\n")


# ---- building blocks ----
def build_trainer(task: TaskRun, model, tokenizer, data):
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
    trainer.add_callback((ReadableLines if args.disable_tqdm else ReadableProgress)(*trainer.work_of_a_step))
    return trainer, datasets


# ---- reports ----
def say_what_is_trained(task: TaskRun, data, tokenizer, model, out: RunFolder) -> None:
    recipe = task.recipe
    task.say(f"{recipe.name}  {recipe.run.description}", "bold")
    task.say(f"{task.describe(data)}   vocabulary: {len(tokenizer):,}")
    task.say(
        f"model: {task.describe_model(model.config)}, "
        f"{sum(p.numel() for p in model.parameters()):,} parameters   output: {out.path}"
    )
    task.say(what_runs(recipe.training))
    if (wanted := asked_processes()) > recipe.training.world_size and recipe.training.device.type == "cpu":
        task.warn(
            f"accelerate was asked for {wanted} processes and has started {recipe.training.world_size}, as it does on "
            f"CPUs: torchrun --nproc_per_node {wanted} -m rnn_zoo train ... --use_cpu true starts them"
        )


def is_main_process(recipe: Recipe) -> bool:
    return recipe.training.process_index == 0


def environment(args) -> dict[str, Any]:
    """What a reader needs to judge a number: versions, device, threads, processes."""
    device = torch.cuda.get_device_name(args.device) if args.device.type == "cuda" else platform.machine()
    from .. import __version__  # also of sources that are not installed

    others = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "accelerate")}
    versions = {"rnn-zoo": __version__} | others
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


def say_how_to_go_on(task: TaskRun, out: Path, metrics: dict[str, Any]) -> None:
    for name in parts_of(metrics):
        task.say(f"{title_of(name)}: {task.result(metrics[name])}", "bold")
        for other in baselines_of(metrics):
            if name in other["splits"]:
                task.say(f"  {other['name']}: {task.result(other['splits'][name])}")
    if metrics["published"]:
        task.say(f"to compare with: {metrics['published']}")
    trained = metrics["train"]
    how = [f"trained in {trained['seconds']:.0f} s", f"{trained['peak_memory_bytes'] / 1e9:.2f} GB of memory"]
    if "clipped" in trained:
        how.append(f"gradient clipped in {trained['clipped']:.0%} of the steps")
    if "flop_utilisation" in trained:
        how.append(f"{trained['flop_utilisation']:.1%} of the operations that the device can do")
    task.say(f"{', '.join(how)}; model, tokenizer and metrics.json are in {out}")
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
    recipe_file = recipe_of(folder, checkpoint)
    own = RunFolder(folder).is_from_here()
    recipe, trained = (read_recipe(recipe_file, given, of_checkpoint=not own) for given in (flags, None))
    if not own:
        named = (flag.partition("=")[0].removeprefix("--").replace("-", "_") for flag in flags)
        check_foreign_recipe(trained, {*named}, checkpoint)
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
    recipe.training._n_gpu = min(recipe.training.n_gpu, 1)  # of several it would make copies for each batch
    with refusals(cannot_begin):
        trainer, datasets = build_trainer(task, model, tokenizer, data)
        trainer.remove_callback(ReadableLines)  # or what is made of it
        return task.measure(trainer, datasets, split)


def check_foreign_recipe(recipe: Recipe, given: Collection[str], checkpoint: Path | str) -> None:
    """Names what of the recipe of a checkpoint that was not trained here is left out.

    Args:
        recipe: of the checkpoint.
        given: the keys that the user has set, in place of the recipe's.
        checkpoint: what a sentence calls it.

    Raises:
        UserError: if the data would be read from a place on this machine that the recipe alone names.
    """
    data = recipe.data
    local = data.dataset_name if data.dataset_name and is_there(Path(data.dataset_name)) else None
    local = data.source if data.data_dir else local
    others = set() if data.data_dir else {"dataset_name", "embedded_data"}  # which come after local files
    if local and not {"data_dir", *others} & {*given}:
        raise UserError(
            f"{checkpoint}: was not trained here, and its recipe takes the data from {local!r} on this machine: say "
            "where the data is, with --data_dir"
        )
    engines = {name for name, one in LIBRARY_KEYS.items() if one.is_engine}
    if left_out := sorted(engines & {*recipe.values} - {*given}):
        warn(f"{checkpoint}: was not trained here, so of its recipe is not used: {', '.join(left_out)}")
