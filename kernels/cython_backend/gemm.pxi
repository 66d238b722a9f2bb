# The three products of a dense layer, one loop nest each around the register tile, in the order of BLIS: a block of the
# left factor that stays in the second-level cache, a panel of the right factor, a block of the summed index that keeps
# that panel's part in the first-level cache, the tiles of rows.
#
#   forward          Z   = X W        tile of (batch rows x outputs), left factor X natural
#   input gradient   dX' = W dZ'      tile of (inputs x batch rows), left factor W natural
#   weight gradient  dW  = X' dZ      tile of (inputs x outputs),    left factor X transposed
#
# All three read packed panels as they lie. Threads share tiles out; the summed index is never split between them, so
# the results do not depend on their number. Where `by_rows`, a thread takes some rows of the batch through all columns,
# and the input gradient is the simpler dX = dZ W': each thread turns W for itself, for to fetch from the cache of another
# what that has turned takes longer. With one output as well, the other two products are those of single.h.

cdef enum:
    K_BLOCK = 4 * P   # rows of a right panel kept in the first-level cache: 4 * P * P * 4 bytes are 16 KB with AVX-512
    L2_BLOCK = 1 << 20  # bytes of the left factor that stay in the second-level cache
    FEW = 4           # rows of a batch that plain gradient descent adds to W one by one
    M_BLOCK = 2 * P   # rows of a batch summed at a time in the weight gradient: a panel of X and one of dZ, 16 KB


