"""The configuration of every model with one recurrent stack."""

from difflib import get_close_matches

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .cells import CELLS


@strict
class RnnConfig(PreTrainedConfig):
    r"""
    What a recurrent model is made of. A recurrence is a value of `cell_type`; a task is a head on top.

    The five dropouts are those of the AWD-LSTM (Merity, Keskar, Socher 2017); each is a share in [0, 1) and works in
    training only.

    Args:
        vocab_size (`int`, *optional*, defaults to 256):
            Number of token ids.
        embedding_size (`int`, *optional*):
            Features of a token's vector. `None` means `hidden_size`.
        hidden_size (`int`, *optional*, defaults to 512):
            Features of the hidden state of each layer and direction.
        num_hidden_layers (`int`, *optional*, defaults to 1):
            Number of recurrent layers.
        cell_type (`str`, *optional*, defaults to `"lstm"`):
            The recurrence, one of the names in `rnn_zoo.CELLS`.
        bidirectional (`bool`, *optional*, defaults to `False`):
            Whether each layer also reads from the end and concatenates both directions. Not for language models.
        residual (`bool`, *optional*, defaults to `False`):
            Whether a layer's input is added to its output, wherever the two have the same size.
        layer_norm (`bool`, *optional*, defaults to `False`):
            Whether each layer's input and the stack's output are normalized (Ba, Kiros, Hinton 2016, outside the cell).
        layer_norm_eps (`float`, *optional*, defaults to 1e-5):
            Added to the variance in the layer normalization.
        embedding_dropout (`float`, *optional*, defaults to 0.0):
            Share of the vocabulary whose vectors are zero for a whole batch.
        input_dropout (`float`, *optional*, defaults to 0.0):
            Share of the features dropped between the embedding and the first layer, one mask for all steps of a row.
        hidden_dropout (`float`, *optional*, defaults to 0.0):
            Share of the features dropped between two layers, one mask for all steps of a row.
        output_dropout (`float`, *optional*, defaults to 0.0):
            Share of the features dropped after the last layer, one mask for all steps of a row.
        recurrent_weight_dropout (`float`, *optional*, defaults to 0.0):
            Share of the hidden-to-hidden weights dropped, one mask for a whole call (DropConnect).
        tie_word_embeddings (`bool`, *optional*, defaults to `False`):
            Whether the output layer shares the embedding's matrix (Press and Wolf 2017); where the stack's output and
            `embedding_size` differ, a linear projection stands between them.
        forget_gate_bias (`float`, *optional*, defaults to 1.0):
            Initial bias of the forget gate, for cells that have one (Jozefowicz et al. 2015).
        recurrent_init (`str`, *optional*, defaults to `"orthogonal"`):
            Initial hidden-to-hidden weights: `"orthogonal"` for each gate or `"uniform"` in ±1/√hidden_size.
        initializer_range (`float`, *optional*, defaults to 0.1):
            Standard deviation of the initial embedding and output matrices.
        use_cache (`bool`, *optional*, defaults to `True`):
            Whether the final state is returned outside training.
        pad_token_id (`int`, *optional*): Id of the padding token.
        bos_token_id (`int`, *optional*): Id of the token that begins a text.
        eos_token_id (`int`, *optional*): Id of the token that ends a text.

    Raises:
        huggingface_hub.errors.StrictDataclassError: for a value of the wrong type or outside its range; the message
            names the value and what is allowed.
    """

    model_type = "rnn_zoo"
    keys_to_ignore_at_inference = ["cache_params", "hidden_states"]  # noqa: RUF012 (the library's own form)

    vocab_size: int = 256
    embedding_size: int | None = None
    hidden_size: int = 512
    num_hidden_layers: int = 1
    cell_type: str = "lstm"
    bidirectional: bool = False
    residual: bool = False
    layer_norm: bool = False
    layer_norm_eps: float = 1e-5
    embedding_dropout: float | int = 0.0
    input_dropout: float | int = 0.0
    hidden_dropout: float | int = 0.0
    output_dropout: float | int = 0.0
    recurrent_weight_dropout: float | int = 0.0
    tie_word_embeddings: bool = False
    forget_gate_bias: float | int = 1.0
    recurrent_init: str = "orthogonal"
    initializer_range: float | int = 0.1
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __post_init__(self, **kwargs):
        if self.embedding_size is None:
            self.embedding_size = self.hidden_size
        super().__post_init__(**kwargs)

    @property
    def output_size(self) -> int:
        """Features of the stack's output: `hidden_size`, twice that with two directions."""
        return self.hidden_size * (2 if self.bidirectional else 1)

    def validate_architecture(self):
        """Part of the `@strict` validation: ranges and names, with what was given and what is allowed."""
        for name in ("vocab_size", "hidden_size", "num_hidden_layers", "embedding_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        if self.layer_norm_eps <= 0:
            raise ValueError(f"layer_norm_eps={self.layer_norm_eps}: must be above 0")
        for name in ("embedding", "input", "hidden", "output", "recurrent_weight"):
            if not 0 <= getattr(self, f"{name}_dropout") < 1:
                raise ValueError(f"{name}_dropout={getattr(self, f'{name}_dropout')}: must be in [0, 1)")
        one_of("cell_type", self.cell_type, list(CELLS))
        one_of("recurrent_init", self.recurrent_init, ["orthogonal", "uniform"])


def one_of(name: str, given: str, allowed: list[str]) -> None:
    """Raises `ValueError` unless `given` is in `allowed`; the sentence proposes the nearest name."""
    if given not in allowed:
        nearest = get_close_matches(given, allowed, n=1)
        guess = f" did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(f"{name}={given!r}: unknown;{guess} (choose from {', '.join(allowed)})")
