"""Tokenizers: characters, words, words and punctuation, or byte-level pieces (BPE, unigram).

Each builder makes a vocabulary from texts and returns an `RnnTokenizer`, a `PreTrainedTokenizerFast`. Saved
with `save_pretrained`, it is opened again by `AutoTokenizer.from_pretrained`, where this package is not installed with
`trust_remote_code=True`; `PreTrainedTokenizerFast.from_pretrained` gives the same ids without any code of ours::

    tokenizer = TOKENIZER_BUILDERS["char"]([text])
    ids = encode_stream(tokenizer, [text])

The kinds have in common:

- `<pad> <bos> <eos> <unk>` are defined, with the ids 0, 1, 2, 3; `tokenizer(text)` adds none of them.
- Special tokens spelled out in a text are text, not commands (`split_special_tokens=True`, which is saved as well), but
  for `<eos>` at the very end of a text: there it is the end token, as libraries for fine-tuning append it. So a text
  that shall end in these five characters needs one more behind them, such as a line end. Words that are given one by
  one are texts of their own. The word tokenizer alone reads a literal `<unk>` and `<eos>` as what they say anywhere,
  because its corpora contain them.
- Padding is on the left; there is no greatest length; `decode` cleans up nothing.
- A line end (`"\\n"`) is always the end of a token, and no token depends on another line. So a text may be cut at any
  line end, and the ids of its parts, one after another, are the ids of the whole: `encode_stream` rests on this.
- The vocabulary is a function of the texts alone: two builds give the same ids, also with the lines in another order.

`for_translation` makes a translator's tokenizer of one: each text ends in `<eos>`, padding is on the right. As it
appends that token itself, a literal `<eos>` is text everywhere.
`build_pair_tokenizer` gives sources and targets vocabularies of their own.

Texts are strings without lone surrogates. Where `"\\r\\n"` shall survive, open files with `newline=""`.
"""

import copy
import json
import re
import string
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from .models.given_texts import each_checked
from .models.keys import one_of
from .models.tokenization_pairs import PairTokenizer
from .models.tokenization_rnn import NEVER, RnnTokenizer, end_token, whole_offsets, without_end_token
from .models.tokenization_words import WordCharacterTokenizer, whole_words

# The id of a special token is its place here.
SPECIAL_TOKENS = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}

UNITS = ["char", "word", "wordpunct", "keras"]  # how texts are cut by `tokenizer_of_vocabulary`

PIECE_CHARACTERS = 1 << 14  # a backend token costs about 100 bytes: pieces in work, not whole texts, set the memory
BATCH_PIECES = 64

LEAST_BYTE_VOCABULARY = len(SPECIAL_TOKENS) + 256
NO_BYTE = "\ue000"  # stands for no byte in the byte-level spelling of words
MAX_PIECE_BYTES = 48  # of a unigram piece: 16 characters of an Indic script; the library's own 16 bytes are five
DROPPED_BYTES = 256 * 0.0001  # the library scores bytes without a share by the least score and up to so much more

# What the backend's WhitespaceSplit calls a word. Python's own notion of white space has four characters more.
WORD = re.compile(r"[\S\x1c-\x1f]+")

# GPT-2's pieces, with two changes. A combining sign stays with its letter (GPT-2's pattern cuts Devanagari at every
# vowel sign), joiners too. A line end closes its piece, with the blanks before it.
BYTE_PIECE = (
    r"['\x{2019}](?:s|t|re|ve|m|ll|d)(?![\p{L}\p{M}])"
    r"| ?[\p{L}\p{M}\x{200C}\x{200D}]+"
    r"| ?\p{N}+"
    r"| ?[^\s\p{L}\p{M}\p{N}\x{200C}\x{200D}]+"
    r"|[^\S\n]*\n"
    r"|[^\S\n]+(?!\S)"
    r"|[^\S\n]+"
)


