"""Recurrent NLP models (RNN, LSTM, GRU) as citizens of the Hugging Face libraries.

Importing the package registers its models with the Auto classes::

    import rnn_zoo
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained("runs/char_lm_python")
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from .tasks import TASKS

if TYPE_CHECKING:
    from .data.document_stream import DocumentStream
    from .data.token_stream import TokenStream
    from .language_model_weights import init_from_language_model
    from .models.cells import CELLS
    from .models.configuration_rnn import RnnConfig
    from .models.configuration_rnn_seq2seq import RnnSeq2SeqConfig
    from .models.heads import RnnForCausalLM, RnnForSequenceClassification, RnnForTokenClassification, RnnModel
    from .models.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration, RnnSeq2SeqModel
    from .models.pipeline_translation import RnnTranslationPipeline
    from .models.recurrent_state import RecurrentState
    from .models.tokenization_pairs import PairTokenizer
    from .models.tokenization_rnn import RnnTokenizer
    from .models.tokenization_words import WordCharacterTokenizer
    from .registration import register_task
    from .tasks import Classifier, GenerationStream, Tagger, Translator
    from .training.truncated_bptt import TruncatedBpttTrainer

__version__ = "0.1.0"

# Where each public name stands; it is imported when it is asked for. Those of a task stand in its folder.
MODULES = {
    "CELLS": "rnn_zoo.models.cells",
    "DocumentStream": "rnn_zoo.data.document_stream",
    "PairTokenizer": "rnn_zoo.models.tokenization_pairs",
    "RecurrentState": "rnn_zoo.models.recurrent_state",
    "RnnConfig": "rnn_zoo.models.configuration_rnn",
    "RnnModel": "rnn_zoo.models.modeling_rnn",
    "RnnSeq2SeqConfig": "rnn_zoo.models.configuration_rnn_seq2seq",
    "RnnSeq2SeqModel": "rnn_zoo.models.modeling_rnn_seq2seq",
    "RnnTokenizer": "rnn_zoo.models.tokenization_rnn",
    "RnnTranslationPipeline": "rnn_zoo.models.pipeline_translation",
    "TokenStream": "rnn_zoo.data.token_stream",
    "TruncatedBpttTrainer": "rnn_zoo.training.truncated_bptt",
    "WordCharacterTokenizer": "rnn_zoo.models.tokenization_words",
    "init_from_language_model": "rnn_zoo.language_model_weights",
    "register_task": "rnn_zoo.registration",
}
for _task in TASKS.values():
    MODULES[_task.head_name] = _task.head.partition(":")[0]
    MODULES |= {_name: f"{_task.package}{_file}" for _name, _file in _task.exports.items()}

__all__ = [
    "CELLS",
    "Classifier",
    "DocumentStream",
    "GenerationStream",
    "PairTokenizer",
    "RecurrentState",
    "RnnConfig",
    "RnnForCausalLM",
    "RnnForSequenceClassification",
    "RnnForTokenClassification",
    "RnnModel",
    "RnnSeq2SeqConfig",
    "RnnSeq2SeqForConditionalGeneration",
    "RnnSeq2SeqModel",
    "RnnTokenizer",
    "RnnTranslationPipeline",
    "Tagger",
    "TokenStream",
    "Translator",
    "TruncatedBpttTrainer",
    "WordCharacterTokenizer",
    "__version__",
    "init_from_language_model",
    "register_task",
]


def __getattr__(name: str):
    if name in MODULES:
        return getattr(import_module(MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# The command answers what needs no model without waiting for torch, and registers before it opens one.
if not getattr(sys.modules.get("rnn_zoo_cli"), "is_the_program", False):
    import_module(f"{__name__}.registration")
