"""What a user would take instead of our tagger: a linear-chain CRF on hand-made features, by python-crfsuite.

The model is that of Lafferty, McCallum and Pereira, "Conditional Random Fields" (ICML 2001), as CRFsuite (Okazaki 2007,
http://www.chokkan.org/software/crfsuite/) trains it: the likelihood of the whole tag sequence with an L1 and an L2
penalty, by L-BFGS (OWL-QN), on one core. The tags are found by Viterbi.

Sizes: `N` sentences, `T` words of one.
"""

import importlib.metadata
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

from ...errors import UserError
from ...models.character_encoder import DIGIT, LETTER, LOWER, NO_SIGN, UPPER, kind_of
from .entities import flat_scores, label_scores
from .tags import Sentence

WINDOW = 2  # words to each side
LONGEST_AFFIX = 4  # code points
PARAMETERS = {"c1": 0.1, "c2": 0.01, "max_iterations": 80, "feature.possible_transitions": True}
SHOWN = {UPPER: "X", LOWER: "x", LETTER: "c", DIGIT: "d"}  # kinds of characters in a shape
ITERATION = re.compile(r"\*+ Iteration #(\d+)")

Progress = Callable[[int, int], None]


# ---- features ----
def word_shape(word: str) -> str:
    """The kinds of a word's signs, one for each run of a kind: `"McCain-12"` -> `"XxXx-d"`.

    `X` stands for upper-case letters (title-case ones too), `x` for lower-case ones, `c` for those of a script without
    case, `d` for digits and numbers of any script; any other sign for itself. Combining marks and joiners count as
    nothing, as they belong to the letter before: `"नमस्ते"` is `"c"`, `"१४-तास"` is `"d-c"`, and `é` is `"x"` whether
    written as one code point or as two.
    """
    kinds: list[str] = []
    for sign in word:
        if (found := kind_of(sign)) == NO_SIGN:
            continue
        kind = SHOWN.get(found, sign)
        if kinds[-1:] != [kind]:
            kinds.append(kind)
    return "".join(kinds)


def word_features(tokens: Sequence[str]) -> list[list[str]]:
    """The features of each word of a sentence, all of weight 1; they depend on nothing outside the sentence.

    - `w[-2]=` to `w[2]=`: the words around and the word itself, in lower case;
    - `shape[-1]=` to `shape[1]=`: the shapes of both neighbours and of the word (see `word_shape`);
    - `prefix=`, `suffix=`: its first and last 1 to 4 code points, in lower case, of a shorter word as many as it has;
    - `title`, `upper`, `digit`: what `str.istitle`, `isupper` and `isdigit` say of it;
    - `bos`, `eos`: it is the first, the last; places outside have no features;
    - `bias`: always.

    Args:
        tokens: `T` words, as they stand in the text.

    Returns:
        `T` lists of strings.
    """
    words = [token.lower() for token in tokens]
    shapes = [word_shape(token) for token in tokens]
    last = len(tokens) - 1
    rows = []
    for t, (token, word) in enumerate(zip(tokens, words, strict=True)):
        row = ["bias"]
        row += [f"w[{n - t}]={words[n]}" for n in range(max(t - WINDOW, 0), min(t + WINDOW, last) + 1)]
        row += [f"shape[{n - t}]={shapes[n]}" for n in range(max(t - 1, 0), min(t + 1, last) + 1)]
        for length in range(1, min(LONGEST_AFFIX, len(word)) + 1):
            row += (f"prefix={word[:length]}", f"suffix={word[-length:]}")
        tests = {"title": token.istitle(), "upper": token.isupper(), "digit": token.isdigit()}
        tests |= {"bos": t == 0, "eos": t == last}
        row += [name for name, holds in tests.items() if holds]
        rows.append(row)
    return rows


