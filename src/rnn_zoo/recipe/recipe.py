"""A recipe: one YAML file that says all of a training run. Every key is also a flag of the command line.

The keys are the names of `Seq2SeqTrainingArguments`, of the model's configuration, of `DataArguments`, of
`RunArguments`, and of the task's own arguments; no name stands in two of them. A value in the file is read by the same
parser as a flag, so that both fail alike.
"""

import dataclasses
import types
import typing
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import yaml
from transformers import HfArgumentParser, PreTrainedConfig, Seq2SeqTrainingArguments, TrainingArguments

from ..data.keys import DataArguments
from ..errors import UserError, told
from ..hub import LOG_IN, check_branch, check_repo_id
from ..models.keys import keys_of, one_of
from ..models.ranges import SHARE, Range, first_refusal, is_finite
from ..ranges import ranges_of
from ..tasks import TASKS
from ..tasks.task import Task
from ..training.regularization import RegularizationArguments, check_regularization
from ..training.spelling import SpellingArguments
from ..training.transfer import TransferArguments, check_transfer
from ..yaml_files import read_entries

# Of the numbers of TrainingArguments; those that are not named here must be finite.
TRAINING_RANGES = {
    **dict.fromkeys(
        ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"), Range(1)
    ),
    **dict.fromkeys(("eval_accumulation_steps", "torch_empty_cache_steps", "dataloader_prefetch_factor"), Range(1)),
    **dict.fromkeys(("ddp_bucket_cap_mb", "ddp_timeout", "generation_num_beams", "generation_max_length"), Range(1)),
    **dict.fromkeys(("learning_rate", "weight_decay", "max_grad_norm", "num_train_epochs", "warmup_steps"), Range(0)),
    **dict.fromkeys(("logging_steps", "eval_steps", "eval_delay", "save_steps", "save_total_limit"), Range(0)),
    **dict.fromkeys(("adam_beta1", "adam_beta2", "label_smoothing_factor"), SHARE),
    **dict.fromkeys(("seed", "data_seed"), Range(0, 2**32 - 1)),
    **dict.fromkeys(("max_steps", "local_rank"), Range(-1)),
    "adam_epsilon": Range(0, above=True),
    "neftune_noise_alpha": Range(0),
    "dataloader_num_workers": Range(0, 1024),
}

# Of a checkpoint that somebody else has made, `evaluate` and the card use these training keys and all that are none: a
# checkpoint chooses no device, engine, service or output folder. Those of `ENGINES` are named where they are left out,
# as others than them change nothing in an evaluation.
USED_OF_TRAINING = {
    *("per_device_train_batch_size", "per_device_eval_batch_size", "eval_accumulation_steps", "seed"),
    *("label_smoothing_factor", "predict_with_generate", "generation_max_length", "generation_num_beams"),
}
ENGINES = {
    *("accelerator_config", "auto_find_batch_size", "bf16_full_eval", "debug", "deepspeed", "dispatch_batches", "fsdp"),
    *("dataloader_num_workers", "fp16_full_eval", "fsdp_config", "generation_config", "parallelism_config", "tf32"),
    *("torch_compile", "torch_compile_backend", "torch_compile_mode", "use_cpu", "use_liger_kernel", "use_mps_device"),
    *("ddp_backend", "local_rank", "hub_token", "report_to", "logging_dir", "run_name", "trackio_space_id"),
}

# Keys that were meant for one run, and are not kept with its checkpoint.
ONCE = {"resume_from_checkpoint", "overwrite_output_dir", "ddp_backend"}


@dataclass
class RunArguments:
    """What is trained, and what it is compared with."""

    task: str = field(default="causal_lm", metadata={"help": f"What the model is for: {', '.join(TASKS)}."})
    description: str = field(default="", metadata={"help": "One line for `rnn-zoo list`."})
    published: str | None = field(
        default=None, metadata={"help": "The published number to compare with, and where it stands."}
    )
    overwrite_output_dir: bool = field(
        default=False, metadata={"help": "Replace the checkpoint that output_dir already holds."}
    )
    baseline: str = field(
        default="none",
        metadata={
            "help": "What is trained and measured beside the model: none, crfsuite (token_classification), tfidf or "
            "tfidf_characters (sequence_classification)."
        },
    )


