"""The rows of a batch: into panels, through the loss, and out to the caller; and what each thread has for itself.

Every function is entered by all threads and does this thread's share. `job` and `ops` are records of `layout`; `like`
is any number of the real type; `team` is (thread, threads); matrices of the batch lie in panels of `high` rows, of
which `rows` count.
"""

import math

import numpy as np

from ..plan import BATCH_NORM, DENSE
from .cache import inline, routine
from .intrinsics import at, call, cast, outlined, pointer, prefetch, value_of, view
from .layout import BLOCK_PARTS, CACHE_LINE, COPIES, INT32, LEAST_ROWS, PART, SIDE, SLABS, UINT8
from .matmul import blocks, share
from .matrix_unit import split_bytes
from .microkernel import read_vector, turn, vector_size
from .processor import ROWS, VECTORS
from .threads import barrier

# What a job is; the first three differ in what they do with a gradient.
TRAIN, LOSS_GRAD, UPDATE, EVALUATE, FORWARD = range(5)
# Rows of the batch that are on their way from memory while one is converted.
AHEAD = 4
BYTE, LABEL, INDEX, SUM = np.uint8(0), np.int32(0), np.int64(0), np.float64(0)


@inline
def wait(job, team):
    """Meet the other threads."""
    barrier(pointer(INDEX, job.barrier), team[1])


@inline
def private(like, job, team):
    """What this thread has for itself: a block of tiles, and rows."""
    block = at(pointer(like, job.scratch), job.private + team[0] * job.private_step)
    width = VECTORS * vector_size(block)
    return block, at(block, (width + 2 * ROWS) * width)


@inline
def private_parts(like, job, team):
    """What this thread has for itself where products are made of parts: the parts of a panel, a block, and a panel."""
    parts = at(pointer(like, job.scratch), job.private + team[0] * job.private_step + job.private_parts)
    block = at(parts, job.deepest * BLOCK_PARTS)
    return parts, block, at(block, (SIDE + ROWS) * SIDE)


@inline
def private_turned(like, job, team):
    """What this thread has for itself for a panel of a transpose; see `backward_pass.input_gradients_rows`."""
    return at(pointer(like, job.scratch), job.private + team[0] * job.private_step + job.private_turned)


@inline
def reads_all_rows(op):
    """Whether an operation takes all rows of a batch, up and down; the others take a thread's own rows."""
    return op.code == BATCH_NORM or (op.code == DENSE and not op.by_rows)


@inline
def has_own_parts(job, op):
    """Whether, in training, each thread has the parts of the first operation's inputs for itself: who writes what
    another has read waits for that cache, and its owner later for this one."""
    return op.x_parts >= 0 and job.own_parts > 0 and job.mode <= LOSS_GRAD


@inline
def own_parts(job, number, team):
    """How far this thread's parts of an operation's inputs are from where the first thread's are."""
    return team[0] * job.own_parts if number == job.first and job.mode <= LOSS_GRAD else 0


@inline
def gathers_all(job, op, team):
    """Whether each thread gathers the whole batch for itself: if the operation needs it, and not in parts that all of
    them make together."""
    return team[1] <= COPIES and op.code == DENSE and not op.by_rows and (op.x_parts < 0 or has_own_parts(job, op))


@inline
def is_in_parts(job, op, rows):
    """Whether an operation computes a batch of `rows` on the matrix unit. In training it does so with all of a fit; to
    split all weights for a few rows of inference would take longer than the products do."""
    return op.x_parts >= 0 and (job.mode <= LOSS_GRAD or rows >= LEAST_ROWS)


@inline
def is_thin(job, op, number, rows):
    """Whether the inputs of an operation are bytes that the matrix unit takes as they are: nothing scales them before
    the product."""
    return np.int64(number == job.first and job.x_kind == UINT8 and is_in_parts(job, op, rows))


@inline
def gathered(like, job, op, team):
    """Where `gather` puts the rows for this thread."""
    return at(pointer(like, job.scratch), job.gathered + (team[0] * job.copy_step if gathers_all(job, op, team) else 0))


@inline
def own_rows(job, rows, team):
    """The rows of a batch that are this thread's where rows are shared out: whole tiles and vectors."""
    first, last = share(blocks(rows, job.row_step), team)
    return min(first * job.row_step, rows), min(last * job.row_step, rows)


@inline
def has_whole_slabs(team):
    """Whether the rows of each thread are whole slabs, which are what SLABS threads would have of a batch."""
    return SLABS % team[1] == 0


