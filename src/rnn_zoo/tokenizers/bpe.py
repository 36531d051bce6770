"""Byte-level BPE."""

from collections.abc import Iterable

from tokenizers import models, trainers

from ..models.tokenization_rnn import RnnTokenizer
from .byte_level import LEAST_BYTE_VOCABULARY, byte_backend, byte_options, lines_of, reading_end_token
from .normalization import text_normalizer
from .vocabulary import check_at_least, rnn_tokenizer


def build_bpe_tokenizer(
    texts: Iterable[str],
    *,
    vocab_size: int = 8192,
    min_frequency: int = 2,
    unicode_normalization: str | None = None,
    fold_case: bool = False,
    clean_markup: bool = False,
) -> RnnTokenizer:
    """Trains a byte-level BPE tokenizer: any text in any script comes back exactly, and nothing is unknown.

    Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016), over bytes as in GPT-2
    (Radford et al., 2019, section 2.2). Pieces differ from GPT-2's: combining signs stay with their letters, so that
    words of Indic scripts are not cut at vowel signs, and a line end closes its token, so that there are no tokens of
    several line ends. `<unk>` is defined, but never produced.

    The ids are those of the special tokens, the 256 bytes, then the merges in the order they were learnt.

    Args:
        texts: Texts; each is read on its own.
        vocab_size: Number of ids, special tokens and bytes included; at least 260. Few texts may fill fewer.
        min_frequency: How often a pair has to occur to be merged; at least 1.
        unicode_normalization: `None` (also the string `"none"`) to leave texts as they are, or `"NFC"`; with it
            `decode(encode(text))` is the NFC form of `text`.
        fold_case: whether texts are read in lower case, and come back so.
        clean_markup: whether HTML is read as its reader sees it (`build_wordpunct_tokenizer`), and comes back so.

    Raises:
        ValueError: if there is no text or an argument is out of its range.
    """
    check_at_least("vocab_size", vocab_size, LEAST_BYTE_VOCABULARY)
    check_at_least("min_frequency", min_frequency, 1)
    backend = byte_backend(models.BPE(), text_normalizer(unicode_normalization, fold_case, clean_markup))
    trainer = trainers.BpeTrainer(min_frequency=min_frequency, **byte_options(vocab_size))
    backend.train_from_iterator(lines_of(texts), trainer)
    # Each token that was learnt is what its own merges give, so that this changes nothing but the end token.
    backend.model.ignore_merges = True
    return rnn_tokenizer(reading_end_token(backend, unicode_normalization, fold_case, clean_markup))
