# Losses and metrics, row by row. Formulas: kernels/losses.py. Sums along a row go through P partial sums, one a column
# of a panel, so that they vectorise and still have one fixed order.


cdef inline real fold(const real *sums) noexcept nogil:
    """Shapes: sums (P,); their total, in order. Layout: contiguous. Aliasing: nothing is written."""
    cdef real total = 0
    cdef long c
    for c in range(P):
        total += sums[c]
    return total


cdef extern from * nogil:
    """
    #define LOSS_EPSILON REAL(1e-7) /* kernels/losses.py */
    #define LN2 REAL(0.69314718055994530942)
    """
    real LOSS_EPSILON
    real LN2


cdef real elementwise_row(int loss, real a, const real *z, const real *t, real *d, long step, long n) noexcept nogil:
    """Shapes: z, t, d (n,): outputs, targets, gradient out; returns the row's loss, for the losses that are a mean or a
    sum over the outputs; a is their parameter.
    Layout: a row of panels `step` apart. Aliasing: none."""
    cdef real sums[P]
    cdef real e, s, share = <real> 1.0 if loss == KL_DIVERGENCE else <real> 1.0 / n
    cdef long j, c, columns
    memset(sums, 0, sizeof(sums))
    for j in range(panels(n)):
        columns = smaller(P, n - j * P)
        if loss == MSE:
            for c in range(columns):
                e = z[c] - t[c]
                d[c] = e * (2 * share)
                sums[c] += e * e
        elif loss == MAE:
            for c in range(columns):
                e = z[c] - t[c]
                d[c] = share if e > 0 else (-share if e < 0 else e)
                sums[c] += abs_(e)
        elif loss == BINARY:
            for c in range(columns):
                s = t[c] * (1 - a) + <real> 0.5 * a
                d[c] = (sigmoid(z[c]) - s) * share
                sums[c] += (0 if z[c] < 0 else z[c]) - z[c] * s + log1p_unit(exp_(-abs_(z[c])))
        elif loss == HUBER:
            for c in range(columns):
                e = z[c] - t[c]
                s = abs_(e)
                d[c] = (a if e > a else (-a if e < -a else e)) * share
                sums[c] += <real> 0.5 * e * e if s <= a else a * s - <real> 0.5 * a * a
        elif loss == LOG_COSH:
            for c in range(columns):
                e = z[c] - t[c]
                s = abs_(e)
                d[c] = tanh_(e) * share
                sums[c] += s + log1p_unit(exp_(-2 * s)) - LN2
        elif loss == POISSON:
            for c in range(columns):
                e = z[c] + LOSS_EPSILON
                d[c] = (1 - t[c] / e) * share
                sums[c] += z[c] - t[c] * log_(e)
        elif loss == KL_DIVERGENCE:
            for c in range(columns):
                s = LOSS_EPSILON if t[c] < LOSS_EPSILON else (1 if t[c] > 1 else t[c])
                e = LOSS_EPSILON if z[c] < LOSS_EPSILON else (1 if z[c] > 1 else z[c])
                d[c] = 0 if z[c] < LOSS_EPSILON or z[c] > 1 else -s / e
                sums[c] += s * log_(s / e)
        elif loss == HINGE:
            for c in range(columns):
                e = 1 - t[c] * z[c]
                s = 0 if e <= 0 else e
                d[c] = -t[c] * share if e > 0 else s  # NaN stays
                sums[c] += s
        elif loss == SQUARED_HINGE:
            for c in range(columns):
                e = 1 - t[c] * z[c]
                s = 0 if e <= 0 else e
                d[c] = s * t[c] * (-2 * share)
                sums[c] += s * s
        z += step
        t += step
        d += step
    return fold(sums) * share


cdef real hinge_row(const real *z, const real *t, real *d, long step, long n) noexcept nogil:
    """Categorical hinge. Shapes, layout, aliasing: as elementwise_row."""
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
    value = worst - fold(sums) + 1
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
    e = 1 / sqrt_(fold(sums))
    return 1 / LOSS_EPSILON if e > 1 / LOSS_EPSILON else e


cdef real cosine_row(const real *z, const real *t, real *d, long step, long n) noexcept nogil:
    """Minus the cosine of the angle between z and t. Shapes, layout, aliasing: as elementwise_row."""
    cdef real sums[P]
    cdef real of_z = inverse_norm(z, step, n), of_t = inverse_norm(t, step, n), cosine, along
    cdef long j, c
    memset(sums, 0, sizeof(sums))
    for j in range(panels(n)):
        for c in range(smaller(P, n - j * P)):
            sums[c] += (z[j * step + c] * of_z) * (t[j * step + c] * of_t)
    cosine = fold(sums)
    # Where the norm is held at its least, it is a constant.
    along = 0 if of_z >= 1 / LOSS_EPSILON else cosine
    for j in range(panels(n)):
        for c in range(smaller(P, n - j * P)):
            d[j * step + c] = ((z[j * step + c] * of_z) * along - t[j * step + c] * of_t) * of_z
    return -cosine