@inline
def _row_number(job, i):
    """Row i of this call's order in the caller's arrays."""
    return view(pointer(INDEX, job.order), i + 1)[i] if job.order else i


@inline
def _read_row(like, source, kind, scale, row, n, out, panel, jump):
    """Row `row` of real or uint8 numbers as real ones, `panel` of them at a time to places `jump` apart."""
    lanes, factor = vector_size(like), cast(like, scale)
    small, reals = at(pointer(BYTE, source), row * n), at(pointer(like, source), row * n)
    for j in range(0, n, panel):
        columns = min(panel, n - j)
        whole = columns // lanes * lanes
        for c in range(0, whole, lanes):
            if kind == UINT8:
                read_vector(at(small, j + c), factor, at(out, c))
            else:
                read_vector(at(reals, j + c), factor, at(out, c))
        rest = view(out, columns)
        for c in range(whole, columns):
            rest[c] = cast(like, view(small, n)[j + c]) * factor if kind == UINT8 else view(reals, n)[j + c]
        out = at(out, jump)


@inline
def read_inputs(like, job, op, i, out, jump):
    """Row i of the order, a panel of it at a time to places `jump` apart in out."""
    _read_row(like, job.x, job.x_kind, job.input_scale, _row_number(job, i), op.n_in, out, op.panel_in, jump)


@inline
def _fetch_row(job, n, i):
    """Begin to fetch row i of the order: rows lie anywhere, and each would be waited for."""
    size = n * (1 if job.x_kind == UINT8 else job.itemsize)
    first = at(pointer(BYTE, job.x), _row_number(job, i) * size)
    for line in range(0, size, CACHE_LINE):
        prefetch(at(first, line))


@inline
def get_row(like, source, high, panel, i, n, out):
    """Row i of a matrix in panels as one piece."""
    part = at(source, i * panel)
    for j in range(0, n, panel):
        for c in range(0, panel, vector_size(like)):
            read_vector(at(part, c), like, at(out, j + c))
        part = at(part, high * panel)


@inline
def put_row(like, row, high, panel, i, n, place):
    """The inverse of `get_row`."""
    part = at(place, i * panel)
    for j in range(0, n, panel):
        for c in range(0, panel, vector_size(like)):
            read_vector(at(row, j + c), like, at(part, c))
        part = at(part, high * panel)


@routine
def gather(like, job, op, start, rows, high, team):
    """Rows `start`.. of the order into panels, all or this thread's; see `gathers_all`.

    Shapes: x (any, n_in), `gathered` (rows, n_in).
    Layout: x contiguous.
    Aliasing: none.
    """
    outlined()
    first, last = (0, rows) if gathers_all(job, op, team) else own_rows(job, rows, team)
    place, panel = gathered(like, job, op, team), op.panel_in
    for i in range(first, last):
        if i + AHEAD < last:
            _fetch_row(job, op.n_in, start + i + AHEAD)
        read_inputs(like, job, op, start + i, at(place, i * panel), high * panel)


@inline
def _block_of_row(job, op, start, i, rows, j):
    """Block j of row i of the batch that begins at `start`; of the last one, behind that."""
    return at(pointer(BYTE, job.x), _row_number(job, start + min(i, rows - 1)) * op.n_in + j * SIDE)


