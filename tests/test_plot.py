"""Pictures: that they show the numbers given, and can be read without colours."""

import builtins
import io
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from fastnn import plot

pytest.importorskip("matplotlib")

HISTORY = {
    "loss": [0.9, 0.5, 0.3],
    "accuracy": [0.6, 0.8, 0.9],
    "val_loss": [1.0, 0.6, 0.5],
    "val_accuracy": [0.5, 0.7, 0.8],
}


def rendered(figure):
    """The figure as an array of pixels: drawing it must not warn or fail either."""
    from matplotlib.image import imread

    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    return imread(file)


def written_legend(legend):
    return [text.get_text() for text in legend.get_texts()]


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


def test_other_metrics_and_their_order():
    figure = plot.history({"val_top_k": [0.5], "mae": [2.0], "loss": [1.0], "learning_rate": [0.1]})
    assert [axes.get_title() for axes in figure.axes] == ["loss", "top k", "mae", "learning rate"]
    assert list(lines(figure.axes[1])) == ["validation"]
    assert figure.axes[2].get_legend() is None  # one curve needs none
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
    figure = plot.history({"loss": [1.0, 0.99999], "a_metric_with_a_$long_name_that_wants_more_than_one_line": [1.0]})
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


# Sheets of images

CROSS = "\u00d7"
PIXELS = np.random.default_rng(0).integers(0, 256, (7, 6, 6), np.uint8)


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


def test_colour_floats_out_of_range_are_clipped():
    image = plot.images(np.linspace(-3, 5, 24).reshape(2, 2, 2, 3)).axes[0].get_images()[0]
    assert image.get_array().min() == 0 and image.get_array().max() <= 1


def test_titles_are_true_and_predicted():
    figure = plot.images(PIXELS[:3], [0, 1, 2], [0, 2, 2])
    assert titles(figure) == ["0 / 0", f"{CROSS} 1 / 2", "2 / 2"]
    assert figure.get_suptitle() == f"true / predicted  ·  {CROSS} wrong: 1 of 3"
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


# Classes and numbers

STRANGE = ["$a_{b$ ^", "_under", "a name of very many letters that goes on"]
TRUE, FOUND = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
COUNTS = [[2, 1, 0], [0, 1, 1], [0, 0, 1]]


def written(axes):
    return [text.get_text() for text in axes.texts]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


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


def test_labels_without_names_are_sorted():
    (axes,) = plot.confusion_matrix(["b", "a"], ["b", "c"]).axes
    assert ticks(axes.yaxis) == ["a", "b", "c"] and written(axes) == list("001010000")


def test_the_title_of_a_small_confusion_matrix_is_whole():
    figure = plot.confusion_matrix([0, 0], [0, 0])
    rendered(figure)
    box = figure.axes[0].title.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1


def test_class_accuracy_shows_recall():
    figure = plot.class_accuracy(TRUE, FOUND, class_names=[*"abc", "never"])
    (axes,) = figure.axes
    rendered(figure)
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [2 / 3, 1 / 2, 1, 0])
    assert written(axes) == ["66.7%  (2 of 3)", "50.0%  (1 of 2)", "100.0%  (1 of 1)", "none"]
    assert axes.get_lines()[0].get_xdata() == pytest.approx([4 / 6, 4 / 6])
    assert ticks(axes.yaxis) == ["a", "b", "c", "never"]


def test_regression_shows_every_row():
    y, found = np.array([1.0, 2.0, 4.0]), np.array([[1.5], [2.0], [3.0]])
    figure = plot.regression(y, found)
    (axes,) = figure.axes
    rendered(figure)
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), np.column_stack([y, found]))
    # mean |d| = 1.5 / 3, and R2 = 1 - 1.25 / (16/9 + 1/9 + 25/9)
    assert axes.get_title() == "mean absolute error 0.5, R2 0.732"
    np.testing.assert_array_equal(axes.get_lines()[0].get_xydata(), [[1, 1], [4, 4]])


@pytest.mark.parametrize("draw", [plot.confusion_matrix, plot.class_accuracy])
def test_strange_names_of_classes(draw):
    figure = draw(TRUE, FOUND, class_names=STRANGE)
    rendered(figure)
    assert ticks(figure.axes[0].yaxis) == [*STRANGE[:2], "a name of very ma…"]
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(box.x0 >= 0 for box in boxes) and all(a.y1 >= b.y0 or b.y1 >= a.y0 for a, b in pairwise(boxes))


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


# Autoencoders

RNG = np.random.default_rng(5)


