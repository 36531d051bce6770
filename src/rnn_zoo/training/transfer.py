"""Fine-tuning of a model that begins with a language model's weights, as ULMFiT does it (Howard and Ruder 2018,
"Universal Language Model Fine-tuning for Text Classification", sections 3.2 and 3.3).

Layers are counted from the top: the head, the layers of the stack from the last to the first, the embeddings.
"""

from typing import Any

from transformers import (
    PreTrainedTokenizerBase,
)

from ..checkpoints import load_checkpoint, place_of
from ..errors import UserError
from ..language_model_weights import init_from_language_model
from ..models.keys import keys_of
from ..models.keys_embedding import EmbeddingKeys
from ..models.keys_stack import DirectionKeys, StackKeys
from ..models.modeling_causal_lm import RnnForCausalLM
from ..models.modeling_rnn import RnnPreTrainedModel

# What a language model has decided for a model that goes on from it; it is itself never bidirectional.
OF_THE_STACK = tuple(
    name
    for group in (StackKeys, EmbeddingKeys, DirectionKeys)
    for name, one in keys_of(group).items()
    if one.shapes_weights and one.given_by == "recipe" and one.heads is None and name != "bidirectional"
)


def load_language_model(name: str) -> tuple[RnnForCausalLM, PreTrainedTokenizerBase]:
    """A language model of ours and its tokenizer, from a folder or the Hub.

    Raises:
        UserError: if there is none.
    """
    try:
        return load_checkpoint(place_of(name), RnnForCausalLM, "language model")
    except UserError as error:
        raise UserError(f"language_model={name!r}: {error}") from error


def of_language_model(recipe, language_model: RnnForCausalLM) -> dict[str, Any]:
    """What a language model decides in the configuration of a model that goes on from it.

    Raises:
        UserError: if the recipe has set one of these keys to something else.
    """
    decided = {key: getattr(language_model.config, key) for key in OF_THE_STACK}
    if recipe.model["bidirectional"]:
        del decided["reads_backward"]  # it becomes one of the two directions
    for key, value in decided.items():
        if key in recipe.values and recipe.model[key] != value:
            raise UserError(
                f"{key}={recipe.model[key]!r}: the language model {recipe.transfer.language_model} has {value!r}; "
                "leave the key out"
            )
    return decided


def load_encoder(
    model: RnnPreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    language_model: RnnForCausalLM,
    its_tokenizer: PreTrainedTokenizerBase,
) -> int:
    """Gives a model the weights of a language model: all of them where it reads forward as well and has the same words,
    else what `init_from_language_model` can.

    Returns:
        How many tokens have the language model's embedding.

    Raises:
        UserError: if the two do not fit.
    """
    same = tokenizer.get_vocab() == its_tokenizer.get_vocab()
    if same and not model.config.bidirectional and model.base_model.characters is None:
        model.base_model.load_state_dict(language_model.base_model.state_dict())
        return model.config.vocab_size
    try:
        return init_from_language_model(model, language_model, None if same else (tokenizer, its_tokenizer))
    except ValueError as error:
        raise UserError(f"language_model: {error}") from error
