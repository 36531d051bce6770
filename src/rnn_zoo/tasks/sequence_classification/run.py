"""How the task `sequence_classification` trains and is measured: a text -> its label, its labels, or numbers."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
from datasets import Dataset
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from tokenizers.models import WordLevel
from transformers import DataCollatorWithPadding

from ...data.length_batches import longest_first
from ...data.splits import SPLITS
from ...data.stored_rows import StoredRows
from ...data.tokenizer_options import tokenizer_options
from ...errors import UserError
from ...models.keys import keys_of
from ...models.keys_classifier import REGRESSION, SINGLE
from ...models.keys_spelling import SpellingKeys
from ...models.modeling_sequence_classification import RnnForSequenceClassification
from ...models.tokenization_words import WordCharacterTokenizer
from ...output import pasted
from ...tokenizers.builders import TOKENIZER_BUILDERS
from ...tokenizers.spelled_words import with_spelling
from ...training.arguments import require_whole_splits, rows_a_step
from ...training.fine_tuning import fine_tuning_parts
from ...training.order_of_rows import LengthBatches, lengths_of
from ...training.regularization import check_pieces
from ...training.run_trainer import RunTrainer
from ...training.transfer import of_language_model
from ..scores import title_of
from ..task_run import TaskRun, from_tokenizer
from . import CONFUSION_FILE, TASK
from .classifier import Classifier
from .contrast_pairs import score_contrast_pairs
from .data import check_arguments, load_labelled
from .encoding import distinct_words, encode_texts, encoded_texts, texts_of
from .labels import LabelledText, class_weights, label_ids, unseen_labels

OF_WORDS = ("word", "wordpunct")  # types of tokenizers whose tokens have a spelling
SENTENCE_ENDS = frozenset(".!?…।॥。؟\n")
SHOWN_TEXTS = 6
SHOWN_CHARACTERS = 90


class SequenceClassificationRun(TaskRun):
    """Labelled texts -> rows of ids -> a classifier; measured by accuracy, macro-F1 and Matthews' correlation."""

    task = TASK

    def __init__(self, *args):
        super().__init__(*args)
        self.confusions: dict[str, list[list[int]]] = {}  # of each split that was measured

    @classmethod
    def check(cls, recipe):
        check_arguments(recipe.task_arguments)
        if recipe.regularization.adversarial_epsilon:
            check_pieces(recipe.model["backprop_length"])
        if recipe.training.label_smoothing_factor:
            raise UserError("label_smoothing_factor: use label_smoothing, which leaves the evaluation as it is")
        if recipe.model["label_smoothing"] and recipe.task_arguments.problem_type == REGRESSION:
            raise UserError(f"label_smoothing={recipe.model['label_smoothing']}: has no meaning for a regression")
        require_whole_splits(recipe.training, "accuracy is that of all texts of a split")
        kind = recipe.data.tokenizer_type
        if recipe.spelling.read_characters:
            if kind not in OF_WORDS:
                raise UserError(f"read_characters: needs tokenizer_type {' or '.join(OF_WORDS)}, not {kind}")
        elif told := sorted(
            recipe.values.keys() & (keys_of(SpellingKeys) | keys_of(recipe.spelling)).keys() - {"read_characters"}
        ):
            raise UserError(f"{told[0]}: needs read_characters")

    @classmethod
    def loss_unit(cls, recipe):
        return "squared error" if recipe.task_arguments.problem_type == REGRESSION else super().loss_unit(recipe)

    def parts(self):
        return [LengthBatches(), *fine_tuning_parts(self.recipe.transfer, self.recipe.regularization)]

    def load_data(self, only=None) -> dict[str, Sequence[LabelledText]]:
        found = load_labelled(self.recipe.data, self.args, self.warn, only)
        self.labels = found.labels
        return found.splits

    def adopt(self, model, data):
        """The labels; texts of labels that the model does not know are refused, as no score would mean anything."""
        self.labels = [model.config.id2label[n] for n in range(model.config.num_labels)]
        if self.args.problem_type != REGRESSION:
            for name, rows in data.items():
                if unseen := unseen_labels(rows, self.labels):
                    raise UserError(
                        f"{self.recipe.data.source}: {name} has labels that the model does not know: {unseen}"
                    )

    def build_tokenizer(self, data):
        """A new one; with a language model its own, or where the recipe has a `tokenizer_type` a new one that knows the
        words of both: a text to come may have words that only the language model has read."""
        known: list[str] = []
        if self.language_model is not None:
            tokenizer = self.language_model[1]
            kind = self.recipe.data.tokenizer_type
            if "tokenizer_type" not in self.recipe.values:
                return tokenizer
            if kind not in OF_WORDS or not isinstance(tokenizer.backend_tokenizer.model, WordLevel):
                raise UserError(
                    f"tokenizer_type={kind!r}: stands beside language_model only where both cut texts into words; "
                    "without it the language model's tokenizer is taken"
                )
            known = [token for token in tokenizer.get_vocab() if token not in tokenizer.all_special_tokens]
        options = tokenizer_options(self.recipe.data)
        texts = texts_of(data["train"])
        known = known * self.recipe.data.min_frequency
        try:
            tokenizer = TOKENIZER_BUILDERS[self.recipe.data.tokenizer_type](
                [*texts, *known] if known else texts, **options
            )
            if self.recipe.spelling.read_characters:
                tokenizer = with_spelling(tokenizer, texts, max_word_length=self.recipe.spelling.max_word_length)
        except ValueError as error:
            raise UserError(str(error)) from error
        return tokenizer

    def build_model(self, data, tokenizer) -> RnnForSequenceClassification:
        settings: dict[str, Any] = from_tokenizer(tokenizer)
        settings["id2label"] = dict(enumerate(self.labels))
        settings["label2id"] = {label: n for n, label in enumerate(self.labels)}
        settings["problem_type"] = self.args.problem_type
        if self.args.balance_classes:
            settings["class_weights"] = class_weights(data["train"], self.labels)
        if isinstance(tokenizer, WordCharacterTokenizer):
            settings["character_vocab_size"] = tokenizer.character_vocab_size
        if self.recipe.model["hierarchical"]:
            settings["sentence_end_token_ids"] = sentence_ends(tokenizer)
        if self.language_model is not None:
            settings |= of_language_model(self.recipe, self.language_model[0])
        config = self.recipe.config(**settings)
        try:
            model = RnnForSequenceClassification(config)
            if config.affix_length:
                words = distinct_words(texts_of(data["train"]), tokenizer)
                model.model.mark_affixes(tokenizer, words, self.recipe.spelling.min_affix_words)
        except ValueError as error:
            raise UserError(str(error)) from error
        self.begin_with_language_model(model, tokenizer)
        return model

    def build_trainer(self, model, tokenizer, data):
        # scikit-learn is slow to import
        from .classifications import classification_metrics, confusion_matrix_of, predicted_labels

        problem_type = self.args.problem_type
        rows = {}
        for name, part in data.items():
            if isinstance(part, StoredRows):
                rows[name] = self.encoded(name, part, tokenizer)
                continue
            encoded = encode_texts(
                [row["text"] for row in part],
                tokenizer,
                self.args.max_text_length,
                self.warn,
                f"{self.recipe.data.source} ({name})",
            )
            labels = label_ids(part, self.labels, problem_type)
            # In this order evaluation pads little.
            lengths = [len(row["input_ids"]) for row in encoded]
            order = range(len(encoded)) if name == "train" else longest_first(lengths)
            rows[name] = Dataset.from_dict(
                {
                    **{feature: [encoded[n][feature] for n in order] for feature in encoded[0]},
                    "attention_mask": [[1] * lengths[n] for n in order],
                    "labels": [labels[n] for n in order],
                }
            )
        compute_metrics = classification_metrics(self.labels, problem_type)

        def compute(prediction):
            outputs = only_logits(prediction.predictions, prediction.label_ids)
            if not np.isfinite(outputs).all():  # of which no score can be made
                raise trainer.diverged("what the model says of a text is not finite")
            if problem_type == SINGLE:  # no number, which alone a Trainer logs
                found = predicted_labels(prediction.predictions, problem_type)
                self.confusion = confusion_matrix_of(found, prediction.label_ids, len(self.labels))
            return compute_metrics(prediction)

        trainer = RunTrainer(
            model,
            self.recipe.training,
            train_dataset=rows.get("train"),
            eval_dataset=rows.get("validation"),
            data_collator=DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
            compute_metrics=compute,
            preprocess_logits_for_metrics=only_logits,
            parts=self.parts(),
        )
        return trainer, rows

    def encoded(self, name: str, part: StoredRows, tokenizer) -> Dataset:
        """The rows of a split whose texts are stored, in the order of those in memory."""
        kind = self.args.problem_type
        found = encoded_texts(
            part,
            tokenizer,
            self.args.max_text_length,
            lambda piece: label_ids(piece, self.labels, kind),
            (self.labels, kind),
            self.warn,
            f"{self.recipe.data.source} ({name})",
        )
        return found if name == "train" else found.select(longest_first(lengths_of(found)))

    def describe(self, data) -> str:
        sizes = ", ".join(f"{title_of(name)} {len(part):,}" for name, part in data.items())
        return f"texts: {sizes}   labels: {', '.join(self.labels)}"

    def describe_model(self, config) -> str:
        levels = "words and sentences, " if config.hierarchical else ""
        return f"{super().describe_model(config)}, {levels}pooling {config.pooling}"

    def speed(self, datasets, steps, seconds):
        return {"texts_per_second": rows_a_step(self.recipe.training) * steps / seconds}

    def measure(self, trainer, datasets, name, **options):
        """Also `confusion`: how often each label (row) was taken for each (column)."""
        measured = super().measure(trainer, datasets, name, **options)
        if self.args.problem_type != SINGLE:
            return measured
        self.confusions[name] = self.confusion
        return measured | {"confusion": self.confusion}

    def result(self, measured) -> str:
        kind = self.args.problem_type
        if kind == REGRESSION:
            return f"mean squared error {measured['mse']:.4f}, Pearson {measured['pearson']:.3f}"
        if kind == SINGLE:
            return (
                f"accuracy {measured['accuracy']:.2%}, macro-F1 {measured['macro_f1']:.2%}, "
                f"Matthews {measured['matthews_correlation']:.3f}"
            )
        return (
            f"all labels right {measured['accuracy']:.2%}, micro-F1 {measured['micro_f1']:.2%}, "
            f"macro-F1 {measured['macro_f1']:.2%}"
        )

    def require_baseline(self):
        from .tfidf import load_sklearn

        load_sklearn(self.recipe.run.baseline, self.args.problem_type)

    def baseline(self, data):
        from .tfidf import train_tfidf

        with Progress(transient=True, disable=self.recipe.training.disable_tqdm) as bars:
            bars.add_task("training the baseline, TF-IDF and logistic regression", total=None)
            return train_tfidf(
                data,
                self.labels,
                baseline=self.recipe.run.baseline,
                problem_type=self.args.problem_type,
                clean_markup=self.recipe.data.clean_markup,
            )

    def finish(self, model, tokenizer, data, console):
        """Shows a few texts of the validation part, one of each label before a second one, and what the model says.

        It also draws the confusion matrix of the part measured last: test, where there is one.
        """
        by_label: dict[str, list[LabelledText]] = {}
        for row in data["validation"]:
            rows = by_label.setdefault(str(row["label"]), [])
            if len(rows) < SHOWN_TEXTS:
                rows.append(row)
        rounds = zip_longest(*by_label.values())
        shown = [row for each in rounds for row in each if row is not None][:SHOWN_TEXTS]
        table = Table("true", "found", "text", box=None, pad_edge=False, header_style="dim")
        classifier = Classifier(model, tokenizer)
        for row, found in zip(shown, classifier.classify([row["text"] for row in shown]), strict=True):
            true = ", ".join(row["label"]) if isinstance(row["label"], list) else str(row["label"])
            said = ", ".join(f"{label} {found.scores[label]:.0%}" for label in found.labels)
            if self.args.problem_type == REGRESSION:
                said = ", ".join(f"{score:.3g}" for score in found.scores.values())
            text = " ".join(row["text"].split())
            table.add_row(Text(true), Text(said), Text(shorten(text, SHOWN_CHARACTERS, placeholder=" …")))
        console.print(table)
        if self.args.problem_type == SINGLE:
            self.draw_confusion(self.output / CONFUSION_FILE, [name for name in data if name in SPLITS][-1])
        return {"on_other_text": self.on_other_text(classifier)} if self.args.problem_type == SINGLE else {}

    def on_other_text(self, classifier: Classifier) -> list[dict[str, Any]]:
        """For the card: `what` was asked beside the data, how many (`of`), the share that was `right`."""
        found = []
        for lang, score in score_contrast_pairs(classifier).items():
            what = f"minimal pairs of opinions ({lang})"
            found.append({"what": f"{what}, texts", "of": 2 * score.pairs, "right": score.sentences})
            found.append({"what": f"{what}, both texts of a pair", "of": score.pairs, "right": score.both})
            self.say(f"{what}: {score.sentences:.0%} of the texts right, {score.both:.0%} of the pairs")
        return found

    def draw_confusion(self, path: Path, split: str) -> None:
        from ...inspect.confusion import save_confusion

        try:
            save_confusion(self.confusions[split], self.labels, path, title=f"{self.recipe.name}, {split}")
        except ValueError as error:  # hundreds of labels: too large for a PNG
            self.warn(str(error))
        else:
            self.say(f"what is taken for what: {path}")

    def next_command(self, output_dir) -> str:
        return f'classify text with: rnn-zoo classify {pasted(output_dir)} "some text"'


def only_logits(logits, labels):
    """What the metric needs of all that the model returns."""
    return logits[0] if isinstance(logits, tuple) else logits


def sentence_ends(tokenizer) -> list[int]:
    """The ids of tokens that are a sign which ends a sentence.

    Raises:
        UserError: if the vocabulary has none.
    """
    ids = [n for n in range(len(tokenizer)) if tokenizer.decode([n]).strip(" ") in SENTENCE_ENDS]
    if not ids:
        raise UserError("hierarchical: the training text has no sign that ends a sentence")
    return ids
