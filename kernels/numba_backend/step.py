"""The phases of one batch. Every function is entered by all threads and does this thread's share.

From the gather to the gradients by the pre-activations, a thread keeps to its own rows, which no other looks at, so
that nobody waits; then all meet, and share the weights, whose gradients are sums over all rows.

`job` and `ops` are records of `layout`; `like` is any number of the real type; `team` is (thread, threads).
"""

import math

import numpy as np

from ..plan import DENSE
from .activations import LINEAR, activate, activate_grad, drop, dropout_key
from .cache import jit
from .intrinsics import at, cast, outlined, pointer, view
from .layout import INT32, UINT8
from .losses import loss_row, metric_row
from .matmul import multiply, multiply_turned, share, turn
from .microkernel import ROWS, panel_width, tile
from .optimizers import apply, constants
from .threads import barrier

# What a job is; the first three differ in what they do with a gradient.
TRAIN, LOSS_GRAD, UPDATE, EVALUATE, FORWARD = range(5)
# A team of one: a product of this thread's own rows.
ALONE = (0, 1)
_BYTE, _LABEL, _INDEX, _SUM = np.uint8(0), np.int32(0), np.int64(0), np.float64(0)


@jit
def wait(job, team):
    """Meet the other threads."""
    barrier(pointer(_INDEX, job.barrier), team[1])


