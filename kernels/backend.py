"""The contract: what a backend is.

A backend is a module with a `NAME` and the functions below, same names, same arguments (a test compares them).
Notation: n rows of data, I inputs, O outputs, P parameters, S state vectors; "real" is the plan's dtype. Every array is
C-contiguous, native-endian and of the dtype named: validation is the caller's business, a backend may crash on less.
Inputs may be read-only and may overlap one another (an autoencoder's x and y are one array); outputs overlap nothing
unless a function says so.

`to_backend(plan, params, state, batch_size, threads)` -> workspace
    Copies params (P,) and state (S, P), both real, into the backend's own layout, and allocates all scratch for batches
    of up to `batch_size` rows, on at most `threads` threads. A workspace belongs to one Python thread at a time.
`load(workspace, params, state)`
    Copies other params and state into a workspace.
`to_host(workspace, params, state)`
    Writes the current parameters and state into the flat vectors given.
`retune(workspace, plan)`
    Goes on with a plan that differs from the one before in L2 penalties of kernels alone, above 0 in both where they
    differ.
`poison(workspace, byte)`
    Fills all scratch with `byte`: no result may change.
`expect(workspace, batch_size)`
    Says that `train` with batches of `batch_size` rows may follow within a millisecond or two: a backend whose threads
    sleep can wake them meanwhile. Changes no result.
`train(workspace, x, y, weights, order, rates, batch_size, seed, step, sums, outputs)` -> batches done
    Runs minibatches: batch k takes the rows ``order[k * batch_size : (k + 1) * batch_size]`` (int64, fewer in the last
    one), does gather, forward, loss, backward and update with the learning rate ``rates[k]`` (float64), dropout masks
    of step ``step + k`` and optimiser step number ``step + k + 1``. ``sums[k]`` (float64, 1 + metrics) receives the
    weighted sum of the rows' losses, plus the penalties once for each row, and the sum of each metric. ``outputs[i]``
    (real, (len(order), O), or None) receives what training computed for row ``order[i]``, dropout included, through the
    plan's output activation. Stops before the update of the first batch whose loss is not finite and returns its
    number, the rows of sums and outputs after it untouched; otherwise returns ``len(rates)``. The statistics of every
    other batch go into the moving ones.
`loss_grad(workspace, x, y, weights, seed, step, gradient)` -> sums
    One batch, all rows of x in order, in training mode: fills gradient (P,), real, of the mean weighted loss and the
    penalties, not clipped, and returns the sums (float64, 1 + metrics). Changes nothing else, and the gradient by
    moving statistics is 0. If the loss is not finite, gradient is not specified.
`update(workspace, gradient, rate, step)`
    One optimiser step, number ``step + 1``, from the gradient given, with clipping before and constraints after it.
    `loss_grad` then `update` equals one batch of `train`, but for the moving statistics, which stay.
`evaluate(workspace, x, y, weights, sums)`
    Inference mode: writes the sums over all rows, as above, into sums (1 + metrics,). Rows are taken in order.
`forward(workspace, x, first, last, out)` -> whether every number of x is finite
    Inference mode: runs the operations first..last (inclusive) on x (n, width) and writes out (n, width), real, with
    the plan's output activation after the last operation of the plan. Any n. x need not be finite.

`quantize(x, scale, out, threads)` -> whether all of x is bytes times scale
    Writes the bytes to out (uint8, of x's shape) of which x (float32 or float64) is ``scale`` times, give or take a
    last bit of float32 or two. Where anything else is in x, NaN too, the result is False and out means nothing.

x is (n, I), uint8 or real; uint8 is multiplied by ``plan.input_scale`` while it is gathered (`forward` does so only
for ``first == 0``). y is int32 (n,) for losses with labels, otherwise (n, O), uint8 (times ``plan.target_scale``) or
real. weights is real (n,) or None. Labels are valid indices; the caller has checked.

Probes: thin doors to the code that `train` runs, so that what is tested is what runs.

`gemm(a, b, out, trans_a, trans_b, threads)`: ``out = op(a) @ op(b)``; real matrices.
`activate(code, z, out, alpha)`: rows (n, width); out may be z.
`activate_grad(code, z, dy, out, alpha)`: gradient by z, given the gradient by the activation; out may be dy.
`loss(code, z, y, values, gradient, parameter)`: values (n,) and gradient (n, O) of each row, not divided by the rows.
`dropout_mask(seed, step, op, out, rate)`: out (rows, columns), uint8: 1 where kept.
`normal_noise(seed, step, op, out)`: out (rows, columns), real: standard normal numbers.

Results do not depend on the number of threads, bit for bit, nor on how an epoch is cut into calls.
"""

FUNCTIONS = (
    "to_backend",
    "load",
    "to_host",
    "retune",
    "poison",
    "expect",
    "train",
    "loss_grad",
    "update",
    "evaluate",
    "forward",
    "quantize",
    "gemm",
    "activate",
    "activate_grad",
    "loss",
    "dropout_mask",
    "normal_noise",
)


class BackendUnavailable(ImportError):
    """The backend exists but cannot run here; the message says why and what would help."""
