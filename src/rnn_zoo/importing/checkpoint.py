"""What was imported -> a checkpoint's folder, after a look at what comes out of it again."""

import hashlib
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from ..card import CARD_FILE
from ..checkpoint_files import CONFIG, OUR_TYPES, no_files_of_checkpoints, read_json, require_finite
from ..errors import UserError
from ..folders import listing, refused_writes, require_place, whole_folder
from ..models.configuration_rnn import RnnConfig
from ..tasks import TASKS
from .options import CAUSAL_LM
from .original import Original

ROWS, STEPS = 4, 17  # of the random ids that are compared
TOLERANCE = 1e-4  # of the greatest output; 0 would be equal to the last bit

CARD = """\
---
library_name: transformers
pipeline_tag: {pipeline_tag}
tags:
- rnn_zoo
- {cell_type}
- rnn
---
# {name}

{description}. Imported by `rnn-zoo import` from `{source}` (SHA-256 `{digest}`), not trained here.

On random ids, the outputs of this checkpoint and those of torch's own modules with the imported tensors differ by
{difference:.1e} at most; the greatest output is {greatest:.3g}.
{notes}"""


def check_output(folder: Path, overwrite: bool) -> None:
    """Raises `UserError` if something lies where a checkpoint is to be, but for a checkpoint that may be replaced."""
    require_place(folder, "output")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"{folder}: is a file or a link")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / CONFIG).is_file() or read_json(folder / CONFIG).get("model_type") not in OUR_TYPES:
        raise UserError(f"{folder}: holds something else than a checkpoint; choose another folder")
    if not overwrite:
        raise UserError(f"{folder}: already holds a checkpoint: choose another folder, or add --overwrite")
    if others := no_files_of_checkpoints(folder):
        raise UserError(f"{folder}: holds more than a checkpoint ({listing(others)}), so it is not replaced")


def save(
    original: Original,
    folder: Path,
    source: Path,
    tokenizer: PreTrainedTokenizerBase | None = None,
    added: int = 0,
    *,
    labels: list[str] | None = None,
    stops: bool = False,
) -> tuple[float, float]:
    """Writes a checkpoint: all of it, or nothing. What was in the folder is replaced.

    Args:
        original: what the file holds.
        folder: to be written.
        source: the file.
        tokenizer: the checkpoint's.
        added: how many of its last tokens the original does not have.
        labels: names of the labels.
        stops: whether generation ends at the token that ends a text.

    Returns:
        The greatest difference between the outputs of the checkpoint, read again from the disk, and of torch's own
        modules; and the greatest output.

    Raises:
        UserError: if they differ, the tokenizer does not fit, or the folder cannot be written.
    """
    if tokenizer is not None and len(tokenizer) - added != original.vocab_size:
        raise UserError(
            f"the vocabulary has {len(tokenizer) - added} tokens, but the embedding of {source} {original.vocab_size}"
        )
    if tokenizer is not None and original.pad_token_id not in (None, tokenizer.pad_token_id):
        token = tokenizer.convert_ids_to_tokens(original.pad_token_id)
        raise UserError(
            f"{source} masks the id {original.pad_token_id}, but the vocabulary has {token!r} there, no padding"
        )
    values: dict = {}
    if labels is not None:
        values |= {"id2label": dict(enumerate(labels)), "label2id": {label: n for n, label in enumerate(labels)}}
    if tokenizer is not None:
        values |= {
            name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id", "unk_token_id")
        }
    model = original.with_tokens(added).model(**values)
    if original.task == CAUSAL_LM:
        model.generation_config = generation_config(model.config, tokenizer, stops)
    if hasattr(model, "mark_words") and tokenizer is not None:
        model.mark_words(tokenizer)
    try:
        with refused_writes(), whole_folder(folder) as new:
            model.save_pretrained(new)
            if tokenizer is not None:
                tokenizer.save_pretrained(new)
            difference, greatest = compare(original, new)
            require_finite(new, source)  # also what random ids do not touch
            notes = "".join(f"\n- {note}" for note in original.notes)
            (new / CARD_FILE).write_text(
                CARD.format(
                    pipeline_tag=TASKS[original.task].pipeline_tag,
                    cell_type=original.cell_type,
                    name=folder.absolute().name,
                    description=original.describe(),
                    source=source.name,
                    digest=hashlib.sha256(source.read_bytes()).hexdigest(),
                    difference=difference,
                    greatest=greatest,
                    notes=notes,
                ).rstrip()
                + "\n",
                encoding="utf-8",
            )
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}") from error
    return difference, greatest


def generation_config(config: RnnConfig, tokenizer: PreTrainedTokenizerBase | None, stops: bool) -> GenerationConfig:
    """How ours write: a text begins as after a line end, where there is a token for it."""
    start = config.bos_token_id
    if tokenizer is not None and not stops:
        ids = tokenizer("\n", add_special_tokens=False)["input_ids"]
        start = ids[0] if len(ids) == 1 and ids[0] != tokenizer.unk_token_id else start
    return GenerationConfig(
        do_sample=True,
        temperature=0.8,
        top_k=0,
        max_new_tokens=500,
        pad_token_id=config.pad_token_id,
        bos_token_id=start,
        eos_token_id=config.eos_token_id if stops else None,
    )


@torch.no_grad()
def compare(original: Original, folder: Path) -> tuple[float, float]:
    """The greatest difference of outputs on random ids, and the greatest output.

    Raises:
        UserError: if it is above the tolerance.
    """
    model = TASKS[original.task].model_class.from_pretrained(folder, trust_remote_code=False).eval()
    known = torch.arange(original.vocab_size)
    if hasattr(model, "begins_word"):  # other tokens have no label of their own
        known = known[model.begins_word(known)]
        if not len(known):
            raise UserError("the tokenizer has no token with which a word begins, so nothing could be tagged")
    ids = known[torch.randint(len(known), (ROWS, STEPS), generator=torch.Generator().manual_seed(0))]
    ours, theirs = model(ids, use_cache=False).logits, original.logits(ids)
    difference = (ours[..., : theirs.shape[-1]] - theirs).abs().amax().item()  # without the scores of added tokens
    greatest = theirs.abs().amax().item()
    if not difference <= TOLERANCE * max(greatest, 1.0):  # also for what is no number
        raise UserError(
            f"the outputs of the checkpoint differ from the original's by {difference:.1e} (greatest output "
            f"{greatest:.1e}), so nothing was written: its weights are not finite, or this is a fault of rnn-zoo"
        )
    return difference, greatest
