"""What `generate` has to know of models whose past is a state."""

import torch
from transformers import GenerationMixin

from .recurrent_state import RecurrentState


class WrittenVocabulary:
    """A tokenizer as the library's search for `stop_strings` needs it: with the tokens that the model writes.

    That search sees how each token is written behind the word "abcdef", which it encodes; a vocabulary of words, or of
    the characters of some texts, does not have it. Here a text is one token, itself: decoders take any.
    """

    def __init__(self, tokenizer):
        self._tokenizer = getattr(tokenizer, "target", tokenizer)  # of a `PairTokenizer`

    def __getattr__(self, name: str):
        return getattr(self._tokenizer, name)

    def __call__(self, text: str, **kwargs) -> dict[str, list[str]]:
        return {"input_ids": [text]}

    def _convert_id_to_token(self, token: str) -> str:
        return token


class RecurrentGenerationMixin(GenerationMixin):
    """`GenerationMixin` for models that take and return their past as `cache_params`."""

    def generate(self, *args, past_key_values: RecurrentState | None = None, **kwargs):
        """`GenerationMixin.generate`; a state to go on from is `cache_params`, or `past_key_values`, as it is returned.

        The prompt is then what follows the text that the state has read. After an earlier call that is first of all
        its last token, which was chosen, but not read: `outputs.sequences[:, -1:]`. A row that ended before the others
        was padded, and has read its padding. Beam search returns no state: its rows are not the texts it returns.
        """
        if getattr(self.config, "reads_backward", False):
            raise ValueError("reads_backward: this model gives the token before a text, so that none can be written on")
        if past_key_values is not None:
            if kwargs.get("cache_params") is not None:
                raise ValueError("cache_params and past_key_values are two names of one state: give one of them")
            kwargs["cache_params"] = past_key_values
        outputs = super().generate(*args, **kwargs)
        if "beam_indices" in getattr(outputs, "__dataclass_fields__", ()):
            outputs.past_key_values = None
        return outputs

    def _get_stopping_criteria(self, *args, tokenizer=None, **kwargs):
        tokenizer = None if tokenizer is None else WrittenVocabulary(tokenizer)
        return super()._get_stopping_criteria(*args, tokenizer=tokenizer, **kwargs)

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # the state comes from the first forward; a cache of keys and values would stay empty

    @staticmethod
    def inputs_of_next_step(input_ids, cache_params, prefix="", next_sequence_length=None, **kwargs) -> dict:
        """The arguments of `forward` for the tokens behind those that the state has read, as a rule one.

        `prefix` is that of their names. The mask describes the text so far, which the state has read; new tokens are
        real.
        """
        for name in (f"{prefix}attention_mask", "labels"):
            kwargs.pop(name, None)
        ids = input_ids[:, -(next_sequence_length or 1) :]
        return {f"{prefix}input_ids": ids, "cache_params": cache_params, "use_cache": True, **kwargs}

    def _expand_inputs_for_generation(self, expand_size=1, cache_params=None, **kwargs):
        if cache_params is not None:  # a row for each beam or sample, as for the tokens
            first = cache_params.layers[0][0][0]
            rows = torch.arange(len(first), device=first.device).repeat_interleave(expand_size)
            kwargs["cache_params"] = cache_params.index_select(rows)
        return super()._expand_inputs_for_generation(expand_size=expand_size, **kwargs)
