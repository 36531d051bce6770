"""Which tokens a vocabulary holds, and the tokenizer that all builders make of one."""

from collections import Counter

from tokenizers import Tokenizer

from ..models.tokenization_rnn import RnnTokenizer

# The id of a special token is its place here.
SPECIAL_TOKENS = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}


def vocabulary_of(tokens: list[str]) -> dict[str, int]:
    return {token: index for index, token in enumerate([*SPECIAL_TOKENS.values(), *tokens])}


def check_at_least(name: str, given: int, least: int) -> None:
    if given < least:
        raise ValueError(f"{name}={given}: must be at least {least}")


def check_found(unit: str, counts: Counter[str], kept: list[str], min_frequency: int) -> None:
    if not counts:
        raise ValueError(f"texts: no {unit} in them; give at least one text that has some")
    if not kept:
        most = max(counts.values())
        raise ValueError(f"min_frequency={min_frequency}: no {unit} is that frequent; must be at most {most}")


def rnn_tokenizer(backend: Tokenizer, special_tokens: dict[str, str] = SPECIAL_TOKENS) -> RnnTokenizer:
    return RnnTokenizer(
        tokenizer_object=backend,
        **special_tokens,
        split_special_tokens=True,
        clean_up_tokenization_spaces=False,
        padding_side="left",  # generation continues at the right end of a row
        model_input_names=["input_ids", "attention_mask"],
    )
