"""fastnn against PyTorch, Keras on JAX, JAX by hand and scikit-learn: whole training steps through `fit`.

    python -m bench.peers --json peers.json              the table, after some twenty minutes
    python -m bench.peers --quick                        whether it works, in a few
    python -m bench.peers --only mlp128 --peers JAX      what matches

The libraries come with the extra: ``pip install -e ".[peers]"``; those that are missing are named and left out. Before
anything is timed, every library trains from the same weights on the same batches and has to reach fastnn's loss. Rounds
alternate between the libraries, and each is compared with fastnn's of the same turn, for the speed of a machine drifts
more than the libraries differ. `python -m bench.report` makes the README's table and picture of the JSON.
"""

import argparse
import dataclasses
import importlib
import json
import os
import statistics
import sys
import time

from threadpoolctl import threadpool_limits

from bench import cases, machine, report
from bench.contenders import PEERS, Fastnn, NotExpressible
from bench.shapes import WORKLOADS

# How far the losses of two libraries may be apart, relatively, where both draw masks of dropout, each its own. Without
# dropout each peer states how far.
DROPOUT_TOLERANCE = 0.15
CHECK_EPOCHS = 2
# Between two turns, for threads of the last one that still spin: OpenBLAS's do so for 2**28 clock ticks.
PAUSE = 0.2


def present(peers):
    """Split the contenders into those that can be imported and, by name, why the others cannot."""
    found, missing = [], {}
    for peer in peers:
        try:
            os.environ.setdefault("KERAS_BACKEND", "jax")
            for package in peer.packages:
                importlib.import_module({"scikit-learn": "sklearn"}.get(package, package))
            found.append(peer)
        except ImportError as error:
            missing[peer.name] = str(error)
    return found, missing


def contenders(workload, peers, n, threads, backend):
    """Make fastnn and every peer that can express the workload, all from the same weights.

    Returns
    -------
    dict of str to Contender
        fastnn first.
    """
    x, y = cases.data(workload, n)
    weights = cases.model(workload).get_weights()
    made = {Fastnn.name: Fastnn(workload, weights, x, y, threads, backend=backend)}
    for peer in peers:
        try:
            made[peer.name] = peer(workload, weights, x, y, threads)
        except NotExpressible as reason:
            print(f"  {peer.name}: left out, {reason}", flush=True)
    return made


def same_loss(made, tolerance=None):
    """Train each in the order of the rows; drop those whose loss is not within the tolerance of fastnn's.

    Returns
    -------
    dict of str to float
        The losses of those that are left.
    """
    losses = {name: float(contender.fit(CHECK_EPOCHS, shuffle=False)) for name, contender in made.items()}
    expected = losses[Fastnn.name]
    for name, loss in list(losses.items()):
        limit = made[name].tolerance if tolerance is None else tolerance
        if not abs(loss - expected) <= limit * abs(expected):
            print(f"  {name}: left out, its loss is {loss:.5g} and fastnn's {expected:.5g}", flush=True)
            del losses[name], made[name]
    return losses


def checked(workload, peers, *arguments):
    """Make the contenders and keep those that reach fastnn's loss, with and without dropout; return them and losses."""
    made = contenders(workload, peers, *arguments)
    if not workload.dropout:
        return made, same_loss(made)
    plain = contenders(dataclasses.replace(workload, dropout=0.0), [p for p in peers if p.name in made], *arguments)
    same_loss(plain)
    made = {name: made[name] for name in plain}
    return made, same_loss(made, DROPOUT_TOLERANCE)


def interleave(made, epochs, rounds):
    """Time fits in turn, A B C A B C, after one of each that does not count.

    Returns
    -------
    dict of str to list of float
        Seconds of every round.
    """
    times = {name: [] for name in made}
    for _ in range(rounds + 1):
        for name, contender in made.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            contender.fit(epochs, shuffle=True)
            times[name].append(time.perf_counter() - start)
    return {name: seconds[1:] for name, seconds in times.items()}


def compare(workload, peers, threads, rounds, rows, steps, backend):
    """Compare all on one workload.

    Returns
    -------
    list of dict
        A record for each peer: times of a step in milliseconds, the median of the ratios, and all ratios.
    """
    n = workload.rows(rows)
    epochs = -(-steps // (n // workload.batch))
    made, losses = checked(workload, peers, n, threads, backend)
    if len(made) == 1:
        return []
    times = interleave(made, epochs, rounds)
    ours = times.pop(Fastnn.name)
    milliseconds = 1e3 / (n // workload.batch * epochs)
    records = []
    for name, theirs in times.items():
        ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
        records.append(
            {
                "workload": workload.id,
                "title": workload.title,
                "peer": name,
                "peer_ms": statistics.median(theirs) * milliseconds,
                "fastnn_ms": statistics.median(ours) * milliseconds,
                "ratio": statistics.median(ratios),
                "ratios": ratios,
                "peer_loss": losses[name],
                "fastnn_loss": losses[Fastnn.name],
                "rows": n,
                "epochs": epochs,
            }
        )
        print(
            f"  {name:14s} {records[-1]['peer_ms']:9.3f} ms, fastnn {records[-1]['fastnn_ms']:8.3f} ms: "
            f"{records[-1]['ratio']:6.2f}x ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )
    return records


def pin(threads):
    """Keep this process to as many CPUs as threads: the one limit that every library obeys. Linux only."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def main(arguments=None):
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description="Compare fastnn with its peers.")
    parser.add_argument("--threads", type=int, default=2, help="threads of every library (default 2)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count (default 7)")
    parser.add_argument("--rows", type=int, default=12_800, help="rows to train on, at most (default 12800)")
    parser.add_argument("--steps", type=int, default=50, help="steps of a round, at least (default 50)")
    parser.add_argument("--backend", default="auto", help="fastnn's backend (default auto)")
    parser.add_argument("--only", default="", help="workloads whose name contains this, such as mlp900 or b128")
    parser.add_argument("--peers", default="", help="peers whose name contains this, such as JAX")
    parser.add_argument("--quick", action="store_true", help="three rounds of few steps")
    parser.add_argument("--json", help="file to write the results to")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.rows, options.steps = 3, 1_024, 5
    chosen = [w for w in WORKLOADS if options.only in w.id]
    peers, missing = present([p for p in PEERS if options.peers.lower() in p.name.lower()])
    for name, reason in missing.items():
        print(f"{name} is left out: {reason}", flush=True)
    if not peers or not chosen:
        print('bench.peers: nothing to compare; peers come with `pip install -e ".[peers]"`', file=sys.stderr)
        return 1
    pin(options.threads)
    packages = dict.fromkeys(package for peer in peers for package in peer.packages)
    results = []
    with threadpool_limits(options.threads):
        about = {**machine.describe(options.threads, tuple(packages)), "quick": options.quick}
        for workload in chosen:
            print(workload.title, flush=True)
            measured = options.threads, options.rounds, options.rows, options.steps
            results += compare(workload, peers, *measured, options.backend)
    settings = {name: getattr(options, name) for name in ("rounds", "rows", "steps", "threads")}
    settings["backend"] = cases.model(WORKLOADS[0], options.backend).backend
    found = {"machine": about, "settings": settings, "missing": missing, "results": results}
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    print(f"\n{report.peers_section(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
