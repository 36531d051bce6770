"""The tab "Tag" of the page: the entities of a text, or its words with their labels."""

from collections.abc import Sequence

import gradio as gr

from ...data.formats import lines_with_ends
from ...page.parts import Shown, answer_with, checked, choice_of, remark_unseen, show_examples
from ...page.turns import Turns
from .tagger import Tagger

# Names of colours that gradio has for bright and for dark pages.
UNNAMED = "entity"  # of tags that are B and I alone
COLOURS = ("blue", "orange", "green", "purple", "red", "teal", "yellow", "pink", "cyan", "lime")


def tab(shown: dict[str, Shown], turns: Turns) -> None:
    types = sorted({kind for one in shown.values() for kind in Tagger(one.model, one.tokenizer).types})
    with gr.Tab("Tag"):
        choice, example = choice_of(shown)
        text = gr.Textbox(example, label="Text, one sentence a line", lines=3, max_lines=12)
        what = wording([Tagger(one.model, one.tokenizer).are_entities for one in shown.values()])
        start = gr.Button(what[0], variant="primary")
        colours = {kind or UNNAMED: COLOURS[n % len(COLOURS)] for n, kind in enumerate(types)}
        output = gr.HighlightedText(label=what[1], color_map=colours)
        show_examples(shown, text, choice)
        gr.on([start.click, text.submit], answer_with(tag, shown, turns), [text, choice], output, api_name="tag")


def wording(are_entities: Sequence[bool]) -> tuple[str, str]:
    """What the button and the answer are called: models find entities, or label words, or some do this, some that."""
    if all(are_entities):
        return "Find the names", "Names in the text"
    return ("Tag the text", "The text with its labels") if any(are_entities) else ("Tag the words", "Words and labels")


def tag(shown: Shown, text: str) -> list[tuple[str, str | None]]:
    """The text in parts, each with its type of entity or its label; each line is read as one sentence."""
    text = checked(text)
    remark_unseen(shown, text)
    lines = lines_with_ends(text)
    parts: list[tuple[str, str | None]] = []
    for line, entities in zip(lines, Tagger(shown.model, shown.tokenizer).tag_texts(lines), strict=True):
        place = 0
        for entity in entities:
            parts += [(line[place : entity.start], None), (entity.text, entity.type or UNNAMED)]
            place = entity.end
        parts.append((line[place:], None))
    return [part for part in parts if part[0]]
