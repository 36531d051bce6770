"""The keys of a tagger (`modeling_token_classification.py`, `crf.py`)."""

from dataclasses import dataclass
from functools import partial

from .keys import KeyGroup, key

SCHEMES = ("iob1", "iob2", "iobes")  # of tags that a CRF knows
of_tagger = partial(key, heads=("RnnForTokenClassification",))


@dataclass(repr=False)
class TaggerKeys(KeyGroup):
    """How a tagger chooses its labels."""

    use_crf: bool = of_tagger(
        False,
        "Whether a tagger chooses the labels of a sentence together, by a conditional random field.",
        shapes_weights=True,
    )
    tag_scheme: str | None = of_tagger(
        None,
        'How the CRF writes entities inside: `"iob2"`, `"iob1"` or `"iobes"`, for labels that are IOB2; what a scheme '
        "forbids is never decoded. `None`: labels are what they are, and all may follow all.",
        choices=SCHEMES,
        shapes_weights=True,
    )
    constrain_training: bool = of_tagger(False, "Whether the CRF leaves forbidden sequences out in training as well.")
