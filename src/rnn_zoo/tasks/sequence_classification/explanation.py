"""The words that moved a classifier's decision, from its gradient and, where it has them, from its attention weights.

    found = explain(model, tokenizer, ["a fine film"])
    save_explanations("explanation.html", found)

**Gradient × input** (Shrikumar et al. 2016; Ancona et al. 2018): with the logit `z` of the label that is explained and
the vector `e_t` of a token (its embedding, and what its spelling gives), `(∂z / ∂e_t) · e_t`: to first order what `z`
would lose if the vector were 0. Above 0 it speaks for the label, below 0 against it. Any model has it. Of direct
connections (`direct_ngram_order`) the share of a token is added: what an n-gram has given to `z`, divided among its
tokens.

**Attention**: the weight of each token in the pooled vector. It says where the model looked, not for what: there is no
sign, and a model may look at what it then does not use (Jain and Wallace 2019).

Both are summed over the tokens of a word. Words are those of the raw text: runs of letters, marks and numbers of any
script, and single signs, emoji among them. None ends within a character as readers see it (an extended grapheme cluster
of Unicode Standard Annex 29), and words that share a token are one. White space that is a token counts to the word
behind it; a token that stands for nothing in the text, as <eos>, to none; a word of which the tokenizer reads nothing
is left out.

Sizes: `B` batch, `T` tokens, `E` embedding, `L` labels, `R` hops of attention, `S` sentences.
"""

import copy
import html
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from rich.text import Text
from tokenizers import Regex, pre_tokenizers

from ...inspect.pictures import shortened
from ...models.given_texts import checked_texts
from ...models.keys_classifier import REGRESSION
from ...models.sentences import split_sentences
from ...output import CONTROL
from . import SUFFIX
from .classifier import Classifier
from .encoding import READ

LISTED = 5  # words of each kind in a list
LEAST_SHARE = 0.005  # of attention, in a list
FAINT = 0.1  # of the greatest value: what is less has no colour on a terminal

# Of each sign of a value the styles of a terminal, from the least share of the greatest value on. They are colours of
# the terminal's own, legible on its background.
STYLES = {
    "for": ((2 / 3, "black on green"), (1 / 3, "bold green"), (FAINT, "green")),
    "against": ((2 / 3, "black on red"), (1 / 3, "bold red"), (FAINT, "red")),
}

CLUSTERS = r"(?:(?=[\p{L}\p{M}\p{N}])\X)+"
ENTITY = r"&(?:[A-Za-z]+|\#[0-9]+|\#[xX][0-9A-Fa-f]+);(?!\p{M})"  # of HTML; a tokenizer may read it as one sign
WORD_OR_SIGN = rf"{ENTITY}|{CLUSTERS}(?:['\x{{2019}}](?=\p{{L}}){CLUSTERS})*|(?![\s\p{{Cc}}\p{{Cf}}])\X"

Span = tuple[int, int]


class ExplainedWord(NamedTuple):
    """A word of a raw text, and what it did.

    Args:
        word: as it stands there.
        start, end: its characters are `text[start:end]`.
        gradient: gradient × input, in units of the logit, or of the number of a regression.
        attention: the share of the model's attention, in [0, 1]; `None` for a model without.
    """

    word: str
    start: int
    end: int
    gradient: float
    attention: float | None


@dataclass(frozen=True)
class Explanation:
    """Why a text has its label.

    Args:
        text: the raw text.
        label: the one that is explained; of a regression the name of its number.
        score: its probability, or the number.
        words: those that the model has read, in their order.
    """

    text: str
    label: str
    score: float
    words: list[ExplainedWord]

    def speaking_for(self, most: int = LISTED) -> list[ExplainedWord]:
        """The words whose gradient × input is above 0, greatest first."""
        return sorted((word for word in self.words if word.gradient > 0), key=lambda word: -word.gradient)[:most]

    def speaking_against(self, most: int = LISTED) -> list[ExplainedWord]:
        """The words whose gradient × input is below 0, least first."""
        return sorted((word for word in self.words if word.gradient < 0), key=lambda word: word.gradient)[:most]

    def looked_at(self, most: int = LISTED) -> list[ExplainedWord]:
        """The words with the most attention; none of a model without."""
        return sorted((word for word in self.words if word.attention), key=lambda word: -(word.attention or 0))[:most]


