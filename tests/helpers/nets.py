"""Small networks written as text, data for them, and a thin runner for a backend.

A network is a line such as ``"9 13 relu drop0.5 4nb softmax"``: the inputs, then a number for a dense layer (``nb``: no
bias), a name for an activation (``elu:0.5`` sets alpha), ``dropR`` for dropout of rate R, ``maskR`` for dropout without
scaling, ``noiseR`` and ``gdropR`` for Gaussian noise that is added and that multiplies. For the layer before them stand
``l1:R``, ``l2:R`` (of the kernel), ``bl1:R``, ``bl2:R`` (of the bias), ``al1:R``, ``al2:R`` (of the outputs), ``kd:R``
and ``bd:R`` (decay of kernel and bias), ``min:R``, ``max:R`` (norms) and ``nonneg:1``; ``tiedK`` and ``tiedKnb`` are
dense layers with the transpose of the Kth dense layer's kernel, from 0. ``bn`` and ``ln`` are normalisations over the
batch and over the layer (``nb``: no beta, ``ng``: no gamma), which keep what ``:R`` says of their moving statistics, by
default 0.9.
"""

import re
from dataclasses import dataclass

import numpy as np
import pytest
from fastnn.kernels import PlanBuilder
from fastnn.kernels.activations import BY_NAME
from fastnn.kernels.losses import LOSS_BY_NAME, LOSSES
from fastnn.kernels.plan import BATCH_NORM, DENSE, LAYER_NORM, RATE_DROPOUT, RATE_NOISE, RATE_SPREAD

PENALTIES = {
    "l1": "kernel_l1", "l2": "kernel_l2", "bl1": "bias_l1", "bl2": "bias_l2", "al1": "activity_l1",
    "al2": "activity_l2", "min": "min_norm", "max": "max_norm", "nonneg": "non_negative", "kd": "kernel_decay",
    "bd": "bias_decay",
}  # fmt: skip
SEED = 2**63 + 12345  # uses all 64 bits


def parse(text):
    """Number of inputs, and layers: ("dense", units, bias), ("activation", name, alpha), ("dropout", rate, scaled),
    ("noise", name, stddev), ("regularize", name, rate), and ("normalization", over, epsilon, center, scale, momentum).
    """
    first, *words = text.split()
    layers = []
    for word in words:
        if dense := re.fullmatch(r"(\d+)(nb)?", word):
            layers.append(("dense", int(dense[1]), dense[2] is None))
        elif tied := re.fullmatch(r"tied(\d+)(nb)?", word):
            layers.append(("tied", int(tied[1]), tied[2] is None))
        elif norm := re.fullmatch(r"(bn|ln)(nb)?(ng)?(?::(.*))?", word):
            over, momentum = {"bn": "batch", "ln": "layer"}[norm[1]], float(norm[4] or 0.9)
            layers.append(("normalization", over, 1e-3, norm[2] is None, norm[3] is None, momentum))
        elif word.startswith("drop"):
            layers.append(("dropout", float(word[4:]), True))
        elif word.startswith("mask"):
            layers.append(("dropout", float(word[4:]), False))
        elif noise := re.fullmatch(r"(noise|gdrop)(.*)", word):
            layers.append(
                ("noise", {"noise": "gaussian_noise", "gdrop": "gaussian_dropout"}[noise[1]], float(noise[2]))
            )
        elif word.partition(":")[0] in PENALTIES:
            name, _, rate = word.partition(":")
            layers.append(("regularize", PENALTIES[name], float(rate)))
        else:
            name, _, alpha = word.partition(":")
            layers.append(("activation", name, float(alpha) if alpha else BY_NAME[name].alpha))
    return int(first), layers


def build(text, **options):
    """The plan of a network; `options` are those of `PlanBuilder.build`."""
    inputs, layers = parse(text)
    builder = PlanBuilder(inputs)
    kernels = []
    for what, *arguments in layers:
        if what == "dense":
            kernels.append(builder.dense(*arguments))
        elif what == "tied":
            builder.tied(kernels[arguments[0]], arguments[1])
        elif what == "regularize":
            builder.regularize(**dict([arguments]))
        else:
            getattr(builder, what)(*arguments)
    return builder.build(**options)


# Losses whose formula is for some outputs only: an activation that gives them, and a range to draw them from.
ENDINGS = {"poisson": "softplus", "kl_divergence": "sigmoid"}
OUTPUTS = {"poisson": (0.05, 5.0), "kl_divergence": (0.01, 0.99), "cosine_similarity": (0.5, 5.0)}


def ending(loss, from_logits=False):
    """The activation that a network for this loss must end in, as text."""
    link = LOSS_BY_NAME[loss].link
    if link is None or from_logits:
        return f" {ENDINGS[loss]}" if loss in ENDINGS else ""
    return f" {link}"


def parameters(plan, seed=0):
    """A parameter vector (P,) whose activations keep a scale of about 1. Float32 values in either dtype."""
    rng = np.random.default_rng(seed)
    params = rng.normal(0.0, 0.3, plan.n_params)
    for code, n_in, n_out, _, start, _, moving in plan.ops:
        if code == DENSE:
            params[start : start + n_in * n_out] = rng.normal(0.0, 1.0 / np.sqrt(n_in), n_in * n_out)
        elif code in (BATCH_NORM, LAYER_NORM) and start >= 0:
            params[start : start + n_out] = rng.uniform(0.5, 1.5, n_out)
        if moving >= 0:
            params[moving + n_out : moving + 2 * n_out] = rng.uniform(0.5, 1.5, n_out)
    return params.astype(np.float32).astype(plan.dtype)