# ---- training and measuring ----
def load_crfsuite() -> ModuleType:
    """The package, which rnn-zoo does not depend on.

    Raises:
        UserError: if it cannot be imported.
    """
    try:
        import pycrfsuite
    except ImportError as error:
        raise UserError(
            f"baseline='crfsuite': the package python-crfsuite is missing ({error}); get it with "
            "`pip install 'rnn-zoo[baselines]'`, or train without a baseline: --baseline none"
        ) from error
    return pycrfsuite


def train_crfsuite(
    splits: dict[str, list[Sentence]], progress: Progress | None = None, are_entities: bool = True
) -> dict[str, Any]:
    """Trains a CRF on `train` and measures it on all other splits; nothing is printed, no file is left.

    Args:
        splits: `N` sentences each, in IOB2, as in `TaggedData.splits`; those without a word are passed over.
        progress: called after each iteration with its number, from 1, and the most there can be; what it raises ends
            the training.
        are_entities: whether the tags are those of entities, and not labels of words.

    Returns:
        - `name`: package, version and settings;
        - `train_seconds`: from the first feature to the stored model;
        - `splits`: for each split but `train` what `entity_metrics` gives of our own model, by the same names:
          `precision`, `recall`, `f1`, `accuracy`, in [0, 1], and for each type `f1_PER` and so on;
        - `sentences_per_second`: of each of these splits, features and Viterbi together; 0 for one without sentences.

    Raises:
        UserError: if python-crfsuite is missing, or `train` holds no word.
        ValueError: for a sentence that has not as many tags as tokens.
    """
    crfsuite = load_crfsuite()
    version = importlib.metadata.version("python-crfsuite")
    settings = ", ".join(f"{name} {value:g}" for name, value in PARAMETERS.items())
    with tempfile.TemporaryDirectory(prefix="rnn-zoo-") as folder:
        path = Path(folder) / "model.crfsuite"
        start = perf_counter()
        fit(crfsuite, splits.get("train", []), path, progress)
        seconds = perf_counter() - start
        with crfsuite.Tagger().open(str(path)) as tagger:
            measured = {name: measure(tagger, rows, are_entities) for name, rows in splits.items() if name != "train"}
    return {
        "name": f"python-crfsuite {version} (L-BFGS, {settings})",
        "train_seconds": seconds,
        "splits": {name: scores for name, (scores, _) in measured.items()},
        "sentences_per_second": {name: speed for name, (_, speed) in measured.items()},
    }


def fit(crfsuite: Any, sentences: Sequence[Sentence], path: Path, progress: Progress | None) -> None:
    """Trains on `sentences` and stores the model at `path`."""

    class Trainer(crfsuite.Trainer):
        def message(self, message: str) -> None:  # called with each line of the log, in place of printing it
            if progress and (match := ITERATION.match(message)):
                progress(int(match[1]), int(PARAMETERS["max_iterations"]))

    trainer = Trainer(algorithm="lbfgs", params=PARAMETERS)
    words = 0
    for n, sentence in enumerate(sentences):
        tokens, tags = sentence["tokens"], sentence["tags"]
        if len(tokens) != len(tags):
            raise ValueError(f"train, sentence {n}: {len(tags)} tags for {len(tokens)} tokens: must be as many")
        words += len(tokens)
        if tokens:
            trainer.append(word_features(tokens), tags)
    if not words:  # CRFsuite would end the process by a segmentation fault
        raise UserError("baseline='crfsuite': the train part holds no sentence to learn from")
    trainer.train(str(path))


def measure(tagger: Any, sentences: Sequence[Sentence], are_entities: bool = True) -> tuple[dict[str, Any], float]:
    """The scores of a split, and the sentences tagged in a second."""
    start = perf_counter()
    predictions = [tagger.tag(word_features(s["tokens"])) if s["tokens"] else [] for s in sentences]
    seconds = perf_counter() - start
    score = flat_scores if are_entities else label_scores
    scores = score(predictions, [sentence["tags"] for sentence in sentences])
    return scores, len(sentences) / seconds if sentences else 0.0
