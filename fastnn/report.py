"""What `fastnn info` and `fastnn bench` do."""

import itertools
import os
import platform
import sys
import time
from dataclasses import dataclass

import numpy as np

from . import __version__, kernels
from .autoencoder import Autoencoder
from .callbacks import Callback
from .kernels.threads import default_threads
from .mlp import MLP

_VECTORS = {"v2": "SSE4.2", "v3": "AVX2 and FMA", "v4": "AVX-512", "generic": "what the compiler takes for granted"}
_DEPENDENCIES = ("numpy", "numba", "llvmlite", "tqdm", "pooch", "safetensors", "threadpoolctl", "matplotlib")
_VARIABLES = ("FASTNN_BACKEND", "FASTNN_NUM_THREADS", "FASTNN_ISA", "FASTNN_DATA")


def engine(backend):
    """Describe a backend, given by name, in a few words."""
    if backend != "cython":
        return f"{backend} backend"
    variant = kernels.get_backend("cython").instruction_set()
    return f"{backend} backend ({_instruction_set(variant)})"


def _instruction_set(variant):
    name = "generic" if variant == "generic" else f"x86-64-{variant}"
    return f"{name}: {_VECTORS[variant]}"


def counted(number, what):
    """Return "1 thread", "2 threads" and so on."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def threads(wish=None):
    """Return the number of threads that would be used, and why."""
    if wish is not None:
        return wish, "as asked"
    count = default_threads()
    if os.environ.get("FASTNN_NUM_THREADS"):
        return count, "FASTNN_NUM_THREADS"
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    if count < allowed:
        return count, f"the control group's quota, on {allowed} CPUs"
    return count, f"the CPUs that this process may run on, of {os.cpu_count()}"


# ---------------------------------------------------------------------------------------------- info


def info(args):
    print(f"fastnn         {__version__} ({os.path.dirname(__file__)})")
    print(f"python         {platform.python_version()} {platform.python_implementation()} ({sys.executable})")
    print(f"platform       {platform.platform()}")
    print(f"processor      {_processor()}")
    try:
        print("threads        {}: {}".format(*threads()))
    except ValueError as error:
        print(f"threads        not known: {error}")
    _print_backends()
    print("\ndependencies")
    for name in _DEPENDENCIES:
        print(f"  {name:<15} {_version(name)}")
    print("\ndata sets")
    from . import commands, datasets

    for name in datasets.names():
        print(f"  {name:<19} {commands.where(name)}")
    print("\nenvironment")
    for name in _VARIABLES:
        print(f"  {name:<19} {os.environ.get(name) or 'not set'}")


def _print_backends():
    status = kernels.backend_status()
    print("\nbackends")
    for name, reason in status.items():
        print(f"  {name:<12} {'available' if reason is None else f'not available: {reason}'}")
    wish = os.environ.get("FASTNN_BACKEND")
    try:
        print(f'  "auto" is    {kernels.get_backend().NAME}{", as FASTNN_BACKEND says" if wish else ""}')
    except (ValueError, ImportError) as error:
        print(f'  "auto" fails: {error}')
    try:
        from .kernels.cython_backend import _pool
    except ImportError:
        return
    print("\ncython backend")
    print(f"  built by           {_compiler(_pool.compiler())}")
    if status["cython"] is None:
        backend = kernels.get_backend("cython")
        forced = ", as FASTNN_ISA says" if os.environ.get("FASTNN_ISA") else ", the best of both"
        print(f"  built              {' '.join(backend.variants())}")
        print(f"  runnable here      {' '.join(_pool.instruction_sets())}")
        print(f"  in use             {_instruction_set(backend.instruction_set())}{forced}")
    else:
        print(f"  runnable here      {' '.join(_pool.instruction_sets())}")


def _compiler(version):
    # Clang says its name, GCC only a number.
    return f"GCC {version}" if version[:1].isdigit() else version


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith(("model name", "Model")):
                    return f"{line.split(':', 1)[1].strip()} ({platform.machine()})"
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(distribution):
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return (
            'not installed; the pictures need it: pip install -e ".[plot]"'
            if distribution == "matplotlib"
            else "missing"
        )


# ---------------------------------------------------------------------------------------------- bench


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


def bench(args):
    shape = SHAPES[args.shape]
    batch_size = args.batch_size or shape.batch_size
    names = list(dict.fromkeys(args.backends or kernels.available_backends()))
    models = {name: shape.model(backend=name, seed=0, dtype=args.dtype, threads=args.threads) for name in names}
    first = next(iter(models.values()))
    widths = [shape.sizes[0], *(layer.output_shape[1] for layer in first.layers if layer.count_params())]
    count, why = threads(args.threads)
    network = f"{'-'.join(map(str, widths))}, {first.count_params():,} parameters"
    print(f"{args.shape}: {network}, batches of {batch_size}, {args.dtype}")
    print(f"{_processor()}, {counted(count, 'thread')}: {why}", flush=True)

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