def tiles(figure, shape, columns):
    """The images of a mosaic, by finding where NaN separates them."""
    sheet = figure.axes[0].get_images()[0].get_array().filled(np.nan)
    drawn = ~np.isnan(sheet)
    rows, lefts = (np.flatnonzero(np.diff(drawn.any(axis=axis).astype(int), prepend=0) == 1) for axis in (1, 0))
    h, w = shape
    return [sheet[top : top + h, left : left + w] for top in rows for left in lefts[:columns]]


def test_reconstructions_are_below_their_originals():
    x = RNG.integers(0, 256, (5, 4, 4), np.uint8)
    y = RNG.random((5, 16))
    figure = plot.reconstructions(x, y, errors=np.arange(5) / 8, columns=3)
    rendered(figure)
    found = tiles(figure, (4, 4), 3)
    originals, made = x / 255, y.reshape(5, 4, 4)
    empty = np.full((4, 4), np.nan)
    expected = [*originals[:3], *made[:3], *originals[3:], empty, *made[3:], empty]
    for tile, picture in zip(found, expected, strict=True):
        np.testing.assert_allclose(tile, picture)
    (axes,) = figure.axes
    assert ticks(axes.yaxis) == ["original", "reconstructed"] * 2
    assert written(axes) == ["0", "0.125", "0.25", "0.375", "0.5"]
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert all(box.x0 >= 0 for box in boxes)
    assert len(tiles(plot.reconstructions(x, y, max_images=2), (4, 4), 2)) == 4
    plot.reconstructions(x.reshape(5, 16), y, shape=(2, 8))
    rendered(plot.reconstructions(RNG.random((3, 2, 2, 3)), RNG.random((3, 12))))


def test_sheets_of_narrow_and_of_flat_images():
    tall = plot.reconstructions(RNG.random((3, 60, 6)), RNG.random((3, 60, 6)), errors=[1e-6] * 3)
    flat = plot.reconstructions(RNG.random((3, 2, 60)), RNG.random((3, 2, 60)), errors=[1e-6] * 3)
    for figure in (tall, flat):
        rendered(figure)
        (axes,) = figure.axes
        errors = [text.get_window_extent() for text in axes.texts]
        assert all(left.x1 < right.x0 for left, right in pairwise(errors))
        first, second = (label.get_window_extent() for label in axes.get_yticklabels())
        assert second.y1 < first.y0
    assert tall.get_size_inches()[1] < 6
    figure = plot.weights(RNG.normal(size=(120, 3)), shape=(2, 60))
    rendered(figure)
    label = figure.axes[1].yaxis.label.get_window_extent()
    assert label.y0 >= 0 and label.y1 <= figure.bbox.y1


def test_weights_are_those_of_the_first_layer():
    import fastnn

    model = fastnn.MLP([16, 5, 3], seed=0, backend="numpy")
    kernel = model.get_weights()[0]
    for source in (model, kernel):
        figure = plot.weights(source, columns=2, max_images=4)
        rendered(figure)
        found = tiles(figure, (4, 4), 2)
        for tile, column in zip(found, kernel.T[:4], strict=True):
            np.testing.assert_allclose(tile, column.reshape(4, 4))
        low, high = figure.axes[0].get_images()[0].get_clim()
        assert low == -high and 0 < high <= np.abs(kernel[:, :4]).max()
        assert figure.axes[0].get_title() == "first 4 of 5 units"
    second = tiles(plot.weights(model, layer=1, shape=(1, 5), columns=3), (1, 5), 3)
    np.testing.assert_allclose(np.stack(second)[:, 0], model.get_weights()[2].T)


def test_samples_are_decoded():
    import fastnn

    x = RNG.random((40, 16)).astype(np.float32)
    model = fastnn.Autoencoder([16, 3], seed=0, backend="numpy")
    figures = [plot.samples(model, x, max_images=4, columns=2, seed=seed) for seed in (0, 0, 1)]
    rendered(figures[0])
    first, same, other = (np.stack(tiles(figure, (4, 4), 2)) for figure in figures)
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
    # Of a code that is the same for all inputs there is one picture.
    alike = np.stack(tiles(plot.samples(model, np.tile(x[:1], (9, 1)), max_images=3), (4, 4), 3))
    np.testing.assert_allclose(alike, np.tile(model.predict(x[:1]).reshape(1, 4, 4), (3, 1, 1)), rtol=1e-5)


def drawn_points(figure):
    return np.concatenate([np.asarray(dots.get_offsets()) for dots in figure.axes[0].collections])


