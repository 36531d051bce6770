"""The keys of a recipe that only language models have."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from ...models.ranges import SHARE, Range


@dataclass
class LanguageModelArguments:
    """How a text becomes ids, how it is read in training, and what is written at the end."""

    text_column: str = field(default="text", metadata={"help": "The dataset's column of text."})
    max_characters: Annotated[int | None, Range(1)] = field(
        default=None, metadata={"help": "Read at most so many characters of the training text."}
    )
    examples: Literal["stream", "lines", "documents"] = field(
        default="stream",
        metadata={
            "help": "stream: one long text in contiguous lanes, splits cut from its end. lines: each line is a text of "
            "its own between <bos> and <eos>, splits drawn at random, equal lines together. documents: the texts of a "
            "classifier's data, and those of a file unlabelled.txt beside it, a line each, as one stream; splits are "
            "those of the classifier, its test part is left alone."
        },
    )
    bptt_length: Annotated[int, Range(1)] = field(
        default=64, metadata={"help": "Steps of truncated back-propagation (stream), in tokens."}
    )
    state_reset_probability: Annotated[float, SHARE] = field(
        default=0.0,
        metadata={"help": "Chance that a lane begins a step with a zero state (stream), as later use will; in [0, 1)."},
    )
    sample_prompt: str = field(default="\n", metadata={"help": "What the samples at the end of a run begin with."})
    sample_temperatures: Annotated[list[float], Range(0, above=True)] = field(
        default_factory=lambda: [0.5, 0.8, 1.0], metadata={"help": "Temperatures of these samples; each above 0."}
    )
    sample_tokens: Annotated[int, Range(0)] = field(
        default=500, metadata={"help": "Length of each sample in tokens; 0 for none."}
    )
    sample_check: Literal["none", "python_lines"] = field(
        default="none",
        metadata={"help": "python_lines: the share of sampled lines that Python's tokenize accepts, beside real text."},
    )

    @property
    def is_stream(self) -> bool:
        """Whether the text is one stream, and not a row for each line."""
        return self.examples != "lines"
