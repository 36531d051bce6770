"""A tokenizer of words that also spells them: for models that read an unseen word by its characters.

Sizes: `B` batch, `T` words, `W` characters of a word.
"""

import copy
from collections.abc import Iterable
from typing import ClassVar

from tokenizers import AddedToken, Encoding, Tokenizer, models
from transformers.utils import PaddingStrategy

from .tokenization_rnn import RnnTokenizer, changed


class WordCharacterTokenizer(RnnTokenizer):
    """One token for each word, and with it `character_ids (T, W)`, the word as it is spelled in the text.

    Raw text is cut by the backend's pre-tokenizer. A text that is given in words (`is_split_into_words=True`, as tagged
    data is) keeps them: each is one token, whatever it consists of. Characters come from the text itself, before
    lower-casing or any other normalization, so that the word `<unk>` and one in capitals are still read.

    The words of two texts (`text_pair`, or a list of pairs) follow each other.

    Args:
        characters: the characters with an id of their own, in the order of their ids; 0 is padding, 1 is unknown.
        max_word_length: `W`; of a longer word the first `W - W // 2` and the last `W // 2` characters are read.
    """

    model_input_names = ["input_ids", "attention_mask", "character_ids"]  # noqa: RUF012 (the library's own form)
    PADDING, UNKNOWN, FIRST = 0, 1, 2  # of the character ids
    __slotnames__: ClassVar[list[str]] = []  # as in `RnnTokenizer`

    # No constructor: the library would rebuild the backend of a class that has one from its bare vocabulary. What it
    # does not know it keeps in `init_kwargs`, and in the files. Nothing is kept at hand in an attribute: the tokenizer
    # is the same, and has the same fingerprint for `datasets`, after its use.
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

    @classmethod
    def _from_pretrained(cls, *args, **kwargs):
        tokenizer = super()._from_pretrained(*args, **kwargs)
        tokenizer._tokenizer.model = whole_words(tokenizer._tokenizer)  # files of earlier versions have another one
        return tokenizer

    def spell(self, word: str) -> list[int]:
        """The `W` character ids of a word, padded on the right."""
        W, characters = self.max_word_length, self.characters
        shown = word if len(word) <= W else word[: W - W // 2] + word[len(word) - W // 2 :]
        # What is not found is at -1, one before the first.
        return [self.FIRST + characters.find(character) for character in shown] + [self.PADDING] * (W - len(shown))

    def _read(self, text, text_pair, is_split_into_words, **kwargs):
        reader = self
        if is_split_into_words:
            # It shares the model, but cuts nothing and has no added tokens, which it would find within words.
            reader = copy.copy(self)
            reader._tokenizer = Tokenizer(self._tokenizer.model)
            for part in ("normalizer", "post_processor"):
                if (own := getattr(self._tokenizer, part)) is not None:
                    setattr(reader._tokenizer, part, own)
        return super(WordCharacterTokenizer, reader)._read(text, text_pair, is_split_into_words, **kwargs)

    def _mended(self, encodings, sources):
        encodings = super()._mended(encodings, sources)
        special = {self.pad_token_id, self.bos_token_id, self.eos_token_id} - {None}
        added = self._added_words()
        mended = []
        for encoding, given in zip(encodings, sources, strict=True):
            if added or not special.isdisjoint(encoding.ids):
                encoding = self._with_special(encoding, given, special, added)
            mended.append(encoding)
        return mended

    def _with_special(self, encoding: Encoding, sources, special: set[int], added: dict) -> Encoding:
        """The words of an encoding that are special, or were added to the vocabulary, as what they are."""
        normalizer, vocabulary = self._tokenizer.normalizer, (self.unk_token_id, self.unk_token)
        ids, tokens, mask = list(encoding.ids), list(encoding.tokens), list(encoding.special_tokens_mask)
        for n, (sequence, word) in enumerate(zip(encoding.sequence_ids, encoding.word_ids, strict=True)):
            if sequence is None or word is None:  # padding, or what the library appends
                continue
            if isinstance(sources[sequence], str):
                # The end token of a text is no word of it.
                mask[n] = int(ids[n] in special)
                continue
            given = sources[sequence][word]
            normalized = normalizer.normalize_str(given) if added and normalizer else given
            if found := added.get((given, False)) or added.get((normalized, True)):
                ids[n], tokens[n] = found
            elif ids[n] in special:  # a word that looks like a special token is only a word
                ids[n], tokens[n] = vocabulary
        if (ids, mask) == (encoding.ids, encoding.special_tokens_mask):
            return encoding
        return changed(encoding, ids=ids, tokens=tokens, special_tokens_mask=mask)

    def _add_tokens(self, new_tokens, special_tokens=False):
        if not special_tokens:  # a word of a text is whole, also one that begins with an added one
            new_tokens = [AddedToken(t, single_word=True) if isinstance(t, str) else t for t in new_tokens]
        return super()._add_tokens(new_tokens, special_tokens)

    def _added_words(self) -> dict[tuple[str, bool], tuple[int, str]]:
        """Words that were added to the vocabulary, and whether they are compared after normalization, each with its id
        and token."""
        found, normalizer = {}, self._tokenizer.normalizer
        for n, token in self.added_tokens_decoder.items():
            if not (token.special and self.split_special_tokens):
                normalized = normalizer.normalize_str(token.content) if normalizer else token.content
                found[normalized if token.normalized else token.content, token.normalized] = (n, token.content)
        return found

    def _features(self, encodings, sources):
        known: dict[str, list[int]] = {}  # the spelling of words that recur
        rows: list[list[list[int]]] = []
        for encoding, source in zip(encodings, sources, strict=True):
            words = list(words_of(encoding, *source))
            for word in words:
                if word not in known:
                    known[word] = self.spell(word)
            rows.append([known[word] for word in words])
        return {"character_ids": rows}

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


def words_of(encoding: Encoding, text: str | list[str], pair: str | list[str] | None = None) -> Iterable[str]:
    """The words of a text, and of a second one, as they are written there, one for each token; padding is an empty
    word."""
    for sequence, word, (start, end) in zip(encoding.sequence_ids, encoding.word_ids, encoding.offsets, strict=True):
        source = pair if sequence else text
        yield "" if word is None or source is None else (source if isinstance(source, str) else source[word])[start:end]


def whole_words(backend: Tokenizer) -> models.Model:
    """The model of a backend of words, as one of pieces that has no pieces: a word is in the vocabulary or unknown.

    The ids are the same. But programs that ask whether a token goes on with a word look at the mark of such pieces, as
    `pipeline("token-classification")` does with `aggregation_strategy` `"first"`, `"average"` and `"max"`; for a model
    without, it takes a sign right after a word for a part of the word.
    """
    model = backend.model
    if not isinstance(model, models.WordLevel):
        return model
    vocabulary, mark = backend.get_vocab(with_added_tokens=False), "\n\n"
    while any(token.startswith(mark) for token in vocabulary):
        mark += "\n"
    return models.WordPiece(
        vocabulary,
        unk_token=model.unk_token,
        max_input_chars_per_word=max(map(len, vocabulary)),  # what is longer is not looked for
        continuing_subword_prefix=mark,
    )
