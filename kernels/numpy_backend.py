"""The reference: the contract of `backend.py` in plain NumPy, written to be read, not to be fast."""

import functools
from dataclasses import dataclass

import numpy as np
from threadpoolctl import ThreadpoolController

from . import dropout, normalization, penalties
from .activations import ACTIVATIONS
from .losses import LOSSES, METRICS
from .optimizers import OPTIMIZERS
from .plan import (
    BATCH_NORM,
    CLIP_GLOBAL,
    CLIP_NORM,
    CLIP_VALUE,
    LAYER_NORM,
    OP_ACTIVATION,
    OP_BIAS,
    OP_CODE,
    OP_IN,
    OP_MOVING,
    OP_OUT,
    OP_WEIGHTS,
    RATE_ACTIVITY_L1,
    RATE_ALPHA,
    RATE_BIAS_DECAY,
    RATE_BIAS_L1,
    RATE_BIAS_L2,
    RATE_DROPOUT,
    RATE_EPSILON,
    RATE_KEPT,
    RATE_KERNEL_DECAY,
    RATE_KERNEL_L1,
    RATE_KERNEL_L2,
    RATE_MAX_NORM,
    RATE_MIN_NORM,
    RATE_MOMENTUM,
    RATE_NOISE,
    RATE_NON_NEGATIVE,
    RATE_SPREAD,
    TIED,
    Plan,
)

NAME = "numpy"
QUANTIZED_AT_ONCE = 1 << 16  # numbers
_NORMS = {BATCH_NORM: 0, LAYER_NORM: 1}  # the axis of what is normalised together

_blas = functools.cache(ThreadpoolController)


