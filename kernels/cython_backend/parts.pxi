# Blocks of parts for the matrix unit, see parts.h: who writes inputs or gradients of a layer that computes by blocks
# splits them on the way, while they are in the first-level cache.
#
#   x_parts    X, left     [rows / P][n_in / P]     forward
#   xt_parts   X', left    [n_in / P][rows / P]     weight gradient
#   dz_parts   dZ, right   [n_out / P][rows / P]    weight gradient; NULL: see own_gradients
#   dzt_parts  dZ', right  [rows / P][n_out / P]    input gradient, or NULL
#
# The weights, which change with each step, are split by who needs them. Of the first layer's inputs each thread may
# have copies of its own, see own_parts.


cdef inline part_t *x_block(const Op *op, long p, long k, long id) noexcept nogil:
    """Block (p, k) of an operation's inputs, as thread id has them."""
    return op.x_parts + id * op.own_parts + (p * panels(op.n_in) + k) * (PART if op.thin else PARTS_BLOCK)


cdef inline part_t *xt_block(const Op *op, long k, long p, long id) noexcept nogil:
    """Block (k, p) of their transpose."""
    return op.xt_parts + id * op.own_parts + (k * op.row_blocks + p) * (PART if op.thin else PARTS_BLOCK)


cdef void transpose_part(const real *a, long step, long rows, real *out) noexcept nogil:
    """Shapes: a (rows, P), rows at most P; out (P, P), with zeros for the missing columns. Layout: rows of a are `step`
    apart, rows of out P. Aliasing: none."""
    cdef long s, t
    for s in range(2):
        for t in range(2):
            transpose_square(a + s * LANES * step + t * LANES, step, smaller(LANES, rows - s * LANES), P,
                             out + t * LANES * P + s * LANES, LANES)


cdef void split_inputs(Op *op, const real *x, long step, long jump, long j0, long j1, long r0, long r1,
                       bint turned, long id) noexcept nogil:
    """Rows r0..r1 of panels j0..j1 of an operation's inputs, and their transpose if `turned`.
    Shapes: x (m, n_in). Layout: rows of x are `step` apart, its panels `jump`; r0 is a multiple of P.
    Aliasing: none."""
    cdef long j, p
    for p in range(r0 // P, blocks(r1, P)):  # the rows of a plain matrix are read as they lie
        for j in range(j0, j1):
            split_left(x + j * jump + p * P * step, step, smaller(P, r1 - p * P), smaller(P, op.n_in - j * P),
                       x_block(op, p, j, id))
            if turned:
                turn_block(x_block(op, p, j, id), 3, xt_block(op, j, p, id))


cdef void split_gradients(Op *op, long j, long r0, long r1) noexcept nogil:
    """Rows r0..r1 of panel j of an operation's dZ, if who makes them is to split them. Layout: panels of op.ld rows; r0
    is a multiple of P. Aliasing: none."""
    cdef part_t *block
    cdef long p, wide = smaller(P, op.n_out - j * P)
    if op.dz_parts == NULL:
        return
    for p in range(r0 // P, blocks(r1, P)):
        block = op.dz_parts + (j * op.row_blocks + p) * PARTS_BLOCK
        split_right(op.dz + (j * op.ld + p * P) * P, P, smaller(P, r1 - p * P), wide, block)
        if op.dzt_parts != NULL:
            turn_block(block, 3, op.dzt_parts + (p * panels(op.n_out) + j) * PARTS_BLOCK)


cdef part_t *own_gradients(Net *net, const Op *op, long j, long m, long id) noexcept nogil:
    """Split panel j of an operation's dZ for one thread: batches of up to two blocks of rows, which threads share in
    lesser portions than blocks. Aliasing: none."""
    cdef part_t *own = net.w_parts + id * net.w_parts_size
    cdef long p
    for p in range(panels(m)):
        split_right(op.dz + (j * op.ld + p * P) * P, P, smaller(P, m - p * P), smaller(P, op.n_out - j * P),
                    own + p * PARTS_BLOCK)
    return own


cdef void gather_parts(Op *op, const Data *data, long start, long r0, long r1, long j0, long j1, bint turned,
                       long id) noexcept nogil:
    """What split_inputs does for its rows and panels, with the bytes of the batch that begins at `start`. There is no
    need to have them as numbers as well."""
    cdef const uint8_t *row[P]
    cdef const uint8_t *following[P]  # of the next block of rows, which are fetched while this one's are split
    cdef part_t *block
    cdef long b, j, p, rows, high = smaller(P, r1 - r0), wide = smaller(op.n_in, j1 * P) - j0 * P
    for b in range(high):
        following[b] = data.x8 + data_row(data, start + r0 + b) * op.n_in
        fetch(<const char *> (following[b] + j0 * P), wide)
    for p in range(r0 // P, blocks(r1, P)):
        rows = smaller(P, r1 - p * P)
        for b in range(rows):
            row[b] = following[b]
            following[b] = data.x8 + data_row(data, start + smaller((p + 1) * P + b, r1 - 1)) * op.n_in
        for j in range(j0, j1):  # blocks of one row after the other would drive each other out
            block = x_block(op, p, j, id)
            for b in range(rows):
                fetch(<const char *> (following[b] + j * P), 1)
                split_bytes(row[b] + j * P, smaller(P, op.n_in - j * P), block + b * P)
            memset(block + rows * P, 0, (P - rows) * P * sizeof(part_t))
            if turned:
                turn_block(block, 1, xt_block(op, j, p, id))
