# Weight gradients of narrow layers. Where threads share the rows of a batch, see by_rows, a block of dW = X' dZ needs
# everybody's rows, and to fetch those from the other processors' caches takes longer than the product. So each thread
# makes the gradients of its own rows as soon as it has their dZ, and only these are exchanged:
#
#   rows of the batch        slab 0  |  slab 1  |  slab 2  |  slab 3
#   [slab][W, b in panels]    X'dZ   +   X'dZ   +   X'dZ   +   X'dZ      in this order, by who updates a block of W
#
# Slabs depend on the batch alone, and a thread takes whole ones: the results do not depend on the number of threads.


cdef inline long slab_rows(const Net *net, long m) noexcept nogil:
    """Rows of a slab in a batch of m; the last may have fewer."""
    return blocks(blocks(m, net.rows_together), SLABS) * net.rows_together


cdef void slab_gradients(Net *net, const Op *op, const real *x, long m, long r0, long r1) noexcept nogil:
    """Shapes: x (m, n_in), dZ (m, n_out): X' dZ and the sums of dZ for each slab of the rows r0..r1.
    Layout: panels; r0 is where a slab begins.
    Aliasing: none."""
    cdef long height = slab_rows(net, m), r = r0, depth, j, q, i, rows
    cdef const real *dz
    cdef real *w
    while r < r1:
        depth = smaller(height, r1 - r)
        w = net.slabs + r // height * net.slab_size + op.slab
        for j in range(panels(op.n_out)):
            dz = op.dz + (j * op.ld + r) * P
            for q in range(panels(op.n_in)):
                rows = smaller(P, op.n_in - q * P)
                i = 0
                while i < rows:
                    tile_transposed(smaller(MR, rows - i), vectors(op.n_out - j * P), depth, x + (q * op.ld + r) * P + i,
                                    dz, w + (j * op.n_in + q * P + i) * P, False)
                    i += MR
            sum_rows(dz, depth, w + (panels(op.n_out) * op.n_in + j) * P)
        r += depth


cdef void add_slabs(const Net *net, const Op *op, long m, long at, long length, real *out) noexcept nogil:
    """Shapes: out (length,): the sum of all slabs, in order, `at` from where the operation's part begins.
    Layout: contiguous. Aliasing: none."""
    cdef long s, i
    cdef const real *slab = net.slabs + op.slab + at
    memcpy(out, slab, length * sizeof(real))
    for s in range(1, blocks(m, slab_rows(net, m))):
        slab += net.slab_size
        for i in range(length):
            out[i] += slab[i]
