"""A checkpoint's folder, which somebody else may have made -> a model and its tokenizer, or one sentence.

Sizes are compared with the shapes that stand in the head of the weights' files before anything of these sizes is made:
a configuration of a few bytes can ask for any amount of memory.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer, GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.initialization import no_init_weights

from .checkpoint_files import (
    CONFIG,
    OUR_TYPES,
    TOKENIZER,
    TOKENIZER_CONFIG,
    missing,
    read_json,
    references_in,
    require_config,
    weights_of,
)
from .errors import HubError, UserError, one_line, shortened
from .models.keys_rnn import RnnKeys
from .models.keys_seq2seq import RnnSeq2SeqKeys
from .models.ranges import Range, first_refusal

GENERATION_CONFIG = "generation_config.json"
TOKENIZER_FILES = (TOKENIZER, TOKENIZER_CONFIG, "special_tokens_map.json", "added_tokens.json", "target_tokenizer.json")
CONFIG_FIELDS = [f for kind in (RnnKeys, RnnSeq2SeqKeys) for f in fields(kind)]
COUNTS = ("num_hidden_layers", "decoder_layers", "attention_layer")  # of what has a tensor each
# The other whole numbers that shape weights, with their defaults: each is a dimension of some tensor, or of none where
# the configuration leaves the part out that has it.
SIZES = {
    f.name: f.default if isinstance(f.default, int) else 0
    for f in CONFIG_FIELDS
    if f.metadata["key"].shapes_weights and f.type in (int, int | None) and f.name not in COUNTS
}
DTYPES = ("float32", "float16", "bfloat16", "float64")  # of weights
FLOATS = {"F16", "BF16", "F32", "F64"}  # how their files call these
SLACK = 64 * 2**20  # bytes that a model may take beyond what its files hold
LONGEST_WORD = 1000  # characters of a word that a tokenizer spells

# Keys of a configuration that would change how the library opens the weights, or fetch code.
ENGINES = (
    *("quantization_config", "compression_config", "transformers_weights", "attn_implementation"),
    *("_attn_implementation", "experts_implementation", "_experts_implementation", "kernel_config"),
)
# Of numbers in a generation configuration; what the commands ask for by flags has its range there.
GENERATION_RANGES = {
    **dict.fromkeys(("max_new_tokens", "max_length", "min_new_tokens", "min_length"), Range(0, 10**6)),
    **dict.fromkeys(("num_beams", "num_return_sequences"), Range(1, 1000)),
    **dict.fromkeys(("top_k", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"), Range(0)),
    **dict.fromkeys(("top_p", "typical_p"), Range(0, 1, above=True)),
    **dict.fromkeys(("repetition_penalty", "encoder_repetition_penalty", "temperature"), Range(0)),
    **dict.fromkeys(("length_penalty", "guidance_scale", "diversity_penalty", "penalty_alpha"), Range()),
    **dict.fromkeys(("min_p", "top_h", "epsilon_cutoff", "eta_cutoff"), Range(0, 1)),
    **dict.fromkeys(("num_beam_groups", "max_time"), Range(0)),
}
WHOLE = {"max_new_tokens", "max_length", "min_new_tokens", "min_length", "num_beams", "num_return_sequences", "top_k"}
WHOLE |= {"no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "num_beam_groups"}
SWITCHES = {"do_sample", "use_cache", "renormalize_logits", "remove_invalid_values", "return_dict_in_generate"}
SWITCHES |= {"output_scores", "output_logits", "output_attentions", "output_hidden_states"}
TOKEN_IDS = tuple(dict.fromkeys(f.name for f in CONFIG_FIELDS if f.name.endswith("_token_id")))


@contextmanager
def sentences(what: str) -> Iterator[None]:
    """Around a call of another library that reads what comes from outside: whatever it raises becomes a sentence, which
    names the cause. Not around code of ours, whose faults are to be seen.

    Args:
        what: what could not be done, as the beginning of the sentence.
    """
    try:
        yield
    except (UserError, HubError):
        raise
    except StrictDataclassError as error:  # its last line says which value, and what is allowed
        raise UserError(f"{what}: {str(error).splitlines()[-1].strip().split('Error: ', 1)[-1]}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{what}: {shortened(one_line(error)) or type(error).__name__}") from error
    except Exception as error:
        raise UserError(f"{what}: {type(error).__name__}: {shortened(one_line(error))}") from error
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":  # a panic of the library of tokenizers
            raise
        raise UserError(f"{what}: {shortened(one_line(error))}") from None


# ---- the configuration ----
def checked_config(folder: Path, name: object) -> PreTrainedConfig:
    """The configuration of a checkpoint of ours, each of its values of the type and in the range that it must have.

    Args:
        folder: of the checkpoint.
        name: what a sentence calls it.

    Raises:
        UserError: by the first value that is not.
    """
    require_config(folder, name)
    values = read_json(folder / CONFIG)
    where = f"{name}: {CONFIG}"
    if values.get("model_type") not in OUR_TYPES:
        raise UserError(f"{where}: holds a model of type {values.get('model_type')!r}, not one of rnn_zoo")
    check_values(values, where)
    shapes = shapes_of(folder, name)
    check_counts(values, {size for shape, _ in shapes.values() for size in shape}, len(shapes), where)
    with sentences(where):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    sides = {"vocab_size": config.vocab_size, "decoder_vocab_size": getattr(config, "decoder_vocab_size", None)}
    least = min(size for size in sides.values() if size is not None)
    for key in TOKEN_IDS:
        check_token_ids(key, getattr(config, key, None), least, where)
    labels = config.id2label
    if sorted(labels) != list(range(len(labels))) or not all(isinstance(label, str) for label in labels.values()):
        raise UserError(f"{where}: id2label: must name a label for each of the ids 0, 1, 2, ...")
    return config


def check_values(values: Mapping[str, Any], where: str) -> None:
    """What the library itself does not look at, or looks at too late."""
    for key in ENGINES:
        if values.get(key) is not None:
            raise UserError(f"{where}: {key}: must not stand there, models of rnn_zoo have none")
    for key in ("dtype", "torch_dtype"):
        if values.get(key) is not None and values[key] not in DTYPES:
            raise UserError(f"{where}: {key}={shown(values[key])}: unknown (choose from {', '.join(DTYPES)})")
    heads = values.get("architectures")
    if heads is not None and not (isinstance(heads, list) and all(isinstance(head, str) for head in heads)):
        raise UserError(f"{where}: architectures={shown(heads)}: must be a list of names")
    for key in ("id2label", "label2id"):
        if values.get(key) is not None and not isinstance(values[key], dict):
            raise UserError(f"{where}: {key}: must be an object")
    if not all(is_id(key) for key in values.get("id2label") or ()):
        raise UserError(f"{where}: id2label: its keys must be ids")
    references_in(values, where)
    known = PreTrainedConfig.__dataclass_fields__
    taken = [key for key in values if key not in known and key not in ("model_type", "num_labels", "use_return_dict")]
    for key in taken:
        if key.startswith("__") or callable(getattr(PreTrainedConfig, key, None)):
            raise UserError(f"{where}: {shown(key)}: is no key of a configuration")


def is_id(key: Any) -> bool:
    """Whether a key of an object can be the number of a label."""
    return isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < 10


def check_counts(values: Mapping[str, Any], sizes: set[int], tensors: int, where: str) -> None:
    """Refuses numbers of things that are made one by one, and sizes, where the weights cannot be those of so many.

    Args:
        values: of the configuration.
        sizes: of all dimensions of all tensors.
        tensors: how many there are.
        where: what a sentence calls the configuration.
    """
    greatest = max(sizes, default=0)
    most = {**dict.fromkeys(COUNTS, tensors), "num_labels": max(greatest, 2)}
    most |= {
        name: max(greatest, default) for name, default in SIZES.items()
    }  # one that no tensor has may be the default
    for key, limit in most.items():
        given = values.get(key)
        if given is not None and (isinstance(given, bool) or not isinstance(given, int)):
            raise UserError(f"{where}: {key}={shown(given)}: must be a whole number")
        if given is not None and given > limit:
            raise UserError(f"{where}: {key}={given}: does not fit the weights, which can have {limit} at most")
    for key in ("id2label", "label2id"):
        if len(values.get(key) or ()) > most["num_labels"]:
            raise UserError(f"{where}: {key}: names more labels than the weights can have")


def check_token_ids(key: str, value: Any, size: int, where: str) -> None:
    """Raises `UserError` unless a value is `None`, an id below `size`, or a list of them."""
    for one in value if isinstance(value, list) else [value]:
        if one is None:
            continue
        if isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < size:
            raise UserError(f"{where}: {key}={shown(value)}: must be the id of a token, from 0 to {size - 1}")


def shown(value: Any) -> str:
    """A value of any size for a message."""
    return shortened(repr(value), 60)


def checked_generation(folder: Path, config: PreTrainedConfig, name: object) -> None:
    """Looks at how a checkpoint writes, which the library would leave out unsaid where it cannot read it.

    Raises:
        UserError: if there is a file that says it, but not well.
    """
    if not os.path.lexists(folder / GENERATION_CONFIG):
        return
    where = f"{name}: {GENERATION_CONFIG}"
    if problem := missing(folder / GENERATION_CONFIG):
        raise UserError(f"{where} {problem}")
    values = read_json(folder / GENERATION_CONFIG)
    for key, value in values.items():
        if key in GENERATION_RANGES and value is not None:
            kinds = int if key in WHOLE else int | float
            if isinstance(value, bool) or not isinstance(value, kinds):
                noun = "a whole number" if key in WHOLE else "a number"
                raise UserError(f"{where}: {key}={shown(value)}: must be {noun}")
        elif key in SWITCHES and value is not None and not isinstance(value, bool):
            raise UserError(f"{where}: {key}={shown(value)}: must be true or false")
    if refusal := first_refusal(values, GENERATION_RANGES):
        raise UserError(f"{where}: {refusal}")
    size = getattr(config, "decoder_vocab_size", None) or config.vocab_size
    for key in (*TOKEN_IDS, "forced_bos_token_id", "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens"):
        check_token_ids(key, values.get(key), size, where)
    with sentences(where):
        GenerationConfig.from_dict(values).validate()


# ---- the weights ----
def shapes_of(folder: Path, name: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of each tensor of a checkpoint, of which no tensor is read.

    Raises:
        UserError: as `weights_of` does.
    """
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    for file in weights_of(folder, name):
        with sentences(f"{name}: {file}"), safe_open(folder / file, "pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 (not a dict)
                head = tensors.get_slice(key)
                found[key] = (tuple(head.get_shape()), str(head.get_dtype()))
    return found


def check_weights(model_class: Any, config: PreTrainedConfig, folder: Path, name: object) -> None:
    """Compares the tensors that a model of this configuration has with those of its files.

    Raises:
        UserError: for the first that is missing, surplus, or of another shape or kind.
    """
    given = shapes_of(folder, name)
    try:
        with torch.device("meta"), no_init_weights():
            model = model_class(config)
    except ValueError as error:  # a head's own sentence
        raise UserError(f"{name}: {CONFIG}: {one_line(error)}") from error
    wanted = model.state_dict()
    tied = set(model.all_tied_weights_keys)
    for key, tensor in wanted.items():
        if key not in given:
            if key in tied:
                continue
            raise UserError(f"{name}: its weights lack {key!r}, which a model with this {CONFIG} has")
        shape, kind = given[key]
        if shape != tuple(tensor.shape):
            raise UserError(
                f"{name}: {key!r} has the shape {shape}, but {tuple(tensor.shape)} in a model with this {CONFIG}"
            )
        if (kind in FLOATS) != tensor.is_floating_point():
            raise UserError(f"{name}: {key!r} holds {kind}, not {str(tensor.dtype).removeprefix('torch.')}")
    if surplus := sorted(given.keys() - wanted.keys()):
        raise UserError(f"{name}: its weights hold {surplus[0]!r}, which no model with this {CONFIG} has")
    needed = sum(tensor.nbytes for tensor in {id(t): t for t in (*model.parameters(), *model.buffers())}.values())
    held = sum((folder / file).stat().st_size for file in weights_of(folder, name))
    if needed > 4 * held + SLACK:
        raise UserError(f"{name}: a model with this {CONFIG} has {needed:,} bytes, its weights {held:,}")


# ---- the tokenizer ----
def open_tokenizer(folder: Path, name: object) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder, after it has read a text; none of its code is run.

    Raises:
        UserError: if there is none that does.
    """
    present = [file for file in TOKENIZER_FILES if os.path.lexists(folder / file)]
    if not {TOKENIZER, TOKENIZER_CONFIG} & {*present}:
        raise UserError(f"{name}: holds no tokenizer ({TOKENIZER}, {TOKENIZER_CONFIG})")
    for file in present:
        if problem := missing(folder / file):
            raise UserError(f"{name}: {file} {problem}")
        if file == TOKENIZER_CONFIG:
            check_tokenizer_config(read_json(folder / file), f"{name}: {file}")
    with sentences(f"{name}: its tokenizer cannot be opened"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    with sentences(f"{name}: its tokenizer cannot read a text"):
        encoded = tokenizer(["A text.", ""])
        tokenizer.get_vocab(), tokenizer.all_special_ids, tokenizer.decode([0])
        getattr(tokenizer, "target", tokenizer).get_vocab()
    lacking = {"input_ids", "attention_mask", *(["character_ids"] if hasattr(tokenizer, "spell") else [])} - {*encoded}
    if lacking:
        raise UserError(f"{name}: its tokenizer gives no {min(lacking)}")
    return tokenizer


def check_tokenizer_config(values: Mapping[str, Any], where: str) -> None:
    """What of a tokenizer's settings would be found wrong only when it is used."""
    references_in(values, where)
    if not isinstance(values.get("characters", ""), str):
        raise UserError(f"{where}: characters={shown(values['characters'])}: must be a string")
    longest = values.get("max_word_length", 1)
    if isinstance(longest, bool) or not isinstance(longest, int) or longest not in Range(1, LONGEST_WORD):
        raise UserError(f"{where}: max_word_length={shown(longest)}: must be from 1 to {LONGEST_WORD}")
    names = values.get("model_input_names", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{where}: model_input_names={shown(names)}: must be a list of names")
    limit = values.get("model_max_length", 1)
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float)):
        raise UserError(f"{where}: model_max_length={shown(limit)}: must be a number")
    for key in ("split_special_tokens", "clean_up_tokenization_spaces"):
        if values.get(key) is not None and not isinstance(values[key], bool):
            raise UserError(f"{where}: {key}={shown(values[key])}: must be true or false")


def check_fit(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, name: object) -> None:
    """Raises `UserError` unless a model has a vector for each token, and for each character, of its tokenizer."""
    sides = [(tokenizer, config.vocab_size, "embedding")]
    target = getattr(tokenizer, "target", None)
    if target is not None:
        sides.append((target, getattr(config, "decoder_vocab_size", None) or config.vocab_size, "target embedding"))
    for side, size, noun in sides:
        token, greatest = max(side.get_vocab().items(), key=lambda pair: pair[1], default=("", -1))
        if greatest >= size:
            raise UserError(
                f"{name}: its tokenizer gives {shown(token)} the id {greatest}, but the {noun} has {size} rows, 0 to "
                f"{size - 1}"
            )
    characters = getattr(config, "character_vocab_size", None)
    if characters is None:
        return
    if not hasattr(tokenizer, "spell"):
        raise UserError(f"{name}: the model reads words by their characters, but its tokenizer does not spell them")
    if tokenizer.character_vocab_size > characters:
        raise UserError(
            f"{name}: its tokenizer has {tokenizer.character_vocab_size} characters, but the model {characters}"
        )
