"""`fastnn train --recipe best` over data sets and seeds: accuracy on the test images, and seconds.

python -m bench.recipes [--data fashion-mnist mnist] [--seeds 2]    prints a Markdown table
"""

import argparse
import subprocess
import sys
import tempfile
import time

import fastnn


def run(data, seed):
    """Train by the command, in a process of its own; return the accuracy and the seconds of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "fastnn", "train", "--data", data, "--recipe", "best", "--seed", str(seed)]
        start = time.perf_counter()
        subprocess.run([*command, "--out", f"{folder}/run"], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        model = fastnn.load(f"{folder}/run/model.safetensors")
    _, test = fastnn.datasets.load(data)
    return model.evaluate(*test, return_dict=True)["accuracy"], seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["fashion-mnist", "mnist"])
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    print("| data | seed | accuracy | s |\n| --- | ---: | ---: | ---: |")
    for data in options.data:
        for seed in range(options.seeds):
            accuracy, seconds = run(data, seed)
            print(f"| {data} | {seed} | {accuracy:.4f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
