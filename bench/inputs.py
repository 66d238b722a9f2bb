"""A fit of one epoch on the same images in the forms in which scripts pass them.

    python -m bench.inputs
    python -m bench.inputs --only mlp900 --rounds 5

Each round goes through all forms, so that they meet the machine in the same state. Everything that a fit does counts:
the check of the data, finding out whether they are bytes, the batches.
"""

import argparse
import statistics
import sys
import time

import numpy as np
from fastnn.kernels.threads import default_threads

from bench import cases, machine, report
from bench.shapes import WORKLOADS
from fastnn import keras

ROWS = 12_800
# What the bytes become, and whether a layer of the model divides them by 255.
FORMS = {
    "bytes": (lambda x: x, False),
    "bytes, Rescaling": (lambda x: x, True),
    "/ 255, float32": (lambda x: x / np.float32(255), False),
    "/ 255, float64": (lambda x: x / 255, False),
    "standardised, float32": (lambda x: ((x - x.mean()) / x.std()).astype(np.float32), False),
}


def keras_model(workload, rescale):
    """Build the network of a workload with `fastnn.keras`."""
    layers = [keras.layers.Input((workload.sizes[0],)), *([keras.layers.Rescaling(1 / 255)] if rescale else [])]
    for units in workload.sizes[1:-1]:
        layers += [keras.layers.Dense(units, workload.activation), keras.layers.Dropout(workload.dropout)]
    model = keras.Sequential([*layers, keras.layers.Dense(workload.sizes[-1], workload.last)])
    model.compile(workload.optimizer, workload.loss)
    return model


def compare(workload, rounds):
    """Time fits of one epoch; return the median of each form, in milliseconds a batch."""
    x, y = cases.data(workload, ROWS)
    runs = []
    for form, rescale in FORMS.values():
        runs.append((keras_model(workload, rescale), form(x)))
    times = []
    for _ in range(rounds + 1):  # the first is not counted
        times.append([])
        for model, inputs in runs:
            start = time.perf_counter()
            model.fit(inputs, y, batch_size=workload.batch, verbose=0)
            times[-1].append((time.perf_counter() - start) / (ROWS / workload.batch) * 1e3)
    return [statistics.median(form) for form in zip(*times[1:], strict=True)]


def main(arguments=None):
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.inputs", description="Compare forms of the same inputs.")
    parser.add_argument("--only", default="", help="workloads whose name contains this, such as mlp900 or b128")
    parser.add_argument("--rounds", type=int, default=9, help="rounds that count (default 9)")
    options = parser.parse_args(arguments)
    chosen = [w for w in WORKLOADS if options.only in w.id and w.labels and w.sizes[0] == 784]
    if not chosen:
        print(f"bench.inputs: no classifier of images has {options.only!r} in its name", file=sys.stderr)
        return 1
    about = machine.describe(default_threads())
    rows = [[w.title, *map(report.significant, compare(w, options.rounds))] for w in chosen]
    print(f"{report.header(about)}\n\n{report.markdown(['batch of a fit, ms', *FORMS], rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
