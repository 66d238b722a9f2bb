"""fastnn.sklearn beside scikit-learn: fit times and scores, mean and standard deviation over seeds.

    python -m bench.estimators --seeds 10 --json estimators.json
    python -m bench.estimators digits iris --dtype float64

The two take turns, seed by seed. Times and scores are of the same fits. Needs the extra `peers`.
"""

import argparse
import json
import time
import warnings

import numpy as np

SETS = ("iris", "breast_cancer", "digits", "diabetes", "tabular", "mnist")


def load(name, dtype):
    """Return the kind of estimator, its parameters, and training and test data."""
    from sklearn import datasets
    from sklearn.preprocessing import scale

    parameters = {"max_iter": 60}
    if name == "mnist":
        import fastnn

        (x, y), (x_test, y_test) = fastnn.datasets.load("mnist")
        flat = [(part.reshape(len(part), -1) / 255.0).astype(dtype) for part in (x, x_test)]
        return "MLPClassifier", {"max_iter": 5}, (flat[0], y), (flat[1], y_test)
    kind = "MLPRegressor" if name in ("diabetes", "tabular") else "MLPClassifier"
    if name == "tabular":  # as many rows and columns as there are in the California housing data
        x, y = datasets.make_friedman1(20640, 8, noise=1.0, random_state=0)
        parameters = {"max_iter": 20}
    else:
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    y = scale(y) if kind == "MLPRegressor" else y
    order = np.random.default_rng(0).permutation(len(x))
    x, y = scale(x)[order].astype(dtype), y[order]
    cut = len(x) // 4
    return kind, parameters, (x[cut:], y[cut:]), (x[:cut], y[:cut])


def compare(name, seeds, dtype):
    """Fit both with every seed; return a dict of the library to its times and scores."""
    import sklearn.neural_network

    import fastnn.sklearn

    kind, parameters, train, test = load(name, dtype)
    found = {}
    for module in (fastnn.sklearn, sklearn.neural_network):
        getattr(module, kind)(max_iter=1, random_state=0).fit(*train)  # what is loaded or compiled on first use
        found[module.__name__] = {"seconds": [], "scores": []}
    for seed in range(seeds):
        for module in (fastnn.sklearn, sklearn.neural_network):
            model = getattr(module, kind)(random_state=seed, **parameters)
            start = time.perf_counter()
            model.fit(*train)
            found[module.__name__]["seconds"].append(time.perf_counter() - start)
            found[module.__name__]["scores"].append(model.score(*test))
    return found


def main():
    """Print a table, and write what it is made from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"some of {', '.join(SETS)}; by default all")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--json", help="file for the numbers")
    arguments = parser.parse_args()
    unknown = set(arguments.sets) - set(SETS)
    if unknown:
        parser.error(f"unknown data set {min(unknown)!r}; there are {', '.join(SETS)}")
    warnings.simplefilter("ignore")
    results = {}
    print(f"{'':14}{'fastnn':>10}{'scikit-learn':>14}{'ratio':>8}   fastnn            scikit-learn")
    for name in arguments.sets or SETS:
        results[name] = compare(name, arguments.seeds, arguments.dtype)
        mine, other = results[name].values()
        a, b = np.median(mine["seconds"]), np.median(other["seconds"])
        scores = "   ".join(f"{np.mean(r['scores']):.4f} +- {np.std(r['scores']):.4f}" for r in (mine, other))
        print(f"{name:14}{a:8.3f} s{b:12.3f} s{b / a:7.2f}x   {scores}", flush=True)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"dtype": arguments.dtype, "seeds": arguments.seeds, "results": results}, file, indent=1)


if __name__ == "__main__":
    main()
