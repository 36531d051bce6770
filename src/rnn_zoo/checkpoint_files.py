"""The files of a checkpoint folder: its weights, its code, and what of it is meant for others. Read without torch."""

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UserError, one_line

if TYPE_CHECKING:
    import torch

CONFIG, WEIGHTS, SHARDS, TOKENIZER = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
)
TOKENIZER_CONFIG = "tokenizer_config.json"
CODE_KEYS = ("auto_map", "custom_pipelines")  # of a configuration, that name code
MOST_JSON = 64 * 2**20  # bytes of a file that is read as JSON
OUR_TYPES = ("rnn_zoo", "rnn_zoo_seq2seq")  # values of model_type

# What `files_for_others` takes, beside the weights; nothing that Python would unpickle.
SUFFIXES = {".json", ".py", ".jinja", ".model", ".md", ".yaml", ".html", ".png", ".svg", ".pdf"}
NAMES = {"vocab.txt", "merges.txt", "LICENSE", "LICENSE.txt"}
RUN_STATE = "run_state.json"
STATE = {"trainer_state.json", RUN_STATE}  # what only the training itself needs

REFERENCE = re.compile(r"(?:[\w.-]+/[\w.-]+--)?\w+(?:\.\w+)*")  # to code: module.Class, perhaps of a repository
TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{30,}\b")  # as the Hub makes them

# Of values that JSON has given; see `check_form`.
NUMBER = int | float
SHARE = NUMBER | None
NOUNS = {
    str: "text",
    int: "a whole number",
    NUMBER: "a number",
    SHARE: "a number",
    str | None: "text",
    int | None: "a whole number",
    object: "a value",
}
MOST_NUMBER = 1e300


def missing(path: Path) -> str | None:
    """Why there is no file to read at a place, as the end of a sentence about it; `None` where there is one."""
    try:
        if path.is_file():
            return None
        if not os.path.lexists(path):
            return "is missing"
        return "is a folder" if path.is_dir() else "is no file" if path.exists() else "is a link that leads nowhere"
    except (OSError, ValueError) as error:  # a name that the file system does not take, a folder that may not be read
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"


def read_json(path: Path, constant: Callable[[str], Any] | None = None) -> dict[str, Any]:
    """The object in a file.

    Args:
        path: the file.
        constant: what `NaN` and `Infinity` become, which are no JSON.

    Raises:
        UserError: if it holds none, or is too large for what we keep in such files.
    """
    if problem := missing(path):
        raise UserError(f"{path}: {problem}")
    try:
        size = path.stat().st_size
        if size > MOST_JSON:
            raise UserError(f"{path}: has {size:,} bytes; must have {MOST_JSON:,} at most")
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=constant)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON: {one_line(error)}") from error
    except RecursionError as error:
        raise UserError(f"{path}: not readable as JSON: its objects are nested too deeply") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: must hold a JSON object")
    return value


def check_form(value: Any, form: Any, where: str) -> None:
    """Compares a value that JSON has given with a form as `FORM`.

    Args:
        value: the value.
        form: types; of a list the form of each of its items; of an object the forms of its keys, of which those with a
            `?` may be missing, and `*` is each other one.
        where: begins the sentence.

    Raises:
        UserError: by the first value that is another.
    """
    noun = "an object" if isinstance(form, dict) else "a list" if isinstance(form, list) else NOUNS[form]
    kinds = dict if isinstance(form, dict) else list if isinstance(form, list) else form
    if not isinstance(value, kinds) or (isinstance(value, bool) and form is not object):
        raise UserError(f"{where.rstrip('.')} must be {noun}")
    if isinstance(value, int | float) and abs(value) > MOST_NUMBER:
        raise UserError(f"{where.rstrip('.')} must be at most {MOST_NUMBER:g}")
    if isinstance(form, list):
        for n, one in enumerate(value):
            check_form(one, form[0], f"{where.rstrip('.')}[{n}].")
    elif isinstance(form, dict) and isinstance(value, dict):
        for key in form:
            name = key.removesuffix("?")
            if name not in (*value, "*") and name == key:
                raise UserError(f"{where}{name}: is missing")
        for name, one in value.items():
            wanted = form.get(name, form.get(f"{name}?", form.get("*", object)))
            check_form(one, wanted, f"{where}{name}.")


