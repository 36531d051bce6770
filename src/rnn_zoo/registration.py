"""Makes the Auto classes and pipelines of transformers open checkpoints of this package: importing it is enough."""

import transformers
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.pipelines import PIPELINE_REGISTRY

from .models.configuration_rnn import RnnConfig
from .models.configuration_rnn_seq2seq import RnnSeq2SeqConfig
from .models.modeling_rnn import RnnModel
from .models.modeling_rnn_seq2seq import RnnSeq2SeqModel
from .models.pipeline_translation import RnnTranslationPipeline
from .models.tokenization_pairs import PairTokenizer
from .models.tokenization_rnn import RnnTokenizer
from .models.tokenization_words import WordCharacterTokenizer

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
