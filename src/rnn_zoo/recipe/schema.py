"""Which keys a recipe has: whose each is, what it may be, and what it is for. Read without torch.

The keys are those of `RunArguments`, `CardArguments`, `DataArguments`, of what classifiers and taggers share, of each
task, of the models' configurations, and of the library's training arguments; no name stands in two of them, but where
two configurations have it in common: then it means the same in both.
"""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches

from ..data.keys import DataArguments
from ..errors import UserError
from ..models.keys import Key, KeyGroup, keys_of, one_of
from ..models.ranges import Range
from ..ranges import ranges_of
from ..tasks import TASKS
from ..tasks.task import Task
from ..training.keys import RegularizationArguments, SpellingArguments, TransferArguments
from .keys import CardArguments, RunArguments
from .library_keys import LIBRARY_KEYS


@dataclass(frozen=True)
class Group:
    """Keys that belong together.

    Args:
        title: what a person calls them.
        kinds: the dataclasses that have them.
        tasks: names of the tasks that have them.
    """

    title: str
    kinds: tuple[type, ...]
    tasks: tuple[str, ...]

    @property
    def fields(self) -> dict[str, dataclasses.Field]:
        """Of each key that a recipe may set; of what two have in common that of the first."""
        found: dict[str, dataclasses.Field] = {}
        for kind in self.kinds:
            own = {name for name, one in keys_of(kind).items() if one.given_by == "recipe"}
            found |= {f.name: f for f in dataclasses.fields(kind) if f.name in own and f.name not in found}
        return found


def groups() -> list[Group]:
    """All keys but the library's, by group, as `rnn-zoo train --help` shows them."""
    every = tuple(TASKS)
    transferring = tuple(name for name, task in TASKS.items() if task.transfers)
    of_them = f"({' and '.join(transferring)})"
    found = [
        Group("the run", (RunArguments,), every),
        Group("the card", (CardArguments,), every),
        Group("the data", (DataArguments,), every),
        Group(f"transfer from a language model {of_them}", (TransferArguments,), transferring),
        Group(f"regularization {of_them}", (RegularizationArguments,), transferring),
        Group(f"words read by their characters {of_them}", (SpellingArguments,), transferring),
    ]
    for kind in dict.fromkeys(task.arguments_class for task in TASKS.values()):
        names = tuple(name for name, task in TASKS.items() if task.arguments_class is kind)
        found.append(Group(f"the task {' and '.join(names)}", (kind,), names))
    configs = tuple(dict.fromkeys(task.config_keys for task in TASKS.values()))
    title = " or ".join(f"{kind.__name__.removesuffix('Keys')}Config" for kind in configs)
    return [*found, Group(f"the model ({title})", configs, every)]


def own_fields() -> dict[str, dataclasses.Field]:
    """Of every key but the library's."""
    return {name: f for group in groups() for name, f in group.fields.items()}


def keys() -> dict[str, Key]:
    """Every key of a recipe."""
    return {name: f.metadata["key"] for name, f in own_fields().items()} | LIBRARY_KEYS


def keys_of_task(task: Task) -> set[str]:
    """The keys that mean something to a task."""
    found = {name for name, one in LIBRARY_KEYS.items() if task.generates or not one.of_generation}
    for group in groups():
        for kind in group.kinds if task.name in group.tasks else ():
            if kind is task.config_keys or not issubclass(kind, KeyGroup):
                found |= {name for name, one in keys_of(kind).items() if means_something(one, task)}
    return found


def means_something(one: Key, task: Task) -> bool:
    """Whether a key of a group that a task has is one of its own."""
    of_head = one.heads is None or task.head_name in one.heads
    return one.given_by == "recipe" and of_head and not (one.of_raw_text and task.reads_words)


def ranges() -> dict[str, Range]:
    """The range of every number; without one of its own any finite number."""
    own = {name: allowed for group in groups() for kind in group.kinds for name, allowed in ranges_of(kind).items()}
    known = {name: own[name] for name in own_fields() if name in own}
    return known | {name: one.within for name, one in LIBRARY_KEYS.items() if one.within is not None}


BY_TASK = {"baseline": "baselines", "embedded_data": "embedded_data"}  # keys whose values a `Task` names, and where


def help_of(name: str) -> str:
    """What a key of ours is for, with what it may be called: where the tasks decide that, by task."""
    about = keys()[name]
    if name == "task":
        return f"{about.help[:-1]}: {', '.join(TASKS)}."
    if name in BY_TASK:
        known = {task: getattr(one, BY_TASK[name]) for task, one in TASKS.items()}
        named = [f"{', '.join(its)} ({task})" for task, its in known.items() if its]
        return f"{about.help[:-1]}: {', '.join(named)}."
    told = all(one in about.help for one in about.names)
    return about.help if told else f"{about.help} One of {', '.join(about.names)}."


def unknown_key(name: str) -> str:
    """The sentence for a key that no recipe has."""
    nearest = get_close_matches(name, keys(), n=1)
    return f"unknown key {name!r}" + (f"; did you mean {nearest[0]!r}?" if nearest else "")


def check_task(run: RunArguments, given: Collection[str]) -> Task:
    """The task by its name; no key that was set may mean nothing to it.

    Raises:
        UserError: for an unknown task or baseline, or a key of another task.
    """
    try:
        one_of("task", run.task, TASKS)
    except ValueError as error:
        raise UserError(str(error)) from error
    task = TASKS[run.task]
    known = ["none", *task.baselines]
    if run.baseline not in known:
        raise UserError(f"baseline={run.baseline!r}: unknown to the task {run.task} (choose from {', '.join(known)})")
    own = keys_of_task(task)
    for name in given:
        if name not in own:
            raise UserError(f"{name}: is no key of the task {run.task}")
    return task
