"""The inner routines on the caller's matrices, for tests and benchmarks: what a step runs, and nothing else.

`job` has what a routine needs: a is op(A) or z, b is op(B), dy or the target; every thread enters.
"""

import numpy as np

from .batch import INDEX, LABEL, private, private_parts, wait
from .cache import inline, routine
from .intrinsics import at, call, cast, outlined, pointer, value_of, view
from .layout import BLOCK_PARTS, DEPTH, SIDE
from .matmul import blocks, pack, panel_of, share, tall, tall_parts
from .matrix_unit import split_left
from .microkernel import vector_size
from .threads import begin_jobs, take_jobs
from .weights import copy_block


@routine
def product(like, job, ops, team):
    """out = op(A) op(B), as a step makes its products: B in panels, A too where it comes transposed.

    Shapes: op(A) (m, k), op(B) (k, n), out (m, n).
    Layout: the caller's matrices are contiguous.
    Aliasing: none.
    """
    outlined()
    m, k, n, lanes = job.m, job.k, job.n, vector_size(like)
    a, b, out, right = pointer(like, job.a), pointer(like, job.b), pointer(like, job.out), pointer(like, job.scratch)
    width, across = panel_of(n, lanes), panel_of(m, lanes)
    panels, left = blocks(n, width), at(right, job.right)
    first, last = share(panels, team)
    for j in range(first, last):
        pack(b, 1 if job.trans_b else n, k if job.trans_b else 1, k, n, width, j, right)
    if job.trans_a:
        first, last = share(blocks(m, across), team)
        for j in range(first, last):
            pack(a, m, 1, k, m, across, j, left)
    wait(job, team)
    block, zeros = private(like, job, team)[0], pointer(like, job.zeros)
    height = blocks(tall(k, job.itemsize), across) * across
    for top in range(0, m, height):
        tasks = blocks(min(height, m - top), across)
        first, last = share(panels * tasks, team)
        for task in range(first, last):
            j, i = task // tasks, top + task % tasks * across
            rows, columns = min(across, m - i), min(width, n - j * width)
            if job.trans_a:
                a_tile, row, step = at(left, i * k), 1, across
            else:
                a_tile, row, step = at(a, i * k), k, 1
            b_panel = at(right, j * k * width)
            call(job.multiply, (a_tile, row, step, k, 0, rows, b_panel, width, k, zeros, block))
            copy_block(block, width, at(out, i * n + j * width), n, rows, columns)


@inline
def _add_block(source, source_step, place, step, height, columns):
    for r in range(height):
        line, part = view(at(place, r * step), columns), view(at(source, r * source_step), columns)
        for c in range(columns):
            line[c] += part[c]


@routine
def product_parts(like, job, ops, team):
    """The same on the matrix unit. Where the product is wider than high, threads take panels of it, otherwise each has
    its share of the rows; all else each thread does for itself, for another's parts would come from its cache.

    Shapes, layout, aliasing: as above.
    """
    outlined()
    m, k, n, zeros, shares = job.m, job.k, job.n, pointer(like, job.zeros), pointer(INDEX, job.shares)
    a, b, out = pointer(like, job.a), pointer(like, job.b), pointer(like, job.out)
    right, spare, panel = private_parts(like, job, team)
    block = private(like, job, team)[0]
    left = at(pointer(like, job.scratch), team[0] * job.right)
    a_row, a_step = (1, m) if job.trans_a else (k, 1)
    b_row, b_step = (1, k) if job.trans_b else (n, 1)
    panels, height = blocks(n, SIDE), tall_parts(min(DEPTH, k))
    by_rows = m > n
    begin, end = share(blocks(m, SIDE), team) if by_rows else (0, blocks(m, SIDE))
    for start in range(0, k, DEPTH):
        if start > 0 and not by_rows:
            wait(job, team)  # another thread may still be at what this one is to add to
        deep = min(DEPTH, k - start)
        depth = blocks(deep, SIDE)
        for top in range(begin * SIDE, min(m, end * SIDE), height):
            bottom = min(m, end * SIDE, top + height)
            for r in range(top, bottom, SIDE):
                for d in range(0, deep, SIDE):
                    rows, columns = min(SIDE, bottom - r), min(SIDE, deep - d)
                    pack(at(a, r * a_row + (start + d) * a_step), a_row, a_step, rows, columns, SIDE, 0, block)
                    place = ((r - top) // SIDE * depth + d // SIDE) * BLOCK_PARTS
                    split_left(block, SIDE, 0, rows, columns, 0, at(left, place))
            begin_jobs(shares, team)
            first, last = (0, panels) if by_rows else take_jobs(shares, panels, 1, 1, team)
            while first < last:
                columns = min(SIDE, n - first * SIDE)
                pack(at(b, start * b_row + first * SIDE * b_step), b_row, b_step, deep, columns, SIDE, 0, panel)
                call(job.split_panel, (panel, SIDE, deep, right))
                for r in range(top, bottom, SIDE):
                    rows, place = min(SIDE, bottom - r), at(out, r * n + first * SIDE)
                    call(job.multiply_parts, (
                        job, 0, cast(like, 1.0), at(left, (r - top) // SIDE * depth * BLOCK_PARTS), right,
                        at(a, r * a_row + start * a_step), a_row, a_step, deep, 0, rows,
                        panel, SIDE, columns, deep, zeros, block, spare,
                    ))  # fmt: skip
                    if start > 0:
                        _add_block(place, n, block, SIDE, rows, columns)
                    copy_block(block, SIDE, place, n, rows, columns)
                first, last = (first + 1, last) if by_rows else take_jobs(shares, panels, 1, 1, team)


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