def targets(plan, n, rng):
    """Targets that suit the plan's loss; float32 values in either dtype."""
    y = draw_targets(LOSSES[plan.loss], (n, plan.n_outputs), rng)
    return y if y.dtype == np.int32 else y.astype(np.float32).astype(plan.dtype)


def draw_targets(row, shape, rng):
    """Targets for a row of the table: int32 (n,) or float64 (n, outputs)."""
    name = row.name
    if row.labels:
        return rng.integers(0, shape[1], shape[0]).astype(np.int32)
    if name in ("categorical_crossentropy", "kl_divergence"):
        y = rng.random(shape) ** 4 + 1e-3
        y /= y.sum(axis=1, keepdims=True)
    elif name == "binary_crossentropy":
        y = rng.integers(0, 2, shape) * 0.9 + 0.05
    elif name in ("hinge", "squared_hinge"):
        y = rng.integers(0, 2, shape) * 2.0 - 1.0
    elif name == "categorical_hinge":
        y = np.eye(shape[1])[rng.integers(0, shape[1], shape[0])]
    elif name == "poisson":
        y = rng.integers(0, 5, shape) * 1.0
    elif name in ("mse", "mae", "huber", "log_cosh", "cosine_similarity"):
        y = rng.normal(0.0, 1.0, shape)
    else:
        pytest.fail(f"no targets for the loss {name!r}: write them in tests/helpers/nets.py")
    return y


@dataclass
class Case:
    """A plan with parameters, state, inputs, targets and weights."""

    plan: object
    params: np.ndarray
    state: np.ndarray
    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    batch: int


def case(text, n, batch, seed=0, **options):
    """A plan and random data for it."""
    plan = build(text, **options)
    rng = np.random.default_rng(seed + 1)
    x = rng.normal(0.0, 1.0, (n, plan.n_inputs)).astype(np.float32).astype(plan.dtype)
    y = targets(plan, n, rng)
    weights = rng.uniform(0.5, 2.0, n).astype(np.float32).astype(plan.dtype)
    params = parameters(plan, seed)
    return Case(plan, params, np.zeros((plan.n_slots, plan.n_params), plan.dtype), x, y, weights, batch)


class Fit:
    """A workspace of a backend. Every output starts as NaN, so that what is not written is seen."""

    def __init__(self, backend, plan, params, state=None, batch_size=32, threads=1):
        if state is None:
            state = np.zeros((plan.n_slots, plan.n_params), plan.dtype)
        self.backend, self.plan = backend, plan
        self.workspace = backend.to_backend(plan, params, state, batch_size, threads)
        self.batch_size = batch_size

    @classmethod
    def of(cls, backend, case, **options):
        """A workspace for a case."""
        return cls(backend, case.plan, case.params, case.state, **{"batch_size": case.batch, **options})

    def _sums(self, *shape):
        return np.full((*shape, 1 + len(self.plan.metrics)), np.nan)

    def train(
        self, x, y, weights=None, order=None, rates=None, batch_size=None, seed=SEED, step=0, rate=0.01, out=None
    ):
        """Batches done and sums (batches, 1 + metrics); one epoch in order unless told otherwise."""
        batch_size = batch_size or self.batch_size
        order = np.arange(len(x), dtype=np.int64) if order is None else order
        rates = np.full(-(-len(order) // batch_size), rate) if rates is None else rates
        sums = self._sums(len(rates))
        done = self.backend.train(self.workspace, x, y, weights, order, rates, batch_size, seed, step, sums, out)
        return done, sums

    def loss_grad(self, x, y, weights=None, seed=SEED, step=0):
        """Gradient (P,) and sums (1 + metrics,)."""
        gradient = np.full(self.plan.n_params, np.nan, self.plan.dtype)
        return gradient, self.backend.loss_grad(self.workspace, x, y, weights, seed, step, gradient)

    def update(self, gradient, rate=0.01, step=0):
        """One optimiser step."""
        self.backend.update(self.workspace, gradient, rate, step)

    def evaluate(self, x, y, weights=None):
        """Sums (1 + metrics,)."""
        sums = self._sums()
        self.backend.evaluate(self.workspace, x, y, weights, sums)
        return sums

    def forward(self, x, first=0, last=None):
        """Output (n, width) of the operations first..last."""
        last = len(self.plan.ops) - 1 if last is None else last
        out = np.full((len(x), self.plan.ops[last, 2]), np.nan, self.plan.dtype)
        self.backend.forward(self.workspace, x, first, last, out)
        return out

    def host(self):
        """Parameters (P,) and state (S, P)."""
        params = np.full(self.plan.n_params, np.nan, self.plan.dtype)
        state = np.full((self.plan.n_slots, self.plan.n_params), np.nan, self.plan.dtype)
        self.backend.to_host(self.workspace, params, state)
        return params, state


def masks(backend, plan, rows, seed=SEED, step=0):
    """What each dropout of the plan keeps in one batch, and the noise of each other, in order."""
    kept = []
    for op, rates in enumerate(plan.rates):
        if rates[RATE_DROPOUT]:
            kept.append(np.empty((rows, plan.ops[op, 2]), np.uint8))
            backend.dropout_mask(seed, step, op, kept[-1], rates[RATE_DROPOUT])
        elif rates[RATE_NOISE] or rates[RATE_SPREAD]:
            kept.append(np.empty((rows, plan.ops[op, 2])))
            backend.normal_noise(seed, step, op, kept[-1])
    return kept
