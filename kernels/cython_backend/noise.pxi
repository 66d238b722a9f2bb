# Gaussian noise on a block of outputs, in training. Formulas: kernels/dropout.py.


cdef void add_noise(const Op *op, long j, long r0, long r1, real *y) noexcept nogil:
    """Shapes: y (r1 - r0, P), rows r0..r1 of panel j of an operation's output. Layout: contiguous. Aliasing: in place."""
    cdef long b, c
    cdef uint32_t first = op.key[0], second = op.key[1], element
    cdef real stddev = op.noise
    for b in range(r0, r1):
        element = <uint32_t> (b * op.n_out + j * P)
        for c in range(P):
            y[c] += stddev * normal_noise(element + <uint32_t> c, first, second)
        y += P


cdef void multiply_noise(const Op *op, long j, long r0, long r1, real *y) noexcept nogil:
    """Shapes, layout, aliasing: as for add_noise; or the gradient by that output."""
    cdef long b, c
    cdef uint32_t first = op.key[0], second = op.key[1], element
    cdef real stddev = op.spread
    for b in range(r0, r1):
        element = <uint32_t> (b * op.n_out + j * P)
        for c in range(P):
            y[c] *= 1 + stddev * normal_noise(element + <uint32_t> c, first, second)
        y += P
