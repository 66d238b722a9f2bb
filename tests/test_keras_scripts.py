"""``python -m fastnn.keras script.py``: Keras scripts as they are."""

import re
import subprocess
import sys

import pytest

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


# Each in the manner of its years: what it prints is what Keras prints, but for the numbers, which are asked about.
SCRIPTS = {
    "2016": ("""\
from __future__ import print_function
import numpy as np
np.random.seed(1337)
from keras.models import Sequential
from keras.layers.core import Dense, Dropout, Activation
from keras.layers.advanced_activations import LeakyReLU
from keras.optimizers import SGD
from keras.utils import np_utils
from keras.regularizers import l2

x = np.random.random((200, 20)).astype("float32")
y = np_utils.to_categorical((x[:, :1] * 3).astype(int), 3)
model = Sequential()
model.add(Dense(32, input_dim=20, kernel_initializer="uniform", kernel_regularizer=l2(0.0001)))
model.add(LeakyReLU(alpha=0.1))
model.add(Dropout(0.1))
model.add(Dense(3))
model.add(Activation("softmax"))
model.compile(loss="categorical_crossentropy", optimizer=SGD(lr=0.1, decay=1e-6, momentum=0.9, nesterov=True),
              metrics=["accuracy"])
history = model.fit(x, y, batch_size=16, nb_epoch=30, verbose=0, validation_data=(x, y))
score = model.evaluate(x, y, verbose=0)
print("Test accuracy:", score[1] > 0.8, sorted(history.history), len(history.epoch))
print(model.predict(x[:2]).argmax(axis=-1).shape, [layer.name for layer in model.layers])
""", """\
Test accuracy: True ['accuracy', 'loss', 'val_accuracy', 'val_loss'] 30
(2,) ['dense', 'leaky_re_lu', 'dropout', 'dense_1', 'activation']
"""),
    "2019": ("""\
import numpy as np
import tensorflow as tf

x = (np.random.RandomState(0).rand(200, 4, 4) * 255).astype("uint8") / 255.0
y = (x[:, 0, 0] * 3).astype(int)
model = tf.keras.models.Sequential([
    tf.keras.layers.Flatten(input_shape=(4, 4)),
    tf.keras.layers.Dense(32, activation=tf.nn.relu),
    tf.keras.layers.Dropout(0.1),
    tf.keras.layers.Dense(3),
])
predictions = model(x[:1]).numpy()
print(type(predictions).__name__, predictions.shape, tf.nn.softmax(predictions).numpy().sum().round(4))
loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
print(bool(loss(y[:1], predictions).numpy() > 0))
model.compile(optimizer=tf.optimizers.Adam(0.01), loss=loss, metrics=["accuracy"])

class Stop(tf.keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if logs["accuracy"] > 0.9:
            self.model.stop_training = True

model.fit(x, y, epochs=200, callbacks=[Stop(), tf.keras.callbacks.LearningRateScheduler(lambda epoch: 0.01)],
          verbose=0)
print(model.evaluate(x, y, verbose=0, return_dict=True)["accuracy"] > 0.85)
probability = tf.keras.Sequential([model, tf.keras.layers.Softmax()])
print(probability(x[:5]).numpy().shape, float(tf.keras.backend.get_value(model.optimizer.lr)))
tf.keras.backend.set_value(model.optimizer.learning_rate, 0.5)
print(model.optimizer.learning_rate.numpy())
""", """\
ndarray (1, 3) 1.0
True
True
(5, 3) 0.009999999776482582
0.5
"""),
    "2023": ("""\
import json
import numpy as np
import keras
from keras import Input, Model, layers, ops, regularizers
from keras import backend as K

def error(y_true, y_pred):
    return ops.sqrt(ops.mean(ops.square(y_true - y_pred), axis=-1))

def share(y_true, y_pred):
    return K.mean(K.cast(K.abs(y_true - y_pred) < 0.5, "float32"), -1, True)

keras.utils.set_random_seed(1)
x = np.random.rand(128, 3, 4)
normalization = layers.Normalization()
normalization.adapt(x)
print(normalization(x).shape, normalization.mean.shape)
encoder = keras.Sequential([Input((3, 4)), normalization, layers.Flatten(),
                            layers.Dense(5, activation="relu", activity_regularizer=regularizers.l1(1e-5))],
                           name="encoder")
codes = Input((5,))
decoder = Model(codes, layers.Reshape((3, 4))(layers.Dense(12, name="out")(codes)), name="decoder")
start = Input((3, 4), name="start")
whole = Model(start, decoder(encoder(start)), name="whole")
whole.compile("adam", "mse", metrics=[error, share])
history = whole.fit(x, x, epochs=2, batch_size=32, validation_split=0.25, verbose=0)
print(sorted(history.history), whole.layers[-1].name)
for weight in decoder.weights:
    print(weight.path, weight.shape, bool((weight.numpy() == decoder.get_layer("out").get_weights()[0]).all()))
    break
again = keras.models.model_from_json(whole.to_json())
again.set_weights(whole.get_weights())
print(again.name, np.allclose(again.predict(x, verbose=0), whole.predict(x, verbose=0)), again.count_params())
print(keras.Sequential.from_config(encoder.get_config()).output_shape, keras.models.clone_model(decoder).built)
features = Model(whole.inputs, encoder(whole.inputs))
print(features.predict(x, verbose=0).shape, sorted(json.loads(whole.to_json()))[:2])
keras.backend.clear_session()
whole.fit(x, x, verbose=2)
keras.Sequential([Input((4,)), layers.Dense(2), layers.Dense(1)]).summary()
""", """\
(128, 3, 4) (1, 1, 4)
['error', 'loss', 'share', 'val_error', 'val_loss', 'val_share'] decoder
out/kernel (5, 12) True
whole True 146
(None, 5) True
(128, 5) ['class_name', 'compile_config']
4/4 - error: - loss: - share:
Model: "sequential"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ dense (Dense)                   │ (None, 2)              │            10 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense_1 (Dense)                 │ (None, 1)              │             3 │
└─────────────────────────────────┴────────────────────────┴───────────────┘
 Total params: 13 (52.00 B)
 Trainable params: 13 (52.00 B)
 Non-trainable params: 0 (0.00 B)
"""),
}  # fmt: skip


@pytest.mark.parametrize("years", SCRIPTS)
def test_scripts_of_strangers(years, tmp_path):
    script, expected = SCRIPTS[years]
    result = run(tmp_path, script)
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stdout.splitlines() if line and "\x1b" not in line]  # without progress bars
    found = [re.sub(r" - \d+s - \d+(s|ms|us)/step|(?<=:) \d+\.\d+(e-\d+)?", "", line) for line in lines]
    assert found == expected.splitlines()


def test_what_is_outside_is_refused(tmp_path):
    for line, said in {
        "from keras.layers import Conv2D": "ImportError: keras.layers has no 'Conv2D'; supported are Activation, ",
        "import keras.layers.convolutional": "fastnn.keras has no module 'keras.layers.convolutional'; supported are",
        "import keras.applications": "ModuleNotFoundError: fastnn.keras has no module 'keras.applications'; supported",
        "from tensorflow.keras.preprocessing import image": "no module 'tensorflow.keras.preprocessing'; supported",
        "import tensorflow as tf\ntf.constant(1)": "AttributeError: tensorflow has no 'constant'; supported are init",
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
