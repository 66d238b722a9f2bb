"""Data for the tests of the estimators."""

from sklearn import datasets


def digits(n=400):
    """Rows (n, 64) in [0, 1], and labels (n,)."""
    x, y = datasets.load_digits(return_X_y=True)
    return x[:n] / 16.0, y[:n]
