"""Parallel files: two with a sentence a line, each beside that of the same number in the other."""

import math
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, zip_longest
from pathlib import Path

from ..errors import UserError, Warn
from .formats import UTF_8, FileText, lines_of, read_text
from .splits import (
    all_files,
    choose_splits,
    files_in,
    splits_in_names,
)

SIDE_NAMES = (("src", "tgt"), ("source", "target"))  # what the two files of a pair are called, if not by languages


def parallel_files(
    folder: Path, languages: tuple[str | None, str | None], only: str | None = None
) -> dict[str, tuple[Path, Path]]:
    """The two files of each split, `train.en` and `train.de`, each perhaps gzipped; empty if there are none at all, or
    a language is not told.

    Raises:
        UserError: if there is no such folder, several files for one split, or one without its partner.
    """
    first, second = languages
    if first is None or second is None:
        files_in(folder, [])
        return {}
    sides: list[dict[str, Path]] = []  # for each language its files, by what their names have in common
    for language in (first, second):
        files: dict[str, Path] = {}
        for path in files_in(folder, [language]):
            base = path.name.removesuffix(".gz").removesuffix(f".{language}")
            if base in files:
                raise UserError(f"{folder}: {files[base].name} and {path.name} are both {base}: leave one")
            files[base] = path
        sides.append(files)
    sources, targets = sides
    bases = sorted(sources.keys() | targets.keys())
    if not bases:
        return {}
    chosen = choose_splits(bases, str(folder), f"train.{first} and train.{second}, or a single pair of files", only)
    for base in chosen.values():
        for language, files, others in ((first, sources, targets), (second, targets, sources)):
            if base not in files:
                raise UserError(f"{folder / base}.{language}: no such file, and {others[base]} needs it beside it")
    return {split: (sources[base], targets[base]) for split, base in chosen.items()}


def named_otherwise(
    folder: Path, languages: tuple[str | None, str | None], extension: str, only: str | None, warn: Warn
) -> dict[str, tuple[Path, Path]]:
    """The two files of each split where their names hold the language elsewhere than at the end: `train.en.txt` and
    `train.de.txt`, `en.txt` and `de.txt`, `src-train.txt` and `tgt-train.txt`; empty if it is not clear which they are.

    Names are cut at points, hyphens and underscores. Each file of a pair has one of the two languages, once, or
    `src` and `tgt` (`source` and `target`), and all else in common.

    Args:
        folder: where they are.
        languages: what both sides are called, if they are told.
        extension: which they may have, besides .txt.
        only: the one split that is needed.
        warn: is told which files they are.
    """
    told = [(first, second) for first, second in (languages,) if first and second]
    endings = {"txt", extension.lower()}
    for names in (*told, *SIDE_NAMES):
        sides: tuple[dict[str, list[Path]], dict[str, list[Path]]] = ({}, {})
        for path in all_files(folder):
            lower = [part.lower() for part in re.split(r"[-_.]", path.name.removesuffix(".gz"))]
            counts = [lower.count(name.lower()) for name in names]
            if lower[-1] not in endings or sorted(counts) != [0, 1]:
                continue
            name = names[counts.index(1)].lower()
            rest = ".".join(part for part in lower if part != name)
            sides[counts.index(1)].setdefault(rest, []).append(path)
        if sides[0].keys() != sides[1].keys() or any(len(paths) > 1 for side in sides for paths in side.values()):
            continue
        bases = sorted(sides[0])
        chosen = {"train": bases[0]} if len(bases) == 1 else splits_in_names(bases)
        if "train" not in chosen and only not in chosen:
            continue
        files = {split: (sides[0][base][0], sides[1][base][0]) for split, base in chosen.items()}
        one, other = files.get("train") or files[str(only)]
        warn(f"{folder}: sources are {one.name}, targets {other.name}")
        return files
    return {}


def lines_of_both(source: Path, target: Path, encoding: str = UTF_8) -> list[tuple[str, str]]:
    """The lines of two files, each beside that of the same number in the other.

    Raises:
        UserError: if one has more lines; the sentence names the place where they probably part.
    """
    sources, targets = (lines_of(read_text(path, encoding)) for path in (source, target))
    if len(sources) != len(targets):
        number = parting_line(sources, targets)
        shown = [repr(lines[number - 1][:40]) if number <= len(lines) else "its end" for lines in (sources, targets)]
        raise UserError(
            f"{source} has {len(sources):,} lines, {target} has {len(targets):,}: they must be as many; by the lengths "
            f"of the lines they part at line {number:,} ({shown[0]}, {shown[1]})"
        )
    return list(zip(sources, targets, strict=True))


def each_of_both(source: Path, target: Path, encoding: str = UTF_8) -> Iterator[tuple[str, str]]:
    """As `lines_of_both`, of large files."""
    missing = object()
    for one, other in zip_longest(FileText(source, encoding), FileText(target, encoding), fillvalue=missing):
        if one is missing or other is missing:
            lines_of_both(source, target, encoding)  # which says where they part
        yield str(one), str(other)


def parting_line(first: Sequence[str], second: Sequence[str]) -> int:
    """The line, from 1, from which two texts are probably out of step; one past the shorter's end if it lacks the rest.

    With `d` lines more in one, each line number is a place where these `d` may stand: before it the lines are compared
    as they stand, after it `d` apart. The place is the one where the logarithms of the ratios of their lengths, less
    that of the whole texts, are least in sum.
    """
    if len(first) > len(second):
        first, second = second, first
    usual = math.log((sum(map(len, second)) + 1) / (sum(map(len, first)) + 1))
    extra = len(second) - len(first)

    def costs(shift: int) -> Iterator[float]:
        for n, line in enumerate(first):
            yield abs(math.log((len(second[n + shift]) + 1) / (len(line) + 1)) - usual)

    before = [0.0, *accumulate(costs(0))]
    after = [0.0, *accumulate(costs(extra))]
    # Rounded, so that among places that are as good the last is taken: where lengths tell nothing, that is the end.
    return min(range(len(first) + 1), key=lambda n: (round(before[n] + after[-1] - after[n], 6), -n)) + 1
