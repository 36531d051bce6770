"""Pictures of a confusion matrix: what stands in them, read back from the figure and from the page."""

import re
import warnings

import numpy as np
import pytest
import torch
from test_attention_picture import labels as texts_of

from rnn_zoo.inspect.confusion import confusion_figure, save_confusion

MATRIX = [[8, 2, 0], [1, 199, 0], [0, 0, 0]]
LABELS = ["bad", "good", "fair"]


def counts_of(figure) -> list[list[str]]:
    """The counts as they stand in the cells, from top to bottom."""
    axes = figure.axes[0]
    size = len(axes.get_xticklabels())
    top = [text for text in axes.texts if float(text.get_position()[1]).is_integer()]
    cells = {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in top}
    return [[cells[row, column] for column in range(size)] for row in range(size)]


def test_counts_labels_and_colours():
    figure = confusion_figure(MATRIX, LABELS, title="validation")
    axes = figure.axes[0]
    assert counts_of(figure) == [["8", "2", "0"], ["1", "199", "0"], ["0", "0", "0"]]
    assert texts_of(axes.get_xticklabels()) == texts_of(axes.get_yticklabels()) == LABELS
    colours = axes.images[0].get_array()  # the share of the row, so that a rare label is seen
    np.testing.assert_allclose(colours, [[0.8, 0.2, 0], [1 / 200, 199 / 200, 0], [0, 0, 0]])
    shares = {text.get_text() for text in axes.texts if "%" in text.get_text()}
    assert shares == {"80 %", "20 %", "<1 %", ">99 %"}  # 0 and 100 are for none and all
    assert "validation" in {text.get_text() for text in figure.texts}


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".html"])
@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_every_kind_of_file(suffix, kind, tmp_path):
    path = tmp_path / f"confusion{suffix}"
    path.write_text("old")
    save_confusion(kind(MATRIX), LABELS, path)
    begins = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF", ".html": b"<!DOCTYPE html>"}
    assert path.read_bytes().startswith(begins[suffix])


def test_a_page_is_a_table_with_nothing_elsewhere(tmp_path):
    save_confusion(MATRIX, ["<b>", "a & b", "सकारात्मक"], tmp_path / "page.html", title="<script>alert(1)</script>")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "<b>" not in page
    assert re.findall(r'<th scope="row" dir="auto">(.*?)</th>', page) == ["&lt;b&gt;", "a &amp; b", "सकारात्मक"]
    assert re.findall(r"<td [^>]*>([\d,]+)", page) == ["8", "2", "0", "1", "199", "0", "0", "0", "0"]
    assert not re.search(r"(src|href)=", page)


def test_one_label_long_labels_and_many(tmp_path):
    save_confusion([[3]], ["only"], tmp_path / "one.png")
    names = [f"a label with a very long name, number {n}" for n in range(3)]
    figure = confusion_figure(MATRIX, names)
    assert {label.get_rotation() for label in figure.axes[0].get_xticklabels()} == {60}
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox()  # nothing reaches beyond the picture
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height
    large = confusion_figure(np.eye(40, dtype=int) * 1_000_000, [f"label {n}" for n in range(40)])
    assert large.get_size_inches()[0] > 15  # cells keep their size


def test_labels_of_other_scripts_have_a_font_or_one_warning(tmp_path):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        figure = confusion_figure(MATRIX, ["नकारात्मक", "सकारात्मक", "$x_1$"])
        save_confusion(MATRIX, ["नकारात्मक", "सकारात्मक", "$x_1$"], tmp_path / "devanagari.png")
    told = [str(warning.message) for warning in seen]
    assert all("no installed font has all characters" in message for message in told)
    assert len(told) in (0, 2)  # one for each picture where the script has no font
    assert texts_of(figure.axes[0].get_xticklabels())[2] == "$x_1$"  # no formula


@pytest.mark.parametrize(
    ("matrix", "labels", "path", "message"),
    [
        (MATRIX, LABELS[:2], "a.png", r"matrix of shape \(3, 3\) for 2 labels"),
        ([], [], "a.png", "with at least one"),
        ([[1, -1], [0, 1]], ["a", "b"], "a.png", "must be counts"),
        ([[0.5]], ["a"], "a.html", "must be counts"),
        (MATRIX, LABELS, "a.jpg", r"must end in one of .*\.png.*not '.jpg'"),
    ],
)
def test_what_is_refused(matrix, labels, path, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        save_confusion(matrix, labels, tmp_path / path)
    assert not (tmp_path / path).exists()
