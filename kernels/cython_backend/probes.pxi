# Doors to the code that a step runs, for tests and benchmarks. Each packs its arguments, calls, and unpacks.


cdef void pack_rows(const real *a, long rows, long width, long j0, long j1, real *out) noexcept nogil:
    """Shapes: a (rows, width) row-major; out [width / P][rows][P], panels j0..j1. Aliasing: none."""
    cdef long block, r, j
    for block in range(blocks(rows, 64)):  # few rows at a time: each lies on a page of its own
        for j in range(j0, j1):
            for r in range(block * 64, smaller(rows, block * 64 + 64)):
                copy_part(out + (j * rows + r) * P, a + r * width + j * P, width - j * P)


cdef void pack_columns(const real *a, long rows, long width, long j0, long j1, real *out) noexcept nogil:
    """Shapes: a (width, rows) row-major, the transpose of what is packed; out as for pack_rows. Aliasing: none."""
    cdef long j, c, r, s, t
    for j in range(j0, j1):
        for s in range(2):
            c = j * P + s * LANES
            for t in range(blocks(rows, LANES)):
                r = t * LANES
                if r + LANES <= rows and c + LANES <= width:
                    transpose_square(a + c * rows + r, rows, LANES, P, out + (j * rows + r) * P + s * LANES, LANES)
                else:
                    pack_corner(a, rows, width, r, c, out)


