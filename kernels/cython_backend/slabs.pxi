# Weight gradients of narrow layers. Where threads share the rows of a batch, see by_rows, a block of dW = X' dZ needs
# everybody's rows, and to fetch those from the other processors' caches takes longer than the product. So each thread
# makes the gradients of its own rows as soon as it has their dZ, and only these are exchanged:
#
#   rows of the batch        slab 0  |  slab 1  |  slab 2  |  slab 3
#   [slab][W, b in panels]    X'dZ   +   X'dZ   +   X'dZ   +   X'dZ      in this order, by who updates a block of W
#
# Slabs are what SLABS threads would have of the rows, however many there are, so that results do not depend on that.
# Where threads do not have whole slabs, who updates a block makes its slabs, too.


cdef inline bint slabs_now(const Op *op, long n) noexcept nogil:
    """Whether each of n threads has whole slabs."""
    return op.by_slabs and SLABS % n == 0


cdef void slab_block(const Op *op, const real *x, long q, long j, long r0, long r1, real *c) noexcept nogil:
    """Block (q, j) of dW for rows r0..r1. Shapes: x (m, n_in), c (P, P), or (P,) of one output. Layout: panels.
    Aliasing: none."""
    if op.single:
        weigh_rows(x + (q * op.ld + r0) * P, op.dz + r0 * P, r1 - r0, c)
        return
    tiles_transposed(smaller(P, op.n_in - q * P), vectors(op.n_out - j * P), r1 - r0, x + (q * op.ld + r0) * P,
                     op.dz + (j * op.ld + r0) * P, c, False)


cdef inline real *slab_part(const Net *net, const Op *op, long slab, long at) noexcept nogil:
    """Where row `at` of an operation's part of a slab is: rows of W by panels, then those of b."""
    return net.slabs + slab * net.slab_size + op.slab + at * P


cdef inline long block_at(const Op *op, long q, long j) noexcept nogil:
    """Where block (q, j) of dW begins in its part of a slab: of one output, which has a row for every P inputs, row q."""
    return q if op.single else j * op.n_in + q * P


cdef void slab_gradients(Net *net, const Op *op, const real *x, long m, long id, long n) noexcept nogil:
    """X' dZ and the sums of dZ for each of a thread's slabs. Shapes: x (m, n_in), dZ (m, n_out). Layout: panels.
    Aliasing: none."""
    cdef long slab, r0, r1, j, q
    for slab in range(share(SLABS, id, n), share(SLABS, id + 1, n)):
        r0 = row_share(net, m, slab, SLABS)
        r1 = row_share(net, m, slab + 1, SLABS)
        for j in range(panels(op.n_out) if r0 < r1 else 0):
            for q in range(panels(op.n_in)):
                slab_block(op, x, q, j, r0, r1, slab_part(net, op, slab, block_at(op, q, j)))
            sum_rows(op.dz + (j * op.ld + r0) * P, r1 - r0, slab_part(net, op, slab, panels(op.n_out) * op.n_in + j))


cdef void add_slabs(const Net *net, const Op *op, const real *x, long q, long j, bint bias, long m, long n,
                    real *c) noexcept nogil:
    """Block (q, j) of dW, or panel j of db: the sum of all slabs in order. Shapes: x (m, n_in), c (P, P) or (P,).
    Layout: panels. Aliasing: none."""
    cdef real own[P * P]
    cdef const real *part
    cdef long slab, r0, r1, i, rows = 1 if bias else smaller(P, op.n_in - q * P)
    cdef bint column = op.single and not bias
    memset(c, 0, rows * P * sizeof(real))
    for slab in range(SLABS):
        r0 = row_share(net, m, slab, SLABS)
        r1 = row_share(net, m, slab + 1, SLABS)
        if r0 == r1:
            continue
        if slabs_now(op, n):
            part = slab_part(net, op, slab, panels(op.n_out) * op.n_in + j if bias else block_at(op, q, j))
        else:
            part = own
            if bias:
                sum_rows(op.dz + (j * op.ld + r0) * P, r1 - r0, own)
            else:
                slab_block(op, x, q, j, r0, r1, own)
        if column:
            for i in range(rows):
                c[i * P] += part[i]
        else:
            for i in range(rows * P):
                c[i] += part[i]