@routine
def gather_parts(like, job, op, start, rows, team):
    """Rows `start`.. of the order, which are bytes, as the matrix unit takes them; and their transpose where gradients
    follow. All blocks, or this thread's share; see `has_own_parts`.

    Shapes: x (any, n_in).
    Layout: x contiguous; blocks by rows, see `matrix_unit`.
    Aliasing: none.
    """
    outlined()
    scratch, crossed, half = pointer(like, job.scratch), private(like, job, team)[0], SIDE // 2
    across, down, to = blocks(op.n_in, SIDE), blocks(rows, SIDE), own_parts(job, job.first, team)
    first, last = (0, across * down) if has_own_parts(job, op) else share(across * down, team)
    for task in range(first, last):
        i, j = task // across, task % across
        columns, out = min(SIDE, op.n_in - j * SIDE), at(scratch, job.parts + to + task * PART)
        for k in range(half):
            r = i * SIDE + k
            split_bytes(
                _block_of_row(job, op, start, r, rows, j), columns if r < rows else 0,
                _block_of_row(job, op, start, r + half, rows, j), columns if r + half < rows else 0,
                at(out, k * half), at(crossed, k * half),
            )  # fmt: skip
            # The next block of rows will come this way as well.
            prefetch(_block_of_row(job, op, start, r + SIDE, rows, j))
            prefetch(_block_of_row(job, op, start, r + SIDE + half, rows, j))
        if job.mode <= LOSS_GRAD:
            turned = at(scratch, op.x_parts + to + (j * down + i) * PART)
            for tile in range(0, PART, PART // 2):
                turn(at(crossed, tile), half, at(turned, tile), half)


@routine
def loss(like, job, op, start, rows, high, team):
    """Losses and metrics of this thread's rows, and the gradient of their mean by the last output.

    Shapes: y (rows, n_out), d (rows, n_out), row_sums (rows, 1 + n_metrics) float64.
    Layout: y and d in panels.
    Aliasing: none.
    """
    outlined()
    scratch = pointer(like, job.scratch)
    first, last = own_rows(job, rows, team)
    n, columns = op.n_out, 1 + job.n_metrics
    spare = private(like, job, team)[1]
    one_row, gradient_row, target = spare, at(spare, job.widest), at(spare, 2 * job.widest)
    z, gradient, t, room = view(one_row, n), view(gradient_row, n), view(target, n), view(at(spare, 3 * job.widest), n)
    metrics = view(pointer(INDEX, job.metrics), job.n_metrics)
    mean = cast(like, 1.0 / rows)
    for i in range(first, last):
        row = _row_number(job, start + i)
        label = np.int64(0)
        if job.y_kind == INT32:
            label = np.int64(view(at(pointer(LABEL, job.y), row), 1)[0])
        else:
            _read_row(like, job.y, job.y_kind, job.target_scale, row, n, target, n, 0)
        get_row(like, at(scratch, op.y), high, op.panel, i, n, one_row)
        sums = view(at(pointer(SUM, job.row_sums), i * columns), columns)
        value = cast(like, value_of(job.loss_row, (cast(like, job.loss_parameter), z, t, label, gradient)))
        if job.weights:
            weight = view(at(pointer(like, job.weights), row), 1)[0]
            value *= weight
            for k in range(n):
                gradient[k] = gradient[k] * mean * weight
        else:
            for k in range(n):
                gradient[k] *= mean
        sums[0] = value
        for m in range(job.n_metrics):
            sums[1 + m] = value_of(metrics[m], (z, t, label, job.y_kind == INT32, job.threshold, room))
        put_row(like, gradient_row, high, op.panel, i, n, at(scratch, op.d))


@routine
def add_up(job, ops, batch, rows, team) -> float:
    """Add the penalty and the rows' losses and metrics, in order, into the sums of the batch or (EVALUATE) of all; 1 if
    the loss is finite, otherwise 0.

    Shapes: row_sums (rows, 1 + n_metrics), sums (batches or 1, 1 + n_metrics), both float64.
    Layout: contiguous.
    Aliasing: none.
    """
    outlined()
    columns = 1 + job.n_metrics
    penalty = rows * value_of(job.total_penalty, (job, ops)) if job.penalized else 0.0
    row_sums = view(pointer(SUM, job.row_sums), rows * columns)
    if team[0] == 0:
        sums = view(at(pointer(SUM, job.sums), 0 if job.mode == EVALUATE else batch * columns), columns)
        for m in range(columns):
            total = (sums[m] if job.mode == EVALUATE else 0.0) + (penalty if m == 0 else 0.0)
            for i in range(rows):
                total += row_sums[i * columns + m]
            sums[m] = total
    # Every thread finds this for itself, and the same.
    total = penalty
    for i in range(rows):
        total += row_sums[i * columns]
    return 1.0 if math.isfinite(total) else 0.0


@routine
def output(like, job, op, start, rows, high, team):
    """Write this thread's rows of the output for the caller, with the activation that the loss had absorbed.

    Shapes: y (rows, n_out), out (all rows, n_out).
    Layout: y in panels, out contiguous.
    Aliasing: none.
    """
    outlined()
    first, last = own_rows(job, rows, team)
    spare = private(like, job, team)[1]
    for i in range(first, last):
        get_row(like, at(pointer(like, job.scratch), op.y), high, op.panel, i, op.n_out, spare)
        row, place = view(spare, op.n_out), view(at(pointer(like, job.out), (start + i) * op.n_out), op.n_out)
        if job.output_activation:
            call(job.output_activation, (cast(like, 0.0), row, place))
        else:
            for c in range(op.n_out):
                place[c] = row[c]
