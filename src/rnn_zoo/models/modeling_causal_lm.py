"""The language model: hidden states -> scores of the next token.

Sizes: `B` batch, `T` time, `E` embedding, `H` hidden, `V` vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_rnn import RnnConfig
from .modeling_rnn import RnnModel, RnnPreTrainedModel, number_of_items, refuse_losses_of_others
from .output_loss import IGNORED, LARGE, AdaptiveOutput, refuse_targets, sum_of_nats
from .recurrent_generation import RecurrentGenerationMixin
from .recurrent_state import RecurrentState
from .step_decoder import StepDecoder

# By this table of names `Trainer` finds out that labels are shifted before it smooths them.
MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.setdefault(RnnConfig.model_type, "RnnForCausalLM")


@dataclass
class RnnCausalLMOutput(ModelOutput):
    """
    Args:
        loss: with `labels`, the mean cross-entropy in nats a token.
        logits: `(B, T, V)`, scores of the next token before the softmax; `None` with `skip_logits`.
        cache_params: the state after the last real token of each row, to be passed on with the text that follows.
        hidden_states: with `output_hidden_states`, the embeddings and the output of each layer.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    cache_params: RecurrentState | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class RnnForCausalLM(RnnPreTrainedModel, RecurrentGenerationMixin):
    """A recurrent language model: `p(x_t | x_<t) = softmax(W y_{t-1} + b)`.

    With `reads_backward` it is `p(x_t | x_>t) = softmax(W y_{t+1} + b)`: texts stand as ever, and "next" below is the
    token before. Such a model is there to be begun with (`rnn_zoo.init_from_language_model`); it generates nothing.

    With `tie_word_embeddings`, `W` is the embedding's matrix, after a projection where the sizes differ.

    Raises:
        ValueError: for a bidirectional configuration, which would read the token it is asked to predict.
    """

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012 (the library's own form)

    @classmethod
    def refusal_of(cls, config) -> str | None:
        if config.bidirectional:
            return "bidirectional=True: a language model reads in one direction only; use bidirectional=False"
        if config.character_vocab_size is not None:
            return "character_vocab_size: a language model of ours cannot spell the words it writes; use None"
        return None

    def __init__(self, config: RnnConfig):
        if refusal := self.refusal_of(config):
            raise ValueError(refusal)
        super().__init__(config)
        assert config.embedding_size is not None  # RnnConfig has filled it in
        self.model = RnnModel(config)
        width = config.output_size
        if config.tie_word_embeddings and width != config.embedding_size:
            self.output_projection: nn.Module = nn.Linear(width, config.embedding_size, bias=False)
            width = config.embedding_size
        else:
            self.output_projection = nn.Identity()
        cutoffs = config.adaptive_softmax_cutoffs
        self.lm_head: nn.Module = (
            nn.Linear(width, config.vocab_size)
            if cutoffs is None
            else AdaptiveOutput(width, config.vocab_size, cutoffs)
        )
        self.post_init()

    def get_output_embeddings(self) -> nn.Module | None:
        """`None` for an adaptive softmax, which has no row of its own for each token."""
        return None if isinstance(self.lm_head, AdaptiveOutput) else self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Linear):
        self.lm_head = new_embeddings

    def resize_token_embeddings(self, *args, **kwargs):
        if isinstance(self.lm_head, AdaptiveOutput) and (args or kwargs):
            raise ValueError("resize_token_embeddings: a model with adaptive_softmax_cutoffs cannot be resized")
        return super().resize_token_embeddings(*args, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        cache_params: RecurrentState | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs,
    ) -> RnnCausalLMOutput:
        """Scores the next token at every position; the other arguments are those of `RnnModel`.

        Args:
            labels: `(B, T)`; position t is scored against `labels[:, t + 1]`, so that `labels = input_ids` is usual;
                -100 does not count. The last position of a row has no target, and a masked one is not scored. With
                `reads_backward` it is `labels[:, t - 1]`, and the first position that has none.
            logits_to_keep: number of last positions that are scored, 0 for all; or their indices.
            shift_labels (in `kwargs`): `(B, T)`, the target of position t itself. It takes the place of the shifted
                `labels` and keeps the target that lies beyond a chunk's border. (Not a named argument: `Trainer` would
                take it for a label that every batch must have.)
            skip_logits (in `kwargs`): with `labels`, whether the loss is all that is asked for. Scores of a large
                vocabulary are then computed for some positions at a time, and `logits` is `None`.
            num_items_in_batch (in `kwargs`): the sum of the losses is divided by it instead of by the batch's own
                number of targets, as `Trainer` needs it when it accumulates gradients.

        Raises:
            ValueError, IndexError: as `RnnModel`, and for labels outside the vocabulary; with `reads_backward` if
                `Trainer` makes the loss without the model (`label_smoothing_factor`, `compute_loss_func`).
        """
        step_decoder = kwargs.pop("step_decoder", None)  # put there by `generate`
        all_layers = output_hidden_states or self.config.output_hidden_states
        if step_decoder is not None and input_ids is not None and input_ids.shape[1] == 1 and not all_layers:
            logits, state = step_decoder(input_ids[:, 0], cache_params)
            return RnnCausalLMOutput(logits=logits[:, None], cache_params=state)
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            cache_params=cache_params,
            past_key_values=kwargs.pop("past_key_values", None),
            position_ids=kwargs.pop("position_ids", None),
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        hidden = outputs.last_hidden_state[:, keep]
        skip_logits = kwargs.pop("skip_logits", False) and labels is not None
        logits = None if skip_logits else self.scores(hidden)
        loss = None
        targets = kwargs.pop("shift_labels", None)
        if labels is None and targets is None and self.config.reads_backward:
            refuse_losses_of_others("reads_backward: targets are the tokens before", kwargs.get("num_items_in_batch"))
        if targets is None and labels is not None:
            targets = self.next_of(labels, IGNORED)
            if attention_mask is not None:  # padding is no target either
                targets = targets.masked_fill(self.next_of(attention_mask, 0) == 0, IGNORED)
        if targets is not None:
            items = kwargs.pop("num_items_in_batch", None)
            if attention_mask is not None:
                counted = targets.ne(IGNORED).sum()
                targets = targets.masked_fill(attention_mask == 0, IGNORED)
                # They were counted before the mask took some; the share is this batch's, exact but for accumulation.
                if items is not None:
                    items = items * targets.ne(IGNORED).sum() / counted.clamp(min=1)
            targets = targets[:, keep].contiguous()
            kwargs["num_items_in_batch"] = number_of_items(targets.ne(IGNORED).sum(), items)
            size = self.config.vocab_size
            try:
                if logits is None:
                    loss = self.loss_without_logits(hidden, targets) / kwargs["num_items_in_batch"]
                else:
                    loss = self.loss_function(logits, labels=None, shift_labels=targets, vocab_size=size, **kwargs)
            except (IndexError, RuntimeError) as error:
                refuse_targets(error, targets if labels is None else labels, size)
        return RnnCausalLMOutput(
            loss=loss, logits=logits, cache_params=outputs.cache_params, hidden_states=outputs.hidden_states
        )

    def next_of(self, x: torch.Tensor, fill: int) -> torch.Tensor:
        """`x (B, T)` -> at each position what stands at the one that is read next, `fill` where there is none."""
        if self.config.reads_backward:
            return F.pad(x[:, :-1], (1, 0), value=fill)
        return F.pad(x[:, 1:], (0, 1), value=fill)

    def scores(self, hidden: torch.Tensor) -> torch.Tensor:
        """The stack's output `(..., H)` -> scores of the next token `(..., V)`."""
        return self.lm_head(self.output_projection(hidden))

    def loss_without_logits(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The sum of the losses in nats: the stack's output `(B, T, H)`, `targets (B, T)` of each position."""
        hidden = self.output_projection(hidden)
        return sum_of_nats(hidden.flatten(0, 1), self.lm_head, targets.flatten())

    def can_skip_logits(self) -> bool:
        """Whether a training step that needs the loss alone had better leave the scores out."""
        return self.config.vocab_size > LARGE or isinstance(self.lm_head, AdaptiveOutput)

    # ---- generation ----
    def _maybe_initialize_input_ids_for_generation(self, inputs=None, bos_token_id=None, model_kwargs=None):
        kwargs = {} if model_kwargs is None else model_kwargs
        is_ids = inputs is not None and inputs.dim() == 2
        state = kwargs.get("cache_params")
        if state is not None:
            if (is_ids and inputs.shape[1] == 0) or (inputs is None and "inputs_embeds" not in kwargs):
                raise ValueError(
                    "the prompt is empty, but a state is given: the first token to be read is the last one that was "
                    "written, sequences[:, -1:]"
                )
        elif is_ids and bool((empty := self._empty_prompts(inputs, kwargs.get("attention_mask"))).any()):
            if bos_token_id is None:
                raise ValueError("the prompt is empty and the model has no bos_token_id to begin with")
            inputs = F.pad(inputs, (0, 1)) if inputs.shape[1] == 0 else inputs.clone()
            inputs[empty, -1] = int(bos_token_id)
            if kwargs.get("attention_mask") is not None:
                mask = F.pad(kwargs["attention_mask"], (0, inputs.shape[1] - kwargs["attention_mask"].shape[1]))
                mask[empty, -1] = 1
                kwargs["attention_mask"] = mask
            return inputs.to(device=self.device, dtype=torch.long)
        return super()._maybe_initialize_input_ids_for_generation(inputs, bos_token_id, model_kwargs)

    def _empty_prompts(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Which rows of `ids (B, T)` hold no token, `(B)`: they begin with <bos>."""
        if mask is None:  # as the library tells padding
            padding, ends = self.generation_config.pad_token_id, self.generation_config.eos_token_id
            told = padding is not None and padding not in (ends if isinstance(ends, list) else [ends])
            mask = ids != padding if told else torch.ones_like(ids)
        return (mask.to(ids.device) == 0).all(1)

    def prepare_inputs_for_generation(
        self,
        input_ids,
        cache_params=None,
        inputs_embeds=None,
        is_first_iteration=False,
        use_cache=None,
        **kwargs,
    ):
        if is_first_iteration or not use_cache:
            mask, prompt = kwargs.get("attention_mask"), input_ids if inputs_embeds is None else inputs_embeds
            if mask is not None and is_first_iteration:
                if cache_params is not None:  # a mask of the whole text so far; the state has read the rest
                    mask = kwargs["attention_mask"] = mask[:, -prompt.shape[1] :]
                if bool(((mask[:, -1:] == 0).any(1) & (mask != 0).any(1)).any()):
                    raise ValueError("a prompt ends in padding: pad prompts on the left (padding_side='left')")
            return super().prepare_inputs_for_generation(
                input_ids,
                cache_params=cache_params,
                inputs_embeds=inputs_embeds,
                is_first_iteration=is_first_iteration,
                use_cache=use_cache,
                **kwargs,
            )
        return self.inputs_of_next_step(input_ids, cache_params, **kwargs)

    def _update_model_kwargs_for_generation(self, outputs, model_kwargs, **kwargs):
        model_kwargs = super()._update_model_kwargs_for_generation(outputs, model_kwargs, **kwargs)
        if "step_decoder" not in model_kwargs and model_kwargs.get("use_cache"):
            model_kwargs["step_decoder"] = StepDecoder(self) if StepDecoder.suits(self) else None
        return model_kwargs
