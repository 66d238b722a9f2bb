# Penalties on kernels, biases and outputs, and the constraints on kernels. Formulas: kernels/penalties.py.


cdef double penalty_of(const real *w, long rows, long wide, real l1, real l2) noexcept nogil:
    """Shapes: w (rows, wide), wide <= P; its penalty. Layout: rows P apart. Aliasing: nothing is written."""
    cdef double sizes[P]
    cdef double squares[P]
    cdef double total = 0
    cdef long r, c
    memset(sizes, 0, sizeof(sizes))
    memset(squares, 0, sizeof(squares))
    for r in range(rows):
        for c in range(wide):
            sizes[c] += abs_(w[r * P + c])
            squares[c] += <double> w[r * P + c] * w[r * P + c]
    for c in range(wide):
        total += l1 * sizes[c] + l2 * squares[c]
    return total


cdef void sum_penalties(Net *net, long id, long n) noexcept nogil:
    """This thread's share of net.penalty: one number for each panel of each kernel and bias. The weights must not
    change meanwhile."""
    cdef long i, j, wide
    cdef Op *op
    for i in range(net.n_ops):
        op = &net.ops[i]
        if not op.penalized:
            continue
        for j in range(share(panels(op.n_out), id, n), share(panels(op.n_out), id + 1, n)):
            wide = smaller(P, op.n_out - j * P)
            net.penalty[op.first_panel + j] = penalty_of(net.w + op.w + j * op.w_rows * P, op.w_rows, wide,
                                                         op.kernel_l1, op.kernel_l2)
            if op.flat_b >= 0:
                net.penalty[op.first_panel + j] += penalty_of(net.w + op.b + j * P, 1, wide, op.bias_l1, op.bias_l2)


cdef double total_penalty(const Net *net) noexcept nogil:
    """The sum of net.penalty, in order."""
    cdef long i, j
    cdef double total = 0
    for i in range(net.n_ops):
        if net.ops[i].penalized:
            for j in range(panels(net.ops[i].n_out)):
                total += net.penalty[net.ops[i].first_panel + j]
    return total


cdef void add_slope(const real *w, real l1, real l2, real *g, long n) noexcept nogil:
    """Shapes: w, g (n,): the derivative of the penalty on w is added to g. Layout: contiguous. Aliasing: none."""
    cdef long i
    cdef real twice = 2 * l2
    for i in range(n):
        g[i] += twice * w[i] + (l1 if w[i] > 0 else (-l1 if w[i] < 0 else 0))


cdef real activity_of(const Net *net, long b) noexcept nogil:
    """The penalties on the outputs of every operation, for row b of the batch."""
    cdef real sums[P]
    cdef real total = 0, y
    cdef long i, j, c
    cdef const Op *op
    for i in range(net.n_ops):
        op = &net.ops[i]
        if op.activity_l1 == 0 and op.activity_l2 == 0:
            continue
        memset(sums, 0, sizeof(sums))
        for j in range(panels(op.n_out)):
            for c in range(smaller(P, op.n_out - j * P)):
                y = op.y[(j * op.ld + b) * P + c]
                sums[c] += op.activity_l1 * abs_(y) + op.activity_l2 * y * y
        total += fold(sums, P)
    return total


cdef void bound_norms(real *w, long rows, real low, real high) noexcept nogil:
    """Shapes: w (rows, P); the norm of every column is cut to [low, high]. Layout: a panel. Aliasing: none."""
    cdef real sums[P]
    cdef real norm
    cdef long r, c
    memset(sums, 0, sizeof(sums))
    for r in range(rows):
        for c in range(P):
            sums[c] += w[r * P + c] * w[r * P + c]
    for c in range(P):
        norm = sqrt_(sums[c])
        sums[c] = (high if norm > high else low if norm < low else norm) / (<real> 1e-7 + norm)
    for r in range(rows):
        for c in range(P):
            w[r * P + c] *= sums[c]


cdef void constrain(Net *net, long id, long n) noexcept nogil:
    """Hold the kernels to their constraints; this thread's share of the panels."""
    cdef long i, j, r
    cdef real *w
    cdef Op *op
    for i in range(net.n_ops):
        op = &net.ops[i]
        if op.max_norm == 0 and not op.non_negative:
            continue
        for j in range(share(panels(op.n_out), id, n), share(panels(op.n_out), id + 1, n)):
            w = net.w + op.w + j * op.n_in * P
            if op.max_norm > 0:
                bound_norms(w, op.n_in, op.min_norm, op.max_norm)
            if op.non_negative:
                for r in range(op.n_in * P):
                    w[r] = 0 if w[r] < 0 else w[r]
