"""What a fit costs besides its batches: how many slices it has, and what it takes from the fit before."""

import types

import numpy as np
from fastnn.kernels import PlanBuilder

import fastnn
from fastnn import training

RNG = np.random.default_rng(11)
X = RNG.normal(size=(50, 6)).astype("f4")
Y = RNG.integers(0, 3, 50)


def classifier(backend="numpy", **options):
    return fastnn.MLP([6, 8, 3], **{"dropout": 0.2, "seed": 1, "backend": backend, **options})


def count(model, function):
    """Return a list that gets an element whenever the model calls that function of its backend."""
    real, calls = model._network.backend, []

    def counted(*arguments):
        calls.append(arguments)
        return getattr(real, function)(*arguments)

    model._network.backend = types.SimpleNamespace(**{**vars(real), function: counted})
    return calls


# ------------------------------------------------------------------------------------------ slices


def pace(*sizes, batch_size):
    builder = PlanBuilder(sizes[0])
    for units in sizes[1:]:
        builder.dense(units)
    return training.Pace(builder.build(), batch_size)


def test_the_first_slice_is_short_on_a_slow_machine():
    assert 50 <= pace(32, 64, 64, 1, batch_size=256).batches <= 100  # 10 MFLOP a batch: 0.2 s at 2.5 to 5 GFLOP/s
    assert 500 <= pace(1, 1, batch_size=1).batches <= 1000  # however small
    assert pace(5000, 5000, batch_size=1).batches <= 5  # the weights count, however few the rows
    assert pace(10_000, 10_000, batch_size=1000).batches == 1


def test_slices_follow_the_clock():
    chosen = pace(1, 1, batch_size=1)
    chosen.record(10, 2.0)
    assert chosen.batches == 1
    chosen.record(1, 1e-4)
    assert chosen.batches == 16
    chosen.record(0.01, 1e-4)  # a hundredth of the rows took that long: a whole batch takes 10 ms
    assert chosen.batches == 20
    chosen.record(1, 10.0)
    assert chosen.batches == 1


def test_a_smaller_batch_counts_for_its_share(monkeypatch):
    seen = []
    monkeypatch.setattr(training.Pace, "record", lambda self, batches, seconds: seen.append(batches))
    classifier().fit(X, Y, batch_size=20, epochs=2)
    assert seen == [2.5, 2.5]


def test_an_epoch_of_a_small_network_is_one_call():
    m = classifier()
    calls = count(m, "train")
    m.fit(X, Y, batch_size=10, epochs=3)
    assert len(calls) == 3
