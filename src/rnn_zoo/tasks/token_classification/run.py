"""How the task `token_classification` trains and is measured: a tagger of words, with or without a CRF."""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from rich.progress import Progress
from transformers import AutoTokenizer, DataCollatorForTokenClassification

from ... import checkpoint_checks
from ...data.kept import fingerprint_of
from ...data.length_batches import longest_first
from ...data.stored_rows import (
    StoredRows,
    encoded_rows,
    key_of_tokenizer,
    over_pieces,
    remembered_arrays,
    selected,
)
from ...data.word_vectors import WordVectors, load_word_vectors
from ...errors import UserError
from ...models.modeling_token_classification import RnnForTokenClassification
from ...models.tokenization_words import WordCharacterTokenizer
from ...output import pasted
from ...tokenizers.spelled_words import build_word_character_tokenizer, count_words
from ...tokenizers.vocabulary import SPECIAL_TOKENS, counted
from ...training.arguments import require_whole_splits, rows_a_step
from ...training.fine_tuning import fine_tuning_parts
from ...training.order_of_rows import LengthBatches
from ...training.run_trainer import RunTrainer
from ...training.transfer import of_language_model
from ..scores import title_of
from ..several import new_names
from ..task_run import TaskRun, from_tokenizer
from . import TASK
from .data import load_tagged
from .encoding import EncodedWords, encode_words, label_rows, lack_of, reads_words_alone
from .iob import NO_ENTITIES, entity_types, is_tag
from .tagger import Tagger, show_entities
from .tags import Sentence, unseen_labels, unseen_types

SHOWN_SENTENCES = 6
SHOWN_WORDS = 25  # a longer sentence is no example