def no_files_of_checkpoints(folder: Path) -> list[str]:
    """Names in a folder that no `save_pretrained` of ours writes, and no importing command."""
    modules = {path.name for path in (Path(__file__).parent / "models").glob("*.py")}
    known = {CONFIG, WEIGHTS, SHARDS, TOKENIZER, TOKENIZER_CONFIG, "generation_config.json", "README.md"}
    known |= {"special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", *modules}
    known |= {"target_tokenizer.json", "training_args.bin"}
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in known and path.suffix not in (".safetensors", ".jinja")
    )


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON, which has no word for what is infinite or no number: there it says `null`."""
    return json.dumps(finite_or_none(value), indent=indent, ensure_ascii=False, allow_nan=False)


def finite_or_none(value: Any) -> Any:
    """The same, with `None` for each number in it that is not finite."""
    if isinstance(value, dict):
        return {key: finite_or_none(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def require_config(folder: Path, name: object) -> None:
    """Raises `UserError` if a folder holds no checkpoint; `name` is what the sentence calls it."""
    if problem := missing(folder / CONFIG):
        raise UserError(f"{name}: no model there ({CONFIG} {problem})")


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is a file of the folder itself, links followed."""
    return path.is_file() and path.resolve().parent == folder.resolve()


def weights_of(folder: Path, name: object = None) -> list[str]:
    """The files that hold a checkpoint's weights, all of them there and whole.

    Args:
        folder: where they are.
        name: what a sentence calls it [the folder].

    Raises:
        UserError: if there are none, or not all; if the weights are no safetensors; if an index names a file that is
            elsewhere.
    """
    from safetensors import SafetensorError, safe_open

    name = folder if name is None else name
    if (folder / WEIGHTS).is_file():
        weights = [WEIGHTS]
    elif (folder / SHARDS).is_file():
        places = read_json(folder / SHARDS).get("weight_map")
        if not isinstance(places, dict) or not places:
            raise UserError(f"{name}: {SHARDS} names no files")
        weights = sorted({str(shard) for shard in places.values()})
        for shard in weights:
            if Path(shard).name != shard or not shard.endswith(".safetensors"):
                raise UserError(f"{name}: {SHARDS} names {shard!r}, which is no safetensors file of the folder itself")
    else:
        raise UserError(
            f"{name}: holds no weights in safetensors ({WEIGHTS} is missing), and others are not read, as a pickle can "
            "run code: have whoever made it save it again with save_pretrained"
        )
    for file in weights:
        if not (folder / file).is_file():
            raise UserError(f"{name}: {file} is missing, which {SHARDS} names")
        try:
            with safe_open(folder / file, "pt"):  # reads the head, which says how long the file must be
                pass
        except (SafetensorError, OSError) as error:
            raise UserError(f"{name}: {file} is damaged or not whole: {one_line(error)}") from error
    return weights


