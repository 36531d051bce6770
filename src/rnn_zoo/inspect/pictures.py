"""What pictures have in common: files by their suffix, fonts that have the characters, labels one can read."""

import io
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any

SUFFIXES = (".html", ".png", ".svg", ".pdf")
SHOWN = 8  # missing characters in a warning
LONGEST = 32  # characters of a label in a picture; pages show all
GAP = 0.12  # inches
DOTS_PER_INCH = 150
MOST_DOTS = 1 << 27  # four bytes each
DRAWING = RLock()  # held while the process's own filters of warnings are changed

VISIBLE = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"}
PACKAGES = {
    "DEVANAGARI": "fonts-noto-core or fonts-lohit-deva",
    **dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"), "fonts-noto-cjk"),
}
OTHER_PACKAGE = "fonts-noto-core"


# ---- files ----
def suffix_of(path: str | Path) -> str:
    """The suffix of a picture's path, in lower case.

    Raises:
        ValueError: if it is none of `SUFFIXES`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: must end in one of {', '.join(SUFFIXES)}, not {suffix!r}")
    return suffix


def save_figure(path: str | Path, figure: Any, what: str, instead: str = "write .html") -> None:
    """Writes a matplotlib `Figure` as `.png`, `.svg` or `.pdf`; an old file of this name is replaced once it is drawn.

    Args:
        path: where to.
        figure: what is drawn.
        what: what a message calls it.
        instead: what that says to do where a PNG would be too large.

    Raises:
        ValueError: for another suffix, or a PNG too large for the memory.
    """
    suffix = suffix_of(path)
    width, height = figure.get_size_inches()
    if suffix == ".png" and (dots := width * height * DOTS_PER_INCH**2) > MOST_DOTS:
        raise ValueError(f"{path}: a PNG of {what} would have {dots:.0f} dots; {instead}")
    buffer = io.BytesIO()  # so that nothing half written replaces an old file
    with quiet():
        figure.savefig(buffer, format=suffix[1:], dpi=DOTS_PER_INCH)
    Path(path).write_bytes(buffer.getvalue())


def empty_figure() -> tuple[Any, Any]:
    """A matplotlib `Figure` that needs no display, and what measures texts on it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(dpi=DOTS_PER_INCH, facecolor="white")
    return figure, FigureCanvasAgg(figure).get_renderer()


# ---- labels ----
def visible(label: str) -> str:
    """A label without blanks at its ends, and with signs for what would not be seen in it."""
    trimmed = label.strip(" ") or label
    is_blank = not trimmed.strip(" ")
    return "".join(_sign(character, is_blank or len(trimmed) == 1) for character in trimmed)


def _sign(character: str, alone: bool) -> str:
    category = unicodedata.category(character)
    if character == " ":
        return VISIBLE[" "] if alone else " "
    # Joiners belong to the spelling of a word; by themselves they would be nothing at all.
    hidden = category in ("Cc", "Cs", "Zl", "Zp", "Zs") or (category == "Cf" and alone)
    return VISIBLE.get(character, f"U+{ord(character):04X}") if hidden else character


def shortened(label: str) -> str:
    """A label as a picture has it: what would not be seen made visible, a very long one cut."""
    label = visible(label)
    return label if len(label) <= LONGEST else label[: LONGEST - 1] + "…"


def inches(text, renderer) -> tuple[float, float]:
    """Width and height of a text of a figure."""
    box = text.get_window_extent(renderer)
    return box.width / DOTS_PER_INCH, box.height / DOTS_PER_INCH


@contextmanager
def quiet() -> Iterator[None]:
    """Without a warning for each missing glyph: the choice of fonts has told of them."""
    with DRAWING, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        yield


def families_of(labels: Iterable[str]) -> dict[str, list[str]]:
    """For each label the font families that have its characters, best first; one warning if some have none.

    One font for a whole label where there is one: signs are only joined to letters of their own font.
    """
    import matplotlib
    from matplotlib.font_manager import findSystemFonts, fontManager

    labels = set(labels)
    characters = {character for label in labels for character in label if _needs_glyph(character)}
    default = list(matplotlib.rcParams["font.family"])
    fonts = {family: _lacking([family], characters) for family in default}
    missing = set(characters).intersection(*fonts.values()) if fonts else set(characters)
    if missing:
        chosen = _fonts_with(missing)
        if missing - {character for found in chosen.values() for character in found}:
            # matplotlib keeps its list of fonts over the years: those installed since are not in it.
            known = {entry.fname for entry in fontManager.ttflist}
            for name in sorted(set(findSystemFonts()) - known):
                with suppress(OSError, RuntimeError):
                    fontManager.addfont(name)
            chosen = _fonts_with(missing)
        for family, found in chosen.items():
            fonts[family] = _lacking([family], characters)
            missing -= found
    if missing:
        _warn(missing)
    return {label: sorted(fonts, key=lambda family: len(fonts[family].intersection(label))) for label in labels}


def _needs_glyph(character: str) -> bool:
    """Joiners, directions and selectors of variants steer their neighbours and have no glyph of their own."""
    return unicodedata.category(character) not in ("Cf", "Zs") and not "\ufe00" <= character <= "\ufe0f"


def _lacking(families: list[str], characters: Iterable[str]) -> set[str]:
    """The characters that the font which matplotlib finds for the families has not."""
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    path = findfont(FontProperties(family=families))
    font = FT2Font(path, face_index=getattr(path, "face_index", 0))
    return {character for character in characters if not font.get_char_index(ord(character))}


def _fonts_with(characters: set[str]) -> dict[str, set[str]]:
    """Families, as few as possible, and which of the characters each has."""
    from matplotlib.font_manager import fontManager
    from matplotlib.ft2font import FT2Font

    entries: dict[str, Any] = {}
    for entry in fontManager.ttflist:
        # They have boxes for all characters, or bitmaps without the rules by which signs join.
        name = entry.name.replace(" ", "").lower()
        if entry.style == "normal" and not name.startswith((".", "lastresort", "adobeblank", "unifont", "gnuunifont")):
            best = entries.setdefault(entry.name, entry)
            if entry.weight in (400, "normal", "regular") and best.weight not in (400, "normal", "regular"):
                entries[entry.name] = entry
    have: dict[str, set[str]] = {}
    for name, entry in entries.items():
        with suppress(OSError, RuntimeError):  # removed since, or broken
            font = FT2Font(entry.fname, face_index=entry.index)
            have[name] = {character for character in characters if font.get_char_index(ord(character))}
    chosen: dict[str, set[str]] = {}
    rest = set(characters)
    while have:
        # Noto's fonts are made to be used together.
        name = min(have, key=lambda name: (-len(have[name] & rest), "Noto Sans" not in name, "Sans" not in name, name))
        if not have[name] & rest:
            break
        chosen[name] = have[name] & rest
        rest -= have[name]
    return chosen


def _warn(missing: set[str]) -> None:
    scripts: dict[str, list[str]] = {}
    for character in sorted(missing):
        scripts.setdefault(unicodedata.name(character, "UNNAMED").split()[0], []).append(character)
    told = []
    for script, found in scripts.items():
        some = " ".join(found[:SHOWN]) + (" …" if len(found) > SHOWN else "")
        told.append(f"{script} ({some}): install {PACKAGES.get(script, OTHER_PACKAGE)}")
    text = (
        f"no installed font has all characters, boxes are drawn for {'; '.join(told)} (packages of Debian and Ubuntu)"
    )
    warnings.warn(
        text, stacklevel=5
    )  # where what a user calls, as save_attention, calls what draws, which calls families_of
