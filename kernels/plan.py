"""Plan: a network as flat arrays of codes, sizes and offsets.

A plan is a list of operation records. One record is ``y = dropout(activation(x W + b))`` (DENSE) or
``y = dropout(activation(x))`` (ELEMENTWISE); either part may be the identity. In a TIED record W is the transpose of an
earlier DENSE record's, and its offset is that one's. In a BATCH_NORM and a LAYER_NORM record ``x W + b`` is gamma times
the normalised x plus beta; see `normalization`. All parameters of a network lie in one flat vector, operation by
operation: W row-major (n_in, n_out), or gamma (n_out,), then b (n_out,), then, of a BATCH_NORM, the moving means and
the moving variances (n_out,), which no optimiser changes. Optimiser state and gradients have the same layout.
Everything a backend needs crosses the boundary as the arrays and numbers of this class.
"""

from dataclasses import dataclass

import numpy as np

from . import activations, losses, optimizers

DENSE = 0
ELEMENTWISE = 1
TIED = 2
BATCH_NORM = 3
LAYER_NORM = 4

# Columns of Plan.ops (int64). An offset is an index into the flat parameter vector; -1: there is none.
OP_CODE, OP_IN, OP_OUT, OP_ACTIVATION, OP_WEIGHTS, OP_BIAS, OP_MOVING = range(7)
# Columns of Plan.rates (float64); see `penalties` for those from KERNEL_L1 on, of which 0 means none.
RATES = (
    "alpha", "dropout", "kernel_l1", "kernel_l2", "bias_l1", "bias_l2", "activity_l1", "activity_l2", "max_norm",
    "kept", "gaussian_noise", "gaussian_dropout", "epsilon", "momentum", "min_norm", "non_negative", "kernel_decay",
    "bias_decay",
)  # fmt: skip
(
    RATE_ALPHA, RATE_DROPOUT, RATE_KERNEL_L1, RATE_KERNEL_L2, RATE_BIAS_L1, RATE_BIAS_L2, RATE_ACTIVITY_L1,
    RATE_ACTIVITY_L2, RATE_MAX_NORM, RATE_KEPT, RATE_NOISE, RATE_SPREAD, RATE_EPSILON, RATE_MOMENTUM, RATE_MIN_NORM,
    RATE_NON_NEGATIVE, RATE_KERNEL_DECAY, RATE_BIAS_DECAY,
) = range(len(RATES))  # fmt: skip
_CLOSING = RATE_DROPOUT, RATE_ACTIVITY_L1, RATE_ACTIVITY_L2, RATE_NOISE, RATE_SPREAD
# Elements of Plan.clip (float64), of which 0 means none.
CLIP_VALUE, CLIP_NORM, CLIP_GLOBAL = range(3)


