"""Batches of one row, which plain gradient descent adds to the weights: what takes time is that the first layer's
weights come from the second-level cache, once for the product and once for the update. But the inputs of the next row
are known before this one's update:

    row k                                           row k + 1
    ... | W += x' (-rate d), product = b + x_next W | y = activation(product), ...

so that both are done in one pass over W. The product is summed as `multiply` would sum it, and a call can be cut
anywhere. The last row of a call, whose next is not known, goes the usual way. Arguments as in `batch`.
"""

from .batch import INDEX, private, read_inputs
from .cache import routine
from .forward_pass import finish_forward
from .intrinsics import at, outlined, pointer, view
from .matmul import blocks, share
from .microkernel import add_outer_and_multiply, read_vector, vector_size
from .threads import begin_jobs, take_jobs


@routine
def descend_and_look_ahead(like, job, op, x, constants, start, high, team):
    """What `weights.descend` does, and the product of the row at `start`, the next one.

    Shapes: x (1, n_in), W (n_in, n_out), b, d, `product` (n_out,).
    Layout: x, W, d in panels; `product` contiguous, with room for whole panels.
    Aliasing: none.
    """
    outlined()
    scratch, params, shares = pointer(like, job.scratch), pointer(like, job.params), pointer(INDEX, job.shares)
    panel, panel_in, rate, lanes = op.panel, op.panel_in, -view(constants, 1)[0], vector_size(like)
    spare = private(like, job, team)[1]
    following, line = at(spare, job.widest), view(spare, panel)
    read_inputs(like, job, op, start, following, panel_in)
    begin_jobs(shares, team)
    first, last = take_jobs(shares, blocks(op.n_out, panel), 1, 1, team)
    while first < last:
        bias, product = at(params, op.b + first * panel), at(scratch, job.product + first * panel)
        d, biases = view(at(scratch, op.d + first * high * panel), panel), view(bias, panel)
        for c in range(panel):
            line[c] = rate * d[c]
            if op.flat_b >= 0:
                biases[c] += line[c]
        for c in range(0, panel, lanes):
            read_vector(at(bias, c), like, at(product, c))
        for k in range(0, op.n_in, panel_in):
            add_outer_and_multiply(
                panel, min(panel_in, op.n_in - k), at(x, k * high), spare, at(following, k),
                at(params, op.w + (first * op.deep + k) * panel), product,
            )  # fmt: skip
        first, last = take_jobs(shares, blocks(op.n_out, panel), 1, 1, team)


@routine
def forward_ahead(like, job, op, number, step, high, team):
    """What `forward` does for an operation, from `product`; this thread's share.

    Shapes: z, y (1, n_out).
    Layout: panels.
    Aliasing: z may be y, where the record says so.
    """
    outlined()
    scratch, panel = pointer(like, job.scratch), op.panel
    first, last = share(blocks(op.n_out, panel), team)
    for j in range(first, last):
        z = at(scratch, op.z + j * high * panel)
        for c in range(0, panel, vector_size(like)):
            read_vector(at(scratch, job.product + j * panel + c), like, at(z, c))
        finish_forward(like, job, op, number, step, j, 0, 1, high)
