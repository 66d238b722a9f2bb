"""Pictures of classes and of numbers that were predicted: that they show the counts, and can be read."""

from itertools import pairwise

import numpy as np
import pytest
from helpers.figures import STRANGE, rendered, ticks, written

from fastnn import plot

to_rgb = pytest.importorskip("matplotlib.colors").to_rgb

TRUE, FOUND = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
COUNTS = [[2, 1, 0], [0, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize(
    "true, found, names",
    [
        (TRUE, FOUND, None),
        (TRUE.tolist(), np.eye(3, dtype=np.float32)[FOUND], None),
        (np.eye(3)[TRUE], FOUND, "abc"),
        (np.array(["c", "a", "b"])[TRUE], np.array(["c", "a", "b"])[FOUND], "cab"),
    ],
)
def test_confusion_matrix_shows_the_counts(true, found, names):
    figure = plot.confusion_matrix(true, found, class_names=names and list(names))
    (axes,) = figure.axes
    rendered(figure)
    assert written(axes) == [str(count) for row in COUNTS for count in row]
    places = [text.get_position() for text in axes.texts]
    assert places == [(column, row) for row in range(3) for column in range(3)]
    assert ticks(axes.xaxis) == ticks(axes.yaxis) == list(names or "012")
    assert axes.get_xlabel() == "predicted class" and axes.get_ylabel() == "true class"
    assert axes.get_title() == "accuracy 66.7%\n4 of 6"
    shares = axes.get_images()[0].get_array()
    np.testing.assert_allclose(shares, np.array(COUNTS) / [[3], [2], [1]])
    for text, share in zip(axes.texts, shares.ravel(), strict=True):
        behind = axes.get_images()[0].to_rgba(share)
        assert abs(np.mean(to_rgb(text.get_color())) - np.mean(behind[:3])) > 0.4


def test_labels_without_names_are_sorted():
    (axes,) = plot.confusion_matrix(["b", "a"], ["b", "c"]).axes
    assert ticks(axes.yaxis) == ["a", "b", "c"] and written(axes) == list("001010000")


def test_the_title_of_a_small_confusion_matrix_is_whole():
    figure = plot.confusion_matrix([0, 0], [0, 0])
    rendered(figure)
    box = figure.axes[0].title.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1


def test_long_names_of_columns_are_slanted():
    for names, slant in (("abc", 0), (STRANGE, 45)):
        (axes,) = plot.confusion_matrix(TRUE, FOUND, class_names=list(names)).axes
        assert {label.get_rotation() for label in axes.get_xticklabels()} == {slant}


def test_class_accuracy_shows_recall():
    figure = plot.class_accuracy(TRUE, FOUND, class_names=[*"abc", "never"])
    (axes,) = figure.axes
    rendered(figure)
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [2 / 3, 1 / 2, 1, 0])
    assert written(axes) == ["66.7%  (2 of 3)", "50.0%  (1 of 2)", "100.0%  (1 of 1)", "none"]
    assert axes.get_lines()[0].get_xdata() == pytest.approx([4 / 6, 4 / 6])
    assert ticks(axes.yaxis) == ["a", "b", "c", "never"]
    assert plot.class_accuracy(TRUE, TRUE[::-1]).axes[0].get_xlim() == (0, 1)  # whatever the largest share


def test_regression_shows_every_row():
    y, found = np.array([1.0, 2.0, 4.0]), np.array([[1.5], [2.0], [3.0]])
    figure = plot.regression(y, found)
    (axes,) = figure.axes
    rendered(figure)
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), np.column_stack([y, found]))
    # mean |d| = 1.5 / 3, and R2 = 1 - 1.25 / (16/9 + 1/9 + 25/9)
    assert axes.get_title() == "mean absolute error 0.5, R2 0.732"
    np.testing.assert_array_equal(axes.get_lines()[0].get_xydata(), [[1, 1], [4, 4]])
    assert plot.regression([2, 2], [1, 4]).axes[0].get_title() == "mean absolute error 1.5"  # R2 would divide by 0


@pytest.mark.parametrize("draw", [plot.confusion_matrix, plot.class_accuracy])
def test_strange_names_of_classes(draw):
    figure = draw(TRUE, FOUND, class_names=STRANGE)
    rendered(figure)
    assert ticks(figure.axes[0].yaxis) == [*STRANGE[:2], "a name of very ma…"]
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(box.x0 >= 0 for box in boxes) and all(a.y0 >= b.y1 or b.y0 >= a.y1 for a, b in pairwise(boxes))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plot.confusion_matrix([0, 1], [0, 1, 1]), r"expected shape \(2,\) .* found \(3,\)"),
        (lambda: plot.confusion_matrix([0, 3], [0, 1], class_names="ab"), "y_true: class 3 has no name, .* has 2"),
        (lambda: plot.confusion_matrix(["a", "x"], ["a", "b"], class_names="ab"), "'x' is not among"),
        (lambda: plot.confusion_matrix(["a", "b"], [0, 1]), "both be numbers or both texts, found 'a' and 0"),
        (lambda: plot.confusion_matrix([[1, 0], [1, 1]], [0, 1]), r"y_true: .* a one-hot row .* found \[1, 1\]"),
        (lambda: plot.confusion_matrix([1, 0], [[0, 1], [0, 0]]), r"predictions: .* a one-hot row .* found \[0, 0\]"),
        (lambda: plot.confusion_matrix(range(101), range(101)), "at most 100 classes, found 101"),
        (lambda: plot.regression([1, 2], [1, 2, 3]), r"found shapes \(2,\) and \(3,\)"),
        (lambda: plot.regression([1, np.nan], [1, 2]), "NaN"),
    ],
)
def test_errors_of_classes(call, message):
    with pytest.raises(ValueError, match=message):
        call()
