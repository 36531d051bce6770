"""Checkpoints in a browser: a tab for each task that one of them can do.

`rnn-zoo serve` shows this page. As `app.py` of a Space of the Hugging Face Hub, which `rnn-zoo push --space` makes, it
shows the checkpoints that lie in `checkpoints` beside it; anywhere else, those that ship with the package.

The page needs nothing from elsewhere: no fonts, no statistics, no picture. Models are loaded before it opens.
"""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # is read when gradio is imported

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from time import monotonic
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from rnn_zoo import zoo
from rnn_zoo.card import as_read, data_name, first_upper, measured_scores, megabytes, read_folder
from rnn_zoo.checkpoints import METRICS_FILE, RECIPE_FILE, folder_of, place_of
from rnn_zoo.data.formats import lines_of, lines_with_ends
from rnn_zoo.errors import UserError
from rnn_zoo.inspect import attention, explanation
from rnn_zoo.models.configuration_rnn import REGRESSION
from rnn_zoo.models.given_texts import is_blank
from rnn_zoo.run import run
from rnn_zoo.space.files import CHECKPOINTS
from rnn_zoo.space.turns import MOST_WAITING, Busy, SmallRequests, Turns, answered, written
from rnn_zoo.tasks import TASKS, task_of
from rnn_zoo.tasks.causal_lm.generation import GenerationStream, continuation
from rnn_zoo.tasks.sequence_classification.classifier import Classifier
from rnn_zoo.tasks.task import Task
from rnn_zoo.tasks.token_classification.tagger import Tagger
from rnn_zoo.tasks.translation.translator import Translator
from rnn_zoo.unseen import Unseen

LONGEST_TEXT = 10_000  # characters
LONGEST_DRAWN = 200  # characters of a source whose attention is drawn: more columns would not be looked at
MOST_TOKENS = 1000  # that a language model writes at once
LARGEST_SEED = 2**53 - 1  # what a browser can count to
PAUSE = 0.05  # seconds between two pieces of a text that are sent
# What a request costs, roughly: by it the next turn goes to those who ask for little.
SECONDS_A_CHARACTER, SECONDS_A_TOKEN = 5e-4, 2e-3
BUSY = "Too many are asking at the moment, or this takes too long: a little later, or with less text, try again."

# Names of colours that gradio has for bright and for dark pages.
COLOURS = ("blue", "orange", "green", "purple", "red", "teal", "yellow", "pink", "cyan", "lime")


# ---- checkpoints ----
@dataclass
class Shown:
    """A checkpoint on the page.

    Args:
        name: of its folder, or on the Hub without the owner.
        task: its key in `TASKS`.
        model, tokenizer: as `run.load` gives them; requests at the same time share them, and only read.
        about: what the page says of it, in Markdown.
        example: a text to begin with.
    """

    name: str
    task: str
    model: Any
    tokenizer: Any
    about: str
    example: str


def open_checkpoint(name: str) -> Shown:
    """A checkpoint by its folder, the name of one that ships, or its name on the Hub.

    Raises:
        UserError: if there is none, or none that a tab can show.
        HubError: if the Hub or the way to it fails.
    """
    folder = folder_of(place_of(name))
    key, head = task_of(folder, name)
    if key is None:
        raise UserError(f"{name}: holds a {head or 'model without a head'}, and there is no tab for it")
    model, tokenizer = run.load(folder, key)
    if key in CHECKS:
        try:
            CHECKS[key](model, tokenizer)
        except ValueError as error:
            raise UserError(f"{name}: {error}") from error
    return Shown(Path(name).resolve().name, key, model, tokenizer, *about(folder, TASKS[key], model))


CHECKS: dict[str, Callable[[Any, Any], Any]] = {
    "token_classification": Tagger,
    "sequence_classification": Classifier,
}