# What a tagger takes for one word of raw text; the first alternative that fits counts.
TAGGED_WORD = (
    r"(?:https?://|www\.)[^\s<>\"]*[\p{L}\p{N}/]"  # web addresses
    r"|[\p{L}\p{N}._%+-]+@[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)+"  # electronic mail
    r"|[@#][\p{L}\p{M}\p{N}_]+"  # names and topics in messages
    r"|(?:\p{L}\.){2,}"  # U.S.
    r"|\p{N}+(?:[.,:/-]\p{N}+)*"  # 1,000.5, 1996-08-22, 3/4
    r"|['\x{2019}]\p{L}{1,2}(?![\p{L}\p{M}])"  # 's, 'll
    r"|[\p{L}\p{M}\p{N}\x{200C}\x{200D}]+"  # words, with what stands inside of them: Franco-German, O'Brien, AT&T
    r"(?:(?:[-&.]|['\x{2019}](?=\p{L}{3}))[\p{L}\p{M}\p{N}\x{200C}\x{200D}]+)*"
    r"|([.!?*=_-])\1+"  # ..., !!!
    r"|[^\s\p{Cc}\p{Cf}]"  # any other character one sees
)


# A word with the apostrophes inside of it, or one sign; what is neither (white space, controls, lone joiners) is left
# out. Skin tones, selectors and further emoji after a joiner belong to their emoji; two halves of a flag are one sign.
WORD_OR_SIGN = (
    r"[\p{L}\p{M}\p{N}][\p{L}\p{M}\p{N}\x{200C}\x{200D}]*"
    r"(?:['\x{2019}](?=[\p{L}\p{M}])[\p{L}\p{M}\p{N}\x{200C}\x{200D}]+)*"
    r"|[\x{1F1E6}-\x{1F1FF}]{2}"
    r"|[^\s\p{Cc}\p{Cf}](?:[\p{M}\x{1F3FB}-\x{1F3FF}]|\x{200D}[^\s\p{L}\p{M}\p{N}\p{Cc}\p{Cf}])*"
)

# What `clean_markup` puts for what, in this order: entities after tags, as `&lt;` begins none, and `&amp;` last, as it
# may stand before the name of another. No pattern reaches over a line end, and each is linear in the text.
MARKUP = (
    (r"<!--(?:(?!<!--|-->)[^\n])*-->|</?[A-Za-z][A-Za-z0-9:-]*(?:[^\S\n][^<>\n]*)?/?>", " "),
    (r"[^\P{Cc}\t\n\r]|&(?:nbsp|#0*160|#[xX]0*[aA]0);", " "),
    (r"&(?:lt|#0*60|#[xX]0*3[cC]);", "<"),
    (r"&(?:gt|#0*62|#[xX]0*3[eE]);", ">"),
    (r"&(?:quot|#0*34|#[xX]0*22);", '"'),
    (r"&(?:apos|#0*39|#[xX]0*27);", "'"),
    (r"&(?:amp|#0*38|#[xX]0*26);", "&"),
)


def build_char_tokenizer(
    texts: Iterable[str], *, unicode_normalization: str | None = "NFC", min_frequency: int = 1
) -> RnnTokenizer:
    """Builds a tokenizer with one token for each Unicode code point: letters, combining signs, blanks, parts of emoji.

    With `unicode_normalization="NFC"` (Unicode Standard Annex 15), `decode(encode(text))` is the NFC form of `text`;
    with `None` it is `text` itself, to the byte. NFC makes "é" one character however it was typed, and takes some
    Devanagari letters apart (U+0958 becomes U+0915 U+093C). A character not in the vocabulary becomes one `<unk>`.

    The ids are those of the special tokens, then the characters by code point.

    Args:
        texts: Pieces of text, cut anywhere; they are counted as if joined.
        unicode_normalization: `"NFC"`, or `None` (also the string `"none"`) to leave texts as they are.
        min_frequency: How often a character has to occur to be in the vocabulary; at least 1.

    Raises:
        ValueError: if there is no text, no character is frequent enough, or an argument is out of its range.
    """
    _check_at_least("min_frequency", min_frequency, 1)
    normalizer = text_normalizer(unicode_normalization)
    counts: Counter[str] = Counter()
    # Whole lines, because a combining sign at the head of a piece would compose with the end of the piece before.
    for piece in cut_at_line_ends(texts):
        counts.update(normalizer.normalize_str(piece) if normalizer else piece)
    characters = sorted(character for character, count in counts.items() if count >= min_frequency)
    _check_found("character", counts, characters, min_frequency)

    return _finish(_char_backend(_vocabulary(characters), normalizer))


