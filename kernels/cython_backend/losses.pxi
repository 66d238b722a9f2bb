# Losses and metrics, LANES rows at a time. Formulas: kernels/losses.py. Sums along a row go through P partial sums, one a
# column of a panel, so that they vectorise and still have one fixed order; those of softmax go column by column, with
# the rows side by side.


cdef inline real fold(const real *sums, long n) noexcept nogil:
    """Shapes: sums (P,), of which n or all count; their total, in order. Layout: contiguous. Aliasing: nothing is
    written."""
    cdef real total = 0
    cdef long c
    for c in range(smaller(n, P)):
        total += sums[c]
    return total


cdef extern from * nogil:
    """
    #define LOSS_EPSILON REAL(1e-7) /* kernels/losses.py */
    #define LN2 REAL(0.69314718055994530942)
    """
    real LOSS_EPSILON
    real LN2

cdef extern from "softmax.h" nogil:
    void softmax_columns(real a, long n, real factor, const int32_t *label, real *e, real *s, real *value, int32_t *best)


cdef void elementwise_run(int loss, real a, const real *z, const real *t, real *d, real *v, real scale,
                          long n) noexcept nogil:
    """The losses that are a mean or a sum over the outputs. Shapes: z, t, d, v (n,): outputs, targets, gradient out
    times scale, value out; a is the loss's parameter. Layout: contiguous. Aliasing: none."""
    cdef long i
    cdef real e, s
    if loss == MSE:
        for i in range(n):
            e = z[i] - t[i]
            d[i] = e * (2 * scale)
            v[i] = e * e
    elif loss == MAE:
        for i in range(n):
            e = z[i] - t[i]
            d[i] = scale if e > 0 else (-scale if e < 0 else e)
            v[i] = abs_(e)
    elif loss == BINARY:
        for i in range(n):
            s = t[i] * (1 - a) + <real> 0.5 * a
            d[i] = (sigmoid(z[i]) - s) * scale
            v[i] = (0 if z[i] < 0 else z[i]) - z[i] * s + log1p_unit(exp_(-abs_(z[i])))
    elif loss == HUBER:
        for i in range(n):
            e = z[i] - t[i]
            s = abs_(e)
            d[i] = (a if e > a else (-a if e < -a else e)) * scale
            v[i] = <real> 0.5 * e * e if s <= a else a * s - <real> 0.5 * a * a
    elif loss == LOG_COSH:
        for i in range(n):
            e = z[i] - t[i]
            s = abs_(e)
            d[i] = tanh_(e) * scale
            v[i] = s + log1p_unit(exp_(-2 * s)) - LN2
    elif loss == POISSON:
        for i in range(n):
            e = z[i] + a
            d[i] = (1 - t[i] / e) * scale
            v[i] = z[i] - t[i] * log_(e)
    elif loss == KL_DIVERGENCE:
        for i in range(n):
            s = LOSS_EPSILON if t[i] < LOSS_EPSILON else (1 if t[i] > 1 else t[i])
            e = LOSS_EPSILON if z[i] < LOSS_EPSILON else (1 if z[i] > 1 else z[i])
            d[i] = 0 if z[i] < LOSS_EPSILON or z[i] > 1 else -s / e * scale
            v[i] = s * log_(s / e)
    elif loss == HINGE:
        for i in range(n):
            e = 1 - t[i] * z[i]
            s = 0 if e <= 0 else e
            d[i] = -t[i] * scale if e > 0 else s  # NaN stays
            v[i] = s
    elif loss == SQUARED_HINGE:
        for i in range(n):
            e = 1 - t[i] * z[i]
            s = 0 if e <= 0 else e
            d[i] = s * t[i] * (-2 * scale)
            v[i] = s * s


cdef inline bint is_elementwise(int loss) noexcept nogil:
    return loss != SPARSE and loss != CATEGORICAL and loss != CATEGORICAL_HINGE and loss != COSINE


cdef inline real output_share(int loss, long n) noexcept nogil:
    """What an elementwise loss multiplies the sum over n outputs by."""
    return <real> 1.0 if loss == KL_DIVERGENCE else <real> 1.0 / n


