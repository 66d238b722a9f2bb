"""The networks that `test_contract` and its kin ask every backend about, and all results of one."""

import numpy as np

from .nets import Fit, case

ACCURACY = ("categorical_accuracy",)
ERRORS = ("mae", "mse", "binary_accuracy")
ADAM = {"optimizer": "adam"}
SPARSE = {"loss": "sparse_categorical_crossentropy", "metrics": ACCURACY, **ADAM}

# One vector or tile less one, itself and one more, for those of 4 to 48; and primes.
WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 97, 127, 128, 129)

# name -> arguments of `case`. The last batch is ragged in all of them.
CASES = {
    "classifier": ("7 9 relu drop0.3 5 tanh 3 softmax", 45, 16, SPARSE),
    "multilabel": (
        "11 17 gelu 6 sigmoid",
        45,
        16,
        {"loss": "binary_crossentropy", "metrics": ["binary_accuracy"], **ADAM},
    ),
    "regression": ("13 33 gelu 19 silu drop0.5 1", 45, 16, {"metrics": ERRORS, "optimizer": "rmsprop"}),
    "autoencoder": ("50 31 elu 3nb 31 relu 50 sigmoid", 70, 32, {"metrics": ERRORS, **ADAM}),
    "elementwise": (
        "6 drop0.2 tanh 9nb leaky_relu drop0.5 elu:0.5 drop0.1 4 softplus",
        45,
        16,
        {"optimizer": "momentum"},
    ),
    "dense targets": ("9 20 sigmoid 5 softmax", 45, 16, {"loss": "categorical_crossentropy", "metrics": ACCURACY}),
    "smoothed labels": ("9 20 tanh 5 softmax", 45, 16, {**SPARSE, "loss_parameter": 0.2}),
    "counts": ("9 35 tanh 3 softplus", 45, 16, {"loss": "poisson", "metrics": ERRORS, **ADAM}),
    "angles": ("9 20 tanh 37", 45, 16, {"loss": "cosine_similarity", **ADAM}),
    "wide": ("40 64 tanh 100 sigmoid", 45, 16, ADAM),
    "few rows, descent": ("70 35 tanh 3nb sigmoid 50", 13, 3, {"optimizer": "sgd"}),
    "inner softmax": ("5 8 softmax 33 3", 45, 16, {"loss": "mae", "metrics": ["mae"], **ADAM}),
}
# Big enough for a backend to share the work out, with odd sizes everywhere; the classifier of three layers twice.
THREADED = {
    "257-300-10": ("257 300 relu drop0.5 10 softmax", 300, 128, SPARSE),
    "129-511-65-7": ("129 511 tanh 65 gelu drop0.1 7", 191, 96, {"metrics": ERRORS, "optimizer": "momentum"}),
    "300-150-300": ("300 drop0.1 150 relu 33nb softmax 300 sigmoid", 201, 67, {"metrics": ERRORS, **ADAM}),
    "100-290-210": ("100 290 relu 210 sigmoid", 150, 64, {"loss": "huber", **ADAM}),
    "40-40-1": ("40 40 relu 1 sigmoid", 333, 200, {"loss": "binary_crossentropy", **ADAM}),
}
# What goes beyond the loss of the rows.
REGULARIZED = {
    "penalties": (
        "9 20 l1:0.01 l2:0.02 bl1:0.1 tanh al1:0.1 al2:0.2 drop0.3 5 bl2:0.1 3 l2:0.1 softmax",
        45,
        16,
        SPARSE,
    ),
    "noise": ("9 noise0.3 mask0.2 20 gdrop0.3 tanh 50 noise0.1 3", 45, 16, ADAM),
    "tied": ("50 31 l2:0.01 tanh 3 tanh tied1nb drop0.1 tanh tied0 bl2:0.1", 45, 16, ADAM),
    "tied and more": ("170 130 max:1.1 tanh 20nb tied1 tanh tied0", 45, 16, {"clip": (0, 0.05, 0), **ADAM}),
    "max norm": ("9 35 max:0.8 tanh 3nb max:0.5", 45, 16, ADAM),
    "held": ("9 35 min:0.9 max:0.9 tanh 40 nonneg:1 tanh 3nb min:0.3 max:0.5 nonneg:1", 45, 16, ADAM),
    "decay": ("9 35 kd:2 tanh 3 kd:1 bd:3 tanh 9nb kd:0.5", 45, 16, ADAM),
    "decay of few rows": ("9 35 kd:2 tanh 3 bd:1", 13, 3, {"optimizer": "sgd"}),
    "decay, clipped and tied": (
        "50 31 kd:2 bd:1 tanh 3 tanh tied1 bd:2 tanh tied0nb",
        45,
        16,
        {"clip": (0, 0, 1), **ADAM},
    ),
    "clipped value": ("9 35 l2:0.1 tanh 3", 45, 16, {"optimizer": "momentum", "clip": (0.01, 0, 0)}),
    "few rows": ("9 35 l2:0.1 tanh 3", 13, 3, {"optimizer": "sgd"}),
    "few rows clipped": ("9 35 tanh 3", 13, 3, {"optimizer": "sgd", "clip": (0.01, 0, 0)}),
    "clipped norms": ("9 35 l2:0.1 tanh 3nb", 45, 16, {"clip": (0, 0.05, 0), **ADAM}),
    "clipped norm": ("90 117 drop0.3 tanh 130nb max:1.1 3", 45, 16, {"clip": (0, 0, 0.05), **ADAM}),
}
# Layers that bring their inputs to mean 0 and variance 1. The last batch has one row in some of them.
NORMALIZED = {
    "batch": ("7 20 bn relu drop0.3 5 tanh bn:0.5 3 softmax", 45, 16, SPARSE),
    "layer": ("7 20 ln relu drop0.3 5 tanh ln 3 softmax", 45, 16, SPARSE),
    "first and last": (
        "7 bn 35 lnnb gelu bnng softmax 9 bnnbng:0.2",
        33,
        16,
        {"metrics": ERRORS, "optimizer": "momentum"},
    ),
    "wide batch": ("40 170 bn relu 260nb bn tanh drop0.2 65 bn sigmoid", 257, 128, {"metrics": ERRORS, **ADAM}),
    "wide layer": ("40 170 ln relu 260nb ln tanh drop0.2 65 ln sigmoid", 257, 128, {"metrics": ERRORS, **ADAM}),
    "decay and norms": ("9 35 bn kd:2 bd:1 tanh 20 ln kd:1 relu 3", 45, 16, ADAM),
    "norms alone": ("70 bn ln tanh bn ln", 33, 16, {"optimizer": "momentum"}),
    "penalties and norms": (
        "40 150 bn l1:0.01 l2:0.1 bl2:0.1 tanh al2:0.1 130 ln l2:0.1 bl1:0.1 relu 3",
        97,
        48,
        {"clip": (0.01, 0, 0), **ADAM},
    ),
    "clipped norms and norms": ("90 117 bn tanh 130nb lnnb 40 bnng 3", 97, 48, {"clip": (0, 0.05, 0), **ADAM}),
    "clipped norm and norms": ("90 117 bn tanh 130nb lnnb 40 bnng 3", 97, 48, {"clip": (0, 0, 0.05), **ADAM}),
    "tied and norms": ("50 31 bn tanh 3 ln tanh tied1nb bn tanh noise0.1 tied0 bn", 45, 16, ADAM),
}
EVERY = [*CASES, *REGULARIZED, *NORMALIZED]


def make(name, dtype, **more):
    text, n, batch, options = {**CASES, **THREADED, **REGULARIZED, **NORMALIZED}[name]
    return case(text, n, batch, dtype=dtype, **{**options, **more})


def every_result(backend, c, poison=None, **options):
    """Each result that a workspace can give, by name; the scratch is filled with the byte `poison` before each call."""
    fit, results = Fit.of(backend, c, **options), {}

    def keep(**named):
        results.update(named)
        if poison is not None:
            backend.poison(fit.workspace, poison)

    keep()
    gradient, sums = fit.loss_grad(c.x[: c.batch], c.y[: c.batch], c.weights[: c.batch])
    keep(gradient=gradient, loss_grad=sums)
    keep(train=fit.train(c.x, c.y, c.weights)[1])
    keep(more=fit.train(c.x, c.y, None, order=np.arange(len(c.x))[::-1].copy(), step=3)[1])
    keep(evaluate=fit.evaluate(c.x, c.y, c.weights))
    keep(forward=fit.forward(c.x))
    fit.update(gradient, step=6)
    keep()
    results["params"], results["state"] = fit.host()
    return results