def require_finite(folder: Path, name: object = None) -> None:
    """Looks at all weights of a checkpoint, which takes about as long as a copy of them.

    Args:
        folder: where they are.
        name: what a sentence calls it [the folder].

    Raises:
        UserError: for the first that have a value which is infinite or no number; and as `weights_of` does.
    """
    from safetensors import safe_open

    name = folder if name is None else name
    for file in weights_of(folder, name):
        with safe_open(folder / file, "pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 (not a dict)
                if not all_finite(tensors.get_tensor(key)):
                    raise UserError(
                        f"{name}: {file}: {key!r} holds values that are not finite: the training diverged, and the "
                        "model is of no use"
                    )


def all_finite(tensor: "torch.Tensor") -> bool:
    """Whether no value is infinite or no number. A sum takes a thirtieth of the time of a look at each, and overflows
    only where values are huge."""
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def code_of(folder: Path) -> list[str]:
    """The modules that a checkpoint's configurations name, and all that these import from beside them.

    Raises:
        UserError: if they name them in another form than the library's.
    """
    from transformers.dynamic_module_utils import get_relative_imports

    references: list[str] = []
    for file in (CONFIG, TOKENIZER_CONFIG):
        if (folder / file).is_file():
            references += references_in(read_json(folder / file), f"{folder}: {file}")
    waiting = {f"{reference.partition('.')[0]}.py" for reference in references}
    found: set[str] = set()
    while waiting:
        module = waiting.pop()
        found.add(module)
        if (folder / module).is_file():
            try:
                waiting |= {f"{name}.py" for name in get_relative_imports(folder / module)} - found
            except (OSError, ValueError) as error:
                raise UserError(f"{folder / module}: not readable as code: {one_line(error)}") from error
    return sorted(found)


def references_in(known: Mapping[str, Any], where: str) -> list[str]:
    """What a configuration names of code, as `module.Class`.

    Raises:
        UserError: if it does so in another form than the library's.
    """
    classes, pipelines = (known.get(key) or {} for key in CODE_KEYS)
    if isinstance(pipelines, dict) and all(isinstance(one, dict) for one in pipelines.values()):
        named = [pipeline.get("impl") for pipeline in pipelines.values()]
        if isinstance(classes, dict):
            named += [one for given in classes.values() for one in (given if isinstance(given, list) else [given])]
            named = [one for one in named if one is not None]
            if all(isinstance(one, str) and REFERENCE.fullmatch(one) for one in named):
                return named
    raise UserError(f"{where}: auto_map and custom_pipelines must name code as module.Class of the folder itself")


def files_for_others(folder: Path, code: bool = True) -> tuple[list[str], list[str]]:
    """What of a checkpoint is meant for others, and what is not, both by name.

    Meant for others are weights, configurations, tokenizer, code, card, numbers, recipe and pictures, as files of the
    folder itself. All else stays: folders, as those of earlier steps, optimizer states and pickles, hidden files, links
    that lead out of the folder.

    Args:
        folder: of the checkpoint.
        code: whether its code has to be there, as where `rnn_zoo` is not.

    Raises:
        UserError: if it is no checkpoint of ours that others could open, or a file holds a token of the Hub.
    """
    if problem := missing(folder / CONFIG):
        raise UserError(f"{folder}: no model there ({CONFIG} {problem})")
    config = read_json(folder / CONFIG)
    if config.get("model_type") not in OUR_TYPES:
        raise UserError(f"{folder}: holds a model of type {config.get('model_type')!r}, not one of rnn_zoo")
    weights = weights_of(folder)
    require_finite(folder)
    meant: list[str] = []
    left: list[str] = []
    for path in sorted(folder.iterdir()):
        wanted = path.suffix in SUFFIXES or path.name in {*NAMES, *weights}
        wanted = wanted and not path.name.startswith(".") and path.name not in STATE and is_inside(path, folder)
        (meant if wanted else left).append(path.name)
    if not {TOKENIZER, TOKENIZER_CONFIG} <= {*meant}:
        raise UserError(f"{folder}: holds no tokenizer ({TOKENIZER}, {TOKENIZER_CONFIG}): save it there as well")
    if code and not config.get("auto_map"):
        raise UserError(
            f"{folder}: {CONFIG} names no code (auto_map), so it opens nowhere else: load it and save it again"
        )
    modules = code_of(folder) if code else []
    lacking = sorted({CONFIG, *weights, *modules} - {*meant})
    if lacking:
        raise UserError(
            f"{folder}: {lacking[0]} is missing or a link out of the folder, and nobody could open it without"
        )
    for name in meant:
        if name not in weights and TOKEN.search((folder / name).read_bytes()):
            raise UserError(
                f"{folder / name}: holds a token of the Hub, which would be there for all to read: take it out"
            )
    return meant, left
