"""Recurrent NLP models (RNN, LSTM, GRU) as citizens of the Hugging Face libraries.

Importing the package registers its models with the Auto classes::

    import rnn_zoo
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained("runs/char_lm_python")
"""

from typing import TYPE_CHECKING

import transformers
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.pipelines import PIPELINE_REGISTRY

from .models.cells import CELLS
from .models.configuration_rnn import RnnConfig
from .models.configuration_rnn_seq2seq import RnnSeq2SeqConfig
from .models.modeling_causal_lm import RnnForCausalLM
from .models.modeling_rnn import RnnModel
from .models.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration, RnnSeq2SeqModel
from .models.modeling_sequence_classification import RnnForSequenceClassification
from .models.modeling_token_classification import RnnForTokenClassification
from .models.pipeline_translation import RnnTranslationPipeline
from .models.recurrent_state import RecurrentState
from .models.tokenization_pairs import PairTokenizer
from .models.tokenization_rnn import RnnTokenizer
from .models.tokenization_words import WordCharacterTokenizer

if TYPE_CHECKING:
    from .data.token_stream import TokenStream
    from .tasks.causal_lm.generation import GenerationStream
    from .tasks.sequence_classification.classifier import Classifier
    from .tasks.token_classification.tagger import Tagger
    from .tasks.translation.translator import Translator
    from .training.trainer import TruncatedBpttTrainer
    from .transfer import init_from_language_model

__version__ = "0.1.0"

AutoConfig.register("rnn_zoo", RnnConfig, exist_ok=True)
AutoConfig.register("rnn_zoo_seq2seq", RnnSeq2SeqConfig, exist_ok=True)
# A tokenizer's files name its class, which is looked for among those registered; the last one of a configuration is
# for files that name none.
AutoTokenizer.register(RnnConfig, RnnTokenizer, exist_ok=True)
AutoTokenizer.register(RnnConfig, WordCharacterTokenizer, exist_ok=True)
AutoTokenizer.register(RnnSeq2SeqConfig, PairTokenizer, exist_ok=True)
PIPELINE_REGISTRY.register_pipeline("rnn-translation", RnnTranslationPipeline, pt_model=AutoModelForSeq2SeqLM)

# Checkpoints carry their code, so that they open with trust_remote_code=True where rnn_zoo is not installed.
for _part in (RnnConfig, RnnSeq2SeqConfig, RnnTokenizer, WordCharacterTokenizer, PairTokenizer):
    _part.register_for_auto_class()
for _base in (RnnModel, RnnSeq2SeqModel):
    for _auto, _head in _base.heads().items():
        getattr(transformers, _auto).register(_base.config_class, _head, exist_ok=True)
        _head.register_for_auto_class(_auto)

# These pull in more than a user who only loads a model need wait for.
ON_DEMAND = {
    "Classifier": "tasks.sequence_classification.classifier",
    "GenerationStream": "tasks.causal_lm.generation",
    "TokenStream": "data.token_stream",
    "Tagger": "tasks.token_classification.tagger",
    "Translator": "tasks.translation.translator",
    "TruncatedBpttTrainer": "training.trainer",
    "init_from_language_model": "transfer",
}

__all__ = [
    "CELLS",
    "Classifier",
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
]


def __getattr__(name: str):
    if name in ON_DEMAND:
        from importlib import import_module

        return getattr(import_module(f".{ON_DEMAND[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