@jit
def private(like, job, team):
    """This thread's tile, two rows of scratch, and the optimiser's constants."""
    p = at(pointer(like, job.scratch), job.private + team[0] * job.private_step)
    panel = panel_width(p)
    constants = at(p, ROWS * panel)
    first = at(constants, 16)
    return p, first, at(first, (job.private_step - ROWS * panel - 16) // 2), constants


@jit
def prepare(like, job, rate, t, team):
    """Fill in this thread's copy of the optimiser's constants for step `t`."""
    constants(job.optimizer, view(pointer(_SUM, job.hyper), 8), rate, t, view(private(like, job, team)[3], 5))


@jit
def _read_row(like, source, kind, scale, row, n, out):
    """Row `row` of real or uint8 numbers as real ones."""
    if kind == UINT8:
        numbers, factor = view(at(pointer(_BYTE, source), row * n), n), cast(like, scale)
        for j in range(n):
            out[j] = cast(like, numbers[j]) * factor
    else:
        reals = view(at(pointer(like, source), row * n), n)
        for j in range(n):
            out[j] = reals[j]


@jit
def _row_number(job, i):
    """Row i of this call's order in the caller's arrays."""
    return view(pointer(_INDEX, job.order), i + 1)[i] if job.order else i


@jit
def own_rows(rows, team):
    """The rows of a batch that are this thread's, from the gather to the gradient: whole tiles of them."""
    first, last = share((rows + ROWS - 1) // ROWS, team[0], team[1])
    return first * ROWS, min(last * ROWS, rows)


@jit
def gather(like, job, op, start, rows, team):
    """Rows `start`.. of the order into the first activation.

    Shapes: x (any, n_in), out (rows, n_in).
    Layout: x contiguous, out by pitch.
    Aliasing: none.
    """
    outlined()
    first, last = own_rows(rows, team)
    place = at(pointer(like, job.scratch), op.x)
    for i in range(first, last):
        out = view(at(place, i * op.x_pitch), op.n_in)
        _read_row(like, job.x, job.x_kind, job.input_scale, _row_number(job, start + i), op.n_in, out)


@jit
def forward(like, job, ops, rows, step, team):
    """Run the operations first..last of the job; with dropout where gradients follow.

    Shapes: of each operation x (rows, n_in), z and y (rows, n_out).
    Layout: by pitch, in the scratch.
    Aliasing: z may be x, y may be z, where the record says so.
    """
    outlined()
    scratch, params = pointer(like, job.scratch), pointer(like, job.params)
    buffer = private(like, job, team)[0]
    panel = panel_width(scratch)
    first, last = own_rows(rows, team)
    for number in range(job.first, job.last + 1):
        op = ops[number]
        z, y = at(scratch, op.z), at(scratch, op.y)
        if op.code == DENSE:
            deep = (op.n_in + ROWS - 1) // ROWS * ROWS
            multiply(
                at(scratch, op.x + first * op.x_pitch), op.x_pitch, np.int64(1), at(params, op.w), deep * panel, panel,
                last - first, op.n_in, op.n_out, at(z, first * op.pitch), op.pitch, at(params, max(op.b, 0)), op.b >= 0,
                buffer, ALONE,
            )  # fmt: skip
        if op.same:
            continue
        dropping = job.mode <= LOSS_GRAD and op.threshold >= 0
        key, scale = dropout_key(job.seed, step, number), cast(like, op.scale)
        for i in range(first, last):
            source, place = view(at(z, i * op.pitch), op.n_out), view(at(y, i * op.pitch), op.n_out)
            activate(op.activation, cast(like, op.alpha), source, place)
            if dropping:
                drop(key, op.threshold, scale, i * op.n_out, place)


@jit
def loss(like, job, op, start, rows, team):
    """Losses and metrics of the batch's rows, and the gradient of their mean by the last output.

    Shapes: y (rows, n_out), gradient (rows, n_out), row_sums (rows, 1 + n_metrics) float64.
    Layout: y and gradient by pitch.
    Aliasing: none.
    """
    outlined()
    scratch = pointer(like, job.scratch)
    first, last = own_rows(rows, team)
    n, columns = op.n_out, 1 + job.n_metrics
    _, one_row, other_row, _ = private(like, job, team)
    t, spare = view(one_row, n), view(other_row, n)
    codes = view(pointer(_INDEX, job.metrics), job.n_metrics)
    mean = cast(like, 1.0 / rows)
    for i in range(first, last):
        row = _row_number(job, start + i)
        label = np.int64(0)
        if job.y_kind == INT32:
            label = np.int64(view(at(pointer(_LABEL, job.y), row), 1)[0])
        else:
            _read_row(like, job.y, job.y_kind, job.target_scale, row, n, t)
        z, gradient = view(at(scratch, op.y + i * op.pitch), n), view(at(scratch, op.d + i * op.pitch), n)
        sums = view(at(pointer(_SUM, job.row_sums), i * columns), columns)
        value = loss_row(job.loss, z, t, label, gradient)
        if job.weights:
            weight = view(at(pointer(like, job.weights), row), 1)[0]
            value *= weight
            for j in range(n):
                gradient[j] = gradient[j] * mean * weight
        else:
            for j in range(n):
                gradient[j] *= mean
        sums[0] = value
        for m in range(job.n_metrics):
            sums[1 + m] = metric_row(codes[m], z, t, label, job.y_kind == INT32, job.threshold, spare)


@jit
def add_up(job, batch, rows, team):
    """Add the rows' losses and metrics in order, into the sums of the batch or (EVALUATE) of all; is the loss finite?

    Shapes: row_sums (rows, 1 + n_metrics), sums (batches or 1, 1 + n_metrics), both float64.
    Layout: contiguous.
    Aliasing: none.
    """
    outlined()
    columns = 1 + job.n_metrics
    row_sums = view(pointer(_SUM, job.row_sums), rows * columns)
    if team[0] == 0:
        sums = view(at(pointer(_SUM, job.sums), 0 if job.mode == EVALUATE else batch * columns), columns)
        for m in range(columns):
            total = sums[m] if job.mode == EVALUATE else 0.0
            for i in range(rows):
                total += row_sums[i * columns + m]
            sums[m] = total
    # Every thread finds this for itself, and the same.
    total = 0.0
    for i in range(rows):
        total += row_sums[i * columns]
    return math.isfinite(total)


@jit
def output(like, job, op, start, rows, team):
    """Write the batch's rows of the output for the caller, with the activation that the loss had absorbed.

    Shapes: y (rows, n_out), out (all rows, n_out).
    Layout: y by pitch, out contiguous.
    Aliasing: none.
    """
    first, last = own_rows(rows, team)
    for i in range(first, last):
        y = view(at(pointer(like, job.scratch), op.y + i * op.pitch), op.n_out)
        activate(job.after, cast(like, 0.0), y, view(at(pointer(like, job.out), (start + i) * op.n_out), op.n_out))


@jit
def _through_activations(like, job, ops, top, rows, step, team):
    """Turn the gradient by the output of operation `top` into that by the pre-activation of the next dense operation
    down, whose number is returned.

    Shapes: d (rows, n_out), z (rows, n_out).
    Layout: by pitch.
    Aliasing: d in place.
    """
    outlined()
    scratch = pointer(like, job.scratch)
    spare = private(like, job, team)[1]
    first, last = own_rows(rows, team)
    number = top
    while True:
        op = ops[number]
        key, scale = dropout_key(job.seed, step, number), cast(like, op.scale)
        for i in range(first, last):
            d, z = view(at(scratch, op.d + i * op.pitch), op.n_out), view(at(scratch, op.z + i * op.pitch), op.n_out)
            if op.threshold >= 0:
                drop(key, op.threshold, scale, i * op.n_out, d)
            if op.activation != LINEAR:
                activate_grad(op.activation, cast(like, op.alpha), z, d, view(spare, op.n_out))
        if op.code == DENSE:
            return number
        number -= 1


@jit
def backward(like, job, ops, rows, step, team):
    """Gradients by the pre-activations of all dense operations, from the last output's, which `loss` left.

    Shapes: of each operation d (rows, n_out).
    Layout: by pitch, and transposed in panels as the right side of a product.
    Aliasing: none.
    """
    outlined()
    lowest = 0
    while lowest < job.n_ops and ops[lowest].code != DENSE:
        lowest += 1
    if lowest == job.n_ops:
        return
    scratch, params = pointer(like, job.scratch), pointer(like, job.params)
    buffer = private(like, job, team)[0]
    panel = panel_width(scratch)
    chunk = min(8, panel)
    first, last = own_rows(rows, team)
    turned = at(scratch, job.turned + (first + team[0] * panel) * job.widest)
    number = job.n_ops - 1
    while True:
        number = _through_activations(like, job, ops, number, rows, step, team)
        if number == lowest:
            return
        op, below = ops[number], ops[number - 1]
        for i in range(first, last, chunk):
            turn(min(chunk, last - i), op.n_out, at(scratch, op.d + i * op.pitch), op.pitch, turned, i - first)
        deep = (op.n_in + ROWS - 1) // ROWS * ROWS
        out = at(scratch, below.d + first * below.pitch)
        multiply_turned(
            at(params, op.w), deep * panel, turned, last - first, op.n_in, op.n_out, out, below.pitch, buffer, ALONE
        )
        number -= 1


@jit
def weight_gradients(like, job, op, rows, team):
    """Gradient of one dense operation, used as the job says: to update, to be stored; or (UPDATE) read instead.

    Shapes: x (rows, n_in), d (rows, n_out); gradient, W (n_in, n_out).
    Layout: x and d by pitch, gradient flat, W and state packed; a tile is one piece of each packed vector.
    Aliasing: none.
    """
    outlined()
    scratch, params, state = pointer(like, job.scratch), pointer(like, job.params), pointer(like, job.state)
    flat, d = pointer(like, job.gradient), at(scratch, op.d)
    buffer, _, _, constants = private(like, job, team)
    panel = panel_width(buffer)
    g, c = view(buffer, ROWS * panel), view(constants, 5)
    tiles = (op.n_in + ROWS - 1) // ROWS
    panels = (op.n_out + panel - 1) // panel
    # A bias is one more tile of its panel, of one row.
    per_panel = tiles + 1 if op.b >= 0 else tiles
    first, last = share(per_panel * panels, team[0], team[1])
    for task in range(first, last):
        j, i = task // per_panel, task % per_panel
        columns = min(panel, op.n_out - j * panel)
        is_bias = i == tiles
        height = 1 if is_bias else min(ROWS, op.n_in - i * ROWS)
        place = op.b + j * panel if is_bias else op.w + (j * tiles + i) * ROWS * panel
        start = (op.flat_b if is_bias else op.flat_w + i * ROWS * op.n_out) + j * panel
        if job.mode == UPDATE:
            for r in range(height):
                line = view(at(flat, start + r * op.n_out), columns)
                for k in range(columns):
                    g[r * panel + k] = line[k]
        elif is_bias:
            for k in range(columns):
                g[k] = cast(like, 0.0)
            for r in range(rows):
                line = view(at(d, r * op.pitch + j * panel), columns)
                for k in range(columns):
                    g[k] += line[k]
        else:
            x = at(scratch, op.x + i * ROWS)
            tile(columns, rows, x, height, 1, op.x_pitch, rows, 0, at(d, j * panel), op.pitch, buffer)
        if job.mode == LOSS_GRAD:
            for r in range(height):
                line = view(at(flat, start + r * op.n_out), columns)
                for k in range(columns):
                    line[k] = g[r * panel + k]
            continue
        for r in range(height):
            for k in range(columns, panel):
                g[r * panel + k] = cast(like, 0.0)
        size = height * panel
        w, m = view(at(params, place), size), view(at(state, place), size)
        apply(job.optimizer, c, w, m, view(at(state, job.packed + place), size), view(buffer, size))


@jit
def all_weights(like, job, ops, rows, team):
    """`weight_gradients` of every dense operation."""
    for i in range(job.n_ops):
        if ops[i].w >= 0:
            weight_gradients(like, job, ops[i], rows, team)