def explain(
    model, tokenizer, texts: Sequence[str], *, label: str | None = None, batch_size: int = 64
) -> list[Explanation]:
    """The words that moved a classifier's decision, for each text.

    The model is left as it is, and others may use it meanwhile; what is explained is the model in evaluation mode. A
    padded text has the explanation that it has alone.

    Args:
        model: an `RnnForSequenceClassification`.
        tokenizer: its own, a fast one.
        texts: of any length.
        label: what is explained; by default each text's best label, of a regression the first number.
        batch_size: texts at once, fewer where they are long.

    Raises:
        ValueError: for a single string, what is no text, a label that the model does not have, a tokenizer that is slow
            or cannot pad, or a batch size below 1.
    """
    texts = checked_texts(texts)
    if not tokenizer.is_fast:
        raise ValueError("the tokenizer is not a fast one: it does not tell where its tokens stand in the text")
    classifier = Classifier(model, tokenizer, batch_size)
    if label is not None and label not in classifier.labels:
        raise ValueError(f"label={label!r}: unknown (choose from {', '.join(classifier.labels)})")
    wanted = None if label is None else classifier.labels.index(label)
    if wanted is None and classifier.problem_type == REGRESSION:
        wanted = 0
    rows, spans = [], []
    for text in texts:
        encoded = tokenizer(text, return_offsets_mapping=True, return_attention_mask=False)
        rows.append({name: encoded[name] for name in READ if name in encoded})
        spans.append(encoded["offset_mapping"])
    found: dict[int, Explanation] = {}
    own = copy_in_evaluation(model)
    for batch, inputs in classifier.batches(rows):
        moved = token_weights(own, inputs, wanted)
        scores = classifier.probabilities(moved.logits).tolist()
        real = inputs["attention_mask"].bool().cpu()
        for place, n in enumerate(batch):
            gradient = moved.gradient[place][real[place]].tolist()
            attention = None if moved.attention is None else moved.attention[place][real[place]].tolist()
            words = [
                ExplainedWord(
                    texts[n][start:end],
                    start,
                    end,
                    sum(gradient[t] for t in tokens),
                    None if attention is None else sum(attention[t] for t in tokens),
                )
                for start, end, tokens in words_of_tokens(texts[n], spans[n])
            ]
            chosen = moved.explained[place]
            found[n] = Explanation(texts[n], classifier.labels[chosen], scores[place][chosen], words)
    return [found[n] for n in range(len(texts))]


# ---- tokens ----
class TokenWeights(NamedTuple):
    """What the tokens of a batch did; all on the CPU.

    Args:
        logits: `(B, L)`.
        explained: of each row the label that is explained.
        gradient: `(B, T)`, gradient × input; 0 on padding.
        attention: `(B, T)`, the mean over the hops, so that a row sums to 1; `None` for a model without.
    """

    logits: torch.Tensor
    explained: list[int]
    gradient: torch.Tensor
    attention: torch.Tensor | None


def token_weights(model, inputs: dict[str, torch.Tensor], label: int | None) -> TokenWeights:
    """Runs a model, which is in evaluation mode, and asks what its tokens did.

    Args:
        model: one that nobody else runs meanwhile: it is listened to.
        inputs: `input_ids` and `attention_mask`, `(B, T)`, and `character_ids` where the model reads them.
        label: what is explained; `None`: of each row that of the greatest logit.
    """
    ids = inputs["input_ids"]
    # (B, T, E), and where words are spelt their spelling, (B, T, F); of a hierarchical model (sentences, words, …).
    vectors: list[torch.Tensor] = []

    def watch(module, arguments, output: torch.Tensor) -> torch.Tensor:
        vectors.append(output.detach().requires_grad_())
        return vectors[-1]

    # By a hook and not through inputs_embeds: a hierarchical model needs ids, to see where sentences end.
    parts = [model.get_input_embeddings(), model.base_model.characters]
    hooks = [part.register_forward_hook(watch) for part in parts if part is not None]
    try:
        with torch.inference_mode(False), torch.enable_grad():
            outputs = model(**inputs, use_cache=False, output_attentions=True)
            logits = outputs.logits.detach()
            explained = logits.argmax(-1) if label is None else torch.full_like(logits[:, 0], label, dtype=torch.long)
            # The sum, as no row's logit depends on another row; for the vectors alone, so that no parameter gets a
            # gradient.
            total = outputs.logits.gather(1, explained[:, None]).sum()
            # A text without a word does not depend on vectors at all.
            gradients = (
                torch.autograd.grad(total, vectors, allow_unused=True, materialize_grads=True)
                if total.requires_grad
                else [torch.zeros_like(vector) for vector in vectors]
            )
    finally:
        for hook in hooks:
            hook.remove()
    with torch.no_grad():
        given = [(gradient * vector).sum(-1) for gradient, vector in zip(gradients, vectors, strict=True)]
        moved = torch.stack(given).sum(0)
        attentions = outputs.attentions
        attention = None if attentions is None else attentions[0].mean(1)  # (B, T)
        if model.config.hierarchical:
            mask = inputs["attention_mask"].bool()
            sentences = split_sentences(ids, mask, model.config.sentence_end_token_ids)
            moved = sentences.flat(moved[:, None])[:, 0]
            if attention is not None:
                of_sentences = attentions[1].mean(1).flatten()[sentences.places]
                of_words = of_sentences[:, None, None].expand(-1, 1, sentences.words.shape[1])
                attention = attention * sentences.flat(of_words)[:, 0]
        if model.direct is not None:
            scores = model.direct.contributions(ids, inputs["attention_mask"].bool())  # (B, T, L)
            place = torch.as_tensor(explained, device=ids.device)[:, None, None].expand(*ids.shape, 1)
            moved = moved + scores.gather(2, place)[..., 0] / 2  # the logits are the mean of both kinds of scores
    values = [None if tensor is None else tensor.detach().cpu() for tensor in (moved, attention)]
    assert values[0] is not None
    return TokenWeights(logits.cpu(), explained.tolist(), values[0], values[1])


