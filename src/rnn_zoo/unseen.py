"""What of the given texts a model has never seen, as far as its tokenizer tells: one note for all of them."""

from collections.abc import Iterable, Sequence

from tokenizers import decoders
from transformers import PreTrainedTokenizerFast

from .models.tokenization_rnn import whole_offsets

NAMED = 8  # characters or words in a note
LONGEST = 40  # characters of one of them


class Unseen:
    """Gathers over any number of texts what their model's tokenizer has never seen.

    Which that are depends on the tokenizer:

    - of characters, words or other whole pieces: those that become its unknown token;
    - of words that the model also reads by their spelling: the characters without an id of their own in words without
      one, since a new word of known characters is no surprise;
    - of byte-level pieces no token is unknown, and an ASCII character may have been seen or not. Any other character is
      named of which no piece holds all bytes: training had it rarely, or never.

    >>> unseen = Unseen(model, tokenizer)
    >>> unseen.look_at(["日本"])
    >>> unseen.note()
    "the model never saw '日', '本': read as <unk>"

    Args:
        model: any of ours.
        tokenizer: its own.
    """

    def __init__(self, model, tokenizer):
        self.tokenizer = tokenizer
        self.held = held_characters(tokenizer)
        reads_spelling = getattr(model.base_model, "characters", None) is not None
        self.spelt = frozenset(tokenizer.characters) if reads_spelling and hasattr(tokenizer, "characters") else None
        self.found: dict[str, None] = {}

    def look_at(self, texts: Sequence[str]) -> None:
        """Reads texts."""
        if self.held is not None:
            self._add_characters(map(self._normalized, texts), self.held)
        elif texts and self.tokenizer.unk_token_id is not None:
            rows = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
            for text, ids in zip(texts, rows, strict=True):
                if self.tokenizer.unk_token_id in ids:
                    self._add_pieces(self._unknown(text))

    def look_at_words(self, sentences: Sequence[Sequence[str]]) -> None:
        """Reads sentences that are given as lists of words, with a fast tokenizer."""
        if self.held is not None:
            self._add_characters((self._normalized(word) for words in sentences for word in words), self.held)
        elif sentences and self.tokenizer.unk_token_id is not None:
            encoded = self.tokenizer([*map(list, sentences)], is_split_into_words=True, add_special_tokens=False)
            for n, (words, ids) in enumerate(zip(sentences, encoded["input_ids"], strict=True)):
                places = zip(encoded.word_ids(n), ids, strict=True)
                self._add_pieces(words[place] for place, token in places if token == self.tokenizer.unk_token_id)

    def share(self, texts: Sequence[str]) -> float:
        """How much of `texts` was never seen: of their characters, or of the tokens of whole pieces."""
        known = self.held if self.held is not None else self.spelt
        if known is not None:
            seen = [character in known for text in map(self._normalized, texts) for character in "".join(text.split())]
        else:
            rows = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
            seen = [token != self.tokenizer.unk_token_id for row in rows for token in row]
        return seen.count(False) / max(1, len(seen))

    def note(self, seen: str = "never saw") -> str | None:
        """What was never seen and how it is read, as a clause; `None` where nothing was found.

        Args:
            seen: the verb, as `"has never seen"`.
        """
        if not self.found:
            return None
        pieces = list(self.found)
        names = [repr(piece if len(piece) <= LONGEST else f"{piece[: LONGEST - 1]}…") for piece in pieces[:NAMED]]
        more = f" and {len(pieces) - NAMED:,} more" if len(pieces) > NAMED else ""
        if self.held is not None:
            seen, read = "has no piece with", "single bytes"
        else:
            read = self.tokenizer.unk_token if self.spelt is None else "unknown characters"
        return f"the model {seen} {', '.join(names)}{more}: read as {read}"

    def _normalized(self, text: str) -> str:
        normalizer = self.tokenizer.backend_tokenizer.normalizer
        return text if normalizer is None else normalizer.normalize_str(text)

    def _unknown(self, text: str) -> list[str]:
        """The pieces of a text that become the unknown token."""
        if self.tokenizer.is_fast:
            return unknown_characters(self.tokenizer, text)
        pieces = self.tokenizer.tokenize(text)  # a slow one does not tell where its tokens stand
        ids = self.tokenizer.convert_tokens_to_ids(pieces)
        return [piece for piece, token in zip(pieces, ids, strict=True) if token == self.tokenizer.unk_token_id]

    def _add_pieces(self, pieces: Iterable[str]) -> None:
        if self.spelt is not None:
            spell, unknown = self.tokenizer.spell, self.tokenizer.UNKNOWN
            self._add_characters((piece for piece in pieces if unknown in spell(piece)), self.spelt)
        else:
            self.found |= dict.fromkeys(piece for piece in pieces if piece != self.tokenizer.unk_token)

    def _add_characters(self, pieces: Iterable[str], known: frozenset[str]) -> None:
        self.found |= dict.fromkeys(character for piece in pieces for character in piece if character not in known)


def held_characters(tokenizer) -> frozenset[str] | None:
    """The characters that stand whole in a piece of a byte-level tokenizer; `None` for another."""
    decoder = tokenizer.backend_tokenizer.decoder if tokenizer.is_fast else None
    if not isinstance(decoder, decoders.ByteLevel):
        return None
    return frozenset(character for piece in tokenizer.get_vocab() for character in decoder.decode([piece]))


def unknown_characters(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    """The distinct characters of `text` (words, for a word tokenizer) that become `<unk>`, in order of appearance.

    They are given as they stand in `text`, before normalization. A word tokenizer's literal `<unk>` is known.
    """
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    spans = zip(encoding["input_ids"], whole_offsets(tokenizer, text, encoding["offset_mapping"]), strict=True)
    unknown = dict.fromkeys(text[start:end] for token, (start, end) in spans if token == tokenizer.unk_token_id)
    return [piece for piece in unknown if piece != tokenizer.unk_token]
