"""Sequential: compile, fit, evaluate, predict, weights, and copies of a model."""

import copy
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn.layers import Activation, Dense, Dropout, Flatten, Input

RNG = np.random.default_rng(11)
X = RNG.normal(size=(60, 5)).astype("f4")
LABELS = (X @ RNG.normal(size=(5, 3))).argmax(axis=1)
ONE_HOT = np.eye(3, dtype="f4")[LABELS]
T = (X @ RNG.normal(size=(5, 2))).astype("f4")


def model(backend="numpy", loss="sparse_categorical_crossentropy", last="softmax", outputs=3, **options):
    layers = [Dense(8, activation="relu", input_shape=(5,)), Dropout(0.2), Dense(outputs, activation=last)]
    made = fastnn.Sequential(layers, **{"seed": 0, "backend": backend, **options})
    return made.compile(optimizer=fastnn.optimizers.Adam(0.01), loss=loss, metrics=["accuracy"])


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_predict_and_evaluate_are_what_they_say(backend):
    m = model(backend.NAME, dtype="float64")
    w1, b1, w2, b2 = m.get_weights()
    p = softmax(np.maximum(X.astype(float) @ w1 + b1, 0) @ w2 + b2)
    got = m.predict(X)
    assert got.dtype == np.float64 and got.shape == (60, 3)
    np.testing.assert_allclose(got, p, rtol=1e-10)
    loss = -np.log(p[np.arange(60), LABELS])
    accuracy = (p.argmax(axis=1) == LABELS).mean()
    assert m.evaluate(X, LABELS) == [pytest.approx(loss.mean()), pytest.approx(accuracy)]
    assert m.evaluate(X, LABELS, return_dict=True) == {"loss": pytest.approx(loss.mean()), "accuracy": accuracy}
    weight = np.linspace(0, 2, 60)
    weighted = m.evaluate(X, LABELS, sample_weight=weight)
    assert weighted == [pytest.approx((loss * weight).mean()), pytest.approx(accuracy)]
    np.testing.assert_array_equal(m.predict_classes(X), p.argmax(axis=1))


def test_fit_learns(backend):
    m = model(backend.NAME)
    before = m.evaluate(X, LABELS)
    history = m.fit(X, LABELS, epochs=30, batch_size=8).history
    after = m.evaluate(X, LABELS)
    assert after[0] < 0.5 * before[0] and after[1] > 0.9
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_dtypes(name, backend):
    m = model(backend.NAME, dtype=name)
    m.fit(X, LABELS)
    assert m.dtype == name == m.params.dtype == m.predict(X).dtype == m.get_weights()[0].dtype


def test_a_loss_alone_is_a_number():
    m = fastnn.Sequential([Dense(2, input_shape=(5,))], seed=0, backend="numpy").compile("sgd", "mse")
    assert type(m.evaluate(X, T)) is float
    assert list(m.fit(X, T).history) == ["loss"]
    assert m.evaluate(X, T, return_dict=True) == {"loss": m.evaluate(X, T)}


@pytest.mark.parametrize(
    ("loss", "last", "y"),
    [
        ("sparse_categorical_crossentropy", "softmax", LABELS),
        ("categorical_crossentropy", "softmax", ONE_HOT),
        ("binary_crossentropy", "sigmoid", ONE_HOT),
        ("mse", "sigmoid", ONE_HOT),
        ("mae", "linear", ONE_HOT),
        (fastnn.losses.SparseCategoricalCrossentropy(from_logits=True), None, LABELS),
        (fastnn.losses.CategoricalCrossentropy(from_logits=True), None, ONE_HOT),
        (fastnn.losses.BinaryCrossentropy(from_logits=True), None, ONE_HOT),
    ],
)
def test_every_loss(loss, last, y, backend):
    m = model(backend.NAME, loss, last)
    first, *_, final = m.fit(X, y, epochs=8, batch_size=10).history["loss"]
    assert final < first
    _, accuracy = m.evaluate(X, y)
    p = m.predict(X)
    if last is None and "Binary" in type(loss).__name__:
        assert accuracy == pytest.approx(((p > 0) == (ONE_HOT > 0.5)).mean())
    elif loss == "binary_crossentropy":
        assert accuracy == pytest.approx(((p > 0.5) == (ONE_HOT > 0.5)).mean())
    else:
        assert accuracy == pytest.approx((p.argmax(axis=1) == LABELS).mean())


