"""The configuration of the models with an encoder and a decoder."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .attention import ATTENTIONS
from .cells import CELLS
from .configuration_rnn import RnnConfig, one_of
from .ranges import LAYERS, SHARE, Range, first_refusal

BRIDGES = ("last", "mean", "none")
# By this entry of a checkpoint `pipeline("translation", trust_remote_code=True)` finds the class.
PIPELINE = {"impl": "pipeline_translation.RnnTranslationPipeline", "pt": ["AutoModelForSeq2SeqLM"], "type": "text"}


@strict
class RnnSeq2SeqConfig(PreTrainedConfig):
    r"""
    What a recurrent encoder and decoder are made of. What is not named after one of them holds for both.

    Args:
        vocab_size (`int`, *optional*, defaults to 256):
            Number of token ids, of the source if the target has others.
        decoder_vocab_size (`int`, *optional*):
            Number of token ids of the target. `None` means `vocab_size`.
        share_encoder_decoder_embeddings (`bool`, *optional*, defaults to `True`):
            Whether source and target have one vocabulary, and one embedding.
        embedding_size (`int`, *optional*):
            Features of a token's vector, and of what the output layer reads. `None` means `hidden_size`.
        hidden_size (`int`, *optional*, defaults to 512):
            Features of the hidden state of each layer and direction of the encoder.
        decoder_hidden_size (`int`, *optional*):
            Features of the hidden state of each layer of the decoder. `None` means `hidden_size`.
        num_hidden_layers (`int`, *optional*, defaults to 1):
            Number of layers of the encoder.
        decoder_layers (`int`, *optional*):
            Number of layers of the decoder. `None` means `num_hidden_layers`.
        cell_type (`str`, *optional*, defaults to `"lstm"`):
            The recurrence, one of the names in `rnn_zoo.CELLS`.
        decoder_cell_type (`str`, *optional*):
            That of the decoder. `None` means `cell_type`.
        encoder_bidirectional (`bool`, *optional*, defaults to `True`):
            Whether each layer of the encoder also reads from the end and concatenates both directions.
        bridge (`str`, *optional*, defaults to `"last"`):
            What the decoder begins with, through a learnt matrix and tanh for each of its states: `"last"`, what the
            encoder's last layer knows when it has read all (of both directions); `"mean"` of its outputs; `"none"`:
            zeros.
        attention (`str`, *optional*, defaults to `"luong_general"`):
            How the decoder looks back at the source: `"bahdanau"` (additive), `"luong_dot"`, `"luong_general"`,
            `"luong_concat"` or `"none"`.
        attention_size (`int`, *optional*):
            Features that additive attention compares in. `None` means `decoder_hidden_size`.
        attention_scaled (`bool`, *optional*, defaults to `False`):
            Whether its scores are kept in bounds: divided by √decoder_hidden_size, or a normalized vector if additive.
        attention_layer (`int`, *optional*):
            Number of decoder layers below the attention; those above it also read what it has found, and so know
            where it looked before, at no loss of speed. `None`: all are below.
        input_feeding (`bool`, *optional*, defaults to `False`):
            Whether the decoder's first layer also reads what the output layer read one step before (Luong, Pham,
            Manning 2015, section 3.3). Training then takes one call a step instead of one for the whole sequence.
        residual (`bool`, *optional*, defaults to `False`):
            Whether a layer's input is added to its output, wherever the two have the same size.
        layer_norm (`bool`, *optional*, defaults to `False`):
            Whether each layer's input and each stack's output are normalized (Ba, Kiros, Hinton 2016, outside the
            cell).
        layer_norm_eps (`float`, *optional*, defaults to 1e-5):
            Added to the variance in the layer normalization.
        embedding_dropout (`float`, *optional*, defaults to 0.0):
            Share of the vocabulary whose vectors are zero for a whole batch.
        input_dropout (`float`, *optional*, defaults to 0.0):
            Share of the features dropped between an embedding and the first layer, one mask for all steps of a row.
        hidden_dropout (`float`, *optional*, defaults to 0.0):
            Share of the features dropped between two layers, one mask for all steps of a row.
        output_dropout (`float`, *optional*, defaults to 0.0):
            Share of the features dropped after the encoder's last layer and before the output layer, one mask for all
            steps of a row.
        recurrent_weight_dropout (`float`, *optional*, defaults to 0.0):
            Share of the hidden-to-hidden weights dropped, one mask for a whole call (DropConnect).
        word_dropout (`float`, *optional*, defaults to 0.0):
            Share of the tokens that are replaced by `unk_token_id` in training, on both sides.
        label_smoothing (`float`, *optional*, defaults to 0.0):
            Share of the target's probability that is spread over the whole vocabulary in training (Szegedy et al.
            2016, section 7).
        scheduled_sampling (`float`, *optional*, defaults to 0.0):
            Share of the decoder's inputs that are the model's own words in training instead of the target's (Bengio et
            al. 2015; found in a pass of their own, as in Mihaylova and Martins 2019).
        tie_word_embeddings (`bool`, *optional*, defaults to `False`):
            Whether the output layer shares the target embedding's matrix; with one vocabulary all three are one (Press
            and Wolf 2017, section 3).
        forget_gate_bias (`float`, *optional*, defaults to 1.0):
            Initial bias of the forget gate, for cells that have one (Jozefowicz et al. 2015).
        recurrent_init (`str`, *optional*, defaults to `"orthogonal"`):
            Initial hidden-to-hidden weights: `"orthogonal"` for each gate or `"uniform"` in ±1/√hidden_size.
        initializer_range (`float`, *optional*, defaults to 0.1):
            Standard deviation of the initial embedding and output matrices.
        use_cache (`bool`, *optional*, defaults to `True`):
            Whether the decoder's final state is returned outside training.
        pad_token_id (`int`, *optional*): Id of the padding token.
        bos_token_id (`int`, *optional*): Id of the token that begins a text.
        eos_token_id (`int`, *optional*): Id of the token that ends a text.
        unk_token_id (`int`, *optional*): Id of the unknown word.
        decoder_start_token_id (`int`, *optional*): Id of the token that the decoder reads first. `None` means
            `bos_token_id`.

    Raises:
        huggingface_hub.errors.StrictDataclassError: for a value of the wrong type or outside its range; the message
            names the value and what is allowed.
    """

    model_type = "rnn_zoo_seq2seq"
    keys_to_ignore_at_inference = [  # noqa: RUF012 (the library's own form)
        *("cache_params", "cross_attentions", "decoder_hidden_states"),
        *("encoder_last_hidden_state", "encoder_hidden_states"),
    ]
    # Of every number that is no id: what is of both configurations, and what is not.
    ranges = {  # noqa: RUF012 (as above)
        **{
            name: RnnConfig.ranges[name]
            for name in (
                *("vocab_size", "hidden_size", "num_hidden_layers", "embedding_size", "layer_norm_eps"),
                *("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout", "word_dropout"),
                *("recurrent_weight_dropout", "label_smoothing", "forget_gate_bias", "initializer_range"),
            )
        },
        **dict.fromkeys(("decoder_vocab_size", "decoder_hidden_size", "attention_size"), Range(1)),
        "decoder_layers": LAYERS,
        "attention_layer": Range(),  # more is said below
        "scheduled_sampling": SHARE,
    }

    vocab_size: int = 256
    decoder_vocab_size: int | None = None
    share_encoder_decoder_embeddings: bool = True
    embedding_size: int | None = None
    hidden_size: int = 512
    decoder_hidden_size: int | None = None
    num_hidden_layers: int = 1
    decoder_layers: int | None = None
    cell_type: str = "lstm"
    decoder_cell_type: str | None = None
    encoder_bidirectional: bool = True
    bridge: str = "last"
    attention: str = "luong_general"
    attention_size: int | None = None
    attention_scaled: bool = False
    attention_layer: int | None = None
    input_feeding: bool = False
    residual: bool = False
    layer_norm: bool = False
    layer_norm_eps: float = 1e-5
    embedding_dropout: float | int = 0.0
    input_dropout: float | int = 0.0
    hidden_dropout: float | int = 0.0
    output_dropout: float | int = 0.0
    recurrent_weight_dropout: float | int = 0.0
    word_dropout: float | int = 0.0
    label_smoothing: float | int = 0.0
    scheduled_sampling: float | int = 0.0
    tie_word_embeddings: bool = False
    forget_gate_bias: float | int = 1.0
    recurrent_init: str = "orthogonal"
    initializer_range: float | int = 0.1
    is_encoder_decoder: bool = True
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    unk_token_id: int | None = None
    decoder_start_token_id: int | None = None

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
        return RnnConfig(
            **self._of_both(),
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_hidden_layers,
            cell_type=self.cell_type,
            bidirectional=self.encoder_bidirectional,
            output_dropout=self.output_dropout,
        )

    def decoder_config(self, num_layers: int) -> RnnConfig:
        """Some of the decoder's layers, as a stack; what follows them is dropped out as between two layers."""
        assert self.decoder_vocab_size is not None  # all are filled in above
        assert self.decoder_hidden_size is not None
        assert self.decoder_cell_type is not None
        return RnnConfig(
            **self._of_both(),
            vocab_size=self.decoder_vocab_size,
            hidden_size=self.decoder_hidden_size,
            num_hidden_layers=num_layers,
            cell_type=self.decoder_cell_type,
            output_dropout=self.hidden_dropout,
        )

    def _of_both(self) -> dict:
        names = ["embedding_size", "residual", "layer_norm", "layer_norm_eps", "embedding_dropout", "input_dropout"]
        names += ["hidden_dropout", "recurrent_weight_dropout", "word_dropout", "forget_gate_bias", "recurrent_init"]
        names += ["initializer_range", "pad_token_id", "unk_token_id"]
        return {name: getattr(self, name) for name in names} | {"use_cache": False}

    def validate_architecture(self):
        """Part of the `@strict` validation: ranges and names, with what was given and what is allowed."""
        if refusal := first_refusal(vars(self), self.ranges):
            raise ValueError(refusal)
        assert self.attention_layer is not None  # both are filled in above
        assert self.decoder_layers is not None
        if not 1 <= self.attention_layer <= self.decoder_layers:
            raise ValueError(
                f"attention_layer={self.attention_layer}: must be between 1 and decoder_layers={self.decoder_layers}"
            )
        if self.share_encoder_decoder_embeddings and self.decoder_vocab_size != self.vocab_size:
            raise ValueError(
                f"decoder_vocab_size={self.decoder_vocab_size}, vocab_size={self.vocab_size}: two vocabularies cannot "
                "have one embedding; use share_encoder_decoder_embeddings=False"
            )
        one_of("cell_type", self.cell_type, list(CELLS))
        assert self.decoder_cell_type is not None
        one_of("decoder_cell_type", self.decoder_cell_type, list(CELLS))
        one_of("attention", self.attention, ["none", *ATTENTIONS])
        one_of("bridge", self.bridge, list(BRIDGES))
        if self.attention == "none" and self.bridge == "none":
            raise ValueError("attention='none', bridge='none': the decoder would know nothing of the source")
        if self.attention == "none" and self.attention_layer != self.decoder_layers:
            raise ValueError(f"attention_layer={self.attention_layer}: there is no attention (attention='none')")
        if self.input_feeding and self.recurrent_weight_dropout:
            raise ValueError(
                f"recurrent_weight_dropout={self.recurrent_weight_dropout}: not available with input_feeding"
            )
        self.encoder_config()  # the rest is refused by the configurations of the stacks
        self.decoder_config(self.decoder_layers)