def build_word_tokenizer(
    texts: Iterable[str], *, min_frequency: int = 1, max_vocab_size: int | None = None
) -> RnnTokenizer:
    r"""Builds a tokenizer with one token for each word between white space, and `<eos>` at each line end.

    This is how word-level perplexities on Penn Treebank and WikiText are counted (Merity et al., "Pointer Sentinel
    Mixture Models", 2016, section 4): each `"\n"` is one `<eos>`, also that of a blank line. A last line without `"\n"`
    has no `<eos>`, so that a prompt can be continued. The words `<unk>` and `<eos>` in a text are those tokens; the
    words `<pad>` and `<bos>` are unknown words.

    The ids are those of the special tokens, then the words by falling frequency, ties by code points.

    `decode` joins words by single blanks and writes `<eos>` as a line end without blanks around it. So line ends and
    known words come back, and `encode(decode(ids)) == ids` for ids that came from a text. What does not come back:
    the amount and kind of other white space (`"\r"` and form feeds included), blanks at either end of a line, and
    words that became `<unk>`. `skip_special_tokens=True` drops `<eos>` and `<unk>` without a trace: decode without it.

    Args:
        texts: Texts; each is read on its own, so a word cannot reach into the next one. Chunks of a file that were
            cut anywhere go through `cut_at_line_ends` first.
        min_frequency: How often a word has to occur to be in the vocabulary; at least 1.
        max_vocab_size: Greatest number of ids, the four special tokens included; at least 5. `None`: no limit.

    Raises:
        ValueError: if there is no word, no word is frequent enough, or an argument is out of its range.
    """
    _check_at_least("min_frequency", min_frequency, 1)
    if max_vocab_size is not None:
        _check_at_least("max_vocab_size", max_vocab_size, len(SPECIAL_TOKENS) + 1)
    counts: Counter[str] = Counter()
    for text in each_checked(texts):
        for piece in cut_at_line_ends([text]):
            counts.update(WORD.findall(piece))
    for token in SPECIAL_TOKENS.values():
        del counts[token]  # a Counter has no objection to deleting what it lacks
    words = sorted((word for word, count in counts.items() if count >= min_frequency), key=lambda w: (-counts[w], w))
    _check_found("word", counts, words, min_frequency)
    if max_vocab_size is not None:
        words = words[: max_vocab_size - len(SPECIAL_TOKENS)]

    return _finish(_word_backend(_vocabulary(words)))


def build_wordpunct_tokenizer(
    texts: Iterable[str],
    *,
    fold_case: bool = False,
    clean_markup: bool = False,
    unicode_normalization: str | None = "NFC",
    min_frequency: int = 1,
    max_vocab_size: int | None = None,
) -> RnnTokenizer:
    """Builds a tokenizer with one token for each word and for each sign between words, as classifiers read texts.

    A word is a run of letters, numbers and combining signs of any script, with the joiners U+200C and U+200D and the
    apostrophes inside of it ("don't" is one word). Every other character one can see is a token of its own:
    punctuation, symbols, emoji (with skin tone, selector and what is joined to it). White space, line ends, control
    characters (NUL among them) and invisible ones between words are left out. A word not in the vocabulary becomes
    `<unk>`. A special token spelled out in a text is cut like any other text.

    The ids are those of the special tokens, then the words and signs by falling frequency, ties by code points.
    `decode` joins them by single blanks.

    With `clean_markup` the tokenizer itself reads HTML as its reader would, so that a pipeline on raw text does too.
    Within a line, tags and comments become blanks, and so do control characters but tab and line ends; the entities
    `&amp; &lt; &gt; &quot; &apos; &#39; &nbsp;`, also by their numbers, become their characters. Offsets point into the
    text as it was given.

    Args:
        texts: Texts; each is read on its own.
        fold_case: whether upper and lower case are the same.
        clean_markup: whether HTML is read as its reader sees it.
        unicode_normalization: `"NFC"`, or `None` (also the string `"none"`) to leave texts as they are.
        min_frequency: How often a word or sign has to occur to be in the vocabulary; at least 1.
        max_vocab_size: Greatest number of ids, the four special tokens included; at least 5. `None`: no limit.

    Raises:
        ValueError: if there is no word, no word is frequent enough, or an argument is out of its range.
    """
    _check_at_least("min_frequency", min_frequency, 1)
    if max_vocab_size is not None:
        _check_at_least("max_vocab_size", max_vocab_size, len(SPECIAL_TOKENS) + 1)
    normalizer = text_normalizer(unicode_normalization, fold_case, clean_markup)
    cut = _words_and_signs()
    counts: Counter[str] = Counter()
    for text in each_checked(texts):
        for piece in cut_at_line_ends([text]):
            piece = normalizer.normalize_str(piece) if normalizer else piece
            counts.update(word for word, _ in cut.pre_tokenize_str(piece))
    words = sorted((word for word, count in counts.items() if count >= min_frequency), key=lambda w: (-counts[w], w))
    _check_found("word", counts, words, min_frequency)
    if max_vocab_size is not None:
        words = words[: max_vocab_size - len(SPECIAL_TOKENS)]

    eos = SPECIAL_TOKENS["eos_token"]
    reading = text_normalizer(unicode_normalization, fold_case, clean_markup, eos)
    return _finish(_wordpunct_backend(_vocabulary(words), reading))


