"""Arguments of Keras: of every class, function and method that fastnn.keras has too. Writes keras_signatures.json.

KERAS_BACKEND=jax python tests/values/keras_signatures.py    (keras 3.15.1)
"""

import importlib
import inspect
import json
from pathlib import Path

import keras

import fastnn.keras

# Classes whose own signature is (*args, **kwargs): where the arguments are.
PLACES = {
    "layers.Layer": "keras.src.layers.layer:Layer.__init__",
    "models.Model": "keras.src.models.functional:Functional.__init__",
    "models.Sequential": "keras.src.models.sequential:Sequential.__init__",
}
METHODS = {
    "models.Model": """compile fit evaluate predict train_on_batch test_on_batch predict_on_batch save save_weights
        load_weights get_layer summary from_config to_json get_config count_params get_weights set_weights build""",
    "models.Sequential": "add",
    "layers.Dense": "get_weights set_weights get_config count_params",
    "layers.Normalization": "adapt",
}


def arguments(function):
    """Return names and defaults, but for self and ** arguments."""
    found = inspect.signature(function).parameters.values()
    return [
        [p.name, "" if p.default is p.empty else repr(p.default)]
        for p in found
        if p.kind is not p.VAR_KEYWORD and p.name != "self"
    ]


def described(framework):
    """Yield the name and the arguments of everything public."""
    for module in fastnn.keras.__all__:
        ours = getattr(fastnn.keras, module)
        if not inspect.ismodule(ours):
            continue
        for name in sorted(ours.__all__):
            part = getattr(getattr(framework, module, None), name, None)
            key = f"{module}.{name}"
            if part is None or not callable(part):
                continue
            if framework is not fastnn.keras and key in PLACES:
                place, _, path = PLACES[key].partition(":")
                place = importlib.import_module(place)
                for step in path.split("."):
                    place = getattr(place, step)
                yield key, arguments(place)
            else:
                yield key, arguments(part)
            for method in METHODS.get(key, "").split():
                yield f"{key}.{method}", arguments(getattr(part, method))


if __name__ == "__main__":
    text = json.dumps(dict(described(keras)), indent=0)
    Path(__file__).with_suffix(".json").write_text(
        text.replace("[\n", "[").replace("\n]", "]").replace(",\n[", ", [").replace(',\n""', ', ""') + "\n"
    )
