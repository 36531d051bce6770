"""The tab "Translate" of the page: a translation, and where the model looked."""

import gradio as gr

from ...data.formats import lines_of
from ...inspect import attention
from ...page.parts import Shown, answer_with, checked, choice_of, html_block, remark, remark_unseen, show_examples
from ...page.turns import Turns
from .impossible import ImpossibleAnswers
from .translator import Translator

LONGEST_DRAWN = 200  # characters of a source whose attention is drawn: more columns would not be looked at


def tab(shown: dict[str, Shown], turns: Turns) -> None:
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


def translate(shown: Shown, text: str) -> tuple[str, str]:
    """The translation, and as HTML where the model looked."""
    text = " ".join(lines_of(checked(text)))
    remark_unseen(shown, text)
    can_look = shown.model.config.attention != "none"
    drawn = can_look and len(text) <= LONGEST_DRAWN
    (found,) = Translator(shown.model, shown.tokenizer)([text], attention=drawn)
    impossible = ImpossibleAnswers.of(shown.place)
    impossible.look_at([text], [found.text])
    remark(impossible.note())
    if found.attention is not None:
        return found.text, attention.table(found.attention)
    if not can_look:
        return found.text, "<p>This model has no attention to look at.</p>"
    return found.text, "" if drawn else f"<p>Attention is drawn for texts of up to {LONGEST_DRAWN} characters.</p>"