cdef void forward_product(Net *net, Op *op, const real *x, long step, long jump, long m, bint training, long id,
                          long n) noexcept nogil:
    """Shapes: x (m, n_in), W (n_in, n_out), y (m, n_out), this thread's share. What follows the product, up to the loss
    where that is possible, is done to `rows_together` rows at a time, while they are in the first-level cache.
    Layout: panels; rows of x are `step` apart, its panels `jump`, so that x can be a plain matrix as well.
    Aliasing: none; y holds the partial sums."""
    cdef long height = max(1, L2_BLOCK // (op.n_in * <long> sizeof(real) * net.rows_together)) * net.rows_together
    cdef long part, r, j, block, k, i, first, end, depth, low, high, groups, rows
    cdef const real *w
    cdef real *y
    for part in range(blocks(m, height)):
        r = part * height
        groups = blocks(smaller(height, m - r), net.rows_together)
        next_phase(net.shares, id)
        while take_jobs(net.shares, panels(op.n_out) * groups, groups, 2, id, n, &low, &high):
            j = low // groups
            first = r + low % groups * net.rows_together
            end = smaller(first + (high - low) * net.rows_together, m)
            w = net.w + op.w + j * op.n_in * P
            y = op.y + j * op.ld * P
            for block in range(blocks(op.n_in, K_BLOCK)):
                k = block * K_BLOCK
                depth = smaller(K_BLOCK, op.n_in - k)
                i = first
                while i < end:
                    rows = smaller(net.rows_together, end - i)
                    tiles_natural(rows, vectors(op.n_out - j * P), depth, x + k // P * jump + i * step, step, jump,
                                  w + k * P, y + i * P, k > 0)
                    if k + depth == op.n_in:
                        finish_forward(net, op, j, i, i + rows, training)
                        if training and net.loss_in_columns and op == &net.ops[net.n_ops - 1]:
                            loss_panel(net, op, j, i, i + rows, m, id)
                    i += rows


cdef void rows_product(const real *a, long step, long jump, long r0, long r1, const real *b, long kc, int nv,
                       real *c) noexcept nogil:
    """Shapes: a (m, kc), b (kc, P), c (m, P): rows r0..r1 of c = a b, of which nv vectors count.
    Layout: b, c panels; rows of a are `step` apart, its panels `jump`.
    Aliasing: none; c holds the partial sums."""
    cdef long block, k
    for block in range(blocks(kc, K_BLOCK)):
        k = block * K_BLOCK
        tiles_natural(r1 - r0, nv, smaller(K_BLOCK, kc - k), a + k // P * jump + r0 * step, step, jump, b + k * P,
                      c + r0 * P, k > 0)


cdef void forward_rows(Net *net, Op *op, const real *x, long step, long jump, bint training, long r0, long r1,
                       long id) noexcept nogil:
    """forward_product for rows r0..r1 and every column. Shapes, layout, aliasing: as there."""
    cdef real *w = net.w_turned + id * net.w_turned_size
    cdef long j
    if op.single:
        gather_column(net.w + op.w, op.n_in, w)
        dot_rows(x + r0 * step, step, jump, r1 - r0, op.n_in, w, op.y + r0 * P)
        finish_forward(net, op, 0, r0, r1, training)
        return
    for j in range(panels(op.n_out)):
        rows_product(x, step, jump, r0, r1, net.w + op.w + j * op.n_in * P, op.n_in, vectors(op.n_out - j * P),
                     op.y + j * op.ld * P)
        finish_forward(net, op, j, r0, r1, training)


cdef void input_gradient_rows(Net *net, const Op *op, Op *below, long r0, long r1, long id) noexcept nogil:
    """Shapes: dZ (m, n_out), W' (n_out, n_in), dX (m, n_in): rows r0..r1 of dX = dZ W', which become below's dZ.
    Layout: panels.
    Aliasing: none."""
    cdef real *turned = net.w_turned + id * net.w_turned_size
    cdef long q, j
    for q in range(panels(op.n_in) if r0 < r1 else 0):
        for j in range(panels(op.n_out)):
            transpose_block(net.w + op.w, op.n_in, op.n_out, j, q, turned + j * P * P)
        rows_product(op.dz, P, op.ld * P, r0, r1, turned, op.n_out, vectors(op.n_in - q * P),
                     below.dz + q * op.ld * P)
        if below.activation != SOFTMAX:
            finish_backward(below, q, r0, r1)


cdef void input_gradient(Net *net, Op *op, Op *below, long m, long id, long n) noexcept nogil:
    """Shapes: W (n_in, n_out), dZ' (n_out, m), dX' (n_in, m), this thread's share; then dX becomes below's dZ.
    Layout: panels; dX' in the place of below's dZ' where it has one.
    Aliasing: none; dX' holds the partial sums."""
    cdef long one = sizeof(real)
    cdef real *dxt = below.dzt if below.dzt != NULL else net.dxt
    cdef real *c
    cdef const real *b
    cdef long down = panels(op.n_in), across = panels(m), height = max(1, L2_BLOCK // (op.n_out * P * one))
    cdef long low, high, p, q, q0, q1, block, k, r0, r1
    next_phase(net.shares, id)
    while take_jobs(net.shares, down * across, height * across, across, id, n, &low, &high):
        for p in range(across):
            # Job q * across + p is block q of panel p, so that one run of jobs needs one stretch of W.
            q0 = blocks(max(low - p, 0), across)
            q1 = blocks(max(high - p, 0), across)
            b = op.dzt + p * panels(op.n_out) * P * P
            c = dxt + p * down * P * P
            for block in range(blocks(op.n_out, K_BLOCK)):
                k = block * K_BLOCK
                for q in range(q0, q1):
                    tiles_natural(smaller(P, op.n_in - q * P), vectors(m - p * P), smaller(K_BLOCK, op.n_out - k),
                                  net.w + op.w + k * op.n_in + q * P * P, P, op.n_in * P, b + k * P, c + q * P * P,
                                  k > 0)
            r0 = p * P
            r1 = smaller(r0 + P, m)
            for q in range(q0, q1):
                transpose_columns(dxt, op.ld, op.n_in, q, r0, r1, below.dz)
                if below.activation != SOFTMAX:
                    finish_backward(below, q, r0, r1)


cdef inline bint adds_rows(const Net *net, const Op *op, long m) noexcept nogil:
    """Whether plain gradient descent adds the rows of a batch of m to an operation's W one by one."""
    return (net.optimizer == SGD and m <= FEW and net.clip_value == 0 and not op.penalized and op.kernel_decay == 0
            and not op.thin and not op.by_slabs)


cdef inline void scale_rows(const Op *op, const Update *update, long j, long m, real *out) noexcept nogil:
    """Shapes: out (m, P): what panel j of dZ adds. Layout: contiguous. Aliasing: none."""
    cdef const real *dz = op.dz + j * op.ld * P
    cdef long i
    for i in range(m * P):
        out[i] = -update.rate * dz[i]


cdef void use_bias_gradient(Net *net, const Op *op, long j, long m, const Update *update, real *gradient,
                            long n) noexcept nogil:
    """Panel j of db, the sums of dZ (m, n_out), is used as the blocks of dW are. Layout: panels. Aliasing: none."""
    cdef real sums[P]
    if op.by_slabs:
        add_slabs(net, op, NULL, 0, j, True, m, n, sums)
    else:
        sum_rows(op.dz + j * op.ld * P, m, sums)
    use_gradient(net, op.b + j * P, sums, 1, op.bias_l1, op.bias_l2, op.bias_decay, update, gradient,
                 op.flat_b + j * P, 0, smaller(P, op.n_out - j * P))


cdef void weight_gradient(Net *net, Op *op, const real *x, long m, const Update *update, real *gradient, long id,
                          long n) noexcept nogil:
    """Shapes: x (m, n_in), dZ (m, n_out), dW (n_in, n_out), db (n_out,), this thread's share. Each block of dW is
    used while it is still in the first-level cache: to update W, or written to the flat `gradient` if that is given.
    Layout: panels; gradient as the plan has it.
    Aliasing: none."""
    cdef real block[P * P]
    cdef real scaled[FEW * P]
    cdef bint direct = gradient == NULL and adds_rows(net, op, m)
    cdef long down = panels(op.n_in), height = max(1, L2_BLOCK // (m * P * <long> sizeof(real)))
    cdef long chunk, start, deep, low, high, j, q, part, k, rows, wide, split = -1
    cdef const real *dz
    cdef const part_t *right = NULL
    cdef real *of_w = net.tied_gradient if gradient != NULL and op.source >= 0 else gradient
    for chunk in range(blocks(down, height)):
        start = chunk * height
        deep = smaller(height, down - start)
        next_phase(net.shares, id)
        low = high = 0
        while low < high or take_jobs(net.shares, panels(op.n_out) * deep, deep, 1, id, n, &low, &high):
            j = low // deep
            q = start + low % deep
            low += 1
            rows = smaller(P, op.n_in - q * P)
            wide = smaller(P, op.n_out - j * P)
            dz = op.dz + j * op.ld * P
            if direct:
                # W += X' (-rate dZ): no block of dW, and few enough terms that W loses no digits.
                scale_rows(op, update, j, m, scaled)
                tiles_transposed(rows, vectors(wide), m, x + q * op.ld * P, scaled,
                                 net.w + op.w + (j * op.n_in + q * P) * P, True)
            else:
                if op.by_slabs:
                    add_slabs(net, op, x, q, j, False, m, n, block)
                elif op.by_blocks:
                    if op.dz_parts != NULL:
                        right = op.dz_parts + j * op.row_blocks * PARTS_BLOCK
                    elif split != j:
                        split = j
                        right = own_gradients(net, op, j, m, id)
                    weight_block(net, op, x, right, q, j, m, id, block)
                else:
                    for part in range(blocks(m, M_BLOCK)):
                        k = part * M_BLOCK
                        tiles_transposed(rows, vectors(wide), smaller(M_BLOCK, m - k), x + (q * op.ld + k) * P,
                                         dz + k * P, block, k > 0)
                use_gradient(net, op.w + (j * op.n_in + q * P) * P, block, rows, op.kernel_l1, op.kernel_l2,
                             op.kernel_decay, update, of_w, op.flat_w + q * P * op.n_out + j * P, op.n_out, wide)
            if q == 0 and op.flat_b >= 0:
                use_bias_gradient(net, op, j, m, update, gradient, n)


cdef void sum_rows(const real *dz, long m, real *out) noexcept nogil:
    """Shapes: dz (m, P), out (P,): the sum of the rows, in order. Aliasing: none."""
    cdef long b, c
    cdef real total[P]
    for c in range(P):
        total[c] = 0
    for b in range(m):
        for c in range(P):
            total[c] += dz[b * P + c]
    memcpy(out, total, sizeof(total))
