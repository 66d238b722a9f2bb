"""The entries: what Python asks of compiled code is a call of `run` or `probe` by each thread of a team.

What they are to do stands in a record (`layout.JOB`), as a mode and not as a function each: so the code is compiled
once, for all of a fit, and what a probe runs is what training runs.
"""

import numpy as np

from .activations import activate, activate_grad, dropout_key, mask
from .batch import (
    BYTE,
    EVALUATE,
    FORWARD,
    LABEL,
    LOSS_GRAD,
    SUM,
    TRAIN,
    UPDATE,
    add_up,
    begin,
    gather,
    loss,
    output,
    private,
    wait,
)
from .cache import Entry, jit
from .intrinsics import FLUSH, at, cast, float_state, outlined, pointer, set_float_state, view
from .losses import loss_row
from .matmul import blocks, multiply, pack, panel_of, share, tall
from .microkernel import vector_size
from .noise import noise
from .penalties import add_activities, constrain, sum_penalties, sum_squares, total_penalty
from .step import backward, forward, rows_backward
from .tied import add_tied, refresh_tied
from .weights import copy_block, prepare

GEMM, ACTIVATE, ACTIVATE_GRAD, LOSS, MASK, NOISE = range(6)


def _run(like, jobs, ops, thread):
    """Work through consecutive batches, or update from a given gradient; the number of batches done.

    Denormals count as zero meanwhile: they cost a hundred times as much as other numbers and mean nothing here.
    """
    job = jobs[0]
    team = np.int64(thread), job.threads
    state = float_state()
    set_float_state(state | FLUSH)
    begin(like, job, team)
    batches = np.int64(0)
    while batches < job.count:
        start, now, finite = batches * job.batch, job.step + batches, True
        rows = min(job.batch, job.n - start)
        high = blocks(rows, job.row_step) * job.row_step
        x = pointer(like, job.scratch)
        if job.mode != UPDATE:
            x = gather(like, job, ops[job.first], start, rows, high, team)
            forward(like, job, ops, x, rows, high, now, team)
            if job.mode != FORWARD:
                loss(like, job, ops[job.last], start, rows, high, team)
            if job.out:
                output(like, job, ops[job.last], start, rows, high, team)
            penalty = 0.0
            if job.penalized and job.mode != FORWARD:
                add_activities(like, job, ops, rows, high, team)
                sum_penalties(like, job, ops, team)
            if job.mode <= LOSS_GRAD:
                rows_backward(like, job, ops[job.last], job.last, now, rows, high, team)
            wait(job, team)
            if job.mode != FORWARD:
                if job.penalized:
                    penalty = rows * total_penalty(job, ops)
                finite = add_up(job, batches, rows, penalty, team)
        if job.mode <= UPDATE:
            if not finite:
                break
            if job.mode != LOSS_GRAD:
                prepare(like, job, view(pointer(SUM, job.rates), job.count)[batches], now + 1, team)
            mode = LOSS_GRAD if job.mode == TRAIN and job.whole else job.mode
            while True:
                if mode == UPDATE and job.clip_norm > 0.0:
                    sum_squares(like, job, ops, team)
                    wait(job, team)
                backward(like, job, ops, x, rows, high, now, mode, team)
                if mode == LOSS_GRAD and job.tied:
                    wait(job, team)
                    add_tied(like, job, ops, team)
                if mode == job.mode or mode == UPDATE:
                    break
                mode = UPDATE  # from the whole gradient
                wait(job, team)
            if job.constrained and job.mode != LOSS_GRAD:
                wait(job, team)
                constrain(like, job, ops, team)
            if job.tied and job.mode != LOSS_GRAD:
                wait(job, team)
                refresh_tied(like, job, ops, team)
        # The next batch reads all weights and writes where this one was read.
        wait(job, team)
        batches += 1
    wait(job, team)
    set_float_state(state)
    return batches


