"""Tokenizers of words and of the signs between them."""

from collections import Counter
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from ..models.given_texts import each_checked
from ..models.tokenization_rnn import RnnTokenizer, end_token
from .normalization import text_normalizer
from .streams import cut_at_line_ends
from .vocabulary import SPECIAL_TOKENS, check_word_limits, counted, rnn_tokenizer, vocabulary_of_words

# A word with the apostrophes inside of it, or one sign; what is neither (white space, controls, lone joiners) is left
# out. Skin tones, selectors and further emoji after a joiner belong to their emoji; two halves of a flag are one sign.
WORD_OR_SIGN = (
    r"[\p{L}\p{M}\p{N}][\p{L}\p{M}\p{N}\x{200C}\x{200D}]*"
    r"(?:['\x{2019}](?=[\p{L}\p{M}])[\p{L}\p{M}\p{N}\x{200C}\x{200D}]+)*"
    r"|[\x{1F1E6}-\x{1F1FF}]{2}"
    r"|[^\s\p{Cc}\p{Cf}](?:[\p{M}\x{1F3FB}-\x{1F3FF}]|\x{200D}[^\s\p{L}\p{M}\p{N}\p{Cc}\p{Cf}])*"
)


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
    check_word_limits(min_frequency, max_vocab_size)
    normalizer = text_normalizer(unicode_normalization, fold_case, clean_markup)
    cut = words_and_signs()

    def count(texts: Iterable[str]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for text in each_checked(texts):
            for piece in cut_at_line_ends([text]):
                piece = normalizer.normalize_str(piece) if normalizer else piece
                counts.update(word for word, _ in cut.pre_tokenize_str(piece))
        return counts

    counts = counted(texts, f"words and signs-{unicode_normalization}-{fold_case}-{clean_markup}", count)
    vocabulary = vocabulary_of_words(counts, min_frequency, max_vocab_size)

    eos = SPECIAL_TOKENS["eos_token"]
    reading = text_normalizer(unicode_normalization, fold_case, clean_markup, eos)
    return rnn_tokenizer(wordpunct_backend(vocabulary, reading))


def words_and_signs(eos: str | None = None) -> pre_tokenizers.PreTokenizer:
    """The cut into words and signs; with `eos` that token at the end of a text is a piece, too."""
    pattern = WORD_OR_SIGN
    if eos is not None:
        joiner = r"\x{200D}"  # after an emoji; what it joins is no end token
        pattern = f"{end_token(eos)}|{pattern.replace(f'|{joiner}', f'|{joiner}(?!{end_token(eos)})')}"
    return pre_tokenizers.Split(Regex(pattern), "removed", invert=True)


def wordpunct_backend(
    vocabulary: dict[str, int],
    normalizer: normalizers.Normalizer | None,
    special_tokens: dict[str, str] = SPECIAL_TOKENS,
) -> Tokenizer:
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=special_tokens["unk_token"]))
    if normalizer:
        backend.normalizer = normalizer
    backend.pre_tokenizer = words_and_signs(special_tokens["eos_token"])
    return backend