def test_labels_and_their_one_hot_rows_give_the_same_model():
    a, b = model(), model(loss="categorical_crossentropy")
    a.fit(X, LABELS, epochs=2)
    b.fit(X, ONE_HOT, epochs=2)
    np.testing.assert_allclose(a.params, b.params, rtol=1e-4, atol=1e-6)


def test_class_weights_multiply_sample_weights():
    by_class, w = np.array([0.5, 1.0, 3.0]), np.linspace(0.5, 1.5, 60)
    a, b, c = model(), model(), model(loss="categorical_crossentropy")
    a.fit(X, LABELS, sample_weight=w * by_class[LABELS])
    b.fit(X, LABELS, sample_weight=w, class_weight={0: 0.5, 2: np.float64(3.0)})
    c.fit(X, ONE_HOT, sample_weight=w[:, None], class_weight={0: 0.5, 1: 1, 2: 3})
    np.testing.assert_allclose(a.params, b.params, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(a.params, c.params, rtol=1e-4, atol=1e-6)
    plain = model()
    plain.fit(X, LABELS)
    assert not np.allclose(a.params, plain.params)


def test_validation_split_takes_the_last_rows():
    w = np.linspace(0.5, 1.5, 60)
    a, b = model(), model()
    first = a.fit(X, LABELS, validation_split=0.25, sample_weight=w, epochs=2).history
    second = b.fit(
        X[:45], LABELS[:45], sample_weight=w[:45], validation_data=(X[45:], LABELS[45:], w[45:]), epochs=2
    ).history
    assert first == second
    np.testing.assert_array_equal(a.params, b.params)


def test_class_weights_do_not_reach_validation():
    a, b = model(), model()
    options = {"validation_split": 0.25, "epochs": 1}
    heavy = a.fit(X, LABELS, class_weight={0: 5.0, 1: 5.0, 2: 5.0}, **options).history
    assert heavy["val_loss"] == [a.evaluate(X[45:], LABELS[45:])[0]]
    assert heavy["loss"][0] > b.fit(X, LABELS, **options).history["loss"][0]


def test_input_shape_may_come_with_the_data():
    images = RNG.integers(0, 256, (20, 4, 3)).astype("u1")
    m = fastnn.Sequential([Flatten(), Dense(3, "softmax")], seed=0, backend="numpy")
    m.compile("adam", "sparse_categorical_crossentropy")
    assert not m.built
    with pytest.raises(RuntimeError, match="not built"):
        m.evaluate(images, LABELS[:20])
    m.fit(images, LABELS[:20])
    assert m.input_shape == (None, 4, 3) and m.built
    flat = fastnn.Sequential([Dense(3, "softmax")], seed=0, backend="numpy")
    flat.compile("adam", "sparse_categorical_crossentropy").build((None, 12))
    assert flat.input_shape == (None, 12)
    with pytest.raises(ValueError, match="built already"):
        flat.build((13,))


def test_bytes_are_scaled():
    images = RNG.integers(0, 256, (30, 5)).astype("u1")
    a = model()
    np.testing.assert_allclose(a.predict(images), a.predict(images / 255.0), rtol=1e-5)
    b = model(input_scale=1.0)
    np.testing.assert_array_equal(b.predict(images), b.predict(images.astype("f4")))
    c = model(input_scale=0.5)
    np.testing.assert_array_equal(c.predict(images), c.predict(images * np.float32(0.5)))


def test_targets_that_are_the_inputs_are_scaled_like_them(backend):
    images = RNG.integers(0, 256, (30, 5)).astype("u1")

    def train(x, y):
        m = fastnn.Sequential([Dense(5, "sigmoid", input_shape=(5,))], seed=0, backend=backend.NAME)
        m.compile("adam", "mse").fit(x, y, epochs=2)
        return m.evaluate(x, y)

    scaled = (images / 255.0).astype("f4")
    assert train(images, images) == pytest.approx(train(scaled, scaled.copy()), rel=1e-4)
    assert train(images, images.copy()) > 100  # targets are taken at their value


def test_batch_size_of_predict_is_only_a_size(backend):
    m = model(backend.NAME)
    x = RNG.normal(size=(1000, 5)).astype("f4")
    expected = m.predict(x)
    for size in (1, 7, 1000, 10**6):
        np.testing.assert_allclose(m.predict(x, batch_size=size), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(m.predict(x[:1]), expected[:1], rtol=1e-5, atol=1e-7)


def test_predict_sees_every_change_of_the_weights(backend):
    m = model(backend.NAME)
    before = m.predict(X)
    m.set_weights([w * 2 for w in m.get_weights()])
    middle = m.predict(X)
    m.fit(X, LABELS)
    after = m.predict(X)
    m.compile("sgd", fastnn.losses.SparseCategoricalCrossentropy())
    np.testing.assert_array_equal(m.predict(X), after)
    assert not (before == middle).all() and not (middle == after).all()


def test_the_flat_vector_is_read_only():
    m = model()
    with pytest.raises(ValueError, match="read-only"):
        m.params[0] = 1.0


def test_layers_added_after_training_keep_the_others():
    m = model(last=None, loss=fastnn.losses.SparseCategoricalCrossentropy(from_logits=True))
    m.fit(X, LABELS)
    before = m.get_weights()
    m.add(Dense(2))
    for got, expected in zip(m.get_weights(), before, strict=False):
        np.testing.assert_array_equal(got, expected)
    assert m.output_shape == (None, 2) and m.optimizer is None
    with pytest.raises(RuntimeError, match="not compiled"):
        m.fit(X, T)
    m.compile("adam", "mse").fit(X, T)


def test_an_add_that_fails_changes_nothing():
    m = model()
    taken = Dense(2)
    fastnn.Sequential([taken], backend="numpy")
    with pytest.raises(ValueError, match="belongs to a model"):
        m.add(taken)
    assert len(m.layers) == 3 and m.optimizer is not None
    fresh = Dense(2, name="dense")
    with pytest.raises(ValueError, match="'dense' belongs"):
        m.add(fresh)
    fastnn.Sequential([fresh], backend="numpy")  # it is still free


def test_layers_are_found():
    m = model()
    assert m.get_layer("dense_1") is m.layers[2] is m.get_layer(index=-1)
    with pytest.raises(ValueError, match="Did you mean 'dropout'"):
        m.get_layer("droput")
    with pytest.raises(ValueError, match="either"):
        m.get_layer()


def test_summary(capsys):
    m = fastnn.Sequential([Input((28, 28)), Flatten(), Dense(128, "relu"), Dense(10)], backend="numpy", name="net")
    m.summary()
    out = capsys.readouterr().out
    assert 'Model: "net"' in out
    for part in ("flatten (Flatten)", "(None, 784)", "dense (Dense)", "100,480", "1,290", "Total params: 101,770"):
        assert part in out
    lines = []
    fastnn.Sequential([Dense(3)], backend="numpy").summary(print_fn=lines.append)
    assert "unknown until the model is built" in lines[0]


def test_compile_checks_the_last_layer():
    layers = [Dense(3, "relu", input_shape=(5,))]
    m = fastnn.Sequential(layers, backend="numpy")
    with pytest.raises(ValueError, match=r"needs 'softmax' .* ends in 'relu'.*from_logits=True"):
        m.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="needs a loss"):
        m.compile("adam")
    assert m.optimizer is None
    assert m.compile("adam", "mse") is m
    with pytest.raises(AttributeError):
        m.optimizer = "sgd"


def test_string_labels():
    names = np.array(["yes", "no", "perhaps"])[LABELS]
    m = model()
    m.fit(X, names, epochs=20, class_weight={"no": 2.0}, validation_data=(X, names.tolist()))
    assert m.classes.tolist() == ["no", "perhaps", "yes"]
    assert (m.predict_classes(X) == names).mean() > 0.8
    assert m.evaluate(X, names) == m.evaluate(X, np.searchsorted(m.classes, names))
    m.fit(X[:5], ["no"] * 5)  # not all classes need be there any more
    with pytest.raises(ValueError, match="unknown class 'maybe' at index 1"):
        m.fit(X[:2], ["no", "maybe"])
    with pytest.raises(ValueError, match=r"2 classes \('a', 'b'\), but the model has outputs for 3"):
        model().fit(X[:2], ["a", "b"])
    with pytest.raises(ValueError, match="unknown class 'maybe'"):
        m.fit(X, names, class_weight={"maybe": 1.0})
    b = model(loss="binary_crossentropy", last="sigmoid", outputs=1)
    b.fit(X, np.where(LABELS == 0, "a", "b"), epochs=20)
    assert set(b.predict_classes(X)) <= {"a", "b"}
    with pytest.raises(TypeError, match="integer labels"):
        model().evaluate(X, names)


def test_copies_are_independent(backend):
    m = model(backend.NAME)
    m.fit(X, LABELS)
    m.predict(X)
    for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        np.testing.assert_array_equal(other.params, m.params)
        assert other.history.history == m.history.history
        expected = model(backend.NAME)
        expected.fit(X, LABELS)
        assert other.fit(X, LABELS).history == expected.fit(X, LABELS).history
        np.testing.assert_array_equal(other.params, expected.params)
        assert not (other.params == m.params).all()
        other.layers[0].set_weights([w * 0 for w in other.layers[0].get_weights()])
        assert m.layers[0].get_weights()[0].any()


def _predict(payload):
    return pickle.loads(payload).predict(X)


def test_a_model_travels_to_another_process():
    m = model()
    m.fit(X, LABELS)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(_predict, (pickle.dumps(m),)), m.predict(X))


