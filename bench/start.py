"""Seconds from `import fastnn` to the first trained batch, in new processes.

python -m bench.start [--backend numba] [--rounds 5]    once with an empty cache of compiled code, then with a full one
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

PROGRAM = """\
import time
start = time.perf_counter()
import fastnn
import numpy as np
model = fastnn.MLP([784, 128, 10], backend={backend!r}, seed=0)
model.fit(np.zeros((128, 784), np.uint8), np.zeros(128, np.int32), batch_size=128, verbose=0)
print(time.perf_counter() - start)
"""


def run(backend, folder):
    """Start a process that keeps compiled code in a folder; return its seconds."""
    command = [sys.executable, "-c", PROGRAM.format(backend=backend)]
    environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return float(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="numba")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cold = run(options.backend, folder)
        warm = [run(options.backend, folder) for _ in range(options.rounds)]
    middle, low, high = statistics.median(warm), min(warm), max(warm)
    print(f"{options.backend}: cold {cold:.2f} s, warm {middle:.2f} s ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
