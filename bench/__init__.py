"""Benchmarks: every backend against the NumPy reference (`pytest bench`), and fastnn against its peers.

    pytest bench                                        everything, some minutes
    pytest bench --quick                                everything at small sizes, under two minutes
    pytest bench --benchmark-json=bench.json            keep the results
    python -m bench.backends numba cython               two backends side by side
    python -m bench.peers --json peers.json             PyTorch, Keras, JAX and scikit-learn; needs the extra `peers`
    python -m bench.estimators --json estimators.json   the estimators beside scikit-learn's: times and scores
    python -m bench.report bench.json peers.json --readme README.md --picture peers.png

Run them from the root of the repository, with fastnn installed from it (``pip install -e .``).
"""
