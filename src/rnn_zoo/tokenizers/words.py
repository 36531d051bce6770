"""Tokenizers of words between white space."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from ..models.given_texts import each_checked
from ..models.tokenization_rnn import RnnTokenizer, end_token
from .streams import cut_at_line_ends
from .vocabulary import SPECIAL_TOKENS, check_word_limits, counted, rnn_tokenizer, vocabulary_of_words

# What the backend's WhitespaceSplit calls a word. Python's own notion of white space has four characters more.
WORD = re.compile(r"[\S\x1c-\x1f]+")


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
    check_word_limits(min_frequency, max_vocab_size)

    def count(texts: Iterable[str]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for text in each_checked(texts):
            for piece in cut_at_line_ends([text]):
                counts.update(WORD.findall(piece))
        return counts

    counts = counted(texts, "words", count)
    for token in SPECIAL_TOKENS.values():
        del counts[token]  # a Counter has no objection to deleting what it lacks
    vocabulary = vocabulary_of_words(counts, min_frequency, max_vocab_size)

    return rnn_tokenizer(word_backend(vocabulary))


def word_backend(
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
