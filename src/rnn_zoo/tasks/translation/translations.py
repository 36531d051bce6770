"""BLEU, chrF and exact matches of translations: a metric for `evaluate`, by sacrebleu.

Runs without a network::

    evaluate.load("src/rnn_zoo/tasks/translation/translations.py").compute(
        predictions=["Das Haus ist klein."], references=["Das Haus ist sehr klein."]
    )

It stands alone, as `evaluate` copies the file. Sizes: `N` sentences, `T` tokens of the longest one.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

IGNORED = -100
SHOWN = 40  # characters of a bad value in a message

DESCRIPTION = "BLEU (Papineni et al. 2002), chrF (Popović 2015) and exact matches of translations; by sacrebleu."
INPUTS = "predictions: texts as one would print them; references: for each the true text, or a list of true texts."


class Translations(evaluate.Metric):
    """The metric for `evaluate`; `compute(predictions=..., references=...)` gives what `translation_scores` does."""

    def _info(self):
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=[
                datasets.Features({"predictions": text, "references": text}),
                datasets.Features({"predictions": text, "references": datasets.Sequence(text)}),
            ],
        )

    def _compute(self, predictions, references, tokenize="13a"):
        return translation_scores(predictions, references, tokenize)


def translation_scores(
    predictions: Sequence[str], references: Sequence[str] | Sequence[Sequence[str]], tokenize: str = "13a"
) -> dict:
    """The scores of translations, each against its reference or references.

    Texts are compared as they are. Where a tokenizer changes them (NFC takes the Devanagari letter U+095C apart),
    give references in the same form: the letter looks the same and is another string.

    Args:
        predictions: detokenised texts; `""` is a translation, a bad one.
        references: for each prediction its reference, or a list of them, not always as many.
        tokenize: how sacrebleu finds the words that BLEU counts; chrF and exact matches do without. `"13a"`, WMT's
            default, separates ASCII punctuation alone: a danda (U+0964) stays with its word. For Hindi and its
            neighbours take `"intl"`, which separates all that Unicode calls punctuation or a symbol; `"char"` cuts
            vowel signs from their letters. `"zh"` is for Chinese, `"ja-mecab"` for Japanese and `"ko-mecab"` for
            Korean (`pip install "sacrebleu[ja]"`, `[ko]`). `"flores200"` (spBLEU), for any language, needs
            `sentencepiece` and the network once. Scores of two tokenisations cannot be compared.

    Returns:
        `bleu` and `bleu_lowercased`, in [0, 100], of the texts together, not a mean over sentences; `chrf`, in
        [0, 100], in which case counts; `exact_match`, the share in [0, 1] of predictions that equal a reference but for
        white space at the ends; `bleu_signature` and `chrf_signature`, which name all that the numbers depend on (that
        of `bleu_lowercased` has `case:lc`).

    Raises:
        ValueError: if there is no prediction, not one reference or list of them for each, a reference without text, or
            a `tokenize` that sacrebleu has not.
        ImportError: if the tokenisation needs a package that is not installed.
    """
    told = _checked(predictions, references)
    from sacrebleu.metrics import BLEU, CHRF  # here, as a machine that only trains may lack it

    if tokenize not in BLEU.TOKENIZERS:
        raise ValueError(f"tokenize={tokenize!r}: unknown (choose from {', '.join(sorted(BLEU.TOKENIZERS))})")
    try:
        bleu, lowercased = BLEU(tokenize=tokenize), BLEU(tokenize=tokenize, lowercase=True)
    except (ImportError, RuntimeError) as error:  # of several lines
        raise ImportError(f"tokenize={tokenize!r}: {' '.join(str(error).split())}") from error
    chrf = CHRF()
    predictions = list(predictions)
    # sacrebleu wants the first references of all sentences, then the second ones; None where there is none.
    most = max(map(len, told))
    streams: list[list[Any]] = [[texts[n] if n < len(texts) else None for texts in told] for n in range(most)]
    matches = [_matches(text, texts) for text, texts in zip(predictions, told, strict=True)]
    return {
        "bleu": min(100.0, float(bleu.corpus_score(predictions, streams).score)),  # rounding gives 100.00000000000004
        "bleu_lowercased": min(100.0, float(lowercased.corpus_score(predictions, streams).score)),
        "chrf": min(100.0, float(chrf.corpus_score(predictions, streams).score)),
        "exact_match": sum(matches) / len(matches),
        "bleu_signature": str(bleu.get_signature()),
        "chrf_signature": str(chrf.get_signature()),
    }


def signatures(tokenize: str = "13a") -> dict[str, str]:
    """`bleu_signature` and `chrf_signature` of scores against one reference each, as `translation_scores` has them."""
    scores = translation_scores(["text"], ["text"], tokenize)
    return {name: value for name, value in scores.items() if name.endswith("_signature")}


def translation_metrics(
    tokenizer,
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    groups: Sequence[str] | None = None,
    blank: Collection[int] = (),
    tokenize: str = "13a",
    lengths: bool = False,
) -> Callable[[tuple], dict[str, float]]:
    """Makes the `compute_metrics` of a Trainer that generates.

    Args:
        tokenizer: of the target language. Special tokens are left out of the texts, `<unk>` as well.
        references: the true texts, in the order of the rows. Labels, decoded, would lack what the tokenizer cannot say,
            and BLEU would be too high.
        groups: for each row the name of its group, as a kind of date.
        blank: the rows whose source says nothing: their translation is empty, whatever was generated.
        tokenize: as for `translation_scores`.
        lengths: whether the mean length is wanted.

    Returns:
        A function of `(generated ids (N, T), anything)`, rows padded with -100 or the tokenizer's `<pad>`. It gives the
        numbers of `translation_scores`; for each group `exact_match_<group>`, in [0, 1]; with `lengths`,
        `generated_length`, the mean number of generated tokens but for `<pad>`, `<bos>` and `<eos>`. The signatures are
        left out, as loggers take numbers only: `signatures` gives them. It raises `ValueError` where the rows are not
        as many as `references`, or not ids.

    Raises:
        ValueError: if `references` are none or lack text, or `groups` are not as many.
    """
    told = _checked([""] * len(references), references)
    if groups is not None and len(groups) != len(told):
        raise ValueError(f"{len(groups)} groups for {len(told)} references: must be as many")
    marks = {tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id}

    def compute_metrics(prediction) -> dict[str, float]:
        generated = prediction[0]
        generated = np.asarray(generated[0] if isinstance(generated, tuple) else generated)
        if generated.ndim != 2 or not np.issubdtype(generated.dtype, np.integer):
            raise ValueError(
                f"predictions of shape {generated.shape}, {generated.dtype}: must be generated ids (N, T), "
                "as with predict_with_generate=True"
            )
        rows = [[id for id in row if id != IGNORED] for row in generated.tolist()]
        texts = tokenizer.batch_decode(rows, skip_special_tokens=True)
        texts = ["" if n in blank else text for n, text in enumerate(texts)]
        scores = translation_scores(texts, told, tokenize)
        numbers = {name: value for name, value in scores.items() if not isinstance(value, str)}
        if groups is not None:
            members: dict[str, list[bool]] = {}
            for group, text, true in zip(groups, texts, told, strict=True):
                members.setdefault(group, []).append(_matches(text, true))
            numbers |= {f"exact_match_{group}": sum(found) / len(found) for group, found in members.items()}
        if lengths:
            numbers["generated_length"] = sum(id not in marks for row in rows for id in row) / len(rows)
        return numbers

    return compute_metrics


def _matches(text: str, references: Sequence[str]) -> bool:
    return text.strip() in {reference.strip() for reference in references}


def _checked(predictions: Sequence[str], references: Sequence) -> list[list[str]]:
    """For each prediction the list of its references, or `ValueError`."""
    for name, texts in (("predictions", predictions), ("references", references)):
        if isinstance(texts, str):
            raise ValueError(f"{name}: must be a list of texts, not the string {texts[:SHOWN]!r}")
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references: must be as many")
    if not len(predictions):
        raise ValueError("no predictions: there must be at least one")
    told = [[texts] if isinstance(texts, str) else list(texts or ()) for texts in references]
    for n, (prediction, texts) in enumerate(zip(predictions, told, strict=True)):
        if not isinstance(prediction, str):
            raise ValueError(f"prediction {n}: must be a text, not {str(prediction)[:SHOWN]}")
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise ValueError(f"sentence {n}: its references are {str(texts)[:SHOWN]}; each must be a text, not empty")
    return told
