"""What all tokenizers of this package do beyond the library's: whole characters in offsets, end tokens in chats.

Sizes: `B` batch, `T` tokens.
"""

import copy
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

from tokenizers import Encoding, Tokenizer, models, normalizers
from transformers import BatchEncoding, PreTrainedTokenizerFast

Span = tuple[int, int]
Source = str | Sequence[str] | None  # a text, or its words; `None`: there is no second text

# Normalizers that make one character of several: what they take away belongs to the character before.
COMPOSING = ("NFC", "NFKC", "NFD", "NFKD")
ONE_CHARACTER = r"\\p\{\w+\}"  # patterns of a single character that our tokenizers have
NEVER = "(?!)"  # a pattern that nothing matches
# What is read of an encoding, by its name in a batch.
COLUMNS = {
    "input_ids": "ids",
    "attention_mask": "attention_mask",
    "token_type_ids": "type_ids",
    "offset_mapping": "offsets",
    "special_tokens_mask": "special_tokens_mask",
}
# Of a conversation without a template of its own: what was said, as it was said.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message.content is string %}{{ message.content }}"
    "{% elif message.content %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}"
)


class RnnTokenizer(PreTrainedTokenizerFast):
    """A fast tokenizer whose offsets cover all that a token was read from, and that reads the tokens of chat templates.

    Where normalization makes one character of several (NFC composes `e` and U+0301; `&lt;` is read as `<`), the library
    keeps the place of one of them alone. Here `return_offsets_mapping` and the encodings span all of them.

    Special tokens that a text spells out are text (`split_special_tokens=True`), but for the end token at its very end.
    In a chat those that the template writes are tokens, and those in messages are text.

    A text without a token is, as tensors, one step of padding that the attention mask hides.

    Its code travels with it. The library's `PreTrainedTokenizerFast` opens the same files without it, and gives the
    same ids.
    """

    # `copy` and `pickle` would write this into the class at their first use. The class of a checkpoint's own code is a
    # part of the fingerprint by which `datasets` finds what it has computed: so it stands here, and in each subclass.
    __slotnames__: ClassVar[list[str]] = []

    # No constructor: the library would rebuild the backend of a class that has one from its bare vocabulary.
    def _encode_plus(self, text, text_pair=None, *, is_split_into_words=False, return_tensors=None, **kwargs):
        if kwargs.get("sanitize_control_tokens"):  # the library encodes such a chat in parts, by further calls
            return super()._encode_plus(
                text, text_pair, is_split_into_words=is_split_into_words, return_tensors=return_tensors, **kwargs
            )
        encoded = self._read(text, text_pair, is_split_into_words, **kwargs)
        batched, given = sources_of(text, text_pair, is_split_into_words)
        samples = encoded.get("overflow_to_sample_mapping", range(len(encoded.encodings)))
        sources = [given[sample] for sample in samples]
        encodings = self._mended(encoded.encodings, sources)
        if return_tensors is not None and self.pad_token_id is not None and not any(map(len, encodings)):
            encodings = [self._one_step(encoding) for encoding in encodings]
        features = self._features(encodings, sources)
        if any(new is not old for new, old in zip(encodings, encoded.encodings, strict=True)):
            features |= {key: [getattr(e, name) for e in encodings] for key, name in COLUMNS.items() if key in encoded}
        unbatched = not batched and "overflow_to_sample_mapping" not in encoded
        if features:
            changes = {key: rows[0] if unbatched else rows for key, rows in features.items()}
            encoded = BatchEncoding(encoded.data | changes, encodings)
        return encoded.convert_to_tensors(return_tensors, prepend_batch_axis=unbatched)

    def _one_step(self, encoding: Encoding) -> Encoding:
        """An encoding without a token as one step of padding, which no model reads: a tensor without a step has the
        dtype of floats, and pipelines cannot put it into a batch."""
        step = copy.copy(encoding)
        step.pad(1, pad_id=self.pad_token_id, pad_type_id=self.pad_token_type_id, pad_token=self.pad_token)
        return step

    def pad(self, encoded_inputs, padding=True, max_length=None, *args, **kwargs):
        """As the library's; tensors have one step of padding at least, also where no text has a token."""
        if kwargs.get("return_tensors") is not None and padding and without_tokens(encoded_inputs):
            padding, max_length = "max_length", max(max_length or 1, 1)
        return super().pad(encoded_inputs, padding, max_length, *args, **kwargs)

    def _read(self, text, text_pair, is_split_into_words, **kwargs) -> BatchEncoding:
        """What the library gives, as lists."""
        return super()._encode_plus(text, text_pair, is_split_into_words=is_split_into_words, **kwargs)

    def _mended(self, encodings: list[Encoding], sources: list[tuple[Source, Source]]) -> list[Encoding]:
        """Encodings whose offsets are whole; themselves where they are.

        Args:
            sources: of each encoding the text, or its words, and the second one.
        """
        steps = steps_of(self._tokenizer.normalizer)
        return (
            [with_whole_offsets(*each, steps) for each in zip(encodings, sources, strict=True)] if steps else encodings
        )

    def _features(self, encodings: list[Encoding], sources: list[tuple[Source, Source]]) -> dict[str, list]:
        """What this tokenizer gives beside the library's ids, `(B, T, ...)`."""
        return {}

    def apply_chat_template(self, conversation, *args, tokenize=True, **kwargs):
        """As the library's; with `tokenize` special tokens are tokens where the template writes them, and text where
        a message does. (There they are tokens, too, with `return_assistant_tokens_mask`, and in versions of the library
        that do not know `sanitize_control_tokens`.)
        """
        reader: PreTrainedTokenizerFast = self
        if tokenize:
            reader = copy.copy(self)
            reader.split_special_tokens = False
            if not kwargs.get("return_assistant_tokens_mask"):
                given = [conversation, *args, kwargs.get("tools"), kwargs.get("documents")]
                found = [token for token in self.all_special_tokens if any(token in text for text in strings_in(given))]
                as_text = [self._encode_without_added_tokens(token) for token in found]
                # A tokenizer of words takes the word <unk> for that token in any text.
                plain = all(self.convert_tokens_to_ids(t) not in ids for t, ids in zip(found, as_text, strict=True))
                if found and plain:
                    kwargs.setdefault("sanitize_control_tokens", True)
        return super(RnnTokenizer, reader).apply_chat_template(conversation, *args, tokenize=tokenize, **kwargs)

    def get_chat_template(self, chat_template=None, tools=None):
        """As the library's; for a tokenizer that has no template, one that joins what the messages say."""
        if chat_template is None and self.chat_template is None:
            return CHAT_TEMPLATE
        return super().get_chat_template(chat_template, tools)

    def _encode_without_added_tokens(self, text: str) -> list[int]:
        backend = without_end_token(self._tokenizer, self.eos_token)
        backend.encode_special_tokens = True
        return backend.encode(text, add_special_tokens=False).ids


