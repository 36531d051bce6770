"""Encoder, attention, decoder: source tokens -> states of the source -> scores of the next target token.

Sizes: `B` batch, `S` source steps, `T` target steps, `E` embedding, `C` features of a source state, `H` features of a
decoder state, `V` vocabulary of the target.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils import _pytree
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import ModelOutput, can_return_tuple

from .attention import ATTENTIONS, Attention, Projection
from .configuration_rnn_seq2seq import RnnSeq2SeqConfig
from .dropout import embedding_dropout, locked_dropout, word_dropout
from .modeling_rnn import (
    RnnModel,
    RnnModelOutput,
    RnnPreTrainedModel,
    check_input,
    number_of_items,
    outside,
    real_steps,
    refuse_losses_of_others,
)
from .output_loss import IGNORED, LARGE, refuse_targets, sum_of_nats
from .recurrent_generation import RecurrentGenerationMixin
from .recurrent_stack import RecurrentStack, steps_of
from .recurrent_state import DecoderState, LayerState


@dataclass
class RnnSeq2SeqModelOutput(ModelOutput):
    """
    Args:
        last_hidden_state: `(B, T, E)`, what the output layer reads.
        cache_params: the decoder's state after the last target token, to be passed on with the next.
        decoder_hidden_states: with `output_hidden_states`, the decoder's embeddings and the output of each layer.
        cross_attentions: with `output_attentions`, one tensor `(B, 1, T, S)`: how much each target step took of each
            source step; rows sum to 1. None without attention.
        encoder_last_hidden_state: `(B, S, C)`.
        encoder_hidden_states: with `output_hidden_states`, the encoder's embeddings and the output of each layer.
        decoder_attentions, encoder_attentions: always `None`: neither side looks at itself.
    """

    last_hidden_state: torch.Tensor | None = None
    cache_params: DecoderState | None = None
    decoder_hidden_states: tuple[torch.Tensor, ...] | None = None
    decoder_attentions: None = None
    cross_attentions: tuple[torch.Tensor, ...] | None = None
    encoder_last_hidden_state: torch.Tensor | None = None
    encoder_hidden_states: tuple[torch.Tensor, ...] | None = None
    encoder_attentions: None = None


@dataclass
class RnnSeq2SeqLMOutput(ModelOutput):
    """
    Args:
        loss: with `labels`, the mean cross-entropy in nats a token; smoothed in training only.
        logits: `(B, T, V)`, scores of the next target token before the softmax.

    The others are those of `RnnSeq2SeqModelOutput`.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    cache_params: DecoderState | None = None
    decoder_hidden_states: tuple[torch.Tensor, ...] | None = None
    decoder_attentions: None = None
    cross_attentions: tuple[torch.Tensor, ...] | None = None
    encoder_last_hidden_state: torch.Tensor | None = None
    encoder_hidden_states: tuple[torch.Tensor, ...] | None = None
    encoder_attentions: None = None


class RnnSeq2SeqPreTrainedModel(RnnPreTrainedModel):
    """Initialization, saving and loading for all models of the type `rnn_zoo_seq2seq`."""

    config: RnnSeq2SeqConfig
    config_class = RnnSeq2SeqConfig

    @classmethod
    def heads(cls) -> dict[str, type[RnnPreTrainedModel]]:
        return {"AutoModel": RnnSeq2SeqModel, "AutoModelForSeq2SeqLM": RnnSeq2SeqForConditionalGeneration}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        if isinstance(module, (Attention, Projection)):
            module.init_weights()
        else:
            super()._init_weights(module)