@dataclass
class CardArguments:
    """What the model's card says that no number can; kept with the checkpoint."""

    license: str | None = field(
        default=None, metadata={"help": "Licence of the trained weights, by its name on the Hub, as cc-by-4.0."}
    )
    language: list[str] | None = field(default=None, metadata={"help": "Languages of the texts, as en hi."})
    data_name: str | None = field(default=None, metadata={"help": "What people call the data, as WikiText-2."})
    data_source: str | None = field(
        default=None,
        metadata={"help": "Whose data it is, where it comes from and under which licence, in sentences."},
    )
    example: str | None = field(default=None, metadata={"help": "A text with which the card shows how to use it."})
    limits: str | None = field(
        default=None, metadata={"help": "What the model is not for, and the biases that were seen, in sentences."}
    )


def own_fields(config_class: type[PreTrainedConfig]) -> dict[str, dataclasses.Field]:
    """The fields of a configuration of ours that a recipe may set."""
    keys = {name for name, one in keys_of(config_class).items() if one.given_by == "recipe"}
    return {f.name: f for f in dataclasses.fields(config_class) if f.name in keys}


def model_arguments() -> type:
    """The keys of all configurations as a dataclass that `HfArgumentParser` can read.

    What two configurations have in common means the same, and has the same default, in both.
    """
    fields: dict[str, tuple[str, Any, Any]] = {}
    for config_class in CONFIGS:
        for name, config_field in own_fields(config_class).items():
            kind: Any = config_field.type
            if typing.get_origin(kind) is types.UnionType:  # float | int is a float on the command line
                kinds = typing.get_args(kind)
                kind = float if float in kinds else kinds[0] | None
            about = config_field.metadata["key"]
            known = field(default=config_field.default, metadata={"help": about.help.replace("%", "%%")})
            if about.within is not None:
                kind = Annotated[kind, about.within]
            fields.setdefault(name, (name, kind, known))
    return dataclasses.make_dataclass("ModelArguments", list(fields.values()))


CONFIGS: tuple[type[PreTrainedConfig], ...] = tuple(dict.fromkeys(task.config_class for task in TASKS.values()))
ModelArguments = model_arguments()
TASK_GROUPS: tuple[type, ...] = tuple(dict.fromkeys(task.arguments_class for task in TASKS.values()))
GROUPS: tuple[type, ...] = (
    *(RunArguments, CardArguments, DataArguments, TransferArguments, RegularizationArguments, SpellingArguments),
    *(*TASK_GROUPS, ModelArguments, Seq2SeqTrainingArguments),
)
RANGES: dict[str, Range] = {
    name: allowed for group in GROUPS for name, allowed in ranges_of(group, TRAINING_RANGES).items()
}
# What the training arguments of encoder-decoders have beyond the others'.
GENERATION_KEYS = {f.name for f in dataclasses.fields(Seq2SeqTrainingArguments)} - {
    f.name for f in dataclasses.fields(TrainingArguments)
}


@dataclass
class Recipe:
    """A recipe, read and checked."""

    name: str
    run: RunArguments
    card: CardArguments
    data: DataArguments
    transfer: TransferArguments
    regularization: RegularizationArguments
    spelling: SpellingArguments
    task_arguments: Any  # an instance of `TASKS[run.task].arguments_class`
    model: dict[str, Any]
    training: Seq2SeqTrainingArguments
    values: dict[str, list[str]]  # every key that was set, as it was written
    command: list[str]  # the command line that asked for it

    def config(self, **decided) -> Any:
        """The model's configuration, with what the data has decided; what it refuses becomes a `UserError`."""
        try:
            return TASKS[self.run.task].config_class(**self.model | decided)
        except Exception as error:
            if type(error).__module__.startswith("huggingface_hub"):
                raise UserError(str(error).splitlines()[-1].split("Error: ", 1)[-1]) from error
            raise

    def save(self, path: Path) -> None:
        """Writes the keys that were set, so that `read_recipe` gives the same recipe again (but for `ONCE`)."""
        plain = {key: value[0] if len(value) == 1 else value for key, value in self.values.items() if key not in ONCE}
        path.write_text(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), encoding="utf-8")


class RecipeParser(HfArgumentParser):
    """Raises `UserError` instead of leaving the process, and takes no abbreviations."""

    def __init__(self):
        super().__init__(GROUPS, prog="rnn-zoo train RECIPE", allow_abbrev=False, add_help=False)

    def error(self, message: str):
        raise UserError(message.removeprefix("argument "))

    def keys(self) -> set[str]:
        """The names of all keys."""
        return {f.name for group in GROUPS for f in dataclasses.fields(group) if f.init}

    def switches(self) -> set[str]:
        """The keys that are true or false."""
        hints = [typing.get_type_hints(group) for group in GROUPS]
        return {name for hint in hints for name, kind in hint.items() if kind in (bool, bool | None)} & self.keys()


