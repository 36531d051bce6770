"""Words and signs as tokens, folded case, and HTML as its reader sees it."""

import pytest
from command_line import without_package
from transformers import AutoTokenizer

from rnn_zoo.tokenizers import TOKENIZER_BUILDERS, build_wordpunct_tokenizer
from rnn_zoo.tokenizers.vocabulary import SPECIAL_TOKENS

FAMILY = "👩\u200d👩\u200d👧"
CUTS = {
    "It's a well-made film, isn't it?": ["It's", "a", "well", "-", "made", "film", ",", "isn't", "it", "?"],
    "Rock ’n’ roll… ‘90s 3.5/10!!": [
        "Rock",
        "’",
        "n",
        "’",
        "roll",
        "…",
        "‘",
        "90s",
        "3",
        ".",
        "5",
        "/",
        "10",
        "!",
        "!",
    ],
    "हा चित्रपट खूप सुंदर आहे।": ["हा", "चित्रपट", "खूप", "सुंदर", "आहे", "।"],
    "राष्ट्र\u200dहरू क्\u200cष": ["राष्ट्र\u200dहरू", "क्\u200cष"],
    f"😀👍🏽 {FAMILY}❤\ufe0f🇳🇵": ["😀", "👍🏽", FAMILY, "❤\ufe0f", "🇳🇵"],
    "a\x00b\x07 \u200b c\r\nd": ["a", "b", "c", "d"],
    "<s> <unk>": ["<", "s", ">", "<", "unk", ">"],
    "": [],
    " \n\t": [],
}
MARKUP = {
    "Fine.<br /><br />Really": ["Fine", ".", "Really"],
    "a <b class='x y'>bold</b> word": ["a", "bold", "word"],
    "x<!-- a <b>comment</b> -->y": ["x", "y"],
    "Tom &amp; Jerry&#39;s &quot;fun&quot;&nbsp;&lt;3": ["Tom", "&", "Jerry's", '"', "fun", '"', "<", "3"],
    "&amp;lt; is not a tag": ["&", "lt", ";", "is", "not", "a", "tag"],
    "1 < 2 and 3 > 2": ["1", "<", "2", "and", "3", ">", "2"],
    "an open <br": ["an", "open", "<", "br"],
    "I <3 it": ["I", "<", "3", "it"],
    "a\x00b": ["a", "b"],
}


def tokens(tokenizer, text: str) -> list[str]:
    return tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("text", CUTS)
def test_words_and_signs(text):
    tokenizer = build_wordpunct_tokenizer([*CUTS, *MARKUP])
    assert tokens(tokenizer, text) == CUTS[text]


@pytest.mark.parametrize("text", MARKUP)
def test_html_is_read_as_its_reader_sees_it(text):
    tokenizer = build_wordpunct_tokenizer([*CUTS, *MARKUP], clean_markup=True)
    assert tokens(tokenizer, text) == MARKUP[text]
    plain = build_wordpunct_tokenizer([*CUTS, *MARKUP])
    assert text in ("1 < 2 and 3 > 2", "an open <br", "I <3 it", "a\x00b") or tokens(plain, text) != MARKUP[text]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_pieces_of_markup_are_those_of_the_clean_text(kind):
    texts = ["Fine film, really a fine film.", "Tom & Jerry < 3", 'It is "fun"'] * 20
    tokenizer = TOKENIZER_BUILDERS[kind](texts, clean_markup=True, fold_case=True)
    for markup, clean in [
        ("<p>FINE film</p>", " fine film "),
        ("Tom &amp; Jerry &lt; 3", "tom & jerry < 3"),
        ("really<br/>fun", "really fun"),
    ]:
        assert tokens(tokenizer, markup) == tokens(tokenizer, clean)
        assert tokenizer.decode(tokenizer(markup)["input_ids"], skip_special_tokens=True) == clean


def test_offsets_point_into_the_raw_text():
    text = "<b>FINE</b> &amp; e\u0301te\u0301!"
    tokenizer = build_wordpunct_tokenizer(["fine & été !"], clean_markup=True, fold_case=True)
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    assert tokens(tokenizer, text) == ["fine", "&", "été", "!"]
    for (start, end), word in zip(offsets, ["FINE", "&amp;", "e\u0301te\u0301", "!"], strict=True):
        assert text.index(word) <= start < end <= text.index(word) + len(word)


def test_case_is_folded_only_if_asked_for():
    assert tokens(build_wordpunct_tokenizer(["Fine fine ÉTÉ"]), "Fine fine FINE") == ["Fine", "fine", "<unk>"]
    folded = build_wordpunct_tokenizer(["Fine fine ÉTÉ"], fold_case=True)
    assert tokens(folded, "Fine FINE été") == ["fine", "fine", "été"]
    assert len(folded) == len(SPECIAL_TOKENS) + 2


def test_the_vocabulary_is_sorted_by_frequency_and_cut():
    texts = ["b b b a a c c d", "e"]
    tokenizer = build_wordpunct_tokenizer(texts)
    assert tokenizer.convert_ids_to_tokens(range(4, 9)) == ["b", "a", "c", "d", "e"]
    assert len(build_wordpunct_tokenizer(texts, min_frequency=2)) == 4 + 3
    assert tokens(build_wordpunct_tokenizer(texts, max_vocab_size=6), "b a c") == ["b", "a", "<unk>"]
    for options, message in [
        ({"min_frequency": 9}, "min_frequency"),
        ({"min_frequency": 0}, "min_frequency"),
        ({"max_vocab_size": 4}, "max_vocab_size"),
    ]:
        with pytest.raises(ValueError, match=message):
            build_wordpunct_tokenizer(texts, **options)
    with pytest.raises(ValueError, match="word"):
        build_wordpunct_tokenizer(["", " \x00 "])


def test_a_long_text_of_open_brackets_takes_no_long_time():
    """The patterns are linear: quadratic ones would take minutes here."""
    text = "<a " * 100_000 + "<!--" * 100_000
    tokenizer = build_wordpunct_tokenizer(["<a - !"], clean_markup=True)
    assert len(tokenizer(text)["input_ids"]) == 2 * 100_000 + 4 * 100_000


@pytest.mark.ci
def test_files_alone_reproduce_it(tmp_path):
    build_wordpunct_tokenizer([*CUTS, *MARKUP], clean_markup=True, fold_case=True).save_pretrained(tmp_path)
    script = """
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=True)
import json
print("FOUND", json.dumps(tokenizer(sys.argv[2])["input_ids"]))
"""
    text = "<i>It's</i> FINE &amp; सुंदर 😀"
    assert (
        without_package(tmp_path, script, tmp_path, text) == AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"]
    )