def about(folder: Path, task: type[Task], model) -> tuple[str, str]:
    """What a checkpoint is, how good, from what and its limits, as far as its folder tells; and an example."""
    if not all((folder / file).is_file() for file in (METRICS_FILE, RECIPE_FILE)):
        size = f"A recurrent {task.noun} with {model.num_parameters():,} parameters."
        return f"{size} Its folder does not say how it was trained.", task.example
    metrics, recipe = read_folder(folder)
    what = first_upper(recipe.run.description or f"a recurrent {task.noun}")
    size = f"{metrics['parameters']:,} parameters, {megabytes(folder)} MB"
    said = [f"**{metrics['recipe']}.** {what}: {metrics['model']}, {size}."]
    for part, scores in measured_scores(task, metrics)[-1:]:
        score, value = scores[0]
        baseline = metrics.get("baseline") or {"name": "", "splits": {}}
        other = baseline["splits"].get(part, {}).get(score.name)
        beside = "" if other is None else f" ({baseline['name'].partition(' (')[0]}: {as_read(score, other)})"
        said.append(f"{first_upper(score.title)} on {part}: {as_read(score, value)}{beside}.")
    seconds, device = metrics["train"]["seconds"], metrics["environment"]["device"]
    said.append(f"Trained on {data_name(recipe)}, in {seconds:,.0f} s on {device}.")
    if recipe.card.limits:
        said.append(f"*Limits:* {recipe.card.limits}")
    return " ".join(said), recipe.card.example or task.example


# ---- answers ----
def refuse(message: str) -> gr.Error:
    """What a visitor is told instead of an answer; nothing of it is HTML."""
    return gr.Error(escape(message), print_exception=False)


def checked(text: str | None, may_be_empty: bool = False) -> str:
    """The text of a visitor.

    Raises:
        gr.Error: for one that is empty and must not be, or too long.
    """
    text = (text or "").encode("utf-8", "replace").decode("utf-8")  # halves of surrogate pairs are no text
    if is_blank(text) and not may_be_empty:
        raise refuse("There is no text yet: write one, or take the example.")
    if len(text) > LONGEST_TEXT:
        raise refuse(f"The text has {len(text):,} characters, and at most {LONGEST_TEXT:,} are read at once.")
    return text


def remark_unseen(shown: Shown, text: str) -> None:
    """Tells a visitor which characters, or words, the model has never seen."""
    unseen = Unseen(shown.model, shown.tokenizer)
    unseen.look_at([text])
    if note := unseen.note("has never seen"):
        gr.Warning(escape(f"{first_upper(note)}."))


def write(shown: Shown, prompt: str, temperature: float, length: int, seed: int) -> Iterator[str]:
    """A prompt and what the language model writes behind it, longer and longer."""
    text = checked(prompt, may_be_empty=True)
    remark_unseen(shown, text)
    drawn = temperature > 0
    sent = monotonic()
    try:
        stream = GenerationStream(
            shown.model, do_sample=drawn, temperature=temperature if drawn else 1.0, seed=seed or None
        )
        for piece in continuation(stream, shown.tokenizer, text, int(length)):
            text += piece
            if monotonic() - sent >= PAUSE:
                yield text
                sent = monotonic()
    except ValueError as error:  # what this model cannot do
        raise refuse(str(error)) from error
    yield text


def tag(shown: Shown, text: str) -> list[tuple[str, str | None]]:
    """The text in parts, each with its type of entity; each line is read as one sentence."""
    text = checked(text)
    remark_unseen(shown, text)
    lines = lines_with_ends(text)
    parts: list[tuple[str, str | None]] = []
    for line, entities in zip(lines, Tagger(shown.model, shown.tokenizer).tag_texts(lines), strict=True):
        place = 0
        for entity in entities:
            parts += [(line[place : entity.start], None), (entity.text, entity.type)]
            place = entity.end
        parts.append((line[place:], None))
    return [part for part in parts if part[0]]


def translate(shown: Shown, text: str) -> tuple[str, str]:
    """The translation, and as HTML where the model looked."""
    text = " ".join(lines_of(checked(text)))
    remark_unseen(shown, text)
    can_look = shown.model.config.attention != "none"
    drawn = can_look and len(text) <= LONGEST_DRAWN
    (found,) = Translator(shown.model, shown.tokenizer)([text], attention=drawn)
    if found.attention is not None:
        return found.text, attention.table(found.attention)
    if not can_look:
        return found.text, "<p>This model has no attention to look at.</p>"
    return found.text, "" if drawn else f"<p>Attention is drawn for texts of up to {LONGEST_DRAWN} characters.</p>"


