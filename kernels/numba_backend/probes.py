"""The inner routines on the caller's matrices, for tests and benchmarks: what a step runs, and nothing else.

`job` has what a routine needs: a is z, b is dy or the target; every thread enters. For products see `products`.
"""

import numpy as np

from .batch import LABEL
from .cache import routine
from .intrinsics import at, call, cast, pointer, value_of, view
from .matmul import share
from .weights import copy_block


@routine
def activated_rows(like, job, ops, team):
    """out = activation(a), a row at a time.

    Shapes: a, out (m, k).
    Layout: contiguous.
    Aliasing: none.
    """
    first, last = share(job.m, team)
    for i in range(first, last):
        z, y = view(at(pointer(like, job.a), i * job.k), job.k), view(at(pointer(like, job.out), i * job.k), job.k)
        call(job.activate_row, (cast(like, job.alpha), z, y))


@routine
def activation_gradients(like, job, ops, team):
    """out = b times the derivative of the activation at a, a row at a time.

    Shapes: a, b, out (m, k).
    Layout: contiguous.
    Aliasing: none.
    """
    n, scratch = job.k, view(pointer(like, job.scratch), job.k)
    for i in range(job.m if team[0] == 0 else 0):
        z, d = view(at(pointer(like, job.a), i * n), n), at(pointer(like, job.out), i * n)
        copy_block(at(pointer(like, job.b), i * n), n, d, n, 1, n)
        call(job.activate_row, (cast(like, job.alpha), z, view(d, n), scratch))


@routine
def loss_rows(like, job, ops, team):
    """out = gradient of the loss of each row, sums = the losses.

    Shapes: a, out (m, k); b (m, k), or (m,) int32; sums (m,).
    Layout: contiguous.
    Aliasing: none.
    """
    n = job.k
    for i in range(job.m if team[0] == 0 else 0):
        z, place = view(at(pointer(like, job.a), i * n), n), view(at(pointer(like, job.out), i * n), n)
        label, target = np.int64(0), z
        if job.labels:
            label = np.int64(view(at(pointer(LABEL, job.b), i), 1)[0])
        else:
            target = view(at(pointer(like, job.b), i * n), n)
        value = value_of(job.loss_row, (cast(like, job.alpha), z, target, label, place))
        view(at(pointer(like, job.sums), i), 1)[0] = cast(like, value)
