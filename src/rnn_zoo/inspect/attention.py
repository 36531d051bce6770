"""Pictures of attention: which source words each target word was made from, after Bahdanau et al. (2015), figure 3.

From a model's weights to a picture with words on its axes::

    source, source_groups = words_of(tokenizer, source_ids)
    target, target_groups = words_of(tokenizer, target_ids)
    weights = merge_pieces(weights, target_groups, source_groups)
    save_attention("attention.html", [AttentionMap(weights, source, target)])

The suffix decides: `.html` is one file with no parts elsewhere, `.png`, `.svg` and `.pdf` are drawn by matplotlib.
Sizes: `T` target tokens, `S` source tokens.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .pictures import GAP, empty_figure, families_of, inches, quiet, save_figure, shortened, suffix_of, visible

CONTINUED = "·"  # a token that only goes on with the character of the one before
TOLERANCE = 1e-2  # by which weights in half precision may leave [0, 1]

# Inches.
CELL, LEAST_HEIGHT, LONGEST_SIDE, LINE, BAR, LONGEST_BAR = 0.3, 1.4, 60.0, 0.26, 0.14, 6.0


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """The weights of one sentence and the labels of their axes.

    Args:
        weights: `(T, S)`, in [0, 1]; an array, or a tensor on any device.
        source: the `S` labels of the columns.
        target: the `T` labels of the rows.
        title: what stands above.

    Raises:
        ValueError: if the shape is not that of the labels, there is no label, or a weight is not in [0, 1].
    """

    weights: np.ndarray
    source: Sequence[str]
    target: Sequence[str]
    title: str = ""

    def __post_init__(self):
        weights = _array(self.weights)
        expected = (len(self.target), len(self.source))
        if weights.shape != expected:
            raise ValueError(
                f"weights of shape {weights.shape} for {expected[0]} target and {expected[1]} source labels: "
                f"must be {expected}"
            )
        if not weights.size:
            raise ValueError(f"weights of shape {weights.shape}: there must be a source and a target label")
        bad = weights[~((weights >= -TOLERANCE) & (weights <= 1 + TOLERANCE))]  # so that nan is bad as well
        if bad.size:
            raise ValueError(f"weights: {bad[0]:g} is among them; all must be in [0, 1]")
        object.__setattr__(self, "weights", weights.clip(0, 1))


# ---- labels ----
def labels_of(tokenizer, ids: Iterable[int]) -> list[str]:
    """Ids -> as many labels that one can read.

    Each token's part of the decoded text, without blanks at its ends. A character whose bytes are spread over tokens
    stands on the first; a token that adds nothing of its own is `"·"`. Special tokens are written as in the vocabulary
    (`<eos>`), white space and invisible characters as signs (`"␣"`, `"U+200D"`).

    Args:
        tokenizer: any of transformers; of a `PairTokenizer`, its `source` or `target`.
        ids: of one sentence, a list or a tensor.
    """
    return [visible(text) if text else CONTINUED for text, _ in _parts(tokenizer, ids)]


def words_of(tokenizer, ids: Iterable[int]) -> tuple[list[str], list[int]]:
    """Ids -> the words between white space, and for each id the place of its word: groups for `merge_pieces`.

    A word begins with a token that begins with white space, and so does a special token, which is alone.
    """
    words: list[str] = []
    groups: list[int] = []
    alone = True
    for text, special in _parts(tokenizer, ids):
        if alone or special or text[:1].isspace():
            words.append("")
        alone = special
        words[-1] += text
        groups.append(len(words) - 1)
    return [visible(word) if word else CONTINUED for word in words], groups


def merge_pieces(weights, groups_tgt: Sequence[int | None], groups_src: Sequence[int | None]) -> np.ndarray:
    """Weights between pieces -> weights between words.

    Those of a word's source pieces are summed, those of its target pieces averaged (Koehn and Knowles 2017, section
    3.5; Zenkel et al. 2019), so that rows that sum to 1 still do.

    Args:
        weights: `(T, S)`.
        groups_tgt, groups_src: for each piece its word; neighbours with the same number are one word. `None`, as
            `word_ids()` gives for special tokens, is a word of its own.

    Returns:
        `(words of the target, words of the source)`.

    Raises:
        ValueError: if there are not as many groups as pieces, or none.
    """
    array = _array(weights)
    expected = (len(groups_tgt), len(groups_src))
    if array.shape != expected or not array.size:
        raise ValueError(
            f"weights of shape {array.shape} for {expected[0]} target and {expected[1]} source pieces: "
            "must be as many, and at least one"
        )
    rows, columns = _starts(groups_tgt), _starts(groups_src)
    summed = np.add.reduceat(np.add.reduceat(array, columns, axis=1), rows, axis=0)
    return summed / np.diff([*rows, len(groups_tgt)])[:, None]


def _parts(tokenizer, ids: Iterable[int]) -> list[tuple[str, bool]]:
    """For each id its part of the text, and whether it is a special token."""
    numbers = [int(id) for id in ids]
    special = set(tokenizer.all_special_ids)
    parts: list[tuple[str, bool]] = []
    run: list[int] = []
    for id in [*numbers, None]:
        if id is not None and id not in special:
            run.append(id)
            continue
        parts += [(text, False) for text in _spread(tokenizer, run)]
        run = []
        if id is not None:
            parts.append((tokenizer.convert_ids_to_tokens(id), True))
    return parts


def _spread(tokenizer, ids: list[int]) -> list[str]:
    """The decoded text, cut into the part of each id.

    Decoded up to a token within a character, a text ends in a sign for broken bytes, where the whole text has the
    character: there the two part, and the character counts as begun.
    """
    if not ids:
        return []
    texts = [tokenizer.decode(ids[: n + 1], clean_up_tokenization_spaces=False) for n in range(len(ids))]
    whole = texts[-1]
    parts, start = [], 0
    for text in texts:
        both = zip(text, whole, strict=False)
        end = next((n for n, (one, other) in enumerate(both) if one != other), min(len(text), len(whole)))
        end = max(start, min(len(whole), end + (end < len(text))))
        parts.append(whole[start:end])
        start = end
    return parts


def _starts(groups: Sequence[int | None]) -> list[int]:
    return [n for n, group in enumerate(groups) if n == 0 or group is None or group != groups[n - 1]]


def _array(weights) -> np.ndarray:
    if hasattr(weights, "detach"):  # numpy knows neither bfloat16 nor other devices
        weights = weights.detach().float().cpu().numpy()
    return np.asarray(weights, dtype=np.float64)


# ---- files ----
def save_attention(path: str | Path, maps: Sequence[AttentionMap], *, highest: float = 1.0) -> None:
    """Writes a file with the maps one under another; an old file of this name is replaced.

    Args:
        path: ends in `.html`, `.png`, `.svg` or `.pdf`.
        maps: at least one.
        highest: the weight of the darkest colour, in (0, 1]; greater ones look the same.

    Raises:
        ValueError: for another suffix, no map, `highest` out of its range, or a PNG too large for the memory.
    """
    suffix = suffix_of(path)
    if not maps:
        raise ValueError("no maps: there must be at least one")
    _check_highest(highest)
    if suffix == ".html":
        Path(path).write_text(_page(maps, highest), encoding="utf-8")
        return
    save_figure(path, _drawn(maps, highest), f"{len(maps)} maps", "write .html, or fewer maps")


def attention_figure(weights, source: Sequence[str], target: Sequence[str], *, title: str = "", highest: float = 1.0):
    """Draws one map as a matplotlib `Figure`: source words above, target words on the left, high weights dark.

    Works without a display. A label in a script that the default font lacks gets an installed font that has it; if
    there is none, one warning says which package to install.

    Args:
        weights: `(T, S)`, in [0, 1].
        source, target: the `S` and `T` labels; blanks are made visible, very long ones cut.
        title: what stands above.
        highest: the weight of the darkest colour, in (0, 1].

    Raises:
        ValueError: as `AttentionMap` does, or for `highest` out of its range.
    """
    _check_highest(highest)
    return _drawn([AttentionMap(weights, source, target, title)], highest)


def _check_highest(highest: float) -> None:
    if not 0 < highest <= 1:
        raise ValueError(f"highest={highest}: must be in (0, 1]")


# ---- pictures ----
@dataclass
class _Part:
    """A map's axes, and how many inches its cells and the labels around them take."""

    axes: Any
    image: Any
    width: float
    height: float
    left: float
    top: float
    right: float


