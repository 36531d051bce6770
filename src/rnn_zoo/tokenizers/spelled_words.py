"""Tokenizers of words that also give the characters of each word."""

from collections import Counter
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ..models.given_texts import each_checked
from ..models.tokenization_rnn import end_token
from ..models.tokenization_words import WordCharacterTokenizer, whole_words
from .vocabulary import SPECIAL_TOKENS, check_at_least, check_word_limits, counted, vocabulary_of_words

# What a tagger takes for one word of raw text; the first alternative that fits counts.
TAGGED_WORD = (
    r"(?:https?://|www\.)[^\s<>\"]*[\p{L}\p{N}/]"  # web addresses
    r"|[\p{L}\p{N}._%+-]+@[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)+"  # electronic mail
    r"|[@#][\p{L}\p{M}\p{N}_]+"  # names and topics in messages
    r"|(?:\p{L}\.){2,}"  # U.S.
    r"|\p{N}+(?:[.,:/-]\p{N}+)*"  # 1,000.5, 1996-08-22, 3/4
    r"|['\x{2019}]\p{L}{1,2}(?![\p{L}\p{M}])"  # 's, 'll
    r"|[nN]['\x{2019}][tT](?![\p{L}\p{M}])|\p{L}+(?=[nN]['\x{2019}][tT](?![\p{L}\p{M}]))"  # did n't
    r"|[\p{L}\p{M}\p{N}\x{200C}\x{200D}]+"  # words, with what stands inside of them: Franco-German, O'Brien, AT&T
    r"(?:(?:[-&.]|['\x{2019}](?=\p{L}{3}))[\p{L}\p{M}\p{N}\x{200C}\x{200D}]+)*"
    r"|([.!?*=_-])\1+"  # ..., !!!
    r"|[^\s\p{Cc}\p{Cf}]"  # any other character one sees
)


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
    after punctuation, before an apostrophe with up to two letters ("'s"), and before "n't"; numbers, abbreviations with
    inner points, words with hyphens, web addresses and the like stay whole. Padding is on the right.

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
    check_word_limits(min_frequency, max_vocab_size)
    check_at_least("max_word_length", max_word_length, 1)
    steps: list[normalizers.Normalizer] = [normalizers.NFC()]
    if lowercase:
        steps.append(normalizers.Lowercase())
    if digits_to_zero:
        steps.append(normalizers.Replace(Regex(r"\p{Nd}"), "0"))
    normalizer = normalizers.Sequence(steps)
    spelled = counted(sentences, "words", count_words)
    counts: Counter[str] = Counter()
    for word, count in spelled.items():
        counts[normalizer.normalize_str(word)] += count
    for token in ("", *SPECIAL_TOKENS.values()):
        del counts[token]
    vocabulary = vocabulary_of_words(counts, min_frequency, max_vocab_size)

    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL_TOKENS["unk_token"]))
    backend.normalizer = normalizer
    pattern = f"{end_token(SPECIAL_TOKENS['eos_token'])}|{TAGGED_WORD}"
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return spelling_tokenizer(backend, set().union(*spelled), max_word_length)


def count_words(sentences: Iterable[Iterable[str]]) -> Counter[str]:
    """How often each word stands in some sentences."""
    spelled: Counter[str] = Counter()
    for sentence in sentences:
        spelled.update(each_checked(sentence))
    return spelled


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
    check_at_least("max_word_length", max_word_length, 1)
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    if not isinstance(backend.model, models.WordLevel) and not isinstance(tokenizer, WordCharacterTokenizer):
        raise ValueError("tokenizer: its tokens are no words, whose spelling could be read")

    def count(texts: Iterable[str]) -> Counter[str]:
        found: set[str] = set()
        for text in each_checked(texts):
            found.update(text)
        return Counter(found)

    characters = {character for character in counted(texts, "letters", count) if not character.isspace()}
    return spelling_tokenizer(backend, characters, max_word_length, tokenizer.special_tokens_map)


def spelling_tokenizer(
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
