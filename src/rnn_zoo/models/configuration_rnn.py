"""The configuration of every model with one recurrent stack."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .keys import explained
from .keys_rnn import RnnKeys


@explained
@strict
class RnnConfig(RnnKeys, PreTrainedConfig):
    r"""
    What a recurrent model is made of. A recurrence is a value of `cell_type`; a task is a head on top.

    The five dropouts are those of the AWD-LSTM (Merity, Keskar, Socher 2017); each is a share in [0, 1) and works in
    training only.

    Raises:
        huggingface_hub.errors.StrictDataclassError: for a value of the wrong type or outside its range; the message
            names the value and what is allowed.
    """

    model_type = "rnn_zoo"
    keys_to_ignore_at_inference = ["cache_params", "hidden_states", "attentions"]  # noqa: RUF012 (the library's own form)

    def __post_init__(self, **kwargs):
        if self.embedding_size is None:
            self.embedding_size = self.hidden_size
        super().__post_init__(**kwargs)

    @property
    def output_size(self) -> int:
        """Features of the stack's output: `hidden_size`, twice that with two directions."""
        return self.hidden_size * (2 if self.bidirectional else 1)

    @property
    def input_size(self) -> int:
        """Features of a token before the first layer: of its embedding, and of its spelling if it is read."""
        assert self.embedding_size is not None  # filled in above
        return self.embedding_size + self.spelling_size
