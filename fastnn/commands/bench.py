"""`fastnn bench`: the time of a training step on every backend."""

import itertools
import time
from dataclasses import dataclass

import numpy as np

from .. import kernels
from ..autoencoder import Autoencoder
from ..callbacks import Callback
from ..diagnostics import counted, engine, processor, threads
from ..mlp import MLP
from .arguments import COUNT, add_dtype, add_threads, number

_ABOUT = """\
Measure the time of a training step, as `fit` runs it, on every backend that is available.

Random data. First all backends train a few steps from the same weights and their losses are compared; then they are
timed in turns, round after round, so that whatever else the machine does meets all alike. Shown are the median and
the best round, and GFLOP/s, which count the matrix products alone.

This is a quick look. The benchmark suite compares with other libraries too and is part of the repository, not of an
installed package: run `pytest bench` there.
"""


@dataclass(frozen=True)
class Shape:
    """A network to measure, and its batch size."""

    kind: type
    sizes: tuple[int, ...]
    options: tuple[tuple[str, object], ...]
    batch_size: int
    title: str

    def model(self, **options):
        """Make the network."""
        return self.kind(list(self.sizes), **dict(self.options), **options)

    def data(self, n, dtype):
        """Make n random rows: (x, y)."""
        rng = np.random.default_rng(0)
        x = rng.random((n, self.sizes[0])).astype(dtype)
        if self.kind is Autoencoder:
            return x, x
        if ("task", "regression") in self.options:
            return x, rng.random((n, self.sizes[-1])).astype(dtype)
        return x, rng.integers(0, self.sizes[-1], n)

    def flops(self, widths, batch_size):
        """Floating-point operations of the matrix products of a step."""
        products = [a * b for a, b in itertools.pairwise(widths)]
        return 2 * batch_size * (3 * sum(products) - products[0])  # no gradient by the inputs


SHAPES = {
    "mlp": Shape(
        MLP, (784, 900, 900, 10), (("dropout", 0.5),), 128, "784-900-900-10, relu, dropout 0.5, adam, batches of 128"
    ),
    "mlp-small": Shape(MLP, (784, 128, 10), (), 128, "784-128-10, relu, adam, batches of 128"),
    "autoencoder": Shape(
        Autoencoder, (784, 256, 64, 16), (), 128, "784-256-64-16-64-256-784, relu, mse, adam, batches of 128"
    ),
    "tabular": Shape(
        MLP, (32, 64, 64, 1), (("task", "regression"),), 256, "32-64-64-1, relu, mse, adam, batches of 256"
    ),
}
_CHECK_STEPS = 4
_ROUND_SECONDS = 0.4


def add(commands):
    """Add the sub-command's arguments."""
    command = commands.add_parser(
        "bench",
        help="time of a training step on every backend",
        description=_ABOUT,
        epilog="shapes:\n" + "\n".join(f"  {name:<12} {shape.title}" for name, shape in SHAPES.items()),
    )
    command.add_argument("shape", nargs="?", default="mlp", choices=SHAPES, metavar="SHAPE", help="default: mlp")
    command.add_argument("--batch-size", type=COUNT, metavar="N", help="samples a step (default: the shape's)")
    command.add_argument(
        "--backends", nargs="+", metavar="NAME", help="default: all that are available, cython numba numpy at most"
    )
    command.add_argument(
        "--seconds",
        type=number(float, "a number of seconds above 0", 0.0, 3600.0, above=True),
        default=3.0,
        metavar="S",
        help="how long to measure each backend, at least about (default: 3)",
    )
    add_threads(command)
    add_dtype(command)


class _Stopwatch(Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start


def _epoch(model, x, y, batch_size):
    """Train an epoch; return its seconds and its loss."""
    watch = _Stopwatch()
    history = model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0, callbacks=[watch])
    return watch.seconds, history.history["loss"][0]


def run(args):
    """Run the sub-command."""
    shape = SHAPES[args.shape]
    batch_size = args.batch_size or shape.batch_size
    names = list(dict.fromkeys(args.backends or kernels.available_backends()))
    models = {name: shape.model(backend=name, seed=0, dtype=args.dtype, threads=args.threads) for name in names}
    first = next(iter(models.values()))
    widths = [shape.sizes[0], *(layer.output_shape[1] for layer in first.layers if layer.count_params())]
    count, why = threads(args.threads)
    network = f"{'-'.join(map(str, widths))}, {first.count_params():,} parameters"
    print(f"{args.shape}: {network}, batches of {batch_size}, {args.dtype}")
    print(f"{processor()}, {counted(count, 'thread')}: {why}", flush=True)

    losses, steps = {}, {}
    x, y = shape.data(_CHECK_STEPS * batch_size, args.dtype)
    y = x if shape.kind is Autoencoder else y
    for name, model in models.items():
        _, losses[name] = _epoch(model, x, y, batch_size)  # compiles where something is to be compiled
        seconds, _ = _epoch(model, x, y, batch_size)
        steps[name] = max(_CHECK_STEPS, min(2000, round(_ROUND_SECONDS * _CHECK_STEPS / seconds)))
    spread = (max(losses.values()) - min(losses.values())) / abs(losses[names[0]])
    if not spread < 1e-3:
        raise RuntimeError(f"the backends disagree, so that their times mean nothing: losses {losses}")
    print(f"losses of the first {_CHECK_STEPS} steps agree to {spread:.1e}\n" if len(names) > 1 else "", flush=True)

    x, y = shape.data(max(steps.values()) * batch_size, args.dtype)
    times = {name: [] for name in names}
    for _ in range(max(3, round(args.seconds / _ROUND_SECONDS))):
        for name, model in models.items():
            rows = steps[name] * batch_size
            seconds, _ = _epoch(model, x[:rows], x[:rows] if y is x else y[:rows], batch_size)
            times[name].append(seconds / steps[name])
    print("backend    ms/step    best   samples/s  GFLOP/s")
    flops = shape.flops(widths, batch_size)
    for name in names:
        median = float(np.median(times[name]))
        print(
            f"{name:<8} {1e3 * median:>9.3f} {1e3 * min(times[name]):>7.3f} {batch_size / median:>11,.0f} "
            f"{flops / median / 1e9:>8.1f}"
        )
    print(f"\nmedians of {len(times[names[0]])} rounds in turns; {engine('cython')}" if "cython" in names else "")
