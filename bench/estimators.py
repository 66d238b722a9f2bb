"""fastnn.sklearn beside scikit-learn: fit times and scores, mean and standard deviation over seeds.

    python -m bench.estimators --seeds 10 --json estimators.json
    python -m bench.estimators digits iris --dtype float64

The two take turns, seed by seed. Times and scores (accuracy, or R2 of a regression) are of the same fits, on the rows
that were held out. 60 epochs; 20 of the tabular data and 5 of MNIST. The last column is how far the means are apart, in
standard deviations of scikit-learn's scores. Needs the extra `peers`, and MNIST where `fastnn data` finds it.
"""

import argparse
import json
import pathlib
import time
import warnings

import numpy as np

from bench.report import markdown

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
    found = {"rows": len(train[0])}
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


def table(results):
    """Return the results as a table in Markdown: medians of the seconds, means and deviations of the scores."""
    head = ["data", "rows", "fastnn, s", "scikit-learn, s", "times", "fastnn", "scikit-learn", "difference"]
    rows = []
    for name, found in results.items():
        mine, other = (found[key] for key in ("fastnn.sklearn", "sklearn.neural_network"))
        times = np.median(np.divide(other["seconds"], mine["seconds"]))
        mean, deviation = np.mean(other["scores"]), np.std(other["scores"])
        scores = [f"{np.mean(r['scores']):.4f} ± {np.std(r['scores']):.4f}" for r in (mine, other)]
        apart = (np.mean(mine["scores"]) - mean) / max(deviation, 1e-12)
        seconds = [f"{np.median(r['seconds']):.3f}" for r in (mine, other)]
        rows.append([name, f"{found['rows']:,}", *seconds, f"{times:.1f}", *scores, f"{apart:+.2f} sd"])
    return markdown(head, rows)


def main():
    """Print a table, and write what it is made from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"some of {', '.join(SETS)}; by default all")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--json", help="file to add the numbers to; the table then shows all it has")
    arguments = parser.parse_args()
    unknown = set(arguments.sets) - set(SETS)
    if unknown:
        parser.error(f"unknown data set {min(unknown)!r}; there are {', '.join(SETS)}")
    warnings.simplefilter("ignore")
    file = pathlib.Path(arguments.json) if arguments.json else None
    settings = {"dtype": arguments.dtype, "seeds": arguments.seeds}
    kept = json.loads(file.read_text(encoding="utf-8")) if file and file.exists() else {**settings, "results": {}}
    if {name: kept[name] for name in settings} != settings:
        parser.error(f"{file} has results with other settings than {settings}")
    for name in arguments.sets or SETS:
        kept["results"][name] = compare(name, arguments.seeds, arguments.dtype)
        if file:
            file.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    print(table(kept["results"]))


if __name__ == "__main__":
    main()
