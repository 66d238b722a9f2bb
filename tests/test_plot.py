"""Pictures: that they show the numbers given, and can be read without colours."""

import builtins
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.figures import PIXELS, rendered, written_legend

from fastnn import plot

pytest.importorskip("matplotlib")

HISTORY = {
    "loss": [0.9, 0.5, 0.3],
    "accuracy": [0.6, 0.8, 0.9],
    "val_loss": [1.0, 0.6, 0.5],
    "val_accuracy": [0.5, 0.7, 0.8],
}


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


@pytest.mark.parametrize("wrap", [dict, lambda history: SimpleNamespace(history=history)])
def test_history_shows_every_number(wrap):
    figure = plot.history(wrap(HISTORY))
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]
    for axes in figure.axes:
        drawn = lines(axes)
        assert list(drawn) == ["training", "validation"]
        for label, prefix in (("training", ""), ("validation", "val_")):
            assert drawn[label].get_xdata().tolist() == [1, 2, 3]
            assert drawn[label].get_ydata().tolist() == HISTORY[prefix + axes.get_title()]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", "validation"]
        assert axes.get_xlabel() == "epoch"
    left, right = (axes.get_position() for axes in figure.axes)
    assert rendered(figure).std() > 0
    assert left.x1 < right.x0 and left.y0 == pytest.approx(right.y0)  # side by side


def test_training_and_validation_differ_without_colours():
    training, validation = plot.history(HISTORY).axes[0].get_lines()
    assert training.get_linestyle() != validation.get_linestyle()
    assert training.get_marker() != validation.get_marker()


@pytest.mark.parametrize("epochs", [1, 2, 7, 30, 1000])
def test_epochs_are_whole_numbers_and_points_are_seen(epochs):
    curve = np.linspace(1, 0.5, epochs).tolist()
    figure = plot.history({"loss": curve, "val_loss": curve})
    rendered(figure)
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks and all(tick == int(tick) >= 1 for tick in ticks)
    assert low < 1 and epochs < high
    for line in axes.get_lines():
        assert line.get_marker() not in ("", "None", None)
        start, every = line.get_markevery()
        assert 1 <= len(range(start, epochs, every)) <= 20
    assert len({line.get_markevery()[0] for line in axes.get_lines()}) == (2 if epochs > 20 else 1)  # they take turns


def test_other_metrics_and_their_order():
    figure = plot.history({"val_top_k": [0.5], "mae": [2.0], "loss": [1.0], "learning_rate": [0.1]})
    assert [axes.get_title() for axes in figure.axes] == ["loss", "top k", "mae", "learning rate"]
    assert list(lines(figure.axes[1])) == ["validation"]
    assert figure.axes[2].get_legend() is None  # one curve needs none
    assert [axes.get_subplotspec().rowspan.start for axes in figure.axes] == [0, 0, 0, 1]
    rendered(figure)


def test_values_that_are_not_finite():
    figure = plot.history({"loss": [1.0, float("nan"), float("inf"), 0.5], "val_loss": [float("nan")] * 4})
    rendered(figure)
    np.testing.assert_array_equal(figure.axes[0].get_lines()[0].get_ydata(), [1, np.nan, np.inf, 0.5])
    assert written_legend(figure.axes[0].get_legend()) == ["training", "validation (no finite number)"]


def test_training_and_validation_are_unequal_in_grey():
    from matplotlib.colors import to_rgb

    greys = [np.dot(to_rgb(line.get_color()), [0.299, 0.587, 0.114]) for line in plot.history(HISTORY).axes[0].lines]
    assert abs(greys[0] - greys[1]) > 0.15


@pytest.mark.parametrize(
    "loss, scale", [([5e3, 1.0], "log"), ([5e2, 1.0], "linear"), ([5e3, 0.0], "linear"), ([-1.0, -5e3], "linear")]
)
def test_numbers_over_decades_are_on_a_logarithmic_axis(loss, scale):
    figure = plot.history({"loss": loss, "val_loss": [np.nan, 2.0]})
    rendered(figure)
    assert figure.axes[0].get_yscale() == scale
    found = SimpleNamespace(rates=np.array([1e-3, 1e-2]), losses=np.array(loss), suggestion=None)
    assert plot.lr_finder(found).axes[0].get_yscale() == scale


