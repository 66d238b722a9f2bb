# Doors to the code that a step runs, for tests and benchmarks. Each packs its arguments, calls, and unpacks.

from cpython.buffer cimport Py_buffer, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer


cdef void pack_rows(const real *a, long rows, long width, long j0, long j1, real *out) noexcept nogil:
    """Shapes: a (rows, width) row-major; out [width / P][rows][P], panels j0..j1. Aliasing: none."""
    cdef long block, r, j
    for block in range(blocks(rows, ROWS_OF_PAGES)):
        for j in range(j0, j1):
            for r in range(block * ROWS_OF_PAGES, smaller(rows, (block + 1) * ROWS_OF_PAGES)):
                copy_part(out + (j * rows + r) * P, a + r * width + j * P, width - j * P)


cdef struct Factor:   # of a product
    const real *data
    long step         # how far the rows of the matrix are apart as it is stored
    bint turned       # whether it is the transpose of what is stored

cdef struct Product:
    Factor a
    Factor b
    real *out
    long m
    long k
    long n
    bint by_blocks
    long together     # rows that are never cut between threads
    long rows         # of a stretch of A that stays in the second-level cache,
    long depth        # and terms
    long across       # panels of B beside it
    char *own         # scratch of every thread: left factor, right factor, sums
    size_t own_size
    size_t left_size
    size_t right_size
    share_t *shares
    barrier_t barrier


cdef inline const real *element(const Factor *f, long r, long c) noexcept nogil:
    return f.data + (c * f.step + r if f.turned else r * f.step + c)


cdef void pack_block(const Factor *f, long r, long c, long rows, long wide, real *out) noexcept nogil:
    """Shapes: out (P, P): a block of a factor, its `rows` rows from r on and `wide` columns from c on. Layout: a panel.
    Aliasing: none."""
    cdef real stored[P * P]
    cdef const real *a = element(f, r, c)
    cdef real *to = &stored[0] if f.turned else out
    cdef long i
    for i in range(wide if f.turned else rows):
        copy_part(to + i * P, a + i * f.step, rows if f.turned else wide)
    if f.turned:
        transpose_part(stored, P, wide, out)


cdef void split_block(const Factor *f, long r, long c, long rows, long wide, bint left, part_t *out) noexcept nogil:
    """The same block in parts, of a left or a right factor. Aliasing: none."""
    cdef const real *next = element(f, r if left else r + P, c + P if left else c)
    cdef long i
    for i in range(P):  # each row may be on a page of its own
        fetch(<const char *> (next + i * f.step), P * sizeof(real))
    if f.turned:
        rows, wide = wide, rows
    if left:
        split_left(element(f, r, c), f.step, rows, wide, out)
    else:
        split_right(element(f, r, c), f.step, rows, wide, out)
    if f.turned:
        turn_block(out, 3, out)


cdef void float_block(const Product *p, long r, long c) noexcept nogil:
    """A block of the product in float32."""
    cdef real left[P * P]
    cdef real right[P * P]
    cdef real block[P * P]
    cdef long t, i, depth, rows = smaller(P, p.m - r), wide = smaller(P, p.n - c)
    for t in range(panels(p.k)):
        depth = smaller(P, p.k - t * P)
        pack_block(&p.a, r, t * P, rows, depth, left)
        pack_block(&p.b, t * P, c, depth, wide, right)
        tiles_natural(rows, vectors(wide), depth, left, P, P, right, block, t > 0)
    for i in range(rows):
        copy_part(p.out + (r + i) * p.n + c, block + i * P, wide)


cdef void panels_by_blocks(const Product *p, long r0, long r1, long k, long depth, long j0, long j1, const part_t *left,
                           part_t *right) noexcept nogil:
    """Rows r0..r1 of panels j0..j1 of the product: what `depth` terms from k on add."""
    cdef long t, i, j, deep = panels(depth)
    cdef bint finite
    for t in range(deep):
        for j in range(j0, j1):
            split_block(&p.b, k + t * P, j * P, smaller(P, depth - t * P), smaller(P, p.n - j * P), False,
                        right + ((j - j0) * deep + t) * PARTS_BLOCK)
    for t in range(panels(r1 - r0)):
        i = r0 + t * P
        for j in range(j0, j1):
            finite = multiply_blocks(smaller(P, r1 - i), smaller(P, p.n - j * P), False, deep,
                                     left + t * deep * PARTS_BLOCK, right + (j - j0) * deep * PARTS_BLOCK, 1,
                                     p.out + i * p.n + j * P, p.n, k > 0)
            if k + depth == p.k and not finite:
                float_block(p, i, j * P)


cdef void panels_by_tiles(const Product *p, long r0, long r1, long j0, long j1, const real *left, real *right,
                          real *c) noexcept nogil:
    """Rows r0..r1 of panels j0..j1 of the product. Shapes: right (k, P), c (r1 - r0, P).
    Layout: panels; left the stored rows of A in panels if A is turned. Aliasing: none."""
    cdef long t, i, j, q, m = r1 - r0, wide
    for j in range(j0, j1):
        wide = smaller(P, p.n - j * P)
        for t in range(panels(p.k)):
            pack_block(&p.b, t * P, j * P, smaller(P, p.k - t * P), wide, right + t * P * P)
        if p.a.turned:
            for t in range(blocks(p.k, K_BLOCK)):
                for q in range(panels(m)):
                    tiles_transposed(smaller(P, m - q * P), vectors(wide), smaller(K_BLOCK, p.k - t * K_BLOCK),
                                     left + (q * p.k + t * K_BLOCK) * P, right + t * K_BLOCK * P, c + q * P * P, t > 0)
        else:
            rows_product(p.a.data + r0 * p.k, p.k, P, 0, m, right, p.k, vectors(wide), c)
        for i in range(m):
            copy_part(p.out + (r0 + i) * p.n + j * P, c + i * P, wide)


