# Blocks of parts for the matrix unit, see parts.h: who writes inputs or gradients of a layer that computes by blocks
# splits them on the way, while they are in the first-level cache.
#
#   x_parts    X, left     [rows / P][n_in / P]     forward
#   xt_parts   X', left    [n_in / P][rows / P]     weight gradient
#   dz_parts   dZ, right   [n_out / P][rows / P]    weight gradient
#   dzt_parts  dZ', right  [rows / P][n_out / P]    input gradient, or NULL
#
# The weights, which change with each step, are split by who needs them.


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
    cdef part_t *block
    cdef long j, p
    for p in range(r0 // P, blocks(r1, P)):  # the rows of a plain matrix are read as they lie
        for j in range(j0, j1):
            block = op.x_parts + id * op.own_parts + (p * panels(op.n_in) + j) * PARTS_BLOCK
            split_left(x + j * jump + p * P * step, step, smaller(P, r1 - p * P), smaller(P, op.n_in - j * P), block)
            if turned:
                turn_block(block, 3, op.xt_parts + id * op.own_parts + (j * op.row_blocks + p) * PARTS_BLOCK)


cdef void split_gradients(Op *op, long j, long r0, long r1) noexcept nogil:
    """Rows r0..r1 of panel j of an operation's dZ. Layout: panels of op.ld rows; r0 is a multiple of P.
    Aliasing: none."""
    cdef part_t *block
    cdef long p, wide = smaller(P, op.n_out - j * P)
    for p in range(r0 // P, blocks(r1, P)):
        block = op.dz_parts + (j * op.row_blocks + p) * PARTS_BLOCK
        split_right(op.dz + (j * op.ld + p * P) * P, P, smaller(P, r1 - p * P), wide, block)
        if op.dzt_parts != NULL:
            turn_block(block, 3, op.dzt_parts + (p * panels(op.n_out) + j) * PARTS_BLOCK)


cdef void gather_parts(Op *op, const Data *data, long start, long r0, long r1, long j0, long j1, bint turned,
                       long id) noexcept nogil:
    """What split_inputs does for its rows and panels, with the bytes of the batch that begins at `start`. There is no
    need to have them as numbers as well."""
    cdef const uint8_t *row[2][P]  # of this block of rows, and of the next one
    cdef long b, i, j, p, deep = panels(op.n_in), end = blocks(r1, P)
    cdef part_t *block
    for p in range(r0 // P - 1, end):
        for b in range(P):
            i = smaller((p + 1) * P + b, r1 - 1)
            row[0][b] = row[1][b]
            row[1][b] = data.x8 + data_row(data, start + i) * op.n_in
            if p < r0 // P:
                fetch(<const char *> (row[1][b] + j0 * P), smaller(op.n_in, j1 * P) - j0 * P)
        for j in range(j0, j1 if p >= r0 // P else j0):  # blocks of one row after the other would drive each other out
            block = op.x_parts + id * op.own_parts + (p * deep + j) * PART
            for b in range(P):
                if p * P + b < r1:
                    fetch(<const char *> (row[1][b] + j * P), 1)
                    split_bytes(row[0][b] + j * P, smaller(P, op.n_in - j * P), block + b * P)
                else:
                    memset(block + b * P, 0, P * sizeof(part_t))
            if turned:
                turn_block(block, 1, op.xt_parts + id * op.own_parts + (j * op.row_blocks + p) * PART)
