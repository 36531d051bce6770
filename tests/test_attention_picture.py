"""Pictures of attention: labels of pieces, weights of words, and the files, read back."""

import re
import sys
import warnings
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib import font_manager

from rnn_zoo.inspect import pictures
from rnn_zoo.inspect.attention import (
    AttentionMap,
    attention_figure,
    labels_of,
    merge_pieces,
    save_attention,
    words_of,
)
from rnn_zoo.inspect.pictures import visible
from rnn_zoo.tokenizers import build_bpe_tokenizer, build_char_tokenizer, build_word_tokenizer

BOS, EOS = 1, 2
SOURCE = ["The", "house", "&", " ", "<eos>"]
TARGET = ["Das", "$Haus$", "<eos>"]


def random_weights(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.ones(columns), rows)


def labels(ticks) -> list[str]:
    return [label.get_text() for label in ticks]


# ---- labels ----
@pytest.fixture(scope="module")
def bytes_tokenizer():
    """Byte-level pieces: nearly every letter that is not ASCII is cut into its bytes."""
    return build_bpe_tokenizer(["the house the house"], vocab_size=270)


def test_a_character_of_several_tokens_stands_on_the_first(bytes_tokenizer):
    ids = bytes_tokenizer("aé क्€")["input_ids"]
    assert len(ids) == 1 + 2 + 1 + 3 + 3 + 3
    expected = ["a", "é", "·", "␣", "क", "·", "·", "्", "·", "·", "€", "·", "·"]
    assert labels_of(bytes_tokenizer, ids) == expected
    assert labels_of(bytes_tokenizer, torch.tensor(ids)) == expected


def test_a_token_that_ends_one_character_and_begins_another():
    """Pieces cut as they are learnt from bytes: two and two of the six of two letters."""

    class TwoBytes:
        all_special_ids = ()

        def decode(self, ids, **_):
            return b"".join(["का".encode()[2 * id : 2 * id + 2] for id in ids]).decode(errors="replace")

    assert labels_of(TwoBytes(), [0, 1, 2]) == ["क", "ा", "·"]


def test_bytes_that_are_no_character_are_shown_as_such(bytes_tokenizer):
    e_acute = bytes_tokenizer("é")["input_ids"]
    ids = [e_acute[0], *bytes_tokenizer("a")["input_ids"], e_acute[0]]
    assert labels_of(bytes_tokenizer, ids) == ["\ufffd", "a", "\ufffd"]


def test_labels_without_marks_and_with_special_tokens(bytes_tokenizer):
    ids = [BOS, *bytes_tokenizer("the house\n")["input_ids"], EOS]
    assert labels_of(bytes_tokenizer, ids) == ["<bos>", "the", "house", "↵", "<eos>"]
    assert labels_of(bytes_tokenizer, []) == []


@pytest.mark.parametrize("build", [build_char_tokenizer, build_word_tokenizer, build_bpe_tokenizer])
def test_words_of_all_tokenizers(build):
    tokenizer = build(["the house the house the house the house the house"])
    ids = [BOS, *tokenizer("the house")["input_ids"], EOS]
    words, groups = words_of(tokenizer, ids)
    assert words == ["<bos>", "the", "house", "<eos>"]
    assert len(groups) == len(ids) == len(labels_of(tokenizer, ids))
    assert groups == sorted(groups)
    assert set(groups) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (" ", "␣"),
        ("  ", "␣␣"),
        ("\n", "↵"),
        ("\t", "⇥"),
        ("\u00a0", "U+00A0"),
        ("\u200d", "U+200D"),
        ("क\u094d\u200dष", "क\u094d\u200dष"),
        (" a b ", "a b"),
        ("a\nb", "a↵b"),
        ("\0", "U+0000"),
        ("\ud800", "U+D800"),
        ("␣", "␣"),
        ("", ""),
    ],
)
def test_what_would_not_be_seen_is_made_visible(label, expected):
    assert visible(label) == expected


# ---- words ----
def test_merged_weights_by_hand():
    weights = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.2, 0.2], [0.0, 0.0, 1.0, 0.0]]
    merged = merge_pieces(weights, [0, 0, 1], [0, 0, 1, None])
    np.testing.assert_allclose(merged, [[(0.3 + 0.6) / 2, (0.3 + 0.2) / 2, (0.4 + 0.2) / 2], [0.0, 1.0, 0.0]])


def test_merged_rows_still_sum_to_1():
    weights = random_weights(7, 9)
    merged = merge_pieces(torch.tensor(weights), [0, 1, 1, None, None, 2, 2], [4, 4, 4, 5, None, None, 6, 4, 4])
    assert merged.shape == (5, 6)
    np.testing.assert_allclose(merged.sum(1), 1)
    np.testing.assert_allclose(merge_pieces(weights, range(7), range(9)), weights)