def classify(shown: Shown, text: str) -> tuple[dict[str, float] | str, str]:
    """The labels with their probabilities, of a regression its numbers; as HTML the words that moved the decision."""
    text = checked(text)
    remark_unseen(shown, text)
    classifier = Classifier(shown.model, shown.tokenizer)
    (found,) = classifier.classify([text])
    why = explanation.explain(shown.model, shown.tokenizer, [text]) if shown.tokenizer.is_fast else []
    moved = "".join(explanation.legend(why) + explanation.section(one) for one in why)
    if classifier.problem_type == REGRESSION:
        return "   ".join(f"{label} {number:.4g}" for label, number in found.scores.items()), moved
    return found.scores, moved


# ---- the page ----
STYLE = """
.gradio-container { width: 100%; max-width: 64rem !important; margin: 0 auto !important; }
.gradio-container { --ink: 8, 81, 156; --for: 0, 140, 60; --against: 205, 40, 40; --attention: 20, 100, 200; }
.dark .gradio-container, .gradio-container.dark {
  --ink: 110, 180, 255; --for: 60, 200, 110; --against: 255, 100, 90; --attention: 110, 180, 255;
}
"""
# Of the parts that are HTML; after the styles of their pages.
IN_BLOCK = """
padding-top: 1.5rem;
figure { margin: 0; }
th:first-child { background: var(--block-background-fill); }
thead th:first-child { white-space: normal; }
"""
TITLE = "Recurrent models at work"


def build(checkpoints: Sequence[str]) -> gr.Blocks:
    """The page for these checkpoints, all of them loaded.

    Raises:
        UserError: for what is no checkpoint, or one given twice.
        HubError: if the Hub or the way to it fails.
    """
    shown: dict[str, dict[str, Shown]] = {key: {} for key in TABS}
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
            for key, tab in TABS.items():
                if shown[key]:
                    tab(shown[key], turns)
    return page.queue(max_size=10 * MOST_WAITING, default_concurrency_limit=None)


def for_numbers(component: Any) -> None:
    """Makes a slider or a number refuse what is none with a sentence of ours.

    A subclass would make gradio write a file beside this one.
    """
    taken = component.preprocess
    component.preprocess = lambda payload: taken(number_of(payload, component))


def number_of(payload: Any, asked: Any) -> float:
    """What a visitor or a program has sent for a number.

    Raises:
        gr.Error: for what is none, as nothing or a text, or is out of its range.
    """
    is_number = isinstance(payload, int | float) and not isinstance(payload, bool)
    if not (is_number and asked.minimum <= payload <= asked.maximum):
        given = "nothing" if payload is None else repr(payload)[:40]
        raise refuse(f"{asked.label}: must be a number from {asked.minimum} to {asked.maximum}, not {given}.")
    return payload


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


def choice_of(shown: dict[str, Shown]) -> tuple[gr.Dropdown, str]:
    """What stands above a tab: what its model is, and which one, where there are several; and the first example."""
    first = next(iter(shown.values()))
    choice = gr.Dropdown([*shown], value=first.name, label="Model", visible=len(shown) > 1)
    said = gr.Markdown(first.about)
    choice.change(lambda name: shown[name].about, choice, said, api_visibility="private", show_progress="hidden")
    return choice, first.example


def show_examples(shown: dict[str, Shown], text: gr.Textbox, choice: gr.Dropdown) -> None:
    """The example of each model, which also chooses the model."""
    rows = [[one.example, name] for name, one in shown.items()]
    gr.Examples(rows, [text, choice], example_labels=[example for example, _ in rows], api_visibility="private")


def answer_with(function: Callable, shown: dict[str, Shown], turns: Turns) -> Callable:
    """The same function for a visitor, who names the model."""

    async def answer(text: str, name: str):
        one = named(name, shown)
        try:
            return await answered(turns, len(text or "") * SECONDS_A_CHARACTER, function, one, text)
        except Busy as error:
            raise refuse(BUSY) from error

    return answer


def named(name: Any, shown: dict[str, Shown]) -> Shown:
    """The model that a visitor has chosen.

    Raises:
        gr.Error: if there is none.
    """
    if not isinstance(name, str) or name not in shown:
        raise refuse(f"Model: must be one of {', '.join(shown)}.")
    return shown[name]


def html_block(label: str, style: str) -> gr.HTML:
    """A block for a part of one of our pages, which has this style."""
    return gr.HTML(
        label=label,
        show_label=True,
        container=True,
        padding=True,
        css_template=style + IN_BLOCK,
        apply_default_css=False,
    )


