"""Pictures of a confusion matrix: which labels a classifier takes for which.

Rows are the true labels, columns the predicted ones::

    matrix = confusion_matrix_of(predictions, references, len(labels))
    save_confusion(matrix, labels, "confusion.png")

Each cell has a count and its share of its row. The colour is that share, so that rare labels are seen as well as
frequent ones: on the diagonal it is the recall. The suffix decides: `.html` is one file with no parts elsewhere,
`.png`, `.svg` and `.pdf` are drawn by matplotlib. Size: `K` labels.
"""

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .pictures import GAP, empty_figure, families_of, inches, quiet, save_figure, shortened, suffix_of, visible

# Inches, but for points and colours.
LEAST_CELL, LINE, BAR, LEAST_BAR = 0.42, 0.26, 0.14, 1.2
COUNT_POINTS, SHARE_POINTS, LABEL_POINTS = 9, 6.5, 10
DARK = 0.55  # the share from which a cell is so dark that its text is white


def save_confusion(matrix, labels: Sequence[str], path: str | Path, *, title: str = "") -> None:
    """Writes a file with the picture; an old file of this name is replaced.

    Args:
        matrix: `(K, K)` counts, rows true and columns predicted; lists, an array or a tensor.
        labels: the `K` names, in the order of their ids.
        path: ends in `.html`, `.png`, `.svg` or `.pdf`.
        title: what stands above.

    Raises:
        ValueError: for another suffix, a shape that is not that of the labels, no label, what is no count, or a PNG too
            large for the memory.
    """
    suffix = suffix_of(path)
    counts = _counts(matrix, labels)
    if suffix == ".html":
        Path(path).write_text(_page(counts, labels, title), encoding="utf-8")
        return
    save_figure(path, _drawn(counts, labels, title), f"{len(labels)} labels")


def confusion_figure(matrix, labels: Sequence[str], *, title: str = ""):
    """Draws the matrix as a matplotlib `Figure`, without a display; scripts and fonts as in `attention_figure`.

    Raises:
        ValueError: as `save_confusion` does.
    """
    return _drawn(_counts(matrix, labels), labels, title)


def _counts(matrix, labels: Sequence[str]) -> np.ndarray:
    """The matrix as whole numbers, `(K, K)`."""
    if hasattr(matrix, "detach"):
        matrix = matrix.detach().cpu().numpy()
    counts = np.asarray(matrix)
    K = len(labels)
    if counts.shape != (K, K) or not K:
        raise ValueError(f"matrix of shape {counts.shape} for {K} labels: must be ({K}, {K}), with at least one")
    if not (np.issubdtype(counts.dtype, np.number) and (counts >= 0).all() and (counts == np.round(counts)).all()):
        raise ValueError("matrix: all must be counts, whole numbers of at least 0")
    return counts.astype(np.int64)


def _shares(counts: np.ndarray) -> np.ndarray:
    """Of each row what part stands in each column; 0 in a row of a label that no text has."""
    totals = counts.sum(1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)


def _percent(share: float) -> str:
    """`"7 %"`; what is not nothing and not all is never shown as 0 or 100."""
    if 0 < share <= 0.005:
        return "<1 %"
    if 0.995 <= share < 1:
        return ">99 %"
    return f"{100 * share:.0f} %"


