"""A checkpoint's card: what the model is, how to use it, how good it is and how it was made.

All of it comes from files that training has left in the folder (`metrics.json`, `recipe.yaml`, `config.json`), so that
no number is typed by hand. The metadata is that of the Hub (`huggingface_hub.ModelCardData`).
"""

import json
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from . import zoo
from .checkpoint_files import CONFIG, NUMBER, SHARDS, SHARE, WEIGHTS, check_form, read_json, require_finite
from .checkpoints import METRICS_FILE, RECIPE_FILE, place_of, require_parts
from .errors import UserError
from .folders import write_whole
from .inspect.learning_curve import save_learning_curve
from .output import first_upper
from .recipe.recipe import Recipe, read_recipe
from .recipe.schema import keys
from .tasks import TASKS
from .tasks.scores import Scores, as_read, baselines_of, measured_by_kind, measured_scores, parts_of, title_of
from .tasks.task import Score, Task

CARD_FILE = "README.md"
CURVE_FILE = "learning_curve.png"
TEMPLATE = Path(__file__).with_name("card_template.md")
MODEL, LOCAL = "this model", "local files"

# What `metrics.json` holds of that which a card needs; see `check_form`.
OF_SPLIT = {"loss?": SHARE, **{f"{score.name}?": SHARE for task in TASKS.values() for score in task.scores}}
BASELINE: dict[str, Any] = {"name": str, "splits": {"*": OF_SPLIT}}
FORM: dict[str, Any] = {
    "recipe": str,
    "parameters": int,
    "steps": int,
    "train": {"seconds": NUMBER},
    "environment": {
        **dict.fromkeys(("device", "rnn-zoo", "torch", "transformers", "python"), str),
        **{"processes": int, "threads": int, "commit?": str | None},
    },
    "data": str,
    "model": str,
    "history": [{"*": SHARE}],
    "changes?": [{"key": str, "step": int, "before": object, "after": object}],
    "baseline?": BASELINE | {"others?": [BASELINE]},
}


def save_card(folder: Path, repo_id: str | None = None) -> ModelCard:
    """Writes `README.md` and `learning_curve.png` into a checkpoint's folder, over old ones; returns the card.

    Args:
        folder: what `rnn-zoo train` has left.
        repo_id: the name that the model has, or will have, on the Hub; by default that of the recipe stands in the
            examples.

    Raises:
        UserError: if the folder lacks one of the files that training leaves, or what it holds is not finite.
    """
    metrics, recipe = read_folder(folder)
    if any((folder / file).is_file() for file in (WEIGHTS, SHARDS)):
        require_finite(folder)
    task = TASKS[recipe.run.task]
    curve = folder / CURVE_FILE
    curve.unlink(missing_ok=True)
    if any("loss" in row or "eval_loss" in row for row in metrics["history"]):
        logged = (s for s in task.scores if any(f"eval_{s.name}" in row for row in metrics["history"]))
        score = next(logged, None)
        if score is not None and score.name == "loss":  # which has its panel
            score = None
        save_learning_curve(
            metrics["history"],
            curve,
            score=score.name if score else None,
            score_title=score.title if score else None,
            unit=task.run_class.loss_unit(recipe),
            title=metrics["recipe"],
        )
    card = card_of(folder, repo_id, metrics, recipe)
    write_whole(folder / CARD_FILE, str(card))
    return card


def read_folder(folder: Path) -> tuple[dict[str, Any], Recipe]:
    """What training has measured, and its recipe.

    Raises:
        UserError: if one of the files is missing or was written by an earlier version.
    """
    require_parts(folder)
    metrics = read_json(folder / METRICS_FILE, constant=lambda _: None)  # earlier versions wrote NaN, which is no JSON
    if lacking := [key for key in FORM if not key.endswith("?") and key not in metrics]:
        raise UserError(f"{folder / METRICS_FILE}: has no {lacking[0]!r}; train again with this version")
    check_form(metrics, FORM | dict.fromkeys(parts_of(metrics), OF_SPLIT), f"{folder / METRICS_FILE}: ")
    for part in parts_of(metrics):
        if metrics[part].get("loss", 0) is None:
            raise UserError(
                f"{folder / METRICS_FILE}: the loss on the {title_of(part)} data is not finite: the training diverged, "
                "and no card is made of it"
            )
    return metrics, read_recipe(folder / RECIPE_FILE, of_checkpoint=True)