def recipe_folders() -> list[Path]:
    """Where recipes are looked for: inside the installed package, or beside the sources."""
    here = Path(__file__).resolve()
    return [folder for folder in (here.parents[1] / "recipes", here.parents[3] / "recipes") if folder.is_dir()]


def recipe_files() -> dict[str, Path]:
    """The recipes by name."""
    return {path.stem: path for folder in reversed(recipe_folders()) for path in sorted(folder.glob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """The file of a recipe, by its name or its path.

    Raises:
        UserError: with the nearest names.
    """
    files = recipe_files()
    if name in files:
        return files[name]
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise UserError(f"{name}: no such file")
    nearest = get_close_matches(name, files, n=3, cutoff=0.4)
    guess = f"did you mean {' or '.join(nearest)}? " if nearest else ""
    raise UserError(f"recipe {name!r}: unknown; {guess}(`rnn-zoo list` shows all; a file of your own ends in .yaml)")


def read_values(path: Path, known: set[str]) -> dict[str, tuple[int, list[str]]]:
    """Key -> (line, values as written). Scalars are not interpreted: `1e-3` means what it means as a flag.

    Raises:
        UserError: for an unknown key, a list without values, and as `read_entries` does.
    """
    values: dict[str, tuple[int, list[str]]] = {}
    for key, (line, written, is_list) in read_entries(path).items():
        where = f"{path}, line {line}"
        if key not in known:
            raise UserError(f"{where}: {unknown_key(key, known)}")
        if is_list and not written:
            raise UserError(f"{where}: {key}: an empty list says nothing: leave the key out")
        for value in written if len(written) > 1 else []:
            if value.startswith("-") and not is_numeric(value):
                raise UserError(f"{where}: {key}: {value!r} in a list would be taken for a flag")
        if written:
            values[key] = (line, written)
    return values


def is_numeric(text: str) -> bool:
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def unknown_key(key: str, known: set[str]) -> str:
    nearest = get_close_matches(key, known, n=1)
    return f"unknown key {key!r}" + (f"; did you mean {nearest[0]!r}?" if nearest else "")


def read_recipe(path: Path, flags: list[str] | None = None, of_checkpoint: bool = False) -> Recipe:
    """Reads a recipe file and the flags that override it.

    Args:
        path: the YAML file.
        flags: `["--key", "value", ...]`, underscores or hyphens.
        of_checkpoint: whether it is that of a checkpoint that somebody else may have made: then of the training keys in
            the file only `USED_OF_TRAINING` become settings; `values` still has all.

    Raises:
        UserError: for an unknown key, a value of the wrong type or outside its range; with file and line, or the flag.
    """
    parser = RecipeParser()
    known = parser.keys()
    values: dict[str, list[str]] = {}
    for key, (line, value) in read_values(path, known).items():
        try:
            _, left_over = parser.parse_known_args(as_arguments(key, value))
            if left_over:
                raise UserError(f"{key} takes one value, not {len(value)}")
        except UserError as error:
            raise UserError(f"{path}, line {line}: {error}") from error
        values[key] = value
    given = flag_values(flags or [], known, parser.switches())
    values |= given
    left_out = training_keys() - USED_OF_TRAINING - {*given} if of_checkpoint else set()
    arguments = [
        argument for key, value in values.items() if key not in left_out for argument in as_arguments(key, value)
    ]
    check_ranges(vars(parser.parse_known_args(arguments)[0]))
    try:
        *groups, unknown = parser.parse_args_into_dataclasses(arguments, return_remaining_strings=True)
    except UserError:
        raise
    except Exception as error:  # whatever TrainingArguments, and what it asks, say of a value
        raise UserError(told(error)) from error
    if unknown:
        raise UserError(f"unexpected argument {unknown[0]!r}")
    run, card, data, transfer, regularization, spelling, *of_tasks, model, training = groups
    own = check_task(run, values)
    task_arguments = next(group for group in of_tasks if isinstance(group, own.arguments_class))
    check_nested(training)
    if training.label_names not in (None, ["labels"]):
        raise UserError(f"label_names={' '.join(training.label_names)}: must be labels, models here have no others")
    check_hub(training)
    check_transfer(transfer, training)
    command = ["rnn-zoo", "train", path.stem if path in recipe_files().values() else str(path), *(flags or [])]
    settings = {name: getattr(model, name) for name in own_fields(own.config_class)}
    check_regularization(regularization, training, settings.get("backprop_length"))
    recipe = Recipe(
        *(path.stem, run, card, data, transfer, regularization, spelling, task_arguments),
        *(settings, training, values, command),
    )
    own.run_class.check(recipe)
    return recipe


def training_keys() -> set[str]:
    """The names of the keys that are those of the library's training arguments."""
    return {f.name for f in dataclasses.fields(Seq2SeqTrainingArguments)}


def check_task(run: RunArguments, values: Collection[str]) -> Task:
    """The task by its name; no key that was set may mean nothing to it.

    Raises:
        UserError: for an unknown task or baseline, or a key of another task.
    """
    try:
        one_of("task", run.task, list(TASKS))
        task = TASKS[run.task]
    except ValueError as error:
        raise UserError(str(error)) from error
    known = ["none", *task.baselines]
    if run.baseline not in known:
        raise UserError(f"baseline={run.baseline!r}: unknown to the task {run.task} (choose from {', '.join(known)})")
    own = {f.name for f in dataclasses.fields(task.arguments_class)}
    others = {f.name for group in TASK_GROUPS for f in dataclasses.fields(group)} - own
    others |= {name for config_class in CONFIGS for name in own_fields(config_class)} - own_fields(
        task.config_class
    ).keys()
    others |= set() if task.generates else GENERATION_KEYS
    if not task.transfers:
        groups = (TransferArguments, RegularizationArguments, SpellingArguments)
        others |= {f.name for group in groups for f in dataclasses.fields(group)}
    for key in values:
        if key in others | task.run_class.foreign_keys:
            raise UserError(f"{key}: is no key of the task {run.task}")
    return task


def as_arguments(key: str, values: list[str]) -> list[str]:
    return [f"--{key}={values[0]}"] if len(values) == 1 else [f"--{key}", *values]


def flag_values(flags: list[str], known: set[str], switches: set[str]) -> dict[str, list[str]]:
    """Key -> values of each flag: `--key value`, `--key=value`, `--switch`, `--no_switch`; hyphens are underscores.

    `--resume_from_checkpoint` without a value means the last checkpoint.

    Raises:
        UserError: for a key that no recipe has.
    """
    found: dict[str, list[str]] = {}
    place = 0
    while place < len(flags):
        name, has_value, value = flags[place].partition("=")
        if not name.startswith("--"):
            raise UserError(f"unexpected argument {flags[place]!r}; flags are --key value")
        key = name.removeprefix("--").replace("-", "_")
        place += 1
        values = [value] if has_value else []
        while not has_value and place < len(flags) and not flags[place].startswith("--"):
            values.append(flags[place])
            place += 1
        if key not in known and key.removeprefix("no_") in switches and not values:
            key, values = key.removeprefix("no_"), ["false"]
        if key not in known:
            raise UserError(unknown_key(key, known))
        if not values and key in switches:
            values = ["true"]
        if not values and key == "resume_from_checkpoint":
            values = ["last"]
        found[key] = values
    return found


def check_hub(training: TrainingArguments) -> None:
    """What a push needs, and what must not stand in a file.

    Raises:
        UserError: for a token, or a push to no repository.
    """
    if training.hub_token is not None:
        raise UserError(
            f"hub_token: a token stands in no recipe and on no command line, where others read it: {LOG_IN}"
        )
    if training.push_to_hub:
        if training.hub_model_id is None:
            raise UserError("push_to_hub: needs hub_model_id, the OWNER/NAME on the Hub")
        check_repo_id(training.hub_model_id)
        check_branch(training.hub_revision)


def check_ranges(values: dict[str, Any]) -> None:
    """Looks at every number, before anything is made of it.

    Raises:
        UserError: for the first that is out of its range.
    """
    if refusal := first_refusal(values, RANGES):
        raise UserError(refusal)


def check_nested(training: TrainingArguments) -> None:
    """The same for numbers within a value, as of `lr_scheduler_kwargs`: each must be finite."""
    for key, value in vars(training).items():
        for name, one in numbers_in(value, key):
            if not is_finite(one):
                raise UserError(f"{name}={one}: must be a number that is finite")


def numbers_in(value: Any, name: str) -> Iterator[tuple[str, float]]:
    """Every number in a dictionary, in dictionaries and lists within it, or in a text of the form `key=1,other=2`."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from numbers_in(one, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for one in value:
            yield from numbers_in(one, name)
    elif isinstance(value, int | float):
        yield name, value
    elif name == "optim_args" and isinstance(value, str):
        for part in value.split(","):
            key, _, text = part.partition("=")
            try:
                yield f"{name}.{key.strip()}", float(text)
            except ValueError:  # no number, as the name of a dtype
                continue
