"""The keys of a recipe that only language models have."""

from dataclasses import dataclass
from typing import Literal

from ...models.keys import key
from ...models.ranges import SHARE, Range

# Of the settings by which a text is drawn.
RANGES = {
    "temperature": Range(0, above=True),
    "top_k": Range(0),
    "top_p": Range(0, 1, above=True),
    "seed": Range(0, 2**63 - 1),
}


@dataclass
class LanguageModelArguments:
    """How a text becomes ids, how it is read in training, and what is written at the end."""

    text_column: str = key(
        "text",
        "The dataset's column of text.",
        on_resume="free",
    )
    max_characters: int | None = key(
        None,
        "Read at most so many characters of the training text.",
        within=Range(1),
        on_resume="free",
    )
    examples: Literal["stream", "lines", "documents"] = key(
        "stream",
        "stream: one long text in contiguous lanes, splits cut from its end. lines: each line is a text of "
        "its own between <bos> and <eos>, splits drawn at random, equal lines together. documents: the texts of a "
        "classifier's data, and those of a file unlabelled.txt beside it, a line each, as one stream; splits are "
        "those of the classifier, its test part is left alone.",
    )
    streaming: bool = key(
        False,
        "Read the training documents as they come, and keep nothing of them (stream): a dataset on the Hub, or all "
        "files in the folder train of data_dir (.txt: each file a document; .jsonl, .parquet: each row). Needs "
        "max_steps and a validation split.",
    )
    vocabulary_characters: int = key(
        10_000_000,
        "Characters at the beginning of what is read as it comes of which the vocabulary is made (streaming).",
        within=Range(1),
    )
    bptt_length: int = key(
        64,
        "Steps of truncated back-propagation (stream), in tokens.",
        within=Range(1),
    )
    state_reset_probability: float = key(
        0.0,
        "Chance that a lane begins a step with a zero state (stream), as later use will; in [0, 1).",
        within=SHARE,
        on_resume="applies",
    )
    sample_prompt: str = key(
        "\n",
        "What the samples at the end of a run begin with.",
        on_resume="free",
    )
    sample_temperatures: list[float] = key(
        [0.5, 0.8, 1.0],
        "Temperatures of these samples; each above 0.",
        within=Range(0, above=True),
        on_resume="free",
    )
    sample_tokens: int = key(
        500,
        "Length of each sample in tokens; 0 for none.",
        within=Range(0),
        on_resume="free",
    )
    sample_check: Literal["none", "python_lines"] = key(
        "none",
        "python_lines: the share of sampled lines that Python's tokenize accepts, beside real text.",
        on_resume="free",
    )

    @property
    def is_stream(self) -> bool:
        """Whether the text is one stream, and not a row for each line."""
        return self.examples != "lines"
