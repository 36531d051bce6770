"""What the tabs of the page have in common: what is shown, the text of a visitor, the models one can choose."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ..models.given_texts import is_blank
from ..output import first_upper
from ..unseen import Unseen
from .turns import Busy, Turns, answered

LONGEST_TEXT = 10_000  # characters
# What a request costs, roughly: by it the next turn goes to those who ask for little.
SECONDS_A_CHARACTER = 5e-4
BUSY = "Too many are asking at the moment, or this takes too long: a little later, or with less text, try again."


@dataclass
class Shown:
    """A checkpoint on the page.

    Args:
        name: of its folder, or on the Hub without the owner.
        task: its key in `TASKS`.
        model, tokenizer: as `load` gives them; requests at the same time share them, and only read.
        about: what the page says of it, in Markdown.
        example: a text to begin with.
        place: its folder.
    """

    name: str
    task: str
    model: Any
    tokenizer: Any
    about: str
    example: str
    place: Path


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
    remark(unseen.note("has never seen"))


def remark(note: str | None) -> None:
    """Tells a visitor a clause, if there is one."""
    if note:
        gr.Warning(escape(f"{first_upper(note)}."))


# Of the parts that are HTML; after the styles of their pages.
IN_BLOCK = """
padding-top: 1.5rem;
figure { margin: 0; }
th:first-child { background: var(--block-background-fill); }
thead th:first-child { white-space: normal; }
"""


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
