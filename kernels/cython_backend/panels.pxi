# Between rows and panels: parameters in and out, batches in, predictions out.


cdef enum:
    ROWS_OF_PAGES = 64  # rows of a plain matrix that are packed at a time: each may lie on a page of its own


cdef inline void move_part(real *packed, real *flat, long columns, bint pack) noexcept nogil:
    """Shapes: at most P of `columns` numbers, to packed if `pack`, or from there. Aliasing: none."""
    if pack:
        copy_part(packed, flat, columns)
    else:
        copy_part(flat, packed, columns)


cdef void move_vector(const Net *net, real *packed, real *flat, bint pack, long id, long n) noexcept nogil:
    """Shapes: flat (n_params,), packed (net.packed,), this thread's share, to packed if `pack`, or from there.
    Layout: the flat vector of the plan, and panels; padding is left as it is.
    Aliasing: none."""
    cdef long i, part, parts, k, j
    cdef const Op *op
    for i in range(net.n_ops):
        op = &net.ops[i]
        parts = blocks(op.w_rows, ROWS_OF_PAGES) if op.source < 0 else 0
        for part in range(share(parts, id, n), share(parts, id + 1, n)):
            for j in range(panels(op.n_out)):
                for k in range(part * ROWS_OF_PAGES, smaller(op.w_rows, (part + 1) * ROWS_OF_PAGES)):
                    move_part(packed + op.w + (j * op.w_rows + k) * P, flat + op.flat_w + k * op.n_out + j * P,
                              op.n_out - j * P, pack)
        for j in range(panels(op.n_out) if id == 0 else 0):
            if op.flat_b >= 0:
                move_part(packed + op.b + j * P, flat + op.flat_b + j * P, op.n_out - j * P, pack)
            for k in range(2 if op.flat_moving >= 0 else 0):
                move_part(packed + op.moving + k * op.moving_jump + j * P, flat + op.flat_moving + k * op.n_out + j * P,
                          op.n_out - j * P, pack)


cdef void fill(real *out, long n, real value) noexcept nogil:
    """Shapes: out (n,). Layout: contiguous."""
    cdef long i
    for i in range(n):
        out[i] = value


cdef void transpose_block(const real *w, long n_in, long n_out, long j, long q, real *out) noexcept nogil:
    """The transpose of block (q, j) of W, P x P or what the edges leave of it. Layout: W [n_out / P][n_in][P], rows of
    out P apart. Aliasing: none."""
    cdef long s, t, rows, wide
    w += (j * n_in + q * P) * P
    for s in range(2):
        rows = smaller(LANES, n_in - q * P - s * LANES)
        for t in range(2):
            wide = smaller(LANES, n_out - j * P - t * LANES)
            if rows > 0 and wide > 0:
                transpose_square(w + s * LANES * P + t * LANES, P, rows, P, out + t * LANES * P + s * LANES, wide)


cdef enum:
    AHEAD = 8  # rows of a shuffled batch that are fetched before their turn


cdef inline long data_row(const Data *data, long i) noexcept nogil:
    return i if data.order == NULL else data.order[i]


cdef inline void scatter_row(const uint8_t *x8, const real *xr, real scale, long width, long ld,
                             real *out) noexcept nogil:
    """Shapes: one row of `width`, as uint8 times scale or as real; out [width / P][ld][P], a row of every panel.
    Aliasing: none."""
    if xr != NULL:
        scatter_numbers(xr, width, ld * P, out)
    else:
        scatter_bytes(x8, scale, width, ld * P, out)


cdef void gather_inputs(const Net *net, const Data *data, long width, long start, long r0, long r1, long j0, long j1,
                        real *x) noexcept nogil:
    """Rows r0..r1 of the batch that begins at `start`, `width` wide, into panels: these are j0..j1.
    Aliasing: none."""
    cdef long b, at, wide = smaller(width, j1 * P) - j0 * P
    cdef size_t one = 1 if data.x8 != NULL else sizeof(real)
    cdef const char *rows = <const char *> data.x8 if data.x8 != NULL else <const char *> data.xr
    for b in range(r0, r1 + AHEAD):
        if b < r1:
            fetch(rows + (data_row(data, start + b) * width + j0 * P) * one, wide * one)
        if b >= r0 + AHEAD:
            at = data_row(data, start + b - AHEAD) * width + j0 * P
            scatter_row(data.x8 + at if data.x8 != NULL else NULL, data.xr + at if data.xr != NULL else NULL,
                        net.input_scale, wide, net.ld, x + (j0 * net.ld + b - AHEAD) * P)


cdef void gather_targets(Net *net, const Data *data, long start, long r0, long r1) noexcept nogil:
    """Targets and weights of the same rows, into net.t or net.label, and net.row_weight. Aliasing: none."""
    cdef long b, row, at, width = net.ops[net.n_ops - 1].n_out
    for b in range(r0, r1):
        row = data_row(data, start + b)
        at = row * width
        if data.labels != NULL:
            net.label[b] = data.labels[row]
        else:
            scatter_row(data.t8 + at if data.t8 != NULL else NULL, data.tr + at if data.tr != NULL else NULL,
                        net.target_scale, width, net.ld, net.t + b * P)
        if data.weights != NULL:
            net.row_weight[b] = data.weights[row]


cdef void write_rows(const real *panel, long width, long ld, long r0, long r1, real *out) noexcept nogil:
    """Shapes: panel [width / P][ld][P] to out (m, width) row-major, rows r0..r1. Aliasing: none."""
    cdef long j, b
    for b in range(r0, r1):
        for j in range(panels(width)):
            copy_part(out + b * width + j * P, panel + (j * ld + b) * P, width - j * P)


cdef void transpose_rows(const real *panel, long ld, long n, long j, long r0, long r1, real *out) noexcept nogil:
    """Rows r0..r1 of panel j of a matrix (m, n) into its transpose; r0 is a multiple of LANES.
    Layout: panel [n / P][ld][P], out [m / P][n rounded up to P][P].
    Aliasing: none."""
    cdef long b = r0, high = panels(n) * P
    cdef const real *row
    cdef real *column
    while b < r1:
        row = panel + (j * ld + b) * P
        column = out + ((b // P) * high + j * P) * P + b % P
        transpose_square(row, P, smaller(LANES, r1 - b), P, column, LANES)
        if n - j * P > LANES:
            transpose_square(row + LANES, P, smaller(LANES, r1 - b), P, column + LANES * P, LANES)
        b += LANES


cdef void transpose_columns(const real *panel, long ld, long n, long q, long r0, long r1, real *out) noexcept nogil:
    """The inverse of transpose_rows for one panel of the transpose: rows r0..r1 of panel q come back.
    Layout: panel [m / P][n rounded up to P][P], out [n / P][ld][P].
    Aliasing: none."""
    cdef long b = r0, high = panels(n) * P
    cdef const real *column
    cdef real *row
    while b < r1:
        column = panel + ((b // P) * high + q * P) * P + b % P
        row = out + (q * ld + b) * P
        transpose_square(column, P, LANES, P, row, smaller(LANES, r1 - b))
        if n - q * P > LANES:
            transpose_square(column + LANES * P, P, LANES, P, row + LANES, smaller(LANES, r1 - b))
        b += LANES
