# Inputs that are bytes times a scale, as images divided by 255 are, back into bytes: a quarter of what every epoch has to
# read, and left factors of one part on the matrix unit instead of three.

cdef enum:
    QUANTIZED_FIRST = 256  # numbers that are looked at before threads are woken for the others
    QUANTIZED_AT_ONCE = 1 << 14  # numbers until a thread that has found something else stops


cdef struct Quantize:
    const real *x
    uint8_t *out
    long n
    real scale
    bint others  # whether there are numbers that are no bytes


cdef void quantize_task(void *argument, long id, long n) noexcept nogil:
    cdef Quantize *q = <Quantize *> argument
    cdef long i = share(q.n, id, n), end = share(q.n, id + 1, n)
    while i < end:
        if not quantize_numbers(q.x + i, smaller(QUANTIZED_AT_ONCE, end - i), q.scale, q.out + i):
            q.others = True
            return
        i += QUANTIZED_AT_ONCE


def quantize(uintptr_t pool, uintptr_t x, long n, double scale, uintptr_t out, long threads):
    """Write the bytes of which x (n,) is `scale` times to out (n,), uint8; return whether it is."""
    cdef Quantize q = Quantize(<const real *> x, <uint8_t *> out, n, <real> scale, False)
    if not quantize_numbers(q.x, smaller(n, QUANTIZED_FIRST), q.scale, q.out):
        return False
    with nogil:
        (<pool_run_t> pool)(quantize_task, &q, max(1, smaller(threads, n // NUMBERS_EACH)))
    return not q.others
