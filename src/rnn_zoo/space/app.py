"""Checkpoints in a browser: a tab for each task that one of them can do.

`rnn-zoo serve` shows this page. As `app.py` of a Space of the Hugging Face Hub, which `rnn-zoo push --space` makes, it
shows the checkpoints that lie in `checkpoints` beside it; anywhere else, those that ship with the package.

The page needs nothing from elsewhere: no fonts, no statistics, no picture. Models are loaded before it opens.
"""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # is read when gradio is imported

from collections.abc import Sequence
from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from rnn_zoo import zoo
from rnn_zoo.card import data_name, megabytes, read_folder
from rnn_zoo.checkpoints import METRICS_FILE, RECIPE_FILE, folder_of, place_of
from rnn_zoo.errors import UserError
from rnn_zoo.output import first_upper
from rnn_zoo.page.parts import Shown
from rnn_zoo.page.turns import MOST_WAITING, SmallRequests, Turns
from rnn_zoo.space.files import CHECKPOINTS
from rnn_zoo.tasks import TASKS
from rnn_zoo.tasks.opening import load, task_of
from rnn_zoo.tasks.scores import as_read, last_score
from rnn_zoo.tasks.task import Task


# ---- checkpoints ----
def open_checkpoint(name: str) -> Shown:
    """A checkpoint by its folder, the name of one that ships, or its name on the Hub.

    Raises:
        UserError: if there is none, or none that a tab can show.
        HubError: if the Hub or the way to it fails.
    """
    folder = folder_of(place_of(name))
    task, head = task_of(folder, name)
    if task is None:
        raise UserError(f"{name}: holds a {head or 'model without a head'}, and there is no tab for it")
    model, tokenizer = load(folder, task.name)
    try:
        task.use(model, tokenizer)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
    return Shown(Path(name).resolve().name, task.name, model, tokenizer, *about(folder, task, model), folder)


def about(folder: Path, task: Task, model) -> tuple[str, str]:
    """What a checkpoint is, how good, from what and its limits, as far as its folder tells; and an example."""
    if not all((folder / file).is_file() for file in (METRICS_FILE, RECIPE_FILE)):
        size = f"A recurrent {task.noun} with {model.num_parameters():,} parameters."
        return f"{size} Its folder does not say how it was trained.", task.example
    metrics, recipe = read_folder(folder)
    what = first_upper(recipe.run.description or f"a recurrent {task.noun}")
    size = f"{metrics['parameters']:,} parameters, {megabytes(folder)} MB"
    said = [f"**{metrics['recipe']}.** {what}: {metrics['model']}, {size}."]
    if last := last_score(task, metrics):
        part, score, value = last
        baseline = metrics.get("baseline") or {"name": "", "splits": {}}
        other = baseline["splits"].get(part, {}).get(score.name)
        beside = "" if other is None else f" ({baseline['name'].partition(' (')[0]}: {as_read(score, other)})"
        said.append(f"{first_upper(score.title)} on {part}: {as_read(score, value)}{beside}.")
    seconds, device = metrics["train"]["seconds"], metrics["environment"]["device"]
    said.append(f"Trained on {data_name(recipe)}, in {seconds:,.0f} s on {device}.")
    if recipe.card.limits:
        said.append(f"*Limits:* {recipe.card.limits}")
    return " ".join(said), recipe.card.example or task.example


# ---- the page ----
STYLE = """
.gradio-container { width: 100%; max-width: 64rem !important; margin: 0 auto !important; }
.gradio-container { --ink: 8, 81, 156; --for: 0, 140, 60; --against: 205, 40, 40; --attention: 20, 100, 200; }
.dark .gradio-container, .gradio-container.dark {
  --ink: 110, 180, 255; --for: 60, 200, 110; --against: 255, 100, 90; --attention: 110, 180, 255;
}
"""
TITLE = "Recurrent models at work"


def build(checkpoints: Sequence[str]) -> gr.Blocks:
    """The page for these checkpoints, all of them loaded.

    Raises:
        UserError: for what is no checkpoint, or one given twice.
        HubError: if the Hub or the way to it fails.
    """
    shown: dict[str, dict[str, Shown]] = {name: {} for name in TASKS}
    for name in checkpoints:
        one = open_checkpoint(name)
        if one.name in shown[one.task]:
            raise UserError(f"{name}: is the second checkpoint of the name {one.name}")
        shown[one.task][one.name] = one
    turns = Turns()
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(
            f"# {TITLE}\nSmall language models of rnn_zoo (RNN, LSTM, GRU), a few megabytes each. "
            "They answer on an ordinary processor."
        )
        with gr.Tabs():
            for name, task in TASKS.items():
                if shown[name]:
                    task.show_tab(shown[name], turns)
    return page.queue(max_size=10 * MOST_WAITING, default_concurrency_limit=None)


def launch(page: gr.Blocks, **options) -> None:
    """Shows the page; `options` are those of `gr.Blocks.launch`."""
    page.launch(
        max_threads=4 * MOST_WAITING,  # requests that may wait for their turn: gradio's own queue is before it
        app_kwargs={"middleware": [Middleware(SmallRequests)]},
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=STYLE,
        ssr_mode=False,
        share=False,
        footer_links=[],
        **options,
    )


def checkpoints_beside(file: str) -> list[str]:
    """The checkpoints of the Space whose app `file` is; elsewhere those that ship with the package."""
    folder = Path(file).resolve().parent / CHECKPOINTS
    return sorted(map(str, folder.iterdir())) if folder.is_dir() else zoo.names()


if __name__ == "__main__":
    launch(build(checkpoints_beside(__file__)))