def _reference(function):
    """Run without floating-point warnings, for Inf and NaN are results like any other here, and on one BLAS thread,
    for the last bits of a BLAS product depend on the number of threads and ours must not."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with np.errstate(all="ignore"), _blas().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return wrapped


@dataclass
class Workspace:
    """Parameters (P,) and optimiser state (S, P) of one fit. The reference keeps no scratch."""

    plan: Plan
    params: np.ndarray
    state: np.ndarray
    batch_size: int

    def op(self, i):
        """Operation i: its weights (I, O) and bias (O,) as views (None where absent), activation, alpha, dropout."""
        op, rate = self.plan.ops[i], self.plan.rates[i]
        w, b = _views(self.params, op)
        return w, b, ACTIVATIONS[op[OP_ACTIVATION]], rate[RATE_ALPHA].item(), rate[RATE_DROPOUT].item()

    def moving(self, i):
        """The moving means and variances (2, O) of the batch normalisation i, a view."""
        op = self.plan.ops[i]
        return self.params[op[OP_MOVING] : op[OP_MOVING] + 2 * op[OP_OUT]].reshape(2, -1)


def _views(flat, op):
    n_in, n_out, start, bias = (int(op[i]) for i in (OP_IN, OP_OUT, OP_WEIGHTS, OP_BIAS))
    if start < 0:
        w = None
    elif op[OP_CODE] in _NORMS:
        w = flat[start : start + n_out]
    else:
        w = flat[start : start + n_in * n_out]
        w = w.reshape(n_out, n_in).T if op[OP_CODE] == TIED else w.reshape(n_in, n_out)
    return w, None if bias < 0 else flat[bias : bias + n_out]


def to_backend(plan, params, state, batch_size, threads):
    return Workspace(plan, params.copy(), state.copy(), batch_size)


def load(workspace, params, state):
    workspace.params[...] = params
    workspace.state[...] = state


def to_host(workspace, params, state):
    params[...] = workspace.params
    state[...] = workspace.state


def retune(workspace, plan):
    workspace.plan = plan


def poison(workspace, byte):
    pass


def expect(workspace, batch_size):
    pass


def _real(rows, scale, dtype):
    return rows.astype(dtype) * dtype.type(scale) if rows.dtype == np.uint8 else rows


def _batch(workspace, x, y, weights, rows):
    plan = workspace.plan
    x = _real(x[rows], plan.input_scale, plan.dtype)
    t = y[rows] if LOSSES[plan.loss].labels else _real(y[rows], plan.target_scale, plan.dtype)
    return x, t, None if weights is None else weights[rows]


def _own(flat, op):
    """The kernel (None where it is another's) and the bias of an operation."""
    w, b = _views(flat, op)
    return None if op[OP_CODE] == TIED else w, b


def _variables(workspace):
    """Kernels and biases: the values, L1, L2, decay."""
    for op, rates in zip(workspace.plan.ops, workspace.plan.rates, strict=True):
        kernel, bias = _own(workspace.params, op)
        if kernel is not None:
            yield kernel, *rates[[RATE_KERNEL_L1, RATE_KERNEL_L2, RATE_KERNEL_DECAY]].tolist()
        if bias is not None:
            yield bias, *rates[[RATE_BIAS_L1, RATE_BIAS_L2, RATE_BIAS_DECAY]].tolist()


def _activity(plan, i):
    """L1 and L2 of the outputs of operation i."""
    return plan.rates[i, RATE_ACTIVITY_L1 : RATE_ACTIVITY_L1 + 2].tolist()


def _penalty(workspace):
    """The penalties on kernels and biases, in float64."""
    return sum(penalties.penalty(w.astype(np.float64), l1, l2) for w, l1, l2, _ in _variables(workspace))


def _loss(plan, z, t, w):
    """Per-row losses summed with their weights, then each metric: (1 + metrics,) in float64."""
    loss = LOSSES[plan.loss].value(z, t, plan.loss_parameter)
    metrics = [METRICS[code].value(z, t, plan.threshold) for code in plan.metrics]
    return np.array([s.sum(dtype=np.float64) for s in (loss if w is None else loss * w, *metrics)])


def _pre_activation(workspace, i, x, training):
    """The pre-activation of operation i, and, of a normalisation, the normalised x, its factor and its moments."""
    w, b, *_ = workspace.op(i)
    code, found = workspace.plan.ops[i, OP_CODE], None
    if code in _NORMS:
        if code == BATCH_NORM and not training:
            mean, variance = workspace.moving(i)
        else:
            mean, variance = normalization.moments(x, _NORMS[code])
        x, factor = normalization.normalized(x, mean, variance, x.dtype.type(workspace.plan.rates[i, RATE_EPSILON]))
        found = x, factor, mean, variance
        z = x if w is None else x * w
    else:
        z = x if w is None else x @ w
    return z if b is None else z + b, found


def _forward(workspace, h, seed, step):
    """Training mode. Returns the last output and, per operation, what its backward pass needs."""
    tape = []
    for i in range(len(workspace.plan.ops)):
        _, _, activation, alpha, rate = workspace.op(i)
        rates = workspace.plan.rates[i]
        x = h
        z, normed = _pre_activation(workspace, i, x, training=True)
        h = y = activation.forward(z, alpha)
        keep = None
        if rate:
            keep = dropout.mask(seed, step, i, *y.shape, rate)
            h = np.where(keep, y * (1.0 / rates[RATE_KEPT]), 0.0).astype(y.dtype)
        noise = None
        if rates[RATE_NOISE] or rates[RATE_SPREAD]:
            noise = dropout.normal(seed, step, i, *y.shape)
            h = (y * (1.0 + rates[RATE_SPREAD] * noise) + rates[RATE_NOISE] * noise).astype(y.dtype)
        tape.append((x, z, y, keep, noise, normed))
    return h, tape


def _gradient(workspace, x, t, w, seed, step, gradient, out=None, advance=False):
    """Fill `gradient` with that of the mean weighted loss of one batch, unless the loss is not finite, and `out` with
    its outputs; the sums of loss and metrics. `advance`: whether the batch contributes to the moving statistics."""
    plan = workspace.plan
    z, tape = _forward(workspace, x, seed, step)
    sums = _loss(plan, z, t, w)
    sums[0] += len(x) * _penalty(workspace)
    for i, (_, _, y, *_) in enumerate(tape):
        sums[0] += penalties.penalty(y, *_activity(plan, i), axis=1).sum(dtype=np.float64)
    if out is not None:
        after = ACTIVATIONS[plan.output_activation]
        out[...] = after.forward(z, after.alpha)
    if not np.isfinite(sums[0]):
        return sums
    gradient[...] = 0.0
    dy = LOSSES[plan.loss].gradient(z, t, plan.loss_parameter) * (1.0 / len(x))
    if w is not None:
        dy *= w[:, None]
    for i in reversed(range(len(plan.ops))):
        weights, _, activation, alpha, _ = workspace.op(i)
        x, z, y, keep, noise, normed = tape[i]
        if keep is not None:
            dy = np.where(keep, dy * (1.0 / plan.rates[i, RATE_KEPT]), 0.0).astype(dy.dtype)
        if noise is not None:
            dy = (dy * (1.0 + plan.rates[i, RATE_SPREAD] * noise)).astype(dy.dtype)
        l1, l2 = _activity(plan, i)
        if l1 or l2:
            dy = dy + penalties.slope(y, l1 / len(z), l2 / len(z))
        dz = activation.backward(z, y, dy, alpha)
        dw, db = _views(gradient, plan.ops[i])
        if normed is not None:
            hat, factor, mean, variance = normed
            axis = _NORMS[plan.ops[i, OP_CODE]]
            dy = normalization.backprop(hat, factor, dz if weights is None else dz * weights, axis)
            if dw is not None:
                dw[...] = (dz * hat).sum(axis=0)
            if advance and axis == 0:
                normalization.advance(workspace.moving(i), mean, variance, plan.rates[i, RATE_MOMENTUM].item())
        elif dw is not None:
            dw += x.T @ dz
            dy = dz @ weights.T if i else None
        else:
            dy = dz
        if db is not None:
            db[...] = dz.sum(axis=0)
    for (w, l1, l2, _), g in zip(_variables(workspace), _parts(plan, gradient), strict=True):
        if l1 or l2:
            g += penalties.slope(w, l1, l2)
    return sums


def _parts(plan, flat):
    """Kernels and biases of a flat vector, in order."""
    return [part for op in plan.ops for part in _own(flat, op) if part is not None]


def _norm(g):
    return np.sqrt(np.sum(np.square(g, dtype=np.float64)))


def _clipped(plan, gradient):
    """The gradient that the optimiser sees."""
    value, norm, total = plan.clip[[CLIP_VALUE, CLIP_NORM, CLIP_GLOBAL]].tolist()
    if value:
        return np.clip(gradient, -value, value)
    if total:
        return gradient * gradient.dtype.type(penalties.clip_factor(_norm(gradient), total))
    if norm:
        gradient = gradient.copy()
        for g in _parts(plan, gradient):
            g *= penalties.clip_factor(_norm(g), norm)
    return gradient


@_reference
def train(workspace, x, y, weights, order, rates, batch_size, seed, step, sums, outputs):
    gradient = np.empty_like(workspace.params)
    for k, rate in enumerate(rates):
        rows = order[k * batch_size : (k + 1) * batch_size]
        out = None if outputs is None else outputs[k * batch_size : k * batch_size + len(rows)]
        batch = _batch(workspace, x, y, weights, rows)
        sums[k] = _gradient(workspace, *batch, seed, step + k, gradient, out, advance=True)
        if not np.isfinite(sums[k, 0]):
            return k
        _update(workspace, gradient, rate, step + k)
    return len(rates)


@_reference
def loss_grad(workspace, x, y, weights, seed, step, gradient):
    return _gradient(workspace, *_batch(workspace, x, y, weights, slice(None)), seed, step, gradient)


def _update(workspace, gradient, rate, step):
    plan = workspace.plan
    row = OPTIMIZERS[plan.optimizer]
    gradient = _clipped(plan, gradient)
    for w, _, _, decay in _variables(workspace):
        if decay:
            penalties.decay(w, float(rate), decay)
    for part in plan.trained:
        slots = tuple(slot[part] for slot in workspace.state)
        row.update(workspace.params[part], gradient[part], slots, plan.hyper.tolist(), float(rate), step + 1)
    for op, rates in zip(plan.ops, plan.rates, strict=True):
        if rates[RATE_MAX_NORM]:
            penalties.bound_norms(_views(workspace.params, op)[0], *rates[[RATE_MIN_NORM, RATE_MAX_NORM]].tolist())
        if rates[RATE_NON_NEGATIVE]:
            penalties.non_negative(_views(workspace.params, op)[0])


@_reference
def update(workspace, gradient, rate, step):
    _update(workspace, gradient, rate, step)


def _chunks(workspace, n):
    return (slice(i, i + workspace.batch_size) for i in range(0, n, workspace.batch_size))


def _outputs(workspace, h, first, last):
    """Inference mode: what each of the operations first..last gives."""
    outputs = []
    for i in range(first, last + 1):
        _, _, activation, alpha, _ = workspace.op(i)
        h = activation.forward(_pre_activation(workspace, i, h, training=False)[0], alpha)
        outputs.append(h)
    return outputs


@_reference
def evaluate(workspace, x, y, weights, sums):
    plan = workspace.plan
    sums[...] = 0.0
    for rows in _chunks(workspace, len(x)):
        batch, t, w = _batch(workspace, x, y, weights, rows)
        outputs = _outputs(workspace, batch, 0, len(plan.ops) - 1)
        for i, h in enumerate(outputs):
            sums[0] += penalties.penalty(h, *_activity(plan, i), axis=1).sum(dtype=np.float64)
        sums += _loss(plan, outputs[-1], t, w)
    sums[0] += len(x) * _penalty(workspace)


@_reference
def forward(workspace, x, first, last, out):
    plan = workspace.plan
    after = ACTIVATIONS[plan.activation_after(last)]
    for rows in _chunks(workspace, len(x)):
        h = _real(x[rows], plan.input_scale, plan.dtype)
        out[rows] = after.forward(_outputs(workspace, h, first, last)[-1], after.alpha)
    return bool(np.isfinite(x).all())


def quantize(x, scale, out, threads):
    scale, flat, bytes_ = x.dtype.type(scale), x.reshape(-1), out.reshape(-1)
    with np.errstate(all="ignore"):  # no product here: BLAS keeps its threads, for another thread may be training
        for start in range(0, x.size, QUANTIZED_AT_ONCE):
            part = flat[start : start + QUANTIZED_AT_ONCE]
            numbers = np.clip(np.rint(part / scale), 0, 255)
            nearest = numbers * scale
            if not (np.abs(nearest - part) <= nearest * 2.0**-22).all():
                return False
            bytes_[start : start + QUANTIZED_AT_ONCE] = numbers
    return True


@_reference
def gemm(a, b, out, trans_a, trans_b, threads):
    out[...] = (a.T if trans_a else a) @ (b.T if trans_b else b)


@_reference
def activate(code, z, out, alpha):
    out[...] = ACTIVATIONS[code].forward(z, alpha)


@_reference
def activate_grad(code, z, dy, out, alpha):
    row = ACTIVATIONS[code]
    out[...] = row.backward(z, row.forward(z, alpha), dy, alpha)


@_reference
def loss(code, z, y, values, gradient, parameter):
    values[...] = LOSSES[code].value(z, y, parameter)
    gradient[...] = LOSSES[code].gradient(z, y, parameter)


def dropout_mask(seed, step, op, out, rate):
    out[...] = dropout.mask(seed, step, op, *out.shape, rate)


def normal_noise(seed, step, op, out):
    out[...] = dropout.normal(seed, step, op, *out.shape)
