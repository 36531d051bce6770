"""What a user would take instead of our classifier: a bag of words, TF-IDF and logistic regression, by scikit-learn.

Counts of words and pairs of words, or of runs of 2 to 5 characters, weighted by `(1 + log tf) * idf` (sublinear TF) and
scaled to length 1; then a linear classifier with an L2 penalty (C = 10), by L-BFGS. Joachims, "Text Categorization with
Support Vector Machines" (1998), and Wang and Manning, "Baselines and Bigrams" (2012), say how strong that is.

Sizes: `N` texts, `K` labels.
"""

import importlib.metadata
import warnings
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from tokenizers import Regex, pre_tokenizers

from ...errors import UserError
from ...models.keys_classifier import MULTI, REGRESSION, SINGLE, ProblemType
from ...tokenizers.normalization import text_normalizer
from ...tokenizers.wordpunct import WORD_OR_SIGN
from .labels import LabelledText, label_ids, labels_of

KINDS = ("tfidf", "tfidf_characters")
PARAMETERS = {"C": 10.0, "max_iter": 1000, "random_state": 0}
WORDS, CHARACTERS = (1, 2), (2, 5)  # fewest and most in a row


def load_sklearn(baseline: str = "tfidf", problem_type: ProblemType = SINGLE) -> None:
    """Finds out whether the baseline can be trained.

    Raises:
        UserError: for an unknown baseline, a regression, or if the package cannot be imported.
    """
    if baseline not in KINDS:
        raise UserError(f"baseline={baseline!r}: unknown (choose from {', '.join(KINDS)})")
    if problem_type == REGRESSION:
        raise UserError(f"baseline={baseline!r}: is a classifier, and has nothing for problem_type={REGRESSION}")
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"baseline={baseline!r}: the package scikit-learn is missing ({error}); get it with `pip install "
            "scikit-learn`, or train without a baseline: --baseline none"
        ) from error


def features_of(baseline: str, clean_markup: bool = False) -> Any:
    """The vectorizer of a baseline: texts -> weights of their words and pairs, or of their runs of characters.

    Words are cut as our tokenizer `wordpunct` does, in lower case. scikit-learn's own pattern takes letters alone, cuts
    Devanagari at each vowel sign and costs seven points there; and that signs such as "!" count helps the more often.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    clean: Any = text_normalizer("NFC", fold_case=True, clean_markup=clean_markup)
    options: dict[str, Any] = {"sublinear_tf": True, "lowercase": False, "preprocessor": clean.normalize_str}
    if baseline == "tfidf_characters":
        return TfidfVectorizer(analyzer="char", ngram_range=CHARACTERS, **options)
    cut = pre_tokenizers.Split(Regex(WORD_OR_SIGN), "removed", invert=True).pre_tokenize_str

    def words(text: str) -> list[str]:
        return [word for word, _ in cut(text)]

    return TfidfVectorizer(ngram_range=WORDS, tokenizer=words, token_pattern=None, **options)


def train_tfidf(
    splits: dict[str, list[LabelledText]],
    labels: Sequence[str] | None = None,
    problem_type: ProblemType = SINGLE,
    baseline: str = "tfidf",
    clean_markup: bool = False,
) -> dict[str, Any]:
    """Trains a bag of words on `train` and measures it on all other splits; nothing is printed.

    Args:
        splits: `N` examples each, as in `ClassificationData.splits`.
        labels: the `K` labels, in the order of their ids; those of `train` if not given.
        problem_type: of several labels each is a problem of its own.
        baseline: `tfidf`, words and pairs of words, or `tfidf_characters`, runs of 2 to 5 characters.
        clean_markup: whether HTML is read as its reader sees it, as for the tokenizer.

    Returns:
        - `name`: package, version and settings;
        - `train_seconds`: from the first feature to the trained model;
        - `splits`: for each split but `train` what `classification_metrics` gives of our own model, by the same names;
        - `texts_per_second`: of each of these splits, features and prediction together; 0 for one without texts.

    Raises:
        UserError: if the baseline cannot be trained (see `load_sklearn`), or `train` holds no text, no word or only one
            label.
    """
    load_sklearn(baseline, problem_type)
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    from .classifications import classification_scores

    rows = splits.get("train", [])
    if not rows:
        raise UserError(f"baseline={baseline!r}: the train part holds no text to learn from")
    labels = list(labels or labels_of(rows, problem_type))
    true = np.array(label_ids(rows, labels, problem_type), dtype=int)
    if problem_type == SINGLE and len(set(true.tolist())) < 2:
        raise UserError(f"baseline={baseline!r}: all texts of the train part have one label; there must be two")
    features = features_of(baseline, clean_markup)
    classifier: Any = LogisticRegression(**PARAMETERS)
    if problem_type == MULTI:
        classifier = OneVsRestClassifier(classifier)
    start = perf_counter()
    try:
        weights = features.fit_transform([row["text"] for row in rows])
    except ValueError as error:  # no word, or no run of two characters, in any text
        raise UserError(f"baseline={baseline!r}: the train part holds nothing to learn from: {error}") from error
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Label .* is present in all training examples")  # which is learned as well
        classifier.fit(weights, true)
    seconds = perf_counter() - start

    def predict(texts: list[str]) -> np.ndarray:
        return classifier.predict(features.transform(texts)).reshape(len(texts), *true.shape[1:])

    measured = {
        name: measure(predict, part, labels, problem_type, classification_scores)
        for name, part in splits.items()
        if name != "train" and part
    }
    unit, (least, most) = ("characters", CHARACTERS) if baseline == "tfidf_characters" else ("words", WORDS)
    return {
        "name": f"scikit-learn {importlib.metadata.version('scikit-learn')} (TF-IDF of {least} to {most} {unit}, "
        f"sublinear; logistic regression, C {PARAMETERS['C']:g})",
        "train_seconds": seconds,
        "splits": {name: scores for name, (scores, _) in measured.items()},
        "texts_per_second": {name: speed for name, (_, speed) in measured.items()},
    }


def measure(
    predict: Callable[[list[str]], np.ndarray],
    rows: Sequence[LabelledText],
    labels: Sequence[str],
    problem_type: ProblemType,
    score: Callable[..., dict[str, float]],
) -> tuple[dict[str, float], float]:
    """The scores of a split, and the texts classified in a second."""
    start = perf_counter()
    found = predict([row["text"] for row in rows])
    seconds = perf_counter() - start
    return score(found, np.array(label_ids(rows, labels, problem_type), dtype=int), problem_type), len(rows) / seconds
