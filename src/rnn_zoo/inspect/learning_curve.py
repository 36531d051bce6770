"""A picture of how a training went: its losses, and the score that counts.

The suffix decides the format: `.png`, `.svg` or `.pdf`, drawn by matplotlib without a display.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .pictures import empty_figure, save_figure

WIDTH, HEIGHT = 6.4, 3.2  # inches of a panel
LOSSES = {"loss": "training", "eval_loss": "validation"}


def save_learning_curve(
    history: Sequence[dict[str, float]],
    path: str | Path,
    *,
    score: str | None = None,
    score_title: str | None = None,
    unit: str = "nats",
    title: str = "",
) -> None:
    """Writes a file with the picture; an old file of this name is replaced.

    Args:
        history: what was logged: rows with `step` and `loss`, or `step`, `eval_loss` and other measures of the
            validation part (`eval_...`).
        path: ends in `.png`, `.svg` or `.pdf`.
        score: a measure of the validation part that has a panel of its own where it was logged, as `"accuracy"`.
        score_title: what it is called there; its name if not told.
        unit: of the losses.
        title: what stands above.

    Raises:
        ValueError: for another suffix, or a history without a loss.
    """
    if Path(path).suffix.lower() == ".html":
        raise ValueError(f"{path}: a learning curve is written as .png, .svg or .pdf")
    curves = {name: points(history, name) for name in LOSSES}
    if not any(curves.values()):
        raise ValueError("history: no loss was logged")
    scored = points(history, f"eval_{score}") if score else []
    figure, _ = empty_figure()
    panels = 2 if scored else 1
    figure.set_size_inches(WIDTH * panels, HEIGHT)
    losses = figure.add_subplot(1, panels, 1)
    for name, curve in curves.items():
        draw(losses, curve, LOSSES[name])
    losses.set(xlabel="step", ylabel=f"loss, {unit}", title=title)
    losses.legend(frameon=False)
    if scored:
        other = figure.add_subplot(1, panels, 2)
        draw(other, scored, "validation", color="C1")
        other.set(xlabel="step", ylabel=score_title or score)
        losses.sharex(other)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    save_figure(path, figure, f"{len(history)} rows")


def points(history: Sequence[dict[str, float]], name: str) -> list[tuple[float, float]]:
    """Steps and values of a measure, where it was logged."""
    return [(row["step"], row[name]) for row in history if row.get(name) is not None and "step" in row]


def draw(axes: Any, curve: list[tuple[float, float]], label: str, **style) -> None:
    """A line; few points are marked, as a single one would not be seen."""
    if curve:
        axes.plot(*zip(*curve, strict=True), label=label, marker="o" if len(curve) <= 30 else None, ms=3, **style)