def build_word_character_tokenizer(
    sentences: Iterable[Iterable[str]],
    *,
    lowercase: bool = True,
    digits_to_zero: bool = True,
    min_frequency: int = 1,
    max_vocab_size: int | None = None,
    max_word_length: int = 20,
) -> WordCharacterTokenizer:
    """Builds a tokenizer for tagged words: an id for each word, and the characters it is spelled with.

    Words are looked up in NFC, lower-cased and with every digit as 0 unless told otherwise, as is usual for taggers;
    their characters are those of the text (Ma and Hovy 2016, section 4.3). Raw text is cut at white space, before and
    after punctuation, and before an apostrophe with up to two letters ("'s"); numbers, abbreviations with inner points,
    words with hyphens, web addresses and the like stay whole. Padding is on the right.

    The ids are those of the special tokens, then the words by falling frequency, ties by code points.

    Args:
        sentences: each a list of words.
        lowercase: whether words are looked up without their case.
        digits_to_zero: whether words are looked up with each digit as 0.
        min_frequency: how often a word has to occur to have an id of its own; at least 1.
        max_vocab_size: greatest number of ids, the four special tokens included; at least 5. `None`: no limit.
        max_word_length: characters of a word that are read; of a longer one its beginning and its end.

    Raises:
        ValueError: if there is no word, no word is frequent enough, or an argument is out of its range.
    """
    _check_at_least("min_frequency", min_frequency, 1)
    _check_at_least("max_word_length", max_word_length, 1)
    if max_vocab_size is not None:
        _check_at_least("max_vocab_size", max_vocab_size, len(SPECIAL_TOKENS) + 1)
    steps: list[normalizers.Normalizer] = [normalizers.NFC()]
    if lowercase:
        steps.append(normalizers.Lowercase())
    if digits_to_zero:
        steps.append(normalizers.Replace(Regex(r"\p{Nd}"), "0"))
    normalizer = normalizers.Sequence(steps)
    spelled: Counter[str] = Counter()
    for sentence in sentences:
        spelled.update(each_checked(sentence))
    counts: Counter[str] = Counter()
    for word, count in spelled.items():
        counts[normalizer.normalize_str(word)] += count
    for token in ("", *SPECIAL_TOKENS.values()):
        del counts[token]
    words = sorted((word for word, count in counts.items() if count >= min_frequency), key=lambda w: (-counts[w], w))
    _check_found("word", counts, words, min_frequency)
    if max_vocab_size is not None:
        words = words[: max_vocab_size - len(SPECIAL_TOKENS)]

    backend = Tokenizer(models.WordLevel(_vocabulary(words), unk_token=SPECIAL_TOKENS["unk_token"]))
    backend.normalizer = normalizer
    pattern = f"{end_token(SPECIAL_TOKENS['eos_token'])}|{TAGGED_WORD}"
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return _finish_spelling(backend, set().union(*spelled), max_word_length)