def writing_tab(shown: dict[str, Shown], turns: Turns) -> None:
    async def answer(text: str, temperature: float, length: int, seed: int, name: str) -> AsyncIterator[str]:
        cost = len(text or "") * SECONDS_A_CHARACTER + length * SECONDS_A_TOKEN
        try:
            async for found in written(turns, cost, write(named(name, shown), text, temperature, length, seed)):
                yield found
        except Busy as error:
            raise refuse(BUSY) from error

    with gr.Tab("Write"):
        choice, example = choice_of(shown)
        text = gr.Textbox(example, label="The text begins with", lines=1)
        with gr.Row():
            temperature = gr.Slider(
                0, 2, 0.7, step=0.05, label="Temperature", info="0: always the likeliest; higher: wilder"
            )
            length = gr.Slider(1, MOST_TOKENS, 300, step=1, label="Length", info="in tokens of the model")
            seed = gr.Number(
                0, precision=0, minimum=0, maximum=LARGEST_SEED, label="Seed", info="0: another text each time"
            )
            for component in (temperature, length, seed):
                for_numbers(component)
        with gr.Row():
            start = gr.Button("Write", variant="primary")
            stop = gr.Button("Stop")
        output = gr.Textbox(label="Text", lines=12, max_lines=24, interactive=False, buttons=["copy"])
        show_examples(shown, text, choice)
        inputs = [text, temperature, length, seed, choice]
        writing = gr.on([start.click, text.submit], answer, inputs, output, api_name="write")
        stop.click(None, cancels=writing, api_visibility="private")


def tagging_tab(shown: dict[str, Shown], turns: Turns) -> None:
    types = sorted({kind for one in shown.values() for kind in Tagger(one.model, one.tokenizer).types})
    with gr.Tab("Tag"):
        choice, example = choice_of(shown)
        text = gr.Textbox(example, label="Text, one sentence a line", lines=3, max_lines=12)
        start = gr.Button("Find the names", variant="primary")
        colours = {kind: COLOURS[n % len(COLOURS)] for n, kind in enumerate(types)}
        output = gr.HighlightedText(label="Names in the text", color_map=colours)
        show_examples(shown, text, choice)
        gr.on([start.click, text.submit], answer_with(tag, shown, turns), [text, choice], output, api_name="tag")


def translation_tab(shown: dict[str, Shown], turns: Turns) -> None:
    with gr.Tab("Translate"):
        choice, example = choice_of(shown)
        text = gr.Textbox(example, label="Text", lines=1)
        start = gr.Button("Translate", variant="primary")
        output = gr.Textbox(label="Translation", interactive=False, buttons=["copy"])
        looked = html_block("Where the model looked", attention.STYLE)
        show_examples(shown, text, choice)
        outputs = [output, looked]
        answer = answer_with(translate, shown, turns)
        gr.on([start.click, text.submit], answer, [text, choice], outputs, api_name="translate")


def classification_tab(shown: dict[str, Shown], turns: Turns) -> None:
    with gr.Tab("Classify"):
        choice, example = choice_of(shown)
        text = gr.Textbox(example, label="Text", lines=3, max_lines=12)
        start = gr.Button("Classify", variant="primary")
        output = gr.Label(label="Labels", num_top_classes=5)
        moved = html_block("What moved the decision", explanation.STYLE)
        show_examples(shown, text, choice)
        gr.on(
            [start.click, text.submit],
            answer_with(classify, shown, turns),
            [text, choice],
            [output, moved],
            api_name="classify",
        )


# In the order of the page.
TABS: dict[str, Callable[[dict[str, Shown], Turns], None]] = {
    "causal_lm": writing_tab,
    "token_classification": tagging_tab,
    "translation": translation_tab,
    "sequence_classification": classification_tab,
}


def checkpoints_beside(file: str) -> list[str]:
    """The checkpoints of the Space whose app `file` is; elsewhere those that ship with the package."""
    folder = Path(file).resolve().parent / CHECKPOINTS
    return sorted(map(str, folder.iterdir())) if folder.is_dir() else zoo.names()


if __name__ == "__main__":
    launch(build(checkpoints_beside(__file__)))
