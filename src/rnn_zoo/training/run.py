"""From a recipe to a checkpoint: data -> tokenizer -> model -> trainer -> evaluation -> files one can load."""

import importlib.metadata
import json
import math
import platform
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.panel import Panel
from rich.text import Text
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    EvalPrediction,
    GenerationConfig,
    PreTrainedTokenizerBase,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from ..data.causal_lm import build_tokenizer, load_texts, rows_of, stream_of
from ..data.token_stream import LaneDataset, TokenStream
from ..errors import UserError
from ..models.modeling_causal_lm import RnnForCausalLM
from .callbacks import KeepGenerationConfig, OnTrainBegin, ReadableProgress, StopOnInterrupt
from .metrics.python_lines import accepted_share
from .recipe import Recipe, read_recipe
from .trainer import TruncatedBpttTrainer

RECIPE_FILE = "recipe.yaml"
METRICS_FILE = "metrics.json"
SAMPLE_ROWS = 8  # texts sampled at once for a share that a single text would leave to chance

console = Console(highlight=False)


class Interrupted(Exception):
    """Training stopped by a signal, after its checkpoint was saved."""


def train(recipe: Recipe) -> dict[str, Any]:
    """Runs a recipe and leaves in `output_dir` a model, its tokenizer, the recipe and `metrics.json`.

    Returns:
        What `metrics.json` holds.

    Raises:
        UserError: for a mistake in the recipe, the data or the folders; nothing is written in that case.
        Interrupted: after Ctrl-C; the last checkpoint can be resumed.
    """
    args, out = recipe.training, prepare_output(recipe)
    resume = find_resume(recipe)
    set_seed(args.seed)
    texts = load_texts(recipe.data)
    tokenizer = AutoTokenizer.from_pretrained(resume) if resume else build_tokenizer(texts["train"], recipe.data)
    model = build_model(recipe, tokenizer)
    first_step = check_resume(resume, model.config) if resume else 0
    say_what_is_trained(recipe, texts, tokenizer, model)
    trainer, datasets = build_trainer(recipe, model, tokenizer, texts)
    stop = StopOnInterrupt()
    trainer.add_callback(stop)

    if not resume and is_main_process(recipe):
        trainer.add_callback(OnTrainBegin(lambda: clear_output(out)))  # not before Trainer has accepted all settings
    result = trainer.train(resume_from_checkpoint=resume)
    if stop.interrupted:
        again = {"output_dir": str(out), "resume_from_checkpoint": "last"}
        command = recipe.command + [f"--{key}={value}" for key, value in again.items() if key not in recipe.values]
        raise Interrupted(f"stopped at step {trainer.state.global_step}; go on with: {shlex.join(command)}")

    metrics: dict[str, Any] = {
        "recipe": recipe.name,
        "published": recipe.run.published,
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": trainer.state.global_step,
        "train": {"loss": result.training_loss, "seconds": result.metrics["train_runtime"]},
    }
    if isinstance(datasets["train"], TokenStream):
        tokens = args.per_device_train_batch_size * args.world_size * args.gradient_accumulation_steps
        tokens *= recipe.data.bptt_length * (trainer.state.global_step - first_step)
        metrics["train"]["tokens_per_second"] = tokens / result.metrics["train_runtime"]
    metrics |= {name: measure(trainer, data, name) for name, data in datasets.items() if name != "train"}
    metrics["environment"] = environment(args)
    trainer.save_model(str(out))
    if trainer.is_world_process_zero():
        tokenizer.save_pretrained(out)
        recipe.save(out / RECIPE_FILE)
        write_metrics(out, metrics)
        metrics["samples"] = show_samples(recipe, model, tokenizer, texts)
        write_metrics(out, metrics)
        say_how_to_go_on(out, metrics)
    return metrics


# ---- folders ----
def prepare_output(recipe: Recipe) -> Path:
    """The output folder, `runs/<recipe>` by default; one that already holds a model must be asked for."""
    args = recipe.training
    if not args.output_dir or args.output_dir == "trainer_output":
        args.output_dir = str(Path("runs") / recipe.name)
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
]


