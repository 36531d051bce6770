"""A recipe: one YAML file that says all of a training run. Every key is also a flag of the command line."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from transformers import Seq2SeqTrainingArguments, TrainingArguments

from ..data.keys import DataArguments
from ..errors import UserError, told
from ..hub import LOG_IN, check_branch, check_repo_id
from ..models.keys import keys_of
from ..models.ranges import first_refusal, is_finite
from ..tasks import TASKS
from ..training.keys import RegularizationArguments, SpellingArguments, TransferArguments
from .command_line import as_arguments, flag_values
from .file import read_values, recipe_files
from .keys import CardArguments, RunArguments
from .library_keys import LIBRARY_KEYS
from .parser import RecipeParser
from .schema import check_task, keys, ranges


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
        """Writes the keys that were set and are kept, so that `read_recipe` gives the same recipe again."""
        kept = {key for key, one in keys().items() if one.is_kept}
        plain = {key: value[0] if len(value) == 1 else value for key, value in self.values.items() if key in kept}
        path.write_text(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), encoding="utf-8")


def read_recipe(path: Path, flags: list[str] | None = None, of_checkpoint: bool = False) -> Recipe:
    """Reads a recipe file and the flags that override it.

    Args:
        path: the YAML file.
        flags: `["--key", "value", ...]`, underscores or hyphens.
        of_checkpoint: whether it is that of a checkpoint that somebody else may have made: then of the training keys in
            the file only those by which it is measured become settings; `values` still has all.

    Raises:
        UserError: for an unknown key, a value of the wrong type or outside its range; with file and line, or the flag.
    """
    parser = RecipeParser()
    values: dict[str, list[str]] = {}
    for key, (line, value) in read_values(path).items():
        try:
            _, left_over = parser.parse_known_args(as_arguments(key, value))
            if left_over:
                raise UserError(f"{key} takes one value, not {len(value)}")
        except UserError as error:
            raise UserError(f"{path}, line {line}: {error}") from error
        values[key] = value
    given = flag_values(flags or [], parser.switches())
    values |= given
    unused = {key for key, one in LIBRARY_KEYS.items() if of_checkpoint and not one.measures} - {*given}
    arguments = [
        argument for key, value in values.items() if key not in unused for argument in as_arguments(key, value)
    ]
    check_ranges(vars(parser.parse_known_args(arguments)[0]))
    try:
        own, training, unknown = parser.parse_args_into_dataclasses(arguments, return_remaining_strings=True)
    except UserError:
        raise
    except Exception as error:  # whatever TrainingArguments, and what it asks, say of a value
        raise UserError(told(error)) from error
    if unknown:
        raise UserError(f"unexpected argument {unknown[0]!r}")

    def of(kind: type) -> Any:
        return kind(**{name: getattr(own, name) for name in keys_of(kind)})

    run = of(RunArguments)
    task = check_task(run, values)
    check_nested(training)
    if training.label_names not in (None, ["labels"]):
        raise UserError(f"label_names={' '.join(training.label_names)}: must be labels, models here have no others")
    check_hub(training)
    recipe = Recipe(
        name=path.stem,
        run=run,
        card=of(CardArguments),
        data=of(DataArguments),
        transfer=of(TransferArguments),
        regularization=of(RegularizationArguments),
        spelling=of(SpellingArguments),
        task_arguments=of(task.arguments_class),
        model={name: getattr(own, name) for name, one in keys_of(task.config_keys).items() if one.given_by == "recipe"},
        training=training,
        values=values,
        command=["rnn-zoo", "train", path.stem if path in recipe_files().values() else str(path), *(flags or [])],
    )
    task.run_class.check(recipe)
    return recipe


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
    if refusal := first_refusal(values, ranges()):
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
