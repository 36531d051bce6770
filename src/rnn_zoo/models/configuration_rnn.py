"""The configuration of every model with one recurrent stack."""

from difflib import get_close_matches

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .cells import CELLS
from .character_encoder import CHARACTER_ENCODERS
from .keys_classifier import PROBLEM_TYPES, REGRESSION
from .pooling import POOLINGS
from .ranges import LAYERS, SHARE, Range, first_refusal
from .tag_scheme import SCHEMES


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
        reads_backward (`bool`, *optional*, defaults to `False`):
            Whether each layer reads from the end of a text to its beginning, and so the outputs at a token know what
            follows it. A language model then gives the scores of the token before.
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
        character_vocab_size (`int`, *optional*):
            Number of character ids, if words are also read by their spelling (`character_ids`); `None`: they are not.
        character_encoder (`str`, *optional*, defaults to `"cnn"`):
            How a word's characters become a vector: `"cnn"` (convolution and maximum) or `"rnn"` (both last states).
        character_embedding_size (`int`, *optional*, defaults to 30):
            Features of a character's vector.
        character_hidden_size (`int`, *optional*, defaults to 50):
            Features of the vector that a word's spelling adds to its embedding; even for `"rnn"`.
        character_kernel_size (`int`, *optional*, defaults to 3):
            Characters that a filter of `"cnn"` sees at once.
        affix_length (`int`, *optional*, defaults to 0):
            Longest prefix and suffix of a word, in characters, with a vector of its own beside that of the characters;
            above 0 the word's shape has one too. For words that are read by their spelling.
        affix_embedding_size (`int`, *optional*, defaults to 15):
            Features of each of these vectors.
        affix_vocab_size (`int`, *optional*, defaults to 4096):
            Greatest number of affixes of one length that have a vector.
        word_dropout (`float`, *optional*, defaults to 0.0):
            Share of the words that are replaced by `unk_token_id` in training, so that the unknown word is learnt; its
            spelling stays.
        use_crf (`bool`, *optional*, defaults to `False`):
            Whether a tagger chooses the labels of a sentence together, by a conditional random field.
        tag_scheme (`str`, *optional*):
            How the CRF writes entities inside: `"iob2"`, `"iob1"` or `"iobes"`, for labels that are IOB2; what a scheme
            forbids is never decoded. `None`: labels are what they are, and all may follow all.
        constrain_training (`bool`, *optional*, defaults to `False`):
            Whether the CRF leaves forbidden sequences out in training as well.
        pooling (`str`, *optional*, defaults to `"concat"`):
            How a classifier makes one vector of all states: `"last"`, `"mean"`, `"max"`, `"concat"` (these three),
            `"attention"` (a weighted mean), `"self_attentive"` (several of them).
        pooling_attention_size (`int`, *optional*):
            Features that an attentive pooling compares in. `None` means as many as a state has.
        attention_hops (`int`, *optional*, defaults to 4):
            Weighted means of `"self_attentive"`.
        attention_penalty (`float`, *optional*, defaults to 0.0):
            What is added to a text's loss in training, times this, where its hops look at the same words (Lin et al.
            2017, equation 8); for `"self_attentive"`, of a hierarchical model that of the sentences.
        hierarchical (`bool`, *optional*, defaults to `False`):
            Whether a classifier reads each sentence on its own, and then the sentences (Yang et al. 2016, HAN).
        sentence_end_token_ids (`list[int]`, *optional*):
            Ids of the tokens that end a sentence, for `hierarchical`.
        backprop_length (`int`, *optional*):
            Tokens of a text through which a classifier's gradient flows at once; longer texts are read in such pieces
            in training, whose memory then stays small. For one direction. `None`: the whole text.
        classifier_hidden_size (`int`, *optional*):
            Features of a hidden layer between the pooled vector and a classifier's labels. `None`: there is none.
        classifier_dropout (`float`, *optional*, defaults to 0.0):
            Share of the features dropped before each layer of a classifier's head.
        classifier_batch_norm (`bool`, *optional*, defaults to `False`):
            Whether what goes into each layer of a classifier's head is normalized over the batch. A batch in parts
            (gradient accumulation, several processes) is then normalized part by part.
        direct_ngram_order (`int`, *optional*, defaults to 0):
            Longest run of tokens that a classifier also scores by itself, beside the recurrent network: 1 for single
            ones, 2 for pairs too, and so on. 0: there are no such direct connections (Mikolov et al. 2011, RNNME).
        direct_ngram_size (`int`, *optional*, defaults to 262144):
            Rows of their weights; runs of tokens are hashed into them.
        class_weights (`list[float]`, *optional*):
            What each label's loss counts in a classifier; for several labels a text, that of the texts that have it.
        label_smoothing (`float`, *optional*, defaults to 0.0):
            Share of a label's probability that is spread over all labels in a classifier's training (Szegedy et al.
            2016, section 7).
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
        unk_token_id (`int`, *optional*): Id of the unknown word.

    Raises:
        huggingface_hub.errors.StrictDataclassError: for a value of the wrong type or outside its range; the message
            names the value and what is allowed.
    """

    model_type = "rnn_zoo"
    keys_to_ignore_at_inference = ["cache_params", "hidden_states", "attentions"]  # noqa: RUF012 (the library's own form)
    # Of every number that is no id.
    ranges = {  # noqa: RUF012 (as above)
        **dict.fromkeys(("vocab_size", "hidden_size", "embedding_size"), Range(1)),
        "num_hidden_layers": LAYERS,
        **dict.fromkeys(("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout"), SHARE),
        **dict.fromkeys(("recurrent_weight_dropout", "word_dropout", "classifier_dropout", "label_smoothing"), SHARE),
        **dict.fromkeys(("character_vocab_size", "character_embedding_size", "character_hidden_size"), Range(1)),
        **dict.fromkeys(("character_kernel_size", "affix_embedding_size", "affix_vocab_size"), Range(1)),
        **dict.fromkeys(
            ("pooling_attention_size", "attention_hops", "backprop_length", "classifier_hidden_size"), Range(1)
        ),
        **dict.fromkeys(("affix_length", "direct_ngram_order", "attention_penalty", "initializer_range"), Range(0)),
        "direct_ngram_size": Range(1),
        "layer_norm_eps": Range(0, above=True),
        "forget_gate_bias": Range(),
    }

    vocab_size: int = 256
    embedding_size: int | None = None
    hidden_size: int = 512
    num_hidden_layers: int = 1
    cell_type: str = "lstm"
    bidirectional: bool = False
    reads_backward: bool = False
    residual: bool = False
    layer_norm: bool = False
    layer_norm_eps: float = 1e-5
    embedding_dropout: float | int = 0.0
    input_dropout: float | int = 0.0
    hidden_dropout: float | int = 0.0
    output_dropout: float | int = 0.0
    recurrent_weight_dropout: float | int = 0.0
    character_vocab_size: int | None = None
    character_encoder: str = "cnn"
    character_embedding_size: int = 30
    character_hidden_size: int = 50
    character_kernel_size: int = 3
    affix_length: int = 0
    affix_embedding_size: int = 15
    affix_vocab_size: int = 4096
    word_dropout: float | int = 0.0
    use_crf: bool = False
    tag_scheme: str | None = None
    constrain_training: bool = False
    pooling: str = "concat"
    pooling_attention_size: int | None = None
    attention_hops: int = 4
    attention_penalty: float | int = 0.0
    hierarchical: bool = False
    sentence_end_token_ids: list[int] | None = None
    backprop_length: int | None = None
    classifier_hidden_size: int | None = None
    classifier_dropout: float | int = 0.0
    classifier_batch_norm: bool = False
    direct_ngram_order: int = 0
    direct_ngram_size: int = 262_144
    class_weights: list[float | int] | None = None
    label_smoothing: float | int = 0.0
    tie_word_embeddings: bool = False
    forget_gate_bias: float | int = 1.0
    recurrent_init: str = "orthogonal"
    initializer_range: float | int = 0.1
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    unk_token_id: int | None = None

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
        if self.character_vocab_size is None:
            return self.embedding_size
        affixes = (2 * self.affix_length + 1) * self.affix_embedding_size if self.affix_length else 0
        return self.embedding_size + self.character_hidden_size + affixes

    def validate_architecture(self):
        """Part of the `@strict` validation: ranges and names, with what was given and what is allowed."""
        if refusal := first_refusal(vars(self), self.ranges):
            raise ValueError(refusal)
        if self.affix_length and self.character_vocab_size is None:
            raise ValueError(
                f"affix_length={self.affix_length}: needs character_vocab_size, as affixes are of words that are spelt"
            )
        if self.word_dropout and self.unk_token_id is None:
            raise ValueError(
                f"word_dropout={self.word_dropout}: needs unk_token_id, the word that takes the others' place"
            )
        if self.attention_penalty and self.pooling != "self_attentive":
            raise ValueError(f"attention_penalty={self.attention_penalty}: needs pooling='self_attentive'")
        if self.bidirectional and self.reads_backward:
            raise ValueError("reads_backward: a bidirectional model reads in both directions already")
        if self.backprop_length and (self.bidirectional or self.hierarchical):
            other = "bidirectional" if self.bidirectional else "hierarchical"
            raise ValueError(f"backprop_length={self.backprop_length}: not for {other} models, which need a whole text")
        if self.class_weights is not None and not all(0 <= weight < float("inf") for weight in self.class_weights):
            raise ValueError(f"class_weights={self.class_weights}: each must be finite and at least 0")
        if self.problem_type is not None:
            one_of("problem_type", self.problem_type, PROBLEM_TYPES)
        if self.problem_type == REGRESSION:
            for name in ("class_weights", "label_smoothing"):
                if getattr(self, name):
                    raise ValueError(f"{name}={getattr(self, name)}: has no meaning for a regression")
        one_of("pooling", self.pooling, list(POOLINGS))
        one_of("cell_type", self.cell_type, list(CELLS))
        one_of("character_encoder", self.character_encoder, list(CHARACTER_ENCODERS))
        if self.tag_scheme is not None:
            one_of("tag_scheme", self.tag_scheme, list(SCHEMES))
        if self.character_encoder == "rnn" and self.character_hidden_size % 2:
            raise ValueError(
                f"character_hidden_size={self.character_hidden_size}: must be even, half for each direction"
            )
        one_of("recurrent_init", self.recurrent_init, ["orthogonal", "uniform"])


def one_of(name: str, given: str, allowed: list[str]) -> None:
    """Raises `ValueError` unless `given` is in `allowed`; the sentence proposes the nearest name."""
    if given not in allowed:
        nearest = get_close_matches(given, allowed, n=1)
        guess = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(f"{name}={given!r}: unknown{guess} (choose from {', '.join(allowed)})")