def test_groups_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"weights of shape \(2, 3\) for 2 target and 4 source pieces"):
        merge_pieces(np.zeros((2, 3)), [0, 1], [0, 1, 2, 3])
    with pytest.raises(ValueError, match="at least one"):
        merge_pieces(np.zeros((0, 3)), [], [0, 1, 2])


# ---- arguments ----
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros((5, 3)), r"weights of shape \(5, 3\) for 3 target and 5 source labels: must be \(3, 5\)"),
        (np.zeros(5), r"weights of shape \(5,\)"),
        (np.full((3, 5), 1.5), "weights: 1.5 is among them"),
        (np.full((3, 5), -0.5), "weights: -0.5 is among them"),
        (np.full((3, 5), np.nan), "weights: nan is among them"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        attention_figure(weights, SOURCE, TARGET)


def test_other_wrong_arguments_are_named(tmp_path):
    one = AttentionMap(random_weights(3, 5), SOURCE, TARGET)
    with pytest.raises(ValueError, match=r"must end in one of \.html, \.png, \.svg, \.pdf, not '\.gif'"):
        save_attention(tmp_path / "a.gif", [one])
    with pytest.raises(ValueError, match="no maps"):
        save_attention(tmp_path / "a.png", [])
    with pytest.raises(ValueError, match=r"highest=0: must be in \(0, 1\]"):
        save_attention(tmp_path / "a.html", [one], highest=0)
    with pytest.raises(ValueError, match="there must be a source and a target label"):
        AttentionMap(np.zeros((0, 5)), SOURCE, [])
    assert not list(tmp_path.iterdir())


def test_a_picture_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_DOTS", 1000)
    with pytest.raises(ValueError, match=r"a PNG of 1 maps would have \d+ dots; write \.html, or fewer maps"):
        save_attention(tmp_path / "a.png", [AttentionMap(random_weights(3, 5), SOURCE, TARGET)])
    assert not list(tmp_path.iterdir())


# ---- pictures ----
def test_the_words_are_on_the_axes_of_the_figure():
    weights = torch.tensor(random_weights(3, 5), dtype=torch.bfloat16, requires_grad=True)
    figure = attention_figure(weights, SOURCE, TARGET, title="a & b")
    axes, bar = figure.axes
    assert labels(axes.get_xticklabels()) == ["The", "house", "&", "␣", "<eos>"]
    assert labels(axes.get_yticklabels()) == TARGET
    assert bar.get_ylabel() == "attention weight"
    assert {"source", "target", "a & b"} <= set(labels(figure.texts))
    np.testing.assert_allclose(axes.images[0].get_array(), weights.detach().float())
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_a_png_of_several_maps(tmp_path):
    path = tmp_path / "a.PNG"
    one = AttentionMap(random_weights(3, 5), SOURCE, TARGET, "one")
    sizes = []
    for maps in ([one], [one, one]):
        save_attention(path, maps)
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        sizes.append((int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")))
    (width, height), both = sizes
    assert 300 < width < 1000
    assert 300 < height < 1000
    assert both[0] == width
    assert both[1] == pytest.approx(2 * height, abs=2)


@pytest.mark.parametrize(("suffix", "begin"), [(".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_other_formats(tmp_path, suffix, begin):
    path = tmp_path / f"a{suffix}"
    save_attention(path, [AttentionMap(random_weights(3, 5), SOURCE, TARGET)])
    assert path.read_bytes().startswith(begin)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ([f"internationalisation{n}" for n in range(40)], [f"Wirtschaftsraum{n}" for n in range(30)]),
        (list("the quick brown fox jumps over the lazy dog, and so on; WMWMWM"), list("2024-01-15")),
        (["a"], ["b" * 90]),
    ],
    ids=["words", "characters", "one"],
)
def test_labels_do_not_touch_and_nothing_is_cut_off(source, target):
    figure = attention_figure(random_weights(len(target), len(source)), source, target, title="title " * 9)
    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    axes = figure.axes[0]
    columns, rows = axes.get_xticklabels(), axes.get_yticklabels()
    turn = np.deg2rad(columns[0].get_rotation())
    across = [label.get_window_extent(renderer) for label in columns]
    cell = axes.get_window_extent(renderer).width / len(source)
    if turn:  # the lines are this far from each other, and a line is as high as of a label that is not turned
        assert cell * np.sin(turn) > max(label.get_window_extent(renderer).height for label in rows)
    else:
        assert all(one.x1 < other.x0 for one, other in pairwise(across))
    down = [label.get_window_extent(renderer) for label in rows]
    assert all(upper.y0 > lower.y1 for upper, lower in pairwise(down))
    for box in [*across, *down, *(text.get_window_extent(renderer) for text in figure.texts)]:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    name = next(text for text in figure.texts if text.get_text() == "source").get_window_extent(renderer)
    assert name.y0 > max(box.y1 for box in across)


# ---- fonts ----
def width_of(figure, row: int) -> float:
    return figure.axes[0].get_yticklabels()[row].get_window_extent(figure.canvas.get_renderer()).width


def test_devanagari_is_drawn_with_joined_signs():
    """A conjunct with a vowel sign is narrower than its letters one by one."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        figure = attention_figure(np.ones((3, 1)), ["a"], ["क्षि", "कषि", "a"], title="हिन्दी")
    if told:
        pytest.skip("no installed font has Devanagari (Debian: fonts-noto-core)")
    family = figure.axes[0].get_yticklabels()[0].get_fontfamily()[0]
    path = font_manager.findfont(font_manager.FontProperties(family=[family]))
    font = font_manager.get_font(path)
    assert all(font.get_char_index(ord(character)) for character in "क्षि")
    assert width_of(figure, 0) < width_of(figure, 1)
    assert figure.axes[0].get_yticklabels()[2].get_fontfamily()[0] != family


@pytest.fixture
def only_bundled_fonts(monkeypatch):
    bundled = [entry for entry in font_manager.fontManager.ttflist if "mpl-data" in entry.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", bundled)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [])


def test_missing_fonts_are_told_in_one_warning(tmp_path, only_bundled_fonts):
    maps = [AttentionMap([[0.5, 0.5]], ["दिन", "東"], ["a"], "हिन्दी")] * 2
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        save_attention(tmp_path / "a.png", maps)
    assert len(told) == 1
    assert told[0].filename == __file__
    text = str(told[0].message)
    assert re.search(r"DEVANAGARI \(.*द.*\): install fonts-noto-core or fonts-lohit-deva", text)
    assert "CJK (東): install fonts-noto-cjk" in text
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_no_warning_where_the_font_has_all(only_bundled_fonts):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attention_figure(np.ones((2, 1)), ["Öl ␣ · ↵ ⇥ …"], ["Größe", "a\u200db"])


# ---- pages ----
class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.heads, self.captions, self.cells, self.inside = [], [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = "th" if tag == "span" and self.inside == "th" else tag
        if tag == "td":
            self.cells.append(dict(attributes)["title"])

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside in ("th", "figcaption"):
            (self.heads if self.inside == "th" else self.captions).append(data)


def test_a_page_has_all_words_and_weights(tmp_path):
    path = tmp_path / "a.html"
    weights = random_weights(3, 5)
    second = AttentionMap([[0.25]], ["क्षि"], ['"x"><script>alert(1)</script>'], "हिन्दी & <b>")
    save_attention(path, [AttentionMap(weights, SOURCE, TARGET, "one"), second], highest=0.5)
    text = path.read_bytes().decode("utf-8")
    page = Page(text)
    corner = "target ↓ source →"
    assert page.heads == [corner, "The", "house", "&", "␣", "<eos>", *TARGET, corner, "क्षि", *second.target]
    assert page.captions == ["one", "हिन्दी & <b>"]
    seen = [visible(word) for word in SOURCE]
    expected = [f"{t} ← {s}: {weights[m, n]:.3f}" for m, t in enumerate(TARGET) for n, s in enumerate(seen)]
    assert page.cells == [*expected, f"{second.target[0]} ← क्षि: 0.250"]
    assert "&lt;eos&gt;" in text
    assert "&amp;" in text
    assert "<eos>" not in text
    styles = [attributes["style"] for tag, attributes in page.tags if tag == "td"]
    assert styles[-1] == "--weight:0.500"  # of the highest
    assert styles[0] == f"--weight:{min(1, weights[0, 0] / 0.5):.3f}"


def test_a_page_needs_nothing_from_elsewhere(tmp_path):
    path = tmp_path / "a.html"
    save_attention(path, [AttentionMap(random_weights(3, 5), SOURCE, TARGET)])
    text = path.read_text(encoding="utf-8")
    tags = Page(text).tags
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in tags}
    assert not [attributes for _, attributes in tags if {"src", "href", "lang"} & attributes.keys()]
    assert "//" not in text
    assert "url(" not in text
    assert ("meta", {"charset": "utf-8"}) in tags
    assert "prefers-color-scheme: dark" in text


def test_a_page_does_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    save_attention(tmp_path / "a.html", [AttentionMap([[1.0]], ["a"], ["b"])])
    with pytest.raises(ImportError):
        save_attention(tmp_path / "a.png", [AttentionMap([[1.0]], ["a"], ["b"])])
