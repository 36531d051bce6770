"""The keys of a recipe for classifiers and taggers: what a model begins with, what is done against overfitting, and
words that are read by their characters."""

from dataclasses import dataclass
from typing import Literal

from ..models.keys import key
from ..models.ranges import SHARE, Range


@dataclass
class TransferArguments:
    """What a model begins with, and how carefully it is changed (classifiers and taggers)."""

    language_model: str | None = key(
        None,
        "Folder, or name in the zoo or on the Hub, of a language model to begin with; its sizes need not "
        "be told again. Classifiers have its tokenizer, or with a tokenizer_type of words one that knows the words "
        "of both.",
        on_card=False,
    )
    layer_lr_decay: float = key(
        1.0,
        "The learning rate of a layer is that of the layer above times this, the head's being "
        "learning_rate; in (0, 1]. ULMFiT: 0.385.",
        within=Range(0, 1, above=True),
    )
    gradual_unfreezing: bool = key(
        False,
        "Train the head alone in the first epoch, and from then on one layer more each epoch.",
    )
    lr_schedule: Literal["none", "slanted_triangular", "one_cycle"] = key(
        "none",
        "In place of lr_scheduler_type: slanted_triangular (up in the first tenth, or in warmup_steps, "
        "then down to a 32nd) or one_cycle (up in the first 30 %, then down to nothing, by cosines).",
    )
    direct_learning_rate: float | None = key(
        None,
        "Learning rate of the direct connections (direct_ngram_order), which have no weight decay; rare "
        "n-grams need a greater one than a network. learning_rate if not told.",
        within=Range(0, above=True),
    )


@dataclass
class RegularizationArguments:
    """What is done against overfitting outside the model (classifiers and taggers)."""

    adversarial_epsilon: float = key(
        0.0,
        "Train also on each text's word vectors moved where that raises the loss most, by this share of "
        "their length (Miyato et al. 2017); a step takes twice the time. 0: do not. For example 0.01.",
        within=Range(0),
        on_resume="applies",
    )
    weight_averaging: float = key(
        0.0,
        "Keep and evaluate a moving average of the weights; each step counts this times what the next one "
        "counts, in [0, 1). 0: do not. For example 0.998.",
        within=SHARE,
    )


@dataclass
class SpellingArguments:
    """Whether words are read by their characters, and how much of each (taggers and classifiers)."""

    read_characters: bool | None = key(
        None,
        "Read each word by its characters as well (character_encoder and its sizes, affix_length); taggers "
        "do unless told otherwise, classifiers only if told.",
    )
    max_word_length: int = key(
        20,
        "Characters read of a word; of a longer one its beginning and its end.",
        within=Range(1),
    )
    min_affix_words: int = key(
        3,
        "An affix or shape of fewer different training words is read as unknown (affix_length).",
        within=Range(1),
    )
