"""Learning-rate schedules: Keras's and PyTorch's values, and what training does with them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import schedules
from fastnn.callbacks import Callback, LearningRateScheduler, ReduceLROnPlateau
from fastnn.optimizers import SGD

STORED = json.loads((Path(__file__).parent / "values" / "keras_schedules.json").read_text())
RNG = np.random.default_rng(3)
X = RNG.normal(size=(50, 4)).astype("f4")
Y = RNG.integers(0, 3, 50)


def model(rate, **options):
    return fastnn.MLP([4, 5, 3], **{"optimizer": SGD(rate), "seed": 1, "backend": "numpy", **options})


@pytest.mark.parametrize("case", STORED["cases"], ids=lambda case: case["name"])
def test_rates_are_those_of_the_peers(case):
    schedule = getattr(schedules, case["name"])(**case["options"])
    rates = schedule(np.array(STORED["steps"]))
    # Keras takes pi in float32, whatever the precision of the rest.
    rtol, atol = (1e-6, 1e-8) if "Cosine" in case["name"] else (1e-9, 1e-12)
    np.testing.assert_allclose(rates, case["rates"], rtol=rtol, atol=atol)
    assert [schedule(step) for step in STORED["steps"]] == pytest.approx(list(rates), rel=1e-14)
    assert type(schedule(3)) is float
    np.testing.assert_array_equal(schedule.rates(9, 3), schedule(np.array([9, 10, 11])))
    assert len(schedule.rates(5, 0)) == 0


def test_every_restart_begins_at_the_top():
    """At the steps where a period begins, a hundred of them: a rounded logarithm would be late now and then."""
    for factor in (1.5, 2.0, 3.0):
        schedule = schedules.CosineDecayRestarts(0.1, 64, t_mul=factor)
        start = 0.0
        for period in range(12):
            if start == int(start):
                assert schedule(int(start)) == pytest.approx(0.1, rel=1e-12)
                assert schedule(max(int(start) - 1, 0)) < 0.05 or not start
            start += 64 * factor**period


def test_warm_up():
    schedule = schedules.LinearWarmup(schedules.ExponentialDecay(0.8, 10, 0.5), 4, 0.2)
    np.testing.assert_allclose(schedule.rates(0, 6), [0.2, 0.35, 0.5, 0.65, 0.8, 0.8 * 0.5**0.1])
    np.testing.assert_array_equal(schedule.rates(2, 7), schedule.rates(0, 9)[2:])
    np.testing.assert_array_equal(schedule.rates(6, 2), schedule(np.array([6, 7])))
    assert schedules.LinearWarmup(0.5, 2).rates(0, 4).tolist() == [0.0, 0.25, 0.5, 0.5]


def test_constant_is_the_number(backend):
    a, b = model(schedules.Constant(0.3), backend=backend.NAME), model(0.3, backend=backend.NAME)
    a.fit(X, Y, epochs=2, batch_size=7)
    b.fit(X, Y, epochs=2, batch_size=7)
    np.testing.assert_array_equal(a.params, b.params)


def test_training_uses_the_rate_of_every_batch(backend):
    class Set(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.optimizer.learning_rate = schedule(self.model._network.step)

    schedule = schedules.CosineDecay(0.0, 11, warmup_target=0.5, warmup_steps=3)
    a, b = model(schedule, backend=backend.NAME), model(0.0, backend=backend.NAME)
    a.fit(X, Y, epochs=2, batch_size=8)
    a.fit(X, Y, epochs=1, batch_size=8)  # the schedule goes on with the steps
    b.fit(X, Y, epochs=3, batch_size=8, callbacks=[Set()])
    np.testing.assert_array_equal(a.params, b.params)
    assert a._network.step == 21
    a.compile(SGD(schedule), "sparse_categorical_crossentropy")  # and starts afresh with the optimizer
    before = a.params.copy()
    a.fit(X, Y, batch_size=50)
    np.testing.assert_array_equal(a.params, before)


def test_a_schedule_of_ones_own():
    class Inverse(schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.5 / (step + 1) if step < 100 else "never"

    a, b = model(Inverse()), model(schedules.InverseTimeDecay(0.5, 1, 1.0))
    for m in (a, b):
        m.fit(X, Y, epochs=2, batch_size=10)
    np.testing.assert_array_equal(a.params, b.params)
    with pytest.raises(ValueError, match=r"only .*CosineDecay.* can be saved"):
        a.save("never")
    negative = type("Negative", (schedules.LearningRateSchedule,), {"__call__": lambda self, step: 2.0 - step})
    c = model(negative())
    with pytest.raises(ValueError, match=r"Negative\(\) gives the learning rate -1.0 for step 3"):
        c.fit(X, Y, batch_size=10)
    assert c._network.step == 0
    with pytest.raises(NotImplementedError, match="__call__"):
        model(schedules.LearningRateSchedule()).fit(X, Y)


@pytest.mark.parametrize("case", STORED["cases"], ids=lambda case: case["name"])
def test_schedules_are_saved(case, tmp_path):
    schedule = schedules.LinearWarmup(getattr(schedules, case["name"])(**case["options"]), 5, 0.01)
    a = model(schedule, optimizer=fastnn.optimizers.Adam(schedule))
    a.fit(X, Y, batch_size=10)
    a.save(tmp_path / "m")
    b = fastnn.load(tmp_path / "m", backend="numpy")
    assert b.optimizer.learning_rate == schedule and repr(b.optimizer.learning_rate) == repr(schedule)
    for m in (a, b):
        m.fit(X, Y, batch_size=10)
    np.testing.assert_array_equal(a.params, b.params)


def test_schedules_and_callbacks_that_set_the_rate():
    for callback in (LearningRateScheduler(lambda epoch, rate: rate), ReduceLROnPlateau("loss")):
        with pytest.raises(ValueError, match=r"the optimizer follows the schedule Constant\(learning_rate=0.1\)"):
            model(schedules.Constant(0.1)).fit(X, Y, callbacks=[callback])


def test_keras_has_its_names_here_too():
    assert fastnn.optimizers.schedules is fastnn.schedules is schedules


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "decay_steps must be a finite number above 0.0, got 0"),
        (lambda: schedules.ExponentialDecay(-0.1, 1, 0.5), "initial_learning_rate .* got -0.1"),
        (lambda: schedules.PiecewiseConstantDecay([1, 2], [0.1]), "one more than boundaries, got 1 values for 2"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3]), r"boundaries must rise, got \[2, 1\]"),
        (lambda: schedules.PiecewiseConstantDecay(2, [0.1]), "boundaries must be a list"),
        (lambda: schedules.CosineDecay(0.1, 10, warmup_steps=3), "warmup_steps=3 needs a warmup_target"),
        (lambda: schedules.CosineDecayRestarts(0.1, 10, t_mul=0.5), "t_mul .* of at least 1.0, got 0.5"),
        (lambda: schedules.OneCycle(0.1, 1), "total_steps .* got 1"),
        (lambda: schedules.OneCycle(0.1, 10, anneal_strategy="step"), "unknown anneal_strategy 'step'"),
        (lambda: schedules.LinearWarmup("fast", 10), "learning_rate must be a number, got 'fast'"),
        (lambda: SGD(math.nan), "learning_rate"),
        (lambda: SGD({"name": "Cosine", "config": {}}), "unknown schedule 'Cosine'"),
    ],
)
def test_wrong_arguments(make, text):
    with pytest.raises((ValueError, TypeError), match=text):
        make()
