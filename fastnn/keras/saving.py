"""What scripts import from ``keras.saving``."""

from .arguments import missing
from .models import load_model, save_model

__all__ = ["load_model", "save_model"]
__getattr__ = missing("keras.saving", __all__)
