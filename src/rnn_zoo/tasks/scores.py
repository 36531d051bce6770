"""The numbers of a model as people read them. Without torch."""

from collections.abc import Iterable
from typing import Any

from .task import Score, Task

PARTS = ("validation", "test")
Scores = list[tuple[str, list[tuple[Score, float]]]]  # of each split its scores


def part_of_folder(part: str, folder: str) -> str:
    """The name of what one of several folders has of a split: `"validation_wikigold"`."""
    return f"{part}_{folder}"


def parts_of(names: Iterable[str]) -> list[str]:
    """Those of some names that are of what is held out: the whole splits, and what single folders have of them."""
    return [name for name in names if name.partition("_")[0] in PARTS and not name.endswith("_")]


def title_of(part: str) -> str:
    """`"validation"`, or `"validation of wikigold"`."""
    whole, _, folder = part.partition("_")
    return f"{whole} of {folder}" if folder else whole


def baselines_of(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """What was measured beside the model, the strongest kind first."""
    baseline = metrics.get("baseline")
    return [baseline, *baseline.get("others", [])] if baseline else []


def measured_scores(task: Task, metrics: dict[str, Any]) -> Scores:
    """What was measured of the task's scores, split by split."""
    found = {part: [(score, metrics[part].get(score.name)) for score in task.scores] for part in parts_of(metrics)}
    return [(part, [one for one in scores if one[1] is not None]) for part, scores in found.items()]


def last_score(task: Task, metrics: dict[str, Any]) -> tuple[str, Score, float] | None:
    """The most telling score of the last whole split that was measured: the split, the score, its value."""
    found = [(part, *scores[0]) for part, scores in measured_scores(task, metrics) if part in PARTS and scores]
    return found[-1] if found else None


def measured_by_kind(task: Task, metrics: dict[str, Any]) -> list[tuple[str, list[tuple[str, float]]]]:
    """Of each whole split the task's number `by_kind` of each kind, by name; splits without any are left out."""
    if task.by_kind is None:
        return []
    begin, found = f"{task.by_kind.name}_", []
    for part in PARTS:
        values = metrics.get(part, {})
        kinds = {name.removeprefix(begin): value for name, value in values.items() if name.startswith(begin)}
        numbers = [(name, value) for name, value in sorted(kinds.items()) if name and isinstance(value, int | float)]
        if numbers:
            found.append((part, numbers))
    return found


def as_read(score: Score, value: float) -> str:
    """`"91.2 %"`, or a number with three digits behind the point, two from 10 on."""
    if score.is_share:
        return f"{100 * value:.1f} %"
    if abs(value) >= 1e9:  # as the perplexity of a model that knows nothing
        return f"{value:.4g}"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"