cdef real softmax_row(real a, const real *z, const real *t, long label, real *d, long step, long n) noexcept nogil:
    """Shapes: z, t, d (n,): logits, target probabilities (NULL: the label counts), gradient out; returns the loss.
    a is the label smoothing.
    Layout: a row of panels `step` apart. Aliasing: none."""
    cdef real sums[P]
    cdef real top = z[0], total, mass = 1, dot, kept = 1 - a, spread = a / n
    cdef long j, c, width = panels(n)
    for j in range(width):
        for c in range(smaller(P, n - j * P)):
            top = z[j * step + c] if z[j * step + c] > top or z[j * step + c] != z[j * step + c] else top
    memset(sums, 0, sizeof(sums))
    for j in range(width):
        for c in range(smaller(P, n - j * P)):
            d[j * step + c] = exp_(z[j * step + c] - top)
            sums[c] += d[j * step + c]
    total = fold(sums)
    if t == NULL:
        dot = kept * z[(label // P) * step + label % P]
        if a != 0:
            memset(sums, 0, sizeof(sums))
            for j in range(width):
                for c in range(smaller(P, n - j * P)):
                    sums[c] += z[j * step + c]
            dot += spread * fold(sums)
    else:
        memset(sums, 0, sizeof(sums))
        for j in range(width):
            for c in range(smaller(P, n - j * P)):
                sums[c] += t[j * step + c] * kept + spread
        mass = fold(sums)
        memset(sums, 0, sizeof(sums))
        for j in range(width):
            for c in range(smaller(P, n - j * P)):
                sums[c] += (t[j * step + c] * kept + spread) * z[j * step + c]
        dot = fold(sums)
    for j in range(width):
        for c in range(P):
            d[j * step + c] *= mass / total
    if t == NULL:
        if a != 0:
            for j in range(width):
                for c in range(P):
                    d[j * step + c] -= spread
        d[(label // P) * step + label % P] -= kept
    else:
        for j in range(width):
            for c in range(smaller(P, n - j * P)):
                d[j * step + c] -= t[j * step + c] * kept + spread
    return mass * (top + log_(total)) - dot


cdef real loss_row(int loss, real a, const real *z, const real *t, long label, real *d, long step, long n) noexcept nogil:
    """Shapes, layout, aliasing: as those above, one of which it calls."""
    if loss == SPARSE:
        return softmax_row(a, z, NULL, label, d, step, n)
    if loss == CATEGORICAL:
        return softmax_row(a, z, t, 0, d, step, n)
    if loss == CATEGORICAL_HINGE:
        return hinge_row(z, t, d, step, n)
    if loss == COSINE:
        return cosine_row(z, t, d, step, n)
    return elementwise_row(loss, a, z, t, d, step, n)


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


cdef double metric_row(int metric, const real *z, const real *t, long label, bint labelled, real threshold, long step,
                       long n) noexcept nogil:
    """Shapes: z, t (n,): outputs and targets, or the label; returns the row's metric.
    Layout: a row of panels `step` apart. Aliasing: nothing is written."""
    cdef long c, at
    cdef double total = 0
    cdef real e
    if metric == CATEGORICAL_ACCURACY:
        return first_largest(z, step, n) == (label if labelled else first_largest(t, step, n))
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


cdef void loss_rows(Net *net, const Data *data, long m, long r0, long r1) noexcept nogil:
    """Rows r0..r1 of the last operation's output against their targets: net.row_loss (weighted), net.row_metric, and
    the gradient of the batch's mean into its dz.
    Layout: panels of net.ld rows. Aliasing: none."""
    cdef Op *last = &net.ops[net.n_ops - 1]
    cdef long b, i, j, c, n = last.n_out, step = net.ld * P, label = 0
    cdef real weight, factor, value
    cdef real *d
    for b in range(r0, r1):
        d = last.dz + b * P
        if data.labels != NULL:
            label = net.label[b]
        value = loss_row(net.loss, net.loss_parameter, last.y + b * P, net.t + b * P, label, d, step, n)
        weight = net.row_weight[b] if data.weights != NULL else 1
        net.row_loss[b] = value * weight
        factor = weight / m
        for j in range(panels(n)):
            for c in range(P):
                d[j * step + c] *= factor
        for i in range(net.n_metrics):
            net.row_metric[i * net.capacity + b] = metric_row(
                net.metrics[i], last.y + b * P, net.t + b * P, label, data.labels != NULL, net.threshold, step, n)
