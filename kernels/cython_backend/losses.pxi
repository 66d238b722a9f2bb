# Losses and metrics, row by row. Formulas: kernels/losses.py. Sums along a row go through P partial sums, one a column
# of a panel, so that they vectorise and still have one fixed order.


cdef inline real fold(const real *sums) noexcept nogil:
    """Shapes: sums (P,); their total, in order. Layout: contiguous. Aliasing: nothing is written."""
    cdef real total = 0
    cdef long c
    for c in range(P):
        total += sums[c]
    return total


cdef real elementwise_row(int loss, const real *z, const real *t, real *d, long step, long n) noexcept nogil:
    """Shapes: z, t, d (n,): outputs, targets, gradient out; returns the row's loss, for the losses that are means.
    Layout: a row of panels `step` apart. Aliasing: none."""
    cdef real sums[P]
    cdef real e, share = <real> 1.0 / n
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
        else:
            for c in range(columns):
                d[c] = (sigmoid(z[c]) - t[c]) * share
                sums[c] += (0 if z[c] < 0 else z[c]) - z[c] * t[c] + log1p_unit(exp_(-abs_(z[c])))
        z += step
        t += step
        d += step
    return fold(sums) * share


cdef real softmax_row(const real *z, const real *t, long label, real *d, long step, long n) noexcept nogil:
    """Shapes: z, t, d (n,): logits, target probabilities (NULL: the label counts), gradient out; returns the loss.
    Layout: a row of panels `step` apart. Aliasing: none."""
    cdef real sums[P]
    cdef real top = z[0], total, mass = 1, dot
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
        dot = z[(label // P) * step + label % P]
    else:
        memset(sums, 0, sizeof(sums))
        for j in range(width):
            for c in range(smaller(P, n - j * P)):
                sums[c] += t[j * step + c]
        mass = fold(sums)
        memset(sums, 0, sizeof(sums))
        for j in range(width):
            for c in range(smaller(P, n - j * P)):
                sums[c] += t[j * step + c] * z[j * step + c]
        dot = fold(sums)
    for j in range(width):
        for c in range(P):
            d[j * step + c] *= mass / total
    if t == NULL:
        d[(label // P) * step + label % P] -= 1
    else:
        for j in range(width):
            for c in range(smaller(P, n - j * P)):
                d[j * step + c] -= t[j * step + c]
    return mass * (top + log_(total)) - dot


cdef real loss_row(int loss, const real *z, const real *t, long label, real *d, long step, long n) noexcept nogil:
    """Shapes, layout, aliasing: as the two above, one of which it calls."""
    if loss == SPARSE:
        return softmax_row(z, NULL, label, d, step, n)
    if loss == CATEGORICAL:
        return softmax_row(z, t, 0, d, step, n)
    return elementwise_row(loss, z, t, d, step, n)


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
        value = loss_row(net.loss, last.y + b * P, net.t + b * P, label, d, step, n)
        weight = net.row_weight[b] if data.weights != NULL else 1
        net.row_loss[b] = value * weight
        factor = weight / m
        for j in range(panels(n)):
            for c in range(P):
                d[j * step + c] *= factor
        for i in range(net.n_metrics):
            net.row_metric[i * net.capacity + b] = metric_row(
                net.metrics[i], last.y + b * P, net.t + b * P, label, data.labels != NULL, net.threshold, step, n)
