# Doors to the code that a step runs, for tests and benchmarks. Each packs its arguments, calls, and unpacks.

from cpython.buffer cimport Py_buffer, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer


cdef void pack_rows(const real *a, long rows, long width, long j0, long j1, real *out) noexcept nogil:
    """Shapes: a (rows, width) row-major; out [width / P][rows][P], panels j0..j1. Aliasing: none."""
    cdef long block, r, j
    for block in range(blocks(rows, ROWS_OF_PAGES)):
        for j in range(j0, j1):
            for r in range(block * ROWS_OF_PAGES, smaller(rows, (block + 1) * ROWS_OF_PAGES)):
                copy_part(out + (j * rows + r) * P, a + r * width + j * P, width - j * P)


cdef struct Factor:
    const real *data
    long width    # of the matrix as it is stored
    bint turned   # whether it is the transpose of what is stored
    const real *end


cdef Factor factor(const real *data, long rows, long columns, bint turned):
    """A factor of `rows` and `columns`. Layout: stored row by row, or the transpose of what is."""
    cdef Factor f
    f.data, f.width, f.turned = data, rows if turned else columns, turned
    f.end = f.data + rows * columns
    return f


cdef void pack_part(const Factor *f, long r, long c, long rows, long wide, real *out) noexcept nogil:
    """Shapes: out (rows, P): rows r.. and columns c.. of a factor, of which `wide` count, at most P; `rows` any number.
    Aliasing: none."""
    cdef const real *a = f.data + (c * f.width + r if f.turned else r * f.width + c)
    cdef const real *square
    cdef long i, s, t, keep, deep
    if not f.turned:
        for i in range(rows):
            fetch(<const char *> (a + P), P * sizeof(real))  # of the next panel: each row may be on another page
            # A row that is too short goes on with the next one: that is quicker than to stop, and does not matter.
            copy_part(out + i * P, a, P if a + P <= f.end else wide)
            a += f.width
        return
    for t in range(blocks(rows, LANES)):
        keep = smaller(LANES, rows - t * LANES)
        for s in range(blocks(wide, LANES)):
            deep = smaller(LANES, wide - s * LANES)
            square = a + s * LANES * f.width + t * LANES
            if square + (deep - 1) * f.width + LANES <= f.end:
                transpose_square(square, f.width, deep, P, out + t * LANES * P + s * LANES, keep)
            else:
                for i in range(keep * deep):
                    out[(t * LANES + i // deep) * P + s * LANES + i % deep] = square[i % deep * f.width + i // deep]


cdef struct Product:
    Factor a
    Factor b
    real *out
    long m
    long k
    long n
    bint by_blocks
    long together     # rows that are never cut between threads
    long rows         # of a stretch: of A that stays in the second-level cache
    long depth        # and of the summed index
    long across       # panels of B beside it
    char *own         # scratch of every thread: left factor, right factor, sums
    size_t own_size
    size_t left_size
    size_t right_size
    share_t *shares
    barrier_t barrier


cdef void float_block(const Product *p, long r, long c) noexcept nogil:
    """A block of the product in float32."""
    cdef real left[P * P]
    cdef real right[P * P]
    cdef real block[P * P]
    cdef long part, k, t, i, depth, rows = smaller(P, p.m - r), wide = smaller(P, p.n - c)
    for part in range(panels(p.k)):
        k = part * P
        depth = smaller(P, p.k - k)
        pack_part(&p.a, r, k, rows, depth, left)
        pack_part(&p.b, k, c, depth, wide, right)
        for t in range(blocks(rows, MR)):
            i = t * MR
            tile_natural(smaller(MR, rows - i), vectors(wide), depth, left + i * P, P, P, right, block + i * P, k > 0)
    for i in range(rows):
        copy_part(p.out + (r + i) * p.n + c, block + i * P, wide)


cdef void split_factor(const Factor *f, long r, long c, long rows, long wide, bint left, part_t *out) noexcept nogil:
    """A block of a factor, rows x wide, into a block of parts of a left or a right factor. Aliasing: none."""
    cdef real turned[P * P]
    cdef const real *block = f.data + r * f.width + c
    cdef long step = f.width
    if f.turned:
        pack_part(f, r, c, rows, wide, turned)
        block, step = turned, P
    if left:
        split_left(block, step, rows, wide, out)
    else:
        split_right(block, step, rows, wide, out)


cdef void fetch_block(const Factor *f, long r, long c) noexcept nogil:
    """Asks for a block of a factor: the hardware foresees none whose rows are on pages of their own."""
    cdef const real *a = f.data + (c * f.width + r if f.turned else r * f.width + c)
    cdef long i
    for i in range(P):
        fetch(<const char *> (a + i * f.width), P * sizeof(real))


cdef void panels_by_blocks(Product *p, long r0, long r1, long k, long depth, long j0, long j1, const part_t *left,
                           part_t *right) noexcept nogil:
    """The part of rows r0..r1 and panels j0..j1 of the product that `depth` terms from k on make."""
    cdef real c[2][P * P]
    cdef bint finite
    cdef long t, i, j, q, deep = panels(depth), wide = j1 - j0, last = panels(r1 - r0) * wide
    for t in range(deep):
        for j in range(wide):
            fetch_block(&p.b, k + (t + 1) * P, (j0 + j) * P)
            split_factor(&p.b, k + t * P, (j0 + j) * P, smaller(P, depth - t * P), smaller(P, p.n - (j0 + j) * P),
                         False, right + (j * deep + t) * PARTS_BLOCK)
    for q in range(last + 1):
        if q < last:
            i = q // wide
            j = q % wide
            sum_blocks(r1 - r0 - i * P, p.n - (j0 + j) * P, False, deep, left + i * deep * PARTS_BLOCK,
                       right + j * deep * PARTS_BLOCK, c[q % 2])
        if q > 0:  # one late: what has just been written would have to be waited for
            i = r0 + (q - 1) // wide * P
            j = (j0 + (q - 1) % wide) * P
            finite = write_block(c[(q - 1) % 2], smaller(P, r1 - i), p.n - j, 1, p.out + i * p.n + j, p.n, k > 0)
            if k + depth == p.k and not finite:
                float_block(p, i, j)


cdef void panels_by_tiles(Product *p, long r0, long r1, long j0, long j1, const real *left, real *right,
                          real *c) noexcept nogil:
    """Rows r0..r1 and panels j0..j1 of the product.
    Layout: left (k, r1 - r0) in panels if A is turned, right panels of K_BLOCK rows, c panels. Aliasing: none."""
    cdef long t, k, i, j, depth, rows, m = r1 - r0
    for t in range(blocks(p.k, K_BLOCK)):
        k = t * K_BLOCK
        depth = smaller(K_BLOCK, p.k - k)
        for j in range(j0, j1):
            pack_part(&p.b, k, j * P, depth, smaller(P, p.n - j * P), right + (j - j0) * K_BLOCK * P)
        for j in range(j0, j1):
            i = 0
            while i < m:
                if p.a.turned:
                    rows = smaller(MR, smaller(m - i, P - i % P))
                    tile_transposed(rows, vectors(p.n - j * P), depth, left + (i // P * p.k + k) * P + i % P,
                                    right + (j - j0) * K_BLOCK * P, c + ((j - j0) * m + i) * P, k > 0)
                else:
                    rows = smaller(MR, m - i)
                    tile_natural(rows, vectors(p.n - j * P), depth, p.a.data + (r0 + i) * p.k + k, p.k, P,
                                 right + (j - j0) * K_BLOCK * P, c + ((j - j0) * m + i) * P, k > 0)
                i += rows
    for i in range(m):
        for j in range(j0, j1):
            copy_part(p.out + (r0 + i) * p.n + j * P, c + ((j - j0) * m + i) * P, p.n - j * P)


cdef void prepare_left(Product *p, long r0, long r1, long k, long depth, char *out) noexcept nogil:
    """Rows r0..r1 of A and `depth` terms from k on, in parts, or in panels if A is turned. Aliasing: none."""
    cdef long i, q, rows = r1 - r0
    if p.by_blocks:
        for i in range(panels(rows)):
            for q in range(panels(depth)):
                fetch_block(&p.a, r0 + i * P, k + (q + 1) * P)
                split_factor(&p.a, r0 + i * P, k + q * P, smaller(P, rows - i * P), smaller(P, depth - q * P), True,
                             <part_t *> out + (i * panels(depth) + q) * PARTS_BLOCK)
    elif p.a.turned:
        i = r0 // P
        pack_rows(p.a.data, p.k, p.m, i, i + panels(rows), <real *> out - i * p.k * P)


cdef void product_task(void *argument, long id, long threads) noexcept nogil:
    """Each thread prepares what it needs of the factors: to fetch it from the cache of another takes longer."""
    cdef Product *p = <Product *> argument
    cdef fp_state old = begin_kernels()
    cdef char *left = p.own + id * p.own_size
    cdef char *right = left + p.left_size
    cdef long s, t, r, k, depth, groups, parts, part, mine, r0 = 0, r1 = 0, low, high, j0, j1, across = panels(p.n)
    for s in range(blocks(p.m, p.rows)):
        r = s * p.rows
        groups = blocks(smaller(p.rows, p.m - r), p.together)
        parts = smaller(groups, blocks(4 * threads, across))  # of the rows: enough jobs for all
        for t in range(blocks(p.k, p.depth)):
            k = t * p.depth
            depth = smaller(p.depth, p.k - k)
            mine = -1
            if t > 0:
                barrier_wait(&p.barrier, threads)  # what comes is added to the sums so far
            next_phase(p.shares, id)
            while take_jobs(p.shares, across * parts, across, 2, id, threads, &low, &high):
                part = low // across
                if part != mine:
                    mine = part
                    r0 = r + groups * part // parts * p.together
                    r1 = smaller(p.m, r + groups * (part + 1) // parts * p.together)
                    prepare_left(p, r0, r1, k, depth, left)
                while low < high:
                    j0 = low - part * across
                    j1 = smaller(j0 + p.across, high - part * across)
                    if p.by_blocks:
                        panels_by_blocks(p, r0, r1, k, depth, j0, j1, <part_t *> left, <part_t *> right)
                    else:
                        panels_by_tiles(p, r0, r1, j0, j1, <real *> left, <real *> right,
                                        <real *> (right + p.right_size))
                    low += j1 - j0
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

cdef enum:
    ROWS_OF_SUMS = 256  # whose sums stay in the second-level cache
    PANELS_OF_SUMS = 4


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
    cdef char *base = NULL
    cdef size_t used, one = sizeof(real), part = PARTS_BLOCK * sizeof(part_t)
    cdef Buffer buffer = None
    memset(&p, 0, sizeof(p))
    p.a, p.b, p.out = factor(data_of(a), m, k, trans_a), factor(data_of(b), k, n, trans_b), data_of(out)
    p.m, p.k, p.n = m, k, n
    if min(m, k, n) == 0:
        memset(p.out, 0, m * n * one)
        return
    p.by_blocks = (MATRIX_UNIT and min(m, k, n) >= LEAST_ROWS
                   and 4 * panels(k) * P * panels(n) * P <= 5 * k * n)  # a fourth more for padding is enough
    p.together = P if p.by_blocks or trans_a else ROWS_TOGETHER
    p.depth = stretch(k, L2_BLOCK // (part * min(panels(m), 8)) * P, P) if p.by_blocks else k
    if p.by_blocks:  # eight or more blocks of rows for each of B that is split
        p.rows = stretch(m, L2_BLOCK // (part * panels(p.depth)) * P, P)
        p.across = min(panels(n), max(1, L2_BLOCK // 2 // (part * panels(p.depth))))
        p.left_size = panels(p.rows) * panels(p.depth) * part
        p.right_size = p.across * panels(p.depth) * part
        p.own_size = p.left_size + p.right_size
    else:
        p.rows = stretch(m, min(ROWS_OF_SUMS, L2_BLOCK // (k * one)), p.together)
        p.across = min(panels(n), PANELS_OF_SUMS)
        p.left_size = panels(p.rows) * k * P * one if trans_a else 0
        p.right_size = p.across * K_BLOCK * P * one
        p.own_size = p.left_size + p.right_size + p.across * p.rows * P * one
    while True:
        used = 0
        p.own = <char *> carve(&used, base, threads * p.own_size)
        p.shares = <share_t *> carve(&used, base, threads * sizeof(share_t))
        if base != NULL:
            break
        try:
            buffer = _spare.pop()
        except IndexError:
            pass
        if buffer is None or buffer.size < used:
            buffer = Buffer(used)
        base = buffer.memory
    memset(p.shares, 0, threads * sizeof(share_t))
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