def check_resume(checkpoint: str, config) -> int:
    """Refuses to go on with a checkpoint in a model of another architecture; returns the step it was written at."""
    saved = json.loads((Path(checkpoint) / "config.json").read_text(encoding="utf-8"))
    for name in ARCHITECTURE:
        if saved.get(name) != getattr(config, name):
            raise UserError(
                f"{name}={getattr(config, name)!r}, but {checkpoint} was trained with {saved.get(name)!r}: resume with "
                "the flags of the first run"
            )
    return json.loads((Path(checkpoint) / "trainer_state.json").read_text(encoding="utf-8"))["global_step"]


def clear_output(out: Path) -> None:
    """Removes what an earlier run left, so that an old checkpoint is not taken for one of the new run."""
    for folder in out.glob("checkpoint-*"):
        shutil.rmtree(folder)
    for name in ("config.json", "model.safetensors", METRICS_FILE, RECIPE_FILE):
        (out / name).unlink(missing_ok=True)


def write_metrics(out: Path, metrics: dict[str, Any]) -> None:
    (out / METRICS_FILE).write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


# ---- building blocks ----
def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> RnnForCausalLM:
    """A new model for the tokenizer's vocabulary, with a generation configuration that suits it."""
    config = recipe.config(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        unk_token_id=tokenizer.unk_token_id,
    )
    try:
        model = RnnForCausalLM(config)
    except ValueError as error:
        raise UserError(str(error)) from error
    # A stream has no <bos>: there a text begins as after a line end, and it ends only where it is cut.
    start = end = None
    if recipe.data.examples == "stream":
        ids = tokenizer("\n", add_special_tokens=False)["input_ids"]
        start = ids[0] if len(ids) == 1 and ids[0] != tokenizer.unk_token_id else None
    else:
        end = tokenizer.eos_token_id
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=0.8,
        top_k=0,  # temperature alone shapes the samples; the library's own default cuts them to the 50 likeliest
        max_new_tokens=500 if recipe.data.examples == "stream" else 100,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=start if start is not None else tokenizer.bos_token_id,
        eos_token_id=end,
    )
    return model


def build_trainer(recipe: Recipe, model, tokenizer, texts: dict[str, str]) -> tuple[Trainer, dict[str, Any]]:
    """The trainer for streams or for lines, and the data of each split."""
    args = recipe.training
    args.disable_tqdm = bool(args.disable_tqdm)
    args.remove_unused_columns = False
    args.use_cache = True  # Trainer copies it into the model's configuration, and so into the checkpoint
    if args.ddp_find_unused_parameters is None:
        args.ddp_find_unused_parameters = False  # all are used; looking for others costs a traversal a step
    args.dataloader_pin_memory = args.dataloader_pin_memory and args.device.type != "cpu"
    if recipe.data.examples == "stream":
        datasets: dict[str, Any] = {name: stream_of(text, tokenizer) for name, text in texts.items()}
        lanes = args.per_device_train_batch_size * args.world_size * args.gradient_accumulation_steps
        check_lanes(datasets, lanes, args.per_device_eval_batch_size * args.world_size, recipe.data.bptt_length)
        trainer: Trainer = TruncatedBpttTrainer(
            model,
            args,
            train_dataset=datasets["train"],
            eval_dataset=datasets["validation"],
            bptt_length=recipe.data.bptt_length,
            state_reset_probability=recipe.data.state_reset_probability,
            processing_class=tokenizer,
        )
    else:
        datasets = {name: rows_of(text, tokenizer) for name, text in texts.items()}
        trainer = Trainer(
            model,
            args,
            train_dataset=datasets["train"],
            eval_dataset=datasets["validation"],
            data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
            processing_class=tokenizer,
            compute_metrics=mean_over_tokens,
            preprocess_logits_for_metrics=row_likelihoods,
        )
    for callback in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(ReadableProgress())
    trainer.add_callback(KeepGenerationConfig(model.generation_config))
    return trainer, datasets