@jit
def _product(like, job, team):
    """out = op(A) op(B), as a step makes its products: B in panels, A too where it comes transposed.

    Shapes: op(A) (m, k), op(B) (k, n), out (m, n).
    Layout: the caller's matrices are contiguous.
    Aliasing: none.
    """
    outlined()
    m, k, n, lanes = job.m, job.k, job.n, vector_size(like)
    a, b, out, right = pointer(like, job.a), pointer(like, job.b), pointer(like, job.out), pointer(like, job.scratch)
    width, across = panel_of(n, lanes), panel_of(m, lanes)
    panels, left = blocks(n, width), at(right, job.after)
    first, last = share(panels, team)
    for j in range(first, last):
        pack(b, 1 if job.trans_b else n, k if job.trans_b else 1, k, n, width, j, right)
    if job.trans_a:
        first, last = share(blocks(m, across), team)
        for j in range(first, last):
            pack(a, m, 1, k, m, across, j, left)
    wait(job, team)
    block, zeros, _, _ = private(like, job, team)
    height = blocks(tall(k, job.itemsize), across) * across
    for top in range(0, m, height):
        tasks = blocks(min(height, m - top), across)
        first, last = share(panels * tasks, team)
        for task in range(first, last):
            j, i = task // tasks, top + task % tasks * across
            rows, columns = min(across, m - i), min(width, n - j * width)
            if job.trans_a:
                multiply(at(left, i * k), 1, across, k, 0, rows, at(right, j * k * width), width, k, zeros, block)
            else:
                multiply(at(a, i * k), k, 1, k, 0, rows, at(right, j * k * width), width, k, zeros, block)
            copy_block(block, width, at(out, i * n + j * width), n, rows, columns)


def _probe(like, jobs, ops, thread):
    """One of the inner functions on the caller's matrices: a is op(A) or z, b is op(B), dy or the target."""
    job = jobs[0]
    team = np.int64(thread), job.threads
    state = float_state()
    set_float_state(state | FLUSH)
    begin(like, job, team)
    if job.mode == GEMM:
        _product(like, job, team)
    elif job.mode == MASK:
        mask(dropout_key(job.seed, job.step, job.code), job.k, 0, view(pointer(BYTE, job.out), job.n))
    elif job.mode == NOISE:
        place = view(pointer(like, job.out), job.n)
        place[:] = cast(like, 0.0)
        noise(dropout_key(job.seed, job.step, job.code), cast(like, 1.0), cast(like, 0.0), 0, place)
    else:
        a, b, out, scratch = (
            pointer(like, job.a), pointer(like, job.b), pointer(like, job.out), pointer(like, job.scratch)
        )  # fmt: skip
        first, last = share(job.m, team)
        alpha, n = cast(like, job.alpha), job.k
        for i in range(first, last):
            z, place = view(at(a, i * n), n), view(at(out, i * n), n)
            if job.mode == ACTIVATE:
                activate(job.code, alpha, z, place)
            elif job.mode == ACTIVATE_GRAD:
                copy_block(at(b, i * n), n, at(out, i * n), n, 1, n)
                activate_grad(job.code, alpha, z, place, view(scratch, n))
            else:
                label, target = np.int64(0), z
                if job.labels:
                    label = np.int64(view(at(pointer(LABEL, job.b), i), 1)[0])
                else:
                    target = view(at(b, i * n), n)
                view(at(pointer(like, job.sums), i), 1)[0] = loss_row(job.code, alpha, z, target, label, place)
    wait(job, team)
    set_float_state(state)


run, probe = Entry(_run), Entry(_probe)
__all__ = [
    "ACTIVATE",
    "ACTIVATE_GRAD",
    "EVALUATE",
    "FORWARD",
    "GEMM",
    "LOSS",
    "LOSS_GRAD",
    "MASK",
    "NOISE",
    "TRAIN",
    "UPDATE",
]
__all__ += ["probe", "run"]
