"""Translation with a checkpoint: texts -> texts, in batches by length, with what the decoder looked at.

Sizes: `S` source tokens, `T` target tokens.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from ...data.length_batches import batches_by_length, longest_first
from ...data.text_limits import check_characters, check_tokens
from ...inspect.attention import AttentionMap, labels_of, merge_pieces, words_of
from ...models.given_texts import checked_texts, says_nothing
from ...models.pipeline_translation import checked_options, sequences_of, translations_of_each
from .encoding import encode, shortened


class Translation(NamedTuple):
    """A translated text.

    Args:
        text: the translation.
        attention: how much each of its words took of each source word, or each character where the tokenizer is one of
            characters; `None` unless asked for, for a blank text, or where the model wrote not even `<eos>`.
    """

    text: str
    attention: AttentionMap | None = None


class Translator:
    """A translator and its tokenizer, for many texts at once.

    Args:
        model: an `RnnSeq2SeqForConditionalGeneration`; it is switched to evaluation.
        tokenizer: its own, which ends each text with <eos>.
        batch_size: texts at once, fewer where they are long.
        max_source_length: a longer source is cut to so many tokens; `None`: read whole.

    Raises:
        ValueError: for a batch size or a length below 1.
    """

    def __init__(self, model, tokenizer, batch_size: int = 64, max_source_length: int | None = None):
        for name, value in (("batch_size", batch_size), ("max_source_length", max_source_length)):
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.max_source_length = max_source_length
        special = set(tokenizer.all_special_tokens)
        self.of_characters = all(len(token) == 1 for token in tokenizer.get_vocab() if token not in special)

    def __call__(self, texts: Iterable[str], attention: bool = False, **options) -> list[Any]:
        """Translates texts; the order is theirs.

        A blank text has the empty translation, and the model is not run for it: a text without a character one can see
        (`is_blank`), or of which the tokenizer leaves nothing, as of `<br/>` where it cleans markup.

        Args:
            texts: of up to `MOST_TOKENS` tokens (`data/text_limits.py`), or longer ones with `max_source_length`;
                each is read as one sentence.
            attention: whether translations have their attention, which takes a second pass.
            options: of `generate`, as `num_beams`; what is not given, or `None`, the checkpoint's own configuration
                decides. What `return_dict_in_generate` adds to the texts is left out.

        Returns:
            A `Translation` for each text; with `num_return_sequences` above 1 for each text a list of so many, as
            `generate` orders them: of beams the best first.

        Raises:
            ValueError: for a single string, what is no text, as `None` in the list, or options that `generate` refuses
                or that have a row for each text; with `attention` for a model that has none.
        """
        texts = checked_texts(texts)
        options = checked_options(options, self.tokenizer, batched=True)
        if attention and self.model.config.attention == "none":
            raise ValueError("attention: this model has none (attention='none'), so there is nothing to look at")
        self.model.eval()
        check_characters(texts)
        rows = encode(texts, self.tokenizer)
        said = [not says_nothing(self.tokenizer, *each) for each in zip(texts, rows, strict=True)]
        if self.max_source_length is not None:
            rows = [shortened(row, self.max_source_length) for row in rows]
        check_tokens([len(row) for row in rows], texts)
        count = translations_of_each(self.model, options)
        results = [[Translation("")] * count for _ in rows]
        lengths = [len(row) for row in rows]
        order = [n for n in longest_first(lengths) if said[n]]
        for part in batches_by_length(order, lengths, self.batch_size):
            padded = self.tokenizer.pad({"input_ids": [rows[n] for n in part]}, return_tensors="pt")
            inputs = {name: padded[name].to(self.model.device) for name in ("input_ids", "attention_mask")}
            ids = sequences_of(self.model.generate(**inputs, **options)).unflatten(0, (len(part), count))
            for n, written in zip(part, ids, strict=True):
                found = self.tokenizer.batch_decode(written, skip_special_tokens=True)
                results[n] = [
                    Translation(text, self._attention(rows[n], row) if attention else None)
                    for text, row in zip(found, written, strict=True)
                ]
        return results if count > 1 else [found for (found,) in results]

    @torch.inference_mode()
    def _attention(self, source: list[int], output: torch.Tensor) -> AttentionMap | None:
        """The attention of an output `(T + 1)`, which begins with the start token."""
        special = {self.model.config.pad_token_id, self.model.config.decoder_start_token_id}
        target = [n for n in output.tolist() if n not in special]
        if self.tokenizer.eos_token_id in target:  # beams are filled up with further ones
            target = target[: target.index(self.tokenizer.eos_token_id) + 1]
        if not target:
            return None
        outputs = self.model(
            input_ids=torch.tensor([source], device=self.model.device),
            labels=torch.tensor([target], device=self.model.device),
            output_attentions=True,
        )
        weights = outputs.cross_attentions[0][0, 0]  # (T, S)
        sides = [
            (getattr(self.tokenizer, side, self.tokenizer), ids)
            for side, ids in (("target", target), ("source", source))
        ]
        if self.of_characters:
            rows, columns = (labels_of(tokenizer, ids) for tokenizer, ids in sides)
        else:
            (rows, row_groups), (columns, column_groups) = (words_of(tokenizer, ids) for tokenizer, ids in sides)
            weights = merge_pieces(weights, row_groups, column_groups)
        return AttentionMap(weights, columns, rows)