def copy_in_evaluation(model):
    """A copy of a model in evaluation mode, with the same weights: its mode and hooks are its own, and whoever runs the
    model at the same time, in another thread, does not meet them."""
    model = getattr(model, "_orig_mod", model)  # of one that torch.compile has wrapped
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared).eval()


# ---- words ----
def words_of_tokens(text: str, spans: Sequence[Span]) -> list[tuple[int, int, list[int]]]:
    """Start and end of each word of a text, and which tokens it is made of; see the head of this module.

    Args:
        text: as it was given to the tokenizer.
        spans: where each token stands in it; an empty one, as a special token's, belongs to no word.
    """
    cut = pre_tokenizers.Split(Regex(WORD_OR_SIGN), "removed", invert=True)
    places = [place for _, place in cut.pre_tokenize_str(text)]
    starts, ends = [start for start, _ in places], [end for _, end in places]
    joined = [False] * len(places)  # with the one before
    tokens: list[list[int]] = [[] for _ in places]
    for n, (start, end) in enumerate(spans):
        first, last = bisect_right(ends, start), bisect_left(starts, end) - 1
        if start >= end or not places:
            continue
        tokens[min(first, len(places) - 1)].append(n)
        joined[first + 1 : last + 1] = [True] * max(0, last - first)
    found: list[tuple[int, int, list[int]]] = []
    for place, is_joined, own in zip(places, joined, tokens, strict=True):
        if is_joined:
            found[-1] = (found[-1][0], place[1], found[-1][2] + own)
        else:
            found.append((*place, own))
    return [word for word in found if word[2]]


def pieces(explanation: Explanation) -> Iterator[tuple[str, ExplainedWord | None]]:
    """The whole text in parts: words, and what stands between them."""
    place = 0
    for word in explanation.words:
        if word.start > place:
            yield explanation.text[place : word.start], None
        yield word.word, word
        place = word.end
    if place < len(explanation.text):
        yield explanation.text[place:], None


def greatest(values: Sequence[float]) -> float:
    """The greatest absolute value; 1 if there is none, to be divided by."""
    return max(map(abs, values), default=0.0) or 1.0


# ---- terminal ----
def show_explanation(explanation: Explanation) -> Text:
    """A text for a terminal: words that speak for the label green, those against it red, by their size in three steps.

    Control characters are left out.
    """
    most = greatest([word.gradient for word in explanation.words])
    shown = Text()
    for part, word in pieces(explanation):
        share = 0.0 if word is None else abs(word.gradient) / most
        kind = "for" if word is None or word.gradient > 0 else "against"
        style = next((style for least, style in STYLES[kind] if share >= least), "")
        shown.append(CONTROL.sub("", part), style=style)
    return shown


def lists_of(explanation: Explanation) -> list[tuple[str, list[str]]]:
    """What is listed below a text: a heading and the words with their values, for each kind of which there are some."""
    signed = [(f"for {explanation.label}", explanation.speaking_for()), ("against it", explanation.speaking_against())]
    lists = [(head, [f"{shortened(word.word)} {word.gradient:+.3g}" for word in words]) for head, words in signed]
    looked = [word for word in explanation.looked_at() if (word.attention or 0) >= LEAST_SHARE]
    lists.append(("attention", [f"{shortened(word.word)} {word.attention:.0%}" for word in looked]))
    return [(head, entries) for head, entries in lists if entries]


