"""Operations whose W is the transpose of another's.

They have a copy in the packed vector, which follows each update, and a gradient of their own, which is added to the
other's before one. Arguments as in `batch`.
"""

from .cache import routine
from .intrinsics import at, outlined, pointer, view
from .matmul import blocks, share


@routine
def refresh_tied(like, job, ops, team):
    """The copies anew from their sources, which must not change meanwhile; this thread's share."""
    outlined()
    params = pointer(like, job.params)
    for number in range(job.n_ops):
        op = ops[number]
        if op.source >= 0:
            source = ops[op.source]
            panel, width = op.panel, source.panel
            deep, source_deep = op.deep, source.deep
            first, last = share(blocks(op.n_out, panel), team)
            for j in range(first, last):
                for k in range(op.n_in):
                    line = view(at(params, op.w + (j * deep + k) * panel), min(panel, op.n_out - j * panel))
                    start = (k // width * source_deep + j * panel) * width + k % width
                    column = view(at(params, source.w + start), len(line) * width)
                    for c in range(len(line)):
                        line[c] = column[c * width]


@routine
def add_tied(like, job, ops, team):
    """Add the gradients of the copies to those of their sources; this thread's share."""
    outlined()
    flat, copies = pointer(like, job.gradient), pointer(like, job.tied_gradient)
    for number in range(job.n_ops):
        op = ops[number]
        if op.source >= 0:
            rows, wide = op.n_out, op.n_in
            first, last = share(rows, team)
            for r in range(first, last):
                row = view(at(flat, ops[op.source].flat_w + r * wide), wide)
                own = view(at(copies, op.flat_w + r), wide * rows)
                for c in range(wide):
                    row[c] += own[c * rows]
