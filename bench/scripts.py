"""Keras scripts before and after one changed line: time and accuracy.

python -m bench.scripts [--rounds 3] [--epochs 3]    prints a Markdown table; needs Keras (extra peers)

Each script runs as a process of its own, in turn on Keras and on `fastnn.keras`, and times its call of `fit`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

HEAD = """\
import json, sys, time
import numpy as np
{line}
from fastnn import datasets
keras.utils.set_random_seed(0)
(x, y), (xt, yt) = datasets.load({data!r})
x, xt = x.reshape(-1, 784).astype("float32") / 255, xt.reshape(-1, 784).astype("float32") / 255
L = keras.layers
"""
BODIES = {
    "MLP 784-128-10, Adam, accuracy": """
model = keras.Sequential([keras.Input((784,)), L.Dense(128, activation="relu"), L.Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
target, target_t = y.astype("int32"), yt.astype("int32")
""",
    "MLP 784-512-512-10, dropout 0.2, RMSprop, accuracy": """
model = keras.Sequential([keras.Input((784,)), L.Dense(512, activation="relu"), L.Dropout(0.2),
                          L.Dense(512, activation="relu"), L.Dropout(0.2), L.Dense(10, activation="softmax")])
model.compile("rmsprop", "categorical_crossentropy", metrics=["accuracy"])
target, target_t = keras.utils.to_categorical(y, 10), keras.utils.to_categorical(yt, 10)
""",
    "Autoencoder 784-128-32-128-784, Adam, loss": """
start = keras.Input((784,))
code = L.Dense(32, activation="relu")(L.Dense(128, activation="relu")(start))
model = keras.Model(start, L.Dense(784, activation="sigmoid")(L.Dense(128, activation="relu")(code)))
model.compile("adam", "mse")
target, target_t = x, xt
""",
}
TAIL = """
start = time.perf_counter()
model.fit(x, target, batch_size=128, epochs={epochs}, verbose=0)
seconds = time.perf_counter() - start
found = model.evaluate(xt, target_t, verbose=0)
print(json.dumps([seconds, found[1] if isinstance(found, list) else found]))
"""
LINES = {"Keras": "import keras", "fastnn": "import fastnn.keras as keras"}


def run(body, line, data, epochs):
    """Return the seconds of `fit` and the score of a script."""
    text = HEAD.format(line=line, data=data) + body + TAIL.format(epochs=epochs)
    environment = {"KERAS_BACKEND": "jax", **os.environ}
    result = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, env=environment)
    return json.loads(result.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--data", default="fashion-mnist-mini", help="a data set of 28 x 28 images")
    options = parser.parse_args()
    print("| script | Keras, s | fastnn, s | times | Keras | fastnn |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, body in BODIES.items():
        found = {which: [] for which in LINES}
        for _ in range(options.rounds):
            for which, line in LINES.items():
                found[which].append(run(body, line, options.data, options.epochs))
        cells = [[statistics.median(column) for column in zip(*rows, strict=True)] for rows in found.values()]
        (theirs, score), (ours, our_score) = cells
        row = (name, f"{theirs:.2f}", f"{ours:.2f}", f"{theirs / ours:.1f}", f"{score:.4f}", f"{our_score:.4f}")
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
