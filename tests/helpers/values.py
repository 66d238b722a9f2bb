"""The scripts in tests/values, with fastnn in the place of the library whose values they store."""

import importlib.util
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "values"


def script(name, keras):
    """Return the module of a script that says ``import keras``, with another Keras."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get("keras")
    sys.modules["keras"] = keras
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["keras"]
        if before is not None:
            sys.modules["keras"] = before
    return module
