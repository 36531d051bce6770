"""What a task must say: who it is, and in which of its files each part of it stands.

A task is one folder. Its `__init__.py` holds a `Task`, which is read without torch; all that takes longer stands in the
folder's other files, is named here as `.file:name`, and is imported when somebody asks for it.
"""

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from ..models.modeling_rnn import RnnPreTrainedModel
    from .graph import Graph
    from .task_run import TaskRun


# What the last layer of a head scores, by which weights of other libraries are taken for a model of the task.
NEXT_TOKEN, EACH_TOKEN, WHOLE_TEXT = "next token", "each token", "whole text"


class Score(NamedTuple):
    """A number of a split as people read it.

    Args:
        name: of the number, as `TaskRun.measure` gives it.
        metric: what the Hub calls it.
        title: what a table calls it.
        is_share: whether it is shown in percent.
    """

    name: str
    metric: str
    title: str
    is_share: bool = False


@dataclass(frozen=True)
class Task:
    """A task, as the command line, the page, cards, exports and tests ask for it.

    Args:
        name: the value of the key `task` in a recipe.
        package: of its folder, `__name__` in the folder's `__init__.py`.
        noun: what a sentence calls a model of it.
        head: its class, as `package.module:Class`.
        auto_class: the class of transformers that opens it.
        arguments: the dataclass of the keys that only this task has.
        keys: the dataclass of the keys of its configuration, which is read without torch.
        run: the subclass of `TaskRun`.
        command: of `rnn-zoo`, that uses a model of it.
        command_help: a line on that command.
        flags: reads its flags, without torch: `(argv) -> values`.
        answer: does what they ask for: `(values) -> exit status`.
        tab: shows models of it on the page of `rnn-zoo serve`: `(models by name, turns)`.
        user: the class that uses a model and its tokenizer; it raises `ValueError` for those that it cannot use.
        graphs: what is exported: `(model, letters of a word) -> list[Graph]`.
        scored: what its last layer scores, where `rnn-zoo import` makes models of it (`NEXT_TOKEN`, …).
        pipeline: a pipeline of ours, as `package.module:Class`, and the name under which it is registered.
        documents: gives the texts of labelled data, for language models: `(data, column, only) -> texts of each split`.
        exports: names that `rnn_zoo` has from this folder, and where each stands.
        pipeline_tag: what the Hub calls the task.
        usage: Python that uses a model, for its card; `{model}` stands for where it is, `{trust}` for the argument that
            lets its code run, `{example}` for a text, `{pipeline}` for the name of the pipeline; further words are
            those of `TaskRun.words_of_usage`.
        example: that text, where the recipe names none.
        demo: arguments of `rnn-zoo` that show a model at work, with `{checkpoint}` and `{example}`.
        scores: of the numbers of a split those that the card shows, the most telling first.
        by_kind: a number that a split has of each kind of thing as well, as `f1_NOUN`, which the card shows.
        baselines: what a model can be compared with, by the value of the key `baseline`.
        pictures: files that a run may leave beside the model.
        embedded_data: values of the key `embedded_data`.
        decided: keys that a trained checkpoint has decided, so that its evaluation cannot change them.
        transfers: whether its models can begin with a language model's weights (`TransferArguments`), be trained with
            `RegularizationArguments`, and read words by their characters (`SpellingArguments`).
        reads_words: whether its data is words already, and no text that becomes tokens.
        generates: whether `Seq2SeqTrainingArguments` says more to it than `TrainingArguments`.
    """

    name: str
    package: str
    noun: str
    head: str
    auto_class: str
    arguments: str
    run: str
    command: str
    command_help: str
    pipeline_tag: str
    usage: str
    example: str
    demo: tuple[str, ...]
    scores: tuple[Score, ...]
    flags: str = ".command:read"
    answer: str = ".answers:answer"
    tab: str = ".tab:tab"
    graphs: str = ".graphs:graphs"
    user: str | None = None
    scored: str | None = None
    pipeline: tuple[str, str] | None = None
    documents: str | None = None
    exports: Mapping[str, str] = field(default_factory=dict)
    by_kind: Score | None = None
    baselines: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    embedded_data: tuple[str, ...] = ()
    decided: frozenset[str] = frozenset()
    keys: str = "rnn_zoo.models.keys_rnn:RnnKeys"
    transfers: bool = False
    reads_words: bool = False
    generates: bool = False

    def part(self, reference: str) -> Any:
        """What stands at `.file:name` in the task's folder, or at `package.module:name`."""
        return pkgutil.resolve_name(f"{self.package}{reference}" if reference.startswith(".") else reference)

    @property
    def head_name(self) -> str:
        """The head as a checkpoint names it."""
        return self.head.rpartition(":")[2]

    @property
    def model_class(self) -> "type[RnnPreTrainedModel]":
        return self.part(self.head)

    @property
    def config_class(self) -> "type[PreTrainedConfig]":
        return self.model_class.config_class

    @property
    def config_keys(self) -> type:
        return self.part(self.keys)

    @property
    def arguments_class(self) -> type:
        return self.part(self.arguments)

    @property
    def run_class(self) -> "type[TaskRun]":
        return self.part(self.run)

    def graphs_of(self, model: "RnnPreTrainedModel", word_length: int) -> "list[Graph]":
        return self.part(self.graphs)(model, word_length)

    def use(self, model: Any, tokenizer: Any) -> Any:
        """An instance of `user` for a model; `None` where the task has no such class.

        Raises:
            ValueError: for a model, or a tokenizer, that it cannot use.
        """
        return None if self.user is None else self.part(self.user)(model, tokenizer)

    def show_tab(self, *arguments) -> None:
        self.part(self.tab)(*arguments)