cdef void pack_corner(const real *a, long rows, long width, long r0, long c0, real *out) noexcept nogil:
    """Shapes, layout, aliasing: as pack_columns, for a square that an edge cuts."""
    cdef long r, c
    for c in range(c0, smaller(c0 + LANES, width)):
        for r in range(r0, smaller(r0 + LANES, rows)):
            out[((c // P) * rows + r) * P + c % P] = a[c * rows + r]


cdef struct Product:
    Net net
    Op op
    const real *a
    const real *b
    real *packed      # the left factor in panels, if it came transposed
    bint trans_b
    long m


cdef void product_task(void *argument, long id, long n) noexcept nogil:
    cdef Product *p = <Product *> argument
    cdef long k = p.op.n_in, wide = p.op.n_out
    cdef fp_state old = begin_kernels()
    cdef bint turned = p.packed != NULL
    cdef const real *x = p.packed if turned else p.a
    cdef long step = P if turned else k, jump = p.m * P if turned else P
    if p.trans_b:
        pack_columns(p.b, k, wide, share(panels(wide), id, n), share(panels(wide), id + 1, n), p.net.w)
    else:
        pack_rows(p.b, k, wide, share(panels(wide), id, n), share(panels(wide), id + 1, n), p.net.w)
    if p.packed != NULL:
        pack_columns(p.a, p.m, k, share(panels(k), id, n), share(panels(k), id + 1, n), p.packed)
    barrier_wait(&p.net.barrier, n)
    if p.op.by_blocks:
        split_inputs(&p.op, x, step, jump, share(panels(k), id, n), share(panels(k), id + 1, n), 0, p.m, False)
        barrier_wait(&p.net.barrier, n)
        forward_blocks(&p.net, &p.op, x, step, jump, p.m, False, id, n)
    else:
        forward_product(&p.net, &p.op, x, step, jump, p.m, False, id, n)
    end_kernels(old)


cdef class Buffer:
    """Memory that the next call uses again: fresh pages would cost more than a small product."""

    cdef char *memory
    cdef size_t size

    def __cinit__(self, size_t size):
        self.memory = <char *> aligned(size)
        self.size = size
        if self.memory == NULL:
            raise MemoryError(f"no memory for {size} bytes")

    def __dealloc__(self):
        free(self.memory)


_spare = []  # the last buffer given back


def gemm(uintptr_t pool, uintptr_t a, uintptr_t b, uintptr_t out, long m, long k, long n, bint trans_a, bint trans_b,
         long threads):
    """out (m, n) = op(a) (m, k) op(b) (k, n). The right factor is packed, as it is once a fit; the left one is read
    where it lies unless it comes transposed."""
    cdef Product p
    cdef char *base = NULL
    cdef size_t used, one = sizeof(real), part = PARTS_BLOCK * sizeof(part_t)
    cdef Buffer buffer = None
    memset(&p, 0, sizeof(p))
    p.op.code, p.op.n_in, p.op.n_out, p.op.flat_b, p.m = DENSE, k, n, -1, m
    p.op.by_blocks = by_blocks(k, n, m)
    p.net.rows_together = ROWS_TOGETHER
    p.op.ld = panel_rows(panels(m) * P if p.op.by_blocks else m)
    p.a, p.b, p.op.plain, p.trans_b = <const real *> a, <const real *> b, <real *> out, trans_b
    while True:
        used = 0
        p.net.w = <real *> carve(&used, base, panels(n) * k * P * one)
        p.op.y = <real *> carve(&used, base, panels(n) * p.op.ld * P * one)
        p.packed = <real *> carve(&used, base, panels(k) * m * P * one) if trans_a else NULL
        p.net.shares = <share_t *> carve(&used, base, threads * sizeof(share_t))
        if p.op.by_blocks:
            p.net.w_parts_size = panels(k) * PARTS_BLOCK
            p.op.x_parts = <part_t *> carve(&used, base, panels(m) * panels(k) * part)
            p.net.w_parts = <part_t *> carve(&used, base, threads * panels(k) * part)
        if base != NULL:
            break
        try:
            buffer = _spare.pop()
        except IndexError:
            pass
        if buffer is None or buffer.size < used:
            buffer = Buffer(used)
        base = buffer.memory
    memset(p.net.shares, 0, threads * sizeof(share_t))
    with nogil:
        (<pool_run_t> pool)(product_task, &p, threads if m * k * n > WORTH_A_THREAD else 1)
    _spare[:] = [buffer]


def activate(int code, uintptr_t z, uintptr_t out, double alpha, long rows, long width):
    cdef Op op
    if code != SOFTMAX:
        if z != out:
            memcpy(<real *> out, <const real *> z, rows * width * sizeof(real))
        activate_run(code, <real> alpha, <real *> out, rows * width)
        return
    memset(&op, 0, sizeof(op))
    op.n_out, op.ld = width, rows
    op.y = <real *> aligned(panels(width) * rows * P * sizeof(real))
    if op.y == NULL:
        raise MemoryError
    pack_rows(<const real *> z, rows, width, 0, panels(width), op.y)
    softmax_forward(&op, 0, rows, False)
    write_rows(op.y, width, rows, 0, rows, <real *> out)
    free(op.y)


def activate_grad(int code, uintptr_t z, uintptr_t dy, uintptr_t out, double alpha, long rows, long width):
    cdef Op op
    memset(&op, 0, sizeof(op))
    op.n_out, op.ld, op.activation, op.alpha = width, rows, code, <real> alpha
    op.y = <real *> aligned(panels(width) * rows * P * sizeof(real))
    op.dz = <real *> aligned(panels(width) * rows * P * sizeof(real))
    try:
        if op.y == NULL or op.dz == NULL:
            raise MemoryError
        pack_rows(<const real *> z, rows, width, 0, panels(width), op.y)
        pack_rows(<const real *> dy, rows, width, 0, panels(width), op.dz)
        if code == SOFTMAX:
            softmax_forward(&op, 0, rows, False)
        elif not needs_z(&op):
            activate_run(code, op.alpha, op.y, panels(width) * rows * P)
        backward_rows(&op, 0, rows)
        write_rows(op.dz, width, rows, 0, rows, <real *> out)
    finally:
        free(op.y)
        free(op.dz)


def loss(int code, uintptr_t z, uintptr_t labels, uintptr_t t, uintptr_t values, uintptr_t gradient, double parameter,
         long rows, long width):
    cdef long b
    cdef size_t bytes = panels(width) * rows * P * sizeof(real)
    cdef real *zp = <real *> aligned(bytes)
    cdef real *tp = <real *> aligned(bytes)
    cdef real *dp = <real *> aligned(bytes)
    cdef real *turned = <real *> aligned(turned_size(code, width) * sizeof(real))
    cdef int32_t largest[LANES]
    try:
        if zp == NULL or tp == NULL or dp == NULL or turned == NULL:
            raise MemoryError
        pack_rows(<const real *> z, rows, width, 0, panels(width), zp)
        if t:
            pack_rows(<const real *> t, rows, width, 0, panels(width), tp)
        for b in range(0, rows, LANES):
            losses_of(code, <real> parameter, zp + b * P, tp + b * P, <const int32_t *> labels + b if labels else NULL,
                      dp + b * P, rows * P, smaller(LANES, rows - b), width, 1, <real *> values + b, largest, turned)
        write_rows(dp, width, rows, 0, rows, <real *> gradient)
    finally:
        free(zp)
        free(tp)
        free(dp)
        free(turned)


def dropout_mask(uint64_t seed, uint64_t step, long i, uintptr_t out, long rows, long columns, double rate):
    cdef uint64_t key = splitmix64(splitmix64(seed ^ splitmix64(step)) + <uint64_t> i)
    cdef uint32_t limit = min(int(rate * 2.0**32 + 0.5), 2**32 - 1)
    cdef long e
    for e in range(rows * columns):
        (<uint8_t *> out)[e] = dropout_hash(<uint32_t> e, <uint32_t> key, <uint32_t> (key >> 32)) >= limit


def normal_noise_rows(uint64_t seed, uint64_t step, long i, uintptr_t out, long n):
    cdef uint64_t key = splitmix64(splitmix64(seed ^ splitmix64(step)) + <uint64_t> i)
    cdef long e
    for e in range(n):
        (<real *> out)[e] = normal_noise(<uint32_t> e, <uint32_t> key, <uint32_t> (key >> 32))