cdef void single_rows(int loss, real a, const real *z, const real *t, real *d, long rows, real factor,
                      real *values) noexcept nogil:
    """elementwise_rows of one output, with the rows side by side. Shapes: z, t, d, values (rows,), rows at most LANES.
    Layout: z, t, d P apart. Aliasing: none."""
    cdef real side[3][LANES]
    cdef long b
    memset(side, 0, sizeof(side))
    for b in range(rows):
        side[0][b] = z[b * P]
        side[1][b] = t[b * P]
    elementwise_run(loss, a, side[0], side[1], side[2], values, factor, rows)
    for b in range(rows):
        d[b * P] = side[2][b]


cdef void elementwise_rows(int loss, real a, const real *z, const real *t, real *d, long step, long rows, long n,
                           real factor, real *values) noexcept nogil:
    """Shapes: z, t, d (rows, n), values (rows,), rows at most LANES: a loss of elementwise_run, and its gradient
    times factor. Panel by panel, where the rows lie side by side.
    Layout: panels `step` apart. Aliasing: none."""
    cdef real v[LANES * P]
    cdef real sums[LANES * P]
    cdef real share = output_share(loss, n)
    cdef long j, b, c
    if n == 1:
        single_rows(loss, a, z, t, d, rows, factor, values)
        return
    memset(sums, 0, sizeof(sums))
    for j in range(panels(n)):
        elementwise_run(loss, a, z + j * step, t + j * step, d + j * step, v, share * factor, rows * P)
        if n - j * P >= P:
            for b in range(rows * P):
                sums[b] += v[b]
        else:
            for b in range(rows):
                for c in range(n - j * P):
                    sums[b * P + c] += v[b * P + c]
    for b in range(rows):
        values[b] = fold(sums + b * P, n) * share


