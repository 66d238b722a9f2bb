"""Estimators with the interface of scikit-learn's: its parameters, attributes and behaviour, trained here.

They need scikit-learn, the extra `sklearn`.
"""

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        f'fastnn.sklearn needs scikit-learn, which cannot be imported ({error}); pip install -e ".[sklearn]" in the '
        "clone gets it"
    ) from error

from .autoencoder import AutoencoderTransformer
from .mlp import MLPClassifier, MLPRegressor

__all__ = ["AutoencoderTransformer", "MLPClassifier", "MLPRegressor"]
