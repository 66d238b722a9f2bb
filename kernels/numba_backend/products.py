"""Products of the caller's matrices, with the inner routines that a step has, for tests and benchmarks.

`job` has what a routine needs: a and b are the stored factors, m, k and n the sizes of op(A) (m, k) and op(B) (k, n).
A stretch of the rows, in pieces, and of the depth is cut into jobs, one for a piece and a panel of op(B), which threads
share out. Each thread prepares what it needs of both factors: to fetch it from the cache of another takes longer.
"""

import math

from .batch import INDEX, private, wait
from .cache import Entry, inline, jit, routine
from .intrinsics import at, call, outlined, pointer, prefetch, view
from .layout import BLOCK_PARTS, SIDE
from .matmul import blocks, share
from .matrix_unit import multiply_blocks, split_left, split_right
from .microkernel import copy_some, read_vector, tile, turn, turn_some, vector_size
from .processor import ROWS
from .threads import begin_jobs, take_jobs
from .weights import copy_block

# Rows of the caller's matrix that are on their way from memory while one is copied.
AHEAD = 16
# Jobs for each thread, as far as there are rows.
JOBS = 4


def _take(jobs, a, b, out):
    # NumPy would take longer to tell where they lie than a small product does.
    jobs[0].a, jobs[0].b, jobs[0].out = a.ctypes.data, b.ctypes.data, out.ctypes.data


take = Entry(_take)


@routine
def product(like, job, ops, team):
    """out = op(A) op(B).

    Shapes: as above, out (m, n).
    Layout: the caller's matrices are contiguous.
    Aliasing: none.
    """
    outlined()
    shares, panels = pointer(INDEX, job.shares), blocks(job.n, job.width)
    for top in range(0, job.m, job.tall):
        groups = blocks(min(job.tall, job.m - top), job.together)
        pieces = min(groups, blocks(JOBS * team[1], panels))
        for start in range(0, job.k, job.deep):
            if start > 0:
                wait(job, team)  # another thread may still be at what this one is to add to
            depth = min(job.deep, job.k - start)
            piece, ready, end, first, last = -1, 0, 0, 0, 0
            begin_jobs(shares, team)
            low, high = take_jobs(shares, pieces * panels, panels, 2, team)
            while low < high:
                if low // panels != piece:
                    piece = low // panels
                    begins, ends = share(groups, (piece, pieces))
                    first, last = top + begins * job.together, min(job.m, top + ends * job.together)
                    call(job.prepare_left, (like, job, first, last, start, depth, team))
                j = low % panels
                until = min(j + job.across, j + high - low)
                if j < ready or until > end:
                    ready, end = j, until
                    call(job.prepare_right, (like, job, ready, end, start, depth, team))
                call(job.multiply_panels, (like, job, first, last, start, depth, ready, j, until, team))
                low += until - j
                if low == high:
                    low, high = take_jobs(shares, pieces * panels, panels, 2, team)


@inline
def _left(like, job, team):
    """This thread's room for what `product` needs of the left factor."""
    return at(pointer(like, job.scratch), team[0] * job.private_step)


@inline
def _right(like, job, team):
    return at(_left(like, job, team), job.right)


@jit
def _turn_block(a, step, rows, columns, width, out):
    """The transpose of a block, with zeros up to whole vectors.

    Shapes: a (rows, columns), out (columns, rows).
    Layout: rows of a are `step` apart, of out `width`; no others of a are read.
    Aliasing: none.
    """
    outlined()
    lanes = vector_size(a)
    for r in range(0, rows, lanes):
        for c in range(0, columns, lanes):
            source, place = at(a, r * step + c), at(out, c * width + r)
            prefetch(at(source, lanes * step))
            if r + lanes <= rows and c + lanes <= columns:
                turn(source, step, place, width)
            else:
                turn_some(source, step, rows - r, columns - c, place, width)


@jit
def _pack(a, step, rows, columns, width, out):
    """A block of a matrix as a panel, with zeros beyond its columns.

    Shapes: a (rows, columns), out (rows, width).
    Layout: rows of a are `step` apart; no others of a are read.
    Aliasing: none.
    """
    outlined()
    lanes, factor = vector_size(a), view(a, 1)[0]
    for r in range(rows):
        for c in range(0, width, lanes):
            source, place = at(a, r * step + c), at(out, r * width + c)
            prefetch(at(source, AHEAD * step))
            if c + lanes <= columns:
                read_vector(source, factor, place)
            else:
                copy_some(source, columns - c, place)


@inline
def _pack_right(like, job, start, depth, j, width, out):
    """Panel j of op(B), `width` wide."""
    columns, b = min(width, job.n - j * width), pointer(like, job.b)
    if job.trans_b:
        _turn_block(at(b, j * width * job.k + start), job.k, columns, depth, width, out)
    else:
        _pack(at(b, start * job.n + j * width), job.n, depth, columns, width, out)


# ---------------------------------------------------------------- with vectors


@routine
def pack_left(like, job, first, last, start, depth, team):
    """Rows first..last of op(A) in panels, if A comes transposed; otherwise tiles read them where they lie."""
    outlined()
    if job.trans_a:
        across, left = job.together, _left(like, job, team)
        for i in range(first, last, across):
            source = at(pointer(like, job.a), start * job.m + i)
            _pack(source, job.m, depth, min(across, last - i), across, at(left, (i - first) * depth))


