"""Makes the pictures of the README: ``python docs/make_pictures.py``, about a minute."""

from pathlib import Path

import fastnn

FOLDER = Path(__file__).parent

(x_train, y_train), (x_test, y_test) = fastnn.datasets.load("fashion-mnist-mini")
names = fastnn.datasets.class_names("fashion-mnist-mini")
model = fastnn.Autoencoder([784, 256, 64], seed=0)
model.fit(x_train, epochs=40, batch_size=64, verbose=0)
made = model.predict(x_test[:10])
figure = fastnn.plot.reconstructions(x_test[:10], made, errors=model.reconstruction_error(x_test[:10]))
figure.savefig(FOLDER / "reconstructions.png")

model = fastnn.MLP([784, 256, 128, 10], dropout=0.3, seed=0)
model.fit(x_train, y_train, epochs=20, batch_size=128, verbose=0)
figure = fastnn.plot.confusion_matrix(y_test, model.predict(x_test), class_names=names)
figure.savefig(FOLDER / "confusion.png", dpi=80)
