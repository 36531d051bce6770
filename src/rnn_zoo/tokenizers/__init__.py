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

from .bpe import build_bpe_tokenizer
from .builders import TOKENIZER_BUILDERS
from .characters import build_char_tokenizer
from .encoding import encode_stream
from .language_pairs import build_pair_tokenizer, for_translation
from .spelled_words import build_word_character_tokenizer, with_spelling
from .unigram import build_unigram_tokenizer
from .wordpunct import build_wordpunct_tokenizer
from .words import build_word_tokenizer

__all__ = [
    "TOKENIZER_BUILDERS",
    "build_bpe_tokenizer",
    "build_char_tokenizer",
    "build_pair_tokenizer",
    "build_unigram_tokenizer",
    "build_word_character_tokenizer",
    "build_word_tokenizer",
    "build_wordpunct_tokenizer",
    "encode_stream",
    "for_translation",
    "with_spelling",
]