def check_lanes(datasets: dict[str, TokenStream], train_lanes: int, eval_lanes: int, bptt_length: int) -> None:
    """Says at once, not after hours, that a split is too short for its lanes."""
    for name, stream in datasets.items():
        try:
            LaneDataset(stream, train_lanes if name == "train" else eval_lanes, bptt_length)
        except UserError as error:
            option = "per_device_train_batch_size" if name == "train" else "per_device_eval_batch_size"
            raise UserError(f"{name}: {error} (--{option})") from error


def row_likelihoods(logits, labels: torch.Tensor) -> torch.Tensor:
    """`logits (B, T, V)`, `labels (B, T)` -> for each row its negative log-likelihood and its targets, `(B, 2)`."""
    scores = logits[0] if isinstance(logits, tuple) else logits
    targets = labels[:, 1:]
    nats = torch.nn.functional.cross_entropy(
        scores[:, :-1].transpose(1, 2).float(), targets, ignore_index=-100, reduction="none"
    )
    return torch.stack([nats.sum(1), (targets != -100).sum(1).float()], dim=1)


def mean_over_tokens(prediction: EvalPrediction) -> dict[str, float]:
    """The mean over all tokens; Trainer's own mean over batches would weigh short rows more."""
    nats, targets = prediction.predictions.sum(0).tolist()
    loss = nats / targets
    return {"loss": loss, "perplexity": math.exp(loss), "bits_per_token": loss / math.log(2), "tokens": int(targets)}


# ---- reports ----
def say_what_is_trained(recipe: Recipe, texts: dict[str, str], tokenizer, model) -> None:
    if not is_main_process(recipe):
        return
    sizes = ", ".join(f"{name} {len(text):,}" for name, text in texts.items())
    config = model.config
    console.print(f"[bold]{recipe.name}[/bold]  {recipe.run.description}")
    console.print(f"characters: {sizes}   vocabulary: {len(tokenizer):,}")
    console.print(
        f"model: {config.num_hidden_layers} x {config.hidden_size} {config.cell_type}, "
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
    }


def sample(model, tokenizer, prompt: str, rows: int, **options) -> list[str]:
    """Texts that begin with `prompt`, an empty one with the model's own beginning; `<eos>` and padding left out."""
    device = model.device
    if prompt:
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"].to(device)
    else:
        ids = torch.full((1, 1), model.generation_config.bos_token_id, device=device)
    output = model.generate(input_ids=ids.expand(rows, -1), do_sample=True, **options)
    hidden = hidden_ids(model, tokenizer)
    texts = [[i for i in row if i not in hidden] for row in output[:, ids.shape[1] :].tolist()]
    return [prompt + text for text in tokenizer.batch_decode(texts)]


def hidden_ids(model, tokenizer) -> set[int]:
    """Tokens that are not text: padding, the beginning, and the end where the model stops at it.

    A word tokenizer's `<eos>` inside a stream is a line end, and is shown.
    """
    return {tokenizer.pad_token_id, tokenizer.bos_token_id} | stop_ids(model)


def stop_ids(model) -> set[int]:
    """Tokens at which the model ends a text."""
    stops = model.generation_config.eos_token_id
    return {stops} if isinstance(stops, int) else set(stops or [])


