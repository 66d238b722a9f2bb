"""The loop over batches; and the entry, by which every thread of a team comes into compiled code.

What is to be done stands in a record (`layout.JOB`), as a mode and as the addresses of the routines that do it.
"""

import numpy as np

from .batch import EVALUATE, FORWARD, LOSS_GRAD, TRAIN, UPDATE, gathered, is_thin, wait
from .cache import Entry, routine
from .intrinsics import FLUSH, call, float_state, outlined, set_float_state, value_of
from .matmul import blocks
from .matrix_unit import begin_tiles, end_tiles


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