def _drawn(maps: Sequence[AttentionMap], highest: float):
    """The maps one under another. Places are in inches, as text does not grow with its cells."""
    figure, renderer = empty_figure()
    families = families_of([shortened(text) for map in maps for text in (*map.source, *map.target, map.title)])
    titles = [figure.text(0, 0, shortened(map.title), va="top", fontsize=12, parse_math=False) for map in maps]
    with quiet():
        for title in titles:
            title.set_fontfamily(families[title.get_text()])
        widest = max(inches(title, renderer)[0] for title in titles)
        parts = [_measured(figure, renderer, map, highest, families) for map in maps]
    left = GAP + LINE + max(part.left for part in parts)
    heads = [GAP + part.top + LINE + (LINE if map.title else 0) for part, map in zip(parts, maps, strict=True)]
    bodies = [max(part.height, LEAST_HEIGHT) + 2 * GAP for part in parts]
    width = left + max(part.width + max(part.right, GAP + BAR + 3 * LINE) for part in parts)
    width = max(width, widest + 2 * GAP)
    height = sum(heads) + sum(bodies)
    figure.set_size_inches(width, height)
    scale = np.array([width, height, width, height])
    top = height
    for part, title, head, body in zip(parts, titles, heads, bodies, strict=True):
        edge = top - head  # the upper edge of the cells
        part.axes.set_position([left, edge - part.height, part.width, part.height] / scale)
        length = min(max(part.height, LEAST_HEIGHT), LONGEST_BAR)
        bar = figure.add_axes(tuple([left + part.width + GAP, edge - length, BAR, length] / scale))
        figure.colorbar(part.image, cax=bar, label="attention weight", extend="max" if highest < 1 else "neither")
        # Near the first labels: a large map has its middle out of sight.
        across, down = min(part.width, LONGEST_BAR) / 2, min(part.height, LONGEST_BAR) / 2
        above = edge + part.top + GAP / 2
        figure.text((left + across) / width, above / height, "source", ha="center", va="bottom", style="italic")
        figure.text(
            (left - part.left) / width, (edge - down) / height, "target",
            ha="right", va="center", rotation=90, style="italic",
        )  # fmt: skip
        title.set_position((GAP / width, (top - GAP) / height))
        top -= head + body
    return figure


