"""Small local files in the form that a recipe of any task reads."""

from pathlib import Path

import torch

WORDS = ["def", "return", "class", "import", "self", "value", "number", "line", "of", "a", "text", "model"]
TAGS = ["O", "O", "B-PER", "I-PER", "O"]


def toy_files(recipe, lines: int, seed: int) -> dict[str, str]:
    """Lines of five words by the ending of their file: for a tagger in columns, for a translator with a second side,
    for a classifier with the name of a word that they have or have not.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = [[WORDS[n] for n in row] for row in torch.randint(len(WORDS), (lines, 5), generator=generator).tolist()]
    texts = ["".join(" ".join(words) + "\n" for words in side) for side in (rows, [row[::-1] for row in rows])]
    if recipe.run.task == "translation":
        args = recipe.task_arguments
        if args.source_lang is not None:
            return dict(zip((args.source_lang, args.target_lang), texts, strict=True))
        pairs = zip(*(text.splitlines() for text in texts), strict=True)
        return {"tsv": "".join(f"{source}\t{target}\n" for source, target in pairs)}
    if recipe.run.task == "token_classification":
        columns = ("".join(f"{word}\t{tag}\n" for word, tag in zip(row, TAGS, strict=True)) for row in rows)
        return {recipe.data.file_extension: "\n".join(columns)}
    if recipe.run.task == "sequence_classification" or recipe.task_arguments.examples == "documents":
        return {"tsv": "".join(f"{'self' if 'self' in row else 'other'}\t{' '.join(row)}\n" for row in rows)}
    return {recipe.data.file_extension: texts[0]}


def write_toy_files(folder: Path, recipe) -> Path:
    """All splits of `recipe` in a new folder."""
    folder.mkdir()
    for stem, lines, seed in (("train", 120, 0), ("valid", 40, 1), ("test", 40, 2)):
        for ending, text in toy_files(recipe, lines, seed).items():
            told = getattr(recipe.task_arguments, "train_file", None) if stem == "train" else None
            (folder / (told or f"{stem}.{ending}")).write_text(text, encoding="utf-8")
    return folder