# ---- pages ----
STYLE = """
:root { color-scheme: light dark; --for: 0, 140, 60; --against: 205, 40, 40; --attention: 20, 100, 200; }
@media (prefers-color-scheme: dark) {
  :root { --for: 60, 200, 110; --against: 255, 100, 90; --attention: 110, 180, 255; }
}
body { font: 15px/1.7 system-ui, sans-serif; margin: 1.5rem auto; max-width: 60rem; padding: 0 1rem; }
section { border-top: 1px solid rgba(128, 128, 128, .4); margin-top: 1.5rem; padding-top: .5rem; }
h2 { font-size: 1rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h3 { font-size: .8rem; font-weight: 400; margin: .8rem 0 0; opacity: .7; }
p.text { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
p.list { margin: .2rem 0; font-size: .85rem; overflow-wrap: anywhere; }
p.list span { margin-inline-start: .8em; }
p.text span, p.legend span { border-radius: .2em; }
p.legend span { padding: 0 .5em; }
.for { background: rgba(var(--for), var(--weight)); }
.against { background: rgba(var(--against), var(--weight)); text-decoration: underline dotted; }
.attention { background: rgba(var(--attention), var(--weight)); }
"""
STRONGEST, PALEST = 0.75, 0.02  # opacity of a colour: letters can still be read; it can still be seen


def save_explanations(path: str | Path, explanations: Sequence[Explanation]) -> None:
    """Writes a page that needs nothing but a browser, one block a text; an old file of this name is replaced.

    Args:
        path: ends in `.html`.
        explanations: in the order in which they stand on the page.

    Raises:
        ValueError: for another suffix.
    """
    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        raise ValueError(f"{path}: must end in {SUFFIX}")
    path.write_text(page(explanations), encoding="utf-8")


def page(explanations: Sequence[Explanation]) -> str:
    """The whole page; no language, as texts may be in any."""
    return (
        '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Explanation</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + legend(explanations)
        + "".join(section(explanation) for explanation in explanations)
        + "</body>\n</html>\n"
    )


def legend(explanations: Sequence[Explanation]) -> str:
    """What the colours mean."""
    kinds = [
        f'<span class="for" style="--weight:{STRONGEST}">speaks for the label</span>',
        f'<span class="against" style="--weight:{STRONGEST}">speaks against it</span> (gradient × input)',
    ]
    if any(explanation.looked_at(1) for explanation in explanations):
        kinds.append(f'<span class="attention" style="--weight:{STRONGEST}">was looked at</span> (attention)')
    return f'<p class="legend">{" ".join(kinds)}</p>\n'


def section(explanation: Explanation) -> str:
    """The block of a text: its label, the text once for each source of explanation, and its first words."""

    def coloured(value_of: Callable[[ExplainedWord], float], kind_of: Callable[[float], str], form: str) -> str:
        most = greatest([value_of(word) for word in explanation.words])
        parts = []
        for part, word in pieces(explanation):
            part = escape(part)
            if word is not None:
                value = value_of(word)
                weight = STRONGEST * abs(value) / most
                look = f'class="{kind_of(value)}" style="--weight:{weight:.2f}" ' if weight >= PALEST else ""
                part = f'<span {look}title="{value:{form}}">{part}</span>'
            parts.append(part)
        return f'<p class="text" dir="auto">{"".join(parts)}</p>\n'

    lines = [f"<section>\n<h2>{escape(explanation.label)} {explanation.score:.4g}</h2>\n"]
    if not explanation.words:
        lines.append(
            f'<p class="text" dir="auto">{escape(explanation.text)}</p>\n<p class="list">no word was read</p>\n'
        )
        return "".join(lines) + "</section>\n"
    lines.append("<h3>gradient × input</h3>\n")
    lines.append(coloured(lambda word: word.gradient, lambda value: "for" if value > 0 else "against", "+.3g"))
    if explanation.looked_at(1):
        lines.append("<h3>attention</h3>\n")
        lines.append(coloured(lambda word: word.attention or 0.0, lambda value: "attention", ".1%"))
    for head, entries in lists_of(explanation):
        words = "".join(f"<span><bdi>{escape(entry)}</bdi></span>" for entry in entries)
        lines.append(f'<p class="list">{escape(head)}:{words}</p>\n')
    return "".join(lines) + "</section>\n"


def escape(text: str) -> str:
    """Text as HTML; control characters, which HTML forbids, as the sign of what cannot be shown."""
    return html.escape(CONTROL.sub("\ufffd", text))
