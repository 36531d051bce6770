"""The classifier: hidden states -> one vector for a text -> its labels.

Sizes: `B` batch, `T` tokens, `C` features of a state, `L` labels, `R` hops of attention, `S` sentences.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers.utils import ModelOutput, can_return_tuple

from .attention import Projection
from .configuration_rnn import RnnConfig
from .direct_ngrams import DirectNgrams
from .host_and_device import numbers_on
from .keys_classifier import MULTI, REGRESSION, SINGLE
from .modeling_rnn import (
    RnnModel,
    RnnModelOutput,
    RnnPreTrainedModel,
    check_input,
    number_of_items,
    outside,
    real_steps,
    refuse_losses_of_others,
)
from .pooling import POOLINGS, hop_penalty
from .recurrent_cell import RecurrentCell
from .recurrent_stack import RecurrentStack
from .recurrent_state import RecurrentState
from .sentences import split_sentences

IGNORED = -100  # the label of a text that has none
LOSS_KEYS = ("class_weights", "attention_penalty")  # of the configuration: what shapes the loss


@dataclass
class RnnSequenceClassifierOutput(ModelOutput):
    """
    Args:
        loss: with `labels`, the mean over the texts that have one, or over all their labels or numbers.
        logits: `(B, L)`, scores of the labels, or the values of a regression.
        cache_params: the state after the last real token of each row; `None` for a hierarchical model.
        hidden_states: with `output_hidden_states`, the inputs of the first layer and the output of each layer; `None`
            for a hierarchical model.
        attentions: with `output_attentions`, of a pooling that has them, the weights of the tokens `(B, R, T)`; of a
            hierarchical model the weights of the tokens in their sentences, and those of the sentences `(B, R, S)`.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    cache_params: RecurrentState | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class RnnForSequenceClassification(RnnPreTrainedModel):
    """A recurrent classifier of texts: the states of the stack are pooled (`config.pooling`), and a linear layer, or
    with `classifier_hidden_size` one hidden layer before it, gives the labels. With `classifier_batch_norm` what goes
    into each of these layers is normalized over the batch, as in ULMFiT (Ioffe and Szegedy 2015).

    With `hierarchical` a text is a document (Yang et al. 2016, HAN): each sentence is read on its own and pooled, a
    second stack like the first reads the sentences, and is pooled in the same way. Sentences end after
    `sentence_end_token_ids`.

    With `backprop_length` training reads long texts in bounded memory, as the BPT3C of Howard and Ruder 2018 (ULMFiT,
    section 3.3) does: in pieces whose state is carried on without its gradient, while all of their outputs are pooled.
    Each piece is computed once more for its gradient instead of being kept. What is computed is the same, but that
    dropout draws its masks for each piece.

    With `direct_ngram_order` the runs of tokens of a text have scores of their own, as in a bag of words: the logits
    are the mean of both kinds of scores. In training each has its own loss, so that neither leaves the texts to the
    other, and the mean of the two losses is returned.

    The kind of labels is `config.problem_type`, as in the library; where it is `None`, the first labels that are given
    decide it, and pipelines then know it too: one label means regression, integers one label a text, other numbers a 0
    or 1 for each label.

    A text without a token has the vector 0: its scores are what the head makes of that.

    Args:
        config: with `num_labels`, `problem_type`, `pooling` and what it needs, `class_weights`, `label_smoothing`.
    """

    def __init__(self, config: RnnConfig):
        super().__init__(config)
        if config.hierarchical and not config.sentence_end_token_ids:
            raise ValueError("hierarchical: needs sentence_end_token_ids, the tokens that end a sentence")
        self.model = RnnModel(config)
        self.pooling = POOLINGS[config.pooling](config)
        self.sentence_stack: RecurrentStack | None = None
        if config.hierarchical:
            self.sentence_stack = RecurrentStack(config, self.pooling.size)
            self.sentence_pooling = POOLINGS[config.pooling](config)
        size = self.pooling.size
        self.dense = nn.Linear(size, config.classifier_hidden_size) if config.classifier_hidden_size else None
        self.classifier = nn.Linear(config.classifier_hidden_size or size, config.num_labels)
        self.norms: nn.ModuleList | None = None
        if config.classifier_batch_norm:
            sizes = [size] if self.dense is None else [size, self.dense.out_features]
            self.norms = nn.ModuleList(nn.BatchNorm1d(features) for features in sizes)
        self.direct = DirectNgrams(config) if config.direct_ngram_order else None
        if config.class_weights is not None and len(config.class_weights) != config.num_labels:
            raise ValueError(f"class_weights: has {len(config.class_weights)} for {config.num_labels} labels")
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        if isinstance(module, Projection | DirectNgrams):
            module.init_weights()
        else:
            super()._init_weights(module)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        character_ids: torch.LongTensor | None = None,
        cache_params: RecurrentState | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> RnnSequenceClassifierOutput:
        """Classifies a batch of texts; the arguments that are not named here are those of `RnnModel`.

        Args:
            cache_params: what is pooled are the tokens given with it. Not for hierarchical models.
            labels: `(B)` integers, -100 for a text that does not count; for several labels a text `(B, L)` of 0 and 1,
                -100 for one that does not count; for regression `(B, L)`, or `(B)` where there is one number, NaN where
                there is none.
            output_attentions: whether the weights of an attentive pooling are returned.
            output_hidden_states: in training a text is then read whole, whatever `backprop_length` is.
            num_items_in_batch (in `kwargs`): the sum of the losses is divided by it instead of by the batch's own
                number of labels, as `Trainer` needs it when it accumulates gradients.

        Raises:
            ValueError, IndexError: as `RnnModel`; for labels of another form, or that `id2label` does not have; if
                `Trainer` makes the loss without the model (`label_smoothing_factor`, `compute_loss_func`) and there are
                `class_weights` or an `attention_penalty`.
        """
        if labels is None:
            for name in LOSS_KEYS:
                if value := getattr(self.config, name):
                    reason = f"{name}={value}: is a part of the model's own loss"
                    refuse_losses_of_others(reason, kwargs.get("num_items_in_batch"))
        if output_attentions is None:
            output_attentions = self.config.output_attentions
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        inputs = {"input_ids": input_ids, "inputs_embeds": inputs_embeds, "character_ids": character_ids}
        options = {
            "past_key_values": kwargs.pop("past_key_values", None),
            "position_ids": kwargs.pop("position_ids", None),
            "use_cache": use_cache,
            "output_hidden_states": output_hidden_states,
            "return_dict": True,
        }
        if self.sentence_stack is not None:
            if cache_params is not None:
                raise ValueError("cache_params: a hierarchical model reads each sentence from the beginning")
            outputs, vector, attentions = self._read_sentences(inputs, attention_mask, options)
        else:
            outputs = self._read(inputs, attention_mask, cache_params, options)
            y = outputs.last_hidden_state
            assert y is not None
            vector, weights = self.pooling(y, real_steps(attention_mask, y))
            attentions = () if weights is None else (weights,)

        scores = [self._head(vector)]  # (B, L)
        if self.direct is not None:
            if input_ids is None:
                raise ValueError(
                    "inputs_embeds: a model with direct_ngram_order needs input_ids, to see what follows what"
                )
            scores.append(self.direct(input_ids, real_steps(attention_mask, input_ids)))
        logits = torch.stack(scores).mean(0)
        loss = None
        if labels is not None:
            judged = scores if self.training else [logits]
            loss = torch.stack([self._loss(each, labels, attentions, **kwargs) for each in judged]).mean(0)
        return RnnSequenceClassifierOutput(
            loss=loss,
            logits=logits,
            cache_params=outputs.cache_params,
            hidden_states=outputs.hidden_states,
            attentions=attentions if output_attentions and attentions else None,
        )

    def _head(self, vector: torch.Tensor) -> torch.Tensor:
        """The vector of a text -> the scores of its labels, `(B, size)` -> `(B, L)`."""
        dropout = self.config.classifier_dropout
        if self.norms is not None and self.training and len(vector) == 1:
            raise ValueError("classifier_batch_norm: a batch of one text has no variance; train with several")
        for n, layer in enumerate([self.classifier] if self.dense is None else [self.dense, self.classifier]):
            if n:
                vector = F.relu(vector)
            if self.norms is not None:
                vector = self.norms[n](vector)
            vector = layer(F.dropout(vector, dropout, self.training))
        return vector

    def _read(
        self,
        inputs: dict[str, torch.Tensor | None],
        attention_mask: torch.Tensor | None,
        state: RecurrentState | None,
        options: dict,
    ) -> RnnModelOutput:
        """The base model's outputs, of a long text in training piece by piece."""
        length = self.config.backprop_length
        if length is None or not self.training or options["output_hidden_states"]:
            return self.model(**inputs, attention_mask=attention_mask, cache_params=state, **options)
        T = self._length_of_all(inputs, attention_mask)
        if length >= T:
            return self.model(**inputs, attention_mask=attention_mask, cache_params=state, **options)

        def read(inputs, attention_mask, state):
            outputs = self.model(
                **inputs, attention_mask=attention_mask, cache_params=state, **options | {"use_cache": True}
            )
            return outputs.last_hidden_state, outputs.cache_params

        pieces = []
        backward = self.config.reads_backward
        for start in sorted(range(0, T, length), reverse=backward):
            here = slice(start, start + length)
            piece = {name: None if x is None else x[:, here] for name, x in inputs.items()}
            mask = None if attention_mask is None else attention_mask[:, here]
            y, state = checkpoint(read, piece, mask, state, use_reentrant=False)
            state = state.detach()
            pieces.append(y)
        return RnnModelOutput(
            last_hidden_state=torch.cat(pieces[::-1] if backward else pieces, 1),
            cache_params=state if options["use_cache"] else None,
        )

    def _read_sentences(
        self, inputs: dict[str, torch.Tensor | None], attention_mask: torch.Tensor | None, options: dict
    ) -> tuple[RnnModelOutput, torch.Tensor, tuple[torch.Tensor, ...]]:
        """Words -> sentences -> document: the outputs without states, the vector `(B, size)`, both levels' weights."""
        self._length_of_all(inputs, attention_mask)
        ids = inputs["input_ids"]
        if ids is None:
            raise ValueError("inputs_embeds: a hierarchical model needs input_ids, to see where sentences end")
        assert self.sentence_stack is not None
        assert self.config.sentence_end_token_ids is not None
        # `torch.export` cannot scan over a length that only the tokens tell.
        bounds = torch.compiler.is_exporting() and any(isinstance(part, RecurrentCell) for part in self.modules())
        ends = self.config.sentence_end_token_ids
        sentences = split_sentences(ids, real_steps(attention_mask, ids), ends, bounds)
        rows = {name: None if x is None else sentences.rows(x) for name, x in inputs.items()}
        options = options | {"use_cache": False, "output_hidden_states": False}
        words = self.model(**rows, attention_mask=sentences.words, **options).last_hidden_state
        vectors, word_weights = self.pooling(words, sentences.words)
        y, _, _ = self.sentence_stack(sentences.documents(vectors), None, sentences.mask)
        vector, sentence_weights = self.sentence_pooling(y, sentences.mask)
        if word_weights is None or sentence_weights is None:
            return RnnModelOutput(), vector, ()
        return RnnModelOutput(), vector, (sentences.flat(word_weights), sentence_weights)

    def _length_of_all(self, inputs: dict[str, torch.Tensor | None], attention_mask: torch.Tensor | None) -> int:
        """`T`, which all must have before they are cut: of others, parts would meet that do not belong together."""
        ids, embeds, letters = inputs["input_ids"], inputs["inputs_embeds"], inputs["character_ids"]
        check_input(ids, embeds, self.model.embed_tokens.weight)
        x = ids if ids is not None else embeds
        assert x is not None  # checked
        real_steps(attention_mask, x)
        if letters is not None and letters.shape[:2] != x.shape[:2]:
            raise ValueError(
                f"character_ids has shape {tuple(letters.shape)}, but the input has (batch, length) = "
                f"{tuple(x.shape[:2])}: needed is (batch, length, characters)"
            )
        return x.shape[1]

    def _loss(
        self,
        logits: torch.Tensor,
        labels: torch.Tensor,
        attentions: tuple[torch.Tensor, ...],
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs,
    ) -> torch.Tensor:
        B, L = logits.shape
        if self.config.num_labels != L:
            raise ValueError(
                f"id2label has {self.config.num_labels} labels, but this head was built for {L}: load it with them, "
                "from_pretrained(..., id2label=..., label2id=..., ignore_mismatched_sizes=True)"
            )
        kind = self.config.problem_type
        integers = not (labels.is_floating_point() or labels.dtype == torch.bool)
        if kind is None:
            kind = REGRESSION if L == 1 else SINGLE if integers else MULTI
        if kind == SINGLE and not integers:
            raise ValueError(f"labels are {labels.dtype}: needed for {kind} are integers, one for each text")
        needed = B if kind == SINGLE else B * L
        if labels.numel() != needed or (labels.dim() and labels.shape[0] != B):
            raise ValueError(
                f"labels have shape {tuple(labels.shape)}: needed for {kind} is "
                f"{(B,) if kind == SINGLE else (B, L)}, one row for each text"
            )
        if self.config.problem_type is None and not torch.compiler.is_compiling():
            self.config.problem_type = kind
        smoothing = self.config.label_smoothing if self.training else 0.0
        told = self.config.class_weights
        weights = None if told is None else numbers_on(logits.device, told, torch.float32)
        scores = logits.float()
        if kind == SINGLE:
            labels = labels.reshape(B).long()
            counted = (labels != IGNORED)[:, None]  # (B, 1)
            try:
                loss = F.cross_entropy(scores, labels, weights, reduction="sum", label_smoothing=smoothing)
            except IndexError as error:
                known = labels[:, None].masked_fill(~counted, 0)
                raise IndexError(outside("labels", known, self.config.num_labels)) from error
        elif kind == MULTI:
            counted = labels.reshape(B, L) != IGNORED
            known = labels.reshape(B, L).masked_fill(~counted, 0)
            target = known.float() * (1 - smoothing) + smoothing / 2
            loss = F.binary_cross_entropy_with_logits(
                scores, target, counted.float(), reduction="sum", pos_weight=weights
            )
        else:
            numbers = labels.reshape(B, L).float()
            counted = ~numbers.isnan()
            loss = F.mse_loss(scores.masked_fill(~counted, 0), numbers.masked_fill(~counted, 0), reduction="sum")
            if num_items_in_batch is not None:  # where NaN was counted too; the share is this batch's
                num_items_in_batch = num_items_in_batch * counted.sum() / max(counted.numel(), 1)
        if self.training and self.config.attention_penalty:
            penalties = hop_penalty(attentions[-1].float()) * counted.sum(1)  # a text counts as often as its labels
            loss = loss + self.config.attention_penalty * penalties.sum()
        return loss / number_of_items(counted.sum(), num_items_in_batch)