def make_card(folder: Path, repo_id: str | None = None) -> ModelCard:
    """The card of a checkpoint, nothing written; pictures that lie in the folder are shown.

    Raises:
        UserError: as `save_card` does.
    """
    return card_of(folder, repo_id, *read_folder(folder))


def card_of(folder: Path, repo_id: str | None, metrics: dict[str, Any], recipe: Recipe) -> ModelCard:
    """The same from what `read_folder` has returned."""
    config = read_json(folder / CONFIG)
    task = TASKS[recipe.run.task]
    name = metrics["recipe"]
    scores = measured_scores(task, metrics)
    data = ModelCardData(
        language=recipe.card.language,
        license=recipe.card.license,
        library_name="transformers",
        pipeline_tag=task.pipeline_tag,
        tags=["rnn_zoo", str(config.get("cell_type")), "rnn"],
        datasets=[recipe.data.dataset_name] if recipe.data.dataset_name and not local_data(recipe) else None,
        metrics=sorted({score.metric for part in scores for score, _ in part[1]}),
        model_name=name,
        eval_results=eval_results(recipe, task, scores),
    )
    values: dict[str, Any] = {
        "title": name,
        "description": first_upper(recipe.run.description or name),
        "model": metrics["model"],
        "parameters": f"{metrics['parameters']:,}",
        "megabytes": megabytes(folder),
        "usage": usage(task, recipe, name, repo_id or (None if folder.parent == zoo.FOLDER else name), config),
        "is_shipped": folder.parent == zoo.FOLDER and repo_id is None,
        "results": results_table(task, metrics, scores),
        "by_kind": by_kind(task, metrics),
        "published": recipe.run.published,
        "on_other_text": asked(metrics.get("on_other_text", [])),
        "data": metrics["data"],
        "data_source": recipe.card.data_source,
        "data_name": data_name(recipe),
        "is_local": local_data(recipe) and data_name(recipe) != LOCAL,
        "recipe": shown_recipe(recipe),
        "began_with": begun_with(recipe),
        "seconds": f"{metrics['train']['seconds']:,.0f}",
        "steps": f"{metrics['steps']:,}",
        "machine": machine(metrics["environment"]),
        "commit": metrics["environment"].get("commit"),
        "changes": listed_changes(metrics.get("changes", [])),
        "limits": recipe.card.limits,
        "curve": CURVE_FILE if (folder / CURVE_FILE).is_file() else None,
        "pictures": [picture for picture in task.pictures if (folder / picture).is_file()],
    }
    return ModelCard.from_template(data, template_str=TEMPLATE.read_text(encoding="utf-8"), **values)


def usage(task: Task, recipe: Recipe, name: str, repo_id: str | None, config: dict[str, Any]) -> str:
    """Python that uses the model: by its name on the Hub, or where there is none as one that ships with the package."""
    example = json.dumps(recipe.card.example or task.example, ensure_ascii=False)
    words = task.run_class.words_of_usage(config)
    here = task.pipeline[1] if task.pipeline else task.pipeline_tag
    if repo_id is not None:
        trust = ", trust_remote_code=True"
        model = json.dumps(repo_id, ensure_ascii=False)
        return task.usage.format(model=model, trust=trust, example=example, pipeline=task.pipeline_tag, **words)
    return "from rnn_zoo import zoo\n" + task.usage.format(
        model=f"zoo.path({json.dumps(name, ensure_ascii=False)})", trust="", example=example, pipeline=here, **words
    )


# ---- results ----
def eval_results(recipe: Recipe, task: Task, scores: Scores) -> list[EvalResult]:
    """The same for the metadata; shares stay between 0 and 1, as there."""
    hub_name = recipe.data.dataset_name or recipe.data.embedded_data
    return [
        EvalResult(
            task_type=task.pipeline_tag,
            dataset_type=part.partition("_")[2] or hub_name or data_name(recipe),
            dataset_name=part.partition("_")[2] or data_name(recipe),
            dataset_config=recipe.data.dataset_config_name,
            dataset_split=part.partition("_")[0],
            metric_type=score.metric,
            metric_name=score.title,
            metric_value=round(value, 6),
        )
        for part, values in scores
        for score, value in values
    ]


