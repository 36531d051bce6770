"""The numbers of a model as people read them. Without torch."""

from typing import Any

from .task import Score, Task

PARTS = ("validation", "test")
Scores = list[tuple[str, list[tuple[Score, float]]]]  # of each split its scores


def measured_scores(task: Task, metrics: dict[str, Any]) -> Scores:
    """What was measured of the task's scores, split by split."""
    found = {
        part: [(score, metrics[part].get(score.name)) for score in task.scores] for part in PARTS if part in metrics
    }
    return [(part, [one for one in scores if one[1] is not None]) for part, scores in found.items()]


def as_read(score: Score, value: float) -> str:
    """`"91.2 %"`, or a number with three digits behind the point, two from 10 on."""
    if score.is_share:
        return f"{100 * value:.1f} %"
    if abs(value) >= 1e9:  # as the perplexity of a model that knows nothing
        return f"{value:.4g}"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"
