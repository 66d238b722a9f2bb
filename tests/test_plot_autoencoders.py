"""Pictures of what an autoencoder makes of its inputs, and of weights: that they show the numbers given."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.figures import PIXELS, STRANGE, rendered, ticks, written, written_legend

import fastnn
from fastnn import plot

pytest.importorskip("matplotlib")

RNG = np.random.default_rng(5)


def mosaic(figure):
    """The sheet of images, with NaN between them."""
    return figure.axes[0].get_images()[0].get_array().filled(np.nan)


def tiles(figure, shape, columns):
    """The images of a mosaic, by finding where NaN separates them."""
    sheet = mosaic(figure)
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
    wide = tiles(plot.reconstructions(x.reshape(5, 16), y, shape=(2, 8)), (2, 8), 5)
    np.testing.assert_allclose(np.stack(wide), np.concatenate([x / 255, y.reshape(5, 4, 4)]).reshape(10, 2, 8))
    gaps = np.flatnonzero(np.isnan(mosaic(plot.reconstructions(x, y, columns=3))[:, 0]))
    within, between, last = (len(part) for part in np.split(gaps, np.flatnonzero(np.diff(gaps) > 1) + 1))
    assert within == last < between  # pairs are apart


def test_colours_are_on_white():
    colours = RNG.random((3, 2, 2, 3))
    figure = plot.reconstructions(colours, RNG.random((3, 12)))
    rendered(figure)
    sheet = figure.axes[0].get_images()[0].get_array()
    np.testing.assert_allclose(sheet[:2, :2], colours[0], rtol=1e-6)
    assert (sheet[:, 2] == 1).all()  # white between them


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
    for shape in ((2, 8), (2, 8, 1)):
        images = fastnn.Sequential([fastnn.layers.Input(shape), fastnn.layers.Flatten(), fastnn.layers.Dense(3)])
        found = tiles(plot.weights(images), (2, 8), 3)
        np.testing.assert_allclose(np.reshape(found, (3, 16)), images.get_weights()[0].T)
    second = tiles(plot.weights(model, layer=1, shape=(1, 5), columns=3), (1, 5), 3)
    np.testing.assert_allclose(np.stack(second)[:, 0], model.get_weights()[2].T)


def test_the_scale_of_weights():
    kernel = RNG.normal(size=(16, 100))
    kernel[0, 0] = 1e3  # one of more than a thousand
    for source, low, high in ((kernel, 2, 5), (np.zeros((16, 2)), 1, 1)):
        bounds = plot.weights(source, max_images=100).axes[0].get_images()[0].get_clim()
        assert -bounds[0] == bounds[1] and low <= bounds[1] <= high


def test_samples_are_decoded():
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
    wide = tiles(plot.samples(model, x.reshape(40, 2, 8), max_images=4, columns=2), (2, 8), 2)
    np.testing.assert_array_equal(np.reshape(wide, first.shape), first)


def test_samples_are_of_codes_that_there_are():
    x = np.repeat([0.0, 1.0], 20)[:, None]  # a third of the normal distribution is beyond
    model = SimpleNamespace(encode=lambda x: x, decode=lambda codes: np.tile(codes, (1, 4)))
    shown = mosaic(plot.samples(model, x))
    assert np.nanmin(shown) == 0 and np.nanmax(shown) == 1


def drawn_points(figure):
    return np.concatenate([np.asarray(dots.get_offsets()) for dots in figure.axes[0].collections])


@pytest.mark.parametrize("seed", range(4))
def test_wide_codes_are_projected_on_their_principal_components(seed):
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    points = rng.normal(size=(300, 5)) * [9, 4, 0.5, 0.1, 0.1] @ turn + 7
    drawn = drawn_points(plot.codes(points))
    # The coordinates are those of the singular value decomposition, whose signs make the largest entries positive.
    u, s, vt = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    signs = [np.sign(max(direction, key=abs)) for direction in vt[:2]]
    np.testing.assert_allclose(drawn, u[:, :2] * s[:2] * signs, atol=1e-8)
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
    assert {dots.get_alpha() for dots in legend.legend_handles} == {1}  # those of the picture let others shine through
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
    labels = np.arange(90) % 45 * 2 + 3
    figure = plot.codes(RNG.normal(size=(90, 3)), labels)
    rendered(figure)
    (dots,) = figure.axes[0].collections
    np.testing.assert_array_equal(dots.get_array(), labels)
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
    figure = plot.codes(points)
    rendered(figure)
    x, y = drawn_points(figure).T
    np.testing.assert_array_equal(x, points[:, 0])
    assert np.ptp(y) > 0.3 and not ticks(figure.axes[0].yaxis)


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
        (lambda: plot.weights(fastnn.MLP([4, 3, 2], seed=0), layer=2), "2 layers with a kernel, found 2"),
        (lambda: plot.samples(fastnn.Autoencoder([4, 2], seed=0), np.ones((1, 4))), "at least 2 rows, found 1"),
    ],
)
def test_errors_of_autoencoders(call, message):
    with pytest.raises(ValueError, match=message):
        call()