class Bridge(nn.Module):
    """The decoder's first state from what the encoder has read: tanh(W p + b) for each state of each layer.

    `p` is the last output of each direction (Bahdanau et al. 2015, appendix A.2.2, takes that of the backward one) or
    the mean of all outputs (`"mean"`).

    Args:
        config: with `bridge`.
        value_size: `C`.
        shapes: of the decoder's states: for each layer, for each direction, without the batch.
    """

    def __init__(self, config: RnnSeq2SeqConfig, value_size: int, shapes: list[list[list[tuple[int, ...]]]]):
        super().__init__()
        self.kind = config.bridge
        self.directions = 2 if config.encoder_bidirectional else 1
        self.shapes = shapes
        sizes = [torch.Size(shape).numel() for layer in shapes for direction in layer for shape in direction]
        self.sizes = sizes
        self.projection = Projection(value_size, sum(sizes)) if self.kind != "none" else None

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None) -> tuple[LayerState, ...]:
        """`values (B, S, C)`, `mask (B, S)` -> the first state of each layer of the decoder."""
        if self.projection is None:
            parts = values.new_zeros(values.shape[0], sum(self.sizes)).split(self.sizes, -1)
        else:
            parts = torch.tanh(self.projection(self.pooled(values, mask))).split(self.sizes, -1)
        flat = iter(parts)
        return tuple(
            tuple(tuple(next(flat).unflatten(-1, shape) for shape in direction) for direction in layer)
            for layer in self.shapes
        )

    def pooled(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """`(B, S, C)` -> `(B, C)`; of a row without real steps zeros."""
        B, S, C = values.shape
        if S == 0:
            return values.new_zeros(B, C)
        if self.kind == "mean":
            return values.mean(1) if mask is None else values.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        if mask is None:
            first, last = values[:, 0], values[:, -1]
        else:
            steps = torch.arange(S, device=values.device)
            rows = torch.arange(B, device=values.device)
            last = values[rows, torch.where(mask.bool(), steps, 0).amax(1)]
            first = values[rows, torch.where(mask.bool(), steps, S - 1).amin(1)]
        if self.directions == 1:
            return last
        return torch.cat([last[:, : C // 2], first[:, C // 2 :]], -1)


class RnnDecoder(nn.Module):
    """The decoder: layers below the attention, attention, layers above it, and what the output layer reads.

    h_t = lower(y_{t-1}), c_t = attention(h_t, source), u_t = upper([h_t; c_t]), h̃_t = tanh(W [u_t; c_t])

    (Luong, Pham, Manning 2015, equation 5, where no layer is above: u_t = h_t.) With `input_feeding` the layers below
    read [y_{t-1}; h̃_{t-1}]. Bahdanau et al. 2015 attend with the state before the step; this is the later order, in
    which only `input_feeding` has to wait for the step before.
    """

    def __init__(self, config: RnnSeq2SeqConfig, value_size: int):
        super().__init__()
        E, H, V = config.embedding_size, config.decoder_hidden_size, config.decoder_vocab_size
        below, attention_size = config.attention_layer, config.attention_size
        assert E is not None  # the configuration has filled them all in
        assert H is not None
        assert V is not None
        assert below is not None
        assert attention_size is not None
        assert config.decoder_layers is not None
        self.config = config
        shared = config.share_encoder_decoder_embeddings
        self.embed_tokens = None if shared else nn.Embedding(V, E)
        self.lower = RecurrentStack(config.decoder_config(below), 2 * E if config.input_feeding else E)
        self.attention: Attention | None = None
        if config.attention != "none":
            kind = ATTENTIONS[config.attention]
            self.attention = kind(H, value_size, attention_size, config.attention_scaled)
        context_size = 0 if self.attention is None else value_size
        above = config.decoder_layers - below
        self.upper = RecurrentStack(config.decoder_config(above), H + context_size) if above else None
        self.readout = Projection(H + context_size, E)
        self.bridge = Bridge(config, value_size, self.state_shapes())
        self.value_size = value_size
        self.output_dropout = float(config.output_dropout)

    def state_shapes(self) -> list[list[list[tuple[int, ...]]]]:
        """For each layer and direction the shapes of the cell's states, without the batch."""
        return self.lower.state_shapes() + ([] if self.upper is None else self.upper.state_shapes())

    def start(self, values: torch.Tensor, mask: torch.Tensor | None) -> DecoderState:
        """The state before the first target token: `values (B, S, C)` and `mask (B, S)` of the source."""
        feed = values.new_zeros(values.shape[0], self.readout.out_features) if self.config.input_feeding else None
        keys = None if self.attention is None else self.attention.keys(values)
        return DecoderState(self.bridge(values, mask), feed, keys)

    def forward(
        self,
        x: torch.Tensor,
        state: DecoderState,
        values: torch.Tensor,
        source_mask: torch.Tensor | None,
        mask: torch.Tensor | None,
    ) -> tuple[torch.Tensor, DecoderState, torch.Tensor | None, tuple[torch.Tensor, ...]]:
        """Reads target tokens.

        Args:
            x: `(B, T, E)`, their vectors.
            state: before the first of them.
            values, source_mask: `(B, S, C)`, `(B, S)`, the source.
            mask: `(B, T)`; masked steps leave the state as it is.

        Returns:
            What the output layer reads `(B, T, E)`, the state, the attention weights `(B, T, S)` and the layers'
            outputs.
        """
        x = locked_dropout(x, self.config.input_dropout, self.training)
        run = self.step_by_step if self.config.input_feeding else self.at_once
        y, state, weights, hidden_states = run(x, state, values, source_mask, mask)
        return y, state, weights, (x, *hidden_states)

    def attend(self, h: torch.Tensor, keys: torch.Tensor | None, values: torch.Tensor, mask: torch.Tensor | None):
        """`h (B, T, H)` -> `[h; context]`, and the weights `(B, T, S)`."""
        if self.attention is None:
            return h, None
        context, weights = self.attention(h, keys, values, mask)
        return torch.cat([h, context], -1), weights

    def at_once(self, x, state, values, source_mask, mask):
        """All steps in one call of each layer, as no step waits for what another has found."""
        below = len(self.lower.layers)
        h, new, hidden_states = self.lower(x, state.layers[:below], mask)
        found, weights = self.attend(h, state.keys, values, source_mask)
        if self.upper is not None:
            u, above, outputs = self.upper(found, state.layers[below:], mask)
            found = torch.cat([u, found[..., h.shape[-1] :]], -1)
            new, hidden_states = new + above, hidden_states + outputs
        y = locked_dropout(torch.tanh(self.readout(found)), self.output_dropout, self.training)
        if mask is not None:
            y = y * mask[..., None].to(y.dtype)
        return y, DecoderState(new, None, state.keys), weights, hidden_states

    def step_by_step(self, x, state, values, source_mask, mask):
        """One step after the other, each reading what the one before has found."""
        below, rows = len(self.lower.layers), x.shape[0]
        if not x.shape[1]:
            return x, state, None if self.attention is None else x.new_zeros(rows, 0, values.shape[1]), ()
        lower = steps_of(self.lower, rows)
        upper = None if self.upper is None else steps_of(self.upper, rows)
        keep = locked_dropout(torch.ones_like(state.feed)[:, None], self.output_dropout, self.training)[:, 0]  # (B, E)

        def step(x, layers, feed, outputs):
            z = torch.cat([x, feed], -1)
            h, new = lower(z, layers[:below], lower.project(z), outputs)
            found, weights = self.attend(h[:, None], state.keys, values, source_mask)
            found = found[:, 0]
            if upper is not None:
                u, above = upper(found, layers[below:], upper.project(found), outputs)
                found = torch.cat([u, found[:, h.shape[-1] :]], -1)
                new += above
            return torch.tanh(self.readout(found)) * keep, new, weights

        if torch.compiler.is_exporting():
            return scanned(step, x, state, mask)
        layers, feed = state.layers, state.feed
        ys, all_weights = [], []
        outputs: list[list[torch.Tensor]] = []  # of each step, of each layer
        for t in range(x.shape[1]):
            outputs.append([])
            y, new, weights = step(x[:, t], layers, feed, outputs[-1])
            if mask is None:
                layers, feed = new, y
            else:
                real = mask[:, t]
                layers = frozen(real, new, layers)
                feed = torch.where(real[:, None], y, feed)
                y = y * real[:, None].to(y.dtype)
            ys.append(y)
            all_weights.append(weights)
        weights = torch.cat(all_weights, 1) if self.attention is not None else None
        hidden_states = tuple(torch.stack(steps, 1) for steps in zip(*outputs, strict=True))
        return torch.stack(ys, 1), DecoderState(layers, feed, state.keys), weights, hidden_states


def frozen(real: torch.Tensor, new: tuple[LayerState, ...], old: tuple[LayerState, ...]) -> tuple[LayerState, ...]:
    """The new states of the rows where `real (B)` is true, the old ones of the others."""
    olds = iter([s for layer in old for direction in layer for s in direction])
    return DecoderState(new).map(lambda s: torch.where(real.view(-1, *[1] * (s.dim() - 1)), s, next(olds))).layers


def scanned(step: Callable, x: torch.Tensor, state: DecoderState, mask: torch.Tensor | None):
    """`RnnDecoder.step_by_step` as one `scan` operator, which `torch.export` keeps for every length from 1; without the
    layers' outputs.

    Args:
        step: `x (B, E)`, layers, feed `(B, E)`, a list -> `y (B, E)`, new layers, weights `(B, 1, S)` or `None`.
        x: `(B, T, E)`.
        state: before the first token.
        mask: `(B, T)`.
    """
    from torch._higher_order_ops.scan import scan

    leaves, form = _pytree.tree_flatten(state.layers)
    real = x.new_ones(x.shape[:2], dtype=torch.bool) if mask is None else mask

    def body(carry: tuple[torch.Tensor, ...], inputs: tuple[torch.Tensor, torch.Tensor]):
        *old, feed = carry
        x, real = inputs  # (B, E), (B, 1)
        layers = _pytree.tree_unflatten(old, form)
        y, new, weights = step(x, layers, feed, [])
        after = _pytree.tree_leaves(frozen(real[:, 0], new, layers))
        attention = () if weights is None else (weights[:, 0],)
        return (*after, torch.where(real, y, feed)), (torch.where(real, y, 0), *attention)

    carry = tuple(s.clone() for s in (*leaves, state.feed))
    (*after, feed), (y, *weights) = scan(body, carry, (x.transpose(0, 1), real.transpose(0, 1)[..., None]), dim=0)
    state = DecoderState(_pytree.tree_unflatten(after, form), feed, state.keys)
    return y.transpose(0, 1), state, weights[0].transpose(0, 1) if weights else None, ()


class RnnSeq2SeqModel(RnnSeq2SeqPreTrainedModel):
    """An encoder (an `RnnModel`) and a decoder that attends to it, without a head."""

    def __init__(self, config: RnnSeq2SeqConfig):
        super().__init__(config)
        encoder_config = config.encoder_config()
        self.encoder = RnnModel(encoder_config)
        self.decoder = RnnDecoder(config, encoder_config.output_size)
        self.state_shapes = self.decoder.state_shapes()
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding):
        self.encoder.embed_tokens = value

    @property
    def target_embeddings(self) -> nn.Embedding:
        """The vectors of the target's tokens; with one vocabulary those of the source."""
        return self.encoder.embed_tokens if self.decoder.embed_tokens is None else self.decoder.embed_tokens

    def resize_token_embeddings(self, *args, **kwargs):
        return resize_both(self, super().resize_token_embeddings, *args, **kwargs)

    def encode(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
    ) -> RnnModelOutput:
        """What the encoder makes of a batch of sources: the `encoder_outputs` of `forward`, whose arguments these are.

        Raises:
            ValueError, IndexError: as `RnnModel`.
        """
        if output_hidden_states is None:  # asked here, as the encoder has a configuration of its own
            output_hidden_states = self.config.output_hidden_states
        return self.encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: BaseModelOutput | None = None,
        cache_params: DecoderState | None = None,
        inputs_embeds: torch.Tensor | None = None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> RnnSeq2SeqModelOutput:
        """Reads a batch of sources, and the targets so far, or their next tokens.

        Args:
            input_ids: `(B, S)`, the source; or `inputs_embeds`, or `encoder_outputs` of an earlier call.
            attention_mask: `(B, S)`, 1 on real source tokens; padding may stand anywhere and changes nothing.
            decoder_input_ids: `(B, T)`, what the decoder reads: the target moved one step to the right.
            decoder_attention_mask: `(B, T)`, 1 on real target tokens; needed only where padding comes before them.
            encoder_outputs: what `get_encoder()` returned; only its first tensor, `(B, S, C)`, is used.
            cache_params: the decoder's state to go on from; `None` begins anew, by the bridge.
            inputs_embeds: `(B, S, E)`, vectors instead of source ids.
            decoder_inputs_embeds: `(B, T, E)`, vectors instead of target ids.
            use_cache: whether the decoder's final state is returned; by default `config.use_cache`, and not in
                training.
            output_attentions: whether the attention weights are returned.
            output_hidden_states: whether all layers' outputs are returned.

        Raises:
            ValueError: if not exactly one of ids and vectors is given on a side, or one of them, the state or a mask
                has the wrong shape or dtype.
            IndexError: if an id is outside its vocabulary.
        """
        config = self.config
        use_cache = use_cache if use_cache is not None else (config.use_cache and not self.training)
        output_attentions = config.output_attentions if output_attentions is None else output_attentions
        output_hidden_states = config.output_hidden_states if output_hidden_states is None else output_hidden_states
        if kwargs.get("past_key_values") is not None:
            raise ValueError("past_key_values: a recurrent model takes its state as cache_params")
        if encoder_outputs is None:
            encoder_outputs = self.encode(input_ids, attention_mask, inputs_embeds, output_hidden_states)
        values = encoder_outputs[0]  # (B, S, C)
        if values.dim() != 3 or values.shape[2] != self.decoder.value_size:
            raise ValueError(
                f"encoder_outputs has shape {tuple(values.shape)}: needed is (batch, length, {self.decoder.value_size})"
            )
        source_mask = real_steps(attention_mask, values, "attention_mask", "the source")
        x = self.embed_target(decoder_input_ids, decoder_inputs_embeds)
        if x.shape[0] != values.shape[0]:
            raise ValueError(f"decoder_input_ids have {x.shape[0]} rows, the source {values.shape[0]}")
        mask = real_steps(decoder_attention_mask, x, "decoder_attention_mask", "the target")
        if mask is not None and not use_cache and x.device.type == "cpu" and not torch.compiler.is_compiling():
            # What follows the last real token changes no real output.
            mask = mask if bool((mask[:, 1:] & ~mask[:, :-1]).any()) else None
        if cache_params is None:
            state = self.decoder.start(values, source_mask)
        else:
            state = self.go_on_from(cache_params, x, values)
        y, state, weights, hidden_states = self.decoder(x, state, values, source_mask, mask)
        return RnnSeq2SeqModelOutput(
            last_hidden_state=y,
            cache_params=state if use_cache else None,
            decoder_hidden_states=hidden_states if output_hidden_states else None,
            cross_attentions=(weights[:, None],) if output_attentions and weights is not None else None,
            encoder_last_hidden_state=values,
            encoder_hidden_states=getattr(encoder_outputs, "hidden_states", None),
        )

    def embed_target(self, ids: torch.Tensor | None, embeds: torch.Tensor | None) -> torch.Tensor:
        """The decoder's input `(B, T, E)`."""
        check_input(ids, embeds, self.target_embeddings.weight, "decoder_")
        config = self.config
        if ids is None:
            assert embeds is not None
            return embeds
        if self.training and config.word_dropout:
            ids = word_dropout(ids, config.word_dropout, config.unk_token_id)
        try:
            return embedding_dropout(self.target_embeddings, ids, config.embedding_dropout, self.training)
        except IndexError as error:
            raise IndexError(outside("decoder_input_ids", ids, self.target_embeddings.num_embeddings)) from error

    check_state = RnnModel.check_state

    def go_on_from(self, cache_params: DecoderState, x: torch.Tensor, values: torch.Tensor) -> DecoderState:
        """A state that was given, with the keys of the source if it has none.

        Raises:
            ValueError: unless it fits the model, the target `x (B, T, E)` and the source `values (B, S, C)`.
        """
        self.check_state(cache_params, x.shape[0], x.dtype)
        feed, keys = getattr(cache_params, "feed", None), getattr(cache_params, "keys", None)
        if keys is None and self.decoder.attention is not None:
            keys = self.decoder.attention.keys(values)
        if keys is not None and keys.shape[:2] != values.shape[:2]:
            raise ValueError(
                f"cache_params has keys of the shape {tuple(keys.shape)}, but the source has (batch, length) = "
                f"{tuple(values.shape[:2])}"
            )
        needed = (x.shape[0], self.decoder.readout.out_features)
        if self.config.input_feeding and (feed is None or feed.shape != needed):
            given = "no feed" if feed is None else f"a feed of the shape {tuple(feed.shape)}"
            raise ValueError(f"cache_params has {given}, needed with input_feeding is {needed}")
        return DecoderState(cache_params.layers, feed, keys)


def resize_both(model: RnnSeq2SeqPreTrainedModel, resize, *args, **kwargs) -> nn.Embedding:
    """The library's `resize`, for a model whose source and target have one vocabulary."""
    if not model.config.share_encoder_decoder_embeddings and (args or kwargs):
        raise ValueError("resize_token_embeddings: a model with two vocabularies cannot be resized to one size")
    embeddings = resize(*args, **kwargs)
    size = embeddings.num_embeddings
    if model.config.share_encoder_decoder_embeddings:
        model.config.decoder_vocab_size = size
        model.base_model.encoder.config.vocab_size = size
    return embeddings


class RnnSeq2SeqForConditionalGeneration(RnnSeq2SeqPreTrainedModel, RecurrentGenerationMixin):
    """A translator: p(y_t | y_<t, x) = softmax(W h̃_t + b).

    With `tie_word_embeddings`, `W` is the target embedding's matrix, and with one vocabulary the source's as well.
    """

    _tied_weights_keys = {"lm_head.weight": "model.decoder.embed_tokens.weight"}  # noqa: RUF012 (the library's form)

    def __init__(self, config: RnnSeq2SeqConfig):
        super().__init__(config)
        assert config.embedding_size is not None  # the configuration has filled it in
        self.model = RnnSeq2SeqModel(config)
        if config.share_encoder_decoder_embeddings:
            self._tied_weights_keys = {"lm_head.weight": "model.encoder.embed_tokens.weight"}
        self.lm_head = nn.Linear(config.embedding_size, self.model.target_embeddings.num_embeddings)
        self.scheduled_sampling = float(config.scheduled_sampling)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Linear):
        self.lm_head = new_embeddings

    def resize_token_embeddings(self, *args, **kwargs):
        return resize_both(self, super().resize_token_embeddings, *args, **kwargs)

    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """The decoder's input for `labels (B, T)`: the start token, then each label one step later.

        Labels may begin with -100 (padding on the left): the start token then stands before the first real one.
        """
        start, pad = self.config.decoder_start_token_id, self.config.pad_token_id
        if start is None:
            raise ValueError("decoder_start_token_id (or bos_token_id): is needed to make decoder inputs from labels")
        before = F.pad(labels[:, :-1], (1, 0), value=IGNORED)
        first = (labels != IGNORED) & (before == IGNORED)
        return before.masked_fill(before == IGNORED, start if pad is None else pad).masked_fill(first, start)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: BaseModelOutput | None = None,
        cache_params: DecoderState | None = None,
        inputs_embeds: torch.Tensor | None = None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> RnnSeq2SeqLMOutput:
        """Scores the next target token at every position; the other arguments are those of `RnnSeq2SeqModel`.

        Args:
            labels: `(B, T)`, the target, with <eos> at its end; -100 does not count. Without `decoder_input_ids` the
                decoder reads them one step later.
            skip_logits (in `kwargs`): with `labels`, whether the loss is all that is asked for. `logits` is then `None`
                where `can_skip_logits`.
            num_items_in_batch (in `kwargs`): the sum of the losses is divided by it instead of by the batch's own
                number of targets, as `Trainer` needs it when it accumulates gradients.

        Raises:
            ValueError, IndexError: as `RnnSeq2SeqModel`, and for labels outside the vocabulary; without the decoder's
                input if `Trainer` makes the loss without the model (`label_smoothing_factor`, `compute_loss_func`).
        """
        num_items = kwargs.get("num_items_in_batch")
        has_labels = labels is not None or num_items is not None  # given, or taken away for a loss made outside
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            if labels is None:
                made = "made of the labels unless DataCollatorForSeq2Seq(tokenizer, model=model) has done it"
                refuse_losses_of_others(f"decoder_input_ids: are {made}", num_items)
            else:
                decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
                if decoder_attention_mask is None:
                    decoder_attention_mask = labels != IGNORED
        elif has_labels and decoder_input_ids is not None and decoder_attention_mask is None and cache_params is None:
            decoder_attention_mask = self._behind_padding(decoder_input_ids, labels)
        inputs = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "inputs_embeds": inputs_embeds,
            "encoder_outputs": encoder_outputs,
            "decoder_attention_mask": decoder_attention_mask,
            "cache_params": cache_params,
            "past_key_values": kwargs.pop("past_key_values", None),
            "use_cache": use_cache,
            "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states,
            "return_dict": True,
        }
        if self.training and self.scheduled_sampling and decoder_input_ids is not None and has_labels:
            if encoder_outputs is None:  # once for both passes
                encoded = self.model.encode(input_ids, attention_mask, inputs_embeds, output_hidden_states)
                inputs["encoder_outputs"] = encoded
            decoder_input_ids = self.with_own_words(decoder_input_ids, inputs)
        outputs = self.model(decoder_input_ids=decoder_input_ids, decoder_inputs_embeds=decoder_inputs_embeds, **inputs)
        skip_logits = kwargs.get("skip_logits", False) and labels is not None and self.can_skip_logits()
        logits = None if skip_logits else self.lm_head(outputs.last_hidden_state)
        scored = outputs.last_hidden_state if logits is None else logits
        loss = None if labels is None else self._loss(scored, labels, num_items, skip_logits)
        return RnnSeq2SeqLMOutput(
            loss=loss,
            logits=logits,
            cache_params=outputs.cache_params,
            decoder_hidden_states=outputs.decoder_hidden_states,
            cross_attentions=outputs.cross_attentions,
            encoder_last_hidden_state=outputs.encoder_last_hidden_state,
            encoder_hidden_states=outputs.encoder_hidden_states,
        )

    def _behind_padding(self, ids: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor | None:
        """The mask of decoder inputs that a collator has made of labels: it pads both on one side, and makes no mask.

        Args:
            ids: `(B, T)`.
            labels: `(B, T)`, -100 where there is padding, as far as they are known.
        """
        pad, start = self.config.pad_token_id, self.config.decoder_start_token_id
        if pad is None:
            return None
        padding = (ids == pad).cumprod(1).bool()
        if pad == start:  # the last one begins the text
            padding &= F.pad(padding[:, 1:], (0, 1), value=False)
        if labels is not None and labels.shape == ids.shape:
            padding &= labels == IGNORED
        return ~padding

    @torch.no_grad()
    def with_own_words(self, decoder_input_ids: torch.Tensor, inputs: dict) -> torch.Tensor:
        """The decoder's input with a share `scheduled_sampling` of its words as the model itself would go on with
        after the true ones; the start token stays."""
        given = self.model(decoder_input_ids=decoder_input_ids, **inputs)
        own = self.lm_head(given.last_hidden_state[:, :-1]).argmax(-1)  # (B, T - 1)
        replaced = torch.rand(own.shape, device=own.device) < self.scheduled_sampling
        replaced &= decoder_input_ids[:, 1:] != self.config.decoder_start_token_id
        return torch.cat([decoder_input_ids[:, :1], torch.where(replaced, own, decoder_input_ids[:, 1:])], 1)

    def can_skip_logits(self) -> bool:
        """Whether a training step that needs the loss alone had better leave the scores out."""
        return self.lm_head.out_features > LARGE and not (self.training and self.config.label_smoothing)

    def _loss(
        self, scored: torch.Tensor, labels: torch.Tensor, num_items: torch.Tensor | int | None, skip_logits: bool
    ) -> torch.Tensor:
        """
        Args:
            scored: the scores `(B, T, V)`; with `skip_logits` the decoder's output `(B, T, H)`.
            labels: `(B, T)`.
            num_items: see `number_of_items`.
            skip_logits: whether the scores are computed for some positions at a time.
        """
        if labels.shape != scored.shape[:2]:
            raise ValueError(f"labels have shape {tuple(labels.shape)}, but the target {tuple(scored.shape[:2])}")
        smoothing = float(self.config.label_smoothing) if self.training else 0.0
        rows, targets = scored.flatten(0, 1), labels.flatten()
        try:
            if skip_logits:
                nats = sum_of_nats(rows, self.lm_head, targets)
            else:
                nats = F.cross_entropy(
                    rows.float(), targets, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
                )
        except (IndexError, RuntimeError) as error:
            refuse_targets(error, labels, self.lm_head.out_features)
        return nats / number_of_items((labels != IGNORED).sum(), num_items)

    def pipeline(self, tokenizer, **kwargs):
        """This model and its tokenizer as a translation pipeline; see `RnnTranslationPipeline`."""
        from .pipeline_translation import RnnTranslationPipeline  # and so a checkpoint carries that file

        return RnnTranslationPipeline(model=self, tokenizer=tokenizer, **kwargs)

    # ---- generation ----
    def generate(self, *args, **kwargs):
        """As `RecurrentGenerationMixin.generate`; the source is read once, and given again with a state to go on from.

        Raises:
            ValueError: for more beams than the target has tokens, or a state without `decoder_input_ids`.
        """
        config = kwargs.get("generation_config") or self.generation_config
        beams = kwargs.get("num_beams") or getattr(config, "num_beams", None) or 1
        if refusal := self.config.refusal_of_beams(beams):
            raise ValueError(refusal)
        if isinstance(kwargs.get("encoder_outputs"), (tuple, list)):  # which the library cannot repeat for the beams
            kwargs["encoder_outputs"] = BaseModelOutput(last_hidden_state=kwargs["encoder_outputs"][0])
        return super().generate(*args, **kwargs)

    def _prepare_decoder_input_ids_for_generation(
        self, batch_size, model_input_name, model_kwargs, decoder_start_token_id, device=None
    ):
        if model_kwargs.get("cache_params") is not None:  # in the middle of a text there is no start token
            ids = model_kwargs.pop("decoder_input_ids", None)
            if ids is None or not ids.shape[1]:
                raise ValueError(
                    "a state is given, but no decoder_input_ids: the first token to be read is the last one that was "
                    "written, sequences[:, -1:]"
                )
            return ids, model_kwargs
        return super()._prepare_decoder_input_ids_for_generation(
            batch_size, model_input_name, model_kwargs, decoder_start_token_id, device
        )

    def prepare_inputs_for_generation(
        self, input_ids, cache_params=None, is_first_iteration=False, use_cache=None, **kwargs
    ):
        if is_first_iteration or not use_cache or cache_params is None:
            return super().prepare_inputs_for_generation(
                input_ids,
                cache_params=cache_params,
                is_first_iteration=is_first_iteration,
                use_cache=use_cache,
                **kwargs,
            )
        return self.inputs_of_next_step(input_ids, cache_params, prefix="decoder_", **kwargs)
