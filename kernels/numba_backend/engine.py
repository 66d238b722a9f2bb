"""The loop over batches; and the entry, by which every thread of a team comes into compiled code.

What is to be done stands in a record (`layout.JOB`), as a mode and as the addresses of the routines that do it.
"""

import numpy as np

from .batch import EVALUATE, FORWARD, INDEX, LOSS_GRAD, TRAIN, UPDATE, gathered, is_thin, wait
from .cache import Entry, jit, routine
from .intrinsics import FLUSH, call, float_state, outlined, pointer, set_float_state, value_of, view
from .matmul import blocks
from .matrix_unit import begin_tiles, end_tiles
from .microkernel import vector_size as kind_of
from .threads import ATTENDED, WOKEN, attend, call_helper, reserve


@routine
def run(like, job, ops, team):
    """Work through consecutive batches, up to a loss that is not finite, or update from a given gradient."""
    outlined()
    batches = np.int64(0)
    while batches < job.count:
        start, now = batches * job.batch, job.step + batches
        rows = min(job.batch, job.n - start)
        high = (blocks(rows, job.row_step) | 1) * job.row_step  # see layout.panel_height
        x = gathered(like, job, ops[job.first], team)
        if job.mode != UPDATE:
            if is_thin(job, ops[job.first], job.first, rows):
                call(job.gather_parts, (like, job, ops[job.first], start, rows, team))
            else:
                call(job.gather, (like, job, ops[job.first], start, rows, high, team))
            call(job.forward, (like, job, ops, x, rows, high, now, team))
            if job.mode != FORWARD:
                call(job.loss, (like, job, ops[job.last], start, rows, high, team))
            if job.out:
                call(job.output, (like, job, ops[job.last], start, rows, high, team))
            if job.penalized and job.mode != FORWARD:
                call(job.add_activities, (like, job, ops, rows, high, team))
                call(job.sum_penalties, (like, job, ops, team))
            if job.mode == EVALUATE:
                wait(job, team)
                value_of(job.add_up, (job, ops, batches, rows, team))
        if job.mode <= LOSS_GRAD:
            mode = LOSS_GRAD if job.whole else job.mode
            if value_of(job.backward, (like, job, ops, x, batches, rows, high, now, mode, team)) == 0.0:
                break
            if job.tied and mode == LOSS_GRAD:
                wait(job, team)
                call(job.add_tied, (like, job, ops, team))
        if job.mode == UPDATE or (job.mode == TRAIN and job.whole):
            wait(job, team)
            if job.clip_norm > 0.0:
                call(job.sum_squares, (like, job, ops, team))
                wait(job, team)
            call(job.update, (like, job, ops, x, batches, rows, high, team))
        if job.mode == TRAIN or job.mode == UPDATE:
            if job.constrained:
                wait(job, team)
                call(job.constrain, (like, job, ops, team))
            if job.tied:
                wait(job, team)
                call(job.refresh_tied, (like, job, ops, team))
        # The next batch reads all weights and writes where this one was read.
        wait(job, team)
        batches += 1
    if team[0] == 0:
        job.done = batches


@jit
def _work(like, address, job, ops, thread):
    """Run a routine as one thread of a team.

    Denormals count as zero meanwhile: they cost a hundred times as much as other numbers and mean nothing here.
    """
    outlined()
    team = np.int64(thread), job.threads
    state, tiles = float_state(), job.deepest > 0
    set_float_state(state | FLUSH)
    if tiles:
        begin_tiles()
    call(address, (like, job, ops, team))
    wait(job, team)
    if tiles:
        end_tiles()
    set_float_state(state)


def _lead(like, address, jobs, ops, boxes, patience):
    """Thread 0: see `threads.team`."""
    come = reserve(boxes, kind_of(like), patience)
    if come >= 0:
        jobs[0].threads = 1 + come
        for k in range(come):
            call_helper(pointer(INDEX, boxes[k]), address, jobs.ctypes.data, ops.ctypes.data, k + 1)
        _work(like, address, jobs[0], ops, 0)
    return come


def _attend(like, address, jobs, ops, box):
    p = pointer(INDEX, box.ctypes.data)
    looks = WOKEN
    while attend(p, kind_of(like), looks):
        there = view(pointer(jobs[0], box[2]), 1), view(pointer(ops[0], box[3]), 1)
        _work(like, box[1], there[0][0], there[1], box[4])
        looks = ATTENDED


lead, attend_to = Entry(_lead), Entry(_attend)
__all__ = ["EVALUATE", "FORWARD", "LOSS_GRAD", "TRAIN", "UPDATE", "attend_to", "lead", "run"]