cdef void prepare_left(Product *p, long r0, long r1, long k, long depth, char *out) noexcept nogil:
    """Rows r0..r1 of A and `depth` terms from k on, in parts, or in panels if A is turned. Aliasing: none."""
    cdef long i, t, deep = panels(depth)
    if p.by_blocks:
        for i in range(panels(r1 - r0)):
            for t in range(deep):
                split_block(&p.a, r0 + i * P, k + t * P, smaller(P, r1 - r0 - i * P), smaller(P, depth - t * P), True,
                            <part_t *> out + (i * deep + t) * PARTS_BLOCK)
    elif p.a.turned:
        i = r0 // P
        pack_rows(p.a.data, p.k, p.m, i, i + panels(r1 - r0), <real *> out - i * p.k * P)


cdef void product_task(void *argument, long id, long threads) noexcept nogil:
    """Each thread prepares what it needs of the factors: to fetch it from the cache of another takes longer."""
    cdef Product *p = <Product *> argument
    cdef fp_state old = begin_kernels()
    cdef char *left = p.own + id * p.own_size
    cdef char *right = left + p.left_size
    cdef long s, t, r, k, depth, groups, parts, mine, low, high, j0, j1, r0 = 0, r1 = 0, across = panels(p.n)
    for s in range(blocks(p.m, p.rows)):
        r = s * p.rows
        groups = blocks(smaller(p.rows, p.m - r), p.together)
        parts = smaller(groups, blocks(4 * threads, across))  # of the rows: enough jobs for all
        for t in range(blocks(p.k, p.depth)):
            k = t * p.depth
            depth = smaller(p.depth, p.k - k)
            mine = -1
            if t > 0:
                barrier_wait(&p.barrier, id, threads)  # what comes is added to the sums so far
            next_phase(p.shares, id)
            while take_jobs(p.shares, parts * across, across, 2, id, threads, &low, &high):
                if low // across != mine:
                    mine = low // across
                    r0 = r + share(groups, mine, parts) * p.together
                    r1 = smaller(p.m, r + share(groups, mine + 1, parts) * p.together)
                    prepare_left(p, r0, r1, k, depth, left)
                while low < high:
                    j0 = low % across
                    j1 = smaller(j0 + p.across, j0 + high - low)
                    if p.by_blocks:
                        panels_by_blocks(p, r0, r1, k, depth, j0, j1, <part_t *> left, <part_t *> right)
                    else:
                        panels_by_tiles(p, r0, r1, j0, j1, <real *> left, <real *> right,
                                        <real *> (right + p.right_size))
                    low += j1 - j0
    end_kernels(old)


_spare = []  # the last call's scratch: fresh pages would cost more than a small product

cdef enum:
    ROWS_OF_SUMS = 256  # whose sums stay in the second-level cache


cdef long stretch(long whole, long most, long unit) noexcept nogil:
    """The length of equal stretches, multiples of `unit`, that `whole` is cut into: about `most`."""
    cdef long units = blocks(whole, unit)
    return blocks(units, blocks(units * unit, max(most, unit))) * unit


cdef real *data_of(array) except NULL:
    """Where an array's data lies, without the microsecond that Python would take to tell."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    PyBuffer_Release(&view)  # whoever calls still holds the array
    return <real *> view.buf


def gemm(uintptr_t pool, a, b, out, long m, long k, long n, bint trans_a, bint trans_b, long threads):
    """out (m, n) = op(a) (m, k) op(b) (k, n)."""
    cdef Product p
    cdef size_t size, one = sizeof(real), part = PARTS_BLOCK * sizeof(part_t)
    cdef long most
    memset(&p, 0, sizeof(p))
    p.a, p.b = Factor(data_of(a), m if trans_a else k, trans_a), Factor(data_of(b), k if trans_b else n, trans_b)
    p.out, p.m, p.k, p.n = data_of(out), m, k, n
    if min(m, k, n) == 0:
        memset(p.out, 0, m * n * one)
        return
    if m * k * n <= WORTH_A_THREAD:
        threads = 1
    p.by_blocks = (MATRIX_UNIT and min(m, k, n) >= LEAST_ROWS
                   and 4 * panels(k) * P * panels(n) * P <= 5 * k * n)  # a fourth more for padding is enough
    p.together = P if p.by_blocks or trans_a else ROWS_TOGETHER
    p.depth = stretch(k, L2_BLOCK // (part * min(panels(m), 8)) * P, P) if p.by_blocks else k
    most = L2_BLOCK // (part * panels(p.depth)) * P if p.by_blocks else min(ROWS_OF_SUMS, L2_BLOCK // (k * one))
    p.rows = stretch(m, most, p.together)
    p.across = min(panels(n), max(1, L2_BLOCK // 2 // (part * panels(p.depth))))
    p.right_size = panels(p.depth) * (p.across * part if p.by_blocks else P * P * one)
    p.left_size = panels(p.rows) * (panels(p.depth) * part if p.by_blocks else k * P * one if trans_a else 0)
    p.own_size = p.left_size + p.right_size + p.rows * P * one
    size = threads * (p.own_size + sizeof(share_t)) + 64
    buffer = _spare.pop() if _spare else bytearray()
    if len(buffer) < size:
        buffer = bytearray(size)
    p.own = <char *> ((<uintptr_t> <char *> buffer + 63) & ~<uintptr_t> 63)
    p.shares = <share_t *> (p.own + threads * p.own_size)
    memset(p.shares, 0, threads * sizeof(share_t))
    with nogil:
        (<pool_run_t> pool)(product_task, &p, threads)
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