def test_wide_codes_are_projected_on_their_principal_components():
    turn = np.linalg.qr(RNG.normal(size=(5, 5)))[0]
    points = RNG.normal(size=(300, 5)) * [9, 4, 0.5, 0.1, 0.1] @ turn + 7
    drawn = drawn_points(plot.codes(points))
    # The coordinates are those of the singular value decomposition, but for the sign.
    u, s, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(drawn), np.abs(u[:, :2] * s[:2]), atol=1e-8)
    axes = plot.codes(points).axes[0]
    share = s[:2] ** 2 / (s**2).sum()
    assert f"first principal component of 5 ({share[0]:.0%} " in axes.get_xlabel()
    assert f"second principal component of 5 ({share[1]:.0%} " in axes.get_ylabel()


def test_codes_of_two_numbers_are_drawn_as_they_are():
    points, labels = RNG.normal(size=(60, 2)), np.arange(60) % 3
    figure = plot.codes(points, labels, class_names=["a", "b", "c"])
    rendered(figure)
    parts = figure.axes[0].collections
    for number, part in enumerate(parts):
        np.testing.assert_array_equal(part.get_offsets(), points[labels == number])
    assert len({tuple(part.get_facecolor()[0]) for part in parts}) == 3
    assert len({part.get_paths()[0].vertices.tobytes() for part in parts}) == 3  # markers, for those who see grey
    assert written(figure.axes[0]) == ["a", "b", "c"]
    assert len(drawn_points(plot.codes(points, labels, max_points=7))) == 7


@pytest.mark.parametrize("count", [3, 10, 20])
def test_every_class_has_a_marker_of_its_own_and_a_legend(count):
    names = [*STRANGE[:2], *(f"class {i}" for i in range(2, count))]
    figure = plot.codes(RNG.normal(size=(60, 2)), np.arange(60) % count, class_names=names)
    rendered(figure)
    (legend,) = figure.legends
    assert written_legend(legend) == names
    looks = [(dots.get_paths()[0].vertices.tobytes(), len(dots.get_facecolor())) for dots in legend.legend_handles]
    assert len(set(looks)) == count
    assert figure.axes[0].get_window_extent().x1 <= legend.get_window_extent().x0


def test_names_of_clouds_do_not_overlap():
    points = RNG.normal(size=(2000, 2)) * 1e-3  # all at one place
    figure = plot.codes(points, np.arange(2000) % 10, class_names=[*STRANGE, *"defghij"])
    rendered(figure)
    frame = figure.axes[0].get_window_extent()
    boxes = [text.get_bbox_patch().get_window_extent() for text in figure.axes[0].texts]
    for i, a in enumerate(boxes):
        assert frame.x0 <= a.x0 and a.x1 <= frame.x1 and frame.y0 <= a.y0 and a.y1 <= frame.y1
        for b in boxes[:i]:
            assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0


def test_many_labels_are_a_scale():
    figure = plot.codes(RNG.normal(size=(90, 3)), np.arange(90) % 45)
    rendered(figure)
    (dots,) = figure.axes[0].collections
    np.testing.assert_array_equal(dots.get_array(), np.arange(90) % 45)
    assert figure.axes[1].get_ylabel() == "label"


def test_codes_of_one_number_are_drawn_against_the_class():
    points, labels = RNG.normal(size=(30, 1)), np.arange(30) % 3
    figure = plot.codes(points, labels, class_names=["a", "$b", "c"])
    rendered(figure)
    assert ticks(figure.axes[0].yaxis) == ["a", "$b", "c"]
    for number, part in enumerate(figure.axes[0].collections):
        x, y = np.asarray(part.get_offsets()).T
        np.testing.assert_array_equal(x, points[labels == number, 0])
        assert (np.abs(y - number) <= 0.3).all()
    rendered(plot.codes(points))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plot.codes(np.zeros(3)), r"codes: .* found float64 \(3,\)"),
        (lambda: plot.codes([[np.nan, 1]]), "finite"),
        (lambda: plot.codes(np.zeros((3, 2)), [1, 2]), r"expected shape \(3,\)"),
        (lambda: plot.reconstructions(PIXELS, PIXELS[:3]), "as many reconstructions as originals, found 3 and 7"),
        (lambda: plot.reconstructions(PIXELS, np.zeros((7, 35))), r"\(7, 35\), which is not images of shape \(6, 6\)"),
        (lambda: plot.reconstructions(PIXELS, PIXELS, errors=[1]), r"errors: expected shape \(7,\), found \(1,\)"),
        (lambda: plot.weights(np.zeros((15, 2))), r"h \* w = 15 inputs, found None"),
        (lambda: plot.weights(np.full((16, 2), np.nan)), "finite"),
    ],
)
def test_errors_of_autoencoders(call, message):
    with pytest.raises(ValueError, match=message):
        call()
