# The update from a whole gradient, for what has to know its norms first: by all threads, or by a caller that has one.

cdef double squares(const real *g, long n) noexcept nogil:
    """Shapes: g (n,); the sum of its squares. Layout: contiguous. Aliasing: nothing is written."""
    cdef double sums[8]
    cdef double total = 0
    cdef long i, c, whole = n - n % 8
    memset(sums, 0, sizeof(sums))
    i = 0
    while i < whole:
        for c in range(8):
            sums[c] += <double> g[i + c] * g[i + c]
        i += 8
    for i in range(whole, n):
        total += <double> g[i] * g[i]
    for c in range(8):
        total += sums[c]
    return total


cdef long square_sums(Net *net, const real *g, long size, long part, long id, long n) noexcept nogil:
    """This thread's share of the partial sums of one variable, from number `part` on; returns the number after them.
    With g NULL only this is done."""
    cdef long k, count = blocks(size, NORM_BLOCK)
    if g != NULL:
        for k in range(share(count, id, n), share(count, id + 1, n)):
            net.squares[part + k] = squares(g + k * NORM_BLOCK, smaller(NORM_BLOCK, size - k * NORM_BLOCK))
    return part + count


cdef inline long own_kernel(const Op *op) noexcept nogil:
    """How many parameters the kernel has that are not another's."""
    return op.w_rows * op.n_out if op.source < 0 else 0


cdef inline long own_bias(const Op *op) noexcept nogil:
    """How many numbers the bias has."""
    return op.n_out if op.flat_b >= 0 else 0


cdef double clip_factor(const Net *net, long part, long end, double limit) noexcept nogil:
    """See kernels/penalties.py; for the norm whose partial sums are those from `part` to `end`."""
    cdef double norm = 0
    cdef long k
    for k in range(part, end):
        norm += net.squares[k]
    norm = sqrt(norm)
    return 1 if norm <= limit else limit / norm + (norm - norm)


cdef void scaled_update(Net *net, const Update *update, const real *g, long wide, real factor, long at,
                        double decay) noexcept nogil:
    """Shapes: g (wide,), wide <= P: a row of a kernel's panel, or of a bias, that begins at `at`. Aliasing: none."""
    cdef real block[P]
    cdef long c
    memset(block, 0, sizeof(block))
    for c in range(wide):
        block[c] = g[c] * factor
    apply_update(net, update, at, block, 1, decay)


cdef void update_from(Net *net, const Update *update, const real *gradient, long id, long n) noexcept nogil:
    """Shapes: gradient (n_params,). One step from it, this thread's share. Layout: that of the plan. Aliasing: none."""
    cdef long i, j, k, wide, part = 0, middle, end
    cdef real of_w = 1, of_b = 1
    cdef Op *op
    if net.clip_norm > 0:
        for i in range(net.n_ops):
            op = &net.ops[i]
            part = square_sums(net, gradient + op.flat_w, own_kernel(op), part, id, n)
            part = square_sums(net, gradient + op.flat_b, own_bias(op), part, id, n)
        barrier_wait(&net.barrier, id, n)
        if net.clip_global:
            of_w = of_b = <real> clip_factor(net, 0, part, net.clip_norm)
        part = 0
    for i in range(net.n_ops):
        op = &net.ops[i]
        if net.clip_norm > 0 and not net.clip_global:
            middle = square_sums(net, NULL, own_kernel(op), part, id, n)
            end = square_sums(net, NULL, own_bias(op), middle, id, n)
            of_w = <real> clip_factor(net, part, middle, net.clip_norm)
            of_b = <real> clip_factor(net, middle, end, net.clip_norm)
            part = end
        for j in range(share(panels(op.n_out), id, n), share(panels(op.n_out), id + 1, n)):
            wide = smaller(P, op.n_out - j * P)
            for k in range(op.w_rows if op.source < 0 else 0):
                scaled_update(net, update, gradient + op.flat_w + k * op.n_out + j * P, wide, of_w,
                              op.w + (j * op.w_rows + k) * P, op.kernel_decay)
            if op.flat_b >= 0:
                scaled_update(net, update, gradient + op.flat_b + j * P, wide, of_b, op.b + j * P, op.bias_decay)