# ---- pictures ----
def _drawn(counts: np.ndarray, labels: Sequence[str], title: str):
    """Places are in inches, as text does not grow with its cells: the widest text decides how large they are."""
    figure, renderer = empty_figure()
    K = len(labels)
    shares = _shares(counts)
    names, title = [shortened(label) for label in labels], shortened(title)
    families = families_of([*names, title])
    axes = figure.add_axes((0, 0, 1, 1))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    cells = []
    for (row, column), count in np.ndenumerate(counts):
        style = {"color": "white" if shares[row, column] > DARK else "0.15" if count else "0.75", "ha": "center"}
        cells.append(axes.text(column, row, f"{count:,}", va="bottom", fontsize=COUNT_POINTS, **style))
        if count:
            share = _percent(float(shares[row, column]))
            cells.append(axes.text(column, row + 0.06, share, va="top", fontsize=SHARE_POINTS, **style))
    axes.set_xticks(range(K), names)
    axes.set_yticks(range(K), names)
    axes.tick_params(length=0, pad=GAP * 72 / 3, labelsize=LABEL_POINTS)
    axes.xaxis.tick_top()
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set(parse_math=False, fontfamily=families[label.get_text()])
    axes.set_xticks(np.arange(K - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(K - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="0.85", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set(color="0.7", linewidth=0.6)
    heading = figure.text(0, 0, title, va="top", fontsize=12, parse_math=False, fontfamily=families[title])

    with quiet():
        cell = max(LEAST_CELL, max(inches(text, renderer)[0] for text in cells) + GAP)
        columns = axes.get_xticklabels()
        if max(inches(label, renderer)[0] for label in columns) > 0.95 * cell:
            for label in columns:  # steep enough that lines do not touch
                label.set(rotation=60, ha="left", va="center", rotation_mode="anchor")
        sizes = [inches(label, renderer) for label in columns]
        left = GAP + LINE + GAP + max(inches(label, renderer)[0] for label in axes.get_yticklabels()) + GAP
        wide, _ = inches(heading, renderer)
    over = max(size - (K - n - 0.5) * cell for n, (size, _) in enumerate(sizes))  # what labels take beside the cells
    top = GAP + (LINE + GAP if title else 0) + LINE + max(size for _, size in sizes) + 2 * GAP
    side = K * cell
    body = max(side, LEAST_BAR)
    width = max(left + side + max(over + GAP, 2 * GAP + BAR + 3 * LINE), wide + 2 * GAP)
    height = top + body + GAP
    figure.set_size_inches(width, height)
    scale = np.array([width, height, width, height])
    edge = height - top
    axes.set_position([left, edge - side, side, side] / scale)
    bar = figure.add_axes(tuple([left + side + GAP, edge - body, BAR, body] / scale))
    figure.colorbar(image, cax=bar, label="share of the row")
    bar.tick_params(labelsize=8)
    above = height - GAP - (LINE + GAP if title else 0)
    figure.text((left + side / 2) / width, above / height, "predicted", ha="center", va="top", style="italic")
    figure.text(
        GAP / width, (edge - side / 2) / height, "true", ha="left", va="center", rotation=90, style="italic"
    )  # fmt: skip
    heading.set_position((GAP / width, (height - GAP) / height))
    return figure


# ---- pages ----
STYLE = """
:root { color-scheme: light dark; --ink: 8, 81, 156; --strong: white; }
@media (prefers-color-scheme: dark) { :root { --ink: 110, 180, 255; --strong: black; } }
body { font: 15px/1.3 system-ui, sans-serif; margin: 1.5rem; }
figure { margin: 0; overflow-x: auto; }
figcaption { font-weight: 600; margin-bottom: .5rem; }
table { border-collapse: collapse; }
th { font-weight: 400; white-space: nowrap; padding: .2rem .5rem; }
tbody th { text-align: right; position: sticky; left: 0; background: Canvas; }
thead th:first-child { font-style: italic; font-size: .85em; text-align: right; }
td { min-width: 3.2rem; padding: .3rem; text-align: center; border: 1px solid rgba(128, 128, 128, .25);
  background: rgba(var(--ink), var(--share)); }
td small { display: block; opacity: .8; }
td.dark { color: var(--strong); }
td.none { color: GrayText; }
"""


def _page(counts: np.ndarray, labels: Sequence[str], title: str) -> str:
    """One page with the table; no language, as labels may be of any."""
    names = [html.escape(visible(label)) for label in labels]
    shares = _shares(counts)
    heads = "".join(f'<th scope="col" dir="auto">{name}</th>' for name in names)
    rows = []
    for name, row, parts in zip(names, counts.tolist(), shares.tolist(), strict=True):
        cells = []
        for other, count, share in zip(names, row, parts, strict=True):
            kind = "none" if not count else "dark" if share > DARK else "light"
            percent = f"<small>{html.escape(_percent(share))}</small>" if count else ""
            told = f"true {name}, predicted {other}: {count:,}"
            cells.append(f'<td class="{kind}" style="--share:{share:.3f}" title="{told}">{count:,}{percent}</td>')
        rows.append(f'<tr><th scope="row" dir="auto">{name}</th>{"".join(cells)}</tr>\n')
    caption = f'<figcaption dir="auto">{html.escape(visible(title))}</figcaption>\n' if title else ""
    return (
        '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Confusion matrix</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<figure>\n{caption}"
        f"<table>\n<thead><tr><th>true ↓ predicted →</th>{heads}</tr></thead>\n<tbody>\n{''.join(rows)}"
        "</tbody>\n</table>\n</figure>\n</body>\n</html>\n"
    )
