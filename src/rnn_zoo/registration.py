"""Makes the Auto classes and pipelines of transformers open checkpoints of this package: importing it is enough."""

import sys
from importlib.abc import MetaPathFinder
from typing import Any

import transformers
from transformers import AutoConfig, AutoTokenizer

from .models.configuration_rnn import RnnConfig
from .models.configuration_rnn_seq2seq import RnnSeq2SeqConfig
from .models.modeling_rnn import RnnModel
from .models.modeling_rnn_seq2seq import RnnSeq2SeqModel
from .models.tokenization_pairs import PairTokenizer
from .models.tokenization_rnn import RnnTokenizer
from .models.tokenization_words import WordCharacterTokenizer
from .tasks import TASKS, register
from .tasks.task import Task

PIPELINES = "transformers.pipelines"


def register_task(package: str) -> Task:
    """Makes a task of another package known: its command, its tab, its recipes, cards and exports are then those of a
    task of rnn_zoo, and its Auto class opens its models.

    Args:
        package: whose `__init__.py` holds a `rnn_zoo.tasks.task.Task` of the name `TASK`.

    Raises:
        ValueError: for the name or the command of a task of another package.
    """
    task = register(package)
    _register_model(task.auto_class, task.model_class)
    if task.pipeline is not None and PIPELINES in sys.modules:
        _register_pipelines()
    return task


def _register_model(auto_class: str, model_class: Any) -> None:
    getattr(transformers, auto_class).register(model_class.config_class, model_class, exist_ok=True)
    model_class.register_for_auto_class(auto_class)  # so that a checkpoint carries its code


def _register_pipelines() -> None:
    from transformers.pipelines import PIPELINE_REGISTRY

    for task in TASKS.values():
        if task.pipeline is None:
            continue
        reference, name = task.pipeline
        module, _, pipeline = reference.partition(":")
        if module in sys.modules and not hasattr(sys.modules[module], pipeline):
            continue  # somebody is importing it now, and this is called again behind it
        pipeline_class = task.part(reference)
        if name not in PIPELINE_REGISTRY.get_supported_tasks():
            auto_class = getattr(transformers, task.auto_class)
            PIPELINE_REGISTRY.register_pipeline(name, pipeline_class, pt_model=auto_class)


class _AfterImports(MetaPathFinder):
    """Registers our pipelines as soon as somebody has imported the library's, which take two seconds, or one of ours:
    most never do."""

    def find_spec(self, fullname, path, target=None):
        ours = {task.pipeline[0].partition(":")[0] for task in TASKS.values() if task.pipeline is not None}
        if fullname not in {PIPELINES, *ours}:
            return None
        spec = next(
            found
            for finder in sys.meta_path
            if finder is not self and (found := finder.find_spec(fullname, path, target)) is not None
        )
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_register(module) -> None:
            execute(module)
            _register_pipelines()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


AutoConfig.register("rnn_zoo", RnnConfig, exist_ok=True)
AutoConfig.register("rnn_zoo_seq2seq", RnnSeq2SeqConfig, exist_ok=True)
# A tokenizer's files name its class, which is looked for among those registered; the last one of a configuration is
# for files that name none.
AutoTokenizer.register(RnnConfig, RnnTokenizer, exist_ok=True)
AutoTokenizer.register(RnnConfig, WordCharacterTokenizer, exist_ok=True)
AutoTokenizer.register(RnnSeq2SeqConfig, PairTokenizer, exist_ok=True)
for _part in (RnnConfig, RnnSeq2SeqConfig, RnnTokenizer, WordCharacterTokenizer, PairTokenizer):
    _part.register_for_auto_class()
for _base in (RnnModel, RnnSeq2SeqModel):
    for _auto, _head in _base.heads().items():
        _register_model(_auto, _head)
if PIPELINES in sys.modules:
    _register_pipelines()
else:
    sys.meta_path.insert(0, _AfterImports())