def _measured(figure, renderer, map: AttentionMap, highest: float, families: dict[str, list[str]]) -> _Part:
    """Draws the cells and the labels of a map, anywhere, to know their size."""
    axes = figure.add_axes((0, 0, 1, 1), label=str(len(figure.axes)))
    cell = min(CELL, LONGEST_SIDE / max(map.weights.shape))
    image = axes.imshow(map.weights, cmap="Blues", vmin=0, vmax=highest, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(map.source)), [shortened(label) for label in map.source])
    axes.set_yticks(range(len(map.target)), [shortened(label) for label in map.target])
    axes.tick_params(length=0, pad=GAP * 72 / 3, labelsize=cell * 72 * 0.45)
    axes.xaxis.tick_top()
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set(parse_math=False, fontfamily=families[label.get_text()])
    if cell == CELL:
        axes.set_xticks(np.arange(len(map.source) - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(len(map.target) - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=0.6)
        axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set(color="0.7", linewidth=0.6)
    columns = axes.get_xticklabels()
    if max(inches(label, renderer)[0] for label in columns) > 0.9 * cell:
        for label in columns:  # steep enough that lines do not touch
            label.set(rotation=60, ha="left", va="center", rotation_mode="anchor")
    sizes = [inches(label, renderer) for label in columns]
    count = len(columns)
    return _Part(
        axes,
        image,
        width=cell * count,
        height=cell * len(map.target),
        left=max(inches(label, renderer)[0] for label in axes.get_yticklabels()) + GAP,
        top=max(high for _, high in sizes) + GAP,
        right=max(0.0, max(wide - (count - n - 0.5) * cell for n, (wide, _) in enumerate(sizes))) + GAP,
    )


# ---- pages ----
STYLE = """
:root { color-scheme: light dark; --ink: 8, 81, 156; }
@media (prefers-color-scheme: dark) { :root { --ink: 110, 180, 255; } }
body { font: 15px/1.3 system-ui, sans-serif; margin: 1.5rem; }
figure { margin: 0 0 2.5rem; overflow-x: auto; }
figcaption { font-weight: 600; margin-bottom: .5rem; }
table { border-collapse: collapse; }
th { font-weight: 400; white-space: nowrap; padding: .1rem .35rem; }
thead th { vertical-align: bottom; text-align: center; }
tbody th { text-align: right; }
thead span.long {
  writing-mode: vertical-rl; text-orientation: sideways; transform: rotate(180deg); display: inline-block;
}
th:first-child { position: sticky; left: 0; background: Canvas; }
thead th:first-child { font-style: italic; font-size: .85em; text-align: right; }
td { min-width: 1.5rem; height: 1.5rem; padding: 0; border: 1px solid rgba(128, 128, 128, .18); }
td, .scale { background: rgba(var(--ink), var(--weight)); }
td:hover { outline: 2px solid; outline-offset: -2px; }
.scale { display: inline-block; width: 12rem; height: .8rem; vertical-align: middle; margin: 0 .5rem;
  background: linear-gradient(to right, rgba(var(--ink), 0), rgba(var(--ink), 1));
  border: 1px solid rgba(128, 128, 128, .4); }
"""


def _page(maps: Sequence[AttentionMap], highest: float) -> str:
    """One page with all maps; no language, as labels may be of any."""
    most = f"{highest:g}" if highest == 1 else f"≥ {highest:g}"
    return (
        '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Attention</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<p>attention weight: 0<span class="scale"></span>{most}</p>\n'
        + "".join(table(map, highest) for map in maps)
        + "</body>\n</html>\n"
    )


def table(map: AttentionMap, highest: float = 1.0) -> str:
    """The map as HTML, for a page with `STYLE`."""
    source, target = ([html.escape(visible(label)) for label in labels] for labels in (map.source, map.target))
    lines = ["<figure>\n"]
    if map.title:
        lines.append(f'<figcaption dir="auto">{html.escape(visible(map.title))}</figcaption>\n')
    kinds = ["long" if len(visible(label)) > 2 else "short" for label in map.source]
    heads = "".join(
        f'<th scope="col" dir="auto"><span class="{kind}">{word}</span></th>'
        for kind, word in zip(kinds, source, strict=True)
    )
    lines.append(f"<table>\n<thead><tr><th>target ↓ source →</th>{heads}</tr></thead>\n<tbody>\n")
    for word, row in zip(target, map.weights.tolist(), strict=True):
        cells = "".join(
            f'<td style="--weight:{min(1.0, weight / highest):.3f}" title="{word} ← {other}: {weight:.3f}"></td>'
            for other, weight in zip(source, row, strict=True)
        )
        lines.append(f'<tr><th scope="row" dir="auto">{word}</th>{cells}</tr>\n')
    return "".join(lines) + "</tbody>\n</table>\n</figure>\n"
