"""The tagger: hidden states -> a label for each word, on their own or by a CRF over the sentence.

Sizes: `B` batch, `T` tokens, `K` tags inside the CRF, `L` labels, `V` vocabulary.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.utils import ModelOutput, can_return_tuple, logging

from .configuration_rnn import RnnConfig
from .crf import Crf
from .host_and_device import numbers_on
from .modeling_rnn import RnnModel, RnnPreTrainedModel, number_of_items, outside, refuse_losses_of_others
from .recurrent_state import RecurrentState
from .tag_scheme import IGNORED, TagScheme, are_iob, are_placeholders

logger = logging.get_logger(__name__)

PIECE, WORD, SPECIAL = 0, 1, 2  # what a token is: inside of a word, the beginning of one, or no part of a text


@dataclass
class RnnTokenClassifierOutput(ModelOutput):
    """
    Args:
        loss: with `labels`, nats a word: the cross-entropy, or the CRF's negative log-likelihood.
        logits: `(B, T, L)`, scores of the labels; see `RnnForTokenClassification`.
        cache_params: the state after the last real token of each row.
        hidden_states: with `output_hidden_states`, the inputs of the first layer and the output of each layer.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    cache_params: RecurrentState | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class TokenKinds(nn.Module):
    """For each id of the vocabulary whether it begins a word, goes on with one, or is no part of a text."""

    kinds: torch.Tensor  # (V), uint8

    def __init__(self, vocab_size: int):
        super().__init__()
        self.register_buffer("kinds", torch.full((vocab_size,), WORD, dtype=torch.uint8))

    def init_weights(self) -> None:
        """Every token a word, as for tokenizers of words."""
        init.constant_(self.kinds, WORD)

    def forward(self, input_ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """`input_ids (B, T)`, `mask (B, T)` -> `(B, T)`, true where a word begins: also the first token of a text."""
        kinds = self.kinds[input_ids]
        text = kinds != SPECIAL if mask is None else (kinds != SPECIAL) & mask.bool()
        return text & ((kinds == WORD) | (text.cumsum(1) == 1))


class RnnForTokenClassification(RnnPreTrainedModel):
    """A recurrent tagger, usually bidirectional (Huang, Xu, Yu 2015), with `use_crf` a linear-chain CRF on top (Lample
    et al. 2016; Ma and Hovy 2016).

    The logits of words are scores of the labels `config.id2label`. With a CRF they are the CRF's emissions while
    training, and in evaluation its max-marginals, the score of the best legal sequence through each label minus that of
    the best of all: their argmax, all that `pipeline("token-classification")` looks at, is the Viterbi path. The
    label's probability, which their softmax is not, comes with `output_marginals=True`: log-marginals as logits.

    Labels are IOB2 (or anything, with `tag_scheme=None`); inside, the CRF may run over IOB1 or IOBES (`tag_scheme`).
    They may be set in the configuration after the model was built, as the library's own scripts do: see
    `follow_labels`. As long as they have no names (`LABEL_0`, ...), all may follow all.

    With a tokenizer of pieces, labels stand on the first piece of each word, -100 on the others, and the CRF runs over
    words: `mark_words(tokenizer)` once tells which ids begin one. The other pieces carry the logits of their word, with
    the greater one of `B-X` and `I-X` on `I-X`: they go on with an entity and do not begin another.

    Args:
        config: with `id2label`, `use_crf`, `tag_scheme`, `constrain_training`.

    Raises:
        ValueError: for labels that the `tag_scheme` does not allow, or whose ids are not 0, 1, ...
    """

    def __init__(self, config: RnnConfig):
        super().__init__(config)
        self.model = RnnModel(config)
        self.labels = labels_of(config)
        self.begin_inside = begin_inside_of(self.labels)
        self.built_from = settings_of(config)
        self.crf: Crf | None = None
        size = len(self.labels)
        if config.use_crf:
            self.crf = Crf(scheme_of(self.labels, config.tag_scheme), config.constrain_training)
            size = self.crf.num_tags
        self.classifier = nn.Linear(config.output_size, size)
        self.token_kinds = TokenKinds(config.vocab_size)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        if isinstance(module, (Crf, TokenKinds)):
            module.init_weights()
        else:
            super()._init_weights(module)

    def follow_labels(self) -> None:
        """Takes over what was set in the configuration since the model was built or last followed it: `id2label`,
        `tag_scheme`, `constrain_training`. What the head has learnt stays with the ids. `forward`, `train`, `eval` and
        `save_pretrained` begin with it; there is no need to call it.

        A head that was built before its labels had names, as by `from_pretrained(..., num_labels=9)`, has one tag for
        each: then a `tag_scheme` that needs other tags becomes `"iob2"`, and for labels that are not IOB `None`.

        Raises:
            ValueError: if this head has no place for them, or cannot be changed, as while it is compiled.
        """
        config = self.config
        if self.built_from == settings_of(config):
            return
        if torch.compiler.is_compiling():
            raise ValueError("the labels in the configuration have changed: call model.follow_labels() before this")
        labels = labels_of(config)
        again = (
            "load it with them: from_pretrained(..., id2label=..., label2id=..., tag_scheme=..., "
            "ignore_mismatched_sizes=True)"
        )
        if len(labels) != len(self.labels):
            raise ValueError(
                f"id2label has {len(labels)} labels, but this head was built for {len(self.labels)}: {again}"
            )
        if config.use_crf != (self.crf is not None):
            raise ValueError(
                f"use_crf={config.use_crf}: cannot change once a head is built; give it to from_pretrained"
            )
        if self.crf is not None:
            if are_placeholders(self.labels) and not are_placeholders(labels):
                self._name_tags(self.crf, labels)
            try:
                scheme = scheme_of(labels, config.tag_scheme)
            except ValueError as error:
                raise ValueError(f"{error}; {again}") from error
            if len(scheme.tags) != self.crf.num_tags:
                raise ValueError(
                    f"the labels {', '.join(labels)} are {len(scheme.tags)} tags inside the CRF "
                    f"(tag_scheme={config.tag_scheme!r}), but this head was built for {self.crf.num_tags}: {again}"
                )
            self.crf.use_scheme(scheme)
            self.crf.constrain_training = config.constrain_training
        self.labels, self.begin_inside = labels, begin_inside_of(labels)
        self.built_from = settings_of(config)

    def _name_tags(self, crf: Crf, labels: tuple[str, ...]) -> None:
        """Labels get names: a `tag_scheme` for which the tags are not those that the CRF was built with is changed."""
        given = self.config.tag_scheme
        possible = are_iob(labels)
        if given is None or (possible and len(TagScheme(labels, given).tags) == crf.num_tags):
            return
        self.config.tag_scheme = "iob2" if possible else None
        logger.warning(
            f"tag_scheme={given!r} is now {self.config.tag_scheme!r}: the head was built before its labels had names. "
            f"To keep it, load the model with id2label and label2id."
        )

    def train(self, mode: bool = True):
        self.follow_labels()
        return super().train(mode)

    def save_pretrained(self, *args, **kwargs):
        self.follow_labels()
        return super().save_pretrained(*args, **kwargs)

    @torch.no_grad()
    def mark_words(self, tokenizer, words: Iterable[str] = (), min_affix_words: int = 3) -> None:
        """Takes from a fast tokenizer which ids begin a word; needed for tokenizers of pieces, and with `affix_length`,
        where it also marks affixes (`RnnModel.mark_affixes`). Saved with the weights.

        Args:
            tokenizer: the model's own.
            words: those of the training text, for `affix_length`.
            min_affix_words: an affix of fewer different words has no vector of its own.

        Raises:
            ValueError: with `affix_length`, if there are no words, or the tokenizer has more characters than the model.

        Known are the marks of WordPiece (`##` on what goes on), byte-level BPE (`Ġ` on what begins) and SentencePiece
        (`▁` on what begins); in another vocabulary, as that of a `WordCharacterTokenizer`, every token is a word.
        """
        whole_words = hasattr(tokenizer, "characters")
        if whole_words:
            self.model.mark_affixes(tokenizer, words, min_affix_words)
        tokens = tokenizer.convert_ids_to_tokens(list(range(min(len(tokenizer), self.config.vocab_size))))
        kinds = torch.full((self.config.vocab_size,), WORD, dtype=torch.uint8)
        if whole_words:
            pieces = []
        elif any(token.startswith("##") for token in tokens):
            pieces = [n for n, token in enumerate(tokens) if token.startswith("##")]
        else:
            mark = next((m for m in ("\u0120", "\u2581") if any(t.startswith(m) for t in tokens)), "")  # Ġ, ▁
            pieces = [n for n, token in enumerate(tokens) if not token.startswith(mark)]
        kinds[pieces] = PIECE
        kinds[[n for n in tokenizer.all_special_ids if n != tokenizer.unk_token_id and n < len(kinds)]] = SPECIAL
        self.token_kinds.kinds.copy_(kinds)

    def begins_word(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Whether each of some ids begins a word; of the same shape as `input_ids`."""
        return self.token_kinds.kinds[input_ids] == WORD

    def resize_token_embeddings(self, *args, **kwargs):
        embeddings = super().resize_token_embeddings(*args, **kwargs)
        kinds, size = self.token_kinds.kinds, self.config.vocab_size
        self.token_kinds.kinds = F.pad(kinds[:size], (0, max(size - len(kinds), 0)), value=WORD)
        return embeddings

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        character_ids: torch.LongTensor | None = None,
        cache_params: RecurrentState | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        output_marginals: bool = False,
        **kwargs,
    ) -> RnnTokenClassifierOutput:
        """Labels every word of a batch of texts; the other arguments are those of `RnnModel`.

        Args:
            labels: `(B, T)`, -100 where there is none: on padding and on all but the first piece of a word.
            output_marginals: whether the logits are log-probabilities of the labels; with a CRF its log-marginals.
            num_items_in_batch (in `kwargs`): the sum of the losses is divided by it instead of by the batch's own
                number of labels, as `Trainer` needs it when it accumulates gradients.

        Raises:
            ValueError, IndexError: as `RnnModel`; for labels that `id2label` does not have; as `follow_labels`; with a
                CRF if `Trainer` makes the loss without it (`label_smoothing_factor`, `compute_loss_func`).
        """
        self.follow_labels()
        if labels is None and self.crf is not None:
            refuse_losses_of_others("use_crf: the loss is the CRF's", kwargs.get("num_items_in_batch"))
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            character_ids=character_ids,
            cache_params=cache_params,
            past_key_values=kwargs.pop("past_key_values", None),
            position_ids=kwargs.pop("position_ids", None),
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        emissions = self.classifier(outputs.last_hidden_state)  # (B, T, K)
        loss = None if labels is None else self._loss(emissions, labels, attention_mask, **kwargs)
        return RnnTokenClassifierOutput(
            loss=loss,
            logits=self._logits(emissions, input_ids, attention_mask, output_marginals),
            cache_params=outputs.cache_params,
            hidden_states=outputs.hidden_states,
        )

    def _loss(
        self,
        emissions: torch.Tensor,
        labels: torch.Tensor,
        attention_mask: torch.Tensor | None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs,
    ) -> torch.Tensor:
        if labels.shape != emissions.shape[:2]:
            raise ValueError(f"labels have shape {tuple(labels.shape)}, but the input {tuple(emissions.shape[:2])}")
        labelled = labels != IGNORED if attention_mask is None else (labels != IGNORED) & attention_mask.bool()
        if self.crf is None:
            try:
                nats = F.cross_entropy(
                    emissions.flatten(0, 1).float(), labels.masked_fill(~labelled, IGNORED).flatten(), reduction="sum"
                )
            except IndexError as error:
                known = labels.masked_fill(~labelled, 0)
                raise IndexError(outside("labels", known, self.config.num_labels)) from error
        else:
            tags = self.crf.scheme.to_tags(labels, labelled)
            nats = (-self.crf.log_likelihood(emissions, tags, labelled)).sum()
        return nats / number_of_items(labelled.sum(), num_items_in_batch)

    def _logits(
        self,
        emissions: torch.Tensor,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        output_marginals: bool,
    ) -> torch.Tensor:
        """Emissions `(B, T, K)` -> scores of the labels `(B, T, L)`, those of a word on all its pieces."""
        if input_ids is not None:
            words = self.token_kinds(input_ids, attention_mask)
        elif attention_mask is not None:
            words = attention_mask.bool()
        else:
            words = torch.ones_like(emissions[..., 0], dtype=torch.bool)
        if self.crf is None:
            logits = emissions.log_softmax(-1) if output_marginals else emissions
        elif output_marginals:
            logits = self.crf.log_marginals(emissions, words, outside=True)
        elif self.training:
            states = F.pad(emissions[..., self.crf.state_tag], (0, 1), value=torch.finfo(emissions.dtype).min)
            logits = states[..., self.crf.label_states].amax(-1)  # the best of each label
        else:
            logits = self.crf.max_marginals(emissions, words, outside=True, relative=True)
        return self._on_pieces(logits, words)

    def _on_pieces(self, logits: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """`logits (B, T, L)` of words, put on the pieces that go on with them; zeros before the first word."""
        steps = torch.arange(words.shape[1], device=words.device)
        word = torch.where(words, steps, -1).cummax(1).values  # (B, T), where the word of each piece begins
        carried = logits.gather(1, word.clamp(min=0)[..., None].expand(-1, -1, logits.shape[-1]))
        if self.begin_inside:
            begin, inside = (numbers_on(logits.device, ids, torch.long) for ids in zip(*self.begin_inside, strict=True))
            pair = torch.stack([carried[..., begin], carried[..., inside]])
            carried = carried.index_copy(-1, begin, pair.amin(0)).index_copy(-1, inside, pair.amax(0))
        carried = carried.masked_fill((word < 0)[..., None], 0)
        return torch.where(words[..., None], logits, carried)


def settings_of(config) -> tuple:
    """What a head is built from beside sizes: a copy, so that it can be told whether the configuration has changed."""
    return dict(config.id2label), config.use_crf, config.tag_scheme, config.constrain_training


def labels_of(config) -> tuple[str, ...]:
    """The labels of a configuration, in the order of their ids.

    Raises:
        ValueError: if the ids are not 0, 1, ..., each once.
    """
    labels = {str(n): str(label) for n, label in config.id2label.items()}  # as JSON has them, ids are strings
    ids = [str(n) for n in range(len(config.id2label))]
    if labels.keys() != set(ids):
        given = ", ".join(map(str, config.id2label))
        raise ValueError(f"id2label has the ids {given}: needed are 0, 1, ..., each once")
    return tuple(labels[n] for n in ids)


def begin_inside_of(labels: tuple[str, ...]) -> list[tuple[int, int]]:
    """The ids of `B-X` and `I-X` for each type that has both."""
    return [
        (labels.index(f"B-{label[2:]}"), n)
        for n, label in enumerate(labels)
        if label[:2] == "I-" and f"B-{label[2:]}" in labels
    ]


def scheme_of(labels: tuple[str, ...], name: str | None) -> TagScheme:
    """The labels in a CRF: in the scheme, and as they are as long as they have no names."""
    return TagScheme(labels, None if are_placeholders(labels) else name)