def test_ticks_are_the_numbers_themselves_and_long_titles_are_whole():
    figure = plot.history({"loss": [1.0, 0.99999], "a_metric_with_a_${long$_name_that_wants_more_than_one_line": [1.0]})
    rendered(figure)
    assert figure.axes[0].yaxis.get_offset_text().get_text() == ""
    edge = figure.bbox.x1
    assert all(box.x0 >= 0 and box.x1 <= edge for box in (axes.title.get_window_extent() for axes in figure.axes))


@pytest.mark.parametrize(
    "history, message",
    [
        ({}, "nothing was trained"),
        ({"loss": []}, "nothing was trained"),
        ([1, 2], "expected a History or a dict .* found list"),
        ({"loss": [[1, 2]]}, r"history\['loss'\]: expected shape \(epochs,\), found \(1, 2\)"),
        ({"loss": ["a"]}, r"history\['loss'\]: expected a list of numbers"),
    ],
)
def test_history_errors(history, message):
    with pytest.raises(ValueError, match=message):
        plot.history(history)


def test_lr_finder_shows_losses_and_suggestion():
    found = SimpleNamespace(rates=np.geomspace(1e-5, 1, 6), losses=np.array([2, 1.9, 1, 0.5, 3, 9.0]), suggestion=1e-3)
    figure = plot.lr_finder(found)
    rendered(figure)
    curve, mark = figure.axes[0].get_lines()
    np.testing.assert_array_equal(curve.get_xydata(), np.column_stack([found.rates, found.losses]))
    assert mark.get_xdata() == [1e-3, 1e-3] and mark.get_linestyle() == "--"
    assert figure.axes[0].get_xscale() == "log" and "suggestion 0.001" in figure.axes[0].get_title()
    found.suggestion = None
    assert "no suggestion" in plot.lr_finder(found).axes[0].get_title()
    found.rates = found.rates[:3]
    with pytest.raises(ValueError, match=r"\(3,\) and \(6,\)"):
        plot.lr_finder(found)
    found.rates = np.arange(6.0)
    with pytest.raises(ValueError, match="positive rates"):
        plot.lr_finder(found)


# Sheets of images

CROSS = "\u00d7"


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


@pytest.mark.parametrize(
    "shape, shown",
    [
        ((7, 6, 6), (6, 6)),
        ((7, 36), (6, 6)),
        ((7, 6, 6, 1), (6, 6)),
        ((7, 4, 3, 3), (4, 3, 3)),
        ((7, 3, 3, 4), (3, 3, 4)),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int64"])
def test_images_shows_every_pixel(shape, shown, dtype):
    values = PIXELS.reshape(shape).astype(dtype)
    if values.dtype.kind == "f":
        values /= 255
    figure = plot.images(values, columns=4)
    rendered(figure)
    assert len(figure.axes) == 7
    for axes, expected in zip(figure.axes, values, strict=True):
        (image,) = axes.get_images()
        np.testing.assert_allclose(image.get_array(), expected.reshape(shown), rtol=1e-6)
        if len(shown) == 2:
            assert image.get_clim() == ((0, 1) if values.dtype.kind == "f" else (0, 255))
    assert titles(figure) == [""] * 7


def test_grey_floats_out_of_range_share_one_scale():
    figure = plot.images(np.linspace(-3, 5, 18).reshape(2, 3, 3))
    assert [axes.get_images()[0].get_clim() for axes in figure.axes] == [(-3, 5)] * 2


@pytest.mark.parametrize(
    "values, shown", [(np.linspace(-3, 5, 12), np.linspace(-3, 5, 12).clip(0, 1)), ([-1, 300] * 6, [0, 255] * 6)]
)
def test_colours_out_of_range_are_clipped(caplog, values, shown):
    image = plot.images(np.reshape(values, (1, 2, 2, 3))).axes[0].get_images()[0]
    np.testing.assert_allclose(image.get_array().ravel(), shown, rtol=1e-6)
    assert not caplog.records  # matplotlib would clip floats, too, and complain


def test_titles_are_true_and_predicted():
    figure = plot.images(PIXELS[:3], [0, 1, 2], [0, 2, 2])
    assert titles(figure) == ["0 / 0", f"{CROSS} 1 / 2", "2 / 2"]
    assert figure.get_suptitle() == f"true / predicted  ·  {CROSS} wrong: 1 of 3"
    (alone,) = plot.images(PIXELS[:1], [0], [1]).texts
    rendered(alone.figure)
    assert alone.get_window_extent().x0 >= 0 and alone.get_window_extent().x1 <= alone.figure.bbox.x1
    assert titles(plot.images(PIXELS[:2], [3, 4])) == ["3", "4"]
    assert titles(plot.images(PIXELS[:2], predictions=[3, 4])) == ["3", "4"]


def test_wrong_predictions_stand_out_with_and_without_colours():
    right, wrong = plot.images(PIXELS[:2], [0, 1], [0, 2]).axes
    assert wrong.title.get_color() != right.title.get_color()
    assert wrong.title.get_fontweight() == "bold" != right.title.get_fontweight()
    for side in ("left", "right", "top", "bottom"):
        assert wrong.spines[side].get_linewidth() >= 3 * right.spines[side].get_linewidth()
        assert wrong.spines[side].get_edgecolor() != right.spines[side].get_edgecolor()


def test_probabilities_and_names():
    rows = np.array([[0.7, 0.2, 0.1], [0.1, 0.46, 0.44]], np.float32)
    figure = plot.images(PIXELS[:2], [0, 2], rows, class_names=["cat", "dog", "cow"])
    assert titles(figure) == ["cat /\ncat 70%", f"{CROSS} cow /\ndog 46%"]
    sigmoid = np.array([[0.25], [0.9]], np.float32)
    assert titles(plot.images(PIXELS[:2], predictions=sigmoid)) == ["0 75%", "1 90%"]


@pytest.mark.parametrize(
    "labels", [np.eye(3)[[2, 0]], np.eye(3, dtype=int)[[2, 0]], [2, 0], [2.0, 0.0], [[2], [0]], ["c", "a"]]
)
def test_kinds_of_labels(labels):
    assert titles(plot.images(PIXELS[:2], labels, class_names="abc")) == ["c", "a"]


@pytest.mark.parametrize("name", ["a name of very many letters that goes on", "WWWWWWWWWWWWWWWWWWWWWWW", "$a_{b} $^"])
def test_long_names_do_not_overlap(name):
    figure = plot.images(
        PIXELS, [0] * 7, np.eye(2, dtype=np.float32)[[0, 1, 0, 1, 1, 1, 0]], class_names=[name, name[::-1]]
    )
    rendered(figure)
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))
    assert boxes[0].x0 >= 0 and boxes[-1].x1 <= figure.bbox.x1


