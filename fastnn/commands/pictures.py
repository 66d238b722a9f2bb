"""The pictures that `fastnn train` and `fastnn evaluate` leave, and the report that binds them."""

import platform
import time

import numpy as np

from .. import __version__, files, report
from ..autoencoder import Autoencoder
from ..diagnostics import counted, engine, processor, threads, version

_MOST = 5000  # rows that pictures of codes and samples look at
_SHEET = 50


def missing():
    """Why no pictures can be made, or None."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        why = "is not installed" if error.name == "matplotlib" else f"cannot be imported ({error})"
        return f'the pictures will be left out, for matplotlib {why}; pip install -e ".[plot]" would get them'
    return None


def draw(model, source, x, y, history=None):
    """Yield (file name, PNG as bytes, caption) of every picture that suits a model and its data.

    There are none where matplotlib is missing.

    Parameters
    ----------
    model : MLP or Autoencoder
    source : sources.Source
    x, y : ndarray
        Rows to show and their labels, y None if there are none.
    history : History, optional
    """
    if missing():
        return
    from .. import plot

    if history is not None and history.epoch:
        yield "curves.png", report.png(plot.history(history)), "Loss and metrics, epoch by epoch"
    names, shape = source.class_names, source.image_shape
    if isinstance(model, Autoencoder):
        yield from _of_autoencoder(plot, model, x, y, names, shape)
        return
    found = model.predict(x)
    if source.task == "regression":
        yield "predictions.png", report.png(plot.regression(y, found)), "Predicted numbers against the true ones"
        return
    found = model.predict_classes(x)
    if len(names or ()) <= 100:
        figure = plot.confusion_matrix(y, found, class_names=names)
        yield "confusion.png", report.png(figure), "Which class was taken for which: rows are true, columns predicted"
        figure = plot.class_accuracy(y, found, class_names=names)
        yield "classes.png", report.png(figure), "Share of every class that was recognised"
    if shape is not None:
        sheet = x[:_SHEET].reshape(-1, *shape), y[:_SHEET], model.predict(x[:_SHEET])
        figure = plot.images(*sheet, class_names=names)
        yield "predictions.png", report.png(figure), f"The first {len(sheet[0])} images, with true and predicted class"
        if len(shape) == 2:
            yield "weights.png", report.png(plot.weights(model, shape=shape)), "Weights of units of the first layer"


def _of_autoencoder(plot, model, x, y, names, shape):
    if shape is not None:
        few = x[:20]
        errors = model.reconstruction_error(few)
        figure = plot.reconstructions(few, model.predict(few), errors=errors, shape=shape)
        caption = "Originals above, their reconstructions and mean squared errors below"
        yield "reconstructions.png", report.png(figure), caption
    many = x[:_MOST]
    figure = plot.codes(model.encode(many), None if y is None else y[:_MOST], class_names=names)
    yield "codes.png", report.png(figure), "The code space in two dimensions"
    if shape is not None:
        figure = plot.samples(model, many, shape=shape)
        yield "samples.png", report.png(figure), "Decoded from codes drawn at random, distributed as those of the data"
        if len(shape) == 2:
            yield "weights.png", report.png(plot.weights(model, shape=shape)), "Weights of units of the first layer"


def class_rows(y, predicted, names):
    """List a row for every class: name, rows, recall, precision ("-" where it has none) and what it is taken for.

    y and predicted are labels (n,): numbers of the names, or names.
    """
    n = len(names)
    if y.dtype.kind == "U":
        place = {name: i for i, name in enumerate(names)}
        y, predicted = (np.array([place[name] for name in labels.tolist()]) for labels in (y, predicted))
    confusion = np.bincount(y.astype(np.int64) * n + predicted, minlength=n * n).reshape(n, n)
    rows = []
    for label, name in enumerate(names):
        row, right, taken = confusion[label], confusion[label, label], confusion[:, label].sum()
        others = np.where(np.arange(n) == label, 0, row)
        worst = f"{names[others.argmax()]} ({others.max()})" if others.any() else ""
        recall = float(right / row.sum()) if row.sum() else "-"
        rows.append((name, int(row.sum()), recall, float(right / taken) if taken else "-", worst))
    return rows


def opening(results, rows, parts, kind=""):
    """The first parts of a report: results, what `class_rows` made if there are classes, and pictures."""
    body = [report.heading("Result"), report.facts({f"{kind}{name}": report.number(v) for name, v in results.items()})]
    if rows:
        body += [report.heading("Classes"), report.table(("class", "rows", "recall", "precision", "taken for"), rows)]
    if parts or missing():
        body += [report.heading("Pictures"), *(parts or [report.paragraph(missing())])]
    return body


def closing(model, wish=None, more=None):
    """The parts of a report about the network and the machine; `wish` is the number of threads asked for."""
    facts = {**_machine(model, wish), **(more or {})}
    return [report.heading("Network"), _layers(model), report.heading("Machine"), report.facts(facts)]


def write_report(path, title, body):
    """Write a report."""
    files.write_atomic(path, report.page(title, body).encode("utf-8", "replace"))


def _machine(model, wish):
    """The facts of a report about what computed: a dict of str to str."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "matplotlib") if version(name))
    return {
        "processor": processor(),
        "system": platform.platform(),
        "backend": f"{engine(model.backend)}, {counted(threads(wish)[0], 'thread')}, {model.dtype}",
        "versions": f"fastnn {__version__}, Python {platform.python_version()}, {libraries}",
        "written": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
    }


def _layers(model):
    """The part of a report about the layers."""
    rows = [
        (layer.name, type(layer).__name__, str(layer.output_shape[1:]), layer.count_params()) for layer in model.layers
    ]
    return report.table(("layer", "kind", "output", "parameters"), rows) + report.paragraph(
        f"{model.count_params():,} parameters"
    )
