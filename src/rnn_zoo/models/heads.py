"""The classes with one recurrent stack, by the Auto class that opens each: the one list of them."""

from .modeling_causal_lm import RnnForCausalLM
from .modeling_rnn import RnnModel, RnnPreTrainedModel
from .modeling_sequence_classification import RnnForSequenceClassification
from .modeling_token_classification import RnnForTokenClassification

HEADS: dict[str, type[RnnPreTrainedModel]] = {
    "AutoModel": RnnModel,
    "AutoModelForCausalLM": RnnForCausalLM,
    "AutoModelForSequenceClassification": RnnForSequenceClassification,
    "AutoModelForTokenClassification": RnnForTokenClassification,
}