def with_spelling(
    tokenizer: PreTrainedTokenizerFast, texts: Iterable[str], *, max_word_length: int = 20
) -> WordCharacterTokenizer:
    """A tokenizer of whole words that also gives the characters of each word, as they stand in the text.

    Words and ids are those of `tokenizer`; it is not changed. Padding is on the right.

    Args:
        tokenizer: of whole words, as those of `build_word_tokenizer` and `build_wordpunct_tokenizer`.
        texts: in which the characters are that have an id of their own, the training texts.
        max_word_length: characters of a word that are read; of a longer one its beginning and its end.

    Raises:
        ValueError: for a tokenizer of characters or pieces, or a `max_word_length` below 1.
    """
    _check_at_least("max_word_length", max_word_length, 1)
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    if not isinstance(backend.model, models.WordLevel) and not isinstance(tokenizer, WordCharacterTokenizer):
        raise ValueError("tokenizer: its tokens are no words, whose spelling could be read")
    found: set[str] = set()
    for text in each_checked(texts):
        found.update(text)
    characters = {character for character in found if not character.isspace()}
    return _finish_spelling(backend, characters, max_word_length, tokenizer.special_tokens_map)


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
    _check_at_least("vocab_size", vocab_size, LEAST_BYTE_VOCABULARY)
    _check_at_least("min_frequency", min_frequency, 1)
    backend = _byte_backend(models.BPE(), text_normalizer(unicode_normalization, fold_case, clean_markup))
    trainer = trainers.BpeTrainer(min_frequency=min_frequency, **_byte_options(vocab_size))
    backend.train_from_iterator(_lines(texts), trainer)
    # Each token that was learnt is what its own merges give, so that this changes nothing but the end token.
    backend.model.ignore_merges = True
    return _finish(_reading_end_token(backend, unicode_normalization, fold_case, clean_markup))


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
    _check_at_least("vocab_size", vocab_size, LEAST_BYTE_VOCABULARY)
    special, unk = list(SPECIAL_TOKENS.values()), SPECIAL_TOKENS["unk_token"]
    options = _byte_options(vocab_size + 1)
    backend = _byte_backend(models.Unigram(), text_normalizer(unicode_normalization, fold_case, clean_markup))
    words: Counter[str] = Counter()
    for line in _lines(texts):
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
    return _finish(_reading_end_token(backend, unicode_normalization, fold_case, clean_markup))


TOKENIZER_BUILDERS: dict[str, Callable[..., RnnTokenizer]] = {
    "char": build_char_tokenizer,
    "word": build_word_tokenizer,
    "wordpunct": build_wordpunct_tokenizer,
    "bpe": build_bpe_tokenizer,
    "unigram": build_unigram_tokenizer,
}


def for_translation(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """A copy of a tokenizer of this module that suits an encoder-decoder, for source and target alike.

    `tokenizer(text)` and `tokenizer(text_target=text)` end in `<eos>`, as Marian's and T5's do, unless told
    `add_special_tokens=False`; so a literal `<eos>` is text, also at the end; padding is on the right.
    """
    tokenizer = copy.deepcopy(tokenizer)
    eos = tokenizer.eos_token
    tokenizer._tokenizer = without_end_token(tokenizer.backend_tokenizer, eos)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {eos}", pair=f"$A $B {eos}", special_tokens=[(eos, tokenizer.eos_token_id)]
    )
    tokenizer.padding_side = "right"
    return tokenizer


def build_pair_tokenizer(
    source_texts: Iterable[str], target_texts: Iterable[str], builder: str = "char", **options
) -> PairTokenizer:
    """Builds a tokenizer whose sources and targets have vocabularies of their own, as for transliteration.

    Both sides end in `<eos>` and are padded on the right (see `for_translation`).

    Args:
        source_texts, target_texts: what each vocabulary is made from.
        builder: a name in `TOKENIZER_BUILDERS`, for both sides.
        options: of that builder, for both sides.

    Raises:
        ValueError: for an unknown builder, or what the builder refuses; the sentence names the side.
    """
    one_of("builder", builder, list(TOKENIZER_BUILDERS))
    sides = []
    for side, texts in (("source", source_texts), ("target", target_texts)):
        try:
            sides.append(for_translation(TOKENIZER_BUILDERS[builder](texts, **options)))
        except ValueError as error:
            raise ValueError(f"{side} side: {error}") from error
    return PairTokenizer.of(*sides)


