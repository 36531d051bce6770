"""What is exported of a translator: a graph of the encoder, and one of the decoder."""

import torch
from torch import nn

from ...models.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration
from ...models.recurrent_state import DecoderState
from ..graph import BATCH, IDS, LENGTH, MASK, REAL, SOURCE, Graph, Input, Output, flat, layers_of, states_of


class Encoder(nn.Module):
    """A source -> its states, and the decoder's first state."""

    def __init__(self, model: RnnSeq2SeqForConditionalGeneration):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        values = self.model.model.encode(input_ids, attention_mask)[0]
        state = self.model.model.decoder.start(values, attention_mask.bool())
        return values, *flat(state), *(s for s in (state.feed, state.keys) if s is not None)


class Decoder(nn.Module):
    """Target tokens, the state before them and the source -> scores of the next token, attention, the new state."""

    def __init__(self, model: RnnSeq2SeqForConditionalGeneration):
        super().__init__()
        self.model = model

    def forward(self, input_ids, encoder_attention_mask, encoder_hidden_states, *past):
        shapes = self.model.model.state_shapes
        feeds, attends = self.model.config.input_feeding, self.model.config.attention != "none"
        rest = list(past)
        keys = rest.pop() if attends else None
        feed = rest.pop() if feeds else None
        outputs = self.model(
            decoder_input_ids=input_ids,
            encoder_outputs=(encoder_hidden_states,),
            attention_mask=encoder_attention_mask,
            cache_params=DecoderState(layers_of(tuple(rest), shapes), feed, keys),
            use_cache=True,
            output_attentions=attends,
        )
        state = outputs.cache_params
        weights = [outputs.cross_attentions[0][:, 0]] if attends else []
        return outputs.logits, *weights, *flat(state), *([state.feed] if feeds else [])


def graphs(model: RnnSeq2SeqForConditionalGeneration, word_length: int) -> list[Graph]:
    config, decoder = model.config, model.model.decoder
    assert config.decoder_cell_type is not None  # the configuration has filled it in
    past, present = states_of(model.model.state_shapes, config.decoder_cell_type)
    values = Input(
        "encoder_hidden_states", REAL, (BATCH, SOURCE, decoder.value_size), "what the encoder has made of the source"
    )
    if config.input_feeding:
        size = decoder.readout.out_features
        past.append(Input("past.feed", REAL, (BATCH, size), "what the output layer read last"))
        present.append(Output("present.feed", "what it has read now"))
    keys = []
    if decoder.attention is not None:
        size = decoder.attention.keys(torch.zeros(1, 1, decoder.value_size)).shape[-1]
        keys = [Input("encoder_keys", REAL, (BATCH, SOURCE, size), "what attention compares of the source")]
    source = [
        Input("input_ids", IDS, (BATCH, SOURCE), "tokens of the source", config.vocab_size),
        Input("attention_mask", MASK, (BATCH, SOURCE), "1 on real tokens, 0 on padding, which may stand anywhere"),
    ]
    target = Input(
        "input_ids", IDS, (BATCH, LENGTH), "tokens of the target", model.model.target_embeddings.num_embeddings
    )
    source_mask = Input("encoder_attention_mask", MASK, (BATCH, SOURCE), "the encoder's attention_mask")
    scores = Output("logits", "`(batch, length, vocabulary)`, scores of the next token")
    weights = Output("cross_attention", "`(batch, length, source_length)`, how much of each source token was taken")
    first = [Output(one.name, one.meaning) for one in (values, *past, *keys)]
    return [
        Graph("encoder_model", Encoder(model), source, first),
        Graph(
            "decoder_model",
            Decoder(model),
            [target, source_mask, values, *past, *keys],
            [scores, *([weights] if keys else []), *present],
        ),
    ]