class TokenClassificationRun(TaskRun):
    """Tagged sentences -> rows of words and their characters -> a tagger; measured by entities, or where its labels are
    none, as parts of speech, by the share of words."""

    task = TASK

    @classmethod
    def check(cls, recipe):
        args = recipe.task_arguments
        if recipe.training.label_smoothing_factor and recipe.model["use_crf"]:
            raise UserError("label_smoothing_factor: not available with use_crf, it would replace the loss of the CRF")
        new_names("rename_tags", args.rename_tags)
        require_whole_splits(recipe.training, "entities are scored over all sentences of a split")
        if args.rare_word_dropout and recipe.model["word_dropout"]:
            raise UserError("rare_word_dropout: takes the place of word_dropout; give one of them")
        if recipe.model["affix_length"] and (args.tokenizer_name or recipe.spelling.read_characters is False):
            raise UserError("affix_length: needs read_characters, and a tokenizer of whole words")
        if args.tokenizer_name and args.word_vectors:
            raise UserError("word_vectors: are those of whole words, and do not go with tokenizer_name")
        if args.word_vectors and recipe.transfer.language_model:
            raise UserError("word_vectors: the embeddings are those of language_model; give one of them")

    @classmethod
    def words_of_usage(cls, config):
        """Neighbouring words of one label are no entity: only what finds entities joins them."""
        are_entities = all(map(is_tag, config.get("id2label", {}).values()))
        return {"aggregation": "simple" if are_entities else "none"}

    def parts(self):
        return [LengthBatches(), *fine_tuning_parts(self.recipe.transfer, self.recipe.regularization)]

    def load_data(self, only=None) -> dict[str, Sequence[Sentence]]:
        tagged = load_tagged(self.recipe.data, self.args, self.warn, only)
        self.labels, self.are_entities = tagged.labels, tagged.are_entities
        if not self.are_entities and (scheme := self.recipe.model["tag_scheme"]) is not None:
            raise UserError(
                f"tag_scheme={scheme!r}: is for entities, and the tags of {self.recipe.data.source} are labels of "
                "words (no B-, I-): leave it out"
            )
        if only is None:
            self.check_best()
        return tagged.splits

    def check_best(self) -> None:
        """Refuses a `metric_for_best_model` that is never measured.

        Raises:
            UserError: with those that are.
        """
        given = self.recipe.training.metric_for_best_model
        kinds = ("precision", "recall", "f1")
        whole = ["loss", "accuracy", *(kinds if self.are_entities else ["token_accuracy"])]
        names = entity_types(self.labels) if self.are_entities else self.labels
        known = {*whole, *(f"{kind}_{name}" for kind in kinds for name in names)}
        if given is not None and given.removeprefix("eval_") not in known:
            what = "of entities" if self.are_entities else "labels of words, no entities"
            raise UserError(
                f"metric_for_best_model={given!r}: is not measured where tags are {what}; choose from "
                f"{', '.join(whole)}, or of one kind as f1_{names[0]}"
            )

    def adopt(self, model, data):
        """The labels; types that the model has none for are named, and their entities count as missed."""
        self.labels = [model.config.id2label[n] for n in range(model.config.num_labels)]
        source = self.recipe.data.source
        if self.are_entities != (self.args.data_tag_scheme != NO_ENTITIES and all(map(is_tag, self.labels))):
            kinds = {True: "entities (O, B-TYPE, I-TYPE)", False: "words, no entities"}
            raise UserError(
                f"{source}: its tags are those of {kinds[self.are_entities]}, the model's labels "
                f"({', '.join(self.labels[:3])}, ...) those of {kinds[not self.are_entities]}"
            )
        for sentences in data.values():
            if unseen := (unseen_types if self.are_entities else unseen_labels)(sentences, self.labels):
                kind = "entities of types" if self.are_entities else "labels"
                self.warn(f"{source}: {kind} that the model does not know: {unseen}")

    def build_tokenizer(self, data):
        args, options = self.args, self.recipe.data
        if args.tokenizer_name:
            with checkpoint_checks.sentences(f"tokenizer_name={args.tokenizer_name!r}: could not be loaded"):
                tokenizer = AutoTokenizer.from_pretrained(args.tokenizer_name, trust_remote_code=False)
            if lacks := lack_of(tokenizer):
                raise UserError(f"tokenizer_name={args.tokenizer_name!r}: the tokenizer {lacks}")
            return tokenizer
        try:
            return build_word_character_tokenizer(
                tokens_of(data["train"]),
                lowercase=args.lowercase,
                digits_to_zero=args.digits_to_zero,
                min_frequency=options.min_frequency,
                max_vocab_size=options.max_vocab_size,
                max_word_length=self.recipe.spelling.max_word_length,
            )
        except ValueError as error:
            raise UserError(str(error)) from error

    def build_model(self, data, tokenizer) -> RnnForTokenClassification:
        settings: dict[str, Any] = from_tokenizer(tokenizer)
        settings["id2label"] = dict(enumerate(self.labels))
        settings["label2id"] = {label: n for n, label in enumerate(self.labels)}
        spelling = self.recipe.spelling
        if isinstance(tokenizer, WordCharacterTokenizer) and spelling.read_characters is not False:
            settings["character_vocab_size"] = tokenizer.character_vocab_size
        counting = self.args.rare_word_dropout or self.args.word_vectors is not None
        counts = self.count_words(tokenizer, data["train"]) if counting else torch.zeros(len(tokenizer))
        vectors = None if self.args.word_vectors is None else self.load_vectors(tokenizer, counts)
        if vectors is not None:
            settings["embedding_size"] = vectors.matrix.shape[1]
        if self.language_model is not None:
            settings |= of_language_model(self.recipe, self.language_model[0])
        config = self.recipe.config(**settings)
        try:
            model = RnnForTokenClassification(config)
            if self.args.rare_word_dropout:
                model.model.drop_rare_words(counts, self.args.rare_word_dropout)
        except ValueError as error:
            raise UserError(str(error)) from error
        model.mark_words(tokenizer, words_in(data["train"]), spelling.min_affix_words)
        if not isinstance(tokenizer, WordCharacterTokenizer):
            self.check_pieces(model, tokenizer, data["train"])
        self.begin_with_language_model(model, tokenizer)
        if vectors is not None:
            with torch.no_grad():
                model.model.embed_tokens.weight[-len(vectors.words) :][vectors.found] = vectors.matrix[vectors.found]
        return model

    def check_pieces(self, model, tokenizer, sentences: Sequence[Sentence]) -> None:
        """Refuses pieces that do not show where the words of a sentence begin: all would be tagged as one word."""
        longest = sentences[int(word_lengths(sentences).argmax())]
        ((row, first),) = encode_words([longest["tokens"]], tokenizer)
        begins = model.token_kinds(torch.tensor([row["input_ids"]]), None)[0]
        if len(first) > 1 and not begins[first[1:]].any():
            raise UserError(
                f"tokenizer_name={self.args.tokenizer_name!r}: its pieces do not show where words begin; byte-level "
                "ones do with add_prefix_space=True"
            )

    def count_words(self, tokenizer, sentences: Sequence[Sentence]) -> torch.Tensor:
        """How often each id stands in the training text, `(V)`."""

        def count(piece: Sequence[Sentence]) -> np.ndarray:
            ids = tokenizer([sentence["tokens"] for sentence in piece], is_split_into_words=True)["input_ids"]
            return np.bincount([n for row in ids for n in row], minlength=len(tokenizer))

        def compute() -> dict[str, np.ndarray]:
            return {"counts": sum(part for _, part in over_pieces(sentences, count, "counting ids"))}

        if not isinstance(sentences, StoredRows):
            return torch.from_numpy(compute()["counts"])
        sentences = sentences.in_order_of_file()
        return torch.from_numpy(
            remembered_arrays(sentences, f"ids-{fingerprint_of(*key_of_tokenizer(tokenizer))}", compute)["counts"]
        )

    def load_vectors(self, tokenizer, counts: torch.Tensor) -> WordVectors:
        """The pretrained vectors of the vocabulary; says what they cover."""
        words = tokenizer.convert_ids_to_tokens(list(range(len(SPECIAL_TOKENS), len(tokenizer))))
        vectors = load_word_vectors(
            self.args.word_vectors,
            words,
            dimension=self.recipe.model["embedding_size"],
            counts=dict(zip(words, counts[len(SPECIAL_TOKENS) :].tolist(), strict=True)),
        )
        self.say(f"word vectors: {vectors.coverage}")
        return vectors

    def build_trainer(self, model, tokenizer, data):
        from .entities import best_labels, entity_metrics  # seqeval is slow to import

        # In this order evaluation pads little; the references keep to it.
        sentences = {
            name: part if name == "train" else selected(part, longest_first(word_lengths(part)))
            for name, part in data.items()
        }
        whole_words = isinstance(tokenizer, WordCharacterTokenizer)
        kinds = copy.deepcopy(model.token_kinds).cpu()
        by_word = EncodedWords(tokenizer, self.labels) if reads_words_alone(tokenizer) else None

        def begins(ids: list[int]) -> list[bool]:
            return kinds(torch.tensor([ids]), None)[0].tolist()

        def encode(piece: Sequence[Sentence]) -> tuple[list[dict[str, Any]], list[list[int]] | None]:
            """The rows, and of pieces of words which of the labelled steps begin a word."""
            encoded = encode_words([sentence["tokens"] for sentence in piece], tokenizer)
            found = label_rows(piece, encoded, self.labels, None if whole_words else begins)
            if whole_words:
                return found, None
            return found, [word_steps(row["labels"], first) for row, (_, first) in zip(found, encoded, strict=True)]

        rows, self.metrics = {}, {}
        for name, part in sentences.items():
            if isinstance(part, StoredRows):
                key = (*key_of_tokenizer(tokenizer), self.labels, whole_words or kinds.kinds.tolist())
                rows[name], _ = encoded_rows(part, key, by_word or (lambda piece: columns_of(encode(piece)[0])))
                steps = None if whole_words else encode
                self.metrics[name] = measured_when_needed(partial(self.metric_of_stored, part, steps))
                continue
            encoded, words = encode(part)
            rows[name] = Dataset.from_list(encoded)
            tags = [sentence["tags"] for sentence in part]
            self.metrics[name] = entity_metrics(self.labels, tags, words, self.are_entities)
        trainer = RunTrainer(
            model,
            self.recipe.training,
            parts=self.parts(),
            train_dataset=rows.get("train"),
            eval_dataset=rows.get("validation"),
            data_collator=DataCollatorForTokenClassification(tokenizer),
            processing_class=tokenizer,
            compute_metrics=self.metrics.get("validation"),
            preprocess_logits_for_metrics=best_labels,
        )
        return trainer, rows

    def metric_of_stored(
        self, sentences: StoredRows, encode: Callable[[Sequence[Sentence]], tuple[list, list[list[int]] | None]] | None
    ):
        """The metric of a split: of its tags, each is in memory once.

        Args:
            sentences: of the split.
            encode: gives of some of them, beside their rows, which of the labelled steps begin a word; `None`: all do.
        """
        from .entities import entity_metrics

        one: dict[str, str] = {}
        tags: list[list[str]] = []
        words: list[list[int]] = []

        def read(piece: Sequence[Sentence]) -> tuple[list[list[str]], list[list[int]] | None]:
            return [sentence["tags"] for sentence in piece], encode(piece)[1] if encode else None

        made = over_pieces(sentences, read, "reading tags")
        for _, (found, steps) in made:
            tags += [[one.setdefault(tag, tag) for tag in row] for row in found]
            words += steps or []
        return entity_metrics(self.labels, tags, words or None, self.are_entities)

    def describe(self, data) -> str:
        sizes = ", ".join(f"{title_of(name)} {len(part):,}" for name, part in data.items())
        if not self.are_entities:
            return f"sentences: {sizes}   labels of words: {', '.join(self.labels)}"
        types = ", ".join(filter(None, entity_types(self.labels)))
        return f"sentences: {sizes}   entities: {types or 'of one kind, without a name'}"

    def speed(self, datasets, steps, seconds):
        return {"sentences_per_second": rows_a_step(self.recipe.training) * steps / seconds}

    def measure(self, trainer, datasets, name, **options):
        before, trainer.compute_metrics = trainer.compute_metrics, self.metrics[name]
        try:
            return super().measure(trainer, datasets, name, **options)
        finally:
            trainer.compute_metrics = before

    def result(self, measured) -> str:
        if not self.are_entities:
            return f"accuracy {measured['token_accuracy']:.2%}, by words"
        return (
            f"F1 {measured['f1']:.2%} (precision {measured['precision']:.2%}, recall {measured['recall']:.2%}), "
            "by entities"
        )

    def require_baseline(self):
        from .crfsuite import load_crfsuite  # it measures by seqeval, which is slow to import

        load_crfsuite()

    def baseline(self, data):
        from .crfsuite import train_crfsuite
        from .frequent_label import measure_frequent_label

        simplest = {} if self.are_entities else {"others": [measure_frequent_label(data)]}
        with Progress(transient=True, disable=self.recipe.training.disable_tqdm) as bars:
            bar = bars.add_task("training the baseline, python-crfsuite")
            strongest = train_crfsuite(
                data, lambda done, total: bars.update(bar, completed=done, total=total), self.are_entities
            )
        return strongest | simplest

    def finish(self, model, tokenizer, data, console):
        """Shows a few sentences of the validation part as the model tags them."""
        shown = [s["tokens"] for s in data["validation"] if 5 <= len(s["tokens"]) <= SHOWN_WORDS]
        shown = shown[:: max(1, len(shown) // SHOWN_SENTENCES)][:SHOWN_SENTENCES]
        for tokens, tags in zip(shown, Tagger(model, tokenizer).tag_words(shown), strict=True):
            console.print(show_entities(tokens, tags, are_entities=self.are_entities), soft_wrap=True)
        return {}

    def next_command(self, output_dir) -> str:
        return f'tag text with: rnn-zoo tag {pasted(output_dir)} "some text"'


def word_steps(labels: list[int], first: list[int]) -> list[int]:
    """Which of the labelled steps of a row are the `first` pieces of words of the data."""
    labelled = [n for n, label in enumerate(labels) if label != -100]
    return [labelled.index(place) for place in first]


def columns_of(rows: list[dict[str, Any]]) -> dict[str, list]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def tokens_of(sentences: Sequence[Sentence]) -> Sequence[list[str]]:
    """The words of each of some sentences, in memory or not; in any order."""
    if isinstance(sentences, StoredRows):
        return sentences.in_order_of_file().texts("tokens")
    return [sentence["tokens"] for sentence in sentences]


def words_in(sentences: Sequence[Sentence]) -> Iterator[str]:
    """The different words of some sentences; nothing is read before somebody asks for the first."""
    yield from counted(tokens_of(sentences), "words", count_words)


def word_lengths(sentences: Sequence[Sentence]) -> np.ndarray:
    """The words of each sentence, `(N)`."""
    if isinstance(sentences, StoredRows):
        return sentences.lengths("tokens")
    return np.array([len(sentence["tokens"]) for sentence in sentences], dtype=np.int64)


def measured_when_needed(make: Callable[[], Callable[[Any], dict[str, float]]]) -> Callable[[Any], dict[str, float]]:
    """A metric that is made when it is asked for the first time."""
    made: list[Callable[[Any], dict[str, float]]] = []

    def compute_metrics(prediction: Any) -> dict[str, float]:
        if not made:
            made.append(make())
        return made[0](prediction)

    return compute_metrics
