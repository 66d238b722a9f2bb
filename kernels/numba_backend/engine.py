"""The entries: what Python asks of compiled code is a call of `run` or `probe` by each thread of a team.

What they are to do stands in a record (`layout.JOB`), as a mode and not as a function each: so the code is compiled
once, for all of a fit, and what a probe runs is what training runs.
"""

import numpy as np

from . import step
from .activations import activate, activate_grad, dropout_key, mask
from .cache import Entry
from .intrinsics import FLUSH, at, cast, float_state, pointer, set_float_state, view
from .losses import loss_row
from .matmul import multiply, pack_panels, share
from .step import _BYTE, _LABEL, _SUM, EVALUATE, FORWARD, LOSS_GRAD, TRAIN, UPDATE, wait

GEMM, ACTIVATE, ACTIVATE_GRAD, LOSS, MASK = range(5)


def _run(like, jobs, ops, thread):
    """Work through consecutive batches, or update from a given gradient; the number of batches done.

    Denormals count as zero meanwhile: they cost a hundred times as much as other numbers and mean nothing here.
    """
    job = jobs[0]
    team = np.int64(thread), job.threads
    state = float_state()
    set_float_state(state | FLUSH)
    if job.mode == UPDATE:
        step.prepare(like, job, job.rate, job.step + 1, team)
        step.all_weights(like, job, ops, np.int64(0), team)
    batches = np.int64(0)
    while batches < job.count:
        start = batches * job.batch
        rows, now = min(job.batch, job.n - start), job.step + batches
        step.gather(like, job, ops[job.first], start, rows, team)
        step.forward(like, job, ops, rows, now, team)
        if job.mode == FORWARD:
            step.output(like, job, ops[job.last], start, rows, team)
        else:
            step.loss(like, job, ops[job.last], start, rows, team)
            if job.mode == TRAIN and job.out:
                step.output(like, job, ops[job.last], start, rows, team)
            if job.mode != EVALUATE:
                step.backward(like, job, ops, rows, now, team)
            wait(job, team)
            finite = step.add_up(job, batches, rows, team)
            if job.mode != EVALUATE:
                if not finite:
                    break
                if job.mode == TRAIN:
                    step.prepare(like, job, view(pointer(_SUM, job.rates), job.count)[batches], now + 1, team)
                step.all_weights(like, job, ops, rows, team)
        # The next batch may have fewer rows, and then other rows are this thread's.
        wait(job, team)
        batches += 1
    wait(job, team)
    set_float_state(state)
    return batches


def _probe(like, jobs, ops, thread):
    """One of the inner functions on the caller's matrices: a is op(A) or z, b is op(B), dy or the target."""
    job = jobs[0]
    team = np.int64(thread), job.threads
    state = float_state()
    set_float_state(state | FLUSH)
    a, b, out, scratch = pointer(like, job.a), pointer(like, job.b), pointer(like, job.out), pointer(like, job.scratch)
    if job.mode == GEMM:
        b_row, b_step = (1, job.k) if job.trans_b else (job.n, 1)
        a_row, a_step = (1, job.m) if job.trans_a else (job.k, 1)
        pack_panels(b, b_row, b_step, job.k, job.n, scratch, team)
        wait(job, team)
        panel = step.panel_width(a)
        buffer = step.private(like, job, team)[0]
        multiply(
            a, a_row, a_step, scratch, job.k * panel, panel, job.m, job.k, job.n, out, job.n, a, np.bool_(False),
            buffer, team,
        )  # fmt: skip
    elif job.mode == MASK:
        mask(dropout_key(job.seed, job.step, job.code), job.k, 0, view(pointer(_BYTE, job.out), job.n))
    else:
        first, last = share(job.m, team[0], team[1])
        alpha, n = cast(like, job.alpha), job.k
        for i in range(first, last):
            z, place = view(at(a, i * n), n), view(at(out, i * n), n)
            if job.mode == ACTIVATE:
                activate(job.code, alpha, z, place)
            elif job.mode == ACTIVATE_GRAD:
                place[:] = view(at(b, i * n), n)
                activate_grad(job.code, alpha, z, place, view(scratch, n))
            else:
                label, target = np.int64(0), z
                if job.labels:
                    label = np.int64(view(at(pointer(_LABEL, job.b), i), 1)[0])
                else:
                    target = view(at(b, i * n), n)
                view(at(pointer(like, job.sums), i), 1)[0] = loss_row(job.code, z, target, label, place)
    wait(job, team)
    set_float_state(state)


run, probe = Entry(_run), Entry(_probe)
__all__ = ["ACTIVATE", "ACTIVATE_GRAD", "EVALUATE", "FORWARD", "GEMM", "LOSS", "LOSS_GRAD", "MASK", "TRAIN", "UPDATE"]
__all__ += ["probe", "run"]
