"""What `rnn-zoo translate` answers: texts -> translations, and a picture of where the model looked."""

import argparse
import sys
import warnings
from pathlib import Path

from ...checkpoint_files import json_text
from ...checkpoints import place_of, recipe_value
from ...command_line import given_texts, in_parts, lines_from_standard_input
from ...data.formats import lines_of
from ...errors import UserError
from ...inspect.attention import AttentionMap, save_attention
from ...output import warn
from ...unseen import Unseen
from ..opening import load
from . import TASK
from .command import MOST_MAPS, SEARCH
from .impossible import ImpossibleAnswers
from .pairs import read_sources
from .translator import Translation, Translator

PART = 1024  # texts between two steps of the progress bar


def answer(args: argparse.Namespace) -> int:
    """Translates what the flags name."""

    by_line = args.text is None and args.file is None and not sys.stdin.isatty()

    def read_table(file: str) -> tuple[list[str], str]:
        place = place_of(args.checkpoint)
        source_lang, target_lang = (recipe_value(place, f"{side}_lang", args.revision) for side in ("source", "target"))
        return read_sources(file, args.source_lang, source_lang, target_lang, args.encoding)

    lines = [] if by_line else given_texts(args.text, args.file, "translate", read_table, args.encoding)
    model, tokenizer = load(place_of(args.checkpoint), TASK.name, args.revision)
    if args.num_beams is not None and (refusal := model.config.refusal_of_beams(args.num_beams)):
        raise UserError(refusal)
    if args.attention is not None and model.config.attention == "none":
        raise UserError(f"attention: {args.checkpoint} has none, so there is nothing to look at")
    translator = Translator(model, tokenizer, args.batch_size, args.max_source_length)
    names = ("num_beams", "max_new_tokens", *(name.strip("-") for name, *_ in SEARCH))
    options = {name: value for name in names if (value := getattr(args, name)) is not None}
    check_search(args, model)
    unseen = Unseen(model, tokenizer)
    impossible = ImpossibleAnswers.of(place_of(args.checkpoint), args.revision)
    maps: list[AttentionMap] = []
    for part in lines_from_standard_input(args.encoding) if by_line else in_parts(lines, "translating", PART):
        found = translator(part, attention=len(maps) < MOST_MAPS and args.attention is not None, **options)
        for text, translation in zip(part, found, strict=True):
            show(text, translation, args.json)
            if translation.attention is not None and len(maps) < MOST_MAPS:
                maps.append(translation.attention)
        sys.stdout.flush()  # here, so that a reader who has gone is noticed
        unseen.look_at(part)
        impossible.look_at(part, [translation.text for translation in found])
    for note in filter(None, (unseen.note(), impossible.note())):
        warn(note)
    if maps:
        draw(Path(args.attention), maps)
    return 0


def check_search(args, model) -> None:
    """Says of a flag that it means nothing with the others; raises `UserError` for two that cannot both hold."""
    beams = args.num_beams if args.num_beams is not None else model.generation_config.num_beams or 1
    if args.length_penalty is not None and beams == 1:
        warn("length_penalty: chooses among beams, and there is one (--num_beams)")
    longest = args.max_new_tokens if args.max_new_tokens is not None else model.generation_config.max_new_tokens
    if args.min_new_tokens is not None and longest is not None and args.min_new_tokens > longest:
        raise UserError(f"min_new_tokens={args.min_new_tokens}: must not be above max_new_tokens, which is {longest}")


def draw(path: Path, maps: list[AttentionMap]) -> None:
    """Writes the picture; its warnings, as of a missing font, are lines of ours."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            save_attention(path, maps)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # names the file
        raise UserError(str(error)) from error
    for warning in caught:
        warn(str(warning.message))


def show(text: str, translation: Translation, as_json: bool) -> None:
    """Prints a translation as one line, whatever line ends the model has written."""
    if as_json:
        print(json_text({"text": text, "translation": translation.text}))
    else:
        print(" ".join(lines_of(translation.text)))
