"""The configuration of the models with an encoder and a decoder."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .configuration_rnn import RnnConfig
from .keys import explained, keys_of
from .keys_embedding import EmbeddingKeys
from .keys_seq2seq import RnnSeq2SeqKeys
from .keys_stack import StackKeys

# By this entry of a checkpoint `pipeline("translation", trust_remote_code=True)` finds the class.
PIPELINE = {"impl": "pipeline_translation.RnnTranslationPipeline", "pt": ["AutoModelForSeq2SeqLM"], "type": "text"}


@explained
@strict
class RnnSeq2SeqConfig(RnnSeq2SeqKeys, PreTrainedConfig):
    r"""
    What a recurrent encoder and decoder are made of. What is not named after one of them holds for both.

    Raises:
        huggingface_hub.errors.StrictDataclassError: for a value of the wrong type or outside its range; the message
            names the value and what is allowed.
    """

    model_type = "rnn_zoo_seq2seq"
    keys_to_ignore_at_inference = [  # noqa: RUF012 (the library's own form)
        *("cache_params", "cross_attentions", "decoder_hidden_states"),
        *("encoder_last_hidden_state", "encoder_hidden_states"),
    ]

    def __post_init__(self, **kwargs):
        for name, other in (
            ("decoder_vocab_size", "vocab_size"),
            ("embedding_size", "hidden_size"),
            ("decoder_hidden_size", "hidden_size"),
            ("decoder_layers", "num_hidden_layers"),
            ("decoder_cell_type", "cell_type"),
            ("attention_size", "decoder_hidden_size"),
            ("attention_layer", "decoder_layers"),
            ("decoder_start_token_id", "bos_token_id"),
        ):
            if getattr(self, name) is None:
                setattr(self, name, getattr(self, other))
        kwargs.setdefault("custom_pipelines", {"translation": PIPELINE})
        super().__post_init__(**kwargs)

    def refusal_of_beams(self, beams: int, name: str = "num_beams") -> str | None:
        """The sentence for more beams than the target has tokens, which no search can follow; otherwise `None`."""
        size = self.decoder_vocab_size
        assert size is not None  # filled in above
        return f"{name}={beams}: the target has only {size} tokens" if beams > size else None

    def encoder_config(self) -> RnnConfig:
        """The encoder, as a model with one stack."""
        return self._stack(bidirectional=self.encoder_bidirectional)

    def decoder_config(self, num_layers: int) -> RnnConfig:
        """Some of the decoder's layers, as a stack; what follows them is dropped out as between two layers."""
        return self._stack(
            vocab_size=self.decoder_vocab_size,
            hidden_size=self.decoder_hidden_size,
            num_hidden_layers=num_layers,
            cell_type=self.decoder_cell_type,
            output_dropout=self.hidden_dropout,
        )

    def _stack(self, **its_own: Any) -> RnnConfig:
        """One of the two, with all that is said for both."""
        of_both = {name: getattr(self, name) for group in (EmbeddingKeys, StackKeys) for name in keys_of(group)}
        alone = {"tie_word_embeddings": False, "use_cache": False, "bos_token_id": None, "eos_token_id": None}
        return RnnConfig(**of_both | alone | its_own)

    def validate_stacks(self) -> None:
        """The rest is refused by the configurations of the stacks."""
        assert self.decoder_layers is not None
        self.encoder_config()
        self.decoder_config(self.decoder_layers)
