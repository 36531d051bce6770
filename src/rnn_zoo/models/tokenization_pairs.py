"""A tokenizer with two vocabularies, one of sources and one of targets: for transliteration and the like."""

import copy
import os
from typing import ClassVar

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from .tokenization_rnn import RnnTokenizer

TARGET_FILE = "target_tokenizer.json"


class PairTokenizer(RnnTokenizer):
    """Sources and targets as ids of two vocabularies, which share the special tokens and their ids.

    `tokenizer(text)` gives ids of sources; `tokenizer(text_target=text)` gives ids of targets, and as `labels` beside
    those of a source. What a model writes are targets: so `decode`, `batch_decode`, `convert_ids_to_tokens` and
    `convert_tokens_to_string` read ids as targets, unless told `use_source_tokenizer=True`. All else (`len`,
    `get_vocab`, `convert_tokens_to_ids`, `tokenize`) is about sources. `source` and `target` are the two sides as plain
    tokenizers.

    Saved as `tokenizer.json` and `target_tokenizer.json`.
    """

    vocab_files_names = {  # noqa: RUF012 (the library's own form)
        "tokenizer_file": "tokenizer.json",
        "target_tokenizer_file": TARGET_FILE,
    }
    # As a tokenizer and not as its backend, in which a padded call leaves its settings behind: `datasets` leaves those
    # of a tokenizer out of its fingerprint.
    _target_tokenizer: RnnTokenizer | None = None
    __slotnames__: ClassVar[list[str]] = []  # as in `RnnTokenizer`

    # No constructor: the library would rebuild the backend of a class that has one from its bare vocabulary.
    @classmethod
    def of(cls, source: PreTrainedTokenizerFast, target: PreTrainedTokenizerFast) -> "PairTokenizer":
        """A tokenizer of two plain ones; its settings, such as the padding side, are those of `source`.

        Raises:
            ValueError: if a special token is another, or has another id, on the other side.
        """
        if (source.special_tokens_map, source.all_special_ids) != (target.special_tokens_map, target.all_special_ids):
            raise ValueError(
                f"special tokens: {source.special_tokens_map} (ids {source.all_special_ids}) of sources, "
                f"{target.special_tokens_map} (ids {target.all_special_ids}) of targets; must be the same"
            )
        tokenizer = cls(
            tokenizer_object=source.backend_tokenizer,
            **source.special_tokens_map,
            split_special_tokens=source.split_special_tokens,
            clean_up_tokenization_spaces=source.clean_up_tokenization_spaces,
            padding_side=source.padding_side,
            model_input_names=source.model_input_names,
        )
        tokenizer._target_tokenizer = RnnTokenizer(tokenizer_object=target.backend_tokenizer)
        return tokenizer

    @classmethod
    def _from_pretrained(cls, resolved_vocab_files, pretrained_model_name_or_path, *args, **kwargs):
        path = resolved_vocab_files.pop("target_tokenizer_file", None)
        if path is None:
            raise OSError(f"{pretrained_model_name_or_path}: no {TARGET_FILE}, which a tokenizer of pairs needs")
        tokenizer = super()._from_pretrained(resolved_vocab_files, pretrained_model_name_or_path, *args, **kwargs)
        tokenizer._target_tokenizer = RnnTokenizer(tokenizer_file=path)
        return tokenizer

    def _save_pretrained(self, save_directory, file_names, legacy_format=None, filename_prefix=None):
        file_names = super()._save_pretrained(save_directory, file_names, legacy_format, filename_prefix)
        path = os.path.join(save_directory, (f"{filename_prefix}-" if filename_prefix else "") + TARGET_FILE)
        self.target.backend_tokenizer.save(path)
        return (*file_names, path)

    @property
    def source(self) -> RnnTokenizer:
        """The tokenizer of sources alone, with the settings of this one."""
        return self._side(self._tokenizer)

    @property
    def target(self) -> RnnTokenizer:
        """The tokenizer of targets alone, with the settings of this one."""
        if self._target_tokenizer is None:
            raise ValueError("a tokenizer of pairs is made with PairTokenizer.of(source, target) or from_pretrained")
        return self._side(self._target_tokenizer.backend_tokenizer)

    @property
    def target_vocab_size(self) -> int:
        """Number of ids of targets; `len(tokenizer)` is that of sources."""
        return len(self.target)

    # The library's own way, to switch this object over and back, would leave it switched after an error, and for
    # another thread in between.
    def _side(self, backend: Tokenizer) -> RnnTokenizer:
        side = copy.copy(self)
        side.__class__ = RnnTokenizer
        side._tokenizer = backend
        return side

    def __call__(self, text=None, text_pair=None, text_target=None, text_pair_target=None, *args, **kwargs):
        if text_target is None:
            return super().__call__(text, text_pair, None, None, *args, **kwargs)
        targets = self.target(None, None, text_target, text_pair_target, *args, **kwargs)
        if text is None:
            return targets
        encoded = super().__call__(text, text_pair, None, None, *args, **kwargs)
        encoded["labels"] = targets["input_ids"]
        return encoded

    def _decode(self, token_ids, *args, use_source_tokenizer=False, **kwargs):
        return (self.source if use_source_tokenizer else self.target)._decode(token_ids, *args, **kwargs)

    def convert_ids_to_tokens(self, ids, skip_special_tokens=False, use_source_tokenizer=False):
        side = self.source if use_source_tokenizer else self.target
        return side.convert_ids_to_tokens(ids, skip_special_tokens)

    def convert_tokens_to_string(self, tokens, use_source_tokenizer=False):
        return (self.source if use_source_tokenizer else self.target).convert_tokens_to_string(tokens)
