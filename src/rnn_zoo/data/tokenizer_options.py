"""What a recipe asks of a new tokenizer."""

import inspect
from typing import Any

from ..errors import UserError
from ..tokenizers.builders import TOKENIZER_BUILDERS
from .keys import DataArguments


def tokenizer_options(data: DataArguments) -> dict[str, Any]:
    """What the recipe asks of `TOKENIZER_BUILDERS[data.tokenizer_type]`, as its keyword arguments.

    Raises:
        UserError: for an unknown `tokenizer_type`, or an option that it does not have.
    """
    kind = data.tokenizer_type
    if kind not in TOKENIZER_BUILDERS:
        raise UserError(f"tokenizer_type={kind!r}: unknown (choose from {', '.join(TOKENIZER_BUILDERS)})")
    known = inspect.signature(TOKENIZER_BUILDERS[kind]).parameters
    options: dict[str, Any] = {}
    if "unicode_normalization" in known:
        options["unicode_normalization"] = data.unicode_normalization
    if "min_frequency" in known:
        options["min_frequency"] = data.min_frequency
    elif data.min_frequency != 1:
        raise UserError(f"min_frequency={data.min_frequency}: a {kind} tokenizer has no such limit; use max_vocab_size")
    if data.max_vocab_size is not None:
        size = next((name for name in ("vocab_size", "max_vocab_size") if name in known), None)
        if size is None:
            raise UserError(
                f"max_vocab_size: a {kind} tokenizer has as many tokens as there are characters; use min_frequency"
            )
        options[size] = data.max_vocab_size
    for name in ("fold_case", "clean_markup"):
        if name in known:
            options[name] = getattr(data, name)
        elif getattr(data, name):
            having = [
                other for other, build in TOKENIZER_BUILDERS.items() if name in inspect.signature(build).parameters
            ]
            raise UserError(f"{name}: a {kind} tokenizer has no such option; {', '.join(having)} have")
    return options
