"""The tab "Classify" of the page: the label of a text, and the words that moved the decision."""

import gradio as gr

from ...models.keys_classifier import REGRESSION
from ...page.parts import Shown, answer_with, checked, choice_of, html_block, remark_unseen, show_examples
from ...page.turns import Turns
from . import explanation
from .classifier import Classifier


def tab(shown: dict[str, Shown], turns: Turns) -> None:
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