def cut_at_line_ends(texts: Iterable[str], min_characters: int = PIECE_CHARACTERS) -> Iterator[str]:
    r"""Cuts a stream of text anew: pieces of whole lines, the shortest with at least `min_characters` characters.

    `"".join(cut_at_line_ends(texts)) == "".join(texts)`. Every piece but the last ends in `"\n"`, none is empty; a text
    without line ends is one piece.

    Args:
        texts: Pieces of one text, cut anywhere.
        min_characters: Characters a piece has at least, the last one excepted.

    Raises:
        ValueError: if `texts` is a string, or has an item that is none, or a lone surrogate.
    """
    held: list[str] = []  # not yet yielded
    length = 0
    for text in each_checked(texts):
        start = 0
        while len(text) - start + length >= min_characters:
            cut = text.find("\n", start + max(min_characters - length - 1, 0)) + 1
            if cut == 0:
                break
            yield "".join([*held, text[start:cut]])
            held, length, start = [], 0, cut
        if start < len(text):
            held.append(text[start:])
            length += len(text) - start
    if held:
        yield "".join(held)


def encode_stream(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> torch.Tensor:
    r"""Encodes a text of any length, piece by piece, on all cores: the ids of one encode of `"".join(texts)`.

    Nothing is put between the texts: documents that shall be apart end in `"\n"` (or in more). The text is cut at line
    ends only, so the memory on top of the result stays small if there are some; a text without any is encoded at once.

    Args:
        tokenizer: One that a builder of this module made, or that was loaded from its files. With others, tokens that
            reach over a line end would differ from those of one encode.
        texts: Pieces of one text, cut anywhere.

    Returns:
        Ids, shape (number of tokens,), int32: half the memory of int64, and enough for any vocabulary. Embeddings take
        it as it is; labels of a loss have to be int64, so batches are converted, not the stream.

    Raises:
        ValueError: if `texts` is a string, or has an item that is none, or a lone surrogate.
    """
    backend = tokenizer.backend_tokenizer
    # A padded call of the tokenizer leaves its settings behind in the backend, so each use has to set its own.
    backend.no_padding()
    backend.no_truncation()
    backend.encode_special_tokens = tokenizer.split_special_tokens
    ids = array("i")
    pieces = cut_at_line_ends(texts)
    while batch := list(islice(pieces, BATCH_PIECES)):
        for encoding in backend.encode_batch_fast(batch, add_special_tokens=False):
            ids.extend(encoding.ids)
    # The tensor lives in the array's memory; an empty array has none.
    return torch.frombuffer(ids, dtype=torch.int32) if ids else torch.empty(0, dtype=torch.int32)


def text_normalizer(
    unicode_normalization: str | None,
    fold_case: bool = False,
    clean_markup: bool = False,
    eos: str | None = None,
) -> normalizers.Normalizer | None:
    """What the builders' options of these names do to a text before it is cut; `None` where that is nothing.

    Args:
        eos: the token that is no markup at the end of a text; `None`: there is none.

    Raises:
        ValueError: for an unknown `unicode_normalization`.
    """
    name = "none" if unicode_normalization is None else str(unicode_normalization)
    one_of("unicode_normalization", name, ["NFC", "none"])
    steps: list[normalizers.Normalizer] = []
    if clean_markup:
        kept = "" if eos is None else rf"(?!{end_token(eos)})"
        steps += [normalizers.Replace(Regex(f"{kept}(?:{pattern})"), content) for pattern, content in MARKUP[:1]]
        steps += [normalizers.Replace(Regex(pattern), content) for pattern, content in MARKUP[1:]]
    if fold_case:  # before NFC, as a lower-case letter may compose where its upper-case one does not
        steps.append(normalizers.Lowercase())
    if name == "NFC":
        steps.append(normalizers.NFC())
    if len(steps) < 2:
        return steps[0] if steps else None
    return normalizers.Sequence(steps)


def unknown_characters(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    """The distinct characters of `text` (words, for a word tokenizer) that become `<unk>`, in order of appearance.

    They are given as they stand in `text`, before normalization. A word tokenizer's literal `<unk>` is known.
    """
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    spans = zip(encoding["input_ids"], whole_offsets(tokenizer, text, encoding["offset_mapping"]), strict=True)
    unknown = dict.fromkeys(text[start:end] for token, (start, end) in spans if token == tokenizer.unk_token_id)
    return [piece for piece in unknown if piece != tokenizer.unk_token]


def _vocabulary(tokens: list[str]) -> dict[str, int]:
    return {token: index for index, token in enumerate([*SPECIAL_TOKENS.values(), *tokens])}


def tokenizer_of_vocabulary(
    vocabulary: dict[str, int], unit: str, special_tokens: dict[str, str], *, line_ends: bool, fold_case: bool = False
) -> RnnTokenizer:
    """A tokenizer with the ids of somebody else's vocabulary.

    Args:
        vocabulary: of each token its id, special tokens included.
        unit: how texts are cut: `"char"`, `"word"` and `"wordpunct"` as by the builders, texts as they are; `"keras"`
            as by Keras's `TextVectorization`: in lower case, without ASCII punctuation, at white space.
        special_tokens: the four of `SPECIAL_TOKENS`, each by its name in the vocabulary.
        line_ends: whether a line end is the token that ends a text, for `"word"`.
        fold_case: whether texts are read in lower case.

    Raises:
        ValueError: for an unknown unit.
    """
    one_of("unit", unit, UNITS)
    steps: list[normalizers.Normalizer] = [normalizers.Lowercase()] if fold_case or unit == "keras" else []
    if unit == "char":
        backend = _char_backend(vocabulary, steps[0] if steps else None, special_tokens)
    elif unit == "wordpunct":
        backend = _wordpunct_backend(vocabulary, steps[0] if steps else None, special_tokens)
    else:
        if unit == "keras":
            steps.append(normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""))
        backend = _word_backend(vocabulary, special_tokens, line_ends, steps)
    return _finish(backend, special_tokens)


def _char_backend(
    vocabulary: dict[str, int],
    normalizer: normalizers.Normalizer | None,
    special_tokens: dict[str, str] = SPECIAL_TOKENS,
) -> Tokenizer:
    # BPE without merges is the backend's fastest way to single characters: no regular expression, no piece for each.
    # A piece that is in the vocabulary is its token: so shall be the end token, but not a text that is the name of one.
    unk, eos = special_tokens["unk_token"], special_tokens["eos_token"]
    backend = Tokenizer(models.BPE(vocabulary, [], unk_token=unk, fuse_unk=False, ignore_merges=True))
    if normalizer:
        backend.normalizer = normalizer
    names = [token for token in vocabulary if len(token) > 1]
    cut = [rf"{re.escape(name[0])}(?={re.escape(name[1:])}(?:{re.escape(eos)})?\z)" for name in names]
    pieces = Regex(rf"{end_token(eos)}|\A(?:{'|'.join(cut) or NEVER})")
    backend.pre_tokenizer = pre_tokenizers.Split(pieces, "isolated")
    backend.decoder = decoders.Fuse()
    return backend


def _word_backend(
    vocabulary: dict[str, int],
    special_tokens: dict[str, str] = SPECIAL_TOKENS,
    line_ends: bool = True,
    steps: Sequence[normalizers.Normalizer] = (),
) -> Tokenizer:
    pad, bos, eos, unk = (special_tokens[name] for name in SPECIAL_TOKENS)
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=unk))
    # A word of a text must not pass for padding or for the begin of a text. Only its first character is replaced, so
    # that offsets still span the word.
    ends = rf"(?:(?!\S)|{end_token(eos)})"
    not_words = [rf"{re.escape(token[0])}(?={re.escape(token[1:])}{ends})" for token in (pad, bos)]
    guarded = [normalizers.Replace(Regex(rf"(?<!\S)(?:{'|'.join(not_words)})"), "\ufffd")]
    if line_ends:
        guarded.append(normalizers.Replace("\n", f" {eos} "))
    backend.normalizer = normalizers.Sequence([*steps, *guarded])
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(end_token(eos)), "isolated"), pre_tokenizers.WhitespaceSplit()]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace(Regex(rf"\A{re.escape(eos)}\z"), "\n"),  # the token, not a word that contains its name
            decoders.WordPiece(prefix="\n\n", cleanup=False),  # a blank before each token; no token has this prefix
            decoders.Fuse(),
            decoders.Replace(Regex(r" ?\n ?"), "\n"),
        ]
    )
    return backend