def test_limits():
    figure = plot.images(np.zeros((1200, 4)), max_images=6, columns=4)
    assert len(figure.axes) == 6
    assert figure.get_suptitle() == "first 6 of 1,200 images"
    rows = {axes.get_subplotspec().rowspan.start for axes in figure.axes}
    columns = {axes.get_subplotspec().colspan.start for axes in figure.axes}
    assert rows == {0, 1} and columns == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"images": np.zeros((28, 28))}, r"found \(28, 28\); a single image is images\[None\]"),
        ({"images": np.zeros((2, 3, 3, 2))}, r"found \(2, 3, 3, 2\)"),
        ({"images": np.zeros((0, 3, 3))}, r"at least one image, found shape \(0, 3, 3\)"),
        ({"images": [["a"]]}, "images: expected numbers"),
        ({"images": PIXELS, "labels": [1, 2]}, r"labels: .*images of shape \(7, 6, 6\), found \(2,\)"),
        ({"images": PIXELS, "predictions": np.zeros((6, 3))}, r"predictions: .*\(7, 6, 6\), found \(6, 3\)"),
        ({"images": PIXELS, "labels": [5] * 7, "class_names": "abc"}, "labels: class 5 has no name, .* has 3"),
        ({"images": PIXELS, "labels": [-1] * 7, "class_names": "abc"}, "labels: class -1 has no name"),
        ({"images": PIXELS, "columns": 0}, "columns and max_images of at least 1, found 0 and 50"),
        ({"images": PIXELS, "max_images": 0}, "found 10 and 0"),
    ],
)
def test_images_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot.images(**arguments)


# What it leaves alone


@pytest.mark.parametrize("draw", [lambda: plot.history(HISTORY), lambda: plot.images(PIXELS)])
def test_without_matplotlib(monkeypatch, draw):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(f"No module named {name!r}")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        draw()


def test_no_pyplot_and_nothing_imported_early():
    program = (
        "import sys, fastnn.plot as p; assert 'matplotlib' not in sys.modules;"
        "p.history({'loss': [1]}); p.images([[0]]); print('matplotlib.pyplot' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "False"
