"""What a number was measured on: processor, threads, its measured peak and bandwidth, versions, commit.

``python -m bench.machine`` prints it.
"""

import argparse
import datetime
import functools
import json
import os
import platform
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from fastnn.kernels import BackendUnavailable, backend_status, get_backend
from fastnn.kernels.threads import default_threads

ROOT = Path(__file__).resolve().parents[1]
MEGABYTE = 1 << 20


def cpu_name():
    """Return the processor's name as its maker writes it, or what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    if not names and platform.system() == "Darwin":
        names = [_output("sysctl", "-n", "machdep.cpu.brand_string")]
    return next(filter(None, names), "") or platform.processor() or platform.machine()


def _output(*command):
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def commit():
    """Return the commit of the source tree, and whether tracked files differ from it; (None, None) without git."""
    head = _output("git", "rev-parse", "HEAD")
    if not head:
        return None, None
    return head, bool(_output("git", "status", "--porcelain", "--untracked-files=no"))


def versions(*packages):
    """Map each package that is installed to its version."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@functools.cache
def _fma_kernel():
    """Compile ``run(rounds, x)``; return it and the FLOPs of a round.

    Every vector register but a few is an accumulator of its own chain of multiply-adds, so that neither latency nor
    memory limits: what remains is the throughput of the units.
    """
    import llvmlite.binding as llvm
    import numba
    from llvmlite import ir
    from numba.core import cgutils
    from numba.extending import intrinsic

    features = llvm.get_host_cpu_features()
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    lanes = 16 if features.get("avx512f") else 8 if features.get("avx2") else 4
    chains = 12 if x86 and lanes < 16 else 24
    fused = not x86 or features.get("fma")
    vector, count = ir.VectorType(ir.FloatType(), lanes), ir.IntType(64)

    @intrinsic
    def burn(typingctx, rounds, x):
        def generate(context, builder, signature, args):
            rounds, x = args
            lane = ir.Constant(ir.IntType(32), 0)
            spread = builder.insert_element(ir.Constant(vector, ir.Undefined), x, lane)
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
            spread = builder.shuffle_vector(spread, ir.Constant(vector, ir.Undefined), zeros)
            kind = ir.FunctionType(vector, [vector] * 3)
            fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{lanes}f32")
            before, loop, after = builder.block, *(builder.append_basic_block() for _ in range(2))
            builder.branch(loop)
            builder.position_at_end(loop)
            i = builder.phi(count)
            sums = [builder.phi(vector) for _ in range(chains)]
            i.add_incoming(count(0), before)
            following = builder.add(i, count(1))
            i.add_incoming(following, loop)
            results = []
            for k, acc in enumerate(sums):
                # Each chain starts at another number, or the compiler would see that all are one.
                acc.add_incoming(ir.Constant(vector, [float(k)] * lanes), before)
                product = (spread, spread, acc)
                results.append(builder.call(fma, product) if fused else builder.fadd(builder.fmul(*product[:2]), acc))
                acc.add_incoming(results[-1], loop)
            builder.cbranch(builder.icmp_signed("<", following, rounds), loop, after)
            builder.position_at_end(after)
            return builder.extract_element(functools.reduce(builder.fadd, results), lane)

        return numba.float32(numba.int64, numba.float32), generate

    @numba.njit("float32(int64, float32)", nogil=True)
    def run(rounds, x):
        return burn(rounds, x)

    return run, 2 * lanes * chains


def _rate(prepare, amount, threads, trials):
    """Sum over threads of `amount` by the shortest of a thread's trials, all threads working at the same time.

    The shortest, for on a busy machine the others measure what else runs. ``prepare(id)`` returns what a trial calls.
    """
    start = threading.Barrier(threads)

    def trial(work):
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    def shortest(i):
        work = prepare(i)
        work()
        start.wait()
        return min(trial(work) for _ in range(trials))

    with ThreadPoolExecutor(threads) as pool:
        return sum(amount / seconds for seconds in pool.map(shortest, range(threads)))


def fma_peak(threads, trials=200):
    """Measure the peak of float32 multiply-adds in registers, FLOP/s of all threads; by one trial: of just now."""
    run, flops = _fma_kernel()
    rounds = 300_000
    return _rate(lambda i: lambda: run(rounds, 1e-3), rounds * flops, threads, trials)


def bandwidth(megabytes, threads):
    """Measure reading and writing an array in place, bytes/s of all threads, each on its own part."""
    size = megabytes * MEGABYTE // (4 * threads)

    def prepare(i):
        part = np.ones(size, np.float32)
        return lambda: np.multiply(part, np.float32(1.0), out=part)

    return _rate(prepare, 2 * 4 * size, threads, trials=max(5, 1000 // megabytes))


def describe(threads=None, packages=()):
    """Describe the machine, measuring its peak and bandwidths (a second or two).

    Parameters
    ----------
    threads : int, optional
        Threads that the measurements use; by default those that fastnn uses.
    packages : sequence of str
        Further packages whose versions are noted.

    Returns
    -------
    dict
        What JSON can hold. Speeds are in GFLOP/s and GB/s: ``peak_gflops`` in registers, ``cache_gbs`` on an array of
        24 MB (which is memory where the last cache is smaller), ``memory_gbs`` on one of 256 MB.
    """
    threads = threads or default_threads()
    head, dirty = commit()
    try:
        isa = get_backend("cython").instruction_set()
    except BackendUnavailable:
        isa = None
    return {
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "peak_gflops": round(fma_peak(threads) / 1e9, 1),
        "cache_gbs": round(bandwidth(24, threads) / 1e9, 1),
        "memory_gbs": round(bandwidth(256, threads) / 1e9, 1),
        "python": platform.python_version(),
        "versions": versions("fastnn-engine", "numpy", "numba", *packages),
        "instruction_set": isa,
        "unavailable": {name: reason for name, reason in backend_status().items() if reason},
        "commit": head,
        "dirty": dirty,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Describe this machine, as every result does.")
    parser.add_argument("--threads", type=int, help="by default those that fastnn uses")
    print(json.dumps(describe(parser.parse_args().threads), indent=1))
