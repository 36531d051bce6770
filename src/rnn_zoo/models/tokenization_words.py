"""A tokenizer of words that also spells them: for models that read an unseen word by its characters.

Sizes: `T` words, `W` characters of a word.
"""

import copy
from collections.abc import Iterable
from functools import cached_property

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.utils import PaddingStrategy

MAX_SPELLINGS = 1 << 16  # words whose spelling is kept at hand


class WordCharacterTokenizer(PreTrainedTokenizerFast):
    """One token for each word, and with it `character_ids (T, W)`, the word as it is spelled in the text.

    Raw text is cut by the backend's pre-tokenizer. A text that is given in words (`is_split_into_words=True`, as tagged
    data is) keeps them: each is one token, whatever it consists of. Characters come from the text itself, before
    lower-casing or any other normalization, so that the word `<unk>` and one in capitals are still read.

    Args:
        characters: the characters with an id of their own, in the order of their ids; 0 is padding, 1 is unknown.
        max_word_length: `W`; of a longer word the first `W - W // 2` and the last `W // 2` characters are read.
    """

    model_input_names = ["input_ids", "attention_mask", "character_ids"]  # noqa: RUF012 (the library's own form)
    PADDING, UNKNOWN, FIRST = 0, 1, 2  # of the character ids

    # No constructor: the library would rebuild the backend of a class that has one from its bare vocabulary. What it
    # does not know it keeps in `init_kwargs`, and in the files.
    @property
    def characters(self) -> str:
        return self.init_kwargs.get("characters", "")

    @property
    def max_word_length(self) -> int:
        return self.init_kwargs.get("max_word_length", 20)

    @property
    def character_vocab_size(self) -> int:
        """Number of character ids, padding and unknown included."""
        return self.FIRST + len(self.characters)

    @cached_property
    def _id_of_character(self) -> dict[str, int]:
        return {character: n for n, character in enumerate(self.characters, self.FIRST)}

    @cached_property
    def _spellings(self) -> dict[str, list[int]]:
        return {}

    @cached_property
    def _whole_words(self) -> "WordCharacterTokenizer":
        """This tokenizer with a backend that cuts nothing."""
        twin = copy.copy(self)
        twin._tokenizer = Tokenizer.from_str(self._tokenizer.to_str())
        twin._tokenizer.pre_tokenizer = None
        return twin

    def spell(self, word: str) -> list[int]:
        """The `W` character ids of a word, padded on the right."""
        spelling = self._spellings.get(word)
        if spelling is None:
            W = self.max_word_length
            shown = word if len(word) <= W else word[: W - W // 2] + word[len(word) - W // 2 :]
            spelling = [self._id_of_character.get(character, self.UNKNOWN) for character in shown]
            spelling += [self.PADDING] * (W - len(spelling))
            if len(self._spellings) < MAX_SPELLINGS:
                self._spellings[word] = spelling
        return spelling

    def _encode_plus(self, text, text_pair=None, *, is_split_into_words=False, return_tensors=None, **kwargs):
        if text_pair is not None:
            raise ValueError("text_pair: a tokenizer of words takes one text at a time")
        single = isinstance(text, str) or (is_split_into_words and not (text and isinstance(text[0], (list, tuple))))
        texts = [text] if single else text
        encoder = self._whole_words if is_split_into_words else self
        encoded = super(WordCharacterTokenizer, encoder)._encode_plus(
            text, is_split_into_words=is_split_into_words, return_tensors=None, **kwargs
        )
        samples = encoded.get("overflow_to_sample_mapping", range(len(encoded.encodings)))
        rows = [
            [self.spell(word) for word in words_of(encoding, texts[sample])]
            for encoding, sample in zip(encoded.encodings, samples, strict=True)
        ]
        unbatched = single and "overflow_to_sample_mapping" not in encoded
        encoded["character_ids"] = rows[0] if unbatched else rows
        encoded.convert_to_tensors(return_tensors, prepend_batch_axis=unbatched)
        return self._of_whole_words(encoded)

    def pad(self, encoded_inputs, *args, **kwargs):
        return self._of_whole_words(super().pad(encoded_inputs, *args, **kwargs))

    def _of_whole_words(self, encoded):
        """Gives a tensor `character_ids` of texts without words, `(B, 0)`, the size of a word that nothing showed."""
        spelt = encoded.get("character_ids")
        if getattr(spelt, "ndim", None) == 2 and spelt.shape[1] == 0:
            encoded["character_ids"] = spelt.reshape((len(spelt), 0, self.max_word_length))
        return encoded

    def _pad(self, encoded_inputs, max_length=None, padding_strategy=PaddingStrategy.DO_NOT_PAD, **kwargs):
        length = len(encoded_inputs["input_ids"])
        encoded_inputs = super()._pad(encoded_inputs, max_length, padding_strategy, **kwargs)
        missing = len(encoded_inputs["input_ids"]) - length
        if missing and "character_ids" in encoded_inputs:
            rows = [[self.PADDING] * self.max_word_length] * missing
            given = list(encoded_inputs["character_ids"])
            left = (kwargs.get("padding_side") or self.padding_side) == "left"
            encoded_inputs["character_ids"] = rows + given if left else given + rows
        return encoded_inputs


def words_of(encoding, text: str | list[str]) -> Iterable[str]:
    """The words of a text as they are written there, one for each token; padding is an empty word."""
    for word, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
        yield "" if word is None else (text if isinstance(text, str) else text[word])[start:end]