def sources_of(text, text_pair, is_split_into_words: bool) -> tuple[bool, list[tuple[Source, Source]]]:
    """What a tokenizer was called with -> whether it is a batch, and of each row its text and its second one."""
    lists = (list, tuple)
    batched = isinstance(text, lists) and (not is_split_into_words or bool(text and isinstance(text[0], lists)))
    if not batched:
        return False, [(text, text_pair or None)]
    if text_pair is not None:
        return True, list(zip(text, text_pair, strict=True))
    pairs = (row[0] if is_split_into_words and row else row for row in text)
    return True, [
        (row[0], row[1]) if isinstance(first, lists) and len(row) == 2 else (row, None)
        for row, first in zip(text, pairs, strict=True)
    ]


def without_tokens(encoded_inputs) -> bool:
    """Whether this is a batch, as `pad` takes it, of texts that all have no token."""
    if isinstance(encoded_inputs, (list, tuple)):
        rows = [row["input_ids"] for row in encoded_inputs if "input_ids" in row]
    else:
        rows = encoded_inputs.get("input_ids", [])
    return len(rows) > 0 and all(hasattr(row, "__len__") and len(row) == 0 for row in rows)


def changed(encoding: Encoding, **fields) -> Encoding:
    """An encoding with other `offsets`, `ids`, `tokens` or `special_tokens_mask`, as long as its own."""
    result = Encoding()
    result.__setstate__(json.dumps(json.loads(encoding.__getstate__()) | fields).encode())
    return result


