"""``python -m fastnn.keras script.py``: Keras scripts as they are."""

import subprocess
import sys

SCRIPT = """\
import sys
import numpy as np
import tensorflow as tf
import keras.backend as K
from keras.utils import np_utils
from keras.datasets import fashion_mnist, mnist
from tensorflow import keras as tfk
from tensorflow.keras.layers import Dense
from tensorflow.keras.models import Sequential, load_model

tf.random.set_seed(1)
x = np.random.default_rng(0).random((64, 4))
y = np_utils.to_categorical(x.argmax(axis=1), 4)
model = Sequential()
model.add(Dense(16, activation="relu", input_dim=4))
model.add(tf.keras.layers.Dense(4, activation=tf.keras.activations.softmax))
model.compile(optimizer=tfk.optimizers.Adam(lr=0.01), loss="categorical_crossentropy", metrics=["acc"])
history = model.fit(x, y, epochs=60, verbose=0, validation_split=0.25)
print(sys.argv[1:], __name__, sorted(history.history), history.history["acc"][-1] > 0.6)
"""


def run(folder, text, *arguments):
    path = folder / "script.py"
    path.write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "fastnn.keras", str(path), *arguments], capture_output=True, text=True, check=False
    )


def test_a_script_runs_as_it_is(tmp_path):
    result = run(tmp_path, SCRIPT, "--size", "3")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "['--size', '3'] __main__ ['acc', 'loss', 'val_acc', 'val_loss'] True\n"


def test_what_is_outside_is_refused(tmp_path):
    for line, said in {
        "from keras.layers import Conv2D": "ImportError: keras.layers has no 'Conv2D'; supported are Activation, ",
        "import keras.applications": "ModuleNotFoundError: fastnn.keras has no module 'keras.applications'; supported",
        "from tensorflow.keras.preprocessing import image": "no module 'tensorflow.keras.preprocessing'; supported",
        "import tensorflow as tf\ntf.constant(1)": "AttributeError: tensorflow has no 'constant'; supported are keras",
    }.items():
        result = run(tmp_path, line)
        assert result.returncode == 1
        assert said in result.stderr.splitlines()[-1]


def test_usage(tmp_path):
    result = subprocess.run([sys.executable, "-m", "fastnn.keras"], capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "script.py" in result.stdout
    missing = subprocess.run(
        [sys.executable, "-m", "fastnn.keras", "no.py"], capture_output=True, text=True, check=False
    )
    assert missing.returncode == 2 and "there is no script 'no.py'" in missing.stderr


def test_nothing_outside_the_process_is_touched():
    code = "import sys, fastnn.keras; print([m for m in sys.modules if m.split('.')[0] in ('keras', 'tensorflow')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
