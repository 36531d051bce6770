"""Byte-level unigram."""

import json
from collections import Counter
from collections.abc import Iterable
from itertools import chain, repeat

from tokenizers import Tokenizer, models, trainers

from ..models.tokenization_rnn import RnnTokenizer
from .byte_level import LEAST_BYTE_VOCABULARY, byte_backend, byte_options, lines_of, reading_end_token
from .normalization import text_normalizer
from .vocabulary import SPECIAL_TOKENS, check_at_least, rnn_tokenizer

NO_BYTE = "\ue000"  # stands for no byte in the byte-level spelling of words
MAX_PIECE_BYTES = 48  # of a unigram piece: 16 characters of an Indic script; the library's own 16 bytes are five
DROPPED_BYTES = 256 * 0.0001  # the library scores bytes without a share by the least score and up to so much more


def build_unigram_tokenizer(
    texts: Iterable[str],
    *,
    vocab_size: int = 8192,
    unicode_normalization: str | None = None,
    fold_case: bool = False,
    clean_markup: bool = False,
) -> RnnTokenizer:
    """Trains a byte-level unigram tokenizer: any text in any script comes back exactly, and nothing is unknown.

    Kudo, "Subword Regularization" (2018), section 3.2: of all ways to cut a word into pieces of the vocabulary, the
    likeliest by a unigram language model, p(x) = prod p(x_i); the vocabulary is what is left of all frequent substrings
    after those that cost the training text the least likelihood have been dropped. Here the substrings are of the bytes
    of the same words as for BPE (`build_bpe_tokenizer`), at most 48 bytes long. `<unk>` is defined, but never produced.
    Training takes several times as long as that of BPE.

    The ids are those of the special tokens, the 256 bytes, then the pieces by falling probability, ties by code points
    of their byte-level spelling.

    Args:
        texts: Texts; each is read on its own.
        vocab_size: Number of ids, special tokens and bytes included; at least 260. Few texts may fill fewer.
        unicode_normalization: `None` (also the string `"none"`) to leave texts as they are, or `"NFC"`; with it
            `decode(encode(text))` is the NFC form of `text`.
        fold_case: whether texts are read in lower case, and come back so.
        clean_markup: whether HTML is read as its reader sees it (`build_wordpunct_tokenizer`), and comes back so.

    Raises:
        ValueError: if there is no text or an argument is out of its range.
    """
    check_at_least("vocab_size", vocab_size, LEAST_BYTE_VOCABULARY)
    special, unk = list(SPECIAL_TOKENS.values()), SPECIAL_TOKENS["unk_token"]
    options = byte_options(vocab_size + 1)
    backend = byte_backend(models.Unigram(), text_normalizer(unicode_normalization, fold_case, clean_markup))
    words: Counter[str] = Counter()
    for line in lines_of(texts):
        line = backend.normalizer.normalize_str(line) if backend.normalizer else line
        words.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(line))
    # The trainer begins with what stands in several different words, and before different characters: a word that has
    # no longer one beside it, however frequent, would be cut for ever. So frequent words get one.
    frequent = sorted(words, key=lambda word: (-words[word], word))[:vocab_size]
    longer = (word + NO_BYTE for word in frequent)
    given = chain.from_iterable(repeat(word, count) for word, count in words.items())
    trained = Tokenizer(models.Unigram())
    trainer = trainers.UnigramTrainer(unk_token=unk, max_piece_length=MAX_PIECE_BYTES, **options)
    trained.train_from_iterator(chain(given, longer), trainer)
    # It adds up in an order of chance: that shows in the last digits, in ties, and in the bytes that it had dropped.
    scores = dict(json.loads(trained.to_str())["model"]["vocab"])
    scores = {piece: score for piece, score in scores.items() if piece not in special and NO_BYTE not in piece}
    alphabet = options["initial_alphabet"]
    least = min(scores.values())
    for byte in alphabet:
        if scores[byte] <= least + DROPPED_BYTES:
            scores[byte] = least
    scores = {piece: round(score, 6) for piece, score in scores.items()}
    pieces = sorted(scores.keys() - set(alphabet), key=lambda piece: (-scores[piece], piece))
    vocabulary = [(token, 0.0) for token in special]
    vocabulary += [(piece, scores[piece]) for piece in (*alphabet, *pieces)][: vocab_size - len(special)]
    backend.model = models.Unigram(vocabulary, unk_id=special.index(unk))
    return rnn_tokenizer(reading_end_token(backend, unicode_normalization, fold_case, clean_markup))