def strings_in(value: Any) -> Iterator[str]:
    """All strings in lists and dictionaries."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from strings_in(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings_in(item)


# ---- the end token ----
def end_token(eos: str) -> str:
    """The pattern of an end token at the very end of a text, as it stands in the files of our tokenizers."""
    return rf"{re.escape(eos)}\z"


def without_end_token(backend: Tokenizer, eos: str) -> Tokenizer:
    """A copy of a backend to which the end token is text at the end of a text as well."""
    state = json.loads(backend.to_str())
    for part in ("normalizer", "pre_tokenizer"):
        patterns = json.dumps(state[part]).replace(json.dumps(end_token(eos))[1:-1], NEVER)
        state[part] = json.loads(patterns)
    return Tokenizer.from_str(json.dumps(state))


# ---- the places of characters ----
class Step(NamedTuple):
    """One step of a normalizer.

    Args:
        normalizer: that does it.
        kind: its name in the files.
        content: what a `Replace` writes.
        single: whether it reads each character alone, whatever the text.
    """

    normalizer: normalizers.Normalizer
    kind: str
    content: str
    single: bool


def whole_offsets(tokenizer, text: str, offsets: Sequence[Span]) -> Sequence[Span]:
    """The offsets of a text by any fast tokenizer, such that each covers all that its token was read from."""
    if isinstance(tokenizer, RnnTokenizer):
        return offsets
    spans = whole_spans(steps_of(tokenizer.backend_tokenizer.normalizer), text)
    return offsets if spans is None else [within(spans, offset) for offset in offsets]


def with_whole_offsets(encoding: Encoding, sources: tuple[Source, Source], steps: list[Step]) -> Encoding:
    """The same for an encoding of texts or of their words."""
    # Words are looked at together first, as one in which there is something to do is rare.
    joined = (source if source is None or isinstance(source, str) else " ".join(source) for source in sources)
    if not any(source and composed(steps, source) for source in joined):
        return encoding
    spans: dict[tuple[int | None, int], list[Span] | None] = {}
    offsets = list(encoding.offsets)
    for n, (sequence, word) in enumerate(zip(encoding.sequence_ids, encoding.word_ids, strict=True)):
        source = None if sequence is None else sources[sequence]
        if source is None or word is None:
            continue
        part, read = (-1, source) if isinstance(source, str) else (word, source[word])
        if (sequence, part) not in spans:
            spans[sequence, part] = whole_spans(steps, read)
        if (whole := spans[sequence, part]) is not None:
            offsets[n] = within(whole, offsets[n])
    return encoding if offsets == encoding.offsets else changed(encoding, offsets=offsets)


def within(spans: list[Span], offset: Span) -> Span:
    """From the beginning of its first character's span to the end of its last one's."""
    start, end = offset
    return (spans[start][0], spans[end - 1][1]) if start < end else offset


def steps_of(normalizer: normalizers.Normalizer | None) -> list[Step]:
    """The steps of a normalizer up to the last one that may read several characters together."""
    steps: list[Step] = []
    waiting = [] if normalizer is None else [normalizer]
    while waiting:
        step = waiting.pop(0)
        if isinstance(step, normalizers.Sequence):
            waiting = [step[n] for n in range(len(step))] + waiting
            continue
        kind, content, single = type(step).__name__, "", True
        if kind in COMPOSING:
            single = False
        elif kind == "Replace":
            state = json.loads(step.__getstate__())
            content, pattern = state["content"], state["pattern"]
            single = not content or len(pattern.get("String", "")) == 1
            single = single or re.fullmatch(ONE_CHARACTER, pattern.get("Regex", "")) is not None
        steps.append(Step(step, kind, content, single))
    while steps and steps[-1].single:
        steps.pop()
    return steps


def composed(steps: list[Step], text: str) -> list[tuple[Step, str]]:
    """The steps that change a text, each with the text before it; none if each character of the result comes from one
    of the text."""
    found, several = [], False
    for step in steps:
        if step.kind in COMPOSING and text.isascii():
            continue
        after = step.normalizer.normalize_str(text)
        if after != text:
            # Each match becomes one character: if it was longer, so was the text.
            several = several or not (step.single or (len(step.content) == 1 and len(after) == len(text)))
            found.append((step, text))
            text = after
    return found if several else []


def whole_spans(steps: list[Step], text: str) -> list[Span] | None:
    """For each character of a text the span of those that are read together with it; `None` where each is alone."""
    found = composed(steps, text)
    if not found:
        return None
    # A model that knows no character gives each one a token, and so a place.
    ruler = Tokenizer(models.BPE({"?": 0}, [], unk_token="?", fuse_unk=False))
    spans = [(n, n + 1) for n in range(len(text))]  # of each character of the text so far, in the first one
    origin = list(range(len(text)))  # where the library says that it stands
    for step, before in found:
        ruler.normalizer = step.normalizer
        places = [start for start, _ in ruler.encode(before).offsets]
        extents = extents_of(step, places, len(before))
        spans = [within(spans, extents[place]) for place in places]
        origin = [origin[place] for place in places]
    whole: list[Span | None] = [None] * len(text)
    for place, (start, end) in zip(origin, spans, strict=True):
        known = whole[place] or (start, end)
        whole[place] = (min(start, known[0]), max(end, known[1]))
    for start, end in dict.fromkeys(spans):  # the other characters of each span, where no token is said to stand
        whole[start:end] = [(start, end) if known is None else known for known in whole[start:end]]
    return [(n, n + 1) if span is None else span for n, span in enumerate(whole)]


def extents_of(step: Step, places: list[int], length: int) -> dict[int, Span]:
    """For each place that is left of a text of `length` characters, which of them a step has read there."""
    kept = sorted(set(places))
    if step.kind in COMPOSING:
        return dict(zip(kept, zip(kept, [*kept[1:], length], strict=True), strict=True))
    if step.content:  # the library puts the new characters at the last one of the old
        starts = [0, *(place + 1 for place in kept)]
        return {place: (start, place + 1) for start, place in zip(starts, kept, strict=False)}
    return {place: (place, place + 1) for place in kept}
