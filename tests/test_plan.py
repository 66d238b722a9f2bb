"""The plan: layout of the parameters, joined operations, defaults and refusals."""

import dataclasses

import numpy as np
import pytest
from fastnn.kernels import Plan, PlanBuilder
from fastnn.kernels.activations import ACTIVATIONS, LINEAR
from fastnn.kernels.activations import BY_NAME as ACTIVATION_BY_NAME
from fastnn.kernels.losses import LOSS_BY_NAME, LOSSES, METRIC_BY_NAME, METRICS
from fastnn.kernels.optimizers import BY_NAME as OPTIMIZER_BY_NAME
from fastnn.kernels.optimizers import OPTIMIZERS
from fastnn.kernels.plan import (
    BATCH_NORM,
    DENSE,
    ELEMENTWISE,
    LAYER_NORM,
    RATE_ALPHA,
    RATE_DROPOUT,
    RATE_EPSILON,
    RATE_MOMENTUM,
)
from helpers.nets import build
from hypothesis import given, settings
from hypothesis import strategies as st

CODE = {name: row.code for name, row in ACTIVATION_BY_NAME.items()}


@pytest.mark.parametrize("table", [ACTIVATIONS, LOSSES, METRICS, OPTIMIZERS])
def test_codes_are_indices_and_names_are_unique(table):
    assert [row.code for row in table] == list(range(len(table)))
    assert len({row.name for row in table}) == len(table)


def test_links_and_defaults_exist():
    assert all(row.link is None or row.link in ACTIVATION_BY_NAME for row in LOSSES)
    assert all(low < high for low, high in (row.domain for row in ACTIVATIONS))
    assert ACTIVATIONS[LINEAR].name == "linear"


def test_layout():
    plan = build("3 4 relu drop0.5 2nb tanh 5")
    assert plan.ops.dtype == np.int64
    assert plan.rates.dtype == np.float64
    assert plan.ops.tolist() == [
        [DENSE, 3, 4, CODE["relu"], 0, 12, -1],
        [DENSE, 4, 2, CODE["tanh"], 16, -1, -1],
        [DENSE, 2, 5, LINEAR, 24, 34, -1],
    ]
    assert plan.n_params == 39
    assert plan.rates[:, RATE_DROPOUT].tolist() == [0.5, 0.0, 0.0]
    assert (plan.n_inputs, plan.n_outputs) == (3, 5)
    assert plan.ops.flags.c_contiguous
    assert plan.rates.flags.c_contiguous


def test_layout_of_normalisations():
    plan = build("3 4 bn:0.25 relu 2 lnnb bnnbng")
    assert plan.ops.tolist() == [
        [DENSE, 3, 4, LINEAR, 0, 12, -1],
        [BATCH_NORM, 4, 4, CODE["relu"], 16, 20, 24],
        [DENSE, 4, 2, LINEAR, 32, 40, -1],
        [LAYER_NORM, 2, 2, LINEAR, 42, -1, -1],
        [BATCH_NORM, 2, 2, LINEAR, -1, -1, 44],
    ]
    assert plan.n_params == 48
    assert plan.trained == [slice(0, 24), slice(32, 44), slice(48, 48)]
    assert plan.rates[:, RATE_EPSILON].tolist() == [0, 1e-3, 0, 1e-3, 1e-3]
    assert plan.rates[:, RATE_MOMENTUM].tolist() == [0, 0.25, 0, 0, 0.9]
    assert build("3 4").trained == [slice(0, 16)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # (operation, activation, dropout) each
        ("3", [(ELEMENTWISE, "linear", 0)]),
        ("3 linear", [(ELEMENTWISE, "linear", 0)]),
        ("3 relu", [(ELEMENTWISE, "relu", 0)]),
        ("3 drop0.5", [(ELEMENTWISE, "linear", 0.5)]),
        ("3 relu drop0.5", [(ELEMENTWISE, "relu", 0.5)]),
        ("3 drop0.5 relu", [(ELEMENTWISE, "linear", 0.5), (ELEMENTWISE, "relu", 0)]),
        ("3 4 relu drop0.5", [(DENSE, "relu", 0.5)]),
        ("3 4 linear drop0.5", [(DENSE, "linear", 0.5)]),
        ("3 4 drop0.5 relu", [(DENSE, "linear", 0.5), (ELEMENTWISE, "relu", 0)]),
        ("3 4 drop0.5 linear", [(DENSE, "linear", 0.5)]),
        ("3 4 relu tanh", [(DENSE, "relu", 0), (ELEMENTWISE, "tanh", 0)]),
        ("3 4 drop0.5 drop0.2", [(DENSE, "linear", 0.5), (ELEMENTWISE, "linear", 0.2)]),
        ("3 4 drop0.0 relu", [(DENSE, "relu", 0)]),
        ("3 4 relu al1:0.1 drop0.5", [(DENSE, "relu", 0), (ELEMENTWISE, "linear", 0.5)]),
        ("3 4 al2:0.1 relu", [(DENSE, "linear", 0), (ELEMENTWISE, "relu", 0)]),
        ("3 4 noise0.5 relu", [(DENSE, "linear", 0), (ELEMENTWISE, "relu", 0)]),
        ("3 4 relu noise0.5 drop0.5", [(DENSE, "relu", 0), (ELEMENTWISE, "linear", 0), (ELEMENTWISE, "linear", 0.5)]),
        ("3 4 relu mask0.5", [(DENSE, "relu", 0.5)]),
        ("3 bn relu drop0.5", [(BATCH_NORM, "relu", 0.5)]),
        ("3 relu ln tanh", [(ELEMENTWISE, "relu", 0), (LAYER_NORM, "tanh", 0)]),
        ("3 drop0.1 4 4", [(ELEMENTWISE, "linear", 0.1), (DENSE, "linear", 0), (DENSE, "linear", 0)]),
    ],
)
def test_what_joins_an_operation(text, expected):
    plan = build(text)
    got = [
        (op[0], ACTIVATIONS[op[3]].name, rate) for op, rate in zip(plan.ops, plan.rates[:, RATE_DROPOUT], strict=True)
    ]
    assert got == expected