cdef real hinge_row(const real *z, const real *t, real *d, long step, long n) noexcept nogil:
    """Categorical hinge. Shapes, layout, aliasing: as elementwise_rows."""
    cdef real sums[P]
    cdef real e, value, worst = 0
    cdef long c, i, at = 0
    memset(sums, 0, sizeof(sums))
    for c in range(n):
        i = (c // P) * step + c % P
        sums[c % P] += t[i] * z[i]
        e = (1 - t[i]) * z[i]
        if c == 0 or e > worst or (e != e and worst == worst):
            worst = e
            at = i
    value = worst - fold(sums, n) + 1
    value = 0 if value <= 0 else value
    for c in range(n):
        i = (c // P) * step + c % P
        e = 1 - 2 * t[i] if i == at else -t[i]
        d[i] = e if value > 0 else value  # NaN stays
    return value


cdef real inverse_norm(const real *z, long step, long n) noexcept nogil:
    """Shapes: z (n,); 1 / |z|, at most 1 / LOSS_EPSILON. Layout: a row of panels `step` apart."""
    cdef real sums[P]
    cdef real e
    cdef long j, c
    memset(sums, 0, sizeof(sums))
    for j in range(panels(n)):
        for c in range(smaller(P, n - j * P)):
            sums[c] += z[j * step + c] * z[j * step + c]
    e = 1 / sqrt_(fold(sums, n))
    return 1 / LOSS_EPSILON if e > 1 / LOSS_EPSILON else e


cdef real cosine_row(const real *z, const real *t, real *d, long step, long n) noexcept nogil:
    """Minus the cosine of the angle between z and t. Shapes, layout, aliasing: as elementwise_rows."""
    cdef real sums[P]
    cdef real of_z = inverse_norm(z, step, n), of_t = inverse_norm(t, step, n), cosine, along
    cdef long j, c
    memset(sums, 0, sizeof(sums))
    for j in range(panels(n)):
        for c in range(smaller(P, n - j * P)):
            sums[c] += (z[j * step + c] * of_z) * (t[j * step + c] * of_t)
    cosine = fold(sums, n)
    # Where the norm is held at its least, it is a constant.
    along = 0 if of_z >= 1 / LOSS_EPSILON else cosine
    for j in range(panels(n)):
        for c in range(smaller(P, n - j * P)):
            d[j * step + c] = ((z[j * step + c] * of_z) * along - t[j * step + c] * of_t) * of_z
    return -cosine


cdef void softmax_rows(real a, const real *z, const real *t, const int32_t *labels, real *d, long step, long rows,
                       long n, real factor, real *values, int32_t *largest, real *turned) noexcept nogil:
    """Cross-entropy of softmax. Shapes: z, t, d (rows, n), labels, values, largest (rows,), rows at most LANES: logits,
    target probabilities or NULL, gradient out times factor, labels or NULL, losses out, and columns of the largest
    logits. a is the label smoothing; turned (2, n, P) is scratch.
    Layout: panels `step` apart. Aliasing: none."""
    cdef real *s = turned + panels(n) * P * P
    cdef int32_t label[LANES]
    cdef int32_t best[LANES]
    cdef real value[LANES]
    cdef long j, b
    for j in range(panels(n)):
        transpose_rows(z, step // P, n, j, 0, rows, turned)
        if t != NULL:
            transpose_rows(t, step // P, n, j, 0, rows, s)
    for b in range(LANES):
        label[b] = labels[b] if t == NULL and b < rows else 0
    softmax_columns(a, n, factor, label if t == NULL else NULL, turned, s, value, best)
    for j in range(panels(n)):
        transpose_columns(turned, step // P, n, j, 0, rows, d)
    memcpy(values, value, rows * sizeof(real))
    memcpy(largest, best, rows * sizeof(int32_t))


cdef real loss_row(int loss, const real *z, const real *t, real *d, long step, long n) noexcept nogil:
    """The other losses that need a whole row first. Shapes, layout, aliasing: as those above, one of which it calls."""
    if loss == CATEGORICAL_HINGE:
        return hinge_row(z, t, d, step, n)
    return cosine_row(z, t, d, step, n)


cdef long first_largest(const real *z, long step, long n) noexcept nogil:
    """Shapes: z (n,). The index of the first largest, or of the first NaN.
    Layout: a row of panels `step` apart. Aliasing: nothing is written."""
    cdef long c, best = 0
    cdef real top = z[0], e
    for c in range(1, n):
        e = z[(c // P) * step + c % P]
        if e > top or (e != e and top == top):
            top = e
            best = c
    return best


cdef double metric_row(int metric, const real *z, const real *t, long label, long largest, bint labelled,
                       real threshold, long step, long n) noexcept nogil:
    """Shapes: z, t (n,): outputs and targets, or the label; returns the row's metric. `largest`: the column of the
    largest output, or -1 if not known yet.
    Layout: a row of panels `step` apart. Aliasing: nothing is written."""
    cdef long c, at
    cdef double total = 0
    cdef real e
    if metric == CATEGORICAL_ACCURACY:
        largest = first_largest(z, step, n) if largest < 0 else largest
        return largest == (label if labelled else first_largest(t, step, n))
    for c in range(n):
        at = (c // P) * step + c % P
        e = z[at] - t[at]
        if metric == BINARY_ACCURACY:
            total += (z[at] > threshold) == (t[at] > <real> 0.5)
        elif metric == METRIC_MAE:
            total += abs_(e)
        else:
            total += e * e
    return total / n


cdef size_t turned_size(int loss, long n) noexcept nogil:
    """Numbers that `losses_of` needs for n outputs in `turned`."""
    return 2 * panels(n) * P * P if loss == SPARSE or loss == CATEGORICAL else 0


cdef void losses_of(int loss, real a, const real *z, const real *t, const int32_t *labels, real *d, long step,
                    long rows, long n, real factor, real *values, int32_t *largest, real *turned) noexcept nogil:
    """Shapes: z, t, d (rows, n), labels, values and largest (rows,), turned (turned_size,), rows at most LANES: loss of
    every row, gradient times factor, and the column of the largest output, or -1 if that was not found on the way.
    Layout: panels `step` apart. Aliasing: none."""
    cdef long b, j, c
    if loss == SPARSE or loss == CATEGORICAL:
        softmax_rows(a, z, t if loss == CATEGORICAL else NULL, labels, d, step, rows, n, factor, values, largest, turned)
        return
    for b in range(rows):
        largest[b] = -1
    if is_elementwise(loss):
        elementwise_rows(loss, a, z, t, d, step, rows, n, factor, values)
        return
    for b in range(rows):
        values[b] = loss_row(loss, z + b * P, t + b * P, d + b * P, step, n)
        for j in range(panels(n)):
            for c in range(P):
                d[b * P + j * step + c] *= factor


cdef void loss_rows(Net *net, const Data *data, long m, long r0, long r1, long id) noexcept nogil:
    """Rows r0..r1 of the last operation's output against their targets: net.row_loss (weighted), net.row_metric, and
    the gradient of the batch's mean into its dz.
    Layout: panels of net.ld rows. Aliasing: none."""
    cdef Op *last = &net.ops[net.n_ops - 1]
    cdef const int32_t *labels = net.label if data.labels != NULL else NULL
    cdef long k, b, i, j, c, rows, label, n = last.n_out, step = net.ld * P
    cdef real values[LANES]
    cdef int32_t largest[LANES]
    k = r0
    while k < r1:
        rows = smaller(LANES, r1 - k)
        losses_of(net.loss, net.loss_parameter, last.y + k * P, net.t + k * P, labels + k if labels != NULL else NULL,
                  last.dz + k * P, step, rows, n, <real> 1.0 / m, values, largest,
                  net.turned + id * turned_size(net.loss, n))
        for b in range(k, k + rows):
            net.row_loss[b] = values[b - k]
            if data.weights != NULL:
                net.row_loss[b] *= net.row_weight[b]
                for j in range(panels(n)):
                    for c in range(P):
                        last.dz[b * P + j * step + c] *= net.row_weight[b]
            if net.penalized:
                net.row_loss[b] += activity_of(net, b)
            label = labels[b] if labels != NULL else 0
            for i in range(net.n_metrics):
                net.row_metric[i * net.capacity + b] = metric_row(
                    net.metrics[i], last.y + b * P, net.t + b * P, label, largest[b - k], labels != NULL, net.threshold,
                    step, n)
        k += rows


cdef void choose_loss(Net *net, const Data *data, bint training, long n) noexcept nogil:
    """How a call is to compute the loss. If training needs nothing of it that takes whole rows, who computes a panel of
    outputs goes on to its loss and gradient, and no thread waits for, or reads, what another one wrote."""
    cdef const Op *first = &net.ops[0]
    cdef const Op *last = &net.ops[net.n_ops - 1]
    net.weighted = data.weights != NULL
    net.loss_in_columns = (training and is_elementwise(net.loss) and last.code == DENSE and not last.by_rows
                           and last.activation != SOFTMAX and net.n_metrics == 0 and not net.penalized)
    net.reproduces = (net.loss_in_columns and not net.weighted and first.n_in == last.n_out
                      and (first.by_blocks or own_batch(first, net.capacity, True, n))
                      and data.t8 == data.x8 and data.tr == data.xr
                      and (data.x8 == NULL or net.target_scale == net.input_scale))


cdef void loss_panel(Net *net, Op *op, long j, long r0, long r1, long m, long id) noexcept nogil:
    """Rows r0..r1, at most rows_together, of panel j of the last operation's output against their targets: the sum of
    their losses, weighted, into net.part_loss, and the gradient of the batch's mean into its dz, back to the
    pre-activation. Layout: panels of net.ld rows. Aliasing: none."""
    cdef real block[P * P]
    cdef const real *targets
    cdef real v[(ROWS_TOGETHER + P) * P]
    cdef real sums[P]
    cdef real share = output_share(net.loss, op.n_out), weight
    cdef double total = 0
    cdef const Op *first = &net.ops[0]
    cdef long b, c, at = (j * net.ld + r0) * P
    targets = net.t + at
    if net.reproduces and first.thin:
        join_bytes(x_block(first, r0 // P, j, id), net.input_scale, block)
        targets = block + r0 % P * P
    elif net.reproduces:
        targets = net.x + (id * net.x_size if first.own_parts > 0 or not first.by_blocks else 0) + at
    elementwise_run(net.loss, net.loss_parameter, op.y + at, targets, op.dz + at, v, share * (<real> 1.0 / m),
                    (r1 - r0) * P)
    memset(sums, 0, sizeof(sums))
    for b in range(r1 - r0):
        if net.weighted:
            weight = net.row_weight[r0 + b]
            for c in range(P):
                v[b * P + c] *= weight
                op.dz[at + b * P + c] *= weight
        for c in range(P):
            sums[c] += v[b * P + c]
    for c in range(smaller(P, op.n_out - j * P)):
        total += sums[c]
    net.part_loss[j * blocks(net.capacity, net.rows_together) + r0 // net.rows_together] = total * share
    finish_backward(op, j, r0, r1)
