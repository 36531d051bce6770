"""The keys of a model with an encoder and a decoder. What is not named after one of them holds for both."""

from collections.abc import Iterable
from dataclasses import dataclass

from .keys import KeyGroup, key
from .keys_embedding import EmbeddingKeys
from .keys_stack import StackKeys, cell_types
from .ranges import LAYERS, SHARE, Range

BRIDGES = ("last", "mean", "none")


def attentions() -> Iterable[str]:
    from .attention import ATTENTIONS  # needs torch

    return ("none", *ATTENTIONS)


@dataclass(repr=False)
class DecoderKeys(KeyGroup):
    """What a decoder has beside a stack: a target, and a way to look back at the source."""

    decoder_vocab_size: int | None = key(
        None,
        "Number of token ids of the target. `None` means `vocab_size`.",
        within=Range(1),
        shapes_weights=True,
        given_by="tokenizer",
    )
    share_encoder_decoder_embeddings: bool = key(
        True,
        "Whether source and target have one vocabulary, and one embedding.",
        shapes_weights=True,
        given_by="tokenizer",
    )
    decoder_hidden_size: int | None = key(
        None,
        "Features of the hidden state of each layer of the decoder. `None` means `hidden_size`.",
        within=Range(1),
        shapes_weights=True,
    )
    decoder_layers: int | None = key(
        None,
        "Number of layers of the decoder. `None` means `num_hidden_layers`.",
        within=LAYERS,
        shapes_weights=True,
    )
    decoder_cell_type: str | None = key(
        None, "That of the decoder. `None` means `cell_type`.", choices=cell_types, shapes_weights=True
    )
    encoder_bidirectional: bool = key(
        True,
        "Whether each layer of the encoder also reads from the end and concatenates both directions.",
        shapes_weights=True,
    )
    bridge: str = key(
        "last",
        'What the decoder begins with, through a learnt matrix and tanh for each of its states: `"last"`, what the '
        'encoder\'s last layer knows when it has read all (of both directions); `"mean"` of its outputs; `"none"`: '
        "zeros.",
        choices=BRIDGES,
        shapes_weights=True,
    )
    attention: str = key(
        "luong_general",
        'How the decoder looks back at the source: `"bahdanau"` (additive), `"luong_dot"`, `"luong_general"`, '
        '`"luong_concat"` or `"none"`.',
        choices=attentions,
        shapes_weights=True,
    )
    attention_size: int | None = key(
        None,
        "Features that additive attention compares in. `None` means `decoder_hidden_size`.",
        within=Range(1),
        shapes_weights=True,
    )
    attention_scaled: bool = key(
        False,
        "Whether its scores are kept in bounds: divided by √decoder_hidden_size, or a normalized vector if additive.",
        shapes_weights=True,
    )
    attention_layer: int | None = key(
        None,
        "Number of decoder layers below the attention; those above it also read what it has found, and so know where "
        "it looked before, at no loss of speed. `None`: all are below.",
        within=Range(),  # more is said below
        shapes_weights=True,
    )
    input_feeding: bool = key(
        False,
        "Whether the decoder's first layer also reads what the output layer read one step before (Luong, Pham, Manning "
        "2015, section 3.3). Training then takes one call a step instead of one for the whole sequence.",
        shapes_weights=True,
    )
    label_smoothing: float | int = key(
        0.0,
        "Share of the target's probability that is spread over the whole vocabulary in training (Szegedy et al. 2016, "
        "section 7).",
        within=SHARE,
        on_resume="applies",
    )
    scheduled_sampling: float | int = key(
        0.0,
        "Share of the decoder's inputs that are the model's own words in training instead of the target's (Bengio et "
        "al. 2015; found in a pass of their own, as in Mihaylova and Martins 2019).",
        within=SHARE,
        on_resume="applies",
    )
    is_encoder_decoder: bool = key(True, "Always.", given_by="model")
    decoder_start_token_id: int | None = key(
        None, "Id of the token that the decoder reads first. `None` means `bos_token_id`.", given_by="tokenizer"
    )

    def validate_attention(self) -> None:
        assert self.attention_layer is not None  # both are filled in by the configuration
        assert self.decoder_layers is not None
        if not 1 <= self.attention_layer <= self.decoder_layers:
            raise ValueError(
                f"attention_layer={self.attention_layer}: must be between 1 and decoder_layers={self.decoder_layers}"
            )
        if self.attention == "none" and self.bridge == "none":
            raise ValueError("attention='none', bridge='none': the decoder would know nothing of the source")
        if self.attention == "none" and self.attention_layer != self.decoder_layers:
            raise ValueError(f"attention_layer={self.attention_layer}: there is no attention (attention='none')")


@dataclass(repr=False)
class RnnSeq2SeqKeys(DecoderKeys, EmbeddingKeys, StackKeys):
    """Of both, and what they ask of each other."""

    def validate_vocabularies(self) -> None:
        if self.share_encoder_decoder_embeddings and self.decoder_vocab_size != self.vocab_size:
            raise ValueError(
                f"decoder_vocab_size={self.decoder_vocab_size}, vocab_size={self.vocab_size}: two vocabularies cannot "
                "have one embedding; use share_encoder_decoder_embeddings=False"
            )

    def validate_input_feeding(self) -> None:
        for name in ("recurrent_weight_dropout", "recurrent_dropout"):
            if self.input_feeding and getattr(self, name):
                raise ValueError(f"{name}={getattr(self, name)}: not available with input_feeding")
