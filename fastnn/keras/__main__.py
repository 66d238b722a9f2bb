"""``python -m fastnn.keras script.py [args]``: runs a Keras script as it is, with fastnn in the place of Keras.

In this process alone, ``keras``, ``tensorflow.keras`` and ``tf.keras`` are `fastnn.keras`. What it does not have raises
ImportError or AttributeError with one line that says what there is.
"""

import importlib.abc
import os
import runpy
import sys
import types

from fastnn import keras
from fastnn.keras import arguments, seeds

_HEADS = ("keras", "tensorflow", "tf_keras")


class _Refusal(importlib.abc.MetaPathFinder):
    """Finds the modules of Keras and TensorFlow that fastnn does not have, to say so."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in _HEADS:
            here = sorted(module for module in sys.modules if module.partition(".")[0] == "keras")
            raise ModuleNotFoundError(
                f"fastnn.keras has no module {name!r}; supported are {', '.join(here)}", name=name
            )
        return None


def _module(name, **content):
    module = types.ModuleType(name)
    vars(module).update(content)
    module.__getattr__ = arguments.missing(name, [key for key in content if not key.startswith("__")])
    return module


def install():
    """Put `fastnn.keras` in the place of Keras in this process."""
    tensorflow = _module(
        "tensorflow",
        keras=keras,
        # Modules of Keras that TensorFlow has by a shorter name too.
        **{name: keras.MODULES[name] for name in ("initializers", "losses", "metrics", "optimizers")},
        nn=_module("tensorflow.nn", **keras.activations.FUNCTIONS),
        random=_module("tensorflow.random", set_seed=seeds.reseed),
        set_random_seed=seeds.reseed,  # as it was called before
        __version__=f"2.0.0+fastnn.keras.{keras.__version__}",
        __path__=[],
    )
    sys.modules.update(
        {"tensorflow": tensorflow, "tensorflow.nn": tensorflow.nn, "tensorflow.random": tensorflow.random}
    )
    for head in ("keras", "tensorflow.keras", "tf_keras"):
        sys.modules[head] = keras
        sys.modules.update({f"{head}.{name}": module for name, module in keras.MODULES.items()})
    for module in keras.MODULES.values():
        vars(module).setdefault("__path__", [])  # so that modules that it does not have are asked for here
    sys.meta_path.insert(0, _Refusal())


def main(arguments):
    """Run the script that the first argument names, with the others as its own."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if arguments else 2
    script = arguments[0]
    if not os.path.isfile(script):
        print(f"python -m fastnn.keras: there is no script {script!r}", file=sys.stderr)
        return 2
    install()
    sys.argv = list(arguments)
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    runpy.run_path(script, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
