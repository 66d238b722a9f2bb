"""Two backends side by side: training steps through the contract, or matrix products, in alternating rounds.

    python -m bench.backends                               numba against cython, a table of all workloads
    python -m bench.backends numba numpy --only mlp128     any two, and what matches
    python -m bench.backends --gemm --json gemm.json       matrix products, beside the peak of the same rounds

Each round times both, one after the other; the ratio is the median of the rounds' ratios, for the speed of a machine
drifts more than backends differ. Both must agree on the losses first.
"""

import argparse
import json
import statistics
import sys
import time

import numpy as np
from fastnn.kernels import get_backend
from fastnn.kernels.threads import default_threads

from bench import cases, machine, report
from bench.shapes import GEMMS, WORKLOADS

# Seconds of products of one kind, one after the other.
ROUND_OF_PRODUCTS = 0.003


def interleave(first, second, seconds, between=lambda: None):
    """Call both in turn, after one of each that does not count, for about so many seconds; `between` before each round.

    Returns
    -------
    tuple of float
        Median seconds of the first, of the second, and the median of the rounds' ratios (first over second).
    """
    times = ([], [])
    end = time.perf_counter() + seconds
    first(), second()
    while time.perf_counter() < end or len(times[0]) < 5:
        between()
        for run, taken in zip((first, second), times, strict=True):
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(*times, strict=True)]
    return (*map(statistics.median, times), statistics.median(ratios))


def training(workload, backends, threads, seconds):
    """Compare training steps.

    Returns
    -------
    dict
        Milliseconds a step of either, and their ratio.
    """
    runs = [cases.Run(backend, workload, workload.rows(12_800, 200), threads) for backend in backends]
    losses = [run.train(3) for run in runs]
    if not np.allclose(*losses, rtol=1e-3):
        raise ArithmeticError(f"{workload.id}: the losses differ: {losses[0].ravel()} and {losses[1].ravel()}")
    start = time.perf_counter()
    runs[0].train(3)
    # A round of some 20 ms: enough that the call itself does not count.
    steps = int(np.clip(0.02 / ((time.perf_counter() - start) / 3), 1, len(runs[0].order) // workload.batch))
    a, b, ratio = interleave(*(lambda run=run: run.train(steps) for run in runs), seconds)
    return {"case": workload.id, "title": workload.title, "ms": [1e3 * a / steps, 1e3 * b / steps], "ratio": ratio}


def product(shape, backends, threads, seconds):
    """Compare matrix products, some milliseconds of them at a time: in a step one follows the other, too, and threads
    that have slept are not what is asked for.

    Returns
    -------
    dict
        GFLOP/s of either, and the ratio of their times; `peak` is what registers alone reached in the same rounds.
    """
    rng = np.random.default_rng(0)
    a = rng.standard_normal((shape.k, shape.m) if shape.trans_a else (shape.m, shape.k), np.float32)
    b = rng.standard_normal((shape.n, shape.k) if shape.trans_b else (shape.k, shape.n), np.float32)
    outs = [np.empty((shape.m, shape.n), np.float32) for _ in backends]

    def runner(backend, out, calls):
        def run():
            for _ in range(calls):
                backend.gemm(a, b, out, shape.trans_a, shape.trans_b, threads)

        return run

    once = [runner(*pair, 1) for pair in zip(backends, outs, strict=True)]
    for run in once:
        run()
    start = time.perf_counter()
    once[0]()
    calls = int(np.clip(ROUND_OF_PRODUCTS / (time.perf_counter() - start), 1, 1000))
    runs = [runner(*pair, calls) for pair in zip(backends, outs, strict=True)]
    peaks = []
    first, second, ratio = interleave(*runs, seconds, lambda: peaks.append(machine.fma_peak(threads, trials=1) / 1e9))
    if not np.allclose(*outs, rtol=1e-3, atol=1e-2):
        raise ArithmeticError(f"{shape.name}: the products differ")
    speeds = [calls * shape.flops / seconds / 1e9 for seconds in (first, second)]
    return {"case": shape.name, "title": shape.name, "gflops": speeds, "peak": statistics.median(peaks), "ratio": ratio}


def table(records, names):
    """Write the results as a table: milliseconds, or GFLOP/s and their share of the peak in the same rounds."""
    rows = []
    for record in records:
        if "ms" in record:
            numbers = [report.significant(ms) for ms in record["ms"]]
        else:
            numbers = [f"{report.significant(g)} ({g / record['peak']:.0%})" for g in record["gflops"]]
        rows.append([record["title"], *numbers, f"{record['ratio']:.2f}"])
    unit = "training step, ms" if not records or "ms" in records[0] else "product, GFLOP/s (of the peak)"
    return report.markdown([unit, *names, "time, first to second"], rows)


def main(arguments=None):
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.backends", description="Compare two backends.")
    parser.add_argument("first", nargs="?", default="numba", help="a backend (default numba)")
    parser.add_argument("second", nargs="?", default="cython", help="what to compare it with (default cython)")
    parser.add_argument("--threads", type=int, default=default_threads(), help="threads of both")
    parser.add_argument("--only", default="", help="cases whose name contains this, such as mlp900 or b128")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each case (default 2)")
    parser.add_argument("--gemm", action="store_true", help="matrix products, not training steps")
    parser.add_argument("--json", help="file to write the results to")
    options = parser.parse_args(arguments)
    names = [options.first, options.second]
    backends = [get_backend(name) for name in names]
    compare, every = (product, GEMMS) if options.gemm else (training, WORKLOADS)
    chosen = [case for case in every if options.only in (case.name if options.gemm else case.id)]
    if not chosen:
        print(f"bench.backends: no case has {options.only!r} in its name", file=sys.stderr)
        return 1
    about = machine.describe(options.threads)
    records = [compare(case, backends, options.threads, options.seconds) for case in chosen]
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": about, "backends": names, "results": records}, file, indent=1)
    print(f"{report.header(about)}\n\n{table(records, names)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
