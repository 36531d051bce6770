"""The keys of a recipe that say where the data comes from, and how its texts become tokens."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..models.keys import key
from ..models.ranges import SHARE, Range
from .formats import UTF_8


def tokenizer_types() -> Iterable[str]:
    from ..tokenizers.builders import TOKENIZER_BUILDERS  # needs the library of tokenizers

    return TOKENIZER_BUILDERS


@dataclass
class DataArguments:
    """Where the data comes from, and which of its words have ids: for every task."""

    embedded_data: str | None = key(
        None,
        "Data that needs no network.",
        on_resume="free",
    )
    dataset_name: str | None = key(
        None,
        "Dataset on the Hugging Face Hub, used where no local files are given.",
        on_resume="free",
    )
    dataset_config_name: str | None = key(
        None,
        "Its configuration.",
        on_resume="free",
    )
    dataset_revision: str | None = key(
        None,
        "Its revision (branch, tag or commit).",
        on_resume="free",
    )
    data_dir: list[str] | None = key(
        None,
        "Folder of local files instead: train, valid(ation) and test files, or one file that is split. Taggers and "
        "classifiers read several as one: what is held out is also measured by folder.",
        on_resume="free",
        on_card=False,
    )
    file_extension: str = key(
        "txt",
        "Extension of the local files; each may also be gzipped (.gz).",
        on_resume="free",
    )
    encoding: str = key(
        UTF_8,
        "Encoding of the local files, as utf-8, latin-1, cp1252, utf-16 (any that Python knows).",
    )
    validation_fraction: float = key(
        0.1,
        "Share held out for validation where the data has no such split, in (0, 1).",
        within=SHARE,
        on_resume="free",
    )
    test_fraction: float = key(
        0.0,
        "Share held out for testing where the data has no such split, in [0, 1).",
        within=SHARE,
        on_resume="free",
    )
    tokenizer_type: str = key(
        "char",
        "How a text becomes tokens.",
        choices=tokenizer_types,
        of_raw_text=True,
    )
    unicode_normalization: str = key(
        "NFC",
        "NFC, or none to keep every code point as it stands (all but word).",
        choices=("NFC", "none"),
        of_raw_text=True,
    )
    min_frequency: int = key(
        1,
        "A character or word that is rarer in the training text becomes <unk>.",
        within=Range(1),
    )
    max_vocab_size: int | None = key(
        None,
        "Greatest size of the vocabulary (all but char).",
        within=Range(1),
    )
    fold_case: bool = key(
        False,
        "Read texts in lower case (wordpunct, bpe, unigram).",
        of_raw_text=True,
    )
    clean_markup: bool = key(
        False,
        "Read HTML as its reader sees it: no tags, entities as characters (wordpunct, bpe, unigram).",
        of_raw_text=True,
    )

    def __post_init__(self):
        given = [self.data_dir] if isinstance(self.data_dir, str) else self.data_dir or []
        self.data_dir = [folder for folder in given if folder] or None

    @property
    def source(self) -> str:
        """What a message calls the data."""
        return ", ".join(self.data_dir or ()) or self.dataset_name or self.embedded_data or "no data"

    @property
    def folder(self) -> Path:
        """The one folder of local files, for tasks that read no more.

        Raises:
            UserError: if several are given.
        """
        folders = self.data_dir or []
        if len(folders) != 1:
            raise UserError(f"data_dir: {len(folders)} folders are given ({self.source}), this task reads one")
        return Path(folders[0])
