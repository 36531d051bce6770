"""Which tokens a vocabulary holds, and the tokenizer that all builders make of one."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from tokenizers import Tokenizer

from ..models.tokenization_rnn import RnnTokenizer

# The id of a special token is its place here.
SPECIAL_TOKENS = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}


def vocabulary_of(tokens: list[str]) -> dict[str, int]:
    return {token: index for index, token in enumerate([*SPECIAL_TOKENS.values(), *tokens])}


def counted(rows: Iterable[Any], name: str, count: Callable[[Any], Counter[str]]) -> Counter[str]:
    """What `count` finds in texts, or other rows. Those that are not in memory are counted where they are: they have a
    method `counted`, which takes a name for what is counted, and gives the sum over pieces."""
    own = getattr(rows, "counted", None)
    return count(rows) if own is None else own(name, count)


def check_at_least(name: str, given: int, least: int) -> None:
    if given < least:
        raise ValueError(f"{name}={given}: must be at least {least}")


def check_found(unit: str, counts: Counter[str], kept: list[str], min_frequency: int) -> None:
    if not counts:
        raise ValueError(f"texts: no {unit} in them; give at least one text that has some")
    if not kept:
        most = max(counts.values())
        raise ValueError(f"min_frequency={min_frequency}: no {unit} is that frequent; must be at most {most}")


def check_word_limits(min_frequency: int, max_vocab_size: int | None) -> None:
    check_at_least("min_frequency", min_frequency, 1)
    if max_vocab_size is not None:
        check_at_least("max_vocab_size", max_vocab_size, len(SPECIAL_TOKENS) + 1)


def vocabulary_of_words(counts: Counter[str], min_frequency: int, max_vocab_size: int | None) -> dict[str, int]:
    """The ids of the special tokens, then of the words by falling frequency, ties by code points.

    Raises:
        ValueError: if there is no word, or none is frequent enough.
    """
    words = sorted((word for word, count in counts.items() if count >= min_frequency), key=lambda w: (-counts[w], w))
    check_found("word", counts, words, min_frequency)
    return vocabulary_of(words if max_vocab_size is None else words[: max_vocab_size - len(SPECIAL_TOKENS)])


def rnn_tokenizer(backend: Tokenizer, special_tokens: dict[str, str] = SPECIAL_TOKENS) -> RnnTokenizer:
    return RnnTokenizer(
        tokenizer_object=backend,
        **special_tokens,
        split_special_tokens=True,
        clean_up_tokenization_spaces=False,
        padding_side="left",  # generation continues at the right end of a row
        model_input_names=["input_ids", "attention_mask"],
    )