def _words_and_signs(eos: str | None = None) -> pre_tokenizers.PreTokenizer:
    """The cut into words and signs; with `eos` that token at the end of a text is a piece, too."""
    pattern = WORD_OR_SIGN
    if eos is not None:
        joiner = r"\x{200D}"  # after an emoji; what it joins is no end token
        pattern = f"{end_token(eos)}|{pattern.replace(f'|{joiner}', f'|{joiner}(?!{end_token(eos)})')}"
    return pre_tokenizers.Split(Regex(pattern), "removed", invert=True)


def _wordpunct_backend(
    vocabulary: dict[str, int],
    normalizer: normalizers.Normalizer | None,
    special_tokens: dict[str, str] = SPECIAL_TOKENS,
) -> Tokenizer:
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=special_tokens["unk_token"]))
    if normalizer:
        backend.normalizer = normalizer
    backend.pre_tokenizer = _words_and_signs(special_tokens["eos_token"])
    return backend


def _finish(backend: Tokenizer, special_tokens: dict[str, str] = SPECIAL_TOKENS) -> RnnTokenizer:
    return RnnTokenizer(
        tokenizer_object=backend,
        **special_tokens,
        split_special_tokens=True,
        clean_up_tokenization_spaces=False,
        padding_side="left",  # generation continues at the right end of a row
        model_input_names=["input_ids", "attention_mask"],
    )


