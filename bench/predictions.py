"""fastnn's `predict` against its peers': from a NumPy array to a NumPy array, in one call.

    python -m bench.predictions --json predictions.json
    python -m bench.predictions --only mlp128 --peers JAX

The libraries come with the extra: ``pip install -e ".[peers]"``. Before anything is timed, every library has to give
fastnn's outputs for the same weights; rounds alternate between the libraries, as in `bench.peers`.
"""

import argparse
import json
import statistics
import sys
import time

import numpy as np
from threadpoolctl import threadpool_limits

from bench import cases, machine
from bench.contenders import PEERS, Fastnn
from bench.peers import PAUSE, contenders, pin, present
from bench.shapes import WORKLOADS

NETWORKS = ("mlp128-b128", "mlp900-b128", "ae-b128", "tabular-b256")
ROWS = (1, 32, 1_024, 60_000)
# Rounding of single precision; every library sums in an order of its own.
TOLERANCE = 1e-4
SECONDS = 0.02  # of calls in one turn, at least


def seconds(contender, x, calls):
    """Time some calls of `predict`; return seconds a call."""
    start = time.perf_counter()
    for _ in range(calls):
        contender.predict(x)
    return (time.perf_counter() - start) / calls


def compare(workload, rows, peers, threads, rounds, backend):
    """Compare all on one network and one number of rows.

    Returns
    -------
    list of dict
        A record for each peer: microseconds of a call, and the median of the ratios.
    """
    made = contenders(workload, peers, workload.batch, threads, backend)
    x = np.random.default_rng(0).random((rows, workload.sizes[0]), dtype=np.float32)
    expected = made[Fastnn.name].predict(x)
    for name, contender in list(made.items()):
        error = float(np.abs(contender.predict(x) - expected).max())
        if not error <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            print(f"  {name}: left out, its outputs are up to {error:.2g} away from fastnn's", flush=True)
            del made[name]
    calls = {name: 1 + int(SECONDS / seconds(contender, x, 2)) for name, contender in made.items()}
    times = {name: [] for name in made}
    for _ in range(rounds):
        for name, contender in made.items():
            time.sleep(PAUSE)
            times[name].append(seconds(contender, x, calls[name]))
    ours = times.pop(Fastnn.name)
    records = []
    for name, theirs in times.items():
        records.append(
            {
                "workload": workload.id,
                "rows": rows,
                "peer": name,
                "peer_us": statistics.median(theirs) * 1e6,
                "fastnn_us": statistics.median(ours) * 1e6,
                "ratio": statistics.median(their / our for their, our in zip(theirs, ours, strict=True)),
            }
        )
        print(
            "  {peer:14s} {peer_us:11.1f} us, fastnn {fastnn_us:11.1f} us: {ratio:6.2f}x".format(**records[-1]),
            flush=True,
        )
    return records


def main(arguments=None):
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.predictions", description="Compare predictions with peers.")
    parser.add_argument("--threads", type=int, default=2, help="threads of every library (default 2)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds (default 9)")
    parser.add_argument("--backend", default="auto", help="fastnn's backend (default auto)")
    parser.add_argument("--only", default="", help="networks whose name contains this, such as mlp900")
    parser.add_argument("--peers", default="", help="peers whose name contains this, such as JAX")
    parser.add_argument("--json", help="file to write the results to")
    options = parser.parse_args(arguments)
    peers, missing = present([p for p in PEERS if options.peers.lower() in p.name.lower()])
    for name, reason in missing.items():
        print(f"{name} is left out: {reason}", flush=True)
    chosen = [w for w in WORKLOADS if w.id in NETWORKS and options.only in w.id]
    if not peers or not chosen:
        print('bench.predictions: nothing to compare; peers come with `pip install -e ".[peers]"`', file=sys.stderr)
        return 1
    pin(options.threads)
    packages = dict.fromkeys(package for peer in peers for package in peer.packages)
    results = []
    with threadpool_limits(options.threads):
        about = machine.describe(options.threads, tuple(packages))
        for workload in chosen:
            for rows in ROWS:
                print(f"{workload.title}: {rows} rows", flush=True)
                results += compare(workload, rows, peers, options.threads, options.rounds, options.backend)
    backend = cases.model(WORKLOADS[0], options.backend).backend
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": about, "missing": missing, "backend": backend, "results": results}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