def test_alpha():
    builder = PlanBuilder(3)
    builder.activation("leaky_relu")
    builder.activation("elu", 0.5)
    builder.activation("leaky_relu", 0.0)
    assert builder.build().rates[:, RATE_ALPHA].tolist() == [0.2, 0.5, 0.0]


@pytest.mark.parametrize("loss", [row.name for row in LOSSES if row.link])
def test_a_link_is_absorbed(loss):
    link = LOSS_BY_NAME[loss].link
    for text in (f"3 4 {link}", f"3 4 relu {link}", f"3 {link}"):
        plan = build(text, loss=loss)
        last = len(plan.ops) - 1
        assert plan.output_activation == CODE[link]
        assert plan.ops[last, 3] == LINEAR
        assert (plan.threshold, plan.loss_parameter) == (0.0, 0.0)
        assert build(text, loss=loss, loss_parameter=0.1).loss_parameter == 0.1
        assert plan.activation_after(last) == CODE[link]
        assert all(plan.activation_after(i) == LINEAR for i in range(last))


@pytest.mark.parametrize("loss", [row.name for row in LOSSES])
def test_logits_are_not_absorbed(loss):
    plan = build("3 4 tanh", loss=loss, from_logits=True)
    assert plan.output_activation == LINEAR
    assert plan.ops[0, 3] == CODE["tanh"]


def test_building_twice_gives_the_same():
    builder = PlanBuilder(3)
    builder.dense(4)
    builder.activation("softmax")
    first, second = (builder.build(loss="categorical_crossentropy") for _ in range(2))
    assert np.array_equal(first.ops, second.ops)
    assert first.output_activation == second.output_activation == CODE["softmax"]
    builder.dense(5)
    third = builder.build()
    assert third.ops[0, 3] == CODE["softmax"]  # what the loss absorbed is back
    assert (first.n_params, third.n_params) == (16, 41)
    assert len(first.ops) == 1


@pytest.mark.parametrize("row", OPTIMIZERS, ids=lambda row: row.name)
def test_optimizer_in_the_plan(row):
    plan = build("2 3", optimizer=row.name)
    assert (plan.optimizer, plan.n_slots) == (row.code, len(row.slots))
    assert plan.hyper.tolist() == list(row.hyper.values())
    assert plan.hyper.dtype == np.float64
    if row.hyper:
        last = list(row.hyper)[-1]
        changed = build("2 3", optimizer=row.name, hyper={last: 0.125})
        assert changed.hyper.tolist() == [*plan.hyper.tolist()[:-1], 0.125]