def test_memory_of_inference_has_no_optimizer(monkeypatch):
    m = model()
    m.fit(X, LABELS)
    seen = []
    real = m._network.backend

    class Spy:
        forward = staticmethod(real.forward)

        @staticmethod
        def to_backend(plan, params, state, *rest):
            seen.append(state.shape)
            return real.to_backend(plan, params, state, *rest)

    monkeypatch.setattr(m._network, "backend", Spy)
    for _ in range(3):
        m.predict(X)
    assert seen == [(0, m.count_params())]  # one workspace serves until the weights change


def test_the_package_loads_nothing_heavy():
    code = """
import sys, fastnn
heavy = {"numba", "cython", "pooch", "matplotlib", "tqdm", "safetensors", "sklearn", "torch"} & set(sys.modules)
assert not heavy, heavy
assert fastnn.datasets.names and fastnn.plot.history
assert set(fastnn.__all__) == {n for n in dir(fastnn)}
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert set(fastnn.__all__) >= {"MLP", "Autoencoder", "Sequential", "load", "datasets", "plot", "kernels"}
    with pytest.raises(AttributeError, match="nothing"):
        _ = fastnn.nothing


def test_activation_layer_at_the_end_is_absorbed():
    a = fastnn.Sequential([Dense(3, input_shape=(5,)), Activation("softmax")], seed=0, backend="numpy")
    a.compile("adam", "sparse_categorical_crossentropy").fit(X, LABELS)
    np.testing.assert_allclose(a.predict(X).sum(axis=1), 1.0, rtol=1e-5)


def test_predict_says_what_it_did_when_asked(capsys):
    model = fastnn.MLP([4, 3], seed=0, backend="numpy")
    x = np.ones((5, 4), np.float32)
    quiet = model.predict(x, verbose=0)
    assert capsys.readouterr().out == ""
    assert model.predict(x, verbose=1).tobytes() == quiet.tobytes()
    assert capsys.readouterr().out.startswith("5 samples in ")


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("targets", [[0, 1, 1, 0], [-1, 1, 1, -1], [0.0, 1.0, 1.0, 0.0], ["no", "yes", "yes", "no"]])
def test_targets_of_hinges(loss, targets):
    """0 and 1, as in Keras, and two names, mean -1 and 1; the answer is yes above zero."""
    x = np.array([[-1.0], [2.0], [1.0], [-2.0]], "f4")
    model = fastnn.Sequential([Dense(1, use_bias=False, input_shape=(1,))], seed=0)
    model.compile("sgd", loss, metrics=["accuracy"])
    model.fit(x, targets, epochs=20, verbose=0)
    assert model.evaluate(x, targets, return_dict=True)["accuracy"] == 1.0
    names = ["no", "yes"] if isinstance(targets[0], str) else [0, 1]
    assert model.predict_classes(x).tolist() == [names[i] for i in (0, 1, 1, 0)]
    model.set_weights([[[0.25]]])
    margins = np.array([0.75, 0.5, 0.75, 0.5])
    expected = np.mean(margins if loss == "hinge" else margins**2)
    assert model.evaluate(x, targets)[0] == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match=f"-1 and 1, or 0 and 1, for the loss '{loss}', got 2.0"):
        model.fit(x, [0, 1, 2, 0])
