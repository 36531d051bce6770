"""Somebody else's vocabulary -> a tokenizer with its ids."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from .. import checkpoint_checks
from ..checkpoint_checks import sentences
from ..checkpoint_files import missing
from ..data.formats import lines_of, read_text
from ..errors import UserError, one_line, shortened
from ..tokenizers.given_vocabulary import tokenizer_of_vocabulary
from ..tokenizers.vocabulary import SPECIAL_TOKENS

# By which names, in any case, other vocabularies call the special tokens; "" is Keras's padding.
NAMES = {
    "pad_token": {"<pad>", "[pad]", "_pad_", "<blank>", ""},
    "bos_token": {"<bos>", "[bos]", "<s>", "<sos>", "[sos]", "[start]", "<start>"},
    "eos_token": {"<eos>", "[eos]", "</s>", "[end]", "<end>"},
    "unk_token": {"<unk>", "[unk]", "<oov>", "[oov]", "_unk_"},
}


def read_tokens(path: Path) -> list[str]:
    """The tokens of a vocabulary in the order of their ids, or labels in the same forms.

    A `.json` file holds a list, a string of single characters, or an object of ids by token or of tokens by id; any
    other has one on each line. Where the id 0 alone is missing, as in vocabularies for Keras, it is `<pad>`.

    Raises:
        UserError: if it is none of these, or an id or a token is there twice, or an id is missing.
    """
    text = read_text(path)
    if path.suffix.lower() != ".json":
        tokens = lines_of(text)
    else:
        try:
            tokens = in_order(json.loads(text), path)
        except (ValueError, RecursionError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{path}: not readable as JSON: {one_line(error)}") from error
    if not tokens:
        raise UserError(f"{path}: is empty")
    for token in tokens:
        if any("\ud800" <= character <= "\udfff" for character in token):
            raise UserError(f"{path}: has {token!r}, half of a pair of surrogates, which is no text")
    twice = next((token for token, number in Counter(tokens).items() if number > 1), None)
    if twice is not None:
        raise UserError(f"{path}: has {twice!r} twice")
    return tokens


def in_order(value: Any, path: Path) -> list[str]:
    if isinstance(value, str):
        return list(value)
    if isinstance(value, list) and all(isinstance(token, str) for token in value):
        return value
    forms = 'a list of tokens, a string of characters, or an object as {"token": id} or {"id": "token"}'
    if not isinstance(value, dict):
        raise UserError(f"{path}: must hold {forms}")
    if value and all(isinstance(token, str) and key.isdecimal() for key, token in value.items()):
        pairs = [(int(key), token) for key, token in value.items()]
    elif all(type(number) is int for number in value.values()):
        pairs = [(number, token) for token, number in value.items()]
    else:
        raise UserError(f"{path}: must hold {forms}")
    pairs.sort(key=lambda pair: pair[0])
    if pairs and pairs[0][0] == 1:
        pairs.insert(0, (0, SPECIAL_TOKENS["pad_token"]))
    for n, (number, token) in enumerate(pairs):
        if number != n:
            raise UserError(
                f"{path}: ids must be 0, 1, 2, ... and each once, but {n} is followed by {token!r} = {number}"
            )
    return [token for _, token in pairs]


def open_tokenizer(place: str) -> PreTrainedTokenizerFast:
    """A fast tokenizer from a folder or a `tokenizer.json`; no code of it is run.

    Raises:
        UserError: if there is none.
    """
    path, where = Path(place), f"tokenizer={shortened(place)!r}"
    if missing(path) == "is a folder":
        tokenizer = checkpoint_checks.open_tokenizer(path, f"{where}: cannot be opened")
    elif problem := missing(path):
        raise UserError(
            f"{where}: there is no such folder or file" if problem == "is missing" else f"{where}: {problem}"
        )
    else:
        with sentences(f"{where}: cannot be opened"):
            tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path))
            tokenizer(["A text.", ""])
    if not tokenizer.is_fast:
        raise UserError(f"tokenizer={place!r}: is not a fast one")
    return tokenizer


def build_tokenizer(tokens: list[str], unit: str, *, fold_case: bool = False) -> tuple[PreTrainedTokenizerFast, int]:
    """A tokenizer whose ids are the places in `tokens`; what these lack of `<pad> <bos> <eos> <unk>` comes behind.

    Args:
        tokens: those of the original; a special one is known by its usual names. An empty one is padding.
        unit: how texts are cut; see `tokenizer_of_vocabulary`.
        fold_case: whether texts are read in lower case.

    Returns:
        The tokenizer, and how many tokens were added.

    Raises:
        UserError: for a token that no text can have.
    """
    special: dict[str, str] = {}
    tokens = list(tokens)
    for n, token in enumerate(tokens):
        role = next((role for role, names in NAMES.items() if token.casefold() in names), None)
        if token == "":
            tokens[n] = token = SPECIAL_TOKENS["pad_token"]
        if role is not None:
            special.setdefault(role, token)
        elif unit == "char" and len(token) != 1:
            raise UserError(
                f"vocab: {token!r} (id {n}) is no single character, as --unit char needs; perhaps --unit word"
            )
    line_ends = "eos_token" in special
    added = {role: token for role, token in SPECIAL_TOKENS.items() if role not in special}
    for token in added.values():
        if token in tokens:
            raise UserError(f"vocab: has {token!r} and another token of that kind")
    vocabulary = {token: n for n, token in enumerate([*tokens, *added.values()])}
    tokenizer = tokenizer_of_vocabulary(
        vocabulary, unit, special | added, line_ends=line_ends and unit == "word", fold_case=fold_case
    )
    return tokenizer, len(added)
