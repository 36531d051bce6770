"""What is exported of a language model: one graph, which takes its state and gives it back."""

from torch import nn

from ...models.modeling_causal_lm import RnnForCausalLM
from ...models.recurrent_state import RecurrentState
from ..graph import Graph, Output, flat, layers_of, states_of, text_inputs


class LanguageModel(nn.Module):
    """Tokens and a state -> scores of the next token at each position, and the new state."""

    def __init__(self, model: RnnForCausalLM):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, *past):
        state = RecurrentState(layers_of(past, self.model.model.state_shapes))
        outputs = self.model(input_ids, attention_mask=attention_mask, cache_params=state, use_cache=True)
        return outputs.logits, *flat(outputs.cache_params)


def graphs(model: RnnForCausalLM, word_length: int) -> list[Graph]:
    past, present = states_of(model.model.state_shapes, model.config.cell_type)
    scores = "`(batch, length, vocabulary)`, scores of the next token"
    inputs = [*text_inputs(model.config, word_length), *past]
    return [Graph("model", LanguageModel(model), inputs, [Output("logits", scores), *present])]