@routine
def pack_right(like, job, first, last, start, depth, team):
    """Panels first..last of op(B)."""
    outlined()
    for j in range(first, last):
        out = at(_right(like, job, team), (j - first) * job.deep * job.width)
        _pack_right(like, job, start, depth, j, job.width, out)


@routine
def panels_by_tiles(like, job, first, last, start, depth, ready, low, high, team):
    """Rows first..last of panels low..high of the product; panels from `ready` on are prepared."""
    outlined()
    k, n, width = job.k, job.n, job.width
    a, out, zeros = pointer(like, job.a), pointer(like, job.out), pointer(like, job.zeros)
    left, block = _left(like, job, team), private(like, job, team)[0]
    row, step = (1, job.together) if job.trans_a else (k, 1)
    for j in range(low, high):
        columns, b = min(width, n - j * width), at(_right(like, job, team), (j - ready) * job.deep * width)
        for i in range(first, last, job.together):
            source = at(left, (i - first) * depth) if job.trans_a else at(a, i * k)
            end = min(i + job.together, last)
            for r in range(i, end, ROWS):
                rows, place = min(ROWS, end - r), at(out, r * n + j * width)
                whole = rows == ROWS and columns == width
                c, c_step = (place, n) if whole else (block, width)
                tile(width, depth, at(source, (r - i) * row), rows, row, step, depth, 0, b, zeros, 0, c, c_step)
                if not whole:
                    copy_block(block, width, place, n, rows, columns)


# ---------------------------------------------------------------- on the matrix unit


@routine
def split_left_blocks(like, job, first, last, start, depth, team):
    """Rows first..last of op(A) into parts."""
    outlined()
    a, m, k, block = pointer(like, job.a), job.m, job.k, private(like, job, team)[0]
    out = _left(like, job, team)
    for r in range(first, last, SIDE):
        rows = min(SIDE, last - r)
        for d in range(start, start + depth, SIDE):
            columns = min(SIDE, start + depth - d)
            if job.trans_a:
                _turn_block(at(a, d * m + r), m, columns, rows, SIDE, block)
                split_left(block, SIDE, 0, rows, columns, 0, out)
            else:
                source = at(a, r * k + d)
                for i in range(rows):  # each row may be on a page of its own
                    prefetch(at(source, i * k + SIDE))
                    prefetch(at(source, i * k + SIDE + SIDE // 2))
                split_left(source, k, 0, rows, columns, 0, out)
            out = at(out, BLOCK_PARTS)


@routine
def split_right_blocks(like, job, first, last, start, depth, team):
    """Panels first..last of op(B) into parts."""
    outlined()
    b, k, n, block = pointer(like, job.b), job.k, job.n, private(like, job, team)[0]
    deep = blocks(depth, SIDE)
    for d in range(deep):
        rows = min(SIDE, depth - d * SIDE)
        for j in range(first, last):
            columns, out = min(SIDE, n - j * SIDE), at(_right(like, job, team), ((j - first) * deep + d) * BLOCK_PARTS)
            if job.trans_b:
                _turn_block(at(b, j * SIDE * k + start + d * SIDE), k, columns, rows, SIDE, block)
                split_right(block, SIDE, rows, columns, out)
            else:
                source = at(b, (start + d * SIDE) * n + j * SIDE)
                for i in range(rows):
                    prefetch(at(source, (i + SIDE) * n))
                    prefetch(at(source, (i + SIDE) * n + SIDE // 2))
                split_right(source, n, rows, columns, out)


@routine
def panels_by_blocks(like, job, first, last, start, depth, ready, low, high, team):
    """Rows first..last of panels low..high of the product, or what this stretch of the depth adds to them."""
    outlined()
    n, deep = job.n, blocks(depth, SIDE)
    left, right, block = _left(like, job, team), _right(like, job, team), private(like, job, team)[0]
    for r in range(first, last, SIDE):
        rows, a = min(SIDE, last - r), at(left, (r - first) // SIDE * deep * BLOCK_PARTS)
        for j in range(low, high):
            columns, b = min(SIDE, n - j * SIDE), at(right, (j - ready) * deep * BLOCK_PARTS)
            place = at(pointer(like, job.out), r * n + j * SIDE)
            finite = multiply_blocks(deep, a, b, rows, columns, start > 0, block, place, n)
            if not finite and start + depth == job.k:
                _compute_again(like, job, r, rows, j, columns, block)


@jit
def _compute_again(like, job, r, rows, j, columns, block):
    """What is infinite or NaN in a block of the product, with vectors."""
    outlined()
    k, n, b, sums = job.k, job.n, at(block, SIDE * SIDE), block
    row, step = (1, job.m) if job.trans_a else (k, 1)
    for i in range(SIDE * SIDE):
        view(sums, i + 1)[i] = 0
    for d in range(0, k, SIDE):
        _pack_right(like, job, d, min(SIDE, k - d), j, SIDE, b)
        for i in range(0, rows, ROWS):
            a, c = at(pointer(like, job.a), (r + i) * row + d * step), at(sums, i * SIDE)
            tile(SIDE, min(SIDE, k - d), a, min(ROWS, rows - i), row, step, SIDE, 0, b, c, SIDE, c, SIDE)
    for i in range(rows):
        line, exact = view(at(pointer(like, job.out), (r + i) * n + j * SIDE), columns), view(at(sums, i * SIDE), SIDE)
        for c in range(columns):
            if not math.isfinite(line[c]):
                line[c] = exact[c]
