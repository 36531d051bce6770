"""From a language model to a model of another task.

Sizes: `E` embedding, `F` features of a word's spelling, `G` gates, `H` hidden, `V` vocabulary.
"""

import torch
from transformers import PreTrainedTokenizerBase

from .models.modeling_rnn import RnnPreTrainedModel


@torch.no_grad()
def init_from_language_model(
    model: RnnPreTrainedModel,
    language_model: RnnPreTrainedModel,
    tokenizers: tuple[PreTrainedTokenizerBase, PreTrainedTokenizerBase] | None = None,
) -> int:
    """Puts the weights of a language model, which reads in one direction, into a model that may read in both.

    - The embeddings are those of the language model; with `tokenizers`, token by token of the same text.
    - The same direction of each layer, the backward one of a language model with `reads_backward`, has the weights of
      the language model's layer. Where it has more inputs, the spelling of words (`F`) in the first layer and the other
      direction (`H`) in the others, their weights are zero: at first its states are those of the language model,
      exactly.
    - The other direction, the head and what spells words keep what they were.

    Args:
        model: of the same cell type, embedding size, hidden size and number of layers, without `residual` and
            `layer_norm`, whose sums run over both directions.
        language_model: as `RnnForCausalLM`; not changed.
        tokenizers: the model's and the language model's; `None` if both have the same vocabulary.

    Returns:
        The number of tokens that have the language model's embedding.

    Raises:
        ValueError: if the two do not fit; the model is then as it was.
    """
    config, given = model.config, language_model.config
    for name in ("cell_type", "embedding_size", "hidden_size", "num_hidden_layers"):
        if getattr(config, name) != getattr(given, name):
            raise ValueError(
                f"{name}: the model has {getattr(config, name)!r}, the language model {getattr(given, name)!r}"
            )
    if given.bidirectional:
        raise ValueError("bidirectional: the language model must read in one direction only")
    if not config.bidirectional and config.reads_backward != given.reads_backward:
        raise ValueError(
            f"reads_backward: the model has {config.reads_backward}, the language model {given.reads_backward}"
        )
    for name in ("residual", "layer_norm"):
        if getattr(config, name) or getattr(given, name):
            raise ValueError(f"{name}: has no counterpart where the inputs of a layer differ")
    if tokenizers is None:
        if config.vocab_size != given.vocab_size:
            raise ValueError(
                f"vocab_size: the model has {config.vocab_size}, the language model {given.vocab_size}: "
                "give both tokenizers"
            )
        mine = theirs = torch.arange(config.vocab_size)
    else:
        vocabulary, other = (tokenizer.get_vocab() for tokenizer in tokenizers)
        pairs = [(n, other[token]) for token, n in vocabulary.items() if token in other]
        mine, theirs = torch.tensor(pairs).view(-1, 2).unbind(1)

    base, source = model.base_model, language_model.base_model
    direction = int(config.bidirectional and given.reads_backward)
    taken: list[tuple[torch.Tensor, torch.Tensor]] = []
    for n, (layer, read) in enumerate(zip(base.stack.layers, source.stack.layers, strict=True)):
        # A token's vector comes first, and the forward direction before the backward one.
        first = direction * config.hidden_size if n else 0
        cell = layer.cells[direction]
        taken += zip(cell.parameters(), cell.weights_of_narrower(read.cells[0], first), strict=True)
    base.embed_tokens.weight[mine] = source.embed_tokens.weight[theirs].to(base.embed_tokens.weight)
    for weight, value in taken:
        weight.copy_(value)
    return len(mine)
