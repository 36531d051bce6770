"""Writes the golden checkpoints that this version lacks: `python tests/golden/make.py`, before each release.

`<version>/<name>/` holds a tiny checkpoint as `save_pretrained` writes it, but no code, and `expected.safetensors`:
inputs and what the model made of them. What has been written is never written again: later versions have to load it and
give its numbers.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from rnn_zoo import CELLS, RnnModel, __version__
from rnn_zoo.tasks import TASKS

GOLDEN = Path(__file__).parent
SIZES = {"vocab_size": 13, "embedding_size": 6, "hidden_size": 8, "num_hidden_layers": 2, "initializer_range": 1.0}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}

LABELS = {"id2label": dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))}
SPELLING = {"character_vocab_size": 9, "character_hidden_size": 6, "affix_length": 2, "affix_vocab_size": 5}

FIRST_CELLS = list(CELLS)[:4]
LATER_CELLS = list(CELLS)[4:]

# Of each task the options of its golden checkpoints, by their names. A name's place decides its seed: new ones of a
# task that is here already stand at the end of all.
OF_TASKS: dict[str, dict[str, dict]] = {
    "causal_lm": {cell: {"cell_type": cell} for cell in FIRST_CELLS} | {"tied": {"tie_word_embeddings": True}},
    "token_classification": {
        "tagger": {"bidirectional": True, "use_crf": True, "tag_scheme": "iobes"} | LABELS,
        "tagger_without_crf": {"bidirectional": True} | LABELS,
        "tagger_that_spells": {"bidirectional": True, "use_crf": True, "tag_scheme": "iob2"} | LABELS | SPELLING,
    },
    "sequence_classification": {
        "classifier": {"bidirectional": True, "num_labels": 3, "classifier_hidden_size": 5},
        "classifier_with_attention": {"pooling": "self_attentive", "attention_hops": 2, "pooling_attention_size": 5}
        | {"cell_type": "gru"},
        "classifier_of_sentences": {"hierarchical": True, "pooling": "attention", "bidirectional": True}
        | {"sentence_end_token_ids": [4, 5]},
    },
    "translation": {
        "seq2seq": {"attention": "bahdanau", "attention_scaled": True, "attention_layer": 1}
        | {"tie_word_embeddings": True},
        "seq2seq_input_feeding": {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 11}
        | {"input_feeding": True, "cell_type": "gru", "decoder_cell_type": "lstm"}
        | {"decoder_hidden_size": 7, "bridge": "mean"},
    },
}
WITHOUT_HEAD = {"bidirectional": {"bidirectional": True, "residual": True, "layer_norm": True}}


def checkpoints() -> dict[str, tuple[type, dict]]:
    """Of each golden checkpoint its class and its options."""
    found = {}
    for task, examples in OF_TASKS.items():
        found |= {name: (TASKS[task].model_class, options) for name, options in examples.items()}
        if task == next(iter(OF_TASKS)):
            found |= {name: (RnnModel, options) for name, options in WITHOUT_HEAD.items()}
    language_model = TASKS["causal_lm"].model_class
    return found | {cell: (language_model, {"cell_type": cell}) for cell in LATER_CELLS}


CHECKPOINTS = checkpoints()


def main(golden: Path = GOLDEN) -> int:
    folder = golden / __version__
    missing = [name for name in CHECKPOINTS if not (folder / name).exists()]
    if not missing:
        print(f"{folder} has all: golden checkpoints are never written again; a new version gets new ones")
        return 2
    for seed, (name, (model_class, options)) in enumerate(CHECKPOINTS.items()):
        if name not in missing:
            continue
        torch.manual_seed(seed)
        model = model_class(model_class.config_class(**SIZES, **TOKENS, **options)).eval()
        for parameter_name, parameter in model.named_parameters():
            if "bias" in parameter_name:
                torch.nn.init.uniform_(parameter, -0.5, 0.5)
        if getattr(model.config, "affix_length", 0):
            model.model.characters.affixes.mark_characters("aB1-\u093cxy")
            model.model.characters.affixes.keep_frequent(torch.randint(9, (20, 4)), 2)
        model.save_pretrained(folder / name)
        for file in (folder / name).glob("*.py"):
            file.unlink()
        made = expected_of_target(model) if model.config.is_encoder_decoder else expected(model)
        save_file(made, folder / name / "expected.safetensors")
    print(f"{folder}: {', '.join(missing)}")
    return 0


@torch.no_grad()
def expected(model) -> dict[str, torch.Tensor]:
    """A padded batch, its output and state; a second piece of text, its output with that state carried."""
    ids, mask = torch.randint(4, 13, (3, 7)), torch.ones(3, 7, dtype=torch.long)
    mask[1, :3] = mask[2, 4:] = 0  # left and right
    following = torch.randint(4, 13, (3, 5))
    spelling = {} if model.config.character_vocab_size is None else {"character_ids": torch.randint(1, 9, (3, 7, 4))}
    outputs = model(ids, attention_mask=mask, **spelling)
    if outputs.cache_params is None:  # it reads no text in two parts
        return {"ids": ids, "mask": mask, "output": outputs[0]}
    state = {f"state.{name}": tensor for name, tensor in outputs.cache_params.to_dict().items()}
    tail = {name: tensor[:, :5] for name, tensor in spelling.items()}
    continued = model(following, cache_params=outputs.cache_params, **tail)
    tensors = {"ids": ids, "mask": mask, "following": following, "output": outputs[0], "continued": continued[0]}
    return tensors | state | {name: tensor.clone() for name, tensor in spelling.items()}


@torch.no_grad()
def expected_of_target(model) -> dict[str, torch.Tensor]:
    """A padded batch of sources and targets, the output and state; then the next target tokens of all."""
    ids, mask = torch.randint(4, 13, (3, 7)), torch.ones(3, 7, dtype=torch.long)
    target_ids, target_mask = torch.randint(4, 11, (3, 6)), torch.ones(3, 6, dtype=torch.long)
    mask[1, :3] = mask[2, 4:] = target_mask[0, :2] = target_mask[1, 5:] = 0  # left and right
    following = torch.randint(4, 11, (3, 5))
    source = {"input_ids": ids, "attention_mask": mask}
    outputs = model(**source, decoder_input_ids=target_ids, decoder_attention_mask=target_mask)
    state = {f"state.{name}": tensor for name, tensor in outputs.cache_params.to_dict().items()}
    continued = model(**source, decoder_input_ids=following, cache_params=outputs.cache_params)
    tensors = {"ids": ids, "mask": mask, "target_ids": target_ids, "target_mask": target_mask, "following": following}
    return tensors | {"output": outputs[0], "continued": continued[0]} | state


if __name__ == "__main__":
    sys.exit(main())