def test_the_rest_of_a_plan():
    plan = build("2 3", dtype="float64", metrics=["mse", "binary_accuracy"], input_scale=1 / 255, target_scale=2)
    assert plan.dtype == np.float64
    assert plan.metrics.tolist() == [METRIC_BY_NAME["mse"].code, METRIC_BY_NAME["binary_accuracy"].code]
    assert plan.metrics.dtype == np.int64
    assert (plan.input_scale, plan.target_scale, plan.threshold) == (1 / 255, 2.0, 0.5)
    plain = build("2 3")
    assert (plain.dtype, plain.metrics.size, plain.input_scale, plain.target_scale) == (np.float32, 0, 1.0, 1.0)
    assert plain.loss == LOSS_BY_NAME["mse"].code
    assert plain.optimizer == OPTIMIZER_BY_NAME["sgd"].code


def test_a_plan_is_data():
    """Numbers and arrays of numbers only, that cannot be set by mistake."""
    plan = build("2 3 relu")
    for field in dataclasses.fields(Plan):
        value = getattr(plan, field.name)
        assert isinstance(value, (int, float, np.dtype)) or value.dtype.kind in "if", field.name
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.n_params = 7


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("2 3 relu", {"loss": "categorical_crossentropy"}, r"needs 'softmax' as the last.*ends in 'relu'.*from_logits"),
        ("2 3", {"loss": "sparse_categorical_crossentropy"}, r"needs 'softmax'.*ends in 'linear'"),
        ("2", {"loss": "binary_crossentropy"}, r"needs 'sigmoid'.*ends in 'linear'"),
        ("2 3 softmax", {"loss": "binary_crossentropy"}, r"needs 'sigmoid'.*ends in 'softmax'"),
        ("2 3 softmax drop0.5", {"loss": "categorical_crossentropy"}, r"needs 'softmax'.*and dropout"),
        ("2 3 sigmoid", {"loss": "binary_crossentropy", "metrics": ["mae"]}, r"'mae' is not computed.*on logits"),
        (
            "2 3 softmax",
            {"loss": "sparse_categorical_crossentropy", "metrics": ["binary_accuracy"]},
            r"'binary_accuracy' is not computed.*takes labels",
        ),
        ("2 3", {"loss": "mse", "loss_parameter": 0.1}, r"'mse' has no parameter, got 0.1"),
        ("2 3 softmax al1:0.1", {"loss": "categorical_crossentropy"}, r"absorbs the last activation.*penalized"),
        ("2 relu l2:0.1", {}, r"no weights for kernel_l2 = 0.1"),
        ("2 bn max:0.1", {}, r"no weights for max_norm = 0.1"),
        ("2 3", {"optimizer": "adam", "hyper": {"beta1": 0.9}}, r"adam has no hyper-parameter 'beta1'.*'beta_1'"),
        ("2 3", {"optimizer": "sgd", "hyper": {"momentum": 0.9}}, r"sgd has no hyper-parameter 'momentum'"),
    ],
)
def test_refusals(text, options, message):
    with pytest.raises(ValueError, match=message):
        build(text, **options)


@pytest.mark.parametrize("options", [{"loss": "mes"}, {"optimizer": "sdg"}, {"metrics": ["acc"]}])
def test_unknown_names(options):
    with pytest.raises(KeyError):
        build("2 3", **options)


widths = st.integers(1, 100)
layers = st.one_of(
    st.builds("{}{}".format, widths, st.sampled_from(["", "nb"])),
    st.sampled_from([*CODE, "drop0.1", "drop0.5"]),
)


@settings(max_examples=100)
@given(inputs=widths, words=st.lists(layers, max_size=8))
def test_any_plan_is_sound(inputs, words):
    """Widths that fit together, parameters without gaps or overlaps, and no layer lost."""
    plan = build(" ".join([str(inputs), *words]))
    width, end = inputs, 0
    for code, n_in, n_out, _, weights, bias, _ in plan.ops.tolist():
        assert n_in == width
        width = n_out
        if code == DENSE:
            assert weights == end
            end += n_in * n_out
            assert bias in (-1, end)
            end += n_out if bias >= 0 else 0
        else:
            assert n_in == n_out
            assert weights == bias == -1
    assert plan.n_params == end
    assert (plan.n_inputs, plan.n_outputs) == (inputs, width)
    assert (plan.ops[:, 0] == DENSE).sum() == sum(word[0].isdigit() for word in words)
    assert (plan.rates[:, RATE_DROPOUT] > 0).sum() == sum(word.startswith("drop") for word in words)
    assert (plan.ops[:, 3] != LINEAR).sum() == sum(word in CODE and word != "linear" for word in words)
