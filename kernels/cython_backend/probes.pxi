# Doors to the code that a step runs, for tests and benchmarks. Each packs its arguments, calls, and unpacks.


cdef void pack_rows(const real *a, long rows, long width, bint transposed, real *out) noexcept nogil:
    """Shapes: a (rows, width), or (width, rows) if transposed, row-major; out [width / P][rows][P]. Aliasing: none."""
    cdef long r, c
    for r in range(rows):
        for c in range(width):
            out[((c // P) * rows + r) * P + c % P] = a[c * rows + r] if transposed else a[r * width + c]


cdef struct Product:
    Net net
    Op op
    const real *x
    long m


cdef void product_task(void *argument, long id, long n) noexcept nogil:
    cdef Product *p = <Product *> argument
    forward_product(&p.net, &p.op, p.x, p.m, False, id, n)


def gemm(uintptr_t pool, uintptr_t a, uintptr_t b, uintptr_t out, long m, long k, long n, bint trans_a, bint trans_b,
         long threads):
    """out (m, n) = op(a) (m, k) op(b) (k, n)."""
    cdef Product p
    cdef size_t one = sizeof(real)
    cdef real *x = <real *> aligned(panels(k) * m * P * one)
    cdef real *y = <real *> aligned(panels(n) * m * P * one)
    memset(&p, 0, sizeof(p))
    p.net.w = <real *> aligned(panels(n) * k * P * one)
    p.op.code, p.op.n_in, p.op.n_out, p.op.flat_b, p.op.y = DENSE, k, n, -1, y
    p.x, p.m = x, m
    try:
        if x == NULL or y == NULL or p.net.w == NULL:
            raise MemoryError
        pack_rows(<const real *> a, m, k, trans_a, x)
        pack_rows(<const real *> b, k, n, trans_b, p.net.w)
        with nogil:
            (<pool_run_t> pool)(product_task, &p, threads)
        write_rows(y, n, m, 0, m, <real *> out)
    finally:
        free(x)
        free(y)
        free(p.net.w)


def activate(int code, uintptr_t z, uintptr_t out, double alpha, long rows, long width):
    cdef Op op
    cdef long i
    if code != SOFTMAX:
        if z != out:
            memcpy(<real *> out, <const real *> z, rows * width * sizeof(real))
        activate_run(code, <real> alpha, <real *> out, rows * width)
        return
    memset(&op, 0, sizeof(op))
    op.n_out = width
    op.y = <real *> aligned(panels(width) * rows * P * sizeof(real))
    if op.y == NULL:
        raise MemoryError
    pack_rows(<const real *> z, rows, width, False, op.y)
    softmax_forward(&op, rows, 0, rows, False)
    write_rows(op.y, width, rows, 0, rows, <real *> out)
    free(op.y)


def activate_grad(int code, uintptr_t z, uintptr_t dy, uintptr_t out, double alpha, long rows, long width):
    cdef Op op
    memset(&op, 0, sizeof(op))
    op.n_out, op.activation, op.alpha = width, code, <real> alpha
    op.y = <real *> aligned(panels(width) * rows * P * sizeof(real))
    op.dz = <real *> aligned(panels(width) * rows * P * sizeof(real))
    try:
        if op.y == NULL or op.dz == NULL:
            raise MemoryError
        pack_rows(<const real *> z, rows, width, False, op.y)
        pack_rows(<const real *> dy, rows, width, False, op.dz)
        if code == SOFTMAX:
            softmax_forward(&op, rows, 0, rows, False)
        elif not needs_z(&op):
            activate_run(code, op.alpha, op.y, panels(width) * rows * P)
        backward_rows(&op, rows, 0, rows)
        write_rows(op.dz, width, rows, 0, rows, <real *> out)
    finally:
        free(op.y)
        free(op.dz)


def loss(int code, uintptr_t z, uintptr_t labels, uintptr_t t, uintptr_t values, uintptr_t gradient, long rows,
         long width):
    cdef long b, label = 0
    cdef size_t bytes = panels(width) * rows * P * sizeof(real)
    cdef real *zp = <real *> aligned(bytes)
    cdef real *tp = <real *> aligned(bytes)
    cdef real *dp = <real *> aligned(bytes)
    try:
        if zp == NULL or tp == NULL or dp == NULL:
            raise MemoryError
        pack_rows(<const real *> z, rows, width, False, zp)
        if t:
            pack_rows(<const real *> t, rows, width, False, tp)
        for b in range(rows):
            if labels:
                label = (<const int32_t *> labels)[b]
            (<real *> values)[b] = loss_row(code, zp + b * P, tp + b * P, label, dp + b * P, rows * P, width)
        write_rows(dp, width, rows, 0, rows, <real *> gradient)
    finally:
        free(zp)
        free(tp)
        free(dp)


def dropout_mask(uint64_t seed, uint64_t step, long i, uintptr_t out, long rows, long columns, double rate):
    cdef uint64_t key = splitmix64(splitmix64(seed ^ splitmix64(step)) + <uint64_t> i)
    cdef uint32_t limit = min(int(rate * 2.0**32 + 0.5), 2**32 - 1)
    cdef long e
    for e in range(rows * columns):
        (<uint8_t *> out)[e] = dropout_hash(<uint32_t> e, <uint32_t> key, <uint32_t> (key >> 32)) >= limit
