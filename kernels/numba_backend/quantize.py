"""Inputs that are bytes times a scale, as images divided by 255 are, back into bytes: a quarter of what every epoch has
to read, and left factors of one part on the matrix unit instead of three.
"""

from .batch import BYTE
from .cache import routine
from .intrinsics import FLUSH, at, cast, float_state, outlined, pointer, set_float_state, view
from .matmul import share

# Numbers until a thread that has found something else stops.
_AT_ONCE = 1 << 14


@routine
def quantize_numbers(like, job, ops, team):
    """The bytes of which a is `job.alpha` times, give or take how its numbers were rounded; done = 0 if it is not.

    Shapes: a, out (n,).
    Layout: contiguous.
    Aliasing: none.
    """
    outlined()
    set_float_state(float_state() & ~FLUSH)  # a denormal is no byte; whoever called sets its own state afterwards
    scale, half, top, zero = cast(like, job.alpha), cast(like, 0.5), cast(like, 255.0), cast(like, 0.0)
    inverse, slack = cast(like, 1.0) / scale, cast(like, 2.0**-22)
    first, last = share(job.n, team)
    for start in range(first, last, _AT_ONCE):
        count = min(_AT_ONCE, last - start)
        x, out = view(at(pointer(like, job.a), start), count), view(at(pointer(BYTE, job.out), start), count)
        others = 0
        for i in range(count):
            k = x[i] * inverse + half
            k = k if k > zero else zero  # NaN too
            byte = int(k if k < top else top)
            nearest = byte * scale
            off, limit = nearest - x[i], nearest * slack
            others += 0 if off <= limit and -off <= limit else 1
            out[i] = byte
        if others > 0:
            job.done = 0
            return
