"""The tab "Write" of the page: a text that a language model goes on with."""

from collections.abc import AsyncIterator, Iterator
from time import monotonic

import gradio as gr

from ...page.parts import (
    BUSY,
    SECONDS_A_CHARACTER,
    Shown,
    checked,
    choice_of,
    for_numbers,
    named,
    refuse,
    remark_unseen,
    show_examples,
)
from ...page.turns import Busy, Turns, written
from .generation import GenerationStream, continuation

MOST_TOKENS = 1000  # that a language model writes at once
LARGEST_SEED = 2**53 - 1  # what a browser can count to
PAUSE = 0.05  # seconds between two pieces of a text that are sent
SECONDS_A_TOKEN = 2e-3  # what a request costs, roughly


def tab(shown: dict[str, Shown], turns: Turns) -> None:
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