def results_table(task: Task, metrics: dict[str, Any], scores: Scores) -> str:
    """A row for the model and one for each of its baselines on each split."""
    shown = [score for score in task.scores if any(score == known for _, part in scores for known, _ in part)]
    lines = ["| | " + " | ".join(score.title for score in shown) + " |", "|---" * (len(shown) + 1) + "|"]
    for part, values in scores:
        lines.append(row(f"{title_of(part)}, {MODEL}", shown, {score.name: value for score, value in values}))
        for baseline in baselines_of(metrics):
            if part in baseline["splits"]:
                lines.append(row(f"{title_of(part)}, {baseline['name']}", shown, baseline["splits"][part]))
    return "\n".join(lines)


def by_kind(task: Task, metrics: dict[str, Any]) -> list[str]:
    """A sentence for each split that has a number of each kind of thing, as of each label."""
    score = task.by_kind
    return [
        f"{score.title} of each, {part}: {', '.join(f'{name} {as_read(score, value)}' for name, value in kinds)}."
        for part, kinds in measured_by_kind(task, metrics)
        if score is not None
    ]


def row(title: str, shown: list[Score], values: dict[str, float]) -> str:
    cells = (as_read(score, values[score.name]) if values.get(score.name) is not None else "–" for score in shown)
    return f"| {title} | " + " | ".join(cells) + " |"


def asked(found: list[dict[str, Any]]) -> str:
    """What was asked beside the data, a line each."""
    return "\n".join(f"- {one['what']}: {one['right']:.0%} of {one['of']} right" for one in found)


# ---- where it comes from ----
def data_name(recipe: Recipe) -> str:
    data = recipe.data
    return recipe.card.data_name or data.dataset_name or data.embedded_data or LOCAL


def local_data(recipe: Recipe) -> bool:
    return bool(recipe.data.data_dir)


def begun_with(recipe: Recipe) -> str | None:
    """The language model whose weights the model began with: a name, or the last part of a folder's."""
    given = recipe.transfer.language_model
    place = None if given is None else place_of(given)
    return place.name if isinstance(place, Path) else place


def shown_recipe(recipe: Recipe) -> str:
    """The keys that were set and that a reader needs to do it again."""
    on_card = {name for name, one in keys().items() if one.on_card and not one.of_one_machine}
    shown = {key: [plain(one) for one in value] for key, value in recipe.values.items() if key in on_card}
    values = {key: value[0] if len(value) == 1 else value for key, value in shown.items()}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).strip()


def plain(value: str) -> Any:
    """A value as YAML has it without quotes, where that means the same."""
    if value in ("true", "false"):
        return value == "true"
    loader = yaml.SafeLoader("")
    tag = loader.resolve(yaml.ScalarNode, value, (True, False))
    try:
        return loader.construct_object(yaml.ScalarNode(tag, value)) if tag.endswith((":int", ":float")) else value
    except ValueError:  # more digits than Python reads
        return value


def megabytes(folder: Path) -> str:
    """The size of a checkpoint's weights."""
    return f"{sum(path.stat().st_size for path in folder.glob('*.safetensors')) / 1e6:.1f}"


def listed_changes(changes: list[dict[str, Any]]) -> list[str]:
    """The settings that changed when a run was resumed, a line each."""
    return [f"{one['key']}: {one['after']} from step {one['step']} on (before: {one['before']})" for one in changes]


def machine(environment: dict[str, Any]) -> str:
    """On what it was trained, in a few words."""
    processes = "" if environment["processes"] == 1 else f" in {environment['processes']} processes"
    threads = environment["threads"]
    cores = f", {threads} thread{'s' if threads > 1 else ''}" if environment["device"].startswith("cpu") else ""
    versions = ", ".join(f"{name} {environment[name]}" for name in ("rnn-zoo", "torch", "transformers"))
    return f"{environment['device']}{cores}{processes}; {versions}, Python {environment['python']}"