@dataclass(frozen=True, eq=False)
class Plan:
    """A network, its loss and its optimiser, as data.

    Attributes
    ----------
    ops : ndarray of int64, shape (n_ops, 7)
        One record an operation: code, inputs, outputs, activation, offset of W, of b and of the moving statistics.
    rates : ndarray of float64, shape (n_ops, 18)
        One record an operation: the activation's alpha, the dropout rate, L1 and L2 of the kernel, of the bias and of
        the outputs before dropout, the largest norm of a column of the kernel, what dropout divides by what it keeps,
        the standard deviations of noise that is added to the outputs and of noise around one that multiplies them,
        what a normalisation adds to a variance, and keeps of its moving statistics, the smallest norm of a column of
        the kernel where there is a largest, whether the kernel is kept from being negative, and the decay of kernel and
        bias, of which an update takes the learning rate's share off first.
    output_activation : int
        Activation code that `forward` applies after the last operation and that training leaves out because the loss
        works on logits; LINEAR when there is none.
    n_params : int
        Length of the flat parameter vector.
    dtype : numpy.dtype
        float32 or float64: parameters, activations and gradients.
    loss : int
        Code of the loss.
    loss_parameter : float
        Its parameter, such as the label smoothing; 0 where it has none.
    metrics : ndarray of int64, shape (n_metrics,)
        Codes of the metrics that training sums.
    threshold : float
        What `binary_accuracy` compares the last operation's output with: 0 for logits and hinges, 0.5 otherwise.
    optimizer : int
        Code of the optimiser.
    hyper : ndarray of float64, shape (n_hyper,)
        Its hyper-parameters besides the learning rate, in the order of its row.
    n_slots : int
        Number of its state vectors.
    clip : ndarray of float64, shape (3,)
        What the gradient is clipped to: every element, the norm of every kernel and bias, the norm of all.
    input_scale, target_scale : float
        What uint8 inputs and uint8 targets are multiplied by; other dtypes are taken as they are.
    """

    ops: np.ndarray
    rates: np.ndarray
    output_activation: int
    n_params: int
    dtype: np.dtype
    loss: int
    loss_parameter: float
    metrics: np.ndarray
    threshold: float
    optimizer: int
    hyper: np.ndarray
    n_slots: int
    clip: np.ndarray
    input_scale: float
    target_scale: float

    @property
    def key(self):
        """All of the plan, to compare it with another."""
        return tuple(v.tobytes() if isinstance(v, np.ndarray) else v for v in vars(self).values())

    @property
    def whole_gradient(self):
        """Whether an update needs all of the gradient first."""
        return bool(self.clip[CLIP_NORM] or self.clip[CLIP_GLOBAL] or (self.ops[:, OP_CODE] == TIED).any())

    @property
    def trained(self):
        """Slices of the flat vector that an optimiser changes: all of it but the moving statistics."""
        moving = self.ops[self.ops[:, OP_CODE] == BATCH_NORM]
        starts = [0, *(moving[:, OP_MOVING] + 2 * moving[:, OP_OUT]).tolist()]
        return list(map(slice, starts, [*moving[:, OP_MOVING].tolist(), self.n_params]))

    def source_of(self, i):
        """Number of the operation whose W is the transpose of that of the TIED operation `i`."""
        return int(np.argmax((self.ops[:, OP_CODE] == DENSE) & (self.ops[:, OP_WEIGHTS] == self.ops[i, OP_WEIGHTS])))

    @property
    def n_inputs(self):
        """Width of an input row."""
        return int(self.ops[0, OP_IN])

    @property
    def n_outputs(self):
        """Width of an output row."""
        return int(self.ops[-1, OP_OUT])

    def activation_after(self, last):
        """Activation code that `forward` applies after operation `last`, besides that operation's own."""
        return self.output_activation if last == len(self.ops) - 1 else activations.LINEAR


