"""The base model: tokens -> embedding -> recurrent stack -> hidden states.

Sizes: `B` batch, `T` time, `E` embedding, `H` hidden, `L` layers, `V` vocabulary.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput, can_return_tuple

from .character_encoder import AffixEncoder, CharacterEncoder
from .configuration_rnn import RnnConfig
from .dropout import embedding_dropout, locked_dropout, word_dropout
from .host_and_device import is_seen
from .recurrent_cell import RecurrentCell
from .recurrent_stack import RecurrentStack
from .recurrent_state import RecurrentState


@dataclass
class RnnModelOutput(ModelOutput):
    """
    Args:
        last_hidden_state: `(B, T, directions·H)`, the stack's output; 0 where the attention mask is 0.
        cache_params: the state after the last real token of each row, to be passed on with the text that follows.
        hidden_states: with `output_hidden_states`, the embeddings and the output of each layer, `L + 1` tensors.
    """

    last_hidden_state: torch.Tensor | None = None
    cache_params: RecurrentState | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class RnnPreTrainedModel(PreTrainedModel):
    """Initialization, saving and loading for all models of the type `rnn_zoo`."""

    config: RnnConfig
    config_class: type[PreTrainedConfig] = RnnConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["RecurrentLayer"]  # noqa: RUF012 (the library's own form)
    _is_stateful = True  # past tokens cannot be taken back, so no assisted decoding

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        if isinstance(module, RecurrentCell):
            module.init_weights(self.config.forget_gate_bias, self.config.recurrent_init)
        elif isinstance(module, AffixEncoder):
            module.init_weights()
        else:
            super()._init_weights(module)

    @classmethod
    def heads(cls) -> "dict[str, type[RnnPreTrainedModel]]":
        """The classes of this type of model, by the Auto class that opens each."""
        from .heads import HEADS  # here, as it imports this module; so its code travels with every class

        return HEADS

    @classmethod
    def refusal_of(cls, config) -> str | None:
        """The sentence for a configuration that this class cannot be built from; otherwise `None`."""
        return None

    def save_pretrained(self, *args, **kwargs):
        """As the library's. Beside the code of this class that of all `heads` is saved, and the configuration names
        each that can be built from it: whoever opens the checkpoint may begin another task with its weights."""
        package, _, _ = type(self).__module__.rpartition(".")
        if self.is_remote_code() and package == __name__.rpartition(".")[0]:  # a class of somebody else has other files
            self.config.auto_map = {
                auto: f"{head.__module__.rpartition('.')[2]}.{head.__name__}"
                for auto, head in self.heads().items()
                if head.refusal_of(self.config) is None
            }
        return super().save_pretrained(*args, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, output_loading_info: bool = False, **kwargs):
        """As the library's, but for a checkpoint that reads in other directions than the model asked for.

        Raises:
            ValueError: for one: half of the weights would be left out, or be random.
        """
        where = pretrained_model_name_or_path
        mismatch = None
        try:
            model, info = super().from_pretrained(where, *args, output_loading_info=True, **kwargs)
        except RuntimeError as error:  # sizes that do not fit: perhaps for the same reason
            if "ignore_mismatched_sizes" not in str(error):
                raise
            mismatch = error
            again = kwargs | {"ignore_mismatched_sizes": True}
            model, info = super().from_pretrained(where, *args, output_loading_info=True, **again)
        way = "; rnn_zoo.init_from_language_model takes its weights into another model"
        for names, has, wanted, advice in (
            (info["missing_keys"], "reads in one direction only", "both directions", way),
            (info["unexpected_keys"], "reads in both directions", "one", ""),
        ):
            found = (re.search(r"\bstack\.layers\.\d+\.cells\.(\d)", name) for name in names)
            cells = {match[1] for match in found if match}
            if cells == {"1"}:
                raise ValueError(
                    f"{where} {has}, but a model of {wanted} is asked for: load it as it is{advice}"
                ) from mismatch
        if mismatch is not None:
            raise mismatch
        return (model, info) if output_loading_info else model


class RnnModel(RnnPreTrainedModel):
    """A recurrent stack over token embeddings, without a head."""

    def __init__(self, config: RnnConfig):
        super().__init__(config)
        assert config.embedding_size is not None  # RnnConfig has filled it in
        self.embed_tokens = nn.Embedding(config.vocab_size, config.embedding_size)
        self.characters = CharacterEncoder(config) if config.character_vocab_size is not None else None
        self.stack = RecurrentStack(config, config.input_size)
        self.state_shapes = self.stack.state_shapes()
        # (V); see `drop_rare_words`. No buffer: what is no part of a checkpoint must outlive `to_empty`.
        self.word_dropout_rates: torch.Tensor | None = None
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding):
        self.embed_tokens = value

    def drop_rare_words(self, counts: torch.Tensor, alpha: float) -> None:
        """Lets training replace a word seen `n` times by the unknown one with the chance `alpha / (alpha + n)`
        (Kiperwasser and Goldberg 2016, section 4) instead of `config.word_dropout`; not saved with the model.

        Args:
            counts: `(V)`, how often each word stands in the training text; one that never does is left alone.
            alpha: above 0.
        """
        if counts.shape != (self.config.vocab_size,):
            raise ValueError(f"counts have shape {tuple(counts.shape)}, needed is ({self.config.vocab_size},)")
        if self.config.unk_token_id is None:
            raise ValueError("unk_token_id: is needed, as the word that takes the others' place")
        if not alpha > 0:
            raise ValueError(f"alpha={alpha}: must be above 0")
        self.word_dropout_rates = torch.where(counts > 0, alpha / (alpha + counts), 0.0)

    @torch.no_grad()
    def mark_affixes(self, tokenizer, words: Iterable[str], min_words: int = 3) -> None:
        """Takes from a `WordCharacterTokenizer` what kinds of characters there are, and from words which affixes and
        shapes are frequent; needed once with `affix_length`, others do not look at it. Saved with the weights.

        Args:
            tokenizer: the model's own.
            words: those of the training text.
            min_words: an affix or shape of fewer different words has no vector of its own.

        Raises:
            ValueError: if there are no words, or the tokenizer has more characters than the model.
        """
        if self.characters is None or self.characters.affixes is None:
            return
        spelt = [tokenizer.spell(word) for word in sorted(set(words))]
        if not spelt:
            raise ValueError("words: affix_length needs those of the training text")
        self.characters.affixes.mark_characters(tokenizer.characters)
        self.characters.affixes.keep_frequent(torch.tensor(spelt, device=self.device), min_words)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        character_ids: torch.LongTensor | None = None,
        cache_params: RecurrentState | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> RnnModelOutput:
        """Reads a batch of texts, or the next piece of each.

        Args:
            input_ids: `(B, T)`; exactly one of `input_ids` and `inputs_embeds` is given.
            attention_mask: `(B, T)`, 1 on real tokens. Other positions may stand anywhere (left, right, in between):
                they freeze the state, and their outputs are 0, so that a padded row equals the same row alone.
            inputs_embeds: `(B, T, E)`, vectors instead of ids.
            character_ids: `(B, T, W)`, the spelling of each word, padded on the right with 0, as
                `WordCharacterTokenizer` gives it; for a model with a `character_vocab_size`, others do not look at it.
            cache_params: the state to go on from; `None` begins with zeros.
            use_cache: whether the final state is returned; by default `config.use_cache`, and not in training.
            output_hidden_states: whether all layers' outputs are returned.

        Raises:
            ValueError: if not exactly one of `input_ids` and `inputs_embeds` is given, or one of them, the state or the
                mask has the wrong shape or dtype.
            IndexError: if an id is outside the vocabulary (on a GPU the kernel itself stops, without this sentence).
        """
        use_cache = use_cache if use_cache is not None else (self.config.use_cache and not self.training)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if kwargs.get("past_key_values") is not None:
            raise ValueError("past_key_values: a recurrent model takes its state as cache_params")
        positions = kwargs.get("position_ids")
        again = "position_ids begin again inside a row: texts that share a row would share their state"
        if positions is not None and is_seen(positions.diff() < 0, again):
            raise ValueError(again)

        x = self._embed(input_ids, inputs_embeds)
        if self.characters is not None:
            x = torch.cat([x, self._spelling(character_ids, x)], -1)
        mask = real_steps(attention_mask, x)
        states = None
        if cache_params is not None:
            self.check_state(cache_params, x.shape[0], x.dtype)
            states = cache_params.layers

        embeddings = x
        x = locked_dropout(x, self.config.input_dropout, self.training)
        x, states, layer_outputs = self.stack(x, states, mask)
        return RnnModelOutput(
            last_hidden_state=x,
            cache_params=RecurrentState(states) if use_cache else None,
            hidden_states=(embeddings, *layer_outputs) if output_hidden_states else None,
        )

    def _embed(self, input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor | None) -> torch.Tensor:
        check_input(input_ids, inputs_embeds, self.embed_tokens.weight)
        if input_ids is None:
            assert inputs_embeds is not None
            return inputs_embeds
        try:
            if self.training and (self.config.word_dropout or self.word_dropout_rates is not None):
                input_ids = self._word_dropout(input_ids)
            return embedding_dropout(self.embed_tokens, input_ids, self.config.embedding_dropout, self.training)
        except IndexError as error:  # asked for only now, so that it costs nothing
            raise IndexError(outside("input_ids", input_ids, self.config.vocab_size)) from error

    def _word_dropout(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Some words replaced by the unknown one."""
        rates: torch.Tensor | float = self.config.word_dropout
        if self.word_dropout_rates is not None:
            later = self.config.vocab_size - len(self.word_dropout_rates)  # words that came with a resize stay
            known = self.word_dropout_rates = self.word_dropout_rates.to(input_ids.device)
            rates = nn.functional.pad(known, (0, max(later, 0)))[input_ids]
        return word_dropout(input_ids, rates, self.config.unk_token_id)

    def _spelling(self, character_ids: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        assert self.characters is not None
        if character_ids is None:
            raise ValueError(
                "character_ids is missing: this model reads words by their characters, which its tokenizer "
                "(WordCharacterTokenizer) gives with the input_ids"
            )
        if character_ids.dim() != 3 or character_ids.shape[:2] != x.shape[:2]:
            raise ValueError(
                f"character_ids has shape {tuple(character_ids.shape)}, but the input has (batch, length) = "
                f"{tuple(x.shape[:2])}: needed is (batch, length, characters)"
            )
        try:
            return self.characters(character_ids)
        except IndexError as error:
            size = self.characters.embedding.num_embeddings
            raise IndexError(outside("character_ids", character_ids.flatten(1), size)) from error

    def check_state(self, cache_params: RecurrentState, batch_size: int, dtype: torch.dtype) -> None:
        """Raises `ValueError` unless `cache_params` fits this model and a batch of `batch_size` rows."""
        if not hasattr(cache_params, "layers"):
            raise ValueError(f"cache_params is a {type(cache_params).__name__}; needed is what forward has returned")
        layers = cache_params.layers
        if len(layers) != len(self.state_shapes):
            raise ValueError(f"cache_params has {len(layers)} layers, the model {len(self.state_shapes)}")
        shapes = [[[tuple(s.shape[1:]) for s in states] for states in layer] for layer in layers]
        if shapes != self.state_shapes:
            raise ValueError(
                f"cache_params comes from another model: its states have the shapes {shapes[0]} a layer (for each "
                f"direction, without the batch), this model's {self.state_shapes[0]}"
            )
        tensors = [s for layer in layers for states in layer for s in states]
        for given in tensors:  # the kernels read beyond the end of one that is too short
            if given.shape[0] != batch_size:
                raise ValueError(f"cache_params has {given.shape[0]} rows, the input {batch_size}")
            if given.dtype != dtype and not torch.is_autocast_enabled(given.device.type):
                raise ValueError(
                    f"cache_params is {given.dtype}, the input {dtype}: cache_params.to({dtype}) converts it"
                )


def check_input(
    ids: torch.Tensor | None,
    embeds: torch.Tensor | None,
    embedding: torch.Tensor,
    prefix: str = "",
) -> None:
    """Raises `ValueError` unless there is just one of `ids (B, T)` and `embeds (B, T, E)`, in the form that it needs.

    Args:
        ids, embeds: one of them `None`.
        embedding: `(V, E)`, in the dtype of the model.
        prefix: of the arguments' names, for the sentence.
    """
    ids_name, embeds_name = f"{prefix}input_ids", f"{prefix}inputs_embeds"
    if (ids is None) == (embeds is None):
        given = "both" if ids is not None else "neither"
        raise ValueError(f"exactly one of {ids_name} and {embeds_name} is needed, {given} given")
    if ids is not None and (ids.dim() != 2 or ids.dtype not in (torch.int64, torch.int32)):
        raise ValueError(
            f"{ids_name} has shape {tuple(ids.shape)} and dtype {ids.dtype}: needed are integers (int64 or int32) of "
            "the shape (batch, length)"
        )
    if embeds is None:
        return
    if embeds.dim() != 3 or embeds.shape[2] != embedding.shape[1]:
        raise ValueError(
            f"{embeds_name} has shape {tuple(embeds.shape)}: needed is (batch, length, {embedding.shape[1]})"
        )
    if embeds.dtype != embedding.dtype and not torch.is_autocast_enabled(embeds.device.type):
        raise ValueError(f"{embeds_name} is {embeds.dtype}, the model {embedding.dtype}")


def real_steps(
    mask: torch.Tensor | None, x: torch.Tensor, name: str = "attention_mask", whose: str = "the input"
) -> torch.Tensor | None:
    """A mask as booleans on the device of `x (B, T, ...)`; `None` where it hides nothing.

    Raises:
        ValueError: if it has another shape, or negative values, as masks that are added to scores.
    """
    if mask is None:
        return None
    if mask.shape != x.shape[:2]:
        raise ValueError(
            f"{name} has shape {tuple(mask.shape)}, but {whose} has (batch, length) = {tuple(x.shape[:2])}"
        )
    negative = f"{name} has negative values: needed is 1 on real tokens and 0 elsewhere"
    if mask.is_floating_point() and is_seen(mask < 0, negative):
        raise ValueError(negative)
    mask = mask.to(device=x.device, dtype=torch.bool)
    # Without padding the kernels need no detour; asking is free on a CPU, and would wait for a GPU.
    if mask.device.type == "cpu" and not torch.compiler.is_compiling() and bool(mask.all()):
        return None
    return mask


def number_of_items(counted: torch.Tensor, num_items_in_batch: torch.Tensor | float | None) -> torch.Tensor | float:
    """What a sum of losses is divided by; at least 1, so that a batch in which no label counts has the loss 0, and
    gradients of 0, and not NaN.

    Args:
        counted: how many labels count in this batch.
        num_items_in_batch: how many there are in all batches of one step, as `Trainer` has counted them; `None`: those
            of this one.
    """
    items = counted if num_items_in_batch is None else num_items_in_batch
    return items.clamp(min=1).to(counted.device) if isinstance(items, torch.Tensor) else max(items, 1)


def refuse_losses_of_others(reason: str, num_items_in_batch: torch.Tensor | float | None) -> None:
    """Where a batch came without labels: raises `ValueError` if it had some. `Trainer` counts them, and then takes them
    away, for a loss that it makes of the logits by itself.

    Args:
        reason: why that is wrong, for the sentence.
        num_items_in_batch: as `Trainer` has given it; it is `None` where there never was a label.
    """
    if num_items_in_batch is not None:
        raise ValueError(
            f"{reason}, but the labels were taken out of the batch, as Trainer does with label_smoothing_factor and "
            "with compute_loss_func: train without them"
        )


def outside(name: str, ids: torch.Tensor, size: int) -> str:
    """The sentence for ids outside a vocabulary of `size`: the first of them, and what is allowed."""
    row, position = ((ids >= size) | (ids < 0)).nonzero()[0].tolist()
    return (
        f"{name} holds {int(ids[row, position])} (row {row}, position {position}), but the vocabulary has {size} ids, "
        f"0 to {size - 1}"
    )
