"""How texts are cut by the tokenizer of somebody else's vocabulary: known without the library of tokenizers."""

UNITS = ["char", "word", "wordpunct", "keras"]