def show_samples(recipe: Recipe, model, tokenizer, texts: dict[str, str]) -> list[dict[str, Any]]:
    """Prints a sample at each temperature; returns them, with the share of acceptable lines where asked for."""
    run = recipe.run
    if run.sample_tokens < 1:
        return []
    model.eval()
    checked = run.sample_check == "python_lines"
    real_share = accepted_share([texts["validation"]]) if checked else None
    prompt = run.sample_prompt if recipe.data.examples == "stream" else ""
    samples: list[dict[str, Any]] = []
    for temperature in run.sample_temperatures:
        rows = sample(
            model,
            tokenizer,
            prompt,
            SAMPLE_ROWS if checked or recipe.data.examples == "lines" else 1,
            temperature=temperature,
            max_new_tokens=run.sample_tokens,
        )
        shown = rows[0] if recipe.data.examples == "stream" else "\n".join(rows)
        samples.append({"temperature": temperature, "text": shown})
        console.print(Panel(Text(shown.strip("\n")), title=f"temperature {temperature}", title_align="left"))
        if checked:
            share = accepted_share(rows)
            samples[-1] |= {"accepted_lines": share, "accepted_lines_of_real_text": real_share}
            if share is None or not real_share:
                console.print("lines that Python's tokenize accepts: no whole line to judge")
            else:
                console.print(
                    f"lines that Python's tokenize accepts: {share:.1%} of {SAMPLE_ROWS} such samples, "
                    f"{real_share:.1%} of real text ({share / real_share:.0%} of it)"
                )
    return samples


def say_how_to_go_on(out: Path, metrics: dict[str, Any]) -> None:
    for name in ("validation", "test"):
        if name in metrics:
            measured = metrics[name]
            bits = measured.get("bits_per_character", measured.get("bits_per_token"))
            console.print(
                f"[bold]{name}: {measured['loss']:.4f} nats a token, {bits:.3f} bits, "
                f"perplexity {measured['perplexity']:.2f}[/bold]"
            )
    if metrics["published"]:
        console.print(f"to compare with: {metrics['published']}")
    console.print(f"trained in {metrics['train']['seconds']:.0f} s; model, tokenizer and metrics.json are in {out}")
    console.print(f"write more with: rnn-zoo generate {out}")


# ---- evaluation of a checkpoint ----
def evaluate(checkpoint: Path, split: str, flags: list[str]) -> dict[str, Any]:
    """Measures a checkpoint on a split of the data that its recipe names, or that `flags` name instead.

    Raises:
        UserError: if the folder is no checkpoint of ours, or the data has no such split.
    """
    recipe_file = checkpoint / RECIPE_FILE
    if not recipe_file.is_file():
        raise UserError(f"{checkpoint}: holds no {RECIPE_FILE}, so its data is unknown")
    recipe, trained = read_recipe(recipe_file, flags), read_recipe(recipe_file)
    changed = [key for key in recipe.model if recipe.values.get(key) != trained.values.get(key)]
    if changed:
        raise UserError(f"{changed[0]}: the checkpoint has decided that; flags of evaluate name data and batch sizes")
    model, tokenizer = load(checkpoint)
    texts = load_texts(recipe.data)
    if split not in texts:
        raise UserError(f"split={split!r}: the data has {', '.join(texts)}")
    recipe.training.output_dir = str(checkpoint)
    trainer, datasets = build_trainer(recipe, model, tokenizer, {"train": texts["train"], "validation": texts[split]})
    trainer.remove_callback(ReadableProgress)
    return measure(trainer, datasets["validation"], split)


def measure(trainer: Trainer, dataset: Any, name: str) -> dict[str, Any]:
    """What `Trainer.evaluate` measures, under names without the split's prefix."""
    measured = trainer.evaluate(dataset, metric_key_prefix=name)
    return {key.removeprefix(f"{name}_"): value for key, value in measured.items() if key != "epoch"}


def load(checkpoint: Path | str):
    """A causal language model of ours and its tokenizer, from a folder or the Hub.

    Raises:
        UserError: if there is none.
    """
    if isinstance(checkpoint, Path) and not (checkpoint / "config.json").is_file():
        raise UserError(f"{checkpoint}: no model there (config.json is missing)")
    try:
        model = AutoModelForCausalLM.from_pretrained(checkpoint)
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{checkpoint}: no language model could be loaded: {reason}") from error
    if not isinstance(model, RnnForCausalLM):
        raise UserError(f"{checkpoint}: holds a {type(model).__name__}, not a recurrent language model")
    return model.eval(), tokenizer


def warn(message: str) -> None:
    print(f"rnn-zoo: {message}", file=sys.stderr)
