"""The language model: hidden states -> scores of the next token.

Sizes: `B` batch, `T` time, `E` embedding, `H` hidden, `V` vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import GenerationMixin
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_rnn import RnnConfig
from .modeling_rnn import RnnModel, RnnPreTrainedModel
from .recurrent_state import RecurrentState


@dataclass
class RnnCausalLMOutput(ModelOutput):
    """
    Args:
        loss: with `labels`, the mean cross-entropy in nats a token.
        logits: `(B, T, V)`, scores of the next token before the softmax.
        cache_params: the state after the last real token of each row, to be passed on with the text that follows.
        hidden_states: with `output_hidden_states`, the embeddings and the output of each layer.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    cache_params: RecurrentState | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class RnnForCausalLM(RnnPreTrainedModel, GenerationMixin):
    """A recurrent language model: `p(x_t | x_<t) = softmax(W y_{t-1} + b)`.

    With `tie_word_embeddings`, `W` is the embedding's matrix, after a projection where the sizes differ.

    Raises:
        ValueError: for a bidirectional configuration, which would read the token it is asked to predict.
    """

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012 (the library's own form)

    def __init__(self, config: RnnConfig):
        if config.bidirectional:
            raise ValueError("bidirectional=True: a language model reads forward only; use bidirectional=False")
        super().__init__(config)
        assert config.embedding_size is not None  # RnnConfig has filled it in
        self.model = RnnModel(config)
        width = config.output_size
        if config.tie_word_embeddings and width != config.embedding_size:
            self.output_projection: nn.Module = nn.Linear(width, config.embedding_size, bias=False)
            width = config.embedding_size
        else:
            self.output_projection = nn.Identity()
        self.lm_head = nn.Linear(width, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Linear):
        self.lm_head = new_embeddings

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
                -100 does not count. The last position of a row has no target.
            logits_to_keep: number of last positions that are scored, 0 for all; or their indices.
            shift_labels (in `kwargs`): `(B, T)`, the target of position t itself. It takes the place of the shifted
                `labels` and keeps the target that lies beyond a chunk's border. (Not a named argument: `Trainer` would
                take it for a label that every batch must have.)
            num_items_in_batch (in `kwargs`): the sum of the losses is divided by it instead of by the batch's own
                number of targets, as `Trainer` needs it when it accumulates gradients.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            cache_params=cache_params,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(self.output_projection(outputs.last_hidden_state[:, keep]))
        loss = None
        shift_labels = kwargs.pop("shift_labels", None)
        if labels is not None or shift_labels is not None:
            loss = self.loss_function(
                logits=logits,
                labels=labels,
                shift_labels=None if shift_labels is None else shift_labels.contiguous(),
                vocab_size=self.config.vocab_size,
                **kwargs,
            )
        return RnnCausalLMOutput(
            loss=loss, logits=logits, cache_params=outputs.cache_params, hidden_states=outputs.hidden_states
        )

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # the state comes from the first forward; a cache of keys and values would stay empty

    def _expand_inputs_for_generation(self, expand_size=1, cache_params=None, **kwargs):
        if cache_params is not None:  # a row for each beam or sample, as for the tokens
            rows = torch.arange(cache_params.batch_size).repeat_interleave(expand_size)
            kwargs["cache_params"] = cache_params.index_select(rows)
        return super()._expand_inputs_for_generation(expand_size=expand_size, **kwargs)

    def prepare_inputs_for_generation(
        self, input_ids, cache_params=None, inputs_embeds=None, is_first_iteration=False, **kwargs
    ):
        inputs = super().prepare_inputs_for_generation(
            input_ids,
            cache_params=cache_params,
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )
        if not is_first_iteration and inputs.get("use_cache"):
            inputs["attention_mask"] = None  # it describes the text so far; the one new token is real
        return inputs
