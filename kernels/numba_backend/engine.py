"""The loop over batches; and the entry, by which every thread of a team comes into compiled code.

What is to be done stands in a record (`layout.JOB`), as a mode and as the addresses of the routines that do it.
"""

import numpy as np

from .batch import EVALUATE, FORWARD, LOSS_GRAD, TRAIN, UPDATE, add_up, gathered, wait
from .cache import Entry, routine
from .intrinsics import FLUSH, at, call, float_state, outlined, pointer, set_float_state, value_of
from .matmul import blocks
from .matrix_unit import begin_tiles, end_tiles
from .optimizers import CONSTANTS


@routine
def run(like, job, ops, team):
    """Work through consecutive batches, up to a loss that is not finite, or update from a given gradient."""
    outlined()
    batches = np.int64(0)
    while batches < job.count:
        start, now, finite = batches * job.batch, job.step + batches, True
        rows = min(job.batch, job.n - start)
        high = blocks(rows, job.row_step) * job.row_step
        x = gathered(like, job, ops[job.first], team)
        if job.mode != UPDATE:
            call(job.gather, (like, job, ops[job.first], start, rows, high, team))
            call(job.forward, (like, job, ops, x, rows, high, now, team))
            if job.mode != FORWARD:
                call(job.loss, (like, job, ops[job.last], start, rows, high, team))
            if job.out:
                call(job.output, (like, job, ops[job.last], start, rows, high, team))
            penalty = 0.0
            if job.penalized and job.mode != FORWARD:
                call(job.add_activities, (like, job, ops, rows, high, team))
                call(job.sum_penalties, (like, job, ops, team))
            if job.mode <= LOSS_GRAD:
                call(job.rows_backward, (like, job, ops[job.last], job.last, now, rows, high, team))
            wait(job, team)
            if job.mode != FORWARD:
                if job.penalized:
                    penalty = rows * value_of(job.total_penalty, (job, ops))
                finite = add_up(job, batches, rows, penalty, team)
        if job.mode <= UPDATE:
            if not finite:
                break
            constants = at(pointer(like, job.numbers), batches * CONSTANTS)
            mode = LOSS_GRAD if job.mode == TRAIN and job.whole else job.mode
            while True:
                if mode == UPDATE and job.clip_norm > 0.0:
                    call(job.sum_squares, (like, job, ops, team))
                    wait(job, team)
                call(job.backward, (like, job, ops, x, constants, rows, high, now, mode, team))
                if mode == LOSS_GRAD and job.tied:
                    wait(job, team)
                    call(job.add_tied, (like, job, ops, team))
                if mode == job.mode or mode == UPDATE:
                    break
                mode = UPDATE  # from the whole gradient
                wait(job, team)
            if job.constrained and job.mode != LOSS_GRAD:
                wait(job, team)
                call(job.constrain, (like, job, ops, team))
            if job.tied and job.mode != LOSS_GRAD:
                wait(job, team)
                call(job.refresh_tied, (like, job, ops, team))
        # The next batch reads all weights and writes where this one was read.
        wait(job, team)
        batches += 1
    if team[0] == 0:
        job.done = batches


def _enter(like, address, jobs, ops, thread):
    """Run a routine as one thread of a team.

    Denormals count as zero meanwhile: they cost a hundred times as much as other numbers and mean nothing here.
    """
    job = jobs[0]
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


enter = Entry(_enter)
__all__ = ["EVALUATE", "FORWARD", "LOSS_GRAD", "TRAIN", "UPDATE", "enter", "run"]
