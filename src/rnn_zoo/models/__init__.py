"""Models and all that travels with a checkpoint: flat, importing only torch, transformers, tokenizers and itself."""
