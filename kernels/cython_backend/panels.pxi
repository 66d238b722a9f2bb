# Between rows and panels: parameters in and out, batches in, predictions out.


cdef void pack_vector(const Net *net, const real *flat, real *packed) noexcept nogil:
    """Shapes: flat (n_params,), packed (net.packed,).
    Layout: the flat vector of the plan into panels, padding zero.
    Aliasing: none."""
    cdef long i, k, j, columns
    cdef const Op *op
    memset(packed, 0, net.packed * sizeof(real))
    for i in range(net.n_ops):
        op = &net.ops[i]
        if op.code != DENSE:
            continue
        for j in range(panels(op.n_out)):
            columns = smaller(P, op.n_out - j * P)
            for k in range(op.n_in):
                memcpy(packed + op.w + (j * op.n_in + k) * P, flat + op.flat_w + k * op.n_out + j * P,
                       columns * sizeof(real))
        if op.flat_b >= 0:
            memcpy(packed + op.b, flat + op.flat_b, op.n_out * sizeof(real))


cdef void unpack_vector(const Net *net, const real *packed, real *flat) noexcept nogil:
    """Shapes, layout: the inverse of pack_vector. Aliasing: none."""
    cdef long i, k, j, columns
    cdef const Op *op
    for i in range(net.n_ops):
        op = &net.ops[i]
        if op.code != DENSE:
            continue
        for j in range(panels(op.n_out)):
            columns = smaller(P, op.n_out - j * P)
            for k in range(op.n_in):
                memcpy(flat + op.flat_w + k * op.n_out + j * P, packed + op.w + (j * op.n_in + k) * P,
                       columns * sizeof(real))
        if op.flat_b >= 0:
            memcpy(flat + op.flat_b, packed + op.b, op.n_out * sizeof(real))


cdef inline void scatter_row(const uint8_t *x8, const real *xr, real scale, long width, long b, long m,
                             real *out) noexcept nogil:
    """Shapes: one row of `width`, as uint8 times scale or as real; out [width / P][m][P], row b of every panel.
    Aliasing: none."""
    cdef long j, c, whole = width // P
    for j in range(whole):  # a constant number of columns is a handful of instructions
        if xr != NULL:
            memcpy(out + (j * m + b) * P, xr + j * P, P * sizeof(real))
        else:
            for c in range(P):
                out[(j * m + b) * P + c] = x8[j * P + c] * scale
    for c in range(whole * P, width):
        out[(whole * m + b) * P + c - whole * P] = xr[c] if xr != NULL else x8[c] * scale


cdef inline long data_row(const Data *data, long i) noexcept nogil:
    return i if data.order == NULL else data.order[i]


cdef void gather_inputs(const Net *net, const Data *data, long width, long start, long m, long r0, long r1,
                        real *x) noexcept nogil:
    """Rows r0..r1 of the batch of m rows that begins at `start`, `width` wide, into panels of m rows.
    Aliasing: none."""
    cdef long b, at
    for b in range(r0, r1):
        at = data_row(data, start + b) * width
        scatter_row(data.x8 + at if data.x8 != NULL else NULL, data.xr + at if data.xr != NULL else NULL,
                    net.input_scale, width, b, m, x)


cdef void gather_targets(Net *net, const Data *data, long start, long m, long r0, long r1) noexcept nogil:
    """Targets and weights of the same rows, into net.t or net.label, and net.row_weight. Aliasing: none."""
    cdef long b, row, at, width = net.ops[net.n_ops - 1].n_out
    for b in range(r0, r1):
        row = data_row(data, start + b)
        at = row * width
        if data.labels != NULL:
            net.label[b] = data.labels[row]
        else:
            scatter_row(data.t8 + at if data.t8 != NULL else NULL, data.tr + at if data.tr != NULL else NULL,
                        net.target_scale, width, b, m, net.t)
        if data.weights != NULL:
            net.row_weight[b] = data.weights[row]


cdef void write_rows(const real *panel, long width, long m, long r0, long r1, real *out) noexcept nogil:
    """Shapes: panel [width / P][m][P] to out (m, width) row-major, rows r0..r1. Aliasing: none."""
    cdef long j, b
    for b in range(r0, r1):
        for j in range(panels(width)):
            memcpy(out + b * width + j * P, panel + (j * m + b) * P, smaller(P, width - j * P) * sizeof(real))


cdef void transpose_rows(const real *panel, long m, long n, long j, long r0, long r1, real *out) noexcept nogil:
    """Rows r0..r1 of panel j of a matrix (m, n) into its transpose; r0 is a multiple of LANES.
    Layout: panel [n / P][m][P], out [m / P][n rounded up to P][P].
    Aliasing: none."""
    cdef long b = r0, high = panels(n) * P
    cdef const real *row
    cdef real *column
    while b < r1:
        row = panel + (j * m + b) * P
        column = out + ((b // P) * high + j * P) * P + b % P
        transpose_square(row, P, smaller(LANES, r1 - b), column, LANES)
        if n - j * P > LANES:
            transpose_square(row + LANES, P, smaller(LANES, r1 - b), column + LANES * P, LANES)
        b += LANES


cdef void transpose_columns(const real *panel, long m, long n, long q, long r0, long r1, real *out) noexcept nogil:
    """The inverse of transpose_rows for one panel of the transpose: rows r0..r1 of panel q come back.
    Layout: panel [m / P][n rounded up to P][P], out [n / P][m][P].
    Aliasing: none."""
    cdef long b = r0, high = panels(n) * P
    cdef const real *column
    cdef real *row
    while b < r1:
        column = panel + ((b // P) * high + q * P) * P + b % P
        row = out + (q * m + b) * P
        transpose_square(column, P, LANES, row, smaller(LANES, r1 - b))
        if n - q * P > LANES:
            transpose_square(column + LANES * P, P, LANES, row + LANES, smaller(LANES, r1 - b))
        b += LANES
