"""Writes the golden checkpoints of this version: `python tests/golden/make.py`, once, before each release.

`<version>/<name>/` holds a tiny checkpoint as `save_pretrained` writes it, but no code, and `expected.safetensors`:
inputs and what the model made of them. What has been written is never written again: later versions have to load it and
give its numbers.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from rnn_zoo import CELLS, RnnConfig, RnnForCausalLM, RnnForTokenClassification, RnnModel, __version__

GOLDEN = Path(__file__).parent
SIZES = {"vocab_size": 13, "embedding_size": 6, "hidden_size": 8, "num_hidden_layers": 2, "initializer_range": 1.0}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}

CHECKPOINTS = {cell: (RnnForCausalLM, {"cell_type": cell}) for cell in CELLS} | {
    "tied": (RnnForCausalLM, {"tie_word_embeddings": True}),
    "bidirectional": (RnnModel, {"bidirectional": True, "residual": True, "layer_norm": True}),
    "tagger": (
        RnnForTokenClassification,
        {"bidirectional": True, "use_crf": True, "tag_scheme": "iobes"}
        | {"id2label": dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))},
    ),
}


def main(golden: Path = GOLDEN) -> int:
    folder = golden / __version__
    if folder.exists():
        print(f"{folder} exists: golden checkpoints are never written again; a new version gets new ones")
        return 2
    for seed, (name, (model_class, options)) in enumerate(CHECKPOINTS.items()):
        torch.manual_seed(seed)
        model = model_class(RnnConfig(**SIZES, **TOKENS, **options)).eval()
        for parameter_name, parameter in model.named_parameters():
            if "bias" in parameter_name:
                torch.nn.init.uniform_(parameter, -0.5, 0.5)
        model.save_pretrained(folder / name)
        for file in (folder / name).glob("*.py"):
            file.unlink()
        save_file(expected(model), folder / name / "expected.safetensors")
    print(f"{folder}: {', '.join(CHECKPOINTS)}")
    return 0


@torch.no_grad()
def expected(model) -> dict[str, torch.Tensor]:
    """A padded batch, its output and state; a second piece of text, its output with that state carried."""
    ids, mask = torch.randint(4, 13, (3, 7)), torch.ones(3, 7, dtype=torch.long)
    mask[1, :3] = mask[2, 4:] = 0  # left and right
    following = torch.randint(4, 13, (3, 5))
    outputs = model(ids, attention_mask=mask)
    state = {f"state.{name}": tensor for name, tensor in outputs.cache_params.to_dict().items()}
    continued = model(following, cache_params=outputs.cache_params)
    tensors = {"ids": ids, "mask": mask, "following": following, "output": outputs[0], "continued": continued[0]}
    return tensors | state


if __name__ == "__main__":
    sys.exit(main())