class PlanBuilder:
    """Collects layers in order and turns them into a `Plan`.

    A layer that follows a dense layer joins its record where the record can still take it, so that ``Dense(n),
    Activation(a), Dropout(p)`` and ``Dense(n, activation=a), Dropout(p)`` are one operation.

    Parameters
    ----------
    n_inputs : int
        Width of an input row.
    """

    def __init__(self, n_inputs):
        self.width = n_inputs
        self.n_params = 0
        self._ops = []
        self._rates = []

    @property
    def n_ops(self):
        """Number of operations so far."""
        return len(self._ops)

    def dense(self, units, use_bias=True):
        """Append ``x W + b`` with `units` outputs."""
        weights = self.n_params
        bias = weights + self.width * units
        self.n_params = bias + (units if use_bias else 0)
        self._append(DENSE, units, weights, bias if use_bias else -1)
        return self.n_ops - 1

    def tied(self, source, use_bias=True):
        """Append ``x W' + b``, with the W of the dense operation number `source`, which gives as much as this takes."""
        _, n_in, n_out, _, weights, *_ = self._ops[source]
        if self._ops[source][OP_CODE] != DENSE or n_out != self.width:
            raise ValueError(f"operation {source} has no kernel ({n_in}, {self.width}), whose transpose could be used")
        bias = self.n_params
        self.n_params += n_in if use_bias else 0
        self._append(TIED, n_in, weights, bias if use_bias else -1)

    def normalization(self, over, epsilon=1e-3, center=True, scale=True, momentum=0.99):
        """Append a normalisation over the rows of the "batch", or over the outputs of the "layer" before it."""
        n, start = self.width, self.n_params
        bias = start + n * scale
        end = bias + n * center
        moving = end if over == "batch" else -1
        self.n_params = end + (2 * n if over == "batch" else 0)
        code = {"batch": BATCH_NORM, "layer": LAYER_NORM}[over]
        self._append(code, n, start if scale else -1, bias if center else -1, moving)
        self._rates[-1][RATE_EPSILON] = epsilon
        self._rates[-1][RATE_MOMENTUM] = momentum if over == "batch" else 0.0

    def activation(self, name, alpha=None):
        """Append the activation `name` (a key of `activations.BY_NAME`)."""
        row = activations.BY_NAME[name]
        if row.code == activations.LINEAR:
            return
        if not self._ops or self._ops[-1][OP_ACTIVATION] != activations.LINEAR or self._closed():
            self._append(ELEMENTWISE, self.width)
        self._ops[-1][OP_ACTIVATION] = row.code
        self._rates[-1][RATE_ALPHA] = row.alpha if alpha is None else alpha

    def noise(self, name, stddev):
        """Append "gaussian_noise", which adds normal numbers, or "gaussian_dropout", which multiplies by 1 and more."""
        if stddev == 0.0:
            return
        # A derivative of an activation is computed from its output.
        if not self._ops or self._ops[-1][OP_ACTIVATION] != activations.LINEAR or self._closed():
            self._append(ELEMENTWISE, self.width)
        self._rates[-1][RATES.index(name)] = stddev

    def dropout(self, rate, scaled=True):
        """Append dropout of a share `rate` of the elements, the others scaled up for it unless told otherwise."""
        if rate == 0.0:
            return
        if not self._ops or self._closed():
            self._append(ELEMENTWISE, self.width)
        self._rates[-1][RATE_DROPOUT] = rate
        self._rates[-1][RATE_KEPT] = 1.0 - rate if scaled else 1.0

    def regularize(self, **rates):
        """Set penalties, constraints and decays of the last layer, by their names in `RATES`: ``kernel_l2=0.01``."""
        if not self._ops:
            self._append(ELEMENTWISE, self.width)
        for name, rate in rates.items():
            refused = {"activity": (), "bias": (ELEMENTWISE,), "kernel": (ELEMENTWISE, TIED)}.get(
                name.partition("_")[0], (ELEMENTWISE, TIED, BATCH_NORM, LAYER_NORM)
            )
            if self._ops[-1][OP_CODE] in refused:
                raise ValueError(f"the last layer has no weights for {name} = {rate!r}")
            self._rates[-1][RATES.index(name)] = rate

    def _closed(self):
        """Whether the last record takes nothing more, for its noise and penalties are about what it gives now."""
        return any(self._rates[-1][i] for i in _CLOSING)

    def _append(self, code, units, weights=-1, bias=-1, moving=-1):
        self._ops.append([code, self.width, units, activations.LINEAR, weights, bias, moving])
        self._rates.append([0.0] * len(RATES))
        self.width = units

    def build(
        self,
        loss="mse",
        metrics=(),
        optimizer="sgd",
        hyper=None,
        dtype="float32",
        from_logits=False,
        input_scale=1.0,
        target_scale=1.0,
        loss_parameter=None,
        clip=(0.0, 0.0, 0.0),
        decay=None,
    ):
        """Finish the plan.

        Parameters
        ----------
        loss, optimizer : str
            Names of table rows.
        metrics : sequence of str
            Names of metric rows.
        hyper : dict, optional
            Hyper-parameters that differ from the optimiser's defaults.
        dtype : {"float32", "float64"}
        from_logits : bool
            Whether the network's output is the logits of a cross-entropy, and not its probabilities.
        input_scale, target_scale : float
            Factors for uint8 inputs and targets.
        loss_parameter : float, optional
            The loss's parameter, if it is not its row's default.
        clip : sequence of float
            What to clip the gradient to: value, norm, global norm; 0 for none.
        decay : dict of int to float, optional
            The decay of kernels and biases, by their offsets.

        Returns
        -------
        Plan

        Raises
        ------
        ValueError
            If the loss does not fit the last activation or has no parameter, a metric does not fit the loss, or a
            hyper-parameter is unknown to the optimiser.
        """
        ops = [list(op) for op in self._ops]
        ops = ops or [[ELEMENTWISE, self.width, self.width, activations.LINEAR, -1, -1, -1]]
        rates = [list(r) for r in self._rates] or [[0.0] * len(RATES)]
        for op, rate in zip(ops, rates, strict=True):
            if op[OP_CODE] != TIED:
                rate[RATE_KERNEL_DECAY] = (decay or {}).get(op[OP_WEIGHTS], rate[RATE_KERNEL_DECAY])
            rate[RATE_BIAS_DECAY] = (decay or {}).get(op[OP_BIAS], rate[RATE_BIAS_DECAY])
        row = losses.LOSS_BY_NAME[loss]
        if loss_parameter is not None and row.parameter is None:
            raise ValueError(f"the loss {loss!r} has no parameter, got {loss_parameter!r}")
        absorbed = activations.LINEAR
        if row.link is not None and not from_logits:
            absorbed = activations.BY_NAME[row.link].code
            last = activations.ACTIVATIONS[ops[-1][OP_ACTIVATION]].name
            if ops[-1][OP_ACTIVATION] != absorbed or rates[-1][RATE_DROPOUT]:
                raise ValueError(
                    f"the loss {loss!r} needs {row.link!r} as the last activation, and nothing after it; the network "
                    f"ends in {last!r}" + (" and dropout" if rates[-1][RATE_DROPOUT] else "") + ". For a network "
                    "that ends in logits, use the loss with from_logits=True"
                )
            ops[-1][OP_ACTIVATION] = activations.LINEAR
            if rates[-1][RATE_ACTIVITY_L1] or rates[-1][RATE_ACTIVITY_L2]:
                raise ValueError(f"the loss {loss!r} absorbs the last activation, whose outputs cannot be penalized")
        metric_rows = [losses.METRIC_BY_NAME[name] for name in metrics]
        for metric in metric_rows:
            if row.link is not None and not metric.from_logits:
                raise ValueError(
                    f"the metric {metric.name!r} is not computed for the loss {loss!r}, which works on logits"
                )
            if row.labels and not metric.labels:
                raise ValueError(
                    f"the metric {metric.name!r} is not computed for the loss {loss!r}, which takes labels"
                )
        if len(metric_rows) > losses.MAX_METRICS:
            raise ValueError(f"at most {losses.MAX_METRICS} metrics can be summed in training, got {len(metric_rows)}")
        chosen = optimizers.BY_NAME[optimizer]
        unknown = set(hyper or {}) - set(chosen.hyper)
        if unknown:
            raise ValueError(f"{optimizer} has no hyper-parameter {min(unknown)!r}; it has {sorted(chosen.hyper)}")
        return Plan(
            ops=np.array(ops, dtype=np.int64),
            rates=np.array(rates, dtype=np.float64),
            output_activation=absorbed,
            n_params=self.n_params,
            dtype=np.dtype(dtype),
            loss=row.code,
            loss_parameter=float((row.parameter or 0.0) if loss_parameter is None else loss_parameter),
            metrics=np.array([m.code for m in metric_rows], dtype=np.int64),
            threshold=row.threshold,
            optimizer=chosen.code,
            hyper=np.array(list({**chosen.hyper, **(hyper or {})}.values()), dtype=np.float64),
            n_slots=len(chosen.slots),
            clip=np.array(clip, dtype=np.float64),
            input_scale=float(input_scale),
            target_scale=float(target_scale),
        )