def _finish_spelling(
    backend: Tokenizer, characters: set[str], max_word_length: int, special_tokens: dict[str, str] = SPECIAL_TOKENS
) -> WordCharacterTokenizer:
    backend.model = whole_words(backend)
    return WordCharacterTokenizer(
        tokenizer_object=backend,
        **special_tokens,
        split_special_tokens=True,
        clean_up_tokenization_spaces=False,
        padding_side="right",
        characters="".join(sorted(characters)),
        max_word_length=max_word_length,
    )


def _byte_backend(model: models.Model, normalizer: normalizers.Normalizer | None) -> Tokenizer:
    """A backend that gives its model the bytes of one word at a time."""
    backend = Tokenizer(model)
    if normalizer:
        backend.normalizer = normalizer
    backend.pre_tokenizer = _byte_pieces()
    backend.decoder = decoders.ByteLevel()
    return backend


def _byte_pieces(eos: str | None = None) -> pre_tokenizers.PreTokenizer:
    """The cut into words, as bytes; with `eos` that token at the end of a text is a piece, too."""
    pattern = BYTE_PIECE
    if eos is not None:
        signs = r"[^\s\p{L}\p{M}\p{N}\x{200C}\x{200D}]"
        pattern = f"{end_token(eos)}|{pattern.replace(f'{signs}+', f'(?:(?!{end_token(eos)}){signs})+')}"
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _reading_end_token(
    backend: Tokenizer, unicode_normalization: str | None, fold_case: bool, clean_markup: bool
) -> Tokenizer:
    """A trained byte-level backend that reads the end token at the end of a text; training has no such token."""
    eos = SPECIAL_TOKENS["eos_token"]
    if clean_markup:
        backend.normalizer = text_normalizer(unicode_normalization, fold_case, clean_markup, eos)
    backend.pre_tokenizer = _byte_pieces(eos)
    return backend


def _byte_options(vocab_size: int) -> dict[str, Any]:
    """What trainers of byte-level models have in common: all 256 bytes are in the vocabulary."""
    return {
        "vocab_size": vocab_size,
        "special_tokens": list(SPECIAL_TOKENS.values()),
        "initial_alphabet": sorted(pre_tokenizers.ByteLevel.alphabet()),
        "show_progress": False,
    }


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """Pieces of whole lines of each text.

    Raises:
        ValueError: if there is no character in them, or what `cut_at_line_ends` refuses.
    """
    pieces = (piece for text in each_checked(texts) for piece in cut_at_line_ends([text]))
    first = next(pieces, None)
    if first is None:
        raise ValueError("texts: no character in them; give at least one text that is not empty")
    return chain([first], pieces)


def _check_at_least(name: str, given: int, least: int) -> None:
    if given < least:
        raise ValueError(f"{name}={given}: must be at least {least}")


def _check_found(unit: str, counts: Counter[str], kept: list[str], min_frequency: int) -> None:
    if not counts:
        raise ValueError(f"texts: no {unit} in them; give at least one text that has some")
    if not kept:
        most = max(counts.values())
        raise ValueError(f"min_frequency={min_frequency}: no {unit} is that frequent; must be at most {most}")
