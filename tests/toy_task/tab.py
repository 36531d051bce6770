"""The tab "Judge"."""

import gradio as gr

from rnn_zoo.page.parts import answer_with, choice_of

from .answers import judge


def tab(shown, turns) -> None:
    with gr.Tab("Judge"):
        choice, example = choice_of(shown)
        text = gr.Textbox(example, label="Text")
        output = gr.Textbox(label="Palindrome")
        answer = answer_with(lambda one, given: judge(one.model, one.tokenizer, given), shown, turns)
        gr.on(text.submit, answer, [text, choice], output, api_name="judge")
