# Normalisation layers. Over the batch every thread takes some panels, through all rows, for each column has sums of its
# own; over the layer, and over the batch in inference, it takes its rows. Formulas: kernels/normalization.py.


cdef inline bint is_norm(const Op *op) noexcept nogil:
    return op.code == BATCH_NORM or op.code == LAYER_NORM


cdef void column_factors(const real *variance, real epsilon, real *factor) noexcept nogil:
    """Shapes: variance, factor (P,): one over the standard deviation. Aliasing: none."""
    cdef long c
    for c in range(P):
        factor[c] = 1 / sqrt_(variance[c] + epsilon)


cdef void scale_panel(const Net *net, Op *op, const real *x, long j, const real *mean, const real *variance, long r0,
                      long r1) noexcept nogil:
    """Rows r0..r1 of panel j of op.y: gamma times the normalised x plus beta.
    Shapes: x (m, n_out), mean and variance (P,). Layout: panels of op.ld rows. Aliasing: none."""
    cdef real factor[P]
    cdef const real *gamma = net.w + op.w + j * P
    cdef long c, at = (j * op.ld + r0) * P
    column_factors(variance, op.epsilon, factor)
    for c in range(P):
        factor[c] *= gamma[c]
    scale_columns(x + at, r1 - r0, mean, factor, net.w + op.b + j * P, op.y + at)


cdef void normalize_columns(Net *net, Op *op, const real *x, long m, long id, long n) noexcept nogil:
    """A batch normalisation in training, this thread's share of the panels; its statistics stay in op.statistics.
    Shapes: x, y (m, n_out). Layout: panels. Aliasing: none."""
    cdef long j
    cdef real *mean
    for j in range(share(panels(op.n_out), id, n), share(panels(op.n_out), id + 1, n)):
        mean = op.statistics + j * P
        column_moments(x + j * op.ld * P, m, mean, mean + op.moving_jump)
        scale_panel(net, op, x, j, mean, mean + op.moving_jump, 0, m)
        finish_forward(net, op, j, 0, m, True)


cdef void normalize_rows(Net *net, Op *op, const real *x, bint training, long r0, long r1) noexcept nogil:
    """Rows r0..r1 of a layer normalisation, or of a batch normalisation in inference.
    Shapes: x, y (m, n_out). Layout: panels. Aliasing: none."""
    cdef long j, b
    cdef real *mean
    if op.code == LAYER_NORM:
        for b in range(r0, r1):
            mean = op.statistics + b
            row_moments(x + b * P, op.ld * P, op.n_out, op.epsilon, mean, mean + op.ld)
            scale_row(x + b * P, op.ld * P, op.n_out, mean[0], mean[op.ld], net.w + op.w, net.w + op.b, op.y + b * P)
    for j in range(panels(op.n_out)):
        if op.code == BATCH_NORM:
            mean = net.w + op.moving + j * P
            scale_panel(net, op, x, j, mean, mean + op.moving_jump, r0, r1)
        finish_forward(net, op, j, r0, r1, training)


cdef void column_gradients(Net *net, Op *op, Op *below, const real *x, long m, long id, long n) noexcept nogil:
    """From dZ of a batch normalisation to dZ of the operation below, if there is one, and the gradients of gamma and
    beta, which stay beside the statistics; this thread's share of the panels.
    Shapes: x, dZ (m, n_out). Layout: panels. Aliasing: none."""
    cdef double products[P]
    cdef double sums[P]
    cdef real shift[P]
    cdef real slope[P]
    cdef real factor[P]
    cdef long j, c, at
    cdef real *mean
    cdef const real *gamma
    for j in range(share(panels(op.n_out), id, n), share(panels(op.n_out), id + 1, n)):
        mean = op.statistics + j * P
        gamma = net.w + op.w + j * P
        at = j * op.ld * P
        column_factors(mean + op.moving_jump, op.epsilon, factor)
        column_slopes(op.dz + at, x + at, m, mean, products, sums)
        for c in range(P):
            mean[2 * op.moving_jump + c] = <real> (products[c] * factor[c])
            mean[3 * op.moving_jump + c] = <real> sums[c]
            shift[c] = <real> (sums[c] / m)
            slope[c] = <real> (products[c] * factor[c] * factor[c] / m)
            factor[c] *= gamma[c]
        if below != NULL:
            column_gradient(op.dz + at, x + at, m, mean, shift, slope, factor, below.dz + at)
            if below.activation != SOFTMAX:
                finish_backward(below, j, 0, m)


cdef void row_gradients(Net *net, const Op *op, Op *below, const real *x, long r0, long r1) noexcept nogil:
    """From rows r0..r1 of dZ of a layer normalisation to those of dZ of the operation below.
    Shapes: x, dZ (m, n_out). Layout: panels. Aliasing: none."""
    cdef long b, j
    for b in range(r0, r1):
        row_gradient(op.dz + b * P, x + b * P, op.ld * P, op.n_out, op.statistics[b], op.statistics[op.ld + b],
                     net.w + op.w, below.dz + b * P)
    if below.activation != SOFTMAX:
        for j in range(panels(op.n_out)):
            finish_backward(below, j, r0, r1)


cdef void norm_gradient(Net *net, Op *op, const real *x, long m, const Update *update, real *gradient, long id,
                        long n) noexcept nogil:
    """What weight_gradient does, for gamma and beta; in training the moving statistics advance.
    Shapes: x, dZ (m, n_out), gamma, beta (n_out,). Layout, aliasing: as there."""
    cdef double products[P]
    cdef double sums[P]
    cdef real of_gamma[P]
    cdef real of_beta[P]
    cdef real *moving
    cdef const real *found
    cdef long j, c, i, wide
    for j in range(share(panels(op.n_out), id, n), share(panels(op.n_out), id + 1, n)):
        wide = smaller(P, op.n_out - j * P)
        if op.code == BATCH_NORM:
            found = op.statistics + j * P
            memcpy(of_gamma, found + 2 * op.moving_jump, sizeof(of_gamma))
            memcpy(of_beta, found + 3 * op.moving_jump, sizeof(of_beta))
            moving = net.w + op.moving + j * P
            for i in range(2):
                if update != NULL:
                    for c in range(P):
                        moving[i * op.moving_jump + c] = (moving[i * op.moving_jump + c] * op.momentum
                                                          + found[i * op.moving_jump + c] * op.renewal)
                if gradient != NULL:
                    memset(gradient + op.flat_moving + i * op.n_out + j * P, 0, wide * sizeof(real))
        else:
            row_slopes(op.dz + j * op.ld * P, x + j * op.ld * P, m, op.statistics, op.statistics + op.ld, products, sums)
            for c in range(P):
                of_gamma[c] = <real> products[c]
                of_beta[c] = <real> sums[c]
        if op.flat_w >= 0:
            use_gradient(net, op.w + j * P, of_gamma, 1, op.kernel_l1, op.kernel_l2, op.kernel_decay, update, gradient,
                         op.flat_w + j * P, 0, wide)
        if op.flat_b >= 0:
            use_gradient(net, op.b + j * P, of_beta, 1, op.bias_l1, op.bias_l2, op.bias_decay, update, gradient,
                         op.flat_b + j * P, 0, wide)
